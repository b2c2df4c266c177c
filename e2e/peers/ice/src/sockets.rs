//! The real sockets: each has a task that reads it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use columba_ice::framing::{Framing, Reader};
use columba_ice::{ConnectId, Input, Path, Transport};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The time in which a connection must open.
const CONNECT: Duration = Duration::from_secs(10);

/// Frames that wait for a connection, at most; more are dropped, as the network might.
const MAX_FRAMES: usize = 256;

/// Connections that wait to be accepted, at most.
const BACKLOG: u32 = 128;

/// The longest datagram.
const DATAGRAM: usize = 64 << 10;

/// An input from outside.
pub(crate) enum Arrival {
    Datagram {
        path: Path,
        bytes: Vec<u8>,
    },
    /// A connection is open; what is to be written to it goes into `frames`.
    Opened {
        id: ConnectId,
        path: Path,
        frames: mpsc::Sender<Vec<u8>>,
    },
    /// An accepted connection is open.
    Accepted {
        path: Path,
        frames: mpsc::Sender<Vec<u8>>,
    },
    Input(Input),
}

/// A connection that is to be opened.
pub(crate) struct Connect {
    pub(crate) id: ConnectId,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) framing: Framing,
    /// The server's name, and the certificates that it must have.
    pub(crate) tls: Option<(Arc<str>, Arc<ClientConfig>)>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) struct Sockets {
    arrived: mpsc::Sender<Arrival>,
    udp: BTreeMap<SocketAddr, (Arc<UdpSocket>, AbortHandle)>,
    listeners: BTreeMap<SocketAddr, AbortHandle>,
    streams: BTreeMap<Path, mpsc::Sender<Vec<u8>>>,
}

impl Sockets {
    pub(crate) fn new(arrived: mpsc::Sender<Arrival>) -> Self {
        Self { arrived, udp: BTreeMap::new(), listeners: BTreeMap::new(), streams: BTreeMap::new() }
    }

    /// Binds to this address and any port.
    pub(crate) fn bind(&mut self, address: IpAddr) -> io::Result<SocketAddr> {
        let socket = std::net::UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let local = socket.local_addr()?;
        let reader = tokio::spawn(read_datagrams(socket.clone(), local, self.arrived.clone()));
        self.udp.insert(local, (socket, reader.abort_handle()));
        Ok(local)
    }

    pub(crate) fn close_udp(&mut self, local: SocketAddr) {
        if let Some((_, reader)) = self.udp.remove(&local) {
            reader.abort();
        }
    }

    /// Begins to open a connection; an arrival reports the result.
    pub(crate) fn connect(&self, connect: Connect) {
        let arrived = self.arrived.clone();
        tokio::spawn(async move {
            let Connect { id, framing, .. } = connect;
            let opening = timeout(CONNECT, open(connect)).await;
            let Ok(Ok((stream, path))) = opening else {
                return report(&arrived, Arrival::Input(Input::ConnectFailed { id })).await;
            };
            let (frames, waiting) = mpsc::channel(MAX_FRAMES);
            report(&arrived, Arrival::Opened { id, path, frames }).await;
            carry(stream, framing, path, &arrived, waiting).await;
        });
    }

