//! Nomination, selection, and the pair that carries the data (RFC 8445 §8).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Agent;
use super::ids::{Base, PairId, SessionId};
use super::pair::Pair;
use crate::candidate::CandidateKind;
use crate::event::{Event, Role, SelectedPair};
use crate::path::Path;

/// The delay of the nomination of another pair than the first, for the other side to check it, too.
const PEER_CHECK: Duration = Duration::from_millis(200);

impl Agent {
    /// The controlling side chooses: at once where nothing better can come, else after some
    /// patience.
    pub(super) fn update_nomination(&mut self, now: Instant) {
        self.timers.nominate = None;
        if self.roles.role != Role::Controlling || self.config.lite || self.sessions.current().failed {
            return;
        }
        if let Some(id) = self.choose(now) {
            self.start_check(now, id, true);
        }
    }

    fn choose(&mut self, now: Instant) -> Option<PairId> {
        let session = self.sessions.current();
        let current = session.id;
        if self.pairs.of(current).any(Pair::is_nominating) {
            return None;
        }
        let selected = session.selected.and_then(|id| self.pairs.get(id));
        // Where one path has died, another must have answered since: the whole host may be
        // gone, or slow.
        let silent_since =
            selected.filter(|pair| pair.is_dead(now)).and_then(|pair| pair.consent.silent_since());
        let is_proven = |pair: &Pair| {
            silent_since.is_none_or(|since| pair.consent.answered.is_some_and(|at| at >= since))
        };
        let working = self.pairs.valid(current).filter(|pair| pair.consent.missed() == 0);
        let best = working.clone().max_by_key(|pair| (is_proven(pair), pair.priority))?;
        if !is_proven(best) && working.clone().any(|pair| pair.consent.is_asked()) {
            return None;
        }
        if let Some(selected) = selected.filter(|selected| selected.is_valid()) {
            let renomination = self.config.renomination && session.renomination();
            let better = self.rank(best) > self.rank(selected) || selected.is_dead(now);
            if !(renomination && better && best.id != selected.id) {
                return None;
            }
        }
        if let Some(at) = self.unchecked_until(best).filter(|at| now < *at) {
            self.timers.nominate = Some(at);
            return None;
        }
        if selected.is_some_and(Pair::is_valid) {
            return Some(best.id);
        }
        let is_better = |pair: &Pair| pair.is_pending() && pair.priority > best.priority;
        let better_may_come = self.pairs.of(current).any(is_better);
        let at = session.valid_since? + self.patience(best);
        if better_may_come && now < at {
            self.timers.nominate = Some(at);
            return None;
        }
        Some(best.id)
    }

    /// Until when the nomination of a pair waits for the other side to have checked it. The first
    /// one does not. When another one follows, Pion (ice 4.4) compares its priority with that of
    /// the pair before, whatever its number says, unless it has checked the new pair already: it
    /// stays where it was, and ignores further nominations with the same number. The check that
    /// ours makes it send comes right behind its answer.
    fn unchecked_until(&self, pair: &Pair) -> Option<Instant> {
        let session = self.sessions.current();
        let is_lite = session.remote.as_ref().is_some_and(|remote| remote.parameters.lite);
        let is_alone = pair.counters.requests_received == 0;
        (session.was_selected && is_alone && !is_lite)
            .then(|| pair.consent.answered.map(|at| at + PEER_CHECK))?
    }

    /// The time for which a better pair than this one is waited for.
    fn patience(&self, pair: &Pair) -> Duration {
        let timings = &self.config.timings;
        match self.rank(pair) {
            0 | 1 => timings.nominate_relayed,
            2 => timings.nominate_reflexive,
            _ => timings.nominate_host,
        }
    }

