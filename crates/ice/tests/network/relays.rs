//! Relays through the agent: refused, redirected, late, kept, and given back.

use std::net::SocketAddr;
use std::time::Duration;

use columba_ice::{
    CandidateError, CandidateKind, Config, GatheringState, Host, IceServer, ServerKind, Transport,
    TransportPolicy,
};
use columba_netsim::{Firewall, HostId, InterfaceId, Link, Loss, Nat, PortAssignment, Router};
use columba_stun::{ErrorCode, Method};

use crate::connecting::behind;
use crate::lab::{ALICE, BOB, Lab, SERVER, ip, servers, with_stun, with_turn};
use crate::server::PORT;

const SECOND: Duration = Duration::from_secs(1);
const OTHER: &str = "5.0.0.2";
const PUBLIC: &str = "203.0.113.7";

/// One peer without a NAT.
fn alone(config: Config, seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    let internet = lab.internet;
    lab.add_peer(internet, PUBLIC, config, Link::with_delay(Duration::from_millis(10)));
    lab
}

/// Gathers until it is done; how long that took.
fn gather(lab: &mut Lab) -> Duration {
    let start = lab.network.now();
    lab.with(ALICE, |host, now| host.gather(now));
    let end = start + SECOND * 60;
    while lab.peer(ALICE).agent.gathering_state() != GatheringState::Complete {
        assert!(lab.network.now() < end, "gathering never ends");
        lab.network.run_for(Duration::from_millis(10));
    }
    lab.network.now() - start
}

fn relayed(lab: &Lab) -> Vec<SocketAddr> {
    let relayed = lab.peer(ALICE).found.iter().filter(|one| one.kind == CandidateKind::Relayed);
    relayed.filter_map(|one| one.socket_address()).collect()
}

/// The one error: code, and whether the local address is told.
fn the_error(lab: &Lab) -> &CandidateError {
    let errors = &lab.peer(ALICE).errors;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].url, lab_server(Transport::Udp).url);
    &errors[0]
}

fn lab_server(transport: Transport) -> IceServer {
    servers(ServerKind::Turn, transport, PORT)
}

/// A server that is asked with the user's name and another password.
fn wrong_password() -> Config {
    let server = IceServer { credential: "guess".into(), ..lab_server(Transport::Udp) };
    Config { servers: vec![server], ..Config::default() }
}

#[test]
fn server_errors_are_reported_with_their_code() {
    type Change = fn(&mut columba_turn::server::Config);
    let cases: [(u16, &str, Config, Change); 4] = [
        (401, "Unauthenticated", wrong_password(), |_| ()),
        (486, "Allocation Quota Reached", with_turn(), |config| config.max_allocations_per_credential = 0),
        (508, "Insufficient Capacity", with_turn(), |config| config.max_allocations = 0),
        (440, "Address Family not Supported", with_turn(), |config| config.relay_ipv4 = false),
    ];
    for (code, text, config, change) in cases {
        let mut lab = alone(config, u64::from(code));
        lab.change_server(change);
        let took = gather(&mut lab);
        let error = the_error(&lab);
        assert_eq!((error.code, &*error.text), (code, text));
        assert_eq!(error.local.map(|local| local.ip()), Some(ip(PUBLIC)), "{code}");
        assert!(error.local.is_some_and(|local| local.port() > 0));
        assert!(took < SECOND, "{code}: a server that has answered is not waited for: {took:?}");
        assert_eq!(relayed(&lab), []);
        assert_eq!(lab.peer(ALICE).sockets, 1, "the relay's socket is closed again");
    }
}

#[test]
fn errors_before_authentication_are_reported() {
    for (code, number) in [(ErrorCode::FORBIDDEN, 403), (ErrorCode::SERVER_ERROR, 500)] {
        let mut lab = alone(with_turn(), 1);
        let server = lab.server.unwrap();
        lab.with_server(server, |host, _| host.refusals.push((code, None)));
        gather(&mut lab);
        assert_eq!(the_error(&lab).code, number);
    }
}

#[test]
fn unreachable_server_is_reported_as_701() {
    // An unknown name, at once.
    let server = IceServer { host: Host::Name("nowhere.test".into()), ..lab_server(Transport::Udp) };
    let mut lab = alone(Config { servers: vec![server], ..Config::default() }, 1);
    assert!(gather(&mut lab) < SECOND);
    let error = the_error(&lab);
    assert_eq!((error.code, &*error.text, error.local), (701, "the server's name has no address", None));

    // A connection that is not let through.
    let config = Config { servers: vec![lab_server(Transport::Tcp)], ..Config::default() };
    let mut lab = Lab::new(2);
    let wall = Router { firewall: Firewall::only_https(), ..behind("198.51.100.1", Nat::PORT) };
    let home = lab.add_home(wall);
    lab.add_peer(home, "192.168.0.7", config, Link::default());
    assert!(gather(&mut lab) <= SECOND * 10);
    let errors = &lab.peer(ALICE).errors;
    assert_eq!((errors.len(), errors[0].code), (1, 701), "{errors:?}");
}

