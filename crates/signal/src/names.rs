//! The names of the protocol: tokens, peers, instances, client ids and secrets.
//!
//! Each is checked once, where it comes in, and is a type of its own from there on. What is secret
//! is hidden when it is printed for debugging.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand_core::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use subtle::ConstantTimeEq as _;

use crate::error::ErrorCode;

/// Why a text is not the name that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct NameError {
    code: ErrorCode,
    sentence: &'static str,
}

impl NameError {
    /// The code with which the protocol reports it.
    pub fn code(&self) -> ErrorCode {
        self.code
    }
}

/// A peer's name in its session: 16 URL-safe characters, opaque to everybody but the server that
/// made them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; Self::LENGTH]);

impl PeerId {
    /// Characters in a peer id.
    pub const LENGTH: usize = 16;

    /// The id as text.
    pub fn as_str(&self) -> &str {
        // The only ways in check that every byte is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Derives the id of `instance` in the place called `scope` and `name`: a truncated SHA-256, so
    /// that it is the same again after a restart of the server and does not reveal the instance.
    pub(crate) fn derive(scope: &str, name: &str, instance: &Instance) -> Self {
        let mut hash = aws_lc_rs::digest::Context::new(&SHA256);
        // No part may contain a zero byte, so the parts cannot be shifted into each other.
        for part in ["columba peer 1", scope, name, instance.as_str()] {
            hash.update(part.as_bytes());
            hash.update(&[0]);
        }
        let digest = hash.finish();
        let mut text = [b'A'; Self::LENGTH];
        if let Some(head) = digest.as_ref().get(..Self::LENGTH / 4 * 3) {
            // 12 bytes make exactly 16 characters.
            let _ = URL_SAFE_NO_PAD.encode_slice(head, &mut text);
        }
        Self(text)
    }
}

impl FromStr for PeerId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error =
            NameError { code: ErrorCode::BadMessage, sentence: "a peer id is 16 URL-safe characters" };
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| error)?;
        if bytes.iter().copied().all(is_url_safe) { Ok(Self(bytes)) } else { Err(error) }
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.as_str())
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for PeerId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// Declares a name that is checked text, cheap to clone.
macro_rules! name {
    (
        $(#[$doc:meta])* $name:ident, $code:ident, $range:expr, $allowed:expr, $sentence:literal
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let allowed = $allowed;
                if $range.contains(&text.len()) && text.bytes().all(allowed) {
                    Ok(Self(text.into()))
                } else {
                    Err(NameError { code: ErrorCode::$code, sentence: $sentence })
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

name! {
    /// The name of a session: 1 to 128 characters of `A–Z a–z 0–9 - _ . ~`. Every client that knows
    /// it may join, so it is a secret, and `Debug` does not show it.
    SessionToken, BadToken, (1..=128), |byte| is_url_safe(byte) || matches!(byte, b'.' | b'~'),
    "a session token is 1 to 128 characters of A-Z a-z 0-9 - _ . ~"
}

name! {
    /// A client's own secret, 22 to 64 characters of `A–Z a–z 0–9 - _`, by which it is the same
    /// peer again. `Debug` does not show it.
    Instance, BadInstance, (22..=64), is_url_safe,
    "an instance is 22 to 64 characters of A-Z a-z 0-9 - _"
}

name! {
    /// The name that a client gives itself: 1 to 64 characters of `A–Z a–z 0–9 - _ . ~ @ :`. An
    /// address, not a proof of identity.
    ClientId, BadId, (1..=64), |byte| is_url_safe(byte) || matches!(byte, b'.' | b'~' | b'@' | b':'),
    "a client id is 1 to 64 characters of A-Z a-z 0-9 - _ . ~ @ :"
}

name! {
    /// The proof that a returning connection belongs to a peer: 1 to 128 URL-safe characters,
    /// compared in constant time. `Debug` does not show it.
    Secret, WrongSecret, (1..=128), is_url_safe, "a resume secret is 1 to 128 characters of A-Z a-z 0-9 - _"
}

name! {
    /// The key that an operator asks of everyone who enters: 1 to 128 visible ASCII characters,
    /// compared in constant time. `Debug` does not show it.
    JoinKey, WrongKey, (1..=128), |byte: u8| byte.is_ascii_graphic(),
    "a join key is 1 to 128 visible ASCII characters"
}

impl JoinKey {
    /// Returns whether the two are equal, in a time that says nothing about either: their digests
    /// are compared, so that not even the length matters.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        let digest = |key: &Self| digest(&SHA256, key.0.as_bytes());
        digest(self).as_ref().ct_eq(digest(other).as_ref()).into()
    }
}

impl SessionToken {
    /// Makes a token of 128 random bits (22 characters).
    pub fn random(rng: &mut (impl Rng + ?Sized)) -> Self {
        Self(random_text(rng))
    }
}

impl Instance {
    /// Makes an instance of 128 random bits (22 characters).
    pub fn random(rng: &mut (impl Rng + ?Sized)) -> Self {
        Self(random_text(rng))
    }
}

impl Secret {
    /// Makes a secret of 128 random bits (22 characters).
    pub(crate) fn random(rng: &mut (impl Rng + ?Sized)) -> Self {
        Self(random_text(rng))
    }

    /// Returns whether the two are equal, in a time that depends on their lengths only.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance(..)")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinKey(..)")
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientId({})", self.as_str())
    }
}

/// The credential of a request over HTTP: `PEER.SECRET`, behind `Bearer` or in `access_token`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The peer that makes the request.
    pub peer: PeerId,
    /// Its resume secret.
    pub secret: Secret,
}

impl FromStr for Credential {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let error =
            NameError { code: ErrorCode::WrongSecret, sentence: "a credential has the form PEER.SECRET" };
        let (peer, secret) = text.split_once('.').ok_or(error)?;
        Ok(Self { peer: peer.parse().map_err(|_| error)?, secret: secret.parse().map_err(|_| error)? })
    }
}

