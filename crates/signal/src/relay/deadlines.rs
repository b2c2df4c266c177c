//! Everything that a relay waits for, in one table.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{ConnectionId, MemberKey};

/// The kinds of deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// A WebSocket should have entered a session.
    Join(ConnectionId),
    /// A WebSocket may have been silent: time to ping or to end it.
    Silence(ConnectionId),
    /// The `ack` that a WebSocket's client is owed has waited long enough.
    Ack(ConnectionId),
    /// A long poll has waited long enough.
    PollEnd(ConnectionId),
    /// A membership whose client did not come back.
    Expiry(MemberKey),
    /// The server stops.
    DrainEnd,
}

/// Deadlines in the order in which they fall due. Each owner has at most one
/// of a kind, and knows its time.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, Deadline)>);

impl Deadlines {
    pub(super) fn insert(&mut self, at: Instant, deadline: Deadline) {
        self.0.insert((at, deadline));
    }

    pub(super) fn remove(&mut self, at: Instant, deadline: Deadline) {
        self.0.remove(&(at, deadline));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|&(at, _)| at)
    }

    /// Takes the first that has fallen due.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Deadline> {
        if self.next()? > now {
            return None;
        }
        self.0.pop_first().map(|(_, deadline)| deadline)
    }
}
