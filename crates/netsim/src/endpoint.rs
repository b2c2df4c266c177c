//! The interface of a simulated host: the five doors.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// A host's software: a machine with the five doors, or several behind an adapter.
///
/// The network calls [`handle_datagram`](Self::handle_datagram) and the other `handle_*` doors when
/// something happens, and after each of them [`poll_transmit`](Self::poll_transmit) until `None`,
/// then [`poll_timeout`](Self::poll_timeout).
pub trait Endpoint {
    /// A datagram has arrived.
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>);

    /// Something has happened on a TCP connection.
    fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput<'_>) {
        let _ = (now, stream, input);
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    fn handle_timeout(&mut self, now: Instant);

    /// The host's interfaces have changed; these are the addresses that are up.
    fn handle_network_change(&mut self, now: Instant, addresses: &[IpAddr]) {
        let _ = (now, addresses);
    }

    /// Returns the next packet or request to send. The payload is appended to `payload`, which is
    /// empty.
    fn poll_transmit(&mut self, now: Instant, payload: &mut Vec<u8>) -> Option<Departure>;

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) should be called.
    fn poll_timeout(&self) -> Option<Instant>;
}

/// Explicit congestion notification (RFC 3168), the two bits of the IP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Not ECN-capable.
    #[default]
    NotEct,
    /// ECN-capable, codepoint 0.
    Ect0,
    /// ECN-capable, codepoint 1 (L4S).
    Ect1,
    /// Congestion experienced.
    Ce,
}

/// A UDP datagram that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The address at which it arrived.
    pub local: SocketAddr,
    /// The address from which it seems to come.
    pub remote: SocketAddr,
    /// The bits of its IP header.
    pub ecn: Ecn,
    /// Its payload.
    pub payload: &'a [u8],
}

/// An action that a host asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// Send UDP datagrams.
    Udp {
        /// From this address of the host.
        local: SocketAddr,
        /// To this one.
        remote: SocketAddr,
        /// With these bits in the IP header.
        ecn: Ecn,
        /// If set, the payload is several datagrams of this size, of which the last may be shorter.
        segment_size: Option<usize>,
    },
    /// Open a TCP connection; [`StreamInput::Connected`] or [`StreamInput::Closed`] follows, or
    /// nothing where a firewall swallows it. If the other host opens one to the same port of this
    /// one's meanwhile, the two become one.
    Connect {
        /// The host's own name for the connection; it must be new.
        stream: StreamId,
        /// From this address of the host.
        local: SocketAddr,
        /// To this one.
        remote: SocketAddr,
    },
    /// Send the payload on a TCP connection.
    Stream(StreamId),
    /// Close a TCP connection.
    Close(StreamId),
    /// Accept TCP connections at this address of the host from now on.
    Listen(SocketAddr),
    /// Accept no more of them; what was accepted stays.
    Unlisten(SocketAddr),
}

/// A host's name for one of its TCP connections. Those that others open get names with the highest
/// bit set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// An event on a TCP connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamInput<'a> {
    /// The connection that the host asked for is there.
    Connected {
        /// The host's own address.
        local: SocketAddr,
        /// The other end.
        remote: SocketAddr,
    },
    /// Another host has connected.
    Accepted {
        /// The address to which it connected.
        local: SocketAddr,
        /// The address from which it seems to come.
        remote: SocketAddr,
    },
    /// Bytes have arrived; how they are cut says nothing.
    Data(&'a [u8]),
    /// The send buffer is full: no more should be sent for now. More is accepted all the same.
    Clogged,
    /// The send buffer has room again.
    Drained,
    /// The connection is gone.
    Closed,
}