/// 9.5 seconds are all that a server gets. One that answers later has answered for nothing: what it
/// allocates goes back, since the other side has heard that no more candidates follow.
#[test]
fn late_allocation_is_reported_as_701_and_released() {
    let mut lab = alone(with_turn(), 3);
    let server = lab.server.unwrap();
    // The challenge still comes, the answer does not.
    lab.with(ALICE, |host, now| host.gather(now));
    lab.network.run_for(Duration::from_millis(35));
    lab.with_server(server, |host, _| host.muted_port = true);
    assert!(lab.peer(ALICE).errors.is_empty());
    lab.network.run_for(SECOND * 9);
    assert_eq!(lab.peer(ALICE).agent.gathering_state(), GatheringState::Gathering);
    lab.network.run_for(Duration::from_millis(600));
    assert_eq!(lab.peer(ALICE).agent.gathering_state(), GatheringState::Complete);
    let error = the_error(&lab);
    assert_eq!((error.code, &*error.text), (701, "the server did not answer"));
    assert_eq!(error.local.map(|local| local.ip()), Some(ip(PUBLIC)));

    lab.with_server(server, |host, _| host.muted_port = false);
    lab.network.run_for(SECOND * 30);
    let stats = lab.turn().server.stats();
    assert_eq!((stats.allocations_total, stats.allocations_live), (1, 0), "given back");
    assert_eq!(relayed(&lab), []);
    assert_eq!((lab.peer(ALICE).errors.len(), lab.peer(ALICE).sockets), (1, 1));
}

#[test]
fn silent_server_is_reported_as_701_and_leaves_no_socket() {
    let mut lab = alone(with_turn(), 4);
    let server = lab.server.unwrap();
    lab.with_server(server, |host, _| host.muted_port = true);
    let took = gather(&mut lab);
    assert!((SECOND * 9..SECOND * 10).contains(&took), "{took:?}");
    assert_eq!(the_error(&lab).code, 701);
    lab.network.run_for(SECOND * 60);
    assert_eq!((lab.peer(ALICE).errors.len(), lab.peer(ALICE).sockets), (1, 1));
}

/// A server that sends the first who come on to another one.
fn redirecting(lab: &mut Lab, server: HostId, to: &str, times: usize) {
    let to: SocketAddr = to.parse().unwrap();
    lab.with_server(server, |host, _| host.refusals = vec![(ErrorCode::TRY_ALTERNATE, Some(to)); times]);
}

#[test]
fn redirection_is_followed() {
    let mut lab = alone(with_turn(), 5);
    let (first, second) = (lab.server.unwrap(), lab.add_server(OTHER));
    redirecting(&mut lab, first, "5.0.0.2:3478", 1);
    gather(&mut lab);
    assert_eq!(relayed(&lab).iter().map(SocketAddr::ip).collect::<Vec<_>>(), [ip(OTHER)]);
    assert_eq!((lab.turn().allocations(), lab.server_at(second).allocations()), (0, 1));
    assert!(lab.peer(ALICE).errors.is_empty());
    assert_eq!(lab.peer(ALICE).sockets, 2);
}

#[test]
fn redirection_to_the_other_family_is_followed() {
    for has_ipv6 in [true, false] {
        let mut lab = alone(with_turn(), 6);
        let (internet, first) = (lab.internet, lab.server.unwrap());
        let second = lab.add_server("2001:db8::2");
        redirecting(&mut lab, first, "[2001:db8::2]:3478", 1);
        if has_ipv6 {
            let host = lab.peers[ALICE];
            lab.network.attach(host, internet, ip("2001:db8::7"), Link::default());
            lab.with(ALICE, |host, _| host.addresses.push(ip("2001:db8::7").into()));
        }
        gather(&mut lab);
        // This server gives IPv6 addresses only, which it was not asked for alone.
        assert_eq!(lab.server_at(second).requests.contains_key(&Method::ALLOCATE), has_ipv6);
        if !has_ipv6 {
            assert_eq!(the_error(&lab).code, 300);
        }
    }
}

