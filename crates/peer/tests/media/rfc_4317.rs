//! The examples of RFC 4317, each with all of its exchanges, section by section. Addresses are
//! ICE's here: where an example moves one, ICE restarts.

use columba_peer::{
    BundlePolicy, OfferOptions, RtpCodec, RtpCodecCapability, SessionDescription, Track, TrackKind,
    TransceiverDirection as Way, TransceiverId,
};
use columba_sdp::SessionDescription as Sdp;

use crate::common::*;

const AUDIO: [&str; 3] = ["PCMU", "PCMA", "iLBC"];
const VIDEO: [&str; 2] = ["H261", "MPV"];
const TONES: &str = "telephone-event";

fn codec(name: &str) -> RtpCodec {
    match name {
        "H261" | "MPV" => RtpCodec::new(&format!("video/{name}"), 90_000),
        _ => RtpCodec::new(&format!("audio/{name}"), 8000),
    }
}

/// A side that knows these codecs, and takes what it is offered in both directions.
fn side(seed: u8, audio: &[&str], video: &[&str]) -> Side {
    let list = |names: &[&str]| names.iter().map(|name| RtpCodecCapability::new(codec(name))).collect();
    Side::configured(seed, |media| {
        media.offered = Way::SendRecv;
        (media.audio_codecs, media.video_codecs) = (list(audio), list(video));
    })
}

/// Alice, who knows all codecs, and Bob.
fn sides(audio: &[&str], video: &[&str]) -> (Side, Side) {
    (side(1, &[&AUDIO[..], &[TONES]].concat(), &VIDEO), side(2, audio, video))
}

impl Side {
    /// A section of audio or video with these codecs, in their order.
    fn section(&mut self, codecs: &[&str], direction: Way) -> TransceiverId {
        let is_video = VIDEO.contains(&codecs[0]);
        let id = self.add(if is_video { TrackKind::Video } else { TrackKind::Audio }, direction);
        self.prefer(id, codecs);
        id
    }

    fn prefer(&mut self, id: TransceiverId, codecs: &[&str]) {
        let codecs = codecs.iter().map(|name| codec(name)).collect();
        self.peer.set_codec_preferences(*NOW, id, codecs).unwrap();
    }

    /// The transceiver of a section.
    fn of(&self, index: usize) -> TransceiverId {
        self.peer.transceivers()[index].id
    }
}

/// Each section in words: its kind, its codecs, its direction; or that it is rejected.
fn shape(description: &Sdp) -> Vec<String> {
    let sections = description.media.iter().map(|section| {
        let kind = section.head().kind.to_string();
        if section.is_rejected() {
            return format!("{kind} rejected");
        }
        let codecs: Vec<_> = names(section).into_iter().map(|(_, name)| name).collect();
        let direction = direction(section).map(|direction| direction.to_string());
        format!("{kind} {} {}", codecs.join(" "), direction.unwrap_or_default())
    });
    sections.collect()
}

/// An exchange whose two descriptions have these sections.
fn exchange(from: &mut Side, to: &mut Side, offered: &[&str], answered: &[&str]) -> (Sdp, Sdp) {
    let (offer, answer) = negotiate(from, to);
    assert_eq!(shape(&offer), offered);
    assert_eq!(shape(&answer), answered);
    (offer, answer)
}

const ALL_AUDIO: &str = "audio PCMU PCMA iLBC sendrecv";
const ALL_VIDEO: &str = "video H261 MPV sendrecv";

#[test]
fn section_2_1_audio_and_video_1() {
    let (mut alice, mut bob) = sides(&["PCMU"], &["MPV"]);
    alice.section(&AUDIO, Way::SendRecv);
    alice.section(&VIDEO, Way::SendRecv);
    exchange(&mut alice, &mut bob, &[ALL_AUDIO, ALL_VIDEO], &["audio PCMU sendrecv", "video MPV sendrecv"]);
}

