//! Two agents connect.

use std::time::Duration;

use columba_ice::{
    Candidate, CandidateAddress, CandidateKind, Config, MdnsMode, Role, State, TransportPolicy,
};
use columba_netsim::{Link, Loss, Nat, Router};

use crate::lab::{ALICE, BOB, Lab, ip, with_stun, with_turn};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn behind(outer: &str, nat: Nat) -> Router {
    Router { outer: vec![ip(outer)], nat: Some(nat), ..Router::default() }
}

#[test]
fn hosts_in_one_network_connect_in_one_round_trip() {
    let round_trip = Duration::from_millis(20);
    let mut lab = Lab::one_lan([Config::default(), Config::default()], round_trip, 1);
    lab.with(ALICE, |host, now| host.gather(now));
    lab.with(BOB, |host, now| host.gather(now));
    // Descriptions and candidates are exchanged in no time.
    let start = lab.network.now();
    lab.signal_description(ALICE, BOB);
    lab.signal_description(BOB, ALICE);
    for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
        for candidate in lab.peer(from).found.clone() {
            lab.with(to, |host, now| host.agent.add_remote_candidate(now, candidate));
        }
    }
    assert!(lab.run_until(SECOND, Lab::connected), "{}", lab.network.trace());
    for index in [ALICE, BOB] {
        assert_eq!(lab.peer(index).writable_at.map(|at| at - start), Some(round_trip));
    }
    assert!(lab.run_until(SECOND, Lab::settled));
    assert!(lab.exchanges_data());
    assert_eq!(lab.kinds(), [Some(CandidateKind::Host); 2]);
    assert!(lab.run_until(SECOND, |lab| lab.both(|host| host.agent.state() == State::Completed)));
    let states = [State::Checking, State::Connected, State::Completed];
    assert_eq!(lab.peer(ALICE).states, states);
    assert_eq!(lab.peer(BOB).states, states);
}

#[test]
fn role_conflict_is_resolved() {
    for seed in 1..6 {
        for role in [Role::Controlling, Role::Controlled] {
            let mut lab =
                Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), seed);
            lab.with(ALICE, |host, _| host.agent.set_role(role));
            lab.with(BOB, |host, _| host.agent.set_role(role));
            lab.start();
            assert!(
                lab.run_until(SECOND * 3, Lab::settled),
                "{role:?}, seed {seed}:\n{}",
                lab.network.trace()
            );
            assert_ne!(lab.peer(ALICE).agent.role(), lab.peer(BOB).agent.role());
            assert!(lab.exchanges_data());
        }
    }
}

#[test]
fn connects_at_a_third_packet_loss() {
    for seed in 1..20 {
        // Out of the house and in again: 30 % in all.
        let link = Link { loss: Loss::Random(0.163), ..Link::with_delay(Duration::from_millis(10)) };
        let mut lab = Lab::new(seed);
        for outer in ["198.51.100.1", "198.51.100.2"] {
            let home = lab.add_home(behind(outer, Nat::PORT));
            lab.add_peer(home, "192.168.0.7", with_turn(), link.clone());
        }
        lab.start();
        assert!(lab.run_until(SECOND * 20, Lab::settled), "seed {seed}:\n{}", lab.network.trace());
        assert!(lab.exchanges_data());
    }
}

#[test]
fn relay_policy_shows_no_host_address() {
    let config = Config { policy: TransportPolicy::Relay, ..with_turn() };
    let mut lab =
        Lab::two_homes([behind("198.51.100.1", Nat::CONE), behind("198.51.100.2", Nat::CONE)], &config, 3);
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
    assert_eq!(lab.kinds(), [Some(CandidateKind::Relayed); 2]);
    for index in [ALICE, BOB] {
        assert!(!lab.peer(index).found.is_empty());
        for candidate in &lab.peer(index).found {
            assert_eq!(candidate.kind, CandidateKind::Relayed);
            assert!(candidate.related.is_none_or(|address| address.ip().is_unspecified()));
        }
    }
    assert_eq!(lab.turn().allocations(), 2);
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.agent.close(now));
    }
    lab.run_for(SECOND);
    assert_eq!(lab.turn().allocations(), 0, "allocations are released on close");
    assert!(lab.both(|host| host.sockets == 0 && host.agent.poll_timeout().is_none()));
}

