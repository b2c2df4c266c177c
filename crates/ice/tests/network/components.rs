//! Several components: RTP and RTCP that are not multiplexed.

use std::collections::BTreeSet;
use std::time::Duration;

use columba_ice::{Candidate, CandidateKind, Config, PairState, Role, State, TcpMode};
use columba_netsim::{Link, Loss, Nat};

use crate::hostile::{agent_with, stranger};
use crate::lab::{ALICE, BOB, Lab, with_stun, with_turn};
use crate::meeting::behind;

const SECOND: Duration = Duration::from_secs(1);

fn two(config: Config) -> Config {
    Config { components: 2, ..config }
}

/// Whether data of each component gets from each to the other, and to no other component.
fn talks_on_both(lab: &mut Lab) -> bool {
    for index in [ALICE, BOB] {
        lab.with(index, |host, _| host.heard_on.clear());
    }
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| {
            host.send_on(now, 1, b"\x80one");
            host.send_on(now, 2, b"\x80two");
            host.send_on(now, 2, b"\x80two");
            host.send_on(now, 3, b"\x80none");
        });
    }
    lab.run_for(SECOND);
    lab.both(|host| host.heard_on == [(1, 1), (2, 2)].into())
}

fn selected(lab: &Lab, index: usize) -> BTreeSet<u8> {
    lab.peer(index).selected.iter().map(|pair| pair.component).collect()
}

#[test]
fn each_component_has_a_path_of_its_own() {
    for (nats, kind) in
        [([Nat::PORT; 2], CandidateKind::ServerReflexive), ([Nat::SYMMETRIC; 2], CandidateKind::Relayed)]
    {
        let routers = [behind("198.51.100.1", nats[0]), behind("198.51.100.2", nats[1])];
        let mut lab = Lab::two_homes(routers, &two(with_turn()), 1);
        lab.start();
        let ready = |lab: &Lab| {
            lab.connected() && [ALICE, BOB].iter().all(|index| selected(lab, *index) == [1, 2].into())
        };
        assert!(lab.run_until(SECOND * 10, ready), "{kind:?}\n{}", lab.network.trace());
        lab.run_for(SECOND * 2);
        assert!(talks_on_both(&mut lab), "{:?}", lab.peer(BOB).heard_on);
        // Sockets are each component's own, and so are allocations.
        let ports: BTreeSet<_> = lab.peer(ALICE).selected.iter().map(|pair| pair.path.local.port()).collect();
        assert!(ports.len() >= 2);
        assert_eq!(lab.turn().allocations(), 4);
        let found = |component: u8| {
            lab.peer(ALICE).found.iter().filter(move |one| one.component == component).collect::<Vec<_>>()
        };
        assert_eq!(found(1).len(), found(2).len());
        for (one, two) in found(1).iter().zip(found(2)) {
            assert_eq!(one.foundation, two.foundation, "of one kind, base and server");
        }
        lab.run_for(SECOND * 120);
        assert!(lab.connected() && talks_on_both(&mut lab), "consent is each pair's own");
    }
}

/// RFC 8445 §6.1.2.6: of the pairs with one foundation the first component's is checked first, the others wait for what it says.
#[test]
fn pairs_of_one_foundation_thaw_when_the_first_has_succeeded() {
    let config = Config { tcp: TcpMode::Off, ..two(Config::default()) };
    let (mut agent, now, _) = agent_with(config, stranger());
    let remote = |component: u8, number: u32| Candidate {
        component,
        foundation: "same".into(),
        priority: 2_000_000_000 - u32::from(component),
        ..crate::hostile::candidate("198.51.100.1", number)
    };
    for (component, number) in [(1, 1), (2, 2)] {
        agent.add_remote_candidate(now, remote(component, number));
    }
    let states = |agent: &columba_ice::Agent| -> Vec<_> {
        let mut pairs = agent.stats().pairs;
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.priority));
        pairs.iter().map(|pair| pair.state).collect()
    };
    assert_eq!(states(&agent), [PairState::InProgress, PairState::Frozen]);
}

#[test]
fn connected_means_every_component() {
    let mut lab =
        Lab::one_lan([two(Config::default()), two(Config::default())], Duration::from_millis(20), 3);
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.gather(now));
    }
    // The signaling carries the first component's candidates only.
    for index in [ALICE, BOB] {
        lab.with(index, |host, _| host.candidates.retain(|(_, one)| one.component == 1));
    }
    lab.tell(ALICE, BOB);
    lab.tell(BOB, ALICE);
    lab.run_for(SECOND * 5);
    assert!(lab.both(|host| host.agent.is_writable() && host.agent.state() == State::Checking));
    for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
        for candidate in lab.peer(from).found.clone() {
            lab.with(to, |host, now| host.agent.add_remote_candidate(now, candidate));
        }
    }
    assert!(lab.run_until(SECOND, Lab::connected), "{}", lab.network.trace());
    assert!(talks_on_both(&mut lab));
}

