//! The messages of clients in a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::connection::Answer;
use super::deadlines::Deadline;
use super::entering::{is_fault, too_many_errors};
use super::member::MemberEvent;
use super::{ConnectionId, MemberKey, SessionRelay};
use crate::client_message::{ClientMessage, Recipient};
use crate::error::{ErrorCode, Refusal};
use crate::server_message::{IceServers, LeaveReason, ServerMessage};

/// A message counts once against the rate, and once more for every so many bytes: a burst of the
/// largest messages then stays below what may wait for one client.
const BYTES_PER_TOKEN: usize = 16 * 1024;

/// A client that was too fast must wait for so much of its rate, not for a single message.
const PAUSE: Duration = Duration::from_millis(400);

/// The outcome of a message.
#[derive(Debug, Default)]
pub(super) struct Reply {
    /// In order, without the `ack`.
    pub(super) answers: Vec<Answer>,
    /// A `send` was looked at: acknowledge those that have been accepted.
    pub(super) ack: bool,
    pub(super) ending: Option<Ending>,
}

/// The ways in which a message ends the membership.
#[derive(Debug)]
pub(super) enum Ending {
    Left,
    Violation(Refusal),
}

impl SessionRelay {
    /// A message on the WebSocket of a member.
    pub(super) fn talk_by(&mut self, now: Instant, connection: ConnectionId, key: MemberKey, text: &str) {
        let reply = self.talk(now, key, text);
        for answer in reply.answers {
            self.answer(now, connection, answer);
        }
        if reply.ack {
            self.owe_ack(now, connection);
        }
        match reply.ending {
            None => {}
            Some(Ending::Left) => self.remove(now, key, LeaveReason::Left),
            Some(Ending::Violation(refusal)) => self.violate(now, connection, refusal),
        }
    }

    fn owe_ack(&mut self, now: Instant, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        match state.acks.owe(now) {
            None => self.announce(connection),
            Some(due) if state.acks.armed.is_none() => {
                state.acks.armed = Some(due);
                self.deadlines.insert(due, Deadline::Ack(connection));
            }
            Some(_) => {}
        }
    }

    /// The `ack` of a connection may be due: it may have gone along with something meanwhile.
    pub(super) fn after_ack_rest(&mut self, now: Instant, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        state.acks.armed = None;
        if state.acks.is_due(now) {
            self.announce(connection);
        } else if let Some(due) = state.acks.wait() {
            state.acks.armed = Some(due);
            self.deadlines.insert(due, Deadline::Ack(connection));
        }
    }

    /// Takes a message of a member, over either transport.
    pub(super) fn talk(&mut self, now: Instant, key: MemberKey, text: &str) -> Reply {
        let mut reply = Reply::default();
        let outcome = match self.parse(text) {
            Ok(ClientMessage::Send { seq, to, data }) => {
                self.sent(now, key, seq, text.len(), Ok((to, data)), &mut reply)
            }
            Err(refusal) => match refusal.seq {
                Some(seq) => self.sent(now, key, seq, text.len(), Err(refusal), &mut reply),
                None => Err(refusal),
            },
            Ok(ClientMessage::Ack { seq }) => {
                self.check_received(key, seq).map(|()| self.acknowledge(key, seq))
            }
            Ok(ClientMessage::IceServers) => self.count_request(now, key).map(|()| {
                let message = ServerMessage::IceServers(IceServers::default());
                let peer = self.members.get(&key).map(|member| member.peer);
                reply.answers.extend(peer.map(|peer| Answer::with_ice_servers(message, peer)));
            }),
            Ok(ClientMessage::Ping) => {
                self.count_request(now, key).map(|()| reply.answers.push(ServerMessage::Pong.into()))
            }
            Ok(ClientMessage::Pong) => Ok(()),
            Ok(ClientMessage::Leave) => {
                reply.ending = Some(Ending::Left);
                Ok(())
            }
            Ok(
                ClientMessage::Join { .. }
                | ClientMessage::Create { .. }
                | ClientMessage::Meet { .. }
                | ClientMessage::Resume { .. },
            ) => Err(Refusal::new(ErrorCode::AlreadyJoined, "This connection is in a session already.")),
        };
        if let Err(refusal) = outcome {
            self.refuse(now, key, refusal, &mut reply);
        }
        reply
    }

