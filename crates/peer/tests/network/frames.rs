//! Encoded frames between two peers.

use std::time::Duration;

use columba_netsim::{Link, Nat};
use columba_peer::{
    Configuration, DataChannelInit, Error, Event, OutgoingFrame, ReceivedFrame, TrackKind,
    TransceiverDirection, TransceiverId, TransceiverInit,
};

use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

const FRAME: Duration = Duration::from_millis(20);

/// Alice sends sound and a picture to Bob, and he to her.
pub(crate) fn call(lab: Lab) -> (Lab, [Vec<TransceiverId>; 2]) {
    call_with(lab, &[TrackKind::Audio, TrackKind::Video])
}

/// Alice sends a track of each of these kinds to Bob, and he to her.
pub(crate) fn call_with(mut lab: Lab, kinds: &[TrackKind]) -> (Lab, [Vec<TransceiverId>; 2]) {
    lab.with(BOB, |host, _| host.answers = false);
    let alices: Vec<_> = lab.with(ALICE, |host, now| {
        host.peer.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        let init = || TransceiverInit::new(TransceiverDirection::SendRecv);
        kinds.iter().map(|kind| host.peer.add_transceiver(now, *kind, init()).unwrap()).collect()
    });
    assert!(lab.run_until(SECOND * 5, |lab| lab.peer(BOB).peer.transceivers().len() == kinds.len()));
    let bobs: Vec<_> = lab.with(BOB, |host, now| {
        let ids: Vec<_> = host.peer.transceivers().iter().map(|info| info.id).collect();
        for id in &ids {
            host.peer.set_direction(now, *id, TransceiverDirection::SendRecv).unwrap();
        }
        host.answers = true;
        host.answer(now);
        ids
    });
    assert!(lab.run_until(SECOND * 30, Lab::connected), "{}", lab.network.trace());
    lab.run_for(SECOND);
    (lab, [alices, bobs])
}

/// A frame of VP8 with its number in it.
pub(crate) fn picture(number: u32, key: bool, len: usize) -> Vec<u8> {
    let mut frame = vec![number as u8; len.max(16)];
    frame[0] = u8::from(!key);
    frame[8..12].copy_from_slice(&number.to_be_bytes());
    frame
}

pub(crate) fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[8..12].try_into().unwrap())
}

pub(crate) type Received = Vec<(ReceivedFrame, Vec<u8>)>;

pub(crate) fn receive(lab: &mut Lab, index: usize, id: TransceiverId) -> Received {
    lab.with(index, |host, _| {
        let (mut all, mut data) = (Vec::new(), Vec::new());
        while let Some(info) = host.peer.receive_frame(id, &mut data) {
            all.push((info, data.clone()));
        }
        all
    })
}

/// The key frames that a side's application was asked for since the last call.
fn key_frames(lab: &mut Lab, index: usize) -> usize {
    lab.with(index, |host, _| {
        let before = host.events.len();
        host.events.retain(|event| !matches!(event, Event::KeyFrameWanted(..)));
        before - host.events.len()
    })
}

/// The last bitrate that a side's application was told.
fn bitrate(lab: &Lab, index: usize) -> u64 {
    let told = lab.peer(index).events.iter().rev().find_map(|event| match event {
        Event::BitrateWanted(_, _, bits) => Some(*bits),
        _ => None,
    });
    told.expect("a bitrate")
}

