//! Whole handshakes between two associations.

mod common;

use std::time::Duration;

use columba_dtls::{
    Association, CipherSuite, Config, CookieKey, Error, Event, Group, KeyAlgorithm, Role, SrtpProfile,
    Version, Versions,
};
use common::{Faults, Pair, certificates, configs, fingerprints, start};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn newest_common_version_is_negotiated() {
    use Versions as V;
    for (client, server, version) in [
        (V::Both, V::Both, Version::Dtls13),
        (V::Both, V::Only12, Version::Dtls12),
        (V::Only12, V::Both, Version::Dtls12),
        (V::Both, V::Only13, Version::Dtls13),
        (V::Only13, V::Both, Version::Dtls13),
    ] {
        let mut both = configs();
        (both[0].versions, both[1].versions) = (client, server);
        let mut pair = Pair::new(both, 1);
        assert!(pair.connect(SECOND), "{client:?} {server:?} {:?}", pair.events);
        for side in &pair.sides {
            let negotiated = side.negotiated().unwrap();
            assert_eq!(negotiated.version, version);
            assert_eq!(negotiated.group, Group::X25519);
            assert!(negotiated.extended_master_secret);
            assert_eq!(negotiated.srtp_profile, Some(SrtpProfile::AeadAes128Gcm));
        }
        let [client, server] = pair.sides.each_ref().map(|side| side.srtp_keys().unwrap());
        assert_eq!(client.local.key, server.remote.key);
        assert_eq!(client.remote.salt, server.local.salt);
        pair.assert_open();
        assert_eq!(pair.events, [vec![Event::Connected], vec![Event::Connected]]);
        assert_eq!(pair.sides.each_ref().map(Association::dropped), [0, 0]);
    }
}

#[test]
fn versions_without_an_overlap_are_refused_by_name() {
    for (client, server) in [(Versions::Only12, Versions::Only13), (Versions::Only13, Versions::Only12)] {
        let mut both = configs();
        (both[0].versions, both[1].versions) = (client, server);
        let mut pair = Pair::new(both, 1);
        pair.run(5 * SECOND);
        let alert = columba_dtls::AlertDescription::PROTOCOL_VERSION;
        assert_eq!(pair.events[0][0], Event::Alert(alert), "{:?}", pair.events);
        assert_eq!(*pair.events[0].last().unwrap(), Event::Failed(Error::PeerAlert(alert)));
        assert!(matches!(pair.events[1].last(), Some(Event::Failed(Error::Handshake { .. }))));
    }
}

#[test]
fn every_cipher_suite_group_and_certificate_connects() {
    use KeyAlgorithm as K;
    for algorithm in [K::EcdsaP256, K::EcdsaP384, K::Ed25519, K::Rsa2048] {
        for suite in CipherSuite::ALL {
            let is_rsa = suite.name().contains("_RSA_");
            let is_ecdsa = suite.name().contains("_ECDSA_");
            if is_rsa && algorithm != K::Rsa2048 || is_ecdsa && algorithm == K::Rsa2048 {
                continue;
            }
            for group in [Group::X25519, Group::Secp256r1, Group::Secp384r1, Group::X25519MlKem768] {
                if group == Group::X25519MlKem768 && suite.version() == Version::Dtls12 {
                    continue;
                }
                let mut both = configs();
                for (config, certificate) in both.iter_mut().zip(certificates(algorithm)) {
                    config.certificate = certificate.clone();
                    config.cipher_suites = vec![suite];
                    config.groups = vec![group];
                }
                let mut pair = Pair::new(both, 1);
                assert!(pair.connect(SECOND), "{algorithm:?} {suite:?} {group:?} {:?}", pair.events);
                let negotiated = pair.sides[0].negotiated().unwrap();
                assert_eq!((negotiated.cipher_suite, negotiated.group), (suite, group));
                pair.assert_open();
            }
        }
    }
}

