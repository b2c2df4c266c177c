//! Redundancy, feedback and limits of streams between two peers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use columba_netsim::{Loss, Queue};
use columba_peer::{
    Configuration, Error, Event, MediaConfiguration, OfferOptions, OutgoingFrame, ReceiveLevel, TrackKind,
    TransceiverId,
};
use columba_rtp::extension::ExtensionForm;
use columba_rtp::rtcp::{Compound, CompoundWriter, RtcpPacket};
use columba_rtp::{
    FixedHeader, NtpTime, Packet, PacketWriter, PayloadType, RtpTimestamp, SequenceNumber, Ssrc, is_rtcp,
};

use crate::frames::{Received, call, number, picture, receive};
use crate::lab::{ALICE, BOB, Lab, SECOND};

const FRAME: Duration = Duration::from_millis(20);

fn with(change: impl FnOnce(MediaConfiguration) -> MediaConfiguration) -> Configuration {
    Configuration { media: Arc::new(change(MediaConfiguration::default())), ..Configuration::default() }
}

/// Sends sound of 60 bytes and pictures of some bytes, and returns what arrives.
fn talk(
    lab: &mut Lab,
    ids: &[Vec<TransceiverId>; 2],
    frames: std::ops::Range<u32>,
    len: usize,
) -> [Received; 2] {
    let mut received = [Vec::new(), Vec::new()];
    let first = frames.start;
    for index in frames {
        lab.with(ALICE, |host, now| {
            let before = host.events.len();
            host.events.retain(|event| !matches!(event, Event::KeyFrameWanted(..)));
            let key = host.events.len() < before || index == first;
            let data = picture(index, key, len);
            let _ = host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&data, FRAME * index));
            let _ = host.peer.send_frame(now, ids[0][0], &OutgoingFrame::new(&sound(index), FRAME * index));
        });
        lab.run_for(FRAME);
        for (at, all) in received.iter_mut().enumerate() {
            all.extend(receive(lab, BOB, ids[1][at]));
        }
    }
    lab.run_for(SECOND);
    for (at, all) in received.iter_mut().enumerate() {
        all.extend(receive(lab, BOB, ids[1][at]));
    }
    received
}

fn sound(index: u32) -> [u8; 60] {
    let mut frame = [7; 60];
    frame[8..12].copy_from_slice(&index.to_be_bytes());
    frame
}

/// Redundant sound closes gaps without another round trip: of 5 % lost packets few frames are lost,
/// and all come in order.
#[test]
fn redundant_sound_closes_gaps() {
    for redundant in [false, true] {
        let configuration = with(|media| if redundant { media.with_redundant_audio() } else { media });
        let (mut lab, ids) = call(Lab::lan(&configuration, 0.05, 51));
        let [sounds, _] = talk(&mut lab, &ids, 0..500, 100);
        let numbers: Vec<_> = sounds.iter().map(|(_, data)| number(data)).collect();
        assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");
        match redundant {
            true => assert!(numbers.len() >= 494, "{}", numbers.len()),
            false => assert!(numbers.len() < 490, "{}", numbers.len()),
        }
        let first = &sounds[0].0;
        for (info, data) in &sounds {
            let expected = first.timestamp + 960 * u64::from(number(data) - number(&sounds[0].1));
            assert_eq!((info.timestamp, info.payload_type), (expected, first.payload_type));
            assert_eq!(data[..], sound(number(data)));
        }
    }
}

/// A call over a long path that loses packets, in which pictures are not sent again, or are.
fn long_path(configuration: &Configuration, loss: f64, seed: u64) -> (Lab, [Vec<TransceiverId>; 2]) {
    let (mut lab, ids) = call(Lab::lan(configuration, 0.0, seed));
    lab.network.change_link(lab.interfaces[ALICE], |up, down| {
        (up.delay, down.delay) = (Duration::from_millis(60), Duration::from_millis(60));
        up.loss = if loss > 0.0 { Loss::Random(loss) } else { Loss::None };
    });
    talk(&mut lab, &ids, 0..200, 2500);
    (lab, ids)
}

fn corrections(lab: &Lab) -> u64 {
    let stats = lab.peer(BOB).peer.stats(lab.network.now()).rtp;
    stats.inbound.iter().find(|one| one.kind == TrackKind::Video).unwrap().fec_packets_received
}

