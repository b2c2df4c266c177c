//! The addresses that are used and shown (RFC 8828 §5.2).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use columba_ice::{
    AddressPolicy, CandidateKind, Config, LocalAddress, MdnsMode, ServerKind, Transport, TransportPolicy,
};
use columba_netsim::{Link, Nat};

use crate::connecting::behind;
use crate::lab::{ALICE, BOB, Lab, ip, servers, with_turn};

const SECOND: Duration = Duration::from_secs(1);

/// The address by which the default route leaves; another of the same interface; IPv6 of three
/// kinds; a second network; a VPN.
const ADDRESSES: [(&str, bool, bool); 7] = [
    ("192.168.0.7", true, false),
    ("192.168.0.8", true, false),
    ("fd00::7", true, false),
    ("2001:db8:1::abcd", true, false),
    ("2001:db8:1::7", true, true),
    ("10.5.0.7", false, false),
    ("fd99::7", false, false),
];

/// Alice is at home in two networks, Bob in one; a STUN server that does not answer is among the
/// servers.
fn lab(config: Config) -> Lab {
    let mut lab = Lab::new(1);
    let mut silent = servers(ServerKind::Stun, Transport::Udp, 9);
    silent.url = "stun:silent".into();
    let config = Config { servers: vec![with_turn().servers[0].clone(), silent], ..config };
    let link = || Link::with_delay(Duration::from_millis(10));
    let home = lab.add_home(behind("198.51.100.1", Nat::PORT));
    lab.add_peer(home, "192.168.0.7", config, link());
    let other = lab.add_home(behind("198.51.100.2", Nat::PORT));
    lab.add_peer(other, "192.168.0.9", with_turn(), link());
    lab.with(ALICE, |host, _| {
        let address = |(text, default_route, temporary)| LocalAddress {
            default_route,
            temporary,
            ..LocalAddress::from(ip(text))
        };
        host.addresses = ADDRESSES.map(address).to_vec();
    });
    lab.start();
    lab.run_for(SECOND * 12);
    lab
}

/// The addresses from which anything left or was ready to leave.
fn bases(lab: &Lab) -> BTreeSet<IpAddr> {
    lab.peer(ALICE).bound.clone()
}

fn addresses<const N: usize>(texts: [&str; N]) -> BTreeSet<IpAddr> {
    texts.map(ip).into()
}

/// The own addresses that Alice shows in candidates, their related addresses, statistics and
/// errors.
fn shown(lab: &Lab) -> BTreeSet<IpAddr> {
    let host = lab.peer(ALICE);
    let stats = host.agent.stats();
    let candidates = host.found.iter().chain(stats.local_candidates.iter().map(|one| &one.candidate));
    let selected = host.selected.iter().map(|pair| &pair.local);
    let candidates = candidates.chain(selected).flat_map(|one| [one.socket_address(), one.related]);
    let errors = host.errors.iter().map(|error| error.local);
    let paths = stats.pairs.iter().filter_map(|pair| pair.path).map(|path| Some(path.local));
    let all = candidates.chain(errors).chain(paths).flatten().map(|address| address.ip());
    all.filter(|ip| ADDRESSES.iter().any(|own| self::ip(own.0) == *ip)).collect()
}

fn kinds(lab: &Lab) -> BTreeSet<CandidateKind> {
    lab.peer(ALICE).found.iter().map(|one| one.kind).collect()
}

#[test]
fn mode_1_uses_all_addresses_but_stable_ones_beside_temporary_ones() {
    let lab = lab(Config::default());
    let all = ["192.168.0.7", "192.168.0.8", "fd00::7", "2001:db8:1::7", "10.5.0.7", "fd99::7"];
    assert_eq!(bases(&lab), addresses(all));
    assert_eq!(shown(&lab), addresses(all));
    assert!(lab.settled());
    // Where neither address is better for its network, the one with the longer reach is (RFC 6724
    // §5, rule 6).
    let priority = |text: &str| {
        let host = lab.peer(ALICE).found.iter().find(|one| one.socket_address().unwrap().ip() == ip(text));
        host.unwrap().priority
    };
    assert!(priority("2001:db8:1::7") > priority("fd00::7") && priority("fd00::7") > priority("fd99::7"));
}

