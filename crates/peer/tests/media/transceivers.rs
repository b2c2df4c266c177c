//! Association, tracks, streams, stopping and re-use.

use columba_peer::{
    Error, Event, RtpEncodingParameters, SdpType, SessionDescription, Track, TrackKind,
    TransceiverDirection as Way, TransceiverInit,
};
use columba_sdp::attributes::{Direction, Msid};

use crate::common::*;

#[test]
fn tracks_and_streams_arrive_under_the_same_names() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let streams = vec!["stream-a".to_owned(), "stream-b".to_owned()];
    let id = one.peer.add_track(*NOW, Track::audio("mic"), streams.clone()).unwrap();
    assert!(one.wants_negotiation());
    let offer = one.describe();
    let described: Vec<_> = parse(&offer).media[0].lines.all::<Msid>().flatten().collect();
    assert_eq!(
        described.iter().map(|msid| msid.stream.as_str()).collect::<Vec<_>>(),
        ["stream-a", "stream-b"]
    );
    assert!(described.iter().all(|msid| msid.track == described[0].track && msid.track.is_some()));
    two.take(offer);
    // The track is announced before the answer, so that the direction can still be chosen.
    let [Event::SignalingState(_), Event::Track { transceiver, track, streams: named }] = &two.events()[..]
    else {
        panic!("the state changes before the track is announced")
    };
    assert_eq!((named, track.kind), (&streams, TrackKind::Audio));
    let info = two.info(*transceiver);
    assert_eq!((info.mid.as_deref(), info.direction, info.receiver.muted), (Some("0"), Way::RecvOnly, true));
    one.take(two.describe());
    assert_eq!(one.current(), [Some(Way::SendOnly)]);
    assert_eq!(two.current(), [Some(Way::RecvOnly)]);
    assert_eq!(one.info(id).mid.as_deref(), Some("0"));
    assert!(!one.wants_negotiation() && !two.wants_negotiation());
}

#[test]
fn stream_without_a_name_is_one_for_all_tracks() {
    let mut side = Side::new(1);
    let sections = "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=sendonly\nm=video 9 UDP/TLS/RTP/SAVPF 96\n\
        a=rtpmap:96 VP8/90000\na=sendonly\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=msid:- t\na=sendonly";
    side.take(offer_of(sections, &["a", "b", "c"]));
    let streams: Vec<_> = side.peer.transceivers().into_iter().map(|one| one.receiver.streams).collect();
    assert_eq!((streams[0].len(), &streams[0]), (1, &streams[1]), "RFC 9429 §5.8.2");
    assert!(streams[2].is_empty(), "a=msid:- is no stream");
    // Older descriptions name streams with their SSRCs.
    let old = "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=ssrc:7 cname:c\na=ssrc:7 msid:s t";
    let mut side = Side::new(1);
    side.take(offer_of(old, &["a"]));
    assert_eq!(side.peer.transceivers()[0].receiver.streams, ["s"]);
    side.describe();
    let id = side.peer.transceivers()[0].id;
    assert_eq!(side.peer.receive_parameters(id).unwrap().rtcp.cname.as_deref(), Some("c"));
}

#[test]
fn added_track_takes_the_section_that_wants_it() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    one.add(TrackKind::Audio, Way::SendRecv);
    one.add(TrackKind::Video, Way::RecvOnly);
    let by_transceiver = two.add(TrackKind::Video, Way::SendOnly);
    let video = two.peer.add_track(*NOW, Track::video("camera"), vec![]).unwrap();
    assert_eq!(video, by_transceiver, "its sender has no track and never sent");
    let audio = two.peer.add_track(*NOW, Track::audio("mic"), vec![]).unwrap();
    let (_, answer) = negotiate(&mut one, &mut two);
    // RFC 9429 §5.10: by addTrack, of the same kind, the first that is free.
    assert_eq!(two.info(audio).mid.as_deref(), Some("0"));
    assert_eq!(two.info(video).mid.as_deref(), Some("1"));
    assert_eq!(two.peer.transceivers().len(), 2);
    assert_eq!(
        answer.media.iter().map(direction).collect::<Vec<_>>(),
        [Some(Direction::SendRecv), Some(Direction::SendOnly)]
    );
    assert!(!two.wants_negotiation());
}

#[test]
fn transceiver_of_add_transceiver_waits_for_its_own_section() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    one.add(TrackKind::Audio, Way::SendRecv);
    let own = two.add(TrackKind::Audio, Way::SendRecv);
    negotiate(&mut one, &mut two);
    assert_eq!((two.info(own).mid, two.peer.transceivers().len()), (None, 2));
    assert!(two.wants_negotiation(), "its section is still to be offered");
    let (offer, _) = negotiate(&mut two, &mut one);
    assert_eq!(offer.media.len(), 2);
    assert_eq!(two.info(own).mid.as_deref(), Some("1"));
}

