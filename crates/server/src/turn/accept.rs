//! Accepting streams on ports that are STUN's own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use columba_turn::server::Transport;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::admission::Place;
use super::shared::Shared;
use super::stream;
use crate::memory::Holder;
use crate::places::client_network;

/// The kernel's queue towards a client, in bytes: the bandwidth-delay product of 20 Mbit/s and 100
/// ms. The kernel's own choice can be megabytes, which on a slow path are many seconds of stale
/// media.
pub(super) const SEND_BUFFER: usize = 256 << 10;

/// The kernel's queue from a client, in bytes. It is read at once: this is for what is on its way.
pub(super) const RECEIVE_BUFFER: usize = 256 << 10;

/// The bytes that a TLS session counts for: its state, keys and buffers.
const TLS_BYTES: usize = 16 << 10;

/// The pause when connections cannot be accepted, for want of file descriptors mostly.
const REST_AFTER_ERROR: Duration = Duration::from_millis(100);

/// The configuration of TLS. The configuration can be exchanged; connections that are there keep
/// the old one.
#[derive(Debug)]
pub(super) struct Tls(RwLock<Option<Arc<ServerConfig>>>);

impl Tls {
    pub(super) fn new(config: Option<Arc<ServerConfig>>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(config.map(without_alpn))))
    }

    pub(super) fn set(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(without_alpn(config));
    }

    fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone().map(TlsAcceptor::from)
    }
}

/// A web server's configuration names HTTP's protocols, and would turn away a client that names
/// TURN's (RFC 7443).
fn without_alpn(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    if config.alpn_protocols.is_empty() {
        return config;
    }
    let mut config = (*config).clone();
    config.alpn_protocols.clear();
    Arc::new(config)
}

/// Accepts connections for ever. With `tls` they are TLS.
pub(super) async fn accept(shared: Arc<Shared>, listener: Arc<TcpListener>, tls: Option<Arc<Tls>>) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => match shared.admission.admit(client.ip(), Instant::now()) {
                Some(place) => {
                    let task = serve(Arc::clone(&shared), stream, client, tls.clone(), place);
                    shared.spawn(task);
                }
                None => shared.counters.streams_refused.add_one(),
            },
            // The client has gone again before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                shared.counters.accept_failed.add_one();
                tracing::debug!(%error, "a connection cannot be accepted");
                tokio::time::sleep(REST_AFTER_ERROR).await;
            }
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<Arc<Tls>>,
    place: Place,
) {
    let Ok(local) = prepare(&stream) else { return };
    let Some(tls) = tls else {
        return stream::serve(&shared, stream, &[], local, client, Transport::Tcp, place).await;
    };
    let Some(acceptor) = tls.acceptor() else { return };
    let account = shared.budget.open(Some(client_network(client.ip())));
    let Ok(_held) = account.hold(Holder::Tls, TLS_BYTES) else { return };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(shared.limits.handshake_timeout, acceptor.accept(stream)) => handshake,
        () = place.lost() => return shared.counters.streams_made_way.add_one(),
        () = account.evicted() => return shared.counters.streams_evicted.add_one(),
        () = shared.closing() => return,
    };
    match handshake {
        Ok(Ok(stream)) => stream::serve(&shared, stream, &[], local, client, Transport::Tls, place).await,
        Ok(Err(_)) | Err(_) => shared.counters.handshakes_failed.add_one(),
    }
}

fn prepare(stream: &TcpStream) -> io::Result<SocketAddr> {
    stream.set_nodelay(true)?;
    bound_queues(stream)?;
    stream.local_addr()
}

/// Bounds the kernel's queues of a stream for media.
pub(super) fn bound_queues(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)
}
