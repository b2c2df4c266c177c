//! Spreading packets over the round trip, so that no queue on the way has to take a whole window at
//! once.

use std::time::{Duration, Instant};

/// A token bucket that fills at the pacing rate.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Bytes that may go out at once, at first a whole burst; negative after the last packet of
    /// one.
    tokens: f64,
    filled: Instant,
    /// The time by which the owner came late after the last wait.
    late: Duration,
}

impl Pacer {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: f64::INFINITY, filled: now, late: Duration::ZERO }
    }

    /// Returns whether a packet may go out now; otherwise, when.
    #[inline]
    pub(crate) fn check(&mut self, now: Instant, rate: u64, mtu: usize) -> Result<(), Instant> {
        let rate = rate.max(1) as f64;
        // Where the process waits for its core longer than the timer does, a fixed burst would
        // become the rate; and a rate that is measured by what was sent would never rise again.
        let grain = TIMER_GRAIN.max(SHORTEST_SLEEP + self.late);
        let burst = (rate * grain.as_secs_f64()).max((MIN_BURST * mtu) as f64);
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(burst);
        self.filled = now;
        if self.tokens > 0.0 {
            return Ok(());
        }
        // Wait for several packets at once: a wake-up costs more than they do.
        let wanted = (rate * SHORTEST_SLEEP.as_secs_f64()).max(mtu as f64).min(burst);
        Err(now + Duration::from_secs_f64((wanted - self.tokens) / rate))
    }

    /// The wait is over, and so long ago.
    pub(crate) fn woken(&mut self, late: Duration) {
        self.late = late.min(LONGEST_LATENESS);
    }

    /// A packet has gone out.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.tokens -= bytes as f64;
    }
}

/// The lateness of timers: packets that would have gone out meanwhile go out at once.
const TIMER_GRAIN: Duration = Duration::from_millis(2);
/// The most of a process's own lateness that is made up for. What it missed beyond that is lost
/// time; the window bounds the burst in any case.
const LONGEST_LATENESS: Duration = Duration::from_millis(100);
/// The least time to wait.
const SHORTEST_SLEEP: Duration = Duration::from_micros(500);
/// The number of packets that may always go out at once, like the initial window.
const MIN_BURST: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that go out in a second at `rate` bytes a second, by an owner that comes `late`
    /// after each wait.
    fn sent_in_a_second(rate: u64, late: Duration) -> f64 {
        let start = crate::test_time();
        let mut pacer = Pacer::new(start);
        let (mut now, mut sent) = (start, 0.0);
        while now < start + Duration::from_secs(1) {
            match pacer.check(now, rate, 1200) {
                Ok(()) => {
                    pacer.sent(1200);
                    sent += 1200.0;
                    // Each packet takes its time, and the clock is read anew for each.
                    now += Duration::from_micros(1);
                }
                Err(due) => {
                    now = due + late;
                    pacer.woken(late);
                }
            }
        }
        sent
    }

    #[test]
    fn late_owner_sends_at_the_rate_all_the_same() {
        for rate in [100_000, 1_000_000, 10_000_000, 100_000_000] {
            for late in [0, 1, 3, 10, 30, 80] {
                let sent = sent_in_a_second(rate, Duration::from_millis(late));
                let share = sent / rate as f64;
                assert!((0.9..1.25).contains(&share), "{rate} B/s, {late} ms late: {share}");
            }
        }
    }
}