/// Where packets get lost on a long path, corrections restore pictures; without losses there are
/// none.
#[test]
fn corrections_restore_pictures_on_a_long_lossy_path() {
    let count = |names: &[&str], nack: bool, loss| {
        let configuration = with(|mut media| {
            media.video_codecs.retain(|codec| !names.contains(&codec.codec.name()));
            for codec in media.video_codecs.iter_mut().filter(|_| !nack) {
                codec.feedback.retain(|one| *one != columba_peer::RtcpFeedback::new("nack", None));
            }
            media
        });
        let (mut lab, ids) = long_path(&configuration, loss, 52);
        let [_, pictures] = talk(&mut lab, &ids, 200..600, 2500);
        for (info, data) in &pictures {
            assert_eq!(*data, picture(number(data), info.key, 2500));
        }
        (pictures.len(), corrections(&lab))
    };
    let ((pictures, fec), (unprotected, none)) =
        (count(&[], false, 0.02), count(&["red", "ulpfec"], false, 0.02));
    println!("{pictures} of 400 with {fec} corrections, {unprotected} without");
    assert!(fec > 50 && pictures > unprotected + 40, "{pictures} {fec} {unprotected}");
    assert_eq!(none, 0);
    // With retransmissions, too, nothing is left to be missed.
    let (pictures, fec) = count(&[], true, 0.05);
    assert!(pictures >= 390 && fec > 80, "{pictures} {fec}");
    assert_eq!(count(&[], true, 0.0), (400, 0));
}

/// Corrections go between pictures: receivers of libwebrtc put no picture together that has the
/// number of one among those of its packets.
#[test]
fn corrections_are_sent_between_pictures() {
    let (mut lab, ids) = long_path(&Configuration::default(), 0.05, 60);
    lab.with(BOB, |host, _| host.hears = true);
    talk(&mut lab, &ids, 200..400, 6000);
    assert!(corrections(&lab) > 40);
    let video = lab.peer(ALICE).peer.stats(lab.network.now()).rtp.outbound[1].ssrc;
    let heard = lab.peer(BOB).heard.iter().filter(|packet| !is_rtcp(packet));
    let mut pictures: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for fixed in heard.filter_map(|packet| Some(Packet::parse(packet).ok()?.fixed())) {
        if fixed.ssrc.0 == video {
            pictures.entry(fixed.timestamp.0).or_default().push(fixed);
        }
    }
    // From the first to the last packet of a picture there are no other numbers.
    let lengths = pictures.values().filter_map(|packets| {
        let last = packets.iter().find(|one| one.marker)?.sequence_number;
        packets.iter().map(|one| last.0.wrapping_sub(one.sequence_number.0)).filter(|back| *back < 100).max()
    });
    let lengths: BTreeSet<_> = lengths.collect();
    assert!(lengths.last().is_some_and(|most| *most == 5), "{lengths:?}");
}

/// Feedback of RFC 8888 drives the estimate as transport-wide numbers do.
#[test]
fn congestion_control_feedback_is_agreed_and_drives_the_estimate() {
    let configuration = with(MediaConfiguration::with_congestion_feedback);
    let (mut lab, ids) = call(Lab::lan(&configuration, 0.0, 53));
    let offer = lab.with(ALICE, |host, _| host.peer.local_description().unwrap().sdp);
    assert_eq!(offer.matches("a=rtcp-fb:* ack ccfb\r\n").count(), 2, "{offer}");
    lab.with(ALICE, |host, _| host.peer.set_receive_level(ids[0][0], ReceiveLevel::Packets).unwrap());
    let rate = 700_000;
    lab.network.change_link(lab.interfaces[ALICE], |up, _| {
        (up.rate, up.queue) = (Some(rate), Queue::DropTail { bytes: 30_000 });
    });
    // More than the link carries.
    talk(&mut lab, &ids, 0..400, 2500);
    let told = lab.peer(ALICE).events.iter().rev().find_map(|event| match event {
        Event::BitrateWanted(_, _, bits) => Some(*bits),
        _ => None,
    });
    assert!(told.is_some_and(|bits| (300_000..800_000).contains(&bits)), "{told:?}");
    let mut kinds = [0; 2];
    lab.with(ALICE, |host, _| {
        let mut packet = Vec::new();
        while host.peer.receive_packet(&mut packet).is_some() {
            for part in Compound::new(&packet).flatten() {
                match part {
                    RtcpPacket::CongestionControl(_) => kinds[0] += 1,
                    RtcpPacket::Transport(_) => kinds[1] += 1,
                    _ => {}
                }
            }
        }
    });
    assert!(kinds[0] > 50 && kinds[1] == 0, "{kinds:?}");
}

