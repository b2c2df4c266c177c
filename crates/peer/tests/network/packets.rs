//! Packets of audio and video between two peers.

use std::time::Duration;

use columba_peer::{
    Configuration, DataChannelInit, Error, OutgoingFrame, PacketSource, ReceiveLevel, ReceivedPacket,
    TrackKind, TransceiverDirection, TransceiverId, TransceiverInit,
};
use columba_rtp::extension::{ExtensionForm, Mid};
use columba_rtp::rtcp::{Compound, CompoundWriter, ReportBlock, RtcpPacket};
use columba_rtp::{FixedHeader, Packet, PacketWriter, PayloadType, RtpTimestamp, SequenceNumber, Ssrc};

use crate::frames::{call, picture};
use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};
use columba_netsim::Nat;

/// The time between two frames.
const FRAME: Duration = Duration::from_millis(40);

/// Alice offers audio and two videos, of which she only receives the second.
fn media(mut lab: Lab) -> (Lab, Vec<TransceiverId>) {
    let kinds = [
        (TrackKind::Audio, TransceiverDirection::SendRecv),
        (TrackKind::Video, TransceiverDirection::SendRecv),
        (TrackKind::Video, TransceiverDirection::RecvOnly),
    ];
    // Bob answers when he has said that he wants them; Alice's offer has all at once.
    lab.with(BOB, |host, _| host.answers = false);
    let ids = lab.with(ALICE, |host, now| {
        host.peer.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        let add = |(kind, direction)| {
            host.peer.add_transceiver(now, kind, TransceiverInit::new(direction)).unwrap()
        };
        kinds.into_iter().map(add).collect()
    });
    assert!(lab.run_until(SECOND * 5, |lab| lab.peer(BOB).peer.transceivers().len() == 3));
    lab.with(BOB, |host, now| {
        for (info, direction) in host.peer.transceivers().iter().zip([
            TransceiverDirection::SendRecv,
            TransceiverDirection::SendRecv,
            TransceiverDirection::SendOnly,
        ]) {
            host.peer.set_direction(now, info.id, direction).unwrap();
        }
        host.answers = true;
        host.answer(now);
    });
    assert!(lab.run_until(SECOND * 30, Lab::connected), "{}", lab.network.trace());
    for index in [ALICE, BOB] {
        lab.with(index, |host, _| {
            for info in host.peer.transceivers() {
                host.peer.set_receive_level(info.id, ReceiveLevel::Packets).unwrap();
            }
        });
    }
    lab.run_for(SECOND);
    (lab, ids)
}

struct Received {
    about: ReceivedPacket,
    bytes: Vec<u8>,
}

fn receive(lab: &mut Lab, index: usize) -> Vec<Received> {
    lab.with(index, |host, _| {
        let mut all = Vec::new();
        let mut bytes = Vec::new();
        while let Some(about) = host.peer.receive_packet(&mut bytes) {
            all.push(Received { about, bytes: bytes.clone() });
        }
        all
    })
}

/// The first payload type of what this side sends, and the number of the extension with the name.
pub(crate) fn agreed(lab: &mut Lab, index: usize, id: TransceiverId) -> (PayloadType, u8) {
    lab.with(index, |host, now| {
        let parameters = host.peer.send_parameters(now, id).unwrap();
        let mid = parameters.header_extensions.iter().find(|one| one.uri.ends_with(":mid")).unwrap();
        (PayloadType::new(parameters.codecs[0].payload_type).unwrap(), mid.id as u8)
    })
}

pub(crate) fn packet(payload_type: PayloadType, ssrc: u32, number: u16, name: Option<(u8, &str)>) -> Vec<u8> {
    let header = FixedHeader {
        payload_type,
        sequence_number: SequenceNumber(number),
        ssrc: Ssrc(ssrc),
        ..FixedHeader::default()
    };
    let mut buffer = vec![0; 1200];
    let mut writer = PacketWriter::new(&mut buffer, &header, ExtensionForm::OneByte).unwrap();
    if let Some((id, mid)) = name {
        writer = writer.extension(id, &Mid(mid)).unwrap();
    }
    let len = writer.payload(&[number as u8; 1000], 0).unwrap();
    buffer.truncate(len);
    buffer
}

fn mid(lab: &Lab, index: usize, id: TransceiverId) -> String {
    let infos = lab.peer(index).peer.transceivers();
    infos.into_iter().find(|info| info.id == id).unwrap().mid.unwrap()
}

