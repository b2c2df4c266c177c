//! A TCP connection that counts for as long as it is open, and that closes in such a way that the
//! last answer arrives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::memory::{Account, Evicted, Held, Holder};
use crate::turn::ClientStream;

/// The time for which a client may go on sending before the connection is closed.
const LINGER: Duration = Duration::from_secs(1);

/// The most bytes that are taken from it then.
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// The kernel's queues of a connection, in bytes as they are asked for: it takes twice as much at
/// most, for its own structures. Its own choice grows to megabytes for a client that acknowledges
/// nothing, or whose messages are left unread. Enough for 5 and 2.5 Mbit/s at a round trip of 100
/// ms.
const SEND_BUFFER: usize = 64 * 1024;
const RECEIVE_BUFFER: usize = 32 * 1024;

/// The bytes that the kernel takes before it sends them: what is queued above it is still ours to
/// count and to drop.
const UNSENT: u32 = 32 * 1024;

/// The bytes that a connection counts for while its client takes nothing: what the kernel holds.
const BLOCKED_BYTES: usize = 2 * SEND_BUFFER;

/// The bytes that a connection counts for while what its client sends is left unread.
pub(crate) const UNREAD_BYTES: usize = 2 * RECEIVE_BUFFER;

/// Bounds the queue from the clients of a listening socket, before it listens.
pub(super) fn bound_listener(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_recv_buffer_size(RECEIVE_BUFFER)
}

/// Bounds the queue to a client.
pub(super) fn bound_queue(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

/// Counts what the kernel holds for a client that is left unread: what it sends on while its
/// request is answered, say.
///
/// A reader that wants more goes on until there is nothing, so one that has stopped while there was
/// something leaves the rest where it is. A client that waits for its answer counts for nothing.
#[derive(Debug)]
pub(super) struct Unread {
    account: Account,
    held: Option<Held>,
}

impl Unread {
    pub(super) fn new(account: Account) -> Self {
        Self { account, held: None }
    }

    /// To be called whenever the reader has nothing more to do.
    pub(super) fn look(&mut self) -> Result<(), Evicted> {
        if !self.account.has_unread() {
            self.held = None;
        } else if self.held.is_none() {
            self.held = Some(self.account.hold(Holder::Sockets, UNREAD_BYTES)?);
        }
        Ok(())
    }
}

/// A TCP connection with whatever must be kept until it is closed.
///
/// Closing a socket that has unread bytes makes the kernel reset the connection, and the reset
/// takes back what was sent last: the very answer that names the fault. So dropping it ends its own
/// direction only, and what the client still sends is read and forgotten, for a bounded time.
#[derive(Debug)]
pub(crate) struct Socket<K: Send + 'static> {
    /// `None` only while it is dropped.
    stream: Option<TcpStream>,
    kept: Option<K>,
    account: Account,
    /// The bytes that the kernel holds while the client takes nothing.
    blocked: Option<Held>,
}

impl<K: Send + 'static> Socket<K> {
    pub(crate) fn new(stream: TcpStream, kept: K, account: Account) -> Self {
        Self { stream: Some(stream), kept: Some(kept), account, blocked: None }
    }

    /// Counts what the kernel holds for a client that takes nothing.
    fn note(&mut self, wrote: Poll<io::Result<usize>>, wanted: usize) -> Poll<io::Result<usize>> {
        match &wrote {
            Poll::Pending if self.blocked.is_none() => {
                let held = self.account.hold(Holder::Sockets, BLOCKED_BYTES);
                self.blocked = Some(held.map_err(io::Error::other)?);
            }
            Poll::Ready(Ok(count)) if *count == wanted => self.blocked = None,
            _ => {}
        }
        wrote
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut TcpStream>> {
        let stream = Pin::into_inner(self).stream.as_mut();
        stream.map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<K: Send + 'static> Drop for Socket<K> {
    fn drop(&mut self) {
        let (stream, kept) = (self.stream.take(), self.kept.take());
        if let (Some(stream), Ok(runtime)) = (stream, Handle::try_current()) {
            runtime.spawn(async move {
                let _ = timeout(LINGER, forget_the_rest(stream)).await;
                drop(kept);
            });
        }
    }
}

async fn forget_the_rest(mut stream: TcpStream) {
    let (mut left, mut scrap) = (LINGER_BYTES, vec![0; 16 * 1024]);
    if stream.shutdown().await.is_err() {
        return;
    }
    while left > 0 {
        match stream.read(&mut scrap).await {
            Ok(0) | Err(_) => return,
            Ok(read) => left = left.saturating_sub(read),
        }
    }
}

impl<K: Send + 'static> Unpin for Socket<K> {}

impl<K: Send + 'static> ClientStream for Socket<K> {
    fn adopt(&mut self) -> io::Result<()> {
        self.stream.as_mut().map_or(Ok(()), ClientStream::adopt)
    }
}

impl<K: Send + 'static> AsyncRead for Socket<K> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, mut this) = (buffer.filled().len(), self);
        let read = this.as_mut().stream()?.poll_read(context, buffer);
        this.account.note_unread(buffer.filled().len() > before);
        read
    }
}

impl<K: Send + 'static> AsyncWrite for Socket<K> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = self.as_mut().stream()?.poll_write(context, bytes);
        self.note(wrote, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = self.as_mut().stream()?.poll_write_vectored(context, slices);
        self.note(wrote, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::net::TcpListener;

    use super::*;
    use crate::memory::Budget;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn last_answer_arrives_although_the_client_is_not_read() {
        for _ in 0..20 {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let (closed, is_closed) = mpsc::channel::<()>();
            let mut socket = Socket::new(stream, closed, Budget::new(1 << 20).open(None));
            client.write_all(&[1; 100_000]).await.unwrap();
            socket.write_all(b"too much").await.unwrap();
            drop(socket);
            // It still counts while the client goes on.
            assert_eq!(is_closed.try_recv(), Err(mpsc::TryRecvError::Empty));
            let _ = client.write_all(&[2; 100_000]).await;
            let mut answer = String::new();
            timeout(PATIENCE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
            assert_eq!(answer, "too much");
            drop(client);
            let gone = tokio::task::spawn_blocking(move || is_closed.recv_timeout(PATIENCE));
            assert_eq!(gone.await.unwrap(), Err(mpsc::RecvTimeoutError::Disconnected));
        }
    }
}
