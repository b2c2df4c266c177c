//! The errors of signaling.

use columba_signal::{Refusal, SendError};

/// The reason for which a signaling channel cannot be opened, cannot take a message, or has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignalingError {
    /// The address is not one of a signaling service.
    #[error("{url:?} is not the address of a signaling server: {reason}")]
    InvalidUrl {
        /// The address.
        url: String,
        /// The fault.
        reason: &'static str,
    },
    /// No server answers at the address.
    #[error("the signaling server {server} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        server: String,
        /// The system's error.
        reason: String,
    },
    /// The answer is not that of a signaling server.
    #[error("{server} is not a signaling server: {reason}")]
    NotASignalingServer {
        /// Host and port.
        server: String,
        /// The answer.
        reason: String,
    },
    /// The server refused, for this reason.
    #[error("the signaling server refuses: {0}")]
    Refused(Refusal),
    /// The value has no JSON text.
    #[error("this value has no JSON text: {reason}")]
    NotJson {
        /// The error of `serde_json`.
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

impl From<SendError> for SignalingError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed => Self::Closed,
            SendError::TooLarge { size, limit } => Self::TooLarge { size, limit },
            SendError::Full => Self::Full,
        }
    }
}
