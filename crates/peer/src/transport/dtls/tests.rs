//! Two associations in memory, and datagrams of an attacker.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::dimpl::Dimpl;
use super::{BACK, Dtls, DtlsCache, DtlsConfig, DtlsEvent, DtlsRole, FRONT};
use crate::certificate::Certificate;
use crate::configuration::DtlsVersions;
use crate::time::UnixTime;

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
fn start() -> Instant {
    Instant::now()
}

/// The client's and the server's.
fn certificate(client: bool) -> &'static Certificate {
    static BOTH: OnceLock<[Certificate; 2]> = OnceLock::new();
    let both = BOTH.get_or_init(|| {
        let wall = UnixTime(Duration::from_secs(1_790_000_000));
        [0, 1].map(|seed| Certificate::generate(&mut ChaCha12Rng::seed_from_u64(seed), wall).unwrap())
    });
    &both[usize::from(client)]
}

fn association(client: bool, versions: DtlsVersions, now: Instant) -> Dimpl {
    let config = DtlsConfig {
        certificate: certificate(client),
        role: if client { DtlsRole::Client } else { DtlsRole::Server },
        versions,
        datagram_size: 1200,
        first_timeout: Duration::from_millis(300),
        seed: Some(7),
        cache: DtlsCache::default(),
    };
    Dimpl::new(&config, now).unwrap()
}

fn flights(from: &mut Dimpl) -> Vec<Vec<u8>> {
    let mut buf = [0; 2048];
    std::iter::from_fn(|| from.poll_transmit(&mut buf).map(|length| buf[..length].to_vec())).collect()
}

fn events(of: &mut Dimpl) -> Vec<DtlsEvent> {
    std::iter::from_fn(|| of.poll_event()).collect()
}

/// Lets the two shake hands; `order` may change each flight on the way.
fn shake_hands(pair: &mut [Dimpl; 2], now: Instant, mut order: impl FnMut(&mut Vec<Vec<u8>>)) {
    for _ in 0..20 {
        for from in 0..2 {
            let mut datagrams = flights(&mut pair[from]);
            order(&mut datagrams);
            for datagram in datagrams {
                pair[1 - from].open(now, &datagram).unwrap();
            }
        }
    }
}

fn connected(versions: DtlsVersions, now: Instant) -> [Dimpl; 2] {
    let mut pair = [association(true, versions, now), association(false, versions, now)];
    shake_hands(&mut pair, now, |_| {});
    for (index, one) in pair.iter_mut().enumerate() {
        let other = certificate(index == 1);
        let expected = [DtlsEvent::PeerCertificate(other.der().to_vec()), DtlsEvent::Connected];
        assert_eq!(events(one), expected);
    }
    pair
}

fn sealed(from: &mut Dimpl, now: Instant, plaintext: &[u8]) -> Vec<u8> {
    let mut buf = vec![0xEE; FRONT + plaintext.len() + BACK];
    buf[FRONT..FRONT + plaintext.len()].copy_from_slice(plaintext);
    let record = from.seal(now, &mut buf, FRONT..FRONT + plaintext.len()).unwrap();
    assert_eq!(record.start, 0);
    buf[record].to_vec()
}

#[test]
fn sealed_records_are_read_in_place_and_fit_their_room() {
    let now = start();
    for versions in [DtlsVersions::Auto, DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
        let mut pair = connected(versions, now);
        for round in 0..200_usize {
            let plaintext = vec![round as u8; 1 + round * 5];
            for from in 0..2 {
                let mut datagram = sealed(&mut pair[from], now, &plaintext);
                let to = &mut pair[1 - from];
                to.open(now, &datagram.clone()).unwrap();
                let range = to.read(&mut datagram).unwrap();
                assert_eq!(datagram[range], plaintext);
                assert_eq!(to.read(&mut datagram), None);
                // A second time it is a replay.
                to.open(now, &datagram.clone()).unwrap();
                assert_eq!(to.read(&mut datagram), None);
            }
        }
    }
}

#[test]
fn close_notification_closes_the_other_side() {
    let now = start();
    for versions in [DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
        let [mut client, mut server] = connected(versions, now);
        client.close(now);
        for datagram in flights(&mut client) {
            server.open(now, &datagram).unwrap();
        }
        assert_eq!(server.read(&mut [0; 100]), None);
        assert_eq!(events(&mut server), [DtlsEvent::Closed]);
        assert_eq!(client.seal(now, &mut [0; 100], FRONT..FRONT + 1), None);
    }
}

#[test]
fn flight_out_of_order_needs_no_retransmission() {
    let now = start();
    for versions in [DtlsVersions::Auto, DtlsVersions::Dtls13] {
        let mut pair = [association(true, versions, now), association(false, versions, now)];
        shake_hands(&mut pair, now, |datagrams| datagrams.reverse());
        assert!(events(&mut pair[0]).contains(&DtlsEvent::Connected), "{versions:?}");
    }
}

