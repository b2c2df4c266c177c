//! Calls in random worlds: both sides send sound, and pictures of an encoder that follows the
//! wanted bitrate, while a file goes over the same connection. Every frame arrives once and whole,
//! or its loss is reported; requests stay few, times grow, and memory has a bound.

use std::time::Duration;

use columba_netsim::{Link, Loss, Nat, Queue, Random};
use columba_peer::{
    Configuration, DataChannelInit, Error, Event, InboundStats, Message, OutgoingFrame, TrackKind,
    TransceiverId,
};

use crate::frames::{Received, call, number, picture, receive};
use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

/// Worlds in an ordinary run; `NETSIM_SCENARIOS=1000` for the great one (`cargo xtask scenarios
/// media`), `NETSIM_SEED` for a single one.
const WORLDS: u64 = 12;

/// The time between two packets of sound; every other one comes with a picture.
const STEP: Duration = Duration::from_millis(20);

/// Steps of a call.
const STEPS: u32 = 500;

/// The size of a key frame beside that of others.
const KEY_FRAME: usize = 5;

/// Bytes of the messages of a file.
const PIECE: usize = 16_384;

/// The bound of what both peers, the network between them and this test's records allocate.
const MAX_MEMORY: u64 = 48 << 20;

/// A file of a side, and the channel that carries it.
struct File {
    channel: columba_peer::ChannelId,
    pieces: u32,
    sent: u32,
}

/// A side of a call.
struct Side {
    index: usize,
    audio: TransceiverId,
    video: TransceiverId,
    bitrate: u64,
    wants_key: bool,
    pictures_sent: Vec<u32>,
    pictures: Received,
    sounds: Received,
    file: Option<File>,
}

impl Side {
    fn new(index: usize, ids: &[TransceiverId]) -> Self {
        Self {
            index,
            audio: ids[0],
            video: ids[1],
            bitrate: 300_000,
            wants_key: true,
            pictures_sent: Vec::new(),
            pictures: Vec::new(),
            sounds: Vec::new(),
            file: None,
        }
    }

    /// Hears the requests to the encoder, and takes the frames of the other side.
    fn listen(&mut self, lab: &mut Lab) {
        let Self { wants_key, bitrate, .. } = self;
        lab.with(self.index, |host, _| {
            host.events.retain(|event| match event {
                Event::KeyFrameWanted(..) => {
                    *wants_key = true;
                    false
                }
                Event::BitrateWanted(_, _, bits) => {
                    *bitrate = *bits;
                    false
                }
                _ => true,
            });
        });
        self.pictures.extend(receive(lab, self.index, self.video));
        self.sounds.extend(receive(lab, self.index, self.audio));
    }

    fn send(&mut self, lab: &mut Lab, step: u32, random: &mut Random) {
        let timestamp = STEP * step;
        let sound = [step.to_be_bytes(), [7; 4]].concat();
        let is_picture = step.is_multiple_of(2);
        let key = self.wants_key;
        // Two sizes of frames on the average of the bitrate, as encoders have them.
        let average = (self.bitrate.min(3_000_000) / 8 / 25) as usize;
        let len = average / 2 + random.below(average as u64 + 1) as usize;
        let data = picture(step / 2, key, if key { len * KEY_FRAME } else { len });
        let Self { audio, video, wants_key, pictures_sent, file, .. } = self;
        lab.with(self.index, |host, now| {
            // What the path does not carry is refused, and that is a report, too.
            let sent = host.peer.send_frame(now, *audio, &OutgoingFrame::new(&sound, timestamp));
            assert!(matches!(sent, Ok(()) | Err(Error::BufferFull)), "{sent:?}");
            if is_picture {
                match host.peer.send_frame(now, *video, &OutgoingFrame::new(&data, timestamp)) {
                    Ok(()) => {
                        *wants_key = false;
                        pictures_sent.push(step / 2);
                    }
                    // All that follows builds on it.
                    Err(Error::BufferFull) => *wants_key = true,
                    Err(error) => panic!("{error}"),
                }
            }
            if let Some(file) = file {
                while file.sent < file.pieces && host.peer.buffered_amount(file.channel) < 4 * PIECE {
                    let piece = Message::Binary(vec![file.sent as u8; PIECE].into());
                    host.peer.send(now, file.channel, piece).unwrap();
                    file.sent += 1;
                }
            }
        });
    }
}

