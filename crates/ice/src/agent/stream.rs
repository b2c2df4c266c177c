//! TCP connections, and the places where they begin or end (RFC 6544).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::ids::{Base, ServerIndex, TcpBaseId};
use super::map::Map;
use crate::candidate::{CandidateTransport, TcpType};
use crate::event::ConnectId;
use crate::path::Path;

/// Accepted connections without a check, at most. Then the oldest is closed, so that strangers who
/// connect and send nothing do not keep out the peer, whose check comes along with its connection.
const MAX_UNPROVEN: usize = 16;

/// The ends of connections, and the connections.
#[derive(Debug, Default)]
pub(super) struct Tcp {
    /// The local ends: an active and a passive one for each address.
    pub(super) bases: Map<TcpBaseId, TcpBase>,
    /// The connections to peers and to STUN servers; bounded with the pairs, but for unproven ones.
    pub(super) streams: Map<StreamKey, Stream>,
    /// Connections, those of relays too, whose send buffers are full.
    clogged: BTreeSet<Path>,
}

/// A place where connections begin or end.
#[derive(Debug)]
pub(super) struct TcpBase {
    pub(super) address: IpAddr,
    pub(super) end: End,
    /// The configuration does not allow it any more: it is closed with its last pair.
    pub(super) retired: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Connections are opened from any port.
    Active,
    /// They are accepted here, once the listener is open.
    Passive(Option<SocketAddr>),
    /// They are accepted here and opened from here.
    Simultaneous(Option<SocketAddr>),
}

impl End {
    /// The address where connections are accepted, once the listener is open.
    pub(super) fn listens_at(self) -> Option<SocketAddr> {
        match self {
            Self::Active => None,
            Self::Passive(local) | Self::Simultaneous(local) => local,
        }
    }

    pub(super) fn is_simultaneous(self) -> bool {
        matches!(self, Self::Simultaneous(_))
    }
}

impl TcpBase {
    pub(super) fn is_pending(&self) -> bool {
        self.end != End::Active && self.end.listens_at().is_none()
    }

    /// The address that connections are opened from, if they are.
    pub(super) fn opens_from(&self) -> Option<SocketAddr> {
        match self.end {
            End::Active => Some(SocketAddr::new(self.address, 0)),
            End::Passive(_) => None,
            End::Simultaneous(local) => local,
        }
    }

    /// The address where connections are both accepted and opened, if they are.
    pub(super) fn simultaneous(&self) -> Option<SocketAddr> {
        self.end.listens_at().filter(|_| self.end.is_simultaneous())
    }
}

/// The key of a connection: its base, and the other end.
pub(super) type StreamKey = (TcpBaseId, SocketAddr);

/// A connection to a peer, or to a STUN server.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) leg: Leg,
    /// The server at the other end, if it is not a peer.
    pub(super) server: Option<ServerIndex>,
    /// When it is given up: it is not open yet, or no check has shown yet which pair it belongs to.
    pub(super) deadline: Option<Instant>,
    pub(super) opened: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    Connecting(ConnectId),
    /// The other side was not ready; it is tried again when the deadline comes.
    Refused,
    Open(Path),
}

impl Tcp {
    pub(super) fn has_base(&self, address: IpAddr, is: impl Fn(End) -> bool) -> bool {
        self.bases.values().any(|base| base.address == address && is(base.end))
    }

    /// Returns whether a listener, or a connection to a server, is still to come.
    pub(super) fn is_pending(&self) -> bool {
        self.bases.values().any(TcpBase::is_pending) || self.streams.values().any(Stream::is_server_pending)
    }

    /// Returns whether a base may be used in a new session.
    pub(super) fn is_current(&self, id: TcpBaseId) -> bool {
        self.bases.get(&id).is_some_and(|base| !base.retired)
    }

    /// Returns whether connections are opened from a base.
    pub(super) fn opens(&self, id: TcpBaseId) -> bool {
        self.bases.get(&id).is_some_and(|base| base.opens_from().is_some())
    }

    /// The base that accepts connections at this address.
    pub(super) fn listening_at(&self, local: SocketAddr) -> Option<TcpBaseId> {
        self.bases.iter().find(|(_, base)| base.end.listens_at() == Some(local)).map(|(id, _)| *id)
    }

    /// The bases for which this holds.
    pub(super) fn bases_that(&self, is: impl Fn(TcpBaseId, &TcpBase) -> bool) -> Vec<TcpBaseId> {
        self.bases.iter().filter(|(id, base)| is(**id, base)).map(|(id, _)| *id).collect()
    }

