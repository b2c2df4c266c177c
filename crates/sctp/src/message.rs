//! The messages that the application sends and receives.

use std::time::Duration;

use bytes::Bytes;

use crate::serial::{Ppid, StreamId};

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The kind of its content; sent to the peer.
    pub ppid: Ppid,
    /// Its bytes, at least one: SCTP has no empty messages.
    pub payload: Bytes,
    /// True if it may overtake messages of its stream that were sent before it.
    pub unordered: bool,
    /// The reliability of its messages.
    pub reliability: Reliability,
}

impl Message {
    /// An ordered, reliable message.
    #[must_use]
    pub fn new(ppid: Ppid, payload: impl Into<Bytes>) -> Self {
        Self { ppid, payload: payload.into(), unordered: false, reliability: Reliability::Reliable }
    }
}

/// The effort to bring a message to the peer (RFC 3758, RFC 7496).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliability {
    /// Until it is there.
    #[default]
    Reliable,
    /// Each of its chunks is sent again at most so many times.
    MaxRetransmits(u16),
    /// It is neither sent nor sent again once so much time has passed since
    /// [`send`](crate::Association::send).
    MaxLifetime(Duration),
}

/// A message that has arrived, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The stream on which it arrived.
    pub stream: StreamId,
    /// The kind of its content, as its sender says.
    pub ppid: Ppid,
    /// Its bytes, at least one.
    pub payload: Bytes,
}
