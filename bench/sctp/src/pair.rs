//! Two ends of one engine in memory, without delay or loss.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::engines::Engine;

/// Two ends, and a clock that goes on as packets do.
pub struct Pair<E> {
    /// The end that begins, and that sends in the measurements.
    pub sender: E,
    /// The end that receives.
    pub receiver: E,
    now: Instant,
    /// Packets by the sender.
    pub packets: u64,
    /// Packets by the receiver: acknowledgements.
    pub answers: u64,
    /// Messages that the receiver has read.
    pub messages: u64,
    /// And their bytes.
    pub bytes: u64,
}

impl<E: Engine> Pair<E> {
    /// Two ends, with an association between them and so many streams.
    ///
    /// # Panics
    /// If no association comes about.
    pub fn new(now: Instant, seed: u64, streams: u16) -> Self {
        let (sender, receiver) = (E::new(now, seed, true), E::new(now, seed + 1, false));
        let mut pair = Self { sender, receiver, now, packets: 0, answers: 0, messages: 0, bytes: 0 };
        for _ in 0..100 {
            pair.turn();
            if pair.sender.is_established() && pair.receiver.is_established() {
                for stream in 0..streams {
                    pair.sender.open(stream);
                    pair.receiver.open(stream);
                }
                return pair;
            }
        }
        panic!("{}: no association within 100 turns", E::NAME);
    }

    /// Sends so many messages, in turn over the streams, as fast as the sender takes them, and
    /// waits until all are read.
    ///
    /// # Panics
    /// If they do not arrive.
    pub fn carry(&mut self, message: &Bytes, count: u64, streams: u16) {
        let end = self.messages + count;
        let (mut sent, mut idle) = (0, 0);
        while self.messages < end {
            while sent < count && self.sender.send(self.now, (sent % u64::from(streams)) as u16, message) {
                sent += 1;
            }
            let before = self.packets + self.answers;
            self.turn();
            idle = if before == self.packets + self.answers { idle + 1 } else { 0 };
            assert!(idle < 100, "{}: {} of {end} messages, and nothing moves", E::NAME, self.messages);
        }
    }

    /// One end sends two packets at most, because every second is to be acknowledged, then the
    /// other. Where neither has anything, time goes on to the next deadline.
    fn turn(&mut self) {
        let mut moved = 0;
        for _ in 0..BATCH {
            moved +=
                u64::from(self.sender.transmit(self.now, |packet| self.receiver.receive(self.now, packet)));
        }
        self.packets += moved;
        let (messages, bytes) = self.receiver.read();
        self.messages += messages;
        self.bytes += bytes;
        let mut answers = 0;
        for _ in 0..BATCH {
            answers +=
                u64::from(self.receiver.transmit(self.now, |packet| self.sender.receive(self.now, packet)));
        }
        self.answers += answers;
        self.sender.read();
        self.now += TURN;
        if moved + answers == 0 {
            let deadline = [self.sender.timeout(), self.receiver.timeout()].into_iter().flatten().min();
            self.now = deadline.map_or(self.now, |deadline| self.now.max(deadline));
        }
        for end in [&mut self.sender, &mut self.receiver] {
            if end.timeout().is_some_and(|deadline| deadline <= self.now) {
                end.handle_timeout(self.now);
            }
        }
    }
}

/// Packets by one end before the other has its turn.
const BATCH: usize = 2;
/// The virtual time of a turn: two packets of 1,200 bytes at 4 Gbit/s.
const TURN: Duration = Duration::from_nanos(4_800);