/// Another source with the number of a stream: that ends with BYE, and goes on with another number,
/// which the next description has.
#[test]
fn streams_begin_anew_where_their_numbers_collide() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 54));
    talk(&mut lab, &ids, 0..20, 100);
    let ssrc_of = |lab: &Lab| {
        let stats = lab.peer(ALICE).peer.stats(lab.network.now()).rtp;
        stats.outbound.iter().find(|one| one.kind == TrackKind::Video).unwrap().ssrc
    };
    let before = ssrc_of(&lab);
    let collide = |lab: &mut Lab, ssrc: u32| {
        lab.with(BOB, |host, now| {
            let codecs = host.peer.send_parameters(now, ids[1][1]).unwrap().codecs;
            let header = FixedHeader {
                marker: true,
                payload_type: PayloadType::new(codecs[0].payload_type).unwrap(),
                sequence_number: SequenceNumber(7),
                timestamp: RtpTimestamp(1),
                ssrc: Ssrc(ssrc),
            };
            let mut packet = [0; 100];
            let writer = PacketWriter::new(&mut packet, &header, ExtensionForm::OneByte).unwrap();
            let len = writer.payload(&[0; 20], 0).unwrap();
            host.peer.send_rtp(ids[1][1], &packet[..len]).unwrap();
        });
        lab.run_for(SECOND);
    };
    collide(&mut lab, before);
    let after = ssrc_of(&lab);
    assert_ne!(after, before);
    assert!(lab.peer(BOB).peer.stats(lab.network.now()).rtp.inbound.iter().all(|one| one.ssrc != before));
    // It goes on, with a key frame, and with retransmissions of its own.
    let [_, pictures] = talk(&mut lab, &ids, 20..60, 100);
    assert!(pictures.len() >= 39 && pictures[0].0.key && pictures[0].0.ssrc == after);
    let offer =
        lab.with(ALICE, |host, now| host.peer.create_offer(now, OfferOptions::default()).unwrap().sdp);
    assert!(offer.contains(&format!("a=ssrc:{after} ")) && !offer.contains(&format!("a=ssrc:{before} ")));
    // What follows to the new number is a loop: no more streams begin.
    collide(&mut lab, after);
    assert_eq!(ssrc_of(&lab), after);
}

/// The receiver limits the bitrate, by TMMBR where it is agreed, else by REMB.
#[test]
fn receivers_limit_bitrates() {
    for tmmbr in [false, true] {
        let configuration = with(|mut media| {
            for codec in media.video_codecs.iter_mut().filter(|_| tmmbr) {
                codec.feedback.push(columba_peer::RtcpFeedback::new("ccm", Some("tmmbr")));
            }
            media
        });
        let (mut lab, ids) = call(Lab::lan(&configuration, 0.0, 55));
        talk(&mut lab, &ids, 0..100, 2000);
        lab.with(BOB, |host, now| host.peer.set_receive_limit(now, ids[1][1], Some(200_000)).unwrap());
        talk(&mut lab, &ids, 100..200, 500);
        let told = |lab: &Lab| {
            let mut events = lab.peer(ALICE).events.iter().rev();
            events.find_map(|event| match event {
                Event::BitrateWanted(_, _, bits) => Some(*bits),
                _ => None,
            })
        };
        // REMB is an estimate: where the sender makes its own one, that counts.
        if tmmbr {
            let bits = told(&lab).unwrap();
            assert!((195_000..=200_000).contains(&bits), "{bits}");
            lab.with(BOB, |host, now| host.peer.set_receive_limit(now, ids[1][1], None).unwrap());
            talk(&mut lab, &ids, 200..300, 500);
            assert!(told(&lab).unwrap() > 300_000);
        }
        let gone = TransceiverId::clone(&ids[1][1]);
        lab.with(BOB, |host, now| {
            host.peer.stop_transceiver(now, gone).unwrap();
        });
    }
}

