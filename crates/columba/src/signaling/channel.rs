//! The handle that an application holds, and the task that keeps a connection to the server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use columba_peer::LocalAddress;
use columba_signal::{
    Client, ClientEvent, ClientId, ClientInput, ClientRequest, Instance, LeaveReason, PeerId, Refusal,
    SessionToken,
};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep_until, timeout};
use tracing::debug;

use super::error::SignalingError;
use super::ice_servers::IceServers;
use super::options::SignalingOptions;
use super::websocket::{Address, Received, Socket};
use crate::network;

/// The time for the WebSocket's goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The time after which a write that is not finished shows a dead connection.
const WRITE: Duration = Duration::from_secs(15);

/// The time in which fresh ICE servers must arrive.
const REFRESH: Duration = Duration::from_secs(5);

/// Carries messages between peers that cannot reach each other yet. Cheap to clone.
///
/// What is sent before another peer is there waits, and is delivered to the first that come. Broken
/// connections are mended unseen: every message arrives once and in order as long as the server
/// keeps the membership (30 s); after that, and after a restart of the server, the channel joins
/// anew under the same peer id and sends again what was never acknowledged. When the last handle is
/// dropped, the session is left.
#[derive(Clone, Debug)]
pub struct SignalingChannel {
    inner: Arc<Handle>,
}

/// The events of a [`SignalingChannel`].
#[derive(Debug)]
pub struct SignalingEvents {
    shared: Arc<Shared>,
}

/// The events of a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SignalingEvent {
    /// The server is connected: comes first, and after each [`Reconnecting`](Self::Reconnecting).
    Open {
        /// The membership before was lost: what others have sent meanwhile may be lost, too.
        rejoined: bool,
    },
    /// The connection to the server broke; it is being mended.
    Reconnecting,
    /// A peer can be reached through the server.
    PeerJoined {
        /// Its peer id.
        peer: PeerId,
        /// The name that it gave itself.
        id: Option<ClientId>,
    },
    /// A peer can no longer be reached through the server; connections to it that are up stay up.
    PeerLeft {
        /// Its peer id.
        peer: PeerId,
        /// The reason.
        reason: LeaveReason,
    },
    /// A peer has sent something.
    Message {
        /// The sender.
        from: PeerId,
        /// The JSON value, exactly as it was written.
        data: Arc<RawValue>,
    },
    /// The server has sent other STUN and TURN servers or fresh credentials; the channel asks for
    /// them before the old ones end. Give them to connections that are up
    /// ([`PeerConnection::set_configuration`](crate::PeerConnection::set_configuration)), which may
    /// gather at any time.
    IceServers,
    /// The server refused something, and the channel goes on.
    Refused(Refusal),
    /// The channel has ended, for this reason; the last event.
    Closed(SignalingError),
}

/// Leaves the session when the last handle goes.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// The task has something to do.
    wake: Notify,
    /// An event waits, or something else has changed that the application may wait for.
    changed: Notify,
}

#[derive(Debug)]
struct State {
    client: Client,
    /// The task has ended.
    ended: bool,
}

