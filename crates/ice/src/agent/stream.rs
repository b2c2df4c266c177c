//! TCP connections, and the places where they begin or end (RFC 6544).

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::ids::{ServerIndex, TcpBaseId};
use crate::event::ConnectId;
use crate::path::Path;

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
