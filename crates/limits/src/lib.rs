//! Limits by network: how many of a scarce thing one client, one household and one network may
//! hold, such that something is left for others.
//!
//! ```
//! use columba_limits::{Excess, PrefixLimits, Prefixes};
//!
//! let mut held = Prefixes::new(PrefixLimits { total: 9, per_client: 2 });
//! let client = "2001:db8::1".parse().unwrap();
//! assert_eq!(held.take(client, 2), Ok(()));
//! assert_eq!(held.take(client, 1), Err(Excess::Client));
//! held.give_back(client, 1);
//! assert_eq!(held.take(client, 1), Ok(()));
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// The times as much as one client that the /56 of an IPv6 household or office may hold: providers
/// give each customer one, of which every /64 would otherwise count as a client.
const HOUSEHOLD: u32 = 4;

/// The times as much as one client that an IPv4 /24 or an IPv6 /48 may hold.
const NETWORK: u32 = 16;

/// The times as much as is free that an IPv4 /24 or an IPv6 /48 may hold. So one network gets two
/// thirds, the next one two thirds of what is left, and so on: nothing but many networks can take
/// the last of it, and a network that holds nothing always gets something.
const SHARE: u32 = 2;

/// The first bits of an address: a client, a household or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    first: IpAddr,
    length: u8,
}

impl Prefix {
    /// The prefix that counts as one client: an IPv4 address, or an IPv6 /64.
    pub fn of_client(ip: IpAddr) -> Self {
        let ip = client_address(ip);
        Self::new(ip, if ip.is_ipv4() { 32 } else { 64 })
    }

