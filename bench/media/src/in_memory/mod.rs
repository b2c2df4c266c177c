//! Connections in memory and in virtual time: no sockets, no threads, no waiting.

pub mod columba;
pub mod str0m;

use std::time::Duration;

/// A result, or the error that ends a measurement.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Packets of a batch: those of one frame, which a forwarder finds in its socket together.
pub const BATCH: usize = 10;

/// Bytes of a packet's payload.
pub const PAYLOAD: usize = 1100;

/// The time between two batches.
pub const STEP: Duration = Duration::from_millis(1);

/// Steps of a connection, of 10 ms each, until it must be there.
const STEPS_TO_CONNECT: usize = 2000;

/// Frames of a track that is measured: 30 a second of 1.2 Mbit/s.
pub const FRAME: usize = 5000;
pub const FRAME_STEP: Duration = Duration::from_millis(33);
