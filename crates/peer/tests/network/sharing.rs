//! One allowance for all that leaves on a path: a file and a call on one connection.

use std::time::{Duration, Instant};

use columba_netsim::Queue;
use columba_peer::{
    ChannelId, Configuration, DataChannelInit, Event, Message, OutgoingFrame, Priority, TransceiverId,
};

use crate::frames::{call, number, picture, receive};
use crate::lab::{ALICE, BOB, Lab, SECOND};

const FRAME: Duration = Duration::from_millis(20);

/// The narrow link, in bits per second, and the time that its queue holds.
const RATE: u64 = 2_000_000;
const QUEUE: Duration = Duration::from_millis(300);

/// The outcome of some seconds.
#[derive(Debug, Default)]
struct Outcome {
    pictures: usize,
    picture_bytes: usize,
    /// From the application to the application, in milliseconds, ascending.
    delays: Vec<u128>,
    data_bytes: usize,
    seconds: f64,
}

impl Outcome {
    /// The part of the link that pictures and data use.
    fn shares(&self) -> (f64, f64) {
        let part = |bytes: usize| bytes as f64 * 8.0 / self.seconds / RATE as f64;
        (part(self.picture_bytes), part(self.data_bytes))
    }

    fn delay(&self, part: f64) -> u128 {
        self.delays[((self.delays.len() - 1) as f64 * part) as usize]
    }
}

struct Sharing {
    lab: Lab,
    ids: [Vec<TransceiverId>; 2],
    channel: ChannelId,
    sent: Vec<Instant>,
    told: u64,
    /// The pictures are as large as they are told to be.
    is_obedient: bool,
}

impl Sharing {
    /// A call over a narrow link, with an open channel.
    fn new(priority: Priority, seed: u64) -> Self {
        let (mut lab, ids) = call(Lab::lan(&Configuration::default(), 0.0, seed));
        let bytes = (RATE as f64 / 8.0 * QUEUE.as_secs_f64()) as usize;
        lab.network.change_link(lab.interfaces[ALICE], |up, _| {
            (up.rate, up.queue) = (Some(RATE), Queue::DropTail { bytes });
        });
        let channel = lab.open(ALICE, "file", DataChannelInit { priority, ..DataChannelInit::default() });
        lab.run_for(SECOND);
        Self { lab, ids, channel, sent: Vec::new(), told: 500_000, is_obedient: true }
    }

    /// Sends pictures as large as they may be, at most `most` bits per second, sound, and the file
    /// if there is one.
    fn run(&mut self, seconds: u32, most: u64, has_file: bool) -> Outcome {
        let mut outcome = Outcome { seconds: f64::from(seconds), ..Outcome::default() };
        let before = self.data_received();
        for _ in 0..seconds * 50 {
            let (ids, channel) = (&self.ids, self.channel);
            let (sent, told, obeys) = (&mut self.sent, &mut self.told, self.is_obedient);
            self.lab.with(ALICE, |host, now| {
                let mut wants_key = sent.is_empty();
                for event in std::mem::take(&mut host.events) {
                    match event {
                        Event::BitrateWanted(_, _, bits) if obeys => *told = bits,
                        Event::KeyFrameWanted(..) => wants_key = true,
                        _ => {}
                    }
                }
                let index = sent.len() as u32;
                let data = picture(index, wants_key, ((*told).min(most) / 8 / 50) as usize);
                // A full queue is a frame that is not sent.
                let _ = host.peer.send_frame(now, ids[0][1], &OutgoingFrame::new(&data, FRAME * index));
                let sound = OutgoingFrame::new(&[7; 80], FRAME * index);
                host.peer.send_frame(now, ids[0][0], &sound).unwrap();
                sent.push(now);
                while has_file && host.peer.buffered_amount(channel) < 500_000 {
                    host.peer.send(now, channel, Message::from(vec![7; 50_000])).unwrap();
                }
            });
            self.lab.run_for(FRAME);
            for (info, data) in receive(&mut self.lab, BOB, self.ids[1][1]) {
                outcome.pictures += 1;
                outcome.picture_bytes += data.len();
                let sent = self.sent[number(&data) as usize];
                outcome.delays.push((info.received_at - sent).as_millis());
            }
            receive(&mut self.lab, BOB, self.ids[1][0]);
        }
        outcome.delays.sort_unstable();
        outcome.data_bytes = self.data_received() - before;
        outcome
    }

    /// The bytes of the file that Bob's application has; those that were read are forgotten.
    fn data_received(&mut self) -> usize {
        self.lab.with(BOB, |host, _| host.received.values().flatten().map(|message| message.len()).sum())
    }
}

/// Neither starves: data has its part by priority, and pictures neither wait nor shrink below
/// theirs.
#[test]
fn a_file_and_a_call_share_a_narrow_link() {
    // RFC 8835 §4.1: pictures have the priority `low`, with twice the part of `very-low`, and a
    // quarter of that of `high`.
    for (priority, least, most, least_pictures) in [
        (Priority::Low, 0.30, 0.60, 0.35),
        (Priority::High, 0.60, 0.90, 0.11),
        (Priority::VeryLow, 0.15, 0.45, 0.45),
    ] {
        let mut sharing = Sharing::new(priority, 41);
        let alone = sharing.run(15, RATE, false);
        let settled = sharing.run(10, RATE, false);
        assert!(settled.shares().0 > 0.75, "{alone:?} {settled:?}");
        sharing.run(5, RATE, true);
        let both = sharing.run(20, RATE, true);
        let (pictures, data) = both.shares();
        let figures =
            format!("{priority:?}: {pictures:.2} {data:.2}, {} {} ms", both.delay(0.5), both.delay(0.95));
        println!("{figures}, alone {} {} ms", settled.delay(0.5), settled.delay(0.95));
        assert!((least..most).contains(&data), "{figures}");
        assert!(pictures > least_pictures && pictures + data > 0.70, "{figures}");
        assert!(both.delay(0.5) < 120 && both.delay(0.95) < 250, "{figures}");
        assert!(both.pictures >= 980, "{} pictures", both.pictures);
        // The file ends once all of it has left: pictures have it all again.
        sharing.run(25, RATE, false);
        let after = sharing.run(10, RATE, false);
        assert!(after.shares().0 > 0.75, "{:?}", after.shares());
    }
}

/// Data takes what pictures do not need, and all once there are none.
#[test]
fn data_takes_what_media_leaves() {
    let mut sharing = Sharing::new(Priority::Low, 42);
    sharing.run(5, 300_000, false);
    sharing.run(10, 300_000, true);
    let both = sharing.run(20, 300_000, true);
    let (pictures, data) = both.shares();
    assert!(pictures > 0.13 && data > 0.55, "{pictures} {data}");
    assert!(both.delay(0.5) < 110 && both.delay(0.95) < 250, "{} {}", both.delay(0.5), both.delay(0.95));
}

/// An encoder that sends more than it may does not starve data either.
#[test]
fn an_encoder_that_sends_too_much_leaves_data_its_part() {
    let mut sharing = Sharing::new(Priority::Low, 43);
    sharing.told = 2 * RATE;
    sharing.is_obedient = false;
    sharing.run(10, 2 * RATE, true);
    let both = sharing.run(10, 2 * RATE, true);
    let (pictures, data) = both.shares();
    assert!(pictures > 0.3 && data > 0.08, "{pictures} {data}");
}
