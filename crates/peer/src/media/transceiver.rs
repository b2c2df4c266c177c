//! A transceiver: a sender and a receiver that share a media section.

use std::sync::Arc;
use std::time::Duration;

use columba_sdp::attributes::Direction;

use super::codec::RtpCodec;
use super::direction::TransceiverDirection;
use super::encodings::{MAX_ENCODINGS, RtpEncodingParameters};
use super::parameters::RtpSendParameters;
use super::track::{Track, TrackKind};
use crate::transport::TransportId;

/// Identifies a transceiver in one peer connection, also after it has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransceiverId(pub(crate) u32);

/// The W3C's `RTCRtpTransceiverInit`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransceiverInit {
    /// The direction. Default both ways.
    pub direction: TransceiverDirection,
    /// The identifiers of the streams to which the sender's track belongs.
    pub streams: Vec<String>,
    /// The encodings that the sender sends. Default one without a name.
    pub send_encodings: Vec<RtpEncodingParameters>,
}

impl TransceiverInit {
    /// Returns a transceiver with this direction.
    #[must_use]
    pub fn new(direction: TransceiverDirection) -> Self {
        Self { direction, ..Self::default() }
    }
}

/// A snapshot of a transceiver: the W3C's `RTCRtpTransceiver`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TransceiverInfo {
    /// Its identifier.
    pub id: TransceiverId,
    /// Its kind.
    pub kind: TrackKind,
    /// The name of its media section, once a description was set that has it.
    pub mid: Option<String>,
    /// The direction that this side wants.
    pub direction: TransceiverDirection,
    /// The direction that was negotiated.
    pub current_direction: Option<TransceiverDirection>,
    /// The transport of both, once a description has settled it: `RTCRtpSender.transport`.
    pub transport: Option<TransportId>,
    /// Its sender.
    pub sender: Sender,
    /// Its receiver.
    pub receiver: Receiver,
}

/// The sending half of a transceiver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sender {
    /// The track that is sent, if there is one.
    pub track: Option<Track>,
    /// The identifiers of the streams to which the other side is to add the track:
    /// `[[AssociatedMediaStreamIds]]`.
    pub streams: Vec<String>,
    /// The encodings: `[[SendEncodings]]`.
    pub encodings: Vec<RtpEncodingParameters>,
    /// The track's identifier in descriptions. It stays the same when the track is replaced.
    pub(crate) msid: String,
    /// The streams of each encoding: that of its media, and that of its retransmissions.
    pub(crate) ssrcs: [[u32; 2]; MAX_ENCODINGS],
    /// The canonical name of this side (RFC 3550 §6.5.1).
    pub(crate) cname: Arc<str>,
    /// The parameters that `getParameters` has returned, for the `setParameters` that may follow:
    /// `[[LastReturnedParameters]]`.
    pub(crate) returned: Option<Box<RtpSendParameters>>,
}

/// The receiving half of a transceiver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receiver {
    /// The track that is received.
    pub track: Track,
    /// The identifiers of the streams to which the track belongs:
    /// `[[AssociatedRemoteMediaStreams]]`.
    pub streams: Vec<String>,
    /// True if the other side does not send, by the descriptions or because no packet has come yet.
    pub muted: bool,
    /// `jitterBufferTarget`: the time that what is received is to wait before it is played.
    pub jitter_buffer_target: Option<Duration>,
}

/// The identity of a sender in packets.
#[derive(Clone, Debug)]
pub(super) struct SenderIdentity {
    pub(super) ssrcs: [[u32; 2]; MAX_ENCODINGS],
    pub(super) cname: Arc<str>,
}

