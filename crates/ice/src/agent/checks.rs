//! Connectivity checks: their order, and the meaning of their answers (RFC 8445 §6.1.4, §7.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use columba_stun::attributes::{
    ErrorInfo, IceControlled, IceControlling, Priority, UseCandidate, Username, XorMappedAddress,
};
use columba_stun::{BuildError, Class, ErrorCode, Message, MessageBuilder, Method, TransactionId};

use super::Agent;
use super::ids::{Base, LocalId, PairId};
use super::local::Local;
use super::pair::{Check, Pair};
use super::requests::{EMBEDDED, NOMINATION};
use super::transaction::{Kind, Transaction};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, priority};
use crate::config::MIN_PACING;
use crate::event::{Event, Role};
use crate::stats::PairState;

/// The pacing of a side that states none (RFC 8839 §5.5).
const DEFAULT_PACING: Duration = Duration::from_millis(50);

/// The shortest interval of repetitions towards a peer whose round-trip time is known.
const MIN_RTO: Duration = Duration::from_millis(100);

/// The interval of the first repetition of a check to the other side's relay: the check may have
/// arrived before the permission that lets it in.
const RELAY_REPETITION: Duration = Duration::from_millis(100);

/// The timeout of checks of a pair that has failed before: no answer came although the other side's
/// checks did, or it was to stand in for a pair that seemed dead.
const ANOTHER_TIMEOUT: Duration = Duration::from_secs(2);

/// Local candidates discovered by checks from one base, at most: a peer may lie about addresses.
const MAX_DISCOVERED: usize = 8;

/// The longest such interval: the round trip may have been measured over a loss.
const MAX_KNOWN_RTO: Duration = Duration::from_millis(500);

/// Checks of one session that carry the embedded value to addresses that have not answered yet, at
/// most.
const MAX_CARRIED: u32 = 10;

/// Pairs under check on which new embedded values are sent, at most: those over which the other
/// side was heard, and those of the highest priority.
const MAX_EMBEDDED_NOW: usize = 3;

/// The time that embedded values have on the first pair alone: if a check is answered meanwhile,
/// they need not travel on others. Shorter than nearly all round trips to another site.
pub(super) const ALONE: Duration = MIN_PACING;

/// The longest check, in bytes: two user name fragments of 256 bytes, and the embedded value.
const MAX_CHECK: usize = 1900;

impl Agent {
    /// Lets checks go out: triggered ones at once, others at their pace.
    pub(super) fn run_checks(&mut self, now: Instant) {
        if self.config.lite || self.sessions.current().remote.is_none() || self.sessions.current().failed {
            (self.timers.pace, self.timers.spacing) = (None, None);
            return;
        }
        self.checks.release_asked(now);
        for id in self.checks.take_triggered() {
            match self.pairs.get(id).filter(|pair| !pair.is_valid()) {
                Some(pair) if self.checks.is_asked(pair.address.ip()) => self.checks.trigger(id),
                Some(_) => {
                    self.start_listed_check(now, id);
                    // It takes the turn of the next one of the list (RFC 8445 §6.1.4.2).
                    if self.timers.pace.is_none_or(|at| at <= now) {
                        self.timers.pace = Some(now + self.pacing());
                    }
                }
                None => {}
            }
        }
        loop {
            let due = self.timers.pace.is_none_or(|at| at <= now);
            if !due && self.checks.burst == 0 {
                break;
            }
            let Some(id) = self.next_pair(due) else {
                if due {
                    self.timers.pace = None;
                }
                break;
            };
            self.start_listed_check(now, id);
            if due {
                self.timers.pace = Some(now + self.pacing());
            } else {
                self.checks.burst -= 1;
            }
        }
        self.timers.spacing = self.checks.next_release().filter(|_| self.is_held_up());
    }

    /// A check of the check list, triggered or not.
    fn start_listed_check(&mut self, now: Instant, id: PairId) {
        if let Some(pair) = self.pairs.get(id) {
            self.checks.note_asked(now, pair.address.ip());
            self.start_check(now, id, false);
        }
    }

    /// Ta: the longer of the two sides' (RFC 8839 §5.5).
    fn pacing(&self) -> Duration {
        let remote = self.sessions.current().remote.as_ref().and_then(|remote| remote.parameters.pacing);
        self.config.timings.pacing.max(remote.unwrap_or(DEFAULT_PACING)).max(MIN_PACING)
    }

