//! What the owner of a peer connection should know or do.

use columba_ice::{CandidateError, Request, SelectedPair};

use crate::candidate::IceCandidate;
use crate::channel::ChannelId;
use crate::error::Error;
use crate::states::{
    DtlsTransportState, IceConnectionState, IceGatheringState, PeerConnectionState, SctpTransportState,
    SignalingState,
};

/// What has happened. An event carries the state that it announces, so that a binding can change what its
/// user sees exactly when it hands the event over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Descriptions should be exchanged: create an offer. Comes in the stable state only, once for any number
    /// of changes.
    NegotiationNeeded,
    /// `signalingstatechange`.
    SignalingState(SignalingState),
    /// `icegatheringstatechange`.
    IceGatheringState(IceGatheringState),
    /// `iceconnectionstatechange`.
    IceConnectionState(IceConnectionState),
    /// `connectionstatechange`.
    ConnectionState(PeerConnectionState),
    /// The DTLS transport's `statechange`.
    DtlsState(DtlsTransportState),
    /// The SCTP transport's `statechange`.
    SctpState(SctpTransportState),
    /// `icecandidate`: to be sent to the other side. `None`: gathering is complete, nothing to be sent.
    IceCandidate(Option<IceCandidate>),
    /// `icecandidateerror`: a server did not do what it was asked.
    IceCandidateError(CandidateError),
    /// `selectedcandidatepairchange`.
    SelectedCandidatePair(Box<SelectedPair>),
    /// The path is dead, and no other can be found without new credentials on both sides: call
    /// [`Peer::restart_ice`](crate::Peer::restart_ice), if the other side may still be there. Comes before
    /// the state is failed; browsers leave it to the application to find that out.
    IceRestartWanted,
    /// `datachannel`: the other side has created a channel, which is open.
    DataChannel(ChannelId),
    /// A channel that this side created is open.
    ChannelOpen(ChannelId),
    /// Messages wait on a channel on which none did: receive until there is none.
    ChannelReadable(ChannelId),
    /// What waits to be sent on a channel has fallen to its threshold.
    BufferedAmountLow(ChannelId),
    /// A channel that was found full (by [`Peer::is_writable`](crate::Peer::is_writable) or
    /// [`Error::BufferFull`]) has room again.
    ChannelWritable(ChannelId),
    /// The other side has begun to close a channel.
    ChannelClosing(ChannelId),
    /// A channel is closed; with an error if it or the connection broke. What arrived before can still be
    /// received.
    ChannelClosed(ChannelId, Option<Error>),
    /// The connection has failed, and why; comes right before the state that follows from it.
    Error(Error),
    /// Something is needed of the outside world. Most requests are answered by
    /// [`Peer::handle_input`](crate::Peer::handle_input).
    Request(Request),
}
