//! The exchanges of RFC 9429 §7, section by section.

use columba_peer::{BundlePolicy, DataChannelInit, Track, TrackKind, TransceiverDirection as Way};
use columba_sdp::MediaKind;
use columba_sdp::attributes::{
    BundleOnly, Direction, Group, IceUfrag, MaxPtime, Mid, Msid, RtcpMux, RtcpMuxOnly, Setup,
};

use crate::common::*;

/// RFC 9429 §7.1: audio and video of one stream, and the same back.
#[test]
fn rfc_9429_7_1_simple_example() {
    let (mut alice, mut bob) = (Side::new(1), Side::new(2));
    let stream = "47017fee-b6c1-4162-929c-a25110252400".to_owned();
    alice.peer.add_track(*NOW, Track::audio("a"), vec![stream.clone()]).unwrap();
    alice.peer.add_track(*NOW, Track::video("v"), vec![stream.clone()]).unwrap();
    bob.peer.add_track(*NOW, Track::audio("a"), vec!["b".to_owned()]).unwrap();
    bob.peer.add_track(*NOW, Track::video("v"), vec!["b".to_owned()]).unwrap();
    let (offer, answer) = negotiate(&mut alice, &mut bob);
    let kinds = |description: &columba_sdp::SessionDescription| {
        description.media.iter().map(|section| section.head().kind.clone()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&offer), [MediaKind::Audio, MediaKind::Video]);
    assert_eq!(kinds(&answer), kinds(&offer));
    for (description, setup, streams) in
        [(&offer, Setup::ActPass, &stream[..]), (&answer, Setup::Active, "b")]
    {
        let group = description.lines.get::<Group>().unwrap().unwrap();
        assert_eq!(group, Group::bundle(["0", "1"]));
        for section in &description.media {
            assert_eq!(direction(section), Some(Direction::SendRecv));
            assert!(section.lines.has::<RtcpMux>() && section.lines.has::<IceUfrag>());
            assert_eq!(section.lines.has::<RtcpMuxOnly>(), setup == Setup::ActPass, "RFC 8858 §4");
            assert_eq!(section.lines.get(), Ok(Some(setup)));
            assert_eq!(section.lines.get::<Msid>().unwrap().unwrap().stream, streams);
            assert!(section.head().port != 0 && !section.lines.has::<BundleOnly>());
        }
    }
    assert_eq!(alice.current(), [Some(Way::SendRecv); 2]);
    assert_eq!(bob.peer.transceivers()[0].receiver.streams, [stream]);
}

/// RFC 9429 §7.2: data first, then audio and video, added by the other side.
#[test]
fn rfc_9429_7_2_detailed_example() {
    let (mut alice, mut bob) = (Side::new(1), Side::new(2));
    alice.peer.create_data_channel(*NOW, "chat", DataChannelInit::default()).unwrap();
    alice.peer.add_track(*NOW, Track::audio("a"), vec!["s".to_owned()]).unwrap();
    alice.peer.add_track(*NOW, Track::video("v1"), vec!["s".to_owned()]).unwrap();
    alice.peer.add_track(*NOW, Track::video("v2"), vec!["t".to_owned()]).unwrap();
    let (offer, answer) = negotiate(&mut alice, &mut bob);
    // §5.2.1: transceivers in the order in which they were added, then data.
    let last = offer.media.last().unwrap();
    assert!(offer.media.len() == 4 && last.head().is_data_channel());
    assert!(answer.media.iter().take(3).all(|section| direction(section) == Some(Direction::RecvOnly)));
    // The answerer adds its own tracks: existing sections are used, and one more.
    bob.peer.add_track(*NOW, Track::video("b1"), vec!["u".to_owned()]).unwrap();
    bob.peer.add_track(*NOW, Track::video("b2"), vec!["u".to_owned()]).unwrap();
    bob.peer.add_track(*NOW, Track::video("b3"), vec!["u".to_owned()]).unwrap();
    let (offer, answer) = negotiate(&mut bob, &mut alice);
    assert_eq!(offer.media.len(), 5);
    let directions: Vec<_> = offer.media.iter().map(direction).collect();
    assert_eq!(
        directions,
        [
            Some(Direction::RecvOnly),
            Some(Direction::SendRecv),
            Some(Direction::SendRecv),
            None,
            Some(Direction::SendRecv)
        ]
    );
    let mids: Vec<_> =
        answer.media.iter().map(|section| section.lines.get::<Mid>().unwrap().unwrap().0).collect();
    assert_eq!(mids, ["0", "1", "2", "3", "4"]);
    assert_eq!(direction(&answer.media[4]), Some(Direction::RecvOnly));
}

/// RFC 9429 §7.2 and §7.3 are with `must-bundle`: only the first section has an address, until the
/// bundle is agreed; then all have it.
fn check_must_bundle(description: &columba_sdp::SessionDescription, is_first_offer: bool) {
    let mids: Vec<_> = description.media.iter().map(|section| section.mid().unwrap()).collect();
    assert_eq!(description.lines.get::<Group>().unwrap().unwrap(), Group::bundle(mids));
    for (index, section) in description.media.iter().enumerate() {
        let is_marked = is_first_offer && index > 0;
        assert_eq!((section.head().port == 0, section.lines.has::<BundleOnly>()), (is_marked, is_marked));
        assert_eq!(section.lines.get::<IceUfrag>(), description.media[0].lines.get::<IceUfrag>());
    }
}

