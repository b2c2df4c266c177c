//! A candidate pair: its state, and what its checks have shown (RFC 8445 §6.1.2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_stun::TransactionId;

use super::ids::{Base, LocalId, PairId, RemoteId, SessionId};
use super::local::Local;
use super::remote::Remote;
use crate::stats::{PairCounters, PairState};

/// The time for which a nomination without a number stands against that of a worse pair: twice as
/// long as Chromium leaves between two checks of the path that it uses.
const STALE_NOMINATION: Duration = Duration::from_secs(5);

/// A round trip of more than that is too long to wait for an answer before the next question is
/// asked.
const LONG: Duration = Duration::from_millis(250);

/// Missed checks, and silence since the first of them, that make a path dead.
pub(super) const MISSED: u32 = 3;

/// The silence after which a path over which data goes is asked, and without which it is not dead.
pub(super) const SUSPICION: Duration = Duration::from_millis(500);

/// The same where an answer takes longer than that by itself.
const QUICK_SUSPICION: Duration = Duration::from_millis(250);

/// The time within which a pair whose retrial has failed is not tried again.
const RETRIAL: Duration = Duration::from_secs(60);

/// A candidate pair.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) id: PairId,
    pub(super) session: SessionId,
    pub(super) base: Base,
    /// The local host or relayed candidate.
    pub(super) local: LocalId,
    /// The local candidate as the other side sees it, known once the pair is valid.
    pub(super) seen_as: Option<LocalId>,
    pub(super) remote: RemoteId,
    pub(super) address: SocketAddr,
    pub(super) priority: u64,
    pub(super) foundation: (Arc<str>, Arc<str>),
    pub(super) state: PairState,
    /// The check under way.
    pub(super) check: Option<Check>,
    /// The generation of the embedded values that have travelled this way; 0 for none.
    pub(super) carried: u32,
    pub(super) nomination: Nomination,
    pub(super) consent: Consent,
    pub(super) setbacks: Setbacks,
    /// The path to the relay's server is another one, on which no check has been answered yet.
    pub(super) rerouted: bool,
    pub(super) round_trip: RoundTrip,
    pub(super) counters: PairCounters,
}

/// A check under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) transaction: TransactionId,
    /// It nominates the pair.
    pub(super) nominates: bool,
}

/// The nomination of a pair.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Nomination {
    /// The pair was nominated while it was valid.
    pub(super) accepted: bool,
    /// The controlling side has nominated the pair before it was valid here (RFC 8445 §7.3.1.5).
    pub(super) on_success: bool,
    /// When the controlling side last nominated the pair, if it does that without numbers.
    pub(super) claimed: Option<Instant>,
}

/// Checks of a valid pair, and their answers (RFC 7675).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Consent {
    /// When an authentic message last arrived.
    pub(super) heard: Option<Instant>,
    /// When a consent check was last sent.
    pub(super) asked: Option<Instant>,
    /// When a check was last answered.
    pub(super) answered: Option<Instant>,
    /// When the path last fell under suspicion.
    questioned: Option<Instant>,
    /// Checks that are still to be sent although the last one may yet be answered.
    pub(super) questions: u32,
    /// Checks that went unanswered.
    pub(super) silence: Option<Silence>,
    /// When the next check is due.
    pub(super) next: Option<Instant>,
}

/// A run of unanswered checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    pub(super) since: Instant,
    pub(super) missed: u32,
}

/// The reasons for which a pair that has failed is not checked again at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Setbacks {
    /// When a check last failed although the other side's arrived all the while.
    pub(super) one_way: Option<Instant>,
    /// When the pair was last checked again because the pair in use seemed dead.
    pub(super) retried: Option<Instant>,
}

/// The measured round-trip time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    /// The smoothed time.
    pub(super) smooth: Option<Duration>,
    /// The mean deviation from it.
    pub(super) deviation: Duration,
    /// False while `smooth` is only an upper bound from repeated requests.
    measured: bool,
}

