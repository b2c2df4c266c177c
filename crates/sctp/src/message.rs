//! What the application sends and receives.

use std::time::Duration;

use bytes::Bytes;

use crate::serial::{Ppid, StreamId};

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is; the peer is told.
    pub ppid: Ppid,
    /// Its bytes, at least one: SCTP has no empty messages.
    pub payload: Bytes,
    /// Whether it may overtake messages of its stream that were sent before it.
    pub unordered: bool,
    /// How hard to try.
    pub reliability: Reliability,
}

impl Message {
    /// An ordered, reliable message.
    #[must_use]
    pub fn new(ppid: Ppid, payload: impl Into<Bytes>) -> Self {
        Self { ppid, payload: payload.into(), unordered: false, reliability: Reliability::Reliable }
    }
}

/// How hard to try to bring a message to the peer (RFC 3758, RFC 7496).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliability {
    /// Until it is there.
    #[default]
    Reliable,
    /// Each of its chunks is sent again at most so many times.
    MaxRetransmits(u16),
    /// It is neither sent nor sent again once so much time has passed since [`send`](crate::Association::send).
    MaxLifetime(Duration),
}

/// A message that has arrived, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The stream on which it arrived.
    pub stream: StreamId,
    /// What its sender says that it is.
    pub ppid: Ppid,
    /// Its bytes, at least one.
    pub payload: Bytes,
}
