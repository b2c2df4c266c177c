//! Listeners for the TCP connections of peers that datagrams do not reach (RFC 6544).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use columba_peer::{Path, Transport, TransportId};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::debug;

use super::options::{set_stream_options, share_port};

/// Connections that wait in the kernel to be accepted, at most. One that does not fit waits a
/// second and longer; strangers must not be able to do that to the peer.
const BACKLOG: u32 = 128;

pub(super) struct Listener {
    io: TcpListener,
    /// The transport of the peer that its connections belong to.
    pub(super) transport: TransportId,
    /// Its address, which is the local one of its connections' paths.
    pub(super) local: SocketAddr,
}

impl Listener {
    /// Listens at this address and any port. With `opens`, connections will be opened from that
    /// port, too.
    pub(super) fn bind(transport: TransportId, address: IpAddr, opens: bool) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if opens {
            share_port(&socket)?;
        }
        socket.bind(SocketAddr::new(address, 0))?;
        let io = socket.listen(BACKLOG)?;
        let local = io.local_addr()?;
        Ok(Self { io, transport, local: Path::new(Transport::Tcp, local, local).local })
    }

    /// Returns the next connection; the task is woken when there is one.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Option<(TcpStream, Path)> {
        match self.io.poll_accept(cx) {
            Poll::Ready(Ok((stream, remote))) => {
                // A connection that is closed already is found out by the first read.
                let _ = set_stream_options(&stream);
                Some((stream, Path::new(Transport::Tcp, self.local, remote)))
            }
            Poll::Ready(Err(error)) => {
                // The connection was reset before it was accepted, or too many files are open; the
                // next turn tries again.
                debug!(%error, "accepting a connection failed");
                None
            }
            Poll::Pending => None,
        }
    }
}
