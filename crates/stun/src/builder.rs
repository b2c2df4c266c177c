//! Building a message into the caller's buffer.

use crate::attribute::{Attribute, AttributeType, EncodeError, ValueWriter};
use crate::attributes::ErrorInfo;
use crate::header::{self, Class, HEADER_LEN, MAGIC_COOKIE, MAX_MESSAGE_LEN, Method, TransactionId};
use crate::integrity::{self, INTEGRITY_LEN, INTEGRITY_SHA256_LEN, IntegrityKey, IntegrityKind};
use crate::{ErrorCode, Message};

/// Writes one message into a buffer, attribute by attribute, without allocating.
///
/// The buffer holds a complete message after every step. A step that fails leaves the message as it
/// was before, so that an optional attribute which does not fit can be left out.
///
/// ```
/// use columba_stun::attributes::{Priority, Username};
/// use columba_stun::{BuildError, Class, IntegrityKey, MessageBuilder, Method, TransactionId};
///
/// # fn main() -> Result<(), BuildError> {
/// let key = IntegrityKey::short_term("VOkJxbRl1RmTxUk/WvJxBt");
/// let mut buffer = [0; 256];
/// let id = TransactionId([7; 12]);
/// let length = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, id)?
///     .push(&Username("evtj:h6vY"))?
///     .push(&Priority(0x6e00_01ff))?
///     .integrity(&key)?
///     .fingerprint()?
///     .finish();
/// let datagram = &buffer[..length];
/// # assert_eq!(datagram.len(), 76);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MessageBuilder<'b> {
    buffer: &'b mut [u8],
    len: usize,
    transaction: TransactionId,
    stage: Stage,
}

/// The attributes that close the message so far; they have their order (RFC 8489 §14.5, §14.6,
/// §14.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Open,
    Integrity,
    IntegritySha256,
    Fingerprint,
}

impl<'b> MessageBuilder<'b> {
    /// Begins a message by writing its header.
    ///
    /// # Errors
    /// The buffer is shorter than a header.
    pub fn new(
        buffer: &'b mut [u8],
        class: Class,
        method: Method,
        transaction: TransactionId,
    ) -> Result<Self, BuildError> {
        let header: &mut [u8; HEADER_LEN] =
            buffer.first_chunk_mut().ok_or(BuildError::BufferTooSmall { needed: HEADER_LEN })?;
        header[..2].copy_from_slice(&header::message_type(class, method).to_be_bytes());
        header[2..4].fill(0);
        header[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        header[8..].copy_from_slice(&transaction.0);
        Ok(Self { buffer, len: HEADER_LEN, transaction, stage: Stage::Open })
    }

    /// Begins the success response to a request.
    ///
    /// # Errors
    /// The buffer is shorter than a header.
    pub fn success(buffer: &'b mut [u8], request: &Message<'_>) -> Result<Self, BuildError> {
        Self::response(buffer, Class::SuccessResponse, request)
    }

    /// Begins the error response to a request, its ERROR-CODE with the code's default reason
    /// phrase.
    ///
    /// # Errors
    /// The buffer is too small.
    pub fn error(buffer: &'b mut [u8], request: &Message<'_>, code: ErrorCode) -> Result<Self, BuildError> {
        let mut builder = Self::response(buffer, Class::ErrorResponse, request)?;
        builder.push(&ErrorInfo::from(code))?;
        Ok(builder)
    }

    /// Begins a response, with the request's word in the place of the magic cookie (RFC 5389
    /// §12.2).
    fn response(buffer: &'b mut [u8], class: Class, request: &Message<'_>) -> Result<Self, BuildError> {
        let builder = Self::new(buffer, class, request.method(), request.transaction_id())?;
        builder.buffer[4..8].copy_from_slice(&request.cookie());
        Ok(builder)
    }

    /// Appends an attribute.
    ///
    /// # Errors
    /// The buffer is too small, the value is not allowed, or the message is already closed by
    /// integrity or fingerprint.
    pub fn push<'a, A: Attribute<'a>>(&mut self, attribute: &A) -> Result<&mut Self, BuildError> {
        self.require(Stage::Open, A::TYPE)?;
        let start = self.len + 4;
        let room = self.buffer.get_mut(start..).unwrap_or_default();
        let mut writer = ValueWriter::new(room, self.transaction);
        attribute.encode(&mut writer)?;
        let length = writer.len();
        self.seal(A::TYPE, length)
    }

    /// Appends an attribute of any type with this value as it is.
    ///
    /// # Errors
    /// The buffer is too small, or the message is already closed by integrity or fingerprint.
    pub fn push_raw(&mut self, ty: AttributeType, value: &[u8]) -> Result<&mut Self, BuildError> {
        self.require(Stage::Open, ty)?;
        self.write(ty, value)
    }

    /// Appends MESSAGE-INTEGRITY (RFC 8489 §14.5); only MESSAGE-INTEGRITY-SHA256 and FINGERPRINT
    /// may follow.
    ///
    /// # Errors
    /// The buffer is too small, or the message is already closed.
    pub fn integrity(&mut self, key: &IntegrityKey) -> Result<&mut Self, BuildError> {
        const TYPE: AttributeType = AttributeType::MESSAGE_INTEGRITY;
        self.require(Stage::Open, TYPE)?;
        let tag = key.sign(IntegrityKind::Sha1, &self.buffer[..self.len], self.len + 4 + INTEGRITY_LEN);
        self.write(TYPE, tag.as_ref())?;
        self.stage = Stage::Integrity;
        Ok(self)
    }

    /// Appends MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6), untruncated; only FINGERPRINT may follow.
    ///
    /// # Errors
    /// The buffer is too small, or the message is already closed.
    pub fn integrity_sha256(&mut self, key: &IntegrityKey) -> Result<&mut Self, BuildError> {
        self.integrity_sha256_truncated(key, INTEGRITY_SHA256_LEN)
    }

    /// Appends MESSAGE-INTEGRITY-SHA256 cut to `length` bytes: 16, 20, 24, 28 or 32, which a usage
    /// of STUN must have agreed on (RFC 8489 §14.6).
    ///
    /// # Errors
    /// The length is none of these, the buffer is too small, or the message is already closed.
    pub fn integrity_sha256_truncated(
        &mut self,
        key: &IntegrityKey,
        length: usize,
    ) -> Result<&mut Self, BuildError> {
        const TYPE: AttributeType = AttributeType::MESSAGE_INTEGRITY_SHA256;
        if !integrity::is_sha256_len(length) {
            return Err(BuildError::IntegrityLength { length });
        }
        self.require(Stage::Integrity, TYPE)?;
        let tag = key.sign(IntegrityKind::Sha256, &self.buffer[..self.len], self.len + 4 + length);
        self.write(TYPE, &tag.as_ref()[..length])?;
        self.stage = Stage::IntegritySha256;
        Ok(self)
    }

    /// Appends FINGERPRINT (RFC 8489 §14.7); nothing may follow.
    ///
    /// # Errors
    /// The buffer is too small, or there is a fingerprint already.
    pub fn fingerprint(&mut self) -> Result<&mut Self, BuildError> {
        const TYPE: AttributeType = AttributeType::FINGERPRINT;
        self.require(Stage::IntegritySha256, TYPE)?;
        let before = self.len;
        // The checksum covers a length field that already counts the attribute, so it is filled in
        // afterwards.
        self.write(TYPE, &[0; 4])?;
        let value = integrity::fingerprint(&self.buffer[..before]);
        self.buffer[before + 4..self.len].copy_from_slice(&value.to_be_bytes());
        self.stage = Stage::Fingerprint;
        Ok(self)
    }

    /// The message's length in bytes: that much of the buffer is to be sent.
    #[must_use]
    pub fn finish(&self) -> usize {
        self.len
    }

    /// The message as it stands.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    fn require(&self, latest: Stage, refused: AttributeType) -> Result<(), BuildError> {
        if self.stage > latest { Err(BuildError::Order { refused }) } else { Ok(()) }
    }

