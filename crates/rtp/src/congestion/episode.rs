//! A queue that stands: whether it follows the rate, and how fast it empties.

use std::time::Duration;

/// The time by which jitter makes packets that come out of a queue arrive closer together.
const JITTER: f64 = 0.020;
/// A queue that has grown by so many seconds since the last decrease goes on growing.
const GROWN: f64 = 0.010;
/// The time after which a queue that neither grows nor empties lets the rate go down again. It
/// doubles each time: a delay that does not follow the rate is not made by it.
const STANDS: Duration = Duration::from_millis(500);
/// A queue empties at what the path carries, give or take.
const TOO_FAST: f64 = 1.5;

/// One queue, from the first decrease for it to its end.
///
/// Between two packets out of a queue lies the time that the path takes for what was sent between
/// them. Where they come much faster, the delay was none of the path: a program that waited for its
/// processor, a radio that waited for its turn.
#[derive(Debug, Default)]
pub(super) struct Episode {
    /// The longest queue of a packet, and when that packet arrived.
    longest: f64,
    longest_at: Duration,
    /// The bytes that have arrived since.
    bytes: usize,
    is_too_fast: bool,
    /// The queue at the last decrease, in seconds.
    at_decrease: f64,
    /// The decreases while it neither grew nor emptied.
    vain: u32,
}

impl Episode {
    /// Returns the episode that begins with a queue of these seconds.
    pub(super) fn new(queue: f64) -> Self {
        Self { at_decrease: queue, ..Self::default() }
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
        self.is_too_fast |= needed > TOO_FAST * passed + JITTER;
    }

    /// Returns whether a part of it has gone away faster than a queue can.
    pub(super) const fn is_too_fast(&self) -> bool {
        self.is_too_fast
    }

    /// Returns whether a queue of these seconds calls for another decrease, so long after the last
    /// one: it goes on growing, or stands.
    pub(super) fn takes_decrease(&mut self, queue: f64, since: Option<Duration>) -> bool {
        let has_grown = queue > self.at_decrease + GROWN;
        let stands = since.is_none_or(|since| since > STANDS * 2_u32.pow(self.vain.min(4)));
        if has_grown || stands {
            self.vain = if has_grown { 0 } else { self.vain + 1 };
            self.at_decrease = queue;
        }
        has_grown || stands
    }
}