/// Sends pictures as large as the path allows, and sound, for some frames; key frames as they are
/// asked for.
fn talk(lab: &mut Lab, ids: &[Vec<TransceiverId>; 2], frames: u32) -> [Received; 2] {
    let mut received = [Vec::new(), Vec::new()];
    for index in 0..frames {
        let key = key_frames(lab, ALICE) > 0 || index == 0;
        let len = bitrate(lab, ALICE).min(1_200_000) / 8 / 50;
        lab.with(ALICE, |host, now| {
            let data = picture(index, key, len as usize);
            let sent = host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&data, FRAME * index));
            assert_eq!(sent, Ok(()), "frame {index}");
            let sound = [index as u8; 60];
            let frame =
                OutgoingFrame { audio_level: Some((30, true)), ..OutgoingFrame::new(&sound, FRAME * index) };
            host.peer.send_frame(now, ids[0][0], &frame).unwrap();
        });
        lab.run_for(FRAME);
        for (at, all) in received.iter_mut().enumerate() {
            all.extend(receive(lab, BOB, ids[1][at]));
        }
    }
    lab.run_for(SECOND * 2);
    for (at, all) in received.iter_mut().enumerate() {
        all.extend(receive(lab, BOB, ids[1][at]));
    }
    received
}

/// Bob only receives: he sends his clock, and measures the round trip by Alice's answers.
#[test]
fn receivers_measure_the_round_trip() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 21));
    let delay = Duration::from_millis(20);
    for interface in lab.interfaces.clone() {
        lab.network.change_link(interface, |up, down| {
            (*up, *down) = (Link::with_delay(delay), Link::with_delay(delay));
        });
    }
    talk(&mut lab, &ids, 300);
    let stats = lab.peer(BOB).peer.stats(lab.network.now()).rtp;
    assert_eq!(stats.inbound.len(), 2);
    for remote in stats.inbound.iter().map(|stream| stream.remote) {
        let measured = remote.round_trip_time.expect("a round trip");
        assert!((4 * delay..5 * delay).contains(&measured), "{measured:?}");
        assert!(remote.round_trip_time_measurements >= 2, "{remote:?}");
    }
    // Alice, who sends, has no need to.
    let stats = lab.peer(ALICE).peer.stats(lab.network.now()).rtp;
    assert!(stats.outbound.iter().any(|one| one.remote.round_trip_time.is_some()));
}

#[test]
fn frames_arrive_whole_in_order_and_with_their_times() {
    for nats in [[Nat::CONE, Nat::PORT], [Nat::SYMMETRIC; 2]] {
        let (mut lab, ids) = call(Lab::homes(nats, &with_turn(), 0.0, 1));
        assert!(lab.peer(BOB).peer.transceiver(ids[1][1]).unwrap().receiver.muted);
        let [sounds, pictures] = talk(&mut lab, &ids, 150);
        assert_eq!((sounds.len(), pictures.len()), (150, 150));
        for (index, (info, data)) in (0..).zip(&pictures) {
            assert_eq!(number(data), index);
            assert_eq!(*data, picture(index, info.key, data.len()));
            assert_eq!(
                (info.timestamp - pictures[0].0.timestamp, info.clock_rate),
                (1800 * u64::from(index), 90_000)
            );
            assert!(!info.after_loss);
        }
        assert!(pictures[0].0.key);
        assert_eq!(sounds[100].0.audio_level, Some((30, true)));
        // From the first reports on sound and picture have times of one clock.
        let times = |all: &Received| all[149].0.captured_at.expect("reports").0.as_secs_f64();
        assert!((times(&sounds) - times(&pictures)).abs() < 0.001);
        let bob = &lab.peer(BOB);
        assert!(
            bob.events.iter().any(|event| matches!(event, Event::TrackUnmuted(id, _) if *id == ids[1][1]))
        );
        assert!(!bob.peer.transceiver(ids[1][1]).unwrap().receiver.muted);
        let stats = lab.peer(ALICE).peer.stats(lab.network.now()).rtp;
        let sent = stats.outbound.iter().find(|one| one.kind == TrackKind::Video).unwrap();
        assert_eq!(sent.sent.frames_sent, 150);
        assert!(sent.remote.round_trip_time.is_some() && sent.remote.packets_lost == 0);
        assert!(sent.target_bitrate.is_some_and(|rate| rate > 500_000), "{:?}", sent.target_bitrate);
        let now = lab.network.now();
        let sources = lab.peer(BOB).peer.synchronization_sources(now, ids[1][0]);
        assert_eq!(sources.len(), 1);
        assert!((sources[0].audio_level.unwrap() - 0.0316).abs() < 0.001);
    }
}

