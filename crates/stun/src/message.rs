//! A received message: a validated view of the datagram it came in.

use std::fmt;
use std::net::SocketAddr;

use crate::attribute::{Attribute, AttributeError, AttributeType};
use crate::attributes::{MappedAddress, UnknownAttributes, XorMappedAddress};
use crate::header::{self, Class, HEADER_LEN, MAGIC_COOKIE, Method, TransactionId};
use crate::integrity::{self, IntegrityError, IntegrityKey, IntegrityKind};

/// A well-formed STUN message, borrowed from the datagram (RFC 8489 §5).
///
/// Parsing checks the header and the framing of every attribute and allocates nothing; values are
/// looked at when asked for. It does not tell whether the message is *authentic*: see
/// [`verify_integrity`](Self::verify_integrity).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    transaction: TransactionId,
    marks: Landmarks,
}

/// The offsets of the headers of the attributes that end the meaningful part of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Landmarks {
    integrity: Option<usize>,
    integrity_sha256: Option<usize>,
    fingerprint: Option<usize>,
}

impl<'a> Message<'a> {
    /// Reads a message that fills the whole of `datagram`.
    ///
    /// # Errors
    /// Names the fault and its place.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let header = header_of(datagram)?;
        if header[4..8] != MAGIC_COOKIE.to_be_bytes() {
            return Err(ParseError::MagicCookie);
        }
        Self::parse_body(datagram, header)
    }

    /// Reads a Binding request of RFC 3489 that fills the whole of `datagram`. Its response repeats
    /// the word in the cookie's place, as [`MessageBuilder`](crate::MessageBuilder) does, and
    /// carries MAPPED-ADDRESS in place of XOR-MAPPED-ADDRESS (RFC 5389 §12.2).
    ///
    /// # Errors
    /// It is another message, or malformed.
    pub fn parse_classic(datagram: &'a [u8]) -> Result<Self, ParseError> {
        if !header::is_classic_binding_request(datagram) {
            return Err(ParseError::NotClassic);
        }
        Self::parse_body(datagram, header_of(datagram)?)
    }

    fn parse_body(datagram: &'a [u8], header: &[u8; HEADER_LEN]) -> Result<Self, ParseError> {
        let declared = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let actual = datagram.len() - HEADER_LEN;
        if !declared.is_multiple_of(4) || declared != actual {
            return Err(ParseError::Length { declared, actual });
        }

        let mut marks = Landmarks::default();
        let mut offset = HEADER_LEN;
        while offset < datagram.len() {
            let (attribute, next) = attribute_at(datagram, offset).ok_or(ParseError::Attribute { offset })?;
            marks.note(attribute.ty, offset);
            offset = next;
        }

        let (class, method) = header::class_and_method(u16::from_be_bytes([header[0], header[1]]));
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&header[8..]);
        Ok(Self { bytes: datagram, class, method, transaction: TransactionId(transaction), marks })
    }

    /// Request, indication or response.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }

    /// The operation that is requested or answered.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The transaction this message belongs to.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        self.transaction
    }

    /// Returns whether this is a request of RFC 3489: see [`parse_classic`](Self::parse_classic).
    #[must_use]
    pub fn is_classic(&self) -> bool {
        self.cookie() != MAGIC_COOKIE.to_be_bytes()
    }

    /// The bytes in the place of the magic cookie.
    pub(crate) fn cookie(&self) -> [u8; 4] {
        let mut cookie = [0; 4];
        cookie.copy_from_slice(&self.bytes[4..8]);
        cookie
    }

    /// The address that a response tells its receiver: XOR-MAPPED-ADDRESS, or MAPPED-ADDRESS from a
    /// server that sends no other, as those of RFC 3489 do (RFC 5389 §12.1).
    #[must_use]
    pub fn mapped_address(&self) -> Option<SocketAddr> {
        if let Ok(Some(XorMappedAddress(address))) = self.get() {
            return Some(address);
        }
        self.get().ok().flatten().map(|MappedAddress(address)| address)
    }

    /// The whole message as it came.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes that count, in order.
    ///
    /// Attributes behind MESSAGE-INTEGRITY are not covered by it and are left out, but for
    /// MESSAGE-INTEGRITY-SHA256 and FINGERPRINT; so are those behind MESSAGE-INTEGRITY-SHA256, but
    /// for FINGERPRINT, and nothing follows that (RFC 8489 §14.5, §14.6, §14.7). This holds whether
    /// or not the integrity is verified.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: self.bytes, offset: HEADER_LEN, state: Seen::Nothing }
    }

    /// The first attribute of a type, undecoded. Of duplicates only the first counts (RFC 8489
    /// §14).
    #[must_use]
    pub fn raw(&self, ty: AttributeType) -> Option<RawAttribute<'a>> {
        self.attributes().find(|attribute| attribute.ty == ty)
    }

    /// Returns whether there is an attribute of this type.
    #[must_use]
    pub fn has(&self, ty: AttributeType) -> bool {
        self.raw(ty).is_some()
    }

    /// The attribute `A`, if it is there. Of duplicates only the first counts (RFC 8489 §14).
    ///
    /// # Errors
    /// It is there but its value is malformed; a server answers 400.
    pub fn get<A: Attribute<'a>>(&self) -> Result<Option<A>, AttributeError> {
        self.raw(A::TYPE).map(|attribute| A::decode(attribute.value, &self.transaction)).transpose()
    }

    /// Every attribute `A`, in order: for those that may stand several times, such as
    /// XOR-PEER-ADDRESS in a CreatePermission request (RFC 8656 §10.1).
    pub fn all<A: Attribute<'a>>(&self) -> impl Iterator<Item = Result<A, AttributeError>> + use<'a, A> {
        let transaction = self.transaction;
        self.attributes()
            .filter(|attribute| attribute.ty == A::TYPE)
            .map(move |attribute| A::decode(attribute.value, &transaction))
    }

    /// The comprehension-required attributes that are not among `known`, ready to be sent back with
    /// a 420 (RFC 8489 §6.3.1). The integrity attributes are this crate's own business and count as
    /// known.
    #[must_use]
    pub fn unknown_comprehension_required(&self, known: &[AttributeType]) -> UnknownAttributes {
        self.attributes()
            .map(|attribute| attribute.ty)
            .filter(|ty| {
                ty.is_comprehension_required()
                    && *ty != AttributeType::MESSAGE_INTEGRITY
                    && *ty != AttributeType::MESSAGE_INTEGRITY_SHA256
                    && !known.contains(ty)
            })
            .collect()
    }

    /// Returns whether the message carries MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 or both.
    #[must_use]
    pub fn has_integrity(&self) -> bool {
        self.marks.integrity.is_some() || self.marks.integrity_sha256.is_some()
    }

    /// Checks MESSAGE-INTEGRITY, the HMAC-SHA1 (RFC 8489 §14.5), in constant time.
    ///
    /// # Errors
    /// It is missing, of a wrong length, or does not match.
    pub fn verify_integrity(&self, key: &IntegrityKey) -> Result<(), IntegrityError> {
        let offset = self.marks.integrity.ok_or(IntegrityError::Missing)?;
        self.verify_at(offset, key, IntegrityKind::Sha1)
    }

    /// Checks MESSAGE-INTEGRITY-SHA256, the HMAC-SHA256, possibly truncated to no less than 16
    /// bytes (RFC 8489 §14.6), in constant time.
    ///
    /// # Errors
    /// It is missing, of a wrong length, or does not match.
    pub fn verify_integrity_sha256(&self, key: &IntegrityKey) -> Result<(), IntegrityError> {
        let offset = self.marks.integrity_sha256.ok_or(IntegrityError::Missing)?;
        self.verify_at(offset, key, IntegrityKind::Sha256)
    }

    /// Checks the stronger of the integrity attributes that are there: MESSAGE-INTEGRITY-SHA256,
    /// else MESSAGE-INTEGRITY (RFC 8489 §9.1.3, §9.2.4). Tells which one it was.
    ///
    /// # Errors
    /// Neither is there, or the stronger one does not match.
    pub fn verify_any_integrity(&self, key: &IntegrityKey) -> Result<IntegrityKind, IntegrityError> {
        if self.marks.integrity_sha256.is_some() {
            self.verify_integrity_sha256(key).map(|()| IntegrityKind::Sha256)
        } else {
            self.verify_integrity(key).map(|()| IntegrityKind::Sha1)
        }
    }

    /// Checks FINGERPRINT (RFC 8489 §14.7).
    ///
    /// # Errors
    /// It is missing, not the last attribute, not four bytes, or does not match.
    pub fn verify_fingerprint(&self) -> Result<(), FingerprintError> {
        let offset = self.marks.fingerprint.ok_or(FingerprintError::Missing)?;
        let (attribute, end) = attribute_at(self.bytes, offset).ok_or(FingerprintError::Malformed)?;
        let value: [u8; 4] = attribute.value.try_into().map_err(|_| FingerprintError::Malformed)?;
        if end != self.bytes.len() {
            return Err(FingerprintError::NotLast);
        }
        if u32::from_be_bytes(value) == integrity::fingerprint(&self.bytes[..offset]) {
            Ok(())
        } else {
            Err(FingerprintError::Mismatch)
        }
    }

    fn verify_at(
        &self,
        offset: usize,
        key: &IntegrityKey,
        kind: IntegrityKind,
    ) -> Result<(), IntegrityError> {
        let (attribute, end) = attribute_at(self.bytes, offset).ok_or(IntegrityError::Malformed)?;
        key.verify(kind, &self.bytes[..offset], end, attribute.value)
    }
}

