//! Attributes: a type, a value, and the trait that turns one into the other.
//!
//! An attribute that this crate does not know takes a few lines:
//!
//! ```
//! use columba_stun::{Attribute, AttributeError, AttributeType, EncodeError};
//! use columba_stun::{TransactionId, ValueWriter};
//!
//! /// The number of times that the request has been sent (RFC 7982 §3.2).
//! struct TransmitCounter { request: u8, response: u8 }
//!
//! impl<'a> Attribute<'a> for TransmitCounter {
//!     const TYPE: AttributeType = AttributeType::new(0x8025);
//!
//!     fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
//!         let &[_, _, request, response] = value else {
//!             return Err(AttributeError::length(Self::TYPE, value));
//!         };
//!         Ok(Self { request, response })
//!     }
//!
//!     fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
//!         out.put(&[0, 0, self.request, self.response]);
//!         Ok(())
//!     }
//! }
//! ```

use std::fmt;

use crate::TransactionId;

/// A typed attribute, as [`Message::get`](crate::Message::get) returns it and
/// [`MessageBuilder::push`](crate::MessageBuilder::push) takes it.
///
/// See the [module](crate::attribute) for an example.
pub trait Attribute<'a>: Sized {
    /// The type under which the attribute travels.
    const TYPE: AttributeType;

    /// Reads the value, which is without padding and may hold anything: it came from the network.
    ///
    /// # Errors
    /// Says what is wrong with the value.
    fn decode(value: &'a [u8], transaction: &TransactionId) -> Result<Self, AttributeError>;

    /// Writes the value, without padding.
    ///
    /// # Errors
    /// The value is one that the RFC does not allow on the wire. A full buffer is not an error
    /// here: the writer remembers, and the builder reports it.
    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError>;
}

/// The number of an attribute's meaning (RFC 8489 §14, §18.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttributeType(u16);

impl AttributeType {
    /// A type by its number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Returns whether a receiver that does not understand the attribute must refuse the message
    /// (below 0x8000) or may ignore the attribute (RFC 8489 §14).
    #[must_use]
    pub const fn is_comprehension_required(self) -> bool {
        self.0 < 0x8000
    }

    /// The registered name, if this is a type that this crate knows.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(ty, _)| *ty == self).map(|(_, name)| *name)
    }
}

/// Declares the known types together with their registered names, so that the two cannot drift
/// apart.
macro_rules! known_types {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $name:literal;)*) => {
        impl AttributeType {
            $($(#[$doc])* pub const $constant: Self = Self($number);)*
        }

        const NAMES: &[(AttributeType, &str)] = &[$((AttributeType::$constant, $name)),*];
    };
}

known_types! {
    /// RFC 8489 §14.1.
    MAPPED_ADDRESS = 0x0001, "MAPPED-ADDRESS";
    /// RFC 5780 §7.2.
    CHANGE_REQUEST = 0x0003, "CHANGE-REQUEST";
    /// RFC 8489 §14.3.
    USERNAME = 0x0006, "USERNAME";
    /// RFC 8489 §14.5.
    MESSAGE_INTEGRITY = 0x0008, "MESSAGE-INTEGRITY";
    /// RFC 8489 §14.8.
    ERROR_CODE = 0x0009, "ERROR-CODE";
    /// RFC 8489 §14.13.
    UNKNOWN_ATTRIBUTES = 0x000A, "UNKNOWN-ATTRIBUTES";
    /// RFC 8656 §18.1.
    CHANNEL_NUMBER = 0x000C, "CHANNEL-NUMBER";
    /// RFC 8656 §18.2.
    LIFETIME = 0x000D, "LIFETIME";
    /// RFC 8656 §18.3.
    XOR_PEER_ADDRESS = 0x0012, "XOR-PEER-ADDRESS";
    /// RFC 8656 §18.4.
    DATA = 0x0013, "DATA";
    /// RFC 8489 §14.9.
    REALM = 0x0014, "REALM";
    /// RFC 8489 §14.10.
    NONCE = 0x0015, "NONCE";
    /// RFC 8656 §18.5.
    XOR_RELAYED_ADDRESS = 0x0016, "XOR-RELAYED-ADDRESS";
    /// RFC 8656 §18.6.
    REQUESTED_ADDRESS_FAMILY = 0x0017, "REQUESTED-ADDRESS-FAMILY";
    /// RFC 8656 §18.7.
    EVEN_PORT = 0x0018, "EVEN-PORT";
    /// RFC 8656 §18.8.
    REQUESTED_TRANSPORT = 0x0019, "REQUESTED-TRANSPORT";
    /// RFC 8656 §18.9.
    DONT_FRAGMENT = 0x001A, "DONT-FRAGMENT";
    /// RFC 8489 §14.6.
    MESSAGE_INTEGRITY_SHA256 = 0x001C, "MESSAGE-INTEGRITY-SHA256";
    /// RFC 8489 §14.12.
    PASSWORD_ALGORITHM = 0x001D, "PASSWORD-ALGORITHM";
    /// RFC 8489 §14.4.
    USERHASH = 0x001E, "USERHASH";
    /// RFC 8489 §14.2.
    XOR_MAPPED_ADDRESS = 0x0020, "XOR-MAPPED-ADDRESS";
    /// RFC 8656 §18.10.
    RESERVATION_TOKEN = 0x0022, "RESERVATION-TOKEN";
    /// RFC 8445 §16.1.
    PRIORITY = 0x0024, "PRIORITY";
    /// RFC 8445 §16.1.
    USE_CANDIDATE = 0x0025, "USE-CANDIDATE";
    /// RFC 5780 §7.6.
    PADDING = 0x0026, "PADDING";
    /// RFC 5780 §7.5.
    RESPONSE_PORT = 0x0027, "RESPONSE-PORT";
    /// RFC 6062 §6.2.1.
    CONNECTION_ID = 0x002A, "CONNECTION-ID";
    /// RFC 8656 §18.11.
    ADDITIONAL_ADDRESS_FAMILY = 0x8000, "ADDITIONAL-ADDRESS-FAMILY";
    /// RFC 8656 §18.12.
    ADDRESS_ERROR_CODE = 0x8001, "ADDRESS-ERROR-CODE";
    /// RFC 8489 §14.11.
    PASSWORD_ALGORITHMS = 0x8002, "PASSWORD-ALGORITHMS";
    /// RFC 8489 §14.16.
    ALTERNATE_DOMAIN = 0x8003, "ALTERNATE-DOMAIN";
    /// RFC 8656 §18.13.
    ICMP = 0x8004, "ICMP";
    /// RFC 8489 §14.14.
    SOFTWARE = 0x8022, "SOFTWARE";
    /// RFC 8489 §14.15.
    ALTERNATE_SERVER = 0x8023, "ALTERNATE-SERVER";
    /// RFC 8489 §14.7.
    FINGERPRINT = 0x8028, "FINGERPRINT";
    /// RFC 8445 §16.1.
    ICE_CONTROLLED = 0x8029, "ICE-CONTROLLED";
    /// RFC 8445 §16.1.
    ICE_CONTROLLING = 0x802A, "ICE-CONTROLLING";
    /// RFC 5780 §7.3.
    RESPONSE_ORIGIN = 0x802B, "RESPONSE-ORIGIN";
    /// RFC 5780 §7.4.
    OTHER_ADDRESS = 0x802C, "OTHER-ADDRESS";
    /// RFC 8016 §4.1.
    MOBILITY_TICKET = 0x8030, "MOBILITY-TICKET";
}

impl fmt::Debug for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for AttributeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#06x}", self.0),
        }
    }
}

