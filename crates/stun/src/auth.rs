//! The long-term credential mechanism's smaller parts: string preparation, user hashes, password
//! algorithms and the security features that a nonce announces (RFC 8489 §9.2).

use std::borrow::Cow;

use aws_lc_rs::digest;

/// The beginning of a nonce that announces security features (RFC 8489 §9.2).
pub const NONCE_COOKIE: &str = "obMatJos2";

/// The nonce cookie and four base64 digits for 24 flags, in bytes.
const NONCE_PREFIX_LEN: usize = NONCE_COOKIE.len() + 4;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Prepares a realm, username or password, so that two ways to write the same text make the same
/// key.
///
/// Applied is SASLprep (RFC 4013), the profile of RFC 5389 and of every deployed TURN server and
/// client. RFC 8489 names the successor OpaqueString (RFC 8265), under which the RFC's own test
/// vectors would not hold: both RFC 5769 §2.4 and RFC 8489 §B.1 expect SASLprep's result. For ASCII
/// without control characters, which is what servers hand out, both are the identity, and nothing
/// is allocated.
///
/// # Errors
/// The text contains what the profile forbids, such as control characters or unassigned code
/// points.
pub fn prepare(text: &str) -> Result<Cow<'_, str>, ProfileError> {
    stringprep::saslprep(text).map_err(|_| ProfileError)
}

/// A text that SASLprep refuses: see [`prepare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text contains characters that SASLprep (RFC 4013) forbids")]
pub struct ProfileError;

/// The value of USERHASH: `SHA-256(username ":" realm)`, both prepared by [`prepare`] (RFC 8489
/// §14.4).
///
/// # Errors
/// A text contains what the string profile forbids.
pub fn user_hash(username: &str, realm: &str) -> Result<[u8; 32], ProfileError> {
    let (username, realm) = (prepare(username)?, prepare(realm)?);
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [&*username, ":", &*realm] {
        context.update(part.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

/// The 24 flags that a server announces at the head of its nonces (RFC 8489 §9.2, §18.1), so that
/// they cannot be talked down on the path: the nonce is echoed under the message's integrity.
///
/// The nonce in the example of RFC 8489 §B.1 announces a bit that is not assigned; the registry is
/// what counts here.
///
/// ```
/// use columba_stun::SecurityFeatures;
///
/// let features =
///     SecurityFeatures::PASSWORD_ALGORITHMS.union(SecurityFeatures::USERNAME_ANONYMITY);
/// let nonce = format!("{}f//499k954d6OL34oL9FSTvy64sA", features.nonce_prefix());
/// assert!(nonce.starts_with("obMatJos2wAAA"));
/// assert_eq!(SecurityFeatures::of_nonce(&nonce), Some(features));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SecurityFeatures(u32);

impl SecurityFeatures {
    /// No feature at all.
    pub const NONE: Self = Self(0);
    /// Bit 0, the leftmost: the server sends PASSWORD-ALGORITHMS and takes PASSWORD-ALGORITHM.
    pub const PASSWORD_ALGORITHMS: Self = Self(1 << 23);
    /// Bit 1: the server takes USERHASH in place of USERNAME.
    pub const USERNAME_ANONYMITY: Self = Self(1 << 22);

    /// Flags from a number; only the low 24 bits exist.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits & 0x00FF_FFFF)
    }

    /// The flags as a number of 24 bits. The RFC counts from the left: its bit 0 is the most
    /// significant (RFC 8489 §18.1).
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The flags of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags that a nonce announces; `None` if it does not begin with the nonce cookie, as
    /// nonces of RFC 5389 servers do not.
    #[must_use]
    pub fn of_nonce(nonce: impl AsRef<[u8]>) -> Option<Self> {
        let digits: &[u8; 4] = nonce.as_ref().strip_prefix(NONCE_COOKIE.as_bytes())?.first_chunk()?;
        let mut bits = 0;
        for digit in digits {
            let value = BASE64.iter().position(|candidate| candidate == digit)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        Some(Self(bits))
    }

    /// The thirteen characters with which a server's nonce must begin to announce these flags.
    #[must_use]
    pub fn nonce_prefix(self) -> NoncePrefix {
        let mut prefix = [0; NONCE_PREFIX_LEN];
        prefix[..NONCE_COOKIE.len()].copy_from_slice(NONCE_COOKIE.as_bytes());
        for (index, target) in prefix[NONCE_COOKIE.len()..].iter_mut().enumerate() {
            *target = BASE64[(self.0 >> (18 - 6 * index) & 0x3F) as usize];
        }
        NoncePrefix(prefix)
    }
}

/// The result of [`SecurityFeatures::nonce_prefix`]: ASCII text, without allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoncePrefix([u8; NONCE_PREFIX_LEN]);

impl NoncePrefix {
    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Display for NoncePrefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saslprep_maps_what_the_vectors_want() {
        assert_eq!(prepare("The\u{AD}M\u{AA}tr\u{2168}").unwrap(), "TheMatrIX");
        assert!(matches!(prepare("1700000000:alice").unwrap(), Cow::Borrowed(_)));
        assert_eq!(prepare("bell\u{7}"), Err(ProfileError));
    }

    #[test]
    fn every_feature_bit_survives_the_nonce() {
        for bit in 0..24 {
            let features = SecurityFeatures::from_bits(1 << bit);
            assert_eq!(SecurityFeatures::of_nonce(features.nonce_prefix().as_str()), Some(features));
        }
        assert_eq!(SecurityFeatures::from_bits(u32::MAX).nonce_prefix().as_str(), "obMatJos2////");
    }

    #[test]
    fn nonces_without_features() {
        for nonce in ["", "obMatJos2", "obMatJos2AAA", "obMatJos2AA=A", "obmatjos2AAAA", "xobMatJos2AAAA"] {
            assert_eq!(SecurityFeatures::of_nonce(nonce), None, "{nonce}");
        }
        assert_eq!(SecurityFeatures::of_nonce("obMatJos2AAA\u{e9}"), None);
    }
}
