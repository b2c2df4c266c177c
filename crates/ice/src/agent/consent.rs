//! Keeping paths: consent (RFC 7675), keepalives of pairs in reserve, dead paths found early.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use super::Agent;
use super::ids::{Base, PairId};
use super::pair::{MISSED, Pair};
use crate::config::MIN_PACING;
use crate::event::{Event, Role};
use crate::stats::PairState;

/// Valid pairs kept alive beside the one in use.
const RESERVE: usize = 3;

/// A consent check without an answer for this time counts as missed, unless the path's round-trip
/// time is longer.
const CONSENT_RTO: Duration = Duration::from_millis(400);

/// The same where another path is known to work: leaving too early costs little then.
const QUICK_CONSENT_RTO: Duration = Duration::from_millis(150);

/// When another pair becomes valid and nothing has arrived for this time over the one in use, that
/// one is checked: the other side may have lost an address.
const DOUBT: Duration = Duration::from_millis(100);

/// The time beyond the round-trip time after which an answer is missed; more where that time
/// varies.
const MARGIN: Duration = Duration::from_millis(200);

/// The longest time without an answer before a check counts as missed.
const MAX_CONSENT_RTO: Duration = Duration::from_secs(3);

/// A silent path is found dead within this time after the first question: where the round trip is
/// so long that asking one question after the other would take longer, they overlap. For the same
/// time another path may be in doubt before there is none.
const INQUIRY: Duration = Duration::from_millis(1400);

/// The shortest interval of overlapping questions.
const QUESTION_DISTANCE: Duration = Duration::from_millis(100);

/// Pairs that are tried at once when the one in use seems dead.
const STAND_INS: usize = 6;

/// The alternatives to a dead pair.
pub(super) enum Fallback {
    /// Another pair that works.
    Other,
    /// One that has missed a check, which may have been lost, or has not answered any yet: it may
    /// show by this time that it works.
    Until(Instant),
    None,
}

impl Agent {
    /// Plans the next check of a valid pair: consent where data goes, else a keepalive for the best
    /// few.
    pub(super) fn schedule_consent(&mut self, now: Instant, id: PairId) {
        if self.config.lite {
            return;
        }
        let in_use = self.is_in_use(id);
        let interval = if in_use {
            let mean = self.config.timings.consent_interval;
            self.around(mean)
        } else {
            self.config.timings.keepalive
        };
        let reserve = in_use || self.is_in_reserve(id);
        if let Some(pair) = self.pairs.get_mut(id).filter(|pair| pair.is_valid()) {
            let at = now + interval;
            let sooner = pair.consent.next.filter(|known| *known > now && *known < at);
            pair.consent.next = reserve.then_some(sooner.unwrap_or(at));
        }
    }

    pub(super) fn is_in_use(&self, id: PairId) -> bool {
        self.pairs.active == Some(id) || self.sessions.current().selected == Some(id)
    }

    fn is_in_reserve(&self, id: PairId) -> bool {
        let Some(pair) = self.pairs.get(id) else { return false };
        let better = self.pairs.values().filter(|other| other.is_valid() && other.priority > pair.priority);
        better.count() <= RESERVE
    }

    /// Sends the checks of valid pairs that are due.
    pub(super) fn check_liveness(&mut self, now: Instant) {
        // The second time for those that the first has made due.
        for _ in 0..2 {
            self.ask_those_due(now);
        }
    }

    fn ask_those_due(&mut self, now: Instant) {
        let due: Vec<PairId> = self
            .pairs
            .values()
            .filter(|pair| pair.consent.next.is_some_and(|at| at <= now))
            .map(|pair| pair.id)
            .collect();
        for id in due {
            let Some(pair) = self.pairs.get_mut(id) else { continue };
            pair.consent.next = None;
            if pair.is_valid() {
                self.ask_in_turn(now, id);
            }
        }
    }

    /// Sends a consent check.
    pub(super) fn ask(&mut self, now: Instant, id: PairId) {
        let timeout = self.consent_rto(id);
        self.send_consent_check(now, id, timeout);
    }

