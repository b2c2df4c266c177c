//! Priorities of encodings: the parts of streams and of data, and the marks of their packets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use columba_netsim::Queue;
use columba_peer::{
    ChannelId, Configuration, DataChannelInit, Event, Message, OutgoingFrame, Priority, TrackKind,
    TransceiverId, TransportId,
};

use crate::frames::{call_with, number, picture, receive};
use crate::lab::{ALICE, BOB, Lab, SECOND};

const FRAME: Duration = Duration::from_millis(20);

/// The narrow link, in bits per second, and the time that its queue holds.
const RATE: u64 = 2_000_000;
const QUEUE: Duration = Duration::from_millis(300);

/// A side that sends two pictures over a narrow link.
struct Two {
    lab: Lab,
    ids: [Vec<TransceiverId>; 2],
    channel: ChannelId,
    told: BTreeMap<TransceiverId, u64>,
    sent: Vec<Instant>,
    has_file: bool,
}

/// The part of the link and the median delay in milliseconds of each picture, and the part of data.
type Outcome = ([(f64, u128); 2], f64);

impl Two {
    fn new(priorities: [Priority; 2], seed: u64) -> Self {
        let kinds = [TrackKind::Video, TrackKind::Video];
        let (mut lab, ids) = call_with(Lab::lan(&Configuration::default(), 0.0, seed), &kinds);
        let bytes = (RATE as f64 / 8.0 * QUEUE.as_secs_f64()) as usize;
        lab.network.change_link(lab.interfaces[ALICE], |up, _| {
            (up.rate, up.queue) = (Some(RATE), Queue::DropTail { bytes });
        });
        let channel = lab.open(ALICE, "file", DataChannelInit::default());
        let mut two = Self { lab, ids, channel, told: BTreeMap::new(), sent: Vec::new(), has_file: false };
        two.set(priorities);
        two.lab.run_for(SECOND);
        two
    }

    fn set(&mut self, priorities: [Priority; 2]) {
        for (id, priority) in self.ids[ALICE].clone().into_iter().zip(priorities) {
            self.lab.with(ALICE, |host, now| {
                let mut parameters = host.peer.send_parameters(now, id).unwrap();
                parameters.encodings[0].priority = priority;
                host.peer.set_send_parameters(now, id, parameters).unwrap();
            });
        }
    }

    /// Sends pictures as large as they are told to be; those of `loud` as large as the link.
    fn run(&mut self, seconds: u32, loud: Option<usize>) -> Outcome {
        let mut bytes = [0; 2];
        let mut delays = [Vec::new(), Vec::new()];
        let before = self.data_received();
        for _ in 0..seconds * 50 {
            let (ids, channel, has_file) = (&self.ids[ALICE], self.channel, self.has_file);
            let (told, sent) = (&mut self.told, &mut self.sent);
            self.lab.with(ALICE, |host, now| {
                let mut wants_key = [sent.is_empty(); 2];
                for event in std::mem::take(&mut host.events) {
                    match event {
                        Event::BitrateWanted(id, _, bits) => drop(told.insert(id, bits)),
                        Event::KeyFrameWanted(id, _) => {
                            wants_key[usize::from(id == ids[1])] = true;
                        }
                        _ => {}
                    }
                }
                let index = sent.len() as u32;
                for (at, id) in ids.iter().enumerate() {
                    let rate = told.get(id).copied().unwrap_or(300_000);
                    let rate = if loud == Some(at) { RATE } else { rate };
                    let data = picture(index, wants_key[at], (rate / 8 / 50) as usize);
                    // A full queue is a frame that is not sent.
                    let _ = host.peer.send_frame(now, *id, &OutgoingFrame::new(&data, FRAME * index));
                }
                sent.push(now);
                while has_file && host.peer.buffered_amount(channel) < 500_000 {
                    host.peer.send(now, channel, Message::from(vec![7; 50_000])).unwrap();
                }
            });
            self.lab.run_for(FRAME);
            for at in 0..2 {
                for (info, data) in receive(&mut self.lab, BOB, self.ids[BOB][at]) {
                    bytes[at] += data.len();
                    let sent = self.sent[number(&data) as usize];
                    delays[at].push((info.received_at - sent).as_millis());
                }
            }
        }
        let part = |bytes: usize| bytes as f64 * 8.0 / f64::from(seconds) / RATE as f64;
        let median = |at: usize| {
            let mut sorted = delays[at].clone();
            sorted.sort_unstable();
            sorted.get(sorted.len() / 2).copied().unwrap_or(u128::MAX)
        };
        let data = self.data_received() - before;
        ([0, 1].map(|at| (part(bytes[at]), median(at))), part(data))
    }