#[test]
fn packets_reach_the_transceiver_of_their_section() {
    for nats in [[Nat::CONE, Nat::PORT], [Nat::SYMMETRIC; 2]] {
        let (mut lab, ids) = media(Lab::homes(nats, &with_turn(), 0.0, 1));
        let bobs: Vec<_> = lab.peer(BOB).peer.transceivers().iter().map(|info| info.id).collect();
        let (video, extension) = agreed(&mut lab, ALICE, ids[1]);
        let (audio, _) = agreed(&mut lab, ALICE, ids[0]);
        let name = mid(&lab, ALICE, ids[1]);
        let mut sent = Vec::new();
        lab.with(ALICE, |host, _| {
            for number in 0..100 {
                // The first packet names the section, the others only their stream.
                let named = (number == 0).then_some((extension, name.as_str()));
                sent.push(packet(video, 7, number, named));
                let mut packet = sent.last().unwrap().clone();
                match number % 2 {
                    0 => host.peer.send_rtp(ids[1], &packet).unwrap(),
                    _ => {
                        host.peer.forward_rtp(ids[1], &mut packet).unwrap();
                        assert!(packet.is_empty());
                    }
                }
            }
            sent.push(packet(audio, 8, 0, None));
            host.peer.send_rtp(ids[0], sent.last().unwrap()).unwrap();
        });
        lab.run_for(SECOND);
        let received = receive(&mut lab, BOB);
        assert_eq!(received.len(), 101);
        for (received, sent) in received.iter().zip(&sent) {
            assert_eq!(received.bytes, *sent);
            let expected =
                if Packet::parse(sent).unwrap().fixed().ssrc == Ssrc(7) { bobs[1] } else { bobs[0] };
            let source = PacketSource::Rtp { transceiver: expected, rid: None, is_repair: false };
            assert_eq!(received.about.source, source);
        }
        assert_eq!(lab.peer(BOB).peer.stats(lab.network.now()).dropped.media, 0);
    }
}

#[test]
fn rtcp_goes_both_ways_and_directions_are_honoured() {
    let (mut lab, ids) = media(Lab::lan(&Configuration::default(), 0.0, 2));
    let transport = lab.peer(ALICE).peer.transports()[0];
    let mut buffer = [0; 100];
    let mut writer = CompoundWriter::new(&mut buffer);
    writer.picture_loss(Ssrc(1), Ssrc(2)).unwrap();
    let len = writer.len();
    for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
        lab.with(from, |host, _| host.peer.send_rtcp(transport, &buffer[..len]).unwrap());
        lab.run_for(SECOND);
        let received = receive(&mut lab, to);
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].about.source, PacketSource::Rtcp(transport));
        let first = Compound::new(&received[0].bytes).next().unwrap().unwrap();
        assert!(matches!(first, RtcpPacket::PictureLoss(request) if request.media == Ssrc(2)));
    }
    let (video, _) = agreed(&mut lab, ALICE, ids[1]);
    lab.with(ALICE, |host, _| {
        // She only receives the second video.
        assert_eq!(host.peer.send_rtp(ids[2], &packet(video, 9, 1, None)), Err(Error::NotSending));
        let other = PayloadType::new(1).unwrap();
        let refused = host.peer.send_rtp(ids[1], &packet(other, 9, 1, None));
        assert!(matches!(refused, Err(Error::InvalidPacket { .. })), "{refused:?}");
        assert!(matches!(host.peer.send_rtp(ids[1], &[1, 2, 3]), Err(Error::InvalidPacket { .. })));
        assert!(matches!(host.peer.send_rtcp(transport, &[0x80, 96]), Err(Error::InvalidPacket { .. })));
    });
}

/// Two videos have the same payload types: a stream that names another section belongs to none.
#[test]
fn streams_without_a_section_are_dropped_and_counted() {
    let (mut lab, ids) = media(Lab::lan(&Configuration::default(), 0.0, 3));
    let (video, extension) = agreed(&mut lab, ALICE, ids[1]);
    lab.with(ALICE, |host, _| {
        host.peer.send_rtp(ids[1], &packet(video, 5, 1, Some((extension, "none")))).unwrap();
    });
    lab.run_for(SECOND);
    assert!(receive(&mut lab, BOB).is_empty());
    assert_eq!(lab.peer(BOB).peer.stats(lab.network.now()).dropped.media, 1);
}

#[test]
fn queues_are_bounded_and_losses_are_only_losses() {
    let (mut lab, ids) = media(Lab::lan(&Configuration::default(), 0.2, 4));
    let (audio, _) = agreed(&mut lab, ALICE, ids[0]);
    let accepted = lab.with(ALICE, |host, _| {
        (0..3000)
            .take_while(|number| host.peer.send_rtp(ids[0], &packet(audio, 8, *number, None)).is_ok())
            .count()
    });
    assert_eq!(accepted, 1024);
    lab.run_for(SECOND);
    let first = receive(&mut lab, BOB).len();
    assert!((600..=1024).contains(&first), "{first}");
    // The rest of a second lot overflows the queue of those who do not read.
    for lot in 1..4_u16 {
        lab.with(ALICE, |host, _| {
            for number in 0..1000 {
                host.peer.send_rtp(ids[0], &packet(audio, 8, 1024 * lot + number, None)).unwrap();
            }
        });
        lab.run_for(SECOND);
    }
    assert_eq!(receive(&mut lab, BOB).len(), 1024);
    assert!(lab.peer(BOB).peer.stats(lab.network.now()).dropped.media > 500);
}

