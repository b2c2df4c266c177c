//! Errors.

use crate::description::SdpType;
use crate::servers::{NO_CREDENTIALS, NO_TURN_OVER_DTLS};
use crate::states::SignalingState;

/// The alert to a certificate whose fingerprint is not the one of the description (RFC 8446 §6.2).
const BAD_CERTIFICATE: u8 = 42;

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
    /// A candidate names neither a media section nor its index.
    #[error("the candidate cannot be used: it names neither a media section nor its index")]
    CandidateWithoutSection,
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
    /// No transceiver of this connection ever had this identifier: the W3C's `InvalidAccessError`.
    #[error("there is no such transceiver")]
    NoSuchTransceiver,
    /// The transceiver has stopped: the W3C's `InvalidStateError`.
    #[error("the transceiver has stopped")]
    TransceiverStopped,
    /// The track is sent already: the W3C's `InvalidAccessError`.
    #[error("the track is sent by another transceiver already")]
    TrackInUse,
    /// A track is not that of one sender or receiver: the W3C's `InvalidAccessError`.
    #[error("the track cannot be selected: {reason}")]
    NoSuchTrack {
        /// The reason.
        reason: &'static str,
    },
    /// Parameters of a transceiver, a sender or a receiver contradict each other: the W3C's
    /// `TypeError`.
    #[error("the parameters cannot be used: {reason}")]
    InvalidParameters {
        /// The reason.
        reason: &'static str,
    },
    /// A parameter of an encoding is out of range: the W3C's `RangeError`.
    #[error("the parameter is out of range: {reason}")]
    OutOfRange {
        /// The range.
        reason: &'static str,
    },
    /// `getParameters` was not called since the last change: the W3C's `InvalidStateError`.
    #[error("read the parameters again: they were changed or negotiated since, or never read")]
    ParametersNotRead,
    /// A codec is none of [`MediaConfiguration`](crate::MediaConfiguration): the W3C's
    /// `InvalidModificationError`.
    #[error("the codec {mime_type:?} with these parameters is not configured")]
    UnsupportedCodec {
        /// The MIME type.
        mime_type: String,
    },
    /// An encoding of a new sender has a codec that is none of
    /// [`MediaConfiguration`](crate::MediaConfiguration): the W3C's `OperationError`.
    #[error("no encoding can have the codec {mime_type:?} with these parameters: it is not configured")]
    UnsupportedEncoding {
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
        /// The fatal alert that the other side has sent (RFC 8446 §6): the W3C's `receivedAlert`.
        received_alert: Option<u8>,
        /// The fatal alert that the other side was sent: the W3C's `sentAlert`.
        sent_alert: Option<u8>,
    },
    /// The SCTP association failed: the other side aborted it or fell silent.
    #[error("the data transport failed: {reason}")]
    Sctp {
        /// The error of SCTP.
        reason: String,
        /// The cause that the other side gave (RFC 9260 §3.3.10), if it has aborted: the W3C's
        /// `sctpCauseCode`.
        cause: Option<u16>,
    },
    /// The other side has closed the connection, and with it the channel: no failure, but the
    /// W3C's channels report it as `error` before `close`.
    #[error("the other side has closed the connection")]
    ClosedRemotely {
        /// The cause that it gave (RFC 9260 §3.3.10), if SCTP has said so: the W3C's
        /// `sctpCauseCode`.
        cause: Option<u16>,
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
    /// A data channel has failed alone: the W3C's `data-channel-failure`.
    #[error("the data channel failed: {reason}")]
    ChannelFailed {
        /// The reason.
        reason: String,
    },
    /// There is no stream for a data channel.
    #[error("the data channel cannot be created: {reason}")]
    NoStream {
        /// The reason, and what to do.
        reason: &'static str,
    },
    /// There is no such data channel, or no longer.
    #[error("there is no such data channel")]
    NoSuchChannel,
    /// The transceiver is not connected, or it is not agreed that this side sends: wait for the
    /// connection, and look at `current_direction`.
    #[error("the transceiver does not send: it is not connected, or that is not agreed")]
    NotSending,
    /// A packet that cannot be sent.
    #[error("the packet cannot be sent: {reason}")]
    InvalidPacket {
        /// The reason.
        reason: &'static str,
    },
    /// A frame that cannot be sent.
    #[error("the frame cannot be sent: {reason}")]
    InvalidFrame {
        /// The reason.
        reason: String,
    },
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

/// The class of an error, as the W3C classes them: the name of the `DOMException`, or of the
/// exception of JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A value that cannot be used at all.
    TypeError,
    /// A number is out of range.
    RangeError,
    /// The call does not fit the state.
    InvalidStateError,
    /// A value does not fit the connection.
    InvalidAccessError,
    /// A value must not be changed in this way.
    InvalidModificationError,
    /// The operation has failed.
    OperationError,
    /// A text does not follow its grammar.
    SyntaxError,
    /// There is no such thing here.
    NotSupportedError,
    /// `RTCError`, with its `errorDetail`.
    RtcError(RtcErrorDetail),
}

/// The W3C's `RTCErrorDetailType`, as far as it occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum RtcErrorDetail {
    /// `data-channel-failure`.
    DataChannelFailure,
    /// `dtls-failure`: see [`Error::received_alert`] and [`Error::sent_alert`].
    DtlsFailure,
    /// `fingerprint-failure`.
    FingerprintFailure,
    /// `sctp-failure`: see [`Error::sctp_cause_code`].
    SctpFailure,
    /// `sdp-syntax-error`: see [`Error::sdp_line_number`].
    SdpSyntaxError,
}

