//! Peers that meet.

use columba_netsim::Nat;
use columba_peer::{Configuration, DataChannelInit, DtlsVersions};

use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

#[test]
fn two_peers_in_one_network_connect() {
    for versions in [DtlsVersions::Auto, DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
        let configuration = Configuration { dtls_versions: versions, ..Configuration::default() };
        let mut lab = Lab::lan(&configuration, 0.0, 1);
        lab.open(ALICE, "chat", DataChannelInit::default());
        assert!(lab.run_until(SECOND * 5, Lab::connected), "{}", lab.network.trace());
        assert!(lab.both(|host| host.errors.is_empty()));
        let stats = lab.peer(BOB).peer.stats(lab.network.now());
        assert_eq!(stats.dtls.is_client, Some(true), "the answerer begins");
        let version = if versions == DtlsVersions::Dtls12 { "DTLS 1.2" } else { "DTLS 1.3" };
        assert_eq!(stats.dtls.version, Some(version));
    }
}

#[test]
fn peers_behind_nats_connect_over_the_relay_where_they_must() {
    for (nats, relayed) in [([Nat::PORT; 2], false), ([Nat::SYMMETRIC; 2], true)] {
        for loss in [0.0, 0.3] {
            let mut lab = Lab::homes(nats, &with_turn(), loss, 3);
            lab.open(ALICE, "chat", DataChannelInit::default());
            assert!(lab.run_until(SECOND * 60, Lab::connected), "{relayed} {loss} {}", lab.network.trace());
        }
    }
}
