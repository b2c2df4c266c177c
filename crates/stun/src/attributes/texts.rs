//! Attributes that are text. Limits are checked on both ways: what is sent keeps the RFC's limit, what comes in may use
//! the longest that any edition of the RFC ever allowed.

use crate::TransactionId;
use crate::attribute::{Attribute, AttributeError, AttributeType, EncodeError, ValueWriter};

/// How long a text may be.
struct Limits {
    /// Longest value accepted, in bytes.
    accepted: usize,
    /// Longest value sent, in bytes.
    sent: usize,
    /// Longest value sent, in characters.
    sent_chars: usize,
}

/// Fewer than 509 bytes (RFC 8489 §14.3); accepted are the 513 that two ICE username fragments of 256 characters and a
/// colon take (RFC 8445 §7.2.2, RFC 8839 §5.4).
const USERNAME: Limits = Limits { accepted: 513, sent: 508, sent_chars: 508 };

/// Fewer than 128 characters, which is up to 763 bytes as the RFCs count (RFC 8489 §14.9, §14.10, §14.14).
const PHRASE: Limits = Limits { accepted: 763, sent: 763, sent_chars: 127 };

/// A domain name is at most 255 bytes long (RFC 1035 §2.3.4, for RFC 8489 §14.16).
const DOMAIN: Limits = Limits { accepted: 255, sent: 255, sent_chars: 255 };

/// Declares an attribute that is text.
macro_rules! text_attribute {
    ($(#[$doc:meta])* $name:ident = $ty:ident, $limits:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a>(pub &'a str);

        impl<'a> Attribute<'a> for $name<'a> {
            const TYPE: AttributeType = AttributeType::$ty;

            fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
                text(Self::TYPE, value, $limits.accepted).map(Self)
            }

            fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
                put(Self::TYPE, self.0, &$limits, out)
            }
        }
    };
}

text_attribute! {
    /// USERNAME (RFC 8489 §14.3).
    Username = USERNAME, USERNAME
}
text_attribute! {
    /// REALM: what the username and password are for (RFC 8489 §14.9).
    Realm = REALM, PHRASE
}
text_attribute! {
    /// NONCE: the server's token against replays (RFC 8489 §14.10).
    Nonce = NONCE, PHRASE
}
text_attribute! {
    /// SOFTWARE: who speaks, for people who read traces (RFC 8489 §14.14).
    Software = SOFTWARE, PHRASE
}
text_attribute! {
    /// ALTERNATE-DOMAIN: the name that the alternate server's certificate must carry (RFC 8489 §14.16).
    AlternateDomain = ALTERNATE_DOMAIN, DOMAIN
}

/// Text of at most `limit` bytes.
fn text(ty: AttributeType, value: &[u8], limit: usize) -> Result<&str, AttributeError> {
    if value.len() > limit {
        return Err(AttributeError::length(ty, value));
    }
    std::str::from_utf8(value)
        .map_err(|error| AttributeError::NotUtf8 { ty, valid_up_to: error.valid_up_to() })
}

fn put(ty: AttributeType, text: &str, limits: &Limits, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
    if text.len() > limits.sent {
        return Err(EncodeError::TooLong { ty, length: text.len(), limit: limits.sent });
    }
    // A text of so few bytes has no more characters.
    if text.len() > limits.sent_chars {
        let length = text.chars().count();
        if length > limits.sent_chars {
            return Err(EncodeError::TooLong { ty, length, limit: limits.sent_chars });
        }
    }
    out.put(text.as_bytes());
    Ok(())
}

/// A reason phrase, as in ERROR-CODE (RFC 8489 §14.8).
pub(super) fn reason(ty: AttributeType, value: &[u8]) -> Result<&str, AttributeError> {
    text(ty, value, PHRASE.accepted)
}

pub(super) fn put_reason(
    ty: AttributeType,
    text: &str,
    out: &mut ValueWriter<'_>,
) -> Result<(), EncodeError> {
    put(ty, text, &PHRASE, out)
}