/// RFC 9429 §7.3: an answer before the call is taken, so that ICE and DTLS are there when it is.
#[test]
fn rfc_9429_7_3_early_transport_warmup() {
    let [mut alice, mut bob] = [1, 2].map(|seed| Side::with_policy(seed, BundlePolicy::MustBundle));
    let audio = alice.add(TrackKind::Audio, Way::SendRecv);
    let video = alice.add(TrackKind::Video, Way::SendRecv);
    alice.peer.replace_track(*NOW, audio, Some(Track::audio("a"))).unwrap();
    alice.peer.replace_track(*NOW, video, Some(Track::video("v"))).unwrap();
    // offer-C1 and answer-C1.
    let offer = alice.describe();
    bob.take(offer.clone());
    let theirs: Vec<_> = bob.peer.transceivers().iter().map(|one| one.id).collect();
    for id in &theirs {
        bob.peer.set_direction(*NOW, *id, Way::SendOnly).unwrap();
    }
    let answer = bob.describe();
    alice.take(answer.clone());
    let (offer, answer) = (parse(&offer), parse(&answer));
    check_must_bundle(&offer, true);
    check_must_bundle(&answer, false);
    assert!(offer.media.iter().all(|section| direction(section) == Some(Direction::SendRecv)));
    assert!(answer.media.iter().all(|section| direction(section) == Some(Direction::SendOnly)));
    assert_eq!(answer.media[0].lines.get(), Ok(Some(Setup::Active)));
    for description in [&offer, &answer] {
        let times = description.media.iter().map(|section| section.lines.get::<MaxPtime>().unwrap());
        assert_eq!(times.collect::<Vec<_>>(), [Some(MaxPtime(120)), None]);
    }
    assert_eq!(alice.track_events().len(), 2, "ontrack for audio and video");
    // Bob takes the call: offer-C2 and answer-C2, over the transport that is there.
    bob.peer.replace_track(*NOW, theirs[0], Some(Track::audio("b"))).unwrap();
    bob.peer.replace_track(*NOW, theirs[1], Some(Track::video("w"))).unwrap();
    assert!(!bob.wants_negotiation(), "tracks need none");
    for id in &theirs {
        bob.peer.set_direction(*NOW, *id, Way::SendRecv).unwrap();
    }
    assert!(bob.wants_negotiation());
    let (again, reply) = negotiate(&mut bob, &mut alice);
    check_must_bundle(&again, false);
    check_must_bundle(&reply, false);
    let fragments = |one: &columba_sdp::SessionDescription| one.media[0].lines.get::<IceUfrag>().unwrap();
    assert_eq!((fragments(&again), fragments(&reply)), (fragments(&answer), fragments(&offer)));
    assert_eq!(again.media[0].lines.get(), Ok(Some(Setup::ActPass)));
    assert_eq!(reply.media[0].lines.get(), Ok(Some(Setup::Passive)), "the roles stay");
    assert!(reply.media.iter().all(|section| direction(section) == Some(Direction::SendRecv)));
    assert_eq!(
        (alice.current(), bob.current()),
        (vec![Some(Way::SendRecv); 2], vec![Some(Way::SendRecv); 2])
    );
    assert_eq!(alice.peer.transports(), bob.peer.transports());
}

/// RFC 9429 §7.2 in its bundling: audio and data first, then two of video in the agreed bundle.
#[test]
fn rfc_9429_7_2_must_bundle() {
    let [mut alice, mut bob] = [1, 2].map(|seed| Side::with_policy(seed, BundlePolicy::MustBundle));
    alice.peer.add_track(*NOW, Track::audio("a"), vec!["s".to_owned()]).unwrap();
    alice.peer.create_data_channel(*NOW, "chat", DataChannelInit::default()).unwrap();
    let (offer, answer) = negotiate(&mut alice, &mut bob);
    check_must_bundle(&offer, true);
    check_must_bundle(&answer, false);
    assert!(offer.media[1].head().is_data_channel() && !answer.media[1].is_rejected());
    for track in ["v1", "v2"] {
        bob.peer.add_track(*NOW, Track::video(track), vec![track.to_owned()]).unwrap();
    }
    let (again, reply) = negotiate(&mut bob, &mut alice);
    assert_eq!((again.media.len(), reply.media.len()), (4, 4));
    check_must_bundle(&again, false);
    check_must_bundle(&reply, false);
    assert!(reply.media[2..].iter().all(|section| direction(section) == Some(Direction::RecvOnly)));
    assert_eq!(reply.media[0].lines.get(), Ok(Some(Setup::Passive)));
    assert_eq!(alice.peer.transports().len(), 1);
}

/// RFC 9429 §7.3 without an early answer: sections that are offered without tracks, which come
/// later.
#[test]
fn rfc_9429_7_3_tracks_come_later() {
    let (mut alice, mut bob) = (Side::new(1), Side::configured(2, |media| media.offered = Way::SendRecv));
    let audio = alice.add(TrackKind::Audio, Way::SendRecv);
    let video = alice.add(TrackKind::Video, Way::SendRecv);
    let (offer, _) = negotiate(&mut alice, &mut bob);
    assert!(offer.media.iter().all(|section| section.lines.get::<Msid>().unwrap().unwrap().stream == "-"));
    // Tracks come without a negotiation; their streams need one.
    alice.peer.replace_track(*NOW, audio, Some(Track::audio("a"))).unwrap();
    alice.peer.replace_track(*NOW, video, Some(Track::video("v"))).unwrap();
    assert!(!alice.wants_negotiation());
    alice.peer.set_streams(*NOW, audio, vec!["s".to_owned()]).unwrap();
    assert!(alice.wants_negotiation());
}
