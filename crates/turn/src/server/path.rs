//! The types at the machine's edge: the source of a message, transmissions, inputs and events.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use columba_stun::{AddressFamily, canonical};

use super::stats::DropReason;

/// Wall time: the time since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub Duration);

/// The transport between client and server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Datagrams; the source address may be forged.
    Udp,
    /// A stream. The owner cuts it into messages (`columba_stun`'s stream reader).
    Tcp,
    /// A stream inside TLS. The owner deciphers it and cuts it into messages.
    Tls,
}

impl Transport {
    /// Returns whether messages have to be cut out of a stream of bytes.
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }
}

/// The transport and both addresses of a client: the 5-tuple of RFC 8656.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiveTuple {
    transport: Transport,
    local: SocketAddr,
    client: SocketAddr,
    connection: u64,
}

impl FiveTuple {
    /// A client that sends datagrams to the server's address `local`.
    pub fn udp(local: SocketAddr, client: SocketAddr) -> Self {
        Self { transport: Transport::Udp, local: canonical(local), client: canonical(client), connection: 0 }
    }

    /// A client on a stream. `connection` is the owner's number for it, never used twice, so that a
    /// new connection from the same port is not taken for the old one.
    pub fn stream(transport: Transport, local: SocketAddr, client: SocketAddr, connection: u64) -> Self {
        Self { transport, local: canonical(local), client: canonical(client), connection }
    }

    /// The transport.
    pub const fn transport(&self) -> Transport {
        self.transport
    }

    /// The server's address, canonical: IPv4 inside IPv6 is IPv4. Answers are sent from it.
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// The client's address as the server sees it, canonical.
    pub const fn client(&self) -> SocketAddr {
        self.client
    }

    /// The owner's number of the stream; 0 for datagrams.
    pub const fn connection(&self) -> u64 {
        self.connection
    }
}

/// One relay port: asked for by [`Event::RelayWanted`], never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelayId(pub(super) u64);

impl RelayId {
    /// The number, for the owner's tables and logs.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The requirement on a port (RFC 8656 §7.2, EVEN-PORT).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortRequirement {
    /// Any port of the range; chosen at random, please (RFC 6056).
    Any,
    /// An even port.
    Even,
    /// An even port, and the next higher one too, bound at once. A grant of the even one is a grant
    /// of both: the higher one has the name given here, and is used or released like any other
    /// relay.
    EvenAndNext(RelayId),
}

/// Inputs of the machine.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// A datagram, or one message cut out of a stream, for which
    /// [`Server::route`](super::Server::route) said [`Forward::Control`]. (Data handed in here is
    /// dropped and counted.)
    Message {
        /// The source.
        tuple: FiveTuple,
        /// The message, from the first byte of its header.
        data: &'a [u8],
    },
    /// The port asked for by [`Event::RelayWanted`] is bound. If it is not wanted any more, the
    /// answer is [`Event::RelayReleased`].
    RelayGranted {
        /// The id of the request.
        id: RelayId,
        /// The address that peers see: behind a 1:1 NAT the public one, not the one that was bound.
        relayed: SocketAddr,
    },
    /// The port asked for by [`Event::RelayWanted`] cannot be had.
    RelayRefused {
        /// The id of the request.
        id: RelayId,
        /// The reason.
        reason: RefusalReason,
    },
    /// A stream has ended, at either end: its allocation is released, or waits a minute to be moved
    /// if it may be.
    ConnectionClosed {
        /// The stream.
        tuple: FiveTuple,
    },
}

/// The reason for which the owner has no relay port to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalReason {
    /// No port is free: answered with 508.
    Capacity,
    /// There is no address of that family: answered with 440.
    Family,
}

/// Requests and notifications to the owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Bind a UDP port for a client, and answer with [`Input::RelayGranted`] or
    /// [`Input::RelayRefused`].
    RelayWanted {
        /// The id of the request, and of the relay once granted.
        id: RelayId,
        /// The family.
        family: AddressFamily,
        /// The requirement on the port.
        port: PortRequirement,
    },
    /// Close this port: nothing is relayed over it any more.
    RelayReleased {
        /// The relay.
        id: RelayId,
    },
    /// Close this stream, after what is waiting for it in
    /// [`poll_transmit`](super::Server::poll_transmit) was sent: its allocation has expired or
    /// moved elsewhere, or something came that is no STUN message, so that the start of the next
    /// one is unknown.
    ConnectionClose {
        /// The stream.
        tuple: FiveTuple,
    },
}

/// A message for a client: the first `len` bytes of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit {
    /// The receiver, the source address and the transport.
    pub tuple: FiveTuple,
    /// The length of the message.
    pub len: usize,
    /// True if the client has an allocation on this 5-tuple, with this message sent. Only looked up
    /// for streams, whose owner closes those that are silent and have none.
    pub allocated: bool,
}

/// The place where something to be forwarded has arrived.
#[derive(Debug, Clone, Copy)]
pub enum Arrival<'a> {
    /// At a listening socket or on a stream, from a client, or from a source that would be one.
    Client(&'a FiveTuple),
    /// At a relay port, from a peer.
    Relay {
        /// The relay.
        id: RelayId,
        /// The sender.
        peer: SocketAddr,
    },
}

/// The result of routing a message. The ranges are of the buffer that was handed in, whose bytes
/// around the payload have been rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forward {
    /// Send these bytes to a client: one datagram, or one message of a stream, complete with
    /// padding.
    ToClient {
        /// The receiver, the source address and the transport.
        tuple: FiveTuple,
        /// The bytes.
        range: Range<usize>,
    },
    /// Send these bytes from a relay port.
    ToPeer {
        /// The relay to send from.
        relay: RelayId,
        /// The receiver.
        peer: SocketAddr,
        /// The bytes.
        range: Range<usize>,
        /// True if the datagram must not be fragmented (only if
        /// [`Config::dont_fragment`](super::Config)).
        dont_fragment: bool,
    },
    /// It is no data but a STUN message for the server: hand it to
    /// [`handle_input`](super::Server::handle_input) as [`Input::Message`].
    Control,
    /// Nothing. It has been counted.
    Drop(DropReason),
}
