//! The estimator of the first version: standing queue, delivered rate, remembered capacity.

use std::time::{Duration, Instant};

use super::delay::{DelayTracker, DeliveryRate};
use super::episode::Episode;
use super::{ArrivalClock, Estimator, PacketResult};

/// The bounds of an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EstimatorLimits {
    /// The bits per second to begin with.
    pub start: u64,
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

impl Default for EstimatorLimits {
    fn default() -> Self {
        Self { start: 300_000, min: 30_000, max: 2_000_000_000 }
    }
}

/// A queue that stands longer than this is too long: the rate goes down.
const LONG_QUEUE: f64 = 0.025;
/// Below this there is none: the rate goes up. The grain of timers and feedback hides less.
const SHORT_QUEUE: f64 = 0.010;
/// The part of the delivered rate at which a queue empties.
const DRAIN: f64 = 0.80;
/// The part of the capacity at which no queue grows.
const CRUISE: f64 = 0.96;
/// The growth per second near the remembered capacity, and far from it.
const SLOW_GROWTH: f64 = 0.04;
const FAST_GROWTH: f64 = 0.60;
/// The time without a queue after which growth doubles.
const QUIET: Duration = Duration::from_secs(2);
/// The estimate stays within this multiple of what is delivered, and a little: what was not tried
/// is not known.
const UNTRIED: f64 = 1.5;
const UNTRIED_MORE: f64 = 100_000.0;
/// The part of what is sent that is lost, smoothed, from which losses are taken for congestion: a
/// tenth, lost at random, does not swing up to it.
const HEAVY_LOSS: f64 = 0.15;
/// The packets over which it is smoothed.
const LOSS_PACKETS: f64 = 200.0;
/// The least time between two decreases for losses, which the smoothed part shows late.
const LOSS_WAIT: Duration = Duration::from_millis(500);
/// The time without feedback after which the rate is halved.
const SILENCE: Duration = Duration::from_secs(1);
/// The round trip before it is known.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Doubling until a queue shows.
    Start,
    /// A queue empties.
    Drain,
    /// Growing, slowly near the remembered capacity.
    Grow,
}

/// Knowledge of a path, which a delay that is no queue does not change.
#[derive(Clone, Copy, Debug)]
struct Known {
    rate: f64,
    capacity: Option<f64>,
}

/// Estimates a path's capacity by the delay that its queue adds.
///
/// While the application sends less than it may, the path's capacity does not show: the estimate
/// then stays near what is delivered, and does not fall.
#[derive(Debug)]
pub struct DelayEstimator {
    limits: EstimatorLimits,
    rate: f64,
    phase: Phase,
    capacity: Option<f64>,
    delays: [DelayTracker; 2],
    delivered: [DeliveryRate; 2],
    /// The first packet's time, from which delays are counted.
    epoch: Option<Instant>,
    round_trip: Duration,
    last_feedback: Option<Instant>,
    last_decrease: Option<Instant>,
    quiet_since: Option<Instant>,
    /// The queue that stands, and what was known before it.
    episode: Option<(Episode, Known)>,
    loss: f64,
    /// The time of the first packet since the last feedback: without one silence means nothing.
    unanswered: Option<Instant>,
    sent: SentRate,
}

/// Bytes sent in the last while.
#[derive(Clone, Copy, Debug, Default)]
struct SentRate {
    since: Option<Instant>,
    bytes: usize,
    bits_per_second: Option<f64>,
}

impl SentRate {
    const WINDOW: Duration = Duration::from_millis(500);

    fn handle(&mut self, now: Instant, bytes: usize) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= Self::WINDOW {
            self.bits_per_second = Some(8.0 * self.bytes as f64 / passed.as_secs_f64());
            (self.since, self.bytes) = (Some(now), 0);
        }
        self.bytes += bytes;
    }
}

impl DelayEstimator {
    /// Returns the estimator of a path of which nothing is known.
    #[must_use]
    pub fn new(limits: EstimatorLimits) -> Self {
        Self {
            limits,
            rate: limits.start as f64,
            phase: Phase::Start,
            capacity: None,
            delays: Default::default(),
            delivered: Default::default(),
            epoch: None,
            round_trip: FIRST_ROUND_TRIP,
            last_feedback: None,
            last_decrease: None,
            quiet_since: None,
            episode: None,
            loss: 0.0,
            unanswered: None,
            sent: SentRate::default(),
        }
    }

