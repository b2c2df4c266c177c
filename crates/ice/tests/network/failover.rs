//! Paths that die before any other one is known to work.

use std::time::Duration;

use columba_ice::{CandidateKind, Config, State};
use columba_netsim::{InterfaceId, Link, Loss, Nat};

use crate::connecting::behind;
use crate::lab::{ALICE, BOB, Lab, ip};

const SECOND: Duration = Duration::from_secs(1);

/// Two networks in common, of which nothing passes in the second; and the interfaces there.
fn with_dead_reserve(round_trip: Duration, seed: u64) -> (Lab, Vec<InterfaceId>) {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], round_trip, seed);
    let other = lab.network.add_zone();
    let mut reserve = Vec::new();
    for (index, address) in ["10.1.0.1", "10.1.0.2"].into_iter().enumerate() {
        reserve.push(lab.network.attach(
            lab.peers[index],
            other,
            ip(address),
            Link::with_delay(round_trip / 4),
        ));
        lab.with(index, |host, _| host.addresses.push(ip(address).into()));
    }
    lose(&mut lab, &reserve, 1.0);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    (lab, reserve)
}

fn lose(lab: &mut Lab, interfaces: &[InterfaceId], loss: f64) {
    for interface in interfaces {
        lab.network.change_link(*interface, |out, into| {
            out.loss = Loss::Random(loss);
            into.loss = Loss::Random(loss);
        });
    }
}

/// Both send until it holds, for that long at the most; how long it took.
fn talk_until(lab: &mut Lab, limit: Duration, done: impl Fn(&Lab) -> bool) -> Duration {
    let start = lab.network.now();
    while !done(lab) && lab.network.now() - start < limit {
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| host.send(now, b"\x80coo"));
        }
        lab.run_for(Duration::from_millis(20));
    }
    lab.network.now() - start
}

fn moved(lab: &Lab) -> bool {
    lab.both(|host| {
        host.selected.last().is_some_and(|pair| pair.path.local.ip().to_string().starts_with("10.1."))
    })
}

/// The other path begins to work in the moment in which the one in use ceases to: its checks may be
/// just under way, far apart from one another by then, or given up long ago.
#[test]
fn failed_pair_is_checked_again_when_the_active_one_dies() {
    for round_trip in [2, 20, 100, 300] {
        let round_trip = Duration::from_millis(round_trip);
        for (seed, after) in
            [0, 50, 500, 3_000, 9_000, 20_000, 39_000, 60_000, 200_000].into_iter().enumerate()
        {
            let (mut lab, reserve) = with_dead_reserve(round_trip, seed as u64);
            // Data always flows: the silence is noticed soon.
            talk_until(&mut lab, Duration::from_millis(after), |_| false);
            lab.cut(1.0);
            lose(&mut lab, &reserve, 0.0);
            let took = talk_until(&mut lab, SECOND * 8, moved).saturating_sub(round_trip * 3 / 2);
            assert!(took <= SECOND * 2, "{round_trip:?}, {after}: {took:?}\n{}", lab.network.trace());
            assert!(lab.both(|host| host.restarts_wanted == 0), "{round_trip:?}, {after}");
            assert!(lab.connected() && lab.exchanges_data());
        }
    }
}

/// Neither path works: who has another one to try does not ask for a restart much later than who
/// has none.
#[test]
fn dead_alternatives_do_not_delay_the_restart_request() {
    for (seed, after) in [0, 500, 9_000, 60_000].into_iter().enumerate() {
        let (mut lab, _) = with_dead_reserve(Duration::from_millis(20), seed as u64);
        talk_until(&mut lab, Duration::from_millis(after), |_| false);
        lab.cut(1.0);
        let took = talk_until(&mut lab, SECOND * 8, |lab| lab.both(|host| host.restarts_wanted > 0));
        assert!(took <= SECOND * 2 + Duration::from_millis(20), "{after}: {took:?}");
    }
}