#[test]
fn relay_is_released_whenever_the_agent_closes() {
    // Its server is 30 ms away and challenges first: somewhere in between the server has allocated
    // and the agent does not know.
    let mut unknowing = 0;
    for wait in (10..200).step_by(10) {
        let routers = [behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT)];
        let mut lab = Lab::two_homes(routers, &with_turn(), 9);
        lab.with(ALICE, |host, now| host.gather(now));
        lab.run_for(Duration::from_millis(wait));
        let is_relayed = |candidate: &Candidate| candidate.kind == CandidateKind::Relayed;
        let known = lab.peer(ALICE).found.iter().any(is_relayed);
        unknowing += u32::from(lab.turn().allocations() == 1 && !known);
        lab.with(ALICE, |host, now| host.agent.close(now));
        lab.run_for(SECOND * 2);
        assert_eq!(lab.turn().allocations(), 0, "closed after {wait} ms");
        assert!(lab.peer(ALICE).sockets == 0 && lab.peer(ALICE).agent.poll_timeout().is_none());
    }
    assert!(unknowing > 0, "no close came between allocation and answer");
}

#[test]
fn mdns_names_are_resolved() {
    let hidden = Config { mdns: MdnsMode::QueryAndGather, ..Config::default() };
    let mut lab = Lab::one_lan([hidden, Config::default()], Duration::from_millis(20), 4);
    lab.with(ALICE, |host, now| host.gather(now));
    let name = match &lab.peer(ALICE).found[0].address {
        CandidateAddress::Name(name) => name.to_string(),
        CandidateAddress::Ip(ip) => panic!("{ip} is not hidden"),
    };
    assert!(name.ends_with(".local"));
    lab.with(BOB, |host, _| host.names.insert(name, vec![ip("10.0.0.1")]));
    lab.start();
    assert!(lab.run_until(SECOND * 2, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
}

#[test]
fn same_seed_gives_same_trace() {
    let run = |seed| {
        let mut lab = Lab::two_homes(
            [behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::SYMMETRIC)],
            &with_turn(),
            seed,
        );
        lab.start();
        lab.run_for(SECOND * 20);
        (lab.network.stats().clone(), lab.network.trace())
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7).1, run(8).1);
}

#[test]
fn unanswering_servers_are_reported() {
    let mut config = with_stun();
    config.servers[0].host = columba_ice::Host::Ip(ip("5.0.0.99"));
    let mut lab = Lab::one_lan([config, Config::default()], Duration::from_millis(20), 5);
    lab.start();
    assert!(lab.run_until(SECOND * 12, |lab| !lab.peer(ALICE).errors.is_empty()));
    let error = &lab.peer(ALICE).errors[0];
    assert_eq!(error.code, 701);
    assert!(error.url.contains("5.0.0.1") && error.local.is_some());
}

#[test]
fn reflexive_pairs_connect_in_two_round_trips() {
    let round_trip = Duration::from_millis(40);
    for (first, second) in [(Nat::CONE, Nat::PORT), (Nat::PORT, Nat::PORT), (Nat::ADDRESS, Nat::SYMMETRIC)] {
        let routers = [behind("198.51.100.1", first), behind("198.51.100.2", second)];
        let mut lab = Lab::two_homes(routers, &with_turn(), 6);
        lab.delay = SECOND * 1000;
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| host.gather(now));
        }
        lab.run_for(SECOND);
        let start = lab.network.now();
        for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
            for candidate in lab.peer(from).found.clone() {
                lab.with(to, |host, now| host.agent.add_remote_candidate(now, candidate));
            }
        }
        lab.signal_description(ALICE, BOB);
        lab.signal_description(BOB, ALICE);
        assert!(lab.run_until(SECOND * 5, Lab::connected), "{}", lab.network.trace());
        for index in [ALICE, BOB] {
            let took = lab.peer(index).writable_at.map(|at| at - start);
            assert!(took <= Some(round_trip * 2), "{first:?}, {second:?}: {took:?}\n{}", lab.network.trace());
        }
    }
}
