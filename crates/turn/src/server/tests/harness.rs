//! A server, its owner and its clients, without sockets.

use std::sync::OnceLock;
use std::time::Instant;

/// The beginning of virtual time.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had no other way; its value does not matter"
)]
pub(in super::super) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}