/// Failed pairs are tried again for a short while, once a minute at the most: not at each lost
/// packet.
#[test]
fn failed_pairs_are_retried_once_a_minute_at_most() {
    let (mut lab, _) = with_dead_reserve(Duration::from_millis(20), 1);
    lab.run_for(SECOND * 60);
    lab.cut(0.1);
    let checks = |lab: &Lab| -> u64 {
        let stats = lab.peer(ALICE).agent.stats();
        let failed = stats.pairs.iter().filter(|pair| pair.counters.responses_received == 0);
        failed.map(|pair| pair.counters.requests_sent + pair.counters.retransmissions_sent).sum()
    };
    let before = checks(&lab);
    lab.with(ALICE, |host, _| host.states.clear());
    talk_until(&mut lab, SECOND * 600, |_| false);
    let checked = checks(&lab) - before;
    // Three pairs, each ten times at the most, for two seconds.
    assert!((1..=300).contains(&checked), "{checked} checks of pairs that have failed, in ten minutes");
    assert_eq!(lab.peer(ALICE).states, [], "no change of state");
}

/// The interface in use is taken away before the other path has answered.
#[test]
fn pair_under_check_replaces_a_vanished_interface() {
    for (seed, after) in [0, 500, 9_000, 60_000].into_iter().enumerate() {
        for index in [ALICE, BOB] {
            let (mut lab, reserve) = with_dead_reserve(Duration::from_millis(20), seed as u64);
            talk_until(&mut lab, Duration::from_millis(after), |_| false);
            lose(&mut lab, &reserve, 0.0);
            let gone = lab.interfaces[index];
            lab.network.set_up(gone, false);
            let took = talk_until(&mut lab, SECOND * 8, moved);
            assert!(took <= SECOND * 2, "{index}, {after}: {took:?}\n{}", lab.network.trace());
            assert_eq!(lab.peer(index).restarts_wanted, 0, "{index}, {after}");
            assert!(lab.connected() && lab.exchanges_data());
            assert!(!lab.peer(index).states.contains(&State::Failed));
        }
    }
}

/// Bob's check is quicker than his candidate: Alice discovers it at one of her interfaces. Behind
/// the other one she cannot be reached, so that she must check from there herself.
#[test]
fn signalled_candidate_that_was_discovered_first_gets_all_pairs() {
    for seed in 0..10 {
        let mut lab = Lab::new(seed);
        let link = Link::with_delay(Duration::from_millis(5));
        lab.add_peer(lab.internet, "203.0.113.1", Config::default(), link.clone());
        lab.add_peer(lab.internet, "203.0.113.2", Config::default(), link.clone());
        let home = lab.add_home(behind("198.51.100.1", Nat::PORT));
        lab.network.attach(lab.peers[ALICE], home, ip("192.168.0.7"), link);
        lab.with(ALICE, |host, _| host.addresses.push(ip("192.168.0.7").into()));
        lab.with(ALICE, |host, now| host.gather(now));
        lab.signal_description(ALICE, BOB);
        lab.run_for(lab.delay + Duration::from_millis(5));
        lab.with(BOB, |host, now| host.gather(now));
        let late = lab.with(BOB, |host, _| std::mem::take(&mut host.candidates));
        lab.signal_description(BOB, ALICE);
        assert!(lab.run_until(SECOND * 3, Lab::settled), "{}", lab.network.trace());
        let kind = lab.peer(ALICE).selected.last().map(|pair| pair.remote.kind);
        assert_eq!(kind, Some(CandidateKind::PeerReflexive), "the check came first");
        assert!(!late.is_empty());
        for (_, candidate) in late {
            lab.with(ALICE, |host, now| host.agent.add_remote_candidate(now, candidate));
        }
        lab.run_for(SECOND * 2);
        let used = lab.interfaces[ALICE];
        lose(&mut lab, &[used], 1.0);
        let inner = ip("192.168.0.7");
        let moved =
            |lab: &Lab| lab.peer(ALICE).selected.last().is_some_and(|pair| pair.path.local.ip() == inner);
        let took = talk_until(&mut lab, SECOND * 8, moved);
        assert!(took <= SECOND * 2, "seed {seed}: {took:?}\n{}", lab.network.trace());
        assert!(lab.both(|host| host.restarts_wanted == 0));
        assert!(lab.connected() && lab.exchanges_data());
    }
}
