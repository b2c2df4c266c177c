//! The error of the library.

use columba_peer::ErrorKind;

/// Why a call was refused, or why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer connection refused a call, or failed.
    #[error(transparent)]
    Peer(#[from] columba_peer::Error),
    /// A peer connection was built outside of a tokio runtime, and none was given to its builder.
    #[error("a peer connection needs a tokio runtime")]
    NoRuntime,
    /// The system gives no random numbers, which keys are made of.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// The configuration needs a Cargo feature that is not built in.
    #[error("{needed_for} needs the feature `{feature}` of the crate columba")]
    MissingFeature {
        /// The feature.
        feature: &'static str,
        /// The part of the configuration that needs it.
        needed_for: &'static str,
    },
    /// Certificates that were to be trusted cannot be read.
    #[error("the certificates cannot be used: {reason}")]
    InvalidCertificates {
        /// The reason.
        reason: String,
    },
}

impl Error {
    /// Returns the class of the error, as the W3C classes them.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Peer(error) => error.kind(),
            Self::NoRuntime => ErrorKind::InvalidStateError,
            Self::NoRandomness => ErrorKind::OperationError,
            Self::MissingFeature { .. } => ErrorKind::NotSupportedError,
            Self::InvalidCertificates { .. } => ErrorKind::InvalidAccessError,
        }
    }

    /// Returns the line of a description that does not follow the grammar, counted from 1: the
    /// W3C's `sdpLineNumber`.
    #[must_use]
    pub fn sdp_line_number(&self) -> Option<u32> {
        self.peer().and_then(columba_peer::Error::sdp_line_number)
    }

    /// Returns the fatal alert of DTLS that the other side has sent: the W3C's `receivedAlert`.
    #[must_use]
    pub fn received_alert(&self) -> Option<u8> {
        self.peer().and_then(columba_peer::Error::received_alert)
    }

    /// Returns the fatal alert of DTLS that this side has sent: the W3C's `sentAlert`.
    #[must_use]
    pub fn sent_alert(&self) -> Option<u8> {
        self.peer().and_then(columba_peer::Error::sent_alert)
    }

    /// Returns the cause that the other side gave when it aborted SCTP: the W3C's `sctpCauseCode`.
    #[must_use]
    pub fn sctp_cause_code(&self) -> Option<u16> {
        self.peer().and_then(columba_peer::Error::sctp_cause_code)
    }

    fn peer(&self) -> Option<&columba_peer::Error> {
        match self {
            Self::Peer(error) => Some(error),
            _ => None,
        }
    }
}
