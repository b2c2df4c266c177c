//! Errors.

use crate::alert::AlertDescription;

/// The reason why an association has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The other side has ended the association by an alert.
    #[error("the other side refuses with the alert {0}")]
    PeerAlert(AlertDescription),
    /// The other side broke the protocol, or can do nothing that this side can. It was told so by
    /// an alert.
    #[error("{reason} (alert {alert})")]
    Handshake {
        /// The alert that the other side was sent.
        alert: AlertDescription,
        /// The fault.
        reason: &'static str,
    },
    /// The other side's certificate has none of the expected fingerprints.
    #[error("the certificate of the other side has none of the fingerprints of its description")]
    FingerprintMismatch,
    /// The handshake took longer than [`Config::handshake_timeout`](crate::Config).
    #[error("the other side did not answer in time")]
    TimedOut,
    /// A key has protected as many records as it may (RFC 9147 §4.5.3).
    #[error("the keys are used up")]
    KeysUsedUp,
}

/// The reason why a certificate could not be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A part of it is missing or malformed.
    #[error("{0} is missing or malformed")]
    Malformed(&'static str),
    /// The key is of a kind that is not supported.
    #[error("the key is none of ECDSA on P-256 or P-384, Ed25519, and RSA of 2,048 bits or more (PKCS #8)")]
    UnsupportedKey,
    /// The key belongs to another certificate.
    #[error("the key is not the one of the certificate")]
    KeyMismatch,
    /// The cryptography library has failed.
    #[error("the cryptography library failed to make or to use a key")]
    Crypto,
}

/// The reason why a packet could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The association is not connected, or no longer.
    #[error("the association is not connected")]
    NotConnected,
    /// The plaintext is longer than a record may be, or than the other side takes (RFC 8449).
    #[error("the packet is longer than the {limit} bytes of a record")]
    TooLong {
        /// Bytes of plaintext in a record at most.
        limit: usize,
    },
    /// There is not enough room around the plaintext.
    #[error("the plaintext needs {front} bytes of room in front and {back} behind", front = crate::FRONT, back = crate::BACK)]
    NoRoom,
    /// The keys have protected as many records as they may.
    #[error("the keys are used up")]
    KeysUsedUp,
}

/// A fault of the other side's, and the alert that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) alert: AlertDescription,
    pub(crate) reason: &'static str,
}

impl Fault {
    pub(crate) const fn new(alert: AlertDescription, reason: &'static str) -> Self {
        Self { alert, reason }
    }

    pub(crate) const fn decode(reason: &'static str) -> Self {
        Self::new(AlertDescription::DECODE_ERROR, reason)
    }

    pub(crate) const fn illegal(reason: &'static str) -> Self {
        Self::new(AlertDescription::ILLEGAL_PARAMETER, reason)
    }

    pub(crate) const fn unexpected(reason: &'static str) -> Self {
        Self::new(AlertDescription::UNEXPECTED_MESSAGE, reason)
    }

    pub(crate) const fn incompatible(reason: &'static str) -> Self {
        Self::new(AlertDescription::HANDSHAKE_FAILURE, reason)
    }

    pub(crate) const fn crypto() -> Self {
        Self::new(AlertDescription::INTERNAL_ERROR, "the cryptography library has failed")
    }
}

impl From<aws_lc_rs::error::Unspecified> for Fault {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::crypto()
    }
}

/// The fault of a certificate that is not the one of the description.
pub(crate) const FINGERPRINT_MISMATCH: Fault = Fault::new(
    AlertDescription::BAD_CERTIFICATE,
    "the certificate of the other side has none of the fingerprints of its description",
);

/// The fault of two sides without an application protocol in common.
pub(crate) const NO_PROTOCOL: Fault = Fault::new(
    AlertDescription::NO_APPLICATION_PROTOCOL,
    "both sides have no application protocol in common",
);

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        if fault == FINGERPRINT_MISMATCH {
            return Self::FingerprintMismatch;
        }
        Self::Handshake { alert: fault.alert, reason: fault.reason }
    }
}