    /// Listens at this address and any port, from which connections will be opened, too, if `opens`
    /// says so.
    pub(crate) fn listen(&mut self, address: IpAddr, opens: bool) -> io::Result<SocketAddr> {
        let socket = socket(address.is_ipv4(), opens)?;
        socket.bind(SocketAddr::new(address, 0))?;
        let listener = socket.listen(BACKLOG)?;
        let local = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, local, self.arrived.clone()));
        self.listeners.insert(local, task.abort_handle());
        Ok(local)
    }

    /// Accepted connections stay open.
    pub(crate) fn close_listener(&mut self, local: SocketAddr) {
        if let Some(task) = self.listeners.remove(&local) {
            task.abort();
        }
    }

    /// Takes over a connection that is open.
    pub(crate) fn add_stream(&mut self, path: Path, frames: mpsc::Sender<Vec<u8>>) {
        self.streams.insert(path, frames);
    }

    /// Waiting bytes are written first.
    pub(crate) fn close_stream(&mut self, path: &Path) {
        self.streams.remove(path);
    }

    /// Sends a datagram or a frame. What the kernel does not take is lost, as in a full network.
    pub(crate) fn send(&mut self, path: Path, bytes: &[u8]) {
        if path.transport == Transport::Udp {
            if let Some((socket, _)) = self.udp.get(&path.local) {
                let _ = socket.try_send_to(bytes, path.remote);
            }
            return;
        }
        if let Some(frames) = self.streams.get(&path) {
            let _ = frames.try_send(bytes.to_vec());
        }
    }
}

async fn report(arrived: &mpsc::Sender<Arrival>, arrival: Arrival) {
    // The receiver is gone only at the very end.
    let _ = arrived.send(arrival).await;
}

async fn read_datagrams(socket: Arc<UdpSocket>, local: SocketAddr, arrived: mpsc::Sender<Arrival>) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        // An ICMP message about an earlier datagram is no reason to stop.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let datagram = Arrival::Datagram { path: Path::udp(local, from), bytes: buffer[..length].to_vec() };
        if arrived.send(datagram).await.is_err() {
            return;
        }
    }
}

fn socket(is_ipv4: bool, shares_port: bool) -> io::Result<TcpSocket> {
    let socket = if is_ipv4 { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if shares_port {
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
    }
    Ok(socket)
}

async fn open(connect: Connect) -> io::Result<(Box<dyn Stream>, Path)> {
    let Connect { local, remote, tls, .. } = connect;
    let socket = socket(remote.is_ipv4(), local.port() != 0)?;
    socket.bind(local)?;
    let stream = socket.connect(remote).await?;
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let Some((name, config)) = tls else {
        return Ok((Box::new(stream), Path::new(Transport::Tcp, local, remote)));
    };
    let name = ServerName::try_from(name.to_string()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    Ok((Box::new(stream), Path::new(Transport::Tls, local, remote)))
}

async fn accept(listener: TcpListener, local: SocketAddr, arrived: mpsc::Sender<Arrival>) {
    loop {
        // One that was gone before it was taken is no reason to stop.
        let Ok((stream, remote)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let path = Path::new(Transport::Tcp, local, remote);
        let (frames, waiting) = mpsc::channel(MAX_FRAMES);
        report(&arrived, Arrival::Accepted { path, frames }).await;
        let arrived = arrived.clone();
        tokio::spawn(async move { carry(stream, Framing::Rfc4571, path, &arrived, waiting).await });
    }
}

/// Carries frames both ways until one side closes the connection.
async fn carry(
    stream: impl Stream,
    framing: Framing,
    path: Path,
    arrived: &mpsc::Sender<Arrival>,
    waiting: mpsc::Receiver<Vec<u8>>,
) {
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        () = read_frames(reader, framing, path, arrived) => {}
        () = write_frames(writer, waiting) => {}
    }
    report(arrived, Arrival::Input(Input::Closed { path })).await;
}

async fn read_frames(
    mut from: impl AsyncRead + Unpin,
    framing: Framing,
    path: Path,
    arrived: &mpsc::Sender<Arrival>,
) {
    let mut reader = Reader::new(framing);
    let mut buffer = vec![0; DATAGRAM];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            rest = &rest[reader.feed(rest)..];
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => {
                        let bytes = frame.to_vec();
                        if arrived.send(Arrival::Datagram { path, bytes }).await.is_err() {
                            return;
                        }
                    }
                    Ok(None) => break,
                    Err(_) => return,
                }
            }
        }
    }
}

async fn write_frames(mut to: impl AsyncWrite + Unpin, mut waiting: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = waiting.recv().await {
        // TLS may keep what it has taken until it is asked to let go.
        if to.write_all(&frame).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