/// Names the attributes without their values: usernames and addresses do not belong into a log by
/// accident.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?} {} ", self.method, self.class, self.transaction)?;
        f.debug_list().entries(self.attributes().map(|attribute| attribute.ty)).finish()
    }
}

/// An attribute as it stands in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttribute<'a> {
    /// Its type.
    pub ty: AttributeType,
    /// Its value, without padding.
    pub value: &'a [u8],
    /// The place of its header, in bytes from the start of the message.
    pub offset: usize,
}

/// Iterator over the attributes that count: see [`Message::attributes`].
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    offset: usize,
    state: Seen,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = RawAttribute<'a>;

    fn next(&mut self) -> Option<RawAttribute<'a>> {
        while self.offset < self.bytes.len() {
            let (attribute, next) = attribute_at(self.bytes, self.offset)?;
            self.offset = next;
            if self.state.admits(attribute.ty) {
                self.state = self.state.after(attribute.ty);
                return Some(attribute);
            }
        }
        None
    }
}

impl Landmarks {
    /// Notes an attribute if it still counts where it stands.
    fn note(&mut self, ty: AttributeType, offset: usize) {
        if !self.seen().admits(ty) {
            return;
        }
        match ty {
            AttributeType::MESSAGE_INTEGRITY => self.integrity = Some(offset),
            AttributeType::MESSAGE_INTEGRITY_SHA256 => self.integrity_sha256 = Some(offset),
            AttributeType::FINGERPRINT => self.fingerprint = Some(offset),
            _ => {}
        }
    }

