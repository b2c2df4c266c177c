//! One TCP or TLS connection: a task that opens it and carries bytes both ways.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use columba_peer::framing::{Framing, Reader};
use columba_peer::{ConnectId, Ecn, Input, Path, Transport, TransportId};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tracing::debug;

use super::options::{set_stream_options, share_port};
use super::outgoing::{Outgoing, Taken};
use super::tls::{ServerTls, Stream};
use crate::shared::Shared;

/// The longest time a connection may take to open, TLS included.
const CONNECT: Duration = Duration::from_secs(10);

/// The longest time the other side may take to read the last bytes and close, too. Closing before
/// would discard what is on its way.
const LINGER: Duration = Duration::from_secs(1);

/// Bytes read at once.
const READ: usize = 16 << 10;

thread_local! {
    /// The bytes that were just read. One for each thread: it is empty between two reads.
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; READ]);
}

/// A connection that is to be opened.
pub(in crate::driver) struct StreamRequest {
    pub(in crate::driver) transport: TransportId,
    pub(in crate::driver) id: ConnectId,
    pub(in crate::driver) local: SocketAddr,
    pub(in crate::driver) remote: SocketAddr,
    /// For TLS: the name to be verified in the server's certificate.
    pub(in crate::driver) server_name: Option<Arc<str>>,
    pub(in crate::driver) framing: Framing,
}

/// Opens the connection and carries bytes both ways until one side closes it.
pub(super) async fn run(request: StreamRequest, tls: ServerTls, shared: Weak<Shared>) {
    let opened = match timeout(CONNECT, open(&request, &tls)).await {
        Ok(opened) => opened,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let Some(owner) = shared.upgrade() else { return };
    let StreamRequest { transport, id, framing, .. } = request;
    let (stream, path) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            debug!(%error, "opening a connection failed");
            let input = Input::ConnectFailed { id };
            return owner.with_peer(|peer, now| peer.handle_input(now, transport, input));
        }
    };
    let outgoing = Arc::new(Outgoing::new(transport, framing));
    owner.lock().streams.insert(path, outgoing.clone());
    owner.with_peer(|peer, now| peer.handle_input(now, transport, Input::Connected { id, path }));
    drop(owner);
    carry(stream, path, outgoing, shared).await;
}

/// Carries bytes both ways until one side closes the connection.
pub(super) async fn carry(stream: impl Stream, path: Path, outgoing: Arc<Outgoing>, shared: Weak<Shared>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = read(&mut reader, path, &outgoing, &shared);
    let writing = write(&mut writer, path, &outgoing, &shared);
    if exchange(reading, writing).await == Ended::Here {
        let rest = async { while matches!(reader.read(&mut [0; 1024]).await, Ok(1..)) {} };
        let _ = timeout(LINGER, rest).await;
    }
    outgoing.finish();
    if let Some(owner) = shared.upgrade() {
        let mut state = owner.lock();
        // Where ports are shared, a newer connection may have the same path.
        if state.streams.get(&path).is_some_and(|known| Arc::ptr_eq(known, &outgoing)) {
            state.streams.remove(&path);
            state.peer.handle_input(Instant::now(), outgoing.transport, Input::Closed { path });
        }
        state.wake_driver();
    }
}

/// The side that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The peer closed it, and everything that waited is written.
    Here,
    /// The other side, or a failure.
    There,
}

/// Reads and writes until one of both ends.
///
/// A write that fails does not end the reading: an other side that has closed its end may have sent
/// its last messages before, and they are still to be read, among them the notification that the
/// peer connection is closed.
async fn exchange(reading: impl Future<Output = ()>, writing: impl Future<Output = io::Result<()>>) -> Ended {
    let mut reading = pin!(reading);
    let written = tokio::select! {
        () = &mut reading => return Ended::There,
        written = writing => written,
    };
    match written {
        Ok(()) => Ended::Here,
        Err(error) => {
            debug!(%error, "writing to a connection failed");
            let _ = timeout(LINGER, reading).await;
            Ended::There
        }
    }
}

async fn open(request: &StreamRequest, tls: &ServerTls) -> io::Result<(Box<dyn Stream>, Path)> {
    let socket = if request.remote.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if request.local.port() != 0 {
        share_port(&socket)?;
    }
    socket.bind(request.local)?;
    let stream = socket.connect(request.remote).await?;
    set_stream_options(&stream)?;
    let local = stream.local_addr()?;
    match &request.server_name {
        None => Ok((Box::new(stream), Path::new(Transport::Tcp, local, request.remote))),
        Some(name) => {
            let stream = tls.connect(name, stream).await?;
            Ok((stream, Path::new(Transport::Tls, local, request.remote)))
        }
    }
}

