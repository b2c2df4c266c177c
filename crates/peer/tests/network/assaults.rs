//! A side that is authentic and hostile: floods of streams, jumps of numbers, frames without an
//! end, storms of requests and made-up feedback. The other side's memory stays bounded, its answers
//! few, and a decent stream goes through afterwards.

use std::time::Duration;

use columba_netsim::Random;
use columba_peer::{Configuration, Event, OutgoingFrame, TrackKind, TransceiverId};
use columba_rtp::rtcp::{CompoundWriter, TransportStatus};
use columba_rtp::{SequenceNumber, Ssrc};

use crate::frames::{call, picture, receive};
use crate::lab::{ALICE, BOB, Lab, SECOND};
use crate::packets::{agreed, packet};

/// The growth of both peers and the network between them. Most of it are the tables of 64 streams
/// of video.
const MAX_GROWTH: i64 = 24 << 20;

/// Packets that are sent at once.
const LOT: u16 = 200;

/// Runs an assault of Alice's; returns by how many bytes the memory has grown.
fn assault(lab: &mut Lab, act: impl FnOnce(&mut Lab)) -> i64 {
    let used = allocation_counter::measure(|| {
        act(lab);
        lab.run_for(SECOND * 2);
        // What the test's own records hold is none of the peers'.
        for index in [ALICE, BOB] {
            lab.with(index, |host, _| host.events = Vec::new());
        }
    });
    used.bytes_current
}

/// Sends lots of packets of Alice's picture.
fn flood(lab: &mut Lab, id: TransceiverId, lots: u16, mut make: impl FnMut(u32) -> Vec<u8>) {
    for lot in 0..lots {
        lab.with(ALICE, |host, _| {
            for index in 0..LOT {
                // A queue that is full drops what comes.
                let _ = host.peer.send_rtp(id, &make(u32::from(lot) * u32::from(LOT) + u32::from(index)));
            }
        });
        lab.run_for(Duration::from_millis(20));
    }
}

/// A stream like any other still goes through.
fn check_decency(lab: &mut Lab, ids: &[Vec<TransceiverId>; 2], begin: u64) {
    // Idle streams give their places up.
    lab.run_for(SECOND * 15);
    receive(lab, BOB, ids[1][1]);
    for number in 0..50 {
        lab.with(ALICE, |host, now| {
            let data = picture(number, number == 0, 1500);
            let at = Duration::from_secs(begin) + Duration::from_millis(20) * number;
            host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&data, at)).unwrap();
        });
        lab.run_for(Duration::from_millis(20));
    }
    lab.run_for(SECOND);
    assert_eq!(receive(lab, BOB, ids[1][1]).len(), 50);
}

fn nacks(lab: &Lab, index: usize) -> u64 {
    let stats = lab.peer(index).peer.stats(lab.network.now()).rtp;
    stats.inbound.iter().map(|one| one.received.nack_count).sum()
}

#[test]
fn a_flood_of_streams_takes_bounded_memory() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 11));
    let (video, _) = agreed(&mut lab, ALICE, ids[0][1]);
    // Of streams that SRTP knows already more come: what is new beyond its bound is refused for
    // good, since a replay could not be told.
    check_decency(&mut lab, &ids, 0);
    let grown = assault(&mut lab, |lab| {
        flood(lab, ids[0][1], 100, |index| packet(video, 1000 + index, index as u16, None));
    });
    assert!(grown < MAX_GROWTH, "{grown} bytes");
    let inbound = lab.peer(BOB).peer.stats(lab.network.now()).rtp.inbound.len();
    assert!(inbound <= 64, "{inbound} streams");
    check_decency(&mut lab, &ids, 100);
}

#[test]
fn jumps_of_numbers_are_not_asked_for_without_end() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 12));
    let (video, _) = agreed(&mut lab, ALICE, ids[0][1]);
    let mut random = Random::new(12);
    let grown = assault(&mut lab, |lab| {
        flood(lab, ids[0][1], 50, |_| packet(video, 77, random.below(1 << 16) as u16, None));
        // And as large as they are still taken for losses.
        flood(lab, ids[0][1], 50, |index| packet(video, 78, (index * 900) as u16, None));
    });
    assert!(grown < MAX_GROWTH, "{grown} bytes");
    // Four seconds, and two streams.
    let asked = nacks(&lab, BOB);
    assert!(asked < 2 * 4 * 60, "{asked} requests");
    check_decency(&mut lab, &ids, 100);
}

#[test]
fn a_frame_without_an_end_is_given_up() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 13));
    let (video, _) = agreed(&mut lab, ALICE, ids[0][1]);
    let grown = assault(&mut lab, |lab| {
        flood(lab, ids[0][1], 100, |index| packet(video, 77, index as u16, None));
    });
    assert!(grown < MAX_GROWTH, "{grown} bytes");
    assert!(receive(&mut lab, BOB, ids[1][1]).is_empty());
    check_decency(&mut lab, &ids, 100);
}

