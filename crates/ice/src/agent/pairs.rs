//! Pairs: formed, ordered, pruned and bounded (RFC 8445 §6.1.2).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_stun::TransactionId;

use super::streams::may_connect;
use super::{Agent, Base};
use crate::candidate::{CandidateKind, pair_priority};
use crate::event::Role;
use crate::stats::{PairCounters, PairState};

/// Names a pair.
pub(super) type PairId = u32;

/// A candidate pair.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) id: PairId,
    pub(super) session: u32,
    pub(super) base: Base,
    /// The local host or relayed candidate.
    pub(super) local: u32,
    /// The local candidate as the other side sees it, known once the pair is valid.
    pub(super) seen_as: Option<u32>,
    pub(super) remote: u32,
    pub(super) address: SocketAddr,
    pub(super) priority: u64,
    pub(super) foundation: (Arc<str>, Arc<str>),
    pub(super) state: PairState,
    /// The check under way.
    pub(super) check: Option<TransactionId>,
    pub(super) nominated: bool,
    /// The controlling side has nominated it before it was valid here (RFC 8445 §7.3.1.5).
    pub(super) nominate_on_success: bool,
    /// When the controlling side last nominated it, if it does that without numbers.
    pub(super) claimed: Option<Instant>,
    /// The nomination in a check under way.
    pub(super) nominating: bool,
    /// When anything authentic last came from there.
    pub(super) heard: Option<Instant>,
    /// When a check of consent was last sent.
    pub(super) asked: Option<Instant>,
    /// When it last fell under suspicion.
    questioned: Option<Instant>,
    /// Checks of consent that are still to be sent although the last one may yet be answered.
    pub(super) questions: u32,
    /// When a check was last answered: consent (RFC 7675).
    pub(super) answered: Option<Instant>,
    /// When a check last failed although the other side's came through all the while.
    pub(super) one_way: Option<Instant>,
    /// When it was last checked once more although it had failed, because the pair in use seemed dead.
    pub(super) retried: Option<Instant>,
    /// The way to the relay's server is another one, on which no check has been answered yet.
    pub(super) rerouted: bool,
    /// Since when checks go unanswered, and how many.
    pub(super) silent_since: Option<Instant>,
    pub(super) missed: u32,
    /// The next consent or keepalive check of a valid pair.
    pub(super) next_check: Option<Instant>,
    pub(super) round_trip: Option<Duration>,
    /// By how much round-trip times differ from their mean.
    pub(super) round_trip_deviation: Duration,
    pub(super) counters: PairCounters,
}

/// How long a nomination without a number stands against that of a worse pair: twice as long as Chromium leaves between two checks of the
/// path that it uses.
const STALE_NOMINATION: Duration = Duration::from_secs(5);

/// A round trip of more than that is too long to wait for an answer before the next question is asked.
const LONG: Duration = Duration::from_millis(250);

impl Pair {
    /// Whether the controlling side has nominated it a short while ago, without a number.
    pub(super) fn is_meant(&self, now: Instant) -> bool {
        self.claimed.is_some_and(|at| now.saturating_duration_since(at) < STALE_NOMINATION)
    }

    /// Has it asked at once, if it is not being asked already: the answer, or its absence, leads to the next question. Where that would
    /// be long in coming, a single check under way is not waited for.
    pub(super) fn question(&mut self, now: Instant, questions: u32) {
        let is_questioned = self.questioned.is_some_and(|at| self.answered.is_none_or(|answer| answer < at));
        let is_long = self.round_trip.is_some_and(|round_trip| round_trip > LONG);
        if self.missed == 0 && !is_questioned && (is_long || !self.is_asked()) {
            self.questioned = Some(now);
            self.next_check = Some(now);
            self.questions = questions;
        }
    }

    /// Whether a check of consent is on its way, and not missed yet.
    pub(super) fn is_asked(&self) -> bool {
        self.missed == 0 && self.asked.is_some_and(|asked| self.answered.is_none_or(|at| at < asked))
    }

    pub(super) fn is_valid(&self) -> bool {
        self.state == PairState::Succeeded
    }

    /// Whether its fate is still open.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, PairState::Frozen | PairState::Waiting | PairState::InProgress)
    }
}

impl Agent {
    /// Pairs a new local candidate with all remote ones of the current generation.
    pub(super) fn pair_local(&mut self, now: Instant, local: u32) {
        let session = self.session().number;
        let remotes: Vec<u32> =
            self.remotes.iter().filter(|(_, remote)| remote.session == session).map(|(id, _)| *id).collect();
        for remote in remotes {
            self.pair(now, local, remote);
        }
    }

    /// Pairs a new remote candidate with all local ones.
    pub(super) fn pair_remote(&mut self, now: Instant, remote: u32) {
        let locals: Vec<u32> = self.locals.keys().copied().collect();
        for local in locals {
            self.pair(now, local, remote);
        }
    }

