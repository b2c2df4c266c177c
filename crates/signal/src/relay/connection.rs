//! One connection: a WebSocket, an event stream or a poll, and the answers that wait for it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

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
    /// The `ack` of what the client has sent; written when there is room, so that acks never pile
    /// up.
    pub(super) acks: Acks,
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
            acks: Acks::default(),
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

/// The `ack` that a connection owes its client for `send`s.
///
/// The first goes out at once; while the client goes on sending, the next ones wait for a moment,
/// so that one stands for many and most go along with something else: an `ack` of its own costs as
/// much as the message that it is for.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// The `send`s looked at since the last `ack`.
    owed: u32,
    /// Until then an `ack` does not go out by itself.
    rests_until: Option<Instant>,
    /// The time of its deadline in the table.
    pub(super) armed: Option<Instant>,
    /// Something else has been pulled for the client, and is written at the same time.
    pub(super) accompanied: bool,
}

impl Acks {
    /// The time between two that go out by themselves: far below what a client waits for before it
    /// sends again.
    const REST: Duration = Duration::from_millis(20);

    /// The `send`s that one stands for at most, as for the client's own.
    const MOST: u32 = 32;

    /// Counts a `send`. Returns when the `ack` is due, if it is not yet.
    pub(super) fn owe(&mut self, now: Instant) -> Option<Instant> {
        self.owed = self.owed.saturating_add(1);
        if self.is_due(now) { None } else { self.wait() }
    }

    /// When an `ack` that is owed may go out by itself.
    pub(super) fn wait(&self) -> Option<Instant> {
        self.rests_until.filter(|_| self.owed > 0)
    }

    /// Returns whether an `ack` goes out now, though nothing else does.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.owed >= Self::MOST || (self.owed > 0 && self.rests_until.is_none_or(|until| until <= now))
    }

    /// Takes the `ack` that is owed, to be written now.
    pub(super) fn settle(&mut self, now: Instant) -> bool {
        let owed = std::mem::take(&mut self.owed) > 0;
        if owed {
            self.rests_until = Some(now + Self::REST);
        }
        owed
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
