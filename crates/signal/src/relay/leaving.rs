//! The end of connections and memberships.

use std::time::Instant;

use super::connection::Stage;
use super::deadlines::Deadline;
use super::member::{MemberEvent, Place, Presence};
use super::{CLOSE_NORMAL, ConnectionId, Event, MemberKey, SessionRelay};
use crate::error::{ErrorCode, Refusal};
use crate::server_message::{Ack, LeaveReason, ServerMessage};

impl SessionRelay {
    /// Ends a connection without an error; a membership stays for a while.
    pub(super) fn end(&mut self, now: Instant, connection: ConnectionId, close_code: u16) {
        self.close(now, connection, close_code, None);
    }

    /// Ends a connection with an error; a membership stays for a while.
    pub(super) fn end_with(&mut self, now: Instant, connection: ConnectionId, refusal: Refusal) {
        self.close(now, connection, refusal.code.close_code(), Some(refusal.fatal()));
    }

    /// Ends a connection that broke the protocol, and its membership.
    pub(super) fn violate(&mut self, now: Instant, connection: ConnectionId, refusal: Refusal) {
        let Some(state) = self.connections.get(&connection) else { return };
        let stage = state.stage;
        self.end_with(now, connection, refusal);
        if let Stage::Member(key) = stage {
            self.stats.put_out_violation += 1;
            self.remove(now, key, LeaveReason::Violation);
        }
    }

    /// From now on the client has a while to come back.
    pub(super) fn await_return(&mut self, now: Instant, key: MemberKey) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let until = now + self.config.resume_within;
        member.presence = Presence::Away { until };
        self.deadlines.insert(until, Deadline::Expiry(key));
    }

    /// Ends a membership: notifies those who saw it, and ends its connection.
    pub(super) fn remove(&mut self, now: Instant, key: MemberKey, reason: LeaveReason) {
        self.settle_ack(now, key);
        let Some(member) = self.members.remove(&key) else { return };
        tracing::debug!(peer = %member.peer, ?reason, "a membership ends");
        self.by_peer.remove(&member.peer);
        self.networks.give_back(member.address, 1);
        self.events.push_back(Event::Left(member.peer));
        self.buffers.change(key, member.log.bytes(), 0);
        match member.presence {
            Presence::Away { until } => self.deadlines.remove(until, Deadline::Expiry(key)),
            Presence::Connected(connection) => match reason {
                LeaveReason::Replaced => self.end_with(now, connection, replaced()),
                LeaveReason::TooSlow => {
                    let text = "More waits for you than this server keeps; you have been put out.";
                    self.end_with(now, connection, Refusal::new(ErrorCode::TooSlow, text));
                }
                _ => self.end(now, connection, CLOSE_NORMAL),
            },
        }
        for other in member.sees.iter() {
            if let Some(other) = self.members.get_mut(&other) {
                other.sees.remove(key);
            }
            self.push_member_event(other, MemberEvent::Left(member.peer, reason));
        }
        match &member.place {
            Place::Session(session) => {
                if let Some(members) = self.sessions.get_mut(session) {
                    members.remove(key);
                    if members.is_empty() {
                        self.sessions.remove(session);
                    }
                }
            }
            Place::Meeting { id, with } => self.leave_meeting(key, id, with.as_ref(), &member.sees),
        }
    }

    /// Removes those for whom too much waits, the worst first. Notifying others of that adds to
    /// what waits for them, but every round has one member less.
    pub(super) fn relieve(&mut self, now: Instant) {
        let (for_one, for_all) = (self.config.client_buffer_bytes, self.config.total_buffer_bytes);
        while let Some(key) = self.buffers.excessive(for_one, for_all) {
            self.stats.put_out_slow += 1;
            self.remove(now, key, LeaveReason::TooSlow);
        }
    }

    /// Makes an owed `ack` an answer, because the membership or the connection is about to end.
    fn settle_ack(&mut self, now: Instant, key: MemberKey) {
        if let Some(member) = self.members.get(&key)
            && let Presence::Connected(connection) = member.presence
            && let Some(state) = self.connections.get_mut(&connection)
            && state.acks.settle(now)
        {
            state.answers.push_back(ServerMessage::Ack(Ack { seq: member.accepted }).into());
        }
    }

    fn close(&mut self, now: Instant, connection: ConnectionId, close_code: u16, refusal: Option<Refusal>) {
        self.arm(connection, None);
        if let Some(Stage::Member(key)) = self.connections.get(&connection).map(|state| state.stage) {
            self.settle_ack(now, key);
        }
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let stage = std::mem::replace(&mut state.stage, Stage::Closing);
        if stage == Stage::Closing {
            return;
        }
        let error = refusal.as_ref().map(|refusal| refusal.code);
        if let Some(refusal) = refusal {
            self.stats.count_error(refusal.code);
            state.answers.push_back(ServerMessage::Error(refusal).into());
        }
        if let Stage::Member(key) = stage {
            self.await_return(now, key);
        }
        self.events.push_back(Event::Close { connection, close_code, error });
    }
}

/// The error for an older connection of a peer.
pub(super) fn replaced() -> Refusal {
    Refusal::new(ErrorCode::Replaced, "Another connection of the same peer has taken over.")
}
