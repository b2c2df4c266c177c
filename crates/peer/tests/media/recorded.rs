//! Offers of browsers, answered with media.

use columba_peer::{
    DataChannelInit, RtpEncodingParameters, SessionDescription, Track, TrackKind,
    TransceiverDirection as Way, TransceiverInit,
};
use columba_sdp::attributes::{Direction, ExtMap};
use columba_sdp::{MediaKind, SessionDescription as Sdp};

use crate::common::*;

fn offers() -> Vec<String> {
    let directory = format!("{}/../sdp/tests/data", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(directory).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix("-offer.sdp").map(|name| format!("{name}-offer"))).collect()
}

#[test]
fn every_recorded_offer_is_answered_with_media() {
    let mut sections = 0;
    for name in offers() {
        let theirs: Sdp = recorded(&name).parse().unwrap();
        let mut side = Side::configured(1, |media| media.offered = Way::SendRecv);
        side.take(SessionDescription::offer(recorded(&name)));
        let answer = parse(&side.describe());
        assert_eq!(answer.media.len(), theirs.media.len(), "{name}");
        for (own, offered) in answer.media.iter().zip(&theirs.media) {
            assert_eq!(own.is_rejected(), offered.is_rejected(), "{name}");
            if own.is_rejected() || own.head().kind == MediaKind::Application {
                continue;
            }
            sections += 1;
            let expected = theirs.direction(offered).reversed();
            assert_eq!(direction(own), Some(expected), "{name}");
            let (codecs, known) = (own.codecs().unwrap(), offered.codecs().unwrap());
            let first = if own.head().kind == MediaKind::Audio { "opus" } else { "VP8" };
            assert!(codecs.iter().any(|codec| codec.map.is(first)), "{name}");
            for codec in &codecs {
                let theirs = known.iter().find(|one| one.payload_type() == codec.payload_type()).unwrap();
                assert_eq!(codec.map, theirs.map, "{name}");
                assert!(codec.feedback.iter().all(|one| theirs.feedback.contains(one)), "{name}");
            }
            let extensions: Vec<ExtMap> = own.lines.all().flatten().collect();
            assert!(extensions.iter().any(|one| one.uri.ends_with("sdes:mid")), "{name}");
            let offered: Vec<ExtMap> = offered.lines.all().flatten().collect();
            let is_offered =
                |one: &ExtMap| offered.iter().any(|two| (two.id, &two.uri) == (one.id, &one.uri));
            assert!(extensions.iter().all(is_offered), "{name}");
            assert_eq!(own.lines.has_attribute("msid"), expected.sends(), "{name}");
        }
        assert!(!side.wants_negotiation(), "{name}");
    }
    assert!(sections > 20, "{sections}");
}

#[test]
fn streams_of_browsers_arrive() {
    for name in ["chromium-av-offer", "firefox-av-offer"] {
        let mut side = Side::new(1);
        side.take(SessionDescription::offer(recorded(name)));
        for transceiver in side.peer.transceivers() {
            assert_eq!(transceiver.receiver.streams.len(), 1, "{name}");
            assert!(
                recorded(name).contains(&format!("a=msid:{} ", transceiver.receiver.streams[0])),
                "{name}"
            );
        }
    }
}

#[test]
fn own_offer_is_understood_by_the_same_rules_after_a_browsers() {
    // Numbers of the browser are kept when the roles are reversed.
    for name in ["chromium-av-offer", "firefox-av-offer", "chromium-simulcast-offer"] {
        let mut side = Side::configured(1, |media| media.offered = Way::SendRecv);
        side.take(SessionDescription::offer(recorded(name)));
        let answer = parse(&side.describe());
        side.add(TrackKind::Video, Way::SendRecv);
        let offer = parse(&side.describe());
        for (before, after) in answer.media.iter().zip(&offer.media) {
            if before.head().kind == MediaKind::Application || before.is_rejected() {
                continue;
            }
            let after = names(after);
            for (number, codec) in names(before).iter().filter(|(_, codec)| codec != "rtx") {
                let same = after.iter().find(|(other, _)| other == number);
                assert!(same.is_none_or(|(_, other)| other == codec), "{name}: {number}");
            }
            let first = &names(before)[0];
            assert!(after.contains(first) || first.1 == "H264", "{name}: {first:?} {after:?}");
        }
        assert!(offer.media.iter().any(|section| direction(section) == Some(Direction::SendRecv)));
    }
}

/// The answers of browsers to an offer of audio, video and data, with simulcast.
#[test]
fn recorded_answers_to_an_own_offer_are_taken() {
    for (name, video) in [("chromium", 12), ("firefox", 8)] {
        let mut side = Side::new(1);
        side.peer.create_data_channel(*NOW, "x", DataChannelInit::default()).unwrap();
        let audio = side.peer.add_track(*NOW, Track::audio("a"), vec!["s".to_owned()]).unwrap();
        let camera = side.peer.add_track(*NOW, Track::video("v"), vec!["s".to_owned()]).unwrap();
        side.add(TrackKind::Video, Way::RecvOnly);
        let send_encodings = ["h", "m", "l"].map(RtpEncodingParameters::with_rid).to_vec();
        let init = TransceiverInit { send_encodings, ..TransceiverInit::new(Way::SendOnly) };
        let simulcast = side.peer.add_transceiver(*NOW, TrackKind::Video, init).unwrap();
        side.describe();
        side.take(SessionDescription::answer(recorded(&format!("{name}-media-answer-to-columba"))));
        let sends = Some(Way::SendOnly);
        assert_eq!(side.current(), [sends, sends, Some(Way::Inactive), sends], "{name}");
        assert_eq!(side.peer.send_parameters(*NOW, camera).unwrap().codecs.len(), video, "{name}");
        let audio = side.peer.send_parameters(*NOW, audio).unwrap();
        assert_eq!(audio.codecs[0].codec.mime_type, "audio/opus", "{name}");
        assert!(audio.header_extensions.iter().any(|one| one.uri.ends_with("sdes:mid")), "{name}");
        // Browsers receive one encoding only.
        assert_eq!(side.info(simulcast).sender.encodings.len(), 1, "{name}");
        assert!(!side.wants_negotiation(), "{name}");
    }
}
