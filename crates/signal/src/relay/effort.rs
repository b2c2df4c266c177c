//! The effort that a client makes of the server: every frame and every request counts, whatever it
//! says.
//!
//! The limit of `send`s is the protocol's, and clients are told of it. This one is far above it and
//! keeps a client that sends what costs nothing by that count (`ack`, `pong`, repeats, pings) from
//! taking the time of others: its socket is left unread, and at last closed.

use std::time::{Duration, Instant};

use super::connection::Stage;
use super::{ConnectionId, MemberKey, SessionRelay};
use crate::config::Config;
use crate::error::{ErrorCode, Refusal};
use crate::rates::Rate;

/// The time for which a client may send more than its rate before it is closed.
const OVER_AT_MOST: Duration = Duration::from_secs(10);

impl SessionRelay {
    pub(super) fn effort_rate(&self) -> Rate {
        Rate { per_second: self.config.effort_per_second(), burst: self.config.effort_burst() }
    }

    /// The largest message that is worth reading from a connection.
    pub fn reading_limit(&self, connection: ConnectionId) -> usize {
        match self.connections.get(&connection).map(|state| state.stage) {
            Some(Stage::Entering) => self.config.entry_bytes(),
            _ => self.config.frame_bytes(),
        }
    }

    /// Counts a frame, and returns how long the connection is to be left unread. A client that goes
    /// on all the same is closed; its membership stays for a while.
    pub(super) fn count_frame(&mut self, now: Instant, connection: ConnectionId, bytes: usize) -> Duration {
        let (rate, cost) = (self.effort_rate(), Config::frame_effort(bytes));
        let Some(state) = self.connections.get_mut(&connection) else { return Duration::ZERO };
        let effort = match state.stage {
            Stage::Member(key) => match self.members.get_mut(&key) {
                Some(member) => &mut member.effort,
                None => &mut state.effort,
            },
            Stage::Entering | Stage::Closing => &mut state.effort,
        };
        let (before, left) = effort.spend(now, rate, cost);
        let pause = effort.wait_for(rate, 0.0);
        if before >= rate.burst / 2.0 {
            state.over_since = None;
        }
        if left < 0.0 {
            let since = *state.over_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= OVER_AT_MOST {
                let text = "You go on sending more than the server takes from one client.";
                self.end_with(now, connection, Refusal::new(ErrorCode::RateLimited, text));
            }
        }
        pause
    }

    /// Counts one message of a request.
    pub(super) fn count_message(&mut self, now: Instant, key: MemberKey, bytes: usize) {
        let rate = self.effort_rate();
        if let Some(member) = self.members.get_mut(&key) {
            member.effort.spend(now, rate, Config::frame_effort(bytes));
        }
    }

    /// Counts a request, and refuses it when there were too many.
    pub(super) fn count_http(&mut self, now: Instant, key: MemberKey) -> Result<(), Refusal> {
        let rate = self.effort_rate();
        let Some(member) = self.members.get_mut(&key) else { return Ok(()) };
        if member.effort.take(now, rate, Config::REQUEST_EFFORT) {
            return Ok(());
        }
        let wait = member.effort.wait_for(rate, Config::REQUEST_EFFORT);
        let text = "Your requests ask for more than the server does for one client.";
        Err(Refusal::new(ErrorCode::RateLimited, text).with_retry_after(wait))
    }
}
