//! The order in which pairs are checked, as far as it is not in the pairs themselves (RFC 8445
//! §6.1.4).

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use bytes::Bytes;

use super::checks::ALONE;
use super::ids::PairId;
use super::map::Map;
use crate::config::MIN_PACING;

/// The checks that are due, and what holds them up.
#[derive(Debug, Default)]
pub(super) struct CheckList {
    /// Pairs to be checked at once.
    triggered: VecDeque<PairId>,
    /// IP addresses that were sent a check of the check list within the last [`MIN_PACING`].
    asked: Map<IpAddr, Instant>,
    /// Unpaced checks that are left of the first burst.
    pub(super) burst: u32,
    /// The values that checks carry for the owner. Responses carry the first.
    pub(super) embedded: Vec<Bytes>,
    /// The number of times that there were other values.
    pub(super) generation: u32,
    /// When they began to travel on the first pair.
    pub(super) carried_at: Option<Instant>,
    /// A check was answered behind which all values of this generation have travelled.
    pub(super) delivered: u32,
}

impl CheckList {
    pub(super) fn new(burst: u32) -> Self {
        Self { burst, ..Self::default() }
    }

    /// Returns whether the values have travelled on a pair just now, and need no other yet.
    pub(super) fn is_carried(&self, now: Instant) -> bool {
        self.carried_at.is_some_and(|at| now < at + ALONE)
    }

    /// A pair is to be checked at once.
    pub(super) fn trigger(&mut self, id: PairId) {
        self.triggered.push_back(id);
    }

    /// As [`trigger`](Self::trigger), unless that is so already.
    pub(super) fn trigger_once(&mut self, id: PairId) {
        if !self.triggered.contains(&id) {
            self.trigger(id);
        }
    }

    pub(super) fn take_triggered(&mut self) -> VecDeque<PairId> {
        std::mem::take(&mut self.triggered)
    }

    pub(super) fn has_triggered(&self) -> bool {
        !self.triggered.is_empty()
    }

    /// A pair is gone.
    pub(super) fn forget(&mut self, id: PairId) {
        self.triggered.retain(|one| *one != id);
    }

    pub(super) fn forget_triggered(&mut self) {
        self.triggered.clear();
    }

    /// A check goes to this address.
    pub(super) fn note_asked(&mut self, now: Instant, ip: IpAddr) {
        self.asked.insert(ip, now);
    }

    /// Returns whether this address was sent a check just now.
    pub(super) fn is_asked(&self, ip: IpAddr) -> bool {
        self.asked.contains_key(&ip)
    }

    /// Forgets the addresses that may be sent another check.
    pub(super) fn release_asked(&mut self, now: Instant) {
        self.asked.retain(|_, at| now < *at + MIN_PACING);
    }

    /// The time at which the next address may be sent another check.
    pub(super) fn next_release(&self) -> Option<Instant> {
        self.asked.values().min().map(|at| *at + MIN_PACING)
    }
}
