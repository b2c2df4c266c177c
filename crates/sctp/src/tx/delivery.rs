//! The rate at which data arrives: delivery rate by marks on each chunk
//! (draft-cheng-iccrg-delivery-rate-estimation), and rounds counted by what was delivered.

use std::time::{Duration, Instant};

use super::congestion::RateSample;

/// The state at the moment at which a chunk was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    /// Bytes that had been delivered by then.
    delivered: u64,
    /// Bytes that had been lost by then.
    lost: u64,
    /// Nanoseconds since the last delivery; at most [`u32::MAX`], more makes no difference.
    since_delivery: u32,
    /// Nanoseconds since the first sending of the interval in which it was sent.
    since_first: u32,
    /// Bytes in flight, this chunk included.
    in_flight: u32,
    /// There was not enough to send to fill the path.
    app_limited: bool,
    /// The controller was sending less than the path bears: what was lost then, was not lost by our
    /// fault.
    pub(crate) quiet: bool,
}

/// The bytes delivered and lost.
#[derive(Debug)]
pub(crate) struct Delivery {
    delivered: u64,
    lost: u64,
    /// When the path changed: what was sent before tells nothing of it.
    path_since: Instant,
    delivered_at: Instant,
    first_sent: Instant,
    /// Until so much is delivered, samples say how much there was to send rather than what the path
    /// bears.
    app_limited_until: u64,
    /// The round ends when something is acknowledged that was sent after so much had been
    /// delivered.
    next_round: u64,
}

impl Delivery {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            delivered: 0,
            lost: 0,
            path_since: now,
            delivered_at: now,
            first_sent: now,
            app_limited_until: 0,
            next_round: 0,
        }
    }

    /// Another path. The counts go on, because chunks in flight refer to them.
    pub(crate) fn change_path(&mut self, now: Instant) {
        *self =
            Self { delivered: self.delivered, lost: self.lost, next_round: self.delivered, ..Self::new(now) };
    }

    /// Marks a chunk of `length` bytes that goes out while `in_flight` bytes are on the way.
    #[inline]
    pub(crate) fn mark(&mut self, now: Instant, in_flight: usize, length: usize, quiet: bool) -> Marks {
        if in_flight == 0 {
            self.first_sent = now;
            self.delivered_at = now;
        }
        Marks {
            delivered: self.delivered,
            lost: self.lost,
            since_delivery: nanoseconds(now.saturating_duration_since(self.delivered_at)),
            since_first: nanoseconds(now.saturating_duration_since(self.first_sent)),
            in_flight: u32::try_from(in_flight + length).unwrap_or(u32::MAX),
            app_limited: self.app_limited_until > 0,
            quiet,
        }
    }

    /// There is nothing more to send, though there could be more in flight.
    pub(crate) fn note_app_limited(&mut self, in_flight: usize) {
        self.app_limited_until = (self.delivered + in_flight as u64).max(1);
    }

    pub(crate) fn on_lost(&mut self, bytes: usize) {
        self.lost += bytes as u64;
    }

    /// Bytes have arrived.
    pub(crate) fn on_acked(&mut self, now: Instant, bytes: usize) {
        self.delivered += bytes as u64;
        self.delivered_at = now;
        if self.app_limited_until > 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
    }

    /// Since a chunk that was sent at `sent_at`, until the last delivery; `None` if it was sent on
    /// another path.
    pub(crate) fn sample(&mut self, now: Instant, sent_at: Instant, marks: &Marks) -> Option<RateSample> {
        if sent_at < self.path_since {
            return None;
        }
        self.first_sent = self.first_sent.max(sent_at);
        let send_elapsed = Duration::from_nanos(marks.since_first.into());
        let ack_elapsed =
            now.saturating_duration_since(sent_at) + Duration::from_nanos(marks.since_delivery.into());
        let round_start = marks.delivered >= self.next_round;
        if round_start {
            self.next_round = self.delivered;
        }
        Some(RateSample {
            prior_delivered: marks.delivered,
            total_delivered: self.delivered,
            interval: send_elapsed.max(ack_elapsed),
            app_limited: marks.app_limited,
            in_flight_then: marks.in_flight as usize,
            lost_since: self.lost.saturating_sub(marks.lost) as usize,
            round_start,
        })
    }

    /// The loss of a chunk, counted with all that was lost since it was sent: bytes in flight then,
    /// and bytes lost since.
    pub(crate) fn lost_since(&self, marks: &Marks) -> (usize, usize, bool) {
        (marks.in_flight as usize, self.lost.saturating_sub(marks.lost) as usize, marks.app_limited)
    }
}

fn nanoseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_thousand_bytes_a_millisecond_is_measured_as_such() {
        let start = crate::test_time();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut delivery = Delivery::new(start);
        // Ten at once, which the path spreads.
        let marks: Vec<Marks> = (0..10).map(|n| delivery.mark(start, n * 1000, 1000, false)).collect();
        let mut rate = 0.0f64;
        for (n, mark) in marks.iter().enumerate() {
            delivery.on_acked(at(20 + n as u64), 1000);
            let sample = delivery.sample(at(20 + n as u64), start, mark).expect("one path");
            assert_eq!(sample.round_start, n == 0);
            rate = rate.max(sample.rate().unwrap_or(0.0));
        }
        // The first round trip includes the way there.
        assert!((300_000.0..=400_000.0).contains(&rate), "{rate}");
        let mark = delivery.mark(at(29), 0, 1000, false);
        let later = delivery.mark(at(30), 1000, 1000, false);
        delivery.on_acked(at(49), 1000);
        assert!(delivery.sample(at(49), at(29), &mark).expect("one path").round_start);
        delivery.on_acked(at(50), 1000);
        let sample = delivery.sample(at(50), at(30), &later).expect("one path");
        assert_eq!((sample.interval, sample.in_flight_then), (Duration::from_millis(21), 2000));
        delivery.change_path(at(60));
        assert!(delivery.sample(at(61), at(30), &later).is_none());
    }

    #[test]
    fn what_is_sent_for_want_of_data_is_known_until_it_has_arrived() {
        let start = crate::test_time();
        let mut delivery = Delivery::new(start);
        let first = delivery.mark(start, 0, 1000, false);
        delivery.note_app_limited(1000);
        let second = delivery.mark(start, 1000, 1000, false);
        delivery.on_acked(start, 1000);
        assert!(!delivery.sample(start, start, &first).expect("one path").app_limited);
        delivery.on_acked(start, 1000);
        assert!(delivery.sample(start, start, &second).expect("one path").app_limited);
        assert!(!delivery.mark(start, 0, 1000, false).app_limited);
    }
}
