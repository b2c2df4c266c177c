//! `dcsctp`, with its defaults but for sizes, zero checksum, and timeouts that never give up.

use std::time::Instant;

use bytes::Bytes;
use dcsctp::api::{
    DcSctpSocket, Message, Options, PpId, SendOptions, SocketEvent, SocketState, SocketTime, StreamId,
    ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS,
};

use super::{Engine, LARGEST_MESSAGE, MTU};

/// One end of dcsctp.
pub struct Dcsctp {
    socket: Box<dyn DcSctpSocket>,
    /// Its time counts from there.
    born: Instant,
}

impl Engine for Dcsctp {
    const NAME: &'static str = "dcsctp";

    fn new(now: Instant, _seed: u64, begins: bool) -> Self {
        let options = Options {
            mtu: MTU,
            max_message_size: LARGEST_MESSAGE,
            max_retransmissions: None,
            max_init_retransmits: None,
            zero_checksum_alternate_error_detection_method:
                ZERO_CHECKSUM_ALTERNATE_ERROR_DETECTION_METHOD_LOWER_LAYER_DTLS,
            ..Options::default()
        };
        let mut socket = dcsctp::new_socket("", &options);
        if begins {
            socket.connect();
        }
        Self { socket, born: now }
    }

    fn is_established(&self) -> bool {
        self.socket.state() == SocketState::Connected
    }

    fn open(&mut self, _stream: u16) {}

    fn send(&mut self, _now: Instant, stream: u16, message: &Bytes) -> bool {
        // It would take much more from one stream than from many: let it hold what the others hold.
        if self.socket.buffered_amount(StreamId(stream)) + message.len() > QUEUE {
            return false;
        }
        let message = Message::new(StreamId(stream), PpId(53), message.to_vec());
        self.socket.send(message, &SendOptions::default()).is_ok()
    }

    fn transmit(&mut self, _now: Instant, mut carry: impl FnMut(&[u8])) -> bool {
        while let Some(event) = self.socket.poll_event() {
            if let SocketEvent::SendPacket(packet) = event {
                carry(&packet);
                return true;
            }
        }
        false
    }

    fn receive(&mut self, now: Instant, packet: &[u8]) {
        self.handle_timeout(now);
        self.socket.handle_input(packet);
    }

    fn read(&mut self) -> (u64, u64) {
        let (mut messages, mut bytes) = (0, 0);
        while let Some(message) = self.socket.get_next_message() {
            messages += 1;
            bytes += message.payload.len() as u64;
        }
        (messages, bytes)
    }

    fn timeout(&self) -> Option<Instant> {
        let timeout = self.socket.poll_timeout();
        if timeout == SocketTime::infinite_future() {
            return None;
        }
        self.born.checked_add(timeout - SocketTime::zero())
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.socket.advance_time(SocketTime::zero() + (now - self.born));
    }
}

/// Bytes that may wait in one stream.
const QUEUE: usize = 2_000_000;