    fn data_received(&mut self) -> usize {
        self.lab.with(BOB, |host, _| host.received.values().flatten().map(|message| message.len()).sum())
    }
}

/// Each level has twice the part of the one before it.
#[test]
fn pictures_share_a_path_by_their_priorities() {
    for (priorities, ratio) in [
        ([Priority::Low, Priority::Low], 1.0),
        ([Priority::Medium, Priority::Low], 2.0),
        ([Priority::VeryLow, Priority::High], 0.125),
    ] {
        let mut two = Two::new(priorities, 51);
        two.run(10, None);
        let (pictures, _) = two.run(10, None);
        let [(one, _), (other, _)] = pictures;
        println!("{priorities:?}: {one:.2} {other:.2}");
        assert!((0.75..1.25).contains(&(one / other / ratio)), "{priorities:?}: {pictures:?}");
        assert!(one + other > 0.7, "{priorities:?}: {pictures:?}");
    }
}

/// Parameters that change have effect at once.
#[test]
fn a_priority_that_changes_has_effect() {
    let mut two = Two::new([Priority::Low; 2], 52);
    two.run(5, None);
    two.set([Priority::VeryLow, Priority::Medium]);
    two.run(5, None);
    let (pictures, _) = two.run(10, None);
    assert!(pictures[1].0 > 2.5 * pictures[0].0, "{pictures:?}");
}

/// A stream that sends more than it may takes nothing from one of a higher priority, and does not
/// delay it.
#[test]
fn a_loud_stream_does_not_hold_up_a_more_urgent_one() {
    let mut two = Two::new([Priority::High, Priority::VeryLow], 53);
    two.run(5, Some(1));
    let (pictures, _) = two.run(10, Some(1));
    let [(urgent, delay), (loud, late)] = pictures;
    println!("{urgent:.2} after {delay} ms, {loud:.2} after {late} ms");
    assert!(urgent > 0.45 && delay < 400 && 5 * delay < late, "{pictures:?}");
}

/// The priority of pictures counts towards data channels, too.
#[test]
fn priorities_count_beside_data() {
    let mut parts = Vec::new();
    for priorities in [[Priority::VeryLow; 2], [Priority::Low; 2], [Priority::High; 2]] {
        let mut two = Two::new(priorities, 54);
        two.has_file = true;
        two.run(10, None);
        let (pictures, data) = two.run(15, None);
        println!("{priorities:?}: {:.2} {:.2}, data {data:.2}", pictures[0].0, pictures[1].0);
        parts.push(data);
    }
    // Beside data of `low`: 2 of 4, 2 of 6, 2 of 18.
    assert!((0.35..0.65).contains(&parts[0]), "{parts:?}");
    assert!((0.2..0.5).contains(&parts[1]), "{parts:?}");
    assert!((0.05..0.25).contains(&parts[2]), "{parts:?}");
}

/// RFC 8837 §5, by the most urgent encoding.
#[test]
fn packets_are_marked_by_the_most_urgent_encoding() {
    let kinds = [TrackKind::Audio, TrackKind::Video];
    let (mut lab, ids) = call_with(Lab::lan(&Configuration::default(), 0.0, 55), &kinds);
    let mut mark = |audio: (Priority, Option<Priority>), video: (Priority, Option<Priority>), active| {
        for (id, (priority, network)) in ids[ALICE].iter().zip([audio, video]) {
            lab.with(ALICE, |host, now| {
                let mut parameters = host.peer.send_parameters(now, *id).unwrap();
                let encoding = &mut parameters.encodings[0];
                (encoding.priority, encoding.network_priority) = (priority, network);
                encoding.active = active;
                host.peer.set_send_parameters(now, *id, parameters).unwrap();
                let kept = host.peer.send_parameters(now, *id).unwrap();
                assert_eq!(
                    (kept.encodings[0].priority, kept.encodings[0].network_priority),
                    (priority, network)
                );
            });
        }
        lab.peer(ALICE).peer.dscp(TransportId::FIRST)
    };
    use Priority::{High, Low, Medium, VeryLow};
    assert_eq!(mark((Low, None), (Low, None), true), 0);
    assert_eq!(mark((VeryLow, None), (VeryLow, None), true), 1);
    assert_eq!(mark((Low, None), (VeryLow, None), true), 0);
    assert_eq!(mark((Low, None), (Medium, None), true), 36);
    assert_eq!(mark((Low, None), (High, None), true), 34);
    assert_eq!(mark((Medium, None), (Medium, None), true), 46);
    assert_eq!(mark((High, None), (Low, None), true), 46);
    assert_eq!(mark((High, Some(Low)), (Low, None), true), 0);
    assert_eq!(mark((Low, Some(VeryLow)), (VeryLow, Some(High)), true), 34);
    assert_eq!(mark((High, None), (High, None), false), 0);
}
