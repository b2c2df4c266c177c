//! The UDP sockets of a peer.

#[cfg(target_os = "linux")]
mod marked;
pub(crate) mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Context;

use columba_peer::{Peer, Transmit, TransportId};

use crate::endpoint::{Endpoint, Port, Seat};
use crate::shared::Shared;
use udp::{Lost, Received, Socket};

/// Batches read from one socket in a turn.
const BATCHES_PER_TURN: usize = 4;

/// All sockets, and the datagrams that one of them had no room for.
#[derive(Default)]
pub(super) struct Sockets {
    sockets: Vec<Socket>,
    /// The place at the endpoint that shares its socket with this connection.
    seat: Option<Seat>,
    /// The parts in that socket, one for each address.
    ports: Vec<Port>,
    /// The mark of what goes over them.
    port_mark: u8,
    /// Sockets to be closed, once what is to be sent has gone.
    closing: Vec<SocketAddr>,
    /// Datagrams that a socket did not take; nothing else is sent before them.
    blocked: Option<(Transmit, Vec<u8>)>,
    /// Datagrams that were lost to errors since the peer was told.
    lost: Vec<Lost>,
}

impl Sockets {
    /// None yet; the first that is asked for at each address is the endpoint's.
    pub(super) fn new(endpoint: Option<Endpoint>, shared: &Arc<Shared>) -> Self {
        let seat = endpoint.map(|endpoint| Seat::new(endpoint, Arc::downgrade(shared)));
        Self { seat, ..Self::default() }
    }

    /// The place at the endpoint.
    pub(super) fn seat(&mut self) -> Option<&mut Seat> {
        self.seat.as_mut()
    }

    /// Binds a socket of this transport to this address and any port; returns the address with the
    /// port.
    ///
    /// # Errors
    /// The system refuses.
    pub(super) fn bind(&mut self, transport: TransportId, address: IpAddr) -> io::Result<SocketAddr> {
        // The first of each address is that of the host candidate; allocations come after it.
        if !self.ports.iter().any(|port| port.local.ip() == address)
            && let Some(port) = self.seat.as_ref().and_then(|seat| seat.port(transport, address))
        {
            let local = port.local;
            self.ports.push(port);
            return Ok(local);
        }
        let socket = Socket::bind(transport, address)?;
        let local = socket.local;
        // There are few, and they live as long as the connection.
        self.sockets.reserve_exact(1);
        self.sockets.push(socket);
        Ok(local)
    }

    /// Gives the peer what has arrived. True if more may wait.
    pub(super) fn receive(&self, cx: &mut Context<'_>, shared: &Shared) -> bool {
        let mut is_more = false;
        let beside = self.ports.iter().filter_map(|port| port.own.as_ref());
        for socket in self.sockets.iter().chain(beside) {
            let mut batches = 0;
            loop {
                match socket.poll_receive(cx, shared) {
                    Received::Nothing => break,
                    Received::Something if batches < BATCHES_PER_TURN => batches += 1,
                    Received::Something => {
                        is_more = true;
                        break;
                    }
                }
            }
        }
        is_more
    }

    /// Takes over the marks (DSCP) of what the peer sends.
    pub(super) fn mark(&mut self, peer: &Peer) {
        for socket in &mut self.sockets {
            socket.mark = peer.dscp(socket.transport);
        }
        if !self.ports.is_empty() {
            self.port_mark = peer.dscp(TransportId::FIRST);
        }
    }

    /// Sends datagrams, or keeps those that the socket has no room for.
    pub(super) fn send(&mut self, cx: &mut Context<'_>, buffer: &[u8], transmit: Transmit) {
        let local = transmit.path.local;
        let rest = match self.ports.iter_mut().find(|port| port.local == local) {
            Some(port) => port.poll_send(cx, buffer, transmit, self.port_mark, &mut self.lost),
            None => {
                let Some(socket) = self.sockets.iter().find(|socket| socket.local == local) else { return };
                socket.poll_send(cx, buffer, transmit, &mut self.lost)
            }
        };
        if let Some(rest) = rest {
            let bytes = buffer[rest.range.clone()].to_vec();
            self.blocked = Some((Transmit { range: 0..bytes.len(), ..rest }, bytes));
        }
    }

    /// Sends what was kept. True if nothing is kept any more.
    pub(super) fn send_blocked(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some((transmit, bytes)) = self.blocked.take() {
            self.send(cx, &bytes, transmit);
        }
        !self.is_blocked()
    }

    /// Tells the peer of datagrams that were lost to errors.
    pub(super) fn report_lost(&mut self, shared: &Shared) {
        if self.lost.is_empty() {
            return;
        }
        let mut state = shared.lock();
        for Lost { path, packets, bytes } in self.lost.drain(..) {
            // The endpoint's socket belongs to the first transport.
            let own = self.sockets.iter().find(|socket| socket.local == path.local);
            let transport = own.map_or(TransportId::FIRST, |socket| socket.transport);
            state.peer.note_discarded(transport, path, packets, bytes);
        }
    }

    /// Returns whether a socket has no room.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Closes this socket with [`close_marked`](Self::close_marked).
    pub(super) fn mark_closing(&mut self, local: SocketAddr) {
        self.closing.push(local);
    }

    /// Closes the sockets that are marked.
    pub(super) fn close_marked(&mut self) {
        let closing = std::mem::take(&mut self.closing);
        self.sockets.retain(|socket| !closing.contains(&socket.local));
        self.ports.retain(|port| !closing.contains(&port.local));
    }
}
