//! Data channels as the application sees them: parameters, states, messages.

use bytes::Bytes;
pub use columba_sctp::channels::ChannelId;
use columba_sctp::channels::Payload;

/// The parameters of a data channel to create: the W3C's `RTCDataChannelInit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataChannelInit {
    /// True if messages arrive in the order in which they were sent. Default true.
    pub ordered: bool,
    /// The milliseconds for which a message is tried at most; not together with `max_retransmits`.
    pub max_packet_life_time: Option<u16>,
    /// The retransmissions of a message at most; not together with `max_packet_life_time`.
    pub max_retransmits: Option<u16>,
    /// The name of the protocol spoken on it, at most 65,535 bytes; empty for none.
    pub protocol: String,
    /// Set if both sides create the channel with this stream number (0 to 65,534), so that it is
    /// not announced.
    pub negotiated: Option<u16>,
    /// Its share where several channels have something to send. Default [`Priority::Low`].
    pub priority: Priority,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_packet_life_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: None,
            priority: Priority::default(),
        }
    }
}

/// `RTCPriorityType`: the share of the path that a channel gets where several have something to
/// send, each twice the one before it (RFC 8831 §6.4). Where both sides interleave messages (RFC
/// 8260), an urgent message does not wait for the rest of a large one; elsewhere only for the
/// message that is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// `very-low`: below normal.
    VeryLow,
    /// `low`: normal.
    #[default]
    Low,
    /// `medium`: high.
    Medium,
    /// `high`: extra high.
    High,
}

impl Priority {
    /// The value on the wire (RFC 8832 §5.1).
    pub(super) fn weight(self) -> u16 {
        match self {
            Self::VeryLow => 128,
            Self::Low => 256,
            Self::Medium => 512,
            Self::High => 1024,
        }
    }

    /// The level of any value on the wire: a value between two levels counts as the upper one.
    pub(super) fn from_weight(weight: u16) -> Self {
        match weight {
            ..=128 => Self::VeryLow,
            129..=256 => Self::Low,
            257..=512 => Self::Medium,
            513.. => Self::High,
        }
    }
}

/// The parameters and the state of a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name.
    pub label: String,
    /// Its parameters.
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
    /// Being closed: messages that were sent still go out.
    Closing,
    /// Closed. Messages that arrived can still be received.
    Closed,
}

/// A message on a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text. In received text U+FFFD stands in place of bytes that are not UTF-8.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// Returns its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// The message as it has arrived. Text is decoded as the W3C has it: a text that is not UTF-8
    /// ends no channel.
    pub(super) fn received(payload: Payload) -> Self {
        match payload {
            Payload::Binary(bytes) => Self::Binary(bytes),
            Payload::Text(bytes) => Self::Text(match String::from_utf8(bytes.into()) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
        }
    }

    /// Returns true if it has no bytes.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_are_those_of_rfc_8831_and_values_between_them() {
        for priority in [Priority::VeryLow, Priority::Low, Priority::Medium, Priority::High] {
            assert_eq!(Priority::from_weight(priority.weight()), priority);
        }
        let weights = [0, 128, 129, 256, 257, 512, 513, u16::MAX].map(Priority::from_weight);
        assert!(weights.is_sorted());
        assert_eq!((weights[0], weights[7]), (Priority::VeryLow, Priority::High));
    }

    /// The number of U+FFFD is that of the Encoding Standard, which browsers follow.
    #[test]
    fn bytes_that_are_not_utf_8_become_replacement_characters() {
        for (bytes, text) in [
            (b"".as_slice(), ""),
            (b"plain", "plain"),
            ("für \u{1f54a}\0".as_bytes(), "für \u{1f54a}\0"),
            (b"\xff\x80", "\u{fffd}\u{fffd}"),
            (b"a\x80b", "a\u{fffd}b"),
            (b"cut \xe2\x82", "cut \u{fffd}"),
            (b"cut \xf0\x9f\x95", "cut \u{fffd}"),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xc0\xaf", "\u{fffd}\u{fffd}"),
            (b"\xf5\x80x", "\u{fffd}\u{fffd}x"),
            (b"M\xfcnchen", "M\u{fffd}nchen"),
        ] {
            let payload = Payload::Text(Bytes::copy_from_slice(bytes));
            assert_eq!(Message::received(payload), Message::from(text), "{bytes:?}");
            let payload = Payload::Binary(Bytes::copy_from_slice(bytes));
            assert_eq!(Message::received(payload), Message::from(bytes.to_vec()));
        }
    }
}
