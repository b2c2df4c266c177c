//! From a listening socket to requests: TLS, HTTP/1 and HTTP/2, and TURN for clients that use that
//! instead.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use columba_turn::server::Transport;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::socket::Socket;
use super::static_files::plain;
use super::stream::{ByteStream, Peeked};
use crate::client::{Client, Connection, contains, network};
use crate::config::WebOptions;
use crate::drain::Drain;
use crate::memory::{Account, Budget, Evicted, Holder};
use crate::tls::Tls;
use crate::turn;

/// The time after which the kernel gives up a client that acknowledges nothing.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// The bytes that a TLS session counts for: its state, keys and buffers.
const TLS_BYTES: usize = 16 * 1024;

/// The bytes that an HTTP connection counts for: its state, and the head of a request.
const HTTP_BYTES: usize = 16 * 1024;

/// The pause of the accept loop when the system has no more file descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);

/// The state that all listeners of the web port share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) drain: Drain,
    tls: Option<Arc<Tls>>,
    /// Where TURN on the web port goes.
    pub(crate) relay: Option<Arc<turn::Service>>,
    /// What clients make the server hold.
    pub(crate) budget: Budget,
    /// For handshake, first byte, request head.
    patience: Duration,
    max_connections: u32,
    max_per_client: u32,
    trust_proxy: Vec<IpNet>,
    open: Mutex<Open>,
    /// The last connection has been closed.
    idle: Notify,
    accepted: AtomicU64,
    refused: AtomicU64,
}

/// The number of connections of each client.
#[derive(Debug, Default)]
struct Open {
    total: u32,
    by_client: HashMap<IpAddr, u32>,
}

impl Shared {
    pub(crate) fn new(
        drain: Drain,
        tls: Option<Arc<Tls>>,
        relay: Option<Arc<turn::Service>>,
        budget: Budget,
        options: &WebOptions,
    ) -> Self {
        Self {
            drain,
            tls,
            relay,
            budget,
            patience: options.request_timeout.0,
            max_connections: options.max_connections,
            max_per_client: options.max_connections_per_client,
            trust_proxy: options.trust_proxy.clone(),
            open: Mutex::default(),
            idle: Notify::new(),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Returns when no connection is open.
    pub(crate) async fn wait_until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.connections() == 0 {
                return;
            }
            idle.await;
        }
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> u64 {
        u64::from(self.open.lock().unwrap_or_else(PoisonError::into_inner).total)
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The account of what a client's connection makes the server hold. A proxy stands for many
    /// clients, so that each of its connections counts for itself.
    fn open_account(&self, peer: SocketAddr) -> Account {
        let trusted = contains(&self.trust_proxy, peer.ip().to_canonical());
        self.budget.open((!trusted).then(|| network(peer.ip())))
    }

    fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Admitted> {
        let network = network(peer.ip());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = open.by_client.get(&network).copied().unwrap_or_default();
        // All clients of a proxy come from its address.
        let here_at_most = if contains(&self.trust_proxy, peer.ip().to_canonical()) {
            u32::MAX
        } else {
            self.max_per_client
        };
        if open.total >= self.max_connections || here >= here_at_most {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        open.by_client.insert(network, here + 1);
        open.total += 1;
        self.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Admitted { shared: self.clone(), network })
    }
}

/// One connection's place among those that may be open.
struct Admitted {
    shared: Arc<Shared>,
    network: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        match open.by_client.get_mut(&self.network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.by_client.remove(&self.network)),
        }
        if open.total == 0 {
            self.shared.idle.notify_waiters();
        }
    }
}

/// Accepts and serves. A server that drains goes on accepting, so that it can answer that it does.
pub(crate) async fn serve(listener: Arc<TcpListener>, router: Router, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Over the limit: closed at once, without a task.
                let Some(admitted) = shared.admit(peer) else { continue };
                let (router, shared) = (router.clone(), shared.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, admitted, peer, router, &shared).await {
                        debug!(%error, "a connection ended early");
                    }
                });
            }
            // The client has gone already; the next one has not.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "no connection can be accepted at the moment");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Serves a connection to its end, or until it has to go because it holds too much.
async fn connection(
    stream: TcpStream,
    admitted: Admitted,
    peer: SocketAddr,
    router: Router,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    let connection = Connection { peer, local: stream.local_addr()?, tls: false };
    let account = shared.open_account(peer);
    tokio::select! {
        result = converse(Socket::new(stream, admitted), connection, &account, router, shared) => result,
        () = account.evicted() => Err(io::Error::other(Evicted)),
    }
}

