//! Making answers and putting them where [`Server::poll_transmit`] finds them.

use std::time::Instant;

use columba_stun::attributes::{Nonce, PasswordAlgorithms, Realm, UnknownAttributes};
use columba_stun::{AttributeType, BuildError, ErrorCode, HEADER_LEN, Message, MessageBuilder};

use super::super::answers::Stranger;
use super::super::path::{FiveTuple, Transport};
use super::super::stats::DropReason;
use super::super::{MAX_ANSWER, Server};
use super::Authentic;

/// The shortest answer to an unauthenticated source: a Binding response with an IPv4 address.
pub(super) const SHORTEST: usize = HEADER_LEN + 12;

/// The most answers that wait for [`Server::poll_transmit`]; more are dropped and counted, as by a
/// full socket buffer.
const MAX_WAITING: usize = 4096;

impl Server {
    /// Answers an unauthenticated source with an error, and with all that is needed to try again.
    pub(super) fn challenge(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        message: Message<'_>,
        code: ErrorCode,
    ) {
        let nonce = self.nonces.make(now, &tuple);
        let mut buf = [0; MAX_ANSWER];
        let built = MessageBuilder::error(&mut buf, &message, code).and_then(|mut builder| {
            builder
                .push(&Realm(self.config.realm.as_bytes()))?
                .push(&Nonce(&nonce))?
                .push(&PasswordAlgorithms::SUPPORTED)?;
            finish_unsigned(builder, &message)
        });
        self.answer_stranger(now, tuple, &buf, built, Some(code));
    }

    /// Answers an unauthenticated source with an error, without a challenge.
    pub(super) fn refuse_stranger(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        message: Message<'_>,
        code: ErrorCode,
    ) {
        let mut buf = [0; MAX_ANSWER];
        let built = MessageBuilder::error(&mut buf, &message, code)
            .and_then(|builder| finish_unsigned(builder, &message));
        self.answer_stranger(now, tuple, &buf, built, Some(code));
    }

    /// Answers an unauthenticated source with 420.
    pub(super) fn refuse_unknown_of_stranger(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        message: Message<'_>,
        unknown: &UnknownAttributes,
    ) {
        let code = ErrorCode::UNKNOWN_ATTRIBUTE;
        let mut buf = [0; MAX_ANSWER];
        let built = MessageBuilder::error(&mut buf, &message, code).and_then(|mut builder| {
            builder.push(unknown)?;
            finish_unsigned(builder, &message)
        });
        self.answer_stranger(now, tuple, &buf, built, Some(code));
    }

    /// Sends an answer within the limit for strangers. `code` if it is an error.
    pub(super) fn answer_stranger(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        buf: &[u8],
        built: Result<usize, BuildError>,
        code: Option<ErrorCode>,
    ) {
        let Ok(len) = built else { return self.stats.count_drop(DropReason::NoRoom) };
        if tuple.transport() == Transport::Udp {
            let answer = self.stranger(&tuple, &buf[..len]);
            if !self.answers.take(now, answer) {
                self.stats.answers_withheld += 1;
                return;
            }
        }
        self.count_answer(code);
        self.enqueue(tuple, &buf[..len]);
    }

    /// A message of a source that has not authenticated, or to it, for the limit on answers.
    pub(super) fn stranger<'a>(&self, tuple: &FiveTuple, message: &'a [u8]) -> Stranger<'a> {
        let source = tuple.client();
        Stranger { source, message, is_client: self.addresses.has_client(source.ip()) }
    }

    /// The error answer to an authentic request.
    pub(super) fn refuse(&mut self, request: &Authentic<'_>, code: ErrorCode) {
        self.answer(request, code, |_| Ok(()));
    }

    /// 420 to an authentic request, if it has attributes that are not `known` (nor known
    /// everywhere) and had to be understood.
    pub(super) fn refuse_unknown(&mut self, request: &Authentic<'_>, known: &[AttributeType]) -> bool {
        let all: Vec<AttributeType> = super::KNOWN.iter().chain(known).copied().collect();
        let unknown = request.message.unknown_comprehension_required(&all);
        if unknown.is_empty() {
            return false;
        }
        self.answer(request, ErrorCode::UNKNOWN_ATTRIBUTE, |builder| {
            builder.push(&unknown)?;
            Ok(())
        });
        true
    }

    /// A success answer to an authentic request.
    pub(super) fn accept(
        &mut self,
        request: &Authentic<'_>,
        fill: impl FnOnce(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) {
        let mut buf = [0; MAX_ANSWER];
        let built = MessageBuilder::success(&mut buf, &request.message).and_then(|mut builder| {
            fill(&mut builder)?;
            request.signer.sign(&mut builder)?;
            Ok(builder.finish())
        });
        self.send_built(request.tuple, &buf, built, None);
    }

    fn answer(
        &mut self,
        request: &Authentic<'_>,
        code: ErrorCode,
        fill: impl FnOnce(&mut MessageBuilder<'_>) -> Result<(), BuildError>,
    ) {
        let mut buf = [0; MAX_ANSWER];
        let built = MessageBuilder::error(&mut buf, &request.message, code).and_then(|mut builder| {
            fill(&mut builder)?;
            request.signer.sign(&mut builder)?;
            Ok(builder.finish())
        });
        self.send_built(request.tuple, &buf, built, Some(code));
    }

    /// Queues an answer to an authenticated client. `code` if it is an error.
    pub(in super::super) fn send_built(
        &mut self,
        tuple: FiveTuple,
        buf: &[u8],
        built: Result<usize, BuildError>,
        code: Option<ErrorCode>,
    ) {
        let Ok(len) = built else { return self.stats.count_drop(DropReason::NoRoom) };
        self.count_answer(code);
        self.enqueue(tuple, &buf[..len]);
    }

    fn count_answer(&mut self, code: Option<ErrorCode>) {
        match code {
            Some(code) => self.stats.count_error(code.number()),
            None => self.stats.successes += 1,
        }
    }

    fn enqueue(&mut self, tuple: FiveTuple, message: &[u8]) {
        if self.outbox.len() >= MAX_WAITING {
            return self.stats.count_drop(DropReason::Backlog);
        }
        self.stats.control_bytes_out += message.len() as u64;
        self.outbox.push_back((tuple, message.into()));
    }
}

/// An answer without integrity has a FINGERPRINT if the request has.
pub(super) fn finish_unsigned(
    mut builder: MessageBuilder<'_>,
    request: &Message<'_>,
) -> Result<usize, BuildError> {
    if request.has(AttributeType::FINGERPRINT) {
        builder.fingerprint()?;
    }
    Ok(builder.finish())
}
