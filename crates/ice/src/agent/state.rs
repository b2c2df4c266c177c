//! The state of the W3C's `RTCIceTransport`, and the times at which it changes by itself.

use std::time::{Duration, Instant};

use super::Agent;
use super::consent::Fallback;
use super::pair::Pair;
use crate::event::{Event, GatheringState, State};

/// The time for which other pairs are tried, where the one in use is gone all at once, before a
/// restart is requested.
const TRIAL: Duration = Duration::from_millis(500);

impl Agent {
    pub(super) fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.outputs.emit(Event::State(state));
        }
    }

    pub(super) fn update_state(&mut self, now: Instant) {
        self.timers.state = None;
        let (state, until) = self.compute_state(now);
        self.timers.state = until.filter(|at| *at > now);
        if state == State::Failed && self.state != State::Failed {
            // Disconnected always comes before failed.
            if self.sessions.current().connected {
                self.set_state(State::Disconnected);
            }
            self.request_restart();
            self.sessions.current_mut().failed = true;
            self.remove_pairs(|_| true);
            self.checks.forget_triggered();
            self.pairs.active = None;
        }
        self.set_state(state);
        self.look_for_dead_path(now);
    }

    /// The state now, and when it changes by itself.
    fn compute_state(&mut self, now: Instant) -> (State, Option<Instant>) {
        let timings = self.config.timings.clone();
        if self.sessions.current().failed {
            return (State::Failed, None);
        }
        if !self.sessions.current().connected && self.sessions.current().valid_since.is_some() {
            self.sessions.current_mut().connected = self.has_valid_pair();
        }
        if self.pairs.active.is_some() {
            self.sessions.current_mut().lost_since = None;
            let silent = if self.config.lite {
                // A lite agent asks nothing; it knows the other side by its checks.
                let heard = self.pairs.active().and_then(|pair| pair.consent.heard);
                heard.map(|at| at + timings.consent_interval)
            } else {
                self.pairs.active().and_then(|pair| pair.consent.silent_since())
            };
            let Some(since) = silent else { return (self.connected_state(), None) };
            let disconnected = since + timings.disconnected_timeout;
            let failed = disconnected + timings.failed_timeout;
            return if now >= failed {
                (State::Failed, None)
            } else if now >= disconnected {
                (State::Disconnected, Some(failed))
            } else {
                (self.connected_state(), Some(disconnected))
            };
        }
        let session = self.sessions.current();
        let current = session.id;
        let pending = self.pairs.is_pending(current);
        if session.connected {
            let lost = self.sessions.current().lost_since.unwrap_or_else(|| self.lose_path(now));
            let failed = lost + timings.failed_timeout;
            return if now >= failed { (State::Failed, None) } else { (State::Disconnected, Some(failed)) };
        }
        let Some(started) = session.started else {
            // After a restart the old state holds until the other side's description comes.
            return (self.state, None);
        };
        let patience = started + timings.patience;
        // W3C `failed`: gathered, no more remote candidates to come, no pair left, and the patience
        // of RFC 8863 has run out.
        let gathered = self.running_gathering() == GatheringState::Complete;
        if gathered && session.ended && !pending && now >= patience && !self.config.lite {
            return (State::Failed, None);
        }
        let begun = self.pairs.of(current).next().is_some() || self.remotes.of(current).next().is_some();
        let state = match self.state {
            State::New if !begun => State::New,
            _ => State::Checking,
        };
        (state, (now < patience).then_some(patience))
    }

    /// No pair works any more, all at once: the best others are checked now.
    fn lose_path(&mut self, now: Instant) -> Instant {
        self.sessions.current_mut().lost_since = Some(now);
        self.try_others(now, None);
        now
    }

    /// Returns whether there is a path of this session.
    fn has_valid_pair(&self) -> bool {
        self.pairs.valid(self.sessions.current().id).next().is_some()
    }

    fn connected_state(&self) -> State {
        let session = self.sessions.current();
        // To try once more what has failed is nothing that was left to be done.
        let is_pending = |pair: &Pair| pair.is_pending() && pair.setbacks.retried.is_none();
        let pending = self.pairs.of(session.id).any(is_pending);
        let complete = session.selected.is_some()
            && session.ended
            && !pending
            && self.running_gathering() == GatheringState::Complete;
        if complete { State::Completed } else { State::Connected }
    }

    /// A dead path is left by renomination; where that was not negotiated, or no other path works,
    /// a restart is requested.
    fn look_for_dead_path(&mut self, now: Instant) {
        let lost = self.sessions.current().lost_since;
        let renomination = self.config.renomination && self.sessions.current().renomination();
        let reconnecting = self.sessions.current().reconnecting_until.filter(|until| *until > now);
        let trying = lost.map(|at| at + TRIAL).filter(|until| *until > now);
        let trying = trying.filter(|_| self.pairs.active.is_some() || self.is_trying());
        let (mut hopeless, mut open) = (false, None);
        if let Some(dead) = self.pairs.active().filter(|pair| pair.is_dead(now)) {
            match self.fallback(dead, now) {
                Fallback::Other if renomination => {}
                Fallback::Until(until) if renomination => open = Some(until),
                _ => hopeless = true,
            }
        }
        let until = match lost {
            Some(_) => reconnecting.max(trying),
            None => open.filter(|_| !hopeless),
        };
        if let Some(until) = until {
            self.timers.state = Some(self.timers.state.map_or(until, |at| at.min(until)));
        } else if lost.is_some() || hopeless {
            self.request_restart();
        } else if self.pairs.active().is_some_and(|pair| pair.consent.silent_since().is_none()) {
            // The path has come back; should it die again, that is said again.
            self.sessions.current_mut().restart_requested = false;
        }
    }
}
