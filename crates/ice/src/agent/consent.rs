//! Keeping paths: consent (RFC 7675), keepalives of pairs in reserve, dead paths found early.

use std::time::{Duration, Instant};

use super::pairs::{Pair, PairId};
use super::{Agent, Base};
use crate::event::Event;
use crate::stats::PairState;

/// Valid pairs kept alive beside the one in use.
const RESERVE: usize = 3;

/// When data goes out and nothing comes back for so long, the path is asked.
const SUSPICION: Duration = Duration::from_millis(750);

/// A consent check without an answer for so long counts as missed, if the path's round-trip time does not say otherwise.
const CONSENT_RTO: Duration = Duration::from_millis(400);

/// The longest such time.
const MAX_CONSENT_RTO: Duration = Duration::from_secs(3);

/// So many missed checks, and silence since the first of them, make a path dead.
const MISSED: u32 = 3;

impl Agent {
    /// Plans the next check of a valid pair: consent where data goes, else a keepalive for the best few.
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
        if let Some(pair) = self.pairs.get_mut(&id).filter(|pair| pair.is_valid()) {
            let at = now + interval;
            let sooner = pair.next_check.filter(|known| *known > now && *known < at);
            pair.next_check = reserve.then_some(sooner.unwrap_or(at));
        }
    }

    fn is_in_use(&self, id: PairId) -> bool {
        self.active.contains(&Some(id)) || self.session().selected.contains(&Some(id))
    }

    fn is_in_reserve(&self, id: PairId) -> bool {
        let Some(pair) = self.pairs.get(&id) else { return false };
        let better = self.pairs.values().filter(|other| {
            other.is_valid() && other.component == pair.component && other.priority > pair.priority
        });
        better.count() <= RESERVE
    }

    /// Sends the checks of valid pairs that are due.
    pub(super) fn check_liveness(&mut self, now: Instant) {
        let due: Vec<PairId> = self
            .pairs
            .values()
            .filter(|pair| pair.next_check.is_some_and(|at| at <= now))
            .map(|pair| pair.id)
            .collect();
        for id in due {
            let Some(pair) = self.pairs.get_mut(&id) else { continue };
            pair.next_check = None;
            if pair.is_valid() {
                let timeout = pair.round_trip.map_or(CONSENT_RTO, |time| time * 2);
                self.send_consent_check(now, id, timeout.clamp(CONSENT_RTO, MAX_CONSENT_RTO));
                self.schedule_consent(now, id);
            }
        }
    }

    /// A consent check was answered.
    pub(super) fn handle_consent(&mut self, now: Instant, id: PairId) {
        if let Some(pair) = self.pairs.get_mut(&id) {
            pair.answered = Some(now);
            pair.silent_since = None;
            pair.missed = 0;
        }
        self.schedule_consent(now, id);
    }

    /// A consent check was not answered: the next follows soon, and the pairs in reserve are asked, too.
    pub(super) fn handle_consent_silence(&mut self, now: Instant, id: PairId, sent: Instant) {
        let in_use = self.is_in_use(id);
        let consent = self.config.timings.consent_timeout;
        let Some(pair) = self.pairs.get_mut(&id) else { return };
        if pair.answered.is_some_and(|at| at >= sent) {
            return;
        }
        pair.missed += 1;
        pair.silent_since.get_or_insert(sent);
        if pair.answered.is_none_or(|at| now.saturating_duration_since(at) >= consent) {
            // RFC 7675 §5.1: not a byte more.
            pair.state = PairState::Failed;
            pair.nominated = false;
            pair.next_check = None;
            if in_use {
                // What time the silence has had already counts.
                let lost = pair.silent_since.unwrap_or(now) + self.config.timings.disconnected_timeout;
                self.session_mut().lost_since.get_or_insert(lost);
            }
            return;
        }
        let (component, first) = (pair.component, pair.missed == 1);
        if pair.missed == MISSED
            && let Base::Relay(relay) = pair.base
        {
            self.probe_relay(now, relay);
        }
        if in_use && let Some(pair) = self.pairs.get_mut(&id) {
            pair.next_check = Some(now);
            if first {
                for other in self.pairs.values_mut() {
                    if other.component == component && other.is_valid() && other.next_check.is_some() {
                        other.next_check = Some(now);
                    }
                }
            }
        }
    }

    /// Data goes out by this pair: if nothing comes back, the path is asked before consent would.
    pub(super) fn suspect(now: Instant, pair: &mut Pair) {
        let heard = pair.heard.max(pair.counters.last_packet_received);
        let silent = heard.is_none_or(|at| now.saturating_duration_since(at) >= SUSPICION);
        // One question at a time: the answer or its absence leads to the next.
        if silent && pair.missed == 0 && pair.next_check.is_some_and(|at| at > now + SUSPICION) {
            pair.next_check = Some(now);
        }
    }

    /// Whether a pair in use is to be left if another works.
    pub(super) fn is_dead(&self, pair: &Pair, now: Instant) -> bool {
        let heard = pair.heard.max(pair.counters.last_packet_received);
        pair.missed >= MISSED && heard.is_none_or(|at| now.saturating_duration_since(at) >= SUSPICION)
    }

    /// What is in use is dead, and what works may not be taken without a restart.
    pub(super) fn ask_for_restart(&mut self) {
        let session = self.session_mut();
        if !session.restart_asked {
            session.restart_asked = true;
            self.events.push_back(Event::RestartWanted);
        }
    }
}
