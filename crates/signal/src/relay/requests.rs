//! The HTTP transport: each request whole, and streams and polls as connections.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use super::connection::{Answer, Stage};
use super::deadlines::Deadline;
use super::member::Presence;
use super::talking::Ending;
use super::{ConnectionId, EventsKind, IceServersFor, MemberKey, SessionRelay};
use crate::error::{ErrorCode, Refusal};
use crate::names::Credential;
use crate::server_message::{Ack, LeaveReason, ServerMessage};

/// Messages in one request: no more than a burst and its acknowledgements need, so that answers
/// stay small.
const MAX_BATCH: usize = 1000;

/// The longest time that a poll waits, less than proxies let a request be silent.
const MAX_POLL: Duration = Duration::from_secs(30);

impl SessionRelay {
    /// `POST /v1/signal`: enters a session. `Ok` is the body of a `201`; the membership has
    /// [`Config::resume_within`](crate::Config::resume_within) until its first stream or poll.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer.
    pub fn join(
        &mut self,
        now: Instant,
        client_address: IpAddr,
        body: &str,
        ice_servers: IceServersFor<'_>,
    ) -> Result<String, Refusal> {
        let outcome = if body.len() > self.config.entry_bytes() {
            let text = format!("A request to enter has at most {} bytes.", self.config.entry_bytes());
            Err(Refusal::new(ErrorCode::MessageTooLarge, text))
        } else {
            self.parse(body).and_then(|message| self.enter(now, client_address, message))
        };
        self.relieve(now);
        let (_, mut joined) = self.counted(outcome)?;
        joined.ice_servers = self.ice_servers(joined.peer, ice_servers);
        Ok(ServerMessage::Joined(Box::new(joined)).to_json())
    }

    /// Checks who makes a request, and counts it, before its body is read.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer, whatever the body says.
    pub fn admit_request(&mut self, now: Instant, credential: &Credential) -> Result<(), Refusal> {
        let outcome = self.authorize(credential.peer, &credential.secret);
        let outcome = outcome.and_then(|key| self.count_http(now, key));
        self.counted(outcome)
    }

    /// `POST /v1/signal/messages`: one message or an array of them. `Ok` is the body of a `200`:
    /// the array of answers.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer: of the credential, of the body, or of a message that came
    /// alone.
    pub fn post(
        &mut self,
        now: Instant,
        credential: &Credential,
        body: &str,
        ice_servers: IceServersFor<'_>,
    ) -> Result<String, Refusal> {
        let outcome = self.authorize(credential.peer, &credential.secret);
        let key = self.counted(outcome)?;
        if let Some(member) = self.members.get_mut(&key) {
            // Each request gets its own number from which to send again: the answer to the last may
            // have been lost.
            member.asked_to_go_back = false;
        }
        let outcome = self.batch(body);
        let batch = self.counted(outcome)?;
        let answers = self.post_batch(now, key, &batch);
        self.relieve(now);
        let source = |peer| self.ice_servers(peer, ice_servers);
        let answers: Vec<_> = answers?.into_iter().map(|answer| answer.complete(&source)).collect();
        match (&batch, answers.as_slice()) {
            (Batch::One(_), [ServerMessage::Error(refusal), ..]) => Err(refusal.clone()),
            // Nothing in a message can fail to be written: there are no maps with other keys than
            // text.
            _ => Ok(serde_json::to_string(&answers).unwrap_or_default()),
        }
    }

