//! TCP and TLS connections, to TURN servers and to peers behind walls.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use columba_peer::framing::{Framing, Reader};
use columba_peer::{ConnectId, Ecn, Input, Path, Transport};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::listener::share_port;
use crate::shared::Shared;
use crate::tls;

/// How long a connection may take to open, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes of data that wait for the connection to take them from which on the peer sends no more. One write takes them all, so that the
/// connection has the next ones at hand before the peer has made them.
const CLOGGED: usize = 64 << 10;

/// Bytes that wait, at most; what comes then is dropped. The peer stops long before: beyond [`CLOGGED`] there are only the last
/// datagrams of a connection that is closed, and handshakes.
const MAX_WAITING: usize = 256 << 10;

/// Bytes of checks and their answers that wait, at most: more than a peer sends in a second.
const MAX_CHECKS: usize = 64 << 10;

#[cfg(any(target_os = "linux", target_os = "android"))]
/// Bytes that the kernel keeps beyond what is on the network: what waits there is passed by nothing, and checks must not be late.
const UNSENT: u32 = 64 << 10;

/// How long the other side may take to read what was written last and close, too. To close before would throw away what is on its way.
const LINGER: Duration = Duration::from_secs(1);

/// What is read at once.
const READ: usize = 16 << 10;

/// A connection that is to be opened.
pub(super) struct Wish {
    pub(super) id: ConnectId,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// The server's name, and how its certificate is checked if not as the system does it.
    pub(super) tls: Option<(Arc<str>, Option<Arc<ClientConfig>>)>,
    pub(super) framing: Framing,
}

/// What is to be written to a connection.
#[derive(Debug)]
pub(crate) struct Outgoing {
    framing: Framing,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    /// They go first.
    checks: Vec<u8>,
    bytes: Vec<u8>,
    /// The peer was told to wait.
    is_clogged: bool,
    is_closed: bool,
    is_done: bool,
}

/// What follows from a frame that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// There is room for more.
    Room,
    /// No more data is to be sent until the connection is drained; the peer is to be told.
    Clogged,
}

impl Outgoing {
    pub(super) fn new(framing: Framing) -> Self {
        Self { framing, waiting: Mutex::default(), changed: Notify::new() }
    }

    /// Takes a whole frame.
    pub(super) fn push(&self, frame: &[u8]) -> Pushed {
        let mut waiting = self.lock();
        let is_check = self.framing == Framing::Rfc4571 && frame.get(2).is_some_and(|first| *first < 4);
        let (queue, most) = match is_check {
            true => (&mut waiting.checks, MAX_CHECKS),
            false => (&mut waiting.bytes, MAX_WAITING),
        };
        if queue.len() + frame.len() <= most {
            queue.extend_from_slice(frame);
            self.changed.notify_one();
        }
        if waiting.bytes.len() < CLOGGED || waiting.is_clogged {
            return Pushed::Room;
        }
        waiting.is_clogged = true;
        Pushed::Clogged
    }

    /// Closes the connection once what waits is written.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Whether the connection is closed and what waited is written.
    pub(super) fn is_done(&self) -> bool {
        self.lock().is_done
    }

    fn finish(&self) {
        self.lock().is_done = true;
    }