#[test]
fn stopped_sections_are_rejected_and_used_again() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let ids = [
        one.add(TrackKind::Audio, Way::SendRecv),
        one.add(TrackKind::Video, Way::SendRecv),
        one.add(TrackKind::Audio, Way::SendRecv),
    ];
    negotiate(&mut one, &mut two);
    two.events();
    one.peer.stop_transceiver(*NOW, ids[1]).unwrap();
    assert_eq!(one.info(ids[1]).direction, Way::Stopped);
    assert_eq!(one.info(ids[1]).current_direction, Some(Way::SendOnly), "until then");
    assert!(one.wants_negotiation());
    let theirs = two.peer.transceivers()[1].id;
    let (offer, answer) = negotiate(&mut one, &mut two);
    assert!(offer.media[1].is_rejected() && answer.media[1].is_rejected());
    assert_eq!(one.peer.transceiver(ids[1]), None);
    assert_eq!(two.peer.transceiver(theirs), None);
    assert_eq!(
        two.track_events(),
        [Event::TrackEnded(theirs, TrackKind::Video)],
        "it was muted, because no packet has come"
    );
    assert!(!one.wants_negotiation() && !two.wants_negotiation());

    // The other side uses the place for a section of another kind, under a new name.
    let new = two.add(TrackKind::Audio, Way::SendOnly);
    let (offer, _) = negotiate(&mut two, &mut one);
    assert_eq!(offer.media.len(), 3);
    assert_eq!(offer.media[1].head().kind, columba_sdp::MediaKind::Audio);
    assert_eq!(two.info(new).mid.as_deref(), Some("3"));
    assert_eq!(one.current(), [Some(Way::SendOnly), Some(Way::SendOnly), Some(Way::RecvOnly)]);
    assert!(!one.wants_negotiation() && !two.wants_negotiation());
}

#[test]
fn stopped_before_it_was_described_needs_no_section() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let gone = one.add(TrackKind::Video, Way::SendRecv);
    one.peer.stop_transceiver(*NOW, gone).unwrap();
    one.events();
    one.add(TrackKind::Audio, Way::SendRecv);
    let (offer, _) = negotiate(&mut one, &mut two);
    assert_eq!(offer.media.len(), 1);
    assert!(!one.wants_negotiation());
    assert_eq!(one.peer.transceivers().len(), 1);
}

#[test]
fn answerer_may_stop_what_is_offered() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let id = one.peer.add_track(*NOW, Track::video("camera"), vec![]).unwrap();
    one.add(TrackKind::Audio, Way::SendRecv);
    two.take(one.describe());
    let theirs = two.peer.transceivers()[0].id;
    two.peer.stop_transceiver(*NOW, theirs).unwrap();
    let answer = two.describe();
    assert!(parse(&answer).media[0].is_rejected());
    // The transport goes on in the section that is left, which is tagged now.
    let group: columba_sdp::attributes::Group = parse(&answer).lines.get().unwrap().unwrap();
    assert_eq!(group.mids, ["1"]);
    one.events();
    one.take(answer);
    assert_eq!((one.peer.transceiver(id), two.peer.transceiver(theirs)), (None, None));
    assert_eq!(one.track_events(), [Event::TrackEnded(id, TrackKind::Video)]);
}

#[test]
fn provisional_answer_may_reject_what_the_final_one_accepts() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    one.peer.add_track(*NOW, Track::video("camera"), vec![]).unwrap();
    one.add(TrackKind::Audio, Way::SendRecv);
    let preferences = one.peer.transceivers()[0].id;
    let av1 = columba_peer::MediaConfiguration::default().video_codecs[4].codec.clone();
    one.peer.set_codec_preferences(*NOW, preferences, vec![av1]).unwrap();
    two.take(one.describe());
    let theirs = two.peer.transceivers()[0].id;
    let vp8 = columba_peer::MediaConfiguration::default().video_codecs[0].codec.clone();
    two.peer.set_codec_preferences(*NOW, theirs, vec![vp8]).unwrap();
    let provisional = SessionDescription { kind: SdpType::PrAnswer, sdp: String::new() };
    let provisional = two.peer.set_local_description(*NOW, Some(provisional)).unwrap();
    assert!(parse(&provisional).media[0].is_rejected());
    two.peer.set_codec_preferences(*NOW, theirs, vec![]).unwrap();
    let answer = two.describe();
    assert!(!parse(&answer).media[0].is_rejected());
    one.take(answer);
    assert_eq!(two.info(theirs).current_direction, Some(Way::RecvOnly));
    assert_eq!(one.current()[0], Some(Way::SendOnly));
}

