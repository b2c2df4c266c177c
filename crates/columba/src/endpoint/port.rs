//! The part of one connection in an endpoint's socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::time::Instant;

use columba_peer::{Peer, Transmit, TransportId};
use tracing::debug;

use super::stun::Stun;
use super::table::Owner;
use super::{Endpoint, lock};
use crate::driver::udp::{Lost, Socket};
use crate::shared::Shared;

/// A connection's place at an endpoint. Of several transports the first shares the socket.
pub(crate) struct Seat {
    endpoint: Endpoint,
    owner: Owner,
    fragments: Vec<Box<str>>,
    /// The state of the negotiation that they are of.
    followed: Option<u64>,
}

/// One of the host's addresses in the endpoint's socket, for one connection.
pub(crate) struct Port {
    endpoint: Endpoint,
    owner: Owner,
    /// The number of the endpoint's socket.
    socket: usize,
    /// The local address of its paths, for the ICE agent.
    pub(crate) local: SocketAddr,
    /// The addresses that are reached over the endpoint's socket.
    claimed: Vec<SocketAddr>,
    /// Those that other connections reach over it.
    taken: Vec<SocketAddr>,
    /// Reaches those: to the other side it is another address of this one, which ICE learns of as a
    /// peer-reflexive candidate (RFC 8445 §7.3.1.3).
    pub(crate) own: Option<Socket>,
}

impl Seat {
    pub(crate) fn new(endpoint: Endpoint, shared: Weak<Shared>) -> Self {
        let core = &endpoint.inner.core;
        let owner = core.next.fetch_add(1, Ordering::Relaxed);
        lock(&core.members).insert(owner, shared);
        Self { owner, fragments: Vec::new(), followed: None, endpoint }
    }

    /// Takes part in the endpoint's socket, if it has this address.
    pub(crate) fn port(&self, transport: TransportId, address: IpAddr) -> Option<Port> {
        if transport != TransportId::FIRST {
            return None;
        }
        let (endpoint, owner) = (self.endpoint.clone(), self.owner);
        let (socket, local) = endpoint.local_for(address)?;
        Some(Port { endpoint, owner, socket, local, claimed: Vec::new(), taken: Vec::new(), own: None })
    }

    /// Keeps the fragments by which checks find the connection those of its local descriptions.
    /// `negotiations` counts the changes of the signaling state.
    pub(crate) fn follow(&mut self, peer: &Peer, negotiations: u64) {
        if self.followed.replace(negotiations) == Some(negotiations) {
            return;
        }
        let descriptions = [peer.current_local_description(), peer.pending_local_description()];
        let lines = descriptions.iter().flatten().flat_map(|description| description.sdp.lines());
        let mut fragments: Vec<Box<str>> = lines
            .filter_map(|line| line.strip_prefix("a=ice-ufrag:"))
            .map(|each| each.trim().into())
            .collect();
        fragments.sort_unstable();
        fragments.dedup();
        let before = std::mem::replace(&mut self.fragments, fragments);
        lock(&self.endpoint.inner.core.table).set_fragments(self.owner, &before, &self.fragments);
    }
}

impl Port {
    /// Sends datagrams over the endpoint's socket or the own one. Those for which there is no room
    /// are returned, and the task is woken when there is. Those that an error has lost go to
    /// `lost`.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        transmit: Transmit,
        mark: u8,
        lost: &mut Vec<Lost>,
    ) -> Option<Transmit> {
        let remote = transmit.path.remote;
        let is_shared = self.claimed.contains(&remote) || {
            let datagram = buffer.get(transmit.range.clone()).unwrap_or_default();
            self.may_share(remote, datagram)
        };
        if is_shared {
            return self.send_shared(cx, buffer, transmit, mark, lost);
        }
        match self.own_socket() {
            Ok(socket) => {
                socket.mark = mark;
                socket.poll_send(cx, buffer, transmit, lost)
            }
            Err(error) => {
                debug!(%error, "a socket beside the endpoint's cannot be bound; a datagram is lost");
                None
            }
        }
    }

    fn send_shared(
        &self,
        cx: &Context<'_>,
        buffer: &[u8],
        mut transmit: Transmit,
        mark: u8,
        lost: &mut Vec<Lost>,
    ) -> Option<Transmit> {
        let core = &self.endpoint.inner.core;
        if !core.sockets[self.socket].try_send(buffer, &mut transmit, Some(self.local.ip()), mark, lost) {
            return None;
        }
        // The socket wakes one task by itself, and many may wait.
        let (core, number, waker) = (core.clone(), self.socket, cx.waker().clone());
        tokio::spawn(async move {
            core.sockets[number].writable().await;
            waker.wake();
        });
        Some(transmit)
    }

    /// Returns whether a datagram to an address that is not this connection's may go over the
    /// endpoint's socket.
    fn may_share(&mut self, remote: SocketAddr, datagram: &[u8]) -> bool {
        let core = &self.endpoint.inner.core;
        if let Some(stun) = Stun::read(datagram)
            && stun.is_to_server()
        {
            lock(&core.table).expect(Instant::now(), self.owner, stun.transaction);
            return true;
        }
        if self.taken.contains(&remote) {
            return false;
        }
        let is_free = lock(&core.table).claim(self.owner, self.local.ip(), remote);
        if is_free {
            self.claimed.push(remote)
        } else {
            self.taken.push(remote)
        }
        is_free
    }

    fn own_socket(&mut self) -> io::Result<&mut Socket> {
        let socket = match self.own.take() {
            Some(socket) => socket,
            None => {
                let mut socket = Socket::bind(TransportId::FIRST, self.local.ip())?;
                // To the agent it is the same.
                socket.local = self.local;
                socket
            }
        };
        Ok(self.own.insert(socket))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        lock(&self.endpoint.inner.core.table).release(self.owner, self.local.ip(), &self.claimed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let core = &self.endpoint.inner.core;
        lock(&core.members).remove(&self.owner);
        lock(&core.table).set_fragments(self.owner, &self.fragments, &[]);
    }
}
