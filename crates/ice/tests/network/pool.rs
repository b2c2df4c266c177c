//! Candidates that are gathered before anybody asks for them.

use std::time::Duration;

use columba_ice::{
    Agent, CandidateKind, Config, Event, GatheringState, Host, Input, Request, ServerKind, State, Transport,
    TransportPolicy,
};
use columba_netsim::{Nat, Network};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

use crate::lab::{ALICE, BOB, Lab, Software, ip, servers, with_stun, with_turn};
use crate::meeting::behind;
use crate::server::PORT;

const SECOND: Duration = Duration::from_secs(1);

fn with_pool(config: Config) -> Config {
    Config { candidate_pool: true, ..config }
}

fn lab(config: &Config, seed: u64) -> Lab {
    Lab::two_homes([behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT)], config, seed)
}

/// Tells the agent of its host's addresses: that is when a pool begins to be filled.
fn wake(lab: &mut Lab, index: usize) {
    lab.with(index, |host, now| {
        let addresses = host.addresses.clone();
        host.agent.handle_network_change(now, &addresses);
    });
}

#[test]
fn a_pool_is_filled_in_silence_and_handed_out_at_once() {
    let mut lab = lab(&with_pool(with_turn()), 1);
    wake(&mut lab, ALICE);
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
    assert!(lab.talks());
}

#[test]
fn without_a_pool_nothing_is_gathered_ahead() {
    let mut lab = lab(&with_turn(), 2);
    wake(&mut lab, ALICE);
    lab.run_for(SECOND * 3);
    assert_eq!((lab.peer(ALICE).sockets, lab.turn().allocations()), (0, 0));
}

#[test]
fn a_pool_says_nothing_to_an_offerer_until_it_is_asked_for() {
    let mut lab = lab(&with_pool(with_stun()), 3);
    wake(&mut lab, BOB);
    lab.run_for(SECOND);
    lab.with(ALICE, |host, now| host.gather(now));
    lab.tell(ALICE, BOB);
    lab.run_for(SECOND * 2);
    let stats = lab.peer(BOB).agent.stats();
    assert!(!stats.remote_candidates.is_empty() && stats.pairs.is_empty(), "no check gives Bob away");
    assert_eq!(lab.peer(BOB).agent.state(), State::Checking);
    lab.with(BOB, |host, now| host.gather(now));
    lab.tell(BOB, ALICE);
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
}

#[test]
fn a_pool_lasts() {
    let nat = Nat { timeout: SECOND * 30, ..Nat::PORT };
    let mut lab = Lab::two_homes(
        [behind("198.51.100.1", nat), behind("198.51.100.2", nat)],
        &with_pool(with_turn()),
        4,
    );
    for index in [ALICE, BOB] {
        wake(&mut lab, index);
    }
    // Longer than the NAT remembers, and than an allocation lives.
    lab.run_for(SECOND * 900);
    assert_eq!(lab.turn().allocations(), 2);
    lab.start();
    assert!(lab.run_until(SECOND * 3, Lab::settled), "{}", lab.network.trace());
    assert!(lab.talks());
    assert_ne!(lab.kinds(), [Some(CandidateKind::Relayed); 2]);
}

#[test]
fn errors_wait_for_the_candidates_that_are_missing() {
    let mut config = with_pool(with_stun());
    config.servers[0].host = Host::Ip(ip("5.0.0.99"));
    let mut lab = lab(&config, 5);
    wake(&mut lab, ALICE);
    lab.run_for(SECOND * 15);
    assert!(lab.peer(ALICE).errors.is_empty());
    lab.with(ALICE, |host, now| host.gather(now));
    let alice = lab.peer(ALICE);
    assert!(alice.gathered && alice.errors.len() == 1 && alice.errors[0].code == 701);
}

#[test]
fn other_servers_mean_another_pool() {
    let mut lab = lab(&with_pool(with_turn()), 6);
    wake(&mut lab, ALICE);
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
fn a_pool_comes_and_goes_with_its_size() {
    let mut lab = lab(&with_turn(), 7);
    wake(&mut lab, ALICE);
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
    assert_eq!((lab.turn().allocations(), lab.peer(ALICE).sockets), (0, 0), "whoever closes gives it back");
    assert!(lab.peer(ALICE).agent.poll_timeout().is_none());
}

#[test]
fn a_pool_follows_the_network() {
    let mut lab = lab(&with_pool(with_stun()), 9);
    wake(&mut lab, ALICE);
    lab.run_for(SECOND);
    lab.with(ALICE, |host, _| host.addresses[0].network = 7);
    wake(&mut lab, ALICE);
    lab.run_for(SECOND);
    lab.with(ALICE, |host, now| host.gather(now));
    let alice = lab.peer(ALICE);
    assert!(alice.gathered && alice.sockets == 1 && alice.listeners == 1);
    assert_eq!(alice.found.len(), 4, "nothing of the network that was left");
}

/// After a restart, and before its candidates are asked for, sockets of addresses that are gone go, too.
#[test]
fn an_address_that_goes_between_restart_and_gathering_is_given_up() {
    let mut lab = lab(&with_stun(), 10);
    lab.start();
    assert!(lab.run_until(SECOND * 3, Lab::settled), "{}", lab.network.trace());
    lab.with(ALICE, |host, now| {
        host.agent.restart(now, None);
        host.agent.handle_network_change(now, &[]);
    });
    assert_eq!(lab.peer(ALICE).sockets, 0);
}

/// What a restart brings is told when it is asked for, and not before.
#[test]
fn a_restart_with_other_servers_asks_those() {
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
    assert!(lab.settled() && lab.talks());
}

/// Many servers fail before anybody asks: what is kept of it is bounded.
#[test]
fn errors_that_nobody_hears_are_bounded() {
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