    fn new(ip: IpAddr, length: u8) -> Self {
        let first = match ip {
            IpAddr::V4(ip) => {
                IpAddr::V4((ip.to_bits() & u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
        };
        Self { first, length }
    }

    /// The first address of it.
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// Its length in bits.
    pub const fn length(self) -> u8 {
        self.length
    }
}

/// The address by which a client counts: the IPv4 address where an IPv6 one holds it, as
/// IPv4-mapped addresses do, those that a translator in front of the server makes (NAT64, RFC 6052
/// §2.1; otherwise the whole IPv4 Internet would be one client), and 6to4 (RFC 3056; otherwise the
/// owner of one IPv4 address would be a network).
pub fn client_address(ip: IpAddr) -> IpAddr {
    let ip = ip.to_canonical();
    let IpAddr::V6(ipv6) = ip else { return ip };
    let s = ipv6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into();
    match s {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => join(high, low),
        _ => ip,
    }
}

/// Returns the networks that an address counts in, from the narrowest, each with the times as much
/// as one client that it may have: the client itself, the household (IPv6 only), and the IPv4 /24
/// or IPv6 /48.
pub fn networks(ip: IpAddr) -> impl Iterator<Item = (Prefix, u32)> {
    let ip = client_address(ip);
    let lengths: &[(u8, u32)] = match ip {
        IpAddr::V4(_) => &[(32, 1), (24, NETWORK)],
        IpAddr::V6(_) => &[(64, 1), (56, HOUSEHOLD), (48, NETWORK)],
    };
    lengths.iter().map(move |&(length, times)| (Prefix::new(ip, length), times))
}

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
/// What a proxy holds for many clients is held [in common](Self::take_common), and those clients
/// hold [parts](Self::take_part) of it.
#[derive(Debug)]
pub struct Prefixes {
    limits: PrefixLimits,
    total: u32,
    /// Without those that hold nothing.
    held: BTreeMap<Prefix, u32>,
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

    /// Returns the number that this client's prefix holds.
    pub fn of_client(&self, client: IpAddr) -> u32 {
        self.held(Prefix::of_client(client))
    }

    /// Returns whether `client` may hold `more`.
    ///
    /// # Errors
    /// The narrowest limit that is in the way, [`Excess::Total`] first.
    pub fn check(&self, client: IpAddr, more: u32) -> Result<(), Excess> {
        let free = self.free();
        if more > free {
            return Err(Excess::Total);
        }
        self.check_networks(client, more, free)
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
        self.add_part(client, more);
    }

    /// `client` holds `less` from now on.
    pub fn give_back(&mut self, client: IpAddr, less: u32) {
        self.give_back_common(less);
        self.give_back_part(client, less);
    }

    /// Lets one that stands for many clients, a trusted proxy for example, hold `more`.
    ///
    /// # Errors
    /// [`Excess::Total`].
    pub fn take_common(&mut self, more: u32) -> Result<(), Excess> {
        if more > self.free() {
            return Err(Excess::Total);
        }
        self.total = self.total.saturating_add(more);
        Ok(())
    }

    /// Lowers what is held in common by `less`.
    pub const fn give_back_common(&mut self, less: u32) {
        self.total = self.total.saturating_sub(less);
    }

    /// Lets `client` hold `more` of what is held in common, if its networks may.
    ///
    /// # Errors
    /// [`Excess::Client`] or [`Excess::Network`].
    pub fn take_part(&mut self, client: IpAddr, more: u32) -> Result<(), Excess> {
        // What it is a part of may have been the last.
        self.check_networks(client, more, self.free().saturating_add(more))?;
        self.add_part(client, more);
        Ok(())
    }

    /// `client` holds `less` of what is held in common from now on.
    pub fn give_back_part(&mut self, client: IpAddr, less: u32) {
        for (prefix, _) in networks(client) {
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

    const fn free(&self) -> u32 {
        self.limits.total.saturating_sub(self.total)
    }

    fn held(&self, prefix: Prefix) -> u32 {
        self.held.get(&prefix).copied().unwrap_or(0)
    }

    fn add_part(&mut self, client: IpAddr, more: u32) {
        for (prefix, _) in networks(client) {
            let held = self.held.entry(prefix).or_default();
            *held = held.saturating_add(more);
        }
    }

    fn check_networks(&self, client: IpAddr, more: u32, free: u32) -> Result<(), Excess> {
        for (prefix, times) in networks(client) {
            let after = self.held(prefix).saturating_add(more);
            let excess = if times == NETWORK { Excess::Network } else { Excess::Client };
            let share = if times == NETWORK { free.saturating_mul(SHARE) } else { u32::MAX };
            if after > self.limits.per_client.saturating_mul(times).min(share) {
                return Err(excess);
            }
        }
        Ok(())
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

    #[test]
    fn clients_of_a_proxy_have_their_limits_within_what_it_holds() {
        let mut held = Prefixes::new(PrefixLimits { total: 100, per_client: 4 });
        (0..50).for_each(|_| held.take_common(1).unwrap());
        assert_eq!((held.total(), held.is_empty()), (50, true));
        let client = ip("192.0.2.1");
        assert_eq!((0..10).filter(|_| held.take_part(client, 1).is_ok()).count(), 4);
        assert_eq!(held.take_part(client, 1), Err(Excess::Client));
        assert_eq!((held.total(), held.of_client(client)), (50, 4), "the proxy's count, not theirs");
        assert_eq!((0..50).filter(|_| held.take_common(1).is_ok()).count(), 50);
        assert_eq!(held.take_common(1), Err(Excess::Total));
        assert_eq!(held.take_part(ip("192.0.2.2"), 1), Err(Excess::Network), "nothing is free");
        assert_eq!(held.take_part(ip("198.51.100.1"), 1), Ok(()), "a network that has nothing");
        held.give_back_part(client, 4);
        assert_eq!(held.of_client(client), 0);
        held.give_back_common(100);
        held.give_back_part(ip("198.51.100.1"), 1);
        assert!(held.total() == 0 && held.is_empty());
    }

    #[test]
    fn networks_of_an_address_are_named_by_their_first_address() {
        let names = |text| -> Vec<String> {
            networks(ip(text)).map(|(p, times)| format!("{}/{} {times}", p.first(), p.length())).collect()
        };
        assert_eq!(names("::ffff:192.0.2.200"), ["192.0.2.200/32 1", "192.0.2.0/24 16"]);
        assert_eq!(
            names("2001:db8:1:2ff:3::4"),
            ["2001:db8:1:2ff::/64 1", "2001:db8:1:200::/56 4", "2001:db8:1::/48 16"]
        );
        assert_eq!(Prefix::of_client(ip("2001:db8::1")), Prefix::of_client(ip("2001:db8::ffff")));
    }

    #[test]
    fn ipv4_addresses_inside_others_count_as_such() {
        let client = |text| Prefix::of_client(ip(text)).first().to_string();
        assert_eq!(client("64:ff9b::192.0.2.1"), "192.0.2.1");
        assert_eq!(client("2002:c000:201:7:8::9"), "192.0.2.1");
        assert_eq!(client("64:ff9b:1::192.0.2.1"), "64:ff9b:1::", "of a local translator, which is a client");
        let mut held = Prefixes::new(PrefixLimits { total: 1000, per_client: 2 });
        assert_eq!(grab(&mut held, |n| IpAddr::from([0x2002, 0xc000, 0x201, n as u16, 0, 0, 0, 1])), 2);
        assert_eq!(held.take(ip("192.0.2.1"), 1), Err(Excess::Client));
        assert_eq!(held.take(ip("64:ff9b::198.51.100.1"), 2), Ok(()), "another client of the translator");
    }
}
