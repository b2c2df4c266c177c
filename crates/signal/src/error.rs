//! The errors of the protocol: one code and one sentence each.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Declares the codes with their spelling, HTTP status and WebSocket close code.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:expr, $close:expr;)*) => {
        /// The error codes of the protocol; `docs/signaling.md` has the reaction of a client to
        /// each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
            /// A code that this version does not know; only ever received.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl ErrorCode {
            /// Every code of this version.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code as it is written.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    Self::Unknown => "unknown",
                }
            }

            /// The status of an HTTP answer that carries it.
            pub fn http_status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)*
                    Self::Unknown => 500,
                }
            }

            /// The code with which a WebSocket is closed when this error ends it (RFC 6455 §7.4.1).
            pub fn close_code(self) -> u16 {
                match self {
                    $(Self::$name => $close,)*
                    Self::Unknown => 1011,
                }
            }
        }
    };
}

codes! {
    /// Not a JSON object.
    BadJson = "bad-json", 400, 1008;
    /// A field is missing or of the wrong kind.
    BadMessage = "bad-message", 400, 1008;
    /// No such message type.
    UnknownType = "unknown-type", 400, 1008;
    /// WebSocket messages are text.
    BinaryFrame = "binary-frame", 400, 1003;
    /// Larger than [`Limits::message_bytes`](crate::Limits::message_bytes).
    MessageTooLarge = "message-too-large", 413, 1009;
    /// Too many messages could not be understood.
    TooManyErrors = "too-many-errors", 429, 1008;
    /// The WebSocket handshake did not offer `columba.v1`.
    SubprotocolRequired = "subprotocol-required", 400, 1008;
    /// The page comes from another origin.
    OriginNotAllowed = "origin-not-allowed", 403, 1008;
    /// The first message must enter a session.
    NotJoined = "not-joined", 401, 1008;
    /// This connection is in a session already.
    AlreadyJoined = "already-joined", 400, 1008;
    /// Nothing entered a session in time.
    JoinTimeout = "join-timeout", 408, 1008;
    /// Not a session token.
    BadToken = "bad-token", 400, 1008;
    /// Not a client id.
    BadId = "bad-id", 400, 1008;
    /// Not an instance.
    BadInstance = "bad-instance", 400, 1008;
    /// Another client is reachable under this id.
    IdTaken = "id-taken", 409, 1008;
    /// This server asks for a join key.
    KeyRequired = "key-required", 403, 1008;
    /// The join key is not the server's.
    WrongKey = "wrong-key", 403, 1008;
    /// The session has as many peers as it may.
    SessionFull = "session-full", 409, 1008;
    /// Too many joins from this network address.
    TooManyJoins = "too-many-joins", 429, 1008;
    /// More messages a second than allowed.
    RateLimited = "rate-limited", 429, 1008;
    /// A `send` is missing.
    SequenceGap = "sequence-gap", 400, 1008;
    /// The `to` of a `send` is not in the session.
    NoSuchPeer = "no-such-peer", 404, 1008;
    /// The resume secret is not this peer's.
    WrongSecret = "wrong-secret", 401, 1008;
    /// The membership is gone.
    ResumeExpired = "resume-expired", 410, 1008;
    /// Another connection of the same peer has taken over.
    Replaced = "replaced", 409, 1008;
    /// More than the allowed bytes wait for this client.
    TooSlow = "too-slow", 429, 1008;
    /// Silent for too long.
    IdleTimeout = "idle-timeout", 408, 1008;
    /// The server is stopping and takes no new sessions.
    Draining = "draining", 503, 1001;
    /// The server has as many sessions or peers as it may.
    ServerFull = "server-full", 503, 1013;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `error` message, and at the same time how a request over HTTP is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The fault, for programs.
    pub code: ErrorCode,
    /// The fault, for people: a sentence without any secret in it.
    pub message: String,
    /// True if the connection is closed behind it.
    pub fatal: bool,
    /// The number of the `send` that was refused, or from which on to send again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// In milliseconds, when to try again.
    #[serde(default, rename = "retryAfter", skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal that ends nothing.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fatal: false, seq: None, retry_after_ms: None }
    }

    /// The status of the HTTP answer.
    pub fn http_status(&self) -> u16 {
        self.code.http_status()
    }

    /// The value of the header `Retry-After`: whole seconds, rounded up.
    pub fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after_ms.map(|milliseconds| milliseconds.div_ceil(1000))
    }

    /// The body of the HTTP answer: the `error` message as JSON.
    pub fn to_json(&self) -> String {
        crate::ServerMessage::Error(self.clone()).to_json()
    }

    /// The same, ending the connection.
    #[must_use]
    pub fn fatal(mut self) -> Self {
        self.fatal = true;
        self
    }

    /// The same, naming a `send`.
    #[must_use]
    pub fn with_seq(mut self, seq: u64) -> Self {
        self.seq = Some(seq);
        self
    }

    /// The same, saying when to try again (rounded up to a millisecond).
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let milliseconds = wait.as_micros().div_ceil(1000);
        self.retry_after_ms = Some(u64::try_from(milliseconds).unwrap_or(u64::MAX));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_written_as_they_are_documented() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{code}\""));
        }
        assert_eq!(serde_json::from_str::<ErrorCode>("\"of-a-later-version\"").unwrap(), ErrorCode::Unknown);
    }

    #[test]
    fn retry_after_rounds_up() {
        let refusal =
            Refusal::new(ErrorCode::RateLimited, "slower").with_retry_after(Duration::from_micros(1_000_100));
        assert_eq!((refusal.retry_after_ms, refusal.retry_after_seconds()), (Some(1001), Some(2)));
    }
}