    /// Gathering goes on without listeners that are not there by now.
    pub(super) fn give_up_listeners(&mut self) {
        self.bases.retain(|_, base| !base.is_pending());
    }

    /// The transport of the remote candidate at the other end of a base.
    pub(super) fn remote_transport(&self, base: Base) -> CandidateTransport {
        match base {
            Base::Socket(_) | Base::Relay(_) => CandidateTransport::Udp,
            Base::Tcp(id) => CandidateTransport::Tcp(match self.bases.get(&id).map(|base| base.end) {
                Some(End::Active) => TcpType::Passive,
                Some(End::Simultaneous(_)) => TcpType::SimultaneousOpen,
                Some(End::Passive(_)) | None => TcpType::Active,
            }),
        }
    }

    /// The connection's end and its remote address, by its path.
    pub(super) fn at(&self, path: &Path) -> Option<StreamKey> {
        let path = path.canonical();
        self.streams.iter().find(|(_, stream)| stream.leg == Leg::Open(path)).map(|(key, _)| *key)
    }

    /// The path of a connection, if it is open.
    pub(super) fn path(&self, base: TcpBaseId, remote: SocketAddr) -> Option<Path> {
        self.streams.get(&(base, remote))?.path()
    }

    /// Returns whether a connection goes to a server.
    pub(super) fn is_to_server(&self, base: TcpBaseId, remote: SocketAddr) -> bool {
        self.streams.get(&(base, remote)).is_some_and(|stream| stream.server.is_some())
    }

    pub(super) fn connecting(&self, id: ConnectId) -> Option<StreamKey> {
        let found = self.streams.iter().find(|(_, stream)| stream.leg == Leg::Connecting(id));
        found.map(|(key, _)| *key)
    }

    /// The connections of a base.
    pub(super) fn streams_of(&self, id: TcpBaseId) -> Vec<StreamKey> {
        self.streams.keys().copied().filter(|(base, _)| *base == id).collect()
    }

    /// The oldest unproven connection, if there is no room for another one.
    pub(super) fn surplus(&self) -> Option<StreamKey> {
        let unproven = self.streams.iter().filter(|(_, stream)| stream.is_unproven());
        let is_full = unproven.clone().count() >= MAX_UNPROVEN;
        let oldest = unproven.min_by_key(|(_, stream)| stream.deadline);
        oldest.filter(|_| is_full).map(|(key, _)| *key)
    }

    /// An authentic check has come over a connection.
    pub(super) fn prove(&mut self, base: Base, remote: SocketAddr) {
        if let Base::Tcp(base) = base
            && let Some(stream) = self.streams.get_mut(&(base, remote)).filter(|stream| stream.is_unproven())
        {
            stream.deadline = None;
        }
    }

    /// The connections whose deadline has come.
    pub(super) fn due(&self, now: Instant) -> Vec<StreamKey> {
        let is_due = |stream: &Stream| stream.deadline.is_some_and(|at| at <= now);
        self.streams.iter().filter(|(_, stream)| is_due(stream)).map(|(key, _)| *key).collect()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.streams.values().filter_map(|stream| stream.deadline).min()
    }

    /// A connection takes no more. Those that are gone are forgotten: `is_relay` says which others
    /// there are.
    pub(super) fn clog(&mut self, path: Path, is_relay: impl Fn(&Path) -> bool) {
        let mut clogged = std::mem::take(&mut self.clogged);
        clogged.insert(path);
        clogged.retain(|path| self.at(path).is_some() || is_relay(path));
        self.clogged = clogged;
    }

    /// A connection takes more, or is a new one.
    pub(super) fn unclog(&mut self, path: &Path) {
        self.clogged.remove(path);
    }

    pub(super) fn is_any_clogged(&self) -> bool {
        !self.clogged.is_empty()
    }

    pub(super) fn is_clogged(&self, path: &Path) -> bool {
        self.clogged.contains(path)
    }
}

impl Stream {
    pub(super) fn path(&self) -> Option<Path> {
        match self.leg {
            Leg::Open(path) => Some(path),
            Leg::Connecting(_) | Leg::Refused => None,
        }
    }

    /// Returns whether it goes to a server, and is not open yet.
    pub(super) fn is_server_pending(&self) -> bool {
        self.server.is_some() && self.path().is_none()
    }

    /// Returns whether it was accepted, and no authentic check has come over it.
    pub(super) fn is_unproven(&self) -> bool {
        self.deadline.is_some() && self.path().is_some()
    }
}
