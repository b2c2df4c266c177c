//! Paths that stall in the middle of a transfer. Whether a peer is there is for ICE's consent to
//! say (RFC 7675: after 30 s); nothing above it may give up before.

use std::time::Duration;

use columba_netsim::{Link, Loss};
use columba_peer::{ChannelId, Configuration, DataChannelInit, Message};

use crate::lab::{ALICE, BOB, Lab, SECOND};

/// Messages of each side's.
const MESSAGES: usize = 60;

/// The `index`th message.
fn numbered(index: usize) -> Message {
    let mut bytes = vec![7; 20_000];
    bytes[..2].copy_from_slice(&(index as u16).to_be_bytes());
    Message::Binary(bytes.into())
}

/// Two peers that have just begun to send each other more than a second's worth.
fn transferring(seed: u64) -> Lab {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, seed);
    let alice = lab.open(ALICE, "transfer", DataChannelInit::default());
    let opened = lab.run_until(SECOND * 10, |lab| lab.both(|host| !host.open.is_empty()));
    assert!(opened, "{}", lab.network.trace());
    let bob = lab.peer(BOB).open[0];
    for (side, channel) in [(ALICE, alice), (BOB, bob)] {
        fill(&mut lab, side, channel);
    }
    lab.run_for(Duration::from_millis(60));
    lab
}

fn fill(lab: &mut Lab, side: usize, channel: ChannelId) {
    lab.with(side, |host, now| {
        for index in 0..MESSAGES {
            host.peer.send(now, channel, numbered(index)).unwrap();
        }
    });
}

fn change(lab: &mut Lab, side: usize, mut change: impl FnMut(&mut Link)) {
    let interface = lab.interfaces[side];
    lab.network.change_link(interface, |out, into| {
        change(out);
        change(into);
    });
}

/// Everything arrives once and in order, without an error.
fn must_end_whole(lab: &mut Lab, what: &str) {
    let whole = |lab: &Lab| lab.both(|host| host.all_received().len() >= MESSAGES);
    let done = lab.run_until(SECOND * 120, whole);
    let numbers: Vec<_> = (0..MESSAGES).map(numbered).collect();
    for side in [ALICE, BOB] {
        let host = lab.peer(side);
        assert!(host.errors.is_empty() && host.closed.is_empty(), "{what}: {:?}", host.errors);
        assert!(done, "{what}: {} of {MESSAGES}; {}", host.all_received().len(), lab.network.trace());
        assert!(host.all_received() == numbers, "{what}");
    }
}

#[test]
fn path_silent_for_less_than_the_consent_timeout_comes_back() {
    for (seed, seconds) in [1, 3, 8, 15, 24].into_iter().enumerate() {
        for side in [ALICE, BOB] {
            let mut lab = transferring(seed as u64);
            change(&mut lab, side, |link| link.loss = Loss::All);
            lab.run_for(SECOND * seconds);
            change(&mut lab, side, |link| link.loss = Loss::None);
            must_end_whole(&mut lab, &format!("{seconds} s of silence at {side}"));
        }
    }
}

#[test]
fn peer_stalled_for_seconds_catches_up() {
    // What a starved process looks like: everything that was sent to it arrives at once, and very
    // late.
    for (seed, seconds) in [1, 4, 10, 20].into_iter().enumerate() {
        for side in [ALICE, BOB] {
            let mut lab = transferring(10 + seed as u64);
            change(&mut lab, side, |link| link.delay = SECOND * seconds);
            lab.run_for(Duration::from_millis(400));
            change(&mut lab, side, |link| link.delay = Duration::from_millis(10));
            must_end_whole(&mut lab, &format!("{seconds} s of delay at {side}"));
        }
    }
}

#[test]
fn path_slow_for_minutes_is_kept() {
    for (seed, millis) in [600, 1500, 4000].into_iter().enumerate() {
        for side in [ALICE, BOB] {
            let mut lab = transferring(20 + seed as u64);
            change(&mut lab, side, |link| link.delay = Duration::from_millis(millis));
            lab.run_for(SECOND * 100);
            change(&mut lab, side, |link| link.delay = Duration::from_millis(10));
            must_end_whole(&mut lab, &format!("{millis} ms of delay at {side}"));
        }
    }
}

/// An owner that takes no more events holds data: nothing is lost, and the connection lives on.
#[test]
fn held_data_arrives_once_it_is_let_go_on() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 11);
    let first = lab.open(ALICE, "first", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 5, |lab| lab.both(|host| host.open.len() == 1)));
    lab.with(BOB, |host, _| host.peer.hold_data(true));
    lab.open(ALICE, "second", DataChannelInit::default());
    lab.with(ALICE, |host, now| host.peer.send(now, first, Message::from("later")).unwrap());
    lab.run_for(SECOND * 20);
    assert!(lab.connected() && lab.peer(BOB).open.len() == 1 && lab.peer(BOB).all_received().is_empty());
    lab.with(BOB, |host, _| host.peer.hold_data(false));
    assert!(lab.run_until(SECOND * 40, |lab| lab.peer(BOB).open.len() == 2));
    assert!(lab.run_until(SECOND, |lab| lab.peer(BOB).all_received() == [Message::from("later")]));
    assert!(lab.both(|host| host.errors.is_empty()));
}