    /// Returns the delay that the queue adds to every packet.
    #[must_use]
    pub fn standing_queue(&self, now: Instant) -> Duration {
        Duration::from_secs_f64(self.queue(now))
    }

    /// Returns the bits per second that were sent or delivered in the last while.
    #[must_use]
    pub fn used_bits_per_second(&self, now: Instant) -> u64 {
        let delivered = self.delivered_rate(now).unwrap_or(0.0);
        self.sent.bits_per_second.unwrap_or(0.0).max(delivered) as u64
    }

    /// Returns the part of packets that are lost, smoothed.
    #[must_use]
    pub const fn loss(&self) -> f64 {
        self.loss
    }

    fn queue(&self, now: Instant) -> f64 {
        // Acknowledgements wait for company, and for their own way back: they only count where the
        // receiver's clock is not known.
        let [receiver, acknowledged] = &self.delays;
        receiver.standing(now).or_else(|| acknowledged.standing(now)).unwrap_or(0.0)
    }

    fn delivered_rate(&self, now: Instant) -> Option<f64> {
        let rates = self.delivered.iter().filter_map(|one| one.bits_per_second(now));
        rates.reduce(|one, other| one + other)
    }

    /// Returns the rate delivered while there is a queue: all that the path carries.
    fn busy_rate(&self, now: Instant) -> Option<f64> {
        let rates = self.delivered.iter().filter_map(|one| one.busy_bits_per_second(now));
        rates.reduce(|one, other| one + other)
    }

    fn update(&mut self, now: Instant) {
        let passed = self.last_feedback.map_or(Duration::ZERO, |last| now.saturating_duration_since(last));
        self.last_feedback = Some(now);
        let passed = passed.as_secs_f64().min(0.2);
        let queue = self.queue(now);
        // What comes all at once has no rate. Without a queue it came as it was sent.
        let sent = self.sent.bits_per_second.filter(|_| queue <= SHORT_QUEUE);
        let Some(delivered) = self.delivered_rate(now).or(sent) else { return };
        if queue > LONG_QUEUE {
            self.decrease(now, self.busy_rate(now).unwrap_or(delivered), queue);
        } else if self.loss > HEAVY_LOSS {
            self.decrease(now, delivered, queue);
        } else if queue > SHORT_QUEUE {
            self.quiet_since = None;
            if self.phase == Phase::Start {
                // The queue has begun to grow: what is delivered is what the path carries.
                self.begin_episode(queue);
                (self.phase, self.capacity) = (Phase::Drain, Some(delivered));
                self.rate = self.rate.min(delivered);
            }
        } else {
            self.increase(now, passed, delivered);
        }
        self.rate = self.rate.clamp(self.limits.min as f64, self.limits.max as f64);
    }

    fn begin_episode(&mut self, queue: f64) {
        if self.episode.is_none() {
            let known = Known { rate: self.rate, capacity: self.capacity };
            self.episode = Some((Episode::new(queue), known));
        }
    }

    fn decrease(&mut self, now: Instant, delivered: f64, queue: f64) {
        self.quiet_since = None;
        let is_long = queue > LONG_QUEUE;
        if is_long {
            let since = self.last_decrease.map(|last| now.saturating_duration_since(last));
            if let Some((episode, _)) = &mut self.episode
                && self.phase == Phase::Drain
                && !episode.takes_decrease(queue, since)
            {
                return;
            }
            self.begin_episode(queue);
        }
        let wait = self.round_trip + if is_long { Duration::from_millis(50) } else { LOSS_WAIT };
        let waits = self.last_decrease.is_some_and(|last| now.saturating_duration_since(last) < wait);
        if waits && (self.rate <= delivered || !is_long) {
            return;
        }
        self.last_decrease = Some(now);
        self.capacity = Some(match self.capacity {
            // Near the last one it is an average, because what is delivered swings.
            Some(capacity) if (0.85..1.15).contains(&(delivered / capacity)) => {
                0.7 * capacity + 0.3 * delivered
            }
            _ => delivered,
        });
        let factor = if is_long { DRAIN } else { 1.0 - self.loss / 2.0 };
        self.rate = self.rate.min(factor * delivered);
        self.phase = Phase::Drain;
    }

