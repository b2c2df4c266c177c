//! The controller of RFC 9260 §7.2: slow start, congestion avoidance, halving.

use std::time::{Duration, Instant};

use super::{Ack, Controller, Growth, HyStart, INITIAL_WINDOW, MIN_WINDOW};

/// NewReno, counting bytes.
#[derive(Debug)]
pub(crate) struct NewReno {
    mtu: usize,
    window: usize,
    threshold: usize,
    hystart: HyStart,
    /// Bytes acknowledged in congestion avoidance that have not made the window grow yet.
    credit: usize,
    /// Window and threshold before the last timeout.
    before_timeout: Option<(usize, usize)>,
}

impl NewReno {
    pub(super) fn new(mtu: usize) -> Self {
        Self {
            mtu,
            window: INITIAL_WINDOW * mtu,
            threshold: usize::MAX,
            hystart: HyStart::default(),
            credit: 0,
            before_timeout: None,
        }
    }
}

impl Controller for NewReno {
    fn on_ack(&mut self, ack: &Ack) {
        // A window that was not used has not been tested; in slow start half of it is enough.
        let used = ack.peak_in_flight + self.mtu >= self.window
            || (self.in_slow_start() && 2 * ack.peak_in_flight >= self.window);
        if ack.recovering || !used {
            return;
        }
        if self.in_slow_start() {
            let growth = match self.hystart.on_ack(ack.round_trip, ack.sample.round_start) {
                // Deviation: RFC 9260 adds at most one MTU for a SACK; that is what makes SCTP
                // slower than TCP to start.
                Growth::Fast => ack.acked,
                Growth::Conservative => ack.acked / 4,
                Growth::Avoidance => {
                    self.threshold = self.window;
                    return;
                }
            };
            self.window = (self.window + growth).min(self.threshold.max(self.window));
            return;
        }
        self.credit += ack.acked;
        if self.credit >= self.window {
            self.credit -= self.window;
            self.window += self.mtu;
        }
    }

    fn on_congestion(&mut self, _now: Instant, _in_flight: usize) {
        self.threshold = (self.window / 2).max(MIN_WINDOW * self.mtu);
        self.window = self.threshold;
        self.credit = 0;
    }

    fn on_timeout(&mut self, _now: Instant, _in_flight: usize) {
        if self.before_timeout.is_none() || self.window > self.mtu {
            self.before_timeout = Some((self.window, self.threshold));
        }
        self.threshold = (self.window / 2).max(MIN_WINDOW * self.mtu);
        self.window = self.mtu;
        self.credit = 0;
    }

    fn on_spurious_timeout(&mut self) {
        if let Some((window, threshold)) = self.before_timeout.take() {
            self.window = window;
            self.threshold = threshold;
        }
    }

    fn on_idle(&mut self, _now: Instant, idle: Duration, rto: Duration) {
        // RFC 9260 §7.2.1: halve for each RTO, but not below the initial window.
        let halvings = (idle.as_secs_f64() / rto.as_secs_f64().max(1e-3)) as u32;
        let least = (INITIAL_WINDOW * self.mtu).min(self.window);
        if halvings > 0 {
            self.threshold = self.threshold.max(self.window / 4 * 3);
            self.window = (self.window >> halvings.min(31)).max(least);
        }
    }

    fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
    }

    fn window(&self) -> usize {
        self.window
    }

    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    fn in_slow_start(&self) -> bool {
        self.window < self.threshold
    }
}
