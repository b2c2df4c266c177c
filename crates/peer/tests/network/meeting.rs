//! Peers that connect.

use std::time::Duration;

use columba_netsim::Nat;
use columba_peer::{
    Configuration, DataChannelInit, DtlsRole, DtlsTransportState, DtlsVersions, Error, Event,
    IceConnectionState, IceGatheringState, PeerConnectionState, SignalingState, TransportId,
};

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
        assert_eq!(stats.transports[0].dtls.role, Some(DtlsRole::Client), "the answerer begins");
        let version = if versions == DtlsVersions::Dtls12 { "DTLS 1.2" } else { "DTLS 1.3" };
        assert_eq!(stats.transports[0].dtls.version, Some(version));
    }
}

/// W3C: the pair and the state of an ICE transport, and the states of the connection that follow,
/// change in one task; what follows from a state of DTLS, in the next.
#[test]
fn states_that_follow_from_one_another_are_one_task() {
    use {DtlsTransportState as Dtls, IceConnectionState as Ice, PeerConnectionState as State};
    const ID: TransportId = TransportId::FIRST;
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 1);
    lab.open(ALICE, "chat", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 5, Lab::connected));
    for index in [ALICE, BOB] {
        let tasks = &lab.peer(index).tasks;
        let ice = |state| [Event::IceTransportState(ID, state), Event::IceConnectionState(state)];
        let begun = [&ice(Ice::Checking)[..], &[Event::ConnectionState(State::Connecting)]].concat();
        assert!(tasks.contains(&begun), "{tasks:?}");
        let is_found = |task: &Vec<Event>| {
            matches!(task[0], Event::SelectedCandidatePair(..)) && task[1..] == ice(Ice::Connected)
        };
        assert!(tasks.iter().any(is_found), "{tasks:?}");
        let of_dtls = |event: &Event| *event == Event::DtlsState(ID, Dtls::Connected);
        let events = &lab.peer(index).events;
        let after = &events[events.iter().position(of_dtls).unwrap() + 1..];
        assert!(after.contains(&Event::ConnectionState(State::Connected)), "{after:?}");
        assert!(!tasks.iter().any(|task| task.iter().any(of_dtls)), "{tasks:?}");
    }
}

#[test]
fn peers_behind_nats_connect_over_the_relay_if_needed() {
    for (nats, relayed) in [([Nat::PORT; 2], false), ([Nat::SYMMETRIC; 2], true)] {
        for loss in [0.0, 0.3] {
            let mut lab = Lab::homes(nats, &with_turn(), loss, 3);
            lab.open(ALICE, "chat", DataChannelInit::default());
            assert!(lab.run_until(SECOND * 60, Lab::connected), "{relayed} {loss} {}", lab.network.trace());
        }
    }
}

#[test]
fn offers_that_collide_end_in_one_connection() {
    for seed in 0..10 {
        let mut lab = Lab::lan(&Configuration::default(), 0.0, seed);
        lab.open(ALICE, "one", DataChannelInit::default());
        lab.open(BOB, "two", DataChannelInit::default());
        assert!(lab.run_until(SECOND * 5, Lab::connected), "{}", lab.network.trace());
        assert!(
            lab.both(|host| host.errors.is_empty() && host.peer.signaling_state() == SignalingState::Stable)
        );
    }
}

#[test]
fn restart_takes_new_credentials_and_keeps_the_connection() {
    for restarter in [ALICE, BOB] {
        let mut lab = Lab::homes([Nat::PORT; 2], &with_turn(), 0.0, 5);
        lab.open(ALICE, "chat", DataChannelInit::default());
        assert!(lab.run_until(SECOND * 10, Lab::connected));
        lab.run_for(SECOND * 3);
        let ufrag = |lab: &Lab, index: usize| {
            let sdp = lab.peer(index).peer.local_description().unwrap().sdp;
            sdp.lines().find(|line| line.starts_with("a=ice-ufrag")).unwrap().to_owned()
        };
        let old = [ufrag(&lab, ALICE), ufrag(&lab, BOB)];
        lab.with(restarter, |host, now| host.peer.restart_ice(now));
        lab.run_for(SECOND * 10);
        assert_ne!(ufrag(&lab, ALICE), old[ALICE]);
        assert_ne!(ufrag(&lab, BOB), old[BOB]);
        assert!(lab.connected(), "{:?}", lab.peer(ALICE).states);
        assert!(lab.both(|host| host.errors.is_empty()));
        // It was negotiated once, not again and again.
        let stable = Event::SignalingState(SignalingState::Stable);
        assert_eq!(lab.peer(ALICE).events.iter().filter(|event| **event == stable).count(), 2);
    }
}

