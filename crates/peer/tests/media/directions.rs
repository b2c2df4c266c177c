//! Directions: negotiated, changed, announced.

use columba_peer::{Event, Track, TrackKind, TransceiverDirection as Way};
use columba_sdp::attributes::Direction;

use crate::common::*;

const WAYS: [Way; 4] = [Way::SendRecv, Way::SendOnly, Way::RecvOnly, Way::Inactive];

#[test]
fn answer_is_the_intersection_of_both_sides() {
    for offered in WAYS {
        for wanted in WAYS {
            let (mut one, mut two) = (Side::new(1), Side::new(2));
            one.add(TrackKind::Audio, offered);
            two.take(one.describe());
            let id = two.peer.transceivers()[0].id;
            two.peer.set_direction(*NOW, id, wanted).unwrap();
            one.take(two.describe());
            let sends = |from: Way, to: Way| from.sends() && to.receives();
            let expected = |from: Way, to: Way| match (sends(from, to), sends(to, from)) {
                (true, true) => Way::SendRecv,
                (true, false) => Way::SendOnly,
                (false, true) => Way::RecvOnly,
                (false, false) => Way::Inactive,
            };
            assert_eq!(one.current(), [Some(expected(offered, wanted))], "{offered:?} {wanted:?}");
            assert_eq!(two.current(), [Some(expected(wanted, offered))], "{offered:?} {wanted:?}");
            assert!(!one.wants_negotiation(), "{offered:?} {wanted:?}");
            assert!(!two.wants_negotiation(), "{offered:?} {wanted:?}");
        }
    }
}

#[test]
fn track_leaves_its_stream_when_it_is_no_longer_sent() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let id = one.peer.add_track(*NOW, Track::audio("mic"), vec!["s".to_owned()]).unwrap();
    negotiate(&mut one, &mut two);
    let theirs = two.peer.transceivers()[0].id;
    two.events();
    one.events();
    one.peer.remove_track(*NOW, id).unwrap();
    assert!(one.wants_negotiation());
    negotiate(&mut one, &mut two);
    assert_eq!(
        two.track_events(),
        [Event::TrackRemoved(theirs, TrackKind::Audio, "s".to_owned())],
        "it was muted, because no packet has come"
    );
    assert!(two.info(theirs).receiver.muted && two.info(theirs).receiver.streams.is_empty());
    // A sender that has sent is not used again by addTrack; the track may be replaced, though.
    let new = one.peer.add_track(*NOW, Track::audio("line"), vec![]).unwrap();
    assert_ne!(new, id);
    one.peer.set_direction(*NOW, id, Way::SendRecv).unwrap();
    negotiate(&mut one, &mut two);
    let events = two.track_events();
    let tracks = events.iter().filter(|event| matches!(event, Event::Track { .. })).count();
    assert_eq!((tracks, two.info(theirs).receiver.muted), (2, true), "{events:?}");
}

#[test]
fn streams_that_change_are_announced() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let id = one.peer.add_track(*NOW, Track::audio("mic"), vec!["a".to_owned()]).unwrap();
    negotiate(&mut one, &mut two);
    let theirs = two.peer.transceivers()[0].id;
    two.events();
    one.events();
    one.peer.set_streams(*NOW, id, vec!["b".to_owned(), "b".to_owned()]).unwrap();
    assert!(one.wants_negotiation());
    negotiate(&mut one, &mut two);
    let track = two.info(theirs).receiver.track;
    assert_eq!(
        two.track_events(),
        [
            Event::TrackRemoved(theirs, TrackKind::Audio, "a".to_owned()),
            Event::Track { transceiver: theirs, track, streams: vec!["b".to_owned()] }
        ]
    );
    assert!(!one.wants_negotiation());
}

#[test]
fn own_answer_that_stops_receiving_mutes() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    one.peer.add_track(*NOW, Track::audio("mic"), vec!["s".to_owned()]).unwrap();
    negotiate(&mut one, &mut two);
    let theirs = two.peer.transceivers()[0].id;
    two.events();
    let id = one.peer.transceivers()[0].id;
    one.peer.set_streams(*NOW, id, vec!["s".to_owned()]).unwrap();
    two.take(one.describe());
    two.peer.set_direction(*NOW, theirs, Way::Inactive).unwrap();
    let answer = two.describe();
    assert_eq!(direction(&parse(&answer).media[0]), Some(Direction::Inactive));
    assert_eq!(
        two.track_events(),
        [Event::TrackRemoved(theirs, TrackKind::Audio, "s".to_owned())],
        "it was muted, because no packet has come"
    );
    one.take(answer);
    assert_eq!(one.current(), [Some(Way::Inactive)]);
    assert!(!one.wants_negotiation(), "what is wanted was offered, and refused");
}

#[test]
fn state_comes_first_then_removals_then_tracks() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let first = one.peer.add_track(*NOW, Track::audio("a"), vec!["s".to_owned()]).unwrap();
    let second = one.peer.add_track(*NOW, Track::audio("b"), vec!["s".to_owned()]).unwrap();
    negotiate(&mut one, &mut two);
    one.peer.set_streams(*NOW, first, vec!["t".to_owned()]).unwrap();
    one.peer.remove_track(*NOW, second).unwrap();
    one.peer.add_track(*NOW, Track::video("c"), vec![]).unwrap();
    two.events();
    two.take(one.describe());
    let order: Vec<_> = two
        .events()
        .iter()
        .filter_map(|event| match event {
            Event::SignalingState(_) => Some("state"),
            Event::TrackRemoved(..) => Some("remove"),
            Event::Track { .. } => Some("track"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["state", "remove", "remove", "track", "track"]);
}

#[test]
fn offer_to_receive_adds_one_transceiver_or_stops_receiving() {
    let (mut one, mut two) = (Side::new(1), Side::configured(2, |media| media.offered = Way::SendRecv));
    one.peer.offer_to_receive(*NOW, TrackKind::Audio, true).unwrap();
    one.peer.offer_to_receive(*NOW, TrackKind::Audio, true).unwrap();
    let both = one.add(TrackKind::Video, Way::SendRecv);
    one.peer.offer_to_receive(*NOW, TrackKind::Video, true).unwrap();
    let (offer, _) = negotiate(&mut one, &mut two);
    assert_eq!(
        offer.media.iter().map(direction).collect::<Vec<_>>(),
        [Some(Direction::RecvOnly), Some(Direction::SendRecv)]
    );
    one.peer.offer_to_receive(*NOW, TrackKind::Audio, false).unwrap();
    one.peer.offer_to_receive(*NOW, TrackKind::Video, false).unwrap();
    assert_eq!(one.info(both).direction, Way::SendOnly);
    assert!(one.wants_negotiation());
    negotiate(&mut one, &mut two);
    assert_eq!(one.current(), [Some(Way::Inactive), Some(Way::SendOnly)]);
}
