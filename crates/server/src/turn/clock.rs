//! The wall clock, read whenever a credential may have to be checked, so that a step of it is seen
//! at once.

use std::time::{SystemTime, UNIX_EPOCH};

use columba_turn::server::UnixTime;

/// The wall time now. A clock before 1970 makes all credentials good; they are checked against the
/// same clock that makes them.
pub(super) fn wall() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
