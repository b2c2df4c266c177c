//! Limits by network: how many of a scarce thing one client, one household and one network may
//! hold, such that something is left for others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use columba_stun::canonical_ip;

/// The times as much as one client that the /56 of an IPv6 household or office may hold: providers
/// give each customer one, of which every /64 would otherwise count as a client.
const HOUSEHOLD: u32 = 4;

/// The times as much as one client that an IPv4 /24 or an IPv6 /48 may hold.
const NETWORK: u32 = 16;

/// The times as much as is free that an IPv4 /24 or an IPv6 /48 may hold. So one network gets two
/// thirds, the next one two thirds of what is left, and so on: nothing but many networks can take
/// the last of it, and a network that holds nothing always gets something.
const SHARE: u32 = 2;

/// The most that may be held, of connections or allocations for example.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixLimits {
    /// By all together.
    pub total: u32,
    /// By one client: an IPv4 address, or an IPv6 /64. A /56 may hold four times, an IPv4 /24 and
    /// an IPv6 /48 sixteen times as much, and these never more than twice what is free.
    pub per_client: u32,
}

/// The limit that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Excess {
    /// All together hold as much as there is.
    Total,
    /// The client, or its household.
    Client,
    /// The client's network.
    Network,
}

/// The present holdings, counted by network. Its memory is bounded by what is held: at most three
/// entries for each.
///
/// ```
/// use columba_turn::prefixes::{Excess, PrefixLimits, Prefixes};
///
/// let mut held = Prefixes::new(PrefixLimits { total: 9, per_client: 2 });
/// let client = "2001:db8::1".parse().unwrap();
/// assert_eq!(held.take(client, 2), Ok(()));
/// assert_eq!(held.take(client, 1), Err(Excess::Client));
/// held.give_back(client, 1);
/// assert_eq!(held.take(client, 1), Ok(()));
/// ```
#[derive(Debug)]
pub struct Prefixes {
    limits: PrefixLimits,
    total: u32,
    /// Without those that hold nothing.
    held: BTreeMap<Prefix, u32>,
}

/// The first `length` bits of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Prefix {
    is_ipv6: bool,
    length: u8,
    bits: u128,
}

impl Prefix {
    fn of(ip: IpAddr, length: u8) -> Self {
        match ip {
            IpAddr::V4(ip) => {
                let bits = u128::from(u64::from(ip.to_bits()) >> (32 - length));
                Self { is_ipv6: false, length, bits }
            }
            IpAddr::V6(ip) => Self { is_ipv6: true, length, bits: ip.to_bits() >> (128 - length) },
        }
    }
}

/// The lengths of the prefixes that an address counts in: the client's, the household's (IPv6 only)
/// and the network's.
fn prefixes(ip: IpAddr) -> [Option<Prefix>; 3] {
    match ip {
        IpAddr::V4(_) => [Some(Prefix::of(ip, 32)), None, Some(Prefix::of(ip, 24))],
        IpAddr::V6(_) => [64, 56, 48].map(|length| Some(Prefix::of(ip, length))),
    }
}

impl Prefixes {
    /// Nothing is held.
    pub const fn new(limits: PrefixLimits) -> Self {
        Self { limits, total: 0, held: BTreeMap::new() }
    }

    /// All that is held.
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// Returns whether `client` may hold `more`.
    ///
    /// # Errors
    /// The narrowest limit that is in the way, [`Excess::Total`] first.
    pub fn check(&self, client: IpAddr, more: u32) -> Result<(), Excess> {
        let PrefixLimits { total, per_client } = self.limits;
        let free = total.saturating_sub(self.total);
        if more > free {
            return Err(Excess::Total);
        }
        let [client, household, network] = prefixes(canonical_ip(client));
        let after = |prefix: Option<Prefix>| {
            prefix.and_then(|prefix| self.held.get(&prefix)).copied().unwrap_or(0).saturating_add(more)
        };
        if after(client) > per_client || after(household) > per_client.saturating_mul(HOUSEHOLD) {
            return Err(Excess::Client);
        }
        let in_network = after(network);
        if in_network > per_client.saturating_mul(NETWORK) || in_network > free.saturating_mul(SHARE) {
            return Err(Excess::Network);
        }
        Ok(())
    }

