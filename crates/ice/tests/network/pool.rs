//! Candidates that are gathered ahead of need.

use std::time::Duration;

use columba_ice::{
    Agent, CandidateKind, Config, Event, GatheringState, Host, Input, Request, ServerKind, State, Transport,
    TransportPolicy,
};
use columba_netsim::{Nat, Network};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

use crate::connecting::behind;
use crate::lab::{ALICE, BOB, Lab, Software, ip, servers, with_stun, with_turn};
use crate::server::PORT;

const SECOND: Duration = Duration::from_secs(1);

fn with_pool(config: Config) -> Config {
    Config { candidate_pool: true, ..config }
}

fn lab(config: &Config, seed: u64) -> Lab {
    Lab::two_homes([behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT)], config, seed)
}

/// Sets the host's addresses: the pool begins to be filled.
fn set_addresses(lab: &mut Lab, index: usize) {
    lab.with(index, |host, now| {
        let addresses = host.addresses.clone();
        host.agent.handle_network_change(now, &addresses);
    });
}

#[test]
fn pool_is_filled_silently_and_announced_at_once() {
    let mut lab = lab(&with_pool(with_turn()), 1);
    set_addresses(&mut lab, ALICE);
    lab.run_for(SECOND * 3);
    let alice = lab.peer(ALICE);
    assert!(alice.found.is_empty() && !alice.gathered && alice.states.is_empty() && alice.errors.is_empty());
    assert_eq!(alice.agent.gathering_state(), GatheringState::New);
    assert_eq!(lab.turn().allocations(), 1, "it is there already");
    let sent = lab.network.stats().sent;
    lab.with(ALICE, |host, now| host.gather(now));
    let alice = lab.peer(ALICE);
    assert!(alice.gathered, "nothing is left to be done");
    let mut kinds: Vec<_> = alice.found.iter().map(|one| one.kind).collect();
    kinds.sort();
    let host = CandidateKind::Host;
    // One for datagrams, and two for connections.
    assert_eq!(kinds, [host, host, host, CandidateKind::ServerReflexive, CandidateKind::Relayed]);
    lab.run_for(SECOND);
    assert_eq!(lab.network.stats().sent, sent, "and nothing is asked twice");
    lab.start_from(BOB);
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
}

#[test]
fn no_pool_means_no_early_gathering() {
    let mut lab = lab(&with_turn(), 2);
    set_addresses(&mut lab, ALICE);
    lab.run_for(SECOND * 3);
    assert_eq!((lab.peer(ALICE).sockets, lab.turn().allocations()), (0, 0));
}

#[test]
fn pool_sends_nothing_to_the_peer_before_gathering() {
    let mut lab = lab(&with_pool(with_stun()), 3);
    set_addresses(&mut lab, BOB);
    lab.run_for(SECOND);
    lab.with(ALICE, |host, now| host.gather(now));
    lab.signal_description(ALICE, BOB);
    lab.run_for(SECOND * 2);
    let stats = lab.peer(BOB).agent.stats();
    assert!(!stats.remote_candidates.is_empty() && stats.pairs.is_empty(), "no check gives Bob away");
    assert_eq!(lab.peer(BOB).agent.state(), State::Checking);
    lab.with(BOB, |host, now| host.gather(now));
    lab.signal_description(BOB, ALICE);
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
}

