//! CUBIC (RFC 9438): the window grows along a cubic curve around where it was when something was
//! lost.

use std::time::{Duration, Instant};

use super::{Ack, Controller, Growth, HyStart, INITIAL_WINDOW, MIN_WINDOW};

/// CUBIC. Windows are in packets, as in the RFC, and not whole.
#[derive(Clone, Debug)]
struct Curve {
    window: f64,
    threshold: f64,
    /// Where the window was before the last reduction (`W_max`), and where it was when that came
    /// (`cwnd_prior`).
    max: f64,
    prior: f64,
    /// The window that Reno would have by now (`W_est`).
    reno: f64,
    /// The present stretch of congestion avoidance.
    epoch: Option<Epoch>,
}

#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Instant,
    /// The time after the start at which the curve is back at `max`, in seconds.
    k: f64,
}

/// The controller.
#[derive(Debug)]
pub(crate) struct Cubic {
    mtu: usize,
    curve: Curve,
    hystart: HyStart,
    /// Before the last timeout.
    before_timeout: Option<Curve>,
}

impl Cubic {
    pub(super) fn new(mtu: usize) -> Self {
        let window = INITIAL_WINDOW as f64;
        let curve =
            Curve { window, threshold: f64::INFINITY, max: 0.0, prior: 0.0, reno: window, epoch: None };
        Self { mtu, curve, hystart: HyStart::default(), before_timeout: None }
    }

    fn slow_start(&mut self, ack: &Ack) {
        let curve = &mut self.curve;
        let acked = ack.acked as f64 / self.mtu as f64;
        match self.hystart.on_ack(ack.round_trip, ack.sample.round_start) {
            Growth::Fast => curve.window = (curve.window + acked).min(curve.threshold),
            Growth::Conservative => curve.window = (curve.window + acked / 4.0).min(curve.threshold),
            Growth::Avoidance => curve.threshold = curve.window,
        }
    }
}

impl Curve {
    /// Congestion avoidance (RFC 9438 §4.2 to 4.5).
    fn avoid(&mut self, now: Instant, acked: f64, round_trip: Duration) {
        let epoch = *self.epoch.get_or_insert_with(|| {
            self.reno = self.window;
            if self.max <= self.window {
                self.max = self.window;
                self.prior = self.window;
            }
            Epoch { start: now, k: ((self.max - self.window) / C).cbrt() }
        });
        let elapsed = now.saturating_duration_since(epoch.start).as_secs_f64();
        let at = |time: f64| C * (time - epoch.k).powi(3) + self.max;
        // From where the window was, Reno with this beta grows as Reno does.
        let alpha = if self.reno >= self.prior { 1.0 } else { 3.0 * (1.0 - BETA) / (1.0 + BETA) };
        self.reno += alpha * acked / self.window;
        if at(elapsed) < self.reno {
            self.window = self.window.max(self.reno);
            return;
        }
        let target = at(elapsed + round_trip.as_secs_f64()).clamp(self.window, self.window * 1.5);
        self.window += (target - self.window) / self.window * acked;
    }

    /// RFC 9438 §4.6 and §4.7.
    fn reduce(&mut self) {
        self.prior = self.window;
        self.max = if self.window < self.max { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.threshold = (self.window * BETA).max(MIN_WINDOW as f64);
        self.window = self.threshold;
        self.epoch = None;
    }
}

impl Controller for Cubic {
    fn on_ack(&mut self, ack: &Ack) {
        let slow_start = self.in_slow_start();
        let used = ack.peak_in_flight + self.mtu >= self.window()
            || (slow_start && 2 * ack.peak_in_flight >= self.window());
        if ack.recovering || !used {
            return;
        }
        if slow_start {
            return self.slow_start(ack);
        }
        self.curve.avoid(ack.now, ack.acked as f64 / self.mtu as f64, ack.smoothed);
    }

    fn on_congestion(&mut self, _now: Instant, _in_flight: usize) {
        self.curve.reduce();
    }

    fn on_timeout(&mut self, _now: Instant, _in_flight: usize) {
        if self.before_timeout.is_none() || self.curve.window > 1.0 {
            self.before_timeout = Some(self.curve.clone());
        }
        self.curve.reduce();
        self.curve.window = 1.0;
    }

    fn on_spurious_timeout(&mut self) {
        if let Some(before) = self.before_timeout.take() {
            self.curve = before;
        }
    }

    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration) {
        // The curve counts time in which the window could be used (RFC 9438 §5.8).
        if let Some(epoch) = &mut self.curve.epoch {
            epoch.start = (epoch.start + idle).min(now);
        }
        let halvings = (idle.as_secs_f64() / rto.as_secs_f64().max(1e-3)) as i32;
        if halvings > 0 {
            let least = (INITIAL_WINDOW as f64).min(self.curve.window);
            self.curve.threshold = self.curve.threshold.max(self.curve.window * 0.75);
            self.curve.window = (self.curve.window * 0.5f64.powi(halvings.min(31))).max(least);
        }
    }

    fn set_mtu(&mut self, mtu: usize) {
        // The windows are in packets: as many bytes as before.
        let factor = self.mtu as f64 / mtu.max(1) as f64;
        self.mtu = mtu.max(1);
        let curve = &mut self.curve;
        for packets in
            [&mut curve.window, &mut curve.threshold, &mut curve.max, &mut curve.prior, &mut curve.reno]
        {
            *packets *= factor;
        }
        curve.epoch = None;
    }

    fn window(&self) -> usize {
        (self.curve.window * self.mtu as f64) as usize
    }

    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    fn in_slow_start(&self) -> bool {
        self.curve.window < self.curve.threshold
    }
}

/// RFC 9438 §4.1: how steep the curve is, in packets per second cubed.
const C: f64 = 0.4;
/// RFC 9438 §4.6: what is left of the window.
const BETA: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_is_back_where_it_was_after_k() {
        let start = crate::test_time();
        let mut curve =
            Curve { window: 1000.0, threshold: 0.0, max: 0.0, prior: 0.0, reno: 0.0, epoch: None };
        curve.reduce();
        assert_eq!((curve.window, curve.max), (700.0, 1000.0));
        // K = cbrt(300 / 0.4), 9.1 seconds; Reno would need 300 round trips of 100 ms.
        let round_trip = Duration::from_millis(100);
        let mut now = start;
        for _ in 0..91 {
            curve.avoid(now, curve.window, round_trip);
            now += round_trip;
        }
        assert!((990.0..1005.0).contains(&curve.window), "{}", curve.window);
        // Fast convergence: a flow that has not come back leaves room.
        curve.window = 900.0;
        curve.reduce();
        assert!((curve.max - 900.0 * 0.85).abs() < 1e-6);
    }

    #[test]
    fn on_a_short_path_it_is_at_least_as_fast_as_reno() {
        let start = crate::test_time();
        let mut curve = Curve { window: 20.0, threshold: 0.0, max: 0.0, prior: 0.0, reno: 0.0, epoch: None };
        curve.reduce();
        let round_trip = Duration::from_millis(5);
        let mut now = start;
        for _ in 0..100 {
            curve.avoid(now, curve.window, round_trip);
            now += round_trip;
        }
        // 14 packets, 0.53 of one each round up to 20, then one each round.
        assert!(curve.window > 95.0, "{}", curve.window);
    }
}
