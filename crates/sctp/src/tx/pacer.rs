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
}

impl Pacer {
    pub(crate) fn new(now: Instant) -> Self {
        Self { tokens: f64::INFINITY, filled: now }
    }

    /// Returns whether a packet may go out now; otherwise, when.
    #[inline]
    pub(crate) fn check(&mut self, now: Instant, rate: u64, mtu: usize) -> Result<(), Instant> {
        let rate = rate.max(1) as f64;
        let burst = (rate * TIMER_GRAIN.as_secs_f64()).max((MIN_BURST * mtu) as f64);
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

    /// A packet has gone out.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.tokens -= bytes as f64;
    }
}

/// The lateness of timers: packets that would have gone out meanwhile go out at once.
const TIMER_GRAIN: Duration = Duration::from_millis(2);
/// The least time to wait.
const SHORTEST_SLEEP: Duration = Duration::from_micros(500);
/// The number of packets that may always go out at once, like the initial window.
const MIN_BURST: usize = 10;
