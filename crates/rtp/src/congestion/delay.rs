//! The standing queue on a path: how much later packets arrive than the fastest ones did.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time for which the least delay holds. Clocks drift by less than a millisecond in it.
const BASE_WINDOW: Duration = Duration::from_secs(10);
/// The parts into which it is cut.
const BASE_PARTS: u32 = 10;
/// The time in which a queue that stands does not empty once.
const STANDING_WINDOW: Duration = Duration::from_millis(120);
/// The packets that tell of it at least, and the time that they may take: where few packets are
/// sent, the delay of one says little.
const STANDING_PACKETS: usize = 4;
const LONG_STANDING: Duration = Duration::from_millis(600);
/// The time without reports after which the last ones say nothing any more.
const SILENT: Duration = Duration::from_millis(600);
/// Packets in that time at most.
const MAX_RECENT: usize = 1024;

/// Delays of one clock, in seconds, each but for the same unknown constant.
#[derive(Debug, Default)]
pub(super) struct DelayTracker {
    /// The least delay in each part of the window, the newest last.
    parts: VecDeque<(Instant, f64)>,
    /// Delays of the last while, ascending: those that a later smaller one has made pointless are
    /// gone.
    recent: VecDeque<(Instant, f64)>,
    /// When the last packets were reported, the newest last.
    reported: [Option<Instant>; STANDING_PACKETS],
}

