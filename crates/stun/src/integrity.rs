//! Keys, the HMACs they make, and the fingerprint.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::{digest, hmac};
use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;

use crate::attributes::until_nul;
use crate::auth::{self, ProfileError};
use crate::header::HEADER_LEN;

/// Length of a MESSAGE-INTEGRITY value: a whole HMAC-SHA1 (RFC 8489 §14.5).
pub const INTEGRITY_LEN: usize = 20;

/// Length of an untruncated MESSAGE-INTEGRITY-SHA256 value (RFC 8489 §14.6).
pub const INTEGRITY_SHA256_LEN: usize = 32;

/// The shortest MESSAGE-INTEGRITY-SHA256 value that may be sent or accepted (RFC 8489 §14.6).
pub const INTEGRITY_SHA256_MIN_LEN: usize = 16;

/// A key for MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256.
///
/// Preparing a key hashes it; keep it as long as the credential lives. A prepared key of one kind
/// takes 1.2 kB; that for MESSAGE-INTEGRITY-SHA256 is prepared when it is first used, since few
/// peers and servers send that attribute.
#[derive(Clone)]
pub struct IntegrityKey {
    bytes: Box<[u8]>,
    sha1: hmac::Key,
    sha256: OnceLock<Box<hmac::Key>>,
}

/// The two integrity attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IntegrityKind {
    /// MESSAGE-INTEGRITY: HMAC-SHA1.
    Sha1,
    /// MESSAGE-INTEGRITY-SHA256: HMAC-SHA256.
    Sha256,
}