    /// Waits for something to be written, and moves it to `chunk`, whose memory is used again.
    async fn next(&self, chunk: &mut Vec<u8>) -> Taken {
        loop {
            {
                let mut waiting = self.lock();
                chunk.clear();
                let is_data = waiting.checks.is_empty();
                std::mem::swap(chunk, if is_data { &mut waiting.bytes } else { &mut waiting.checks });
                if !chunk.is_empty() {
                    let drained = is_data && std::mem::take(&mut waiting.is_clogged);
                    return if drained { Taken::Drained } else { Taken::Some };
                }
                if waiting.is_closed {
                    return Taken::End;
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was taken to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Some,
    /// All that clogged the connection: the peer is to be told.
    Drained,
    /// Nothing, and the connection is to be closed.
    End,
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens the connection and carries bytes both ways until one side closes it.
pub(super) async fn run(wish: Wish, shared: Weak<Shared>) {
    let opened = timeout(CONNECT, open(&wish)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let Some(owner) = shared.upgrade() else { return };
    let (stream, path) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            debug!(%error, "a connection could not be opened");
            return owner.with_peer(|peer, now| peer.handle_input(now, Input::ConnectFailed { id: wish.id }));
        }
    };
    let outgoing = Arc::new(Outgoing::new(wish.framing));
    owner.lock().streams.insert(path, outgoing.clone());
    owner.with_peer(|peer, now| peer.handle_input(now, Input::Connected { id: wish.id, path }));
    drop(owner);
    carry(stream, wish.framing, path, outgoing, shared).await;
}

/// Carries bytes both ways until one side closes the connection.
pub(super) async fn carry(
    stream: impl Stream,
    framing: Framing,
    path: Path,
    outgoing: Arc<Outgoing>,
    shared: Weak<Shared>,
) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let written = tokio::select! {
        () = read(&mut reader, framing, path, &shared) => false,
        () = write(&mut writer, path, &outgoing, &shared) => true,
    };
    if written {
        let rest = async { while matches!(reader.read(&mut [0; 1024]).await, Ok(1..)) {} };
        let _ = timeout(LINGER, rest).await;
    }
    outgoing.finish();
    if let Some(owner) = shared.upgrade() {
        let mut state = owner.lock();
        // Another one may have taken its place: where ports are shared, it has the same path.
        if state.streams.get(&path).is_some_and(|known| Arc::ptr_eq(known, &outgoing)) {
            state.streams.remove(&path);
            state.peer.handle_input(Instant::now(), Input::Closed { path });
        }
        state.wake_driver();
    }
}

async fn open(wish: &Wish) -> io::Result<(Box<dyn Stream>, Path)> {
    let socket = if wish.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if wish.local.port() != 0 {
        share_port(&socket)?;
    }
    socket.bind(wish.local)?;
    let stream = socket.connect(wish.remote).await?;
    hurry(&stream)?;
    let local = stream.local_addr()?;
    let Some((name, config)) = &wish.tls else {
        return Ok((Box::new(stream), Path::new(Transport::Tcp, local, wish.remote)));
    };
    let name = ServerName::try_from(name.to_string()).map_err(io::Error::other)?;
    let config = config.clone().map_or_else(tls::client_config, Ok).map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    Ok((Box::new(stream), Path::new(Transport::Tls, local, wish.remote)))
}

async fn read(from: &mut (impl AsyncRead + Unpin), framing: Framing, path: Path, shared: &Weak<Shared>) {
    let mut reader = Reader::new(framing);
    let mut bytes = vec![0; READ];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else { return };
        let Some(shared) = shared.upgrade() else { return };
        let mut rest = &bytes[..count];
        while !rest.is_empty() {
            rest = &rest[reader.feed(rest)..];
            let mut state = shared.lock();
            let now = Instant::now();
            loop {
                match reader.next_frame() {
                    Ok(Some(frame)) => state.peer.handle_datagram(now, path, Ecn::NotEct, Some(now), frame),
                    Ok(None) => break,
                    Err(_) => {
                        debug!("what arrives on a connection cannot be cut into messages");
                        return;
                    }
                }
            }
            state.wake_driver();
        }
    }
}

async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    path: Path,
    outgoing: &Arc<Outgoing>,
    shared: &Weak<Shared>,
) {
    let mut chunk = Vec::new();
    loop {
        match outgoing.next(&mut chunk).await {
            Taken::Some => {}
            Taken::Drained => tell_drained(path, outgoing, shared),
            Taken::End => break,
        }
        if to.write_all(&chunk).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// Whoever finds the connection clogged tells the peer before anybody else can, so that this comes after it.
fn tell_drained(path: Path, outgoing: &Arc<Outgoing>, shared: &Weak<Shared>) {
    let Some(shared) = shared.upgrade() else { return };
    let mut state = shared.lock();
    if state.streams.get(&path).is_some_and(|known| Arc::ptr_eq(known, outgoing)) {
        state.peer.handle_input(Instant::now(), Input::Drained { path });
        state.wake_driver();
    }
}

/// Packets must not wait for each other, and not long for the network.
pub(super) fn hurry(stream: &TcpStream) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
    stream.set_nodelay(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u16).to_be_bytes().to_vec();
        frame.resize(2 + length, first);
        frame
    }

    #[tokio::test]
    async fn data_clogs_a_connection_until_it_is_taken_and_checks_pass_by() {
        let outgoing = Outgoing::new(Framing::Rfc4571);
        let (data, check) = (frame(22, 1200), frame(0, 100));
        let mut frames = 1;
        while outgoing.push(&data) == Pushed::Room {
            frames += 1;
        }
        assert_eq!(frames, CLOGGED.div_ceil(data.len()));
        // It is said once.
        assert_eq!(outgoing.push(&data), Pushed::Room);
        assert_eq!(outgoing.push(&check), Pushed::Room);
        let mut chunk = Vec::new();
        assert_eq!(outgoing.next(&mut chunk).await, Taken::Some);
        assert_eq!(chunk, check);
        assert_eq!(outgoing.next(&mut chunk).await, Taken::Drained);
        assert_eq!(chunk.len(), (frames + 1) * data.len());
        outgoing.push(&data);
        outgoing.close();
        assert_eq!(outgoing.next(&mut chunk).await, Taken::Some);
        assert_eq!(outgoing.next(&mut chunk).await, Taken::End);
    }

    #[tokio::test]
    async fn what_a_connection_never_takes_is_bounded() {
        let outgoing = Outgoing::new(Framing::Rfc4571);
        for _ in 0..2000 {
            outgoing.push(&frame(22, 1200));
            outgoing.push(&frame(1, 100));
        }
        let waiting = outgoing.lock();
        assert!((MAX_WAITING - 1202..=MAX_WAITING).contains(&waiting.bytes.len()));
        assert!((MAX_CHECKS - 102..=MAX_CHECKS).contains(&waiting.checks.len()));
    }
}
