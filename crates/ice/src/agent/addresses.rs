//! The host's addresses: which of them are used, and in what order.

use std::net::IpAddr;

use columba_stun::canonical_ip;

use crate::config::{AddressPolicy, Config, LocalAddress};

/// Addresses that are used, at most: a host with more of them has containers, not networks.
const MAX_ADDRESSES: usize = 16;

/// The addresses of the host.
#[derive(Debug, Default)]
pub(super) struct Addresses(Vec<LocalAddress>);

impl Addresses {
    /// Takes in the addresses that there are now. Returns those from before.
    pub(super) fn replace(&mut self, now: &[LocalAddress]) -> Self {
        std::mem::replace(self, Self(now.to_vec()))
    }

    /// The addresses that were not there before in another network: what NATs and servers know of
    /// them is still true.
    pub(super) fn kept_since(&self, before: &Self) -> Vec<LocalAddress> {
        self.0.iter().copied().filter(|one| before.has_no_other(one)).collect()
    }

    /// Returns whether the same address is not known in another network.
    pub(super) fn has_no_other(&self, one: &LocalAddress) -> bool {
        self.0.iter().all(|old| old.address != one.address || old.network == one.network)
    }

    /// The addresses that the configuration allows, best first.
    pub(super) fn usable(&self, config: &Config) -> Vec<LocalAddress> {
        let is_loopback = |one: &LocalAddress| one.address.is_loopback();
        let only_loopback = self.0.iter().all(is_loopback);
        let mut usable: Vec<LocalAddress> = self
            .0
            .iter()
            .map(|one| LocalAddress { address: canonical_ip(one.address), ..*one })
            .filter(|one| !one.address.is_unspecified() && !one.address.is_multicast())
            .filter(|one| !is_loopback(one) || only_loopback || config.loopback)
            .filter(|one| config.address_policy == AddressPolicy::All || one.default_route)
            .filter(|one| !is_deprecated(one.address) && !self.is_hidden_by_temporary(one))
            .collect();
        usable.sort_by_key(|one| (one.network_cost, !one.default_route, is_unique_local(one.address)));
        usable.dedup_by_key(|one| one.address);
        if config.address_policy != AddressPolicy::All {
            let mut families = [true; 2];
            usable.retain(|one| std::mem::take(&mut families[usize::from(one.address.is_ipv4())]));
        }
        usable.truncate(MAX_ADDRESSES);
        usable
    }

    /// A stable address identifies the host; where a temporary one of the same prefix exists, that
    /// is used (RFC 8981).
    fn is_hidden_by_temporary(&self, one: &LocalAddress) -> bool {
        let IpAddr::V6(address) = one.address else { return false };
        !one.temporary
            && self.0.iter().any(|other| match other.address {
                IpAddr::V6(temporary) if other.temporary => {
                    temporary.segments()[..4] == address.segments()[..4]
                }
                _ => false,
            })
    }

    /// The local preference of an address: IPv6 and IPv4 in turn, each in the order of preference
    /// (RFC 8421 §4), so that no family is checked only after the other one.
    pub(super) fn local_preference(&self, config: &Config, address: IpAddr) -> u16 {
        let usable = self.usable(config);
        let of_family = usable.iter().filter(|one| one.address.is_ipv4() == address.is_ipv4());
        let index = of_family.map(|one| one.address).position(|one| one == address).unwrap_or(MAX_ADDRESSES);
        let rank = 2 * index + usize::from(address.is_ipv4());
        u16::MAX - u16::try_from(rank).unwrap_or(u16::MAX)
    }

    /// The cost of an address's network, if it has any.
    pub(super) fn network_cost(&self, ip: IpAddr) -> Option<u16> {
        let found = self.0.iter().find(|one| canonical_ip(one.address) == ip);
        found.map(|one| one.network_cost).filter(|cost| *cost > 0)
    }
}

/// IPv6 addresses that reach no further than their site (RFC 4193).
fn is_unique_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unique_local())
}

/// Addresses that RFC 8445 §5.1.1.1 forbids: site-local, and IPv4 in the deprecated form of IPv6.
fn is_deprecated(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => {
            let segments = ip.segments();
            let compatible = segments[..6] == [0; 6] && !ip.is_loopback();
            compatible || segments[0] & 0xFFC0 == 0xFEC0
        }
    }
}