    /// `GET /v1/signal/events`: opens a stream or poll, which replaces the connection that the peer
    /// has. `after` is `Last-Event-ID` or the query's `after`: everything up to it is acknowledged.
    /// Frames come from [`poll_transmit`](Self::poll_transmit); a poll answers, and disconnects, as
    /// soon as there is one.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer.
    pub fn open_events(
        &mut self,
        now: Instant,
        credential: &Credential,
        after: Option<u64>,
        kind: EventsKind,
    ) -> Result<ConnectionId, Refusal> {
        let after = after.unwrap_or_default();
        let outcome = self.authorize(credential.peer, &credential.secret);
        let outcome = outcome.and_then(|key| self.count_http(now, key).map(|()| key));
        let outcome = outcome.and_then(|key| self.check_received(key, after).map(|()| key));
        let outcome = outcome.and_then(|key| match self.drain {
            Some(until) if until <= now => {
                Err(Refusal::new(ErrorCode::Draining, "The server is stopping.").with_retry_after(MAX_POLL))
            }
            _ => Ok(key),
        });
        let key = self.counted(outcome)?;
        let connection = self.add_connection(now, Stage::Entering, None);
        self.attach(now, connection, key, after);
        self.stats.resumes += 1;
        self.send_going_away(now, connection);
        if let EventsKind::Poll(wait) = kind {
            self.arm(connection, Some((now + wait.min(MAX_POLL), Deadline::PollEnd(connection))));
        }
        Ok(connection)
    }

    /// `DELETE /v1/signal`: the peer leaves for good.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer.
    pub fn leave(&mut self, now: Instant, credential: &Credential) -> Result<(), Refusal> {
        let outcome = self.authorize(credential.peer, &credential.secret);
        let key = self.counted(outcome)?;
        self.remove(now, key, LeaveReason::Left);
        self.relieve(now);
        Ok(())
    }

    fn post_batch(
        &mut self,
        now: Instant,
        key: MemberKey,
        batch: &Batch<'_>,
    ) -> Result<Vec<Answer>, Refusal> {
        let mut answers = Vec::new();
        let (mut ack, mut left) = (false, false);
        for text in batch.texts() {
            self.count_message(now, key, text.len());
            let reply = self.talk(now, key, text);
            answers.extend(reply.answers);
            ack |= reply.ack;
            match reply.ending {
                None => {}
                Some(Ending::Left) => {
                    left = true;
                    break;
                }
                Some(Ending::Violation(refusal)) => {
                    self.violate_by_request(now, key, refusal.clone());
                    return Err(refusal.fatal());
                }
            }
        }
        if ack && let Some(member) = self.members.get(&key) {
            answers.push(ServerMessage::Ack(Ack { seq: member.accepted }).into());
        }
        if left {
            self.remove(now, key, LeaveReason::Left);
        }
        Ok(answers)
    }

    fn violate_by_request(&mut self, now: Instant, key: MemberKey, refusal: Refusal) {
        match self.members.get(&key).map(|member| member.presence) {
            Some(Presence::Connected(connection)) => self.violate(now, connection, refusal),
            _ => {
                self.stats.count_error(refusal.code);
                self.stats.put_out_violation += 1;
                self.remove(now, key, LeaveReason::Violation);
            }
        }
    }

    /// Cuts a body into its messages.
    fn batch<'a>(&self, body: &'a str) -> Result<Batch<'a>, Refusal> {
        if body.len() > self.config.request_bytes() {
            let text = format!("A request has at most {} bytes.", self.config.request_bytes());
            return Err(Refusal::new(ErrorCode::MessageTooLarge, text));
        }
        if !body.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('[') {
            return Ok(Batch::One(body));
        }
        let messages: Vec<&RawValue> = serde_json::from_str(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Refusal::new(ErrorCode::BadJson, format!("This is not JSON: line {line}, column {column}."))
        })?;
        if messages.len() > MAX_BATCH {
            let text = format!("A request has at most {MAX_BATCH} messages.");
            return Err(Refusal::new(ErrorCode::BadMessage, text));
        }
        Ok(Batch::Many(messages))
    }

    /// Counts a refusal, if it is one.
    fn counted<T>(&mut self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        outcome.inspect_err(|refusal| self.stats.count_error(refusal.code))
    }
}

/// The messages of one request.
enum Batch<'a> {
    One(&'a str),
    Many(Vec<&'a RawValue>),
}

impl Batch<'_> {
    fn texts(&self) -> impl Iterator<Item = &str> {
        let (one, many) = match self {
            Self::One(text) => (Some(*text), [].as_slice()),
            Self::Many(messages) => (None, messages.as_slice()),
        };
        one.into_iter().chain(many.iter().map(|message| message.get()))
    }
}
