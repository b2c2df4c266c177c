//! Data channels.

use std::time::Instant;

use super::Peer;
use crate::data::{ChannelId, ChannelInfo, DataChannelInit, DataChannelState, Message};
use crate::error::Error;

impl Peer {
    /// `createDataChannel`.
    ///
    /// # Errors
    /// [`Error::InvalidChannel`] if there cannot be a channel with these parameters;
    /// [`Error::Closed`].
    pub fn create_data_channel(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, Error> {
        self.require_open()?;
        if self.data.has_ended() {
            self.data.renew(now, &mut self.rng);
        }
        let id = self.data.create(now, label, init)?;
        self.progress(now);
        Ok(id)
    }

    /// Stops the input of data, or lets it go on, for an owner that cannot take more events: no
    /// channel is opened or closed by the other side and no message arrives meanwhile; it is told
    /// that there is no room. What this side sends goes out, and ICE, consent, DTLS and all timers
    /// go on.
    pub fn hold_data(&mut self, hold: bool) {
        self.data.hold(hold);
    }

    /// Sends a message. Returns the channel's buffered amount in bytes.
    ///
    /// # Errors
    /// [`Error::ChannelNotOpen`], [`Error::NoSuchChannel`], [`Error::MessageTooLarge`];
    /// [`Error::BufferFull`] if
    /// [`DataConfiguration::send_buffer`](crate::DataConfiguration::send_buffer) is used up:
    /// nothing of the message is taken then.
    pub fn send(&mut self, now: Instant, channel: ChannelId, message: Message) -> Result<usize, Error> {
        self.data.send(now, channel, message)
    }

    /// Returns the next message; `None` if none waits. As long as messages are not received, the
    /// other side has to wait. See [`has_news`](Self::has_news).
    pub fn receive(&mut self, now: Instant, channel: ChannelId) -> Option<Message> {
        self.data.receive(now, channel)
    }

    /// Returns true if [`receive`](Self::receive) has led to an output: the other side is to be
    /// told that there is room again, or a channel had to be closed.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.data.has_news()
    }

    /// Returns true if a channel should be given more: it is open, and less than its high mark
    /// waits on it. One message may always overshoot. Once it is false for an open channel,
    /// [`Event::ChannelWritable`](crate::Event::ChannelWritable) reports when there is room.
    pub fn is_writable(&mut self, channel: ChannelId) -> bool {
        self.data.is_writable(channel)
    }

    /// Returns the bytes of messages that were not sent yet: the W3C's `bufferedAmount`.
    #[must_use]
    pub fn buffered_amount(&self, channel: ChannelId) -> usize {
        self.data.buffered_amount(channel)
    }

    /// Sets the threshold of [`Event::BufferedAmountLow`](crate::Event::BufferedAmountLow) in
    /// bytes. Default 0.
    ///
    /// # Errors
    /// [`Error::NoSuchChannel`].
    pub fn set_buffered_amount_low_threshold(
        &mut self,
        channel: ChannelId,
        threshold: usize,
    ) -> Result<(), Error> {
        self.data.set_low_threshold(channel, threshold)
    }

    /// Begins to close a channel: messages that were sent still go out.
    ///
    /// # Errors
    /// [`Error::NoSuchChannel`].
    pub fn close_channel(&mut self, now: Instant, channel: ChannelId) -> Result<(), Error> {
        self.data.close_channel(now, channel)?;
        self.progress(now);
        Ok(())
    }

    /// Returns the state of a channel; `None` once it is closed and everything was received.
    #[must_use]
    pub fn channel_state(&self, channel: ChannelId) -> Option<DataChannelState> {
        self.data.state(channel)
    }

    /// Returns parameters and state of a channel; `None` once it is closed and everything was
    /// received. A channel that [`Event::DataChannel`](crate::Event::DataChannel) announces is
    /// there at least until the next event is taken.
    #[must_use]
    pub fn channel(&self, channel: ChannelId) -> Option<ChannelInfo> {
        self.data.info(channel)
    }
}
