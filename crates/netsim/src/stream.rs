//! TCP, simplified: connections that deliver in order, and pay for losses with delay.

use std::net::SocketAddr;

use crate::endpoint::StreamId;
use crate::topology::HostId;

/// What a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Open,
    Opened,
    Refused,
    Data(Vec<u8>),
    Close,
}

/// Names a connection of the whole simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionId(pub(crate) usize);

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) host: HostId,
    pub(crate) stream: StreamId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) open: bool,
}

/// The host that opened it, and the one that accepted it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) opener: End,
    pub(crate) acceptor: Option<End>,
    /// A segment was lost for good: nothing that comes after it is delivered.
    pub(crate) stalled: bool,
}

impl Connection {
    /// The end at this host under this name.
    pub(crate) fn end(&mut self, host: HostId, stream: StreamId) -> Option<&mut End> {
        let is = |end: &End| end.host == host && end.stream == stream;
        if is(&self.opener) {
            return Some(&mut self.opener);
        }
        self.acceptor.as_mut().filter(|end| is(end))
    }
}

/// The bit that marks the names of accepted connections.
pub(crate) const ACCEPTED: u64 = 1 << 63;
