//! The handle that an application holds, and the task that keeps a connection to the server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use columba_peer::LocalAddress;
use columba_signal::{ClientId, Instance, LeaveReason, PeerId, Refusal, ServerMessage, SessionToken};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::debug;

use super::error::SignalingError;
use super::ice_servers::IceServers;
use super::options::{SignalingOptions, SignalingTiming};
use super::session::{Ended, Next, Session};
use super::websocket::{Address, Received, Socket};
use crate::network;

/// The most events that wait for the application: then nothing more is read from the server, which
/// in the end removes a client that is too slow.
const MAX_EVENTS: usize = 256;

/// The time in which the last messages must be sent when the channel is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// The time after which a write that is not finished shows a dead connection.
const WRITE: Duration = Duration::from_secs(15);

/// The time in which fresh ICE servers must arrive.
const REFRESH: Duration = Duration::from_secs(5);

/// JSON around the data of a `send`, at most, in bytes.
const AROUND: usize = 128;

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
    session: Session,
    closing: bool,
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
        let session = Session::new(Instant::now(), greeting, options.timing.clone());
        let state = State { session, closing: false, ended: false };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), wake: Notify::new(), changed: Notify::new() });
        let mut socket = Socket::open(&address, &options).await?;
        match enter(&shared, &mut socket, &options.timing).await {
            Ok(()) => {}
            Err(Ended::Refused(refusal)) => return Err(SignalingError::Refused(refusal)),
            Err(_) => {
                let reason = "it closes the connection without an answer".to_owned();
                return Err(SignalingError::NotASignalingServer { server: address.server(), reason });
            }
        }
        let network = network::watch();
        tokio::spawn(Task { shared: shared.clone(), address, options, network }.run(socket));
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
        if state.closing || state.ended {
            return Err(SignalingError::Closed);
        }
        let size = data.get().len() + AROUND;
        if let Some(limit) = state.session.message_bytes().filter(|limit| size > *limit) {
            return Err(SignalingError::TooLarge { size, limit });
        }
        if !state.session.outbox.add(Instant::now(), to, data.into()) {
            return Err(SignalingError::Full);
        }
        drop(state);
        self.inner.shared.wake.notify_one();
        Ok(())
    }

    /// The own peer id. `None` for a moment while the channel joins anew.
    #[must_use]
    pub fn peer_id(&self) -> Option<PeerId> {
        self.inner.shared.lock().session.peer_id()
    }

    /// The session's token; `None` if clients meet by id.
    #[must_use]
    pub fn session(&self) -> Option<SessionToken> {
        self.inner.shared.lock().session.session.clone()
    }

    /// The peers that can be reached through the server.
    #[must_use]
    pub fn peers(&self) -> Vec<(PeerId, Option<ClientId>)> {
        self.inner.shared.lock().session.peers.iter().map(|(peer, id)| (*peer, id.clone())).collect()
    }

    /// Returns whether this peer can be reached through the server now.
    #[must_use]
    pub fn is_reachable(&self, peer: PeerId) -> bool {
        let state = self.inner.shared.lock();
        state.session.is_open && state.session.peers.contains_key(&peer)
    }

    /// Returns whether the server is connected now.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.inner.shared.lock().session.is_open
    }

    /// Returns whether the channel has come to its end.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        let state = self.inner.shared.lock();
        state.closing || state.ended
    }

    /// The STUN and TURN servers that the server offers.
    #[must_use]
    pub fn ice_servers(&self) -> IceServers {
        self.inner.shared.lock().session.ice_servers.clone().into()
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
            state.session.want_ice_servers();
            state.session.ice_servers_version
        };
        shared.wake.notify_one();
        let fresh = shared.wait_until(|state| {
            if state.closing || state.ended {
                return Some(Err(SignalingError::Closed));
            }
            (state.session.ice_servers_version > before).then(|| Ok(state.session.ice_servers.clone().into()))
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
            .wait_until(|state| match state.session.events.pop_front() {
                Some(event) => Some(Some(event)),
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
        self.lock().closing = true;
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

/// Keeps a connection to the server until the channel is closed.
struct Task {
    shared: Arc<Shared>,
    address: Address,
    options: SignalingOptions,
    /// The host's addresses: when they change, the connection may be gone without notice.
    network: watch::Receiver<Arc<[LocalAddress]>>,
}

impl Task {
    async fn run(mut self, mut socket: Socket) {
        let end = loop {
            let Some(ended) = self.converse(&mut socket).await else {
                let _ = timeout(CLOSE_TIMEOUT, socket.close()).await;
                break SignalingError::Closed;
            };
            drop(socket);
            match self.reconnect(ended).await {
                Ok(next) => socket = next,
                Err(end) => break end,
            }
        };
        let mut state = self.shared.lock();
        state.ended = true;
        state.session.is_open = false;
        state.session.peers.clear();
        state.session.events.push_back(SignalingEvent::Closed(end));
        drop(state);
        self.shared.changed.notify_waiters();
    }

    /// Carries messages both ways until the connection ends; `None` if the application closed it.
    async fn converse(&mut self, socket: &mut Socket) -> Option<Ended> {
        let mut close_until = None;
        let home = self.home(socket);
        loop {
            if let Err(ended) = self.transmit(socket).await {
                return Some(ended);
            }
            let Some((deadline, has_room)) = self.outlook(&mut close_until) else {
                return self.leave(socket).await;
            };
            let ended = tokio::select! {
                received = socket.next(), if has_room => match received {
                    Some(received) => self.handle_received(received),
                    None => Some(Ended::Lost),
                },
                () = self.shared.wake.notified() => None,
                Ok(()) = self.network.changed() => self.doubt(home.as_ref()),
                () = sleep_until(deadline.into()) => {
                    let now = Instant::now();
                    let mut state = self.shared.lock();
                    // While nothing is read from the server, its silence says nothing.
                    if !has_room {
                        state.session.note_activity(now);
                    }
                    state.session.handle_timeout(now)
                }
            };
            self.shared.changed.notify_waiters();
            if ended.is_some() {
                return ended;
            }
        }
    }

    /// The address that the connection was made from, and its network.
    fn home(&mut self, socket: &Socket) -> Option<LocalAddress> {
        let addresses = self.network.borrow_and_update();
        addresses.iter().find(|one| Some(one.address) == socket.home()).cloned()
    }

    /// The network has changed: without its address, or in another network, the connection is dead,
    /// and else it may be.
    fn doubt(&mut self, home: Option<&LocalAddress>) -> Option<Ended> {
        let addresses = self.network.borrow_and_update();
        let is_home = |one: &LocalAddress, home: &LocalAddress| {
            one.address == home.address && one.network == home.network
        };
        if home.is_some_and(|home| !addresses.iter().any(|one| is_home(one, home))) {
            debug!("the connection to the signaling server has lost its address");
            return Some(Ended::Renew);
        }
        self.shared.lock().session.probe(Instant::now());
        None
    }

    /// Until when to wait, and whether to read; `None` if it is time to leave.
    fn outlook(&self, close_until: &mut Option<Instant>) -> Option<(Instant, bool)> {
        let state = self.shared.lock();
        let deadline = state.session.poll_timeout();
        if !state.closing {
            return Some((deadline, state.session.events.len() < MAX_EVENTS));
        }
        let now = Instant::now();
        let until = *close_until.get_or_insert(now + CLOSE_TIMEOUT);
        let leaves = state.session.outbox.is_settled() || until <= now;
        (!leaves).then(|| (deadline.min(until), true))
    }

    fn handle_received(&self, received: Received) -> Option<Ended> {
        let now = Instant::now();
        let mut state = self.shared.lock();
        match received {
            Received::Text(text) => match ServerMessage::parse(&text) {
                Ok(message) => state.session.handle_message(now, message),
                Err(_) => {
                    // A later version may know more.
                    debug!("a message that cannot be understood");
                    state.session.note_activity(now);
                    None
                }
            },
            Received::Activity => {
                state.session.note_activity(now);
                None
            }
        }
    }

    /// Sends what there is to be sent.
    async fn transmit(&self, socket: &mut Socket) -> Result<(), Ended> {
        let mut fed = false;
        loop {
            let next = self.shared.lock().session.poll_transmit(Instant::now());
            let Some(message) = next else { break };
            write(socket.feed(message.to_json())).await?;
            fed = true;
        }
        if fed { write(socket.flush()).await } else { Ok(()) }
    }

    async fn leave(&self, socket: &mut Socket) -> Option<Ended> {
        let leave = async {
            socket.feed(columba_signal::ClientMessage::Leave.to_json()).await?;
            socket.flush().await
        };
        let _ = timeout(CLOSE_TIMEOUT, leave).await;
        None
    }

    /// Connects and enters again, however long it takes.
    async fn reconnect(&mut self, mut ended: Ended) -> Result<Socket, SignalingError> {
        let timing = self.options.timing.clone();
        let mut pause = timing.backoff;
        let mut attempts = 0u32;
        loop {
            let next = self.shared.lock().session.handle_ended(ended);
            self.shared.changed.notify_waiters();
            let (least, wait) = match next {
                Next::Never(refusal) => return Err(SignalingError::Refused(refusal)),
                Next::Now if attempts == 0 => (Duration::ZERO, Duration::ZERO),
                Next::Now => (Duration::ZERO, jittered(pause)),
                Next::After(least) => (least, jittered(pause).saturating_sub(least)),
            };
            attempts += 1;
            pause = (pause * 2).min(timing.backoff_max);
            let Self { shared, address, options, network } = &mut *self;
            let closing = shared.wait_until(|state| state.closing.then_some(()));
            let attempt = async {
                sleep(least).await;
                // A new network is worth an attempt of its own.
                let _ = timeout(wait, network.changed()).await;
                attempt(shared, address, options).await
            };
            match tokio::select! { () = closing => return Err(SignalingError::Closed), tried = attempt => tried }
            {
                Ok(socket) => return Ok(socket),
                Err(again) => ended = again,
            }
        }
    }
}

async fn attempt(shared: &Shared, address: &Address, options: &SignalingOptions) -> Result<Socket, Ended> {
    let mut socket = Socket::open(address, options).await.map_err(|error| {
        debug!(%error, "the signaling server is away");
        Ended::Lost
    })?;
    enter(shared, &mut socket, &options.timing).await?;
    Ok(socket)
}

/// Says the first message of a connection and waits for the answer.
async fn enter(shared: &Shared, socket: &mut Socket, timing: &SignalingTiming) -> Result<(), Ended> {
    let first = shared.lock().session.first_message(Instant::now());
    write(socket.feed(first.to_json())).await?;
    write(socket.flush()).await?;
    let answer = async {
        loop {
            let Some(received) = socket.next().await else { return Err(Ended::Lost) };
            let Received::Text(text) = received else { continue };
            let Ok(message) = ServerMessage::parse(&text) else { continue };
            let mut state = shared.lock();
            if let Some(ended) = state.session.handle_message(Instant::now(), message) {
                return Err(ended);
            }
            if state.session.is_open {
                return Ok(());
            }
        }
    };
    let entered = timeout(timing.answer, answer).await.unwrap_or(Err(Ended::Lost));
    shared.changed.notify_waiters();
    entered
}

async fn write(writing: impl Future<Output = Result<(), ()>>) -> Result<(), Ended> {
    match timeout(WRITE, writing).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(Ended::Lost),
    }
}

/// Between half of it and the whole, so that a thousand clients do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut random = [0; 1];
    // Without randomness the pause is a little less polite, and nothing else.
    let _ = getrandom::fill(&mut random);
    pause.mul_f64(0.5 + f64::from(random[0]) / 512.0)
}
