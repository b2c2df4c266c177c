//! UDP sockets.

use std::net::{IpAddr, SocketAddr};

use super::ids::RelayId;

/// A UDP socket that was asked for.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) address: IpAddr,
    pub(super) purpose: Purpose,
    /// The local address, once the socket is bound.
    pub(super) local: Option<SocketAddr>,
    /// The configuration does not allow the socket any more: it is closed with its last pair.
    pub(super) retired: bool,
}

/// The use of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Host candidates, and requests to STUN servers.
    Host,
    /// One allocation: it needs a 5-tuple of its own.
    Relay(RelayId),
}

impl Socket {
    pub(super) fn new(address: IpAddr, purpose: Purpose) -> Self {
        Self { address, purpose, local: None, retired: false }
    }

    pub(super) fn is_host(&self) -> bool {
        self.purpose == Purpose::Host
    }
}
