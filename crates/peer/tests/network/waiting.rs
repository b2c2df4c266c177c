//! Pictures that wait for a path that is too narrow, and streams whose receiver was away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_netsim::{Loss, Queue};
use columba_peer::{
    Configuration, Error, Event, MediaConfiguration, OutboundStats, OutgoingFrame, PacketSource,
    ReceiveLevel, RtcpFeedback, TrackKind, TransceiverId,
};
use columba_rtp::rtcp::{CompoundWriter, ReportBlock};
use columba_rtp::{Packet, Ssrc};

use crate::frames::{call, call_with, number, picture, receive};
use crate::lab::{ALICE, BOB, Lab, SECOND};

const FRAME: Duration = Duration::from_millis(40);

fn wants_key(lab: &mut Lab, id: TransceiverId) -> bool {
    lab.with(ALICE, |host, _| {
        let before = host.events.len();
        host.events.retain(|event| !matches!(event, Event::KeyFrameWanted(one, _) if *one == id));
        host.events.len() < before
    })
}

fn outbound(lab: &Lab, id: TransceiverId) -> OutboundStats {
    let all = lab.peer(ALICE).peer.stats(lab.network.now()).rtp.outbound;
    all.into_iter().find(|one| one.transceiver == id).expect("a stream")
}

/// A film that does not follow the path, ten times as much as that carries, beside another picture
/// that is small: neither is seen late, and of all that was taken each frame arrives or is counted.
#[test]
fn pictures_that_have_waited_for_long_are_given_up() {
    let kinds = [TrackKind::Video, TrackKind::Video];
    let (mut lab, ids) = call_with(Lab::lan(&Configuration::default(), 0.0, 61), &kinds);
    lab.network.change_link(lab.interfaces[ALICE], |up, _| {
        (up.rate, up.queue) = (Some(400_000), Queue::DropTail { bytes: 15_000 });
    });
    // The film, and the small picture.
    let sizes = [20_000, 300];
    let (mut sent, mut keys) = (Vec::new(), [true; 2]);
    let (mut taken, mut refused) = ([Vec::new(), Vec::new()], [0; 2]);
    let (mut delays, mut received) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for index in 0..25 * 40_u32 {
        sent.push(lab.network.now());
        for at in [0, 1] {
            keys[at] |= wants_key(&mut lab, ids[0][at]);
            // In the last seconds only what waits.
            let data = picture(index, keys[at], sizes[at]);
            let result = lab.with(ALICE, |host, now| {
                let frame = OutgoingFrame::new(&data, FRAME * index);
                if index < 25 * 30 { host.peer.send_frame(now, ids[0][at], &frame) } else { Ok(()) }
            });
            match result {
                Ok(()) if index < 25 * 30 => {
                    taken[at].push(index);
                    keys[at] = false;
                }
                Ok(()) => {}
                // It goes on with whatever comes: what builds on this one is refused, too.
                Err(error) => {
                    assert_eq!(error, Error::BufferFull);
                    refused[at] += 1;
                }
            }
        }
        lab.run_for(FRAME);
        for at in [0, 1] {
            for (info, data) in receive(&mut lab, BOB, ids[1][at]) {
                delays[at].push((info.received_at - sent[number(&data) as usize]).as_millis());
                received[at].push((number(&data), info.key, info.after_loss));
            }
        }
    }
    for at in [0, 1] {
        let (stats, longest) = (outbound(&lab, ids[0][at]).sent, delays[at].iter().max());
        let figures = format!(
            "{} of {} taken, {} given up, {} refused, {longest:?} ms",
            received[at].len(),
            taken[at].len(),
            stats.frames_given_up,
            refused[at]
        );
        println!("{figures}");
        // Two seconds, and a picture that has begun to leave.
        assert!(longest.is_some_and(|longest| *longest < 4000), "{figures}");
        // The small one is a part of what the path carries.
        assert!(received[at].len() > [50, 600][at], "{figures}");
        let mut wanted = taken[at].iter();
        for (index, key, after_loss) in &received[at] {
            let missing = wanted.by_ref().take_while(|one| *one != index).count();
            assert!(missing == 0 || *key || *after_loss, "{index} builds on one that is missing");
        }
        let untold = taken[at].len() as u64 - stats.frames_given_up - received[at].len() as u64;
        let lost = lab.peer(BOB).peer.stats(lab.network.now()).rtp.inbound;
        let lost: u64 = lost.iter().map(|one| one.received.frames_dropped).sum();
        assert!(untold <= lost, "{untold} of them are untold, {lost} told as lost: {figures}");
        assert_eq!(stats.frames_sent, taken[at].len() as u64 - stats.frames_given_up);
    }
    assert!(outbound(&lab, ids[0][0]).sent.frames_given_up > 0);
}

/// Bob's application, which takes packets, and reports of the streams of the last eight seconds, as
/// browsers do.
#[derive(Default)]
struct Reporter {
    /// The streams, their highest numbers, and the time of the last packet.
    heard: Vec<(Ssrc, u32, Instant)>,
    /// It reports of nothing.
    is_mute: bool,
    /// It does not even report.
    is_silent: bool,
}

