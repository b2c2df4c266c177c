//! Pairs: formed, ordered, pruned and bounded (RFC 8445 §6.1.2).

use std::net::IpAddr;
use std::time::Instant;

use super::Agent;
use super::ids::{Base, LocalId, PairId, RemoteId, SessionId};
use super::pair::Pair;
use crate::candidate::{CandidateKind, may_connect, pair_priority};
use crate::event::Role;
use crate::stats::PairState;

impl Agent {
    /// Pairs a new local candidate with all remote ones of the current session.
    pub(super) fn pair_local(&mut self, now: Instant, local: LocalId) {
        let session = self.sessions.current().id;
        let remotes: Vec<RemoteId> = self.remotes.of(session).map(|(id, _)| id).collect();
        for remote in remotes {
            self.pair(now, local, remote);
        }
    }

    /// Pairs a new remote candidate with all local ones.
    pub(super) fn pair_remote(&mut self, now: Instant, remote: RemoteId) {
        for local in self.locals.ids() {
            self.pair(now, local, remote);
        }
    }

    /// Forms one pair, if the two fit. Reflexive local candidates are left out: they send from
    /// their base, whose pair is the same (RFC 8445 §6.1.2.4).
    fn pair(&mut self, now: Instant, local: LocalId, remote: RemoteId) {
        let (Some(one), Some(other)) = (self.locals.get(local), self.remotes.get(remote)) else { return };
        // A pool sends nothing to the other side: a check would show this side's address.
        if self.config.lite
            || self.gathering.is_pooling()
            || !self.is_local_current(local)
            || !one.is_base()
            || !one.candidate.transport.reaches(other.candidate.transport)
            || (one.candidate.transport.is_tcp() && (self.is_tcp_needless() || !may_connect(other.address)))
            // TCP would connect a port to itself.
            || (one.candidate.transport.is_tcp() && one.address == other.address)
            || !can_reach(one.candidate.kind, one.address.ip(), other.address.ip())
        {
            return;
        }
        let (session, base, address) = (other.session, one.base, other.address);
        if self.pairs.find(session, base, address).is_some() || self.is_refused(base, address.ip()) {
            return;
        }
        if let Some(id) = self.insert_pair(session, local, remote)
            && let Some(pair) = self.pairs.get(id)
        {
            let address = pair.address;
            self.pairs.thaw_if_first(id);
            if let Base::Relay(relay) = base {
                self.relays.permit(now, relay, address.ip());
            }
        }
    }

    /// Adds a pair, frozen; `None` if there are too many better ones.
    pub(super) fn insert_pair(
        &mut self,
        session: SessionId,
        local: LocalId,
        remote: RemoteId,
    ) -> Option<PairId> {
        let (one, other) = (self.locals.get(local)?, self.remotes.get(remote)?);
        let priority = self.priority_of(one.candidate.priority, other.candidate.priority);
        if self.pairs.len() >= self.config.max_pairs.max(1) {
            let worst = self.pairs.worst()?;
            if worst.state != PairState::Failed && worst.priority >= priority {
                return None;
            }
            let worst = worst.id;
            self.remove_pairs(|pair| pair.id == worst);
        }
        let (one, other) = (self.locals.get(local)?, self.remotes.get(remote)?);
        let id = self.ids.pair();
        let pair = Pair::new(id, session, (local, one), (remote, other), priority);
        self.pairs.insert(pair);
        Some(id)
    }

    fn priority_of(&self, local: u32, remote: u32) -> u64 {
        match self.roles.role {
            Role::Controlling => pair_priority(local, remote),
            Role::Controlled => pair_priority(remote, local),
        }
    }

    /// Computes all pairs' priorities anew: the role or a candidate has changed.
    pub(super) fn reprioritize(&mut self) {
        let mut pairs = std::mem::take(&mut self.pairs);
        for pair in pairs.values_mut() {
            if let (Some(local), Some(remote)) = (self.locals.get(pair.local), self.remotes.get(pair.remote))
            {
                pair.priority = self.priority_of(local.candidate.priority, remote.candidate.priority);
            }
        }
        self.pairs = pairs;
    }

    /// Removes pairs with all that hangs on them.
    pub(super) fn remove_pairs(&mut self, doomed: impl Fn(&Pair) -> bool) {
        let gone: Vec<PairId> = self.pairs.values().filter(|pair| doomed(pair)).map(|pair| pair.id).collect();
        for id in gone {
            if let Some(pair) = self.pairs.remove(id)
                && let Some(check) = pair.check
            {
                self.transactions.remove(check.transaction);
            }
            self.transactions.forget_pair(id);
            self.checks.forget(id);
            self.sessions.forget_pair(id);
        }
    }
}

/// Returns whether packets can go from one address to the other: of one family, and of one scope
/// (RFC 8445 §6.1.2.2, RFC 8421). A relay sends from its own network.
fn can_reach(kind: CandidateKind, local: IpAddr, remote: IpAddr) -> bool {
    let same_family = local.is_ipv4() == remote.is_ipv4();
    same_family
        && is_link_local(local) == is_link_local(remote)
        && (kind == CandidateKind::Relayed || local.is_loopback() == remote.is_loopback())
}

/// Only IPv6: link-local IPv4 addresses are ordinary ones where they are used at all.
fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
