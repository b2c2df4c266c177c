//! The messages of the call protocol (`docs/call.md`) that go through the signaling server.

use columba_peer::{IceCandidateInit, SessionDescription};
use columba_signal::PeerId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The version of the protocol that this side speaks. Messages without one are of version 1.
pub(super) const VERSION: u32 = 2;

/// The outermost layer, around a message in clear or sealed.
#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    call: T,
}

/// A sealed message.
#[derive(Serialize, Deserialize)]
struct Sealed {
    #[serde(default)]
    version: u32,
    sealed: String,
}

/// The content of a sealed message: with the ids, so that a message cannot be sent back to its
/// sender, or to another peer.
#[derive(Serialize, Deserialize)]
struct Addressed<T> {
    from: PeerId,
    to: PeerId,
    call: T,
}

/// A message about a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CallMessage {
    /// The sender's version of the protocol.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<u32>,
    /// The number of the connection that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attempt: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<SessionDescription>,
    /// The number of this offer, or of the offer that this answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offer: Option<u64>,
    /// The sender has withdrawn its offers up to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) withdrawn: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) candidate: Option<IceCandidateInit>,
    /// A new connection is wanted: the last one that the sender knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) renew: Option<u64>,
    /// The sender leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bye: Option<bool>,
}

/// A message from a peer through the signaling server.
#[derive(Debug)]
pub(super) enum Received {
    /// A message in clear.
    Clear(CallMessage),
    /// A sealed message, not opened yet.
    Sealed(String),
    /// A message that was sealed, and was opened.
    Opened(CallMessage),
    /// A message of the call protocol that cannot be read.
    Unreadable,
    /// Something else: the application's.
    Other,
}

impl Received {
    pub(super) fn read(data: &RawValue) -> Self {
        let Ok(Envelope { call }) = serde_json::from_str::<Envelope<&RawValue>>(data.get()) else {
            return Self::Other;
        };
        if let Ok(Sealed { sealed, .. }) = serde_json::from_str(call.get()) {
            return Self::Sealed(sealed);
        }
        serde_json::from_str(call.get()).map_or(Self::Unreadable, Self::Clear)
    }
}

impl CallMessage {
    /// The message without the relayed candidates of the other side.
    pub(super) fn without_relays(mut self) -> Self {
        let is_relayed = |candidate: &str| candidate.split_ascii_whitespace().any(|word| word == "relay");
        if let Some(description) = &mut self.description {
            let lines = description
                .sdp
                .split_inclusive('\n')
                .filter(|line| !(line.starts_with("a=candidate:") && is_relayed(line)));
            description.sdp = lines.collect();
        }
        self.candidate = self.candidate.filter(|candidate| !is_relayed(&candidate.candidate));
        self
    }

    /// Returns whether it can be about a later connection than this one. What is not may have been
    /// overtaken by a goodbye, which goes over the connection.
    pub(super) fn is_later_than(&self, attempt: u64) -> bool {
        let is_later = self.renew.is_some() || self.attempt.is_some_and(|number| number > attempt);
        is_later && self.bye != Some(true)
    }

    pub(super) fn bye() -> Self {
        Self { bye: Some(true), ..Self::default() }
    }

    pub(super) fn renew(attempt: u64) -> Self {
        Self { renew: Some(attempt), ..Self::default() }
    }

    pub(super) fn candidate(candidate: IceCandidateInit) -> Self {
        Self { candidate: Some(candidate), ..Self::default() }
    }

    /// The message in clear, as it is sent.
    pub(super) fn into_clear(self) -> Option<Box<RawValue>> {
        let call = Self { version: Some(VERSION), ..self };
        serde_json::value::to_raw_value(&Envelope { call }).ok()
    }

    /// The text that is to be sealed.
    pub(super) fn into_sealable(self, from: PeerId, to: PeerId) -> Option<String> {
        let call = Self { version: Some(VERSION), ..self };
        serde_json::to_string(&Addressed { from, to, call }).ok()
    }

    /// Reads the text that was sealed. `None` if it is not a message from this peer to that one.
    pub(super) fn opened(text: &str, from: PeerId, to: PeerId) -> Option<Self> {
        let message: Addressed<Self> = serde_json::from_str(text).ok()?;
        (message.from == from && message.to == to && from != to).then_some(message.call)
    }
}

