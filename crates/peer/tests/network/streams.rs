//! The TCP connections of one host.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use columba_netsim::{Departure, StreamId, StreamInput};
use columba_peer::framing::{Framing, Reader};
use columba_peer::{ConnectId, Ecn, Input, Path, Peer, Request, Transport, TransportId};

/// The connections that are open or asked for.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    wanted: BTreeMap<StreamId, (TransportId, ConnectId)>,
    open: BTreeMap<StreamId, (TransportId, Path, Reader)>,
    listeners: Vec<(TransportId, SocketAddr)>,
    asked: VecDeque<Departure>,
    /// Connections to close once everything is sent.
    closing: VecDeque<StreamId>,
    next: u64,
    next_port: u16,
}

impl Streams {
    /// Returns true if no connection and no listener is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.listeners.is_empty()
    }

    /// Fulfils a request that concerns connections.
    pub(crate) fn fulfil(&mut self, transport: TransportId, request: &Request) -> Option<Input> {
        match request {
            Request::Listen { id, address, .. } => {
                let local = self.address(*address);
                self.listeners.push((transport, local));
                self.asked.push_back(Departure::Listen(local));
                return Some(Input::Listening { id: *id, local });
            }
            Request::CloseListener { local } => {
                self.listeners.retain(|(_, one)| one != local);
                self.asked.push_back(Departure::Unlisten(*local));
            }
            Request::Connect { id, local, remote, .. } => {
                self.next += 1;
                let (stream, local) = (StreamId(self.next), self.address(local.ip()));
                self.wanted.insert(stream, (transport, *id));
                self.asked.push_back(Departure::Connect { stream, local, remote: *remote });
            }
            Request::CloseStream { path } => {
                self.closing.extend(self.open.iter().find(|(_, (_, one, _))| one == path).map(|(id, _)| *id));
            }
            _ => {}
        }
        None
    }

    fn address(&mut self, ip: IpAddr) -> SocketAddr {
        self.next_port += 1;
        SocketAddr::new(ip, 50_000 + self.next_port)
    }

    /// Handles an event of a connection.
    pub(crate) fn handle(&mut self, now: Instant, stream: StreamId, input: StreamInput<'_>, peer: &mut Peer) {
        match input {
            StreamInput::Connected { local, remote } => {
                let Some((transport, id)) = self.wanted.remove(&stream) else { return };
                let path = self.opened(transport, stream, local, remote);
                peer.handle_input(now, transport, Input::Connected { id, path });
            }
            StreamInput::Accepted { local, remote } => {
                let listener = self.listeners.iter().find(|(_, one)| *one == local);
                let Some((transport, _)) = listener.copied() else { return };
                let path = self.opened(transport, stream, local, remote);
                peer.handle_input(now, transport, Input::Accepted { path });
            }
            StreamInput::Data(mut bytes) => {
                let Some((transport, path, reader)) = self.open.get_mut(&stream) else { return };
                while !bytes.is_empty() {
                    bytes = &bytes[reader.feed(bytes)..];
                    while let Some(frame) = reader.next_frame().unwrap() {
                        peer.handle_datagram(now, *transport, *path, Ecn::NotEct, None, frame);
                    }
                }
            }
            StreamInput::Clogged => {
                if let Some((transport, path, _)) = self.open.get(&stream) {
                    peer.handle_input(now, *transport, Input::Clogged { path: *path });
                }
            }
            StreamInput::Drained => {
                if let Some((transport, path, _)) = self.open.get(&stream) {
                    peer.handle_input(now, *transport, Input::Drained { path: *path });
                }
            }
            StreamInput::Closed => match (self.open.remove(&stream), self.wanted.remove(&stream)) {
                (Some((transport, path, _)), _) => peer.handle_input(now, transport, Input::Closed { path }),
                (None, Some((transport, id))) => {
                    peer.handle_input(now, transport, Input::ConnectFailed { id });
                }
                (None, None) => {}
            },
        }
    }

    fn opened(
        &mut self,
        transport: TransportId,
        stream: StreamId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Path {
        let path = Path::new(Transport::Tcp, local, remote);
        self.open.insert(stream, (transport, path, Reader::new(Framing::Rfc4571)));
        path
    }

    /// Returns the departure of data for this path; `None` if its connection is closed.
    pub(crate) fn departure(&self, path: &Path) -> Option<Departure> {
        self.open.iter().find(|(_, (_, one, _))| one == path).map(|(id, _)| Departure::Stream(*id))
    }

    /// Returns the next request of the network.
    pub(crate) fn poll_asked(&mut self) -> Option<Departure> {
        self.asked.pop_front()
    }

    /// Returns the next connection to close.
    pub(crate) fn poll_closing(&mut self) -> Option<Departure> {
        let stream = self.closing.pop_front()?;
        self.open.remove(&stream);
        Some(Departure::Close(stream))
    }
}