#[test]
fn section_2_2_audio_and_video_2() {
    let (mut alice, mut bob) = sides(&["PCMU", "PCMA"], &[]);
    let audio = alice.section(&AUDIO, Way::SendRecv);
    alice.section(&VIDEO, Way::SendRecv);
    let answered = ["audio PCMU PCMA sendrecv", "video rejected"];
    let (offer, answer) = exchange(&mut alice, &mut bob, &[ALL_AUDIO, ALL_VIDEO], &answered);
    alice.prefer(audio, &["PCMU"]);
    let narrow = ["audio PCMU sendrecv", "video rejected"];
    let (second, reply) = exchange(&mut alice, &mut bob, &narrow, &narrow);
    for (before, after) in [(offer, second), (answer, reply)] {
        let (before, after) = (before.origin(), after.origin());
        assert_eq!(before.session_id, after.session_id);
        assert!(before.session_version < after.session_version);
    }
}

/// The answer gives iLBC another number than the offer.
#[test]
fn section_2_3_audio_and_video_3() {
    let (mut alice, mut bob) = sides(&["iLBC"], &["H261"]);
    let audio = alice.section(&AUDIO, Way::SendRecv);
    alice.section(&VIDEO, Way::SendRecv);
    let offer = alice.describe();
    assert_eq!(shape(&parse(&offer)), [ALL_AUDIO, ALL_VIDEO]);
    bob.take(offer);
    let answer = bob.describe();
    assert_eq!(shape(&parse(&answer)), ["audio iLBC sendrecv", "video H261 sendrecv"]);
    let number = names(&parse(&answer).media[0])[0].0;
    let sdp = answer.sdp.replace(&format!("SAVPF {number}\r\n"), "SAVPF 127\r\n");
    let sdp = sdp.replace(&format!("a=rtpmap:{number} iLBC"), "a=rtpmap:127 iLBC");
    alice.take(SessionDescription { sdp, ..answer });
    let sent = alice.peer.send_parameters(*NOW, audio).unwrap().codecs;
    assert_eq!((sent.len(), sent[0].payload_type, &*sent[0].codec.mime_type), (1, 127, "audio/iLBC"));
}

const AUDIO_AND_TONES: [&str; 2] = ["audio PCMU iLBC sendrecv", "audio telephone-event sendonly"];

/// Alice and Bob after the first exchange of §2.4 and of §3.2.
fn two_audio_streams() -> (Side, Side) {
    let (mut alice, mut bob) = sides(&["iLBC", TONES], &[]);
    alice.section(&["PCMU", "iLBC"], Way::SendRecv);
    alice.section(&[TONES], Way::SendOnly);
    let answered = ["audio iLBC sendrecv", "audio telephone-event recvonly"];
    exchange(&mut alice, &mut bob, &AUDIO_AND_TONES, &answered);
    (alice, bob)
}

#[test]
fn section_2_4_two_audio_streams() {
    let (alice, bob) = two_audio_streams();
    assert_eq!(alice.current(), [Some(Way::SendRecv), Some(Way::SendOnly)]);
    assert_eq!(bob.current(), [Some(Way::SendRecv), Some(Way::RecvOnly)]);
}

#[test]
fn section_2_5_audio_and_video_4() {
    let (mut alice, mut bob) = sides(&["iLBC"], &["H261"]);
    alice.section(&["iLBC"], Way::SendRecv);
    alice.section(&["H261"], Way::SendRecv);
    let both = ["audio iLBC sendrecv", "video H261 sendrecv"];
    exchange(&mut alice, &mut bob, &both, &both);
    bob.peer.restart_ice(*NOW);
    exchange(&mut bob, &mut alice, &both, &both);
}

#[test]
fn section_2_6_audio_only_1() {
    let (mut alice, mut bob) = sides(&["PCMU", "iLBC", TONES], &[]);
    alice.section(&["PCMU"], Way::SendRecv);
    alice.section(&["iLBC", TONES], Way::SendRecv);
    bob.take(alice.describe());
    let declined = bob.of(0);
    bob.peer.stop_transceiver(*NOW, declined).unwrap();
    let answer = bob.describe();
    assert_eq!(shape(&parse(&answer)), ["audio rejected", "audio iLBC telephone-event sendrecv"]);
    alice.take(answer);
    assert_eq!(alice.current(), [Some(Way::SendRecv)]);
}

