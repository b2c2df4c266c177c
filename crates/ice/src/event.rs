//! What goes in and out of an agent beside datagrams.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::candidate::Candidate;
use crate::framing::Framing;
use crate::path::Path;

/// Names a wish for a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BindId(pub u64);

/// Names a wish for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectId(pub u64);

/// Names a wish for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenId(pub u64);

/// Names a wish for the addresses of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResolveId(pub u64);

/// The answers to what events asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// The UDP socket is there.
    Bound {
        /// The wish.
        id: BindId,
        /// Its address, never unspecified: paths name the socket by it.
        local: SocketAddr,
    },
    /// The UDP socket cannot be had.
    BindFailed {
        /// The wish.
        id: BindId,
    },
    /// The connection is open, TLS included.
    Connected {
        /// The wish.
        id: ConnectId,
        /// The connection: its transport is TCP or TLS.
        path: Path,
    },
    /// The connection cannot be had.
    ConnectFailed {
        /// The wish.
        id: ConnectId,
    },
    /// The listener is there.
    Listening {
        /// The wish.
        id: ListenId,
        /// Its address, never unspecified: the paths of connections that it accepts have it as their local address.
        local: SocketAddr,
    },
    /// The listener cannot be had.
    ListenFailed {
        /// The wish.
        id: ListenId,
    },
    /// A listener has accepted a connection. Messages are to be cut out of what arrives by
    /// [`Framing::Rfc4571`].
    Accepted {
        /// The connection: its local address is the listener's.
        path: Path,
    },
    /// A connection is gone.
    Closed {
        /// Which.
        path: Path,
    },
    /// More waits for a connection to take it than is good: no data is to be sent there, see
    /// [`Agent::is_clogged`](crate::Agent::is_clogged). Checks go on, and the connection should let them pass by what waits.
    Clogged {
        /// The connection.
        path: Path,
    },
    /// It has taken most of what waited.
    Drained {
        /// The connection.
        path: Path,
    },
    /// A name has these addresses; none if it has none or nobody answered.
    Resolved {
        /// The wish.
        id: ResolveId,
        /// The addresses, best first.
        addresses: Vec<IpAddr>,
    },
}

/// What the owner should know or do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Bind a UDP socket to this address and any port, and answer with [`Input::Bound`] or [`Input::BindFailed`].
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
    /// Open a connection, and answer with [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect {
        /// The name of the wish.
        id: ConnectId,
        /// From this address; where the port is not 0, it is that of a listener.
        local: SocketAddr,
        /// To this one.
        remote: SocketAddr,
        /// TLS, with this name to be verified in the server's certificate.
        tls: Option<Arc<str>>,
        /// How to cut messages out of what arrives: see [`framing`](crate::framing).
        framing: Framing,
    },
    /// Listen for TCP connections at this address and any port, and answer with [`Input::Listening`] or [`Input::ListenFailed`]; then tell of
    /// each connection by [`Input::Accepted`].
    Listen {
        /// The name of the wish.
        id: ListenId,
        /// The address.
        address: IpAddr,
        /// Whether connections will also be opened from its port (RFC 6544's simultaneous-open candidates). Who cannot do that answers
        /// that the listener cannot be had.
        opens: bool,
    },
    /// Listen no more; what was accepted stays.
    CloseListener {
        /// The listener's address.
        local: SocketAddr,
    },
    /// Close this connection, once what [`Agent::poll_transmit`](crate::Agent::poll_transmit) and
    /// [`Agent::prepare`](crate::Agent::prepare) have given for it is written.
    CloseStream {
        /// Which.
        path: Path,
    },
    /// Ask the DNS for a name, and answer with [`Input::Resolved`].
    Resolve {
        /// The name of the wish.
        id: ResolveId,
        /// The name.
        host: Arc<str>,
    },
    /// Ask mDNS for a name, and answer with [`Input::Resolved`].
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
    /// A candidate was found; to be sent to the other peer.
    LocalCandidate(Candidate),
    /// Gathering has come to this state.
    GatheringState(GatheringState),
    /// A server did not do what it was asked: the W3C's `icecandidateerror`.
    CandidateError(CandidateError),
    /// The agent has come to this state.
    State(State),
    /// The first pair of a generation is valid: data can be sent, although no pair is nominated yet.
    Writable,
    /// Data goes over this pair from now on.
    Selected(SelectedPair),
    /// The roles were the same on both sides, and this agent changed its own.
    RoleChanged(Role),
    /// The path is dead, and no other can be taken without new credentials on both sides: restart ICE.
    RestartWanted,
    /// The other side has sent this along in a check or response: see [`Agent::set_embedded`](crate::Agent::set_embedded).
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
    /// Done: nothing more is to come unless the network changes.
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
    /// A pair is nominated, and nothing is left to be checked.
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
    /// Chooses the pair.
    Controlling,
    /// Takes what is chosen.
    Controlled,
}

impl Role {
    /// The other side's.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// What went wrong with a server: `RTCPeerConnectionIceErrorEvent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandidateError {
    /// From where it was asked, if from anywhere.
    pub local: Option<SocketAddr>,
    /// The server, as [`IceServer::url`](crate::IceServer) says.
    pub url: Arc<str>,
    /// STUN's error code, or 701 if the server was not reached.
    pub code: u16,
    /// What it said, or why it was not reached.
    pub text: Arc<str>,
}

/// The pair over which data goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedPair {
    /// For which component.
    pub component: u8,
    /// As the kernel sees it: to the relay, if the own side is relayed.
    pub path: Path,
    /// The own candidate.
    pub local: Candidate,
    /// The other side's.
    pub remote: Candidate,
    /// Whether data went over another pair before: round-trip times, windows and the MTU must be learned anew.
    pub changed: bool,
}

/// What a datagram was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// The agent's own business, or nobody's.
    Consumed,
    /// Data of the other peer's.
    Data {
        /// Which bytes of the buffer, relay headers removed.
        range: Range<usize>,
        /// The component that it is for.
        component: u8,
    },
}