    /// Sends a check that is due, and plans the next one.
    fn ask_in_turn(&mut self, now: Instant, id: PairId) {
        self.ask(now, id);
        self.schedule_consent(now, id);
        let (timeout, in_use) = (self.consent_rto(id), self.is_in_use(id));
        if timeout * MISSED > INQUIRY
            && let Some(pair) = self.pairs.get_mut(id)
            && pair.consent.questions > 0
        {
            let first = pair.consent.questions == MISSED - 1;
            pair.consent.questions -= 1;
            let wait = INQUIRY.saturating_sub(timeout) / (MISSED - 1);
            pair.consent.next = Some(now + wait.max(QUESTION_DISTANCE));
            if first && in_use {
                // To ask them only after the first miss would take too long.
                self.ask_others(now, id);
                self.try_others(now, Some(id));
            }
        }
    }

    fn consent_rto(&self, id: PairId) -> Duration {
        let Some(pair) = self.pairs.get(id) else { return CONSENT_RTO };
        let Some(round_trip) = pair.round_trip.smooth else { return CONSENT_RTO };
        let is_alternative = |other: &Pair| {
            other.session == pair.session && other.id != id && other.is_valid() && other.consent.missed() == 0
        };
        let shortest = if self.pairs.values().any(is_alternative) { QUICK_CONSENT_RTO } else { CONSENT_RTO };
        let margin = MARGIN.max(pair.round_trip.deviation * 4).min(round_trip);
        (round_trip + margin).clamp(shortest, MAX_CONSENT_RTO)
    }

    /// Checks the pairs in reserve.
    fn ask_others(&mut self, now: Instant, id: PairId) {
        let is_other = |pair: &&mut Pair| pair.id != id && pair.is_valid();
        for other in self.pairs.values_mut().filter(is_other) {
            if other.consent.next.is_some() && !other.consent.is_asked() {
                other.consent.next = Some(now);
            }
        }
    }

    /// The pair in use seems dead, or is gone: the best pairs that might stand in for it are
    /// checked now, those that have failed before once more. Pairs from another base come first.
    pub(super) fn try_others(&mut self, now: Instant, dead: Option<PairId>) {
        let current = self.sessions.current().id;
        let dead = dead.and_then(|id| self.pairs.get(id)).map(|pair| pair.base);
        let may_stand_in = |pair: &&Pair| match pair.state {
            // Connections have a time of their own.
            _ if pair.base.is_tcp() => false,
            PairState::InProgress | PairState::Waiting | PairState::Frozen => true,
            PairState::Failed => pair.setbacks.allow_retrial(now),
            PairState::Succeeded => false,
        };
        let mut others: Vec<&Pair> = self.pairs.of(current).filter(may_stand_in).collect();
        others.sort_unstable_by_key(|pair| Reverse((dead != Some(pair.base), pair.priority)));
        let others: Vec<PairId> = others.into_iter().take(STAND_INS).map(|pair| pair.id).collect();
        for id in others {
            let Some(pair) = self.pairs.get_mut(id) else { continue };
            if pair.state == PairState::InProgress {
                self.repeat_now(now, id);
                continue;
            }
            if pair.state == PairState::Failed {
                pair.setbacks.retried = Some(now);
            }
            pair.state = PairState::Waiting;
            let (base, peer) = (pair.base, pair.address.ip());
            if self.is_permitted(base, peer) {
                self.checks.trigger_once(id);
            }
        }
        self.timers.pace.get_or_insert(now + MIN_PACING);
    }

    /// As long as there is no path, and neither side has said that there is nothing more to come,
    /// pairs that have failed are checked again now and then: the other side may get this side's
    /// description minutes from now, and NATs have to let its checks in then.
    pub(super) fn check_slowly(&mut self, now: Instant) {
        let session = self.sessions.current();
        let (current, searches) = (session.id, session.started.is_some() && !session.failed);
        let is_failed =
            |pair: &Pair| pair.session == current && pair.state == PairState::Failed && !pair.base.is_tcp();
        if !searches
            || self.config.lite
            || self.pairs.valid(current).next().is_some()
            || !self.pairs.values().any(is_failed)
        {
            self.timers.slow = None;
            return;
        }
        let at = *self.timers.slow.get_or_insert(now + self.config.timings.keepalive);
        if now < at {
            return;
        }
        self.timers.slow = None;
        for pair in self.pairs.values_mut().filter(|pair| is_failed(pair)) {
            pair.setbacks.retried = Some(now);
            pair.state = PairState::Waiting;
        }
    }

