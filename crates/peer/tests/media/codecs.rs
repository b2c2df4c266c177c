//! Codecs, payload types, feedback and header extensions.

use columba_peer::{Error, RtpCodec, TrackKind, TransceiverDirection as Way};
use columba_sdp::attributes::{Direction, ExtMap};
use columba_sdp::formats::{FormatParameters, H264Parameters};

use crate::common::*;

const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

fn video(lines: &str) -> String {
    format!("m=video 9 UDP/TLS/RTP/SAVPF {lines}")
}

#[test]
fn answer_has_the_codecs_of_both_in_the_order_of_the_offer() {
    let mut side = Side::new(1);
    let sections = video(
        "100 101 35 36 120 98 99\na=rtpmap:100 VP9/90000\na=fmtp:100 profile-id=2\na=rtpmap:101 rtx/90000\n\
         a=fmtp:101 apt=100\na=rtpmap:35 VP9/90000\na=rtpmap:36 rtx/90000\na=fmtp:36 apt=35\n\
         a=rtpmap:120 foo/90000\na=rtpmap:98 VP8/90000\na=rtcp-fb:98 nack\na=rtcp-fb:98 ack rpsi\n\
         a=rtcp-fb:* ccm fir\na=rtpmap:99 rtx/90000\na=fmtp:99 apt=98;rtx-time=200",
    );
    side.take(offer_of(&sections, &["v"]));
    let answer = parse(&side.describe());
    let expected = [(35, "VP9"), (36, "rtx"), (98, "VP8"), (99, "rtx")];
    assert_eq!(names(&answer.media[0]), expected.map(|(number, name)| (number, name.to_owned())));
    let codecs = answer.media[0].codecs().unwrap();
    assert!(codecs[2].has_feedback("nack", None) && codecs[2].has_feedback("ccm", Some("fir")));
    assert!(!codecs[2].has_feedback("ack", Some("rpsi")) && !codecs[2].has_feedback("transport-cc", None));
    assert_eq!(codecs[3].parameter("apt"), Some("98"));
}

#[test]
fn h264_is_matched_by_profile_and_packetization() {
    let mut side = Side::new(1);
    let h264 = |number: u8, parameters: &str| {
        format!("a=rtpmap:{number} H264/90000\na=fmtp:{number} {parameters}\n")
    };
    let sections = video("96 97 98 99 100\n")
        + &h264(96, "profile-level-id=64001f;packetization-mode=1;level-asymmetry-allowed=1")
        + &h264(97, "profile-level-id=4d8014;packetization-mode=1")
        + &h264(98, "profile-level-id=42c034;packetization-mode=0;level-asymmetry-allowed=1")
        + &h264(99, "profile-level-id=42e01f;packetization-mode=2")
        + &h264(100, "profile-level-id=broken;packetization-mode=1");
    side.take(offer_of(&sections, &["v"]));
    let codecs = parse(&side.describe()).media[0].codecs().unwrap();
    let answered: Vec<_> = codecs
        .iter()
        .map(|codec| {
            let h264 = H264Parameters::read(codec.parameters.as_ref()).unwrap();
            (codec.payload_type(), h264.profile_level_id.to_string(), h264.packetization_mode)
        })
        .collect();
    // The lower level where they must be the same, else the own one.
    assert_eq!(answered, [(97, "4d8014".to_owned(), 1), (98, "42c01f".to_owned(), 0)]);
}

#[test]
fn section_without_a_common_codec_is_rejected() {
    let (mut one, mut two) = (
        Side::new(1),
        Side::configured(2, |media| {
            media.offered = Way::RecvOnly;
            media.video_codecs = codecs([("video/H265", 90_000), ("video/rtx", 90_000)]);
        }),
    );
    let audio = one.add(TrackKind::Audio, Way::SendRecv);
    let video = one.add(TrackKind::Video, Way::SendRecv);
    let (_, answer) = negotiate(&mut one, &mut two);
    assert!(!answer.media[0].is_rejected() && answer.media[1].is_rejected());
    assert!(one.peer.transceiver(audio).is_some());
    assert_eq!(one.peer.transceiver(video), None);
    assert_eq!((two.peer.transceivers().len(), one.wants_negotiation()), (1, false));
}