#[test]
fn section_2_7_audio_and_video_5() {
    let (mut alice, mut bob) = sides(&["iLBC"], &VIDEO);
    alice.section(&["iLBC"], Way::SendRecv);
    let video = alice.section(&["H261"], Way::SendRecv);
    let first = ["audio iLBC sendrecv", "video H261 sendrecv"];
    exchange(&mut alice, &mut bob, &first, &first);
    alice.prefer(video, &VIDEO);
    let second = ["audio iLBC sendrecv", ALL_VIDEO];
    exchange(&mut alice, &mut bob, &second, &second);
}

/// Audio and video go to different places: the answer does not bundle.
#[test]
fn section_2_8_audio_and_video_6() {
    let (mut alice, mut bob) = sides(&["PCMU"], &["MPV"]);
    alice.section(&AUDIO, Way::SendRecv);
    alice.section(&VIDEO, Way::SendRecv);
    let unbundled = |description: SessionDescription| {
        let lines = description.sdp.lines().filter(|line| !line.starts_with("a=group"));
        let sdp = lines.fold(String::new(), |sdp, line| sdp + line + "\r\n");
        SessionDescription { sdp, ..description }
    };
    bob.take(unbundled(alice.describe()));
    let answer = bob.describe();
    assert_eq!(shape(&parse(&answer)), ["audio PCMU sendrecv", "video MPV sendrecv"]);
    alice.take(answer);
    for side in [&alice, &bob] {
        assert_eq!(side.peer.transports().len(), 2);
    }
}

#[test]
fn section_3_1_hold_and_unhold_1() {
    let (mut alice, mut bob) = sides(&["PCMU", "iLBC"], &[]);
    alice.section(&["PCMU", "iLBC"], Way::SendRecv);
    bob.take(alice.describe());
    let audio = bob.of(0);
    bob.prefer(audio, &["iLBC"]);
    bob.peer.set_direction(*NOW, audio, Way::SendOnly).unwrap();
    let answer = bob.describe();
    assert_eq!(shape(&parse(&answer)), ["audio iLBC sendonly"]);
    alice.take(answer);
    assert_eq!(alice.current(), [Some(Way::RecvOnly)]);
    bob.peer.set_direction(*NOW, audio, Way::SendRecv).unwrap();
    assert!(bob.wants_negotiation());
    exchange(&mut bob, &mut alice, &["audio iLBC sendrecv"], &["audio iLBC sendrecv"]);
    assert_eq!(alice.current(), [Some(Way::SendRecv)]);
}

/// The RFC has Alice answer a `sendonly` stream as in the beginning; RFC 3264 §6.1 wants
/// `recvonly`.
#[test]
fn section_3_2_hold_with_two_streams() {
    let (mut alice, mut bob) = two_audio_streams();
    let first = bob.of(0);
    bob.peer.set_direction(*NOW, first, Way::SendOnly).unwrap();
    let offered = ["audio iLBC sendonly", "audio telephone-event recvonly"];
    // Offers of Bob's would name all that he has.
    let second = bob.of(1);
    bob.prefer(first, &["iLBC"]);
    bob.prefer(second, &[TONES]);
    bob.peer.set_direction(*NOW, second, Way::RecvOnly).unwrap();
    let answered = ["audio iLBC recvonly", "audio telephone-event sendonly"];
    exchange(&mut bob, &mut alice, &offered, &answered);
    assert_eq!(alice.current(), [Some(Way::RecvOnly), Some(Way::SendOnly)]);
}