    /// The best pair that waits; if none does, the best frozen one (RFC 8445 §6.1.4.2). Connections
    /// have no part in the first burst, and wait as long as datagrams pass directly: they are
    /// seldom needed.
    fn next_pair(&self, paced: bool) -> Option<PairId> {
        let best = |state: PairState| {
            self.unchecked()
                .filter(|pair| pair.state == state && !self.checks.is_asked(pair.address.ip()))
                .filter(|pair| !pair.base.is_tcp() || (paced && !self.has_datagrams()))
                .max_by_key(|pair| pair.priority)
                .map(|pair| pair.id)
        };
        best(PairState::Waiting).or_else(|| best(PairState::Frozen))
    }

    /// Returns whether a check waits only because its address was asked just now.
    fn is_held_up(&self) -> bool {
        let may = self.checks.burst > 0 || self.timers.pace.is_none();
        let is_asked = |pair: &Pair| self.checks.is_asked(pair.address.ip());
        self.checks.has_triggered() || (may && self.unchecked().any(is_asked))
    }

    /// Pairs that have not been checked, and may be.
    fn unchecked(&self) -> impl Iterator<Item = &Pair> {
        let is_new = |pair: &&Pair| matches!(pair.state, PairState::Waiting | PairState::Frozen);
        let pairs = self.pairs.of(self.sessions.current().id).filter(is_new);
        pairs.filter(|pair| self.is_permitted(pair.base, pair.address.ip()))
    }

    /// RFC 8445 §14.3, with a shorter minimum: see [`Timings::check_rto`](crate::Timings).
    fn check_rto(&self, round_trip: Option<Duration>) -> Duration {
        if let Some(round_trip) = round_trip {
            // Somewhat more than the round trip, so that what is only far is not asked again and
            // again.
            return (round_trip + round_trip / 2).clamp(MIN_RTO, MAX_KNOWN_RTO);
        }
        // Over a connection nothing is repeated.
        let is_active = |pair: &&Pair| {
            !pair.base.is_tcp() && matches!(pair.state, PairState::Waiting | PairState::InProgress)
        };
        let active = self.pairs.of(self.sessions.current().id).filter(is_active).count();
        let active = u32::try_from(active).unwrap_or(u32::MAX);
        self.config.timings.check_rto.max(self.pacing().saturating_mul(active))
    }

    /// Sends a check on a pair; one under way is forgotten.
    pub(super) fn start_check(&mut self, now: Instant, id: PairId, nominate: bool) {
        let Some(pair) = self.pairs.get(id) else { return };
        let rto = self.check_rto(pair.round_trip.smooth);
        let (base, remote, old) = (pair.base, pair.address, pair.check);
        let is_tcp = base.is_tcp();
        if is_tcp && self.path_of(base, remote).is_none() {
            return self.connect(now, id);
        }
        let timeout = match pair.setbacks.one_way.or(pair.setbacks.retried) {
            Some(_) => ANOTHER_TIMEOUT,
            None => self.config.timings.check_timeout,
        };
        let kind = self.remotes.kind(pair.remote);
        let to_relay = kind == Some(CandidateKind::Relayed) && !pair.is_valid() && !is_tcp;
        // TCP repeats by itself (RFC 6544 §7.1).
        let rto = if is_tcp { timeout } else { rto };
        let priority = self.discovered_priority(pair.local);
        if nominate {
            let is_unheard = !self.has_heard(self.sessions.current().id);
            let session = self.sessions.current_mut();
            session.nomination += 1;
            session.nominates_unheard = is_unheard;
        }
        let transaction_id = self.new_transaction_id();
        let carries = !self.checks.is_carried(now) && self.may_carry(id);
        let Some(bytes) = self.build_check(id, transaction_id, priority, nominate, carries) else { return };
        if let Some(old) = old {
            self.transactions.remove(old.transaction);
        }
        let deadline = now + timeout;
        let kind = Kind::Check { pair: id, role: self.roles.role, priority, nominate };
        self.send(base, remote, bytes.clone());
        if carries {
            self.embed_behind(now, id);
        }
        let transaction = Transaction::new(kind, base, remote, bytes, now, rto, deadline)
            .with_quick_repetitions(self.config.timings.quick_repetitions)
            .with_first_repetition(to_relay.then(|| now + RELAY_REPETITION));
        self.transactions.insert(transaction_id, transaction);
        if let Some(pair) = self.pairs.get_mut(id) {
            pair.note_check(Check { transaction: transaction_id, nominates: nominate });
        }
    }