/// A random world: the path is narrow, lossy or reorders, or nothing of that.
fn world(seed: u64) -> (Lab, Random) {
    let mut random = Random::new(seed);
    let nats = [Nat::CONE, Nat::PORT, Nat::SYMMETRIC];
    let nats = [*random.pick(&nats), *random.pick(&nats)];
    let mut lab = match random.below(3) {
        0 => Lab::lan(&Configuration::default(), 0.0, seed),
        _ => Lab::homes(nats, &with_turn(), 0.0, seed),
    };
    let rate = *random.pick(&[None, None, Some(600_000), Some(2_000_000), Some(8_000_000)]);
    let link = Link {
        delay: random.up_to(Duration::from_millis(60)),
        jitter: random.up_to(Duration::from_millis(8)),
        rate,
        queue: Queue::DropTail { bytes: rate.map_or(usize::MAX, |rate| (rate / 8 * 3 / 10) as usize) },
        loss: *random.pick(&[
            Loss::None,
            Loss::Random(0.01),
            Loss::Random(0.05),
            Loss::Burst { enter: 0.005, leave: 0.3, loss: 0.8 },
        ]),
        reorder: *random.pick(&[0.0, 0.0, 0.02]),
        duplicate: *random.pick(&[0.0, 0.0, 0.02]),
        ..Link::default()
    };
    for interface in lab.interfaces.clone() {
        lab.network.change_link(interface, |up, down| {
            *up = link.clone();
            *down = Link::with_delay(link.delay);
        });
    }
    (lab, random)
}

/// A call of ten seconds, with a file from Alice to Bob.
fn talk(lab: Lab, random: &mut Random) -> (Lab, [Side; 2]) {
    let (mut lab, ids) = call(lab);
    let mut sides = [Side::new(ALICE, &ids[ALICE]), Side::new(BOB, &ids[BOB])];
    let channel = lab.open(ALICE, "file", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 30, |lab| lab.peer(ALICE).open.contains(&channel)));
    sides[ALICE].file = Some(File { channel, pieces: 4 + random.below(20) as u32, sent: 0 });
    for step in 0..STEPS {
        for side in &mut sides {
            side.listen(&mut lab);
            side.send(&mut lab, step, random);
        }
        lab.run_for(STEP);
    }
    for _ in 0..100 {
        lab.run_for(STEP);
        sides.iter_mut().for_each(|side| side.listen(&mut lab));
    }
    (lab, sides)
}

/// Frames arrive once, whole and in order, and what is missing is told: to the receiver, or to the
/// sender as `given_up`.
fn check_frames(seed: u64, sender: &Side, receiver: &Side, given_up: u64) {
    let pictures = &receiver.pictures;
    let mut sent = sender.pictures_sent.iter();
    let mut before: Option<&(columba_peer::ReceivedFrame, Vec<u8>)> = None;
    let mut untold = 0;
    for frame in pictures {
        let (info, data) = frame;
        let index = number(data);
        assert_eq!(*data, picture(index, info.key, data.len()), "{seed}: frame {index} is whole");
        // Of frames that were sent, each is met at most once, and none before its time.
        let missing = sent.by_ref().take_while(|sent| **sent != index).count();
        assert!(sent.len() < sender.pictures_sent.len(), "{seed}: frame {index} was sent");
        untold += if info.after_loss { 0 } else { missing as u64 };
        assert!(missing == 0 || info.key, "{seed}: frame {index} builds on one that is missing");
        if let Some((earlier, other)) = before {
            let ticks = info.timestamp - earlier.timestamp;
            assert_eq!(ticks, u64::from(index - number(other)) * 3600, "{seed}: frame {index}");
        }
        before = Some(frame);
    }
    assert!(untold <= given_up, "{seed}: {untold} missing frames are not told, {given_up} were given up");
    // The first key frame may come late, the last frames not at all.
    let share = pictures.len() as f64 / sender.pictures_sent.len().max(1) as f64;
    // A file takes its part of a narrow path, and not all of it.
    let least = if sender.file.is_some() { 0.25 } else { 0.5 };
    assert!(share > least, "{seed}: {} of {} pictures", pictures.len(), sender.pictures_sent.len());
    let mut last = None;
    for (info, data) in &receiver.sounds {
        let index = u32::from_be_bytes(data[..4].try_into().unwrap());
        assert!(last.is_none_or(|last| last < index), "{seed}: sound {index} after {last:?}");
        assert!(
            info.after_loss || last.is_none_or(|last| last + 1 == index),
            "{seed}: {index} after {last:?}"
        );
        last = Some(index);
    }
    assert!(receiver.sounds.len() > STEPS as usize * 8 / 10, "{seed}: {} sounds", receiver.sounds.len());
}

