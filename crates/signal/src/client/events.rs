//! The inputs of a client, and its outputs.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::error::Refusal;
use crate::names::{ClientId, PeerId};
use crate::server_message::LeaveReason;

/// Something that has happened outside of a client.
#[derive(Clone, Copy, Debug)]
pub enum ClientInput<'a> {
    /// The connection that [`ClientRequest::Open`] asked for is open.
    Opened,
    /// A text message has arrived on it.
    Text(&'a str),
    /// Something else has arrived, which shows that the server lives.
    Activity,
    /// The connection has ended, or could not be opened.
    Ended,
    /// The host's addresses have changed.
    NetworkChanged {
        /// True if the connection's own address is not among them any more.
        lost: bool,
    },
}

/// Something that a client wants of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    /// Open a connection, and tell when it is open ([`ClientInput::Opened`]) or cannot be opened
    /// ([`ClientInput::Ended`]).
    Open,
    /// Close the connection, or stop opening it. It needs no answer.
    Close,
}

/// An event for the application.
#[derive(Clone, Debug)]
pub enum ClientEvent {
    /// The session is entered: comes first, and after each [`Reconnecting`](Self::Reconnecting).
    Open {
        /// The membership before was lost: what others have sent meanwhile may be lost, too.
        rejoined: bool,
    },
    /// The connection to the server broke; it is being mended.
    Reconnecting,
    /// A peer can be reached through the server.
    PeerJoined {
        /// Its peer id.
        peer: PeerId,
        /// The name that it gave itself.
        id: Option<ClientId>,
    },
    /// A peer can no longer be reached through the server.
    PeerLeft {
        /// Its peer id.
        peer: PeerId,
        /// The reason.
        reason: LeaveReason,
    },
    /// A peer has sent something.
    Message {
        /// The sender.
        from: PeerId,
        /// The JSON value, exactly as it was written.
        data: Arc<RawValue>,
    },
    /// The server has sent other STUN and TURN servers or fresh credentials.
    IceServers,
    /// The server refused something, and the session goes on.
    Refused(Refusal),
    /// The session is over: by this refusal, or because it was left. The last event.
    Closed(Option<Refusal>),
}

/// The reason for which a client takes no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The session was left.
    #[error("the session was left")]
    Closed,
    /// The server takes no message of this size.
    #[error("a message of {size} bytes is too large; the server takes {limit}")]
    TooLarge {
        /// Bytes of the message, the JSON around it included.
        size: usize,
        /// The server's limit.
        limit: usize,
    },
    /// As many messages as may wait are waiting already.
    #[error("too many messages wait to be sent")]
    Full,
}
