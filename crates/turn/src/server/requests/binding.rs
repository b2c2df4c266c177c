//! Binding: returns the address of a client (RFC 8489 §2).

use std::time::Instant;

use columba_stun::attributes::{ChangeRequest, MappedAddress, XorMappedAddress};
use columba_stun::{AttributeType, Message, MessageBuilder};

use super::super::path::FiveTuple;
use super::super::{MAX_ANSWER, Server};
use super::reply::finish_unsigned;

/// The attributes that a Binding request may have. Credentials are ignored, since none are needed
/// here, and so are the attributes of ICE's checks and of clients that always send their priority.
///
/// RESPONSE-ADDRESS and CHANGE-REQUEST of RFC 3489 are unknown here, as RFC 5389 §12.2 has it, but
/// for a CHANGE-REQUEST that asks for no change: old clients have it in each of their requests.
const KNOWN: [AttributeType; 7] = [
    AttributeType::USERNAME,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::PASSWORD_ALGORITHM,
    AttributeType::PRIORITY,
    AttributeType::USE_CANDIDATE,
    AttributeType::CHANGE_REQUEST,
];

/// The attributes of [`KNOWN`] for a message that asks for an answer from elsewhere.
const WITHOUT_CHANGE: &[AttributeType] = KNOWN.split_at(KNOWN.len() - 1).0;

impl Server {
    pub(super) fn handle_binding(&mut self, now: Instant, tuple: FiveTuple, message: Message<'_>) {
        let changes = !matches!(
            message.get(),
            Ok(None) | Ok(Some(ChangeRequest { change_ip: false, change_port: false }))
        );
        let known = if changes { WITHOUT_CHANGE } else { &KNOWN };
        let unknown = message.unknown_comprehension_required(known);
        if !unknown.is_empty() {
            return self.refuse_unknown_of_stranger(now, tuple, message, &unknown);
        }
        let mut buf = [0; MAX_ANSWER];
        let built = MessageBuilder::success(&mut buf, &message).and_then(|mut builder| {
            if message.is_classic() {
                builder.push(&MappedAddress(tuple.client()))?;
            } else {
                builder.push(&XorMappedAddress(tuple.client()))?;
            }
            finish_unsigned(builder, &message)
        });
        self.answer_stranger(now, tuple, &buf, built, None);
    }
}