    /// Lets `client` hold `more`, if it may.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn take(&mut self, client: IpAddr, more: u32) -> Result<(), Excess> {
        self.check(client, more)?;
        self.add(client, more);
        Ok(())
    }

    /// Lets `client` hold `more`, whatever the limits are: they have been checked before, or do not
    /// apply to this one.
    pub fn add(&mut self, client: IpAddr, more: u32) {
        self.total = self.total.saturating_add(more);
        for prefix in prefixes(canonical_ip(client)).into_iter().flatten() {
            let held = self.held.entry(prefix).or_default();
            *held = held.saturating_add(more);
        }
    }

    /// `client` holds `less` from now on.
    pub fn give_back(&mut self, client: IpAddr, less: u32) {
        self.total = self.total.saturating_sub(less);
        for prefix in prefixes(canonical_ip(client)).into_iter().flatten() {
            if let Some(held) = self.held.get_mut(&prefix) {
                *held = held.saturating_sub(less);
                if *held == 0 {
                    self.held.remove(&prefix);
                }
            }
        }
    }

    /// The number of networks, households and clients that hold something.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Returns whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Takes one at a time from these addresses, in turn, until nothing is given any more.
    fn grab(held: &mut Prefixes, from: impl Fn(u32) -> IpAddr) -> u32 {
        let (mut got, mut refused) = (0, 0);
        for number in 0.. {
            match held.take(from(number), 1) {
                Ok(()) => (got, refused) = (got + 1, 0),
                Err(_) => refused += 1,
            }
            if refused > 1000 {
                return got;
            }
        }
        got
    }

    #[test]
    fn each_level_has_its_limit() {
        let limits = PrefixLimits { total: 1_000_000, per_client: 10 };
        for (many, most) in [
            ((|_| ip("192.0.2.1")) as fn(u32) -> IpAddr, 10),
            (|n| IpAddr::from([192, 0, 2, n as u8]), 160),
            (|n| IpAddr::from([0x2001, 0xdb8, 0, 1, n as u16, 0, 0, 1]), 10),
            (|n| IpAddr::from([0x2001, 0xdb8, 0, 0x100 + (n % 256) as u16, 0, 0, 0, 1]), 40),
            (|n| IpAddr::from([0x2001, 0xdb8, 0, (n % 65_536) as u16, 0, 0, 0, 1]), 160),
        ] {
            let mut held = Prefixes::new(limits);
            assert_eq!(grab(&mut held, many), most);
        }
    }

    #[test]
    fn one_network_cannot_take_the_last() {
        // 40 /64s took all 10,000 connections, and 21 all 4,000 allocations.
        for limits in [
            PrefixLimits { total: 10_000, per_client: 256 },
            PrefixLimits { total: 4000, per_client: 192 },
            PrefixLimits { total: 4000, per_client: 1 << 20 },
        ] {
            let mut held = Prefixes::new(limits);
            let mut free = limits.total;
            for network in 0..6_u16 {
                let before = held.total();
                grab(&mut held, |n| IpAddr::from([0x2a0f, 9, network, (n % 65_536) as u16, 0, 0, 0, 1]));
                assert!(held.total() - before <= free.div_ceil(3) * 2, "network {network}");
                free = limits.total - held.total();
                assert!(free > 0, "something is left after network {network}");
                let bystander = IpAddr::from([198, 51, 100, network as u8]);
                assert_eq!(held.take(bystander, 1), Ok(()), "a bystander after network {network}");
                held.give_back(bystander, 1);
            }
        }
    }

    #[test]
    fn what_is_given_back_is_free_and_forgotten() {
        let mut held = Prefixes::new(PrefixLimits { total: 4, per_client: 2 });
        held.add(ip("::ffff:192.0.2.1"), 2);
        assert_eq!(held.check(ip("192.0.2.1"), 1), Err(Excess::Client), "IPv4 inside IPv6 is IPv4");
        held.add(ip("2001:db8::1"), 1);
        assert_eq!(held.check(ip("198.51.100.1"), 2), Err(Excess::Total));
        assert_eq!(held.check(ip("192.0.2.2"), 1), Err(Excess::Network), "twice of what is free");
        assert_eq!(held.len(), 5);
        held.give_back(ip("192.0.2.1"), 2);
        held.give_back(ip("2001:db8::1"), 1);
        assert!(held.is_empty() && held.total() == 0);
    }
}
