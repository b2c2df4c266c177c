//! Round-trip time and retransmission timeout (RFC 9260 §6.3.1).

use std::time::Duration;

/// The round trip.
#[derive(Clone, Debug)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    variance: Duration,
    min: Option<Duration>,
    initial_rto: Duration,
    min_rto: Duration,
    max_rto: Duration,
    /// The number of times that the timeout has doubled since the last measurement.
    backoff: u32,
}

impl RoundTrip {
    pub(crate) fn new(initial_rto: Duration, min_rto: Duration, max_rto: Duration) -> Self {
        Self {
            smoothed: None,
            variance: Duration::ZERO,
            min: None,
            initial_rto,
            min_rto,
            max_rto,
            backoff: 0,
        }
    }

    /// A measurement. The caller sees to it that it is of something sent only once (Karn's rule).
    pub(crate) fn measured(&mut self, sample: Duration) {
        self.min = Some(self.min.map_or(sample, |min| min.min(sample)));
        self.backoff = 0;
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(sample);
            self.variance = sample / 2;
            return;
        };
        self.variance = (self.variance * 3 + smoothed.abs_diff(sample)) / 4;
        self.smoothed = Some((smoothed * 7 + sample) / 8);
    }

    /// The smoothed round-trip time, if one has been measured.
    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The smoothed round-trip time; before the first measurement, a third of the initial timeout.
    pub(crate) fn estimate(&self) -> Duration {
        self.smoothed.unwrap_or(self.initial_rto / 3)
    }

    pub(crate) fn min(&self) -> Option<Duration> {
        self.min
    }

    /// The retransmission timeout.
    pub(crate) fn rto(&self) -> Duration {
        let base = self.smoothed.map_or(self.initial_rto, |smoothed| smoothed + self.variance * 4);
        let base = base.max(self.min_rto).min(self.max_rto);
        // However often it has doubled: when the path comes back, that must not take long to be
        // noticed.
        let longest = self.max_rto.min(base.max(LONGEST_BACKOFF));
        base.saturating_mul(1 << self.backoff.min(16)).min(longest)
    }

    /// A timeout has passed without an answer.
    pub(crate) fn back_off(&mut self) {
        self.backoff += 1;
    }

    /// Returns the number of timeouts since the peer has answered.
    pub(crate) const fn timeouts(&self) -> u32 {
        self.backoff
    }

    /// The peer has answered, even if to something that cannot be measured.
    pub(crate) fn answered(&mut self) {
        self.backoff = 0;
    }

    /// Another path: all is unknown.
    pub(crate) fn forget(&mut self) {
        *self = Self::new(self.initial_rto, self.min_rto, self.max_rto);
    }
}

/// A packet each two seconds burdens no path.
const LONGEST_BACKOFF: Duration = Duration::from_secs(2);
