//! Statistics, compared with an exchange in which each message is known.

use std::net::SocketAddr;
use std::time::Duration;

use columba_ice::{
    CandidateKind, CandidatePairStats, Config, HEADROOM, PairState, Received, Role, State, TAILROOM, Timings,
};

use crate::hostile::candidate;
use crate::scripted::{Check, ScriptedPeer};

const MS: Duration = Duration::from_millis(1);

fn pair(stranger: &ScriptedPeer, remote: SocketAddr) -> CandidatePairStats {
    let stats = stranger.agent.stats();
    let found = stats.pairs.iter().find(|pair| pair.path.is_some_and(|path| path.remote == remote));
    found.unwrap().clone()
}

fn send(stranger: &mut ScriptedPeer, bytes: usize) {
    let mut buffer = vec![0x80; HEADROOM + bytes + TAILROOM];
    stranger.agent.prepare(stranger.now, &mut buffer, HEADROOM..HEADROOM + bytes, None).unwrap();
    stranger.drain();
}

/// A controlling agent with one candidate of the other side's, before anything is answered.
fn asked() -> (ScriptedPeer, SocketAddr) {
    let timings = Timings { burst: 0, patience: MS * 100_000, ..Timings::default() };
    let mut stranger = ScriptedPeer::with_remote(Config { timings, ..Config::default() });
    let remote = candidate("198.51.100.1", 1);
    let address = remote.socket_address().unwrap();
    stranger.add(remote);
    (stranger, address)
}

#[test]
fn messages_and_bytes_of_a_pair_are_counted_once() {
    let (mut stranger, remote) = asked();
    let first = stranger.take().remove(0);
    let stats = pair(&stranger, remote);
    assert_eq!((stats.state, stats.nominated), (PairState::InProgress, false));
    assert_eq!((stats.counters.requests_sent, stats.counters.responses_received), (1, 0));
    assert_eq!(stats.counters.current_round_trip_time, None);

    stranger.pass(MS * 30);
    stranger.answer(&first, first.path.local);
    let stats = pair(&stranger, remote);
    assert_eq!((stats.state, stats.nominated), (PairState::Succeeded, false));
    assert_eq!(stats.counters.responses_received, 1);
    assert_eq!(stats.counters.current_round_trip_time, Some(MS * 30));

    let second = stranger.take().remove(0);

    // The other side's check.
    stranger.check(remote, &Check::default());
    let stats = pair(&stranger, remote);
    assert_eq!((stats.counters.requests_received, stats.counters.responses_sent), (1, 1));
    assert_eq!(stranger.take().len(), 1, "the answer");

    // The nomination, and once more, because the other side may have had no credentials when the
    // first one came.
    for (nomination, answers, total) in [(Some(second), 2, MS * 80), (None, 3, MS * 130)] {
        let nomination = nomination.unwrap_or_else(|| stranger.take().remove(0));
        assert!(nomination.nominates());
        stranger.pass(MS * 50);
        stranger.answer(&nomination, nomination.path.local);
        let stats = pair(&stranger, remote);
        assert!(stats.nominated);
        assert_eq!((stats.counters.requests_sent, stats.counters.responses_received), (3, answers));
        assert_eq!(stats.counters.retransmissions_sent, 0);
        assert_eq!(stats.counters.current_round_trip_time, Some(MS * 50));
        assert_eq!(stats.counters.total_round_trip_time, total);
    }

    // Data: 3 packets of 100 bytes out, 2 of 60 bytes in.
    let mut last_sent = stranger.now;
    for _ in 0..3 {
        stranger.pass(MS * 7);
        last_sent = stranger.now;
        send(&mut stranger, 100);
    }
    stranger.pass(MS * 11);
    for _ in 0..2 {
        assert!(matches!(stranger.deliver(remote, vec![0x80; 60]), Received::Data { .. }));
    }
    let last_received = stranger.now;
    stranger.pass(MS * 10);
    let (transport, counters) = (stranger.agent.stats().transport, pair(&stranger, remote).counters);
    assert_eq!((counters.packets_sent, counters.bytes_sent), (3, 300));
    assert_eq!((counters.packets_received, counters.bytes_received), (2, 120));
    assert_eq!(counters.last_packet_sent, Some(last_sent));
    assert_eq!(counters.last_packet_received, Some(last_received));
    assert_eq!((transport.packets_sent, transport.bytes_sent), (3, 300));
    assert_eq!((transport.packets_received, transport.bytes_received), (2, 120));
    assert_eq!((transport.role, transport.selected_pair_changes), (Role::Controlling, 1));
    assert_eq!(transport.selected_pair, Some(pair(&stranger, remote).id));
    assert_eq!(transport.local_username_fragment, &*stranger.agent.local_credentials().ufrag);
    assert_eq!(transport.state, State::Connected);

    // Consent: its checks are counted apart, its answers with the others (RFC 7675).
    stranger.pass(MS * 4000);
    while stranger.sent.is_empty() {
        stranger.pass(MS);
    }
    let third = stranger.take().remove(0);
    stranger.pass(third.at + MS * 40 - stranger.now);
    stranger.answer(&third, third.path.local);
    let counters = pair(&stranger, remote).counters;
    assert_eq!((counters.consent_requests_sent, counters.requests_sent), (1, 3));
    assert_eq!(counters.responses_received, 4);
    assert_eq!(counters.current_round_trip_time, Some(MS * 40));
    assert_eq!(counters.total_round_trip_time, MS * 170);
    assert_eq!(counters.retransmissions_sent, 0);
}

