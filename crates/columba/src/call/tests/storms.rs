//! Sides that forget, connections that fail on one side or both, and signaling that fails with
//! them: at the end both are always connected.

use std::time::Duration;

use columba_signal::PeerId;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::time::{sleep, timeout};

use super::network::Network;
use super::{ann, bob, connected, options, soon, talk, text};
use crate::call::{Call, CallEvents, CallOptions, CallTiming};

/// Durations without restarts: what comes up does so by asking.
fn without_restarts() -> CallOptions {
    let never = Duration::from_secs(3600);
    let timing = CallTiming { retry: never, disconnected: never, ..options().timing };
    CallOptions { timing, ..options() }
}

#[tokio::test]
async fn side_that_has_forgotten_the_other_is_connected_again_whatever_the_other_believes() {
    for forgets_ann in [true, false] {
        let network = Network::new(1);
        let (one, mut to_one) = network.join(ann(), without_restarts());
        let (other, mut to_other) = network.join(bob(), without_restarts());
        connected(&mut to_one).await;
        connected(&mut to_other).await;
        // The former call goes on as far as the other can see: its connection stays up.
        let id = if forgets_ann { ann() } else { bob() };
        let (again, mut to_again) = network.join(id, without_restarts());
        connected(&mut to_again).await;
        let (ann_side, bob_side) = if forgets_ann {
            ((&again, &mut to_again), (&other, &mut to_other))
        } else {
            ((&one, &mut to_one), (&again, &mut to_again))
        };
        talk(ann_side, bob_side).await;
    }
}

#[tokio::test]
async fn greater_number_of_the_polite_side_is_followed() {
    let network = Network::new(2);
    // The numbers of the first connection are those of an hour later.
    network.meddle(|_, _, text| {
        let attempt = text.split_once(r#""attempt":"#)?.1.split([',', '}']).next()?;
        let later = attempt.parse::<u64>().ok()? + 3_600_000;
        Some(text.replace(attempt, &later.to_string()))
    });
    let (_one, mut to_one) = network.join(ann(), options());
    let _former = network.join(bob(), options());
    // The polite side follows; the impolite does not know these numbers.
    until_followed(&network).await;
    network.meddle(|_, _, text| Some(text.to_owned()));
    let (_other, mut to_other) = network.join(bob(), options());
    connected(&mut to_other).await;
    connected(&mut to_one).await;
}

/// Waits until an answer was sent.
async fn until_followed(network: &Network) {
    soon("an answer", async {
        while !network.has_answered() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A member that may be replaced.
struct Seat {
    id: PeerId,
    call: Call,
    events: CallEvents,
}

impl Seat {
    fn new(network: &Network, id: PeerId) -> Self {
        let (call, events) = network.join(id, options());
        Self { id, call, events }
    }

    fn connection_to(&self, other: PeerId) -> Option<crate::PeerConnection> {
        self.call.connection(other).ok()
    }
}

/// Something goes wrong.
async fn strike(rng: &mut ChaCha8Rng, network: &Network, seats: &mut [Seat; 2], former: &mut Vec<Seat>) {
    let victim = (rng.next_u32() % 2) as usize;
    let other = seats[1 - victim].id;
    match rng.next_u32() % 5 {
        0 => {
            if let Some(connection) = seats[victim].connection_to(other) {
                soon("closing", connection.close()).await;
            }
        }
        1 => {
            let both = [seats[0].connection_to(bob()), seats[1].connection_to(ann())];
            for connection in both.into_iter().flatten() {
                soon("closing", connection.close()).await;
            }
        }
        2 => network.stop(),
        3 => network.restart(),
        _ => {
            let id = seats[victim].id;
            let old = std::mem::replace(&mut seats[victim], Seat::new(network, id));
            let is_gone = rng.next_u32().is_multiple_of(2);
            if let Some(connection) = old.connection_to(other).filter(|_| is_gone) {
                soon("closing", connection.close()).await;
            }
            former.push(old);
        }
    }
}

/// Both hear of each other, over connections that may still change.
async fn hear_of_each_other(seats: &mut [Seat; 2]) {
    let [one, other] = seats;
    for number in 0_u32.. {
        let word = format!("are you there, {number}?");
        let _ = (one.call.send(bob(), word.clone()), other.call.send(ann(), word.clone()));
        let both = async {
            while text(&mut one.events).await != word {}
            while text(&mut other.events).await != word {}
        };
        if timeout(Duration::from_secs(2), both).await.is_ok() {
            return;
        }
    }
}

#[tokio::test]
async fn both_are_connected_after_every_storm() {
    for seed in 0..8 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let network = Network::new(seed);
        network.disturb(15, 15, 60);
        let mut seats = [Seat::new(&network, ann()), Seat::new(&network, bob())];
        let mut former = Vec::new();
        for _ in 0..6 {
            sleep(Duration::from_millis(u64::from(rng.next_u32() % 700))).await;
            strike(&mut rng, &network, &mut seats, &mut former).await;
        }
        network.disturb(0, 0, 0);
        network.restart();
        soon(&format!("storm {seed} is over"), hear_of_each_other(&mut seats)).await;
    }
}
