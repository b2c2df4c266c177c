//! Requests of clients: one file for each kind.

pub(super) mod allocate;
mod auth;
mod binding;
mod peers;
mod refresh;
mod reply;

pub(super) use auth::Signer;

use std::time::Instant;

use columba_stun::{AttributeType, Class, ErrorCode, FingerprintError, Message, Method};

use super::Server;
use super::path::{Event, FiveTuple, Transport};
use super::stats::DropReason;
use super::table::{Allocation, Slot, Stage};
use auth::Refusal;

/// Attributes that every authenticated request may carry.
const KNOWN: [AttributeType; 5] = [
    AttributeType::USERNAME,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PASSWORD_ALGORITHM,
    AttributeType::LIFETIME,
];

/// An authenticated request.
#[derive(Debug)]
struct Authentic<'a> {
    tuple: FiveTuple,
    message: Message<'a>,
    username: &'a str,
    signer: Signer,
    /// The time until which an allocation that this request makes may be kept going.
    good_until: Instant,
}

impl Server {
    pub(super) fn handle_message(&mut self, now: Instant, tuple: FiveTuple, data: &[u8]) {
        self.stats.control_bytes_in += data.len() as u64;
        let mut parsed = Message::parse(data);
        // On a stream the cookie shows that the frame begins where a message does.
        if parsed.is_err() && tuple.transport() == Transport::Udp {
            parsed = Message::parse_classic(data);
        }
        let parsed = parsed.ok().filter(|message| {
            matches!(message.verify_fingerprint(), Ok(()) | Err(FingerprintError::Missing))
        });
        let Some(message) = parsed else {
            self.stats.count_drop(DropReason::Malformed);
            if tuple.transport().is_stream() {
                // The start of the next message is unknown.
                self.push_event(Event::ConnectionClose { tuple });
            }
            return;
        };
        match (message.class(), message.method()) {
            (Class::Request, method) => self.handle_request(now, tuple, message, method),
            // A keepalive: no answer is wanted (RFC 8489 §3).
            (Class::Indication, Method::BINDING) => {}
            _ => self.stats.count_drop(DropReason::Unexpected),
        }
    }

    fn handle_request(&mut self, now: Instant, tuple: FiveTuple, message: Message<'_>, method: Method) {
        let counter = match method {
            Method::BINDING => &mut self.stats.binding_requests,
            Method::ALLOCATE => &mut self.stats.allocate_requests,
            Method::REFRESH => &mut self.stats.refresh_requests,
            Method::CREATE_PERMISSION => &mut self.stats.create_permission_requests,
            Method::CHANNEL_BIND => &mut self.stats.channel_bind_requests,
            _ => return self.stats.count_drop(DropReason::Unexpected),
        };
        *counter += 1;
        let is_answerable = tuple.transport() != Transport::Udp || {
            let request = self.stranger(&tuple, message.as_bytes());
            self.answers.note(now, request, reply::SHORTEST)
        };
        if !is_answerable && (method == Method::BINDING || !message.has_integrity()) {
            // The answer would be withheld anyway, so it is not even made.
            self.stats.answers_withheld += 1;
            return;
        }
        if method == Method::BINDING {
            return self.handle_binding(now, tuple, message);
        }
        match self.authenticate(now, tuple, message) {
            Ok(request) => self.handle_authentic(now, request),
            Err(_) if !is_answerable && !self.is_familiar(now, &tuple) => self.stats.answers_withheld += 1,
            Err(Refusal::Challenge(code)) => self.challenge(now, tuple, message, code),
            Err(Refusal::Plain(code)) => self.refuse_stranger(now, tuple, message, code),
        }
    }

    fn is_familiar(&mut self, now: Instant, tuple: &FiveTuple) -> bool {
        let stranger = self.stranger(tuple, &[]);
        self.answers.is_familiar(now, stranger)
    }

    fn handle_authentic(&mut self, now: Instant, request: Authentic<'_>) {
        let done = match request.message.method() {
            Method::ALLOCATE => self.handle_allocate(now, &request),
            Method::REFRESH => self.handle_refresh(now, &request),
            Method::CREATE_PERMISSION => self.handle_create_permission(now, &request),
            _ => self.handle_channel_bind(now, &request),
        };
        if let Err(code) = done {
            self.refuse(&request, code);
        }
    }

    /// The live allocation that a request is about, if its sender may change it.
    fn allocation_of(
        &mut self,
        now: Instant,
        request: &Authentic<'_>,
    ) -> Result<(Slot, &mut Allocation), ErrorCode> {
        let slot = self.table.find(&request.tuple).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        let is_owner = |allocation: &Allocation| *allocation.username == *request.username;
        if self.table.get(slot).is_some_and(is_owner) {
            self.note_presence(now, slot, &request.tuple);
        }
        let allocation = self.table.get_mut(slot).ok_or(ErrorCode::ALLOCATION_MISMATCH)?;
        if *allocation.username != *request.username {
            return Err(ErrorCode::WRONG_CREDENTIALS);
        }
        match allocation.stage {
            Stage::Live(_) => Ok((slot, allocation)),
            Stage::Asking(_) => Err(ErrorCode::ALLOCATION_MISMATCH),
        }
    }
}

/// A malformed attribute is answered with 400 (RFC 8489 §6.3.1).
fn bad(_: columba_stun::AttributeError) -> ErrorCode {
    ErrorCode::BAD_REQUEST
}
