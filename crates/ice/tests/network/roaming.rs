//! A peer behind a relay comes into another network, and the relayed address stays (RFC 8016).

use std::time::Duration;

use columba_ice::{CandidateKind, Config, ServerKind, State, Transport, TransportPolicy};
use columba_netsim::{InterfaceId, Link, Loss, Nat};

use crate::connecting::behind;
use crate::lab::{ALICE, BOB, Lab, ip, servers, with_stun};
use crate::server::PORT;

const SECOND: Duration = Duration::from_secs(1);
const HOME: &str = "192.168.0.7";
const ELSEWHERE: &str = "10.20.0.9";

/// Only its relay is used.
fn relayed(transport: Transport) -> Config {
    Config {
        servers: vec![servers(ServerKind::Turn, transport, PORT)],
        policy: TransportPolicy::Relay,
        ..Config::default()
    }
}

/// Alice talks through her relay from home, and has another network that is not up yet.
fn world(config: Config, seed: u64) -> (Lab, InterfaceId) {
    let mut lab = Lab::new(seed);
    let home = lab.add_home(behind("198.51.100.1", Nat::SYMMETRIC));
    lab.add_peer(home, HOME, config, Link::with_delay(Duration::from_millis(10)));
    let other = lab.add_home(behind("198.51.100.2", Nat::SYMMETRIC));
    lab.add_peer(other, HOME, with_stun(), Link::with_delay(Duration::from_millis(10)));
    let mobile = lab.add_home(behind("198.51.100.3", Nat::SYMMETRIC));
    let host = lab.peers[ALICE];
    let second = lab.network.attach(host, mobile, ip(ELSEWHERE), Link::with_delay(Duration::from_millis(25)));
    lab.network.set_up(second, false);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    assert_eq!(lab.kinds()[ALICE], Some(CandidateKind::Relayed));
    lab.run_for(SECOND * 3);
    (lab, second)
}

/// The time until data gets from each to the other again, both sending all the while.
fn silence(lab: &mut Lab, limit: Duration) -> Option<Duration> {
    let start = lab.network.now();
    for index in [ALICE, BOB] {
        lab.with(index, |host, _| host.received.clear());
    }
    while lab.network.now() < start + limit {
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| host.send(now, b"\x80coo"));
        }
        lab.run_for(Duration::from_millis(10));
        if lab.both(|host| !host.received.is_empty()) {
            return Some(lab.network.now() - start);
        }
    }
    None
}

fn relays_found(lab: &Lab) -> usize {
    lab.peer(ALICE).found.iter().filter(|one| one.kind == CandidateKind::Relayed).count()
}

#[test]
fn relayed_path_survives_a_network_change() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for seed in 1..6 {
            let (mut lab, second) = world(relayed(transport), seed);
            let first = lab.interfaces[ALICE];
            let selected = lab.peer(ALICE).selected.len();
            for (up, down, address) in [(second, first, ELSEWHERE), (first, second, HOME)] {
                lab.network.set_up(up, true);
                lab.network.set_up(down, false);
                lab.run_for(Duration::from_millis(30));
                let took = silence(&mut lab, SECOND * 3);
                let limit = Duration::from_millis(500);
                assert!(
                    took.is_some_and(|took| took < limit),
                    "{transport:?} {took:?} {}",
                    lab.network.trace()
                );
                lab.run_for(SECOND);
                let pair = lab.peer(ALICE).selected.last().unwrap();
                assert_eq!((pair.path.local.ip(), pair.local.kind), (ip(address), CandidateKind::Relayed));
                assert!(pair.changed);
                lab.run_for(SECOND * 70);
                assert!(lab.exchanges_data(), "{}", lab.network.trace());
            }
            assert_eq!(lab.peer(ALICE).selected.len(), selected + 2, "once for each network");
            assert_eq!(lab.peer(BOB).selected.len(), 1, "the other side has nothing to do");
            let stats = lab.turn().server.stats();
            // Each new network has been tried for a relay of its own while the old one was still
            // there.
            assert_eq!((stats.allocations_total, stats.allocations_moved), (3, 2));
            assert_eq!(lab.peer(BOB).selected[0].remote.address, lab.peer(ALICE).found[0].address);
            assert!(lab.both(|host| host.restarts_wanted == 0));
            assert!(lab.both(|host| !host.states.contains(&State::Disconnected)));
            for index in [ALICE, BOB] {
                lab.with(index, |host, now| host.agent.close(now));
            }
            lab.run_for(SECOND * 2);
            assert_eq!((lab.turn().allocations(), lab.peer(ALICE).sockets), (0, 0));
            assert!(lab.peer(ALICE).paths.is_empty());
        }
    }
}

