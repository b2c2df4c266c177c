//! The limits of a relay, with their defaults and what they are for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::names::JoinKey;

/// The limits of a [`SessionRelay`](crate::SessionRelay). Every limit has a default that suits a
/// public server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The key that is asked for on entering a session; coming back needs none. Default none.
    pub join_key: Option<JoinKey>,
    /// True if a member gets TURN credentials also while it sees no other member. If not, it gets
    /// them, unasked, when it sees the first. Default true.
    pub turn_when_alone: bool,
    /// Bytes of one client message, the JSON around the data included. Default 262 144. A WebSocket
    /// frame of up to twice as much is still read, so that the `send` in it can be refused by its
    /// number.
    pub message_bytes: usize,
    /// Bytes of one HTTP request body, which may hold several messages. Default 1 MiB; never less
    /// than twice `message_bytes`, see [`Config::request_bytes`].
    pub request_bytes: usize,
    /// Peers of one session, and clients that one waiting client can be found by plus itself.
    /// Default 16.
    pub session_peers: usize,
    /// Messages a second that one client may send in the long run. Default 50. A message counts
    /// once, and once more for every 16 KiB of it.
    pub messages_per_second: u32,
    /// Messages that one client may send at once. Default 200, and with them 3.1 MiB, which is less
    /// than [`client_buffer_bytes`](Self::client_buffer_bytes), so that one sender alone cannot
    /// have another removed.
    pub message_burst: u32,
    /// Bytes that wait for one client, until it acknowledges them; above that it is put out.
    /// Default 4 MiB.
    pub client_buffer_bytes: usize,
    /// Bytes that wait for all clients together; above that the client for which most waits is put
    /// out. Default 512 MiB. Data that waits for several clients counts for each of them, though it
    /// is kept once.
    pub total_buffer_bytes: usize,
    /// Joins a minute from one IPv4 address or IPv6 /64, all of which may come at once. Default
    /// 240: a whole office behind one NAT comes back within minutes after a restart, a flood does
    /// not. An IPv6 /56 has four times, an IPv4 /24 and an IPv6 /48 sixteen times as many.
    pub joins_per_minute: u32,
    /// Networks whose joins are counted at a time, up to three for each client. Default 65 536
    /// (about 100 bytes each); beyond that the address with the least to forget is forgotten.
    pub counted_addresses: usize,
    /// Sessions at a time. Default 100 000.
    pub sessions: usize,
    /// Peers in all sessions together, and in none. Default 100 000; an idle one costs about 1 KiB.
    pub peers: usize,
    /// Peers of one IPv4 address or IPv6 /64. Default 4,096: an office behind one NAT. An IPv6 /56
    /// may have four times, an IPv4 /24 and an IPv6 /48 sixteen times as many, and these never more
    /// than twice what is free, so that no network takes the last.
    pub peers_per_client: usize,
    /// Messages a minute of one client that may be beyond understanding. Default 20.
    pub errors_per_minute: u32,
    /// The time in which a connection must enter a session. Default 10 s.
    pub join_timeout: Duration,
    /// The silence after which a WebSocket is pinged. Default 20 s.
    pub ping_after: Duration,
    /// The silence after which a WebSocket is ended. Default 60 s.
    pub idle_timeout: Duration,
    /// The time for which a membership outlives its connection. Default 30 s.
    pub resume_within: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            join_key: None,
            turn_when_alone: true,
            message_bytes: 256 * 1024,
            request_bytes: 1024 * 1024,
            session_peers: 16,
            messages_per_second: 50,
            message_burst: 200,
            client_buffer_bytes: 4 * 1024 * 1024,
            total_buffer_bytes: 512 * 1024 * 1024,
            joins_per_minute: 240,
            counted_addresses: 65_536,
            sessions: 100_000,
            peers: 100_000,
            peers_per_client: 4096,
            errors_per_minute: 20,
            join_timeout: Duration::from_secs(10),
            ping_after: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            resume_within: Duration::from_secs(30),
        }
    }
}

/// The largest message that enters a session, in bytes: the longest token, instance and id need a
/// tenth of it.
const ENTRY_BYTES: usize = 4096;

/// The effort of everything that arrives, against that of a message: a client that answers each of
/// its events with an `ack` stays within it, as does one that sends as much data as it may.
const EFFORT_PER_MESSAGE: u32 = 32;

/// The bytes of a frame that count as much as a frame itself.
const BYTES_PER_EFFORT: usize = 1024;

impl Config {
    /// The largest message that is worth reading from a client that has not entered a session.
    pub fn entry_bytes(&self) -> usize {
        ENTRY_BYTES
    }

    /// The effort that one client may make of the server in a second, in the long run: each frame
    /// counts by [`frame_effort`](Self::frame_effort), each request by
    /// [`REQUEST_EFFORT`](Self::REQUEST_EFFORT).
    pub fn effort_per_second(&self) -> f64 {
        f64::from(self.messages_per_second.max(1)) * f64::from(EFFORT_PER_MESSAGE)
    }

    /// The effort that one client may make of the server at once.
    pub fn effort_burst(&self) -> f64 {
        f64::from(self.message_burst.max(1)) * f64::from(EFFORT_PER_MESSAGE)
    }

    /// The beginning of the tokens of sessions that are named by the number of a code for files,
    /// such as `send-code-7`.
    pub const CODE_SESSION: &str = "send-code-";

    /// The joins of such sessions from one network (a /24, or in IPv6 a /48), a minute and at once.
    pub const CODE_JOINS_PER_MINUTE: u32 = 30;

    /// The effort of an HTTP request, whatever its body costs.
    pub const REQUEST_EFFORT: f64 = 10.0;

    /// The effort of a frame of so many bytes.
    pub fn frame_effort(bytes: usize) -> f64 {
        1.0 + (bytes / BYTES_PER_EFFORT) as f64
    }
    /// The largest WebSocket message that is worth reading: a larger one is
    /// [`Input::TooLarge`](crate::Input).
    pub fn frame_bytes(&self) -> usize {
        self.message_bytes.saturating_mul(2)
    }

    /// The largest HTTP request body that is worth reading: a larger one is refused with
    /// `message-too-large`.
    pub fn request_bytes(&self) -> usize {
        self.request_bytes.max(self.frame_bytes())
    }

    /// The limits that `joined` carries.
    pub fn limits(&self) -> Limits {
        Limits {
            message_bytes: self.message_bytes as u64,
            peers: self.session_peers as u64,
            messages_per_second: self.messages_per_second,
            message_burst: self.message_burst,
        }
    }
}

/// The server's limits for a client, as `joined` carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Bytes of one message, the JSON around the data included.
    pub message_bytes: u64,
    /// Peers of one session.
    pub peers: u64,
    /// Messages a second in the long run.
    pub messages_per_second: u32,
    /// Messages at once.
    pub message_burst: u32,
}