#[test]
fn calls_are_refused_as_the_w3c_says() {
    let mut side = Side::new(1);
    let track = Track::audio("mic");
    let audio = side.peer.add_track(*NOW, track.clone(), vec![]).unwrap();
    assert_eq!(side.peer.add_track(*NOW, track.clone(), vec![]), Err(Error::TrackInUse));
    let other_kind = side.peer.replace_track(*NOW, audio, Some(Track::video("camera")));
    assert!(matches!(other_kind, Err(Error::InvalidParameters { .. })));
    side.peer.replace_track(*NOW, audio, Some(Track::audio("line"))).unwrap();
    assert_eq!(side.info(audio).sender.track, Some(Track::audio("line")));
    let stopped = side.peer.set_direction(*NOW, audio, Way::Stopped);
    assert!(matches!(stopped, Err(Error::InvalidParameters { .. })));
    side.peer.remove_track(*NOW, audio).unwrap();
    assert_eq!(side.info(audio).direction, Way::RecvOnly);
    side.peer.stop_transceiver(*NOW, audio).unwrap();
    assert_eq!(side.peer.set_direction(*NOW, audio, Way::SendRecv), Err(Error::TransceiverStopped));
    assert_eq!(side.peer.replace_track(*NOW, audio, None), Err(Error::TransceiverStopped));
    let rids = |list: &[&str]| TransceiverInit {
        send_encodings: list.iter().map(|rid| RtpEncodingParameters::with_rid(rid)).collect(),
        ..TransceiverInit::default()
    };
    for bad in [&["a", "a"][..], &["a", ""], &["a b", "c"], &["~a", "b"]] {
        let result = side.peer.add_transceiver(*NOW, TrackKind::Video, rids(bad));
        assert!(matches!(result, Err(Error::InvalidParameters { .. })), "{bad:?}");
    }
    let small = RtpEncodingParameters { scale_resolution_down_by: Some(0.5), ..Default::default() };
    let init = TransceiverInit { send_encodings: vec![small], ..TransceiverInit::default() };
    assert!(matches!(side.peer.add_transceiver(*NOW, TrackKind::Video, init), Err(Error::OutOfRange { .. })));
    side.peer.close(*NOW);
    assert_eq!(side.peer.add_track(*NOW, track, vec![]), Err(Error::Closed));
}

#[test]
fn parameters_are_changed_once_for_each_reading() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let id = one.peer.add_track(*NOW, Track::video("camera"), vec![]).unwrap();
    assert!(one.peer.send_parameters(*NOW, id).unwrap().codecs.is_empty(), "nothing is negotiated");
    negotiate(&mut one, &mut two);
    let mut parameters = one.peer.send_parameters(*NOW, id).unwrap();
    assert!(parameters.rtcp.reduced_size && parameters.rtcp.cname.is_some());
    assert_eq!(parameters.codecs[0].codec.mime_type, "video/VP8");
    assert!(parameters.header_extensions.iter().any(|one| one.uri.ends_with("sdes:mid")));
    parameters.encodings[0].max_bitrate = Some(500_000);
    one.peer.set_send_parameters(*NOW, id, parameters.clone()).unwrap();
    assert_eq!(one.info(id).sender.encodings[0].max_bitrate, Some(500_000));
    let again = one.peer.set_send_parameters(*NOW, id, parameters.clone());
    assert_eq!(again, Err(Error::ParametersNotRead), "they were not read again");
    let mut more = one.peer.send_parameters(*NOW, id).unwrap();
    more.encodings.push(RtpEncodingParameters::default());
    let refused = one.peer.set_send_parameters(*NOW, id, more);
    assert!(matches!(refused, Err(Error::InvalidModificationOfMedia { .. })));
    let theirs = two.peer.transceivers()[0].id;
    let received = two.peer.receive_parameters(theirs).unwrap();
    assert_eq!(received.codecs[0].codec.mime_type, "video/VP8");
    assert_eq!(received.codecs[0].payload_type, parameters.codecs[0].payload_type);
}

#[test]
fn sections_that_were_not_asked_for_stay_inactive() {
    let (mut one, mut two) = (Side::new(1), Side::configured(2, |_| {}));
    one.peer.add_track(*NOW, Track::audio("mic"), vec![]).unwrap();
    one.peer.add_track(*NOW, Track::video("camera"), vec![]).unwrap();
    let (_, answer) = negotiate(&mut one, &mut two);
    assert!(answer.media.iter().all(|section| direction(section) == Some(Direction::Inactive)));
    // The application may ask for one of them later.
    let wanted = two.peer.transceivers()[1].id;
    two.events();
    two.peer.set_direction(*NOW, wanted, Way::RecvOnly).unwrap();
    assert!(two.wants_negotiation());
    let (offer, answer) = negotiate(&mut two, &mut one);
    assert_eq!(
        offer.media.iter().map(direction).collect::<Vec<_>>(),
        [Some(Direction::Inactive), Some(Direction::RecvOnly)]
    );
    assert_eq!(direction(&answer.media[1]), Some(Direction::SendOnly));
    assert_eq!(two.current(), [Some(Way::Inactive), Some(Way::RecvOnly)]);
    // Or by the answer.
    let (mut one, mut two) = (Side::new(1), Side::configured(2, |_| {}));
    one.peer.add_track(*NOW, Track::audio("mic"), vec![]).unwrap();
    two.take(one.describe());
    let id = two.peer.transceivers()[0].id;
    two.peer.set_direction(*NOW, id, Way::RecvOnly).unwrap();
    assert_eq!(direction(&parse(&two.describe()).media[0]), Some(Direction::RecvOnly));
}