impl Error {
    /// Returns the class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        use ErrorKind as Kind;
        match self {
            Self::InvalidDescription { line: Some(_), .. } => Kind::RtcError(RtcErrorDetail::SdpSyntaxError),
            Self::ChannelFailed { .. } => Kind::RtcError(RtcErrorDetail::DataChannelFailure),
            Self::FingerprintMismatch => Kind::RtcError(RtcErrorDetail::FingerprintFailure),
            Self::Dtls { .. } => Kind::RtcError(RtcErrorDetail::DtlsFailure),
            Self::Sctp { .. } | Self::ClosedRemotely { .. } => Kind::RtcError(RtcErrorDetail::SctpFailure),
            Self::Closed
            | Self::InvalidState { .. }
            | Self::NoRemoteDescription
            | Self::TransceiverStopped
            | Self::ParametersNotRead
            | Self::NoSuchChannel
            | Self::NotSending
            | Self::ChannelNotOpen => Kind::InvalidStateError,
            Self::InvalidDescription { .. }
            | Self::InvalidCertificate { .. }
            | Self::NoSuchTransceiver
            | Self::TrackInUse
            | Self::NoSuchTrack { .. } => Kind::InvalidAccessError,
            Self::InvalidModification { .. }
            | Self::InvalidConfiguration { .. }
            | Self::UnsupportedCodec { .. }
            | Self::InvalidModificationOfMedia { .. } => Kind::InvalidModificationError,
            Self::InvalidIceServer { reason, .. } if *reason == NO_CREDENTIALS => Kind::InvalidAccessError,
            Self::InvalidIceServer { reason, .. } if *reason == NO_TURN_OVER_DTLS => Kind::NotSupportedError,
            Self::InvalidIceServer { .. } => Kind::SyntaxError,
            Self::OutOfRange { .. } => Kind::RangeError,
            Self::CandidateWithoutSection
            | Self::InvalidParameters { .. }
            | Self::InvalidChannel { .. }
            | Self::InvalidPacket { .. }
            | Self::InvalidFrame { .. }
            | Self::MessageTooLarge { .. } => Kind::TypeError,
            Self::InvalidCandidate { .. }
            | Self::UnsupportedEncoding { .. }
            | Self::NoStream { .. }
            | Self::BufferFull
            | Self::Ice => Kind::OperationError,
        }
    }

    /// Returns the line of a description that does not follow the grammar, counted from 1: the
    /// W3C's `sdpLineNumber`.
    #[must_use]
    pub fn sdp_line_number(&self) -> Option<u32> {
        match self {
            Self::InvalidDescription { line, .. } => *line,
            _ => None,
        }
    }

    /// Returns the number of the fatal alert that the other side of DTLS has sent: the W3C's
    /// `receivedAlert`.
    #[must_use]
    pub fn received_alert(&self) -> Option<u8> {
        match self {
            Self::Dtls { received_alert, .. } => *received_alert,
            _ => None,
        }
    }

    /// Returns the number of the fatal alert that the other side of DTLS was sent: the W3C's
    /// `sentAlert`.
    #[must_use]
    pub fn sent_alert(&self) -> Option<u8> {
        match self {
            Self::Dtls { sent_alert, .. } => *sent_alert,
            Self::FingerprintMismatch => Some(BAD_CERTIFICATE),
            _ => None,
        }
    }

    /// Returns the cause that the other side gave when it aborted SCTP: the W3C's `sctpCauseCode`.
    #[must_use]
    pub fn sctp_cause_code(&self) -> Option<u16> {
        match self {
            Self::Sctp { cause, .. } | Self::ClosedRemotely { cause } => *cause,
            _ => None,
        }
    }
}

fn position(line: Option<u32>, mid: Option<&str>) -> String {
    match (line, mid) {
        (Some(line), _) => format!(" (line {line})"),
        (None, Some(mid)) => format!(" (media section {mid:?})"),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classed_as_the_w3c_classes_them() {
        let description =
            |line| Error::InvalidDescription { kind: SdpType::Offer, line, mid: None, reason: String::new() };
        let syntax = description(Some(7));
        assert_eq!(syntax.kind(), ErrorKind::RtcError(RtcErrorDetail::SdpSyntaxError));
        assert_eq!((syntax.sdp_line_number(), syntax.sctp_cause_code()), (Some(7), None));
        assert_eq!(description(None).kind(), ErrorKind::InvalidAccessError);
        let sctp = Error::ClosedRemotely { cause: Some(12) };
        assert_eq!(sctp.kind(), ErrorKind::RtcError(RtcErrorDetail::SctpFailure));
        assert_eq!(sctp.sctp_cause_code(), Some(12));
        let server = |reason| Error::InvalidIceServer { url: String::new(), reason };
        assert_eq!(server(NO_CREDENTIALS).kind(), ErrorKind::InvalidAccessError);
        assert_eq!(server(NO_TURN_OVER_DTLS).kind(), ErrorKind::NotSupportedError);
        assert_eq!(server("it has no scheme").kind(), ErrorKind::SyntaxError);
        assert_eq!(Error::MessageTooLarge { size: 2, limit: 1 }.kind(), ErrorKind::TypeError);
        assert_eq!(Error::NoStream { reason: "" }.kind(), ErrorKind::OperationError);
    }
}