/// The fault in the value of an attribute that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttributeError {
    /// The value has a length that the attribute cannot have.
    #[error("{ty} with a value of {length} bytes")]
    Length {
        /// The attribute.
        ty: AttributeType,
        /// The length found, in bytes.
        length: usize,
    },
    /// A text is not UTF-8.
    #[error("{ty} is not UTF-8 from byte {valid_up_to} on")]
    NotUtf8 {
        /// The attribute.
        ty: AttributeType,
        /// The number of valid bytes at the start of the value.
        valid_up_to: usize,
    },
    /// A number is none of those that the RFC allows there: an address family, an error class, a
    /// channel.
    #[error("{ty} holds the number {value:#x}, which it cannot")]
    Value {
        /// The attribute.
        ty: AttributeType,
        /// The number found.
        value: u32,
    },
}

impl AttributeError {
    /// A value of a length that cannot be.
    #[must_use]
    pub fn length(ty: AttributeType, value: &[u8]) -> Self {
        Self::Length { ty, length: value.len() }
    }

    /// The attribute that is at fault.
    #[must_use]
    pub fn ty(&self) -> AttributeType {
        match *self {
            Self::Length { ty, .. } | Self::NotUtf8 { ty, .. } | Self::Value { ty, .. } => ty,
        }
    }
}

/// A value that may not be put on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The text or blob is longer than the RFC allows.
    #[error("{ty} of {length} is over its limit of {limit}")]
    TooLong {
        /// The attribute.
        ty: AttributeType,
        /// Its length, in the limit's unit.
        length: usize,
        /// The limit: characters where the RFC counts characters, else bytes.
        limit: usize,
    },
    /// A number is out of the attribute's range.
    #[error("{ty} cannot hold {value:#x}")]
    Value {
        /// The attribute.
        ty: AttributeType,
        /// The number.
        value: u32,
    },
}

/// Where [`Attribute::encode`] writes to. Writing past the end of the caller's buffer is counted,
/// not done: the builder then tells how much room would have been enough.
#[derive(Debug)]
pub struct ValueWriter<'b> {
    room: &'b mut [u8],
    len: usize,
    transaction: TransactionId,
}

impl<'b> ValueWriter<'b> {
    pub(crate) fn new(room: &'b mut [u8], transaction: TransactionId) -> Self {
        Self { room, len: 0, transaction }
    }

    /// Appends bytes to the value.
    pub fn put(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        if let Some(target) = self.room.get_mut(self.len..end) {
            target.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// The transaction id of the message being built; XORed addresses need it.
    #[must_use]
    pub fn transaction(&self) -> &TransactionId {
        &self.transaction
    }

    /// The length of the value so far, whether or not it fitted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether nothing has been written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_comprehension() {
        assert_eq!(AttributeType::XOR_PEER_ADDRESS.to_string(), "XOR-PEER-ADDRESS");
        assert_eq!(AttributeType::new(0x7001).to_string(), "0x7001");
        assert!(AttributeType::new(0x7FFF).is_comprehension_required());
        assert!(!AttributeType::new(0x8000).is_comprehension_required());
    }

    #[test]
    fn no_number_is_listed_twice() {
        for (index, (ty, _)) in NAMES.iter().enumerate() {
            assert!(NAMES[..index].iter().all(|(other, _)| other != ty), "{ty}");
        }
    }

    #[test]
    fn a_full_buffer_is_counted_not_overrun() {
        let mut room = [0; 3];
        let mut writer = ValueWriter::new(&mut room, TransactionId([0; 12]));
        writer.put(&[1, 2]);
        writer.put(&[3, 4]);
        writer.put(&[5]);
        assert_eq!(writer.len(), 5);
        assert_eq!(room, [1, 2, 0]);
    }
}
