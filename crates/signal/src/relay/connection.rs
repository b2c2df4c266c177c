//! One connection: a WebSocket, an event stream or a poll, and the answers that wait for it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Instant;

use super::deadlines::Deadline;
use super::{Frame, IceServersFor, MemberKey};
use crate::names::PeerId;
use crate::rates::{Faults, Rate, TokenBucket};
use crate::server_message::ServerMessage;

/// One way to a client.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stage: Stage,
    /// Where the client is, as far as joins are counted.
    pub(super) address: Option<IpAddr>,
    /// Answers to be sent before any more events, at most [`Connection::MAX_ANSWERS`].
    pub(super) answers: VecDeque<Answer>,
    /// Some `send` has been accepted since the last `ack`; written when there is room, so that acks
    /// never pile up.
    pub(super) ack_owed: bool,
    /// The next event to send.
    pub(super) next_event: u64,
    pub(super) last_activity: Instant,
    /// The number of pings since then.
    pub(super) pings: u32,
    pub(super) deadline: Option<(Instant, Deadline)>,
    pub(super) faults: Faults,
    /// The effort of a connection that belongs to no membership yet.
    pub(super) effort: TokenBucket,
    /// Since when the client sends more than its rate.
    pub(super) over_since: Option<Instant>,
    /// `Writable` has been queued, and not everything has been pulled since.
    pub(super) announced: bool,
}

impl Connection {
    /// Answers that may wait for a client that does not read them.
    pub(super) const MAX_ANSWERS: usize = 1024;

    pub(super) fn new(now: Instant, stage: Stage, address: Option<IpAddr>, effort: Rate) -> Self {
        Self {
            stage,
            address,
            answers: VecDeque::new(),
            ack_owed: false,
            next_event: 1,
            last_activity: now,
            pings: 0,
            deadline: None,
            faults: Faults::default(),
            effort: TokenBucket::full(now, effort),
            over_since: None,
            announced: false,
        }
    }
}

/// The stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing has entered a session.
    Entering,
    /// It belongs to this membership.
    Member(MemberKey),
    /// It has ended; answers may still be pulled.
    Closing,
}

/// An answer that waits.
#[derive(Debug)]
pub(super) struct Answer {
    message: ServerMessage,
    /// For whom `iceServers` is to be filled in when it is written.
    ice_servers_for: Option<PeerId>,
}

impl Answer {
    /// An answer whose `iceServers` are made when it is written.
    pub(super) fn with_ice_servers(message: ServerMessage, peer: PeerId) -> Self {
        Self { message, ice_servers_for: Some(peer) }
    }

    /// The peer for whom `iceServers` is to be filled in.
    pub(super) fn ice_servers_for(&self) -> Option<PeerId> {
        self.ice_servers_for
    }

    /// The message, complete.
    pub(super) fn complete(mut self, ice_servers: IceServersFor<'_>) -> ServerMessage {
        if let Some(peer) = self.ice_servers_for {
            match &mut self.message {
                ServerMessage::Joined(joined) => joined.ice_servers = ice_servers(peer),
                ServerMessage::Resumed(resumed) => resumed.ice_servers = ice_servers(peer),
                ServerMessage::IceServers(servers) => *servers = ice_servers(peer),
                _ => {}
            }
        }
        self.message
    }
}

impl From<ServerMessage> for Answer {
    fn from(message: ServerMessage) -> Self {
        Self { message, ice_servers_for: None }
    }
}

impl Frame {
    pub(super) fn new(message: &ServerMessage) -> Self {
        Self {
            seq: message.event_seq(),
            text: message.to_json(),
            ping: matches!(message, ServerMessage::Ping),
        }
    }

    /// The frame as a Server-Sent Event: `id` for an event, and one `data` line for each line of
    /// the text. (A carriage return, which JSON allows between tokens only, arrives as a line feed;
    /// everything else arrives as it is.)
    pub fn server_sent_event(&self) -> String {
        let mut out = String::with_capacity(self.text.len() + 32);
        if let Some(seq) = self.seq {
            out.push_str(&format!("id: {seq}\n"));
        }
        for line in self.text.replace("\r\n", "\n").split(['\n', '\r']) {
            out.push_str("data: ");
            out.push_str(line);
            out.push('\n');
        }
        out.push('\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_sent_event_has_a_data_line_for_each_line() {
        let frame = |text: &str, seq| Frame { seq, text: text.into(), ping: false }.server_sent_event();
        assert_eq!(frame("{}", None), "data: {}\n\n");
        assert_eq!(
            frame("{\n\n 1\r\n2\r3}", Some(7)),
            "id: 7\ndata: {\ndata: \ndata:  1\ndata: 2\ndata: 3}\n\n"
        );
    }
}
