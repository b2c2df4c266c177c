//! Messages of the server.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::value::RawValue;

use crate::config::Limits;
use crate::error::Refusal;
use crate::names::{ClientId, PeerId, Secret, SessionToken};

/// A message from the server to a client: an event (it has a `seq` that counts the peer's events)
/// or an answer.
///
/// [`ServerMessage::parse`] reads one; `serde` writes one, and reads one with `serde_json`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ServerMessage {
    /// The answer to `join`, `create` and `meet`.
    Joined(Box<Joined>),
    /// The answer to `resume`.
    Resumed(Resumed),
    /// Event: a peer is there now.
    PeerJoined(PeerJoined),
    /// Event: a peer is no longer reachable through this server.
    PeerLeft(PeerLeft),
    /// Event: what a peer sent.
    Message(Message),
    /// Every `send` up to `seq` has been accepted or refused by its number.
    Ack(Ack),
    /// Fresh TURN credentials.
    IceServers(IceServers),
    /// The server asks whether the connection lives.
    Ping,
    /// The answer to the client's ping.
    Pong,
    /// The server is about to stop.
    GoingAway(GoingAway),
    /// Something was refused.
    Error(Refusal),
}

/// The answer to `join`, `create` and `meet`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Joined {
    /// The own peer id.
    pub peer: PeerId,
    /// The session's token; none after `meet`.
    pub session: Option<SessionToken>,
    /// The resume secret.
    pub secret: Secret,
    /// The other peers that are there already.
    pub peers: Vec<PresentPeer>,
    /// STUN and TURN servers.
    #[serde(flatten)]
    pub ice_servers: IceServers,
    /// In milliseconds, how long the membership outlives a broken connection.
    pub resume_within: u64,
    /// The server's limits for this client.
    pub limits: Limits,
}

/// A peer that is there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PresentPeer {
    /// Its peer id.
    pub peer: PeerId,
    /// The name that it gave itself, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId>,
}

/// STUN and TURN servers for one client, with the end of their credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServers {
    /// In the shape of `RTCConfiguration.iceServers`.
    #[serde(rename = "iceServers")]
    pub servers: Vec<IceServer>,
    /// Unix time in seconds at which the credentials end; none if there are no credentials.
    #[serde(default, rename = "iceServersExpire", skip_serializing_if = "Option::is_none")]
    pub expire: Option<u64>,
}

impl IceServers {
    /// The servers that need no credentials.
    #[must_use]
    pub fn without_credentials(mut self) -> Self {
        self.servers.retain(|server| server.credential.is_none());
        self.expire = None;
        self
    }
}

/// One entry of `RTCConfiguration.iceServers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:`, `turn:` and `turns:` URLs.
    pub urls: Vec<String>,
    /// The user of a TURN server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Its password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// The answer to `resume`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The last `send` that the server has accepted.
    pub seq: u64,
    /// Fresh STUN and TURN servers.
    #[serde(flatten)]
    pub ice_servers: IceServers,
}

/// A peer is there now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerJoined {
    /// The number of the event.
    pub seq: u64,
    /// The peer.
    pub peer: PeerId,
    /// The name that it gave itself, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId>,
}

/// A peer is no longer reachable through this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLeft {
    /// The number of the event.
    pub seq: u64,
    /// The peer.
    pub peer: PeerId,
    /// Why.
    pub reason: LeaveReason,
}

/// Why a peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LeaveReason {
    /// It left with `leave`.
    Left,
    /// Its connection broke and it did not come back in time.
    Timeout,
    /// The same instance joined anew.
    Replaced,
    /// It did not take what waited for it.
    TooSlow,
    /// It broke the protocol.
    Violation,
    /// A reason that this version does not know; only ever received.
    #[serde(other)]
    Unknown,
}

/// The message of a peer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Message {
    /// The number of the event.
    pub seq: u64,
    /// The sender.
    pub from: PeerId,
    /// Exactly what was sent.
    pub data: Arc<RawValue>,
}

impl Message {
    /// The message as JSON text, made at once: nearly all messages are of this kind.
    fn to_json(&self) -> String {
        /// The bytes around the data, with the longest number.
        const AROUND: usize = 100;
        let data = self.data.get();
        let mut text = String::with_capacity(data.len() + AROUND);
        let Self { seq, from, .. } = self;
        // Writing to a string cannot fail, and no character of a peer id needs an escape.
        let _ = write!(text, r#"{{"type":"message","seq":{seq},"from":"{from}","data":"#);
        text.push_str(data);
        text.push('}');
        text
    }
}

/// Every `send` up to `seq` needs no repetition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The number of the last such `send`.
    pub seq: u64,
}

/// The server is about to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoingAway {
    /// In milliseconds, when to reconnect.
    pub after: u64,
}

impl ServerMessage {
    /// Reads one message from JSON text, as a client does.
    ///
    /// # Errors
    ///
    /// The error of `serde_json` for text that is not such a message.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "type")]
            kind: String,
        }
        let Kind { kind } = serde_json::from_str(text)?;
        Ok(match kind.as_str() {
            "joined" => Self::Joined(serde_json::from_str(text)?),
            "resumed" => Self::Resumed(serde_json::from_str(text)?),
            "peer-joined" => Self::PeerJoined(serde_json::from_str(text)?),
            "peer-left" => Self::PeerLeft(serde_json::from_str(text)?),
            "message" => Self::Message(serde_json::from_str(text)?),
            "ack" => Self::Ack(serde_json::from_str(text)?),
            "ice-servers" => Self::IceServers(serde_json::from_str(text)?),
            "ping" => Self::Ping,
            "pong" => Self::Pong,
            "going-away" => Self::GoingAway(serde_json::from_str(text)?),
            "error" => Self::Error(serde_json::from_str(text)?),
            _ => return Err(de::Error::custom("no such message type")),
        })
    }

    /// The message as JSON text.
    pub fn to_json(&self) -> String {
        if let Self::Message(message) = self {
            return message.to_json();
        }
        // Nothing in a message can fail to be written: there are no maps with other keys than text.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The number of an event; none of an answer.
    pub fn event_seq(&self) -> Option<u64> {
        match self {
            Self::PeerJoined(event) => Some(event.seq),
            Self::PeerLeft(event) => Some(event.seq),
            Self::Message(event) => Some(event.seq),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for ServerMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(text.get()).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_written_as_serde_writes_it() {
        for data in ["null", "\"\"", "{\"a\" : [1, 2.50]}", "\"\\u0000\u{1f54a}\""] {
            let data: Arc<RawValue> = RawValue::from_string(data.to_owned()).unwrap().into();
            for seq in [1, u64::MAX] {
                let from = "AZaz09-_AZaz09-_".parse().unwrap();
                let message = ServerMessage::Message(Message { seq, from, data: data.clone() });
                let text = message.to_json();
                assert_eq!(text, serde_json::to_string(&message).unwrap());
                assert!(text.len() <= data.get().len() + 100);
            }
        }
    }
}
