//! The state that the handles and the driver of one connection share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use columba_peer::{ChannelId, Error, Path, Peer, PeerConnectionState, TransceiverId};
use tokio::sync::Notify;

use crate::channel::Channel;
use crate::driver::tcp::Outgoing;
use crate::driver::wake::Wakeups;
use crate::event_queue::{Change, EventQueue, Queued};
use crate::media_signals::MediaSignals;
use crate::track::RemoteMedia;

/// The state machine behind a lock.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// An event waits, or the driver has ended.
    pub(crate) changed: Notify,
    /// Packets of media wait, or the connection is closed.
    pub(crate) packets: Notify,
}

/// The state machine, and the waiters for its events.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) peer: Peer,
    /// The events for the application; `None` once it has dropped the receiver.
    pub(crate) events: Option<EventQueue>,
    /// The channels that are not closed yet.
    pub(crate) channels: BTreeMap<ChannelId, Arc<Channel>>,
    /// The transceivers whose media is waited for.
    media: BTreeMap<TransceiverId, Arc<MediaSignals>>,
    /// The other side's tracks and streams as objects.
    pub(crate) remote: RemoteMedia,
    /// The TCP connections that are open.
    pub(crate) streams: BTreeMap<Path, Arc<Outgoing>>,
    /// Wakes the driver; taken by the first handle that does, put back when the driver runs.
    pub(crate) driver: Option<Waker>,
    /// The driver has ended: everything is closed, and all that could be sent is.
    pub(crate) is_over: bool,
    /// Counts the changes of the signaling state.
    pub(crate) negotiations: u64,
}

impl Shared {
    pub(crate) fn new(peer: Peer) -> Self {
        let state = State {
            peer,
            events: Some(EventQueue::default()),
            channels: BTreeMap::new(),
            media: BTreeMap::new(),
            remote: RemoteMedia::default(),
            streams: BTreeMap::new(),
            driver: None,
            is_over: false,
            negotiations: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new(), packets: Notify::new() }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // If the state machine has panicked, the next caller shall see a connection, not another
        // panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the peer, and wakes the driver for the consequences. What the application is to be
    /// told of them is in the queue of events when this returns.
    pub(crate) fn with_peer<T>(&self, change: impl FnOnce(&mut Peer, Instant) -> T) -> T {
        self.with_state(|state, now| change(&mut state.peer, now))
    }

    /// As [`with_peer`](Self::with_peer), for changes beside the peer.
    pub(crate) fn with_state<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let result = change(&mut state, Instant::now());
        let mut wakeups = Wakeups::default();
        wakeups.deliver_all(&mut state);
        state.wake_driver();
        drop(state);
        wakeups.wake_waiters(self);
        result
    }

    /// Closes the connection and its channels: the peer has no events for that, and the application
    /// is told nothing more (W3C `close`).
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.peer.close(Instant::now());
        state.close_channels();
        if let Some(events) = &mut state.events {
            *events = EventQueue::default();
        }
        state.wake_driver();
        drop(state);
        self.packets.notify_waiters();
    }
}

impl State {
    pub(crate) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Returns a channel that exists.
    pub(crate) fn channel(&mut self, id: ChannelId) -> Option<Arc<Channel>> {
        if let Some(channel) = self.channels.get(&id) {
            return Some(channel.clone());
        }
        let channel = Channel::new(id, self.peer.channel(id)?);
        self.channels.insert(id, channel.clone());
        Some(channel)
    }

    /// Keeps an event for the application. False if the application will never see it. While too
    /// many events of data channels wait, the other side's data is not read.
    pub(crate) fn keep_event(&mut self, event: Queued) -> bool {
        let Some(events) = &mut self.events else { return false };
        events.push(event, &self.peer);
        if events.is_full() {
            self.peer.hold_data(true);
        }
        true
    }

    /// Keeps an event of a channel for the application.
    pub(crate) fn keep_change(&mut self, channel: &Arc<Channel>, change: Change) -> bool {
        self.keep_event(Queued::Channel(channel.clone(), change))
    }

    /// Takes the next event for the application.
    pub(crate) fn take_event(&mut self) -> Option<Queued> {
        self.take_events(|events, peer| events.pop(peer)).flatten()
    }

    /// Takes the events of the next task for the application; none if there is no task.
    pub(crate) fn take_task(&mut self) -> Vec<Queued> {
        self.take_events(EventQueue::pop_task).unwrap_or_default()
    }

    fn take_events<T>(&mut self, take: impl FnOnce(&mut EventQueue, &Peer) -> T) -> Option<T> {
        let events = self.events.as_mut()?;
        let was_full = events.is_full();
        let taken = take(events, &self.peer);
        if was_full && !events.is_full() {
            self.peer.hold_data(false);
            // The other side is to be told at once that there is room.
            self.wake_driver();
        }
        Some(taken)
    }

    /// Closes all channels, without an event: the W3C's `close` fires none.
    pub(crate) fn close_channels(&mut self) {
        for channel in std::mem::take(&mut self.channels).into_values() {
            channel.close(None);
        }
        self.remote.end();
        for signals in std::mem::take(&mut self.media).into_values() {
            signals.wake();
        }
    }

    /// Returns the waiters of a transceiver; `None` once it or the connection is gone.
    pub(crate) fn media(&mut self, id: TransceiverId) -> Option<Arc<MediaSignals>> {
        let is_closed = self.is_over || self.peer.connection_state() == PeerConnectionState::Closed;
        if is_closed || self.peer.transceiver(id).is_none() {
            return None;
        }
        Some(Arc::clone(self.media.entry(id).or_default()))
    }

    /// Returns the waiters of transceivers that are gone: they are to be woken.
    pub(crate) fn forget_media(&mut self) -> Vec<Arc<MediaSignals>> {
        let Self { media, peer, .. } = self;
        let gone: Vec<_> = media.keys().copied().filter(|id| peer.transceiver(*id).is_none()).collect();
        gone.iter().filter_map(|id| media.remove(id)).collect()
    }

    /// A channel is closed, because of an error or because one side wanted it.
    pub(crate) fn channel_closed(&mut self, id: ChannelId, error: Option<Error>) {
        let Some(channel) = self.channels.remove(&id) else { return };
        // A side that closes its connection closes the channel by it: `error` to the W3C, but no
        // failure.
        let is_failure = |error: &Error| !matches!(error, Error::ClosedRemotely { .. });
        channel.close(error.clone().filter(is_failure));
        if let Some(error) = error {
            self.keep_change(&channel, Change::Failed(error));
        }
        self.keep_change(&channel, Change::Closed);
    }
}
