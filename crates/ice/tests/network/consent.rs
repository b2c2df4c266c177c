//! Paths are kept, left and lost (RFC 7675).

use std::time::Duration;

use columba_ice::{CandidateKind, CandidatePairStats, Config, PairState, State};
use columba_netsim::{Dependence, Link, Nat};

use crate::connecting::behind;
use crate::lab::{ALICE, BOB, Lab, with_stun, with_turn};

const SECOND: Duration = Duration::from_secs(1);

fn lan(seed: u64) -> Lab {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), seed);
    lab.start();
    assert!(lab.run_until(SECOND * 2, Lab::settled), "{}", lab.network.trace());
    lab
}

#[test]
fn silence_leads_to_disconnected_then_failed_and_ends_sending() {
    let mut lab = lan(1);
    lab.cut(1.0);
    assert!(lab.run_until(SECOND * 12, |lab| lab.both(|host| host.agent.state() == State::Disconnected)));
    assert!(lab.run_until(SECOND * 40, |lab| lab.both(|host| host.agent.state() == State::Failed)));
    assert!(lab.both(|host| host.restarts_wanted == 1));
    let sent = lab.network.stats().sent;
    lab.run_for(SECOND * 60);
    assert_eq!(lab.network.stats().sent, sent);
    lab.with(ALICE, |host, now| host.send(now, b"\x80coo"));
    assert_eq!(lab.peer(ALICE).unsent, 1, "no consent, no data");
}

#[test]
fn recovered_path_is_connected_again() {
    let mut lab = lan(2);
    lab.cut(1.0);
    assert!(lab.run_until(SECOND * 12, |lab| lab.both(|host| host.agent.state() == State::Disconnected)));
    lab.cut(0.0);
    assert!(lab.run_until(SECOND * 3, Lab::connected));
    assert!(lab.exchanges_data());
}

/// A restart is asked for each time that the path dies, and no longer once it has come back.
#[test]
fn restart_is_wanted_as_long_as_the_path_is_dead() {
    let mut lab = lan(2);
    for deaths in 1..=3 {
        lab.cut(1.0);
        assert!(
            lab.run_until(SECOND * 12, |lab| lab.both(|host| host.restarts_wanted == deaths)),
            "{deaths}"
        );
        assert!(lab.both(|host| host.agent.wants_restart()));
        lab.run_for(SECOND * 2);
        assert!(lab.both(|host| host.agent.wants_restart() && host.restarts_wanted == deaths));
        lab.cut(0.0);
        assert!(lab.run_until(SECOND * 5, |lab| lab.both(|host| !host.agent.wants_restart())), "{deaths}");
        assert!(lab.connected() && lab.exchanges_data());
    }
    lab.cut(1.0);
    assert!(lab.run_until(SECOND * 60, |lab| lab.both(|host| host.agent.state() == State::Failed)));
    assert!(lab.both(|host| host.agent.wants_restart() && host.restarts_wanted == 4));
}

#[test]
fn consent_sends_one_request_in_five_seconds() {
    let mut lab = lan(3);
    lab.run_for(SECOND * 5);
    let before = lab.network.stats().sent;
    lab.run_for(SECOND * 600);
    let sent = lab.network.stats().sent - before;
    // Two sides, a request and a response each, every five seconds.
    assert!((400..=600).contains(&sent), "{sent} packets in ten minutes");
    assert!(lab.connected());
}

#[test]
fn restart_keeps_the_old_path_until_a_new_pair_is_nominated() {
    let mut lab = lan(4);
    let old = lab.peer(ALICE).parameters();
    lab.with(ALICE, |host, now| host.agent.restart(now, None));
    assert_ne!(lab.peer(ALICE).parameters(), old);
    assert!(lab.exchanges_data(), "the old path still carries data");
    lab.with(BOB, |host, now| host.agent.restart(now, None));
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| {
            host.selected.clear();
            host.agent.gather(now);
        });
    }
    lab.signal_description(ALICE, BOB);
    lab.run_for(Duration::from_millis(100));
    assert!(lab.exchanges_data());
    lab.signal_description(BOB, ALICE);
    assert!(lab.run_until(SECOND * 2, |lab| lab.both(|host| !host.selected.is_empty())));
    assert!(lab.run_until(SECOND * 2, Lab::settled));
    assert!(lab.exchanges_data());
    assert!(lab.both(|host| !host.states.contains(&State::Disconnected)));
    lab.run_for(SECOND * 60);
    assert!(lab.connected());
}

