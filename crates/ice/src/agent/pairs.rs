//! The pairs of all sessions, and the one that carries the data.

use std::net::SocketAddr;
use std::sync::Arc;

use super::ids::{Base, PairId, RemoteId, SessionId};
use super::map::Map;
use super::pair::Pair;
use crate::stats::PairState;

/// The pairs.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pairs: Map<PairId, Pair>,
    /// The data path: the nominated pair, else the best valid one, else the old session's.
    pub(super) active: Option<PairId>,
}

impl Pairs {
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(super) fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.get_mut(&id)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Pair> + Clone {
        self.pairs.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Pair> {
        self.pairs.values_mut()
    }

    pub(super) fn insert(&mut self, pair: Pair) {
        self.pairs.insert(pair.id, pair);
    }

    pub(super) fn remove(&mut self, id: PairId) -> Option<Pair> {
        self.pairs.remove(&id)
    }

    pub(super) fn clear(&mut self) {
        (self.pairs, self.active) = (Map::default(), None);
    }

    /// The pair that carries the data.
    pub(super) fn active(&self) -> Option<&Pair> {
        self.get(self.active?)
    }

    /// The pairs of a session.
    pub(super) fn of(&self, session: SessionId) -> impl Iterator<Item = &Pair> + Clone {
        self.values().filter(move |pair| pair.session == session)
    }

    /// The valid pairs of a session.
    pub(super) fn valid(&self, session: SessionId) -> impl Iterator<Item = &Pair> + Clone {
        self.of(session).filter(|pair| pair.is_valid())
    }

    /// Returns whether a pair of this session may yet become valid.
    pub(super) fn is_pending(&self, session: SessionId) -> bool {
        self.of(session).any(Pair::is_pending)
    }

    pub(super) fn find(&self, session: SessionId, base: Base, address: SocketAddr) -> Option<PairId> {
        self.of(session).find(|pair| pair.base == base && pair.address == address).map(|pair| pair.id)
    }

    /// The pairs of all sessions that send from this base.
    pub(super) fn at(&self, base: Base) -> impl Iterator<Item = &Pair> {
        self.values().filter(move |pair| pair.base == base)
    }

    /// The names of the pairs between this base and this address.
    pub(super) fn between(&self, base: Base, address: SocketAddr) -> Vec<PairId> {
        self.at(base).filter(|pair| pair.address == address).map(|pair| pair.id).collect()
    }

    /// The remote candidates that pairs are made of.
    pub(super) fn remotes(&self) -> Vec<RemoteId> {
        self.values().map(|pair| pair.remote).collect()
    }

    /// The pair with the least right to its place: one that has failed, else the one with the
    /// lowest priority, unless it has shown that it works or the other side has checked it.
    pub(super) fn worst(&self) -> Option<&Pair> {
        let is_unproven = |pair: &&Pair| !pair.is_valid() && pair.consent.heard.is_none();
        self.values().filter(is_unproven).min_by_key(|pair| (pair.state != PairState::Failed, pair.priority))
    }

    /// Lets the other pairs of a foundation be checked whose first pair is valid (RFC 8445
    /// §7.2.5.3.3).
    pub(super) fn thaw(&mut self, session: SessionId, foundation: &(Arc<str>, Arc<str>)) {
        let is_like = |pair: &&mut Pair| pair.session == session && pair.foundation == *foundation;
        for pair in self.values_mut().filter(is_like).filter(|pair| pair.state == PairState::Frozen) {
            pair.state = PairState::Waiting;
        }
    }

    /// A new pair waits rather than freezes unless another of its foundation is on its way (RFC
    /// 8445 §6.1.2.6, RFC 8838 §12).
    pub(super) fn thaw_if_first(&mut self, id: PairId) {
        let Some(pair) = self.get(id) else { return };
        let is_on_way = |other: &Pair| {
            other.id != id
                && other.foundation == pair.foundation
                && matches!(other.state, PairState::Waiting | PairState::InProgress)
        };
        if !self.of(pair.session).any(is_on_way)
            && let Some(pair) = self.get_mut(id)
        {
            pair.state = PairState::Waiting;
        }
    }

    /// Returns whether the active pair has missed an answer.
    pub(super) fn is_active_silent(&self) -> bool {
        self.active().is_some_and(|pair| pair.consent.missed() > 0)
    }

    /// The fewest answers that another valid pair of the session has missed.
    pub(super) fn fewest_missed(&self, session: SessionId, without: PairId) -> Option<u32> {
        self.valid(session).filter(|pair| pair.id != without).map(|pair| pair.consent.missed()).min()
    }
}
