//! Worlds beside two homes with a NAT each.

use std::time::Duration;

use columba_ice::{Config, LocalAddress};
use columba_netsim::{Firewall, Link, Nat, Router};

use super::oracle::{self, End, Way};
use super::{compare, connect, everything, kinds, table, two_homes, variant, wall};
use crate::connecting::behind;
use crate::lab::{Lab, ip};

/// One line of the page: what the world is, and how many pairs of kinds met in which way.
pub(super) struct Line {
    pub(super) world: &'static str,
    pub(super) ways: Vec<Way>,
}

const OUTER: [&str; 2] = ["198.51.100.1", "198.51.100.2"];
const HOME: &str = "192.168.0.7";

fn link() -> Link {
    Link::with_delay(Duration::from_millis(10))
}

pub(super) fn all(wrong: &mut Vec<String>) -> Vec<Line> {
    vec![
        public(wrong),
        both_public(wrong),
        blocked(wrong),
        both_blocked(wrong),
        walled(wrong),
        walled_and_home(wrong),
        both_walled(wrong),
        double(wrong),
        one_carrier(wrong),
        one_home(wrong),
        two_families(wrong),
        one_family(wrong),
    ]
}

/// A home behind a NAT, and a peer with an address of its own, in both orders.
fn public(wrong: &mut Vec<String>) -> Line {
    let mut ways = Vec::new();
    for (index, nat) in kinds().into_iter().enumerate() {
        let nat = variant(nat, index);
        for first in [true, false] {
            let name = format!("{} – public, NAT first {first}", table::name(&nat));
            let world = |config: &Config, seed| {
                let mut lab = Lab::new(seed);
                for inside in [first, !first] {
                    let (zone, address) = if inside {
                        (lab.add_home(behind(OUTER[0], nat)), HOME)
                    } else {
                        (lab.internet, "203.0.113.7")
                    };
                    lab.add_peer(zone, address, config.clone(), link());
                }
                lab
            };
            ways.push(compare(&name, &[End::behind(&[nat]), End::public()], world, wrong));
        }
    }
    Line { world: "a NAT of each kind – a public address", ways }
}

fn both_public(wrong: &mut Vec<String>) -> Line {
    let world = |config: &Config, seed| {
        let mut lab = Lab::new(seed);
        for address in ["203.0.113.7", "203.0.113.8"] {
            let internet = lab.internet;
            lab.add_peer(internet, address, config.clone(), link());
        }
        lab
    };
    let ways = vec![compare("public – public", &[End::public(), End::public()], world, wrong)];
    Line { world: "two public addresses", ways }
}

/// UDP is blocked and only TCP to port 443 passes: the relay is reached over TCP.
fn blocked(wrong: &mut Vec<String>) -> Line {
    let mut ways = Vec::new();
    for (index, nat) in kinds().into_iter().enumerate() {
        let nat = variant(nat, index);
        for first in [true, false] {
            let name = format!("{} – blocked, NAT first {first}", table::name(&nat));
            let world = |config: &Config, seed| {
                let routers = [behind(OUTER[0], nat), wall(OUTER[1])];
                let [one, two] = routers;
                Lab::two_homes(if first { [one, two] } else { [two, one] }, config, seed)
            };
            ways.push(compare(&name, &[End::behind(&[nat]), End::blocked()], world, wrong));
        }
    }
    Line { world: "a NAT of each kind – a wall that only TCP to port 443 passes", ways }
}

fn both_blocked(wrong: &mut Vec<String>) -> Line {
    let world = |config: &Config, seed| Lab::two_homes(OUTER.map(wall), config, seed);
    let ways = vec![compare("blocked – blocked", &[End::blocked(), End::blocked()], world, wrong)];
    Line { world: "two such walls", ways }
}

fn tcp_wall(outer: &str, nat: Nat) -> Router {
    Router { firewall: Firewall::only_tcp(), ..behind(outer, nat) }
}

