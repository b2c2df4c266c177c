//! The call page's messages on the call's own channel (`docs/call.md`).

use serde::{Deserialize, Serialize};

/// The longest chat message, in UTF-16 units, as the page counts.
pub(crate) const MAX_CHAT: usize = 4000;

/// The longest name, likewise.
const MAX_NAME: usize = 40;

/// Bytes of a message on the data channel that are looked at.
const MAX_DATA: usize = 16 * MAX_CHAT;

/// A message between participants; `bye` is the call's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum DataMessage {
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
        /// It records what the others send.
        #[serde(default, skip_serializing_if = "is_false")]
        recording: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl DataMessage {
    /// Reads a message of the other side's, cut to the lengths that are allowed; `None` for what is
    /// not understood.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_DATA {
            return None;
        }
        Some(match serde_json::from_str(text).ok()? {
            Self::Chat { text } => Self::chat(&text),
            Self::Status { name, microphone, camera, recording } => {
                let name = cut(name.trim(), MAX_NAME).to_owned();
                Self::Status { name, microphone, camera, recording }
            }
        })
    }

    pub(crate) fn chat(text: &str) -> Self {
        Self::Chat { text: cut(text, MAX_CHAT).to_owned() }
    }

    /// This program sends neither sound nor picture.
    pub(crate) fn status(name: &str) -> Self {
        Self::Status { name: name.to_owned(), microphone: false, camera: false, recording: false }
    }

    pub(crate) fn to_json(&self) -> String {
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

    #[test]
    fn messages_are_written_as_browsers_read_them() {
        assert_eq!(DataMessage::chat("hi").to_json(), r#"{"type":"chat","text":"hi"}"#);
        let status = r#"{"type":"status","name":"Ann","microphone":false,"camera":false}"#;
        assert_eq!(DataMessage::status("Ann").to_json(), status);
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