impl RoundTrip {
    /// Takes in the time of a request that was sent once.
    fn measure(&mut self, sample: Duration) {
        let smooth = self.smooth.filter(|_| self.measured).unwrap_or(sample);
        self.deviation = (self.deviation * 3 + smooth.abs_diff(sample)) / 4;
        self.smooth = Some((smooth * 7 + sample) / 8);
        self.measured = true;
    }
}

impl Setbacks {
    /// Returns whether the pair may be tried once more.
    pub(super) fn allow_retrial(&self, now: Instant) -> bool {
        let latest = self.one_way.max(self.retried);
        latest.is_none_or(|at| now.saturating_duration_since(at) >= RETRIAL)
    }
}

impl Consent {
    pub(super) fn missed(&self) -> u32 {
        self.silence.map_or(0, |silence| silence.missed)
    }

    pub(super) fn silent_since(&self) -> Option<Instant> {
        self.silence.map(|silence| silence.since)
    }

    /// Returns whether a consent check is on its way, and not missed yet.
    pub(super) fn is_asked(&self) -> bool {
        self.missed() == 0 && self.asked.is_some_and(|asked| self.answered.is_none_or(|at| at < asked))
    }

    fn is_questioned(&self) -> bool {
        self.questioned.is_some_and(|at| self.answered.is_none_or(|answer| answer < at))
    }

    /// Takes over the silence of another pair.
    pub(super) fn inherit(&mut self, since: Instant) {
        self.silence.get_or_insert(Silence { since, missed: 0 });
    }

    /// A check was answered.
    fn note_answer(&mut self, now: Instant) {
        self.answered = Some(now);
        self.silence = None;
    }
}

impl Pair {
    pub(super) fn new(
        id: PairId,
        session: SessionId,
        (local, one): (LocalId, &Local),
        (remote, other): (RemoteId, &Remote),
        priority: u64,
    ) -> Self {
        Self {
            id,
            session,
            base: one.base,
            local,
            seen_as: None,
            remote,
            address: other.address,
            priority,
            foundation: (one.candidate.foundation.clone(), other.candidate.foundation.clone()),
            state: PairState::Frozen,
            check: None,
            carried: 0,
            nomination: Nomination::default(),
            consent: Consent::default(),
            setbacks: Setbacks::default(),
            rerouted: false,
            round_trip: RoundTrip::default(),
            counters: PairCounters::default(),
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        self.state == PairState::Succeeded
    }

    /// Returns whether the pair was not checked to the end.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, PairState::Frozen | PairState::Waiting | PairState::InProgress)
    }

    /// Returns whether the controlling side has nominated the pair a short while ago, without a
    /// number.
    pub(super) fn is_claimed(&self, now: Instant) -> bool {
        self.nomination.claimed.is_some_and(|at| now.saturating_duration_since(at) < STALE_NOMINATION)
    }

    /// Returns whether a nomination of this pair is under way.
    pub(super) fn is_nominating(&self) -> bool {
        self.check.is_some_and(|check| check.nominates)
    }

    /// Returns whether nothing has arrived for this time, neither checks nor data.
    pub(super) fn is_silent_for(&self, now: Instant, time: Duration) -> bool {
        let heard = self.consent.heard.max(self.counters.last_packet_received);
        heard.is_none_or(|at| now.saturating_duration_since(at) >= time)
    }

    /// Returns whether a pair in use is to be left if another one works.
    pub(super) fn is_dead(&self, now: Instant) -> bool {
        self.consent.missed() >= MISSED && self.is_silent_for(now, SUSPICION)
    }

    /// A lite agent has answered the other side's check: it knows no other proof.
    pub(super) fn accept_check(&mut self, now: Instant) {
        self.state = PairState::Succeeded;
        self.consent.answered = Some(now);
        self.consent.silence = None;
    }

    /// A check was sent.
    pub(super) fn note_check(&mut self, check: Check) {
        if !self.is_valid() {
            self.state = PairState::InProgress;
        }
        self.check = Some(check);
        self.counters.requests_sent += 1;
    }

