//! The NAT matrix: connected exactly where a path exists, over the best kind of path.

use std::time::Duration;

use columba_ice::CandidateKind;
use columba_netsim::Nat;

use crate::lab::{Lab, with_stun, with_turn};
use crate::meeting::behind;

const KINDS: [(&str, Nat); 4] =
    [("cone", Nat::CONE), ("address", Nat::ADDRESS), ("port", Nat::PORT), ("symmetric", Nat::SYMMETRIC)];

/// The pair's kind of path as one word; `None` if they do not meet.
fn meet(first: Nat, second: Nat, turn: bool, seed: u64) -> Option<&'static str> {
    let config = if turn { with_turn() } else { with_stun() };
    let routers = [behind("198.51.100.1", first), behind("198.51.100.2", second)];
    let mut lab = Lab::two_homes(routers, &config, seed);
    lab.start();
    if !lab.run_until(Duration::from_secs(10), Lab::settled) {
        return None;
    }
    lab.run_for(Duration::from_secs(2));
    assert!(lab.talks(), "settled, but no data gets through:\n{}", lab.network.trace());
    let relayed = lab.kinds().contains(&Some(CandidateKind::Relayed));
    Some(if relayed { "relayed" } else { "direct" })
}

#[test]
fn every_pair_of_nats_meets_where_a_path_exists() {
    println!("{:>10} | {}", "", KINDS.map(|(name, _)| format!("{name:^19}")).join(" | "));
    let mut wrong = Vec::new();
    for (row, (name, first)) in KINDS.iter().enumerate() {
        let mut cells = Vec::new();
        for (column, (other, second)) in KINDS.iter().enumerate() {
            let direct = row + column < 5;
            let seed = (row * 10 + column) as u64;
            let found = [false, true].map(|turn| meet(*first, *second, turn, seed));
            let expected = if direct { [Some("direct"); 2] } else { [None, Some("relayed")] };
            if found != expected {
                wrong.push(format!("{name} and {other}: {found:?} instead of {expected:?}"));
            }
            cells.push(format!("{:>9} {:>9}", found[0].unwrap_or("-"), found[1].unwrap_or("-")));
        }
        println!("{name:>10} | {}", cells.join(" | "));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
