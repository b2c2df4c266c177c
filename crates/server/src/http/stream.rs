//! A byte stream some of whose bytes have been read already.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use crate::turn::ClientStream;

use crate::memory::Held;

/// The transport of HTTP and TURN: TCP, or TLS over it.
pub(crate) trait ByteStream: ClientStream {}

impl<S: ClientStream> ByteStream for S {}

impl<S: ClientStream> ClientStream for TlsStream<S> {
    fn adopt(&mut self) -> io::Result<()> {
        self.get_mut().0.adopt()
    }
}

/// A stream with its first byte looked at, and still there to be read.
#[derive(Debug)]
pub(crate) struct Peeked<S> {
    first: u8,
    unread: bool,
    inner: S,
    /// The memory that the stream counts for.
    _held: Option<Held>,
}

impl<S: ByteStream> Peeked<S> {
    /// Waits for the first byte.
    pub(crate) async fn new(mut inner: S) -> io::Result<Self> {
        let first = inner.read_u8().await?;
        Ok(Self { first, unread: true, inner, _held: None })
    }

    /// The same stream, with the memory that it counts for as long as it is open.
    pub(crate) fn holding(self, held: Held) -> Self {
        Self { _held: Some(held), ..self }
    }

    pub(crate) fn first(&self) -> u8 {
        self.first
    }

    /// Returns whether this is STUN or TURN: their first two bits are zero, and no letter's or TLS
    /// record's are (RFC 7983).
    pub(crate) fn is_stun(&self) -> bool {
        self.first <= 0x03
    }
}

impl<S: ClientStream> ClientStream for Peeked<S> {
    fn adopt(&mut self) -> io::Result<()> {
        self.inner.adopt()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Peeked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread && buffer.remaining() > 0 {
            buffer.put_slice(&[self.first]);
            self.unread = false;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Peeked<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
