//! Everything that waits for time to pass, in one table.

use std::collections::BTreeSet;
use std::time::Instant;

use super::path::FiveTuple;
use super::table::{Slot, Token};

/// The events that have a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deadline {
    /// An allocation was not refreshed.
    Allocation(Slot),
    /// Permissions or channels of an allocation have expired.
    Peers(Slot),
    /// The owner has not answered a request for ports.
    Grant(Slot),
    /// A reserved port was not claimed.
    Reservation(Token),
    /// An allocation has moved away from a connection, which is of no use any more.
    Left(FiveTuple),
}

impl Deadline {
    /// A name for logs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Allocation(_) => "allocation expired",
            Self::Peers(_) => "permission or channel expired",
            Self::Grant(_) => "relay port not granted in time",
            Self::Reservation(_) => "reservation expired",
            Self::Left(_) => "connection left",
        }
    }
}

/// The deadlines in the order of their times.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BTreeSet<(Instant, Deadline)>);

impl Deadlines {
    pub(super) fn set(&mut self, at: Instant, deadline: Deadline) {
        self.0.insert((at, deadline));
    }

    pub(super) fn cancel(&mut self, at: Instant, deadline: Deadline) {
        self.0.remove(&(at, deadline));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest one, if its time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Deadline> {
        let (at, _) = self.0.first()?;
        if *at > now {
            return None;
        }
        self.0.pop_first().map(|(_, deadline)| deadline)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