    /// Returns whether a check may carry the embedded value: to an address that has answered, and a
    /// few times to one that was signalled. A check to an address that is only known from an
    /// incoming check is no larger than that one was.
    fn may_carry(&mut self, id: PairId) -> bool {
        let Some(pair) = self.pairs.get(id).filter(|_| !self.checks.embedded.is_empty()) else {
            return false;
        };
        if pair.consent.answered.is_some() {
            return true;
        }
        let remote = self.remotes.get(pair.remote);
        let is_named = remote.is_some_and(|remote| remote.candidate.kind != CandidateKind::PeerReflexive);
        if !is_named || self.sessions.current().carried >= MAX_CARRIED {
            return false;
        }
        self.sessions.current_mut().carried += 1;
        true
    }

    /// Sends the values that a check which has just left could not carry.
    fn embed_behind(&mut self, now: Instant, id: PairId) {
        if self.checks.carried_at.is_none() {
            self.checks.carried_at = Some(now);
            self.timers.embed = Some(now + ALONE);
        }
        for number in 1..self.checks.embedded.len() {
            if !self.may_carry(id) || !self.send_indication(id, number) {
                return;
            }
        }
        if let Some(pair) = self.pairs.get_mut(id) {
            pair.carried = self.checks.generation;
        }
    }

    /// Sends new values on the best pairs under check that have not carried them, so many at most:
    /// their next checks may come late.
    fn embed_on(&mut self, now: Instant, most: usize) {
        let (current, generation) = (self.sessions.current().id, self.checks.generation);
        let is_checked = |pair: &&Pair| {
            pair.state == PairState::InProgress
                && pair.check.is_some()
                && pair.carried != generation
                && !pair.base.is_tcp()
        };
        let rank = |pair: &Pair| (pair.consent.heard.is_some(), pair.priority, pair.id);
        let mut ids: Vec<_> = self.pairs.of(current).filter(is_checked).map(rank).collect();
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let mut sent = 0;
        for (_, _, id) in ids.into_iter().take(MAX_EMBEDDED_NOW) {
            if sent < most && self.may_carry(id) && self.send_indication(id, 0) {
                self.embed_behind(now, id);
                sent += 1;
            }
        }
    }

    /// Sends new values on the best pair under check.
    pub(super) fn embed_now(&mut self, now: Instant) {
        self.embed_on(now, 1);
    }

    /// Sends the values on other pairs, too, if none has answered that has carried them.
    pub(super) fn handle_embed_timer(&mut self, now: Instant) {
        if self.timers.embed.is_none_or(|at| at > now) {
            return;
        }
        self.timers.embed = None;
        if !self.checks.embedded.is_empty() && !self.has_delivered() {
            self.embed_on(now, MAX_EMBEDDED_NOW - 1);
        }
    }

    /// Sends an authentic Binding indication with one of the embedded values. Returns false if it
    /// cannot be made.
    fn send_indication(&mut self, id: PairId, number: usize) -> bool {
        let transaction = self.new_transaction_id();
        let Some(pair) = self.pairs.get(id) else { return false };
        let (base, address) = (pair.base, pair.address);
        let session = self.sessions.get(pair.session);
        let Some((session, remote)) = session.and_then(|one| Some((one, one.remote.as_ref()?))) else {
            return false;
        };
        let Some(value) = self.checks.embedded.get(number) else { return false };
        let username = format!("{}:{}", remote.parameters.credentials.ufrag, session.local.ufrag);
        let mut buffer = [0; MAX_CHECK];
        let build = |buffer: &mut [u8]| -> Result<usize, BuildError> {
            let mut builder = MessageBuilder::new(buffer, Class::Indication, Method::BINDING, transaction)?;
            builder.push(&Username(&username))?.push_raw(EMBEDDED, value)?;
            builder.integrity(&remote.key())?.fingerprint()?;
            Ok(builder.finish())
        };
        let Ok(length) = build(&mut buffer) else { return false };
        self.send(base, address, buffer[..length].into());
        true
    }

