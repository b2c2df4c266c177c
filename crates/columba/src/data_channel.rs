//! Data channels.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use columba_peer::{ChannelId, ChannelInfo, DataChannelState, Message, Priority};

use crate::error::Error;
use crate::handle::Handle;
use crate::shared::ChannelSignals;

/// Bytes that may wait to be sent on a channel before [`DataChannel::send`] waits: enough to keep the fastest path busy while
/// the application makes more. A single message may be longer.
pub(crate) const ROOM: usize = 1 << 20;

/// Those who wait for room are woken when so much is free again, so that they can send more than one message.
pub(crate) const ENOUGH_ROOM: usize = ROOM / 2;

/// A data channel: the W3C's `RTCDataChannel`. Cheap to clone; all clones are the same channel, and each message is received by one of
/// them. It lives as long as its connection, whether there are handles or not.
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

    /// Whether messages arrive in the order in which they were sent.
    #[must_use]
    pub fn ordered(&self) -> bool {
        self.info.init.ordered
    }

    /// For how many milliseconds a message is tried at most.
    #[must_use]
    pub fn max_packet_life_time(&self) -> Option<u16> {
        self.info.init.max_packet_life_time
    }

    /// How often a message is sent again at most.
    #[must_use]
    pub fn max_retransmits(&self) -> Option<u16> {
        self.info.init.max_retransmits
    }

    /// Whether both sides created it, without announcing it.
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
        state.peer.channel(self.id).map_or(DataChannelState::Closed, |info| info.state)
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
    /// Why it was closed, if that was neither side's wish.
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

    /// Sends a message, as soon as the channel is open and less than 1 MiB waits on it. Cancelling it sends nothing.
    ///
    /// # Errors
    /// The channel is closed, or the message is longer than the other side takes.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Error> {
        let message = message.into();
        loop {
            let mut changed = pin!(self.signals.changed.notified());
            changed.as_mut().enable();
            if self.try_send_within(ROOM, &message)? {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Sends a message now: the W3C's `send`.
    ///
    /// # Errors
    /// The channel is not open (yet, or any more), the message is longer than the other side takes, or as many bytes as may wait are
    /// waiting already.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), Error> {
        self.connection.shared.with_peer(|peer, now| peer.send(now, self.id, message.into()))?;
        Ok(())
    }

    /// False if it has to wait.
    fn try_send_within(&self, room: usize, message: &Message) -> Result<bool, Error> {
        use columba_peer::Error as PeerError;
        let mut state = self.connection.shared.lock();
        let waiting = state.peer.buffered_amount(self.id);
        if waiting == 0 || waiting + message.len() <= room {
            match state.peer.send(Instant::now(), self.id, message.clone()) {
                Ok(_) => {
                    state.wake_driver();
                    return Ok(true);
                }
                Err(PeerError::BufferFull) => {}
                Err(PeerError::ChannelNotOpen) => {
                    let now = state.peer.channel(self.id).map(|info| info.state);
                    if now != Some(DataChannelState::Connecting) {
                        drop(state);
                        return Err(self.not_open());
                    }
                }
                Err(PeerError::NoSuchChannel) => {
                    drop(state);
                    return Err(self.not_open());
                }
                Err(error) => return Err(error.into()),
            }
        }
        state.waiting_for_room.insert(self.id);
        Ok(false)
    }

    fn not_open(&self) -> Error {
        let reason = self.signals.closed.get().cloned().flatten();
        reason.unwrap_or(columba_peer::Error::ChannelNotOpen).into()
    }

    /// The next message; `None` once the channel is closed and everything was received. As long as nobody receives, the other side is
    /// held back. Cancelling it loses nothing.
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

    /// The next message, if one waits.
    #[must_use]
    pub fn try_recv(&self) -> Option<Message> {
        let mut state = self.connection.shared.lock();
        let message = state.peer.receive(Instant::now(), self.id);
        // The other side may be waiting for the window to open, or the channel have had to be closed.
        if message.is_some() || state.peer.has_news() {
            state.wake_driver();
        }
        message
    }

    /// Bytes of messages that were not sent yet: the W3C's `bufferedAmount`.
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
            if self.buffered_amount() <= threshold {
                return Ok(());
            }
            if self.signals.closed.get().is_some() {
                return Err(self.not_open());
            }
            self.connection.shared.lock().waiting_for_room.insert(self.id);
            changed.await;
        }
    }

    /// Begins to close the channel: what was sent still goes out. [`closed`](Self::closed) waits for the end.
    pub fn close(&self) {
        // One that is closed already is as good.
        let _ = self.connection.shared.with_peer(|peer, now| peer.close_channel(now, self.id));
    }
}
