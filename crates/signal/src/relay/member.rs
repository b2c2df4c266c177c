//! One membership: who it is, whom it sees, and the events that wait for it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use serde_json::value::RawValue;

use super::member_set::MemberSet;
use super::{ConnectionId, SessionKey};
use crate::names::{ClientId, PeerId, Secret};
use crate::rates::{Faults, TokenBucket};
use crate::server_message::{LeaveReason, Message, PeerJoined, PeerLeft, PresentPeer, ServerMessage};

/// One peer, from `joined` to `peer-left`.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) peer: PeerId,
    pub(super) id: Option<ClientId>,
    pub(super) secret: Secret,
    pub(super) place: Place,
    /// Where its client was when it entered.
    pub(super) address: IpAddr,
    /// Whom it may talk to; at most one less than the peers of a session.
    pub(super) sees: MemberSet,
    pub(super) presence: Presence,
    /// Its client takes events over HTTP, where connections come and go.
    pub(super) polls: bool,
    /// The last `send` that was accepted.
    pub(super) accepted: u64,
    /// The client has been asked to send again from some number on: what it sent before that is
    /// dropped silently.
    pub(super) asked_to_go_back: bool,
    /// It sees another member since it was last given `iceServers`, and has a right to more of them
    /// than before.
    pub(super) ice_servers_owed: bool,
    pub(super) sending: TokenBucket,
    /// The effort of everything that arrives, by whatever transport.
    pub(super) effort: TokenBucket,
    pub(super) faults: Faults,
    pub(super) log: EventLog,
}

impl Member {
    pub(super) fn present(&self) -> PresentPeer {
        PresentPeer { peer: self.peer, id: self.id.clone() }
    }
}

/// The way in which it entered.
#[derive(Debug)]
pub(super) enum Place {
    /// By a token.
    Session(SessionKey),
    /// By `meet`: under its id, and perhaps asking for another.
    Meeting { id: ClientId, with: Option<ClientId> },
}

/// True if its client is connected.
#[derive(Clone, Copy, Debug)]
pub(super) enum Presence {
    Connected(ConnectionId),
    /// Until then it can come back.
    Away {
        until: Instant,
    },
}

/// An event, without the number that it has for one receiver.
#[derive(Clone, Debug)]
pub(super) enum MemberEvent {
    Joined(PresentPeer),
    Left(PeerId, LeaveReason),
    /// Data, kept once for all receivers.
    Message(PeerId, Arc<RawValue>),
}

impl MemberEvent {
    /// The bytes that it counts for: the text and an estimate of what surrounds it.
    fn cost(&self) -> usize {
        const AROUND: usize = 128;
        match self {
            Self::Joined(_) | Self::Left(..) => AROUND,
            Self::Message(_, data) => AROUND + data.get().len(),
        }
    }

    fn numbered(&self, seq: u64) -> ServerMessage {
        match self.clone() {
            Self::Joined(PresentPeer { peer, id }) => ServerMessage::PeerJoined(PeerJoined { seq, peer, id }),
            Self::Left(peer, reason) => ServerMessage::PeerLeft(PeerLeft { seq, peer, reason }),
            Self::Message(from, data) => ServerMessage::Message(Message { seq, from, data }),
        }
    }
}

/// The events that the client has not acknowledged, in order. Bounded by the relay, which puts the
/// client out.
#[derive(Debug, Default)]
pub(super) struct EventLog {
    acknowledged: u64,
    waiting: VecDeque<MemberEvent>,
    bytes: usize,
}

impl EventLog {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The number of the last event there has been.
    pub(super) fn last(&self) -> u64 {
        self.acknowledged + self.waiting.len() as u64
    }

    /// The number of the first event that can be sent (again).
    pub(super) fn first(&self) -> u64 {
        self.acknowledged + 1
    }

    pub(super) fn push(&mut self, event: MemberEvent) {
        self.bytes += event.cost();
        self.waiting.push_back(event);
    }

    /// Forgets everything up to `seq`.
    pub(super) fn acknowledge(&mut self, seq: u64) {
        while self.acknowledged < seq {
            let Some(event) = self.waiting.pop_front() else { return };
            self.bytes -= event.cost();
            self.acknowledged += 1;
        }
        // A burst should not be paid for in memory as long as the client stays.
        if self.waiting.len() * 4 < self.waiting.capacity() && self.waiting.capacity() > 64 {
            self.waiting.shrink_to(self.waiting.len() * 2);
        }
    }

    pub(super) fn get(&self, seq: u64) -> Option<ServerMessage> {
        let index = usize::try_from(seq.checked_sub(self.first())?).ok()?;
        self.waiting.get(index).map(|event| event.numbered(seq))
    }
}
