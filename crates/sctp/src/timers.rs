//! The deadlines of an association, each with a name.

use std::time::{Duration, Instant};

/// The deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// INIT or COOKIE ECHO is sent again (T1 of RFC 9260).
    Handshake,
    /// SHUTDOWN or SHUTDOWN ACK is sent again (T2).
    Shutdown,
    /// Shutting down takes too long (T5).
    ShutdownGuard,
    /// Everything in flight counts as lost (T3).
    Retransmission,
    /// A probe finds out whether the tail is lost (RFC 8985 §7).
    TailLossProbe,
    /// Chunks that may have been only late are lost (RFC 8985 §6).
    Reordering,
    /// A SACK has waited long enough.
    Sack,
    /// The peer is asked whether it is there.
    Heartbeat,
    /// A stream reset is asked for again.
    Reconfig,
    /// A stream has waited long enough for the peer's reset.
    HalfClosed,
    /// A probe of the path's MTU is lost, or it is time to search again.
    PathMtu,
    /// The pacer lets the next packet go.
    Pacing,
    /// The path's budget opens again.
    Budget,
}

const COUNT: usize = Timer::Budget as usize + 1;
const ALL: [Timer; COUNT] = [
    Timer::Handshake,
    Timer::Shutdown,
    Timer::ShutdownGuard,
    Timer::Retransmission,
    Timer::TailLossProbe,
    Timer::Reordering,
    Timer::Sack,
    Timer::Heartbeat,
    Timer::Reconfig,
    Timer::HalfClosed,
    Timer::PathMtu,
    Timer::Pacing,
    Timer::Budget,
];

/// The table of deadlines.
#[derive(Debug, Default)]
pub(crate) struct Timers([Option<Instant>; COUNT]);

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// Time has stood still for so long.
    pub(crate) fn postpone(&mut self, by: Duration) {
        for at in self.0.iter_mut().flatten() {
            *at += by;
        }
    }

    pub(crate) fn stop_all(&mut self) {
        self.0 = Default::default();
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes a deadline that has come, with its time.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(Timer, Instant)> {
        ALL.into_iter().find_map(|timer| Some((timer, self.0[timer as usize].take_if(|at| *at <= now)?)))
    }
}
