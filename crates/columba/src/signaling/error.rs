//! What can go wrong with signaling.

use columba_signal::Refusal;

/// Why a signaling channel cannot be opened, cannot take a message, or has come to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalingError {
    /// The address is not one of a signaling service.
    #[error("{url:?} is not the address of a signaling server: {reason}")]
    InvalidUrl {
        /// The address.
        url: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Nobody answers at the address.
    #[error("the signaling server {server} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// What the system says.
        reason: String,
    },
    /// Somebody answers, but not as a signaling server does.
    #[error("{server} is not a signaling server: {reason}")]
    NotASignalingServer {
        /// Host and port.
        server: String,
        /// What it said instead.
        reason: String,
    },
    /// The server said no, and why.
    #[error("the signaling server refuses: {0}")]
    Refused(Refusal),
    /// The value has no JSON text.
    #[error("this value has no JSON text: {reason}")]
    NotJson {
        /// What `serde_json` says.
        reason: String,
    },
    /// The server takes no message of this size.
    #[error("a message of {size} bytes is too large; the signaling server takes {limit}")]
    TooLarge {
        /// Bytes of the message, the JSON around it included.
        size: usize,
        /// The server's limit.
        limit: usize,
    },
    /// As many messages as may wait are waiting already.
    #[error("too many messages wait to be sent")]
    Full,
    /// The server did not answer in time.
    #[error("the signaling server did not answer in time")]
    TimedOut,
    /// The channel was closed.
    #[error("the signaling channel is closed")]
    Closed,
}
