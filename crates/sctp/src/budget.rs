//! A path's allowance, where several senders share the path.

use std::fmt::Debug;
use std::time::Instant;

/// A path's allowance, asked before each packet, so that one estimator can serve data and media
/// alike.
///
/// The association has a congestion controller of its own; a budget can only make it slower.
pub trait Budget: Debug {
    /// Returns how many bytes may go out now. A packet with user data is only started if the budget
    /// is not used up; what keeps the association alive (acknowledgements, handshake, heartbeats)
    /// is sent in any case.
    fn available(&mut self, now: Instant) -> usize;

    /// Subtracts a packet that is on its way.
    fn consumed(&mut self, now: Instant, bytes: usize);

    /// Returns when a budget that is used up opens again, later than `now`. The association keeps
    /// it among its deadlines, so that [`poll_timeout`](crate::Association::poll_timeout) covers
    /// it. `None` if that is not known: then the owner calls
    /// [`poll_transmit`](crate::Association::poll_transmit) again once the budget allows more.
    fn next_opening(&self, now: Instant) -> Option<Instant>;
}

/// No limit but that of the association's own congestion controller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Budget for Unlimited {
    fn available(&mut self, _now: Instant) -> usize {
        usize::MAX
    }

    fn consumed(&mut self, _now: Instant, _bytes: usize) {}

    fn next_opening(&self, _now: Instant) -> Option<Instant> {
        None
    }
}
