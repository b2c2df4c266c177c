//! The state that the handles, the task of a call and the tasks of its peers share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use columba_signal::PeerId;
use tokio::sync::Notify;

use super::error::CallError;
use super::events::CallEvent;
use crate::connection::PeerConnection;

/// Events that wait for the application: then nothing more is read from the peers and the server.
const MAX_EVENTS: usize = 256;

/// Texts that wait for one peer.
const MAX_TEXTS: usize = 256;

/// Bytes of a text on the call's own channel.
pub(super) const MAX_TEXT: usize = 64 << 10;

#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Something has changed that a task may wait for.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<CallEvent>,
    /// The application has dropped the receiver.
    ignores_events: bool,
    peers: BTreeMap<PeerId, Entry>,
    /// The application's requests about peers, until the call's task does it.
    requests: BTreeMap<PeerId, PeerRequest>,
    /// The call is being left, within this time.
    leaving: Option<Duration>,
    /// Texts that were never sent.
    unsent: usize,
    is_over: bool,
}

/// A peer, as the handles see it.
#[derive(Debug, Default)]
struct Entry {
    /// Its connection, while it is up.
    connection: Option<PeerConnection>,
    texts: VecDeque<String>,
}

impl State {
    fn has_room(&self) -> bool {
        self.leaving.is_some() || self.events.len() < MAX_EVENTS
    }
}

/// The application's request about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PeerRequest {
    Connect,
    Dismiss,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_waiters();
        result
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

    // Events.

    pub(super) fn emit(&self, event: CallEvent) {
        self.change(|state| {
            // An application that leaves may not read any more.
            let is_heard = state.leaving.is_none() || state.events.len() < MAX_EVENTS;
            if is_heard && !state.ignores_events {
                state.events.push_back(event);
            }
        });
    }

    pub(super) async fn next_event(&self) -> Option<CallEvent> {
        let event = self
            .wait_until(|state| match state.events.pop_front() {
                Some(event) => Some(Some(event)),
                None => state.is_over.then_some(None),
            })
            .await;
        // There may be room again.
        self.changed.notify_waiters();
        event
    }

    pub(super) fn ignore_events(&self) {
        self.change(|state| {
            state.ignores_events = true;
            state.events = VecDeque::new();
        });
    }

    pub(super) fn has_room(&self) -> bool {
        self.lock().has_room()
    }

    /// Waits until the application has taken some events.
    pub(super) async fn room(&self) {
        self.wait_until(|state| state.has_room().then_some(())).await;
    }

    // Peers.

    pub(super) fn add_peer(&self, peer: PeerId) {
        self.change(|state| state.peers.insert(peer, Entry::default()));
    }

    pub(super) fn remove_peer(&self, peer: PeerId) {
        self.change(|state| {
            let entry = state.peers.remove(&peer);
            state.unsent += entry.map_or(0, |entry| entry.texts.len());
        });
    }

    pub(super) fn peers(&self) -> Vec<PeerId> {
        self.lock().peers.keys().copied().collect()
    }

    /// Sets the connection of a peer that is up, or none.
    pub(super) fn set_connection(&self, peer: PeerId, connection: Option<PeerConnection>) {
        self.change(|state| {
            if let Some(entry) = state.peers.get_mut(&peer) {
                entry.connection = connection;
            }
        });
    }

    pub(super) fn connection(&self, peer: PeerId) -> Result<PeerConnection, CallError> {
        let state = self.lock();
        let entry = state.peers.get(&peer).ok_or(CallError::NoSuchPeer { peer })?;
        entry.connection.clone().ok_or(CallError::NotConnected { peer })
    }

    // Texts on the call's own channel.

    pub(super) fn add_text(&self, peer: PeerId, text: String) -> Result<(), CallError> {
        if text.len() > MAX_TEXT {
            return Err(CallError::TooLong { size: text.len(), limit: MAX_TEXT });
        }
        self.change(|state| {
            if state.is_over || state.leaving.is_some() {
                return Err(CallError::Over);
            }
            let entry = state.peers.get_mut(&peer).ok_or(CallError::NoSuchPeer { peer })?;
            if entry.texts.len() >= MAX_TEXTS {
                return Err(CallError::Full { peer });
            }
            entry.texts.push_back(text);
            Ok(())
        })
    }

    /// Waits for a text to this peer, which stays the first until it is taken.
    pub(super) async fn first_text(&self, peer: PeerId) -> String {
        self.wait_until(|state| state.peers.get(&peer)?.texts.front().cloned()).await
    }

    pub(super) fn take_text(&self, peer: PeerId) {
        self.change(|state| state.peers.get_mut(&peer).and_then(|entry| entry.texts.pop_front()));
    }

    pub(super) fn has_texts(&self, peer: PeerId) -> bool {
        self.lock().peers.get(&peer).is_some_and(|entry| !entry.texts.is_empty())
    }

    // Requests and the end.

    pub(super) fn request(&self, peer: PeerId, request: PeerRequest) {
        self.change(|state| {
            if state.peers.contains_key(&peer) {
                state.requests.insert(peer, request);
            }
        });
    }

    /// Waits for something that the call's task is to do.
    pub(super) async fn next_request(&self) -> (PeerId, PeerRequest) {
        self.wait_until(|state| state.requests.pop_first()).await
    }

    pub(super) fn leave(&self, patience: Duration) {
        self.change(|state| {
            state.leaving.get_or_insert(patience);
        });
    }

    /// Waits until the application leaves.
    pub(super) async fn leaving(&self) -> Duration {
        self.wait_until(|state| state.leaving).await
    }

    pub(super) fn end(&self) {
        self.change(|state| {
            state.is_over = true;
            state.peers.clear();
        });
    }

    /// Waits for the end; the number of texts that were never sent.
    pub(super) async fn ended(&self) -> usize {
        self.wait_until(|state| state.is_over.then_some(state.unsent)).await
    }
}