#[test]
fn restart_revives_a_failed_agent() {
    let mut lab = lan(5);
    lab.cut(1.0);
    assert!(lab.run_until(SECOND * 60, |lab| lab.both(|host| host.agent.state() == State::Failed)));
    lab.cut(0.0);
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| {
            host.agent.restart(now, None);
            host.agent.gather(now);
        });
    }
    lab.signal_description(ALICE, BOB);
    lab.signal_description(BOB, ALICE);
    assert!(lab.run_until(SECOND * 3, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
}

#[test]
fn relayed_path_is_kept_past_all_lifetimes_at_the_server() {
    let routers = [behind("198.51.100.1", Nat::SYMMETRIC), behind("198.51.100.2", Nat::SYMMETRIC)];
    let mut lab = Lab::two_homes(routers, &with_turn(), 6);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    for _ in 0..12 {
        lab.run_for(SECOND * 150);
        assert!(lab.connected() && lab.exchanges_data(), "{}", lab.network.trace());
    }
    assert!(lab.both(|host| host.restarts_wanted == 0));
}

#[test]
fn dead_path_is_replaced_within_two_seconds() {
    for (seed, round_trip) in [20, 20, 100, 300, 500, 650, 800, 1000].into_iter().enumerate() {
        for phase in 0..3 {
            let seed = seed as u64 + 1;
            let mut lab = Lab::two_lans(&Config::default(), Duration::from_millis(round_trip), seed);
            lab.start();
            assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
            lab.run_for(SECOND * 3);
            let used = lab.peer(ALICE).selected.last().unwrap().path.local.ip();
            assert_eq!(used, crate::lab::ip("10.0.0.1"), "the first interface is preferred");
            let talk = |lab: &mut Lab| {
                for index in [ALICE, BOB] {
                    lab.with(index, |host, now| host.send(now, b"\x80coo"));
                }
                lab.run_for(Duration::from_millis(20));
            };
            for _ in 0..50 + 20 * phase {
                talk(&mut lab);
            }
            lab.cut(1.0);
            let start = lab.network.now();
            let moved = |lab: &Lab| {
                lab.both(|host| host.selected.last().is_some_and(|pair| pair.path.local.ip() != used))
            };
            let one_way = Duration::from_millis(round_trip / 2);
            while !moved(&lab) && lab.network.now() < start + SECOND * 8 {
                talk(&mut lab);
            }
            // One side leaves it; for the other to know takes another way over the network, and the
            // answer back as much.
            let took = (lab.network.now() - start).saturating_sub(3 * one_way);
            assert!(took <= SECOND * 2, "{round_trip} ms: {took:?}\n{}", lab.network.trace());
            assert!(lab.connected());
            assert!(lab.both(|host| host.restarts_wanted == 0), "{round_trip} ms");
        }
    }
}

#[test]
fn same_address_in_another_network_gets_new_candidates() {
    let mut lab = lan(7);
    let port = |lab: &Lab| lab.peer(ALICE).selected.last().map(|pair| pair.path.local.port());
    let before = port(&lab);
    lab.with(ALICE, |host, now| {
        host.addresses[0].network = 7;
        let addresses = host.addresses.clone();
        host.agent.handle_network_change(now, &addresses);
        host.selected.clear();
    });
    assert!(lab.run_until(SECOND * 2, |lab| lab.settled() && !lab.peer(ALICE).selected.is_empty()));
    assert_ne!(port(&lab), before);
    assert!(lab.exchanges_data());
}

#[test]
fn long_round_trips_do_not_break_consent() {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(1300), 7);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    lab.run_for(SECOND * 120);
    assert!(lab.connected(), "{}", lab.network.trace());
    assert!(lab.both(|host| !host.states.contains(&State::Disconnected)), "{:?}", lab.peer(ALICE).states);
    assert!(lab.both(|host| host.restarts_wanted == 0));
}

