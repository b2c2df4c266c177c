//! The state that the handles and the driver of one connection share.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Instant;

use columba_peer::{ChannelId, Path, Peer};
use tokio::sync::Notify;

use crate::driver::tcp::Outgoing;
use crate::event_queue::EventQueue;

/// The state machine behind a lock.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// An event waits, or the driver has ended.
    pub(crate) changed: Notify,
}

/// The state machine, and the waiters for its events.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) peer: Peer,
    /// The events for the application; `None` once it has dropped the receiver.
    pub(crate) events: Option<EventQueue>,
    /// The channels that are not closed yet.
    pub(crate) channels: BTreeMap<ChannelId, Arc<ChannelSignals>>,
    /// The TCP connections that are open.
    pub(crate) streams: BTreeMap<Path, Arc<Outgoing>>,
    /// Wakes the driver; taken by the first handle that does, put back when the driver runs.
    pub(crate) driver: Option<Waker>,
    /// The driver has ended: everything is closed, and all that could be sent is.
    pub(crate) is_over: bool,
}

/// The waiters of a data channel.
#[derive(Debug, Default)]
pub(crate) struct ChannelSignals {
    /// Messages wait, or the channel is closed.
    pub(crate) readable: Notify,
    /// There is room, or the channel's state has changed.
    pub(crate) changed: Notify,
    /// The threshold in bytes that was set last in the peer; changed under the lock.
    pub(crate) low_threshold: AtomicUsize,
    /// Set once the channel is closed, with the error that was the reason, if any.
    pub(crate) closed: OnceLock<Option<columba_peer::Error>>,
}

impl Shared {
    pub(crate) fn new(peer: Peer) -> Self {
        let state = State {
            peer,
            events: Some(EventQueue::default()),
            channels: BTreeMap::new(),
            streams: BTreeMap::new(),
            driver: None,
            is_over: false,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // If the state machine has panicked, the next caller shall see a connection, not another
        // panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the peer, and wakes the driver for the consequences.
    pub(crate) fn with_peer<T>(&self, change: impl FnOnce(&mut Peer, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state.peer, Instant::now());
        state.wake_driver();
        result
    }

    /// Closes the connection and its channels: the peer has no events for that.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.peer.close(Instant::now());
        state.close_channels();
        state.wake_driver();
    }
}

impl State {
    pub(crate) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Returns the waiters of a channel that exists.
    pub(crate) fn signals(&mut self, channel: ChannelId) -> Arc<ChannelSignals> {
        self.channels.entry(channel).or_default().clone()
    }

    /// Keeps an event for the application. False if the application will never see it. While too
    /// many data channels wait, the other side's data is not read.
    pub(crate) fn keep_event(&mut self, event: columba_peer::Event) -> bool {
        let Some(events) = &mut self.events else { return false };
        events.push(event);
        if events.is_full() {
            self.peer.hold_data(true);
        }
        true
    }

    /// Takes the next event for the application.
    pub(crate) fn take_event(&mut self) -> Option<columba_peer::Event> {
        let events = self.events.as_mut()?;
        let was_full = events.is_full();
        let event = events.pop(&self.peer);
        if was_full && !events.is_full() {
            self.peer.hold_data(false);
        }
        event
    }

    pub(crate) fn close_channels(&mut self) {
        for channel in self.channels.keys().copied().collect::<Vec<_>>() {
            self.channel_closed(channel, None);
        }
    }

    pub(crate) fn channel_closed(&mut self, channel: ChannelId, error: Option<columba_peer::Error>) {
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
