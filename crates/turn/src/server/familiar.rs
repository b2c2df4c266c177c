//! The addresses that are known not to be a victim's: a nonce came back from there, a connection is
//! open, or an allocation is there. Each has a bucket of its own for answers.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::answers::prefix;
use super::bucket::Bucket;
use super::config::Rate;
use super::hash::Keyed;

/// The time for which a proof counts: some calls, and the pauses between them.
const REMEMBERED: Duration = Duration::from_secs(600);

/// The most addresses that are remembered; beyond that the one that was proven longest ago is
/// forgotten. An entry costs some 100 bytes.
const MAX_REMEMBERED: usize = 16_384;

/// An IPv4 address or an IPv6 /64.
type Client = (bool, u128);

/// The known addresses.
#[derive(Debug)]
pub(super) struct Familiar {
    rate: Rate,
    remembered: HashMap<Client, Entry, Keyed>,
    /// Those of `remembered`, oldest first.
    order: VecDeque<Client>,
    /// The number of open connections; bounded by the owner, which accepts them.
    connected: BTreeMap<Client, u32>,
}

#[derive(Debug)]
struct Entry {
    until: Instant,
    bucket: Bucket,
}

fn client(ip: IpAddr) -> Client {
    prefix(ip, 32, 64)
}

impl Familiar {
    pub(super) fn new(keyed: Keyed, bytes_per_second: u32) -> Self {
        let bytes_per_second = u64::from(bytes_per_second);
        Self {
            rate: Rate { bytes_per_second, burst: bytes_per_second * 2 },
            remembered: HashMap::with_hasher(keyed),
            order: VecDeque::new(),
            connected: BTreeMap::new(),
        }
    }

    /// A client there has proven that it receives what is sent to it.
    pub(super) fn remember(&mut self, now: Instant, ip: IpAddr) {
        let client = client(ip);
        if let Some(entry) = self.remembered.get_mut(&client) {
            entry.until = now + REMEMBERED;
            return;
        }
        self.forget_old(now);
        self.order.push_back(client);
        self.remembered.insert(client, Entry { until: now + REMEMBERED, bucket: Bucket::full(now) });
    }

    /// A connection from there is open.
    pub(super) fn connect(&mut self, ip: IpAddr) {
        *self.connected.entry(client(ip)).or_default() += 1;
    }

    /// A connection from there has been closed.
    pub(super) fn disconnect(&mut self, ip: IpAddr) {
        if let Some(open) = self.connected.get_mut(&client(ip)) {
            *open -= 1;
            if *open == 0 {
                self.connected.remove(&client(ip));
            }
        }
    }

    pub(super) fn is_remembered(&self, now: Instant, ip: IpAddr) -> bool {
        self.remembered.get(&client(ip)).is_some_and(|entry| entry.until > now)
    }

    /// Returns whether the address is known. One that is by its connection alone is remembered from
    /// now on.
    pub(super) fn knows(&mut self, now: Instant, ip: IpAddr) -> bool {
        if self.is_remembered(now, ip) {
            return true;
        }
        let is_connected = self.connected.contains_key(&client(ip));
        if is_connected {
            self.remember(now, ip);
        }
        is_connected
    }

    /// Returns whether an answer of `len` bytes may go to a known address.
    pub(super) fn has(&self, now: Instant, ip: IpAddr, len: usize) -> bool {
        let entry = self.remembered.get(&client(ip));
        entry.is_some_and(|entry| entry.bucket.fits(now, len as u64, self.rate))
    }

    /// The same, and takes it if so.
    pub(super) fn take(&mut self, now: Instant, ip: IpAddr, len: usize) -> bool {
        let (fits, rate) = (self.has(now, ip, len), self.rate);
        if let Some(entry) = self.remembered.get_mut(&client(ip)).filter(|_| fits) {
            entry.bucket.take(now, len as u64, rate);
        }
        fits
    }

    /// Makes room for one more, and forgets some that have expired.
    fn forget_old(&mut self, now: Instant) {
        for _ in 0..2 {
            let Some(oldest) = self.order.pop_front() else { return };
            let is_live = self.remembered.get(&oldest).is_some_and(|entry| entry.until > now);
            if is_live && self.order.len() < MAX_REMEMBERED {
                // Proven again since it came, or simply young.
                self.order.push_back(oldest);
            } else {
                self.remembered.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::start;
    use super::*;

    #[test]
    fn addresses_are_remembered_for_a_while_and_bounded() {
        let mut familiar = Familiar::new(Keyed::new(1, 2), 1000);
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..3 * MAX_REMEMBERED as u32 {
            familiar.remember(start(), address(n));
        }
        assert!(familiar.remembered.len() <= MAX_REMEMBERED + 1, "{}", familiar.remembered.len());
        assert_eq!(familiar.remembered.len(), familiar.order.len());
        let last = address(3 * MAX_REMEMBERED as u32 - 1);
        assert!(familiar.knows(start(), last));
        let later = start() + REMEMBERED;
        assert!(!familiar.knows(later, last));
        for n in 0..2 * MAX_REMEMBERED as u32 {
            familiar.remember(later, address(n));
        }
        assert!(familiar.knows(later, address(2 * MAX_REMEMBERED as u32 - 1)));
    }

    #[test]
    fn a_bucket_lets_so_much_pass() {
        let mut familiar = Familiar::new(Keyed::new(1, 2), 1000);
        let ip = IpAddr::from([9, 0, 0, 1]);
        assert!(!familiar.take(start(), ip, 1), "not known");
        familiar.connect(ip);
        assert!(familiar.knows(start(), ip));
        assert!(familiar.take(start(), ip, 2000));
        assert!(!familiar.take(start(), ip, 1));
        assert!(familiar.take(start() + Duration::from_secs(1), ip, 1000));
    }
}