/// A later agreement holds for packets, too: a direction that is taken back, and given again.
#[test]
fn renegotiation_changes_the_way_of_packets() {
    let (mut lab, ids) = media(Lab::lan(&Configuration::default(), 0.0, 5));
    let (audio, _) = agreed(&mut lab, ALICE, ids[0]);
    for (direction, passes) in
        [(TransceiverDirection::RecvOnly, false), (TransceiverDirection::SendRecv, true)]
    {
        lab.with(ALICE, |host, now| host.peer.set_direction(now, ids[0], direction).unwrap());
        lab.run_for(SECOND * 2);
        let number = if passes { 2 } else { 1 };
        let sent = lab.with(ALICE, |host, _| host.peer.send_rtp(ids[0], &packet(audio, 8, number, None)));
        assert_eq!(sent.is_ok(), passes, "{direction:?} {sent:?}");
        lab.run_for(SECOND);
        assert_eq!(receive(&mut lab, BOB).len(), usize::from(passes));
    }
}

/// Sends pictures and sound, which Bob reports on. Returns of each frame whether all of its packets
/// have named their section, or `None` if only some did.
fn named(
    lab: &mut Lab,
    ids: &[Vec<TransceiverId>; 2],
    frames: std::ops::Range<u32>,
) -> [Vec<Option<bool>>; 2] {
    let (_, extension) = agreed(lab, ALICE, ids[0][1]);
    let ssrcs = [0, 1].map(|at| Ssrc(lab.peer(ALICE).peer.stats(lab.network.now()).rtp.outbound[at].ssrc));
    let mut all = [Vec::new(), Vec::new()];
    for index in frames {
        lab.with(ALICE, |host, now| {
            let data = picture(index, index % 40 == 0, 1500);
            host.peer.send_frame(now, ids[0][0], &OutgoingFrame::new(&[7; 80], FRAME * index)).unwrap();
            host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&data, FRAME * index)).unwrap();
        });
        lab.run_for(FRAME);
        for packet in receive(lab, BOB) {
            let packet = Packet::parse(&packet.bytes).unwrap();
            let (fixed, name) = (packet.fixed(), packet.header().get::<Mid<'_>>(extension).is_some());
            let Some(at) = ssrcs.iter().position(|ssrc| *ssrc == fixed.ssrc) else { continue };
            let frames: &mut Vec<(RtpTimestamp, Option<bool>)> = &mut all[at];
            match frames.iter_mut().find(|(timestamp, _)| *timestamp == fixed.timestamp) {
                Some((_, all)) => *all = all.filter(|all| *all == name),
                None => frames.push((fixed.timestamp, Some(name))),
            }
        }
        report(lab, &ssrcs, index as u16);
    }
    all.map(|frames| frames.into_iter().map(|(_, name)| name).collect())
}

/// Bob's application reports on streams.
fn report(lab: &mut Lab, ssrcs: &[Ssrc], highest: u16) {
    let block =
        |ssrc: &Ssrc| ReportBlock { ssrc: *ssrc, highest_sequence: highest.into(), ..ReportBlock::default() };
    let blocks: Vec<_> = ssrcs.iter().map(block).collect();
    lab.with(BOB, |host, _| {
        let mut report = [0; 200];
        let mut writer = CompoundWriter::new(&mut report);
        writer.receiver_report(Ssrc(9), &blocks).unwrap();
        let len = writer.len();
        host.peer.send_rtcp(host.bound()[0].1, &report[..len]).unwrap();
    });
}

/// A receiver may forget whose a stream is, and then believes the first packets that name their
/// section: the retransmissions alone, if those of the stream never do again.
#[test]
fn streams_name_their_section_now_and_then() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 6));
    for id in &ids[1] {
        lab.with(BOB, |host, _| host.peer.set_receive_level(*id, ReceiveLevel::Packets).unwrap());
    }
    let is_named = |name: &Option<bool>| *name == Some(true);
    let [sound, pictures] = named(&mut lab, &ids, 0..200);
    for (frames, most) in [(&sound, 15), (&pictures, 20)] {
        assert!(frames[0] == Some(true) && frames.iter().all(Option::is_some), "{frames:?}");
        assert_eq!(frames.len(), 200);
        assert!(frames.windows(26).all(|second| second.iter().any(is_named)), "{frames:?}");
        let count = frames.iter().filter(|name| is_named(name)).count();
        assert!(count <= most, "{count} frames name their section");
    }
    assert!(pictures.iter().step_by(40).all(is_named), "a picture that a decoder can begin with names it");
    // An agreement may be what the other side forgets it with.
    lab.with(ALICE, |host, now| {
        host.peer.add_transceiver(now, TrackKind::Audio, TransceiverInit::default()).unwrap();
    });
    lab.run_for(SECOND / 4);
    assert!(named(&mut lab, &ids, 200..203).iter().all(|frames| is_named(&frames[0])));
}
