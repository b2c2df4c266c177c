//! Paths of datagrams and messages: the types that the whole peer shares.

use std::net::SocketAddr;
use std::ops::Range;

use columba_stun::canonical;

/// The transport of a local socket or connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams.
    #[default]
    Udp,
    /// A TCP connection.
    Tcp,
    /// TLS over a TCP connection.
    Tls,
}

impl Transport {
    /// Returns whether messages must be cut out of a stream of bytes: see
    /// [`framing`](crate::framing).
    #[must_use]
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}

/// A path between a local socket and another host, as the kernel knows it: for relayed data the
/// remote address is the relay's. Addresses are canonical, so that paths can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The transport.
    pub transport: Transport,
    /// The socket's own address, as it was reported when the socket was bound.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
}

impl Path {
    /// A path with its addresses made canonical (IPv4 inside IPv6 becomes IPv4).
    #[must_use]
    pub fn new(transport: Transport, local: SocketAddr, remote: SocketAddr) -> Self {
        Self { transport, local: canonical(local), remote: canonical(remote) }
    }

    /// The same path with its addresses made canonical.
    #[must_use]
    pub(crate) fn canonical(self) -> Self {
        Self::new(self.transport, self.local, self.remote)
    }

    /// A path for datagrams.
    #[must_use]
    pub fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self::new(Transport::Udp, local, remote)
    }
}

/// Explicit congestion notification: the two bits of the IP header (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ecn {
    /// Not capable of ECN.
    #[default]
    NotEct,
    /// Capable, codepoint 0.
    Ect0,
    /// Capable, codepoint 1 (L4S, RFC 9331).
    Ect1,
    /// Congestion experienced.
    Ce,
}

/// Bytes of the caller's buffer to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The path to send over.
    pub path: Path,
    /// The bits for the IP header.
    pub ecn: Ecn,
    /// The bytes of the buffer.
    pub range: Range<usize>,
    /// If set, the bytes are several datagrams of this size one behind the other, the last of which
    /// may be shorter.
    pub segment_size: Option<usize>,
}