/// Lost packets are sent again; a stream that cannot be repaired begins anew with a key frame.
#[test]
fn losses_are_repaired() {
    for (loss, seed) in [(0.01, 2), (0.05, 3), (0.1, 7)] {
        let (mut lab, ids) = call(Lab::lan(&Configuration::default(), loss, seed));
        let [sounds, pictures] = talk(&mut lab, &ids, 500);
        let mut expected = 0;
        for (info, data) in &pictures {
            assert!(number(data) >= expected, "in order");
            assert!(number(data) == expected || info.key, "frame {} after {expected}", number(data));
            expected = number(data) + 1;
        }
        assert!(pictures.len() >= 495, "{loss}: {} of 500", pictures.len());
        assert!(sounds.len() as f64 >= 500.0 * (1.0 - 1.5 * loss) - 5.0, "{loss}: {}", sounds.len());
        let now = lab.network.now();
        let (alice, bob) = (lab.peer(ALICE).peer.stats(now).rtp, lab.peer(BOB).peer.stats(now).rtp);
        let video = |all: &[columba_peer::OutboundStats]| {
            all.iter().find(|one| one.kind == TrackKind::Video).unwrap().clone()
        };
        let sent = video(&alice.outbound).sent;
        assert!(sent.retransmitted_packets_sent > 0 && sent.nack_count > 0, "{sent:?}");
        // Not more is sent again than is lost, with the losses of that.
        // Losses of a tenth are taken for congestion, fewer are not.
        let least = if loss < 0.1 { 600_000 } else { 100_000 };
        assert!(bitrate(&lab, ALICE) > least, "{loss}: {}", bitrate(&lab, ALICE));
        let lost = sent.packets_sent as f64 * loss;
        assert!((sent.retransmitted_packets_sent as f64) < 2.0 * lost + 20.0, "{sent:?}");
        let received = bob.inbound.iter().find(|one| one.kind == TrackKind::Video).unwrap();
        assert!(received.received.retransmitted_packets_received > 0);
        assert!(received.received.pli_count < 20, "{:?}", received.received);
    }
}

/// A side that stops to send says so at once; the other one's track is muted, and comes back.
#[test]
fn tracks_are_muted_by_the_end_of_their_stream() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 5));
    talk(&mut lab, &ids, 20);
    let set_active = |lab: &mut Lab, active| {
        lab.with(ALICE, |host, now| {
            let mut parameters = host.peer.send_parameters(now, ids[0][1]).unwrap();
            parameters.encodings[0].active = active;
            host.peer.set_send_parameters(now, ids[0][1], parameters).unwrap();
        });
        lab.run_for(SECOND);
    };
    let is_muted = |lab: &Lab| lab.peer(BOB).peer.transceiver(ids[1][1]).unwrap().receiver.muted;
    set_active(&mut lab, false);
    assert!(is_muted(&lab));
    lab.with(ALICE, |host, now| {
        let frame = picture(1, true, 100);
        let sent = host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&frame, SECOND));
        assert_eq!(sent, Err(Error::NotSending));
    });
    key_frames(&mut lab, ALICE);
    set_active(&mut lab, true);
    // It is to begin with a key frame.
    assert_eq!(key_frames(&mut lab, ALICE), 1);
    lab.with(ALICE, |host, now| {
        let frame = picture(2, true, 100);
        host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&frame, 2 * SECOND)).unwrap();
    });
    lab.run_for(SECOND);
    assert!(!is_muted(&lab));
    assert_eq!(receive(&mut lab, BOB, ids[1][1]).len(), 1);
}

