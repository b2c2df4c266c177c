//! Token buckets for bandwidth, and the accounts that hold them: one for each credential and client
//! address.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::config::Rate;
use super::hash::Keyed;

/// A token bucket, kept as the one moment when it will be full again (the generic cell rate
/// algorithm).
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    full_at: Instant,
}

impl Bucket {
    pub(super) const fn full(now: Instant) -> Self {
        Self { full_at: now }
    }

    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Returns whether `bytes` may pass now.
    pub(super) fn fits(&self, now: Instant, bytes: u64, rate: Rate) -> bool {
        let debt = self.full_at.saturating_duration_since(now);
        rate.bytes_per_second > 0 && debt + time_of(bytes, rate) <= time_of(rate.burst, rate)
    }

    /// Lets `bytes` pass, whether or not they fit.
    pub(super) fn take(&mut self, now: Instant, bytes: u64, rate: Rate) {
        let from = self.full_at.max(now);
        self.full_at = from.checked_add(time_of(bytes, rate)).unwrap_or(from);
    }
}

fn time_of(bytes: u64, rate: Rate) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.bytes_per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The use of the server by one credential or one client address.
#[derive(Debug)]
pub(super) struct Account {
    /// Allocations live or being made, and reserved ports.
    pub(super) open: u32,
    /// From clients to peers.
    pub(super) up: Bucket,
    /// From peers to clients.
    pub(super) down: Bucket,
}

/// The index of an account in its table; valid as long as it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AccountId(u32);

/// A table of accounts. An account stays for a while after its last allocation is gone, until its
/// buckets are full, so that allocating anew does not fill them.
#[derive(Debug)]
pub(super) struct Accounts<K> {
    by_key: HashMap<K, AccountId, Keyed>,
    entries: Vec<Option<(K, Account)>>,
    free: Vec<AccountId>,
    /// Accounts without allocations, oldest first; over the bound the oldest is forgotten with what
    /// it owes.
    idle: VecDeque<AccountId>,
    max_idle: usize,
}

impl<K: Hash + Eq + Clone> Accounts<K> {
    pub(super) fn new(keyed: Keyed, max_idle: usize) -> Self {
        Self {
            by_key: HashMap::with_hasher(keyed),
            entries: Vec::new(),
            free: Vec::new(),
            idle: VecDeque::new(),
            max_idle,
        }
    }

    /// The number of allocations that `key` has.
    pub(super) fn open_of(&self, key: &K) -> u32 {
        self.by_key.get(key).and_then(|id| self.get(*id)).map_or(0, |account| account.open)
    }

    /// One allocation more for `key`.
    pub(super) fn open(&mut self, now: Instant, key: K) -> AccountId {
        self.forget_idle(now);
        if let Some(id) = self.by_key.get(&key).copied()
            && let Some(account) = self.get_mut(id)
        {
            account.open += 1;
            return id;
        }
        let account = Account { open: 1, up: Bucket::full(now), down: Bucket::full(now) };
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            AccountId(self.entries.len() as u32 - 1)
        });
        self.entries[id.0 as usize] = Some((key.clone(), account));
        self.by_key.insert(key, id);
        id
    }

    /// One allocation less.
    pub(super) fn close(&mut self, now: Instant, id: AccountId) {
        if let Some(account) = self.get_mut(id) {
            account.open -= 1;
            if account.open == 0 {
                self.idle.push_back(id);
            }
        }
        self.forget_idle(now);
    }

    /// The key of an account.
    pub(super) fn key_of(&self, id: AccountId) -> Option<&K> {
        self.entries.get(id.0 as usize)?.as_ref().map(|(key, _)| key)
    }

    pub(super) fn get(&self, id: AccountId) -> Option<&Account> {
        self.entries.get(id.0 as usize)?.as_ref().map(|(_, account)| account)
    }

    pub(super) fn get_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.entries.get_mut(id.0 as usize)?.as_mut().map(|(_, account)| account)
    }

    /// The number of accounts, idle ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    fn forget_idle(&mut self, now: Instant) {
        while let Some(id) = self.idle.front().copied() {
            let Some(account) = self.get(id) else {
                self.idle.pop_front();
                continue;
            };
            let paid = account.up.is_full(now) && account.down.is_full(now);
            if account.open == 0 {
                if !paid && self.idle.len() <= self.max_idle {
                    break;
                }
                if let Some((key, _)) = self.entries[id.0 as usize].take() {
                    self.by_key.remove(&key);
                    self.free.push(id);
                }
            }
            self.idle.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::start;
    use super::*;

    const RATE: Rate = Rate { bytes_per_second: 1000, burst: 500 };

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let t0 = start();
        let mut bucket = Bucket::full(t0);
        let mut passed = |at_ms: u64, bytes| {
            let now = t0 + Duration::from_millis(at_ms);
            let fits = bucket.fits(now, bytes, RATE);
            if fits {
                bucket.take(now, bytes, RATE);
            }
            fits
        };
        assert!(passed(0, 500));
        assert!(!passed(0, 1));
        assert!(!passed(99, 100));
        assert!(passed(100, 100));
        assert!(!passed(100, 1));
        assert!(!passed(10_000, 501), "never more than the burst at once");
        assert!(passed(10_000, 500));
    }

    #[test]
    fn small_steps_lose_nothing() {
        let t0 = start();
        let rate = Rate { bytes_per_second: 3_000_000, burst: 1000 };
        let mut bucket = Bucket::full(t0);
        let mut passed = 0;
        for us in 0..1_000_000_u64 {
            let now = t0 + Duration::from_micros(us);
            if bucket.fits(now, 100, rate) {
                bucket.take(now, 100, rate);
                passed += 100;
            }
        }
        assert!((2_990_000..=3_001_000).contains(&passed), "{passed}");
    }

    #[test]
    fn rate_of_zero_lets_nothing_pass() {
        let t0 = start();
        assert!(!Bucket::full(t0).fits(t0, 1, Rate { bytes_per_second: 0, burst: 500 }));
    }

    #[test]
    fn closing_and_opening_again_does_not_fill_the_buckets() {
        let t0 = start();
        let mut accounts = Accounts::new(Keyed::new(1, 2), 8);
        let id = accounts.open(t0, 'a');
        accounts.get_mut(id).unwrap().up.take(t0, 500, RATE);
        accounts.close(t0, id);
        let id = accounts.open(t0, 'a');
        assert!(!accounts.get(id).unwrap().up.fits(t0, 1, RATE));
        accounts.close(t0, id);
        let later = t0 + Duration::from_secs(1);
        let b = accounts.open(later, 'b');
        assert_eq!(
            (accounts.len(), accounts.open_of(&'a'), accounts.open_of(&'b')),
            (1, 0, 1),
            "a is forgotten"
        );
        accounts.close(later, b);
        assert_eq!(accounts.len(), 0);
    }

    #[test]
    fn idle_accounts_are_bounded() {
        let t0 = start();
        let mut accounts = Accounts::new(Keyed::new(1, 2), 8);
        for key in 0..1000 {
            let id = accounts.open(t0, key);
            accounts.get_mut(id).unwrap().down.take(t0, 400, RATE);
            accounts.close(t0, id);
        }
        assert!(accounts.len() <= 8 && accounts.entries.len() <= 9, "{}", accounts.entries.len());
    }
}
