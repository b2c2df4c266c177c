//! One data channel.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::ChannelError;
use super::dcep::{Open, ppid};
use crate::association::Association;
use crate::message::Reliability;
use crate::serial::{Ppid, StreamId};

/// The name of a channel on this side, from its creation to the end of the association; never used
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub(super) u64);

impl ChannelId {
    /// The number behind the name: 0 for the first channel, then counting up.
    #[must_use]
    pub fn to_u64(self) -> u64 {
        self.0
    }
}

/// The properties of a channel to be opened: `RTCDataChannelInit` of the W3C.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInit {
    /// True if messages arrive in the order in which they were sent. Default true.
    pub ordered: bool,
    /// The reliability of its messages. Default: reliable.
    pub reliability: Reliability,
    /// The sub-protocol, which means something to the application. At most 65,535 bytes. Default
    /// empty.
    pub protocol: String,
    /// The share among channels with something to send (RFC 8831 §6.4): 128 below normal, 256
    /// normal, 512 high, 1,024 extra high. Default 256.
    pub priority: u16,
    /// If set, the channel is opened on this stream without telling the peer, whose application
    /// does the same. Default `None`.
    pub negotiated: Option<u16>,
}

impl Default for ChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            reliability: Reliability::Reliable,
            protocol: String::new(),
            priority: 256,
            negotiated: None,
        }
    }
}

/// `RTCDataChannelState` of the W3C.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// Messages cannot be sent yet.
    Connecting,
    /// Messages flow.
    Open,
    /// Messages that are queued are still sent.
    Closing,
    /// It is over.
    Closed,
}

/// The properties and the state of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// The stream, once it is known: before the DTLS role is, it is not, unless it was negotiated.
    pub stream_id: Option<u16>,
    /// The name that it was given.
    pub label: String,
    /// The sub-protocol.
    pub protocol: String,
    /// True if messages arrive in order.
    pub ordered: bool,
    /// The reliability of its messages.
    pub reliability: Reliability,
    /// The share.
    pub priority: u16,
    /// True if it was opened without telling the peer.
    pub negotiated: bool,
    /// Its state.
    pub state: ChannelState,
}

/// A message of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Text, as UTF-8. Neither what is sent nor what arrives is checked: the reader of the text
    /// replaces what is not UTF-8 by U+FFFD, as browsers do.
    Text(Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl Payload {
    /// The number of bytes that it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Returns whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        let (Self::Text(bytes) | Self::Binary(bytes)) = self;
        bytes
    }

    /// As SCTP carries it: empty messages have a PPID of their own and one byte that means nothing
    /// (RFC 8831 §6.6).
    pub(super) fn into_parts(self) -> (Ppid, Bytes) {
        const NOTHING: Bytes = Bytes::from_static(&[0]);
        match self {
            Self::Text(bytes) if bytes.is_empty() => (ppid::STRING_EMPTY, NOTHING),
            Self::Text(bytes) => (ppid::STRING, bytes),
            Self::Binary(bytes) if bytes.is_empty() => (ppid::BINARY_EMPTY, NOTHING),
            Self::Binary(bytes) => (ppid::BINARY, bytes),
        }
    }
}

/// A channel as [`DataChannels`](super::DataChannels) keeps it.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) info: ChannelInfo,
    /// The peer has not acknowledged it: messages go in order, so that none arrives before the
    /// channel is known (RFC 8832 §6).
    pub(super) unacknowledged: bool,
    /// The owner knows that it can be read.
    pub(super) announced: bool,
    pub(super) outgoing_reset: bool,
    pub(super) incoming_reset: bool,
    /// Set before the stream is known; afterwards the association keeps it.
    pub(super) low_threshold: usize,
    /// The parts that have arrived of a message that is sent in parts, in the deprecated way;
    /// bounded by the largest message.
    partial: BytesMut,
    /// The bytes that it counts against [`Config::channel_memory`](crate::Config::channel_memory).
    pub(super) charge: usize,
    /// Messages that had arrived before the peer reset the stream or it was given up, still to be
    /// read; the receive window counts them.
    unread: VecDeque<(Ppid, Bytes)>,
    /// Its association is gone, and with it the receive window.
    is_orphaned: bool,
}

