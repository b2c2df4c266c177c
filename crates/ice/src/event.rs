//! The inputs, requests and events of an agent: everything that crosses its border beside
//! datagrams.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::candidate::Candidate;
use crate::framing::Framing;
use crate::path::Path;

/// The name of a [`Request::BindUdp`]. Unique within its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindId(pub u64);

/// The name of a [`Request::Connect`]. Unique within its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectId(pub u64);

/// The name of a [`Request::Listen`]. Unique within its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenId(pub u64);

/// The name of a [`Request::Resolve`] or [`Request::ResolveMdns`]. Unique within its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolveId(pub u64);

/// The answers to requests, and what else happens to sockets and connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The UDP socket is bound.
    Bound {
        /// The request.
        id: BindId,
        /// Its address, never unspecified: paths name the socket by it.
        local: SocketAddr,
    },
    /// The UDP socket could not be bound.
    BindFailed {
        /// The request.
        id: BindId,
    },
    /// The connection is open, TLS included.
    Connected {
        /// The request.
        id: ConnectId,
        /// The connection: its transport is TCP or TLS.
        path: Path,
    },
    /// The connection could not be opened.
    ConnectFailed {
        /// The request.
        id: ConnectId,
    },
    /// The listener is open.
    Listening {
        /// The request.
        id: ListenId,
        /// Its address, never unspecified: it is the local address of the connections that it
        /// accepts.
        local: SocketAddr,
    },
    /// The listener could not be opened.
    ListenFailed {
        /// The request.
        id: ListenId,
    },
    /// A listener has accepted a connection. Messages are to be cut out of what arrives by
    /// [`Framing::Rfc4571`].
    Accepted {
        /// The connection: its local address is the listener's.
        path: Path,
    },
    /// A connection is closed or broken.
    Closed {
        /// The connection.
        path: Path,
    },
    /// The send buffer of a connection is full: no data is to be sent there, see
    /// [`Agent::is_clogged`](crate::Agent::is_clogged). Checks go on, and the connection should
    /// write them ahead of waiting data.
    Clogged {
        /// The connection.
        path: Path,
    },
    /// The send buffer of a clogged connection has room again.
    Drained {
        /// The connection.
        path: Path,
    },
    /// A name is resolved.
    Resolved {
        /// The request.
        id: ResolveId,
        /// The addresses, best first; none if there are none or there was no answer.
        addresses: Vec<IpAddr>,
    },
}

/// An action that the agent needs of its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Bind a UDP socket to this address and any port, and answer with [`Input::Bound`] or
    /// [`Input::BindFailed`].
    BindUdp {
        /// The request's name.
        id: BindId,
        /// The address.
        address: IpAddr,
    },
    /// Close this UDP socket.
    CloseUdp {
        /// Its address.
        local: SocketAddr,
    },
    /// Open a connection, and answer with [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect {
        /// The request's name.
        id: ConnectId,
        /// The address to connect from; where the port is not 0, it is that of a listener.
        local: SocketAddr,
        /// The address to connect to.
        remote: SocketAddr,
        /// TLS, with this name to be verified in the server's certificate.
        tls: Option<Arc<str>>,
        /// The framing of what arrives: see [`framing`](crate::framing).
        framing: Framing,
    },
    /// Listen for TCP connections at this address and any port, and answer with
    /// [`Input::Listening`] or [`Input::ListenFailed`]; then report each connection by
    /// [`Input::Accepted`].
    Listen {
        /// The request's name.
        id: ListenId,
        /// The address.
        address: IpAddr,
        /// True if connections will also be opened from its port (simultaneous-open candidates,
        /// RFC 6544 §4.5). An owner that cannot do that answers [`Input::ListenFailed`].
        opens: bool,
    },
    /// Close this listener; the connections that it accepted stay open.
    CloseListener {
        /// The listener's address.
        local: SocketAddr,
    },
    /// Close this connection, once everything that
    /// [`Agent::poll_transmit`](crate::Agent::poll_transmit) and
    /// [`Agent::prepare`](crate::Agent::prepare) have given for it is written.
    CloseStream {
        /// The connection.
        path: Path,
    },
    /// Resolve a name by DNS, and answer with [`Input::Resolved`].
    Resolve {
        /// The request's name.
        id: ResolveId,
        /// The name to resolve.
        host: Arc<str>,
    },
    /// Resolve a name by mDNS, and answer with [`Input::Resolved`].
    ResolveMdns {
        /// The request's name.
        id: ResolveId,
        /// The name to resolve; it ends in `.local`.
        host: Arc<str>,
    },
    /// Answer mDNS questions for this name from now on.
    PublishMdns {
        /// The name; it ends in `.local`.
        host: Arc<str>,
        /// The address that it stands for.
        address: IpAddr,
    },
}

/// News for the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A candidate was found; to be sent to the other peer.
    LocalCandidate(Candidate),
    /// The gathering state has changed.
    GatheringState(GatheringState),
    /// A server did not do what it was asked: the W3C's `icecandidateerror`.
    CandidateError(CandidateError),
    /// The state has changed.
    State(State),
    /// The first pair of a session is valid: data can be sent, although no pair is nominated
    /// yet.
    Writable,
    /// Data goes over this pair from now on.
    Selected(SelectedPair),
    /// The roles were the same on both sides, and this agent changed its own.
    RoleChanged(Role),
    /// The path is dead, and no other can be taken without new credentials on both sides: restart
    /// ICE.
    RestartWanted,
    /// A value that the other side has embedded in a check, response or indication, perhaps before
    /// its description came: see
    /// [`Agent::set_embedded`](crate::Agent::set_embedded).
    Embedded(Bytes),
}

/// The W3C's `RTCIceGathererState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatheringState {
    /// Not begun.
    #[default]
    New,
    /// Under way.
    Gathering,
    /// Done: no more candidates follow unless the network changes.
    Complete,
}

/// The W3C's `RTCIceTransportState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Waiting for remote candidates.
    #[default]
    New,
    /// Looking for a pair, none found yet.
    Checking,
    /// A pair is usable; better ones may still be found.
    Connected,
    /// A pair is nominated, and no checks are left.
    Completed,
    /// The other side has fallen silent; it may come back.
    Disconnected,
    /// No pair works.
    Failed,
    /// Shut down.
    Closed,
}

/// The role in nomination (RFC 8445 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Nominates the pair.
    Controlling,
    /// Accepts the nomination.
    Controlled,
}

impl Role {
    /// Returns the role of the other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// An error of a STUN or TURN server: `RTCPeerConnectionIceErrorEvent`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CandidateError {
    /// The local address that the request was sent from, if any and if it may be shown.
    pub local: Option<SocketAddr>,
    /// The server, as [`IceServer::url`](crate::IceServer) says.
    pub url: Arc<str>,
    /// STUN's error code, or 701 if the server was not reached.
    pub code: u16,
    /// The server's reason phrase, or why it was not reached.
    pub text: Arc<str>,
}

/// The pair over which data goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SelectedPair {
    /// The path as the kernel sees it: to the relay, if the local side is relayed.
    pub path: Path,
    /// The local candidate.
    pub local: Candidate,
    /// The remote candidate.
    pub remote: Candidate,
    /// True if data went over another pair before: round-trip times, windows and the MTU must be
    /// learned anew.
    pub changed: bool,
}

/// The result of [`Agent::handle_datagram`](crate::Agent::handle_datagram).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message for the agent, or one that was dropped.
    Consumed,
    /// Data of the other peer.
    Data {
        /// The bytes of the buffer that are the data, relay headers removed.
        range: Range<usize>,
    },
}
