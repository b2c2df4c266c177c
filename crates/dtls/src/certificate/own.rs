//! Own certificates.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::der::malformed;
use super::fingerprint::{Fingerprint, HashFunction};
use super::key::{KeyAlgorithm, SigningKey};
use super::{pem, writer, x509};
use crate::config::Version;
use crate::crypto::signature::Scheme;
use crate::error::CertificateError;

/// The labels of the blocks of PEM (RFC 7468 §5, §10).
const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// The time by which a certificate is dated back, because the other side's clock may be late.
const BACKDATED: Duration = Duration::from_secs(86_400);

/// A self-signed certificate and its key: the W3C's `RTCCertificate`. Cheap to clone; several
/// associations may share one, and then their peers can recognize it.
#[derive(Clone)]
pub struct Certificate(Arc<Parts>);

struct Parts {
    der: Vec<u8>,
    key: SigningKey,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl Certificate {
    /// Makes a certificate with a new key. It is valid from a day before `wall` until `expires`,
    /// both since 1970. Keys of elliptic curves come from `rng`; keys of RSA, and the randomness in
    /// signatures, from the cryptography library's own generator.
    ///
    /// # Errors
    /// [`CertificateError::Crypto`] if the cryptography library fails.
    pub fn generate(
        algorithm: KeyAlgorithm,
        rng: &mut impl CryptoRng,
        wall: Duration,
        expires: Duration,
    ) -> Result<Self, CertificateError> {
        let (key, pkcs8) = SigningKey::generate(algorithm, rng)?;
        // Firefox wants serial numbers to be unique in the world. The first bit is 0, so that the
        // number is positive; the second is 1.
        let mut serial = [0; 16];
        rng.fill_bytes(&mut serial);
        serial[0] = serial[0] & 0x3F | 0x40;
        let (kind, public) = (key.kind(), key.public_key());
        let begins = wall.saturating_sub(BACKDATED);
        let signed = writer::to_be_signed(kind, &public.bytes, &serial, begins, expires);
        // RSA signs certificates with PKCS #1, which every peer reads.
        let scheme = match kind {
            super::KeyKind::Rsa => Scheme::RSA_PKCS1_SHA256,
            _ => Scheme::of_key(kind, Version::Dtls12)[0],
        };
        let signature = key.sign(scheme, &signed).map_err(|_| CertificateError::Crypto)?;
        let der = writer::certificate(kind, &signed, &signature);
        Ok(Self(Arc::new(Parts { der, key, pkcs8 })))
    }

    /// Makes a certificate from DER, and from its key as PKCS #8 in DER.
    ///
    /// # Errors
    /// [`CertificateError`] if one of them is malformed, the key is of an unsupported kind, or the
    /// two do not belong together.
    pub fn from_der(certificate: Vec<u8>, key: Vec<u8>) -> Result<Self, CertificateError> {
        let pkcs8 = Zeroizing::new(key);
        let key = SigningKey::from_pkcs8(&pkcs8)?;
        let public = x509::public_key(&certificate).ok_or_else(malformed("the certificate"))?;
        if public != key.public_key() {
            return Err(CertificateError::KeyMismatch);
        }
        Ok(Self(Arc::new(Parts { der: certificate, key, pkcs8 })))
    }

    /// Reads a certificate and its key from PEM: the blocks `CERTIFICATE` and `PRIVATE KEY` (PKCS
    /// #8), in any order. Of several certificates the first counts.
    ///
    /// # Errors
    /// [`CertificateError`] as for [`from_der`](Self::from_der), and if a block is missing.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let certificate = pem::read(text, CERTIFICATE).ok_or_else(malformed("the block CERTIFICATE"))?;
        let key = pem::read(text, PRIVATE_KEY).ok_or_else(malformed("the block PRIVATE KEY (PKCS #8)"))?;
        Self::from_der(certificate.to_vec(), key.to_vec())
    }

