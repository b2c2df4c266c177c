//! Offers of other implementations, answered with media and data.

use columba_peer::{
    DataChannelInit, SessionDescription, SignalingState, TrackKind, TransceiverDirection as Way,
};
use columba_sdp::{MediaKind, SessionDescription as Sdp};

use crate::common::*;

fn read(name: &str) -> String {
    let path = format!("{}/tests/corpus/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn all() -> Vec<String> {
    let directory = format!("{}/tests/corpus", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(directory).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(".sdp").map(str::to_owned)).collect();
    names.sort();
    names
}

/// The sections that an offer is answered with: the kind, and the codec that comes first; `-` for
/// data.
const ANSWERS: [(&str, &[(&str, &str)]); 14] = [
    ("aiortc-av-offer", &[("audio", "opus"), ("video", "VP8"), ("application", "-")]),
    ("aiortc-data-offer", &[("application", "-")]),
    ("camera-offer", &[("video", "H264"), ("audio", "PCMU"), ("application", "-")]),
    ("doorbell-offer", &[("audio", "PCMA")]),
    ("gstreamer-av-offer", &[("audio", "opus"), ("video", "VP8"), ("application", "-")]),
    ("gstreamer-data-offer", &[("application", "-")]),
    ("janus-av-offer", &[("audio", "opus"), ("video", "VP8")]),
    ("janus-data-offer", &[("application", "-")]),
    ("libdatachannel-av-offer", &[("audio", "opus"), ("video", "VP8"), ("application", "-")]),
    ("libdatachannel-data-offer", &[("application", "-")]),
    ("mediasoup-consumer-offer", &[("audio", "opus"), ("video", "VP8"), ("application", "-")]),
    ("pion-av-offer", &[("audio", "opus"), ("video", "VP8"), ("application", "-")]),
    ("pion-data-offer", &[("application", "-")]),
    ("safari-av-offer", &[("audio", "opus"), ("video", "H264"), ("application", "-")]),
];

#[test]
fn every_offer_is_answered() {
    let is_theirs = |name: &String| name.ends_with("-offer") && !name.starts_with("columba");
    let offers: Vec<_> = all().into_iter().filter(is_theirs).collect();
    assert_eq!(offers, ANSWERS.map(|(name, _)| name));
    for (name, expected) in ANSWERS {
        let mut side = Side::configured(1, |media| media.offered = Way::SendRecv);
        side.take(SessionDescription::offer(read(name)));
        let offer: Sdp = read(name).parse().unwrap();
        let answer = parse(&side.describe());
        assert_eq!(side.peer.signaling_state(), SignalingState::Stable, "{name}");
        assert_eq!(answer.media.len(), expected.len(), "{name}");
        for ((own, theirs), (kind, codec)) in answer.media.iter().zip(&offer.media).zip(expected) {
            assert!(!own.is_rejected(), "{name}: {kind}");
            assert_eq!(own.head().kind.to_string(), *kind, "{name}");
            if own.head().kind == MediaKind::Application {
                continue;
            }
            let (codecs, offered) = (own.codecs().unwrap(), theirs.codecs().unwrap());
            assert!(codecs[0].map.is(codec), "{name}: {:?}", codecs[0]);
            for codec in &codecs {
                let is_same = |one: &&columba_sdp::Codec| one.payload_type() == codec.payload_type();
                assert!(offered.iter().any(|one| is_same(&one)), "{name}: {codec:?}");
            }
        }
        assert!(!side.wants_negotiation(), "{name}");
        let has_data = expected.iter().any(|(kind, _)| *kind == "application");
        assert_eq!(side.peer.sctp_transport().is_some(), has_data, "{name}");
    }
}

/// The same offer again, and then with another section: what the other side does to add something.
#[test]
fn every_offer_is_answered_again() {
    for (name, expected) in ANSWERS {
        let mut side = Side::configured(1, |media| media.offered = Way::SendRecv);
        side.take(SessionDescription::offer(read(name)));
        let first = parse(&side.describe());
        side.take(SessionDescription::offer(read(name)));
        let second = parse(&side.describe());
        assert_eq!(first.media.len(), second.media.len(), "{name}");
        let offer = parse(&{
            side.add(TrackKind::Video, Way::SendRecv);
            side.describe()
        });
        assert_eq!(offer.media.len(), expected.len() + 1, "{name}");
    }
}

#[test]
fn recorded_answers_are_read() {
    for name in all().into_iter().filter(|name| name.contains("-answer-")) {
        let answer: Sdp = read(&name).parse().unwrap();
        assert_eq!(answer.to_string(), read(&name), "{name}");
        for section in &answer.media {
            assert!(section.head().kind == MediaKind::Application || section.codecs().is_ok(), "{name}");
        }
    }
}

/// The answers to `columba-av-offer`, and what they make of audio and video.
const ANSWERS_TO_OURS: [(&str, [Way; 2]); 5] = [
    ("aiortc", [Way::SendOnly; 2]),
    ("gstreamer", [Way::SendOnly; 2]),
    ("janus", [Way::SendRecv; 2]),
    ("libdatachannel", [Way::SendRecv; 2]),
    ("pion", [Way::SendOnly; 2]),
];

#[test]
fn answers_to_an_own_offer_are_taken() {
    for (name, directions) in ANSWERS_TO_OURS {
        let mut side = Side::new(1);
        let audio = side.add(TrackKind::Audio, Way::SendRecv);
        let video = side.add(TrackKind::Video, Way::SendRecv);
        side.peer.create_data_channel(*NOW, "data", DataChannelInit::default()).unwrap();
        // The recorded offer and this one say the same of codecs, but for what is drawn.
        let numbers = |text: &str| {
            let lines =
                text.lines().filter(|line| line.starts_with("a=rtpmap:") || line.starts_with("a=mid:"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let offer = side.describe();
        // Retransmissions of RED have come since, behind all others.
        assert!(offer.sdp.contains("a=fmtp:111 apt=109\r\n"), "{}", offer.sdp);
        let mut own = numbers(&offer.sdp);
        own.retain(|line| line != "a=rtpmap:111 rtx/90000");
        assert_eq!(own, numbers(&read("columba-av-offer")));
        side.take(SessionDescription::answer(read(&format!("{name}-av-answer-to-columba"))));
        assert_eq!(side.peer.signaling_state(), SignalingState::Stable, "{name}");
        assert_eq!(side.current(), directions.map(Some), "{name}");
        for (transceiver, codec) in [(audio, "audio/opus"), (video, "video/VP8")] {
            let parameters = side.peer.send_parameters(*NOW, transceiver).unwrap();
            // GStreamer writes the names of codecs in capitals.
            let chosen = &parameters.codecs[0].codec.mime_type;
            assert!(chosen.eq_ignore_ascii_case(codec), "{name}: {chosen}");
        }
        assert!(side.peer.sctp_transport().is_some(), "{name}");
        assert!(!side.wants_negotiation(), "{name}");
    }
}