    fn increase(&mut self, now: Instant, passed: f64, delivered: f64) {
        let quiet = *self.quiet_since.get_or_insert(now);
        let episode = self.episode.take();
        let drained = self.phase == Phase::Drain;
        if drained {
            self.phase = Phase::Grow;
        }
        if let Some((_, known)) = episode.filter(|(episode, _)| episode.is_too_fast()) {
            // It has emptied faster than the path carries: it was no queue.
            self.rate = self.rate.max(known.rate);
            self.capacity = known.capacity;
            return;
        }
        if drained {
            self.rate = self.rate.max(CRUISE * self.capacity.unwrap_or(delivered));
            return;
        }
        // An application that sends less than it may says nothing about the path.
        let used = self.sent.bits_per_second.unwrap_or(delivered).max(delivered);
        let most = UNTRIED * used + UNTRIED_MORE;
        let growth = match (self.phase, self.capacity) {
            (Phase::Start, _) => 2_f64.powf(passed / (self.round_trip.as_secs_f64() + 0.1)) - 1.0,
            (_, Some(capacity)) if self.rate < CRUISE * capacity => FAST_GROWTH * passed,
            _ => {
                let doublings = now.saturating_duration_since(quiet).as_secs_f64() / QUIET.as_secs_f64();
                (SLOW_GROWTH * 2_f64.powf(doublings)).min(FAST_GROWTH) * passed
            }
        };
        if self.rate < most {
            self.rate = (self.rate * (1.0 + growth)).min(most);
        }
        if self.capacity.is_some_and(|capacity| self.rate > 1.2 * capacity) {
            self.capacity = None;
        }
    }
}

impl Estimator for DelayEstimator {
    fn handle_sent(&mut self, now: Instant, bytes: usize) {
        self.sent.handle(now, bytes);
        self.unanswered.get_or_insert(now);
    }

    fn handle_feedback(&mut self, now: Instant, clock: ArrivalClock, results: &[PacketResult]) {
        if results.is_empty() {
            return;
        }
        self.unanswered = None;
        let index = clock as usize;
        let (mut lost, mut total) = (0, 0);
        for result in results {
            total += result.bytes;
            let Some(arrival) = result.arrival else {
                lost += result.bytes;
                continue;
            };
            let epoch = *self.epoch.get_or_insert(result.sent);
            let sent = match result.sent.checked_duration_since(epoch) {
                Some(after) => after.as_secs_f64(),
                None => -epoch.duration_since(result.sent).as_secs_f64(),
            };
            let queue = self.delays[index].handle(now, arrival.as_secs_f64() - sent);
            self.delivered[index].handle(now, arrival, result.bytes, queue > SHORT_QUEUE);
            if let (Some((episode, _)), ArrivalClock::Receiver) = (&mut self.episode, clock) {
                let capacity = self.capacity.unwrap_or(self.rate);
                episode.handle_arrival(arrival, result.bytes, queue, capacity);
            }
            lost += if result.marked { result.bytes } else { 0 };
        }
        // A report of few packets counts for little.
        let weight = (results.len() as f64 / LOSS_PACKETS).min(0.5);
        self.loss += weight * (lost as f64 / total.max(1) as f64 - self.loss);
        self.update(now);
    }

    fn handle_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip.clamp(Duration::from_millis(1), Duration::from_secs(2));
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_some_and(|deadline| deadline <= now) {
            // Nothing that was sent is answered: the path may be cut, or the receiver waits for its
            // processor, and tells later that all has come.
            self.begin_episode(0.0);
            self.rate = (self.rate / 2.0).max(self.limits.min as f64);
            self.unanswered = Some(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.unanswered.map(|since| since + SILENCE.max(3 * self.round_trip))
    }

    fn handle_path_change(&mut self, _now: Instant) {
        self.delays.iter_mut().for_each(DelayTracker::clear);
        self.delivered.iter_mut().for_each(DeliveryRate::clear);
        let start = self.rate.min(4.0 * self.limits.start as f64).max(self.limits.min as f64);
        let (limits, sent) = (self.limits, self.sent);
        *self = Self { rate: start, sent, ..Self::new(limits) };
    }

    fn bits_per_second(&self) -> u64 {
        self.rate as u64
    }
}