#[test]
fn mode_2_uses_one_default_route_address_of_each_family() {
    let lab = lab(Config { address_policy: AddressPolicy::DefaultRoute, ..Config::default() });
    let default = addresses(["192.168.0.7", "2001:db8:1::7"]);
    assert_eq!((bases(&lab), shown(&lab)), (default.clone(), default));
    assert_eq!(lab.peer(ALICE).found.iter().filter(|one| one.kind == CandidateKind::Host).count(), 2 * 3);
    assert!(lab.settled() && !lab.peer(ALICE).errors.is_empty());
}

#[test]
fn mode_3_uses_the_default_route_and_hides_host_addresses() {
    for mdns in [MdnsMode::Query, MdnsMode::QueryAndGather] {
        let lab =
            lab(Config { address_policy: AddressPolicy::DefaultRouteHidden, mdns, ..Config::default() });
        assert_eq!(bases(&lab), addresses(["192.168.0.7", "2001:db8:1::7"]));
        assert_eq!(shown(&lab), addresses([]));
        let expected = [CandidateKind::ServerReflexive, CandidateKind::Relayed];
        assert_eq!(kinds(&lab), expected.into());
        let host = lab.peer(ALICE);
        assert!(lab.settled() && !host.errors.is_empty(), "it is found all the same");
        assert_ne!(lab.kinds()[ALICE], Some(CandidateKind::Relayed));
        assert!(host.agent.stats().pairs.iter().all(|pair| pair.path.is_none()));
    }
}

#[test]
fn mode_4_sends_to_the_relay_only() {
    let policies = [
        Config { address_policy: AddressPolicy::RelayOnly, ..Config::default() },
        // The W3C's word for it, which leaves the choice of the route free.
        Config { policy: TransportPolicy::Relay, ..Config::default() },
    ];
    for config in policies {
        let mode = config.address_policy;
        let lab = lab(config);
        if mode == AddressPolicy::RelayOnly {
            assert_eq!(bases(&lab), addresses(["192.168.0.7"]), "its only server has IPv4");
        }
        assert_eq!(shown(&lab), addresses([]));
        assert_eq!(kinds(&lab), [CandidateKind::Relayed].into());
        let relay = ip(crate::lab::SERVER);
        assert!(
            lab.peer(ALICE).destinations.iter().all(|ip| *ip == relay),
            "{:?}",
            lab.peer(ALICE).destinations
        );
        assert!(lab.settled());
        assert_eq!(lab.kinds()[ALICE], Some(CandidateKind::Relayed));
    }
}

#[test]
fn mdns_names_hide_addresses_everywhere() {
    let lab = lab(Config { mdns: MdnsMode::QueryAndGather, ..Config::default() });
    assert_eq!(shown(&lab), addresses([]));
    assert!(kinds(&lab).contains(&CandidateKind::Host) && lab.settled());
}

/// A restart with a stricter policy leaves the old path to carry data until the new one is there,
/// and nothing else.
#[test]
fn restart_with_a_stricter_policy_closes_forbidden_sockets() {
    let mut lab = lab(Config::default());
    assert!(lab.settled());
    let strict = Config { address_policy: AddressPolicy::RelayOnly, ..with_turn() };
    lab.with(ALICE, |host, now| {
        host.agent.restart(now, Some(strict));
        host.found.clear();
        host.errors.clear();
        host.selected.clear();
    });
    lab.with(BOB, |host, now| host.agent.restart(now, None));
    assert!(lab.exchanges_data(), "the old path");
    lab.start();
    assert!(lab.run_until(SECOND * 5, |lab| lab.kinds()[ALICE] == Some(CandidateKind::Relayed)));
    lab.run_for(SECOND * 2);
    assert!(lab.settled() && lab.exchanges_data());
    assert_eq!(kinds(&lab), [CandidateKind::Relayed].into());
    assert_eq!(shown(&lab), addresses([]));
    assert_eq!(lab.peer(ALICE).sockets, 1, "the relay's");
}

/// Only the route is another one: the address is still there, and so is the way to say goodbye.
#[test]
fn moved_default_route_moves_all_sockets() {
    let mut lab = lab(Config { address_policy: AddressPolicy::DefaultRoute, ..Config::default() });
    let before = lab.turn().allocations();
    lab.with(ALICE, |host, now| {
        for address in &mut host.addresses {
            address.default_route = address.address == ip("192.168.0.8");
        }
        let addresses = host.addresses.clone();
        host.agent.handle_network_change(now, &addresses);
    });
    lab.run_for(SECOND * 5);
    assert_eq!(
        lab.turn().allocations(),
        before - 1,
        "the old one is given back, the new address reaches no server"
    );
}
