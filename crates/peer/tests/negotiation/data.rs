//! The section for data: refused, stopped by either side, and offered again.

use columba_peer::{DataChannelState, Event, SdpType, SessionDescription};

use crate::world::{ALICE, BOB, World};

/// The description with its section for data rejected.
fn without_data(description: SessionDescription) -> SessionDescription {
    let lines = description.sdp.lines().filter(|line| !line.starts_with("a=group"));
    let sdp = lines.fold(String::new(), |text, line| text + line + "\r\n");
    let at = sdp.find("m=application ").unwrap();
    let port = sdp[at..].split(' ').nth(1).unwrap().to_owned();
    let sdp = sdp.replace(&format!("m=application {port} "), "m=application 0 ");
    SessionDescription { sdp, ..description }
}

fn closed(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::ChannelClosed(..))).count()
}

#[test]
fn data_that_was_refused_can_be_offered_again() {
    let mut world = World::new();
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let answer = world.describe(BOB);
    world.set(ALICE, without_data(answer));
    assert_eq!(closed(&world.drain(ALICE)), 1);
    let channel = world.open(ALICE, "again");
    assert_eq!(world.peers[ALICE].channel_state(channel), Some(DataChannelState::Connecting));
    assert!(world.drain(ALICE).contains(&Event::NegotiationNeeded));
    let offer = world.describe(ALICE);
    assert!(offer.sdp.contains("m=application 9 ") || offer.sdp.contains("a=sctp-port"), "{}", offer.sdp);
}

#[test]
fn channels_are_closed_when_the_other_side_stops_data() {
    let mut world = World::agreed();
    let channel = world.open(BOB, "second");
    world.drain(BOB);
    let offer = without_data(world.describe(ALICE));
    world.set(BOB, offer);
    assert_eq!(world.peers[BOB].channel_state(channel), Some(DataChannelState::Connecting), "not yet");
    let answer = world.describe(BOB);
    assert_eq!(answer.kind, SdpType::Answer);
    let events = world.drain(BOB);
    assert_eq!(closed(&events), 1);
    assert!(!events.contains(&Event::NegotiationNeeded), "it was stopped on purpose");
    // A new channel is a new section.
    world.open(BOB, "third");
    assert!(world.drain(BOB).contains(&Event::NegotiationNeeded));
}

#[test]
fn offer_that_stops_data_and_is_rolled_back_closes_nothing() {
    let mut world = World::agreed();
    let channel = world.open(BOB, "second");
    let offer = without_data(world.describe(ALICE));
    world.set(BOB, offer);
    world.set(BOB, SessionDescription::rollback());
    assert_eq!(closed(&world.drain(BOB)), 0);
    assert_eq!(world.peers[BOB].channel_state(channel), Some(DataChannelState::Connecting));
}

/// W3C, set a description: ids come with the role in DTLS, long before the connection.
#[test]
fn channels_have_ids_as_soon_as_the_role_is_settled() {
    let mut world = World::new();
    let ours = world.open(ALICE, "ours");
    let theirs = world.open(BOB, "theirs");
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let id = |world: &World, index: usize, channel| world.peers[index].channel(channel).unwrap().stream;
    assert_eq!(id(&world, BOB, theirs), None);
    let answer = world.describe(BOB);
    assert_eq!(id(&world, BOB, theirs), Some(0), "the answerer is the client");
    assert_eq!(id(&world, ALICE, ours), None);
    world.set(ALICE, answer);
    assert_eq!(id(&world, ALICE, ours), Some(3));
    let later = world.open(ALICE, "later");
    assert_eq!(id(&world, ALICE, later), Some(5));
}
