//! What can go wrong.

/// Why a call was refused, or why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What the peer connection says.
    #[error(transparent)]
    Peer(#[from] columba_peer::Error),
    /// A peer connection was made outside of a tokio runtime that has I/O and time.
    #[error("a peer connection needs a tokio runtime")]
    NoRuntime,
    /// The system gives no random numbers, without which nothing would be secret.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// Certificates that were to be trusted cannot be read.
    #[error("the certificates cannot be used: {reason}")]
    InvalidCertificates {
        /// Why.
        reason: String,
    },
}
