//! Candidates of the other side's: early, late, of other generations, of other scopes; and in what
//! order the own ones come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use columba_ice::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, Config, Event, LocalAddress, PairState,
    RemoteParameters, Request, State, TcpMode,
};
use columba_netsim::Nat;

use crate::connecting::behind;
use crate::hostile;
use crate::hostile::candidate;
use crate::lab::{ALICE, BOB, Lab, ip, with_stun};
use crate::scripted::ScriptedPeer;

const SECOND: Duration = Duration::from_secs(1);

fn of_generation(number: u32, ufrag: &str) -> Candidate {
    Candidate { ufrag: Some(ufrag.into()), ..candidate(&format!("198.51.100.{number}"), number) }
}

fn generation(ufrag: &str) -> RemoteParameters {
    let mut remote = hostile::stranger();
    remote.credentials.ufrag = ufrag.into();
    remote
}

/// The remote addresses that the agent knows for this generation or the one that still carries
/// data.
fn known(stranger: &ScriptedPeer) -> Vec<SocketAddr> {
    let stats = stranger.agent.stats();
    stats.remote_candidates.iter().filter_map(|one| one.candidate.socket_address()).collect()
}

fn dropped(stranger: &ScriptedPeer) -> u64 {
    stranger.agent.stats().transport.dropped
}

fn fresh() -> ScriptedPeer {
    ScriptedPeer::new(Config::default(), &[ip("192.0.2.1").into()])
}

/// Servers of RFC 3489 know no XOR-MAPPED-ADDRESS (RFC 5389 §12.1).
#[test]
fn mapped_address_of_an_old_server_is_a_server_reflexive_candidate() {
    let routers = [behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT)];
    let mut lab = Lab::two_homes(routers, &with_stun(), 1);
    let server = lab.server.expect("a server");
    lab.with_server(server, |host, _| host.sends_mapped_address = true);
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    for (peer, router) in [(ALICE, "198.51.100.1"), (BOB, "198.51.100.2")] {
        let mut found = lab.peer(peer).found.iter();
        let reflexive = found.find(|one| one.kind == CandidateKind::ServerReflexive).expect("it is found");
        assert_eq!(reflexive.socket_address().map(|address| address.ip()), Some(ip(router)));
    }
}

/// Alice offers everything at once, because she does not know whether the other side trickles; Bob
/// trickles (RFC 8838 §16).
#[test]
fn half_trickle_connects_like_full_trickle() {
    for trickles in [true, false] {
        let routers = [behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT)];
        let mut lab = Lab::two_homes(routers, &with_stun(), 1);
        lab.with(ALICE, |host, now| host.gather(now));
        assert!(lab.run_until(SECOND * 10, |lab| {
            lab.peer(ALICE).agent.gathering_state() == columba_ice::GatheringState::Complete
        }));
        let offered = lab.with(ALICE, |host, _| std::mem::take(&mut host.candidates));
        let remote = RemoteParameters { trickle: trickles, ..lab.peer(ALICE).parameters() };
        lab.with(BOB, |host, now| {
            host.agent.set_remote(now, remote);
            for (_, candidate) in offered {
                host.agent.add_remote_candidate(now, candidate);
            }
            if trickles {
                host.agent.end_of_remote_candidates(now);
            }
            host.gather(now);
        });
        lab.signal_description(BOB, ALICE);
        assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
        assert!(lab.exchanges_data());
        // Both know that nothing follows: Alice because Bob says so, Bob because all came with the
        // offer.
        let completed = |lab: &Lab| lab.both(|host| host.agent.state() == State::Completed);
        assert!(lab.run_until(SECOND * 60, completed), "{trickles}");
    }
}

#[test]
fn candidates_before_the_description_are_held_until_it_arrives() {
    let mut stranger = fresh();
    stranger.add(candidate("198.51.100.1", 1));
    stranger.add(of_generation(2, "them"));
    stranger.add(of_generation(3, "others"));
    assert!(known(&stranger).is_empty() && stranger.take().is_empty());
    stranger.set_remote(generation("them"));
    let addresses = known(&stranger);
    assert_eq!(addresses.len(), 2, "what says nothing belongs to what comes: {addresses:?}");
    assert_eq!(stranger.take().iter().filter(|sent| sent.is_request()).count(), 2);
}