impl SignalingChannel {
    /// Connects to the server and enters the session.
    ///
    /// # Errors
    /// The address is wrong, no server answers there, or the server refuses. Once this has
    /// succeeded, the channel keeps trying.
    pub async fn open(options: SignalingOptions) -> Result<(Self, SignalingEvents), SignalingError> {
        let address = Address::parse(&options.url)?;
        let greeting = options.greeting(Instance::random(&mut UnwrapErr(SysRng)));
        let unix_time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let timing = options.timing.client();
        let client = Client::new(Instant::now(), unix_time, greeting, timing, UnwrapErr(SysRng));
        let state = State { client, ended: false };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), wake: Notify::new(), changed: Notify::new() });
        let socket = Socket::open(&address, &options).await?;
        let network = network::watch();
        let mut task = Task { shared: shared.clone(), address, options, network, home: None };
        let socket = task.enter(socket).await?;
        tokio::spawn(task.run(socket));
        let inner = Arc::new(Handle { shared: shared.clone() });
        Ok((Self { inner }, SignalingEvents { shared }))
    }

    /// Sends `data` to one peer, or to all who are there; while there is none, it waits for the
    /// first that come. What is sent to a peer that is not there waits a minute for it.
    ///
    /// # Errors
    /// [`NotJson`](SignalingError::NotJson), [`TooLarge`](SignalingError::TooLarge),
    /// [`Full`](SignalingError::Full) while 1,024 messages or 8 MiB wait,
    /// [`Closed`](SignalingError::Closed).
    pub fn send<T: Serialize + ?Sized>(&self, to: Option<PeerId>, data: &T) -> Result<(), SignalingError> {
        let data = serde_json::value::to_raw_value(data)
            .map_err(|error| SignalingError::NotJson { reason: error.to_string() })?;
        let mut state = self.inner.shared.lock();
        state.client.send(Instant::now(), to, data.into())?;
        drop(state);
        self.inner.shared.wake.notify_one();
        Ok(())
    }

    /// The own peer id. `None` for a moment while the channel joins anew.
    #[must_use]
    pub fn peer_id(&self) -> Option<PeerId> {
        self.inner.shared.lock().client.peer_id()
    }

    /// The session's token; `None` if clients meet by id.
    #[must_use]
    pub fn session(&self) -> Option<SessionToken> {
        self.inner.shared.lock().client.session().cloned()
    }

    /// The peers that can be reached through the server.
    #[must_use]
    pub fn peers(&self) -> Vec<(PeerId, Option<ClientId>)> {
        self.inner.shared.lock().client.peers().map(|(peer, id)| (peer, id.cloned())).collect()
    }

    /// Returns whether this peer can be reached through the server now.
    #[must_use]
    pub fn is_reachable(&self, peer: PeerId) -> bool {
        self.inner.shared.lock().client.is_reachable(peer)
    }

    /// Returns whether the server is connected now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.inner.shared.lock().client.is_open()
    }

    /// Returns whether the channel has come to its end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.shared.lock().client.is_closed()
    }

    /// The STUN and TURN servers that the server offers.
    #[must_use]
    pub fn ice_servers(&self) -> IceServers {
        self.inner.shared.lock().client.ice_servers().clone().into()
    }

    /// Asks for fresh TURN credentials.
    ///
    /// # Errors
    /// [`TimedOut`](SignalingError::TimedOut) if they do not come within 5 s,
    /// [`Closed`](SignalingError::Closed).
    pub async fn refresh_ice_servers(&self) -> Result<IceServers, SignalingError> {
        let shared = &self.inner.shared;
        let before = {
            let mut state = shared.lock();
            state.client.want_ice_servers();
            state.client.ice_servers_version()
        };
        shared.wake.notify_one();
        let fresh = shared.wait_until(|state| {
            if state.client.is_closed() {
                return Some(Err(SignalingError::Closed));
            }
            let is_fresh = state.client.ice_servers_version() > before;
            is_fresh.then(|| Ok(state.client.ice_servers().clone().into()))
        });
        timeout(REFRESH, fresh).await.unwrap_or(Err(SignalingError::TimedOut))
    }

    /// Leaves the session for good. What was sent goes out first, if it can within two seconds.
    pub async fn close(&self) {
        self.inner.shared.close();
        self.inner.shared.wait_until(|state| state.ended.then_some(())).await;
    }
}

impl SignalingEvents {
    /// The next event; `None` after the last. Cancelling loses nothing.
    pub async fn recv(&mut self) -> Option<SignalingEvent> {
        let event = self
            .shared
            .wait_until(|state| match state.client.poll_event() {
                Some(event) => Some(Some(event.into())),
                None => state.ended.then_some(None),
            })
            .await;
        // There is room for what the server has.
        self.shared.wake.notify_one();
        event
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().client.close(Instant::now());
        self.wake.notify_one();
        self.changed.notify_waiters();
    }

    /// Waits until `ready` gives something.
    async fn wait_until<T>(&self, mut ready: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(value) = ready(&mut self.lock()) {
                return value;
            }
            changed.await;
        }
    }
}

impl From<ClientEvent> for SignalingEvent {
    fn from(event: ClientEvent) -> Self {
        match event {
            ClientEvent::Open { rejoined } => Self::Open { rejoined },
            ClientEvent::Reconnecting => Self::Reconnecting,
            ClientEvent::PeerJoined { peer, id } => Self::PeerJoined { peer, id },
            ClientEvent::PeerLeft { peer, reason } => Self::PeerLeft { peer, reason },
            ClientEvent::Message { from, data } => Self::Message { from, data },
            ClientEvent::IceServers => Self::IceServers,
            ClientEvent::Refused(refusal) => Self::Refused(refusal),
            ClientEvent::Closed(Some(refusal)) => Self::Closed(SignalingError::Refused(refusal)),
            ClientEvent::Closed(None) => Self::Closed(SignalingError::Closed),
        }
    }
}

/// Does what the client wants until the channel is closed: the only place with sockets.
struct Task {
    shared: Arc<Shared>,
    address: Address,
    options: SignalingOptions,
    /// The host's addresses: when they change, the connection may be gone without notice.
    network: watch::Receiver<Arc<[LocalAddress]>>,
    /// The address that the connection was made from, and its network.
    home: Option<LocalAddress>,
}

/// The connection to the server.
enum Link {
    None,
    Opening(Opening),
    Open(Box<Socket>),
}

type Opening = std::pin::Pin<Box<dyn Future<Output = Result<Box<Socket>, SignalingError>> + Send>>;

impl Task {
    /// Enters the session for the first time, on this connection: a failure is the caller's to see.
    async fn enter(&mut self, socket: Socket) -> Result<Link, SignalingError> {
        // The connection that the client asks for first is there already.
        self.take_request();
        let mut link = Link::Open(Box::new(socket));
        self.input(ClientInput::Opened);
        loop {
            if self.shared.lock().client.is_open() {
                self.find_home(&link);
                return Ok(link);
            }
            if let Some(request) = self.take_request() {
                debug!(?request, "the session cannot be entered");
                let refusal = self.shared.lock().client.refusal().cloned();
                return Err(refusal.map_or_else(|| self.not_a_server(), SignalingError::Refused));
            }
            self.step(&mut link).await;
        }
    }