#[test]
fn lost_flight_is_retransmitted_in_time() {
    let mut now = start();
    let mut client = association(true, DtlsVersions::Auto, now);
    assert_eq!(flights(&mut client).len(), 1, "a ClientHello");
    for wait in [300, 600, 1200] {
        let at = client.poll_timeout().unwrap();
        let waited = at - now;
        assert!(waited <= Duration::from_millis(wait * 3 / 2), "{waited:?}");
        now = at;
        client.handle_timeout(now).unwrap();
        assert!(!flights(&mut client).is_empty());
    }
}

#[test]
fn client_without_an_answer_gives_up() {
    let mut now = start();
    let begin = now;
    let mut client = association(true, DtlsVersions::Auto, now);
    let mut steps = 0;
    loop {
        flights(&mut client);
        steps += 1;
        assert!(steps < 100);
        now = client.poll_timeout().unwrap().max(now);
        if client.handle_timeout(now).is_err() {
            break;
        }
    }
    assert!(
        (Duration::from_secs(30)..Duration::from_secs(120)).contains(&(now - begin)),
        "{:?}",
        now - begin
    );
    assert_eq!(client.poll_timeout(), None);
}

#[test]
fn noise_before_the_answer_is_dropped() {
    let now = start();
    let mut pair = [association(true, DtlsVersions::Auto, now), association(false, DtlsVersions::Auto, now)];
    for length in 0..100 {
        pair[0].open(now, &vec![length as u8; length]).unwrap();
    }
    assert!(pair[0].dropped() >= 90);
    shake_hands(&mut pair, now, |_| {});
    assert!(events(&mut pair[0]).contains(&DtlsEvent::Connected));
}

/// A server of another configuration that asks for a second ClientHello first.
fn asking_server(versions: DtlsVersions, now: Instant) -> dimpl::Dtls {
    let config = dimpl::Config::builder().use_server_cookie(true).build().unwrap();
    let certificate = dimpl::DtlsCertificate {
        certificate: certificate(false).der().to_vec(),
        private_key: certificate(false).private_key_der().to_vec(),
    };
    let config = std::sync::Arc::new(config);
    let mut server = match versions {
        DtlsVersions::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
        _ => dimpl::Dtls::new_13(config, certificate, now),
    };
    server.set_active(false);
    server.handle_timeout(now).unwrap();
    server
}

#[test]
fn server_may_ask_for_a_second_hello() {
    let now = start();
    for (ours, theirs) in [
        (DtlsVersions::Auto, DtlsVersions::Dtls12),
        (DtlsVersions::Auto, DtlsVersions::Dtls13),
        (DtlsVersions::Dtls12, DtlsVersions::Dtls12),
        (DtlsVersions::Dtls13, DtlsVersions::Dtls13),
    ] {
        let (mut client, mut server) = (association(true, ours, now), asking_server(theirs, now));
        let (mut buf, mut hellos) = (vec![0; 60_000], 0);
        for _ in 0..20 {
            client.handle_timeout(now).unwrap();
            for datagram in flights(&mut client) {
                hellos += usize::from(datagram[0] == 22 && datagram[13] == 1);
                server.handle_packet(&datagram).unwrap();
            }
            loop {
                match server.poll_output(&mut buf) {
                    dimpl::Output::Packet(datagram) => client.open(now, datagram).unwrap(),
                    dimpl::Output::Timeout(_) => break,
                    _ => {}
                }
            }
        }
        assert!(events(&mut client).contains(&DtlsEvent::Connected), "{ours:?} {theirs:?}");
        assert_eq!(hellos, 2, "{ours:?} {theirs:?}");
    }
}

/// A record in the clear.
fn forged(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 254, 253, 0, 0, 0, 0, 0, 0, 9, 9];
    record.extend_from_slice(&(body.len() as u16).to_be_bytes());
    record.extend_from_slice(body);
    record
}

/// A handshake message with a body without meaning.
fn forged_handshake(kind: u8, number: u8) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 60, 0, number, 0, 0, 0, 0, 0, 60];
    message.extend((0..60_u8).map(|byte| byte.wrapping_mul(37) ^ number));
    forged(22, &message)
}

