//! Messages of clients.

use std::str::FromStr;
use std::sync::Arc;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use crate::error::{ErrorCode, Refusal};
use crate::names::{ClientId, Instance, JoinKey, NameError, PeerId, Secret, SessionToken};

/// A message from a client to the server.
///
/// [`ClientMessage::parse`] reads one; `serde` writes one, and reads one with `serde_json`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ClientMessage {
    /// Enter the session with this token.
    Join {
        /// The session.
        session: SessionToken,
        /// The client's instance.
        #[serde(skip_serializing_if = "Option::is_none")]
        instance: Option<Instance>,
        /// The client's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<ClientId>,
        /// The key that the server asks for, if it does.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<JoinKey>,
    },
    /// Enter a new session, whose token the server makes.
    Create {
        /// The client's instance.
        #[serde(skip_serializing_if = "Option::is_none")]
        instance: Option<Instance>,
        /// The client's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<ClientId>,
        /// The key that the server asks for, if it does.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<JoinKey>,
    },
    /// Be reachable under a client id, and perhaps ask for another client.
    Meet {
        /// The own id.
        id: ClientId,
        /// The id of the client asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        with: Option<ClientId>,
        /// The client's instance.
        #[serde(skip_serializing_if = "Option::is_none")]
        instance: Option<Instance>,
        /// The key that the server asks for, if it does.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<JoinKey>,
    },
    /// Come back to a membership.
    Resume {
        /// The own peer id.
        peer: PeerId,
        /// The resume secret.
        secret: Secret,
        /// The last event received; 0 for none.
        seq: u64,
    },
    /// Forward data.
    Send {
        /// Counts the client's sends from 1.
        seq: u64,
        /// One peer, or all others.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<Recipient>,
        /// Any JSON value, exactly as it was written.
        data: Arc<RawValue>,
    },
    /// All events up to this one have been received.
    Ack {
        /// The number of the event.
        seq: u64,
    },
    /// Ask for fresh TURN credentials.
    IceServers,
    /// Ask whether the connection lives.
    Ping,
    /// The answer to the server's ping.
    Pong,
    /// Go away for good.
    Leave,
}

/// The receiver of a `send`: a peer id, or some other text, which names no peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Recipient(Arc<str>);

impl Recipient {
    /// The peer, if the text can be a peer id at all.
    pub fn peer(&self) -> Option<PeerId> {
        self.0.parse().ok()
    }
}

impl From<PeerId> for Recipient {
    fn from(peer: PeerId) -> Self {
        Self(peer.as_str().into())
    }
}

impl ClientMessage {
    /// Reads one message from JSON text.
    ///
    /// # Errors
    ///
    /// `bad-json`, `unknown-type`, or what is wrong with a field; for a `send` with a legible
    /// number, with its `seq`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if let Some(frequent) = Frequent::read(text).and_then(Frequent::message) {
            return Ok(frequent);
        }
        Fields::read(text)?.message()
    }

    /// The join key of a message that enters a session.
    pub(crate) fn join_key(&self) -> Option<&JoinKey> {
        match self {
            Self::Join { key, .. } | Self::Create { key, .. } | Self::Meet { key, .. } => key.as_ref(),
            _ => None,
        }
    }

    /// The message as JSON text.
    pub fn to_json(&self) -> String {
        // Nothing in a message can fail to be written: there are no maps with other keys than text.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for ClientMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(text.get()).map_err(de::Error::custom)
    }
}

/// The fields of the messages that make up nearly all: `send` and `ack`, read in one go. What does
/// not fit (an escape in a name, a fault) is left to [`Fields`], which says what is wrong.
#[derive(Deserialize)]
struct Frequent<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    seq: u64,
    to: Option<&'a str>,
    #[serde(default, borrow, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
    // The other fields, each of which may be there once.
    #[serde(rename = "session")]
    _session: Option<IgnoredAny>,
    #[serde(rename = "instance")]
    _instance: Option<IgnoredAny>,
    #[serde(rename = "id")]
    _id: Option<IgnoredAny>,
    #[serde(rename = "key")]
    _key: Option<IgnoredAny>,
    #[serde(rename = "with")]
    _with: Option<IgnoredAny>,
    #[serde(rename = "peer")]
    _peer: Option<IgnoredAny>,
    #[serde(rename = "secret")]
    _secret: Option<IgnoredAny>,
}

impl<'a> Frequent<'a> {
    fn read(text: &'a str) -> Option<Self> {
        // No array, from which a struct could be read, too.
        if text.starts_with('{') { serde_json::from_str(text).ok() } else { None }
    }

    fn message(self) -> Option<ClientMessage> {
        match (self.kind, self.data) {
            ("send", Some(data)) if self.seq > 0 => {
                let to = self.to.map(|text| Recipient(text.into()));
                Some(ClientMessage::Send { seq: self.seq, to, data: data.to_owned().into() })
            }
            ("ack", _) => Some(ClientMessage::Ack { seq: self.seq }),
            _ => None,
        }
    }
}

/// Every field that any message has, not yet looked into.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    session: Option<&'a RawValue>,
    instance: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    key: Option<&'a RawValue>,
    with: Option<&'a RawValue>,
    peer: Option<&'a RawValue>,
    secret: Option<&'a RawValue>,
    seq: Option<&'a RawValue>,
    to: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "even_null")]
    data: Option<&'a RawValue>,
}