#[test]
fn kinds_of_certificates_are_mixed() {
    for versions in [Versions::Only12, Versions::Only13] {
        for (client, server) in [
            (KeyAlgorithm::EcdsaP256, KeyAlgorithm::Rsa2048),
            (KeyAlgorithm::Rsa2048, KeyAlgorithm::EcdsaP256),
            (KeyAlgorithm::Ed25519, KeyAlgorithm::EcdsaP384),
        ] {
            let mut both = configs();
            both[0].certificate = certificates(client)[0].clone();
            both[1].certificate = certificates(server)[1].clone();
            both.iter_mut().for_each(|config| config.versions = versions);
            let mut pair = Pair::new(both, 1);
            assert!(pair.connect(SECOND), "{client:?} {server:?} {:?}", pair.events);
            pair.assert_open();
        }
    }
}

#[test]
fn server_asks_again_for_a_group_that_it_has() {
    let mut both = configs();
    both[1].groups = vec![Group::Secp384r1];
    let mut pair = Pair::new(both, 1);
    assert!(pair.connect(SECOND), "{:?}", pair.events);
    assert_eq!(pair.sides[1].negotiated().unwrap().group, Group::Secp384r1);
    pair.assert_open();
}

#[test]
fn cookies_prove_the_address_before_anything_is_kept() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        for groups in [vec![Group::X25519, Group::Secp256r1], vec![Group::Secp256r1]] {
            let [mut client, mut server] = configs();
            (client.versions, server.versions) = (versions, versions);
            server.groups = groups;
            let (of_client, of_server) =
                (fingerprints(&client.certificate), fingerprints(&server.certificate));
            let (now, mut rng) = (start(), ChaCha20Rng::seed_from_u64(1));
            let key = CookieKey::new(&mut rng);
            let client = Association::new(Role::Client, client.into(), of_server, now, &mut rng);
            let mut server = Association::new(Role::Server, server.into(), of_client, now, &mut rng);
            server.require_cookie(&key, b"198.51.100.7:4000");
            let mut pair = Pair::of([client, server], now, rng);
            pair.step(now + SECOND);
            assert!(pair.sent[1] <= pair.sent[0], "no amplification: {:?}", pair.sent);
            assert_eq!(pair.sides[1].choices(), (None, None, None), "nothing is kept");
            assert!(pair.connect(SECOND), "{versions:?} {:?}", pair.events);
            pair.assert_open();
        }
    }
}

#[test]
fn another_certificate_than_that_of_the_description_is_refused() {
    for versions in [Versions::Only12, Versions::Only13] {
        for wrong in 0..2 {
            let both = configs().map(|mut config| {
                config.versions = versions;
                config
            });
            let mut pair = Pair::new(both, 1);
            let other = certificates(KeyAlgorithm::EcdsaP384)[0].clone();
            pair.sides[wrong].set_fingerprints(fingerprints(&other));
            pair.run(10 * SECOND);
            assert_eq!(pair.events[wrong].last(), Some(&Event::Failed(Error::FingerprintMismatch)));
            let bad = columba_dtls::AlertDescription::BAD_CERTIFICATE;
            assert!(pair.events[1 - wrong].contains(&Event::Alert(bad)), "{:?}", pair.events);
            let failed = Event::Failed(Error::PeerAlert(bad));
            assert_eq!(pair.events[1 - wrong].last(), Some(&failed), "{versions:?} {wrong}");
        }
    }
}

#[test]
fn close_notification_comes_behind_the_packets_before_it() {
    for versions in [Versions::Only12, Versions::Only13] {
        for from in 0..2 {
            let both = configs().map(|mut config| {
                config.versions = versions;
                config
            });
            let mut pair = Pair::new(both, 1);
            assert!(pair.connect(SECOND));
            pair.assert_open();
            pair.send(from, b"last");
            pair.sides[from].close();
            pair.run(SECOND);
            assert_eq!(pair.packets[1 - from].last().unwrap(), b"last");
            assert_eq!(pair.events[1 - from].last(), Some(&Event::Closed));
            let mut buf = [0; 100];
            assert!(pair.sides[1 - from].seal(&mut buf, 30..40).is_err());
        }
    }
}

#[test]
fn keys_are_updated_in_both_directions() {
    let mut pair = Pair::new(configs(), 1);
    assert!(pair.connect(SECOND));
    for round in 0..6 {
        pair.sides[round % 2].update_keys();
        pair.run(SECOND);
        pair.assert_open();
    }
    assert_eq!(pair.sides.each_ref().map(Association::dropped), [0, 0]);
    // DTLS 1.2 has no such thing.
    let both = configs().map(|mut config| {
        config.versions = Versions::Only12;
        config
    });
    let mut pair = Pair::new(both, 1);
    assert!(pair.connect(SECOND));
    pair.sides[0].update_keys();
    pair.assert_open();
}

