//! Worlds other than two homes with IPv4: walls, two families, lite agents, carriers, changing
//! interfaces.

use std::net::SocketAddr;
use std::time::Duration;

use columba_ice::{
    CandidateKind, CandidateTransport, Config, LocalAddress, Role, ServerKind, State, Transport,
};
use columba_netsim::{Firewall, Link, Nat, Router};

use crate::connecting::behind;
use crate::lab::{ALICE, BOB, Lab, ip, servers, with_stun, with_turn};

const SECOND: Duration = Duration::from_secs(1);

fn link() -> Link {
    Link::with_delay(Duration::from_millis(10))
}

#[test]
fn https_only_firewall_is_traversed_by_turn_over_tcp() {
    for transport in [Transport::Tcp, Transport::Tls] {
        let wall = Router { firewall: Firewall::only_https(), ..behind("198.51.100.1", Nat::PORT) };
        let config = Config {
            servers: vec![
                servers(ServerKind::Turn, Transport::Udp, 3478),
                servers(ServerKind::Turn, transport, 443),
            ],
            ..Config::default()
        };
        let mut lab = Lab::two_homes([wall, behind("198.51.100.2", Nat::PORT)], &config, 1);
        lab.start();
        assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
        assert!(lab.exchanges_data());
        assert_eq!(lab.kinds()[ALICE], Some(CandidateKind::Relayed));
        let path = lab.peer(ALICE).selected.last().unwrap().path;
        assert_eq!(path.transport, transport);
        assert_eq!(path.remote, SocketAddr::new(ip("5.0.0.1"), 443));
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| host.agent.close(now));
        }
        lab.run_for(SECOND * 30);
        assert_eq!(lab.turn().allocations(), 0);
    }
}

#[test]
fn double_nat_connects() {
    let mut lab = Lab::new(2);
    for index in 0..2 {
        let carrier = lab.add_home(behind(["198.51.100.1", "198.51.100.2"][index], Nat::PORT));
        let home = lab.network.add_zone();
        lab.network.add_router(home, carrier, behind("100.64.0.5", Nat::PORT));
        lab.add_peer(home, "192.168.0.7", with_stun(), link());
    }
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
}

#[test]
fn hosts_behind_one_nat_connect_locally() {
    let mut lab = Lab::new(3);
    let home = lab.add_home(behind("198.51.100.1", Nat::CONE));
    lab.add_peer(home, "192.168.0.7", with_stun(), link());
    lab.add_peer(home, "192.168.0.8", with_stun(), link());
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    lab.run_for(SECOND);
    assert_eq!(lab.kinds(), [Some(CandidateKind::Host); 2], "not by the hairpin");
}

#[test]
fn carrier_grade_nat_connects_by_hairpinning() {
    let mut lab = Lab::new(4);
    let carrier = lab.add_home(behind("198.51.100.1", Nat::PORT));
    for outer in ["100.64.0.5", "100.64.0.6"] {
        let home = lab.network.add_zone();
        lab.network.add_router(home, carrier, behind(outer, Nat::PORT));
        lab.add_peer(home, "192.168.0.7", with_stun(), link());
    }
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
}

/// One has IPv4 only and the other IPv6 only, and the one's server relays to both families, but
/// gives an allocation one of them.
#[test]
fn relay_of_the_other_family_is_requested_where_needed() {
    let mut lab = Lab::new(17);
    let (internet, server) = (lab.internet, lab.server.unwrap());
    let place = ip("2001:db8::1");
    lab.network.attach(server, internet, place, link());
    lab.with_server(server, |host, now| {
        host.ipv6_alone = Some(place);
        host.change(now, |config| {
            config.relay_ipv6 = true;
            config.own_addresses.push(place);
        });
    });
    lab.add_peer(internet, "203.0.113.7", with_turn(), link());
    lab.add_peer(internet, "2001:db8:9::9", Config::default(), link());
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
    let pair = lab.peer(BOB).selected.last().unwrap();
    assert_eq!(pair.path.remote.ip(), place);
    assert_eq!(lab.with_server(server, |host, _| host.allocations()), 2);
    assert!(lab.peer(ALICE).errors.is_empty(), "{:?}", lab.peer(ALICE).errors);

    // Where the other side has the own family, no other is requested.
    let mut lab = Lab::new(18);
    let internet = lab.internet;
    lab.add_peer(internet, "203.0.113.7", with_turn(), link());
    lab.add_peer(internet, "203.0.113.8", Config::default(), link());
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled));
    assert_eq!(lab.turn().allocations(), 1);
}