/// The answer comes late, and the relay is the only way in.
#[test]
fn relay_survives_a_nat_with_short_mapping_timeout() {
    let nat = Nat { timeout: SECOND * 30, ..Nat::SYMMETRIC };
    let mut lab = Lab::new(8);
    for (outer, config) in [("198.51.100.1", with_turn()), ("198.51.100.2", with_stun())] {
        let home = lab.add_home(behind(outer, nat));
        lab.add_peer(home, "192.168.0.7", config, Link::with_delay(Duration::from_millis(10)));
    }
    lab.with(ALICE, |host, now| host.gather(now));
    lab.run_for(SECOND * 100);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
    let relays = lab.peer(ALICE).found.iter().filter(|one| one.kind == CandidateKind::Relayed);
    assert_eq!(relays.count(), 1, "it is the same allocation still");
}

/// The server relays to no private address; after a restart the relay still knows that.
#[test]
fn pairs_refused_by_the_relay_are_removed() {
    let routers = [behind("198.51.100.1", Nat::SYMMETRIC), behind("198.51.100.2", Nat::SYMMETRIC)];
    let mut lab = Lab::two_homes(routers, &with_turn(), 10);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.agent.restart(now, None));
    }
    lab.start();
    lab.run_for(SECOND * 60);
    assert!(lab.settled());
    let waits = |pair: &CandidatePairStats| matches!(pair.state, PairState::Waiting | PairState::Frozen);
    assert!(lab.both(|host| !host.agent.stats().pairs.iter().any(waits)));
    assert!(lab.both(|host| host.agent.state() == State::Completed));
}

/// Each side sees every check of the other's come from a new port, and answers from a new port of
/// its own.
#[test]
fn unreachable_symmetric_nats_cause_bounded_traffic() {
    let kind = Nat { filtering: Dependence::EndpointIndependent, ..Nat::SYMMETRIC };
    let mut lab =
        Lab::two_homes([behind("198.51.100.1", kind), behind("198.51.100.2", kind)], &with_turn(), 9);
    lab.start();
    for (seconds, messages) in [(60, 600), (300, 900)] {
        lab.run_for(SECOND * seconds);
        for index in [ALICE, BOB] {
            let peer = lab.peer(index);
            assert!(peer.wire.busiest < 80, "{} checks in a second", peer.wire.busiest);
            assert!(peer.wire.messages < messages, "{} messages", peer.wire.messages);
            assert!(peer.agent.stats().pairs.len() < 15);
        }
    }
}

/// Alice leaves her network, without a message to Bob, and comes into another one: a phone that
/// goes out of the house. Both send all the while.
#[test]
fn new_interface_carries_data_within_a_second() {
    let step = Duration::from_millis(10);
    for (seed, mover, gap, idle) in [
        (1, ALICE, Duration::ZERO, Duration::ZERO),
        (2, BOB, Duration::ZERO, Duration::ZERO),
        (3, ALICE, SECOND / 2, Duration::ZERO),
        (4, BOB, SECOND / 2, Duration::ZERO),
        (5, ALICE, SECOND * 4, Duration::ZERO),
        (6, BOB, SECOND * 4, Duration::ZERO),
        (7, ALICE, Duration::ZERO, SECOND * 20),
        (8, BOB, Duration::ZERO, SECOND * 20),
    ] {
        let routers = [behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT)];
        let mut lab = Lab::two_homes(routers, &with_stun(), seed);
        // What a candidate takes from one side to the other.
        lab.delay = Duration::from_millis(100);
        lab.start();
        assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
        lab.run_for(SECOND * 3 + idle);
        let talk = |lab: &mut Lab, time: Duration, word: &[u8]| {
            for _ in 0..time.as_millis() / step.as_millis() {
                for index in [ALICE, BOB] {
                    lab.with(index, |host, now| host.send(now, word));
                }
                lab.run_for(step);
            }
        };
        if idle.is_zero() {
            talk(&mut lab, SECOND * 2, b"\x80old");
        }
        let old = lab.interfaces[mover];
        lab.network.set_up(old, false);
        talk(&mut lab, gap, b"\x80old");
        let next = lab.add_home(behind("198.51.100.3", Nat::PORT));
        let new = lab.network.attach(
            lab.peers[mover],
            next,
            crate::lab::ip("172.16.0.7"),
            Link::with_delay(Duration::from_millis(10)),
        );
        lab.network.set_up(new, true);
        let appeared = lab.network.now();
        for index in [ALICE, BOB] {
            lab.with(index, |host, _| host.received.clear());
        }
        let mut took = [None; 2];
        while took.iter().any(Option::is_none) && lab.network.now() - appeared < SECOND * 5 {
            talk(&mut lab, step, b"\x80new");
            for index in [ALICE, BOB] {
                if took[index].is_none() && lab.peer(index).received.iter().any(|data| data == b"\x80new") {
                    took[index] = Some(lab.network.now() - appeared);
                }
            }
        }
        assert!(
            took.iter().all(|took| took.is_some_and(|took| took <= SECOND)),
            "seed {seed}: {took:?}\n{}",
            lab.network.trace()
        );
        let used = lab.peer(mover).selected.last().unwrap().path.local.ip();
        assert_eq!(used, crate::lab::ip("172.16.0.7"));
        assert!(lab.connected());
    }
}

