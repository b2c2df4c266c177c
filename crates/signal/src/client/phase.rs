//! The connections of a client: opened, entered, lost, opened again.

use std::time::{Duration, Instant};

use super::Client;
use super::events::{ClientEvent, ClientRequest};
use crate::client_message::ClientMessage;
use crate::error::{ErrorCode, Refusal};

/// The longest pause that a refusal may ask for.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The number of times that the time for the first answer is doubled at most.
const MAX_DOUBLINGS: u32 = 3;

/// The state of the connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A connection is being opened.
    Opening,
    /// The first message was sent; its answer is due.
    Entering { until: Instant },
    /// The session is entered.
    Open,
    /// The last messages go out.
    Leaving { until: Instant },
    /// The next attempt waits for its time; from `least` on a new network is worth one.
    Waiting { least: Instant, until: Instant },
    /// The end.
    Closed,
}

/// Why a connection to the server has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It broke, or the server fell silent.
    Lost,
    /// The client wants another one, at once.
    Renew,
    /// The server refused.
    Refused(Refusal),
}

impl Phase {
    pub(super) fn is_connected(self) -> bool {
        matches!(self, Self::Entering { .. } | Self::Open | Self::Leaving { .. })
    }

    pub(super) fn is_ending(self) -> bool {
        matches!(self, Self::Leaving { .. } | Self::Closed)
    }
}

impl Client {
    /// The connection that was asked for is open: the first message goes out.
    pub(super) fn opened(&mut self, now: Instant) {
        if self.phase != Phase::Opening {
            return;
        }
        // After each failure there is twice the time: on a slow machine, or a slow network, no
        // connection would ever be in otherwise.
        let patience = self.timing.answer * 2_u32.pow(self.attempts.min(MAX_DOUBLINGS));
        self.phase = Phase::Entering { until: now + patience };
        self.last_activity = now;
        (self.probe_until, self.depart_at, self.paused_until) = (None, None, None);
        self.answers.clear();
        let first = self.first_message();
        self.answers.push_back(first);
    }

    /// The session is entered on the present connection.
    pub(super) fn entered(&mut self, rejoined: bool) {
        self.phase = Phase::Open;
        self.attempts = 0;
        self.pause = self.timing.backoff;
        self.refusal = None;
        self.events.push_back(ClientEvent::Open { rejoined });
    }

    pub(super) fn connection_ended(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting { .. } | Phase::Closed => {}
            _ => self.lose(now, Ended::Lost),
        }
    }

    /// Gives the connection up, and decides when to open the next.
    pub(super) fn lose(&mut self, now: Instant, ended: Ended) {
        self.requests.clear();
        self.requests.push_back(ClientRequest::Close);
        match self.phase {
            Phase::Open => self.events.push_back(ClientEvent::Reconnecting),
            Phase::Leaving { .. } => return self.end(None),
            _ => {}
        }
        let mut least = Duration::ZERO;
        let mut at_once = ended == Ended::Renew;
        if let Ended::Refused(refusal) = ended {
            self.refusal = Some(refusal.clone());
            if is_final(&refusal) {
                return self.end(Some(refusal));
            }
            // The server forgot this client; that is no reason to wait.
            let is_forgotten = is_end_of_membership(refusal.code) && self.membership.take().is_some();
            at_once = is_forgotten && refusal.code == ErrorCode::ResumeExpired;
            least = Duration::from_millis(refusal.retry_after_ms.unwrap_or_default()).min(MAX_PAUSE);
        }
        let pause = if at_once && self.attempts == 0 { Duration::ZERO } else { self.jittered() };
        self.attempts = self.attempts.saturating_add(1);
        self.pause = (self.pause * 2).min(self.timing.backoff_max);
        if pause.is_zero() && least.is_zero() {
            self.reopen();
        } else {
            self.phase = Phase::Waiting { least: now + least, until: now + pause.max(least) };
        }
    }

    pub(super) fn reopen(&mut self) {
        self.phase = Phase::Opening;
        self.requests.push_back(ClientRequest::Open);
    }

    pub(super) fn network_changed(&mut self, now: Instant, lost: bool) {
        match self.phase {
            Phase::Open | Phase::Leaving { .. } if lost => self.lose(now, Ended::Renew),
            Phase::Open | Phase::Leaving { .. } => self.probe(now),
            // A new network is worth an attempt of its own.
            Phase::Waiting { least, .. } if least <= now => self.reopen(),
            Phase::Waiting { least, .. } => self.phase = Phase::Waiting { least, until: least },
            Phase::Opening | Phase::Entering { .. } | Phase::Closed => {}
        }
    }

    /// Says goodbye once everything that was sent is accepted, or the time for that is over.
    pub(super) fn leave_if_settled(&mut self, now: Instant) -> Option<ClientMessage> {
        let Phase::Leaving { until } = self.phase else { return None };
        if !self.outbox.is_settled() && now < until {
            return None;
        }
        self.end(None);
        Some(ClientMessage::Leave)
    }

    /// The session is over.
    pub(super) fn end(&mut self, refusal: Option<Refusal>) {
        self.phase = Phase::Closed;
        self.peers.clear();
        self.requests.clear();
        self.requests.push_back(ClientRequest::Close);
        self.events.push_back(ClientEvent::Closed(refusal));
    }

    /// Between half of the pause and the whole, so that a thousand clients do not come back at
    /// once.
    fn jittered(&mut self) -> Duration {
        let share = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        self.pause.mul_f64(0.5 + share / 2.0)
    }
}

/// Refusals that trying again would not change. A client id that is taken may be free again when
/// the membership of its holder ends, which the server says.
fn is_final(refusal: &Refusal) -> bool {
    use ErrorCode::{
        BadId, BadInstance, BadJson, BadMessage, BadToken, IdTaken, KeyRequired, OriginNotAllowed, Replaced,
        SessionFull, SubprotocolRequired, UnknownType, WrongKey,
    };
    match refusal.code {
        IdTaken => refusal.retry_after_ms.is_none(),
        BadId | BadInstance | BadJson | BadMessage | BadToken | KeyRequired | OriginNotAllowed | Replaced
        | SessionFull | SubprotocolRequired | UnknownType | WrongKey => true,
        _ => false,
    }
}

/// Refusals after which the client has to join anew.
fn is_end_of_membership(code: ErrorCode) -> bool {
    use ErrorCode::{NotJoined, ResumeExpired, TooManyErrors, TooSlow, WrongSecret};
    matches!(code, NotJoined | ResumeExpired | TooManyErrors | TooSlow | WrongSecret)
}