/// The relay of a network that has gone is given back from another one.
#[test]
fn unused_allocation_is_released_from_the_new_network() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut lab, second) = world(relayed(transport), 2);
        lab.network.set_up(second, true);
        lab.run_for(SECOND * 3);
        assert_eq!(lab.turn().allocations(), 2);
        lab.network.set_up(second, false);
        lab.run_for(SECOND * 2);
        assert_eq!(lab.turn().allocations(), 1, "{}", lab.network.trace());
        assert!(lab.exchanges_data());
        // A goodbye is also said on the way.
        let first = lab.interfaces[ALICE];
        lab.network.set_up(first, false);
        lab.network.set_up(second, true);
        lab.with(ALICE, |host, now| host.agent.close(now));
        lab.run_for(SECOND * 2);
        assert_eq!((lab.turn().allocations(), lab.peer(ALICE).sockets), (0, 0));
    }
}

#[test]
fn lost_packets_only_delay_the_move() {
    for seed in 1..20 {
        let (mut lab, second) = world(relayed(Transport::Udp), seed);
        lab.network.change_link(second, |out, into| {
            (out.loss, into.loss) = (Loss::Random(0.3), Loss::Random(0.3));
        });
        lab.network.set_up(lab.interfaces[ALICE], false);
        lab.network.set_up(second, true);
        lab.run_for(Duration::from_millis(30));
        let took = silence(&mut lab, SECOND * 10);
        assert!(took.is_some_and(|took| took < SECOND * 5), "seed {seed}: {took:?} {}", lab.network.trace());
        let stats = lab.turn().server.stats();
        assert_eq!((stats.allocations_total, stats.allocations_moved), (1, 1), "seed {seed}");
    }
}

#[test]
fn allocation_survives_a_time_without_network() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut lab, second) = world(relayed(transport), 1);
        lab.network.set_up(lab.interfaces[ALICE], false);
        assert_eq!(silence(&mut lab, SECOND * 8), None);
        assert_eq!(lab.peer(ALICE).sockets, 0);
        lab.network.set_up(second, true);
        let took = silence(&mut lab, SECOND * 5);
        assert!(took.is_some_and(|took| took < SECOND * 2), "{took:?} {}", lab.network.trace());
        assert_eq!((relays_found(&lab), lab.turn().server.stats().allocations_total), (1, 1));
        assert!(lab.run_until(SECOND * 3, Lab::connected));
    }
}

/// A new network's address is there before its route is: neither sockets nor connections can be
/// opened at first.
#[test]
fn allocation_comes_along_although_the_route_comes_late() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for millis in [100, 700, 3000, 9000, 20_000] {
            let (mut lab, second) = world(relayed(transport), millis);
            lab.with(ALICE, |host, _| host.unroutable.insert(ip(ELSEWHERE)));
            lab.network.set_up(lab.interfaces[ALICE], false);
            lab.network.set_up(second, true);
            assert_eq!(silence(&mut lab, Duration::from_millis(millis)), None);
            lab.with(ALICE, |host, _| host.unroutable.clear());
            let took = silence(&mut lab, SECOND * 6);
            assert!(took.is_some_and(|took| took < SECOND * 5), "{transport:?}, {millis} ms: {took:?}");
            let stats = lab.turn().server.stats();
            assert_eq!((stats.allocations_total, stats.allocations_moved), (1, 1), "{transport:?}, {millis}");
        }
    }
}

/// The best of two new addresses leads nowhere.
#[test]
fn moving_allocation_tries_the_other_address_too() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let (mut lab, second) = world(relayed(transport), 8);
        let (host, zone) = (lab.peers[ALICE], lab.network.add_zone());
        let third = lab.network.attach(host, zone, ip("10.10.0.9"), Link::default());
        lab.network.set_up(third, true);
        lab.run_for(SECOND);
        lab.with(ALICE, |host, _| host.unroutable.insert(ip("10.10.0.9")));
        lab.network.set_up(lab.interfaces[ALICE], false);
        lab.network.set_up(second, true);
        let took = silence(&mut lab, SECOND * 3);
        assert!(took.is_some(), "{transport:?} {}", lab.network.trace());
        assert_eq!(lab.turn().server.stats().allocations_moved, 1, "{transport:?}");
    }
}

/// Connections from the best of two new addresses are never answered.
#[test]
fn moving_allocation_gives_up_a_connection_that_does_not_open() {
    let (mut lab, second) = world(relayed(Transport::Tcp), 10);
    let (host, zone) = (lab.peers[ALICE], lab.network.add_zone());
    let third = lab.network.attach(host, zone, ip("10.10.0.9"), Link::default());
    lab.network.set_up(third, true);
    lab.run_for(SECOND);
    lab.network.set_up(lab.interfaces[ALICE], false);
    lab.network.set_up(second, true);
    lab.run_for(SECOND * 12);
    assert!(lab.exchanges_data(), "{}", lab.network.trace());
    assert_eq!(lab.turn().server.stats().allocations_moved, 1, "{}", lab.network.trace());
}