/// Without another path, or without leave to take it, the application is asked for a restart: as
/// soon as the path is known to be dead.
#[test]
fn restart_is_requested_within_two_seconds_without_alternatives() {
    for (renomination, round_trip) in [
        (true, 20),
        (true, 100),
        (true, 300),
        (true, 500),
        (true, 600),
        (true, 800),
        (true, 1000),
        (false, 20),
        (false, 300),
        (false, 1000),
    ] {
        let config = Config { renomination, ..Config::default() };
        let round_trip = Duration::from_millis(round_trip);
        let mut lab = if renomination {
            Lab::one_lan([config.clone(), config], round_trip, 12)
        } else {
            // There is a living path, which may not be taken.
            Lab::two_lans(&config, round_trip, 12)
        };
        lab.start();
        assert!(lab.run_until(SECOND * 6, Lab::settled));
        lab.run_for(SECOND * 10);
        lab.cut(1.0);
        let start = lab.network.now();
        while lab.both(|host| host.restarts_wanted == 0) && lab.network.now() - start < SECOND * 5 {
            lab.with(ALICE, |host, now| host.send(now, b"\x80coo"));
            lab.run_for(Duration::from_millis(20));
        }
        let took = lab.network.now() - start;
        assert!(took <= SECOND * 2, "{renomination}, {round_trip:?}: {took:?}");
    }
}

/// However much is sent into silence, the path is asked one question at a time.
#[test]
fn silent_path_gets_a_bounded_number_of_checks() {
    let mut lab = lan(13);
    lab.run_for(SECOND * 10);
    lab.cut(1.0);
    let asked = |lab: &Lab| -> u64 {
        let stats = lab.peer(ALICE).agent.stats();
        stats.pairs.iter().map(|pair| pair.counters.consent_requests_sent).sum()
    };
    let before = asked(&lab);
    for _ in 0..1000 {
        lab.with(ALICE, |host, now| host.send(now, b"\x80coo"));
        lab.run_for(Duration::from_millis(1));
    }
    let questions = asked(&lab) - before;
    assert!((2..=4).contains(&questions), "{questions} questions in a second");
}

/// Many paths to one peer, of which only the best few are kept alive: when the peer is gone, none
/// of them passes for a living one.
#[test]
fn vanished_peer_is_never_reported_connected() {
    for seed in 11..16 {
        let mut lab = Lab::new(seed);
        let lan = lab.network.add_zone();
        for side in 1..=2 {
            let link = Link::with_delay(Duration::from_millis(5));
            lab.add_peer(lan, &format!("10.0.0.{side}"), Config::default(), link.clone());
            let index = side - 1;
            for more in 1..=2 {
                let address = crate::lab::ip(&format!("10.0.{more}.{side}"));
                let interface = lab.network.attach(lab.peers[index], lan, address, link.clone());
                lab.interfaces.push(interface);
                lab.with(index, |host, _| host.addresses.push(address.into()));
            }
        }
        lab.start();
        assert!(lab.run_until(SECOND * 3, Lab::settled), "{}", lab.network.trace());
        lab.run_for(SECOND * 8);
        lab.cut(1.0);
        lab.with(ALICE, |host, _| host.states.clear());
        lab.run_until(SECOND * 70, |lab| lab.peer(ALICE).agent.state() == State::Failed);
        let states = &lab.peer(ALICE).states;
        assert_eq!(*states, [State::Disconnected, State::Failed], "seed {seed}");
    }
}
