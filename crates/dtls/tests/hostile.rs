//! Datagrams of attackers: forged, replayed, truncated, flipped, unending.

mod common;

use std::sync::Arc;
use std::time::Duration;

use columba_dtls::{Association, CookieKey, Event, Role, Versions};
use common::{Pair, configs, fingerprints, seal, start};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const SECOND: Duration = Duration::from_secs(1);

const VERSIONS: [Versions; 3] = [Versions::Only12, Versions::Only13, Versions::Both];

fn pair(versions: Versions, seed: u64) -> Pair<'static> {
    let both = configs().map(|mut config| {
        config.versions = versions;
        config
    });
    Pair::new(both, seed)
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
fn forged_alerts_are_told_but_end_nothing() {
    for versions in VERSIONS {
        let mut pair = pair(versions, 1);
        for _ in 0..50 {
            pair.run(Duration::from_millis(10));
            let is_over = pair.are_connected();
            for to in (0..2).filter(|_| !is_over) {
                for description in [0, 40, 80] {
                    pair.inject(to, &forged(21, &[2, description]));
                }
            }
        }
        assert!(pair.are_connected(), "{versions:?} {:?}", pair.events);
        assert!(pair.events.iter().any(|events| events.iter().any(|event| matches!(event, Event::Alert(_)))));
        pair.events = [Vec::new(), Vec::new()];
        for to in 0..2 {
            pair.inject(to, &forged(21, &[2, 40]));
            pair.inject(to, &forged(21, &[1, 0]));
        }
        pair.run(10 * SECOND);
        assert_eq!(pair.events, [vec![], vec![]], "{versions:?}");
        pair.assert_open();
    }
}

#[test]
fn forged_messages_cost_an_attempt_but_not_the_connection() {
    for versions in VERSIONS {
        let mut pair = pair(versions, 1);
        pair.inject(0, &forged_handshake(2, 0));
        for number in 0..40 {
            pair.inject(1, &forged_handshake(1, number));
        }
        assert!(pair.connect(10 * SECOND), "{versions:?} {:?}", pair.events);
        pair.assert_open();
    }
}

#[test]
fn forged_messages_do_not_touch_a_connected_association() {
    for versions in VERSIONS {
        let mut pair = pair(versions, 1);
        assert!(pair.connect(SECOND));
        pair.assert_open();
        for round in 0..100 {
            for to in 0..2 {
                for kind in [0, 1, 2, 3, 4, 8, 11, 12, 13, 14, 15, 16, 20, 24] {
                    pair.inject(to, &forged_handshake(kind, round));
                }
                for kind in [20, 21, 22, 23, 26, 99] {
                    pair.inject(to, &forged(kind, &[1; 20]));
                }
                pair.inject(to, &[0x2F, 0, round, 0, 3, 1, 2, 3]);
                pair.inject(
                    to,
                    &[0x2F, 0, round, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1],
                );
            }
            pair.run(Duration::from_millis(1));
        }
        pair.run(SECOND);
        assert_eq!(pair.events, [vec![Event::Connected], vec![Event::Connected]]);
        pair.assert_open();
    }
}

#[test]
fn replayed_datagrams_change_nothing() {
    for versions in VERSIONS {
        let seen = std::cell::RefCell::new(Vec::new());
        let mut pair = pair(versions, 1);
        pair.mangle = Some(Box::new(|from, datagram| {
            seen.borrow_mut().push((1 - from, datagram.clone()));
            true
        }));
        assert!(pair.connect(SECOND));
        pair.assert_open();
        let count = pair.packets.each_ref().map(Vec::len);
        for _ in 0..5 {
            let copies = seen.borrow().clone();
            for (to, datagram) in copies {
                pair.inject(to, &datagram);
            }
            pair.run(SECOND);
        }
        assert_eq!(pair.packets.each_ref().map(Vec::len), count, "no packet comes twice");
        pair.assert_open();
        assert_eq!(pair.events, [vec![Event::Connected], vec![Event::Connected]]);
    }
}

/// The edges of the window of 1,024 records.
#[test]
fn late_packets_are_taken_within_the_window_only() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut pair = pair(versions, 1);
        assert!(pair.connect(SECOND));
        pair.assert_open();
        let datagrams: Vec<Vec<u8>> =
            (0..1100_u32).map(|at| seal(&mut pair.sides[0], &at.to_be_bytes())).collect();
        let mut open = |at: usize| {
            let mut datagram = datagrams[at].clone();
            pair.sides[1].handle_input(pair.now, &mut datagram);
            pair.sides[1].read(&datagram).is_some()
        };
        assert!(open(1050));
        assert!(open(1050 - 1023), "the oldest in the window");
        assert!(!open(1050 - 1024), "too old");
        assert!(open(1051) && open(1049));
        for at in [1050, 1051, 1049, 1050 - 1023] {
            assert!(!open(at), "a replay");
        }
    }
}