#[test]
fn forcing_a_codec_is_one_call() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    let id = one.add(TrackKind::Video, Way::SendRecv);
    let av1 = RtpCodec::new("video/av1", 90_000).with_parameters("level-idx=5;profile=0;tier=0");
    one.peer.set_codec_preferences(*NOW, id, vec![av1.clone()]).unwrap();
    let (offer, answer) = negotiate(&mut one, &mut two);
    assert_eq!(names(&offer.media[0]).len(), 1);
    assert_eq!(names(&answer.media[0])[0].1, "AV1");
    // Without preferences all codecs come back.
    one.peer.set_codec_preferences(*NOW, id, vec![]).unwrap();
    let (offer, _) = negotiate(&mut one, &mut two);
    assert!(names(&offer.media[0]).len() > 5);
    // The answerer's preferences order its answer; the retransmissions follow their codecs.
    let theirs = two.peer.transceivers()[0].id;
    let all = columba_peer::MediaConfiguration::default().video_codecs;
    let pick = |name: &str| all.iter().find(|one| one.codec.name() == name).unwrap().codec.clone();
    let preferred = vec![pick("rtx"), pick("VP9"), pick("VP8"), pick("VP9")];
    two.peer.set_codec_preferences(*NOW, theirs, preferred).unwrap();
    let (_, answer) = negotiate(&mut one, &mut two);
    let order: Vec<_> = names(&answer.media[0]).into_iter().map(|(_, name)| name).collect();
    assert_eq!(order, ["VP9", "rtx", "VP8", "rtx"]);
    // Refused: what is not configured, and what carries nothing.
    let unknown = vec![RtpCodec::new("video/H265", 90_000)];
    let refused = two.peer.set_codec_preferences(*NOW, theirs, unknown);
    assert_eq!(refused, Err(Error::UnsupportedCodec { mime_type: "video/H265".to_owned() }));
    let refused = two.peer.set_codec_preferences(*NOW, theirs, vec![pick("rtx"), pick("ulpfec")]);
    assert!(matches!(refused, Err(Error::InvalidModificationOfMedia { .. })));
}

#[test]
fn payload_types_are_kept_and_unique_in_the_bundle() {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    for _ in 0..3 {
        one.add(TrackKind::Audio, Way::SendRecv);
        one.add(TrackKind::Video, Way::SendRecv);
    }
    let (offer, answer) = negotiate(&mut one, &mut two);
    let mut meaning = std::collections::BTreeMap::new();
    for section in offer.media.iter().chain(&answer.media) {
        for codec in section.codecs().unwrap() {
            let name = (codec.map.encoding.clone(), codec.map.clock_rate, codec.parameters.clone());
            assert_eq!(meaning.entry(codec.payload_type()).or_insert_with(|| name.clone()), &name);
            assert!(!(64..=95).contains(&codec.payload_type()), "RFC 5761 §4");
        }
    }
    let numbers = |description: &columba_sdp::SessionDescription| {
        description.media.iter().map(|section| section.head().formats.clone()).collect::<Vec<_>>()
    };
    // In the other direction and again they are the same; a new section has them too.
    two.add(TrackKind::Video, Way::SendRecv);
    let (again, _) = negotiate(&mut two, &mut one);
    assert_eq!(numbers(&again)[..6], numbers(&answer)[..]);
    assert_eq!(numbers(&again)[6], numbers(&answer)[1]);
}

#[test]
fn numbers_of_the_other_side_are_taken_over() {
    let mut side = Side::new(1);
    let sections = video(
        "45 46\na=rtpmap:45 VP8/90000\na=rtpmap:46 rtx/90000\na=fmtp:46 apt=45\n\
         a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:1 urn:other",
    );
    side.take(offer_of(&sections, &["v"]));
    side.describe();
    side.add(TrackKind::Video, Way::SendRecv);
    let offer = parse(&side.describe());
    for section in &offer.media {
        let list = names(section);
        assert_eq!(list[..2], [(45, "VP8".to_owned()), (46, "rtx".to_owned())]);
        assert!(list[2..].iter().all(|(number, _)| *number != 45 && *number != 46));
        let extensions: Vec<ExtMap> = section.lines.all().flatten().collect();
        assert!(extensions.contains(&ExtMap::new(9, MID)), "{extensions:?}");
        let mut ids: Vec<_> = extensions.iter().map(|one| one.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), extensions.len());
    }
}

