//! Connections that both sides open at once (RFC 6544's simultaneous-open candidates): through NATs
//! that let no connection in from outside.

use std::time::Duration;

use columba_ice::{
    Candidate, CandidateKind, CandidateTransport, Config, Event, Input, Request, ServerKind, State, TcpMode,
    TcpType, Transport,
};
use columba_netsim::{Firewall, Link, Nat, Router};

use crate::connecting::behind;
use crate::lab::{ALICE, AgentHost, BOB, Lab, ip, servers, with_stun};
use crate::tcp::lasts_and_is_released;

const SECOND: Duration = Duration::from_secs(1);
const OUTER: [&str; 2] = ["198.51.100.1", "198.51.100.2"];

/// Simultaneous-open candidates, and a STUN server that says where they are seen.
fn crossing() -> Config {
    Config { tcp: TcpMode::SimultaneousOpen, ..with_stun() }
}

/// Two homes that no datagram leaves; who gets in is for the NATs to say.
fn walled(nats: [Nat; 2], config: &Config, seed: u64) -> Lab {
    let walls = [0, 1].map(|index| Router {
        firewall: Firewall { udp: false, ..Firewall::default() },
        ..behind(OUTER[index], nats[index])
    });
    Lab::two_homes(walls, config, seed)
}

fn is_simultaneous(candidate: &&Candidate) -> bool {
    candidate.transport == CandidateTransport::Tcp(TcpType::SimultaneousOpen)
}

fn connects_over_tcp(lab: &mut Lab) {
    lab.start();
    assert!(lab.run_until(SECOND * 12, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
    for index in [ALICE, BOB] {
        let pair = lab.peer(index).selected.last().unwrap();
        assert_eq!(pair.path.transport, Transport::Tcp);
        assert!(is_simultaneous(&&pair.local) && is_simultaneous(&&pair.remote), "{pair:?}");
    }
}

#[test]
fn endpoint_independent_nats_are_traversed_by_simultaneous_open() {
    let kinds = [Nat::CONE, Nat::ADDRESS, Nat::PORT];
    for (seed, (one, two)) in kinds.iter().flat_map(|one| kinds.map(|two| (*one, two))).enumerate() {
        let mut lab = walled([one, two], &crossing(), seed as u64);
        connects_over_tcp(&mut lab);
        lasts_and_is_released(&mut lab);
    }
}

/// A NAT that maps each destination to a port of its own gets through only to a NAT that lets any
/// port in.
#[test]
fn symmetric_nat_is_traversed_if_the_other_nat_filters_by_address() {
    let others = [(Nat::CONE, true), (Nat::ADDRESS, true), (Nat::PORT, false), (Nat::SYMMETRIC, false)];
    for (seed, (other, passes)) in others.into_iter().enumerate() {
        for nats in [[Nat::SYMMETRIC, other], [other, Nat::SYMMETRIC]] {
            let mut lab = walled(nats, &crossing(), 20 + seed as u64);
            if passes {
                connects_over_tcp(&mut lab);
            } else {
                lab.start();
                lab.run_for(SECOND * 120);
                assert!(lab.both(|host| host.agent.state() == State::Failed), "{nats:?}");
                assert!(lab.both(|host| host.paths.is_empty()));
            }
        }
    }
}

#[test]
fn stateful_firewalls_are_traversed_without_a_server() {
    let mut lab = Lab::new(30);
    for (network, address) in [("2001:db8:1::", "2001:db8:1::7"), ("2001:db8:2::", "2001:db8:2::7")] {
        let firewall = Firewall { udp: false, ..Firewall::stateful() };
        let zone = lab.network.add_zone();
        let router = Router { firewall, ..Router::default() };
        let router = lab.network.add_router(zone, lab.internet, router);
        lab.network.add_route(lab.internet, ip(network), 64, router);
        let config = Config { servers: vec![], ..crossing() };
        lab.add_peer(zone, address, config, Link::with_delay(Duration::from_millis(10)));
    }
    connects_over_tcp(&mut lab);
    assert_eq!(lab.kinds(), [Some(CandidateKind::Host); 2]);
}

#[test]
fn simultaneous_open_tolerates_a_late_side_and_reordered_candidates() {
    for seed in 40..50 {
        let mut lab = walled([Nat::PORT, Nat::PORT], &crossing(), seed);
        for index in [ALICE, BOB] {
            lab.with(index, |host, _| host.disorder = SECOND * 4);
        }
        connects_over_tcp(&mut lab);
    }
}

#[test]
fn broken_simultaneous_open_connection_is_opened_again() {
    let mut lab = walled([Nat::PORT, Nat::PORT], &crossing(), 50);
    connects_over_tcp(&mut lab);
    for index in [ALICE, BOB] {
        lab.run_for(SECOND * 15);
        lab.with(index, AgentHost::break_streams);
        lab.run_for(SECOND);
        assert!(lab.settled() && lab.exchanges_data(), "{}", lab.network.trace());
        assert!(lab.both(|host| host.restarts_wanted == 0 && host.paths.len() == 1));
    }
}

#[test]
fn simultaneous_open_is_preferred_to_a_relay() {
    let mut config = crossing();
    config.servers.push(servers(ServerKind::Turn, Transport::Tcp, 443));
    let mut lab = walled([Nat::PORT, Nat::PORT], &config, 60);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled));
    lab.run_for(SECOND * 5);
    assert!(lab.exchanges_data());
    assert!(lab.kinds().iter().all(|kind| *kind != Some(CandidateKind::Relayed)), "{:?}", lab.kinds());
}