/// Bob asks for a key frame of a stream.
fn ask_for_picture(lab: &mut Lab, ssrc: u32) {
    lab.with(BOB, |host, _| {
        let mut packet = [0; 200];
        let mut writer = CompoundWriter::new(&mut packet);
        writer.receiver_report(Ssrc(9), &[]).unwrap();
        writer.picture_loss(Ssrc(9), Ssrc(ssrc)).unwrap();
        let len = writer.len();
        host.peer.send_rtcp(host.bound()[0].1, &packet[..len]).unwrap();
    });
    lab.run_for(SECOND / 2);
}

/// A stream of which nothing is reported, or which does not arrive, sends no more.
#[test]
fn streams_without_reports_stop() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 56));
    // Bob's application takes packets, and reports nothing.
    for id in &ids[1] {
        lab.with(BOB, |host, _| host.peer.set_receive_level(*id, ReceiveLevel::Packets).unwrap());
    }
    let send = |lab: &mut Lab, index: u32| {
        lab.with(ALICE, |host, now| {
            let data = picture(index, index == 0 || index > 9000, 500);
            host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&data, FRAME * index))
        })
    };
    for index in 0..14 * 50 {
        assert_eq!(send(&mut lab, index), Ok(()));
        lab.run_for(FRAME);
    }
    lab.run_for(SECOND * 2);
    assert_eq!(send(&mut lab, 9000), Err(Error::NotSending));
    // A report of the stream lets it go on.
    let ssrc = lab.peer(ALICE).peer.stats(lab.network.now()).rtp.outbound[1].ssrc;
    lab.with(BOB, |host, _| {
        let transport = host.bound()[0].1;
        let block =
            columba_rtp::rtcp::ReportBlock { ssrc: Ssrc(ssrc), highest_sequence: 5, ..Default::default() };
        let mut packet = [0; 200];
        let mut writer = CompoundWriter::new(&mut packet);
        writer.receiver_report(Ssrc(9), &[block]).unwrap();
        writer.cname(Ssrc(9), "bob").unwrap();
        // The clock of one who only receives is answered.
        writer.reference_time(Ssrc(9), NtpTime(0x1234_5678_9ABC_DEF0)).unwrap();
        let len = writer.len();
        host.peer.send_rtcp(transport, &packet[..len]).unwrap();
    });
    lab.run_for(SECOND * 2);
    assert_eq!(send(&mut lab, 9001), Ok(()));
    let mut answers = 0;
    lab.with(BOB, |host, _| {
        let mut packet = Vec::new();
        while host.peer.receive_packet(&mut packet).is_some() {
            for part in Compound::new(&packet).flatten() {
                if let RtcpPacket::Extended(report) = part {
                    for block in report.blocks() {
                        if let columba_rtp::rtcp::ExtendedBlock::Delay(delay) = block {
                            assert_eq!((delay.ssrc, delay.last_report.0), (Ssrc(9), 0x5678_9ABC));
                            answers += 1;
                        }
                    }
                }
            }
        }
    });
    assert_eq!(answers, 1);
    // Reports that never tell of anything new stop it, too (RFC 8083 §4.2).
    for round in 0..12 {
        lab.with(BOB, |host, _| {
            let block = columba_rtp::rtcp::ReportBlock {
                ssrc: Ssrc(ssrc),
                highest_sequence: 5,
                ..Default::default()
            };
            let mut packet = [0; 200];
            let mut writer = CompoundWriter::new(&mut packet);
            writer.receiver_report(Ssrc(9), &[block]).unwrap();
            let len = writer.len();
            host.peer.send_rtcp(host.bound()[0].1, &packet[..len]).unwrap();
        });
        let _ = send(&mut lab, 9002 + round);
        lab.run_for(SECOND / 2);
    }
    let stats = lab.peer(ALICE).peer.stats(lab.network.now()).rtp;
    let (sent, remote) = (stats.outbound[1].sent, stats.outbound[1].remote);
    assert_eq!(send(&mut lab, 9100), Err(Error::NotSending), "{sent:?} {remote:?}");
    // Who asks for a picture is there again, although nothing could be heard meanwhile.
    ask_for_picture(&mut lab, ssrc);
    assert_eq!(send(&mut lab, 9101), Ok(()));
}

