//! The short-term credentials of an ICE session (RFC 8445 §5.3).

use std::sync::Arc;
use std::time::Duration;

use rand_core::CryptoRng;

/// User name fragment and password of one side.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name fragment: 24 bits or more, not secret.
    pub ufrag: Arc<str>,
    /// The password: 128 bits or more.
    pub pwd: Arc<str>,
}

impl Credentials {
    /// New ones: 48 bits of fragment and 144 of password, in base64's alphabet, which is that of
    /// `ice-char`.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self { ufrag: text::<8>(rng), pwd: text::<24>(rng) }
    }
}

/// Debug output must not give the password away.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// The parameters of the other side's agent in its description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteParameters {
    /// Its credentials.
    pub credentials: Credentials,
    /// `a=ice-lite`.
    pub lite: bool,
    /// `a=ice-options:trickle`.
    pub trickle: bool,
    /// `a=ice-options:renomination`.
    pub renomination: bool,
    /// `a=ice-pacing` (RFC 8839 §5.5): its Ta; 50 ms if it states none.
    pub pacing: Option<Duration>,
}

fn text<const N: usize>(rng: &mut impl CryptoRng) -> Arc<str> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::SeedableRng;

    #[test]
    fn credentials_are_drawn_from_the_generator_and_debug_output_hides_them() {
        let draw = |seed| Credentials::random(&mut rand_chacha::ChaCha12Rng::seed_from_u64(seed));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!((draw(1).ufrag.len(), draw(1).pwd.len()), (8, 24));
        assert_eq!(format!("{:?}", draw(1)), "Credentials(..)");
    }
}
