//! Rate limits: token buckets, joins by network address, and faults by the minute.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// A rate in the long run, and how much may come at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

/// A token bucket: it fills at the rate, up to the burst, and each thing takes some out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenBucket {
    tokens: f64,
    at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(crate) fn full(now: Instant, rate: Rate) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    /// Takes `cost` tokens if they are there. More than the burst is never asked for, as it would
    /// never be granted.
    pub(crate) fn take(&mut self, now: Instant, rate: Rate, cost: f64) -> bool {
        self.refill(now, rate);
        let cost = cost.min(rate.burst);
        let granted = self.tokens >= cost;
        if granted {
            self.tokens -= cost;
        }
        granted
    }

    /// Takes `cost` tokens, more than there are if need be, and returns how many there were and how
    /// many are left.
    pub(crate) fn spend(&mut self, now: Instant, rate: Rate, cost: f64) -> (f64, f64) {
        self.refill(now, rate);
        let before = self.tokens;
        self.tokens -= cost;
        (before, self.tokens)
    }

    /// The time until `tokens` (at most the burst) are there, from the last time on that some were
    /// asked for.
    pub(crate) fn wait_for(&self, rate: Rate, tokens: f64) -> Duration {
        let missing = (tokens.min(rate.burst) - self.tokens).max(0.0);
        Duration::try_from_secs_f64(missing / rate.per_second).unwrap_or(MINUTE)
    }

    fn refill(&mut self, now: Instant, rate: Rate) {
        let elapsed = now.saturating_duration_since(self.at);
        self.tokens = (self.tokens + elapsed.as_secs_f64() * rate.per_second).min(rate.burst);
        self.at = self.at.max(now);
    }
}

/// Counts joins by network address, in a table of bounded size.
#[derive(Debug)]
pub(crate) struct JoinLimiter {
    rate: Rate,
    capacity: usize,
    buckets: BTreeMap<Network, Counted>,
    /// When each bucket is full again and need not be remembered.
    full_at: BTreeSet<(Instant, Network)>,
}

/// The unit that counts as one network: an IPv4 address, or an IPv6 /64, which is what one customer
/// has at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Network {
    V4(u32),
    V6(u64),
}

#[derive(Clone, Copy, Debug)]
struct Counted {
    bucket: TokenBucket,
    full_at: Instant,
}

impl JoinLimiter {
    pub(crate) fn new(joins_per_minute: u32, capacity: usize) -> Self {
        let burst = f64::from(joins_per_minute.max(1));
        let rate = Rate { per_second: burst / MINUTE.as_secs_f64(), burst };
        Self { rate, capacity: capacity.max(1), buckets: BTreeMap::new(), full_at: BTreeSet::new() }
    }

    /// Counts a join.
    ///
    /// # Errors
    ///
    /// How long to wait, if there were too many.
    pub(crate) fn take(&mut self, now: Instant, address: IpAddr) -> Result<(), Duration> {
        let network = Network::of(address);
        let mut bucket = match self.buckets.remove(&network) {
            Some(counted) => {
                self.full_at.remove(&(counted.full_at, network));
                counted.bucket
            }
            None => {
                self.make_room(now);
                TokenBucket::full(now, self.rate)
            }
        };
        let granted = bucket.take(now, self.rate, 1.0);
        let full_at = now + bucket.wait_for(self.rate, self.rate.burst);
        self.buckets.insert(network, Counted { bucket, full_at });
        self.full_at.insert((full_at, network));
        if granted { Ok(()) } else { Err(bucket.wait_for(self.rate, 1.0)) }
    }

    /// Forgets the full buckets, which loses nothing, and if need be the fullest other, which loses
    /// least.
    fn make_room(&mut self, now: Instant) {
        while let Some(&(full_at, network)) = self.full_at.first() {
            if full_at > now && self.buckets.len() < self.capacity {
                break;
            }
            self.full_at.pop_first();
            self.buckets.remove(&network);
        }
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            // The upper half of 128 bits fits in 64.
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// Counts what could not be understood, by the minute.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    count: u32,
    since: Option<Instant>,
}

impl Faults {
    /// Counts one; true if that is the last one allowed in this minute.
    pub(crate) fn too_many(&mut self, now: Instant, per_minute: u32) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= MINUTE) {
            *self = Self { count: 0, since: Some(now) };
        }
        self.count = self.count.saturating_add(1);
        self.count >= per_minute
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::test_clock::start;

    #[test]
    fn a_bucket_grants_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 10.0, burst: 5.0 };
        let now = start();
        let mut bucket = TokenBucket::full(now, rate);
        assert_eq!((0..10).filter(|_| bucket.take(now, rate, 1.0)).count(), 5);
        assert_eq!(bucket.wait_for(rate, 1.0), Duration::from_millis(100));
        let later = now + Duration::from_millis(301);
        assert_eq!((0..10).filter(|_| bucket.take(later, rate, 1.0)).count(), 3);
        assert!(bucket.take(later + MINUTE, rate, 1000.0), "more than the burst costs the burst");
        assert!(!bucket.take(later + MINUTE, rate, 1.0));
    }

    #[test]
    fn what_is_spent_beyond_the_tokens_is_waited_for() {
        let rate = Rate { per_second: 10.0, burst: 5.0 };
        let now = start();
        let mut bucket = TokenBucket::full(now, rate);
        assert_eq!(bucket.spend(now, rate, 4.0), (5.0, 1.0));
        assert_eq!(bucket.spend(now, rate, 11.0), (1.0, -10.0));
        assert_eq!(bucket.wait_for(rate, 0.0), Duration::from_secs(1));
        assert!(!bucket.take(now + Duration::from_secs(1), rate, 1.0));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_ipv4() {
        let mut limiter = JoinLimiter::new(2, 100);
        let now = start();
        let v6 = |host: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, host));
        assert!(limiter.take(now, v6(1)).is_ok());
        assert!(limiter.take(now, v6(2)).is_ok());
        assert_eq!(limiter.take(now, v6(3)), Err(Duration::from_secs(30)));
        let v4 = Ipv4Addr::new(192, 0, 2, 1);
        assert!(limiter.take(now, v4.into()).is_ok());
        assert!(limiter.take(now, v4.to_ipv6_mapped().into()).is_ok());
        assert!(limiter.take(now, v4.into()).is_err());
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_fullest_first() {
        let mut limiter = JoinLimiter::new(10, 50);
        let now = start();
        let flooder = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        while limiter.take(now, flooder).is_ok() {}
        for host in 0..10_000 {
            assert!(limiter.take(now, IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + host))).is_ok());
            assert!(limiter.buckets.len() <= 50 && limiter.full_at.len() == limiter.buckets.len());
        }
        assert!(limiter.take(now, flooder).is_err(), "the flooder is remembered among ten thousand others");
        let later = now + MINUTE;
        assert!(limiter.take(later, IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))).is_ok());
        assert_eq!(limiter.buckets.len(), 1, "full buckets are forgotten");
    }

    #[test]
    fn faults_are_counted_by_the_minute() {
        let mut faults = Faults::default();
        let now = start();
        assert_eq!((0..20).filter(|_| faults.too_many(now, 20)).count(), 1);
        assert!(!faults.too_many(now + MINUTE, 20));
    }
}