/// A transceiver.
#[derive(Clone, Debug)]
pub(crate) struct Transceiver {
    pub(crate) id: TransceiverId,
    pub(crate) kind: TrackKind,
    /// `[[Mid]]`.
    pub(crate) mid: Option<String>,
    /// `[[Direction]]`.
    pub(crate) direction: Direction,
    /// `[[CurrentDirection]]`.
    pub(crate) current_direction: Option<Direction>,
    /// `[[FiredDirection]]`.
    pub(super) fired_direction: Option<Direction>,
    /// `[[Stopping]]`.
    pub(crate) is_stopping: bool,
    /// `[[Stopped]]`.
    pub(crate) is_stopped: bool,
    /// `[[PreferredCodecs]]`.
    pub(crate) preferred: Vec<RtpCodec>,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
    /// A track was attached by `addTrack`.
    pub(super) has_added_track: bool,
    /// The current direction has had a part that sends.
    pub(super) has_sent: bool,
    /// The application has asked for it, or said something about it. If not, its section is kept as
    /// the other side offers it, without media.
    pub(crate) is_wanted: bool,
    /// The pending description of the other side's has made it.
    pub(super) is_new: bool,
    /// The values that a rollback brings back.
    pub(super) stable: Stable,
}

/// The values of the last stable state.
#[derive(Clone, Debug, Default)]
pub(super) struct Stable {
    pub(super) mid: Option<String>,
    /// `[[LastStableStateAssociatedRemoteMediaStreams]]`.
    pub(super) streams: Vec<String>,
    /// `[[LastStableRidlessSendEncodings]]`.
    pub(super) encodings: Option<Vec<RtpEncodingParameters>>,
}

impl Transceiver {
    /// W3C "create an RTCRtpTransceiver", with the sender and the receiver.
    pub(super) fn new(
        id: TransceiverId,
        kind: TrackKind,
        direction: Direction,
        encodings: Vec<RtpEncodingParameters>,
        identity: SenderIdentity,
        mut random_id: impl FnMut() -> String,
    ) -> Self {
        let SenderIdentity { ssrcs, cname } = identity;
        let (streams, msid) = (Vec::new(), random_id());
        let sender = Sender { track: None, streams, encodings, msid, ssrcs, cname, returned: None };
        let track = Track { id: random_id(), kind };
        let receiver = Receiver { track, streams: Vec::new(), muted: true, jitter_buffer_target: None };
        let mut transceiver = Self {
            id,
            kind,
            mid: None,
            direction,
            current_direction: None,
            fired_direction: None,
            is_stopping: false,
            is_stopped: false,
            preferred: Vec::new(),
            sender,
            receiver,
            has_added_track: false,
            has_sent: false,
            is_wanted: true,
            is_new: false,
            stable: Stable::default(),
        };
        transceiver.remember();
        transceiver
    }

    pub(super) fn info(&self, transport: Option<TransportId>) -> TransceiverInfo {
        let stopped = Some(TransceiverDirection::Stopped);
        TransceiverInfo {
            id: self.id,
            kind: self.kind,
            mid: self.mid.clone(),
            direction: stopped.filter(|_| self.is_stopping).unwrap_or_else(|| self.direction.into()),
            current_direction: stopped
                .filter(|_| self.is_stopped)
                .or_else(|| self.current_direction.map(TransceiverDirection::from)),
            transport,
            sender: self.sender.clone(),
            receiver: self.receiver.clone(),
        }
    }

    /// Keeps the values to which a rollback returns.
    pub(super) fn remember(&mut self) {
        let has_rid = self.sender.encodings.iter().any(|encoding| encoding.rid.is_some());
        let encodings = (self.sender.encodings.len() == 1 && !has_rid).then(|| self.sender.encodings.clone());
        self.stable = Stable { mid: self.mid.clone(), streams: self.receiver.streams.clone(), encodings };
    }

    /// W3C "stop sending and receiving".
    pub(super) fn stop_sending_and_receiving(&mut self) {
        self.direction = Direction::Inactive;
        self.is_stopping = true;
        self.receiver.muted = true;
    }

    /// W3C "stop the RTCRtpTransceiver". Returns true if the receiver's track has ended by it.
    pub(super) fn stop(&mut self) -> bool {
        let ends = !self.is_stopping;
        if ends {
            self.stop_sending_and_receiving();
        }
        self.is_stopped = true;
        self.current_direction = None;
        self.receiver.streams = Vec::new();
        ends
    }

    pub(super) fn set_current_direction(&mut self, direction: Direction) {
        self.current_direction = Some(direction);
        self.has_sent |= direction.sends();
    }

    /// Makes it send, or no longer send, and leaves the other direction.
    pub(super) fn set_sends(&mut self, sends: bool) {
        self.direction = Direction::new(sends, self.direction.receives());
    }
}
