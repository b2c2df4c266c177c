//! A queue that stands: whether it follows the rate, and how fast it empties.

use std::time::Duration;

/// The time by which jitter makes packets that come out of a queue arrive closer together.
const JITTER: f64 = 0.020;
/// A queue empties at what the path carries, give or take.
const TOO_FAST: f64 = 1.5;

/// One queue, from the first decrease for it to its end.
///
/// Between two packets out of a queue lies the time that the path takes for what was sent between
/// them. Where they come much faster, the delay was none of the path: a program that waited for its
/// processor, a radio that waited for its turn.
#[derive(Debug)]
pub(super) struct Episode {
    /// The queue at the last decrease, in seconds.
    at_decrease: f64,
    /// The time that it has to empty until the next one.
    stands: Duration,
    /// The longest queue of a packet, and when that packet arrived.
    longest: f64,
    longest_at: Duration,
    /// The bytes that have arrived since.
    bytes: usize,
    /// The delay that went away faster than a queue can.
    noise: Option<f64>,
}

impl Episode {
    /// Returns the episode that begins with a queue of these seconds.
    pub(super) const fn new(queue: f64, stands: Duration) -> Self {
        Self {
            at_decrease: queue,
            stands,
            longest: 0.0,
            longest_at: Duration::ZERO,
            bytes: 0,
            noise: None,
        }
    }

    /// Returns whether a queue of these seconds calls for another decrease: it has grown by more
    /// than `grown` since the last one, or stands for long. `since` is the time since then.
    pub(super) fn takes_decrease(&mut self, queue: f64, grown: f64, since: Option<Duration>) -> bool {
        let has_grown = queue > self.at_decrease + grown;
        let stands = since.is_none_or(|since| since > self.stands);
        if stands && !has_grown {
            self.stands *= 2;
        }
        if stands || has_grown {
            self.at_decrease = queue;
        }
        stands || has_grown
    }

    /// Takes a packet that has arrived after a queue of these seconds, where the path is thought to
    /// carry so many bits per second.
    pub(super) fn handle_arrival(&mut self, arrival: Duration, bytes: usize, queue: f64, capacity: f64) {
        if queue >= self.longest {
            (self.longest, self.longest_at, self.bytes) = (queue, arrival, 0);
            return;
        }
        self.bytes += bytes;
        let needed = 8.0 * self.bytes as f64 / capacity.max(1.0);
        let passed = arrival.saturating_sub(self.longest_at).as_secs_f64();
        if needed > TOO_FAST * passed + JITTER {
            self.noise = Some(self.noise.unwrap_or(0.0).max(self.longest - queue));
        }
    }

    /// Returns the delay in seconds that has gone away faster than a queue can empty.
    pub(super) const fn noise(&self) -> Option<f64> {
        self.noise
    }
}

/// The longest delay in the last while that was none of the path.
#[derive(Debug, Default)]
pub(super) struct Noise(Option<(std::time::Instant, f64)>);

impl Noise {
    /// The time for which it is expected again, and the most of it that is.
    const LASTS: Duration = Duration::from_secs(10);
    const MOST: f64 = 0.5;

    pub(super) fn handle(&mut self, now: std::time::Instant, delay: f64) {
        let delay = delay.min(Self::MOST).max(self.seconds(now));
        self.0 = Some((now, delay));
    }

    pub(super) fn seconds(&self, now: std::time::Instant) -> f64 {
        let lasts = |at| now.saturating_duration_since(at) < Self::LASTS;
        self.0.filter(|(at, _)| lasts(*at)).map_or(0.0, |(_, delay)| delay)
    }
}
