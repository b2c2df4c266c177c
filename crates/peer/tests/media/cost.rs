//! The cost of an offer and its answer, which grows in proportion to the sections.

use std::time::Instant;

use columba_peer::{Track, TrackKind};

use crate::common::*;

/// Returns allocations, and microseconds by the clock, of an offer and its answer with this many
/// sections, both set on both sides.
fn cost(sections: usize) -> (u64, u128) {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    for number in 0..sections {
        let kind = if number % 2 == 0 { TrackKind::Audio } else { TrackKind::Video };
        let track = Track { id: format!("t{number}"), kind };
        one.peer.add_track(*NOW, track, vec!["s".to_owned()]).unwrap();
    }
    let began = now();
    let allocated = allocation_counter::measure(|| {
        let offer = one.describe();
        two.take(offer);
        let answer = two.describe();
        one.take(answer);
    });
    assert_eq!(two.peer.transceivers().len(), sections);
    (allocated.count_total, now().duration_since(began).as_micros())
}

#[expect(clippy::disallowed_methods, reason = "the time that passes is printed")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[test]
fn negotiation_costs_in_proportion_to_the_sections() {
    // What is made once, is made before.
    cost(2);
    let costs = [2, 10, 100].map(|sections| (sections, cost(sections)));
    for (sections, (allocations, micros)) in costs {
        println!("{sections} sections: {allocations} allocations, {micros} µs");
    }
    let of_each = |(sections, (allocations, _)): (usize, (u64, u128))| allocations as f64 / sections as f64;
    assert!(of_each(costs[2]) < 1.2 * of_each(costs[1]), "{costs:?}");
    assert!(of_each(costs[2]) < 3000.0, "{costs:?}");
}
