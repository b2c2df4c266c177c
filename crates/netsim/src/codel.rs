//! Controlled delay (RFC 8289), decided when a datagram enters: in a first-in, first-out queue the
//! time at which it will leave is known by then.

use std::time::{Duration, Instant};

/// The controller's state (RFC 8289 §5.3).
#[derive(Debug, Default)]
pub(crate) struct Codel {
    first_above: Option<Instant>,
    dropping: bool,
    drop_next: Option<Instant>,
    count: u32,
    last_count: u32,
}

impl Codel {
    /// Returns whether the datagram that leaves at `leaves` after waiting for `sojourn` is to be
    /// dropped.
    pub(crate) fn drops(
        &mut self,
        leaves: Instant,
        sojourn: Duration,
        target: Duration,
        interval: Duration,
    ) -> bool {
        let above = self.stays_above(leaves, sojourn, target, interval);
        if !above {
            self.dropping = false;
            return false;
        }
        if self.dropping {
            if self.drop_next.is_some_and(|next| leaves >= next) {
                self.count += 1;
                self.drop_next = self.drop_next.map(|next| next + control(interval, self.count));
                return true;
            }
            return false;
        }
        self.dropping = true;
        let delta = self.count.saturating_sub(self.last_count);
        let recent = self.drop_next.is_some_and(|next| leaves < next + 16 * interval);
        self.count = if delta > 1 && recent { delta } else { 1 };
        self.last_count = self.count;
        self.drop_next = Some(leaves + control(interval, self.count));
        true
    }

    /// Returns whether the delay has been above the target for an interval.
    fn stays_above(
        &mut self,
        leaves: Instant,
        sojourn: Duration,
        target: Duration,
        interval: Duration,
    ) -> bool {
        if sojourn < target {
            self.first_above = None;
            return false;
        }
        match self.first_above {
            None => {
                self.first_above = Some(leaves + interval);
                false
            }
            Some(since) => leaves >= since,
        }
    }
}

/// The control law: the interval over the square root of the count.
fn control(interval: Duration, count: u32) -> Duration {
    interval.div_f64(f64::from(count.max(1)).sqrt())
}
