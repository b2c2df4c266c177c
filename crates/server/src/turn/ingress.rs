//! Ingress: what has arrived, from a batch of datagrams or a stream, as jobs for the server.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use columba_turn::server::{Arrival, FiveTuple, RelayId};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta};

use super::arena::Arena;
use super::udp::UdpSocket;

/// The most messages that go through the server for one lock: some tens of microseconds.
pub(super) const MAX_JOBS: usize = 64;

/// Something that has arrived and lies in the arena.
pub(super) struct Job {
    pub(super) origin: Origin,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) range: Range<usize>,
}

/// Where it has come from.
#[derive(Clone, Copy)]
pub(super) enum Origin {
    Client(FiveTuple),
    Peer(RelayId, SocketAddr),
}

impl Origin {
    pub(super) fn arrival(&self) -> Arrival<'_> {
        match self {
            Self::Client(tuple) => Arrival::Client(tuple),
            Self::Peer(id, peer) => Arrival::Relay { id: *id, peer: *peer },
        }
    }
}

/// The purpose of a socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// Clients send to it.
    Listener,
    /// It is the relay port of this name.
    Relay(RelayId),
}

/// A datagram, or several of one length that the kernel has joined, as received.
pub(super) struct Received {
    pub(super) origin: Origin,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) whole: Range<usize>,
    /// The length of each datagram in it.
    pub(super) stride: usize,
}

/// The jobs that wait, and what the kernel says about a batch.
pub(super) struct Ingress {
    metas: [RecvMeta; BATCH_SIZE],
    pub(super) jobs: Vec<Job>,
}

impl Ingress {
    pub(super) fn new() -> Self {
        Self { metas: [RecvMeta::default(); BATCH_SIZE], jobs: Vec::with_capacity(MAX_JOBS) }
    }

    /// Receives a batch into the arena; returns how many slots were filled.
    pub(super) fn receive(&mut self, arena: &mut Arena, socket: &UdpSocket) -> io::Result<usize> {
        socket.receive(&mut arena.receive_buffers(), &mut self.metas)
    }

    /// The contents of a slot that the last batch has filled.
    pub(super) fn received(&self, slot: usize, socket: &UdpSocket, source: Source) -> Received {
        let meta = self.metas[slot];
        let from = columba_stun::canonical(meta.addr);
        let origin = match source {
            Source::Listener => Origin::Client(FiveTuple::udp(socket.destination(&meta), from)),
            Source::Relay(id) => Origin::Peer(id, from),
        };
        let whole = Arena::received(slot, meta.len);
        Received { origin, ecn: meta.ecn, whole, stride: meta.stride.max(1) }
    }
}