#[test]
fn alerts_in_the_clear_are_not_obeyed_before_or_after_the_handshake() {
    let now = start();
    for versions in [DtlsVersions::Auto, DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
        let mut pair = [association(true, versions, now), association(false, versions, now)];
        for _ in 0..20 {
            for from in 0..2 {
                for datagram in flights(&mut pair[from]) {
                    for description in [0, 40, 80] {
                        pair[1 - from].open(now, &forged(21, &[2, description])).unwrap();
                    }
                    pair[1 - from].open(now, &datagram).unwrap();
                }
            }
        }
        for (index, one) in pair.iter_mut().enumerate() {
            assert!(events(one).contains(&DtlsEvent::Connected), "{versions:?} {index}");
            one.open(now, &forged(21, &[2, 40])).unwrap();
            assert!(one.dropped() > 3 && events(one).is_empty());
        }
    }
}

#[test]
fn refused_client_fails_with_the_reason_in_time() {
    let mut now = start();
    let mut client = association(true, DtlsVersions::Auto, now);
    let begin = now;
    client.open(now, &forged(21, &[2, 40])).unwrap();
    let error = loop {
        flights(&mut client);
        now = client.poll_timeout().unwrap().max(now);
        if let Err(error) = client.handle_timeout(now) {
            break error;
        }
    };
    assert_eq!(error.0, "the other side refuses with alert 40");
    assert!(now - begin <= Duration::from_secs(30), "{:?}", now - begin);
}

#[test]
fn forged_messages_cost_an_attempt_but_not_the_connection() {
    for versions in [DtlsVersions::Auto, DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
        let mut now = start();
        let mut pair = [association(true, versions, now), association(false, versions, now)];
        // Forged messages are faster than the right ones.
        pair[0].open(now, &forged_handshake(2, 0)).unwrap();
        for number in 0..40 {
            pair[1].open(now, &forged_handshake(1, number)).unwrap();
        }
        let mut connected = [false; 2];
        for _ in 0..400 {
            shake_hands(&mut pair, now, |_| {});
            for (index, one) in pair.iter_mut().enumerate() {
                connected[index] |= events(one).contains(&DtlsEvent::Connected);
            }
            if connected == [true; 2] {
                break;
            }
            now += Duration::from_millis(20);
            for one in &mut pair {
                if one.poll_timeout().is_some_and(|at| at <= now) {
                    one.handle_timeout(now).unwrap();
                }
            }
        }
        assert_eq!(connected, [true; 2], "{versions:?}");
    }
}

#[test]
fn forged_messages_do_not_end_a_connected_association() {
    let now = start();
    for versions in [DtlsVersions::Auto, DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
        let mut pair = connected(versions, now);
        let mut hello = sealed(&mut pair[0], now, b"confirms");
        pair[1].open(now, &hello.clone()).unwrap();
        assert!(pair[1].read(&mut hello).is_some());
        for round in 0..100_u8 {
            for victim in &mut pair {
                for kind in [1, 2, 11, 14, 16, 20, 24] {
                    let mut datagram = forged_handshake(kind, round);
                    victim.open(now, &datagram).unwrap();
                    while victim.read(&mut datagram).is_some() {}
                }
                for kind in [20, 21, 23, 26] {
                    victim.open(now, &forged(kind, &[1; 20])).unwrap();
                }
                victim.open(now, &[0x2F, 0, round, 0, 3, 1, 2, 3]).unwrap();
                while victim.read(&mut [0; 100]).is_some() {}
                flights(victim);
            }
        }
        for from in 0..2 {
            let mut datagram = sealed(&mut pair[from], now, b"still here");
            pair[1 - from].open(now, &datagram.clone()).unwrap();
            let range = pair[1 - from].read(&mut datagram).unwrap();
            assert_eq!(&datagram[range], b"still here", "{versions:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Nothing panics, and nothing that is not authentic ends the association.
    #[test]
    fn damaged_datagrams_do_not_end_the_association(seed: u64, client: bool, mangled in 0..6_usize) {
        let now = start();
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut pair = [association(true, DtlsVersions::Auto, now), association(false, DtlsVersions::Auto, now)];
        let mut datagrams = Vec::new();
        for _ in 0..mangled {
            for from in 0..2 {
                for datagram in flights(&mut pair[from]) {
                    pair[1 - from].open(now, &datagram).unwrap();
                    datagrams.push(datagram);
                }
            }
        }
        let victim = &mut pair[usize::from(!client)];
        for mut datagram in datagrams {
            for _ in 0..rng.next_u32() % 4 {
                let at = rng.next_u32() as usize % datagram.len();
                datagram[at] = rng.next_u32() as u8;
            }
            datagram.truncate(1 + rng.next_u32() as usize % datagram.len());
            victim.open(now, &datagram).unwrap();
            while victim.read(&mut datagram).is_some() {}
            let mut noise = vec![0; 1 + rng.next_u32() as usize % 1500];
            rng.fill_bytes(&mut noise);
            noise[0] = 20 + noise[0] % 44;
            victim.open(now, &noise).unwrap();
            while victim.read(&mut noise).is_some() {}
            flights(victim);
        }
    }
}