#[test]
fn oldest_held_candidate_is_dropped_over_the_bound() {
    let mut stranger = fresh();
    for number in 0..10_000 {
        stranger.add(of_generation(number % 250, "them"));
    }
    assert_eq!(dropped(&stranger), 9_900);
    stranger.set_remote(generation("them"));
    let addresses = known(&stranger);
    assert_eq!(addresses.len(), 100);
    assert!(addresses.iter().any(|address| address.ip() == ip("198.51.100.249")), "the latest is there");
    assert!(addresses.iter().all(|address| address.ip() != ip("198.51.100.99")), "an older one is not");
}

#[test]
fn candidates_of_an_old_session_are_dropped() {
    let mut stranger = fresh();
    stranger.set_remote(generation("one"));
    stranger.add(of_generation(1, "one"));
    // Of a restart of which the description is still to come.
    stranger.add(of_generation(2, "two"));
    assert_eq!(known(&stranger).len(), 1);
    stranger.answer_all("198.51.100.1:1025".parse().unwrap());
    stranger.agent.restart(stranger.now, None);
    stranger.agent.gather(stranger.now);
    stranger.drain();
    stranger.set_remote(generation("two"));
    assert!(known(&stranger).iter().any(|address| address.ip() == ip("198.51.100.2")));
    // One of the old generation comes late.
    let before = dropped(&stranger);
    stranger.add(of_generation(3, "one"));
    assert_eq!(dropped(&stranger), before + 1);
    stranger.take();
    stranger.pass(SECOND);
    assert!(known(&stranger).iter().all(|address| address.ip() != ip("198.51.100.3")));
    assert!(stranger.take().iter().all(|sent| sent.path.remote.ip() != ip("198.51.100.3")));
}

/// IPv6 addresses of each scope, on both sides.
#[test]
fn pairs_are_formed_within_families_and_scopes_only() {
    let own = ["192.0.2.1", "2001:db8::1", "fd00::1", "fe80::1"];
    let locals = own.map(|text| LocalAddress::from(ip(text)));
    let mut stranger = ScriptedPeer::new(Config::default(), &locals);
    stranger.set_remote(hostile::stranger());
    let remotes = ["198.51.100.1", "2001:db8::2", "fd00::2", "fe80::2", "::1", "127.0.0.1", "ff02::1", "::"];
    for (number, remote) in (1..).zip(remotes) {
        stranger.add(candidate(remote, number));
    }
    let stats = stranger.agent.stats();
    let mut pairs: Vec<_> = stats.pairs.iter().filter_map(|pair| pair.path).collect();
    pairs.sort();
    pairs.dedup();
    let pairs: Vec<_> = pairs.iter().map(|path| (path.local.ip(), path.remote.ip())).collect();
    let expected = [
        ("192.0.2.1", "198.51.100.1"),
        ("2001:db8::1", "2001:db8::2"),
        ("2001:db8::1", "fd00::2"),
        ("fd00::1", "2001:db8::2"),
        ("fd00::1", "fd00::2"),
        ("fe80::1", "fe80::2"),
    ];
    assert_eq!(pairs, expected.map(|(local, remote)| (ip(local), ip(remote))));
}

/// The addresses that have sockets, in the order of their candidates' priorities.
fn used(addresses: &[LocalAddress]) -> Vec<std::net::IpAddr> {
    let stranger = ScriptedPeer::new(Config::default(), addresses);
    let found = stranger.events.iter().filter_map(|event| match event {
        Event::LocalCandidate(one) if one.transport == CandidateTransport::Udp => Some(one.clone()),
        _ => None,
    });
    let mut found: Vec<_> = found.filter(|one| one.kind == CandidateKind::Host).collect();
    found.sort_by_key(|one| std::cmp::Reverse(one.priority));
    found.iter().filter_map(Candidate::socket_address).map(|address| address.ip()).collect()
}

