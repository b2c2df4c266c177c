//! The attributes of error responses: code, reason, and the attributes that were not understood.

use std::borrow::Cow;

use super::texts;
use crate::attribute::{Attribute, AttributeError, AttributeType, EncodeError, ValueWriter};
use crate::{AddressFamily, ErrorCode, TransactionId};

/// ERROR-CODE: the reason for which a request was refused (RFC 8489 §14.8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorInfo<'a> {
    /// The code, for programs.
    pub code: ErrorCode,
    /// The phrase, for people: fewer than 128 characters. Whatever arrives here is made readable:
    /// the form of a phrase makes no difference to the code.
    pub reason: Cow<'a, str>,
}

impl From<ErrorCode> for ErrorInfo<'static> {
    /// The code with its registered phrase.
    fn from(code: ErrorCode) -> Self {
        Self { code, reason: code.reason().into() }
    }
}

impl<'a> Attribute<'a> for ErrorInfo<'a> {
    const TYPE: AttributeType = AttributeType::ERROR_CODE;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let (&[_, _, class, number], reason) =
            value.split_first_chunk().ok_or_else(|| AttributeError::length(Self::TYPE, value))?;
        Ok(Self { code: code(Self::TYPE, class, number)?, reason: texts::readable(reason) })
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(&[0, 0, self.code.class(), number(self.code)]);
        texts::put_phrase(Self::TYPE, &self.reason, out)
    }
}

/// ADDRESS-ERROR-CODE: the reason for which an allocation lacks the address of one family (RFC 8656
/// §18.12).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressErrorInfo<'a> {
    /// The family that could not be had.
    pub family: AddressFamily,
    /// The code, for programs.
    pub code: ErrorCode,
    /// The phrase, for people: fewer than 128 characters. Whatever arrives here is made readable.
    pub reason: Cow<'a, str>,
}

impl<'a> Attribute<'a> for AddressErrorInfo<'a> {
    const TYPE: AttributeType = AttributeType::ADDRESS_ERROR_CODE;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let (&[family, _, class, number], reason) =
            value.split_first_chunk().ok_or_else(|| AttributeError::length(Self::TYPE, value))?;
        let family = AddressFamily::from_number(family)
            .ok_or_else(|| AttributeError::Value { ty: Self::TYPE, value: family.into() })?;
        Ok(Self { family, code: code(Self::TYPE, class, number)?, reason: texts::readable(reason) })
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(&[self.family.number(), 0, self.code.class(), number(self.code)]);
        texts::put_phrase(Self::TYPE, &self.reason, out)
    }
}

/// UNKNOWN-ATTRIBUTES: the attributes for which a request got a 420 (RFC 8489 §14.13).
///
/// At most [`CAPACITY`](Self::CAPACITY) types are kept, each once, the first ones: a request full
/// of nonsense does not get a response of its own length.
///
/// ```
/// use columba_stun::{AttributeType, attributes::UnknownAttributes};
///
/// let types = [0x7001, 0x7002, 0x7001].map(AttributeType::new);
/// let unknown: UnknownAttributes = types.into_iter().collect();
/// assert_eq!(unknown.types(), [AttributeType::new(0x7001), AttributeType::new(0x7002)]);
/// ```
#[derive(Clone, Copy)]
pub struct UnknownAttributes {
    types: [AttributeType; Self::CAPACITY],
    len: usize,
}

impl UnknownAttributes {
    /// The most types that are kept.
    pub const CAPACITY: usize = 16;

    /// The types, in the order in which they were found.
    #[must_use]
    pub fn types(&self) -> &[AttributeType] {
        &self.types[..self.len]
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl FromIterator<AttributeType> for UnknownAttributes {
    fn from_iter<I: IntoIterator<Item = AttributeType>>(types: I) -> Self {
        let mut unknown = Self { types: [AttributeType::new(0); Self::CAPACITY], len: 0 };
        for ty in types {
            if unknown.types().contains(&ty) {
                continue;
            }
            let Some(place) = unknown.types.get_mut(unknown.len) else { break };
            *place = ty;
            unknown.len += 1;
        }
        unknown
    }
}

impl PartialEq for UnknownAttributes {
    fn eq(&self, other: &Self) -> bool {
        self.types() == other.types()
    }
}

impl Eq for UnknownAttributes {}

impl std::fmt::Debug for UnknownAttributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.types()).finish()
    }
}

impl<'a> Attribute<'a> for UnknownAttributes {
    const TYPE: AttributeType = AttributeType::UNKNOWN_ATTRIBUTES;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let (types, rest) = value.as_chunks();
        if !rest.is_empty() {
            return Err(AttributeError::length(Self::TYPE, value));
        }
        Ok(types.iter().map(|number| AttributeType::new(u16::from_be_bytes(*number))).collect())
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        for ty in self.types() {
            out.put(&ty.number().to_be_bytes());
        }
        Ok(())
    }
}

/// The code from its hundreds, of which only three bits count, and the rest.
fn code(ty: AttributeType, class: u8, number: u8) -> Result<ErrorCode, AttributeError> {
    let value = u16::from(class & 0x07) * 100 + u16::from(number);
    if number > 99 {
        return Err(AttributeError::Value { ty, value: number.into() });
    }
    ErrorCode::new(value).ok_or_else(|| AttributeError::Value { ty, value: value.into() })
}

/// The part of a code below its hundreds.
fn number(code: ErrorCode) -> u8 {
    (code.number() % 100) as u8
}