impl IntegrityKey {
    /// A key from its bytes as they are, derived elsewhere.
    #[must_use]
    pub fn from_bytes(key: &[u8]) -> Self {
        Self {
            bytes: key.into(),
            sha1: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key),
            sha256: OnceLock::new(),
        }
    }

    /// The key of a short-term credential: the password (RFC 8489 §9.1.1), as it is.
    ///
    /// The RFC wants the password prepared by a string profile; ICE's passwords, the only
    /// short-term ones in use, consist of `ice-char`s (RFC 8839 §5.4), which every profile leaves
    /// alone. [`prepare`](crate::auth::prepare) serves others.
    #[must_use]
    pub fn short_term(password: &str) -> Self {
        Self::from_bytes(password.as_bytes())
    }

    /// The key of a long-term credential with password algorithm MD5:
    /// `MD5(username ":" realm ":" password)` (RFC 8489 §9.2.2, §18.5.1.1).
    ///
    /// The password is prepared by [`prepare`](crate::auth::prepare). The realm is taken as the
    /// bytes of the REALM attribute, up to the first NUL (RFC 5389 §15.4): preparing it is the
    /// server's part, and browsers do not do it again.
    ///
    /// # Errors
    /// The password contains what the string profile forbids, such as control characters.
    pub fn long_term_md5(
        username: &str,
        realm: impl AsRef<[u8]>,
        password: &str,
    ) -> Result<Self, ProfileError> {
        Ok(Self::long_term_md5_unprepared(username, realm, &auth::prepare(password)?))
    }

    /// The key of a long-term credential with password algorithm SHA-256:
    /// `SHA-256(username ":" realm ":" password)` (RFC 8489 §9.2.2, §18.5.1.2); see
    /// [`long_term_md5`](Self::long_term_md5) for the preparation.
    ///
    /// # Errors
    /// The password contains what the string profile forbids, such as control characters.
    pub fn long_term_sha256(
        username: &str,
        realm: impl AsRef<[u8]>,
        password: &str,
    ) -> Result<Self, ProfileError> {
        Ok(Self::long_term_sha256_unprepared(username, realm, &auth::prepare(password)?))
    }

    /// The key of [`long_term_md5`](Self::long_term_md5) with a password that is taken as it is,
    /// for one that the string profile forbids: most servers and browsers prepare none.
    #[must_use]
    pub fn long_term_md5_unprepared(username: &str, realm: impl AsRef<[u8]>, password: &str) -> Self {
        let mut md5 = Md5::new();
        for part in [username.as_bytes(), b":", until_nul(realm.as_ref()), b":", password.as_bytes()] {
            md5.update(part);
        }
        Self::from_bytes(md5.finalize().as_ref())
    }

    /// The key of [`long_term_sha256`](Self::long_term_sha256) with a password that is taken as it
    /// is: see [`long_term_md5_unprepared`](Self::long_term_md5_unprepared).
    #[must_use]
    pub fn long_term_sha256_unprepared(username: &str, realm: impl AsRef<[u8]>, password: &str) -> Self {
        let mut sha256 = digest::Context::new(&digest::SHA256);
        for part in [username.as_bytes(), b":", until_nul(realm.as_ref()), b":", password.as_bytes()] {
            sha256.update(part);
        }
        Self::from_bytes(sha256.finish().as_ref())
    }

    /// The HMAC over `covered`, the message up to the integrity attribute, with the header's length
    /// field counted as if the message ended at `end` (RFC 8489 §14.5). The message itself is
    /// neither copied nor changed.
    pub(crate) fn sign(&self, kind: IntegrityKind, covered: &[u8], end: usize) -> hmac::Tag {
        let key = match kind {
            IntegrityKind::Sha1 => &self.sha1,
            IntegrityKind::Sha256 => {
                self.sha256.get_or_init(|| Box::new(hmac::Key::new(hmac::HMAC_SHA256, &self.bytes)))
            }
        };
        let length = u16::try_from(end - HEADER_LEN).unwrap_or(u16::MAX);
        let mut context = hmac::Context::with_key(key);
        context.update(&covered[..2]);
        context.update(&length.to_be_bytes());
        context.update(&covered[4..]);
        context.sign()
    }

    pub(crate) fn verify(
        &self,
        kind: IntegrityKind,
        covered: &[u8],
        end: usize,
        value: &[u8],
    ) -> Result<(), IntegrityError> {
        let acceptable = match kind {
            IntegrityKind::Sha1 => value.len() == INTEGRITY_LEN,
            IntegrityKind::Sha256 => is_sha256_len(value.len()),
        };
        if !acceptable {
            return Err(IntegrityError::Malformed);
        }
        let tag = self.sign(kind, covered, end);
        if bool::from(tag.as_ref()[..value.len()].ct_eq(value)) {
            Ok(())
        } else {
            Err(IntegrityError::Mismatch)
        }
    }
}

/// Debug output must not give the key away.
impl fmt::Debug for IntegrityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IntegrityKey(..)")
    }
}

/// Returns whether a MESSAGE-INTEGRITY-SHA256 value may have this length: 16 to 32 bytes in steps
/// of four (RFC 8489 §14.6).
pub(crate) fn is_sha256_len(length: usize) -> bool {
    (INTEGRITY_SHA256_MIN_LEN..=INTEGRITY_SHA256_LEN).contains(&length) && length.is_multiple_of(4)
}

/// The FINGERPRINT over a message up to that attribute, its length field already counting it (RFC
/// 8489 §14.7).
pub(crate) fn fingerprint(covered: &[u8]) -> u32 {
    crc32fast::hash(covered) ^ 0x5354_554E
}

/// The reason for which a message's integrity does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntegrityError {
    /// There is no such attribute.
    #[error("no message integrity")]
    Missing,
    /// The attribute's value has a length that it may not have.
    #[error("message integrity of a wrong length")]
    Malformed,
    /// Made with another key, or the message was changed on its way.
    #[error("message integrity does not match")]
    Mismatch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_values_have_their_bounds() {
        let acceptable: Vec<usize> = (0..40).filter(|length| is_sha256_len(*length)).collect();
        assert_eq!(acceptable, [16, 20, 24, 28, 32]);
    }

    #[test]
    fn debug_output_is_silent() {
        assert_eq!(format!("{:?}", IntegrityKey::short_term("secret")), "IntegrityKey(..)");
    }
}