    /// The rank of a kind of path: relayed, over TCP, through NATs, direct. A path that works is
    /// left only for one of a better kind.
    fn rank(&self, pair: &Pair) -> u8 {
        let remote = self.remotes.kind(pair.remote);
        let seen = pair.seen_as.and_then(|id| self.locals.get(id)).map(|local| local.candidate.kind);
        if matches!(pair.base, Base::Relay(_)) || remote == Some(CandidateKind::Relayed) {
            0
        } else if pair.base.is_tcp() {
            1
        } else if remote == Some(CandidateKind::Host) && seen == Some(CandidateKind::Host) {
            3
        } else {
            2
        }
    }

    /// Returns whether no relay is on the path.
    pub(super) fn is_direct(&self, pair: &Pair) -> bool {
        self.rank(pair) > 0
    }

    /// Returns whether the other side has sent a check, and so knows this side's credentials.
    pub(super) fn has_heard(&self, session: SessionId) -> bool {
        self.pairs.of(session).any(|pair| pair.counters.requests_received > 0)
    }

    /// The other side has answered a nomination. One that does not know this side's credentials yet
    /// may answer all the same, and Firefox (153) forgets the nomination: of the requests from one
    /// address that come before the answer it keeps the first. Its own first check may overtake
    /// what it has answered to the nomination, from another address.
    pub(super) fn handle_own_nomination(&mut self, now: Instant, id: PairId) {
        let Some(session) = self.pairs.get(id).map(|pair| pair.session) else { return };
        if let Some(session) = self.sessions.get_mut(session) {
            session.nominated_unheard = session.nominates_unheard;
        }
        self.select(now, id);
        if self.has_heard(session) {
            self.nominate_again(now, session);
        }
    }

    /// The other side has sent a check, so it knows this side's credentials now: it is told once
    /// more which pair was nominated before.
    pub(super) fn nominate_again(&mut self, now: Instant, session: SessionId) {
        if self.roles.role != Role::Controlling || session != self.sessions.current().id {
            return;
        }
        let session = self.sessions.current_mut();
        if std::mem::take(&mut session.nominated_unheard)
            && let Some(id) = session.selected
        {
            self.start_check(now, id, true);
        }
    }

    /// The controlling side has nominated a pair.
    pub(super) fn handle_nomination(&mut self, now: Instant, id: PairId, nomination: Option<u32>) {
        let Some(current) = self.pairs.get(id).map(|pair| pair.session) else { return };
        let Some(session) = self.sessions.get_mut(current) else { return };
        if let Some(nomination) = nomination {
            // The latest counts, however the network has ordered them.
            if nomination < session.nomination {
                return;
            }
            session.nomination = nomination;
        }
        let Some(pair) = self.pairs.get_mut(id) else { return };
        // With numbers, the order of nominations is the other side's word.
        pair.nomination.claimed = nomination.is_none().then_some(now);
        if pair.is_valid() {
            self.accept_nomination(now, id);
        } else {
            pair.nomination.on_success = true;
        }
    }

    /// The pair is nominated and valid. Of several, the best one counts (RFC 8445 §8.1.1): Firefox
    /// nominates in every check, and then sends on the best. One that is worse counts only once the
    /// better one is silent, or has not been nominated for a while: Chromium nominates a path that
    /// it has changed to again and again.
    pub(super) fn accept_nomination(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        pair.nomination.accepted = true;
        let (current, priority) = (pair.session, pair.priority);
        let session = self.sessions.get(current);
        let numbered = session.is_some_and(|session| session.nomination > 0);
        let selected = session.and_then(|session| session.selected);
        let keeps = |other: &Pair| {
            other.is_valid()
                && other.consent.missed() == 0
                && other.priority > priority
                && other.is_claimed(now)
        };
        if numbered || !selected.and_then(|other| self.pairs.get(other)).is_some_and(keeps) {
            self.select(now, id);
        }
    }