impl DelayTracker {
    /// Takes the delay of a packet that was reported now. Returns the part of it that a queue
    /// added.
    pub(super) fn handle(&mut self, now: Instant, delay: f64) -> f64 {
        let part = BASE_WINDOW / BASE_PARTS;
        match self.parts.back_mut() {
            Some((since, least)) if now.saturating_duration_since(*since) < part => *least = least.min(delay),
            _ => {
                self.parts.push_back((now, delay));
                if self.parts.len() > BASE_PARTS as usize {
                    self.parts.pop_front();
                }
            }
        }
        while self.recent.back().is_some_and(|(_, other)| *other >= delay) {
            self.recent.pop_back();
        }
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((now, delay));
        self.reported.rotate_left(1);
        self.reported[STANDING_PACKETS - 1] = Some(now);
        let packets = self.reported[0].map_or(LONG_STANDING, |at| now.saturating_duration_since(at));
        let window = STANDING_WINDOW.max(packets.min(LONG_STANDING));
        while self.recent.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > window) {
            self.recent.pop_front();
        }
        delay - self.base()
    }

    /// The least delay of the window.
    fn base(&self) -> f64 {
        self.parts.iter().map(|(_, least)| *least).fold(f64::INFINITY, f64::min)
    }

    /// Returns the delay that the queue adds to every packet, in seconds; `None` where nothing was
    /// reported for long.
    pub(super) fn standing(&self, now: Instant) -> Option<f64> {
        self.recent.back().filter(|(at, _)| now.saturating_duration_since(*at) <= SILENT)?;
        self.recent.front().map(|(_, delay)| (delay - self.base()).max(0.0))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Bytes that arrived, by the time of arrival, of one clock.
#[derive(Debug, Default)]
pub(super) struct DeliveryRate {
    arrivals: VecDeque<(Duration, usize)>,
    bytes: usize,
    /// The time of the last report.
    reported: Option<Instant>,
    /// The first of the packets that have all come out of a queue, and the bytes of those after it.
    busy: Option<(Duration, usize)>,
}

impl DeliveryRate {
    /// The time over which it is measured, and the packets in it at most.
    const WINDOW: Duration = Duration::from_millis(300);
    const MAX_PACKETS: usize = 8192;

    /// Takes a packet that was reported now, and whether it has come out of a queue.
    pub(super) fn handle(&mut self, now: Instant, arrival: Duration, bytes: usize, queued: bool) {
        self.reported = Some(now);
        self.busy = match self.busy.filter(|_| queued) {
            Some((since, more)) => Some((since, more + bytes)),
            None => queued.then_some((arrival, 0)),
        };
        self.arrivals.push_back((arrival, bytes));
        self.bytes += bytes;
        while let Some((first, bytes)) = self.arrivals.front().copied().filter(|(first, _)| {
            arrival.saturating_sub(*first) > Self::WINDOW || self.arrivals.len() > Self::MAX_PACKETS
        }) {
            let _ = first;
            self.bytes -= bytes;
            self.arrivals.pop_front();
        }
    }

    /// Returns bits per second; `None` while too little has arrived to tell.
    pub(super) fn bits_per_second(&self, now: Instant) -> Option<f64> {
        self.reported.filter(|at| now.saturating_duration_since(*at) <= SILENT)?;
        let (first, last) = (self.arrivals.front()?, self.arrivals.back()?);
        let passed = last.0.saturating_sub(first.0);
        if passed < Self::WINDOW / 4 || self.arrivals.len() < 4 {
            return None;
        }
        // The first packet begins the time that is measured.
        Some(8.0 * (self.bytes - first.1) as f64 / passed.as_secs_f64())
    }

    /// Returns bits per second while there was a queue: all that the path carries. A quiet moment
    /// before it is no part of the measure.
    pub(super) fn busy_bits_per_second(&self, now: Instant) -> Option<f64> {
        let whole = self.bits_per_second(now)?;
        let passed = self.busy.zip(self.arrivals.back());
        let of_queue = passed.and_then(|((since, bytes), (last, _))| {
            let passed = last.saturating_sub(since);
            let tells = passed >= Self::WINDOW / 4 && passed <= Self::WINDOW;
            tells.then(|| 8.0 * bytes as f64 / passed.as_secs_f64())
        });
        Some(of_queue.map_or(whole, |rate| rate.max(whole)))
    }

    pub(super) fn clear(&mut self) {
        self.arrivals.clear();
        (self.bytes, self.reported, self.busy) = (0, None, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_no_queue_and_a_queue_is() {
        let start = crate::test_time();
        let mut tracker = DelayTracker::default();
        let at = |index: u64| start + Duration::from_millis(10 * index);
        for index in 0..1000 {
            let jitter = (index * 7919 % 30) as f64 / 1000.0;
            tracker.handle(at(index), 100.0 + jitter);
            assert!(index < 50 || tracker.standing(at(index)).unwrap() < 0.02);
        }
        for index in 1000..1100 {
            let jitter = (index * 7919 % 30) as f64 / 1000.0;
            tracker.handle(at(index), 100.05 + jitter);
        }
        assert!((0.049..0.07).contains(&tracker.standing(at(1099)).unwrap()));
        assert_eq!(tracker.standing(at(1200)), None);
        // A longer way is the base after a while.
        for index in 1100..2300 {
            tracker.handle(at(index), 100.05);
        }
        assert!(tracker.standing(at(2299)).unwrap() < 0.001);
    }

    #[test]
    fn rates_are_measured_by_arrivals() {
        let start = crate::test_time();
        let mut rate = DeliveryRate::default();
        assert_eq!(rate.bits_per_second(start), None);
        for index in 0..1000 {
            rate.handle(start, Duration::from_millis(10 * index), 1250, false);
        }
        let measured = rate.bits_per_second(start).unwrap();
        assert!((measured - 1e6).abs() < 1.0, "{measured}");
        assert_eq!(rate.busy_bits_per_second(start), Some(measured));
        // What has ended is not delivered any more.
        assert_eq!(rate.bits_per_second(start + SILENT * 2), None);
    }

    #[test]
    fn the_rate_of_a_queue_has_no_part_in_the_quiet_before_it() {
        let start = crate::test_time();
        let mut rate = DeliveryRate::default();
        for index in 0..20 {
            rate.handle(start, Duration::from_millis(20 * index), 125, false);
        }
        for index in 1..=15 {
            rate.handle(start, Duration::from_millis(380 + 10 * index), 1250, true);
        }
        let whole = rate.bits_per_second(start).unwrap();
        let busy = rate.busy_bits_per_second(start).unwrap();
        assert!(whole < 0.6e6 && (busy - 1e6).abs() < 1.0, "{whole} {busy}");
        // One that finds no queue ends it.
        rate.handle(start, Duration::from_millis(540), 1250, false);
        assert_eq!(rate.busy_bits_per_second(start), rate.bits_per_second(start));
    }
}
