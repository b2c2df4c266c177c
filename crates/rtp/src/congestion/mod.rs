//! Congestion control: what the path carries, and who may use it.
//!
//! ```text
//! sent packets ─► SentPackets ─► feedback (TWCC, RFC 8888), acknowledgements ─► Estimator ─► rate
//! rate ─► Pacer ─► audio, retransmissions, video, data by priority, probes
//! ```
//!
//! One estimator and one pacer serve all that leaves on a path. The receiving side has
//! [`ArrivalRecorder`] and [`CongestionRecorder`].

mod arrivals;
mod delay;
mod episode;
mod estimator;
mod pacer;
mod sent;

pub use arrivals::{ArrivalRecorder, CongestionRecorder};
pub use estimator::{DelayEstimator, EstimatorLimits};
pub use pacer::{Class, FlowPriority, Pacer};
pub use sent::SentPackets;

use std::time::{Duration, Instant};

/// The clock by which an arrival is told. Delays of different clocks are not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrivalClock {
    /// The receiver's: the delay is that of one way, but for a constant.
    Receiver,
    /// The sender's, at which an acknowledgement came: the delay is the round trip.
    Acknowledgement,
}

/// The fate of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketResult {
    /// When it was sent.
    pub sent: Instant,
    /// Its length in bytes, with all headers.
    pub bytes: usize,
    /// The time from an epoch of the clock to its arrival; `None` if it is lost.
    pub arrival: Option<Duration>,
    /// It was marked as having met congestion (RFC 3168).
    pub marked: bool,
}

/// The estimate of what a path carries.
pub trait Estimator {
    /// A packet has left.
    fn handle_sent(&mut self, now: Instant, bytes: usize);

    /// The fates of packets are known, in the order in which they were sent.
    fn handle_feedback(&mut self, now: Instant, clock: ArrivalClock, results: &[PacketResult]);

    /// The round trip was measured.
    fn handle_round_trip(&mut self, round_trip: Duration);

    /// The deadline has come.
    fn handle_timeout(&mut self, now: Instant);

    /// Returns the next deadline.
    fn poll_timeout(&self) -> Option<Instant>;

    /// The path is another one: nothing that was learned holds.
    fn handle_path_change(&mut self, now: Instant);

    /// Returns the bits per second that may be sent.
    fn bits_per_second(&self) -> u64;
}
