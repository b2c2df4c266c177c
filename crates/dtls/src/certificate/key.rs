//! Own keys, which sign.

use std::fmt;

use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, PrivateKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair, RsaSignatureEncoding,
};
use aws_lc_rs::{agreement, digest};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::x509::PublicKey;
use crate::crypto::signature::Scheme;
use crate::error::{CertificateError, Fault};

/// Attempts to draw a scalar from the generator: nearly every string of bytes is one.
const MAX_DRAWS: usize = 64;

/// Bytes of the smallest modulus of RSA that is safe today.
const SMALLEST_RSA: usize = 2048 / 8;

/// The kind of a new certificate's key: the algorithms of the W3C's `generateCertificate`, and
/// more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// ECDSA on P-256: the smallest and fastest that every peer has.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// Ed25519. Browsers do not take it.
    Ed25519,
    /// RSA with a modulus of 2,048 bits.
    Rsa2048,
    /// RSA with a modulus of 3,072 bits.
    Rsa3072,
    /// RSA with a modulus of 4,096 bits.
    Rsa4096,
}

/// The kind of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    EcdsaP256,
    EcdsaP384,
    /// Of other sides only.
    EcdsaP521,
    Ed25519,
    Rsa,
}

/// A private key.
pub(crate) enum SigningKey {
    Ecdsa(KeyKind, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl SigningKey {
    /// Makes a key, and its PKCS #8. Those of elliptic curves come from `rng`; those of RSA from
    /// the cryptography library's own generator.
    pub(super) fn generate(
        algorithm: KeyAlgorithm,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Zeroizing<Vec<u8>>), CertificateError> {
        let crypto = |_| CertificateError::Crypto;
        match algorithm {
            KeyAlgorithm::EcdsaP256 => ecdsa_key(KeyKind::EcdsaP256, rng),
            KeyAlgorithm::EcdsaP384 => ecdsa_key(KeyKind::EcdsaP384, rng),
            KeyAlgorithm::Ed25519 => {
                let mut seed = Zeroizing::new([0; 32]);
                rng.fill_bytes(&mut *seed);
                let key =
                    Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| CertificateError::Crypto)?;
                let pkcs8 = Zeroizing::new(key.to_pkcs8v1().map_err(crypto)?.as_ref().to_vec());
                Ok((Self::Ed25519(key), pkcs8))
            }
            KeyAlgorithm::Rsa2048 => rsa_key(KeySize::Rsa2048),
            KeyAlgorithm::Rsa3072 => rsa_key(KeySize::Rsa3072),
            KeyAlgorithm::Rsa4096 => rsa_key(KeySize::Rsa4096),
        }
    }

    /// Reads a key from PKCS #8.
    pub(super) fn from_pkcs8(key: &[u8]) -> Result<Self, CertificateError> {
        for kind in [KeyKind::EcdsaP256, KeyKind::EcdsaP384] {
            if let Ok(key) = EcdsaKeyPair::from_pkcs8(ecdsa(kind), key) {
                return Ok(Self::Ecdsa(kind, key));
            }
        }
        if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key) {
            return Ok(Self::Ed25519(key));
        }
        let key = RsaKeyPair::from_pkcs8(key).map_err(|_| CertificateError::UnsupportedKey)?;
        if key.public_modulus_len() < SMALLEST_RSA {
            return Err(CertificateError::UnsupportedKey);
        }
        Ok(Self::Rsa(Box::new(key)))
    }

    pub(crate) fn kind(&self) -> KeyKind {
        match self {
            Self::Ecdsa(kind, _) => *kind,
            Self::Ed25519(_) => KeyKind::Ed25519,
            Self::Rsa(_) => KeyKind::Rsa,
        }
    }

    pub(super) fn public_key(&self) -> PublicKey {
        let bytes = match self {
            Self::Ecdsa(_, key) => key.public_key().as_ref().to_vec(),
            Self::Ed25519(key) => key.public_key().as_ref().to_vec(),
            Self::Rsa(key) => key.public_key().as_ref().to_vec(),
        };
        PublicKey { kind: self.kind(), bytes }
    }

    /// Signs a message with one of the [schemes of its kind](Scheme::of_key).
    pub(crate) fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Ecdsa(kind, key) => {
                let digest = match kind {
                    KeyKind::EcdsaP256 => digest::digest(&digest::SHA256, message),
                    _ => digest::digest(&digest::SHA384, message),
                };
                Ok(key.sign_digest(&digest)?.as_ref().to_vec())
            }
            Self::Ed25519(key) => Ok(key.try_sign(message)?.as_ref().to_vec()),
            Self::Rsa(key) => {
                let (encoding, digest) = rsa(scheme).ok_or(Fault::crypto())?;
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign_digest(encoding, &digest::digest(digest, message), &mut signature)?;
                Ok(signature)
            }
        }
    }
}

fn ecdsa(kind: KeyKind) -> &'static EcdsaSigningAlgorithm {
    match kind {
        KeyKind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        _ => &ECDSA_P384_SHA384_ASN1_SIGNING,
    }
}

fn rsa(scheme: Scheme) -> Option<(&'static RsaSignatureEncoding, &'static digest::Algorithm)> {
    Some(match scheme {
        Scheme::RSA_PKCS1_SHA256 => (&RSA_PKCS1_SHA256, &digest::SHA256),
        Scheme::RSA_PKCS1_SHA384 => (&RSA_PKCS1_SHA384, &digest::SHA384),
        Scheme::RSA_PKCS1_SHA512 => (&RSA_PKCS1_SHA512, &digest::SHA512),
        Scheme::RSA_PSS_SHA256 => (&RSA_PSS_SHA256, &digest::SHA256),
        Scheme::RSA_PSS_SHA384 => (&RSA_PSS_SHA384, &digest::SHA384),
        Scheme::RSA_PSS_SHA512 => (&RSA_PSS_SHA512, &digest::SHA512),
        _ => return None,
    })
}

fn ecdsa_key(
    kind: KeyKind,
    rng: &mut impl CryptoRng,
) -> Result<(SigningKey, Zeroizing<Vec<u8>>), CertificateError> {
    let crypto = |_| CertificateError::Crypto;
    let (algorithm, length): (&'static agreement::Algorithm, _) = match kind {
        KeyKind::EcdsaP256 => (&ECDH_P256, 32),
        _ => (&ECDH_P384, 48),
    };
    let mut scalar = [0; 48];
    for _ in 0..MAX_DRAWS {
        rng.fill_bytes(&mut scalar[..length]);
        let Ok(key) = PrivateKey::from_private_key(algorithm, &scalar[..length]) else { continue };
        let public = key.compute_public_key().map_err(crypto)?;
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(ecdsa(kind), &scalar[..length], public.as_ref());
        scalar.zeroize();
        let pair = pair.map_err(|_| CertificateError::Crypto)?;
        let pkcs8 = Zeroizing::new(pair.to_pkcs8v1().map_err(crypto)?.as_ref().to_vec());
        return Ok((SigningKey::Ecdsa(kind, pair), pkcs8));
    }
    Err(CertificateError::Crypto)
}

fn rsa_key(size: KeySize) -> Result<(SigningKey, Zeroizing<Vec<u8>>), CertificateError> {
    let key = RsaKeyPair::generate(size).map_err(|_| CertificateError::Crypto)?;
    let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| CertificateError::Crypto)?;
    let pkcs8 = Zeroizing::new(pkcs8.as_ref().to_vec());
    Ok((SigningKey::Rsa(Box::new(key)), pkcs8))
}

/// Debug output must not give the key away.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.kind()).finish()
    }
}