#[test]
fn same_seed_gives_the_same_packets() {
    let run = |seed| {
        let mut lab = Lab::homes([Nat::PORT, Nat::SYMMETRIC], &with_turn(), 0.1, seed);
        lab.open(ALICE, "chat", DataChannelInit::default());
        assert!(lab.run_until(SECOND * 60, Lab::connected));
        lab.run_for(SECOND * 30);
        (lab.network.stats().sent, lab.network.stats().delivered)
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn client_hello_before_the_answer_is_kept() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 6);
    lab.answer_delay = Some(Duration::from_millis(930));
    lab.open(ALICE, "chat", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 5, |lab| {
        lab.peer(ALICE).peer.signaling_state() == SignalingState::Stable
            && lab.peer(ALICE).peer.remote_description().is_some()
    }));
    // From the answer on one round trip of 40 ms for a valid pair, and one for DTLS; the
    // ClientHello would be repeated much later.
    assert!(lab.run_until(Duration::from_millis(100), Lab::connected), "{}", lab.network.trace());
}

#[test]
fn channel_opens_after_the_least_number_of_round_trips() {
    for seed in 0..20 {
        let mut lab = Lab::lan(&Configuration::default(), 0.0, seed);
        let channel = lab.open(ALICE, "chat", DataChannelInit::default());
        assert!(lab.run_until(SECOND * 5, |lab| lab.peer(ALICE).peer.remote_description().is_some()));
        let answered = lab.network.elapsed();
        assert!(lab.run_until(SECOND * 5, |lab| lab.peer(ALICE).open.contains(&channel)));
        // Three round trips of 40 ms for what is left of the checks, DTLS, and SCTP with the
        // channel's opening: no timer fires, and nothing waits for what it does not need.
        let taken = lab.network.elapsed() - answered;
        assert!(taken <= Duration::from_millis(3 * 40 + 1), "seed {seed}: {taken:?}");
    }
}

#[test]
fn candidate_pool_is_used_by_the_first_description() {
    let mut configuration = Configuration { ice_candidate_pool_size: 2, ..with_turn() };
    let mut lab = Lab::homes([Nat::PORT; 2], &configuration, 0.0, 7);
    for index in [ALICE, BOB] {
        lab.with(index, |_, _| ());
    }
    lab.run_for(SECOND * 2);
    assert_eq!(lab.allocations(), 2);
    let heard = |host: &crate::lab::PeerHost| {
        let all = host.events.iter();
        all.filter(|event| matches!(event, Event::IceCandidate(_) | Event::IceGatheringState(_))).count()
    };
    assert!(lab.both(|host| heard(host) == 0 && host.peer.ice_gathering_state() == IceGatheringState::New));
    // Other servers, another pool.
    configuration.ice_servers[0].urls = vec!["stun:5.0.0.1".to_owned()];
    lab.with(BOB, |host, now| host.peer.set_configuration(now, configuration.clone()).unwrap());
    lab.run_for(SECOND);
    assert_eq!(lab.allocations(), 1);
    lab.open(ALICE, "chat", DataChannelInit::default());
    let alice = &lab.peer(ALICE).peer;
    assert!(alice.local_description().unwrap().sdp.contains("typ relay"), "it is there at once");
    assert_eq!(alice.ice_gathering_state(), IceGatheringState::Complete);
    assert!(lab.run_until(SECOND * 10, Lab::connected), "{}", lab.network.trace());
    let refused = lab.with(ALICE, |host, now| {
        let smaller = Configuration { ice_candidate_pool_size: 0, ..with_turn() };
        host.peer.set_configuration(now, smaller)
    });
    assert!(matches!(refused, Err(Error::InvalidConfiguration { .. })));
    let same = Configuration { ice_candidate_pool_size: 2, ..Configuration::default() };
    assert_eq!(lab.with(ALICE, |host, now| host.peer.set_configuration(now, same)), Ok(()));
}
