//! SCTP for WebRTC data channels, without I/O: the association of RFC 9260 with the extensions that
//! WebRTC uses.
//!
//! An [`Association`] has the five doors: packets and time go in, packets, events and deadlines
//! come out. It owns no socket and no clock, and takes its randomness from its owner.
//!
//! Whatever a peer sends, memory is bounded: messages, parts of messages, and the lists that hold
//! them by the receive window ([`Config::max_receive_window`]; a message that is being put together
//! may have reserved as much again); chunks beyond a hole by the 65,535 that a SACK can name;
//! streams by 28 bytes for each of 65,536; channels by [`Config::channel_memory`]; answers (INIT
//! ACK, HEARTBEAT ACK, RE-CONFIG) by queues of a few. What the application sends waits within
//! [`Config::send_buffer`] and [`Config::stream_send_buffer`], and is in flight within
//! [`Config::max_in_flight`].
//!
//! ```
//! use std::time::Instant;
//! use columba_sctp::{Association, Config, Ecn, Message, Ppid, StreamId, Unlimited};
//! # use rand_core::SeedableRng;
//! # #[allow(clippy::disallowed_methods)]
//! # let now = Instant::now();
//!
//! let mut rng = rand_chacha::ChaCha12Rng::seed_from_u64(1);
//! let mut alice = Association::new(Config::default(), now, &mut rng);
//! let mut bob = Association::new(Config::default(), now, &mut rng);
//! alice.connect(now);
//! alice.send(now, StreamId(0), Message::new(Ppid(51), "coo"))?;
//!
//! // Usually the packets go through DTLS and UDP; here the one's output is the other's input.
//! let mut packet = [0; 1500];
//! let message = loop {
//!     if let Some(length) = alice.poll_transmit(now, &mut Unlimited, &mut packet) {
//!         bob.handle_input(now, &packet[..length], Ecn::NotMarked);
//!     }
//!     if let Some(length) = bob.poll_transmit(now, &mut Unlimited, &mut packet) {
//!         alice.handle_input(now, &packet[..length], Ecn::NotMarked);
//!     }
//!     if let Some(message) = bob.receive(StreamId(0)) {
//!         break message;
//!     }
//! };
//! assert_eq!(message.payload, "coo");
//! # Ok::<(), columba_sctp::SendError>(())
//! ```

mod association;
mod bit_ring;
mod budget;
pub mod channels;
mod config;
mod error;
mod event;
mod message;
mod rx;
mod serial;
mod stats;
mod stream_table;
mod timers;
mod tx;
mod wire;

pub use association::{Association, Ecn, is_init};
pub use budget::{Budget, Unlimited};
pub use config::{Config, CongestionControl, Scheduling};
pub use error::{CloseReason, ImportError, SendError};
pub use event::Event;
pub use message::{Message, ReceivedMessage, Reliability};
pub use serial::{Ppid, StreamId};
pub use stats::{Fates, Stats};

/// A time for tests; which one does not matter.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
fn test_time() -> std::time::Instant {
    std::time::Instant::now()
}
