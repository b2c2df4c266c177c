//! Socket options of TCP connections and listeners.

use std::io;

use tokio::net::{TcpSocket, TcpStream};

/// Bytes that the kernel keeps beyond those on the network. Nothing overtakes what waits there, and
/// connectivity checks must not be late.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 64 << 10;

/// Sets the options of an open connection: segments are sent at once, and few bytes wait in the
/// kernel.
///
/// # Errors
/// The connection is closed already.
pub(super) fn set_stream_options(stream: &TcpStream) -> io::Result<()> {
    // A kernel without the option queues more, which costs time and nothing else.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
    stream.set_nodelay(true)
}

/// Lets several sockets of this process have one port: one listens, each of the others is connected
/// to another address.
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