#[test]
fn application_protocols_and_size_limits_are_negotiated() {
    for versions in [Versions::Only12, Versions::Only13] {
        let mut both = configs();
        both[0].alpn = vec![b"other".to_vec(), b"webrtc".to_vec()];
        both[1].alpn = vec![b"c-webrtc".to_vec(), b"webrtc".to_vec()];
        both[0].record_size_limit = Some(1000);
        both[1].record_size_limit = Some(500);
        both.iter_mut().for_each(|config| config.versions = versions);
        let mut pair = Pair::new(both, 1);
        assert!(pair.connect(SECOND), "{:?}", pair.events);
        assert_eq!(pair.sides[0].negotiated().unwrap().alpn.as_deref(), Some(&b"webrtc"[..]));
        let most = |limit| if versions == Versions::Only13 { limit - 1 } else { limit };
        for (side, limit) in [(0, most(500)), (1, most(1000))] {
            let mut buf = vec![0; 2000];
            let error = pair.sides[side].seal(&mut buf, 30..31 + limit).unwrap_err();
            assert_eq!(error, columba_dtls::SealError::TooLong { limit });
            pair.sides[side].seal(&mut buf, 30..30 + limit).unwrap();
        }
        pair.assert_open();
        let mut both = configs();
        both[0].alpn = vec![b"other".to_vec()];
        both[1].alpn = vec![b"webrtc".to_vec()];
        both.iter_mut().for_each(|config| config.versions = versions);
        let mut pair = Pair::new(both, 1);
        pair.run(5 * SECOND);
        let none = columba_dtls::AlertDescription::NO_APPLICATION_PROTOCOL;
        assert_eq!(pair.events[0].last(), Some(&Event::Failed(Error::PeerAlert(none))));
    }
}

/// A handshake that travels in checks has no deadline before there is a path, and one from then on.
#[test]
fn handshake_without_a_path_waits_for_it() {
    for is_found in [true, false] {
        let mut pair = Pair::new(configs(), 1);
        pair.sides.iter_mut().for_each(Association::begin_without_path);
        // The ClientHello arrives, and nothing else.
        pair.pump();
        pair.faults = Faults { loss: 100, ..Faults::default() };
        pair.run(Duration::from_secs(600));
        assert!(pair.events.iter().all(Vec::is_empty), "{:?}", pair.events);
        let now = pair.now;
        pair.sides.iter_mut().for_each(|side| side.handle_path(now, SECOND / 10));
        if is_found {
            pair.faults = Faults::default();
            assert!(pair.connect(SECOND), "{:?}", pair.events);
        } else {
            pair.run(Duration::from_secs(31));
            let late = Event::Failed(Error::TimedOut);
            assert!(pair.events.iter().all(|events| *events == [late.clone()]), "{:?}", pair.events);
        }
    }
}

/// RFC 8833: who needs the confidentiality of `c-webrtc` aborts without it, in either role; others
/// connect to sides that have no application protocols.
#[test]
fn association_that_needs_an_application_protocol_fails_without() {
    let none = columba_dtls::AlertDescription::NO_APPLICATION_PROTOCOL;
    for versions in [Versions::Only12, Versions::Only13] {
        for (needy, is_required) in [(0, true), (1, true), (0, false), (1, false)] {
            let mut both = configs();
            both.iter_mut().for_each(|config| config.versions = versions);
            (both[needy].alpn, both[needy].alpn_is_required) = (vec![b"c-webrtc".to_vec()], is_required);
            let mut pair = Pair::new(both, 1);
            assert_eq!(pair.connect(5 * SECOND), !is_required, "{versions:?} {needy}");
            if is_required {
                let refused = Event::Failed(Error::PeerAlert(none));
                assert_eq!(pair.events[1 - needy].last(), Some(&refused), "{versions:?} {needy}");
                assert!(!pair.events.iter().flatten().any(|event| *event == Event::Connected));
            } else {
                assert_eq!(pair.sides[needy].negotiated().unwrap().alpn, None);
                pair.assert_open();
            }
        }
    }
}