impl Reporter {
    /// Takes the packets that have come, and reports each second. Returns how many came of each
    /// stream.
    fn run(&mut self, lab: &mut Lab, step: u32) -> Vec<Ssrc> {
        lab.with(BOB, |host, now| {
            let (mut packet, mut came) = (Vec::new(), Vec::new());
            while let Some(info) = host.peer.receive_packet(&mut packet) {
                if matches!(info.source, PacketSource::Rtp { is_repair: false, .. }) {
                    let fixed = Packet::parse(&packet).unwrap().fixed();
                    self.heard.retain(|(ssrc, ..)| *ssrc != fixed.ssrc);
                    self.heard.push((fixed.ssrc, fixed.sequence_number.0.into(), now));
                    came.push(fixed.ssrc);
                }
            }
            if step.is_multiple_of(25) && !self.is_silent {
                let recent = |(.., at): &&(Ssrc, u32, Instant)| !self.is_mute && now - *at < SECOND * 8;
                let blocks = self.heard.iter().filter(recent).map(|(ssrc, highest_sequence, _)| {
                    ReportBlock { ssrc: *ssrc, highest_sequence: *highest_sequence, ..ReportBlock::default() }
                });
                let blocks: Vec<_> = blocks.collect();
                let mut report = [0; 200];
                let mut writer = CompoundWriter::new(&mut report);
                writer.receiver_report(Ssrc(9), &blocks).unwrap();
                let len = writer.len();
                let _ = host.peer.send_rtcp(host.bound()[0].1, &report[..len]);
            }
            came
        })
    }
}

/// A call in which Bob's application takes packets.
fn reported_call(seed: u64, is_mute: bool) -> (Lab, [Vec<TransceiverId>; 2], Reporter) {
    let mut media = MediaConfiguration::default();
    // Reports are all that comes from Bob.
    for codec in media.audio_codecs.iter_mut().chain(&mut media.video_codecs) {
        codec.feedback.retain(|one| *one != RtcpFeedback::new("transport-cc", None));
    }
    let configuration = Configuration { media: Arc::new(media), ..Configuration::default() };
    let (mut lab, ids) = call(Lab::lan(&configuration, 0.0, seed));
    for id in &ids[1] {
        lab.with(BOB, |host, _| host.peer.set_receive_level(*id, ReceiveLevel::Packets).unwrap());
    }
    (lab, ids, Reporter { is_mute, ..Reporter::default() })
}

/// Sends sound and pictures for some seconds. Returns how many packets of each reach Bob.
fn talk(
    (lab, ids, reporter): &mut (Lab, [Vec<TransceiverId>; 2], Reporter),
    begin: u32,
    seconds: u32,
) -> [usize; 2] {
    let ssrcs = [0, 1].map(|at| Ssrc(outbound(lab, ids[0][at]).ssrc));
    let mut received = [0; 2];
    let mut is_key = begin == 0;
    for index in begin * 25..(begin + seconds) * 25 {
        is_key |= wants_key(lab, ids[0][1]);
        let data = picture(index, is_key, 300);
        is_key &= lab.with(ALICE, |host, now| {
            let _ = host.peer.send_frame(now, ids[0][0], &OutgoingFrame::new(&[7; 80], FRAME * index));
            host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&data, FRAME * index)).is_err()
        });
        lab.run_for(FRAME);
        let came = reporter.run(lab, index);
        for (count, ssrc) in received.iter_mut().zip(ssrcs) {
            *count += came.iter().filter(|one| **one == ssrc).count();
        }
    }
    received
}

/// A receiver that was away has sound and pictures again at once when it is back: its path, or only
/// its application. One that has gone on to report that nothing arrives has them after a while.
#[test]
fn sound_and_pictures_go_on_when_the_receiver_is_back() {
    // What Bob sends, and what is sent to him.
    let cases =
        [([true, true], 20, 3), ([true, false], 20, 3), ([false, false], 30, 3), ([false, true], 20, 20)];
    for (cut, seconds, within) in cases {
        let mut call = reported_call(62, false);
        assert!(talk(&mut call, 0, 5).iter().all(|count| *count > 120));
        let set = |(lab, _, reporter): &mut (Lab, _, Reporter), cut: [bool; 2], is_silent| {
            lab.network.change_link(lab.interfaces[BOB], |up, down| {
                [up.loss, down.loss] = cut.map(|is_cut| if is_cut { Loss::All } else { Loss::None });
            });
            reporter.is_silent = is_silent;
        };
        set(&mut call, cut, cut == [false; 2]);
        talk(&mut call, 5, seconds);
        set(&mut call, [false; 2], false);
        let before = talk(&mut call, 5 + seconds, within);
        let after = talk(&mut call, 5 + seconds + within, 4);
        assert!(after.iter().all(|count| *count >= 95), "{cut:?}: {before:?}, {after:?} of 100");
    }
}

/// A receiver that reports, and never of the streams, gets them in tries that become fewer.
#[test]
fn streams_of_which_nothing_is_reported_are_tried_again_less_and_less() {
    let mut call = reported_call(63, true);
    let mut has_come = |second| talk(&mut call, second, 1)[0] > 0;
    let seconds: Vec<_> = (0..240).filter(|second| has_come(*second)).collect();
    // 15 s each, and pauses of 15, 30, 60 and 120 s between.
    let pauses = seconds.windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|pause| *pause > 0);
    let pauses: Vec<_> = pauses.collect();
    assert_eq!(pauses.len(), 3, "{seconds:?}");
    for (pause, expected) in pauses.iter().zip([15_u32, 30, 60]) {
        assert!(pause.abs_diff(expected) <= 2, "{pauses:?}");
    }
}
