//! The counters of a relay.

use crate::error::ErrorCode;

/// Counters since the start, and how much there is at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions at the moment.
    pub sessions: u64,
    /// Memberships at the moment, those waiting for their client to come back included.
    pub peers: u64,
    /// WebSockets, event streams and polls at the moment.
    pub connections: u64,
    /// Bytes that wait for clients or for their acknowledgement at the moment.
    pub buffered_bytes: u64,
    /// `join`, `create` and `meet` that succeeded.
    pub joins: u64,
    /// Connections, streams and polls that came back to a membership or took it over.
    pub resumes: u64,
    /// Memberships that ended because their client did not come back in time.
    pub expiries: u64,
    /// Memberships that ended because the same instance joined anew.
    pub replacements: u64,
    /// Clients put out because too much waited for them.
    pub put_out_slow: u64,
    /// Clients put out because they broke the protocol.
    pub put_out_violation: u64,
    /// `send`s accepted.
    pub messages_in: u64,
    /// Bytes of data in them.
    pub bytes_in: u64,
    /// `message` events made for receivers.
    pub messages_out: u64,
    /// Bytes of data in them.
    pub bytes_out: u64,
    /// `send`s that came again and were only acknowledged.
    pub duplicates: u64,
    errors: [u64; ErrorCode::ALL.len()],
}

impl Stats {
    /// The number of errors of this code that clients got.
    pub fn errors(&self, code: ErrorCode) -> u64 {
        position(code).and_then(|index| self.errors.get(index)).copied().unwrap_or_default()
    }

    pub(crate) fn count_error(&mut self, code: ErrorCode) {
        if let Some(count) = position(code).and_then(|index| self.errors.get_mut(index)) {
            *count += 1;
        }
    }
}

fn position(code: ErrorCode) -> Option<usize> {
    ErrorCode::ALL.iter().position(|known| *known == code)
}