/// Reads a value that is there, `null` too.
fn even_null<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&'a RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Fields<'a> {
    fn read(text: &'a str) -> Result<Self, Refusal> {
        // A struct could also be read from an array; a message is an object.
        if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') {
            return Err(Refusal::new(ErrorCode::BadJson, "A message is one JSON object."));
        }
        serde_json::from_str(text).map_err(|error| {
            let code = if error.is_data() { ErrorCode::BadMessage } else { ErrorCode::BadJson };
            // Serde's error could quote some of the data; the place is enough.
            let (line, column) = (error.line(), error.column());
            let what = if error.is_data() { "A field occurs twice" } else { "This is not JSON" };
            Refusal::new(code, format!("{what}: line {line}, column {column}."))
        })
    }

    fn message(&self) -> Result<ClientMessage, Refusal> {
        let kind: String = required("type", "a string", self.kind)?;
        Ok(match kind.as_str() {
            "join" => {
                let (instance, id) = self.instance_and_id()?;
                let session = required_name("session", self.session)?;
                ClientMessage::Join { session, instance, id, key: name("key", self.key)? }
            }
            "create" => {
                let (instance, id) = self.instance_and_id()?;
                ClientMessage::Create { instance, id, key: name("key", self.key)? }
            }
            "meet" => ClientMessage::Meet {
                id: required_name("id", self.id)?,
                with: name("with", self.with)?,
                instance: name("instance", self.instance)?,
                key: name("key", self.key)?,
            },
            "resume" => ClientMessage::Resume {
                peer: required_name("peer", self.peer)?,
                secret: required_name("secret", self.secret)?,
                seq: required("seq", "a whole number from 0", self.seq)?,
            },
            "send" => self.send()?,
            "ack" => ClientMessage::Ack { seq: required("seq", "a whole number from 0", self.seq)? },
            "ice-servers" => ClientMessage::IceServers,
            "ping" => ClientMessage::Ping,
            "pong" => ClientMessage::Pong,
            "leave" => ClientMessage::Leave,
            _ => return Err(Refusal::new(ErrorCode::UnknownType, "There is no such message type.")),
        })
    }

    fn instance_and_id(&self) -> Result<(Option<Instance>, Option<ClientId>), Refusal> {
        Ok((name("instance", self.instance)?, name("id", self.id)?))
    }

    fn send(&self) -> Result<ClientMessage, Refusal> {
        let seq: u64 = required("seq", "a whole number from 1", self.seq)?;
        if seq == 0 {
            return Err(bad_field("seq", "a whole number from 1"));
        }
        let to: Option<String> =
            optional("to", "a peer id", self.to).map_err(|refusal| refusal.with_seq(seq))?;
        let data = self.data.ok_or_else(|| bad_field("data", "any JSON value").with_seq(seq))?;
        let to = to.map(|text| Recipient(text.into()));
        Ok(ClientMessage::Send { seq, to, data: data.to_owned().into() })
    }
}

fn optional<T: DeserializeOwned>(
    field: &str,
    expected: &str,
    value: Option<&RawValue>,
) -> Result<Option<T>, Refusal> {
    value.map(|value| serde_json::from_str(value.get()).map_err(|_| bad_field(field, expected))).transpose()
}

fn required<T: DeserializeOwned>(
    field: &str,
    expected: &str,
    value: Option<&RawValue>,
) -> Result<T, Refusal> {
    optional(field, expected, value)?.ok_or_else(|| bad_field(field, expected))
}

/// Reads a name that may be absent; an empty one is, too.
fn name<T: FromStr<Err = NameError>>(field: &str, value: Option<&RawValue>) -> Result<Option<T>, Refusal> {
    let text: Option<String> = optional(field, "a string", value)?;
    text.filter(|text| !text.is_empty())
        .map(|text| text.parse().map_err(|error| bad_name(field, error)))
        .transpose()
}

fn required_name<T: FromStr<Err = NameError>>(field: &str, value: Option<&RawValue>) -> Result<T, Refusal> {
    let text: String = required(field, "a string", value)?;
    text.parse().map_err(|error| bad_name(field, error))
}

fn bad_field(field: &str, expected: &str) -> Refusal {
    Refusal::new(ErrorCode::BadMessage, format!("The field \"{field}\" must be {expected}."))
}

fn bad_name(field: &str, error: NameError) -> Refusal {
    Refusal::new(error.code(), format!("The field \"{field}\" is wrong: {error}."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field with a fitting value, or another.
    fn field() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "type",
            "type",
            "seq",
            "seq",
            "to",
            "to",
            "data",
            "data",
            "session",
            "instance",
            "id",
            "key",
            "with",
            "peer",
            "secret",
            "t\\u0079pe",
            "other",
        ]);
        let value = prop::sample::select(vec![
            r#""send""#,
            r#""send""#,
            r#""ack""#,
            r#""s\u0065nd""#,
            "1",
            "7",
            "0",
            "-1",
            "1.0",
            "1e3",
            "18446744073709551616",
            "null",
            "true",
            "[]",
            r#"{"a":[1, 2]}"#,
            r#""0123456789abcdef""#,
            r#""\ud800""#,
            r#""x\"y""#,
            "nul",
            "",
        ]);
        (name, value).prop_map(|(name, value)| format!("\"{name}\" : {value}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn frequent_messages_are_read_as_all_are(
            fields in prop::collection::vec(field(), 0..6),
            around in prop::sample::select(vec![("{", "}"), ("{", "} "), ("[", "]"), (" {", "}"), ("{", "")]),
            good in any::<bool>(),
        ) {
            let mut fields = fields;
            if good {
                fields.extend([r#""type":"send""#, r#""seq":3"#, r#""data": "x""#].map(str::to_owned));
            }
            let text = format!("{}{}{}", around.0, fields.join(","), around.1);
            if let Some(message) = Frequent::read(&text).and_then(Frequent::message) {
                let all = Fields::read(&text).and_then(|fields| fields.message());
                prop_assert_eq!(Ok(message.to_json()), all.map(|message| message.to_json()), "{}", text);
            }
        }
    }
}