impl Channel {
    pub(super) fn new(label: String, init: ChannelInit, state: ChannelState) -> Self {
        Self {
            info: ChannelInfo {
                stream_id: init.negotiated,
                label,
                protocol: init.protocol,
                ordered: init.ordered,
                reliability: init.reliability,
                priority: init.priority,
                negotiated: init.negotiated.is_some(),
                state,
            },
            unacknowledged: init.negotiated.is_none(),
            announced: false,
            outgoing_reset: false,
            incoming_reset: false,
            low_threshold: 0,
            partial: BytesMut::new(),
            charge: 0,
            unread: VecDeque::new(),
            is_orphaned: false,
        }
    }

    /// The next message as SCTP carried it.
    pub(super) fn next_message(&mut self, association: &mut Association) -> Option<(Ppid, Bytes)> {
        if self.is_over() {
            let (ppid, payload) = self.unread.pop_front()?;
            if !self.is_orphaned {
                association.release(payload.len());
            }
            return Some((ppid, payload));
        }
        let message = association.receive(self.stream()?)?;
        Some((message.ppid, message.payload))
    }

    /// Returns whether what comes on the stream is no longer for this channel.
    pub(super) fn is_over(&self) -> bool {
        self.incoming_reset || self.info.state == ChannelState::Closed
    }

    /// Takes over what is unread, so that the stream may be used again. Once: what comes then is
    /// for the next channel.
    pub(super) fn keep_unread(&mut self, association: &mut Association) {
        let Some(stream) = self.stream().filter(|_| !self.is_over()) else { return };
        while let Some(message) = association.set_aside(stream) {
            self.unread.push_back((message.ppid, message.payload));
        }
    }

    /// Another association takes the place of the channel's.
    pub(super) fn outlives_association(&mut self) {
        self.is_orphaned = true;
        // It counted against the memory of that association.
        self.charge = 0;
    }

    pub(super) fn has_unread(&self) -> bool {
        !self.unread.is_empty()
    }

    pub(super) fn stream(&self) -> Option<StreamId> {
        self.info.stream_id.map(StreamId)
    }

    pub(super) fn open_message(&self) -> Open {
        Open {
            ordered: self.info.ordered,
            reliability: self.info.reliability,
            priority: self.info.priority,
            label: self.info.label.clone(),
            protocol: self.info.protocol.clone(),
        }
    }

    /// Reads a message as SCTP carried it. `Ok(None)` if it is only a part, or of no known kind.
    pub(super) fn accept(
        &mut self,
        kind: Ppid,
        payload: Bytes,
        max_message_size: usize,
    ) -> Result<Option<Payload>, ChannelError> {
        let whole = match kind {
            ppid::STRING_EMPTY | ppid::BINARY_EMPTY => Bytes::new(),
            ppid::STRING | ppid::BINARY if self.partial.is_empty() => payload,
            ppid::STRING | ppid::BINARY | ppid::STRING_PARTIAL | ppid::BINARY_PARTIAL => {
                if self.partial.len() + payload.len() > max_message_size {
                    self.partial = BytesMut::new();
                    return Err(ChannelError::MessageTooLarge);
                }
                self.partial.extend_from_slice(&payload);
                if matches!(kind, ppid::STRING_PARTIAL | ppid::BINARY_PARTIAL) {
                    return Ok(None);
                }
                std::mem::take(&mut self.partial).freeze()
            }
            _ => return Ok(None),
        };
        let is_binary = matches!(kind, ppid::BINARY | ppid::BINARY_EMPTY);
        Ok(Some(if is_binary { Payload::Binary(whole) } else { Payload::Text(whole) }))
    }
}
