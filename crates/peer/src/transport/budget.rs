//! The allowance of a path, which everything that leaves on it shares.

use std::fmt;
use std::time::Instant;

use columba_sctp::{Budget, Unlimited};

/// The budget of one transport's path. SCTP asks it before each packet with user data, and keeps
/// its next opening among its own deadlines.
pub(crate) struct PathBudget(Box<dyn Budget + Send>);

impl PathBudget {
    pub(crate) fn new(budget: impl Budget + Send + 'static) -> Self {
        Self(Box::new(budget))
    }
}

/// No limit but those of the protocols' own congestion control.
impl Default for PathBudget {
    fn default() -> Self {
        Self::new(Unlimited)
    }
}

impl fmt::Debug for PathBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathBudget").finish_non_exhaustive()
    }
}

impl Budget for PathBudget {
    fn available(&mut self, now: Instant) -> usize {
        self.0.available(now)
    }

    fn consumed(&mut self, now: Instant, bytes: usize) {
        self.0.consumed(now, bytes);
    }

    fn next_opening(&self, now: Instant) -> Option<Instant> {
        self.0.next_opening(now)
    }
}