    /// A check was answered, whatever the answer. `once` is the time that a request took which was
    /// sent only once; of a repeated one it is not known which copy was answered (Karn), and
    /// `first` is the time since the first.
    pub(super) fn note_answer(
        &mut self,
        now: Instant,
        id: TransactionId,
        once: Option<Duration>,
        first: Duration,
    ) {
        self.consent.heard = Some(now);
        self.counters.responses_received += 1;
        if self.check.is_some_and(|check| check.transaction == id) {
            self.check = None;
        }
        if let Some(sample) = once {
            self.round_trip.measure(sample);
            self.counters.current_round_trip_time = Some(sample);
            self.counters.total_round_trip_time += sample;
        } else {
            // An upper bound is better than nothing where the path is so long that no request goes
            // without repetition.
            self.round_trip.smooth.get_or_insert(first);
        }
    }

    /// A check has succeeded. Returns whether the controlling side has nominated the pair: one that
    /// was nominated while it seemed silent is as good again.
    pub(super) fn succeed(&mut self, now: Instant, seen_as: Option<LocalId>) -> bool {
        self.state = PairState::Succeeded;
        self.check = None;
        self.seen_as = seen_as.or(Some(self.local));
        self.consent.note_answer(now);
        self.setbacks = Setbacks::default();
        std::mem::take(&mut self.nomination.on_success) || self.is_claimed(now)
    }

    /// A consent check was answered. Returns whether the pair was nominated and only seemed silent.
    pub(super) fn renew_consent(&mut self, now: Instant) -> bool {
        let claimed = self.consent.missed() > 0 && self.is_claimed(now);
        self.consent.note_answer(now);
        if std::mem::take(&mut self.consent.questions) > 0 {
            self.consent.next = None;
        }
        claimed
    }

    /// A check has failed.
    pub(super) fn fail(&mut self) {
        self.state = PairState::Failed;
        self.check = None;
        self.consent.next = None;
    }

    /// Consent has expired: not a byte more is sent (RFC 7675 §5.1).
    pub(super) fn expire(&mut self) {
        self.state = PairState::Failed;
        self.nomination.accepted = false;
        self.consent.next = None;
    }

    /// The connection under the pair is gone.
    pub(super) fn disconnect(&mut self) {
        self.fail();
        self.nomination = Nomination::default();
        self.consent.silence = None;
    }

    /// The path to the relay's server is another one: earlier misses say nothing about it.
    pub(super) fn reroute(&mut self, now: Instant) {
        if let Some(silence) = &mut self.consent.silence {
            silence.missed = 0;
        }
        self.consent.next = Some(now);
        self.rerouted = true;
    }

    /// A consent check went unanswered. After the host has stood still, `most` bounds the count.
    pub(super) fn miss(&mut self, sent: Instant, most: u32) {
        let silence = self.consent.silence.get_or_insert(Silence { since: sent, missed: 0 });
        silence.missed = (silence.missed + 1).min(most.max(silence.missed));
    }

    /// Has a question asked at once, if none is under way: the answer, or its absence, leads to the
    /// next one. Where the answer would be long in coming, a single check under way is not waited
    /// for.
    pub(super) fn question(&mut self, now: Instant) {
        let is_long = self.round_trip.smooth.is_some_and(|round_trip| round_trip > LONG);
        let is_asked = self.consent.is_asked() && !is_long;
        if self.consent.missed() == 0 && !self.consent.is_questioned() && !is_asked {
            self.consent.questioned = Some(now);
            self.consent.next = Some(now);
            self.consent.questions = MISSED - 1;
        }
    }

    /// Data goes out: if nothing comes back, the path is asked before consent would be.
    pub(super) fn question_if_silent(&mut self, now: Instant) {
        let is_long = self.round_trip.smooth.is_some_and(|round_trip| round_trip > SUSPICION);
        if self.is_silent_for(now, if is_long { QUICK_SUSPICION } else { SUSPICION }) {
            self.question(now);
        }
    }
}
