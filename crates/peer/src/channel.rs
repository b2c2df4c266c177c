//! Data channels as the application sees them.

use bytes::Bytes;
pub use columba_sctp::channels::ChannelId;

/// What a data channel shall be: the W3C's `RTCDataChannelInit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataChannelInit {
    /// Whether messages arrive in the order in which they were sent. Default true.
    pub ordered: bool,
    /// For how many milliseconds a message is tried at most; not together with `max_retransmits`.
    pub max_packet_life_time: Option<u16>,
    /// How often a message is sent again at most; not together with `max_packet_life_time`.
    pub max_retransmits: Option<u16>,
    /// The name of the protocol spoken on it, at most 65,535 bytes; empty for none.
    pub protocol: String,
    /// Set if both sides create the channel with this stream number (0 to 65,534), so that it is not
    /// announced.
    pub negotiated: Option<u16>,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: None,
        }
    }
}

/// What is known about a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name.
    pub label: String,
    /// What it is.
    pub init: DataChannelInit,
    /// Its stream number, once it has one: the W3C's `id`.
    pub stream: Option<u16>,
    /// Its state.
    pub state: DataChannelState,
}

/// `RTCDataChannelState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataChannelState {
    /// Waits for the connection.
    #[default]
    Connecting,
    /// Messages can be sent.
    Open,
    /// Being closed: what was sent still goes out.
    Closing,
    /// Closed. What arrived can still be received.
    Closed,
}

/// A message on a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text: what arrives is UTF-8, with U+FFFD in place of what was not.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}