/// Each datagram of a whole handshake, and the side that gets it.
fn recorded(versions: Versions) -> Vec<(usize, Vec<u8>)> {
    let seen = std::cell::RefCell::new(Vec::new());
    let mut pair = pair(versions, 1);
    pair.mangle = Some(Box::new(|from, datagram| {
        seen.borrow_mut().push((1 - from, datagram.clone()));
        true
    }));
    assert!(pair.connect(SECOND));
    drop(pair);
    seen.into_inner()
}

/// The bytes of a datagram that belong to messages: all but the headers of records in the clear,
/// and the ChangeCipherSpec, which says nothing.
fn message_bytes(datagram: &[u8]) -> Vec<usize> {
    let (mut places, mut at) = (Vec::new(), 0);
    while at < datagram.len() {
        let is_unified = datagram[at] & 0xE0 == 0x20;
        let (header, length) = if is_unified { (5, at + 3) } else { (13, at + 11) };
        let end = at + header + usize::from(u16::from_be_bytes([datagram[length], datagram[length + 1]]));
        let is_clear = !is_unified && datagram[at + 3..at + 5] == [0, 0];
        match datagram[at] {
            20 => {}
            _ if is_clear => places.extend(at + header..end),
            _ => places.extend(at..end),
        }
        at = end;
    }
    places
}

/// Runs a handshake of which only the first datagrams arrive, the last of them with a flipped bit.
/// `flip` is the place of its byte among the bytes of messages: signatures differ in length.
/// Returns which side is connected.
fn run_damaged(versions: Versions, count: usize, flip: Option<usize>) -> [bool; 2] {
    let mut pair = pair(versions, 1);
    let mut seen = 0;
    pair.mangle = Some(Box::new(move |_, datagram| {
        seen += 1;
        if let Some(place) = flip.filter(|_| seen == count) {
            let bytes = message_bytes(datagram);
            datagram[bytes[place % bytes.len()]] ^= 1 << (place % 8);
        }
        seen <= count
    }));
    pair.run(Duration::from_millis(150));
    pair.events.each_ref().map(|events| events.contains(&Event::Connected))
}

/// A flipped bit of a message is found out by the Finished messages at the latest, and one of a
/// sealed record at once.
#[test]
fn no_side_connects_by_a_message_with_a_flipped_bit() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut whole = 0;
        for (index, (to, datagram)) in recorded(versions).iter().enumerate() {
            if run_damaged(versions, index, None)[*to] {
                continue;
            }
            whole += usize::from(run_damaged(versions, index + 1, None)[*to]);
            for place in 0..message_bytes(datagram).len() {
                let connected = run_damaged(versions, index + 1, Some(place));
                assert!(!connected[*to], "{versions:?} datagram {index} byte {place}");
            }
        }
        assert_eq!(whole, 2, "both sides connect by a whole datagram");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Nothing panics, and nothing that is not authentic ends an association at once.
    #[test]
    fn damaged_datagrams_are_survived(seed: u64, versions in 0..3_usize, rounds in 0..8_usize) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut pair = pair(VERSIONS[versions], seed);
        let mut damage = ChaCha20Rng::seed_from_u64(seed);
        pair.mangle = Some(Box::new(move |_, datagram| {
            match damage.next_u32() % 8 {
                0 => {
                    let at = damage.next_u32() as usize % datagram.len();
                    datagram[at] ^= 1 << (damage.next_u32() % 8);
                }
                1 => datagram.truncate(1 + damage.next_u32() as usize % datagram.len()),
                2 => return false,
                3 => {
                    let tail = datagram.clone();
                    datagram.extend_from_slice(&tail);
                }
                _ => {}
            }
            true
        }));
        for _ in 0..rounds {
            let end = pair.now + SECOND;
            pair.step(end);
            let mut noise = vec![0; 1 + rng.next_u32() as usize % 1500];
            rng.fill_bytes(&mut noise);
            noise[0] = 20 + noise[0] % 44;
            pair.inject(rng.next_u32() as usize % 2, &noise);
        }
        pair.mangle = None;
        pair.run(20 * SECOND);
        let has_failed = |events: &Vec<Event>| events.iter().any(|event| matches!(event, Event::Failed(_)));
        if !pair.events.iter().any(has_failed) {
            prop_assert!(pair.are_connected(), "{:?}", pair.events);
        }
    }
}

/// Every datagram of a handshake is cut off at every byte: nothing panics, and the repetition
/// connects.
#[test]
fn datagrams_cut_off_at_every_byte_are_survived() {
    for versions in [Versions::Only12, Versions::Only13] {
        let count = recorded(versions).len();
        for index in 0..count {
            for length in (0..1200).step_by(if index == 0 { 1 } else { 7 }) {
                let mut pair = pair(versions, 1);
                let mut seen = 0;
                pair.mangle = Some(Box::new(move |_, datagram| {
                    if seen == index {
                        datagram.truncate(length.min(datagram.len() - 1));
                    }
                    seen += 1;
                    !datagram.is_empty()
                }));
                assert!(pair.connect(10 * SECOND), "{versions:?} {index} {length} {:?}", pair.events);
            }
        }
    }
}

