//! Where virtual time begins.

use std::time::Instant;

/// Some instant. The only look at the real clock: an `Instant` can be had in no other way, and
/// nothing depends on its value.
#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