/// The sealed message, as it is sent.
pub(super) fn sealed(sealed: String) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(&Envelope { call: Sealed { version: VERSION, sealed } }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Received {
        Received::read(&RawValue::from_string(text.to_owned()).unwrap())
    }

    fn clear(text: &str) -> CallMessage {
        match read(text) {
            Received::Clear(message) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn relays_are_taken_out() {
        let host = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host";
        let relay = "candidate:2 1 udp 41885439 192.0.2.9 6000 typ relay raddr 0.0.0.0 rport 0";
        let sdp = format!("v=0\r\na={host}\r\na={relay}\r\na=end-of-candidates\r\n");
        let description = Some(SessionDescription { kind: columba_peer::SdpType::Offer, sdp });
        let candidate =
            |text: &str| Some(IceCandidateInit { candidate: text.to_owned(), ..IceCandidateInit::default() });
        let message = CallMessage { description, candidate: candidate(relay), ..CallMessage::default() };
        let kept = message.without_relays();
        assert_eq!(kept.description.unwrap().sdp, format!("v=0\r\na={host}\r\na=end-of-candidates\r\n"));
        assert_eq!(kept.candidate, None);
        let direct = CallMessage { candidate: candidate(host), ..CallMessage::default() };
        assert_eq!(direct.clone().without_relays(), direct);
    }

    #[test]
    fn messages_of_browsers_are_read() {
        let message = clear(
            r#"{"call":{"attempt":1789000000000,"candidate":{"candidate":"candidate:1 1 udp 1 10.0.0.1 9 typ host",
            "sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}}}"#,
        );
        assert_eq!((message.attempt, message.version), (Some(1_789_000_000_000), None));
        let candidate = message.candidate.unwrap();
        assert_eq!((candidate.sdp_mid.as_deref(), candidate.sdp_m_line_index), (Some("0"), Some(0)));
        let offer = clear(
            r#"{"call":{"version":2,"attempt":1,"offer":2,"description":{"type":"offer","sdp":"v=0"}}}"#,
        );
        assert_eq!(offer.description.unwrap(), SessionDescription::offer("v=0"));
        assert_eq!(clear(r#"{"call":{"bye":true}}"#), CallMessage::bye());
        let later = clear(r#"{"call":{"version":9,"bye":true,"unheard-of":[1]},"more":0}"#);
        assert_eq!(later, CallMessage { version: Some(9), ..CallMessage::bye() });
    }

    #[test]
    fn other_messages_are_told_apart() {
        assert!(matches!(read(r#"{"offer":"another program's"}"#), Received::Other));
        assert!(matches!(read("[1,2]"), Received::Other));
        assert!(matches!(read(r#"{"call":7}"#), Received::Unreadable));
        assert!(matches!(read(r#"{"call":{"attempt":"one"}}"#), Received::Unreadable));
        let sealed = read(r#"{"call":{"version":2,"sealed":"x","bye":true}}"#);
        assert!(matches!(sealed, Received::Sealed(text) if text == "x"));
    }

    #[test]
    fn messages_are_written_as_browsers_read_them() {
        let renew = CallMessage::renew(7).into_clear().unwrap();
        assert_eq!(renew.get(), r#"{"call":{"version":2,"renew":7}}"#);
        assert_eq!(sealed("x".to_owned()).unwrap().get(), r#"{"call":{"version":2,"sealed":"x"}}"#);
    }

    #[test]
    fn sealed_messages_are_bound_to_their_sender_and_receiver() {
        let [ann, bob, eve] =
            ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "eeeeeeeeeeeeeeee"].map(|id| id.parse().unwrap());
        let text = CallMessage::bye().into_sealable(ann, bob).unwrap();
        assert_eq!(CallMessage::opened(&text, ann, bob).unwrap().bye, Some(true));
        for (from, to) in [(bob, ann), (eve, bob), (ann, eve)] {
            assert_eq!(CallMessage::opened(&text, from, to), None);
        }
        let to_itself = CallMessage::bye().into_sealable(ann, ann).unwrap();
        assert_eq!(CallMessage::opened(&to_itself, ann, ann), None);
        assert_eq!(CallMessage::opened("[]", ann, bob), None);
    }
}