#[test]
fn section_4_1_second_audio_stream_added() {
    let (mut alice, mut bob) = sides(&["iLBC", TONES], &[]);
    alice.section(&["PCMU", "iLBC"], Way::SendRecv);
    exchange(&mut alice, &mut bob, &["audio PCMU iLBC sendrecv"], &["audio iLBC sendrecv"]);
    bob.section(&[TONES], Way::RecvOnly);
    let first = bob.of(0);
    bob.prefer(first, &["iLBC"]);
    let offered = ["audio iLBC sendrecv", "audio telephone-event recvonly"];
    exchange(&mut bob, &mut alice, &offered, &["audio iLBC sendrecv", "audio telephone-event sendonly"]);
}

#[test]
fn section_4_2_audio_then_video_added() {
    let (mut alice, mut bob) = sides(&AUDIO, &VIDEO);
    alice.section(&["PCMU"], Way::SendRecv);
    exchange(&mut alice, &mut bob, &["audio PCMU sendrecv"], &["audio PCMU sendrecv"]);
    alice.section(&["H261"], Way::SendRecv);
    let both = ["audio PCMU sendrecv", "video H261 sendrecv"];
    exchange(&mut alice, &mut bob, &both, &both);
}

#[test]
fn section_4_3_audio_and_video_then_video_deleted() {
    let (mut alice, mut bob) = sides(&AUDIO, &VIDEO);
    alice.section(&["PCMU"], Way::SendRecv);
    alice.section(&["H261"], Way::SendRecv);
    let both = ["audio PCMU sendrecv", "video H261 sendrecv"];
    exchange(&mut alice, &mut bob, &both, &both);
    let video = bob.of(1);
    bob.peer.stop_transceiver(*NOW, video).unwrap();
    let deleted = ["audio PCMU sendrecv", "video rejected"];
    let left = bob.of(0);
    bob.prefer(left, &["PCMU"]);
    exchange(&mut bob, &mut alice, &deleted, &deleted);
    assert_eq!((alice.current().len(), bob.current().len()), (1, 1));
}

#[test]
fn section_5_1_no_media_then_audio_added() {
    let (mut alice, mut bob) = sides(&["iLBC"], &[]);
    let offer = alice.peer.create_offer(*NOW, OfferOptions::default()).unwrap();
    assert!(parse(&offer).media.is_empty());
    exchange(&mut alice, &mut bob, &[], &[]);
    alice.section(&["iLBC"], Way::SendRecv);
    exchange(&mut alice, &mut bob, &["audio iLBC sendrecv"], &["audio iLBC sendrecv"]);
}

/// The address 0.0.0.0 is that of a side without a candidate yet, and no hold (RFC 9429 §5.2.1).
#[test]
fn sections_5_2_and_5_3_hold_by_address() {
    let (mut alice, mut bob) = sides(&["iLBC"], &[]);
    alice.section(&["iLBC"], Way::SendRecv);
    let one = ["audio iLBC sendrecv"];
    let (offer, answer) = exchange(&mut alice, &mut bob, &one, &one);
    for description in [offer, answer] {
        assert!(description.to_string().contains("c=IN IP4 0.0.0.0\r\n"));
    }
    assert_eq!((alice.current(), bob.current()), (vec![Some(Way::SendRecv)], vec![Some(Way::SendRecv)]));
    exchange(&mut bob, &mut alice, &one, &one);
    exchange(&mut alice, &mut bob, &one, &one);
}

/// A track can be taken from the first section to another without a word.
#[test]
fn policies_change_nothing_in_what_is_chosen() {
    for policy in [BundlePolicy::MaxCompat, BundlePolicy::MaxBundle, BundlePolicy::MustBundle] {
        let (mut one, mut two) = (Side::with_policy(1, policy), Side::with_policy(2, policy));
        one.peer.add_track(*NOW, Track::audio("a"), vec![]).unwrap();
        one.peer.add_track(*NOW, Track::video("v"), vec![]).unwrap();
        let (_, answer) = negotiate(&mut one, &mut two);
        assert_eq!(names(&answer.media[0])[0].1, "opus");
        assert_eq!(names(&answer.media[1])[0].1, "VP8");
    }
}