/// It is not known which copy of a repeated request was answered: it measures nothing (Karn).
#[test]
fn retransmissions_are_counted_and_not_measured() {
    let (mut stranger, remote) = asked();
    stranger.pass(MS * 320);
    let sent = stranger.take();
    assert_eq!(sent.len(), 3, "after 150 and 300 ms");
    assert!(sent.windows(2).all(|two| two[0].bytes == two[1].bytes));
    stranger.answer(&sent[2], sent[2].path.local);
    let counters = pair(&stranger, remote).counters;
    assert_eq!((counters.requests_sent, counters.retransmissions_sent), (2, 2), "and the nomination");
    assert_eq!((counters.responses_received, counters.current_round_trip_time), (1, None));
    assert_eq!(counters.total_round_trip_time, Duration::ZERO);
}

#[test]
fn priorities_states_and_candidates_are_reported() {
    let (mut stranger, remote) = asked();
    let stats = stranger.agent.stats();
    let one = pair(&stranger, remote);
    let local = stats.local_candidates.iter().find(|local| local.id == one.local).unwrap();
    let other = stats.remote_candidates.iter().find(|other| other.id == one.remote).unwrap();
    assert_eq!((other.candidate.priority, other.candidate.socket_address()), (1_000_001, Some(remote)));
    assert_eq!(local.candidate.priority, (126 << 24) + (u32::from(u16::MAX - 1) << 8) + 255);
    let (g, d) = (u64::from(local.candidate.priority), u64::from(other.candidate.priority));
    assert_eq!(one.priority, (g.min(d) << 32) + 2 * g.max(d) + u64::from(g > d));
    stranger.agent.set_role(Role::Controlled);
    assert_eq!(
        pair(&stranger, remote).priority,
        one.priority - 1,
        "the other side's is now the controlling one's"
    );
    stranger.agent.set_role(Role::Controlling);

    // No answers: each pair of five has its state.
    for number in 2..=5 {
        stranger.add(candidate(&format!("198.51.100.{number}"), number));
    }
    let state = |stranger: &ScriptedPeer, number: u32| {
        let candidate = candidate(&format!("198.51.100.{number}"), number);
        pair(stranger, candidate.socket_address().unwrap()).state
    };
    assert_eq!(state(&stranger, 2), PairState::Waiting);
    stranger.pass(MS * 300);
    assert!((1..=5).all(|number| state(&stranger, number) == PairState::InProgress));
    stranger.pass(MS * 39_400);
    assert!((1..=5).all(|number| state(&stranger, number) == PairState::Failed));

    // What the other side has seen as the local candidate is told as the pair's, once that is
    // known.
    stranger.take();
    let again = candidate("198.51.100.9", 9);
    let address = again.socket_address().unwrap();
    stranger.add(again);
    let check = stranger.take().remove(0);
    let mapped: SocketAddr = "203.0.113.50:777".parse().unwrap();
    stranger.answer(&check, mapped);
    let stats = stranger.agent.stats();
    let one = pair(&stranger, address);
    let local = stats.local_candidates.iter().find(|local| local.id == one.local).unwrap();
    assert_eq!(
        (local.candidate.kind, local.candidate.socket_address()),
        (CandidateKind::PeerReflexive, Some(mapped))
    );
}