/// Requests for pictures and packets by the thousand cost a few key frames, and no more packets
/// than the share for retransmissions.
#[test]
fn storms_of_requests_are_answered_by_few_frames() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 14));
    for number in 0..50 {
        lab.with(BOB, |host, now| {
            let data = picture(number, number == 0, 3000);
            let at = Duration::from_millis(20) * number;
            host.peer.send_frame(now, ids[1][1], &OutgoingFrame::new(&data, at)).unwrap();
        });
        lab.run_for(Duration::from_millis(20));
    }
    lab.run_for(SECOND);
    let transport = lab.peer(ALICE).peer.transports()[0];
    let outbound = |lab: &Lab| {
        let all = lab.peer(BOB).peer.stats(lab.network.now()).rtp.outbound;
        all.into_iter().find(|one| one.kind == TrackKind::Video).unwrap()
    };
    let before = outbound(&lab);
    lab.with(BOB, |host, _| host.events.clear());
    let mut wanted = 0;
    let mut random = Random::new(14);
    let grown = assault(&mut lab, |lab| {
        for round in 0..100_u8 {
            lab.with(ALICE, |host, _| {
                for index in 0..50_u8 {
                    let mut buffer = [0; 1200];
                    let mut writer = CompoundWriter::new(&mut buffer);
                    let media = Ssrc(before.ssrc);
                    writer.receiver_report(Ssrc(1), &[]).unwrap();
                    writer.picture_loss(Ssrc(1), media).unwrap();
                    writer.full_intra(Ssrc(1), &[(media, index.wrapping_mul(round))]).unwrap();
                    let numbers: Vec<_> =
                        (0..200).map(|_| SequenceNumber(random.below(1 << 16) as u16)).collect();
                    writer.nack(Ssrc(1), media, &numbers).unwrap();
                    let len = writer.len();
                    let _ = host.peer.send_rtcp(transport, &buffer[..len]);
                }
            });
            lab.run_for(Duration::from_millis(20));
        }
        wanted = lab.with(BOB, |host, _| {
            host.events.iter().filter(|event| matches!(event, Event::KeyFrameWanted(..))).count()
        });
    });
    assert!(grown < MAX_GROWTH, "{grown} bytes");
    // Four seconds with at most one each half second.
    assert!((1..=9).contains(&wanted), "{wanted} key frames");
    let resent = outbound(&lab).sent.retransmitted_bytes_sent - before.sent.retransmitted_bytes_sent;
    assert!(resent <= 110_000, "{resent} bytes again");
}

/// Feedback about packets that were never sent, or that contradicts itself, leaves the rate within
/// its limits and the stream going.
#[test]
fn made_up_feedback_is_survived() {
    let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, 15));
    let transport = lab.peer(ALICE).peer.transports()[0];
    let mut random = Random::new(15);
    let grown = assault(&mut lab, |lab| {
        for number in 0..200_u32 {
            lab.with(BOB, |host, now| {
                let data = picture(number, number == 0, 1500);
                let at = Duration::from_millis(20) * number;
                // The made-up estimate may be so low that nothing goes.
                let _ = host.peer.send_frame(now, ids[1][1], &OutgoingFrame::new(&data, at));
            });
            lab.with(ALICE, |host, _| {
                let begin = random.below(1 << 16) as u16;
                let statuses: Vec<_> = (0..100)
                    .map(|index| TransportStatus {
                        number: SequenceNumber(begin.wrapping_add(index)),
                        arrival: random.chance(0.7).then(|| random.below(1 << 24) as i64),
                    })
                    .collect();
                let mut buffer = [0; 1200];
                let mut writer = CompoundWriter::new(&mut buffer);
                writer.receiver_report(Ssrc(1), &[]).unwrap();
                let _ = writer.transport_feedback(Ssrc(1), Ssrc(2), number as u8, &statuses);
                let _ = writer.remb(Ssrc(1), random.below(1 << 40), &[Ssrc(2)]);
                let len = writer.len();
                let _ = host.peer.send_rtcp(transport, &buffer[..len]);
            });
            lab.run_for(Duration::from_millis(20));
        }
    });
    assert!(grown < MAX_GROWTH, "{grown} bytes");
    let rates = lab.peer(BOB).peer.stats(lab.network.now()).rtp.outbound;
    for rate in rates.iter().filter_map(|one| one.target_bitrate) {
        assert!((1..=200_000_000).contains(&rate), "{rate} bit/s");
    }
    assert!(lab.connected());
    check_decency(&mut lab, &ids, 100);
}
