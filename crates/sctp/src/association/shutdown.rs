//! Ending, gracefully or not, and asking whether the peer is there (RFC 9260 §8.3 and §9).

use std::time::Instant;

use rand_core::Rng;

use super::{Abort, Association, State};
use crate::error::CloseReason;
use crate::serial::Tsn;
use crate::timers::Timer;
use crate::wire::{FLAG_REFLECTED_TAG, Header, Reader, Sack, cause, chunk_type};

impl Association {
    /// Ends the association once everything queued has arrived.
    /// [`Event::Closed`](crate::Event::Closed) follows.
    pub fn shutdown(&mut self, now: Instant) {
        match self.state {
            State::Idle => self.close(CloseReason::Shutdown),
            State::CookieWait if self.sender.queue.is_empty() => self.close(CloseReason::Shutdown),
            // The peer has to know us before it can say goodbye.
            State::CookieWait | State::CookieEchoed { .. } => {
                self.ends = true;
                self.guard_shutdown(now);
            }
            State::Established => {
                self.state = State::ShutdownPending;
                self.guard_shutdown(now);
                self.continue_shutdown(now);
            }
            _ => {}
        }
    }

    /// Ends the association at once; the peer is told, and what is queued is lost.
    pub fn abort(&mut self, now: Instant) {
        self.abort_with(now, Abort::new(cause::USER_INITIATED, ""));
        self.close(CloseReason::Local);
    }

    fn guard_shutdown(&mut self, now: Instant) {
        self.timers.set(Timer::ShutdownGuard, now + self.config.max_rto * SHUTDOWN_GUARD_RTOS);
    }

    /// The peer has acknowledged something: as long as it does, what is queued may take its time.
    pub(super) fn note_progress(&mut self, now: Instant) {
        if matches!(self.state, State::ShutdownPending | State::ShutdownReceived) {
            self.guard_shutdown(now);
        }
    }

    /// The peer has done nothing for the end for too long: it is told that there is none in peace
    /// (RFC 9260 §9.2).
    pub(super) fn on_shutdown_guard(&mut self, now: Instant) {
        self.abort_with(now, Abort::new(cause::PROTOCOL_VIOLATION, "no end in time"));
        self.close(CloseReason::Timeout);
    }

    /// Goes on with an end that waits for data to arrive, if none is left. Says whether it did.
    pub(super) fn continue_shutdown(&mut self, now: Instant) -> bool {
        if !self.sender.is_done() {
            return false;
        }
        match self.state {
            State::ShutdownPending => {
                self.state = State::ShutdownSent;
                self.due.shutdown = true;
            }
            State::ShutdownReceived => {
                self.state = State::ShutdownAckSent;
                self.due.shutdown_ack = true;
            }
            _ => return false,
        }
        self.guard_shutdown(now);
        true
    }

    pub(super) fn on_shutdown(&mut self, now: Instant, value: &[u8]) {
        let Ok(tsn) = Reader::new(value).u32() else { return };
        if !matches!(
            self.state,
            State::Established | State::ShutdownPending | State::ShutdownReceived | State::ShutdownSent
        ) {
            return;
        }
        // It acknowledges like a SACK without gap blocks.
        let window = u32::try_from(self.sender.peer_window()).unwrap_or(u32::MAX);
        if self.sender.on_sack(now, &Sack::cumulative(Tsn(tsn), window), &mut self.timers).is_err() {
            return self.violation(now, "SHUTDOWN for data never sent");
        }
        self.unanswered = 0;
        if self.state == State::ShutdownSent {
            self.state = State::ShutdownAckSent;
            self.due.shutdown_ack = true;
        } else {
            if self.state == State::Established {
                self.guard_shutdown(now);
            }
            self.state = State::ShutdownReceived;
            self.continue_shutdown(now);
        }
    }

    pub(super) fn on_shutdown_ack(&mut self, header: &Header) {
        match self.state {
            State::ShutdownSent | State::ShutdownAckSent => {
                let peer = self.peer.tag;
                self.reply(peer, |writer| writer.chunk(chunk_type::SHUTDOWN_COMPLETE, 0, |_| {}));
                self.close(CloseReason::Shutdown);
            }
            // RFC 9260 §8.4 and §8.5.1, rule E: a peer that remembers what we have forgotten.
            State::CookieWait | State::CookieEchoed { .. } | State::Closed => {
                self.reply(header.verification_tag, |writer| {
                    writer.chunk(chunk_type::SHUTDOWN_COMPLETE, FLAG_REFLECTED_TAG, |_| {});
                });
            }
            _ => {}
        }
    }

    pub(super) fn on_shutdown_complete(&mut self) {
        if self.state == State::ShutdownAckSent {
            self.close(CloseReason::Shutdown);
        }
    }

    pub(super) fn on_shutdown_timeout(&mut self, now: Instant) {
        match self.state {
            State::ShutdownSent => self.due.shutdown = true,
            State::ShutdownAckSent => self.due.shutdown_ack = true,
            _ => return,
        }
        self.sender.round_trip.back_off();
        self.count_unanswered(now);
    }

    pub(super) fn on_heartbeat_timeout(&mut self, now: Instant) {
        if self.state != State::Established {
            return;
        }
        if self.heartbeat.asked.take().is_some() {
            self.count_unanswered(now);
        }
        self.ask_heartbeat(now);
    }

    pub(super) fn ask_heartbeat(&mut self, now: Instant) {
        self.heartbeat.asked = Some((self.rng.next_u64(), now));
        self.due.heartbeat = true;
        self.timers.set(Timer::Heartbeat, now + self.config.heartbeat_interval);
    }

    pub(super) fn on_heartbeat_ack(&mut self, now: Instant, value: &[u8]) {
        let mut reader = Reader::new(value);
        let Ok(([0, 1], information)) = reader.element() else { return };
        let nonce = Reader::new(information).u64().ok();
        if nonce.is_some_and(|nonce| self.on_probe_answered(now, nonce)) {
            return;
        }
        if let Some((_, asked)) = self.heartbeat.asked.take_if(|(asked, _)| Some(*asked) == nonce) {
            self.sender.round_trip.measured(now.saturating_duration_since(asked));
            self.unanswered = 0;
        }
    }
}

/// RFC 9260 §9.2: the T5 timer is five times the longest retransmission timeout.
const SHUTDOWN_GUARD_RTOS: u32 = 5;
