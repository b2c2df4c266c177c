//! Requests under way, and their repetition (RFC 8489 §6.2.1).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use columba_stun::TransactionId;

use super::ids::{Base, PairId, ServerIndex};
use super::map::Map;
use crate::event::Role;

/// The longest time between two repetitions.
const MAX_RTO: Duration = Duration::from_secs(2);

/// A timeout that is handled so much too late shows that the host has stood still: answers may have
/// arrived that it has not read yet.
const STANDSTILL: Duration = Duration::from_millis(50);

/// The time for which they are waited for.
const REPRIEVE: Duration = Duration::from_millis(50);

/// A check through a relay that was sent so often without an answer makes the relay itself
/// doubtful.
pub(super) const DOUBTFUL: u32 = 5;

/// A repetition is not triggered again within this time.
const RECENT: Duration = Duration::from_millis(20);

/// Repetitions of one check that the other side's checks bring about, at most: where no answer ever
/// comes, each side's would bring about the other's for ever.
pub(super) const MAX_PROMPTS: u32 = 3;

/// The requests that wait for their answers: one for each pair under check, and one for each socket
/// and server.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    transactions: Map<TransactionId, Transaction>,
    /// When the host last went on after a standstill: misses of checks from before prove little.
    pub(super) woke: Option<Instant>,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) kind: Kind,
    pub(super) base: Base,
    pub(super) remote: SocketAddr,
    bytes: Box<[u8]>,
    /// When it was sent first and last.
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) sent: u32,
    pub(super) rto: Duration,
    /// Repetitions that are still to come at the first interval.
    pub(super) quick: u32,
    /// Repetitions that the other side's checks have brought about.
    pub(super) prompts: u32,
    /// When it is repeated or given up.
    pub(super) next: Instant,
    pub(super) deadline: Instant,
    /// It was counted as missed, but its answer still counts.
    pub(super) late: bool,
    /// It was to be given up when the host had stood still, and got some more time.
    reprieved: bool,
}

/// The purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A connectivity check.
    Check {
        pair: PairId,
        /// The role under which it was sent.
        role: Role,
        /// The priority of a candidate that it discovers.
        priority: u32,
        nominate: bool,
    },
    /// A consent check: never repeated, another one follows.
    Consent { pair: PairId, role: Role },
    /// A request for the reflexive address. `first`: gathering waits for it.
    Server { server: ServerIndex, first: bool },
}

impl Transactions {
    pub(super) fn get(&self, id: TransactionId) -> Option<&Transaction> {
        self.transactions.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: TransactionId) -> Option<&mut Transaction> {
        self.transactions.get_mut(&id)
    }

    pub(super) fn insert(&mut self, id: TransactionId, transaction: Transaction) {
        self.transactions.insert(id, transaction);
    }

    pub(super) fn remove(&mut self, id: TransactionId) -> Option<Transaction> {
        self.transactions.remove(&id)
    }

    pub(super) fn clear(&mut self) {
        self.transactions.clear();
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.transactions.values().map(|transaction| transaction.next).min()
    }

    /// The requests whose time has come.
    pub(super) fn due(&self, now: Instant) -> Vec<TransactionId> {
        self.transactions.iter().filter(|(_, one)| one.next <= now).map(|(id, _)| *id).collect()
    }

    /// Returns whether gathering waits for a server's answer.
    pub(super) fn is_gathering(&self) -> bool {
        self.transactions.values().any(|one| matches!(one.kind, Kind::Server { first: true, .. }))
    }

    /// The servers that are being asked from a base.
    pub(super) fn servers_asked(&self, base: Base) -> Vec<SocketAddr> {
        let is_asked = |one: &&Transaction| one.base == base && matches!(one.kind, Kind::Server { .. });
        self.transactions.values().filter(is_asked).map(|one| one.remote).collect()
    }

    /// Forgets the requests to servers.
    pub(super) fn forget_servers(&mut self) {
        self.transactions.retain(|_, one| one.pair().is_some());
    }

    /// Forgets the checks of a pair.
    pub(super) fn forget_pair(&mut self, id: PairId) {
        self.transactions.retain(|_, one| one.pair() != Some(id));
    }

    /// Forgets what was sent from this base, to this address or to any.
    pub(super) fn forget(&mut self, base: Base, remote: Option<SocketAddr>) {
        let is_kept =
            |one: &Transaction| one.base != base || remote.is_some_and(|remote| one.remote != remote);
        self.transactions.retain(|_, one| is_kept(one));
    }
}

impl Transaction {
    /// A request that goes out now.
    pub(super) fn new(
        kind: Kind,
        base: Base,
        remote: SocketAddr,
        bytes: Box<[u8]>,
        now: Instant,
        rto: Duration,
        deadline: Instant,
    ) -> Self {
        let next = (now + rto).min(deadline);
        Self {
            kind,
            base,
            remote,
            bytes,
            first: now,
            last: now,
            sent: 1,
            rto,
            quick: 0,
            prompts: 0,
            next,
            deadline,
            late: false,
            reprieved: false,
        }
    }

    /// The first so many repetitions come at equal distances.
    pub(super) fn with_quick_repetitions(self, quick: u32) -> Self {
        Self { quick, ..self }
    }

    /// The first repetition comes sooner than the others.
    pub(super) fn with_first_repetition(self, at: Option<Instant>) -> Self {
        Self { next: at.map_or(self.next, |at| at.min(self.next)), ..self }
    }

    pub(super) fn pair(&self) -> Option<PairId> {
        match self.kind {
            Kind::Check { pair, .. } | Kind::Consent { pair, .. } => Some(pair),
            Kind::Server { .. } => None,
        }
    }

    /// Waits on for an answer, however late.
    pub(super) fn linger(&mut self, until: Instant) {
        self.late = true;
        self.next = until;
        self.deadline = until;
    }

    /// Returns whether it would be given up now, had the host not stood still when its time came;
    /// then it is given a little more.
    pub(super) fn is_reprieved(&mut self, now: Instant) -> bool {
        let is_verdict = match self.kind {
            Kind::Consent { .. } => true,
            Kind::Check { .. } => self.deadline <= now,
            Kind::Server { .. } => false,
        };
        let reprieved = is_verdict
            && !self.late
            && !self.reprieved
            && now.saturating_duration_since(self.next) > STANDSTILL;
        if reprieved {
            self.reprieved = true;
            self.next = now + REPRIEVE;
            self.deadline = self.next;
        }
        reprieved
    }

    /// Returns whether the last repetition is long enough ago. TCP repeats by itself (RFC 6544
    /// §7.1).
    pub(super) fn may_be_repeated(&self, now: Instant) -> bool {
        !self.base.is_tcp() && now.saturating_duration_since(self.last) >= RECENT
    }

    /// The bytes of a repetition, and when the next is due.
    pub(super) fn repeat(&mut self, now: Instant) -> Box<[u8]> {
        self.sent += 1;
        self.last = now;
        match self.quick.checked_sub(1) {
            Some(left) => self.quick = left,
            None => self.rto = (self.rto * 2).min(MAX_RTO),
        }
        self.next = (now + self.rto).min(self.deadline);
        self.bytes.clone()
    }
}
