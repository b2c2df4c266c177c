//! Events of a peer connection for its application.

use std::sync::Arc;

use columba_ice::{CandidateError, SelectedPair};

use crate::candidate::IceCandidate;
use crate::data::ChannelId;
use crate::error::Error;
use crate::media::{Track, TrackKind, TransceiverId};
use crate::states::{
    DtlsTransportState, IceConnectionState, IceGatheringState, PeerConnectionState, SctpTransportState,
    SignalingState,
};
use crate::transport::TransportId;

/// An event. It carries the state that it announces, so that a binding can change what its user
/// sees exactly when it delivers the event.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// `negotiationneeded`: descriptions should be exchanged; create an offer. Comes in the stable
    /// state only, once for any number of changes.
    NegotiationNeeded,
    /// `signalingstatechange`.
    SignalingState(SignalingState),
    /// `icegatheringstatechange`.
    IceGatheringState(IceGatheringState),
    /// `iceconnectionstatechange`.
    IceConnectionState(IceConnectionState),
    /// `connectionstatechange`.
    ConnectionState(PeerConnectionState),
    /// `statechange` of an ICE transport.
    IceTransportState(TransportId, IceConnectionState),
    /// `gatheringstatechange` of an ICE transport.
    IceTransportGatheringState(TransportId, IceGatheringState),
    /// `statechange` of a DTLS transport.
    DtlsState(TransportId, DtlsTransportState),
    /// `statechange` of the SCTP transport.
    SctpState(SctpTransportState),
    /// `icecandidate`: to be sent to the other side. `None`: gathering is complete, nothing to be
    /// sent.
    IceCandidate(Option<IceCandidate>),
    /// `icecandidateerror`: a STUN or TURN server has refused or not answered.
    IceCandidateError(CandidateError),
    /// `selectedcandidatepairchange` of a transport.
    SelectedCandidatePair(TransportId, Box<SelectedPair>),
    /// The path is dead, and no other can be found without new credentials on both sides. Comes
    /// before the state is failed. With
    /// [`Configuration::automatic_ice_restart`](crate::Configuration) the next offer restarts ICE,
    /// and [`NegotiationNeeded`](Self::NegotiationNeeded) follows; without it, call
    /// [`Peer::restart_ice`](crate::Peer::restart_ice) if the other side may still be there.
    IceRestartWanted,
    /// `track`: the other side sends a track, or sends it in further streams. Comes when its offer
    /// is set, so that the direction of the transceiver can still be chosen for the answer.
    Track {
        /// The transceiver.
        transceiver: TransceiverId,
        /// The track of its receiver.
        track: Track,
        /// The identifiers of the streams to which it belongs.
        streams: Vec<String>,
    },
    /// `mute` of the track of this transceiver's receiver, which was not muted: the other side no
    /// longer sends it, by a description or by the end of its stream (RTCP BYE).
    TrackMuted(TransceiverId, TrackKind),
    /// `unmute` of the track of this transceiver's receiver: the first packet has come since it was
    /// muted.
    TrackUnmuted(TransceiverId, TrackKind),
    /// `removetrack` of a stream: the track of this transceiver's receiver no longer belongs to it.
    TrackRemoved(TransceiverId, TrackKind, String),
    /// `ended` of the track of this transceiver's receiver: the other side has stopped the
    /// transceiver, or has taken back the offer that brought it.
    TrackEnded(TransceiverId, TrackKind),
    /// `datachannel`: the other side has created a channel, which is open.
    DataChannel(ChannelId),
    /// A channel that this side created is open.
    ChannelOpen(ChannelId),
    /// `message`: messages wait on a channel on which none did. Their values are what
    /// [`Peer::receive`](crate::Peer::receive) returns; receive until there is none.
    ChannelReadable(ChannelId),
    /// The buffered amount of a channel has fallen to its threshold; with the amount in bytes.
    BufferedAmountLow(ChannelId, usize),
    /// A channel that was found full (by [`Peer::is_writable`](crate::Peer::is_writable) or
    /// [`Error::BufferFull`]) has room again.
    ChannelWritable(ChannelId),
    /// The other side has begun to close a channel.
    ChannelClosing(ChannelId),
    /// A channel is closed; with an error if it or the connection failed. Messages that arrived
    /// before can still be received.
    ChannelClosed(ChannelId, Option<Error>),
    /// Frames of this transceiver wait, and none did: take them by
    /// [`Peer::receive_frame`](crate::Peer::receive_frame) until there is none.
    FramesReadable(TransceiverId),
    /// Packets wait, and none did: take them by
    /// [`Peer::receive_packet`](crate::Peer::receive_packet) until there is none.
    PacketsReadable,
    /// The next frame of this transceiver's encoding with this name is to be a key frame: the other
    /// side asks for it, or is a new one.
    KeyFrameWanted(TransceiverId, Option<Arc<str>>),
    /// `tonechange` of this transceiver's DTMF sender: a tone begins, or a pause of two seconds; or
    /// there are no more.
    ToneChange(TransceiverId, Option<char>),
    /// The bits per second that this transceiver's encoding with this name is to have: what the
    /// path carries, within the parameters. Changes of less than 5 % are not told.
    BitrateWanted(TransceiverId, Option<Arc<str>>, u64),
    /// The connection has failed, and why; comes right before the state that follows from it.
    Error(Error),
}
