//! Only what both descriptions have goes over the network: feedback, retransmissions,
//! redundancy, header extensions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use columba_peer::{
    Configuration, Event, MediaConfiguration, OutgoingFrame, ReceiveLevel, RtcpFeedback, SessionDescription,
    TransceiverId,
};
use columba_rtp::rtcp::{Compound, ExtendedBlock, RtcpPacket};
use columba_rtp::{Packet, is_rtcp};

use crate::frames::{call, picture};
use crate::lab::{ALICE, BOB, Forge, Lab};

const FRAME: Duration = Duration::from_millis(20);

type Change = fn(&mut MediaConfiguration);

/// Something that descriptions agree on.
struct Subject {
    name: &'static str,
    /// Adds to the default what both sides have.
    both: Change,
    /// Takes it away from one side.
    without: Change,
    /// Takes it out of the descriptions on the way, where no side can be without.
    forge: Forge,
    /// Counts it in what a receiver tells.
    is_told: fn(&RtcpPacket<'_>) -> bool,
}

/// Takes a kind of feedback out of a configuration.
fn remove(media: &mut MediaConfiguration, kind: &str, parameter: Option<&str>) {
    let feedback = RtcpFeedback::new(kind, parameter);
    for codec in media.audio_codecs.iter_mut().chain(&mut media.video_codecs) {
        codec.feedback.retain(|one| *one != feedback);
    }
}

fn limit_streams(media: &mut MediaConfiguration) {
    for codec in &mut media.video_codecs {
        codec.feedback.push(RtcpFeedback::new("ccm", Some("tmmbr")));
    }
}

fn report_streams(media: &mut MediaConfiguration) {
    *media = media.clone().with_congestion_feedback();
}

fn is_round_trip(packet: &RtcpPacket<'_>) -> bool {
    let RtcpPacket::Extended(report) = packet else { return false };
    report.blocks().any(|block| matches!(block, ExtendedBlock::ReferenceTime(_)))
}

fn feedback() -> [Subject; 8] {
    let plain = Subject {
        name: "nack",
        both: |_| {},
        without: |media| remove(media, "nack", None),
        forge: |description| description,
        is_told: |packet| matches!(packet, RtcpPacket::Nack(_)),
    };
    [
        Subject {
            name: "nack pli",
            without: |media| remove(media, "nack", Some("pli")),
            is_told: |packet| matches!(packet, RtcpPacket::PictureLoss(_)),
            ..plain
        },
        Subject {
            name: "ccm fir",
            both: |media| remove(media, "nack", Some("pli")),
            without: |media| remove(media, "ccm", Some("fir")),
            is_told: |packet| matches!(packet, RtcpPacket::FullIntra(_)),
            ..plain
        },
        Subject {
            name: "ccm tmmbr",
            both: limit_streams,
            without: |media| remove(media, "ccm", Some("tmmbr")),
            is_told: |packet| matches!(packet, RtcpPacket::Tmmbr(_)),
            ..plain
        },
        Subject {
            name: "goog-remb",
            without: |media| remove(media, "goog-remb", None),
            is_told: |packet| matches!(packet, RtcpPacket::Remb(_)),
            ..plain
        },
        Subject {
            name: "transport-cc",
            without: |media| remove(media, "transport-cc", None),
            is_told: |packet| matches!(packet, RtcpPacket::Transport(_)),
            ..plain
        },
        Subject {
            name: "ack ccfb",
            both: report_streams,
            without: |media| remove(media, "ack", Some("ccfb")),
            is_told: |packet| matches!(packet, RtcpPacket::CongestionControl(_)),
            ..plain
        },
        Subject {
            name: "rcvr-rtt",
            without: |_| {},
            forge: |description| {
                let sdp = description.sdp.replace("a=rtcp-xr:rcvr-rtt=all\r\n", "");
                SessionDescription { sdp, ..description }
            },
            is_told: is_round_trip,
            ..plain
        },
        plain,
    ]
}

/// A call in which one side may be without the subject.
fn call_of(
    both: Change,
    without: Option<(usize, Change)>,
    forge: Option<Forge>,
) -> (Lab, [Vec<TransceiverId>; 2]) {
    let mut media = MediaConfiguration::default();
    both(&mut media);
    let mut configurations = [media.clone(), media];
    if let Some((index, without)) = without {
        without(&mut configurations[index]);
    }
    let configurations =
        configurations.map(|media| Configuration { media: Arc::new(media), ..Configuration::default() });
    let mut lab = Lab::lan_of(configurations.each_ref(), 0.0, 81);
    lab.forge = forge.unwrap_or(lab.forge);
    let (mut lab, ids) = call(lab);
    for interface in lab.interfaces.clone() {
        lab.network.change_link(interface, |up, _| up.loss = columba_netsim::Loss::Random(0.05));
    }
    (lab, ids)
}

/// One side sends sound and pictures, and the other only listens, wants another picture, and limits
/// the bitrate.
fn talk(lab: &mut Lab, ids: &[Vec<TransceiverId>; 2], sender: usize, frames: u32) {
    for index in 0..frames {
        lab.with(sender, |host, now| {
            let before = host.events.len();
            host.events.retain(|event| !matches!(event, Event::KeyFrameWanted(..)));
            let key = host.events.len() < before || index == 0;
            let at = FRAME * index;
            let _ = host.peer.send_frame(now, ids[sender][0], &OutgoingFrame::new(&[7; 60], at));
            let data = picture(index, key, 2500);
            let _ = host.peer.send_frame(now, ids[sender][1], &OutgoingFrame::new(&data, at));
        });
        lab.with(1 - sender, |host, now| {
            let picture = ids[1 - sender][1];
            if index == 50 {
                host.peer.request_key_frame(now, picture);
                host.peer.set_receive_limit(now, picture, Some(2_000_000)).unwrap();
            }
            while host.peer.receive_frame(picture, &mut Vec::new()).is_some() {}
        });
        lab.run_for(FRAME);
    }
}

/// Returns how often a side is told of the subject while it sends.
fn told(subject: &Subject, sender: usize, without: Option<usize>) -> usize {
    let change = without.map(|index| (index, subject.without));
    let (mut lab, ids) = call_of(subject.both, change, without.map(|_| subject.forge));
    lab.with(sender, |host, _| {
        host.peer.set_receive_level(ids[sender][0], ReceiveLevel::Packets).unwrap();
    });
    talk(&mut lab, &ids, sender, 150);
    lab.with(sender, |host, _| {
        let (mut count, mut packet) = (0, Vec::new());
        while host.peer.receive_packet(&mut packet).is_some() {
            count += Compound::new(&packet).flatten().filter(|part| (subject.is_told)(part)).count();
        }
        count
    })
}

/// Receivers in both roles send each kind of feedback if the other side has it, too, and not if it
/// has not: neither who has offered it in vain, nor who was offered less.
#[test]
fn feedback_is_sent_if_both_sides_have_it() {
    for subject in feedback() {
        let counts = [(BOB, None), (ALICE, None), (BOB, Some(BOB)), (ALICE, Some(ALICE))]
            .map(|(sender, without)| told(&subject, sender, without));
        let [to_answerer, to_offerer, unanswered, not_offered] = counts;
        assert!(to_answerer > 0 && to_offerer > 0, "{}: {counts:?}", subject.name);
        assert_eq!((unanswered, not_offered), (0, 0), "{}", subject.name);
    }
}

/// The payload types and the header extensions of the packets that a side has received.
fn heard(lab: &Lab, index: usize) -> (BTreeSet<u8>, BTreeSet<u8>) {
    let packets = lab.peer(index).heard.iter().filter(|packet| !is_rtcp(packet));
    let packets = packets.filter_map(|packet| Packet::parse(packet).ok());
    let (mut types, mut extensions) = (BTreeSet::new(), BTreeSet::new());
    for packet in packets {
        types.insert(packet.fixed().payload_type.get());
        extensions.extend(packet.header().extensions().map(|(id, _)| id));
    }
    (types, extensions)
}

/// The numbers of a description's lines that begin and end so.
fn numbers(sdp: &str, begin: &str, end: &str) -> BTreeSet<u8> {
    let lines = sdp.lines().filter_map(|line| line.strip_prefix(begin));
    lines.filter_map(|line| line.split_once(' ')?.0.parse().ok().filter(|_| line.ends_with(end))).collect()
}

/// Returns the numbers of a kind of line that are sent, after all that is sent is found in the
/// answer.
fn sent(both: Change, without: Option<(usize, Change)>, sender: usize, line: (&str, &str)) -> BTreeSet<u8> {
    let (mut lab, ids) = call_of(both, without, None);
    lab.with(1 - sender, |host, _| host.hears = true);
    talk(&mut lab, &ids, sender, 150);
    let answer = lab.peer(BOB).peer.local_description().unwrap().sdp;
    let (types, extensions) = heard(&lab, 1 - sender);
    assert!(types.is_subset(&numbers(&answer, "a=rtpmap:", "")), "{types:?}: {answer}");
    assert!(extensions.is_subset(&numbers(&answer, "a=extmap:", "")), "{extensions:?}: {answer}");
    let of_line = numbers(&answer, line.0, line.1);
    types
        .into_iter()
        .filter(|_| line.0 == "a=rtpmap:")
        .chain(extensions)
        .filter(|one| of_line.contains(one))
        .collect()
}

/// Retransmissions, redundancy of both kinds and header extensions, likewise.
#[test]
fn packets_have_what_both_sides_have() {
    fn without_codec(media: &mut MediaConfiguration, name: &str) {
        for codecs in [&mut media.audio_codecs, &mut media.video_codecs] {
            codecs.retain(|one| !one.codec.name().eq_ignore_ascii_case(name));
        }
    }
    fn without_extension(media: &mut MediaConfiguration, end: &str) {
        for uris in [&mut media.audio_extensions, &mut media.video_extensions] {
            uris.retain(|uri| !uri.ends_with(end));
        }
    }
    fn double_sound(media: &mut MediaConfiguration) {
        *media = media.clone().with_redundant_audio();
    }
    let subjects: [(_, Change, Change); 7] = [
        (("a=rtpmap:", " rtx/90000"), |_| {}, |media| without_codec(media, "rtx")),
        (("a=rtpmap:", " red/90000"), |_| {}, |media| without_codec(media, "red")),
        (("a=rtpmap:", " red/90000"), |_| {}, |media| without_codec(media, "ulpfec")),
        (("a=rtpmap:", " red/48000/2"), double_sound, |media| without_codec(media, "red")),
        (("a=extmap:", ":mid"), |_| {}, |media| without_extension(media, ":mid")),
        (("a=extmap:", "abs-send-time"), |_| {}, |media| without_extension(media, "abs-send-time")),
        (("a=extmap:", "extensions-01"), |_| {}, |media| without_extension(media, "extensions-01")),
    ];
    for (line, both, without) in subjects {
        for sender in [ALICE, BOB] {
            assert!(!sent(both, None, sender, line).is_empty(), "{line:?}");
            let other = Some((1 - sender, without));
            assert_eq!(sent(both, other, sender, line), BTreeSet::new(), "{line:?}");
        }
    }
}