/// No datagram passes, but connections do: to a public address.
fn walled(wrong: &mut Vec<String>) -> Line {
    let mut ways = Vec::new();
    for (index, nat) in kinds().into_iter().enumerate() {
        let nat = variant(nat, index);
        for first in [true, false] {
            let name = format!("{} without UDP – public, NAT first {first}", table::name(&nat));
            let world = |config: &Config, seed| {
                let mut lab = Lab::new(seed);
                for inside in [first, !first] {
                    let (zone, address) = if inside {
                        (lab.add_home(tcp_wall(OUTER[0], nat)), HOME)
                    } else {
                        (lab.internet, "203.0.113.7")
                    };
                    lab.add_peer(zone, address, config.clone(), link());
                }
                lab
            };
            ways.push(compare(&name, &[End::walled(&[nat]), End::public()], world, wrong));
        }
    }
    Line { world: "a NAT of each kind that blocks UDP – a public address", ways }
}

/// The other one is at home: no connection can be opened to there.
fn walled_and_home(wrong: &mut Vec<String>) -> Line {
    let mut ways = Vec::new();
    for (index, nat) in kinds().into_iter().enumerate() {
        let (nat, other) = (variant(nat, index), variant(kinds()[8 - index], index / 2));
        let name = format!("{} without UDP – {}", table::name(&nat), table::name(&other));
        let world = |config: &Config, seed| {
            Lab::two_homes([tcp_wall(OUTER[0], nat), behind(OUTER[1], other)], config, seed)
        };
        ways.push(compare(&name, &[End::walled(&[nat]), End::behind(&[other])], world, wrong));
    }
    Line { world: "a NAT of each kind that blocks UDP – another NAT", ways }
}

fn both_walled(wrong: &mut Vec<String>) -> Line {
    let world =
        |config: &Config, seed| Lab::two_homes(OUTER.map(|outer| tcp_wall(outer, Nat::PORT)), config, seed);
    let ends = [End::walled(&[Nat::PORT]), End::walled(&[Nat::PORT])];
    let ways = vec![compare("both without UDP", &ends, world, wrong)];
    Line { world: "two NATs that block UDP", ways }
}

/// Each home's NAT is behind a carrier's of its own.
fn double(wrong: &mut Vec<String>) -> Line {
    let kinds = kinds();
    let mut ways = Vec::new();
    for (row, home) in kinds.iter().enumerate() {
        for (column, carrier) in kinds.iter().enumerate() {
            if !everything() && (row + column) % 3 != 0 {
                continue;
            }
            // The other side: one NAT, of each kind in turn; of every kind where everything is
            // tried.
            let others = if everything() { (0..9).collect() } else { vec![(row + 2 * column) % 9] };
            for other in others {
                let (home, carrier) = (variant(*home, row), variant(*carrier, column));
                let other = variant(kinds[other], row + column);
                let [home_name, carrier_name, other_name] =
                    [home, carrier, other].map(|nat| table::name(&nat));
                let name = format!("{home_name} behind {carrier_name} – {other_name}");
                let ends = [End::behind(&[home, carrier]), End::behind(&[other])];
                let world = |config: &Config, seed| {
                    let mut lab = Lab::new(seed);
                    let outside = lab.add_home(behind(OUTER[0], carrier));
                    let inside = lab.add_inner_home(outside, behind("100.64.0.5", home));
                    lab.add_peer(inside, HOME, config.clone(), link());
                    let inside = lab.add_home(behind(OUTER[1], other));
                    lab.add_peer(inside, HOME, config.clone(), link());
                    lab
                };
                ways.push(compare(&name, &ends, world, wrong));
            }
        }
    }
    Line { world: "a NAT behind a carrier's NAT (81 pairs of kinds) – another NAT", ways }
}