/// The pictures that a side has taken, and has given up because they have waited for too long.
fn given_up(lab: &Lab, index: usize) -> u64 {
    let sent = lab.peer(index).peer.stats(lab.network.now()).rtp.outbound;
    sent.iter().map(|one| one.sent.frames_given_up).sum()
}

/// Requests stay in proportion to what was lost.
fn check_requests(seed: u64, lab: &Lab, index: usize) {
    let now = lab.network.now();
    let of = |all: Vec<InboundStats>| all.into_iter().find(|one| one.kind == TrackKind::Video);
    let video = of(lab.peer(index).peer.stats(now).rtp.inbound).expect("a stream");
    let sent = lab.peer(1 - index).peer.stats(now).rtp.outbound;
    let sent = sent.iter().find(|one| one.kind == TrackKind::Video).expect("a stream").sent;
    let repaired = sent.retransmitted_packets_sent;
    assert!(repaired <= sent.packets_sent / 2 + 20, "{seed}: {repaired} of {} again", sent.packets_sent);
    let received = video.received;
    // A packet is asked for at least 20 ms after it was before: 50 a second at most.
    assert!(received.nack_count <= 50 * 12, "{seed}: {received:?}");
    assert!(received.pli_count + received.fir_count <= 2 * 12, "{seed}: {received:?}");
    let keys = received.key_frames_received;
    assert!(keys <= 2 * 12, "{seed}: {keys} key frames");
}

fn run(seed: u64) {
    let mut end = None;
    let used = allocation_counter::measure(|| {
        let (lab, mut random) = world(seed);
        end = Some(talk(lab, &mut random));
    });
    assert!(used.bytes_max < MAX_MEMORY, "{seed}: {} bytes", used.bytes_max);
    let (mut lab, sides) = end.expect("it has run");
    let [alice, bob] = &sides;
    check_frames(seed, alice, bob, given_up(&lab, ALICE));
    check_frames(seed, bob, alice, given_up(&lab, BOB));
    [ALICE, BOB].into_iter().for_each(|index| check_requests(seed, &lab, index));
    let file = alice.file.as_ref().expect("a file");
    // Media go first; what is left of the file goes now.
    let File { channel, pieces, .. } = *file;
    let mut sent = file.sent;
    let whole = |lab: &Lab| lab.peer(BOB).all_received().len() == pieces as usize;
    for _ in 0..60 {
        lab.with(ALICE, |host, now| {
            while sent < pieces && host.peer.buffered_amount(channel) < 4 * PIECE {
                host.peer.send(now, channel, vec![sent as u8; PIECE].into()).unwrap();
                sent += 1;
            }
        });
        if lab.run_until(SECOND, whole) {
            break;
        }
    }
    let received = lab.peer(BOB).all_received();
    let expected: Vec<Message> = (0..pieces).map(|index| vec![index as u8; PIECE].into()).collect();
    assert!(received == expected, "{seed}: {} of {pieces} pieces", received.len());
    for index in [ALICE, BOB] {
        lab.with(index, |host, now| host.peer.close(now));
    }
    assert!(lab.run_until(SECOND * 10, |lab| lab.both(|host| host.peer.is_drained())), "{seed}");
}

/// Every second world from `first` on, so that the cores share them.
fn worlds(first: u64) {
    if let Ok(seed) = std::env::var("NETSIM_SEED") {
        let seed = seed.parse().expect("a seed");
        return if seed % 2 == first {
            run(seed)
        };
    }
    let count = std::env::var("NETSIM_SCENARIOS").map_or(WORLDS, |text| text.parse().expect("a number"));
    let has_failed = |seed: &u64| std::panic::catch_unwind(|| run(*seed)).is_err();
    let failed: Vec<u64> = (first..count).step_by(2).filter(has_failed).collect();
    assert!(failed.is_empty(), "worlds have failed, each to be seen with NETSIM_SEED: {failed:?}");
}

#[test]
fn calls_with_a_file_on_one_connection() {
    worlds(0);
}

#[test]
fn calls_with_a_file_on_one_connection_again() {
    worlds(1);
}