/// Both have an IPv6 that is announced and not carried: IPv4 does not wait until that is clear (RFC
/// 8421).
#[test]
fn broken_ipv6_causes_no_delay() {
    let took = |has_ipv6: bool| {
        let mut lab = Lab::new(19);
        let internet = lab.internet;
        for index in 0..2 {
            lab.add_peer(internet, ["203.0.113.7", "203.0.113.8"][index], with_turn(), link());
            if has_ipv6 {
                let (nowhere, host) = (lab.network.add_zone(), lab.peers[index]);
                let address = ip(["2001:db8:1::7", "2001:db8:2::7"][index]);
                lab.network.attach(host, nowhere, address, link());
                lab.with(index, |host, _| host.addresses.push(address.into()));
            }
        }
        let start = lab.network.now();
        lab.start();
        assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
        assert!(lab.exchanges_data());
        assert!(lab.peer(ALICE).selected.last().unwrap().path.remote.is_ipv4());
        lab.peer(ALICE).writable_at.map(|at| at - start).unwrap()
    };
    let (with, without) = (took(true), took(false));
    assert!(with <= without + Duration::from_millis(50), "{with:?} instead of {without:?}");
}

/// Both have IPv4 behind symmetric NATs, and IPv6 behind stateful firewalls.
#[test]
fn ipv6_connects_where_ipv4_does_not() {
    let mut lab = Lab::new(5);
    for index in 0..2 {
        let v4 = lab.add_home(behind(["198.51.100.1", "198.51.100.2"][index], Nat::SYMMETRIC));
        lab.add_peer(v4, "192.168.0.7", with_stun(), link());
        let v6 = lab.network.add_zone();
        let firewall = Router { firewall: Firewall::stateful(), ..Router::default() };
        let router = lab.network.add_router(v6, lab.internet, firewall);
        let (network, address) =
            [("2001:db8:1::", "2001:db8:1::7"), ("2001:db8:2::", "2001:db8:2::7")][index];
        lab.network.add_route(lab.internet, ip(network), 64, router);
        let host = lab.peers[index];
        lab.network.attach(host, v6, ip(address), link());
        lab.with(index, |host, _| {
            host.addresses.push(LocalAddress::from(ip(address)));
            // Stable addresses are not shown beside temporary ones, and site-local ones never.
            let stable = address.replace("::7", "::abcd");
            host.addresses.push(LocalAddress::from(ip(&stable)));
            host.addresses[1].temporary = true;
            host.addresses.push(LocalAddress::from(ip("fec0::1")));
        });
    }
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    assert!(lab.exchanges_data());
    let pair = lab.peer(ALICE).selected.last().unwrap();
    assert_eq!(pair.path.remote.ip(), ip("2001:db8:2::7"));
    assert_eq!(lab.peer(ALICE).sockets, 2, "one for each usable address");
    // IPv6 comes first, but not all of IPv6 before IPv4 (RFC 8421).
    let hosts = lab.peer(ALICE).found.iter().filter(|one| one.kind == CandidateKind::Host);
    let hosts = hosts.filter(|one| one.transport == CandidateTransport::Udp);
    let priorities: Vec<_> =
        hosts.map(|one| (one.socket_address().unwrap().is_ipv6(), one.priority)).collect();
    assert!(
        priorities
            .iter()
            .all(|one| priorities.iter().all(|two| one.0 == two.0 || (one.0 == (one.1 > two.1))))
    );
}

