//! The handle to a data channel.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use columba_peer::{DataChannelState, Message, Priority};

use crate::channel::Channel;
use crate::error::Error;
use crate::handle::Handle;

/// A data channel: the W3C's `RTCDataChannel`. Cheap to clone; all clones are handles to the same
/// channel, and each message is received by one of them. The channel lives as long as its
/// connection, whether there are handles or not.
#[derive(Clone, Debug)]
pub struct DataChannel {
    connection: Arc<Handle>,
    channel: Arc<Channel>,
}

/// Handles are equal if they are to the same channel.
impl PartialEq for DataChannel {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.channel, &other.channel)
    }
}

impl Eq for DataChannel {}

impl DataChannel {
    pub(crate) fn new(connection: Arc<Handle>, channel: Arc<Channel>) -> Self {
        Self { connection, channel }
    }

    /// Its name.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.channel.info.label
    }

    /// The name of the protocol spoken on it; empty for none.
    #[must_use]
    pub fn protocol(&self) -> &str {
        &self.channel.info.init.protocol
    }

    /// True if messages arrive in the order in which they were sent.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.channel.info.init.ordered
    }

    /// The milliseconds for which a message is transmitted at most.
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.channel.info.init.max_packet_life_time
    }

    /// The number of times that a message is retransmitted at most.
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.channel.info.init.max_retransmits
    }

    /// True if both sides created it, without announcing it.
    #[must_use]
    pub fn negotiated(&self) -> bool {
        self.channel.info.init.negotiated.is_some()
    }

    /// Its share where several channels have something to send.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.channel.info.init.priority
    }

    /// Its stream number, once it has one: the W3C's `id`.
    #[must_use]
    pub fn id(&self) -> Option<u16> {
        self.connection
            .shared
            .lock()
            .peer
            .channel(self.channel.id)
            .map_or(self.channel.info.stream, |info| info.stream)
    }

    /// Its state: the W3C's `readyState`.
    #[must_use]
    pub fn state(&self) -> DataChannelState {
        if self.channel.closed.get().is_some() {
            return DataChannelState::Closed;
        }
        let state = self.connection.shared.lock();
        state.peer.channel_state(self.channel.id).unwrap_or(DataChannelState::Closed)
    }

    /// Waits until the channel is open.
    ///
    /// # Errors
    /// The channel was closed, or the connection has failed.
    pub async fn opened(&self) -> Result<(), Error> {
        loop {
            let mut changed = pin!(self.channel.changed.notified());
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
            let mut changed = pin!(self.channel.changed.notified());
            changed.as_mut().enable();
            match self.channel.closed.get() {
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
            let mut changed = pin!(self.channel.changed.notified());
            changed.as_mut().enable();
            match self.send_if_writable(message)? {
                None => return Ok(()),
                Some(refused) => message = refused,
            }
            changed.await;
        }
    }

    /// Sends a message now: the W3C's `send`. [`Event::BufferedAmountLow`] tells when it has gone
    /// out.
    ///
    /// [`Event::BufferedAmountLow`]: crate::Event::BufferedAmountLow
    ///
    /// # Errors
    /// The channel is not open (yet, or any more), the message is longer than the other side takes,
    /// or the connection's send buffer is full.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        let mut state = self.connection.shared.lock();
        self.require_not_closed()?;
        let waiting = state.peer.send(Instant::now(), self.channel.id, message)?;
        self.channel.note_sent(&mut state.peer, waiting, true);
        state.wake_driver();
        Ok(())
    }

    /// Returns the message if it has to wait; the waiters are woken when that may have changed.
    fn send_if_writable(&self, message: Message) -> Result<Option<Message>, Error> {
        let mut state = self.connection.shared.lock();
        self.require_not_closed()?;
        if state.peer.is_writable(self.channel.id) {
            let waiting = state.peer.send(Instant::now(), self.channel.id, message)?;
            self.channel.note_sent(&mut state.peer, waiting, false);
            state.wake_driver();
            return Ok(None);
        }
        match state.peer.channel_state(self.channel.id) {
            Some(DataChannelState::Connecting | DataChannelState::Open) => Ok(Some(message)),
            Some(DataChannelState::Closing | DataChannelState::Closed) | None => Err(self.not_open()),
        }
    }

    /// A channel is closed as soon as the driver has ended, whatever its state in the peer.
    fn require_not_closed(&self) -> Result<(), Error> {
        if self.channel.closed.get().is_some() { Err(self.not_open()) } else { Ok(()) }
    }

    fn not_open(&self) -> Error {
        let reason = self.channel.closed.get().cloned().flatten();
        reason.unwrap_or(columba_peer::Error::ChannelNotOpen).into()
    }

    /// Waits for the next message; `None` once the channel is closed and everything was received.
    /// As long as messages are not received, the other side has to wait. Cancelling it loses
    /// nothing.
    pub async fn recv(&self) -> Option<Message> {
        let _reader = self.channel.reader();
        loop {
            let mut readable = pin!(self.channel.readable.notified());
            readable.as_mut().enable();
            let is_closed = self.channel.closed.get().is_some();
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
        let message = state.peer.receive(Instant::now(), self.channel.id);
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
        self.connection.shared.lock().peer.buffered_amount(self.channel.id)
    }

    /// The bytes at which [`Event::BufferedAmountLow`](crate::Event::BufferedAmountLow) comes: the
    /// W3C's `bufferedAmountLowThreshold`. At first 0.
    #[must_use]
    pub fn buffered_amount_low_threshold(&self) -> usize {
        self.channel.threshold()
    }

    /// Sets the W3C's `bufferedAmountLowThreshold`, in bytes: from now on
    /// [`Event::BufferedAmountLow`](crate::Event::BufferedAmountLow) comes whenever the buffered
    /// amount falls to it, for messages of [`send`](Self::send), too.
    pub fn set_buffered_amount_low_threshold(&self, threshold: usize) {
        self.channel.set_threshold(&mut self.connection.shared.lock().peer, threshold);
    }

    /// Waits until at most `threshold` bytes wait to be sent; 0 waits until everything is sent.
    ///
    /// # Errors
    /// The channel was closed before.
    pub async fn buffered_amount_low(&self, threshold: usize) -> Result<(), Error> {
        loop {
            let mut changed = pin!(self.channel.changed.notified());
            changed.as_mut().enable();
            if self.is_low(threshold) {
                return Ok(());
            }
            if self.channel.closed.get().is_some() {
                return Err(self.not_open());
            }
            changed.await;
        }
    }

    /// Returns whether at most so many bytes wait; if not, the waiters are woken when it is so.
    fn is_low(&self, threshold: usize) -> bool {
        let mut state = self.connection.shared.lock();
        let waiting = state.peer.buffered_amount(self.channel.id);
        if waiting <= threshold {
            return true;
        }
        self.channel.await_low(&mut state.peer, threshold);
        false
    }

    /// Begins to close the channel: what was sent still goes out. [`closed`](Self::closed) waits
    /// for the end.
    pub fn close(&self) {
        // One that is closed already is as good.
        let _ = self.connection.shared.with_peer(|peer, now| peer.close_channel(now, self.channel.id));
    }
}
