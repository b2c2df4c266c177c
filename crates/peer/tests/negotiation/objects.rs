//! Current and pending descriptions, and the transports as objects.

use columba_peer::{
    IceGatheringState, IceRole, SctpTransportState, SdpType, SessionDescription, TransportId,
};

use crate::world::{ALICE, BOB, World, ufrag};

#[test]
fn descriptions_are_pending_until_they_are_agreed() {
    let mut world = World::new();
    let kinds = |world: &World, index: usize| {
        let peer = &world.peers[index];
        [
            peer.current_local_description(),
            peer.pending_local_description(),
            peer.current_remote_description(),
            peer.pending_remote_description(),
        ]
        .map(|description| description.map(|description| description.kind))
    };
    assert_eq!(kinds(&world, ALICE), [None; 4]);
    assert_eq!(world.peers[ALICE].can_trickle_ice_candidates(), None);
    let offer = world.describe(ALICE);
    assert_eq!(kinds(&world, ALICE), [None, Some(SdpType::Offer), None, None]);
    world.set(BOB, offer);
    assert_eq!(kinds(&world, BOB), [None, None, None, Some(SdpType::Offer)]);
    assert_eq!(world.peers[BOB].can_trickle_ice_candidates(), Some(true));
    let answer = world.describe(BOB);
    world.set(ALICE, answer);
    assert_eq!(kinds(&world, ALICE), [Some(SdpType::Offer), None, Some(SdpType::Answer), None]);
    assert_eq!(kinds(&world, BOB), [Some(SdpType::Answer), None, Some(SdpType::Offer), None]);
    // A restart has candidates of its own; those of the current description stay with it.
    world.drain(ALICE);
    let current = world.text(ALICE);
    world.peers[ALICE].restart_ice(world.now);
    world.describe(ALICE);
    let peer = &world.peers[ALICE];
    assert_eq!(peer.current_local_description().unwrap().sdp, current);
    assert_ne!(ufrag(&peer.pending_local_description().unwrap().sdp), ufrag(&current));
}

#[test]
fn other_side_without_the_option_takes_no_late_candidates() {
    let mut world = World::new();
    let offer = world.describe(ALICE);
    world.set(BOB, SessionDescription { sdp: offer.sdp.replace("trickle ", ""), ..offer });
    assert_eq!(world.peers[BOB].can_trickle_ice_candidates(), Some(false));
}

#[test]
fn transports_keep_their_identity_through_restart_and_rollback() {
    let mut world = World::new();
    assert_eq!(world.peers[ALICE].transports(), []);
    assert_eq!(world.peers[ALICE].sctp_transport(), None);
    world.exchange(ALICE);
    world.drain(ALICE);
    world.drain(BOB);
    let ids = world.peers[ALICE].transports();
    assert_eq!(ids, [TransportId::FIRST]);
    let ice = |world: &World, index: usize| world.peers[index].ice_transport(ids[0]).unwrap();
    let before = ice(&world, ALICE);
    assert_eq!((before.role, ice(&world, BOB).role), (Some(IceRole::Controlling), Some(IceRole::Controlled)));
    assert_eq!(before.gathering_state, IceGatheringState::Complete);
    assert!(!before.local_candidates.is_empty());
    assert_eq!(before.local_parameters, ice(&world, BOB).remote_parameters);
    let sctp = world.peers[ALICE].sctp_transport().unwrap();
    assert_eq!((sctp.transport, sctp.state), (ids[0], SctpTransportState::Connecting));
    assert_eq!((sctp.max_message_size, sctp.max_channels), (262_144, None));
    world.peers[ALICE].restart_ice(world.now);
    world.describe(ALICE);
    world.drain(ALICE);
    let restarted = ice(&world, ALICE);
    assert_ne!(restarted.local_parameters, before.local_parameters);
    assert_eq!(restarted.local_candidates.len(), before.local_candidates.len());
    world.roll_back_local(ALICE);
    world.drain(ALICE);
    assert_eq!(ice(&world, ALICE), before);
}

#[test]
fn default_candidate_is_in_the_media_line() {
    let world = World::agreed();
    let text = world.text(ALICE);
    assert!(text.contains("m=application 4000 ") && text.contains("c=IN IP4 10.0.0.1\r\n"), "{text}");
}
