//! How much may be in flight, and how fast: controllers behind one trait.

use std::fmt::Debug;
use std::time::{Duration, Instant};

mod new_reno;

pub(crate) use new_reno::NewReno;

/// A congestion controller. It knows nothing of chunks, only of bytes and times.
pub(crate) trait Controller: Debug + Send {
    /// Something was acknowledged.
    fn on_ack(&mut self, ack: &Ack);

    /// Something was lost, or the path marked a packet: at most once a round trip.
    fn on_congestion(&mut self, now: Instant, in_flight: usize);

    /// The retransmission timer has expired.
    fn on_timeout(&mut self, now: Instant);

    /// The last timeout was spurious: nothing had been lost.
    fn on_spurious_timeout(&mut self);

    /// Nothing was sent for a while: the window may not be true any more.
    fn on_idle(&mut self, idle: Duration, rto: Duration);

    /// How many bytes may be in flight.
    fn window(&self) -> usize;

    /// How many bytes may go out in a second; `None` leaves that to the window and the round trip.
    fn pacing_rate(&self) -> Option<u64>;

    /// Whether the window grows as fast as it can.
    fn in_slow_start(&self) -> bool;
}

/// An acknowledgement, as controllers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    /// Bytes acknowledged for the first time.
    pub(crate) acked: usize,
    /// What was in flight before it.
    pub(crate) in_flight_before: usize,
    /// In a recovery: what was lost is not all acknowledged yet.
    pub(crate) recovering: bool,
}

/// The initial window in packets (RFC 6928, as RFC 9260 section 7.2.1 allows).
pub(super) const INITIAL_WINDOW: usize = 10;
