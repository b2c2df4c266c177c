//! The estimate of a path, and the allowance of those who send on it.

use std::time::{Duration, Instant};

use columba_rtp::congestion::{
    ArrivalClock, ArrivalRecorder, DelayEstimator, Estimator, EstimatorLimits, Pacer, SentPackets,
};
use columba_rtp::rtcp::{CompoundWriter, TransportFeedback};
use columba_rtp::{SequenceNumber, Ssrc};

/// The estimate to begin with, in bits per second.
const START: u64 = 1_000_000;

/// The rate where the other side tells of no arrivals.
const UNKNOWN: u64 = 5_000_000;

/// The round trip before it is measured.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);

/// The time between two transport-wide reports of this side's.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(50);

/// A path, as media sees it.
#[derive(Debug)]
pub(super) struct MediaPath {
    /// Made with the first packet that is numbered.
    sent: Option<Box<SentPackets>>,
    estimator: DelayEstimator,
    pub(super) pacer: Pacer,
    /// Made with the first number that arrives.
    arrivals: Option<Box<ArrivalRecorder>>,
    epoch: Instant,
    next_feedback: Option<Instant>,
    pub(super) round_trip: Duration,
    /// The receiver's estimate (REMB), where it makes one.
    pub(super) remb: Option<u64>,
    /// The other side tells of arrivals.
    is_told: bool,
}

impl MediaPath {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sent: None,
            estimator: DelayEstimator::new(EstimatorLimits { start: START, ..EstimatorLimits::default() }),
            pacer: Pacer::new(now, UNKNOWN),
            arrivals: None,
            epoch: now,
            next_feedback: None,
            round_trip: FIRST_ROUND_TRIP,
            remb: None,
            is_told: false,
        }
    }

    /// Sets whether it is agreed that the other side tells of arrivals.
    pub(super) fn set_told(&mut self, now: Instant, is_told: bool) {
        self.is_told = is_told;
        self.update(now);
    }

    /// Returns the bits per second that may be sent.
    pub(super) fn bits_per_second(&self) -> u64 {
        if self.is_told { self.estimator.bits_per_second() } else { self.remb.unwrap_or(UNKNOWN) }
    }

    /// Gives the estimate to the pacer.
    pub(super) fn update(&mut self, now: Instant) {
        let rate = self.bits_per_second();
        self.pacer.set_rate(now, rate);
    }

    /// Returns the number of the next packet that is numbered.
    pub(super) fn next_number(&mut self) -> SequenceNumber {
        self.sent.get_or_insert_default().next_number()
    }

    /// A packet has left; `number` if it is numbered.
    pub(super) fn handle_sent(
        &mut self,
        now: Instant,
        stream: (Ssrc, SequenceNumber),
        bytes: usize,
        is_numbered: bool,
    ) {
        if is_numbered {
            self.sent.get_or_insert_default().handle_sent(now, stream.0, stream.1, bytes);
            self.estimator.handle_sent(now, bytes);
        }
    }

    pub(super) fn handle_feedback(&mut self, now: Instant, feedback: &TransportFeedback<'_>) {
        let Some(sent) = &mut self.sent else { return };
        let results = sent.handle_transport_feedback(feedback);
        self.estimator.handle_feedback(now, ArrivalClock::Receiver, results);
        self.update(now);
    }

    pub(super) fn handle_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
        self.estimator.handle_round_trip(round_trip);
    }

    pub(super) fn handle_path_change(&mut self, now: Instant) {
        self.estimator.handle_path_change(now);
        self.update(now);
    }

    /// Takes the transport-wide number of a packet that has arrived.
    pub(super) fn handle_arrival(&mut self, received_at: Instant, number: SequenceNumber) {
        let epoch = self.epoch;
        let arrivals = self.arrivals.get_or_insert_with(|| Box::new(ArrivalRecorder::new(epoch)));
        arrivals.handle_packet(received_at, number);
        self.next_feedback.get_or_insert(received_at + FEEDBACK_INTERVAL);
    }

    /// Returns true if a transport-wide report is to be sent now.
    pub(super) fn has_feedback(&self, now: Instant) -> bool {
        self.next_feedback.is_some_and(|at| at <= now)
    }

    /// Writes a transport-wide report; false if there is no more to report.
    pub(super) fn write_feedback(
        &mut self,
        writer: &mut CompoundWriter<'_>,
        sender: Ssrc,
        media: Ssrc,
    ) -> bool {
        let written =
            self.arrivals.as_mut().is_some_and(|arrivals| arrivals.write_feedback(writer, sender, media));
        if !written {
            self.next_feedback = None;
        }
        written
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.estimator.poll_timeout().is_some_and(|at| at <= now) {
            self.estimator.handle_timeout(now);
            self.update(now);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let estimator = self.estimator.poll_timeout().filter(|_| self.is_told);
        [estimator, self.next_feedback].into_iter().flatten().min()
    }
}
