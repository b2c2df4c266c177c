//! What the handles and the driver of one connection share: the state machine behind a lock, and who is to be woken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Instant;

use columba_peer::{ChannelId, Path, Peer};
use tokio::sync::Notify;

use crate::driver::tcp::Outgoing;

/// Events that wait for the application, at most: beyond it new ones are dropped, and channels that came with them are closed.
const MAX_EVENTS: usize = 1024;

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// An event waits, or the driver has ended.
    pub(crate) changed: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) peer: Peer,
    /// What the application is to be told; `None` once it has dropped the receiver.
    pub(crate) events: Option<VecDeque<columba_peer::Event>>,
    /// The channels that are not closed yet.
    pub(crate) channels: BTreeMap<ChannelId, Arc<ChannelSignals>>,
    /// The channels on which somebody waits for room.
    pub(crate) waiting_for_room: BTreeSet<ChannelId>,
    /// The TCP connections that are open.
    pub(crate) streams: BTreeMap<Path, Arc<Outgoing>>,
    /// Wakes the driver; taken by who does, put back when the driver has run.
    pub(crate) driver: Option<Waker>,
    /// Everything is closed and said.
    pub(crate) is_over: bool,
}

/// Wakes those who wait for something on a data channel.
#[derive(Debug, Default)]
pub(crate) struct ChannelSignals {
    /// Messages wait, or the channel is closed.
    pub(crate) readable: Notify,
    /// There may be room, or the channel's state has changed.
    pub(crate) changed: Notify,
    /// Set once the channel is closed, with the reason if that was a fault.
    pub(crate) closed: OnceLock<Option<columba_peer::Error>>,
}

impl Shared {
    pub(crate) fn new(peer: Peer) -> Self {
        let state = State {
            peer,
            events: Some(VecDeque::new()),
            channels: BTreeMap::new(),
            waiting_for_room: BTreeSet::new(),
            streams: BTreeMap::new(),
            driver: None,
            is_over: false,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // If the state machine has panicked, whoever comes next shall see a connection, not a second panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the peer, and has the driver see to what follows from it.
    pub(crate) fn with_peer<T>(&self, change: impl FnOnce(&mut Peer, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.peer, Instant::now());
        state.wake_driver();
        result
    }
}

impl State {
    pub(crate) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// The signals of a channel that exists.
    pub(crate) fn signals(&mut self, channel: ChannelId) -> Arc<ChannelSignals> {
        self.channels.entry(channel).or_default().clone()
    }

    /// Keeps an event for the application. False if nobody will ever see it.
    pub(crate) fn keep_event(&mut self, event: columba_peer::Event) -> bool {
        match &mut self.events {
            Some(events) if events.len() < MAX_EVENTS => {
                events.push_back(event);
                true
            }
            _ => false,
        }
    }

    pub(crate) fn channel_closed(&mut self, channel: ChannelId, error: Option<columba_peer::Error>) {
        self.waiting_for_room.remove(&channel);
        if let Some(signals) = self.channels.remove(&channel) {
            signals.close(error);
        }
    }
}

impl ChannelSignals {
    fn close(&self, error: Option<columba_peer::Error>) {
        // Only the first reason counts.
        let _ = self.closed.set(error);
        self.readable.notify_waiters();
        self.changed.notify_waiters();
    }
}
