//! What the owner of a peer connection should know or do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use columba_ice::framing::Framing;
use columba_ice::{BindId, CandidateError, ConnectId, ListenId, Path, ResolveId, SelectedPair};

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
    /// [`Error::BufferFull`] had refused a message, and there is room again.
    SendBufferFree,
    /// The other side has begun to close a channel.
    ChannelClosing(ChannelId),
    /// A channel is closed; with an error if it or the connection broke. What arrived before can still be
    /// received.
    ChannelClosed(ChannelId, Option<Error>),
    /// The connection has failed, and why; comes right before the state that follows from it.
    Error(Error),
    /// Something is needed of the outside world.
    Request(Request),
}

/// What is needed of the outside world. Most wishes are answered by
/// [`Peer::handle_input`](crate::Peer::handle_input).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// Bind a UDP socket to this address and any port, and answer with `Input::Bound` or `Input::BindFailed`.
    BindUdp {
        /// The name of the wish.
        id: BindId,
        /// The address.
        address: IpAddr,
    },
    /// Close this UDP socket.
    CloseUdp {
        /// Its address.
        local: SocketAddr,
    },
    /// Open a connection, and answer with `Input::Connected` or `Input::ConnectFailed`.
    Connect {
        /// The name of the wish.
        id: ConnectId,
        /// From this address; where the port is not 0, it is that of a listener.
        local: SocketAddr,
        /// To this one.
        remote: SocketAddr,
        /// TLS, with this name to be verified in the server's certificate.
        tls: Option<Arc<str>>,
        /// How to cut messages out of what arrives.
        framing: Framing,
    },
    /// Listen for TCP connections at this address and any port, and answer with `Input::Listening` or
    /// `Input::ListenFailed`; then tell of each connection by `Input::Accepted`, and cut what arrives on it by
    /// `Framing::Rfc4571`.
    Listen {
        /// The name of the wish.
        id: ListenId,
        /// The address.
        address: IpAddr,
        /// Whether connections will also be opened from its port (RFC 6544's simultaneous-open candidates). Who
        /// cannot do that answers that the listener cannot be had.
        opens: bool,
    },
    /// Listen no more; what was accepted stays.
    CloseListener {
        /// The listener's address.
        local: SocketAddr,
    },
    /// Close this connection.
    CloseStream {
        /// Which.
        path: Path,
    },
    /// Ask the DNS for a name, and answer with `Input::Resolved`.
    Resolve {
        /// The name of the wish.
        id: ResolveId,
        /// The name.
        host: Arc<str>,
    },
    /// Ask mDNS for a name, and answer with `Input::Resolved`.
    ResolveMdns {
        /// The name of the wish.
        id: ResolveId,
        /// The name; it ends in `.local`.
        host: Arc<str>,
    },
    /// Answer mDNS questions for this name from now on.
    PublishMdns {
        /// The name; it ends in `.local`.
        host: Arc<str>,
        /// What it stands for.
        address: IpAddr,
    },
}
