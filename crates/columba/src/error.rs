//! The error of the library.

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
