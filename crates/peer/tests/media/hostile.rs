//! Descriptions that mean harm, of audio and video.

use columba_peer::{Error, SessionDescription, TransceiverDirection as Way};
use proptest::prelude::*;

use crate::common::*;

/// Sections of an offer that is offered again with all codecs in each.
const SECTIONS: usize = 400;

fn eager() -> Side {
    Side::configured(1, |media| (media.offered, media.receive_simulcast) = (Way::SendRecv, true))
}

/// Hundreds of sections, and as many codecs as a section may have.
#[test]
fn greatest_descriptions_are_answered() {
    let mids: Vec<String> = (0..SECTIONS).map(|index| index.to_string()).collect();
    let names: Vec<&str> = mids.iter().map(String::as_str).collect();
    let section = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=rtpmap:96 VP8/90000\n".repeat(SECTIONS);
    let mut side = eager();
    side.take(offer_of(&section, &names));
    assert_eq!(side.peer.transceivers().len(), SECTIONS);
    let answer = parse(&side.describe());
    assert!(answer.media.iter().all(|section| !section.is_rejected()));
    // Everything is offered again, and everything is stopped again.
    let again = parse(&side.peer.create_offer(*NOW, columba_peer::OfferOptions::default()).unwrap());
    assert_eq!(again.media.len(), SECTIONS);
    assert!(again.to_string().lines().count() > 20_000, "the bound of a description without sections");
    let stopped = section.replace("video 9", "video 0");
    side.take(offer_of(&stopped, &names));
    side.describe();
    assert!(side.peer.transceivers().is_empty());

    let formats: Vec<String> = (0..128).map(|number| number.to_string()).collect();
    let maps: String = (0..128).map(|number| format!("a=rtpmap:{number} VP8/90000\n")).collect();
    let feedback: String = (0..9000).map(|number| format!("a=rtcp-fb:* x{number}\n")).collect();
    let extensions: String = (1..=255).map(|id| format!("a=extmap:{id} urn:{id}\n")).collect();
    let rids: String = (0..500).map(|rid| format!("a=rid:{rid} send\n")).collect();
    let list: Vec<String> = (0..500).map(|rid| rid.to_string()).collect();
    let sections = format!(
        "m=video 9 UDP/TLS/RTP/SAVPF {}\n{maps}{feedback}{extensions}{rids}a=simulcast:send {}\n{}",
        formats.join(" "),
        list.join(";"),
        "a=msid:s t\na=msid:u t\n".repeat(500)
    );
    let mut side = eager();
    side.take(offer_of(&sections, &["v"]));
    assert_eq!(side.peer.transceivers()[0].receiver.streams, ["s", "u"]);
    let answer = side.describe();
    assert!(answer.sdp.len() < 20_000, "{} bytes", answer.sdp.len());
}

#[test]
fn too_many_sections_are_refused() {
    let section = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(10_000);
    let text = format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{section}");
    let result = eager().try_take(SessionDescription::offer(text));
    assert!(matches!(result, Err(Error::InvalidDescription { line: Some(_), .. })), "{result:?}");
}

/// Damages a text: lines go, come twice, change places, lose or change characters.
fn damaged(text: &str, damage: &[(u8, usize, usize)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (kind, one, other) in damage {
        let (one, other) = (one % lines.len(), other % lines.len());
        match kind % 5 {
            0 if lines.len() > 6 => drop(lines.remove(one)),
            1 => lines.insert(one, lines[other].clone()),
            2 => lines.swap(one, other),
            3 => lines[one] = lines[one].replace(|c: char| c.is_ascii_digit(), "7"),
            _ => drop(lines[one].pop()),
        }
    }
    lines.into_iter().fold(String::new(), |text, line| text + &line + "\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_offers_of_browsers_are_answered_or_refused(
        name in prop::sample::select(vec![
            "chromium-av-offer", "firefox-av-offer", "chromium-simulcast-offer", "firefox-simulcast-offer",
        ]),
        damage in prop::collection::vec((any::<u8>(), any::<usize>(), any::<usize>()), 0..12),
    ) {
        let mut side = eager();
        if side.try_take(SessionDescription::offer(damaged(&recorded(name), &damage))).is_ok() {
            let answer = parse(&side.describe());
            // An offer that follows can be read, whatever was taken over.
            let offer = side.describe();
            prop_assert!(parse(&offer).media.len() >= answer.media.len());
            let mut other = eager();
            prop_assert!(offer.sdp.lines().all(|line| !line.starts_with("m=") || line.split(' ').count() > 3));
            let taken = other.try_take(offer.clone());
            prop_assert!(taken.is_ok(), "{:?}\n{}", taken, offer.sdp);
        }
    }

    #[test]
    fn damaged_answers_leave_the_offer_pending_or_are_taken(
        damage in prop::collection::vec((any::<u8>(), any::<usize>(), any::<usize>()), 1..8),
    ) {
        let (mut one, mut two) = (eager(), Side::new(2));
        one.add(columba_peer::TrackKind::Audio, Way::SendRecv);
        one.add(columba_peer::TrackKind::Video, Way::SendRecv);
        two.take(one.describe());
        let answer = two.describe();
        let text = damaged(&answer.sdp, &damage);
        if one.try_take(SessionDescription::answer(text)).is_err() {
            prop_assert_eq!(one.current(), vec![None, None]);
            one.take(answer);
        }
        prop_assert_eq!(one.peer.signaling_state(), columba_peer::SignalingState::Stable);
    }
}