    fn not_a_server(&self) -> SignalingError {
        let reason = "it closes the connection without an answer".to_owned();
        SignalingError::NotASignalingServer { server: self.address.server(), reason }
    }

    async fn run(mut self, mut link: Link) {
        loop {
            while let Some(request) = self.take_request() {
                self.fulfil(request, &mut link).await;
            }
            let is_over = {
                let state = self.shared.lock();
                state.client.is_closed() && state.client.poll_timeout().is_none()
            };
            if is_over {
                break;
            }
            self.step(&mut link).await;
        }
        self.shared.lock().ended = true;
        self.shared.changed.notify_waiters();
    }

    fn take_request(&self) -> Option<ClientRequest> {
        self.shared.lock().client.poll_request()
    }

    async fn fulfil(&mut self, request: ClientRequest, link: &mut Link) {
        match (request, std::mem::replace(link, Link::None)) {
            (ClientRequest::Open, _) => {
                let (address, options) = (self.address.clone(), self.options.clone());
                *link =
                    Link::Opening(Box::pin(
                        async move { Socket::open(&address, &options).await.map(Box::new) },
                    ));
            }
            (ClientRequest::Close, Link::Open(socket)) if self.shared.lock().client.is_closed() => {
                let _ = timeout(CLOSE_TIMEOUT, socket.close()).await;
            }
            (ClientRequest::Close, _) => {}
        }
    }

    fn input(&self, input: ClientInput<'_>) {
        self.shared.lock().client.handle_input(Instant::now(), input);
        self.shared.changed.notify_waiters();
    }

    /// Sends what there is, waits for something, and gives it to the client.
    async fn step(&mut self, link: &mut Link) {
        if let Link::Open(socket) = link
            && self.transmit(socket).await.is_err()
        {
            *link = Link::None;
            return self.input(ClientInput::Ended);
        }
        let (deadline, is_full, is_over) = {
            let state = self.shared.lock();
            // A goodbye that was just sent comes with a request.
            let is_over = state.client.is_closed() && state.client.poll_timeout().is_none();
            (state.client.poll_timeout(), state.client.is_full(), is_over)
        };
        if is_over {
            return;
        }
        tokio::select! {
            happened = next(link), if !is_full => self.happened(happened, link),
            () = self.shared.wake.notified() => {}
            Ok(()) = self.network.changed() => {
                let lost = self.has_lost_home();
                self.input(ClientInput::NetworkChanged { lost });
            }
            () = until(deadline) => {
                self.shared.lock().client.handle_timeout(Instant::now());
                self.shared.changed.notify_waiters();
            }
        }
    }

    fn happened(&mut self, happened: Happened, link: &mut Link) {
        match happened {
            Happened::Opened(socket) => {
                *link = Link::Open(socket);
                self.find_home(link);
                self.input(ClientInput::Opened);
            }
            Happened::Received(Received::Text(text)) => self.input(ClientInput::Text(&text)),
            Happened::Received(Received::Activity) => self.input(ClientInput::Activity),
            Happened::Ended(error) => {
                if let Some(error) = error {
                    debug!(%error, "the signaling server is away");
                }
                *link = Link::None;
                self.input(ClientInput::Ended);
            }
        }
    }

    /// Notes the address that the connection was made from.
    fn find_home(&mut self, link: &Link) {
        let Link::Open(socket) = link else { return };
        let addresses = self.network.borrow_and_update();
        self.home = addresses.iter().find(|one| Some(one.address) == socket.home()).cloned();
    }

    /// Without its address, or in another network, a connection is dead.
    fn has_lost_home(&mut self) -> bool {
        let addresses = self.network.borrow_and_update();
        let is_home = |one: &LocalAddress, home: &LocalAddress| {
            one.address == home.address && one.network == home.network
        };
        self.home.as_ref().is_some_and(|home| !addresses.iter().any(|one| is_home(one, home)))
    }

    /// Sends what there is to be sent.
    async fn transmit(&self, socket: &mut Socket) -> Result<(), ()> {
        let mut fed = false;
        loop {
            let next = self.shared.lock().client.poll_transmit(Instant::now());
            let Some(message) = next else { break };
            write(socket.feed(message.to_json())).await?;
            fed = true;
        }
        if fed { write(socket.flush()).await } else { Ok(()) }
    }
}

/// Something that happened to a connection.
enum Happened {
    Opened(Box<Socket>),
    Received(Received),
    /// It has ended, or could not be opened.
    Ended(Option<SignalingError>),
}

async fn next(link: &mut Link) -> Happened {
    match link {
        Link::None => std::future::pending().await,
        Link::Opening(opening) => match opening.await {
            Ok(socket) => Happened::Opened(socket),
            Err(error) => Happened::Ended(Some(error)),
        },
        Link::Open(socket) => socket.next().await.map_or(Happened::Ended(None), Happened::Received),
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

async fn write(writing: impl Future<Output = Result<(), ()>>) -> Result<(), ()> {
    timeout(WRITE, writing).await.unwrap_or(Err(()))
}