/// An application that sends little learns by probes what the path carries, and pays little for it.
#[test]
fn probes_find_what_the_application_does_not_show() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 57));
    let rate = 3_000_000;
    lab.network.change_link(lab.interfaces[ALICE], |up, _| {
        (up.rate, up.queue) = (Some(rate), Queue::DropTail { bytes: 100_000 });
    });
    talk(&mut lab, &ids, 0..1500, 200);
    let stats = lab.peer(ALICE).peer.stats(lab.network.now()).rtp;
    let video = stats.outbound.iter().find(|one| one.kind == TrackKind::Video).unwrap();
    // 80 kbit/s are sent.
    assert!(video.target_bitrate.is_some_and(|bits| bits > 1_500_000), "{:?}", video.target_bitrate);
    assert_eq!(video.sent.retransmitted_packets_sent, 0);
    assert_eq!(lab.peer(BOB).peer.stats(lab.network.now()).rtp.inbound.len(), 2);
}

/// Tones arrive as RFC 4733 has them, and each is told of as it begins.
#[test]
fn tones_are_sent_and_told_of() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 58));
    talk(&mut lab, &ids, 0..20, 100);
    lab.with(ALICE, |host, now| {
        let millis = Duration::from_millis;
        assert!(host.peer.can_insert_dtmf(ids[0][0]) && !host.peer.can_insert_dtmf(ids[0][1]));
        let refused = host.peer.insert_dtmf(now, ids[0][0], "1z", millis(100), millis(70));
        assert!(matches!(refused, Err(Error::InvalidParameters { .. })));
        let refused = host.peer.insert_dtmf(now, ids[0][1], "1", millis(100), millis(70));
        assert_eq!(refused, Err(Error::NotSending));
        host.peer.insert_dtmf(now, ids[0][0], "1#", millis(100), millis(70)).unwrap();
        assert_eq!(host.peer.tone_buffer(ids[0][0]), "1#");
    });
    let [sounds, _] = talk(&mut lab, &ids, 20..40, 100);
    let changes: Vec<_> = lab
        .peer(ALICE)
        .events
        .iter()
        .filter_map(|event| match event {
            Event::ToneChange(_, tone) => Some(*tone),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [Some('1'), Some('#'), None]);
    let tones: Vec<_> = sounds
        .iter()
        .filter_map(|(info, data)| (data.len() == 4).then_some((info.timestamp, data[0], data[1] & 0x80)))
        .collect();
    assert_eq!(tones.iter().map(|one| one.1).collect::<Vec<_>>(), [vec![1; 7], vec![11; 7]].concat());
    assert_eq!(tones.iter().filter(|one| one.2 != 0).count(), 6);
    // Both tones have a timestamp of their own, some 170 ms apart on the clock of the sound.
    let apart = tones[7].0 - tones[0].0;
    assert!(tones[..7].iter().all(|one| one.0 == tones[0].0) && (7500..9000).contains(&apart), "{apart}");
    // The sound rests meanwhile, and goes on.
    let heard = sounds.iter().filter(|(_, data)| data.len() == 60).count();
    assert!((8..=16).contains(&heard), "{heard}");
}

/// A hint for the one who plays.
#[test]
fn jitter_buffer_targets_are_kept_within_bounds() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 59));
    lab.with(BOB, |host, _| {
        let set =
            |host: &mut crate::lab::PeerHost, target| host.peer.set_jitter_buffer_target(ids[1][0], target);
        let is = |host: &crate::lab::PeerHost| {
            host.peer.transceiver(ids[1][0]).unwrap().receiver.jitter_buffer_target
        };
        assert_eq!(is(host), None);
        set(host, Some(SECOND * 4)).unwrap();
        assert!(matches!(set(host, Some(SECOND * 5)), Err(Error::OutOfRange { .. })));
        assert_eq!(is(host), Some(SECOND * 4));
        set(host, None).unwrap();
        assert_eq!(is(host), None);
    });
}