    /// This pair is the one from now on.
    pub(super) fn select(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        pair.nomination.accepted = true;
        let (current, base, remote) = (pair.session, pair.base, pair.address);
        if let Some(session) = self.sessions.get_mut(current) {
            session.selected = Some(id);
            session.forget_keys();
            session.was_selected = true;
        }
        if let Base::Relay(relay) = base {
            self.relays.bind_channel(now, relay, remote);
        }
        self.schedule_consent(now, id);
    }

    /// Finds the pair that carries the data, and reports when it is another one.
    pub(super) fn update_active(&mut self, now: Instant) {
        let (before, next) = (self.pairs.active, self.best_path());
        self.pairs.active = next;
        if let Some(id) = next.filter(|_| next != before) {
            if let Some(pair) = self.selected_pair(id, before.is_some() || self.counters.path_changes > 0) {
                self.counters.path_changes += 1;
                self.outputs.emit(Event::Selected(pair));
            }
            self.schedule_consent(now, id);
            self.inherit_silence(now, before, id);
            self.prove_anew(now, id);
        }
        self.retire_old_sessions();
    }

    /// That a pair once worked proves nothing where another has gone silent since: the silence is
    /// inherited until this pair answers.
    fn inherit_silence(&mut self, now: Instant, before: Option<PairId>, id: PairId) {
        let silent_since =
            before.and_then(|id| self.pairs.get(id)).and_then(|pair| pair.consent.silent_since());
        let Some(since) = silent_since else { return };
        let Some(pair) = self.pairs.get_mut(id) else { return };
        if pair.consent.answered.is_none_or(|at| at < since) {
            pair.consent.inherit(since);
            self.ask(now, id);
        }
    }

    /// A path that has not been asked for long may not carry data before it answers (RFC 7675
    /// §5.1): it is asked at once, and again if that is lost.
    fn prove_anew(&mut self, now: Instant, id: PairId) {
        let keepalive = self.config.timings.keepalive;
        let is_old = |at: Instant| now.saturating_duration_since(at) > keepalive;
        let pair = self.pairs.get(id).filter(|pair| pair.consent.answered.is_some_and(is_old));
        if pair.is_some_and(|pair| pair.check.is_none()) && !self.config.lite {
            self.start_check(now, id, false);
        }
    }

    /// The nominated pair; until there is one, after a restart the old path, else the best valid
    /// pair.
    fn best_path(&self) -> Option<PairId> {
        let session = self.sessions.current();
        let is_valid = |id: &PairId| self.pairs.get(*id).is_some_and(Pair::is_valid);
        let selected = session.selected.filter(is_valid);
        let is_old = |id: &PairId| self.pairs.get(*id).is_some_and(|pair| pair.session != session.id);
        let old = || self.pairs.active.filter(is_valid).filter(is_old);
        let best = || {
            self.pairs
                .valid(session.id)
                .max_by_key(|pair| (pair.nomination.accepted, pair.consent.missed() == 0, pair.priority))
                .map(|pair| pair.id)
        };
        selected.or_else(old).or_else(best)
    }

    /// Returns the pair over which data goes now.
    #[must_use]
    pub fn current_pair(&self) -> Option<SelectedPair> {
        self.selected_pair(self.pairs.active?, false)
    }

    pub(super) fn selected_pair(&self, id: PairId, changed: bool) -> Option<SelectedPair> {
        let pair = self.pairs.get(id)?;
        let local = self.locals.get(pair.seen_as.unwrap_or(pair.local))?;
        let remote = self.remotes.get(pair.remote)?;
        Some(SelectedPair {
            path: self.path_of(pair.base, pair.address)?,
            local: local.shown_candidate(),
            remote: remote.candidate.clone(),
            changed,
        })
    }

    /// The path as the kernel sees it.
    pub(super) fn path_of(&self, base: Base, remote: SocketAddr) -> Option<Path> {
        match base {
            Base::Socket(id) => Some(Path::udp(self.sockets.get(&id)?.local?, remote)),
            Base::Relay(id) => self.relays.path(id),
            Base::Tcp(id) => self.tcp.path(id, remote),
        }
    }
}
