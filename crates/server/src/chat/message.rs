//! The call page's messages to other peers: through the signaling server, and over the data
//! channel.

use columba::{IceCandidateInit, SessionDescription};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The longest chat message, in UTF-16 units, as the page counts.
pub(super) const MAX_CHAT: usize = 4000;

/// The longest name, likewise.
const MAX_NAME: usize = 40;

/// Bytes of a message on the data channel that are looked at.
const MAX_DATA: usize = 16 * MAX_CHAT;

/// The outermost layer of messages through the signaling server.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    call: T,
}

/// A message about a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CallMessage {
    /// The number of the connection that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<SessionDescription>,
    /// The number of this offer, or of the offer that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offer: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) candidate: Option<IceCandidateInit>,
    /// A new connection is wanted: the last one that the sender knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) renew: Option<u64>,
    /// The sender leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bye: Option<bool>,
}

impl CallMessage {
    /// Reads what came through the signaling server; `None` if it is about something else.
    pub(super) fn read(data: &RawValue) -> Option<Self> {
        serde_json::from_str::<Envelope<Self>>(data.get()).ok().map(|envelope| envelope.call)
    }

    /// As it is sent.
    pub(super) fn envelope(&self) -> impl Serialize + '_ {
        Envelope { call: self }
    }

    pub(super) fn bye() -> Self {
        Self { bye: Some(true), ..Self::default() }
    }

    pub(super) fn renew(attempt: u64) -> Self {
        Self { renew: Some(attempt), ..Self::default() }
    }
}

/// Messages on the data channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum DataMessage {
    /// A line of chat.
    Chat { text: String },
    /// A participant's name, and what it sends.
    Status {
        #[serde(default)]
        name: String,
        #[serde(default)]
        microphone: bool,
        #[serde(default)]
        camera: bool,
    },
    /// A participant leaves.
    Bye,
}

impl DataMessage {
    /// Reads a message of the other side's, cut to the lengths that are allowed; `None` for what is
    /// not understood.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_DATA {
            return None;
        }
        Some(match serde_json::from_str(text).ok()? {
            Self::Chat { text } => Self::chat(&text),
            Self::Status { name, microphone, camera } => {
                Self::Status { name: cut(name.trim(), MAX_NAME).to_owned(), microphone, camera }
            }
            Self::Bye => Self::Bye,
        })
    }

    pub(super) fn chat(text: &str) -> Self {
        Self::Chat { text: cut(text, MAX_CHAT).to_owned() }
    }

    /// This program sends neither sound nor picture.
    pub(super) fn status(name: &str) -> Self {
        Self::Status { name: name.to_owned(), microphone: false, camera: false }
    }

    pub(super) fn to_json(&self) -> String {
        // Text and truth values can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The beginning of a text, of at most so many UTF-16 units, and no half characters.
fn cut(text: &str, units: usize) -> &str {
    let mut count = 0;
    let end = text.char_indices().find(|(_, character)| {
        count += character.len_utf16();
        count > units
    });
    end.map_or(text, |(at, _)| &text[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    #[test]
    fn messages_of_browsers_are_read() {
        let text = r#"{"call":{"attempt":1789000000000,"candidate":{"candidate":"candidate:1 1 udp 1 10.0.0.1 9 typ host",
            "sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}}"#;
        let message = CallMessage::read(&raw(text)).unwrap();
        assert_eq!(message.attempt, Some(1_789_000_000_000));
        let candidate = message.candidate.unwrap();
        assert_eq!((candidate.sdp_mid.as_deref(), candidate.sdp_m_line_index), (Some("0"), Some(0)));
        let offer = CallMessage::read(&raw(
            r#"{"call":{"attempt":1,"offer":2,"description":{"type":"offer","sdp":"v=0"}}}"#,
        ));
        assert_eq!(offer.unwrap().description.unwrap(), SessionDescription::offer("v=0"));
        assert_eq!(CallMessage::read(&raw(r#"{"call":{"bye":true}}"#)), Some(CallMessage::bye()));
        assert_eq!(CallMessage::read(&raw(r#"{"offer":"another program's"}"#)), None);
    }

    #[test]
    fn messages_are_written_as_browsers_read_them() {
        let text = serde_json::to_string(&CallMessage::renew(7).envelope()).unwrap();
        assert_eq!(text, r#"{"call":{"renew":7}}"#);
        assert_eq!(DataMessage::chat("hi").to_json(), r#"{"type":"chat","text":"hi"}"#);
        let status = r#"{"type":"status","name":"Ann","microphone":false,"camera":false}"#;
        assert_eq!(DataMessage::status("Ann").to_json(), status);
        assert_eq!(DataMessage::Bye.to_json(), r#"{"type":"bye"}"#);
    }

    #[test]
    fn lengths_are_counted_as_the_page_counts() {
        assert_eq!(cut("a🙂b", 3), "a🙂");
        assert_eq!(cut("a🙂b", 2), "a");
        let long = DataMessage::read(&format!(r#"{{"type":"chat","text":"{}"}}"#, "x".repeat(5000))).unwrap();
        assert_eq!(long, DataMessage::Chat { text: "x".repeat(MAX_CHAT) });
        assert_eq!(DataMessage::read(&"x".repeat(MAX_DATA + 1)), None);
        assert_eq!(DataMessage::read(r#"{"type":"dance"}"#), None);
    }
}
