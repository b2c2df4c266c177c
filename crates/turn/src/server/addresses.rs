//! The addresses that clients allocate from: an account for each, and limits on each and on the
//! networks around it.

use std::net::IpAddr;
use std::time::Instant;

use columba_stun::ErrorCode;

use super::answers::prefix;
use super::bucket::{Account, AccountId, Accounts};
use super::config::Config;
use super::hash::Keyed;
use columba_limits::{Excess, PrefixLimits, Prefixes};

/// The accounts, and what networks hold.
#[derive(Debug)]
pub(super) struct Addresses {
    accounts: Accounts<(bool, u128)>,
    networks: Prefixes,
}

impl Addresses {
    pub(super) fn new(keyed: Keyed, config: &Config) -> Self {
        let total = u32::try_from(config.max_allocations).unwrap_or(u32::MAX);
        let limits = PrefixLimits { total, per_client: config.max_allocations_per_address };
        Self { accounts: Accounts::new(keyed, config.max_allocations), networks: Prefixes::new(limits) }
    }

    /// Returns whether a client at this address may have `more` allocations.
    pub(super) fn check(&self, ip: IpAddr, more: u32) -> Result<(), ErrorCode> {
        self.networks.check(ip, more).map_err(|excess| match excess {
            Excess::Client | Excess::Network => ErrorCode::ALLOCATION_QUOTA_REACHED,
            Excess::Total => ErrorCode::INSUFFICIENT_CAPACITY,
        })
    }

    /// Returns whether a client at this address has an allocation.
    pub(super) fn has_client(&self, ip: IpAddr) -> bool {
        self.accounts.open_of(&key(ip)) > 0
    }

    /// One allocation more at this address.
    pub(super) fn open(&mut self, now: Instant, ip: IpAddr) -> AccountId {
        let (is_ipv6, bits) = key(ip);
        self.networks.add(address(is_ipv6, bits), 1);
        self.accounts.open(now, (is_ipv6, bits))
    }

    /// One allocation less.
    pub(super) fn close(&mut self, now: Instant, id: AccountId) {
        if let Some((is_ipv6, bits)) = self.accounts.key_of(id).copied() {
            self.networks.give_back(address(is_ipv6, bits), 1);
        }
        self.accounts.close(now, id);
    }

    /// The number of accounts, idle ones included, and of networks that hold something.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.accounts.len() + self.networks.len()
    }

    pub(super) fn get_mut(&mut self, id: AccountId) -> Option<&mut Account> {
        self.accounts.get_mut(id)
    }
}

/// The unit that counts as one address: an IPv4 address, or an IPv6 /64.
fn key(ip: IpAddr) -> (bool, u128) {
    prefix(ip, 32, 64)
}

/// The first address with this key.
fn address(is_ipv6: bool, bits: u128) -> IpAddr {
    if is_ipv6 { IpAddr::from((bits << 64).to_be_bytes()) } else { IpAddr::from((bits as u32).to_be_bytes()) }
}