    fn seen(&self) -> Seen {
        if self.fingerprint.is_some() {
            Seen::Fingerprint
        } else if self.integrity_sha256.is_some() {
            Seen::IntegritySha256
        } else if self.integrity.is_some() {
            Seen::Integrity
        } else {
            Seen::Nothing
        }
    }
}

/// The last closing attribute that a walk over the attributes has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    Nothing,
    Integrity,
    IntegritySha256,
    Fingerprint,
}

impl Seen {
    fn admits(self, ty: AttributeType) -> bool {
        self == Self::Nothing || self.after(ty) > self
    }

    fn after(self, ty: AttributeType) -> Self {
        match ty {
            AttributeType::MESSAGE_INTEGRITY => self.max(Self::Integrity),
            AttributeType::MESSAGE_INTEGRITY_SHA256 => self.max(Self::IntegritySha256),
            AttributeType::FINGERPRINT => Self::Fingerprint,
            _ => self,
        }
    }
}

/// The header of a datagram whose top two bits are those of STUN.
fn header_of(datagram: &[u8]) -> Result<&[u8; HEADER_LEN], ParseError> {
    let header: &[u8; HEADER_LEN] =
        datagram.first_chunk().ok_or(ParseError::Truncated { length: datagram.len() })?;
    if header[0] & 0xC0 != 0 {
        return Err(ParseError::NotStun { first_byte: header[0] });
    }
    Ok(header)
}

/// The attribute whose header stands at `offset`, and where the next one begins; `None` if it runs
/// past the end.
fn attribute_at(bytes: &[u8], offset: usize) -> Option<(RawAttribute<'_>, usize)> {
    let header: &[u8; 4] = bytes.get(offset..)?.first_chunk()?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let start = offset + 4;
    let next = start + length.next_multiple_of(4);
    if next > bytes.len() {
        return None;
    }
    let ty = AttributeType::new(u16::from_be_bytes([header[0], header[1]]));
    Some((RawAttribute { ty, value: &bytes[start..start + length], offset }, next))
}

/// The reason for which a datagram is no STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// Shorter than a header.
    #[error("{length} bytes are too few for a STUN header")]
    Truncated {
        /// The length of the datagram, in bytes.
        length: usize,
    },
    /// The first two bits are not zero: another protocol.
    #[error("not STUN: the first byte is {first_byte:#04x}")]
    NotStun {
        /// The byte at offset 0.
        first_byte: u8,
    },
    /// Bytes 4..8 do not hold the magic cookie: another protocol, or RFC 3489's STUN.
    #[error("no magic cookie at byte 4")]
    MagicCookie,
    /// Not a Binding request of RFC 3489.
    #[error("no Binding request of RFC 3489")]
    NotClassic,
    /// The length field, at offset 2, is no multiple of four or does not fit the datagram.
    #[error("length field at byte 2 says {declared}, {actual} bytes follow the header")]
    Length {
        /// The length that the header declares, in bytes.
        declared: usize,
        /// The number of bytes behind the header.
        actual: usize,
    },
    /// An attribute or its padding runs past the end of the message.
    #[error("the attribute at byte {offset} runs past the end")]
    Attribute {
        /// The start of the attribute, in bytes from the start of the message.
        offset: usize,
    },
}

impl ParseError {
    /// The place of the fault in the datagram, in bytes from its start.
    #[must_use]
    pub fn offset(&self) -> usize {
        match *self {
            Self::Truncated { length } => length,
            Self::NotStun { .. } | Self::NotClassic => 0,
            Self::Length { .. } => 2,
            Self::MagicCookie => 4,
            Self::Attribute { offset } => offset,
        }
    }
}

/// The reason for which a FINGERPRINT does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// There is none.
    #[error("no FINGERPRINT")]
    Missing,
    /// It is not four bytes long.
    #[error("FINGERPRINT of a wrong length")]
    Malformed,
    /// Something follows it.
    #[error("FINGERPRINT is not the last attribute")]
    NotLast,
    /// The checksum is another one: damaged, or not STUN.
    #[error("FINGERPRINT does not match")]
    Mismatch,
}
