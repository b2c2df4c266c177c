//! Counters of an association.

use std::time::{Duration, Instant};

/// The fates of user data, since they were asked for last: what one estimator of the path learns of
/// it, that serves data and media alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fates {
    /// Bytes of chunks that were acknowledged for the first time.
    pub acknowledged: usize,
    /// Bytes of chunks that were found lost.
    pub lost: usize,
    /// The time at which the newest one that was acknowledged was sent; `None` if it was sent more
    /// than once.
    pub newest: Option<Instant>,
}

/// Counters since birth, and the present view of the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Packets sent.
    pub packets_sent: u64,
    /// Bytes of packets sent.
    pub bytes_sent: u64,
    /// Packets received and read.
    pub packets_received: u64,
    /// Bytes of packets received and read.
    pub bytes_received: u64,
    /// Packets dropped because they were not for this association, damaged, or senseless.
    pub packets_dropped: u64,
    /// Messages accepted by `send`.
    pub messages_sent: u64,
    /// Messages given out by `receive`.
    pub messages_received: u64,
    /// Chunks sent more than once, each time counted.
    pub retransmitted_chunks: u64,
    /// The smoothed round-trip time, once it has been measured.
    pub smoothed_round_trip: Option<Duration>,
    /// The number of bytes that may be in flight.
    pub congestion_window: usize,
    /// The number of bytes in flight.
    pub in_flight: usize,
    /// The number of bytes that the peer had room for when it last said so.
    pub peer_window: usize,
    /// The number of bytes that we hold at most.
    pub receive_window: usize,
    /// The largest packet, in bytes.
    pub mtu: usize,
}