#[test]
fn circular_redirections_end() {
    let mut lab = alone(with_turn(), 7);
    let (first, second) = (lab.server.unwrap(), lab.add_server(OTHER));
    redirecting(&mut lab, first, "5.0.0.2:3478", 100);
    redirecting(&mut lab, second, "5.0.0.1:3478", 100);
    assert!(gather(&mut lab) < SECOND);
    assert_eq!(the_error(&lab).code, 300);
    let asked = |host: HostId| lab.server_at(host).requests[&Method::ALLOCATE];
    assert_eq!((asked(first), asked(second)), (1, 1));
}

#[test]
fn chained_redirections_end() {
    let mut lab = alone(with_turn(), 8);
    let mut from = lab.server.unwrap();
    for number in 2..10 {
        redirecting(&mut lab, from, &format!("5.0.0.{number}:3478"), 1);
        from = lab.add_server(&format!("5.0.0.{number}"));
    }
    assert!(gather(&mut lab) < SECOND * 2);
    assert_eq!(the_error(&lab).code, 300);
    assert_eq!(lab.server_at(from).requests.len(), 0);
}

/// The first answer is not authenticated: it leads to no place inside, and to no other service.
#[test]
fn unsafe_redirections_are_refused() {
    for unsafe_place in
        ["192.168.0.9:3478", "127.0.0.1:3478", "169.254.169.254:80", "5.0.0.2:25", "0.0.0.0:3478"]
    {
        let mut lab = alone(with_turn(), 9);
        let first = lab.server.unwrap();
        redirecting(&mut lab, first, unsafe_place, 1);
        gather(&mut lab);
        assert_eq!(the_error(&lab).code, 300, "{unsafe_place}");
        let destinations = &lab.peer(ALICE).destinations;
        assert_eq!(destinations.iter().copied().collect::<Vec<_>>(), [ip(SERVER)]);
    }
}

#[test]
fn allocation_mismatch_is_retried_from_another_port() {
    let mut lab = alone(with_turn(), 10);
    let server = lab.server.unwrap();
    lab.with_server(server, |host, _| host.refusals = vec![(ErrorCode::ALLOCATION_MISMATCH, None); 2]);
    gather(&mut lab);
    assert_eq!(relayed(&lab).len(), 1);
    assert!(lab.peer(ALICE).errors.is_empty());
    assert_eq!(lab.peer(ALICE).sockets, 2);

    // But not for ever.
    let mut lab = alone(with_turn(), 10);
    lab.with_server(server, |host, _| host.refusals = vec![(ErrorCode::ALLOCATION_MISMATCH, None); 100]);
    gather(&mut lab);
    assert_eq!(the_error(&lab).code, 437);
    assert_eq!(lab.turn().requests[&Method::ALLOCATE], 5);
}

/// Two peers whose only way is a relay: of Alice's, by this transport.
fn over_relay(config: Config, seed: u64) -> Lab {
    let mut lab = Lab::new(seed);
    for (outer, config) in [("198.51.100.1", config), ("198.51.100.2", with_stun())] {
        let home = lab.add_home(behind(outer, Nat::SYMMETRIC));
        lab.add_peer(home, "192.168.0.7", config, Link::with_delay(Duration::from_millis(10)));
    }
    lab
}

/// The nonce goes stale every few minutes; permissions end after five, channels and allocations
/// after ten.
#[test]
fn relay_is_kept_for_hours_over_every_transport() {
    for transport in [Transport::Udp, Transport::Tcp, Transport::Tls] {
        let config = Config { servers: vec![lab_server(transport)], ..Config::default() };
        let mut lab = over_relay(config, 11);
        lab.change_server(|config| config.nonce_lifetime = SECOND * 450);
        lab.start();
        assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
        assert_eq!(lab.kinds()[ALICE], Some(CandidateKind::Relayed));
        let forbidden =
            |lab: &Lab| lab.turn().server.stats().dropped(columba_turn::server::DropReason::NoPermission);
        let before = forbidden(&lab);
        for _ in 0..24 {
            lab.run_for(SECOND * 600);
            lab.with(BOB, |host, _| host.received.clear());
            lab.with(ALICE, |host, now| host.send(now, b"\x80coo"));
            lab.run_for(SECOND);
            assert_eq!(lab.peer(BOB).received, [b"\x80coo"], "{transport:?} {}", lab.network.trace());
        }
        let stats = lab.turn().server.stats();
        assert_eq!((stats.allocations_total, stats.allocations_live, stats.allocations_moved), (1, 1, 0));
        assert!(stats.error(438) > 10, "the nonce went stale {} times", stats.error(438));
        assert_eq!(forbidden(&lab), before);
        assert!(lab.both(|host| host.restarts_wanted == 0 && host.selected.len() == 1));
    }
}