    fn refuse(&mut self, now: Instant, key: MemberKey, refusal: Refusal, reply: &mut Reply) {
        let fault = is_fault(refusal.code);
        self.stats.count_error(refusal.code);
        reply.answers.push(ServerMessage::Error(refusal).into());
        let per_minute = self.config.errors_per_minute;
        let member = self.members.get_mut(&key);
        if fault && member.is_some_and(|member| member.faults.too_many(now, per_minute)) {
            reply.ending = Some(Ending::Violation(too_many_errors()));
        }
    }

    /// A `send`, whole or with what is wrong with it: it counts when its number is the next, and
    /// only then.
    fn sent(
        &mut self,
        now: Instant,
        key: MemberKey,
        seq: u64,
        bytes: usize,
        content: Result<(Option<Recipient>, Arc<RawValue>), Refusal>,
        reply: &mut Reply,
    ) -> Result<(), Refusal> {
        let rate = self.sending_rate();
        let Some(member) = self.members.get_mut(&key) else { return Ok(()) };
        let next = member.accepted + 1;
        if seq < next {
            self.stats.duplicates += 1;
            reply.ack = true;
            return Ok(());
        }
        if seq > next {
            if std::mem::replace(&mut member.asked_to_go_back, true) {
                return Ok(());
            }
            let text = format!("A message is missing; send {next} and later again.");
            return Err(Refusal::new(ErrorCode::SequenceGap, text).with_seq(next));
        }
        let cost = 1.0 + (bytes / BYTES_PER_TOKEN) as f64;
        if !member.sending.take(now, rate, cost) {
            member.asked_to_go_back = true;
            let wait = member.sending.wait_for(rate, cost.max(rate.per_second * PAUSE.as_secs_f64()));
            let text = format!(
                "You send more than {} messages a second; send {seq} and later again in {:.1} s.",
                self.config.messages_per_second,
                wait.as_secs_f64()
            );
            return Err(Refusal::new(ErrorCode::RateLimited, text).with_seq(seq).with_retry_after(wait));
        }
        member.asked_to_go_back = false;
        member.accepted = seq;
        reply.ack = true;
        let (to, data) = content?;
        self.forward(key, to.as_ref(), &data).map_err(|refusal| refusal.with_seq(seq))
    }

    fn forward(
        &mut self,
        key: MemberKey,
        to: Option<&Recipient>,
        data: &Arc<RawValue>,
    ) -> Result<(), Refusal> {
        let Some(sender) = self.members.get(&key) else { return Ok(()) };
        let from = sender.peer;
        let receivers: Vec<MemberKey> = match to {
            None => sender.sees.iter().collect(),
            Some(to) => {
                let receiver = to.peer().and_then(|peer| self.by_peer.get(&peer)).copied();
                match receiver.filter(|receiver| sender.sees.contains(*receiver)) {
                    Some(receiver) => vec![receiver],
                    None => {
                        let text = "The peer that this message is for is not in the session.";
                        return Err(Refusal::new(ErrorCode::NoSuchPeer, text));
                    }
                }
            }
        };
        let bytes = data.get().len() as u64;
        self.stats.messages_in += 1;
        self.stats.bytes_in += bytes;
        self.stats.messages_out += receivers.len() as u64;
        self.stats.bytes_out += bytes * receivers.len() as u64;
        for receiver in receivers {
            self.push_member_event(receiver, MemberEvent::Message(from, data.clone()));
        }
        Ok(())
    }

    /// Counts a request that makes the server answer against the same rate as a message.
    fn count_request(&mut self, now: Instant, key: MemberKey) -> Result<(), Refusal> {
        let rate = self.sending_rate();
        let Some(member) = self.members.get_mut(&key) else { return Ok(()) };
        if member.sending.take(now, rate, 1.0) {
            return Ok(());
        }
        let wait = member.sending.wait_for(rate, rate.per_second * PAUSE.as_secs_f64());
        let text = format!("You send more than {} messages a second.", self.config.messages_per_second);
        Err(Refusal::new(ErrorCode::RateLimited, text).with_retry_after(wait))
    }
}
