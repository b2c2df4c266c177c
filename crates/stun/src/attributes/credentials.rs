//! The long-term credential mechanism's attributes besides the texts (RFC 8489 §14.4, §14.11,
//! §14.12).

use super::simple::fixed;
use crate::TransactionId;
use crate::attribute::{Attribute, AttributeError, AttributeType, EncodeError, ValueWriter};
use crate::auth::{ProfileError, user_hash};

/// USERHASH: a username that cannot be read on the path (RFC 8489 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserHash(pub [u8; 32]);

impl UserHash {
    /// The hash of a username in a realm.
    ///
    /// # Errors
    /// A text contains what the string profile forbids: see [`prepare`](crate::auth::prepare).
    pub fn of(username: &str, realm: &str) -> Result<Self, ProfileError> {
        user_hash(username, realm).map(Self)
    }
}

impl<'a> Attribute<'a> for UserHash {
    const TYPE: AttributeType = AttributeType::USERHASH;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        fixed(Self::TYPE, value).map(Self)
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(&self.0);
        Ok(())
    }
}

/// PASSWORD-ALGORITHM: the way in which the key is made from the password (RFC 8489 §14.12, §18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordAlgorithm<'a> {
    /// The registered number.
    pub number: u16,
    /// The algorithm's parameters; MD5 and SHA-256 have none.
    pub parameters: &'a [u8],
}

impl PasswordAlgorithm<'static> {
    /// [`IntegrityKey::long_term_md5`](crate::IntegrityKey::long_term_md5).
    pub const MD5: Self = Self { number: 0x0001, parameters: &[] };
    /// [`IntegrityKey::long_term_sha256`](crate::IntegrityKey::long_term_sha256).
    pub const SHA256: Self = Self { number: 0x0002, parameters: &[] };
}

impl<'a> PasswordAlgorithm<'a> {
    /// The first algorithm in `value`, and what follows it and its padding.
    ///
    /// The padding behind the last one belongs to the attribute that carries it, and may be
    /// missing.
    fn split(value: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[number_high, number_low, length_high, length_low], rest) = value.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let parameters = rest.get(..length)?;
        let rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((Self { number: u16::from_be_bytes([number_high, number_low]), parameters }, rest))
    }

    fn put(&self, ty: AttributeType, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        let length = self.parameters.len();
        let limit = usize::from(u16::MAX);
        let length = u16::try_from(length).map_err(|_| EncodeError::TooLong { ty, length, limit })?;
        out.put(&self.number.to_be_bytes());
        out.put(&length.to_be_bytes());
        out.put(self.parameters);
        out.put(&[0; 3][..self.parameters.len().next_multiple_of(4) - self.parameters.len()]);
        Ok(())
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithm<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHM;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        match Self::split(value) {
            Some((algorithm, [])) => Ok(algorithm),
            _ => Err(AttributeError::length(Self::TYPE, value)),
        }
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        self.put(Self::TYPE, out)
    }
}

/// PASSWORD-ALGORITHMS: the algorithms that the server offers, in its order of preference (RFC 8489
/// §14.11).
///
/// A client must send the list back as it came, so that a server notices if it was shortened on the
/// path: two lists are equal if their bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordAlgorithms<'a>(&'a [u8]);

impl PasswordAlgorithms<'static> {
    /// SHA-256 before MD5: all that are registered.
    pub const SUPPORTED: Self = Self(&[0, 2, 0, 0, 0, 1, 0, 0]);
}

impl<'a> PasswordAlgorithms<'a> {
    /// The algorithms, in order.
    #[must_use]
    pub fn iter(&self) -> PasswordAlgorithmList<'a> {
        PasswordAlgorithmList(self.0)
    }

    /// Returns whether an algorithm is in the list.
    #[must_use]
    pub fn contains(&self, algorithm: PasswordAlgorithm<'_>) -> bool {
        self.iter().any(|offered| offered == algorithm)
    }
}

impl<'a> IntoIterator for PasswordAlgorithms<'a> {
    type Item = PasswordAlgorithm<'a>;
    type IntoIter = PasswordAlgorithmList<'a>;

    fn into_iter(self) -> PasswordAlgorithmList<'a> {
        self.iter()
    }
}

impl<'a> Attribute<'a> for PasswordAlgorithms<'a> {
    const TYPE: AttributeType = AttributeType::PASSWORD_ALGORITHMS;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let mut rest = value;
        while !rest.is_empty() {
            (_, rest) =
                PasswordAlgorithm::split(rest).ok_or_else(|| AttributeError::length(Self::TYPE, value))?;
        }
        Ok(Self(value))
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(self.0);
        Ok(())
    }
}

/// Iterator over the algorithms in a list: see [`PasswordAlgorithms::iter`].
#[derive(Clone, Debug)]
pub struct PasswordAlgorithmList<'a>(&'a [u8]);

impl<'a> Iterator for PasswordAlgorithmList<'a> {
    type Item = PasswordAlgorithm<'a>;

    fn next(&mut self) -> Option<PasswordAlgorithm<'a>> {
        let (algorithm, rest) = PasswordAlgorithm::split(self.0)?;
        self.0 = rest;
        Some(algorithm)
    }
}