    /// Sends a consent check on a valid pair: never repeated.
    pub(super) fn send_consent_check(&mut self, now: Instant, id: PairId, timeout: Duration) {
        let Some(pair) = self.pairs.get(id) else { return };
        let (base, remote, priority) = (pair.base, pair.address, self.discovered_priority(pair.local));
        let transaction_id = self.new_transaction_id();
        let Some(bytes) = self.build_check(id, transaction_id, priority, false, true) else { return };
        let kind = Kind::Consent { pair: id, role: self.roles.role };
        self.send(base, remote, bytes);
        let transaction = Transaction::new(kind, base, remote, Box::default(), now, timeout, now + timeout);
        self.transactions.insert(transaction_id, transaction);
        if let Some(pair) = self.pairs.get_mut(id) {
            pair.consent.asked = Some(now);
            pair.counters.consent_requests_sent += 1;
        }
    }

    /// The priority that a candidate discovered by a check from here would have (RFC 8445 §7.1.1).
    fn discovered_priority(&self, local: LocalId) -> u32 {
        let Some(local) = self.locals.get(local) else { return 1 };
        let candidate = &local.candidate;
        if candidate.kind == CandidateKind::Relayed {
            return candidate.priority;
        }
        let preference = u16::try_from(candidate.priority >> 8 & 0xFFFF).unwrap_or(u16::MAX);
        let kind = CandidateKind::PeerReflexive;
        let of_type = if candidate.transport.is_tcp() { kind.tcp_preference() } else { kind.preference() };
        priority(of_type, preference)
    }

    fn build_check(
        &self,
        id: PairId,
        transaction: TransactionId,
        priority: u32,
        nominate: bool,
        carries: bool,
    ) -> Option<Box<[u8]>> {
        let session = self.sessions.get(self.pairs.get(id)?.session)?;
        let remote = session.remote.as_ref()?;
        let username = format!("{}:{}", remote.parameters.credentials.ufrag, session.local.ufrag);
        let mut buffer = [0; MAX_CHECK];
        let build = |buffer: &mut [u8]| -> Result<usize, BuildError> {
            let mut builder = MessageBuilder::new(buffer, Class::Request, Method::BINDING, transaction)?;
            builder.push(&Username(&username))?.push(&Priority(priority))?;
            match self.roles.role {
                Role::Controlling => builder.push(&IceControlling(self.roles.tie_breaker))?,
                Role::Controlled => builder.push(&IceControlled(self.roles.tie_breaker))?,
            };
            if nominate {
                builder.push(&UseCandidate)?;
                if self.config.renomination && session.renomination() {
                    builder.push_raw(NOMINATION, &session.nomination.to_be_bytes())?;
                }
            }
            if let Some(embedded) = self.checks.embedded.first().filter(|_| carries) {
                builder.push_raw(EMBEDDED, embedded)?;
            }
            builder.integrity(&remote.key())?.fingerprint()?;
            Ok(builder.finish())
        };
        let length = build(&mut buffer).ok()?;
        Some(buffer[..length].into())
    }

    /// An answer has arrived; it counts only if the peer signed it, and if it comes from the
    /// address that was asked (RFC 8445 §7.2.5.2.1).
    pub(super) fn handle_response(
        &mut self,
        now: Instant,
        base: Base,
        remote: SocketAddr,
        answer: &Message<'_>,
    ) {
        let id = answer.transaction_id();
        let Some(transaction) = self.transactions.get(id) else { return };
        if transaction.base != base || transaction.remote != remote {
            self.counters.dropped += 1;
            return;
        }
        if let Some(pair) = transaction.pair() {
            let session = self.pairs.get(pair).and_then(|pair| self.sessions.get(pair.session));
            let remote = session.and_then(|session| session.remote.as_ref());
            if remote.is_none_or(|remote| answer.verify_integrity(&remote.key()).is_err()) {
                self.counters.dropped += 1;
                return;
            }
        }
        let Some(transaction) = self.transactions.remove(id) else { return };
        match transaction.kind {
            Kind::Server { server, first } => {
                self.handle_server_response(now, &transaction, server, first, answer);
            }
            Kind::Check { pair, role, priority, nominate } => {
                self.note_answer(now, pair, &transaction, answer);
                match answer.class() {
                    Class::SuccessResponse => self.handle_success(now, pair, priority, nominate, answer),
                    _ => self.handle_refusal(pair, role, answer),
                }
            }
            Kind::Consent { pair, role } => {
                self.note_answer(now, pair, &transaction, answer);
                match answer.class() {
                    Class::SuccessResponse => self.handle_consent(now, pair),
                    _ => self.handle_refusal(pair, role, answer),
                }
            }
        }
    }

