//! Who may send how much now, when several senders share a path.

use std::time::Instant;

/// A path's allowance, asked before each packet, so that one estimator can serve data and media alike.
///
/// The association has a congestion controller of its own; a budget can only make it slower. When
/// [`poll_transmit`](crate::Association::poll_transmit) has ended because the budget was used up, its owner calls it again once
/// the budget allows more: the association cannot know when that is.
pub trait Budget {
    /// How many bytes may go out now. A packet with user data is only started if the budget is not used up; what keeps the
    /// association alive (acknowledgements, handshake, heartbeats) is sent in any case.
    fn available(&mut self, now: Instant) -> usize;

    /// A packet of so many bytes is on its way.
    fn consumed(&mut self, now: Instant, bytes: usize);
}

/// No limit but that of the association's own congestion controller.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlimited;

impl Budget for Unlimited {
    fn available(&mut self, _now: Instant) -> usize {
        usize::MAX
    }

    fn consumed(&mut self, _now: Instant, _bytes: usize) {}
}