#[test]
fn lite_agent_connects_and_moves() {
    let mut lab = Lab::new(6);
    let home = lab.add_home(behind("198.51.100.1", Nat::SYMMETRIC));
    lab.add_peer(home, "192.168.0.7", with_stun(), link());
    let internet = lab.internet;
    lab.add_peer(internet, "203.0.113.9", Config { lite: true, ..Config::default() }, link());
    // The offerer would be controlled: meeting a lite agent, it takes over.
    lab.with(ALICE, |host, _| host.agent.set_role(Role::Controlled));
    lab.start();
    assert!(lab.run_until(SECOND * 5, Lab::settled), "{}", lab.network.trace());
    assert_eq!(lab.peer(ALICE).agent.role(), Role::Controlling);
    assert!(lab.exchanges_data());
    lab.run_for(SECOND * 120);
    assert!(lab.connected());
    let interface = lab.interfaces[ALICE];
    lab.network.set_up(interface, false);
    assert!(lab.run_until(SECOND * 60, |lab| lab.peer(BOB).agent.state() == State::Failed));
}

#[test]
fn embedded_value_arrives() {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), 7);
    lab.with(ALICE, |host, now| host.agent.set_embedded(now, [b"flight".as_slice().into()]));
    lab.start();
    assert!(lab.run_until(SECOND * 2, Lab::settled));
    assert!(lab.peer(BOB).embedded.iter().any(|bytes| bytes == b"flight"));
}

#[test]
fn new_interface_is_used_and_lost_one_left() {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), 8);
    lab.start();
    assert!(lab.run_until(SECOND * 2, Lab::settled));
    lab.run_for(SECOND * 2);
    // A second network appears; then the first one goes.
    let other = lab.network.add_zone();
    for index in [ALICE, BOB] {
        let address = ip(["10.9.0.1", "10.9.0.2"][index]);
        let host = lab.peers[index];
        let interface = lab.network.attach(host, other, address, link());
        lab.network.set_up(interface, true);
    }
    lab.run_for(SECOND);
    assert!(lab.both(|host| host.sockets == 2));
    let start = lab.network.now();
    for index in [ALICE, BOB] {
        let interface = lab.interfaces[index];
        lab.network.set_up(interface, false);
        lab.with(index, |host, _| host.received.clear());
    }
    for _ in 0..20 {
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| host.send(now, b"\x80coo"));
        }
        lab.run_for(Duration::from_millis(50));
    }
    assert!(lab.both(|host| !host.received.is_empty()), "{}", lab.network.trace());
    assert!(lab.network.now() - start <= SECOND);
    assert!(lab.connected() && lab.both(|host| host.sockets == 1));
}

#[test]
fn direct_path_replaces_a_relayed_one() {
    // At first nothing but the relay passes.
    let wall = |outer| Router { firewall: Firewall::only_https(), ..behind(outer, Nat::PORT) };
    let config = Config {
        servers: vec![servers(ServerKind::Turn, Transport::Tcp, 443), with_turn().servers[0].clone()],
        ..Config::default()
    };
    let mut lab = Lab::two_homes([wall("198.51.100.1"), wall("198.51.100.2")], &config, 9);
    lab.start();
    assert!(lab.run_until(SECOND * 10, Lab::settled), "{}", lab.network.trace());
    assert_eq!(lab.kinds(), [Some(CandidateKind::Relayed); 2]);
    // Then both come into one network.
    let lan = lab.network.add_zone();
    for index in [ALICE, BOB] {
        let address = ip(["10.9.0.1", "10.9.0.2"][index]);
        let interface = lab.network.attach(lab.peers[index], lan, address, link());
        lab.network.set_up(interface, true);
    }
    assert!(lab.run_until(SECOND * 3, |lab| lab.kinds() == [Some(CandidateKind::Host); 2]));
    assert!(lab.exchanges_data());
    assert!(lab.both(|host| host.restarts_wanted == 0));
}
