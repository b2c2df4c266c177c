//! The NAT matrix: connected exactly where a path exists, over the best kind of path.
//!
//! What must come out is the word of [`oracle`]. The page `docs/nat-matrix-simulated.md` is what
//! came out; `UPDATE_DOCS=1` writes it.

mod oracle;
mod table;
mod topologies;

use std::time::Duration;

use columba_ice::{CandidateKind, Config, ServerKind, Transport};
use columba_netsim::{Dependence, Firewall, Nat, PortAssignment, Router};

use crate::connecting::behind;
use crate::lab::{Lab, servers};
use oracle::{End, Way};

const DEPENDENCES: [Dependence; 3] =
    [Dependence::EndpointIndependent, Dependence::AddressDependent, Dependence::AddressAndPortDependent];

/// The nine kinds of mapping and filtering.
pub(crate) fn kinds() -> Vec<Nat> {
    let mut kinds = Vec::new();
    for mapping in DEPENDENCES {
        for filtering in DEPENDENCES {
            kinds.push(Nat { mapping, filtering, ..Nat::CONE });
        }
    }
    kinds
}

/// A kind with and without port preservation and hairpin, by the two lowest bits.
fn variant(nat: Nat, bits: usize) -> Nat {
    let ports = if bits & 1 == 0 { PortAssignment::Preserving } else { PortAssignment::Random };
    Nat { ports, hairpin: bits & 2 == 0, ..nat }
}

/// Returns whether every pair of variants is tried, as `cargo xtask nat-matrix` has it: in an
/// ordinary run each pair of kinds is met by one pair of variants.
fn everything() -> bool {
    std::env::var_os("NAT_MATRIX").is_some_and(|value| value == "all")
}

fn config(relays: bool) -> Config {
    let mut config =
        Config { servers: vec![servers(ServerKind::Stun, Transport::Udp, 3478)], ..Config::default() };
    if relays {
        config.servers.push(servers(ServerKind::Turn, Transport::Udp, 3478));
        config.servers.push(servers(ServerKind::Turn, Transport::Tcp, 443));
    }
    config
}

/// Returns the path of a world, in which data must flow if it says that it is connected.
fn connect(mut lab: Lab) -> Way {
    lab.start();
    if !lab.run_until(Duration::from_secs(10), Lab::settled) {
        return Way::Nothing;
    }
    lab.run_for(Duration::from_secs(2));
    assert!(lab.exchanges_data(), "settled, but no data gets through:\n{}", lab.network.trace());
    match lab.kinds().iter().filter(|kind| **kind == Some(CandidateKind::Relayed)).count() {
        0 if lab
            .both(|host| host.selected.last().is_some_and(|pair| pair.path.transport == Transport::Tcp)) =>
        {
            Way::Connection
        }
        0 => Way::Direct,
        1 => Way::OneRelay,
        _ => Way::TwoRelays,
    }
}

/// Compares a world without and with relays to what must be; what is wrong goes to `wrong`.
fn compare(name: &str, ends: &[End; 2], world: impl Fn(&Config, u64) -> Lab, wrong: &mut Vec<String>) -> Way {
    let seed = name.bytes().fold(7, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let [without, with] = [false, true].map(|relays| {
        let expected = oracle::best_way(&ends[0], &ends[1], relays);
        let found = connect(world(&config(relays), seed));
        if found != expected {
            wrong.push(format!("{name}, relays {relays}: {found:?} instead of {expected:?}"));
        }
        found
    });
    if without != Way::Nothing && without != with {
        wrong.push(format!("{name}: {without:?} without relays, {with:?} with them"));
    }
    with
}

fn two_homes(one: Nat, two: Nat) -> impl Fn(&Config, u64) -> Lab {
    move |config, seed| {
        Lab::two_homes([behind("198.51.100.1", one), behind("198.51.100.2", two)], config, seed)
    }
}

fn wall(outer: &str) -> Router {
    Router { firewall: Firewall::only_https(), ..behind(outer, Nat::PORT) }
}

/// The best path of each pair of kinds of mapping and filtering, whatever the variants.
fn pairs(wrong: &mut Vec<String>) -> Vec<Vec<Way>> {
    let kinds = kinds();
    let mut rows = Vec::new();
    for (row, one) in kinds.iter().enumerate() {
        let mut ways = Vec::new();
        for (column, two) in kinds.iter().enumerate() {
            let ends = [one, two].map(|nat| End::behind(&[*nat]));
            let all: Vec<usize> =
                if everything() { (0..16).collect() } else { vec![(5 * row + 3 * column) % 16] };
            let mut found: Vec<Way> = all
                .into_iter()
                .map(|bits| {
                    let (one, two) = (variant(*one, bits), variant(*two, bits / 4));
                    let name = format!("{} – {}, variants {bits:04b}", table::name(&one), table::name(&two));
                    compare(&name, &ends, two_homes(one, two), wrong)
                })
                .collect();
            found.dedup();
            if found.len() > 1 {
                wrong.push(format!("row {row}, column {column}: the variants differ: {found:?}"));
            }
            ways.push(found[0]);
        }
        rows.push(ways);
    }
    rows
}

#[test]
fn nat_pairs_connect_where_the_rules_allow() {
    let mut wrong = Vec::new();
    let page = table::page(&pairs(&mut wrong), &topologies::all(&mut wrong));
    println!("{page}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    table::keep(&page);
}