#[test]
fn temporary_addresses_replace_stable_ones_and_deprecated_kinds_are_unused() {
    let temporary = |text| LocalAddress { temporary: true, ..LocalAddress::from(ip(text)) };
    let stable = |text| LocalAddress::from(ip(text));
    let addresses = [
        stable("2001:db8:1::abcd"),
        temporary("2001:db8:1::1"),
        stable("2001:db8:2::abcd"),
        stable("fd00::abcd"),
        temporary("fd00::1"),
        // Site-local, IPv4 in IPv6's clothes, and what is no host's at all.
        stable("fec0::1"),
        stable("::192.0.2.9"),
        stable("ff02::1"),
        stable("::"),
    ];
    let expected = ["2001:db8:1::1", "2001:db8:2::abcd", "fd00::1"].map(ip);
    assert_eq!(used(&addresses), expected, "and unique local ones come last");
    // IPv4 that was mapped into IPv6 is IPv4.
    assert_eq!(used(&[stable("::ffff:192.0.2.1")]), [ip("192.0.2.1")]);
}

/// Neither family waits for the other's end (RFC 8421 §4), and the better network comes first.
#[test]
fn families_alternate_in_priorities_and_checks() {
    let address = |text, network_cost| LocalAddress { network_cost, ..LocalAddress::from(ip(text)) };
    let addresses = [
        address("192.0.2.3", 900),
        address("192.0.2.1", 0),
        address("192.0.2.2", 10),
        address("2001:db8::3", 900),
        address("2001:db8::1", 0),
    ];
    let expected = ["2001:db8::1", "192.0.2.1", "2001:db8::3", "192.0.2.2", "192.0.2.3"].map(ip);
    assert_eq!(used(&addresses), expected);

    let mut stranger = ScriptedPeer::new(Config::default(), &addresses);
    stranger.agent.set_role(columba_ice::Role::Controlling);
    for (number, remote) in (1..).zip(["198.51.100.1", "2001:db8:9::1"]) {
        stranger.add(Candidate { priority: 2_000_000_000, ..candidate(remote, number) });
    }
    stranger.set_remote(hostile::stranger());
    stranger.pass(SECOND);
    let checks = stranger.take();
    let mut order: Vec<_> = checks.iter().map(|sent| sent.path.local.ip()).collect();
    let mut seen = Vec::new();
    order.retain(|ip| {
        let is_new = !seen.contains(ip);
        seen.push(*ip);
        is_new
    });
    // Both families are asked in the first moment; to one address checks keep their distance.
    assert_eq!(order[..2], [expected[0], expected[1]]);
    assert_eq!(order.len(), 5);
}

/// RFC 8445 §6.1.2.6: of the pairs of one foundation one waits, and the others are frozen until it
/// has succeeded.
#[test]
fn pairs_of_one_foundation_are_frozen_until_the_first_succeeds() {
    let config = Config { tcp: TcpMode::Off, ..Config::default() };
    let (mut agent, now, _) = hostile::agent_with(config, hostile::stranger());
    for number in [1, 2] {
        let priority = 2_000_000_000 - number;
        let other = candidate("198.51.100.1", number);
        agent.add_remote_candidate(now, Candidate { foundation: "same".into(), priority, ..other });
    }
    let mut pairs = agent.stats().pairs;
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.priority));
    let states: Vec<_> = pairs.iter().map(|pair| pair.state).collect();
    assert_eq!(states, [PairState::InProgress, PairState::Frozen]);
}

/// Names under resolution count with what is held.
#[test]
fn names_are_resolved_after_the_description_has_arrived() {
    let mut stranger = fresh();
    let named = |number: u32| Candidate {
        address: CandidateAddress::Name(Arc::from(format!("{number}.local"))),
        ..candidate("198.51.100.1", number)
    };
    stranger.add(named(1));
    let asked = |stranger: &ScriptedPeer| {
        let all = stranger.requests.iter();
        all.filter(|one| matches!(one, Request::ResolveMdns { .. } | Request::Resolve { .. })).count()
    };
    assert_eq!(asked(&stranger), 0, "no name is resolved before the description");
    stranger.set_remote(hostile::stranger());
    assert_eq!(asked(&stranger), 1);
    for number in 2..1000 {
        stranger.add(named(number));
    }
    assert_eq!(asked(&stranger), 100);
}
