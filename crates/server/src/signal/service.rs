//! The relay behind its lock, with the tasks that wait for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use columba_signal::{
    Config, ConnectionId, Credential, ErrorCode, Event, EventsKind, JoinKey, Refusal, SessionRelay, Stats,
};
use tokio::sync::Notify;

use super::attachment::{Attachment, Closing, Wake};
use super::ice_servers::IceServerSource;
use crate::client::Client;
use crate::config::{AllowedOrigin, Secret};
use crate::memory::Budget;

/// The relay as the transports use it. The lock is held for single calls, never across an await.
pub(crate) struct Signal {
    state: Mutex<State>,
    /// The relay's next deadline may have come nearer.
    deadline_moved: Notify,
    /// The size limits, which never change.
    pub(super) limits: Config,
    pub(super) ice_servers: IceServerSource,
    /// Origins of other pages than the server's own that may use signaling.
    pub(super) allow_origin: Vec<AllowedOrigin>,
    /// The time in which the body of a request must arrive.
    pub(super) request_timeout: Duration,
    budget: Budget,
}

/// The surroundings of the relay.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) ice_servers: IceServerSource,
    pub(crate) allow_origin: Vec<AllowedOrigin>,
    pub(crate) request_timeout: Duration,
    pub(crate) budget: Budget,
}

struct State {
    relay: SessionRelay,
    /// The bytes of its queues that the budget knows of.
    queued: usize,
    wakes: BTreeMap<ConnectionId, Arc<Wake>>,
}

impl Signal {
    pub(crate) fn new(relay: SessionRelay, settings: Settings) -> Arc<Self> {
        let Settings { ice_servers, allow_origin, request_timeout, budget } = settings;
        let limits = relay.config().clone();
        let state = Mutex::new(State { relay, queued: 0, wakes: BTreeMap::new() });
        Arc::new(Self {
            state,
            deadline_moved: Notify::new(),
            limits,
            ice_servers,
            allow_origin,
            request_timeout,
            budget,
        })
    }

    /// Keeps the relay's time. Runs as long as the server.
    pub(crate) async fn keep_time(&self) {
        loop {
            let deadline = self.lock().relay.poll_timeout();
            let sleep = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => self.with(SessionRelay::handle_timeout),
                () = self.deadline_moved.notified() => {}
            }
        }
    }

    /// Sends every client `going-away`, and closes every connection `after` this time.
    pub(crate) fn drain(&self, after: Duration) {
        self.with(|relay, now| relay.drain(now, after));
    }

    /// Makes TURN credentials with this secret from now on.
    pub(crate) fn set_turn_secret(&self, secret: Option<Secret>) {
        self.ice_servers.set_secret(secret);
    }

    /// From now on this key lets in; members stay.
    pub(crate) fn set_join_key(&self, key: Option<JoinKey>) {
        self.with(|relay, _| relay.set_join_key(key));
    }

    pub(super) fn stats(&self) -> Stats {
        self.lock().relay.stats()
    }

    /// Counts a refusal that never came to the relay.
    pub(super) fn count(&self, code: ErrorCode) {
        self.lock().relay.count_error(code);
    }

    /// Calls the relay and passes its events on.
    pub(super) fn with<R>(&self, call: impl FnOnce(&mut SessionRelay, Instant) -> R) -> R {
        let mut state = self.lock();
        let before = state.relay.poll_timeout();
        let result = call(&mut state.relay, Instant::now());
        self.settle(&mut state, before);
        result
    }

    /// A WebSocket has been opened.
    pub(super) fn connect(self: &Arc<Self>, client: Client) -> Attachment {
        let mut state = self.lock();
        let before = state.relay.poll_timeout();
        let id = state.relay.connect(Instant::now(), client.ip);
        let attachment = self.attach(&mut state, client, id);
        self.settle(&mut state, before);
        attachment
    }

    /// An event stream or poll has been asked for.
    pub(super) fn open_events(
        self: &Arc<Self>,
        credential: &Credential,
        after: Option<u64>,
        kind: EventsKind,
        client: Client,
    ) -> Result<Attachment, Refusal> {
        let mut state = self.lock();
        let before = state.relay.poll_timeout();
        let opened = state.relay.open_events(Instant::now(), credential, after, kind);
        let attachment = opened.map(|id| self.attach(&mut state, client, id));
        self.settle(&mut state, before);
        attachment
    }

    /// The connection is gone.
    pub(super) fn disconnect(&self, id: ConnectionId) {
        let mut state = self.lock();
        let before = state.relay.poll_timeout();
        state.relay.disconnect(Instant::now(), id);
        state.wakes.remove(&id);
        self.settle(&mut state, before);
    }

    fn attach(self: &Arc<Self>, state: &mut State, client: Client, id: ConnectionId) -> Attachment {
        let wake = Arc::new(Wake::default());
        state.wakes.insert(id, wake.clone());
        Attachment::new(self.clone(), client, id, wake)
    }

    /// After each call: wakes the tasks of the connections with events.
    fn settle(&self, state: &mut State, before: Option<Instant>) {
        while let Some(event) = state.relay.poll_event() {
            match event {
                Event::Writable(id) => {
                    if let Some(wake) = state.wakes.get(&id) {
                        wake.writable();
                    }
                }
                // One that was replaced by itself is a member again already.
                Event::Left(peer) if state.relay.is_member(peer) => {}
                Event::Left(peer) => self.ice_servers.forget(peer),
                Event::Close { connection, close_code, error } => {
                    if let Some(wake) = state.wakes.get(&connection) {
                        wake.close(Closing { code: close_code, error });
                    }
                }
            }
        }
        let queued = state.relay.buffered_bytes();
        if std::mem::replace(&mut state.queued, queued) != queued {
            self.budget.set_queues(queued as u64);
        }
        let after = state.relay.poll_timeout();
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.deadline_moved.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").finish_non_exhaustive()
    }
}
