//! HTTP/1.1, one request on one connection.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::transport::{Door, Transport};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// The time that any one step may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Connects from an address that this namespace only routes to itself.
pub(crate) fn connect_from(source: IpAddr, server: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(server), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SockAddr::from(SocketAddr::new(source, 0)))?;
    socket.connect_timeout(&SockAddr::from(server), PATIENCE)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Status and body of the answer.
pub(crate) fn request(
    source: IpAddr,
    server: Door,
    line: &str,
    headers: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = Transport::connect(source, server, None)?;
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // Over TLS an end without notice: the length of the answer says that it is whole.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
        _ => {}
    }
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.to_owned()))
}

/// A membership over HTTP: the session's answer, and the header that proves it.
pub(crate) fn join(source: IpAddr, server: Door, message: &str) -> io::Result<(serde_json::Value, String)> {
    let (status, body) = request(source, server, "POST /v1/signal", "", message)?;
    let joined: serde_json::Value = serde_json::from_str(&body).map_err(io::Error::other)?;
    if status != 201 {
        return Err(io::Error::other(format!("joining was answered {status}: {body}")));
    }
    let text = |name: &str| joined[name].as_str().unwrap_or_default().to_owned();
    let bearer = format!("{}.{}", text("peer"), text("secret"));
    Ok((joined, bearer))
}
