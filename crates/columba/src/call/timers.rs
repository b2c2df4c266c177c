//! The timers of a remote peer.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// All timers, in the order in which those that are due together fire.
const ALL: [Timer; 9] = [
    Timer::Ask,
    Timer::SendAgain,
    Timer::Retry,
    Timer::Restart,
    Timer::Relay,
    Timer::Disconnected,
    Timer::Renew,
    Timer::Absent,
    Timer::Goodbye,
];

/// A timer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// Ask for the first offer.
    Ask,
    /// An offer has waited for its answer.
    SendAgain,
    /// The connection should have come up.
    Retry,
    /// Restart ICE, if it is still needed.
    Restart,
    /// Restart ICE, if the path goes over a relay.
    Relay,
    /// The connection has been disconnected for a while.
    Disconnected,
    /// Make the connection anew.
    Renew,
    /// The peer has been out of reach for a while.
    Absent,
    /// The peer has said goodbye, and its connection should have ended.
    Goodbye,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    at: [Option<Instant>; ALL.len()],
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, delay: Duration) {
        self.at[timer as usize] = Some(Instant::now() + delay);
    }

    pub(super) fn clear(&mut self, timer: Timer) {
        self.at[timer as usize] = None;
    }

    pub(super) fn clear_all(&mut self) {
        self.at = Default::default();
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize].is_some()
    }

    /// Takes a timer that is due.
    pub(super) fn take_due(&mut self) -> Option<Timer> {
        let now = Instant::now();
        let timer = ALL.into_iter().find(|timer| self.at[*timer as usize].is_some_and(|at| at <= now))?;
        self.clear(timer);
        Some(timer)
    }

    /// Waits until one is due.
    pub(super) fn due(&self) -> impl Future<Output = ()> + use<> {
        let first = self.at.iter().flatten().min().copied();
        async move {
            match first {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        }
    }
}
