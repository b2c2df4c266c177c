//! Descriptions that were changed on the way: accepted where browsers accept them, refused
//! with the section or the line where not.

use columba_peer::{Error, SessionDescription, Track, TrackKind, TransceiverDirection as Way};
use columba_sdp::attributes::{Bandwidth, MaxPtime};

use crate::common::*;

/// An offer of audio and video, and the answer to it.
fn exchange() -> (Side, SessionDescription, SessionDescription) {
    let (mut one, mut two) = (Side::new(1), Side::new(2));
    one.peer.add_track(*NOW, Track::audio("a"), vec!["s".to_owned()]).unwrap();
    one.peer.add_track(*NOW, Track::video("v"), vec!["s".to_owned()]).unwrap();
    let offer = one.describe();
    two.take(offer.clone());
    (one, offer, two.describe())
}

fn edit(description: &SessionDescription, change: impl Fn(&str) -> Option<String>) -> SessionDescription {
    let lines = description.sdp.lines().filter_map(change);
    let sdp = lines.fold(String::new(), |text, line| text + &line + "\r\n");
    SessionDescription { sdp, ..description.clone() }
}

fn keep(line: &str) -> Option<String> {
    Some(line.to_owned())
}

type Edit = Box<dyn Fn(&str) -> Option<String>>;

/// Changes that browsers accept in an answer.
fn harmless() -> Vec<(&'static str, Edit)> {
    let first_number = |sdp: &str, kind: &str| {
        let head = sdp.lines().find(|line| line.starts_with(kind)).unwrap().to_owned();
        head.split(' ').nth(3).unwrap().to_owned()
    };
    let (_, _, answer) = exchange();
    let vp8 = first_number(&answer.sdp, "m=video");
    vec![
        ("nothing", Box::new(keep)),
        ("only VP8 left", {
            let vp8 = vp8.clone();
            Box::new(move |line: &str| {
                let about = |attribute: &str| {
                    line.strip_prefix(attribute).is_some_and(|rest| !rest.starts_with(&vp8))
                };
                if line.starts_with("m=video") {
                    return Some(format!("m=video 9 UDP/TLS/RTP/SAVPF {vp8}"));
                }
                let is_other = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"].iter().any(|one| about(one));
                let is_video = line.contains("90000") || line.contains("apt=") || line.contains("profile");
                (!(is_other && is_video)).then(|| line.to_owned())
            })
        }),
        (
            "codecs in another order",
            Box::new(|line: &str| match line.strip_prefix("m=video 9 UDP/TLS/RTP/SAVPF ") {
                Some(list) => {
                    let list: Vec<_> = list.split(' ').rev().collect();
                    Some(format!("m=video 9 UDP/TLS/RTP/SAVPF {}", list.join(" ")))
                }
                None => keep(line),
            }),
        ),
        (
            "a bitrate",
            Box::new(|line: &str| match line.starts_with("a=mid:1") {
                true => Some(format!("b=AS:300\r\nb=TIAS:300000\r\n{line}")),
                false => keep(line),
            }),
        ),
        (
            "parameters of Opus",
            Box::new(|line: &str| {
                Some(line.replace("useinbandfec=1", "useinbandfec=1;stereo=1;maxaveragebitrate=510000"))
            }),
        ),
        ("setup passive", Box::new(|line: &str| Some(line.replace("setup:active", "setup:passive")))),
        (
            "no candidates, no end of them",
            Box::new(|line: &str| (!line.contains("candidate")).then(|| line.to_owned())),
        ),
        (
            "other credentials of ICE",
            Box::new(|line: &str| match line.split_once(':') {
                Some(("a=ice-ufrag", _)) => Some("a=ice-ufrag:other".to_owned()),
                Some(("a=ice-pwd", _)) => Some("a=ice-pwd:abcdefghijklmnopqrstuvwx".to_owned()),
                _ => keep(line),
            }),
        ),
        (
            "no header extensions",
            Box::new(|line: &str| (!line.starts_with("a=extmap")).then(|| line.to_owned())),
        ),
        ("no feedback", Box::new(|line: &str| (!line.starts_with("a=rtcp-fb")).then(|| line.to_owned()))),
        ("other direction", Box::new(|line: &str| Some(line.replace("a=recvonly", "a=inactive")))),
        ("more than was offered", Box::new(|line: &str| Some(line.replace("a=recvonly", "a=sendrecv")))),
        (
            "unknown lines",
            Box::new(|line: &str| {
                Some(format!(
                    "{line}{}",
                    if line == "a=mid:0" { "\r\na=x-unknown:1\r\nb=X-YZ:1" } else { "" }
                ))
            }),
        ),
    ]
}

