//! The data channels of the SCTP transport: creation, messages, counters.

use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_sctp::channels::{ChannelInit, ChannelSendError, ChannelState, OpenError, Payload};
use columba_sctp::{Reliability, SendError};

use super::{ChannelId, ChannelInfo, Data, DataChannelInit, DataChannelState, Message, Priority, failure_of};
use crate::error::Error;
use crate::event::Event;
use crate::stats::DataChannelStats;

/// The counters of one channel.
#[derive(Debug, Default)]
pub(super) struct Counters {
    open: bool,
    /// The reason why it closes, if it has failed alone.
    failure: Option<Error>,
    messages_sent: u64,
    bytes_sent: u64,
    messages_received: u64,
    bytes_received: u64,
}

impl Data {
    pub(crate) fn create(
        &mut self,
        now: Instant,
        label: &str,
        init: DataChannelInit,
    ) -> Result<ChannelId, Error> {
        let reliability = match (init.max_packet_life_time, init.max_retransmits) {
            (None, None) => Reliability::Reliable,
            (Some(time), None) => Reliability::MaxLifetime(Duration::from_millis(time.into())),
            (None, Some(most)) => Reliability::MaxRetransmits(most),
            (Some(_), Some(_)) => {
                return Err(invalid("a life time and a number of retransmissions exclude each other"));
            }
        };
        let DataChannelInit { ordered, protocol, negotiated, priority, .. } = init;
        let priority = priority.weight();
        let init = ChannelInit { ordered, reliability, protocol, priority, negotiated };
        let id = self.channels.open(now, label, init).map_err(|error| match error {
            OpenError::Closed => Error::Closed,
            OpenError::TooLong => invalid("its label or its protocol is longer than 65,535 bytes"),
            OpenError::StreamTaken(_) => no_stream(
                "another channel uses its stream number; choose another, or wait until that one is closed",
            ),
            OpenError::NoSuchStream { stream: u16::MAX, .. } => {
                invalid("65,535 is no stream number; the highest is 65,534")
            }
            OpenError::NoSuchStream { .. } => {
                no_stream("the other side has fewer streams than its stream number needs; choose a lower one")
            }
            _ => no_stream("all streams are in use; close a channel first"),
        })?;
        self.created += 1;
        self.counters.insert(id, Box::default());
        Ok(id)
    }

    /// Sends a message. Returns the channel's buffered amount.
    pub(crate) fn send(&mut self, now: Instant, id: ChannelId, message: Message) -> Result<usize, Error> {
        let size = message.len();
        let payload = match message {
            Message::Text(text) => Payload::Text(Bytes::from(text)),
            Message::Binary(bytes) => Payload::Binary(bytes),
        };
        self.channels.send(now, id, payload).map_err(|error| match error {
            ChannelSendError::Refused(SendError::TooLarge { limit }) => {
                Error::MessageTooLarge { size, limit: limit as u64 }
            }
            ChannelSendError::Refused(SendError::Full) => Error::BufferFull,
            _ if self.channels.channel(id).is_none() => Error::NoSuchChannel,
            _ => Error::ChannelNotOpen,
        })?;
        if let Some(counters) = self.counters.get_mut(&id) {
            counters.messages_sent += 1;
            counters.bytes_sent += size as u64;
        }
        Ok(self.channels.buffered_amount(id))
    }

    pub(crate) fn receive(&mut self, now: Instant, id: ChannelId) -> Option<Message> {
        let payload = self.channels.receive(now, id)?;
        if let Some(counters) = self.counters.get_mut(&id) {
            counters.messages_received += 1;
            counters.bytes_received += payload.len() as u64;
        }
        Some(Message::received(payload))
    }

    pub(crate) fn has_news(&self) -> bool {
        self.channels.has_news()
    }

    pub(crate) fn is_writable(&mut self, id: ChannelId) -> bool {
        self.channels.is_writable(id)
    }

    pub(crate) fn buffered_amount(&self, id: ChannelId) -> usize {
        self.channels.buffered_amount(id)
    }

