//! Rollback, explicit or by glare: transports, candidates and the state of gathering are as before.

use std::time::Duration;

use columba_peer::{
    Error, Event, IceConnectionState, IceGatheringState, OfferOptions, PeerConnectionState, SdpType,
    SessionDescription, SignalingState,
};

use crate::world::{ALICE, BOB, World, announced, candidates, ufrag};

#[test]
fn glare_in_the_first_negotiation_announces_candidates_anew() {
    for bound_before in [true, false] {
        let mut world = World::new();
        world.open(BOB, "other");
        let lost = ufrag(&world.describe(BOB).sdp);
        let before = if bound_before { world.drain(BOB) } else { Vec::new() };
        assert_eq!(!announced(&before).is_empty(), bound_before);
        let offer = world.describe(ALICE);
        world.set(BOB, offer);
        let between = world.drain(BOB);
        assert_eq!(announced(&between), [], "they have no owner");
        assert_eq!(world.peers[BOB].ice_gathering_state(), IceGatheringState::New);
        let answer = world.describe(BOB);
        assert_ne!(ufrag(&answer.sdp), lost);
        assert!(answer.sdp.contains("a=candidate"), "those known so far are in the answer");
        let after = announced(&world.drain(BOB));
        assert!(after.len() > candidates(&answer.sdp).len());
        for init in &after {
            assert_eq!(init.username_fragment, Some(ufrag(&answer.sdp)));
            assert_eq!((init.sdp_mid.as_deref(), init.sdp_m_line_index), (Some("0"), Some(0)));
        }
        world.set(ALICE, answer);
        for init in after {
            world.peers[ALICE].add_ice_candidate(world.now, Some(init)).unwrap();
        }
    }
}

#[test]
fn candidates_that_the_application_has_not_taken_go_with_their_offer() {
    let mut world = World::agreed();
    world.peers[BOB].restart_ice(world.now);
    let lost = ufrag(&world.describe(BOB).sdp);
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let events = world.drain(BOB);
    assert!(announced(&events).iter().all(|init| init.username_fragment.as_ref() != Some(&lost)));
}

#[test]
fn rolled_back_restart_brings_back_credentials_candidates_and_gathering() {
    for by_glare in [true, false] {
        let mut world = World::agreed();
        let before = world.text(BOB);
        world.peers[BOB].restart_ice(world.now);
        let lost = world.describe(BOB);
        assert_ne!(ufrag(&lost.sdp), ufrag(&before));
        if by_glare {
            let offer = world.describe(ALICE);
            world.set(BOB, offer);
            assert_eq!(world.text(BOB), before, "the current description counts again");
            let answer = world.describe(BOB);
            assert_eq!(ufrag(&answer.sdp), ufrag(&before), "the offer has not restarted ICE");
            assert_eq!(candidates(&answer.sdp), candidates(&before));
            world.set(ALICE, answer);
        } else {
            world.roll_back_local(BOB);
            assert_eq!(world.text(BOB), before);
        }
        assert_eq!(world.peers[BOB].ice_gathering_state(), IceGatheringState::Complete);
        // The restart is still wanted.
        assert!(world.drain(BOB).contains(&Event::NegotiationNeeded));
        world.exchange(BOB);
        assert_ne!(world.ufrag(BOB), ufrag(&before));
        assert_ne!(world.ufrag(BOB), ufrag(&lost.sdp));
    }
}

#[test]
fn restart_of_the_other_side_is_taken_back_without_a_trace() {
    let mut world = World::agreed();
    let before = world.text(BOB);
    world.peers[ALICE].restart_ice(world.now);
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    assert_eq!(world.text(BOB), before);
    world.set(BOB, SessionDescription::rollback());
    assert_eq!(world.text(BOB), before);
    let next = world.peers[BOB].create_offer(world.now, OfferOptions::default()).unwrap();
    assert_eq!(ufrag(&next.sdp), ufrag(&before));
}

#[test]
fn first_offer_that_is_rolled_back_can_be_set_again() {
    let mut world = World::new();
    let offer = world.describe(ALICE);
    world.drain(ALICE);
    assert_eq!(world.peers[ALICE].ice_gathering_state(), IceGatheringState::Complete);
    world.roll_back_local(ALICE);
    assert_eq!(world.peers[ALICE].ice_gathering_state(), IceGatheringState::New);
    assert!(world.drain(ALICE).contains(&Event::IceGatheringState(IceGatheringState::New)));
    let again = world.peers[ALICE].set_local_description(world.now, Some(offer.clone())).unwrap();
    assert_eq!(ufrag(&again.sdp), ufrag(&offer.sdp));
    let events = world.drain(ALICE);
    assert!(!announced(&events).is_empty());
    assert_eq!(world.peers[ALICE].ice_gathering_state(), IceGatheringState::Complete);
}

#[test]
fn created_offer_outlives_an_offer_of_the_other_side_that_is_rolled_back() {
    let mut world = World::new();
    world.open(BOB, "other");
    let own = world.peers[BOB].create_offer(world.now, OfferOptions::default()).unwrap();
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    world.set(BOB, SessionDescription::rollback());
    let set = world.peers[BOB].set_local_description(world.now, Some(own.clone())).unwrap();
    assert_eq!((set.kind, ufrag(&set.sdp)), (SdpType::Offer, ufrag(&own.sdp)));
}

#[test]
fn implicit_offer_is_the_one_that_was_created_last() {
    let mut world = World::agreed();
    let restart = world.peers[ALICE].create_offer(world.now, OfferOptions { ice_restart: true }).unwrap();
    let set = world.describe(ALICE);
    assert_eq!(ufrag(&set.sdp), ufrag(&restart.sdp));
}

/// An offer that rings touches nothing, however long it takes.
#[test]
fn offer_that_is_not_answered_begins_nothing() {
    for rolled_back in [false, true] {
        let mut world = World::new();
        world.describe(ALICE);
        world.drain(ALICE);
        let offer = world.peers[ALICE].local_description().unwrap();
        world.set(BOB, offer);
        if rolled_back {
            world.set(BOB, SessionDescription::rollback());
        }
        world.drain(BOB);
        assert_eq!(world.wait(BOB, Duration::from_secs(60)), []);
        let bob = &world.peers[BOB];
        assert_eq!(bob.ice_connection_state(), IceConnectionState::New);
        assert_eq!(bob.connection_state(), PeerConnectionState::New);
    }
}

#[test]
fn offers_are_not_created_while_an_answer_is_provisional() {
    let mut world = World::new();
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let answer = world.peers[BOB].create_answer(world.now).unwrap();
    let none = answer.sdp.replace("m=application 9", "m=application 0");
    world.set(ALICE, SessionDescription { kind: SdpType::PrAnswer, sdp: none });
    assert_eq!(world.peers[ALICE].signaling_state(), SignalingState::HaveRemotePrAnswer);
    let refused = world.peers[ALICE].create_offer(world.now, OfferOptions::default());
    assert!(matches!(refused, Err(Error::InvalidState { .. })));
    // The answer may accept what the provisional one did not.
    world.set(ALICE, answer);
    assert_eq!(world.peers[ALICE].signaling_state(), SignalingState::Stable);
}
