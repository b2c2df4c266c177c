//! From a listening socket to requests: TLS, HTTP/1 and HTTP/2, and TURN for clients that use that
//! instead.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, Version, header};
use columba_turn::server::Transport;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::answer::{self, Answer, Watch};
use super::socket::{self, Socket, Unread};
use super::static_files::plain;
use super::stream::{ByteStream, Peeked};
use super::streams::{self, Streams};
use crate::client::{Client, Connection, contains};
use crate::config::WebOptions;
use crate::drain::Drain;
use crate::memory::{Account, Budget, Evicted, Holder};
use crate::places::{Place, Places, client_network};
use crate::tls::Tls;
use crate::turn;

/// The time after which the kernel gives up a client that acknowledges nothing.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// The bytes that a TLS session counts for: its state, keys and buffers.
const TLS_BYTES: usize = 16 * 1024;

/// The bytes that a connection counts for before it is known what it is for: its task and socket.
const TCP_BYTES: usize = 4 * 1024;

/// The bytes that an HTTP connection counts for: its state, and the buffers of one that has had a
/// request.
const HTTP_BYTES: usize = 24 * 1024;

/// The pause of the accept loop when the system has no more file descriptors.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(200);

/// The state that all listeners of the web port share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) drain: Drain,
    tls: Option<Arc<Tls>>,
    /// Where TURN on the web port goes.
    pub(crate) relay: Option<Arc<turn::Service>>,
    /// The memory that clients make the server hold.
    pub(crate) budget: Budget,
    /// For handshake, first byte, request head.
    patience: Duration,
    trust_proxy: Vec<IpNet>,
    /// The places of clients.
    pub(crate) places: Arc<Places>,
}

/// Everything that is given back when a connection has been closed.
#[derive(Debug)]
struct Kept {
    _place: Place,
    /// While it is open, STUN answers this client before strangers.
    _known: Option<turn::Connected>,
}

impl Shared {
    pub(crate) fn new(
        drain: Drain,
        tls: Option<Arc<Tls>>,
        relay: Option<Arc<turn::Service>>,
        budget: Budget,
        places: Arc<Places>,
        options: &WebOptions,
    ) -> Self {
        Self {
            drain,
            tls,
            relay,
            budget,
            patience: options.request_timeout.0,
            trust_proxy: options.trust_proxy.clone(),
            places,
        }
    }

    /// The account of what a client's connection makes the server hold. A proxy stands for many
    /// clients, so that each of its connections counts for itself.
    fn open_account(&self, peer: SocketAddr) -> Account {
        let trusted = contains(&self.trust_proxy, peer.ip().to_canonical());
        self.budget.open((!trusted).then(|| client_network(peer.ip())))
    }

    fn admit(&self, peer: SocketAddr) -> Option<Place> {
        let ip = peer.ip().to_canonical();
        if contains(&self.trust_proxy, ip) { self.places.connect_proxy() } else { self.places.connect(ip) }
    }
}

/// Accepts and serves. A server that drains goes on accepting, so that it can answer that it does.
pub(crate) async fn serve(listener: Arc<TcpListener>, router: Router, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Over the limit: closed at once, without a task.
                let Some(place) = shared.admit(peer) else { continue };
                let (router, shared) = (router.clone(), shared.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection(stream, place, peer, router, &shared).await {
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
    place: Place,
    peer: SocketAddr,
    router: Router,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket::bound_queue(&stream)?;
    let connection = Connection { peer, local: stream.local_addr()?, tls: false };
    let account = shared.open_account(peer);
    let _held = account.hold(Holder::Http, TCP_BYTES).map_err(io::Error::other)?;
    // Not so for a proxy, of which STUN's clients know nothing.
    let turn = shared.relay.as_ref().filter(|_| !contains(&shared.trust_proxy, peer.ip().to_canonical()));
    let known = turn.map(|turn| turn.connected(peer.ip()));
    let socket = Socket::new(stream, Kept { _place: place.clone(), _known: known }, account.clone());
    tokio::select! {
        result = converse(socket, &place, connection, &account, router, shared) => result,
        () = account.evicted() => Err(io::Error::other(Evicted)),
    }
}

/// Waits for the first bytes, and serves the protocol that they belong to.
async fn converse(
    stream: Socket<Kept>,
    place: &Place,
    mut connection: Connection,
    account: &Account,
    router: Router,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let stream = timeout(shared.patience, Peeked::new(stream)).await??;
    let Some(tls) = &shared.tls else {
        return Box::pin(dispatch(stream, place, connection, account, router, shared)).await;
    };
    /// The first byte of a TLS handshake record.
    const HANDSHAKE: u8 = 0x16;
    if stream.first() == HANDSHAKE {
        connection.tls = true;
        let held = account.hold(Holder::Tls, TLS_BYTES).map_err(io::Error::other)?;
        let accepting = Box::pin(TlsAcceptor::from(tls.config()).accept(stream));
        let stream = timeout(shared.patience, accepting).await??;
        let stream = timeout(shared.patience, Peeked::new(stream)).await??.holding(held);
        Box::pin(dispatch(stream, place, connection, account, router, shared)).await
    } else if stream.is_stun() {
        Box::pin(dispatch(stream, place, connection, account, router, shared)).await
    } else {
        Box::pin(redirect(stream, connection, shared)).await
    }
}

/// Tells the protocols of the port apart.
async fn dispatch<S: ByteStream>(
    stream: Peeked<S>,
    place: &Place,
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
    let asked = Arc::new(AtomicBool::new(false));
    let watch = Arc::new(Watch::default());
    let requests = Requests {
        router,
        connection,
        account: account.clone(),
        place: place.clone(),
        drain: shared.drain.clone(),
        watch: watch.clone(),
    };
    let has_asked = asked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        requests.clone().answer(request)
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
    let mut unread = Unread::new(account.clone());
    loop {
        let step = poll_fn(|context| match http.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(result.map_err(io::Error::other)),
            Poll::Pending => {
                unread.look().map_or_else(|e| Poll::Ready(Err(io::Error::other(e))), |()| Poll::Pending)
            }
        });
        tokio::select! {
            result = step => return result,
            () = watch.stalled(shared.patience) => return Err(io::ErrorKind::TimedOut.into()),
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

/// The surroundings of the requests of one connection.
#[derive(Clone)]
struct Requests {
    router: Router,
    connection: Connection,
    account: Account,
    place: Place,
    drain: Drain,
    /// Of HTTP/1, which has no streams.
    watch: Arc<Watch>,
}

impl Requests {
    async fn answer(self, mut request: Request<Incoming>) -> Result<Response<Answer>, Evicted> {
        let Some((request_held, answer_held)) = answer::hold(&self.account) else { return Err(Evicted) };
        let http1 = request.version() <= Version::HTTP_11;
        let extensions = request.extensions_mut();
        extensions.insert(self.connection);
        extensions.insert(self.account);
        extensions.insert(self.place);
        let Ok(mut response) = self.router.oneshot(request.map(Body::new)).await;
        if http1 && self.drain.has_begun() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let place = response.extensions_mut().remove::<Place>();
        // A stream is watched by its own task.
        let watch = streams::current().unwrap_or(self.watch);
        Ok(response.map(|body| Answer::new(body, &watch, request_held, place, answer_held)))
    }
}

/// HTTP with the bounds that a slow or greedy client runs into.
fn builder(patience: Duration) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(Streams::new(patience));
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
        // What may come before it is read, of one request and of all.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(answer::IN_FLIGHT)
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
