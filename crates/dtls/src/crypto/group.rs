//! Key exchange (RFC 8422, RFC 8446 §4.2.8, draft-ietf-tls-ecdhe-mlkem).

use std::fmt;

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::error::Fault;

/// Bytes of the encapsulation key and of the ciphertext of ML-KEM-768 (FIPS 203 §8), and of an
/// X25519 key.
const ML_KEM_KEY: usize = 1184;
const ML_KEM_CIPHERTEXT: usize = 1088;
const X25519_KEY: usize = 32;

/// A group for the key exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Group {
    /// X25519 (RFC 7748).
    X25519,
    /// The curve P-256.
    Secp256r1,
    /// The curve P-384.
    Secp384r1,
    /// X25519 together with ML-KEM-768, which a quantum computer does not break. In DTLS 1.3 only.
    X25519MlKem768,
}

impl Group {
    pub(crate) const ALL: [Self; 4] = [Self::X25519MlKem768, Self::X25519, Self::Secp256r1, Self::Secp384r1];

    /// Returns its number in IANA's registry.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Secp256r1 => 23,
            Self::Secp384r1 => 24,
            Self::X25519 => 29,
            Self::X25519MlKem768 => 4588,
        }
    }

    /// Returns its name in IANA's registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "x25519",
            Self::Secp256r1 => "secp256r1",
            Self::Secp384r1 => "secp384r1",
            Self::X25519MlKem768 => "X25519MLKEM768",
        }
    }

    pub(crate) fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.number() == number)
    }

    /// Returns true if DTLS 1.2 has it.
    pub(crate) const fn is_in_dtls12(self) -> bool {
        !matches!(self, Self::X25519MlKem768)
    }

    /// The algorithm of the elliptic curve, and bytes of its private keys.
    fn curve(self) -> (&'static agreement::Algorithm, usize) {
        match self {
            Self::X25519 | Self::X25519MlKem768 => (&agreement::X25519, 32),
            Self::Secp256r1 => (&agreement::ECDH_P256, 32),
            Self::Secp384r1 => (&agreement::ECDH_P384, 48),
        }
    }
}

/// A private key for one key exchange.
pub(crate) struct KeyExchange {
    group: Group,
    curve: PrivateKey,
    kem: Option<DecapsulationKey>,
    share: Vec<u8>,
}

/// The secret that two sides have agreed upon.
pub(crate) type SharedSecret = Zeroizing<Vec<u8>>;

impl KeyExchange {
    /// Makes a key. X25519's comes from `rng`; those of P-256, P-384 and ML-KEM from the
    /// cryptography library's own generator.
    pub(crate) fn new(group: Group, rng: &mut impl CryptoRng) -> Result<Self, Fault> {
        let (curve, public) = curve_key(group, rng)?;
        let (kem, share) = match group {
            Group::X25519MlKem768 => {
                let key = DecapsulationKey::generate(&ML_KEM_768)?;
                let mut share = key.encapsulation_key()?.key_bytes()?.as_ref().to_vec();
                share.extend_from_slice(&public);
                (Some(key), share)
            }
            _ => (None, public),
        };
        Ok(Self { group, curve, kem, share })
    }

    pub(crate) fn group(&self) -> Group {
        self.group
    }

    /// The public key, as the wire has it.
    pub(crate) fn share(&self) -> &[u8] {
        &self.share
    }

    /// Agrees upon a secret with the other side's answer to the share.
    ///
    /// Points that are not on the curve, and those of small order, are refused by the library.
    pub(crate) fn agree(&self, share: &[u8]) -> Result<SharedSecret, Fault> {
        let Some(kem) = &self.kem else { return agree_on_curve(self.group, &self.curve, share) };
        let (ciphertext, point) = split(share, ML_KEM_CIPHERTEXT)?;
        let secret = kem.decapsulate(Ciphertext::from(ciphertext)).map_err(|_| BAD_SHARE)?;
        let mut both = Zeroizing::new(Vec::with_capacity(64));
        both.extend_from_slice(secret.as_ref());
        both.extend_from_slice(&agree_on_curve(self.group, &self.curve, point)?);
        Ok(both)
    }
}

