//! How long agents take to connect in virtual time, and how much of the processor's in real time:
//! `cargo bench -p columba-ice`.

#![allow(dead_code, reason = "the laboratory is shared with the tests, which use all of it")]

use std::time::{Duration, Instant};

use columba_ice::{Agent, Config};
use columba_netsim::{Link, Loss, Nat, Router};

#[path = "../tests/network/lab.rs"]
mod lab;
#[path = "../tests/network/server.rs"]
mod server;

use lab::{ALICE, BOB, Lab, ip, with_turn};

const NATS: [Nat; 4] = [Nat::CONE, Nat::ADDRESS, Nat::PORT, Nat::SYMMETRIC];

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}

fn world(seed: u64, loss: f64) -> Lab {
    let mut lab = Lab::new(seed);
    // What one way loses in all: on the way out and on the way in.
    let link =
        Link { loss: Loss::Random(1.0 - (1.0 - loss).sqrt()), ..Link::with_delay(Duration::from_millis(10)) };
    for index in 0..2 {
        let outer = vec![ip(["198.51.100.1", "198.51.100.2"][index])];
        let nat = NATS[(seed as usize >> (2 * index)) % NATS.len()];
        let home = lab.add_home(Router { outer, nat: Some(nat), ..Router::default() });
        lab.add_peer(home, "192.168.0.7", with_turn(), link.clone());
    }
    lab
}

/// Virtual time from both descriptions being known to a usable pair on both sides.
fn connect(seed: u64, loss: f64) -> Option<Duration> {
    let mut lab = world(seed, loss);
    lab.delay = Duration::from_millis(20);
    lab.start();
    let start = lab.network.now();
    lab.run_until(Duration::from_secs(60), |lab| lab.both(|host| host.writable_at.is_some()))
        .then(|| {
            [ALICE, BOB].map(|index| {
                lab.peer(index).writable_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(start))
            })
        })
        .map(|times| times[0].max(times[1]))
}

fn main() {
    let rounds = 1000;
    let begun = now();
    let mut packets = 0;
    for seed in 0..rounds {
        let mut lab = world(seed, 0.0);
        lab.start();
        assert!(lab.run_until(Duration::from_secs(20), Lab::settled), "seed {seed} does not settle");
        packets += lab.network.stats().sent;
    }
    let took = now().duration_since(begun);
    println!(
        "{:.0} negotiations with NATs and TURN per second, {} packets each",
        f64::from(rounds as u32) / took.as_secs_f64(),
        packets / rounds
    );
    for loss in [0.0, 0.05, 0.2] {
        let mut times: Vec<_> = (0..rounds).filter_map(|seed| connect(seed, loss)).collect();
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "loss {:>3.0} %: connected {} of {rounds}, median {:?}, 99th percentile {:?}",
            loss * 100.0,
            times.len(),
            at(0.5),
            at(0.99)
        );
    }
    idle();
}

/// What ten thousand agents cost that have nothing to do but to keep consent.
fn idle() {
    let mut lab = Lab::one_lan([Config::default(), Config::default()], Duration::from_millis(20), 1);
    lab.start();
    assert!(lab.run_until(Duration::from_secs(5), Lab::settled));
    let begun = now();
    let seconds = 20_000;
    lab.network.run_for(Duration::from_secs(seconds));
    let took = now().duration_since(begun);
    println!(
        "a second of an agent's idling: {:?} of the processor's, the network's simulation included",
        took / (2 * seconds as u32)
    );
    println!("an agent's own size: {} bytes, beside what it points to", size_of::<Agent>());
}