    /// Returns the certificate and its key as PEM, to be kept for later associations. Secret.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::write(CERTIFICATE, &self.0.der) + &pem::write(PRIVATE_KEY, &self.0.pkcs8)
    }

    /// Returns the certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Returns the private key, PKCS #8 in DER. Secret.
    #[must_use]
    pub fn private_key_der(&self) -> &[u8] {
        &self.0.pkcs8
    }

    /// Returns its fingerprint.
    #[must_use]
    pub fn fingerprint(&self, hash: HashFunction) -> Fingerprint {
        Fingerprint::of(hash, &self.0.der)
    }

    /// Returns the end of its validity as the certificate has it: `YYMMDDHHMMSSZ` or
    /// `YYYYMMDDHHMMSSZ`.
    #[must_use]
    pub fn not_after(&self) -> Option<&str> {
        std::str::from_utf8(x509::not_after(&self.0.der)?.1).ok()
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.0.key
    }
}

/// Debug output must not give the key away.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sha256 = self.fingerprint(HashFunction::Sha256);
        f.debug_struct("Certificate")
            .field("kind", &self.0.key.kind())
            .field("fingerprint", &format_args!("{sha256}"))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::signature;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    const WALL: Duration = Duration::from_secs(1_790_000_000);
    const EXPIRES: Duration = Duration::from_secs(1_792_592_000);

    fn generate(algorithm: KeyAlgorithm, seed: u64) -> Certificate {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        Certificate::generate(algorithm, &mut rng, WALL, EXPIRES).unwrap()
    }

    #[test]
    fn every_kind_signs_and_survives_pem() {
        use KeyAlgorithm as K;
        for algorithm in [K::EcdsaP256, K::EcdsaP384, K::Ed25519, K::Rsa2048, K::Rsa3072, K::Rsa4096] {
            let own = generate(algorithm, 1);
            let again = Certificate::from_pem(&own.to_pem()).unwrap();
            assert_eq!(again.der(), own.der());
            assert_eq!(again.private_key_der(), own.private_key_der());
            assert_eq!(own.not_after(), Some("261021141320Z"));
            let public = x509::public_key(own.der()).unwrap();
            for version in [Version::Dtls12, Version::Dtls13] {
                for scheme in Scheme::of_key(own.key().kind(), version) {
                    let signature = again.key().sign(*scheme, b"message").unwrap();
                    signature::verify(&public, *scheme, version, b"message", &signature).unwrap();
                    signature::verify(&public, *scheme, version, b"massage", &signature).unwrap_err();
                }
            }
            let debug = format!("{own:?}");
            assert!(debug.contains("sha-256") && debug.len() < 200, "{debug}");
        }
    }

    #[test]
    fn keys_come_from_the_generator_and_belong_to_their_certificate() {
        let (one, same, other) = (
            generate(KeyAlgorithm::EcdsaP384, 1),
            generate(KeyAlgorithm::EcdsaP384, 1),
            generate(KeyAlgorithm::EcdsaP384, 2),
        );
        assert_eq!(one.private_key_der(), same.private_key_der());
        assert_ne!(one.private_key_der(), other.private_key_der());
        // GnuTLS reads no key of an elliptic curve without its public key.
        for own in [&one, &generate(KeyAlgorithm::EcdsaP256, 1)] {
            let public = own.key().public_key().bytes;
            assert!(own.private_key_der().windows(public.len()).any(|part| part == public));
        }
        let mixed = Certificate::from_der(one.der().to_vec(), other.private_key_der().to_vec());
        assert_eq!(mixed.unwrap_err(), CertificateError::KeyMismatch);
        let no_key = Certificate::from_der(one.der().to_vec(), b"no key".to_vec());
        assert_eq!(no_key.unwrap_err(), CertificateError::UnsupportedKey);
        let nothing = Certificate::from_der(Vec::new(), one.private_key_der().to_vec());
        assert_eq!(nothing.unwrap_err(), CertificateError::Malformed("the certificate"));
        assert!(Certificate::from_pem("").is_err());
    }
}