    /// Returns whether a check is under way, or due, that may yet find another path.
    pub(super) fn is_trying(&self) -> bool {
        self.pairs.of(self.sessions.current().id).any(|pair| pair.is_pending() && !pair.base.is_tcp())
    }

    /// A consent check was answered.
    pub(super) fn handle_consent(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        let claimed = pair.renew_consent(now);
        self.schedule_consent(now, id);
        if claimed && self.roles.role == Role::Controlled {
            self.accept_nomination(now, id);
        }
    }

    /// A pair has become valid: the one in use is checked, unless something has just arrived over
    /// it.
    pub(super) fn doubt_selected(&mut self, now: Instant, id: PairId) {
        let Some(current) = self.pairs.get(id).map(|pair| pair.session) else { return };
        let selected = self.sessions.get(current).and_then(|session| session.selected);
        let Some(pair) = selected.filter(|other| *other != id).and_then(|id| self.pairs.get_mut(id)) else {
            return;
        };
        if pair.is_silent_for(now, DOUBT) {
            pair.question(now);
        }
    }

    /// A consent check was not answered: the next follows soon, and the pairs in reserve are
    /// checked, too.
    pub(super) fn handle_consent_silence(&mut self, now: Instant, id: PairId, sent: Instant) {
        let in_use = self.is_in_use(id);
        let consent = self.config.timings.consent_timeout;
        let Some(pair) = self.pairs.get_mut(id) else { return };
        if pair.consent.answered.is_some_and(|at| at >= sent) {
            return;
        }
        // What was asked before the host stood still is no proof by itself.
        let most = if self.transactions.woke.is_some_and(|woke| sent < woke) { MISSED - 1 } else { u32::MAX };
        pair.miss(sent, most);
        if pair.consent.answered.is_none_or(|at| now.saturating_duration_since(at) >= consent) {
            pair.expire();
            if in_use {
                // What time the silence has had already counts.
                let lost =
                    pair.consent.silent_since().unwrap_or(now) + self.config.timings.disconnected_timeout;
                self.sessions.current_mut().lost_since.get_or_insert(lost);
            }
            return;
        }
        let (first, missed) = (pair.consent.missed() == 1, pair.consent.missed());
        let is_latest = pair.consent.asked.is_none_or(|at| at <= sent);
        if pair.consent.missed() == MISSED
            && let Base::Relay(relay) = pair.base
        {
            self.relays.probe(now, relay);
        }
        let is_needed = in_use || (missed < MISSED && self.pairs.is_active_silent());
        if is_needed
            && is_latest
            && let Some(pair) = self.pairs.get_mut(id)
        {
            pair.consent.next = Some(now);
        }
        if in_use && first {
            self.ask_others(now, id);
            self.try_others(now, Some(id));
        }
    }

    /// The alternatives to a dead pair.
    pub(super) fn fallback(&self, dead: &Pair, now: Instant) -> Fallback {
        let current = self.sessions.current().id;
        let fewest = self.pairs.fewest_missed(current, dead.id);
        let is_open = fewest.is_some_and(|missed| missed < MISSED) || self.is_trying();
        match dead.consent.silent_since().map(|since| since + INQUIRY).filter(|until| *until > now) {
            _ if fewest == Some(0) => Fallback::Other,
            Some(until) if is_open => Fallback::Until(until),
            _ => Fallback::None,
        }
    }

    /// The pair in use is dead, and no other may be taken without a restart.
    pub(super) fn request_restart(&mut self) {
        let session = self.sessions.current_mut();
        if !session.restart_requested {
            session.restart_requested = true;
            self.outputs.emit(Event::RestartWanted);
        }
    }
}
