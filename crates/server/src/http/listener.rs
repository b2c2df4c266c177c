//! Binding TCP sockets, with one sentence for a failure.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::config::Listen;

/// The most connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Listens on an address. `[::]` takes IPv4 too, and becomes `0.0.0.0` on a machine without IPv6.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match bind_exactly(address) {
        Err(error) if no_such_family(&error) => match Listen::ipv4_instead(address) {
            Some(ipv4) => bind_exactly(ipv4),
            None => Err(error),
        },
        result => result,
    }
}

/// EAFNOSUPPORT, or EADDRNOTAVAIL where IPv6 is compiled in but switched off.
pub(crate) fn no_such_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(97) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn bind_exactly(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // So that a restart does not wait for old connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    super::socket::bound_listener(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Why an address cannot be listened on, and what to do.
pub(crate) fn bind_sentence(option: &str, transport: &str, address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    let other =
        SocketAddr::new(address.ip(), if port < 1024 { port + 8000 } else { port.wrapping_add(1).max(1024) });
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{transport} port {port} is taken: stop the program that has it (ss -lp shows which), or choose another with --{option} {other}."
        ),
        io::ErrorKind::PermissionDenied => format!(
            "{transport} port {port} needs a privilege: run with CAP_NET_BIND_SERVICE, or choose a port above 1023 with --{option} {other}."
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "This machine has no address {}: choose one that it has, or [::] for all, with --{option}.",
            address.ip()
        ),
        _ => {
            format!("{transport} {address} cannot be listened on ({error}): choose another with --{option}.")
        }
    }
}
