//! Wall time.

use std::time::{Duration, Instant};

/// A point in time, as the time since the beginning of 1970 (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub Duration);

/// Wall time at one instant, from which wall time at other instants follows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WallClock {
    instant: Instant,
    wall: UnixTime,
}

impl WallClock {
    pub(crate) fn new(instant: Instant, wall: UnixTime) -> Self {
        Self { instant, wall }
    }

    /// Returns the wall time at an instant that is not after `now`.
    pub(crate) fn before(&self, now: Instant, at: Instant) -> UnixTime {
        UnixTime(self.at(now).0.saturating_sub(now.saturating_duration_since(at)))
    }

    pub(crate) fn at(&self, now: Instant) -> UnixTime {
        UnixTime(self.wall.0 + now.saturating_duration_since(self.instant))
    }
}
