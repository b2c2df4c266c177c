//! Data channels.

use std::time::Instant;

use super::Peer;
use crate::channel::{ChannelId, ChannelInfo, DataChannelInit, Message};
use crate::error::Error;

impl Peer {
    /// `createDataChannel`.
    ///
    /// # Errors
    /// [`Error::InvalidChannel`] if the channel cannot be as `init` wants it; [`Error::Closed`].
    pub fn create_data_channel(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, Error> {
        self.require_open()?;
        let id = self.data.create(now, label, init)?;
        self.negotiation.data = true;
        self.progress(now);
        Ok(id)
    }

    /// Sends a message. Tells how many bytes wait on the channel now.
    ///
    /// # Errors
    /// [`Error::ChannelNotOpen`], [`Error::NoSuchChannel`], [`Error::MessageTooLarge`]; [`Error::BufferFull`]
    /// if as much waits already as [`DataConfiguration::send_buffer`](crate::DataConfiguration::send_buffer)
    /// allows: nothing of the message is taken then.
    pub fn send(&mut self, now: Instant, channel: ChannelId, message: Message) -> Result<usize, Error> {
        self.data.send(now, channel, message)
    }

    /// The next message; `None` if none waits. Who does not receive makes the other side wait. Whether something is to be done because of
    /// it, [`has_news`](Self::has_news) says.
    pub fn receive(&mut self, now: Instant, channel: ChannelId) -> Option<Message> {
        self.data.receive(now, channel)
    }

    /// Whether receiving has led to something that [`poll_transmit`](Self::poll_transmit) or [`poll_event`](Self::poll_event) has to say:
    /// that there is room again, or that a channel had to be closed.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.data.has_news()
    }

    /// Returns whether a channel should be given more: it is open, and little enough waits on it. One message
    /// may always overshoot. Once it is false for an open channel,
    /// [`Event::ChannelWritable`](crate::Event::ChannelWritable) says when there is room.
    pub fn is_writable(&mut self, channel: ChannelId) -> bool {
        self.data.is_writable(channel)
    }

    /// Bytes of messages that were not sent yet: the W3C's `bufferedAmount`.
    #[must_use]
    pub fn buffered_amount(&self, channel: ChannelId) -> usize {
        self.data.buffered_amount(channel)
    }

    /// Sets when [`Event::BufferedAmountLow`](crate::Event::BufferedAmountLow) comes. Default 0.
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

    /// Begins to close a channel: what was sent still goes out.
    ///
    /// # Errors
    /// [`Error::NoSuchChannel`].
    pub fn close_channel(&mut self, now: Instant, channel: ChannelId) -> Result<(), Error> {
        self.data.close_channel(now, channel)?;
        self.progress(now);
        Ok(())
    }

    /// What is known about a channel; `None` once it is closed and everything was received.
    #[must_use]
    pub fn channel(&self, channel: ChannelId) -> Option<ChannelInfo> {
        self.data.info(channel)
    }
}
