//! Errors.

use crate::description::SdpType;
use crate::states::SignalingState;

/// The reason why a call was refused, or why the connection failed.
///
/// Nothing that arrives from the network makes a call fail; a failure of the connection comes as
/// [`Event::Error`](crate::Event::Error).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection is closed.
    #[error("the peer connection is closed")]
    Closed,
    /// The call does not fit the signaling state: the W3C's `InvalidStateError`.
    #[error("{operation} is not possible in signaling state {state:?}")]
    InvalidState {
        /// The call.
        operation: &'static str,
        /// The state.
        state: SignalingState,
    },
    /// A description of the other side's cannot be used.
    #[error("the {kind} cannot be used{}: {reason}", position(*line, mid.as_deref()))]
    InvalidDescription {
        /// The type that it claims to have.
        kind: SdpType,
        /// The line, counted from 1, where that is known.
        line: Option<u32>,
        /// The media section, where that is known.
        mid: Option<String>,
        /// The reason.
        reason: String,
    },
    /// The local description is not the one that was created last: the W3C's
    /// `InvalidModificationError`.
    #[error("the local {kind} is not the one that was created last")]
    InvalidModification {
        /// The type that it claims to have.
        kind: SdpType,
    },
    /// A candidate is malformed, or does not name a media section.
    #[error("the candidate cannot be used: {reason}")]
    InvalidCandidate {
        /// The reason.
        reason: String,
    },
    /// There is no description of the other side's to which a candidate could belong.
    #[error("a candidate came before the remote description")]
    NoRemoteDescription,
    /// The URL of an ICE server is malformed, or credentials are missing.
    #[error("the ICE server {url:?} cannot be used: {reason}")]
    InvalidIceServer {
        /// The URL.
        url: String,
        /// The reason.
        reason: &'static str,
    },
    /// A certificate cannot be made or used.
    #[error("the certificate cannot be used: {reason}")]
    InvalidCertificate {
        /// The reason.
        reason: &'static str,
    },
    /// The configuration cannot be changed in this way: the W3C's `InvalidModificationError`.
    #[error("the configuration cannot be changed: {reason}")]
    InvalidConfiguration {
        /// The reason.
        reason: &'static str,
    },
    /// There is no such transceiver, or no longer.
    #[error("there is no such transceiver")]
    NoSuchTransceiver,
    /// The transceiver has stopped: the W3C's `InvalidStateError`.
    #[error("the transceiver has stopped")]
    TransceiverStopped,
    /// The track is sent already: the W3C's `InvalidAccessError`.
    #[error("the track is sent by another transceiver already")]
    TrackInUse,
    /// Parameters of a transceiver, a sender or a receiver are out of range: the W3C's `TypeError`
    /// or `RangeError`.
    #[error("the parameters cannot be used: {reason}")]
    InvalidParameters {
        /// The reason.
        reason: &'static str,
    },
    /// A codec is none of [`MediaConfiguration`](crate::MediaConfiguration): the W3C's
    /// `InvalidModificationError`.
    #[error("the codec {mime_type:?} with these parameters is not configured")]
    UnsupportedCodec {
        /// The MIME type.
        mime_type: String,
    },
    /// A transceiver or a sender cannot be changed in this way: the W3C's
    /// `InvalidModificationError`.
    #[error("it cannot be changed in this way: {reason}")]
    InvalidModificationOfMedia {
        /// The reason.
        reason: &'static str,
    },
    /// The other side's certificate is none of those that its description names.
    #[error("the other side's certificate does not match the fingerprint in its description")]
    FingerprintMismatch,
    /// The DTLS handshake failed.
    #[error("the DTLS handshake failed: {reason}")]
    Dtls {
        /// The error of DTLS.
        reason: String,
    },
    /// The SCTP association failed: the other side aborted it or fell silent.
    #[error("the data transport failed: {reason}")]
    Sctp {
        /// The error of SCTP.
        reason: String,
    },
    /// No path to the other side works.
    #[error("no path to the other side works")]
    Ice,
    /// A data channel cannot have these parameters.
    #[error("the data channel cannot be created: {reason}")]
    InvalidChannel {
        /// The reason.
        reason: &'static str,
    },
    /// There is no such data channel, or no longer.
    #[error("there is no such data channel")]
    NoSuchChannel,
    /// The data channel is not open: the W3C's `InvalidStateError`.
    #[error("the data channel is not open")]
    ChannelNotOpen,
    /// The message is longer than the other side takes: the W3C's `TypeError`.
    #[error("the message has {size} bytes; the other side takes at most {limit}")]
    MessageTooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: u64,
    },
    /// The send buffer is full: the W3C's `OperationError`. Wait for
    /// [`Event::ChannelWritable`](crate::Event::ChannelWritable).
    #[error("the send buffer is full")]
    BufferFull,
}

fn position(line: Option<u32>, mid: Option<&str>) -> String {
    match (line, mid) {
        (Some(line), _) => format!(" (line {line})"),
        (None, Some(mid)) => format!(" (media section {mid:?})"),
        (None, None) => String::new(),
    }
}
