//! Congestion controllers behind one trait: the window and the rate.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use crate::config::CongestionControl;

mod bbr;
mod cubic;
mod new_reno;
mod slow_start;

use bbr::Bbr;
use cubic::Cubic;
use new_reno::NewReno;
use slow_start::{Growth, HyStart};

/// A congestion controller. It knows nothing of chunks, only of bytes and times.
pub(crate) trait Controller: Debug + Send {
    /// Something was acknowledged.
    fn on_ack(&mut self, ack: &Ack);

    /// A chunk was lost. Called for each, before [`on_congestion`](Self::on_congestion) and
    /// [`on_ack`](Self::on_ack).
    fn on_lost(&mut self, _lost: &Lost) {}

    /// Something was lost: at most once a round trip.
    fn on_congestion(&mut self, now: Instant, in_flight: usize);

    /// The path has marked a packet instead of dropping it (RFC 3168): at most once a round trip.
    fn on_marked(&mut self, now: Instant, in_flight: usize) {
        self.on_congestion(now, in_flight);
    }

    /// The retransmission timer has expired. What was in flight counts as lost.
    fn on_timeout(&mut self, now: Instant, in_flight: usize);

    /// The last timeout was spurious: nothing had been lost.
    fn on_spurious_timeout(&mut self);

    /// Nothing was sent for a while, and now something is.
    fn on_idle(&mut self, now: Instant, idle: Duration, rto: Duration);

    /// The largest packet has changed; the path has not.
    fn set_mtu(&mut self, mtu: usize);

    /// The number of bytes that may be in flight.
    fn window(&self) -> usize;

    /// The number of bytes that may go out in a second; `None` leaves that to the window and the
    /// round trip.
    fn pacing_rate(&self) -> Option<u64>;

    /// Returns whether the window grows as fast as it can.
    fn in_slow_start(&self) -> bool;

    /// Returns whether less is sent now than the path bears, so that what is lost was not lost by
    /// our fault.
    fn is_quiet(&self) -> bool {
        false
    }
}

/// The controller that was chosen. `seed` spreads what must not happen at the same time everywhere.
pub(crate) fn controller(choice: CongestionControl, mtu: usize, seed: u32) -> Box<dyn Controller> {
    match choice {
        CongestionControl::Bbr => Box::new(Bbr::new(mtu, seed)),
        CongestionControl::Cubic => Box::new(Cubic::new(mtu)),
        CongestionControl::NewReno => Box::new(NewReno::new(mtu)),
    }
}

/// An acknowledgement, as controllers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    pub(crate) now: Instant,
    /// Bytes acknowledged for the first time.
    pub(crate) acked: usize,
    /// Bytes that it has shown to be lost.
    pub(crate) lost: usize,
    /// Of those acknowledged and those lost, what was sent while [`Controller::is_quiet`].
    pub(crate) quiet: (usize, usize),
    /// The bytes in flight after it.
    pub(crate) in_flight: usize,
    /// The most that was in flight in this round and the one before.
    pub(crate) peak_in_flight: usize,
    /// In a recovery: what was lost is not all acknowledged yet.
    pub(crate) recovering: bool,
    /// The round trip of what it acknowledges, if that was sent only once.
    pub(crate) round_trip: Option<Duration>,
    /// The smoothed round trip.
    pub(crate) smoothed: Duration,
    pub(crate) sample: RateSample,
}

impl Ack {
    /// Returns whether the round trip is so far above the least that a queue stands on the way.
    fn is_queued(&self, least: Option<Duration>) -> bool {
        self.smoothed > least.unwrap_or_default() * 3 / 2
    }
}

/// The rate at which data was delivered between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateSample {
    /// Bytes delivered at its beginning and at its end, counted since birth.
    pub(crate) prior_delivered: u64,
    pub(crate) total_delivered: u64,
    pub(crate) interval: Duration,
    /// It tells how much there was to send.
    pub(crate) app_limited: bool,
    /// The bytes in flight at its beginning, and those lost since.
    pub(crate) in_flight_then: usize,
    pub(crate) lost_since: usize,
    /// A round trip has passed since this was last so.
    pub(crate) round_start: bool,
}

impl RateSample {
    pub(crate) fn delivered(&self) -> usize {
        (self.total_delivered - self.prior_delivered) as usize
    }

    /// Bytes a second.
    pub(crate) fn rate(&self) -> Option<f64> {
        (!self.interval.is_zero()).then(|| self.delivered() as f64 / self.interval.as_secs_f64())
    }
}

/// A lost chunk, as controllers see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(crate) now: Instant,
    /// The bytes in flight when it was sent, and those lost since, itself included.
    pub(crate) in_flight_then: usize,
    pub(crate) lost_since: usize,
    /// There was not enough to send then.
    pub(crate) app_limited: bool,
}

/// The initial window in packets (RFC 6928, as RFC 9260 §7.2.1 allows).
const INITIAL_WINDOW: usize = 10;

/// The least window after loss, in packets (RFC 9260 §7.2.3).
const MIN_WINDOW: usize = 4;
