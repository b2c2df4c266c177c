//! `columba-sctp`, with its defaults but for sizes.

use std::time::Instant;

use bytes::Bytes;
use columba_sctp::{Association, Config, Ecn, Event, Message, Ppid, StreamId, Unlimited};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use super::{Engine, LARGEST_MESSAGE, MTU};

/// One end of ours.
pub struct Ours {
    association: Association,
}

impl Engine for Ours {
    const NAME: &'static str = "ours";

    fn new(now: Instant, seed: u64, begins: bool) -> Self {
        let config = Config {
            mtu: MTU,
            max_mtu: MTU,
            max_message_size: LARGEST_MESSAGE,
            max_send_message_size: LARGEST_MESSAGE,
            // As much as the others'.
            send_buffer: 2 << 20,
            ..Config::default()
        };
        let mut association = Association::new(config, now, &mut ChaCha12Rng::seed_from_u64(seed));
        if begins {
            association.connect(now);
        }
        Self { association }
    }

    fn is_established(&self) -> bool {
        self.association.is_established()
    }

    fn open(&mut self, _stream: u16) {}

    fn send(&mut self, now: Instant, stream: u16, message: &Bytes) -> bool {
        self.association.send(now, StreamId(stream), Message::new(Ppid(53), message.clone())).is_ok()
    }

    fn transmit(&mut self, now: Instant, mut carry: impl FnMut(&[u8])) -> bool {
        let mut packet = [0; MTU];
        match self.association.poll_transmit(now, &mut Unlimited, &mut packet) {
            Some(length) => {
                carry(&packet[..length]);
                true
            }
            None => false,
        }
    }

    fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.association.handle_input(now, packet, Ecn::NotMarked);
    }

    fn read(&mut self) -> (u64, u64) {
        let (mut messages, mut bytes) = (0, 0);
        while let Some(event) = self.association.poll_event() {
            let Event::Readable(stream) = event else { continue };
            while let Some(message) = self.association.receive(stream) {
                messages += 1;
                bytes += message.payload.len() as u64;
            }
        }
        (messages, bytes)
    }

    fn timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
    }
}
