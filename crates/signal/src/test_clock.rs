//! The one place where tests ask for the time: the start of their virtual clock.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; tests only add to it")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
