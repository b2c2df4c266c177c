//! TCP connections of hosts.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Body, Event, Network, Packet};
use crate::endpoint::{Ecn, Endpoint, StreamId, StreamInput};
use crate::stream::{ACCEPTED, Connection, ConnectionId, End, Segment};
use crate::topology::HostId;
use crate::trace::Drop;

/// The time for which a host retransmits without an answer before it gives a connection up. Linux
/// takes a quarter of an hour, which is too long to simulate.
const GIVE_UP: Duration = Duration::from_secs(15);

/// The number of times that the first segment of a connection is sent.
const TRIES: u32 = 4;

/// The time that the host waits for an answer before it sends that again (RFC 6298 §2.1); then
/// twice as long each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);

impl<E: Endpoint> Network<E> {
    pub(super) fn connect(&mut self, host: HostId, stream: StreamId, local: SocketAddr, remote: SocketAddr) {
        if self.connections.iter().any(|one| one.occupies(host, (local, remote))) {
            // There cannot be two between the same ports.
            return self.deliver(host, stream, StreamInput::Closed);
        }
        let id = ConnectionId(self.connections.len());
        let opener = End::new(host, stream, local, remote);
        self.connections.push(Connection {
            opener,
            acceptor: None,
            stalled: false,
            superseded: false,
            tries: 1,
        });
        self.emit_segment(host, (local, remote), id, Segment::Open);
    }

    /// Sends on the connection that the host calls `stream`, if it is still open.
    pub(super) fn send_segment(&mut self, host: HostId, stream: StreamId, segment: Segment) {
        let found = self.connections.iter_mut().enumerate().rev().find_map(|(index, connection)| {
            let end = connection.end(host, stream)?;
            end.open.then_some((ConnectionId(index), end.local, end.remote))
        });
        let Some((id, local, remote)) = found else { return };
        let bytes = segment.length();
        self.emit_segment(host, (local, remote), id, segment);
        let Some(end) = self.connections[id.0].end(host, stream) else { return };
        let clogged = end.sent(bytes);
        self.stats.most_on_way = self.stats.most_on_way.max(end.on_way);
        if clogged {
            self.deliver(host, stream, StreamInput::Clogged);
        }
    }

    pub(super) fn close(&mut self, host: HostId, stream: StreamId) {
        self.send_segment(host, stream, Segment::Close);
        for connection in &mut self.connections {
            if let Some(end) = connection.end(host, stream) {
                end.open = false;
            }
        }
    }

    fn emit_segment(
        &mut self,
        host: HostId,
        path: (SocketAddr, SocketAddr),
        id: ConnectionId,
        segment: Segment,
    ) {
        let body = Body::Tcp(id, segment);
        let (source, destination) = path;
        self.emit(host, Packet { source, destination, ecn: Ecn::NotEct, body, hops: 0 });
    }

    /// A segment has reached a host; `path` is as this host sees it.
    pub(super) fn arrive_segment(
        &mut self,
        host: HostId,
        path: (SocketAddr, SocketAddr),
        id: ConnectionId,
        segment: Segment,
    ) {
        let (local, remote) = path;
        if segment == Segment::Open {
            return self.accept(host, path, id);
        }
        let connection = &mut self.connections[id.0];
        if connection.stalled {
            return;
        }
        let drained = connection
            .other_end(host, local)
            .and_then(|sender| sender.arrived(segment.length()).then_some((sender.host, sender.stream)));
        // Both ends can be at one host: then the local address tells them apart.
        let opener = connection.opener.host == host && connection.opener.local == local;
        let end = if opener { Some(&mut connection.opener) } else { connection.acceptor.as_mut() };
        let Some(end) = end.filter(|end| end.open && end.host == host) else { return };
        if segment == Segment::Opened && end.remote != remote {
            // An answer that a NAT sends from another port than the connected one belongs to no
            // connection.
            return;
        }
        let stream = end.stream;
        if matches!(segment, Segment::Close | Segment::Refused) {
            end.open = false;
        }
        let input = match &segment {
            Segment::Opened => StreamInput::Connected { local, remote },
            Segment::Data(bytes) => StreamInput::Data(bytes),
            Segment::Open | Segment::Close | Segment::Refused => StreamInput::Closed,
        };
        self.deliver(host, stream, input);
        if let Some((host, stream)) = drained {
            self.deliver(host, stream, StreamInput::Drained);
        }
    }

    fn accept(&mut self, host: HostId, path: (SocketAddr, SocketAddr), id: ConnectionId) {
        let (local, remote) = path;
        if self.connections[id.0].superseded {
            return;
        }
        if let Some(own) = self
            .connections
            .iter_mut()
            .find(|one| one.acceptor.is_none() && one.opener.host == host && one.occupies(host, path))
        {
            // Both have opened at once: this one's attempt becomes the other end of that one's.
            own.superseded = true;
            own.opener.open = false;
            let stream = own.opener.stream;
            self.connections[id.0].acceptor = Some(End::new(host, stream, local, remote));
            self.emit_segment(host, path, id, Segment::Opened);
            return self.deliver(host, stream, StreamInput::Connected { local, remote });
        }
        if self.connections.iter().any(|one| one.occupies(host, path)) {
            // An old one between the same ports is still open here; a new one has to wait for its
            // end.
            return self.lost_segment(id, &Segment::Open, Drop::Firewall);
        }
        if !self.listening.contains(&local) && !self.hosts[host.0].listening.contains(&local) {
            return self.emit_segment(host, path, id, Segment::Refused);
        }
        let stream = StreamId(ACCEPTED | self.hosts[host.0].accepted);
        self.hosts[host.0].accepted += 1;
        self.connections[id.0].acceptor = Some(End::new(host, stream, local, remote));
        self.emit_segment(host, path, id, Segment::Opened);
        self.deliver(host, stream, StreamInput::Accepted { local, remote });
    }

    /// A segment met a wall, or none of its repetitions got through: TCP would give up at last. The
    /// first one of a connection is just swallowed by a wall, and sent again a few times.
    pub(super) fn lost_segment(&mut self, id: ConnectionId, segment: &Segment, why: Drop) {
        let connection = &mut self.connections[id.0];
        if *segment != Segment::Open || matches!(why, Drop::Link(_)) {
            connection.stalled = true;
            let at = self.now + GIVE_UP;
            self.schedule(at, Event::Broken(id));
        } else if connection.tries < TRIES {
            let at = self.now + FIRST_WAIT * (1 << (connection.tries - 1));
            connection.tries += 1;
            self.schedule(at, Event::Again(id));
        }
    }

    /// Sends the first segment of a connection again, if the host still waits for an answer.
    pub(super) fn open_again(&mut self, id: ConnectionId) {
        let connection = &self.connections[id.0];
        let End { host, local, remote, open, .. } = connection.opener;
        if open && connection.acceptor.is_none() {
            self.emit_segment(host, (local, remote), id, Segment::Open);
        }
    }

    pub(super) fn break_connection(&mut self, id: ConnectionId) {
        let connection = &mut self.connections[id.0];
        let mut closed = Vec::with_capacity(2);
        for end in std::iter::once(&mut connection.opener).chain(connection.acceptor.as_mut()) {
            if end.open {
                end.open = false;
                closed.push((end.host, end.stream));
            }
        }
        for (host, stream) in closed {
            self.deliver(host, stream, StreamInput::Closed);
        }
    }

    fn deliver(&mut self, host: HostId, stream: StreamId, input: StreamInput<'_>) {
        let now = self.now;
        self.hosts[host.0].endpoint.handle_stream(now, stream, input);
        self.drain(host);
    }
}