/// The server cannot be reached any more: another allocation is tried for in the end, and no timer
/// stays.
#[test]
fn moving_allocation_is_given_up_after_a_minute() {
    let (mut lab, second) = world(relayed(Transport::Tcp), 9);
    lab.with(ALICE, |host, _| host.unroutable.insert(ip(ELSEWHERE)));
    lab.network.set_up(lab.interfaces[ALICE], false);
    lab.network.set_up(second, true);
    lab.run_for(SECOND * 100);
    assert!(!lab.peer(ALICE).errors.is_empty(), "{}", lab.network.trace());
}

/// The same without tickets.
#[test]
fn path_is_lost_without_tickets() {
    let mut lab = Lab::new(1);
    lab.change_server(|config| config.mobility = false);
    let home = lab.add_home(behind("198.51.100.1", Nat::SYMMETRIC));
    lab.add_peer(home, HOME, relayed(Transport::Udp), Link::with_delay(Duration::from_millis(10)));
    let other = lab.add_home(behind("198.51.100.2", Nat::SYMMETRIC));
    lab.add_peer(other, HOME, with_stun(), Link::with_delay(Duration::from_millis(10)));
    let mobile = lab.add_home(behind("198.51.100.3", Nat::SYMMETRIC));
    let host = lab.peers[ALICE];
    let second = lab.network.attach(host, mobile, ip(ELSEWHERE), Link::with_delay(Duration::from_millis(25)));
    lab.network.set_up(second, false);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    lab.network.set_up(second, true);
    lab.network.set_up(lab.interfaces[ALICE], false);
    lab.run_for(SECOND * 2);
    let stats = lab.turn().server.stats();
    assert_eq!((stats.allocations_total, stats.allocations_moved), (2, 0));
    assert_eq!(relays_found(&lab), 2);
    assert_eq!(stats.error(405), 1, "it is asked once whether it gives tickets");
}

#[test]
fn unused_relay_survives_a_network_change() {
    let mut lab = Lab::new(3);
    let home = lab.add_home(behind("198.51.100.1", Nat::SYMMETRIC));
    lab.add_peer(home, HOME, relayed(Transport::Udp), Link::with_delay(Duration::from_millis(10)));
    let other = lab.add_home(behind("198.51.100.2", Nat::SYMMETRIC));
    lab.add_peer(other, HOME, with_stun(), Link::with_delay(Duration::from_millis(10)));
    let mobile = lab.add_home(behind("198.51.100.3", Nat::SYMMETRIC));
    let host = lab.peers[ALICE];
    let second = lab.network.attach(host, mobile, ip(ELSEWHERE), Link::with_delay(Duration::from_millis(25)));
    lab.network.set_up(second, false);
    lab.with(ALICE, |host, now| host.gather(now));
    lab.run_for(SECOND);
    lab.network.set_up(lab.interfaces[ALICE], false);
    lab.run_for(SECOND);
    lab.network.set_up(second, true);
    lab.run_for(SECOND);
    lab.signal_description(ALICE, BOB);
    lab.with(BOB, |host, now| host.gather(now));
    lab.signal_description(BOB, ALICE);
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    assert_eq!((relays_found(&lab), lab.turn().server.stats().allocations_total), (1, 1));
    assert!(lab.exchanges_data());
}

/// The host does not learn that its NAT has begun anew.
#[test]
fn nat_rebinding_is_followed() {
    let (mut lab, _) = world(relayed(Transport::Udp), 4);
    lab.network.flush_router(lab.routers[0]);
    let took = silence(&mut lab, SECOND * 10);
    assert!(took.is_some_and(|took| took < SECOND * 4), "{took:?} {}", lab.network.trace());
    let stats = lab.turn().server.stats();
    assert_eq!((stats.allocations_total, stats.allocations_moved), (1, 1));
}

#[test]
fn broken_connection_to_the_server_is_opened_again() {
    let (mut lab, _) = world(relayed(Transport::Tcp), 5);
    lab.with(ALICE, |host, now| host.break_streams(now));
    let took = silence(&mut lab, SECOND * 3);
    assert!(took.is_some_and(|took| took < SECOND), "{took:?} {}", lab.network.trace());
    assert_eq!((relays_found(&lab), lab.turn().server.stats().allocations_total), (1, 1));
}