/// One component's packets vanish: the other does not hide it.
#[test]
fn one_dead_component_is_enough_to_be_disconnected() {
    let mut lab =
        Lab::one_lan([two(Config::default()), two(Config::default())], Duration::from_millis(20), 4);
    lab.start();
    assert!(lab.run_until(SECOND * 3, Lab::connected));
    lab.run_for(SECOND * 2);
    let dead = lab.peer(BOB).selected.iter().find(|pair| pair.component == 2).unwrap().path.local.port();
    // Its packets are taken away before the agent sees them.
    lab.with(BOB, |host, _| host.deaf = Some(dead));
    let disconnected = |lab: &Lab| lab.peer(ALICE).agent.state() == State::Disconnected;
    assert!(lab.run_until(SECOND * 20, disconnected));
    lab.with(BOB, |host, _| host.deaf = None);
    assert!(lab.run_until(SECOND * 10, Lab::connected));
}

#[test]
fn a_restart_keeps_all_components_running() {
    let mut lab =
        Lab::one_lan([two(Config::default()), two(Config::default())], Duration::from_millis(20), 5);
    lab.start();
    assert!(lab.run_until(SECOND * 3, Lab::connected));
    lab.run_for(SECOND);
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| {
            host.agent.restart(now, None);
            host.selected.clear();
        });
    }
    assert!(talks_on_both(&mut lab), "the old paths");
    lab.start();
    let ready = |lab: &Lab| {
        [ALICE, BOB].iter().all(|index| selected(lab, *index) == [1, 2].into()) && lab.connected()
    };
    assert!(lab.run_until(SECOND * 5, ready));
    lab.run_for(SECOND);
    assert!(talks_on_both(&mut lab));
    assert!(lab.both(|host| !host.states.contains(&State::Disconnected)));
}

/// The lite agent has an address that all can reach, and no need to ask.
#[test]
fn a_lite_agent_with_two_components_is_found_and_follows() {
    for role in [Role::Controlling, Role::Controlled] {
        let mut lab = Lab::new(6);
        let link = || Link { loss: Loss::Random(0.05), ..Link::with_delay(Duration::from_millis(10)) };
        let home = lab.add_home(behind("198.51.100.1", Nat::SYMMETRIC));
        lab.add_peer(home, "192.168.0.7", two(with_stun()), link());
        let internet = lab.internet;
        lab.add_peer(internet, "203.0.113.9", Config { lite: true, ..two(Config::default()) }, link());
        lab.with(ALICE, |host, _| host.agent.set_role(role));
        lab.with(BOB, |host, _| {
            host.agent.set_role(if role == Role::Controlling { Role::Controlled } else { Role::Controlling })
        });
        lab.start();
        let ready = |lab: &Lab| {
            lab.connected() && [ALICE, BOB].iter().all(|index| selected(lab, *index) == [1, 2].into())
        };
        assert!(lab.run_until(SECOND * 10, ready), "{}", lab.network.trace());
        assert_eq!(lab.peer(ALICE).agent.role(), Role::Controlling);
        for index in lab.interfaces.clone() {
            lab.network.change_link(index, |out, into| (out.loss, into.loss) = (Loss::None, Loss::None));
        }
        lab.run_for(SECOND * 2);
        assert!(talks_on_both(&mut lab), "{:?} {:?}", lab.peer(ALICE).heard_on, lab.peer(BOB).heard_on);
        let bob = lab.peer(BOB);
        assert!(bob.found.iter().all(|one| one.kind == CandidateKind::Host) && bob.found.len() >= 2);
        let asked = bob.agent.stats().pairs.iter().map(|pair| pair.counters.requests_sent).sum::<u64>();
        assert_eq!(asked, 0, "it never asks");
        lab.run_for(SECOND * 120);
        assert!(lab.connected() && talks_on_both(&mut lab));
        // It restarts as others do.
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| {
                host.agent.restart(now, None);
                host.selected.clear();
            });
        }
        assert!(talks_on_both(&mut lab), "the old paths");
        lab.start();
        assert!(lab.run_until(SECOND * 10, ready), "{}", lab.network.trace());
        lab.run_for(SECOND * 2);
        assert!(talks_on_both(&mut lab));
        let interface = lab.interfaces[ALICE];
        lab.network.set_up(interface, false);
        assert!(lab.run_until(SECOND * 60, |lab| lab.peer(BOB).agent.state() == State::Failed));
    }
}