/// Waits for the first bytes, and serves the protocol that they belong to.
async fn converse(
    stream: Socket<Admitted>,
    mut connection: Connection,
    account: &Account,
    router: Router,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let stream = timeout(shared.patience, Peeked::new(stream)).await??;
    let Some(tls) = &shared.tls else {
        return dispatch(stream, connection, account, router, shared).await;
    };
    /// The first byte of a TLS handshake record.
    const HANDSHAKE: u8 = 0x16;
    if stream.first() == HANDSHAKE {
        connection.tls = true;
        let held = account.hold(Holder::Tls, TLS_BYTES).map_err(io::Error::other)?;
        let accepting = Box::pin(TlsAcceptor::from(tls.config()).accept(stream));
        let stream = timeout(shared.patience, accepting).await??;
        let stream = timeout(shared.patience, Peeked::new(stream)).await??.holding(held);
        dispatch(stream, connection, account, router, shared).await
    } else if stream.is_stun() {
        dispatch(stream, connection, account, router, shared).await
    } else {
        redirect(stream, connection, shared).await
    }
}

/// Tells the protocols of the port apart.
async fn dispatch<S: ByteStream>(
    stream: Peeked<S>,
    connection: Connection,
    account: &Account,
    router: Router,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    if stream.is_stun() {
        if let Some(relay) = &shared.relay {
            let transport = if connection.tls { Transport::Tls } else { Transport::Tcp };
            relay.serve_stream(stream, &[], connection.local, connection.peer, transport).await;
        }
        return Ok(());
    }
    let _held = account.hold(Holder::Http, HTTP_BYTES).map_err(io::Error::other)?;
    let account = account.clone();
    let drain = shared.drain.clone();
    let asked = Arc::new(AtomicBool::new(false));
    let has_asked = asked.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(connection);
        request.extensions_mut().insert(account.clone());
        let http1 = request.version() <= Version::HTTP_11;
        let (answer, drain) = (router.clone().oneshot(request.map(Body::new)), drain.clone());
        async move {
            let mut response = answer.await?;
            if http1 && drain.has_begun() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(response)
        }
    });
    let builder = builder(shared.patience);
    let mut http = std::pin::pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    // hyper has no timeout of its own while it cannot tell HTTP/1 from HTTP/2, and none for
    // HTTP/2's first frames.
    let mut patience = std::pin::pin!(tokio::time::sleep(shared.patience));
    let mut checked = false;
    // A connection that comes while the server drains must get its answer; to hyper it would look
    // idle.
    let mut is_notified = shared.drain.has_begun();
    loop {
        tokio::select! {
            result = http.as_mut() => return result.map_err(io::Error::other),
            () = patience.as_mut(), if !checked => {
                checked = true;
                if !has_asked.load(Ordering::Relaxed) {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            () = shared.drain.begun(), if !is_notified => {
                is_notified = true;
                http.as_mut().graceful_shutdown();
            }
        }
    }
}

/// HTTP with the bounds that a slow or greedy client runs into.
fn builder(patience: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_headers(64)
        .max_buf_size(32 * 1024)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(32)
        .max_send_buf_size(64 * 1024)
        .max_header_list_size(16 * 1024);
    builder
}

/// Plain HTTP on the TLS port, which is what people type: shows them the way.
async fn redirect<S: ByteStream>(
    stream: Peeked<S>,
    connection: Connection,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let service = service_fn(move |request: Request<Incoming>| {
        let client = Client::new(connection, request.headers(), request.uri(), &[]);
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let location = HeaderValue::try_from(format!("https://{}{path}", client.authority()));
        let mut response: Response<Body> = plain(StatusCode::PERMANENT_REDIRECT, "This port speaks HTTPS.\n");
        if let Ok(location) = location {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        async move { Ok::<_, Infallible>(response) }
    });
    let builder = builder(shared.patience);
    let http = builder.serve_connection(TokioIo::new(stream), service);
    timeout(shared.patience, http).await?.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_for_each_network() {
        let arguments =
            ["--max-connections", "4", "--max-connections-per-client", "2", "--trust-proxy", "192.0.2.1/32"]
                .map(Into::into);
        let options = crate::config::Config::load(&arguments, &Default::default()).unwrap().options.web;
        let shared = Arc::new(Shared::new(Drain::new(), None, None, Budget::new(1_000_000), &options));
        let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
        let first = shared.admit(peer("[2001:db8::1]:1")).unwrap();
        let _second = shared.admit(peer("[2001:db8::2]:1")).unwrap();
        assert!(shared.admit(peer("[2001:db8::3]:1")).is_none(), "the same /64");
        let _third = shared.admit(peer("192.0.2.1:1")).unwrap();
        let _fourth = shared.admit(peer("192.0.2.1:2")).unwrap();
        assert!(shared.admit(peer("192.0.2.2:1")).is_none(), "full");
        drop(first);
        assert!(shared.admit(peer("[::ffff:192.0.2.1]:3")).is_some(), "a proxy stands for many clients");
        assert_eq!((shared.connections(), shared.accepted(), shared.refused()), (3, 5, 2));
    }
}
