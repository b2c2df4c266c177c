//! TCP and TLS connections, to TURN servers and to peers behind walls.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use columba_peer::framing::{Framing, Reader};
use columba_peer::{ConnectId, Ecn, Input, Path, Transport};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::debug;

use crate::shared::Shared;
use crate::tls;

/// How long a connection may take to open, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes that wait for the connection to take them, at most; what comes then is dropped, as a full network would: whoever needs it
/// sends it again, and old packets help nobody.
const MAX_WAITING: usize = 256 << 10;

/// Beyond that there is room for short frames, so that a flood of data does not drown the checks and acknowledgements that keep it going.
const RESERVE: usize = 16 << 10;

/// Bytes of a short frame, at most.
const SHORT: usize = 256;

/// How long the other side may take to read what was written last and close, too. To close before would throw away what is on its way.
const LINGER: Duration = Duration::from_secs(1);

/// What is read at once.
const READ: usize = 16 << 10;

/// A connection that is to be opened.
pub(super) struct Wish {
    pub(super) id: ConnectId,
    pub(super) local: IpAddr,
    pub(super) remote: SocketAddr,
    /// The server's name, and how its certificate is checked if not as the system does it.
    pub(super) tls: Option<(Arc<str>, Option<Arc<ClientConfig>>)>,
    pub(super) framing: Framing,
}

/// What is to be written to a connection.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    is_closed: bool,
    is_done: bool,
}

impl Outgoing {
    /// Takes whole frames.
    pub(super) fn push(&self, frames: &[u8]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let most = if frames.len() <= SHORT { MAX_WAITING + RESERVE } else { MAX_WAITING };
        if waiting.bytes.len() + frames.len() <= most {
            waiting.bytes.extend_from_slice(frames);
            self.changed.notify_one();
        }
    }

    /// Closes the connection once what waits is written.
    pub(super) fn close(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_closed = true;
        self.changed.notify_one();
    }

    /// Whether the connection is closed and what waited is written.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_done
    }

    fn finish(&self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_done = true;
    }

    /// Waits for something to be written, and moves it to `chunk`, whose memory is used again. False if the connection is to be closed.
    async fn next(&self, chunk: &mut Vec<u8>) -> bool {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if !waiting.bytes.is_empty() {
                    chunk.clear();
                    std::mem::swap(chunk, &mut waiting.bytes);
                    return true;
                }
                if waiting.is_closed {
                    return false;
                }
            }
            self.changed.notified().await;
        }
    }
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
    let outgoing = Arc::new(Outgoing::default());
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
        () = write(&mut writer, &outgoing) => true,
    };
    if written {
        let rest = async { while matches!(reader.read(&mut [0; 1024]).await, Ok(1..)) {} };
        let _ = timeout(LINGER, rest).await;
    }
    outgoing.finish();
    if let Some(owner) = shared.upgrade() {
        let mut state = owner.lock();
        if state.streams.get(&path).is_some_and(|known| Arc::ptr_eq(known, &outgoing)) {
            state.streams.remove(&path);
        }
        drop(state);
        owner.with_peer(|peer, now| peer.handle_input(now, Input::Closed { path }));
    }
}

async fn open(wish: &Wish) -> io::Result<(Box<dyn Stream>, Path)> {
    let socket = if wish.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(wish.local, 0))?;
    let stream = socket.connect(wish.remote).await?;
    // Packets must not wait for each other.
    stream.set_nodelay(true)?;
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

async fn write(to: &mut (impl AsyncWrite + Unpin), outgoing: &Outgoing) {
    let mut chunk = Vec::new();
    while outgoing.next(&mut chunk).await {
        if to.write_all(&chunk).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