#[test]
fn header_extensions_are_those_of_both_with_reversed_directions() {
    let mut side = Side::new(1);
    let sections = video(
        "96\na=rtpmap:96 VP8/90000\na=extmap-allow-mixed\na=extmap:3/sendonly urn:3gpp:video-orientation\n\
         a=extmap:200 urn:ietf:params:rtp-hdrext:toffset\na=extmap:7 urn:unknown\n\
         a=extmap:4096 urn:ietf:params:rtp-hdrext:sdes:mid\na=extmap:5 urn:ietf:params:rtp-hdrext:toffset",
    );
    side.take(offer_of(&sections, &["v"]));
    let answer = parse(&side.describe());
    let extensions: Vec<ExtMap> = answer.media[0].lines.all().flatten().collect();
    let orientation =
        ExtMap { direction: Some(Direction::RecvOnly), ..ExtMap::new(3, "urn:3gpp:video-orientation") };
    assert_eq!(extensions[0], orientation);
    assert_eq!(extensions[1], ExtMap::new(200, "urn:ietf:params:rtp-hdrext:toffset"));
    // Where the offer leaves the choice, the number is a free one.
    assert_eq!((extensions.len(), extensions[2].uri.as_str()), (3, MID));
    assert!(extensions[2].id <= 14 && ![3, 5, 7].contains(&extensions[2].id));
    assert!(answer.media[0].lines.has_attribute("extmap-allow-mixed"));
}

