//! The receive window, which grows with the bandwidth-delay product.

use std::time::{Duration, Instant};

/// The receive window.
///
/// It starts small and doubles whenever a whole window has been read within two round trips: then
/// it was the window that held the sender back, or soon will be.
#[derive(Debug)]
pub(crate) struct Window {
    limit: usize,
    max: usize,
    /// The window in the last SACK, in bytes.
    advertised: usize,
    /// The bytes read since `since`.
    read: usize,
    since: Instant,
}

impl Window {
    pub(crate) fn new(initial: usize, max: usize, now: Instant) -> Self {
        Self { limit: initial, max: max.max(initial), advertised: initial, read: 0, since: now }
    }

    /// The number of bytes that may be held here; what comes beyond is dropped, unless it fills a
    /// hole.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// The application has read so many bytes.
    pub(crate) fn on_read(&mut self, bytes: usize) {
        self.read += bytes;
    }

    /// Returns whether the peer should hear of the window although no data calls for a SACK: it
    /// knows of little room, and there is much.
    pub(crate) fn should_announce(&self, held: usize) -> bool {
        let room = self.limit.saturating_sub(held);
        self.advertised < self.limit / 2 && room >= self.advertised + self.limit / 4
    }

    /// Returns the window for a SACK, when `held` bytes are unread or unfinished, of which the
    /// application could read `readable`.
    pub(crate) fn advertise(
        &mut self,
        now: Instant,
        held: usize,
        readable: usize,
        round_trip: Duration,
    ) -> u32 {
        // Full of unfinished messages, it would stay full for ever.
        if held >= self.limit / 2 && readable == 0 {
            self.limit = (self.limit * 2).min(self.max);
        }
        if self.read >= self.limit {
            if now.saturating_duration_since(self.since) < round_trip * 2 {
                self.limit = (self.limit * 2).min(self.max);
            }
            self.read = 0;
            self.since = now;
        }
        self.advertised = self.limit.saturating_sub(held);
        u32::try_from(self.advertised).unwrap_or(u32::MAX)
    }

    /// A path changed: what was learnt about its round trip is void, the memory stays granted.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.read = 0;
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_only_when_it_holds_the_sender_back() {
        let start = crate::test_time();
        let round_trip = Duration::from_millis(50);
        let mut window = Window::new(1000, 4000, start);
        window.on_read(1000);
        assert_eq!(window.advertise(start + Duration::from_millis(200), 100, 100, round_trip), 900);
        window.on_read(1000);
        assert_eq!(window.advertise(start + Duration::from_millis(250), 0, 0, round_trip), 2000);
        assert!(!window.should_announce(1500));
        window.advertise(start + Duration::from_millis(250), 1900, 1, round_trip);
        assert!(window.should_announce(0));
    }
}