/// RFC 8449 §4: what has no limit says so, and others' limits count.
#[test]
fn limits_of_records_are_offered_and_kept_by_default() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        for limited in [0, 1] {
            let mut both = configs();
            both.iter_mut().for_each(|config| config.versions = versions);
            both[limited].record_size_limit = Some(600);
            let mut pair = Pair::new(both, 1);
            assert!(pair.connect(SECOND), "{versions:?} {:?}", pair.events);
            let most = if versions == Versions::Only12 { 600 } else { 599 };
            assert_eq!(pair.sides[1 - limited].packet_limit(), most, "{versions:?}");
            assert_eq!(pair.sides[limited].packet_limit(), 16_384, "{versions:?}");
        }
    }
}

/// Every seed is another path and another handshake.
#[test]
fn handshakes_survive_loss_reordering_and_duplication_on_narrow_paths() {
    let faults = Faults { loss: 30, duplication: 20, reordering: 50 };
    for seed in 0..1000 {
        let versions = [Versions::Only12, Versions::Only13, Versions::Both][seed as usize % 3];
        let mut both = configs();
        for config in &mut both {
            config.versions = versions;
            config.datagram_size = if seed % 2 == 0 { 508 } else { 1200 };
            config.handshake_timeout = Duration::from_secs(60);
            if seed % 5 == 0 {
                config.groups.insert(0, Group::X25519MlKem768);
            }
        }
        let mut pair = Pair::new(both, seed);
        pair.faults = faults;
        assert!(pair.connect(Duration::from_secs(60)), "seed {seed}: {:?}\n{:?}", pair.events, pair.sides);
        assert!(seed % 2 == 1 || pair.largest <= 508, "{}", pair.largest);
        pair.assert_open();
        // The end of the handshake is acknowledged in the end, and nothing is sent any more.
        pair.run(Duration::from_secs(90));
        let sent = pair.sent;
        pair.run(Duration::from_secs(300));
        assert_eq!(pair.sent, sent, "seed {seed}");
    }
}

/// Returns true if a record of a datagram has keys (of DTLS 1.2).
fn has_sealed_record(mut datagram: &[u8]) -> bool {
    while let Some((header, rest)) = datagram.split_first_chunk::<13>() {
        if header[4] > 0 {
            return true;
        }
        datagram = rest.get(usize::from(u16::from_be_bytes([header[11], header[12]]))..).unwrap_or_default();
    }
    false
}

/// The last flight of a server is lost, and then the sealed end of each repetition of the client's.
#[test]
fn server_repeats_its_end_when_any_part_of_the_clients_flight_comes_again() {
    let own = certificates(KeyAlgorithm::Rsa2048);
    let configs = own.clone().map(|certificate| {
        let mut config = Config::new(certificate);
        (config.versions, config.datagram_size) = (Versions::Only12, 508);
        config
    });
    let mut pair = Pair::new(configs, 3);
    let mut sealed = [0, 0];
    pair.mangle = Some(Box::new(move |from, datagram| {
        if !has_sealed_record(datagram) {
            return true;
        }
        sealed[from] += 1;
        match from {
            0 => sealed[0] == 1,
            _ => sealed[1] > 1,
        }
    }));
    assert!(pair.connect(Duration::from_secs(5)));
}

/// All that a server of DTLS 1.3 says for two seconds after its handshake is lost. The client
/// repeats the end of its own until it is acknowledged, and then no more.
#[test]
fn server_acknowledges_the_clients_end_again() {
    let both = configs().map(|mut config| {
        config.versions = Versions::Only13;
        config
    });
    let mut pair = Pair::new(both, 5);
    while pair.events[0].is_empty() {
        assert!(pair.step(pair.now + SECOND));
    }
    pair.mangle = Some(Box::new(|from, _| from == 0));
    pair.run(2 * SECOND);
    pair.mangle = None;
    pair.run(20 * SECOND);
    let sent = pair.sent;
    pair.run(200 * SECOND);
    assert_eq!(pair.sent, sent, "the client goes on");
    pair.assert_open();
}