#[test]
fn number_with_two_meanings_in_a_bundle_is_refused() {
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 opus/48000/2\n";
    let same = format!("{audio}{}", video("96\na=rtpmap:96 VP8/90000"));
    match Side::new(1).try_take(offer_of(&same, &["a", "v"])) {
        Err(Error::InvalidDescription { mid, reason, .. }) => {
            assert_eq!(mid.as_deref(), Some("v"));
            assert!(reason.contains("payload type 96") && reason.contains("\"a\""), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let extension =
        format!("{audio}a=extmap:1 urn:one\n{}", video("97\na=rtpmap:97 VP8/90000\na=extmap:1 urn:two"));
    match Side::new(1).try_take(offer_of(&extension, &["a", "v"])) {
        Err(Error::InvalidDescription { reason, .. }) => {
            assert!(reason.contains("header extension 1"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

/// Firefox numbers a section that it adds as in an offer that was taken back, and Chromium answers
/// each section with its own numbers. Packets tell their section by its name, or by their SSRC.
#[test]
fn payload_type_with_two_meanings_is_taken_where_packets_name_their_section() {
    let name = "a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid";
    let agreed = "99 100\na=rtpmap:99 VP8/90000\na=rtpmap:100 rtx/90000\na=fmtp:100 apt=99\n";
    let added = "120 124 99 100\na=rtpmap:120 VP8/90000\na=rtpmap:124 rtx/90000\na=fmtp:124 apt=120\n\
                 a=rtpmap:99 AV1/90000\na=rtpmap:100 rtx/90000\na=fmtp:100 apt=99\n";
    for (first, second, is_taken) in [
        (name, name, true),
        (name, "a=ssrc:1234 cname:dove", true),
        ("a=ssrc:77 cname:dove", name, true),
        (name, "", false),
        ("", name, false),
    ] {
        let mut side = Side::new(1);
        let before = video(&format!("{agreed}{first}"));
        side.take(offer_of(&before, &["a"]));
        side.describe();
        let both = format!("{before}\n{}", video(&format!("{added}{second}")));
        let result = side.try_take(offer_of(&both, &["a", "b"]));
        if !is_taken {
            let Err(Error::InvalidDescription { mid, reason, .. }) = result else { panic!("{result:?}") };
            assert_eq!(mid.as_deref(), Some("b"));
            assert!(reason.contains("payload type 99") && reason.contains("\"a\""), "{reason}");
            continue;
        }
        let answer = parse(&side.describe());
        let sections: Vec<_> = answer.media.iter().map(names).collect();
        let named = |list: &[(u8, &str)]| list.iter().map(|(n, c)| (*n, (*c).to_owned())).collect::<Vec<_>>();
        assert_eq!(sections[0], named(&[(99, "VP8"), (100, "rtx")]));
        assert_eq!(sections[1], named(&[(120, "VP8"), (124, "rtx"), (99, "AV1"), (100, "rtx")]));
        // What is agreed is kept; a further section of one's own has only numbers of one meaning.
        side.add(TrackKind::Video, Way::SendRecv);
        side.add(TrackKind::Video, Way::SendRecv);
        let offer = parse(&side.describe());
        let sections: Vec<_> = offer.media.iter().map(names).collect();
        assert_eq!(sections[0][0], (99, "VP8".to_owned()));
        for own in &sections[2..] {
            assert_eq!(own[0], (120, "VP8".to_owned()));
            assert!(own.iter().all(|(number, codec)| *number != 99 && (*number != 100 || codec == "rtx")));
            assert_eq!(own, &sections[2]);
        }
    }
    // In one section the first of its meanings counts.
    let twice = video("99 98\na=rtpmap:99 VP8/90000\na=rtpmap:98 VP9/90000\na=rtpmap:99 AV1/90000");
    let mut side = Side::new(1);
    side.take(offer_of(&format!("{twice}\n{name}"), &["a"]));
    let answered = names(&parse(&side.describe()).media[0]);
    assert_eq!(answered, [(99, "VP8".to_owned()), (98, "VP9".to_owned())]);
}

#[test]
fn redundant_audio_needs_its_codec() {
    let red = |media: &mut columba_peer::MediaConfiguration| {
        media.offered = Way::RecvOnly;
        let red = columba_peer::RtpCodecCapability::new(RtpCodec::new("audio/red", 48_000).with_channels(2));
        media.audio_codecs.insert(1, red);
    };
    let (mut one, mut two) = (Side::configured(1, red), Side::configured(2, red));
    one.add(TrackKind::Audio, Way::SendRecv);
    let (offer, answer) = negotiate(&mut one, &mut two);
    let primary = names(&offer.media[0])[0].0;
    for description in [&offer, &answer] {
        let codecs = description.media[0].codecs().unwrap();
        let red = codecs.iter().find(|codec| codec.map.is("red")).unwrap();
        assert_eq!(red.parameters.as_ref().unwrap().parameters, format!("{primary}/{primary}"));
    }
    // Alone it is nothing.
    let sections = "m=audio 9 UDP/TLS/RTP/SAVPF 63 0\na=rtpmap:63 red/48000/2\na=fmtp:63 111/111";
    let mut side = Side::configured(1, red);
    side.take(offer_of(sections, &["a"]));
    assert_eq!(names(&parse(&side.describe()).media[0]), [(0, "PCMU".to_owned())]);
}

/// Chromium refuses an offer whose numbers contradict its own that it has just taken back.
#[test]
fn numbers_of_header_extensions_are_those_of_chromium() {
    let theirs = recorded("chromium-av-offer");
    let video_only = "1 urn:ietf:params:rtp-hdrext:toffset\n2 http://www.webrtc.org/experiments/rtp-hdrext/\
         abs-send-time\n3 urn:3gpp:video-orientation\n4 http://www.ietf.org/id/draft-holmer-rmcat-transport-\
         wide-cc-extensions-01\n9 urn:ietf:params:rtp-hdrext:sdes:mid\n10 urn:ietf:params:rtp-hdrext:sdes:\
         rtp-stream-id\n11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
    let kinds = [TrackKind::Audio, TrackKind::Video];
    for (kinds, expected) in [(&kinds[..], theirs.as_str()), (&kinds[1..], video_only)] {
        let mut side = Side::new(1);
        for kind in kinds {
            side.add(*kind, Way::SendRecv);
        }
        let own = side.describe().sdp;
        let found: Vec<_> = own.lines().filter_map(|line| line.strip_prefix("a=extmap:")).collect();
        assert!(found.len() >= 4, "{own}");
        for line in found {
            let is_it = |other: &str| other.strip_prefix("a=extmap:").unwrap_or(other) == line;
            assert!(expected.lines().any(is_it), "{line}");
        }
    }
}
