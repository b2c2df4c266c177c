//! Offers that collide, behind NATs, with signaling that takes its time: applications are written
//! like the W3C's example of perfect negotiation. They send the description that
//! `set_local_description` returns, and only the impolite one ignores an offer, and then the errors
//! of its candidates.

use std::time::Duration;

use columba_netsim::{Nat, Random};
use columba_peer::{DataChannelInit, Event, PeerConnectionState, SignalingState};

use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

/// Seeds of each situation in an ordinary run.
const SEEDS: u64 = 12;

/// Seeds of each situation in the long run; `NETSIM_SEED` for a single one.
const MANY_SEEDS: u64 = 1000;

/// Two peers behind NATs of some kind, and the random numbers of the situation.
fn homes(seed: u64, loss: f64) -> (Lab, Random) {
    let mut random = Random::new(seed);
    let nat = |random: &mut Random| [Nat::CONE, Nat::PORT, Nat::SYMMETRIC][random.below(3) as usize];
    let nats = [nat(&mut random), nat(&mut random)];
    (Lab::homes(nats, &with_turn(), loss, seed), random)
}

/// A time that signals take.
fn signaling(random: &mut Random) -> Duration {
    Duration::from_millis(20) + random.up_to(Duration::from_millis(1980))
}

fn is_stable(lab: &Lab) -> bool {
    lab.both(|host| host.peer.signaling_state() == SignalingState::Stable)
}

fn ufrag(lab: &Lab, index: usize) -> String {
    let sdp = lab.peer(index).peer.local_description().unwrap().sdp;
    sdp.lines().find(|line| line.starts_with("a=ice-ufrag")).unwrap().to_owned()
}

/// Every candidate that was announced has an owner: a section and a generation.
fn check_candidates(lab: &Lab, seed: u64) {
    for index in [ALICE, BOB] {
        for event in &lab.peer(index).events {
            if let Event::IceCandidate(Some(one)) = event {
                let init = &one.init;
                assert!(init.sdp_mid.is_some() && init.username_fragment.is_some(), "{seed}: {init:?}");
                let names = init.username_fragment.as_ref().map(|ufrag| format!(" ufrag {ufrag}"));
                assert!(
                    init.candidate.is_empty() || init.candidate.contains(&names.unwrap()),
                    "{seed}: {init:?}"
                );
            }
        }
    }
}

/// Both sides create a channel before they have heard of the other's offer.
fn first_negotiation(seed: u64, loss: f64) {
    let (mut lab, mut random) = homes(seed, loss);
    lab.signaling = signaling(&mut random);
    let first = random.below(2) as usize;
    lab.open(first, "one", DataChannelInit::default());
    let pause = random.up_to(lab.signaling);
    lab.run_for(pause);
    lab.open(1 - first, "two", DataChannelInit::default());
    let open = |lab: &Lab| lab.connected() && lab.both(|host| host.open.len() == 2) && is_stable(lab);
    let connected = lab.run_until(SECOND * 60, open);
    let states = [ALICE, BOB].map(|index| lab.peer(index).states.clone());
    assert!(connected, "{seed}: signaling {:?}, {states:?}", lab.signaling);
    check_candidates(&lab, seed);
}

/// Both sides restart ICE before they have heard of the other's restart, or one of them while the
/// other makes an ordinary offer.
fn restarts(seed: u64, loss: f64) {
    let (mut lab, mut random) = homes(seed, loss);
    lab.open(ALICE, "chat", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 60, |lab| lab.connected() && is_stable(lab)), "{seed}");
    lab.run_for(SECOND * 3);
    lab.signaling = signaling(&mut random);
    let known = [ALICE, BOB].map(|index| lab.peer(index).states.len());
    for round in 0..3 {
        let before = [ufrag(&lab, ALICE), ufrag(&lab, BOB)];
        let first = random.below(2) as usize;
        lab.with(first, |host, now| host.peer.restart_ice(now));
        let pause = random.up_to(lab.signaling);
        lab.run_for(pause);
        if random.chance(0.5) {
            lab.with(1 - first, |host, now| host.peer.restart_ice(now));
        } else {
            lab.with(1 - first, |host, now| host.offer(now));
        }
        let settled = lab.run_until(SECOND * 60, |lab| {
            let is_new = [ALICE, BOB].into_iter().all(|index| ufrag(lab, index) != before[index]);
            is_new && is_stable(lab) && lab.connected()
        });
        let states = [ALICE, BOB].map(|index| &lab.peer(index).states[known[index]..]);
        assert!(settled, "{seed}, round {round}: signaling {:?}, {states:?}", lab.signaling);
        let pause = random.up_to(SECOND * 4);
        lab.run_for(pause);
    }
    lab.run_for(SECOND * 40);
    for index in [ALICE, BOB] {
        let states = &lab.peer(index).states[known[index]..];
        assert!(!states.contains(&PeerConnectionState::Failed), "{seed}: {states:?}");
        let is_calm = states.is_empty() && lab.peer(index).errors.is_empty();
        assert!(loss > 0.0 || is_calm, "{seed}: signaling {:?}, {states:?}", lab.signaling);
        let dropped = lab.peer(index).peer.stats(lab.network.now()).dropped;
        assert!(loss > 0.0 || dropped.no_path == 0, "{seed}: there was no path");
    }
    // Where packets are lost, a path may just have been given up for another one.
    let patience = if loss > 0.0 { SECOND * 60 } else { Duration::ZERO };
    let is_well = lab.run_until(patience, |lab| lab.connected() && is_stable(lab));
    let states = [ALICE, BOB].map(|index| lab.peer(index).states.clone());
    assert!(is_well, "{seed}, loss {loss}: {states:?}");
    check_candidates(&lab, seed);
}

#[test]
fn glare_in_the_first_negotiation_connects() {
    (0..SEEDS).for_each(|seed| first_negotiation(seed, 0.0));
}

#[test]
fn glare_in_the_first_negotiation_connects_where_packets_are_lost() {
    (0..SEEDS / 2).for_each(|seed| first_negotiation(seed, 0.2));
}

#[test]
fn glare_of_restarts_does_not_interrupt_the_connection() {
    (0..SEEDS).for_each(|seed| restarts(seed, 0.0));
}

#[test]
fn glare_of_restarts_settles_where_packets_are_lost() {
    (0..SEEDS / 2).for_each(|seed| restarts(seed, 0.2));
}

#[test]
#[ignore = "takes minutes: for the long run"]
fn glare_with_many_seeds() {
    let only: Option<u64> = std::env::var("NETSIM_SEED").ok().map(|seed| seed.parse().expect("a seed"));
    for seed in (0..MANY_SEEDS).filter(|seed| only.is_none_or(|only| only == *seed)) {
        for loss in [0.0, 0.2] {
            first_negotiation(seed, loss);
            restarts(seed, loss);
        }
    }
}
