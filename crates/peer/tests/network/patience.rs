//! Long waits in signaling: ringing, and texts that people carry from one side to the other.

use std::time::Duration;

use columba_netsim::Nat;
use columba_peer::{DataChannelInit, IceConnectionState, PeerConnectionState, SdpType, SessionDescription};

use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

const TEN_MINUTES: Duration = Duration::from_secs(600);

/// The whole description of a side that has gathered, as it is made for pasting: more candidates
/// may follow, as far as the text says.
fn text_of(lab: &Lab, index: usize) -> SessionDescription {
    let description = lab.peer(index).peer.local_description().unwrap();
    let lines = description.sdp.lines().filter(|line| !line.starts_with("a=end-of-candidates"));
    let sdp = lines.fold(String::new(), |text, line| text + line + "\r\n");
    SessionDescription { sdp, ..description }
}

/// Gives a text of one side's to the other.
fn paste(lab: &mut Lab, from: usize) {
    let text = text_of(lab, from);
    lab.with(1 - from, |host, now| {
        let is_offer = text.kind == SdpType::Offer;
        host.peer.set_remote_description(now, text).unwrap();
        if is_offer {
            host.peer.set_local_description(now, None).unwrap();
        }
    });
}

#[test]
fn ten_minutes_of_ringing_end_in_a_connection() {
    for nats in [[Nat::PORT; 2], [Nat::SYMMETRIC; 2]] {
        let mut lab = Lab::homes(nats, &with_turn(), 0.0, 1);
        lab.with(BOB, |host, _| host.answers = false);
        lab.open(ALICE, "call", DataChannelInit::default());
        lab.run_for(TEN_MINUTES);
        assert!(lab.both(|host| host.peer.ice_connection_state() == IceConnectionState::New));
        assert!(lab.both(|host| host.states.is_empty()), "nothing has begun");
        lab.with(BOB, |host, now| host.answer(now));
        assert!(lab.run_until(SECOND * 5, Lab::connected), "{}", lab.network.trace());
    }
}

#[test]
fn ten_minutes_between_two_pastes_end_in_a_connection() {
    for nats in [[Nat::PORT; 2], [Nat::SYMMETRIC; 2], [Nat::PORT, Nat::SYMMETRIC]] {
        let mut lab = Lab::homes(nats, &with_turn(), 0.0, 2);
        lab.carries_signals = false;
        lab.open(ALICE, "chat", DataChannelInit::default());
        lab.run_for(SECOND * 15);
        paste(&mut lab, ALICE);
        lab.run_for(TEN_MINUTES);
        let bob = lab.peer(BOB);
        assert!(!bob.states.contains(&PeerConnectionState::Failed), "{nats:?}: {:?}", bob.states);
        paste(&mut lab, BOB);
        assert!(lab.run_until(SECOND * 30, Lab::connected), "{nats:?} {}", lab.network.trace());
    }
}

/// The other side of a finished description never comes: that is a failure.
#[test]
fn search_that_is_finished_on_both_sides_fails() {
    let mut lab = Lab::homes([Nat::PORT; 2], &with_turn(), 0.0, 3);
    lab.open(ALICE, "chat", DataChannelInit::default());
    lab.answer_delay = Some(TEN_MINUTES);
    lab.run_for(SECOND * 30);
    assert_eq!(lab.peer(BOB).peer.ice_connection_state(), IceConnectionState::Checking);
    assert!(lab.run_until(SECOND * 20, |lab| {
        lab.peer(BOB).peer.ice_connection_state() == IceConnectionState::Failed
    }));
}