async fn read(from: &mut (impl AsyncRead + Unpin), path: Path, outgoing: &Outgoing, shared: &Weak<Shared>) {
    let mut reader = Reader::new(outgoing.framing);
    loop {
        let received =
            poll_fn(|cx| poll_read(cx, from, |bytes| deliver(bytes, &mut reader, path, outgoing, shared)));
        if received.await.is_break() {
            return;
        }
    }
}

/// Reads once and gives the bytes to `deliver`. They lie in a buffer of the thread, so that an idle
/// connection has none.
fn poll_read(
    cx: &mut Context<'_>,
    from: &mut (impl AsyncRead + Unpin),
    deliver: impl FnOnce(&[u8]) -> ControlFlow<()>,
) -> Poll<ControlFlow<()>> {
    INCOMING.with_borrow_mut(|incoming| {
        let mut buffer = ReadBuf::new(incoming);
        match ready!(Pin::new(from).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => Poll::Ready(deliver(buffer.filled())),
            Ok(()) => {
                debug!("the other side has closed a connection");
                Poll::Ready(ControlFlow::Break(()))
            }
            Err(error) => {
                debug!(%error, "reading from a connection failed");
                Poll::Ready(ControlFlow::Break(()))
            }
        }
    })
}

/// Cuts frames out of bytes that were read, and gives them to the peer. Breaks off if they are not
/// framed, or the peer is gone.
fn deliver(
    mut bytes: &[u8],
    reader: &mut Reader,
    path: Path,
    outgoing: &Outgoing,
    shared: &Weak<Shared>,
) -> ControlFlow<()> {
    let Some(shared) = shared.upgrade() else { return ControlFlow::Break(()) };
    while !bytes.is_empty() {
        bytes = &bytes[reader.feed(bytes)..];
        let mut state = shared.lock();
        let now = Instant::now();
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => {
                    let (transport, ecn) = (outgoing.transport, Ecn::NotEct);
                    state.peer.handle_datagram(now, transport, path, ecn, Some(now), frame);
                }
                Ok(None) => break,
                Err(_) => {
                    debug!("bytes on a connection are not framed messages");
                    return ControlFlow::Break(());
                }
            }
        }
        state.wake_driver();
    }
    ControlFlow::Continue(())
}

async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    path: Path,
    outgoing: &Arc<Outgoing>,
    shared: &Weak<Shared>,
) -> io::Result<()> {
    let mut chunk = Vec::new();
    loop {
        match outgoing.next(&mut chunk).await {
            Taken::Some => {}
            Taken::Drained => report_drained(path, outgoing, shared),
            Taken::End => break,
        }
        to.write_all(&chunk).await?;
        to.flush().await?;
    }
    // What was written is on its way, even if the other side has closed meanwhile.
    let _ = to.shutdown().await;
    Ok(())
}

/// Tells the peer that the queue is drained. The driver reports a clogged queue under the lock that
/// it was filled under, so that this input always follows that one.
fn report_drained(path: Path, outgoing: &Arc<Outgoing>, shared: &Weak<Shared>) {
    let Some(shared) = shared.upgrade() else { return };
    let mut state = shared.lock();
    if state.streams.get(&path).is_some_and(|known| Arc::ptr_eq(known, outgoing)) {
        state.peer.handle_input(Instant::now(), outgoing.transport, Input::Drained { path });
        state.wake_driver();
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// The other side sends, and resets the connection since it leaves bytes unread.
    #[tokio::test]
    async fn bytes_sent_before_a_reset_are_read_after_a_write_has_failed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut there, _) = listener.accept().await.unwrap();
        here.write_all(b"never read").await.unwrap();
        there.readable().await.unwrap();
        there.write_all(b"the last words").await.unwrap();
        drop(there);

        let (mut reader, mut writer) = here.split();
        let mut received = Vec::new();
        let (failed, has_failed) = tokio::sync::oneshot::channel();
        let reading = async {
            has_failed.await.unwrap();
            let _ = reader.read_to_end(&mut received).await;
        };
        let writing = async {
            let error = loop {
                if let Err(error) = writer.write_all(b"more").await {
                    break error;
                }
                tokio::task::yield_now().await;
            };
            failed.send(()).unwrap();
            Err(error)
        };
        assert_eq!(exchange(reading, writing).await, Ended::There);
        assert_eq!(received, b"the last words");
    }

    #[tokio::test]
    async fn connection_that_the_peer_closes_is_ended_here() {
        let ended = exchange(std::future::pending(), async { Ok(()) }).await;
        assert_eq!(ended, Ended::Here);
    }
}
