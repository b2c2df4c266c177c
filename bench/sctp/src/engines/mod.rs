//! One end of an association, of ours and of other engines.

mod dcsctp;
mod ours;
mod sctp_proto;

use std::time::Instant;

use bytes::Bytes;

pub use dcsctp::Dcsctp;
pub use ours::Ours;
pub use sctp_proto::SctpProto;

/// The size of the largest SCTP packet, for all: with DTLS and UDP headers it fits into what every
/// path bears.
pub const MTU: usize = 1200;

/// The largest message, for all.
pub const LARGEST_MESSAGE: usize = 256 << 10;

/// One end of an association. All engines see the same virtual time, and none owns a socket.
pub trait Engine: Sized {
    /// Its name in tables.
    const NAME: &'static str;

    /// An end that waits for the other to begin, or begins itself.
    fn new(now: Instant, seed: u64, begins: bool) -> Self;

    /// Returns whether messages flow.
    fn is_established(&self) -> bool;

    /// Makes a stream ready, where an engine asks for that, before it is sent or listened to.
    fn open(&mut self, stream: u16);

    /// Queues a reliable, ordered message, unless the queue is full.
    fn send(&mut self, now: Instant, stream: u16, message: &Bytes) -> bool;

    /// Gives the next packet to `carry`; false if there is none.
    fn transmit(&mut self, now: Instant, carry: impl FnMut(&[u8])) -> bool;

    /// Takes a packet.
    fn receive(&mut self, now: Instant, packet: &[u8]);

    /// Reads what has arrived whole: the count of messages and of their bytes.
    fn read(&mut self) -> (u64, u64);

    /// When to call [`handle_timeout`](Self::handle_timeout).
    fn timeout(&self) -> Option<Instant>;

    /// That time has come.
    fn handle_timeout(&mut self, now: Instant);
}
