//! The numbers behind the budget: who holds how much, and who has to go.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Evicted, Eviction, Holder};

/// Eviction goes on until this share of the limit is free, one part in so many: the search for the
/// largest account then does not come with every byte.
const FREED_SHARE: u64 = 16;

/// Names an account; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct AccountId(u64);

#[derive(Debug)]
struct Entry {
    network: Option<IpAddr>,
    bytes: u64,
    evicted: bool,
    eviction: Arc<Eviction>,
}

#[derive(Debug)]
pub(super) struct Ledger {
    limit: u64,
    held: [u64; Holder::ALL.len()],
    total: u64,
    /// Held by accounts that are evicted and about to give it back.
    leaving: u64,
    accounts: HashMap<AccountId, Entry>,
    next: u64,
    evictions: u64,
}

impl Ledger {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            held: Default::default(),
            total: 0,
            leaving: 0,
            accounts: HashMap::new(),
            next: 0,
            evictions: 0,
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(super) fn held(&self, holder: Holder) -> u64 {
        self.held.get(holder as usize).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    pub(super) fn open(&mut self, network: Option<IpAddr>, eviction: Arc<Eviction>) -> AccountId {
        let id = AccountId(self.next);
        self.next += 1;
        self.accounts.insert(id, Entry { network, bytes: 0, evicted: false, eviction });
        id
    }

    /// Forgets an account, which holds nothing any more.
    pub(super) fn close(&mut self, id: AccountId) {
        self.accounts.remove(&id);
        // A flood leaves a table behind that the idle server has no use for.
        if self.accounts.capacity() > 1024 && self.accounts.len() < self.accounts.capacity() / 8 {
            self.accounts.shrink_to(self.accounts.len() * 2);
        }
    }

    /// An account holds `after` bytes where it held `before`.
    pub(super) fn change(
        &mut self,
        id: AccountId,
        holder: Holder,
        before: u64,
        after: u64,
    ) -> Result<(), Evicted> {
        let Some(entry) = self.accounts.get_mut(&id) else { return Err(Evicted) };
        if after > before && entry.evicted {
            return Err(Evicted);
        }
        entry.bytes = entry.bytes - before + after;
        if entry.evicted {
            self.leaving = self.leaving - before + after;
        }
        self.count(holder, before, after);
        if after > before && self.is_over() {
            self.relieve();
            if self.accounts.get(&id).is_some_and(|entry| entry.evicted) {
                // It is what was asked for that is not granted; the rest goes when it is dropped.
                return self.change(id, holder, after, before).and(Err(Evicted));
            }
        }
        Ok(())
    }

    pub(super) fn set_queues(&mut self, bytes: u64) {
        let before = self.held(Holder::Queues);
        self.count(Holder::Queues, before, bytes);
        if bytes > before && self.is_over() {
            self.relieve();
        }
    }

    fn count(&mut self, holder: Holder, before: u64, after: u64) {
        if let Some(held) = self.held.get_mut(holder as usize) {
            *held = *held - before + after;
        }
        self.total = self.total - before + after;
    }

    fn is_over(&self) -> bool {
        self.total - self.leaving > self.limit
    }

    /// Evicts the largest accounts of the largest networks until there is room again.
    fn relieve(&mut self) {
        let mut networks: HashMap<IpAddr, u64> = HashMap::new();
        let mut largest: Vec<(u64, AccountId)> = Vec::new();
        for (id, entry) in self.accounts.iter().filter(|(_, entry)| !entry.evicted && entry.bytes > 0) {
            if let Some(network) = entry.network {
                *networks.entry(network).or_default() += entry.bytes;
            }
            largest.push((entry.bytes, *id));
        }
        largest.sort_unstable_by_key(|(bytes, id)| (*bytes, id.0));
        let target = self.limit - self.limit / FREED_SHARE;
        while self.total - self.leaving > target {
            // The network that holds most, or the account without one that holds more than any.
            let most = networks.iter().max_by_key(|(_, bytes)| **bytes).map(|(network, b)| (*network, *b));
            let Some(at) = largest.iter().rposition(|(bytes, id)| {
                let network = self.accounts.get(id).and_then(|entry| entry.network);
                match (network, most) {
                    (Some(network), Some((heaviest, _))) => network == heaviest,
                    (None, Some((_, most))) => *bytes >= most,
                    (_, None) => true,
                }
            }) else {
                return;
            };
            let (bytes, id) = largest.remove(at);
            let Some(entry) = self.accounts.get_mut(&id) else { continue };
            entry.evicted = true;
            entry.eviction.decide();
            if let Some(left) = entry.network.and_then(|network| networks.get_mut(&network)) {
                *left -= bytes;
            }
            networks.retain(|_, bytes| *bytes > 0);
            self.leaving += bytes;
            self.evictions += 1;
        }
    }
}