#[test]
fn harmless_changes_of_an_answer_are_accepted() {
    for (name, change) in harmless() {
        let (mut one, _, answer) = exchange();
        let answer = edit(&answer, &change);
        let result = one.try_take(answer.clone());
        assert!(result.is_ok(), "{name}: {result:?}\n{}", answer.sdp);
        let expected = if name == "other direction" { Way::Inactive } else { Way::SendOnly };
        let offered_both = [Some(if name == "more than was offered" { Way::SendRecv } else { expected }); 2];
        assert_eq!(one.current(), offered_both, "{name}");
    }
}

#[test]
fn harmless_changes_of_an_offer_are_answered() {
    let (_, offer, _) = exchange();
    let without_opus = edit(&offer, |line| match line.strip_prefix("m=audio 9 UDP/TLS/RTP/SAVPF ") {
        Some(list) => {
            let list: Vec<_> = list.split(' ').skip(1).collect();
            Some(format!("m=audio 9 UDP/TLS/RTP/SAVPF {}", list.join(" ")))
        }
        None => keep(line),
    });
    let mut two = Side::new(2);
    two.take(without_opus);
    let answer = parse(&two.describe());
    assert_eq!(names(&answer.media[0])[0], (0, "PCMU".to_owned()), "lines about removed codecs mean nothing");
    // Bandwidths are read, and not repeated.
    let limited = edit(&offer, |line| match line.starts_with("a=mid:1") {
        true => Some(format!("b=AS:300\r\n{line}")),
        false => keep(line),
    });
    let mut two = Side::new(2);
    two.take(limited);
    assert!(!parse(&two.describe()).media[1].lines.has::<Bandwidth>());
}

/// Of a section's bandwidths `TIAS` counts first; the limits hold for the sender towards the side
/// that wrote them, as long as its description does.
#[test]
fn bandwidths_and_packet_times_limit_the_sender() {
    for (lines, max_bitrate, packet_time, max_packet_time) in [
        ("b=AS:300", Some(269_000), None, None),
        ("b=AS:300\r\nb=TIAS:256000", Some(256_000), None, None),
        ("b=TIAS:64000\r\na=ptime:40\r\na=maxptime:60", Some(64_000), Some(40), Some(60)),
        ("b=AS:1", Some(0), None, None),
        ("b=CT:500\r\nb=RR:0\r\nb=X-YZ:1\r\na=ptime:20", None, Some(20), None),
    ] {
        let (mut one, _, answer) = exchange();
        let limited = edit(&answer, |line| match line {
            "a=maxptime:120" => None,
            "a=mid:0" => Some(format!("{lines}\r\n{line}")),
            _ => keep(line),
        });
        one.take(limited);
        let limits = |side: &Side, index: usize| {
            let id = side.peer.transceivers()[index].id;
            side.peer.send_limits(id).unwrap()
        };
        let found = limits(&one, 0);
        assert_eq!(
            (found.max_bitrate, found.packet_time, found.max_packet_time),
            (max_bitrate, packet_time, max_packet_time),
            "{lines}"
        );
        assert_eq!(limits(&one, 1), columba_peer::SendLimits::default(), "{lines}: video has none");
        // The next answer says nothing of them, and ours never does.
        let mut two = Side::new(2);
        let offer = one.describe();
        assert!(!offer.sdp.contains("b=") && !offer.sdp.contains("a=ptime"), "{}", offer.sdp);
        two.take(SessionDescription::offer(offer.sdp));
    }
    // Audio says how long its packets may be.
    let (_, offer, answer) = exchange();
    for description in [parse(&offer), parse(&answer)] {
        let times: Vec<_> = description.media.iter().map(|section| section.lines.get::<MaxPtime>()).collect();
        assert_eq!(times, [Ok(Some(MaxPtime(120))), Ok(None)]);
    }
}

