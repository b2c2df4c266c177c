//! TCP, simplified: connections that deliver in order, and pay for losses with delay.

use std::net::SocketAddr;

use crate::endpoint::StreamId;
use crate::topology::HostId;

/// The content of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Open,
    Opened,
    Refused,
    Data(Vec<u8>),
    Close,
}

impl Segment {
    /// Bytes of data.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Data(bytes) => bytes.len(),
            Self::Open | Self::Opened | Self::Refused | Self::Close => 0,
        }
    }
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
    /// Bytes that it has sent, and that have not arrived.
    pub(crate) on_way: usize,
    /// It was told to wait.
    pub(crate) clogged: bool,
}

impl End {
    /// An end that is open, and has sent nothing yet.
    pub(crate) fn new(host: HostId, stream: StreamId, local: SocketAddr, remote: SocketAddr) -> Self {
        Self { host, stream, local, remote, open: true, on_way: 0, clogged: false }
    }

    /// It has sent so many bytes; whether it is to be told that it should wait.
    pub(crate) fn sent(&mut self, bytes: usize) -> bool {
        self.on_way += bytes;
        let is_new = !self.clogged && self.on_way > SEND_BUFFER;
        self.clogged |= is_new;
        is_new
    }

    /// So many of them have arrived; whether it is to be told that it may go on.
    pub(crate) fn arrived(&mut self, bytes: usize) -> bool {
        self.on_way = self.on_way.saturating_sub(bytes);
        let goes_on = self.clogged && self.on_way <= SEND_BUFFER / 2;
        self.clogged &= !goes_on;
        goes_on && self.open
    }
}

/// Bytes on the way from which on the sender should wait. Where there is a real one they wait in
/// the kernel.
const SEND_BUFFER: usize = 64 << 10;

/// The host that opened it, and the one that accepted it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) opener: End,
    pub(crate) acceptor: Option<End>,
    /// A segment was lost for good: nothing that comes after it is delivered.
    pub(crate) stalled: bool,
    /// The other host has opened one at the same time, and that is the connection now
    /// (RFC 9293 §3.5).
    pub(crate) superseded: bool,
    /// The number of times that the first segment was sent.
    pub(crate) tries: u32,
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

    /// Returns whether one of its ends is at this host and has these addresses.
    pub(crate) fn occupies(&self, host: HostId, (local, remote): (SocketAddr, SocketAddr)) -> bool {
        let ends = [Some(&self.opener), self.acceptor.as_ref()];
        let is = |end: &&End| end.open && end.host == host && end.local == local && end.remote == remote;
        ends.into_iter().flatten().any(|end| is(&end))
    }

    /// The other end than this host's at this address: both can be at one host.
    pub(crate) fn other_end(&mut self, host: HostId, local: SocketAddr) -> Option<&mut End> {
        if self.opener.host == host && self.opener.local == local {
            return self.acceptor.as_mut();
        }
        Some(&mut self.opener)
    }
}

/// The bit that marks the names of accepted connections.
pub(crate) const ACCEPTED: u64 = 1 << 63;
