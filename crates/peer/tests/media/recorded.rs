//! Offers of browsers, answered with media.

use columba_peer::{SessionDescription, TrackKind, TransceiverDirection as Way};
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
