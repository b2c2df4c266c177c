//! Missing packets, and when to ask for them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::numbers::SequenceNumber;

/// The bounds of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NackLimits {
    /// The wait before the first request, in case that packets only change places.
    pub reordering: Duration,
    /// The number of requests for one packet.
    pub max_requests: u8,
    /// The age at which a missing packet is given up.
    pub max_age: Duration,
}

impl Default for NackLimits {
    fn default() -> Self {
        Self { reordering: Duration::from_millis(5), max_requests: 10, max_age: Duration::from_secs(1) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    number: u64,
    since: Instant,
    requests: u8,
    next: Instant,
}

/// The missing packets of one stream, by their extended numbers.
#[derive(Debug)]
pub struct NackGenerator {
    limits: NackLimits,
    missing: VecDeque<Missing>,
    highest: Option<u64>,
    given_up: u64,
}

impl NackGenerator {
    /// Missing packets at most; with more, the oldest are given up, and a key frame is the better
    /// repair.
    pub const MAX_MISSING: usize = 1000;

    /// The least time between two requests for a packet.
    const LEAST_WAIT: Duration = Duration::from_millis(20);

    /// Returns a generator that knows of no packet.
    #[must_use]
    pub fn new(limits: NackLimits) -> Self {
        Self { limits, missing: VecDeque::with_capacity(Self::MAX_MISSING), highest: None, given_up: 0 }
    }

    /// Returns the number of packets that were given up.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Takes the number of a packet that has arrived, also as a retransmission. Returns false if
    /// there is a gap that is too large to be asked for.
    pub fn handle_packet(&mut self, now: Instant, number: u64) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(number);
            return true;
        };
        if number <= highest {
            if let Ok(at) = self.missing.binary_search_by_key(&number, |missing| missing.number) {
                self.missing.remove(at);
            }
            return true;
        }
        self.highest = Some(number);
        let gap = number - highest - 1;
        if gap > Self::MAX_MISSING as u64 {
            self.given_up += gap + self.missing.len() as u64;
            self.missing.clear();
            return false;
        }
        let mut whole = true;
        for number in highest + 1..number {
            if self.missing.len() == Self::MAX_MISSING {
                self.missing.pop_front();
                self.given_up += 1;
                whole = false;
            }
            let next = now + self.limits.reordering;
            self.missing.push_back(Missing { number, since: now, requests: 0, next });
        }
        whole
    }

    /// Writes the numbers to ask for now into `out`, which is cleared first, in ascending order;
    /// they count as asked for. Returns the highest number that is given up from now on.
    pub fn poll(&mut self, now: Instant, round_trip: Duration, out: &mut Vec<SequenceNumber>) -> Option<u64> {
        out.clear();
        let limits = self.limits;
        let mut lost = None;
        let count = self.missing.len();
        self.missing.retain_mut(|missing| {
            // At the very deadline it is old: otherwise the deadline would stay, with nothing to
            // do.
            let old = now.saturating_duration_since(missing.since) >= limits.max_age;
            if missing.next > now && !old {
                return true;
            }
            if old || missing.requests >= limits.max_requests {
                lost = Some(missing.number);
                return false;
            }
            missing.requests += 1;
            // An answer takes a round trip, and the second request may be lost for the same reason.
            let wait = round_trip.max(Self::LEAST_WAIT).mul_f64(1.0 + f64::from(missing.requests) * 0.25);
            missing.next = now + wait;
            out.push(SequenceNumber((missing.number & 0xFFFF) as u16));
            true
        });
        self.given_up += (count - self.missing.len()) as u64;
        lost
    }

    /// Returns when [`poll`](Self::poll) has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let due = |missing: &Missing| missing.next.min(missing.since + self.limits.max_age);
        self.missing.iter().map(due).min()
    }

    /// Forgets all packets up to a number: nothing before it is needed.
    pub fn forget_until(&mut self, number: u64) {
        while self.missing.front().is_some_and(|missing| missing.number <= number) {
            self.missing.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A long round trip puts the next request behind the end of a packet's age, which is a
    /// deadline, too.
    #[test]
    fn nothing_stays_due() {
        let mut nack = NackGenerator::new(NackLimits::default());
        let (mut now, mut out) = (crate::test_time(), Vec::new());
        assert!(nack.handle_packet(now, 1) && nack.handle_packet(now, 4));
        let mut deadlines = 0;
        while let Some(due) = nack.poll_timeout() {
            assert!(due >= now);
            now = due;
            nack.poll(now, Duration::from_millis(700), &mut out);
            assert!(nack.poll_timeout().is_none_or(|next| next > now), "nothing is left to do at {due:?}");
            deadlines += 1;
        }
        assert_eq!((deadlines, nack.given_up()), (3, 2));
    }

    const RTT: Duration = Duration::from_millis(100);

    #[test]
    fn packets_are_asked_for_by_the_round_trip_and_given_up() {
        let start = crate::test_time();
        let mut nack = NackGenerator::new(NackLimits { max_requests: 3, ..NackLimits::default() });
        let mut out = Vec::new();
        for number in [65_534, 65_535, 65_539] {
            assert!(nack.handle_packet(start, number));
        }
        nack.handle_packet(start + Duration::from_millis(2), 65_537);
        let mut asked = Vec::new();
        let mut lost = None;
        for millis in 0..1000 {
            lost = lost.max(nack.poll(start + Duration::from_millis(millis), RTT, &mut out));
            asked.extend(out.iter().map(|number| (millis, number.0)));
        }
        assert_eq!(asked, [(5, 0), (5, 2), (130, 0), (130, 2), (280, 0), (280, 2)]);
        assert_eq!((lost, nack.given_up(), nack.poll_timeout()), (Some(65_538), 2, None));
    }

    #[test]
    fn giant_gaps_are_not_asked_for() {
        let start = crate::test_time();
        let mut nack = NackGenerator::new(NackLimits::default());
        let mut out = Vec::new();
        assert!(nack.handle_packet(start, 5) && !nack.handle_packet(start, 40_000));
        nack.poll(start + RTT, RTT, &mut out);
        assert!(out.is_empty() && nack.poll_timeout().is_none());
        for number in 0..5000 {
            nack.handle_packet(start, 40_002 + 2 * number);
        }
        assert!(nack.missing.len() <= NackGenerator::MAX_MISSING);
        nack.forget_until(60_000);
        assert!(nack.missing.is_empty());
    }

    /// With half of all packets lost a packet is asked for at most as often as the limit says.
    #[test]
    fn requests_are_no_storm() {
        let start = crate::test_time();
        let limits = NackLimits::default();
        let mut nack = NackGenerator::new(limits);
        let (mut out, mut asked) = (Vec::new(), 0);
        for number in 0..10_000_u64 {
            let now = start + Duration::from_millis(2 * number);
            if number % 2 == 0 {
                nack.handle_packet(now, number);
            }
            nack.poll(now, RTT, &mut out);
            asked += out.len();
        }
        // In a second an answer can be waited for six times.
        assert!(asked <= 5000 * 6, "{asked}");
    }
}