    fn note_answer(&mut self, now: Instant, id: PairId, transaction: &Transaction, answer: &Message<'_>) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        let time = now.saturating_duration_since(transaction.first);
        let once = (transaction.sent == 1).then_some(time);
        pair.note_answer(now, answer.transaction_id(), once, time);
        if let Some(raw) = answer.raw(EMBEDDED) {
            self.outputs.emit(Event::Embedded(bytes::Bytes::copy_from_slice(raw.value)));
        }
        if answer.class() == Class::SuccessResponse {
            self.note_route(id);
        }
    }

    fn handle_success(
        &mut self,
        now: Instant,
        id: PairId,
        priority: u32,
        nominate: bool,
        answer: &Message<'_>,
    ) {
        let Ok(Some(XorMappedAddress(mapped))) = answer.get() else { return self.handle_check_silence(id) };
        let seen_as = self.seen_as(id, mapped, priority);
        let Some(pair) = self.pairs.get_mut(id) else { return };
        let was_valid = pair.is_valid();
        if pair.carried == self.checks.generation {
            self.checks.delivered = pair.carried;
        }
        let claimed = pair.succeed(now, seen_as);
        let (current, foundation) = (pair.session, pair.foundation.clone());
        if !was_valid {
            self.pairs.thaw(current, &foundation);
            if current == self.sessions.current().id && self.sessions.current().valid_since.is_none() {
                self.sessions.current_mut().valid_since = Some(now);
                self.outputs.emit(Event::Writable);
            }
        }
        self.schedule_consent(now, id);
        if !was_valid {
            self.doubt_selected(now, id);
        }
        if nominate && self.roles.role == Role::Controlling {
            self.handle_own_nomination(now, id);
        } else if claimed {
            self.accept_nomination(now, id);
        }
    }

    /// The local candidate that the peer has seen; discovered if it was not known (RFC 8445
    /// §7.2.5.3.1).
    fn seen_as(&mut self, id: PairId, mapped: SocketAddr, priority: u32) -> Option<LocalId> {
        let base = self.pairs.get(id)?.base;
        if let Some(local) = self.locals.find(base, mapped) {
            return Some(local);
        }
        let discovered: Vec<LocalId> =
            self.locals.of(base).filter(|(_, local)| local.is_discovered()).map(|(id, _)| id).collect();
        if discovered.len() >= MAX_DISCOVERED {
            // NATs forget and map anew: one that no pair is seen as any more makes room.
            let in_use = |id: &LocalId| self.pairs.values().any(|pair| pair.seen_as == Some(*id));
            let unused = discovered.into_iter().find(|id| !in_use(id))?;
            self.locals.remove(unused);
        }
        let own = self.locals.get(self.pairs.get(id)?.local)?;
        let related = own.address;
        // From the host's own address, but another port: a connection. What hides the address hides
        // it here, too.
        let hidden = (mapped.ip() == related.ip()).then(|| own.shown_candidate().address);
        let candidate = Candidate {
            priority,
            address: hidden.unwrap_or_else(|| CandidateAddress::Ip(mapped.ip())),
            port: mapped.port(),
            kind: CandidateKind::PeerReflexive,
            related: Some(self.shown_related(related)),
            ..own.candidate.clone()
        };
        let id = self.ids.local();
        self.locals.insert(id, Local::new(base, mapped, candidate).with_shown(false));
        Some(id)
    }

    fn handle_refusal(&mut self, id: PairId, sent_as: Role, answer: &Message<'_>) {
        let code = answer.get().ok().flatten().map(|info: ErrorInfo<'_>| info.code);
        if code == Some(ErrorCode::ROLE_CONFLICT) {
            // An older request's 487 would make the roles flap (RFC 8445 §7.2.5.1).
            if sent_as == self.roles.role {
                self.switch_role();
            }
            if let Some(pair) = self.pairs.get_mut(id).filter(|pair| !pair.is_valid()) {
                pair.state = PairState::Waiting;
                self.checks.trigger(id);
            }
        } else {
            self.handle_check_silence(id);
        }
    }

    /// A check has failed.
    pub(super) fn handle_check_silence(&mut self, id: PairId) {
        if let Some(pair) = self.pairs.get_mut(id) {
            pair.fail();
        }
    }

    pub(super) fn switch_role(&mut self) {
        self.roles.role = self.roles.role.opposite();
        self.reprioritize();
        self.outputs.emit(Event::RoleChanged(self.roles.role));
    }
}