/// Where datagrams pass, nothing is slower, and nothing is left.
#[test]
fn simultaneous_open_candidates_are_closed_where_datagrams_pass() {
    let mut times = Vec::new();
    for tcp in [TcpMode::ActivePassive, TcpMode::SimultaneousOpen] {
        let config = Config { tcp, ..with_stun() };
        let mut lab = Lab::two_homes(OUTER.map(|outer| behind(outer, Nat::PORT)), &config, 70);
        lab.start();
        assert!(lab.run_until(SECOND * 5, Lab::settled));
        times.push(lab.peer(ALICE).writable_at.unwrap() - (lab.network.now() - lab.network.elapsed()));
        lab.run_for(SECOND * 5);
        assert!(lab.both(|host| host.paths.is_empty() && host.listeners == 0 && host.sockets == 1));
    }
    assert_eq!(times[0], times[1]);
}

/// A wall that swallows connections, too, does not hold up gathering for long.
#[test]
fn gathering_waits_three_seconds_for_unreachable_tcp_servers() {
    let mut lab = Lab::new(80);
    let firewall = Firewall { tcp_ports: Some(vec![]), ..Firewall::default() };
    let home = lab.add_home(Router { firewall, ..behind(OUTER[0], Nat::PORT) });
    lab.add_peer(home, "192.168.0.7", crossing(), Link::with_delay(Duration::from_millis(10)));
    lab.with(ALICE, |host, now| host.gather(now));
    lab.network.run_for(SECOND * 4);
    assert_eq!(lab.peer(ALICE).agent.gathering_state(), columba_ice::GatheringState::Complete);
    assert!(lab.peer(ALICE).errors.is_empty());
    let found: Vec<_> = lab.peer(ALICE).found.iter().filter(is_simultaneous).map(|one| one.kind).collect();
    assert_eq!(found, [CandidateKind::Host]);
}

#[test]
fn simultaneous_open_is_off_by_default_on_both_sides() {
    for (mode, count) in [(TcpMode::ActivePassive, 0), (TcpMode::SimultaneousOpen, 2)] {
        let config = Config { tcp: mode, ..with_stun() };
        let mut lab = walled([Nat::PORT, Nat::PORT], &config, 90);
        lab.start();
        lab.run_for(SECOND);
        let found: Vec<_> = lab.peer(ALICE).found.iter().filter(is_simultaneous).cloned().collect();
        assert_eq!(found.len(), count);
        if let [host, mapped] = &found[..] {
            assert_eq!((host.kind, mapped.kind), (CandidateKind::Host, CandidateKind::ServerReflexive));
            assert_eq!(mapped.related, host.socket_address());
            assert_eq!(mapped.address, columba_ice::CandidateAddress::Ip(ip(OUTER[0])));
            assert!(mapped.foundation != host.foundation);
        }
    }
    // Theirs are passed over where they are not wanted here.
    let configs = [TcpMode::ActivePassive, TcpMode::SimultaneousOpen].map(|tcp| Config {
        tcp,
        udp: false,
        ..Config::default()
    });
    let mut lab = Lab::one_lan(configs, Duration::from_millis(20), 91);
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled) && lab.exchanges_data());
    assert!(lab.both(|host| host.selected.iter().all(|pair| !is_simultaneous(&&pair.local))));
}

/// A driver that cannot open connections from a listener's port refuses the listener, and there are
/// no such candidates.
#[test]
fn refused_listener_leaves_out_simultaneous_open_candidates() {
    use columba_ice::Agent;
    use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
    let lab = Lab::new(92);
    let now = lab.network.now();
    let mut agent = Agent::new(crossing(), &mut ChaCha12Rng::from_seed([1; 32]));
    agent.handle_network_change(now, &[ip("10.0.0.1").into()]);
    agent.gather(now);
    while let Some(request) = agent.poll_request() {
        match request {
            Request::BindUdp { id, .. } => {
                agent.handle_input(now, Input::Bound { id, local: "10.0.0.1:5000".parse().unwrap() });
            }
            Request::Listen { id, opens: true, .. } => agent.handle_input(now, Input::ListenFailed { id }),
            Request::Listen { id, .. } => {
                agent.handle_input(now, Input::Listening { id, local: "10.0.0.1:5001".parse().unwrap() });
            }
            Request::Connect { .. } => panic!("nothing is to be connected"),
            _ => {}
        }
    }
    let mut found = 0;
    while let Some(event) = agent.poll_event() {
        if let Event::LocalCandidate(candidate) = event {
            found += usize::from(is_simultaneous(&&candidate));
        }
    }
    assert_eq!(found, 0);
}