/// The credential as it is sent: this shows the secret.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.peer.as_str(), self.secret.as_str())
    }
}

/// 128 bits of the generator as 22 URL-safe characters.
fn random_text(rng: &mut (impl Rng + ?Sized)) -> Arc<str> {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes).into()
}

/// The 64 characters of base64url (RFC 4648 §5).
fn is_url_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_characters_are_checked() {
        assert!("a".parse::<SessionToken>().is_ok());
        assert!("a".repeat(128).parse::<SessionToken>().is_ok());
        for bad in ["", "a b", "a/b", "ä", &"a".repeat(129)] {
            assert_eq!(bad.parse::<SessionToken>().map_err(|error| error.code()), Err(ErrorCode::BadToken));
        }
        assert!("me@home:1".parse::<ClientId>().is_ok());
        assert!("x".repeat(65).parse::<ClientId>().is_err());
        assert!("x".repeat(21).parse::<Instance>().is_err());
        assert!("x".repeat(22).parse::<Instance>().is_ok());
        assert!("0123456789abcde".parse::<PeerId>().is_err());
        assert!("0123456789abcd.f".parse::<PeerId>().is_err());
    }

    #[test]
    fn a_peer_id_depends_on_scope_name_and_instance_only() {
        let instance: Instance = "x".repeat(22).parse().unwrap();
        let other: Instance = "y".repeat(22).parse().unwrap();
        let id = PeerId::derive("session", "token", &instance);
        assert_eq!(id, PeerId::derive("session", "token", &instance));
        assert_eq!(id.as_str().parse(), Ok(id));
        for different in [
            PeerId::derive("meet", "token", &instance),
            PeerId::derive("session", "token2", &instance),
            PeerId::derive("session", "token", &other),
        ] {
            assert_ne!(id, different);
        }
    }

    #[test]
    fn secrets_are_hidden_in_debug_output() {
        let secret: Secret = "hush".parse().unwrap();
        let credential = Credential { peer: "0123456789abcdef".parse().unwrap(), secret };
        assert!(!format!("{credential:?}").contains("hush"));
        assert_eq!(credential.to_string().parse(), Ok(credential));
        assert!(!format!("{:?}", "token".parse::<SessionToken>()).contains("token"));
    }
}
