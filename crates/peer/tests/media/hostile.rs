//! Descriptions that mean harm, of audio and video.

use columba_peer::{Error, SessionDescription, TransceiverDirection as Way};
use proptest::prelude::*;

use crate::common::*;

/// The bytes that a description and its answer may allocate in all, for each of its own.
const BYTES_PER_BYTE: u64 = 1000;

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

/// Texts of a megabyte or more, each of another kind, are refused with the line and the reason, or
/// answered; the answer is small, and what is allocated is in proportion.
#[test]
fn bombs_are_refused_or_answered_at_little_cost() {
    let head = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let one = |lines: &str| offer_of(&format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\n{lines}"), &["a"]).sdp;
    let candidate = |number: usize| {
        format!(
            "a=candidate:{number} 1 udp {number} 10.{}.{}.1 9 typ host\n",
            number >> 8 & 255,
            number & 255
        )
    };
    let sections = |lines: &str| {
        let mids: Vec<String> = (0..1000).map(|index| index.to_string()).collect();
        let names: Vec<&str> = mids.iter().map(String::as_str).collect();
        let section = format!("m=audio 9 UDP/TLS/RTP/SAVPF 0\n{lines}");
        offer_of(&section.repeat(1000), &names).sdp
    };
    let session = |lines: String| one("").replacen("t=0 0\r\n", &format!("t=0 0\r\n{lines}"), 1);
    let unbundled = |text: String| text.replacen("a=group:BUNDLE", "a=x-group:", 1);
    // The text, the line of the refusal, and a word of its reason; none if it is answered.
    type Refusal<'a> = Option<(u32, &'a str)>;
    let bombs: [(&str, String, Refusal<'_>); 14] = [
        ("a line of two megabytes", format!("{head}a=x:{}\r\n", "x".repeat(2 << 20)), Some((0, "bytes"))),
        ("a long line", format!("{head}a=x:{}\r\n", "x".repeat(20_000)), Some((5, "one line"))),
        ("a million empty lines", "\r\n".repeat(1_000_000), Some((0, "bytes"))),
        ("100,000 attributes", one(&many(100_000, &|index| format!("a=x:{index}\n"))), Some((0, "bytes"))),
        ("30,000 attributes", one(&many(30_000, &|index| format!("a=x:{index}\n"))), Some((20_129, "lines"))),
        ("100,000 candidates", one(&many(100_000, &candidate)), Some((0, "bytes"))),
        ("15,000 candidates", one(&many(15_000, &candidate)), None),
        (
            "10,000 sections",
            format!("{head}{}", "m=audio 9 RTP/AVP 0\r\n".repeat(10_000)),
            Some((1029, "sections")),
        ),
        ("1,000 sections", sections(""), None),
        ("1,000 transports", unbundled(sections("")), None),
        ("candidates of the session", session(many(15_000, &candidate)), None),
        (
            "fingerprints of the session",
            session(many(9000, &|index| format!("a=fingerprint:sha-1 {index:02X}:00\n"))),
            None,
        ),
        (
            "groups",
            session(
                format!("a=group:BUNDLE {}\n", many(5000, &|index| format!("{} ", index % 10))).repeat(90),
            ),
            None,
        ),
        (
            "formats",
            one("")
                .replace("SAVPF 0", &format!("SAVPF {}", many(5000, &|index| format!("{} ", index % 128)))),
            None,
        ),
    ];
    for (name, text, refused) in bombs {
        let length = text.len() as u64;
        let allocated = allocation_counter::measure(|| try_bomb(name, text, refused)).bytes_total;
        println!("{name}: {} bytes for each of its own", allocated / length);
        assert!(allocated < BYTES_PER_BYTE * length, "{name}: {allocated} bytes");
    }
}

fn try_bomb(name: &str, text: String, refused: Option<(u32, &str)>) {
    let mut side = eager();
    let result = side.try_take(SessionDescription::offer(text.clone()));
    let Some((at, word)) = refused else {
        assert!(result.is_ok(), "{name}: {result:?}");
        let answer = side.describe();
        assert!(answer.sdp.len() < 900 * 1024, "{name}: {} bytes", answer.sdp.len());
        side.take(SessionDescription::offer(text));
        return;
    };
    let Err(Error::InvalidDescription { line, reason, .. }) = result else { panic!("{name}: {result:?}") };
    assert_eq!(line.unwrap_or_default(), at, "{name}: {reason}");
    assert!(reason.contains(word), "{name}: {reason}");
    assert_eq!(side.peer.signaling_state(), columba_peer::SignalingState::Stable);
}

/// Candidates beyond what a transport takes change nothing, and take no memory.
#[test]
fn candidates_without_end_are_bounded() {
    let mut side = eager();
    side.take(offer_of("m=audio 9 UDP/TLS/RTP/SAVPF 0", &["a"]));
    side.describe();
    for number in 0..100_000_u32 {
        let [_, one, two, three] = number.to_be_bytes();
        let init = columba_peer::IceCandidateInit {
            candidate: format!("candidate:{number} 1 udp {number} 10.{one}.{two}.{three} 9 typ host"),
            sdp_mid: Some("a".to_owned()),
            sdp_m_line_index: None,
            username_fragment: None,
        };
        side.peer.add_ice_candidate(*NOW, Some(init)).unwrap();
    }
    let text = side.peer.remote_description().unwrap().sdp;
    assert!(text.len() < 40_000, "{} bytes", text.len());
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
