//! Where peers that datagrams do not reach connect to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};

use columba_peer::{Path, Transport};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tracing::debug;

/// Connections that wait in the kernel to be accepted, at most. Whose does not fit waits a second and longer, and strangers shall not do
/// that to the peer.
const BACKLOG: u32 = 128;

pub(super) struct Listener {
    io: TcpListener,
    /// Its address, which the paths of its connections have as their local one.
    pub(super) local: SocketAddr,
}

impl Listener {
    /// Listens at this address and any port, from which connections will be opened, too, if `opens` says so.
    pub(super) fn bind(address: IpAddr, opens: bool) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if opens {
            share_port(&socket)?;
        }
        socket.bind(SocketAddr::new(address, 0))?;
        let io = socket.listen(BACKLOG)?;
        let local = io.local_addr()?;
        Ok(Self { io, local: Path::new(Transport::Tcp, local, local).local })
    }

    /// The next connection; the task is woken when there is one.
    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Option<(TcpStream, Path)> {
        match self.io.poll_accept(cx) {
            Poll::Ready(Ok((stream, remote))) => {
                let _ = super::stream::hurry(&stream);
                Some((stream, Path::new(Transport::Tcp, self.local, remote)))
            }
            Poll::Ready(Err(error)) => {
                // One that was gone before it was taken; or there are too many files, and the next turn sees to it.
                debug!(%error, "a connection could not be accepted");
                None
            }
            Poll::Pending => None,
        }
    }
}

/// Lets several sockets of this process have one port: one listens, each of the others is connected to somebody else.
///
/// # Errors
/// The system cannot do that.
pub(super) fn share_port(socket: &TcpSocket) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", target_os = "freebsd"))]
    {
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)
    }
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_vendor = "apple",
        target_os = "freebsd"
    )))]
    {
        let _ = socket;
        Err(io::ErrorKind::Unsupported.into())
    }
}
