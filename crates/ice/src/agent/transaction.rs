//! Requests under way, and their repetition (RFC 8489 §6.2.1).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::pairs::PairId;
use super::{Agent, Base};
use crate::event::Role;

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
    rto: Duration,
    /// Repetitions that are still to come at the first distance.
    quick: u32,
    /// How often the other side's check has brought about a repetition.
    prompts: u32,
    /// When it is repeated or given up.
    pub(super) next: Instant,
    deadline: Instant,
    /// It has been missed already, but its answer still counts.
    late: bool,
    /// It was to be given up when the host had stood still, and got some more time.
    reprieved: bool,
}

/// What it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A connectivity check.
    Check {
        pair: PairId,
        /// The role under which it was sent.
        role: Role,
        /// What a candidate discovered by it has for a priority.
        priority: u32,
        nominate: bool,
    },
    /// A consent check: never repeated, another one follows.
    Consent { pair: PairId, role: Role },
    /// What does my address look like? `first`: gathering waits for it.
    Server { server: usize, first: bool },
}

/// The longest time between two repetitions.
const MAX_RTO: Duration = Duration::from_secs(2);

/// A host that comes so much later than it was told to has stood still: answers may have arrived that it has not read yet.
const STANDSTILL: Duration = Duration::from_millis(50);

/// So long are they waited for.
const REPRIEVE: Duration = Duration::from_millis(50);

/// A check through a relay that was sent so often without an answer makes the relay itself doubtful.
const DOUBTFUL: u32 = 5;

/// A repetition is not triggered again within this time.
const RECENT: Duration = Duration::from_millis(20);

/// Repetitions of one check that the other side's checks bring about, at most: where no answer ever comes, each side's would
/// bring about the other's for ever.
const MAX_PROMPTS: u32 = 3;

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
    fn linger(&mut self, until: Instant) {
        self.late = true;
        self.next = until;
        self.deadline = until;
    }

    /// Whether it would be given up now, had the host not stood still when its time came; then it is given a little more.
    fn is_reprieved(&mut self, now: Instant) -> bool {
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

    /// Whether a repetition now would be more than the last one again. TCP repeats by itself (RFC 6544 §7.1).
    fn may_be_repeated(&self, now: Instant) -> bool {
        !matches!(self.base, Base::Tcp(_)) && now.saturating_duration_since(self.last) >= RECENT
    }

    /// The bytes of a repetition, and when the next is due.
    fn repeat(&mut self, now: Instant) -> Box<[u8]> {
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

impl Agent {
    /// Repeats what is due, and gives up what had its time.
    pub(super) fn expire_transactions(&mut self, now: Instant) {
        let due: Vec<_> =
            self.transactions.iter().filter(|(_, one)| one.next <= now).map(|(id, _)| *id).collect();
        for id in due {
            let Some(transaction) = self.transactions.get_mut(&id) else { continue };
            if transaction.is_reprieved(now) {
                self.woke = Some(now);
                continue;
            }
            if let (Kind::Consent { pair, .. }, false) = (transaction.kind, transaction.late) {
                // On a path that has become slow all answers come late, and yet the other side consents.
                let sent = transaction.first;
                transaction.linger(sent + self.config.timings.consent_timeout);
                self.handle_consent_silence(now, pair, sent);
                continue;
            }
            if transaction.deadline > now {
                let bytes = transaction.repeat(now);
                let (base, remote, pair) = (transaction.base, transaction.remote, transaction.pair());
                if let (Base::Relay(relay), Kind::Check { .. }) = (base, transaction.kind)
                    && transaction.sent == DOUBTFUL
                {
                    self.doubt_relay(now, relay);
                }
                if let Some(pair) = pair.and_then(|pair| self.pairs.get_mut(&pair)) {
                    pair.counters.retransmissions_sent += 1;
                }
                self.send(base, remote, bytes);
                continue;
            }
            let Some(transaction) = self.transactions.remove(&id) else { continue };
            match transaction.kind {
                Kind::Check { pair, .. } => {
                    if let Some(pair) = self.pairs.get_mut(&pair)
                        && pair.heard.is_some_and(|at| at >= transaction.first)
                    {
                        pair.one_way = Some(now);
                    }
                    self.handle_check_silence(pair);
                }
                Kind::Consent { .. } => {}
                Kind::Server { server, first } => self.handle_server_silence(&transaction, server, first),
            }
        }
    }

    /// The other side's check has come through: what kept this side's out may be gone.
    pub(super) fn answer_prompt(&mut self, now: Instant, pair: PairId) {
        let check = self.pairs.get(&pair).and_then(|pair| pair.check);
        let transaction = check.and_then(|id| self.transactions.get_mut(&id));
        if let Some(transaction) = transaction.filter(|one| one.prompts < MAX_PROMPTS) {
            transaction.prompts += u32::from(transaction.may_be_repeated(now));
            self.repeat_now(now, pair);
        }
    }

    /// Repeats the check under way, and does so again as in its beginning: repetitions are worth while now.
    pub(super) fn repeat_now(&mut self, now: Instant, pair: PairId) {
        let check = self.pairs.get(&pair).and_then(|pair| pair.check);
        let (rto, quick) = (self.config.timings.check_rto, self.config.timings.quick_repetitions);
        let transaction = check.and_then(|id| self.transactions.get_mut(&id));
        let Some(transaction) = transaction.filter(|one| one.may_be_repeated(now)) else { return };
        (transaction.rto, transaction.quick) = (rto, quick);
        let bytes = transaction.repeat(now);
        let (base, remote) = (transaction.base, transaction.remote);
        if let Some(pair) = self.pairs.get_mut(&pair) {
            pair.counters.retransmissions_sent += 1;
        }
        self.send(base, remote, bytes);
    }
}
