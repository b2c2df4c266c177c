//! The target of the call's messages (`docs/call.md`). The crate's ordinary tests include this
//! file, too.

use columba_signal::PeerId;
use message::{CallMessage, Received, VERSION};
use serde_json::value::RawValue;

#[allow(dead_code, reason = "not all of it is used here")]
#[path = "../../crates/columba/src/call/message.rs"]
mod message;

/// Reads a text as a message that came through the signaling server, and as one that was sealed:
/// nothing panics, what was read is written so that it reads the same, without relays there are no
/// relays, and a sealed message is bound to its two peers.
pub(crate) fn message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let [ann, bob] = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"].map(|id| id.parse().expect("an id"));
    if let Some(message) = CallMessage::opened(text, ann, bob) {
        check(message, ann, bob);
    }
    let Ok(raw) = RawValue::from_string(text.to_owned()) else { return };
    match Received::read(&raw) {
        Received::Clear(message) => check(message, ann, bob),
        Received::Sealed(text) => {
            let written = message::sealed(text.clone()).expect("a text can be sent");
            assert!(matches!(Received::read(&written), Received::Sealed(same) if same == text));
        }
        Received::Opened(_) => panic!("what is read is not opened yet"),
        Received::Unreadable | Received::Other => {}
    }
}

fn check(message: CallMessage, ann: PeerId, bob: PeerId) {
    let sent = CallMessage { version: Some(VERSION), ..message.clone() };
    let clear = message.clone().into_clear().expect("what was read can be written");
    assert!(matches!(Received::read(&clear), Received::Clear(same) if same == sent));
    let text = message.clone().into_sealable(ann, bob).expect("what was read can be written");
    assert_eq!(CallMessage::opened(&text, ann, bob), Some(sent));
    assert_eq!(CallMessage::opened(&text, bob, ann), None);
    let direct = message.without_relays();
    assert_eq!(direct.clone().without_relays(), direct);
    let sdp = direct.description.map(|description| description.sdp).unwrap_or_default();
    let is_relay = |line: &str| line.split_ascii_whitespace().any(|word| word == "relay");
    assert!(!sdp.lines().any(|line| line.starts_with("a=candidate:") && is_relay(line)));
    assert!(!direct.candidate.is_some_and(|candidate| is_relay(&candidate.candidate)));
}
