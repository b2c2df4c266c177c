//! Requests for key frames, on both sides.

use std::time::{Duration, Instant};

/// Asks for a key frame until one comes, and not more often than it can help.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyFrameRequester {
    wanted: bool,
    attempts: u32,
    next: Option<Instant>,
}

impl KeyFrameRequester {
    /// The least time between two requests.
    const LEAST_WAIT: Duration = Duration::from_millis(200);
    /// The most; a sender that does not answer is not asked more often.
    const MOST_WAIT: Duration = Duration::from_secs(3);

    /// A key frame is needed.
    pub fn request(&mut self) {
        self.wanted = true;
    }

    /// A key frame has come.
    pub fn fulfilled(&mut self) {
        (self.wanted, self.attempts) = (false, 0);
    }

    /// Returns true if a request is to be sent now; it counts as sent. The wait after it is two
    /// round trips, doubled with each attempt.
    pub fn poll(&mut self, now: Instant, round_trip: Duration) -> bool {
        if !self.wanted || self.next.is_some_and(|next| now < next) {
            return false;
        }
        let wait = (2 * round_trip).max(Self::LEAST_WAIT) * (1 << self.attempts.min(4));
        self.attempts += 1;
        self.next = Some(now + wait.min(Self::MOST_WAIT));
        true
    }

    /// Returns when [`poll`](Self::poll) will give a request; in the past if now.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.wanted.then(|| self.next.unwrap_or(now))
    }
}

/// Passes requests on to an encoder, at most one in a while; those between are answered by one key
/// frame at its end.
#[derive(Clone, Copy, Debug)]
pub struct KeyFrameLimiter {
    interval: Duration,
    last: Option<Instant>,
    waiting: bool,
    /// The numbers of the last full intra requests of two senders, which repeat until answered.
    last_number: Option<u8>,
}

impl KeyFrameLimiter {
    /// Returns a limiter that passes one request in each interval.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self { interval, last: None, waiting: false, last_number: None }
    }

    /// Takes a picture loss indication.
    pub fn picture_loss(&mut self) {
        self.waiting = true;
    }

    /// Takes a full intra request; one with the number of the last is a repetition (RFC 5104
    /// §4.3.1.2).
    pub fn full_intra(&mut self, number: u8) {
        if self.last_number != Some(number) {
            (self.last_number, self.waiting) = (Some(number), true);
        }
    }

    /// Returns true if the encoder is to make a key frame now; it counts as made.
    pub fn poll(&mut self, now: Instant) -> bool {
        let due = self.waiting && self.poll_timeout(now).is_some_and(|at| at <= now);
        if due {
            (self.waiting, self.last) = (false, Some(now));
        }
        due
    }

    /// Returns when [`poll`](Self::poll) will ask for a key frame; in the past if now.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.waiting.then(|| self.last.map_or(now, |last| last + self.interval))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_slow_down_and_end() {
        let start = crate::test_time();
        let mut requester = KeyFrameRequester::default();
        let mut sent = Vec::new();
        requester.request();
        for millis in 0..10_000 {
            requester.request();
            if requester.poll(start + Duration::from_millis(millis), Duration::from_millis(150)) {
                sent.push(millis);
            }
        }
        assert_eq!(sent, [0, 300, 900, 2100, 4500, 7500]);
        requester.fulfilled();
        assert!(!requester.poll(start + Duration::from_secs(60), Duration::ZERO));
        assert_eq!(requester.poll_timeout(start), None);
    }

    #[test]
    fn storms_of_requests_make_few_key_frames() {
        let start = crate::test_time();
        let mut limiter = KeyFrameLimiter::new(Duration::from_millis(500));
        let made = (0..10_000_u64)
            .filter(|millis| {
                if millis % 2 == 0 {
                    limiter.picture_loss()
                } else {
                    limiter.full_intra(*millis as u8)
                }
                limiter.poll(start + Duration::from_millis(*millis))
            })
            .count();
        assert_eq!(made, 20);
        let mut limiter = KeyFrameLimiter::new(Duration::ZERO);
        limiter.full_intra(3);
        assert!(limiter.poll(start));
        limiter.full_intra(3);
        assert!(!limiter.poll(start));
    }
}
