//! Rollback, by call and by glare.

use columba_peer::{
    Event, SessionDescription, SignalingState, Track, TrackKind, TransceiverDirection as Way,
};

use crate::common::*;

#[test]
fn transceivers_of_a_withdrawn_offer_go() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    one.peer.add_track(*NOW, Track::audio("mic"), vec!["s".to_owned()]).unwrap();
    let offer = one.describe();
    two.take(offer.clone());
    let theirs = two.peer.transceivers()[0].id;
    two.events();
    two.take(SessionDescription::rollback());
    assert!(two.peer.transceivers().is_empty());
    let events = two.track_events();
    assert_eq!(
        events,
        [
            Event::TrackRemoved(theirs, TrackKind::Audio, "s".to_owned()),
            Event::TrackEnded(theirs, TrackKind::Audio)
        ]
    );
    // The same offer again makes a new one.
    two.take(offer);
    assert_ne!(two.peer.transceivers()[0].id, theirs);
}

#[test]
fn withdrawn_offer_leaves_a_transceiver_that_has_got_a_track() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    one.add(TrackKind::Audio, Way::SendRecv);
    two.take(one.describe());
    let theirs = two.peer.transceivers()[0].id;
    let added = two.peer.add_track(*NOW, Track::audio("mic"), vec![]).unwrap();
    assert_eq!(added, theirs, "its sender has no track");
    two.take(SessionDescription::rollback());
    assert_eq!((two.info(theirs).mid, two.info(theirs).direction), (None, Way::SendRecv));
    assert!(two.wants_negotiation());
}

#[test]
fn withdrawn_local_offer_takes_the_names_back() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let id = one.add(TrackKind::Audio, Way::SendRecv);
    one.describe();
    assert_eq!(one.info(id).mid.as_deref(), Some("0"));
    one.peer.set_local_description(*NOW, Some(SessionDescription::rollback())).unwrap();
    assert_eq!(one.info(id).mid, None);
    assert!(one.wants_negotiation());
    negotiate(&mut one, &mut two);
    assert_eq!(one.info(id).mid.as_deref(), Some("0"));
}

#[test]
fn glare_gives_the_section_to_the_added_track() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let own = one.peer.add_track(*NOW, Track::audio("a"), vec![]).unwrap();
    let video = one.add(TrackKind::Video, Way::SendRecv);
    two.peer.add_track(*NOW, Track::audio("b"), vec![]).unwrap();
    one.describe();
    let theirs = two.describe();
    one.take(theirs);
    assert_eq!(one.peer.signaling_state(), SignalingState::HaveRemoteOffer);
    assert_eq!((one.info(own).mid.as_deref(), one.info(video).mid), (Some("0"), None));
    let answer = one.describe();
    two.take(answer);
    assert_eq!(one.current(), [Some(Way::SendRecv), None]);
    assert!(one.wants_negotiation(), "the video is still to be offered");
    negotiate(&mut one, &mut two);
    assert!(!one.wants_negotiation() && !two.wants_negotiation());
}

#[test]
fn later_offer_replaces_the_pending_one_without_new_transceivers() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let first = one.peer.add_track(*NOW, Track::audio("mic"), vec!["a".to_owned()]).unwrap();
    two.take(one.describe());
    let theirs = two.peer.transceivers()[0].id;
    one.peer.set_streams(*NOW, first, vec!["b".to_owned()]).unwrap();
    one.peer.add_track(*NOW, Track::video("camera"), vec![]).unwrap();
    let again = one.describe();
    two.take(again);
    let all = two.peer.transceivers();
    assert_eq!((all.len(), all[0].id, &all[0].receiver.streams[..]), (2, theirs, &["b".to_owned()][..]));
    one.take(two.describe());
    assert_eq!(one.current(), [Some(Way::SendOnly), Some(Way::SendOnly)]);
}

#[test]
fn rollback_of_a_direction_change_brings_the_track_back() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let id = one.peer.add_track(*NOW, Track::audio("mic"), vec!["s".to_owned()]).unwrap();
    negotiate(&mut one, &mut two);
    let theirs = two.peer.transceivers()[0].id;
    one.peer.remove_track(*NOW, id).unwrap();
    two.take(one.describe());
    two.events();
    two.take(SessionDescription::rollback());
    let info = two.info(theirs);
    assert_eq!((info.current_direction, info.receiver.muted), (Some(Way::RecvOnly), true));
    let track = info.receiver.track.clone();
    let back = Event::Track { transceiver: theirs, track, streams: vec!["s".to_owned()] };
    assert_eq!(two.track_events(), [back]);
}