/// Frames of all codecs that are agreed go through, and others are refused.
#[test]
fn frames_must_be_of_a_codec_that_is_agreed() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 6));
    lab.with(ALICE, |host, now| {
        let send = |host: &mut crate::lab::PeerHost, payload_type, data: &[u8]| {
            let frame = OutgoingFrame { payload_type, ..OutgoingFrame::new(data, SECOND) };
            host.peer.send_frame(now, ids[0][1], &frame)
        };
        assert!(matches!(send(host, Some(1), &[0; 100]), Err(Error::InvalidFrame { .. })));
        assert!(matches!(send(host, None, &[]), Err(Error::InvalidFrame { .. })));
        let codecs = host.peer.send_parameters(now, ids[0][1]).unwrap().codecs;
        let rtx = codecs.iter().find(|one| one.codec.name() == "rtx").unwrap();
        assert!(matches!(send(host, Some(rtx.payload_type), &[0; 100]), Err(Error::InvalidFrame { .. })));
        // Too much at once is refused as a whole.
        let refused = (0..1000).find_map(|_| send(host, None, &[0; 100_000]).err());
        assert_eq!(refused, Some(Error::BufferFull));
    });
    let audio = lab.with(ALICE, |host, now| {
        let codecs = host.peer.send_parameters(now, ids[0][0]).unwrap().codecs;
        let g711 =
            codecs.iter().find(|one| one.codec.name().eq_ignore_ascii_case("PCMU")).unwrap().payload_type;
        for index in 0..50 {
            let data = [7; 160];
            let frame =
                OutgoingFrame { payload_type: Some(g711), ..OutgoingFrame::new(&data, FRAME * index) };
            host.peer.send_frame(now, ids[0][0], &frame).unwrap();
        }
        g711
    });
    lab.run_for(SECOND);
    let received = receive(&mut lab, BOB, ids[1][0]);
    assert_eq!(received.len(), 50);
    assert!(received.iter().all(|(info, _)| info.payload_type == audio && info.clock_rate == 8000));
    assert_eq!(received[49].0.timestamp - received[0].0.timestamp, 49 * 160);
}

/// Closing leaves no report, request or stream that is due.
#[test]
fn nothing_is_due_after_closing() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.05, 7));
    talk(&mut lab, &ids, 20);
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.peer.close(now));
    }
    lab.run_for(SECOND * 5);
    for index in [ALICE, BOB] {
        let peer = &lab.peer(index).peer;
        assert!(peer.is_drained() && peer.poll_timeout().is_none());
    }
}

/// A track that plays is muted before it leaves its streams, and others come after that; one that
/// is muted already is not muted again.
#[test]
fn tracks_that_play_are_muted_before_they_leave_their_streams() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 8));
    let change = |lab: &mut Lab, act: fn(&mut crate::lab::PeerHost, std::time::Instant, TransceiverId)| {
        lab.with(BOB, |host, _| host.events.clear());
        lab.with(ALICE, |host, now| act(host, now, ids[0][1]));
        lab.run_for(SECOND * 2);
        let names = lab.peer(BOB).events.iter().filter_map(|event| match event {
            Event::TrackMuted(..) => Some("mute"),
            Event::TrackUnmuted(..) => Some("unmute"),
            Event::TrackRemoved(..) => Some("removetrack"),
            Event::Track { .. } => Some("track"),
            _ => None,
        });
        names.collect::<Vec<_>>()
    };
    talk(&mut lab, &ids, 20);
    let streams = change(&mut lab, |host, now, id| {
        host.peer.set_streams(now, id, vec!["one".to_owned()]).unwrap();
    });
    assert_eq!(streams.last(), Some(&"track"), "{streams:?}");
    let stops = |host: &mut crate::lab::PeerHost, now, id| {
        host.peer.set_direction(now, id, TransceiverDirection::RecvOnly).unwrap();
    };
    assert_eq!(change(&mut lab, stops), ["mute", "removetrack"]);
    let sends = |host: &mut crate::lab::PeerHost, now, id| {
        host.peer.set_direction(now, id, TransceiverDirection::SendRecv).unwrap();
    };
    assert_eq!(change(&mut lab, sends), ["track"]);
    // No packet has come since.
    assert_eq!(change(&mut lab, stops), ["removetrack"]);
}
