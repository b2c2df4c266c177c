//! The secret that both sides have: out of a link, or agreed on with a code.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::{hkdf, hmac};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use rand_core::CryptoRng;

/// The length of a secret in bytes.
pub const SECRET_LEN: usize = 16;

/// The labels by which keys for different uses are told apart (RFC 5869 §3.2).
const SESSION: &[u8] = b"columba send 1 session";
const SEAL: &[u8] = b"columba send 1 seal";

/// A secret of 128 bits. It never leaves the two programs: the name of the session and the key of
/// the seal are derived from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_LEN]);

/// A text that is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret of a link has 22 letters, digits, '-' or '_'")]
pub struct SecretError;

/// A message that was not sealed with this secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message does not carry the seal of this transfer's secret")]
pub struct NotSealed;

impl Secret {
    /// A random secret.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; SECRET_LEN];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; SECRET_LEN]) -> Self {
        Self(bytes)
    }

    /// The text form, for the part of a link behind `#`.
    #[must_use]
    pub fn reveal(&self) -> String {
        BASE64.encode(self.0)
    }

    /// The token of the session in which both sides meet. It does not give the secret away.
    #[must_use]
    pub fn session(&self) -> String {
        let mut token = [0; 16];
        derive(&self.0, SESSION, &mut token);
        BASE64.encode(token)
    }

    /// The means by which both sides authenticate what they send through the server.
    #[must_use]
    pub fn sealer(&self) -> Sealer {
        let mut key = [0; 32];
        derive(&self.0, SEAL, &mut key);
        Sealer { key: hmac::Key::new(hmac::HMAC_SHA256, &key) }
    }
}

impl FromStr for Secret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let mut bytes = [0; SECRET_LEN];
        match BASE64.decode_slice(text, &mut bytes) {
            Ok(SECRET_LEN) => Ok(Self(bytes)),
            _ => Err(SecretError),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Seals and opens messages with a code of authentication (HMAC-SHA-256).
#[derive(Clone)]
pub struct Sealer {
    key: hmac::Key,
}

impl Sealer {
    /// The message behind its seal.
    #[must_use]
    pub fn seal(&self, text: &str) -> String {
        let tag = hmac::sign(&self.key, text.as_bytes());
        format!("{}.{text}", BASE64.encode(tag.as_ref()))
    }

    /// The message without its seal.
    ///
    /// # Errors
    /// It was not sealed with the same secret.
    pub fn open<'a>(&self, sealed: &'a str) -> Result<&'a str, NotSealed> {
        let (tag, text) = sealed.split_once('.').ok_or(NotSealed)?;
        let mut bytes = [0; 32];
        let length = BASE64.decode_slice(tag, &mut bytes).map_err(|_| NotSealed)?;
        hmac::verify(&self.key, text.as_bytes(), &bytes[..length]).map_err(|_| NotSealed)?;
        Ok(text)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

/// HKDF-SHA-256 without salt (RFC 5869 §2).
pub(crate) fn derive(secret: &[u8], label: &[u8], out: &mut [u8]) {
    let pseudorandom = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(secret);
    let info = [label];
    // It fails for more than 255 times the length of the hash only.
    let filled = pseudorandom.expand(&info, Length(out.len())).and_then(|material| material.fill(out));
    debug_assert!(filled.is_ok());
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_values_do_not_change() {
        // The page derives the same (web/tests/files.test.js).
        let secret: Secret = "AAECAwQFBgcICQoLDA0ODw".parse().unwrap();
        assert_eq!(secret.reveal(), "AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(secret.session(), "Sg8FyQQTxt7BWseUn127Ag");
        assert_eq!(secret.sealer().seal("{}"), "iuBFT2XeowfFODxiQ_Efdca06B0xUL8SKVPHfQca2io.{}");
    }

    #[test]
    fn other_texts_are_no_secrets() {
        for text in ["", "AAECAwQFBgcICQoLDA0OD", "AAECAwQFBgcICQoLDA0ODwAA", "AAECAwQFBgcICQoLDA0OD!"] {
            assert_eq!(text.parse::<Secret>(), Err(SecretError), "{text}");
        }
    }

    #[test]
    fn only_the_same_secret_opens() {
        let (one, other) = (Secret([1; 16]).sealer(), Secret([2; 16]).sealer());
        let sealed = one.seal("hello.");
        assert_eq!(one.open(&sealed), Ok("hello."));
        assert_eq!(other.open(&sealed), Err(NotSealed));
        for changed in [sealed.replace("hello", "hallo"), format!(".{sealed}"), String::new(), ".".to_owned()]
        {
            assert_eq!(one.open(&changed), Err(NotSealed));
        }
    }
}