#[test]
fn harmful_changes_are_refused_with_their_place() {
    type Case = (&'static str, fn(&str) -> Option<String>, Option<&'static str>, &'static str);
    let cases: [Case; 8] = [
        ("no rtcp-mux", |line| (line != "a=rtcp-mux").then(|| line.to_owned()), Some("0"), "a=rtcp-mux"),
        (
            "other codecs",
            |line| {
                let line = line.replace("VP8/", "X1/").replace("VP9/", "X2/").replace("H264/", "X3/");
                let line = line.replace("AV1/", "X4/").replace("rtx/", "X5/").replace("red/", "X6/");
                Some(line.replace("ulpfec/", "X7/"))
            },
            Some("1"),
            "no codec of the offer",
        ),
        ("broken rtpmap", |line| Some(line.replace("opus/48000/2", "opus")), Some("0"), "clock rate"),
        (
            "broken simulcast",
            |line| Some(line.replace("a=mid:1", "a=mid:1\r\na=simulcast:both")),
            Some("1"),
            "send or recv",
        ),
        (
            "broken bandwidth",
            |line| Some(line.replace("a=mid:1", "b=AS:fast\r\na=mid:1")),
            Some("1"),
            "decimal digits",
        ),
        ("broken ptime", |line| Some(line.replace("a=mid:0", "a=ptime:x\r\na=mid:0")), Some("0"), "a=ptime"),
        ("other kind", |line| Some(line.replace("m=audio", "m=video")), Some("0"), "stands where"),
        (
            "further section",
            |line| {
                let more = "\r\nm=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:9";
                Some(if line == "a=group:BUNDLE 0 1" { line.to_owned() } else { line.replace("\0", more) })
            },
            None,
            "",
        ),
    ];
    for (name, change, mid, words) in cases {
        let (mut one, _, answer) = exchange();
        let mut answer = edit(&answer, change);
        if name == "further section" {
            answer.sdp += "m=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:9\r\n";
        }
        match one.try_take(answer) {
            Err(Error::InvalidDescription { line, mid: found, reason, .. }) => {
                assert!(found.as_deref() == mid || line.is_some(), "{name}: {found:?}");
                assert!(reason.contains(words), "{name}: {reason}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(one.current(), [None, None], "{name}: nothing has changed");
    }
}

#[test]
fn local_description_cannot_be_changed() {
    let mut one = Side::new(1);
    one.add(TrackKind::Audio, Way::SendRecv);
    let mut offer = one.peer.create_offer(*NOW, columba_peer::OfferOptions::default()).unwrap();
    offer.sdp = offer.sdp.replace("useinbandfec=1", "useinbandfec=0");
    let result = one.peer.set_local_description(*NOW, Some(offer));
    assert!(matches!(result, Err(Error::InvalidModification { .. })));
}

/// Firefox writes the address of its default candidate into a section that it has stopped, in place
/// of port 0: without a transport beside others that have one, a section is rejected.
#[test]
fn section_that_says_nothing_of_a_transport_is_taken_as_stopped() {
    let (mut one, offer, answer) = exchange();
    one.take(answer);
    let mut two = Side::new(2);
    two.take(offer.clone());
    two.describe();
    let stopped = |offer: &SessionDescription| {
        let (mut is_in, mut kept) = (false, String::new());
        for line in offer.sdp.lines() {
            is_in |= line.starts_with("m=video");
            let line = match line {
                "a=group:BUNDLE 0 1" => "a=group:BUNDLE 0".to_owned(),
                line if line.starts_with("m=video") => "m=video 55937 UDP/TLS/RTP/SAVPF 120".to_owned(),
                "a=sendrecv" if is_in => "a=inactive".to_owned(),
                line => line.to_owned(),
            };
            let is_kept = ["m=", "c=", "a=mid", "a=inactive"].iter().any(|start| line.starts_with(start));
            if !is_in || is_kept {
                kept += &(line + "\r\n");
            }
        }
        kept + "a=rtpmap:120 VP8/90000\r\n"
    };
    let again = one.describe();
    let sdp = stopped(&again);
    assert!(sdp.contains("m=video 55937 "), "{sdp}");
    two.take(SessionDescription::offer(sdp.clone()));
    let answered = parse(&two.describe());
    assert!(answered.media[1].is_rejected() && !answered.media[0].is_rejected());
    assert_eq!(two.peer.transceivers().len(), 1, "it is stopped");
    // It is so in a first offer, too; where no section has a transport, that is an error.
    let mut fresh = Side::new(3);
    fresh.take(SessionDescription::offer(sdp.clone()));
    assert!(parse(&fresh.describe()).media[1].is_rejected());
    let without =
        sdp.lines().filter(|line| !line.starts_with("a=ice-") && !line.starts_with("a=fingerprint"));
    let without = without.fold(String::new(), |text, line| text + line + "\r\n");
    let refused = Side::new(4).try_take(SessionDescription::offer(without));
    assert!(matches!(refused, Err(Error::InvalidDescription { .. })), "{refused:?}");
    // One that has a transport and lacks something else is refused as before.
    let partly = sdp.replace("a=inactive\r\n", "a=inactive\r\na=ice-ufrag:abcd\r\n");
    let refused = Side::new(5).try_take(SessionDescription::offer(partly));
    assert!(matches!(refused, Err(Error::InvalidDescription { .. })), "{refused:?}");
}
