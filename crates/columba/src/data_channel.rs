//! The handle to a data channel.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use columba_peer::{ChannelId, ChannelInfo, DataChannelState, Message, Priority};

use crate::error::Error;
use crate::handle::Handle;
use crate::shared::ChannelSignals;

/// A data channel: the W3C's `RTCDataChannel`. Cheap to clone; all clones are handles to the same
/// channel, and each message is received by one of them. The channel lives as long as its
/// connection, whether there are handles or not.
#[derive(Clone, Debug)]
pub struct DataChannel {
    connection: Arc<Handle>,
    signals: Arc<ChannelSignals>,
    id: ChannelId,
    /// As it was in the beginning.
    info: Arc<ChannelInfo>,
}

impl DataChannel {
    /// `None` if there is no such channel any more.
    pub(crate) fn new(connection: Arc<Handle>, id: ChannelId) -> Option<Self> {
        let mut state = connection.shared.lock();
        let info = Arc::new(state.peer.channel(id)?);
        let signals = state.signals(id);
        if info.state == DataChannelState::Closed {
            state.channel_closed(id, None);
        }
        drop(state);
        Some(Self { connection, signals, id, info })
    }

    /// Its name.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.info.label
    }

    /// The name of the protocol spoken on it; empty for none.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.info.init.protocol
    }

    /// True if messages arrive in the order in which they were sent.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.info.init.ordered
    }

    /// The milliseconds for which a message is transmitted at most.
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.info.init.max_packet_life_time
    }

    /// The number of times that a message is retransmitted at most.
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.info.init.max_retransmits
    }

    /// True if both sides created it, without announcing it.
    #[must_use]
    pub fn negotiated(&self) -> bool {
        self.info.init.negotiated.is_some()
    }

    /// Its share where several channels have something to send.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.info.init.priority
    }

    /// Its stream number, once it has one: the W3C's `id`.
    #[must_use]
    pub fn id(&self) -> Option<u16> {
        self.connection.shared.lock().peer.channel(self.id).map_or(self.info.stream, |info| info.stream)
    }

    /// Its state: the W3C's `readyState`.
    #[must_use]
    pub fn state(&self) -> DataChannelState {
        if self.signals.closed.get().is_some() {
            return DataChannelState::Closed;
        }
        let state = self.connection.shared.lock();
        state.peer.channel_state(self.id).unwrap_or(DataChannelState::Closed)
    }

    /// Waits until the channel is open.
    ///
    /// # Errors
    /// The channel was closed, or the connection has failed.
    pub async fn opened(&self) -> Result<(), Error> {
        loop {
            let mut changed = pin!(self.signals.changed.notified());
            changed.as_mut().enable();
            match self.state() {
                DataChannelState::Connecting => changed.await,
                DataChannelState::Open => return Ok(()),
                DataChannelState::Closing | DataChannelState::Closed => return Err(self.not_open()),
            }
        }
    }

    /// Waits until the channel is closed.
    ///
    /// # Errors
    /// The failure by which it was closed, if neither side has closed it.
    pub async fn closed(&self) -> Result<(), Error> {
        loop {
            let mut changed = pin!(self.signals.changed.notified());
            changed.as_mut().enable();
            match self.signals.closed.get() {
                Some(None) => return Ok(()),
                Some(Some(error)) => return Err(error.clone().into()),
                None => changed.await,
            }
        }
    }

    /// Sends a message, as soon as the channel is open and less than 1 MiB waits on it. Cancelling
    /// it sends nothing.
    ///
    /// # Errors
    /// The channel is closed, or the message is longer than the other side takes.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let mut message = message.into();
        loop {
            let mut changed = pin!(self.signals.changed.notified());
            changed.as_mut().enable();
            match self.send_if_writable(message)? {
                None => return Ok(()),
                Some(refused) => message = refused,
            }
            changed.await;
        }
    }

    /// Sends a message now: the W3C's `send`.
    ///
    /// # Errors
    /// The channel is not open (yet, or any more), the message is longer than the other side takes,
    /// or the connection's send buffer is full.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        let mut state = self.connection.shared.lock();
        self.require_not_closed()?;
        state.peer.send(Instant::now(), self.id, message)?;
        state.wake_driver();
        Ok(())
    }

    /// Returns the message if it has to wait; the waiters are woken when that may have changed.
    fn send_if_writable(&self, message: Message) -> Result<Option<Message>, Error> {
        let mut state = self.connection.shared.lock();
        self.require_not_closed()?;
        if state.peer.is_writable(self.id) {
            state.peer.send(Instant::now(), self.id, message)?;
            state.wake_driver();
            return Ok(None);
        }
        match state.peer.channel_state(self.id) {
            Some(DataChannelState::Connecting | DataChannelState::Open) => Ok(Some(message)),
            Some(DataChannelState::Closing | DataChannelState::Closed) | None => Err(self.not_open()),
        }
    }

    /// A channel is closed as soon as the driver has ended, whatever its state in the peer.
    fn require_not_closed(&self) -> Result<(), Error> {
        if self.signals.closed.get().is_some() { Err(self.not_open()) } else { Ok(()) }
    }

    fn not_open(&self) -> Error {
        let reason = self.signals.closed.get().cloned().flatten();
        reason.unwrap_or(columba_peer::Error::ChannelNotOpen).into()
    }

    /// Waits for the next message; `None` once the channel is closed and everything was received.
    /// As long as messages are not received, the other side has to wait. Cancelling it loses
    /// nothing.
    pub async fn recv(&self) -> Option<Message> {
        loop {
            let mut readable = pin!(self.signals.readable.notified());
            readable.as_mut().enable();
            let is_closed = self.signals.closed.get().is_some();
            if let Some(message) = self.try_recv() {
                return Some(message);
            }
            if is_closed {
                return None;
            }
            readable.await;
        }
    }

    /// Returns the next message, if one waits.
    #[must_use]
    pub fn try_recv(&self) -> Option<Message> {
        let mut state = self.connection.shared.lock();
        let message = state.peer.receive(Instant::now(), self.id);
        // The other side may wait for the window to open, or the channel may have been closed for
        // an invalid message.
        if message.is_some() || state.peer.has_news() {
            state.wake_driver();
        }
        message
    }

    /// The bytes of messages that were not sent yet: the W3C's `bufferedAmount`.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.connection.shared.lock().peer.buffered_amount(self.id)
    }

    /// Waits until at most `threshold` bytes wait to be sent; 0 waits until everything is sent.
    ///
    /// # Errors
    /// The channel was closed before.
    pub async fn buffered_amount_low(&self, threshold: usize) -> Result<(), Error> {
        loop {
            let mut changed = pin!(self.signals.changed.notified());
            changed.as_mut().enable();
            if self.is_low(threshold) {
                return Ok(());
            }
            if self.signals.closed.get().is_some() {
                return Err(self.not_open());
            }
            changed.await;
        }
    }

    /// Returns whether at most so many bytes wait; if not, the waiters are woken when it is so.
    fn is_low(&self, threshold: usize) -> bool {
        let mut state = self.connection.shared.lock();
        let waiting = state.peer.buffered_amount(self.id);
        if waiting <= threshold {
            return true;
        }
        // Several tasks may wait, each for another threshold: the highest that is not reached yet
        // wakes them all, and those that have to wait on set theirs again.
        let armed = self.signals.low_threshold.load(Ordering::Relaxed);
        let threshold = if armed < waiting { threshold.max(armed) } else { threshold };
        self.signals.low_threshold.store(threshold, Ordering::Relaxed);
        // A channel that is closed already has no threshold.
        let _ = state.peer.set_buffered_amount_low_threshold(self.id, threshold);
        false
    }

    /// Begins to close the channel: what was sent still goes out. [`closed`](Self::closed) waits
    /// for the end.
    pub fn close(&self) {
        // One that is closed already is as good.
        let _ = self.connection.shared.with_peer(|peer, now| peer.close_channel(now, self.id));
    }
}