/// Two homes with the same inner addresses behind one carrier's NAT: neither can be reached but by
/// its hairpin.
fn one_carrier(wrong: &mut Vec<String>) -> Line {
    let kinds = kinds();
    let mut ways = Vec::new();
    for (row, carrier) in kinds.iter().enumerate() {
        for hairpin in [true, false] {
            let homes =
                if everything() { (0..81).collect() } else { vec![0, (17 * row + 5) % 81, (29 * row) % 81] };
            for homes in homes {
                let carrier = Nat { hairpin, ..*carrier };
                let homes = [kinds[homes / 9], kinds[homes % 9]];
                // Without a hairpin nothing gets from one to the other, whatever filters say.
                let direct = hairpin && {
                    let ends = homes.map(|home| End::behind(&[home, carrier]));
                    oracle::is_direct(&ends[0], &ends[1])
                };
                let [one, two, around] = [homes[0], homes[1], carrier].map(|nat| table::name(&nat));
                let name = format!("{one} – {two}, both behind {around}, hairpin {hairpin}");
                let world = |config: &Config, seed| {
                    let mut lab = Lab::new(seed);
                    let outside = lab.add_home(behind(OUTER[0], carrier));
                    for (home, outer) in homes.into_iter().zip(["100.64.0.5", "100.64.0.6"]) {
                        let inside = lab.add_inner_home(outside, behind(outer, home));
                        lab.add_peer(inside, HOME, config.clone(), link());
                    }
                    lab
                };
                let found = [false, true].map(|relays| {
                    let expected = match (direct, relays) {
                        (true, _) => Way::Direct,
                        (false, true) => Way::OneRelay,
                        (false, false) => Way::Nothing,
                    };
                    let found = connect(world(&super::config(relays), 11));
                    if found != expected {
                        wrong.push(format!("{name}, relays {relays}: {found:?} instead of {expected:?}"));
                    }
                    found
                });
                ways.push(found[1]);
            }
        }
    }
    Line {
        world: "two homes with the same inner address behind one carrier's NAT, with hairpin and without",
        ways,
    }
}

/// Two peers in one network, whatever is around it.
fn one_home(wrong: &mut Vec<String>) -> Line {
    let mut ways = Vec::new();
    for (index, nat) in kinds().into_iter().enumerate() {
        for bits in 0..4 {
            let nat = variant(nat, bits);
            let name = format!("both behind {}, {index}, {bits}", table::name(&nat));
            let world = |config: &Config, seed| {
                let mut lab = Lab::new(seed);
                let home = lab.add_home(behind(OUTER[0], nat));
                for address in [HOME, "192.168.0.8"] {
                    lab.add_peer(home, address, config.clone(), link());
                }
                lab
            };
            ways.push(compare(&name, &[End::public(), End::public()], world, wrong));
        }
    }
    Line { world: "two peers in one network behind a NAT of each kind", ways }
}

/// Both have IPv6 behind firewalls that let answers in.
fn two_families(wrong: &mut Vec<String>) -> Line {
    let mut ways = Vec::new();
    for (index, one) in kinds().into_iter().enumerate() {
        let two = kinds()[8 - index];
        let name = format!("{} – {}, and IPv6", table::name(&one), table::name(&two));
        let world = |config: &Config, seed| {
            let mut lab = two_homes(one, two)(config, seed);
            for index in 0..2 {
                add_ipv6(&mut lab, index);
            }
            lab
        };
        // Such a firewall is as a NAT that maps all alike and filters by address and port.
        ways.push(compare(&name, &[Nat::PORT; 2].map(|nat| End::behind(&[nat])), world, wrong));
    }
    Line { world: "NATs of different kinds, and IPv6 with stateful firewalls on both sides", ways }
}

/// Only one has IPv6: of no use.
fn one_family(wrong: &mut Vec<String>) -> Line {
    let mut ways = Vec::new();
    for (index, one) in kinds().into_iter().enumerate() {
        let two = kinds()[8 - index];
        let name = format!("{} and IPv6 – {}", table::name(&one), table::name(&two));
        let world = |config: &Config, seed| {
            let mut lab = two_homes(one, two)(config, seed);
            add_ipv6(&mut lab, index % 2);
            lab
        };
        ways.push(compare(&name, &[one, two].map(|nat| End::behind(&[nat])), world, wrong));
    }
    Line { world: "NATs of different kinds, and IPv6 on one side only", ways }
}

fn add_ipv6(lab: &mut Lab, index: usize) {
    let zone = lab.network.add_zone();
    let firewall = Router { firewall: Firewall::stateful(), ..Router::default() };
    let router = lab.network.add_router(zone, lab.internet, firewall);
    let (network, address) = [("2001:db8:1::", "2001:db8:1::7"), ("2001:db8:2::", "2001:db8:2::7")][index];
    lab.network.add_route(lab.internet, ip(network), 64, router);
    lab.network.attach(lab.peers[index], zone, ip(address), link());
    lab.with(index, |host, _| host.addresses.push(LocalAddress::from(ip(address))));
}
