//! Binding: each listener by itself, so that the program can name the one that failed and go on
//! without it.

use std::io;
use std::net::SocketAddr;

use columba_turn::server::Transport;
use socket2::{Domain, Protocol, Socket, Type};

use super::accept::RECEIVE_BUFFER;
use super::udp::UdpSocket;

/// The most TCP connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket that is bound and not yet served: TCP connections queue in the kernel.
/// [`Service::start`](super::Service::start) takes it.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(super) socket: Socket,
    pub(super) listening: Listening,
}

/// The address of a listener in effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    /// The address as it was bound, with the port that the system chose if 0 was asked for.
    pub(crate) address: SocketAddr,
    /// The transport.
    pub(crate) transport: Transport,
}

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({}): {error}", protocol(*.transport))]
pub(crate) struct BindError {
    /// The address asked for.
    pub(crate) address: SocketAddr,
    /// The transport asked for.
    pub(crate) transport: Transport,
    /// The error of the system: [`io::ErrorKind::AddrInUse`] if the port is taken,
    /// [`io::ErrorKind::PermissionDenied`] if it takes a privilege.
    #[source]
    pub(crate) error: io::Error,
}

impl Bound {
    /// Binds `address`. Port 0 lets the system choose; `[::]` stands for all addresses of both
    /// families.
    ///
    /// # Errors
    /// The address and the error of the system.
    pub(crate) fn new(address: SocketAddr, transport: Transport) -> Result<Self, BindError> {
        let bind = || {
            let socket =
                if transport.is_stream() { listen_tcp(address)? } else { UdpSocket::listen(address)? };
            let address = socket.local_addr()?.as_socket().unwrap_or(address);
            Ok(Self { socket, listening: Listening { address, transport } })
        };
        bind().map_err(|error| BindError { address, transport, error })
    }

    /// Where it listens.
    pub(crate) fn listening(&self) -> Listening {
        self.listening
    }
}

fn listen_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // Connections of an earlier run that linger in TIME_WAIT must not keep the port from us. On
    // Windows the option means something else: stealing.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The protocol as it is called in sentences for people.
pub(super) fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    }
}
