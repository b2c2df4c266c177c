//! Attributes that are text.
//!
//! Texts that are sent keep the RFC's limits. Texts that arrive are read with tolerance: one that
//! only people read is decoded as far as it goes, and one that goes back to its author is kept as
//! bytes, so that no server is lost over the form of its texts.

use std::borrow::Cow;

use crate::TransactionId;
use crate::attribute::{Attribute, AttributeError, AttributeType, EncodeError, ValueWriter};

/// Fewer than 509 bytes (RFC 8489 §14.3); accepted are the 513 that two ICE username fragments of
/// 256 characters and a colon take (RFC 8445 §7.2.2, RFC 8839 §5.4).
const USERNAME: Limits = Limits { accepted: 513, sent: 508, sent_chars: 508 };

/// Fewer than 128 characters, which is up to 763 bytes as the RFCs count (RFC 8489 §14.9, §14.10,
/// §14.14).
const PHRASE: Limits = Limits { accepted: 763, sent: 763, sent_chars: 127 };

/// A domain name is at most 255 bytes long (RFC 1035 §2.3.4, for RFC 8489 §14.16).
const DOMAIN: Limits = Limits { accepted: 255, sent: 255, sent_chars: 255 };

/// The longest values of a text.
struct Limits {
    /// Longest value accepted, in bytes.
    accepted: usize,
    /// Longest value sent, in bytes.
    sent: usize,
    /// Longest value sent, in characters.
    sent_chars: usize,
}

/// Declares an attribute that is UTF-8, because programs compare it.
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

/// Declares an attribute whose bytes go back to the server as they came.
macro_rules! echoed_attribute {
    ($(#[$doc:meta])* $name:ident = $ty:ident) => {
        $(#[$doc])*
        ///
        /// The value should be UTF-8, but servers send other texts too, and some count trailing
        /// NULs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name<'a>(pub &'a [u8]);

        impl<'a> Attribute<'a> for $name<'a> {
            const TYPE: AttributeType = AttributeType::$ty;

            fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
                if value.len() > PHRASE.accepted {
                    return Err(AttributeError::length(Self::TYPE, value));
                }
                Ok(Self(value))
            }

            fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
                let (length, limit) = (self.0.len(), PHRASE.sent);
                if length > limit {
                    return Err(EncodeError::TooLong { ty: Self::TYPE, length, limit });
                }
                out.put(self.0);
                Ok(())
            }
        }
    };
}

text_attribute! {
    /// USERNAME (RFC 8489 §14.3).
    Username = USERNAME, USERNAME
}
text_attribute! {
    /// ALTERNATE-DOMAIN: the name that the alternate server's certificate must carry (RFC 8489
    /// §14.16).
    AlternateDomain = ALTERNATE_DOMAIN, DOMAIN
}
echoed_attribute! {
    /// REALM: the service that username and password are for (RFC 8489 §14.9).
    Realm = REALM
}
echoed_attribute! {
    /// NONCE: the server's token against replays (RFC 8489 §14.10).
    Nonce = NONCE
}

/// SOFTWARE: the sender's program and version, for people who read traces (RFC 8489 §14.14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software<'a>(pub Cow<'a, str>);

impl<'a> From<&'a str> for Software<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.into())
    }
}

impl<'a> Attribute<'a> for Software<'a> {
    const TYPE: AttributeType = AttributeType::SOFTWARE;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        Ok(Self(readable(value)))
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        put_phrase(Self::TYPE, &self.0, out)
    }
}

/// Text of at most `limit` bytes, up to the first NUL.
fn text(ty: AttributeType, value: &[u8], limit: usize) -> Result<&str, AttributeError> {
    if value.len() > limit {
        return Err(AttributeError::length(ty, value));
    }
    std::str::from_utf8(until_nul(value))
        .map_err(|error| AttributeError::NotUtf8 { ty, valid_up_to: error.valid_up_to() })
}

/// A text that only people read: up to the first NUL and the longest phrase; what is not UTF-8
/// becomes U+FFFD.
pub(super) fn readable(value: &[u8]) -> Cow<'_, str> {
    let value = until_nul(value);
    String::from_utf8_lossy(&value[..value.len().min(PHRASE.accepted)])
}

/// A text up to the first NUL: some senders count the byte that ends a string in C.
pub(crate) fn until_nul(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| *byte == 0);
    &text[..end.unwrap_or(text.len())]
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

/// Writes a phrase: SOFTWARE, or the reason in ERROR-CODE (RFC 8489 §14.8).
pub(super) fn put_phrase(
    ty: AttributeType,
    text: &str,
    out: &mut ValueWriter<'_>,
) -> Result<(), EncodeError> {
    put(ty, text, &PHRASE, out)
}
