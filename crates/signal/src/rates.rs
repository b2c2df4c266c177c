//! Rate limits: token buckets, joins by network address, and faults by the minute.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use columba_limits::{Prefix, networks};

const MINUTE: Duration = Duration::from_secs(60);

/// A rate in the long run, and how much may come at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

impl Rate {
    /// The rate of so many together.
    fn times(self, times: u32) -> Self {
        let times = f64::from(times);
        Self { per_second: self.per_second * times, burst: self.burst * times }
    }
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

/// Counts joins by client, household and network, in a table of bounded size.
#[derive(Debug)]
pub(crate) struct JoinLimiter {
    /// Of one client; wider networks have a multiple of it.
    rate: Rate,
    capacity: usize,
    buckets: BTreeMap<Prefix, Counted>,
    /// When each bucket is full again and need not be remembered.
    full_at: BTreeSet<(Instant, Prefix)>,
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

    /// Counts a join, unless there were too many.
    ///
    /// # Errors
    ///
    /// How long to wait, if there were too many.
    pub(crate) fn take(&mut self, now: Instant, address: IpAddr) -> Result<(), Duration> {
        for (network, times) in networks(address) {
            let rate = self.rate.times(times);
            let bucket = self.buckets.get(&network).map(|counted| counted.bucket);
            if let Some(mut bucket) = bucket
                && !bucket.take(now, rate, 1.0)
            {
                return Err(bucket.wait_for(rate, 1.0));
            }
        }
        for (network, times) in networks(address) {
            self.spend(now, network, self.rate.times(times));
        }
        Ok(())
    }

    fn spend(&mut self, now: Instant, network: Prefix, rate: Rate) {
        let mut bucket = match self.buckets.remove(&network) {
            Some(counted) => {
                self.full_at.remove(&(counted.full_at, network));
                counted.bucket
            }
            None => {
                self.make_room(now);
                TokenBucket::full(now, rate)
            }
        };
        bucket.take(now, rate, 1.0);
        let full_at = now + bucket.wait_for(rate, rate.burst);
        self.buckets.insert(network, Counted { bucket, full_at });
        self.full_at.insert((full_at, network));
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
            assert!(limiter.take(now, IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + (host << 8)))).is_ok());
            assert!(limiter.buckets.len() <= 50 && limiter.full_at.len() == limiter.buckets.len());
        }
        assert!(limiter.take(now, flooder).is_err(), "the flooder is remembered among ten thousand others");
        let later = now + MINUTE;
        assert!(limiter.take(later, IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1))).is_ok());
        assert_eq!(limiter.buckets.len(), 2, "full buckets are forgotten");
    }

    #[test]
    fn wide_networks_have_a_multiple_of_what_one_client_has() {
        let granted = |many: &dyn Fn(u16) -> IpAddr| {
            let mut limiter = JoinLimiter::new(10, 100_000);
            (0..2000).filter(|at| limiter.take(start(), many(*at)).is_ok()).count()
        };
        let v6 = |subnet: u16| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, subnet, 0, 0, 0, 1));
        assert_eq!(granted(&|_| v6(1)), 10, "a /64");
        assert_eq!(granted(&|at| v6(at % 256)), 40, "a /56");
        assert_eq!(granted(&v6), 160, "a /48");
        assert_eq!(granted(&|at| IpAddr::from([192, 0, 2, at as u8])), 160, "a /24");
        assert_eq!(granted(&|at| IpAddr::from([192, (at >> 8) as u8, at as u8, 1])), 2000);
    }

    #[test]
    fn faults_are_counted_by_the_minute() {
        let mut faults = Faults::default();
        let now = start();
        assert_eq!((0..20).filter(|_| faults.too_many(now, 20)).count(), 1);
        assert!(!faults.too_many(now + MINUTE, 20));
    }
}