    /// Forms one pair, if the two fit. Reflexive local candidates are left out: they send from their base, whose pair is
    /// the same (RFC 8445 §6.1.2.4).
    fn pair(&mut self, now: Instant, local: u32, remote: u32) {
        let (Some(one), Some(other)) = (self.locals.get(&local), self.remotes.get(&remote)) else { return };
        let kind = matches!(one.candidate.kind, CandidateKind::Host | CandidateKind::Relayed);
        // Who has only prepared to answer sends nothing to who offers: a check would show where this side is.
        if self.config.lite
            || self.is_pooling()
            || !self.is_local_current(local)
            || !kind
            || !one.candidate.transport.reaches(other.candidate.transport)
            || (one.candidate.transport.is_tcp() && (self.is_tcp_needless() || !may_connect(other.address)))
            // TCP would connect a port to itself.
            || (one.candidate.transport.is_tcp() && one.address == other.address)
            || !can_reach(one.candidate.kind, one.address.ip(), other.address.ip())
        {
            return;
        }
        let (session, base, address) = (other.session, one.base, other.address);
        if self.find_pair(session, base, address).is_some() || self.is_refused(base, address.ip()) {
            return;
        }
        if let Some(id) = self.insert_pair(session, local, remote)
            && let Some(pair) = self.pairs.get(&id)
        {
            let (foundation, address) = (pair.foundation.clone(), pair.address);
            self.thaw_if_first(session, id, &foundation);
            if let Base::Relay(relay) = base {
                self.permit(now, relay, address.ip());
            }
        }
    }

    /// Adds a pair, frozen; `None` if there are too many better ones.
    pub(super) fn insert_pair(&mut self, session: u32, local: u32, remote: u32) -> Option<PairId> {
        let (one, other) = (self.locals.get(&local)?, self.remotes.get(&remote)?);
        let priority = self.priority_of(one.candidate.priority, other.candidate.priority);
        let foundation = (one.candidate.foundation.clone(), other.candidate.foundation.clone());
        let (base, address) = (one.base, other.address);
        if self.pairs.len() >= self.config.max_pairs.max(1) {
            let worst = self
                .pairs
                .values()
                .filter(|pair| !pair.is_valid() && pair.heard.is_none())
                .min_by_key(|pair| (pair.state != PairState::Failed, pair.priority))?;
            if worst.state != PairState::Failed && worst.priority >= priority {
                return None;
            }
            let worst = worst.id;
            self.remove_pairs(|pair| pair.id == worst);
        }
        let id = self.new_id();
        let pair = Pair {
            id,
            session,
            base,
            local,
            seen_as: None,
            remote,
            address,
            priority,
            foundation,
            state: PairState::Frozen,
            check: None,
            nominated: false,
            nominate_on_success: false,
            claimed: None,
            nominating: false,
            heard: None,
            asked: None,
            questioned: None,
            questions: 0,
            answered: None,
            one_way: None,
            retried: None,
            rerouted: false,
            silent_since: None,
            missed: 0,
            next_check: None,
            round_trip: None,
            round_trip_deviation: Duration::ZERO,
            counters: PairCounters::default(),
        };
        self.pairs.insert(id, pair);
        Some(id)
    }

    /// A new pair waits rather than freezes unless another of its foundation is on its way (RFC 8445 §6.1.2.6, RFC 8838 §12).
    fn thaw_if_first(&mut self, session: u32, id: PairId, foundation: &(Arc<str>, Arc<str>)) {
        let blocked = self.pairs.values().any(|pair| {
            pair.id != id
                && pair.session == session
                && pair.foundation == *foundation
                && matches!(pair.state, PairState::Waiting | PairState::InProgress)
        });
        if !blocked && let Some(pair) = self.pairs.get_mut(&id) {
            pair.state = PairState::Waiting;
        }
    }

    pub(super) fn find_pair(&self, session: u32, base: Base, address: SocketAddr) -> Option<PairId> {
        self.pairs
            .values()
            .find(|pair| pair.session == session && pair.base == base && pair.address == address)
            .map(|pair| pair.id)
    }

    fn priority_of(&self, local: u32, remote: u32) -> u64 {
        match self.role {
            Role::Controlling => pair_priority(local, remote),
            Role::Controlled => pair_priority(remote, local),
        }
    }

    /// Computes all pairs' priorities anew: the role or a candidate has changed.
    pub(super) fn reprioritize(&mut self) {
        let mut pairs = std::mem::take(&mut self.pairs);
        for pair in pairs.values_mut() {
            if let (Some(local), Some(remote)) =
                (self.locals.get(&pair.local), self.remotes.get(&pair.remote))
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
            if let Some(pair) = self.pairs.remove(&id)
                && let Some(check) = pair.check
            {
                self.transactions.remove(&check);
            }
            self.transactions.retain(|_, transaction| transaction.pair() != Some(id));
            self.triggered.retain(|one| *one != id);
            for session in &mut self.sessions {
                session.selected = session.selected.filter(|one| *one != id);
            }
        }
    }
}

/// Whether packets from an address to the other make sense: of one family, and of one scope (RFC 8445 §6.1.2.2, RFC 8421).
/// A relay reaches what it reaches from its own place.
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