#[test]
fn data_goes_by_indication_until_the_channel_is_bound() {
    let mut lab = over_relay(with_turn(), 12);
    lab.start();
    let is_writable = |lab: &Lab| lab.peer(ALICE).writable_at.is_some();
    assert!(lab.run_until(SECOND * 10, is_writable));
    let seen = |lab: &Lab| {
        let turn = lab.turn();
        (turn.requests.get(&Method::SEND).copied().unwrap_or(0), turn.channel_data)
    };
    assert!(seen(&lab).0 > 0, "checks went in Send indications");
    assert_eq!(seen(&lab).1, 0);
    assert!(lab.run_until(SECOND * 10, Lab::settled));
    lab.run_for(SECOND);
    let before = seen(&lab);
    for _ in 0..50 {
        lab.with(ALICE, |host, now| host.send(now, b"\x80coo"));
        lab.run_for(Duration::from_millis(10));
    }
    lab.run_for(SECOND);
    let after = seen(&lab);
    // Checks of other pairs may still go out.
    assert!(after.0 - before.0 < 5, "no Send indication any more: {before:?} {after:?}");
    assert!(after.1 >= before.1 + 50);
}

#[test]
fn restart_with_a_configuration_uses_its_servers() {
    let mut lab = over_relay(with_turn(), 13);
    let second = lab.add_server(OTHER);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    assert_eq!((lab.turn().allocations(), lab.server_at(second).allocations()), (1, 0));

    let server =
        IceServer { host: Host::Ip(ip(OTHER)), url: "turn:other".into(), ..lab_server(Transport::Udp) };
    let config = Config { servers: vec![server], policy: TransportPolicy::Relay, ..Config::default() };
    lab.with(ALICE, |host, now| {
        host.found.clear();
        host.selected.clear();
        host.agent.restart(now, Some(config));
    });
    lab.with(BOB, |host, now| host.agent.restart(now, None));
    lab.start();
    assert!(lab.exchanges_data(), "the old path carries on meanwhile");
    assert!(lab.run_until(SECOND * 10, |lab| lab.settled() && !lab.peer(ALICE).selected.is_empty()));
    assert_eq!(relayed(&lab).iter().map(SocketAddr::ip).collect::<Vec<_>>(), [ip(OTHER)]);
    assert_eq!(lab.peer(ALICE).selected.last().unwrap().path.remote.ip(), ip(OTHER));
    assert!(lab.exchanges_data());
    lab.run_for(SECOND * 5);
    assert_eq!(
        (lab.turn().allocations(), lab.server_at(second).allocations()),
        (0, 1),
        "the old one went back"
    );

    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.agent.close(now));
    }
    lab.run_for(SECOND);
    assert_eq!(lab.server_at(second).allocations(), 0);
    assert!(lab.both(|host| host.sockets == 0));
}

/// The NAT forgets its mappings while checks are under way that nothing has answered yet: the
/// server does not know the host any more, and what it sends to its peer is dropped without a word.
#[test]
fn relay_cut_off_by_a_nat_is_replaced_before_any_answer() {
    for (seed, mobility) in [(1, false), (2, true)] {
        let mut lab = Lab::new(seed);
        let home = lab.add_home(behind("198.51.100.1", Nat { ports: PortAssignment::Random, ..Nat::PORT }));
        let config = Config { policy: TransportPolicy::Relay, mobility, ..with_turn() };
        lab.add_peer(home, "192.168.0.7", config, Link::with_delay(Duration::from_millis(10)));
        lab.add_peer(lab.internet, PUBLIC, Config::default(), Link::with_delay(Duration::from_millis(10)));
        let bob = lab.interfaces[BOB];
        lose(&mut lab, bob, 1.0);
        lab.start();
        lab.run_for(Duration::from_millis(300));
        assert!(lab.turn().channel_data + lab.turn().requests[&Method::SEND] > 0, "checks are under way");
        lab.network.flush_router(lab.routers[0]);
        lab.run_for(SECOND);
        lose(&mut lab, bob, 0.0);
        assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
        assert!(lab.exchanges_data());
        assert!(lab.both(|host| host.restarts_wanted == 0));
    }
}

fn lose(lab: &mut Lab, interface: InterfaceId, loss: f64) {
    lab.network.change_link(interface, |out, into| {
        out.loss = Loss::Random(loss);
        into.loss = Loss::Random(loss);
    });
}