/// Answers another side's share. Returns the own share and the secret.
pub(crate) fn answer(
    group: Group,
    share: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Vec<u8>, SharedSecret), Fault> {
    let (key, public) = curve_key(group, rng)?;
    if group != Group::X25519MlKem768 {
        return Ok((public, agree_on_curve(group, &key, share)?));
    }
    let (encapsulation_key, point) = split(share, ML_KEM_KEY)?;
    let encapsulation_key = EncapsulationKey::new(&ML_KEM_768, encapsulation_key).map_err(|_| BAD_SHARE)?;
    let (ciphertext, secret) = encapsulation_key.encapsulate().map_err(|_| BAD_SHARE)?;
    let mut both = Zeroizing::new(Vec::with_capacity(64));
    both.extend_from_slice(secret.as_ref());
    both.extend_from_slice(&agree_on_curve(group, &key, point)?);
    Ok(([ciphertext.as_ref(), &public].concat(), both))
}

const BAD_SHARE: Fault = Fault::illegal("a public key of the key exchange is not valid");

fn split(share: &[u8], at: usize) -> Result<(&[u8], &[u8]), Fault> {
    if share.len() == at + X25519_KEY { Ok(share.split_at(at)) } else { Err(BAD_SHARE) }
}

fn curve_key(group: Group, rng: &mut impl CryptoRng) -> Result<(PrivateKey, Vec<u8>), Fault> {
    let (algorithm, length) = group.curve();
    let key = if matches!(group, Group::Secp256r1 | Group::Secp384r1) {
        // The library would prove a given key of these curves once more, by a multiplication.
        PrivateKey::generate(algorithm)?
    } else {
        let mut scalar = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *scalar);
        PrivateKey::from_private_key(algorithm, &scalar[..length]).map_err(|_| Fault::crypto())?
    };
    let public = key.compute_public_key()?.as_ref().to_vec();
    Ok((key, public))
}

fn agree_on_curve(group: Group, key: &PrivateKey, point: &[u8]) -> Result<SharedSecret, Fault> {
    let (algorithm, length) = group.curve();
    // A curve's points come uncompressed (RFC 8422 §5.1.2, RFC 8446 §4.2.8.2); the library would
    // take others, too.
    let is_whole = match group {
        Group::X25519 | Group::X25519MlKem768 => point.len() == X25519_KEY,
        Group::Secp256r1 | Group::Secp384r1 => point.len() == 1 + 2 * length && point[0] == 4,
    };
    if !is_whole {
        return Err(BAD_SHARE);
    }
    agreement::agree(key, UnparsedPublicKey::new(algorithm, point), BAD_SHARE, |secret| {
        Ok(Zeroizing::new(secret.to_vec()))
    })
}

/// Debug output must not give the key away.
impl fmt::Debug for KeyExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyExchange").field("group", &self.group).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    #[test]
    fn both_sides_agree_in_every_group() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for group in Group::ALL {
            let key = KeyExchange::new(group, &mut rng).unwrap();
            let (share, secret) = answer(group, key.share(), &mut rng).unwrap();
            assert_eq!(key.agree(&share).unwrap(), secret, "{group:?}");
            assert_eq!(Group::from_number(group.number()), Some(group));
        }
    }

    #[test]
    fn points_of_small_order_and_off_the_curve_are_refused() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        // RFC 7748 §6.1: the secret would be zero.
        let small: [[u8; 32]; 3] = [
            [0; 32],
            std::array::from_fn(|at| u8::from(at == 0)),
            [
                0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
                0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
                0xb8, 0x00,
            ],
        ];
        for point in small {
            assert_eq!(answer(Group::X25519, &point, &mut rng).unwrap_err(), BAD_SHARE);
        }
        for group in [Group::Secp256r1, Group::Secp384r1] {
            let mut point = KeyExchange::new(group, &mut rng).unwrap().share().to_vec();
            *point.last_mut().unwrap() ^= 1;
            assert_eq!(answer(group, &point, &mut rng).unwrap_err(), BAD_SHARE, "off the curve");
            let compressed = [&[2], &point[1..=point.len() / 2]].concat();
            assert_eq!(answer(group, &compressed, &mut rng).unwrap_err(), BAD_SHARE, "compressed");
            assert_eq!(answer(group, &[0], &mut rng).unwrap_err(), BAD_SHARE, "at infinity");
            assert_eq!(answer(group, &[], &mut rng).unwrap_err(), BAD_SHARE);
        }
        assert_eq!(answer(Group::X25519MlKem768, &[0; 1216], &mut rng).unwrap_err(), BAD_SHARE);
        assert_eq!(answer(Group::X25519MlKem768, &[1; 32], &mut rng).unwrap_err(), BAD_SHARE);
    }
}