    fn write(&mut self, ty: AttributeType, value: &[u8]) -> Result<&mut Self, BuildError> {
        let start = self.len + 4;
        if let Some(room) = self.buffer.get_mut(start..start + value.len()) {
            room.copy_from_slice(value);
        }
        self.seal(ty, value.len())
    }

    /// Makes an attribute of the `length` bytes already written behind the space for its header.
    fn seal(&mut self, ty: AttributeType, length: usize) -> Result<&mut Self, BuildError> {
        let value_end = self.len + 4 + length;
        let end = value_end.next_multiple_of(4);
        if end > MAX_MESSAGE_LEN {
            return Err(BuildError::MessageTooLong { length: end });
        }
        if end > self.buffer.len() {
            return Err(BuildError::BufferTooSmall { needed: end });
        }
        // Both fit sixteen bits, as `end` is within the limit above.
        let (length, body) = (length as u16, (end - HEADER_LEN) as u16);
        self.buffer[value_end..end].fill(0);
        self.buffer[self.len..self.len + 2].copy_from_slice(&ty.number().to_be_bytes());
        self.buffer[self.len + 2..self.len + 4].copy_from_slice(&length.to_be_bytes());
        self.buffer[2..4].copy_from_slice(&body.to_be_bytes());
        self.len = end;
        Ok(self)
    }
}

/// The reason for which a message could not be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The buffer does not hold the message.
    #[error("the buffer is too small, the message needs {needed} bytes so far")]
    BufferTooSmall {
        /// The length of the message up to and including what was to be added, in bytes.
        needed: usize,
    },
    /// The message would outgrow its 16-bit length field.
    #[error("a message of {length} bytes is too long for its length field")]
    MessageTooLong {
        /// The length that it would have, in bytes.
        length: usize,
    },
    /// The attribute may not follow what is already there: nothing but MESSAGE-INTEGRITY-SHA256 and
    /// FINGERPRINT follows MESSAGE-INTEGRITY, and nothing follows FINGERPRINT.
    #[error("{refused} may not follow what the message is already closed with")]
    Order {
        /// The attribute that came too late.
        refused: AttributeType,
    },
    /// A MESSAGE-INTEGRITY-SHA256 cannot be truncated to this length.
    #[error("MESSAGE-INTEGRITY-SHA256 of {length} bytes; 16, 20, 24, 28 and 32 are allowed")]
    IntegrityLength {
        /// The length asked for, in bytes.
        length: usize,
    },
    /// The attribute's value is not allowed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}