#[test]
fn server_keeps_little_of_a_flood_of_hellos() {
    let [client, server] = configs();
    let (of_client, of_server) = (fingerprints(&client.certificate), fingerprints(&server.certificate));
    let (now, mut rng) = (start(), ChaCha20Rng::seed_from_u64(1));
    let mut server = Association::new(Role::Server, server.into(), of_client, now, &mut rng);
    let client_config = Arc::new(client);
    let mut buf = [0; 2048];
    let mut hello = |rng: &mut ChaCha20Rng| {
        let mut client = Association::new(Role::Client, client_config.clone(), of_server.clone(), now, rng);
        let length = client.poll_transmit(now, &mut buf).unwrap();
        buf[..length].to_vec()
    };
    let memory = allocation_counter::measure(|| {
        for _ in 0..20 {
            server.handle_input(now, &mut hello(&mut rng));
        }
    });
    let more = allocation_counter::measure(|| {
        for _ in 0..20 {
            server.handle_input(now, &mut hello(&mut rng));
        }
    });
    assert!(memory.bytes_current < 100_000, "{memory:?}");
    assert!(more.bytes_current < 4096, "{more:?}");
}

/// A ClientHello of the fewest bytes that DTLS 1.3 can be asked again for, or of DTLS 1.2.
fn shortest_hello(is_13: bool) -> Vec<u8> {
    let mut body = vec![0xFE, 0xFD];
    body.extend_from_slice(&[7; 32]);
    body.extend_from_slice(&[0, 0, 0, 2]);
    body.extend_from_slice(if is_13 { &[0x13, 0x01] } else { &[0xC0, 0x2B] });
    body.extend_from_slice(&[1, 0]);
    let versions: &[u8] = &[0, 43, 0, 3, 2, 0xFE, 0xFC];
    let groups: &[u8] = &[0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3];
    let shares: &[u8] = &[0, 51, 0, 2, 0, 0];
    let extensions = if is_13 { [versions, groups, shares].concat() } else { groups.to_vec() };
    body.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    body.extend_from_slice(&extensions);
    let length = (body.len() as u32).to_be_bytes();
    let head = [1, length[1], length[2], length[3], 0, 0, 0, 0, 0, length[1], length[2], length[3]];
    forged(22, &[&head[..], &body].concat())
}

/// Bytes out for each byte in are at most one before the address is proven: hellos in whole and in
/// parts, again and again, cut off, and as time goes by.
#[test]
fn server_that_wants_cookies_amplifies_nothing() {
    for versions in VERSIONS {
        let (now, mut rng) = (start(), ChaCha20Rng::seed_from_u64(1));
        let whole = recorded(versions).swap_remove(0).1;
        let inputs = [whole, shortest_hello(true), shortest_hello(false)];
        for (place, hello) in inputs.iter().enumerate() {
            let [client, mut server] = configs();
            server.versions = versions;
            let of_client = fingerprints(&client.certificate);
            let mut server = Association::new(Role::Server, server.into(), of_client, now, &mut rng);
            server.require_cookie(&CookieKey::new(&mut rng), b"192.0.2.1:5000");
            let (mut now, mut buf, mut sent, mut got) = (now, [0; 2048], 0, 0);
            // The last one is one byte of the hello that was answered.
            let part = [&hello[13..17], &[0, 0, 0, 0, 0, 0, 0, 1, hello[25]][..]].concat();
            let mut datagrams = vec![hello.clone(), hello.clone(), forged(22, &part), forged(22, &part)];
            datagrams.extend((1..hello.len()).map(|length| hello[..length].to_vec()));
            for datagram in datagrams {
                got += datagram.len();
                server.handle_input(now, &mut datagram.clone());
                for _ in 0..3 {
                    while let Some(length) = server.poll_transmit(now, &mut buf) {
                        sent += length;
                    }
                    assert!(sent <= got, "{versions:?} {place} {}: {sent} of {got}", datagram.len());
                    now += SECOND;
                    server.handle_timeout(now);
                }
            }
            assert!(place > 0 || sent > 0, "{versions:?}");
        }
    }
}

#[test]
fn fragments_that_are_never_completed_are_bounded() {
    let [client, server] = configs();
    let (of_client, now) = (fingerprints(&client.certificate), start());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut server = Association::new(Role::Server, server.into(), of_client, now, &mut rng);
    let info = allocation_counter::measure(|| {
        for round in 0..20_000_u32 {
            // A certificate of 16 MB, a third of a ClientHello, and parts far ahead.
            let kind = [1, 11][round as usize % 2];
            let length = [0xFF_FFFF, 32_000, 3000][round as usize % 3].min(0xFF_FFFF_u32).to_be_bytes();
            let number = (round % 300) as u16;
            let offset = (round * 40 % 2000).to_be_bytes();
            let mut message = vec![kind, length[1], length[2], length[3]];
            message.extend_from_slice(&number.to_be_bytes());
            message.extend_from_slice(&[offset[1], offset[2], offset[3], 0, 0, 40]);
            message.extend_from_slice(&[round as u8; 40]);
            server.handle_input(now, &mut forged(22, &message));
        }
    });
    assert!(info.bytes_current < 400_000, "{info:?}");
}