#[test]
fn pool_is_kept_alive() {
    let nat = Nat { timeout: SECOND * 30, ..Nat::PORT };
    let mut lab = Lab::two_homes(
        [behind("198.51.100.1", nat), behind("198.51.100.2", nat)],
        &with_pool(with_turn()),
        4,
    );
    for index in [ALICE, BOB] {
        set_addresses(&mut lab, index);
    }
    // Longer than the NAT remembers, and than an allocation lives.
    lab.run_for(SECOND * 900);
    assert_eq!(lab.turn().allocations(), 2);
    lab.start();
    assert!(lab.run_until(SECOND * 3, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
    assert_ne!(lab.kinds(), [Some(CandidateKind::Relayed); 2]);
}

#[test]
fn pool_errors_are_reported_on_gathering() {
    let mut config = with_pool(with_stun());
    config.servers[0].host = Host::Ip(ip("5.0.0.99"));
    let mut lab = lab(&config, 5);
    set_addresses(&mut lab, ALICE);
    lab.run_for(SECOND * 15);
    assert!(lab.peer(ALICE).errors.is_empty());
    lab.with(ALICE, |host, now| host.gather(now));
    let alice = lab.peer(ALICE);
    assert!(alice.gathered && alice.errors.len() == 1 && alice.errors[0].code == 701);
}

#[test]
fn changed_servers_refill_the_pool() {
    let mut lab = lab(&with_pool(with_turn()), 6);
    set_addresses(&mut lab, ALICE);
    lab.run_for(SECOND);
    assert_eq!(lab.turn().allocations(), 1);
    lab.with(ALICE, |host, now| host.agent.set_config(now, with_pool(with_turn())));
    assert_eq!(lab.peer(ALICE).sockets, 2, "the same configuration changes nothing");
    lab.with(ALICE, |host, now| host.agent.set_config(now, with_pool(with_stun())));
    lab.run_for(SECOND);
    assert_eq!(
        (lab.turn().allocations(), lab.peer(ALICE).sockets),
        (0, 1),
        "the old allocation is given back"
    );
    lab.with(ALICE, |host, now| {
        let policy = TransportPolicy::Relay;
        host.agent.set_config(now, Config { policy, ..with_pool(with_turn()) });
    });
    lab.run_for(SECOND);
    lab.with(ALICE, |host, now| host.gather(now));
    let alice = lab.peer(ALICE);
    assert!(alice.gathered && alice.found.iter().all(|one| one.kind == CandidateKind::Relayed));
    assert_eq!(alice.found.len(), 1);
}

#[test]
fn pool_follows_the_configuration() {
    let mut lab = lab(&with_turn(), 7);
    set_addresses(&mut lab, ALICE);
    lab.with(ALICE, |host, now| host.agent.set_config(now, with_pool(with_turn())));
    lab.run_for(SECOND);
    assert_eq!((lab.turn().allocations(), lab.peer(ALICE).sockets), (1, 2));
    lab.with(ALICE, |host, now| host.agent.set_config(now, with_turn()));
    lab.run_for(SECOND);
    assert_eq!((lab.turn().allocations(), lab.peer(ALICE).sockets), (0, 0));
    lab.with(ALICE, |host, now| host.agent.set_config(now, with_pool(with_turn())));
    lab.run_for(SECOND);
    lab.with(ALICE, |host, now| host.agent.close(now));
    lab.run_for(SECOND);
    assert_eq!((lab.turn().allocations(), lab.peer(ALICE).sockets), (0, 0), "closing releases everything");
    assert!(lab.peer(ALICE).agent.poll_timeout().is_none());
}

#[test]
fn pool_follows_network_changes() {
    let mut lab = lab(&with_pool(with_stun()), 9);
    set_addresses(&mut lab, ALICE);
    lab.run_for(SECOND);
    lab.with(ALICE, |host, _| host.addresses[0].network = 7);
    set_addresses(&mut lab, ALICE);
    lab.run_for(SECOND);
    lab.with(ALICE, |host, now| host.gather(now));
    let alice = lab.peer(ALICE);
    assert!(alice.gathered && alice.sockets == 1 && alice.listeners == 1);
    assert_eq!(alice.found.len(), 4, "nothing of the network that was left");
}

/// After a restart, and before its candidates are asked for, sockets of addresses that are gone go,
/// too.
#[test]
fn address_lost_between_restart_and_gathering_is_closed() {
    let mut lab = lab(&with_stun(), 10);
    lab.start();
    assert!(lab.run_until(SECOND * 3, Lab::settled), "{}", lab.network.trace());
    lab.with(ALICE, |host, now| {
        host.agent.restart(now, None);
        host.agent.handle_network_change(now, &[]);
    });
    assert_eq!(lab.peer(ALICE).sockets, 0);
}

/// Candidates of a restart are announced when gathering is asked for, and not before.
#[test]
fn restart_with_other_servers_uses_those() {
    let mut lab = lab(&with_stun(), 11);
    lab.start();
    assert!(lab.run_until(SECOND * 3, Lab::settled), "{}", lab.network.trace());
    let before = lab.peer(ALICE).found.len();
    let mut config = with_turn();
    config.servers.push(servers(ServerKind::Turn, Transport::Tcp, PORT));
    lab.with(ALICE, |host, now| host.agent.restart(now, Some(config)));
    lab.run_for(SECOND);
    assert_eq!((lab.peer(ALICE).found.len(), lab.turn().allocations()), (before, 0));
    lab.with(BOB, |host, now| host.agent.restart(now, None));
    for index in [ALICE, BOB] {
        lab.with(index, |host, _| host.selected.clear());
    }
    lab.start();
    lab.run_for(SECOND * 3);
    assert_eq!(lab.turn().allocations(), 2);
    let urls = |index: usize| {
        let found = lab.peer(index).found.iter().filter(|one| one.kind == CandidateKind::Relayed);
        found.filter_map(|one| one.url.clone()).collect::<Vec<_>>()
    };
    assert!(urls(ALICE).iter().all(|url| url.starts_with("Turn")) && urls(ALICE).len() == 2);
    assert!(urls(BOB).is_empty());
    assert!(lab.settled() && lab.exchanges_data());
}

/// Many servers fail before gathering is asked for: the kept errors are bounded.
#[test]
fn unreported_pool_errors_are_bounded() {
    let now = Network::<Software>::new(1).now();
    let config = Config {
        servers: (0..32).map(|index| servers(ServerKind::Stun, Transport::Udp, PORT + index)).collect(),
        ..with_pool(Config::default())
    };
    let mut agent = Agent::new(config, &mut ChaCha12Rng::seed_from_u64(1));
    let mut time = now;
    for round in 0..20 {
        let address = ip(&format!("10.0.0.{round}"));
        agent.handle_network_change(time, &[address.into()]);
        while let Some(request) = agent.poll_request() {
            if let Request::BindUdp { id, address } = request {
                agent.handle_input(time, Input::Bound { id, local: (address, 5000).into() });
            }
        }
        time += SECOND * 11;
        agent.handle_timeout(time);
    }
    agent.gather(time);
    let mut errors = 0;
    while let Some(event) = agent.poll_event() {
        errors += usize::from(matches!(event, Event::CandidateError(_)));
    }
    assert_eq!(errors, 64);
}