    pub(crate) fn set_low_threshold(&mut self, id: ChannelId, threshold: usize) -> Result<(), Error> {
        self.require(id)?;
        self.channels.set_buffered_amount_low_threshold(id, threshold);
        Ok(())
    }

    pub(crate) fn close_channel(&mut self, now: Instant, id: ChannelId) -> Result<(), Error> {
        self.require(id)?;
        self.channels.close(now, id);
        Ok(())
    }

    pub(crate) fn state(&self, id: ChannelId) -> Option<DataChannelState> {
        self.channels.channel(id).map(|info| state_of(info.state))
    }

    /// Forgets what a channel was whose arrival the owner has taken.
    pub(crate) fn forget_arrival(&mut self, id: ChannelId) {
        self.arrived.remove(&id);
    }

    pub(crate) fn info(&self, id: ChannelId) -> Option<ChannelInfo> {
        let Some(info) = self.channels.channel(id) else {
            let info = self.arrived.get(&id)?.clone();
            return Some(ChannelInfo { state: DataChannelState::Closed, ..info });
        };
        let (mut max_packet_life_time, mut max_retransmits) = (None, None);
        match info.reliability {
            Reliability::Reliable => {}
            Reliability::MaxRetransmits(most) => max_retransmits = Some(most),
            Reliability::MaxLifetime(time) => {
                max_packet_life_time = Some(time.as_millis().try_into().unwrap_or(u16::MAX));
            }
        }
        Some(ChannelInfo {
            label: info.label.clone(),
            init: DataChannelInit {
                ordered: info.ordered,
                max_packet_life_time,
                max_retransmits,
                protocol: info.protocol.clone(),
                negotiated: info.stream_id.filter(|_| info.negotiated),
                priority: Priority::from_weight(info.priority),
            },
            stream: info.stream_id,
            state: state_of(info.state),
        })
    }

    pub(super) fn count_open(&mut self, id: ChannelId) {
        self.opened += 1;
        self.counters.entry(id).or_default().open = true;
    }

    pub(super) fn note_failure(&mut self, id: ChannelId, error: Error) {
        if let Some(counters) = self.counters.get_mut(&id) {
            counters.failure = Some(error);
        }
    }

    pub(super) fn count_closed(&mut self, id: ChannelId) -> Event {
        let counters = self.counters.remove(&id).unwrap_or_default();
        self.closed += u32::from(counters.open);
        let of_all = || self.failure.clone().or_else(|| self.channels.end().and_then(failure_of));
        Event::ChannelClosed(id, counters.failure.or_else(of_all))
    }

    fn require(&self, id: ChannelId) -> Result<(), Error> {
        self.channels.channel(id).map(|_| ()).ok_or(Error::NoSuchChannel)
    }

    /// Returns the number of channels that were ever open.
    pub(crate) fn opened(&self) -> u32 {
        self.opened
    }

    /// Returns the number of channels that were open and are closed.
    pub(crate) fn closed(&self) -> u32 {
        self.closed
    }

    pub(crate) fn channel_stats(&self) -> Vec<DataChannelStats> {
        let channels = self.channels.channels().filter_map(|id| {
            let info = self.channels.channel(id)?;
            let none = Box::default();
            let counters = self.counters.get(&id).unwrap_or(&none);
            Some(DataChannelStats {
                id,
                label: info.label.clone(),
                protocol: info.protocol.clone(),
                stream: info.stream_id,
                state: state_of(info.state),
                messages_sent: counters.messages_sent,
                bytes_sent: counters.bytes_sent,
                messages_received: counters.messages_received,
                bytes_received: counters.bytes_received,
            })
        });
        channels.collect()
    }
}

fn state_of(state: ChannelState) -> DataChannelState {
    match state {
        ChannelState::Connecting => DataChannelState::Connecting,
        ChannelState::Open => DataChannelState::Open,
        ChannelState::Closing => DataChannelState::Closing,
        ChannelState::Closed => DataChannelState::Closed,
    }
}

fn no_stream(reason: &'static str) -> Error {
    Error::NoStream { reason }
}

fn invalid(reason: &'static str) -> Error {
    Error::InvalidChannel { reason }
}
