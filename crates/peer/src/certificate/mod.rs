//! Certificates: the identity of a peer (RFC 8827 §6.5).

mod pem;

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest;
use columba_dtls::CertificateError;
pub use columba_dtls::KeyAlgorithm;
use columba_sdp::attributes::{Fingerprint, HashFunction};
use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, SeedableRng};

use crate::error::Error;
use crate::time::UnixTime;

/// The validity of a certificate: 30 days, the default of the W3C's `generateCertificate` and of
/// Chromium.
const VALIDITY: Duration = Duration::from_secs(30 * 86_400);

/// The labels of the blocks of PEM (RFC 7468 §5, §10).
const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// A self-signed certificate and its key: the W3C's `RTCCertificate`. Cheap to clone; several
/// connections may share one, and then their peers can recognize it.
#[derive(Clone)]
pub struct Certificate {
    own: columba_dtls::Certificate,
    expires: UnixTime,
}

impl Certificate {
    /// Makes a certificate with a new ECDSA key on P-256, valid for 30 days. The key comes from
    /// `rng`; the signature has randomness of the cryptography library's own in it.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`] if the cryptography library fails.
    pub fn generate(rng: &mut impl CryptoRng, wall: UnixTime) -> Result<Self, Error> {
        Self::generate_with(KeyAlgorithm::EcdsaP256, rng, wall, UnixTime(wall.0 + VALIDITY))
    }

    /// Makes a certificate with a new key of this kind, valid until `expires`: the W3C's
    /// `generateCertificate`. Keys of RSA come from the cryptography library's own generator.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`] if the cryptography library fails.
    pub fn generate_with(
        algorithm: KeyAlgorithm,
        rng: &mut impl CryptoRng,
        wall: UnixTime,
        expires: UnixTime,
    ) -> Result<Self, Error> {
        let own = columba_dtls::Certificate::generate(algorithm, rng, wall.0, expires.0).map_err(invalid)?;
        Ok(Self { own, expires })
    }

    /// Makes a certificate as [`generate_with`](Self::generate_with) does, from 32 random bytes.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`] if the cryptography library fails.
    pub fn from_seed(
        algorithm: KeyAlgorithm,
        seed: [u8; 32],
        wall: UnixTime,
        expires: UnixTime,
    ) -> Result<Self, Error> {
        Self::generate_with(algorithm, &mut ChaCha20Rng::from_seed(seed), wall, expires)
    }

    /// Makes a certificate from DER, and from its key as PKCS #8 in DER: ECDSA on P-256 or P-384,
    /// Ed25519, or RSA of 2,048 bits or more.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`] if one of them is malformed, the key is of another kind, or
    /// the two do not belong together.
    pub fn from_der(certificate: Vec<u8>, key: Vec<u8>, expires: UnixTime) -> Result<Self, Error> {
        Ok(Self { own: columba_dtls::Certificate::from_der(certificate, key).map_err(invalid)?, expires })
    }

    /// Reads a certificate and its key from PEM: the blocks `CERTIFICATE` and `PRIVATE KEY` (PKCS
    /// #8), in any order, as [`to_pem`](Self::to_pem) and other programs
    /// write them. Of several certificates the first counts.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`] if a block is missing or malformed, or the key is of another
    /// kind.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let certificate = pem::read(text, CERTIFICATE)
            .ok_or_else(|| failed("a block CERTIFICATE of PEM is missing or malformed"))?;
        let key = pem::read(text, PRIVATE_KEY)
            .ok_or_else(|| failed("a block PRIVATE KEY (PKCS #8) of PEM is missing or malformed"))?;
        let expires = pem::expiry(&certificate)
            .ok_or_else(|| failed("the certificate does not say when it expires"))?;
        Self::from_der(certificate, key, expires)
    }

    /// Returns the certificate and its key as PEM, to be kept for later connections. Secret.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::write(CERTIFICATE, self.own.der()) + &pem::write(PRIVATE_KEY, self.own.private_key_der())
    }

    /// Returns the certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.own.der()
    }

    /// Returns the private key, PKCS #8 in DER. Secret.
    #[must_use]
    pub fn private_key_der(&self) -> &[u8] {
        self.own.private_key_der()
    }

    /// Returns the time at which it expires.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.expires
    }

    /// Returns its SHA-256 fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(self.own.der())
    }

    pub(crate) fn dtls(&self) -> &columba_dtls::Certificate {
        &self.own
    }
}

/// Returns the SHA-256 fingerprint of a certificate.
pub(crate) fn fingerprint(der: &[u8]) -> Fingerprint {
    let digest = digest::digest(&digest::SHA256, der).as_ref().to_vec();
    Fingerprint { hash: HashFunction::Sha256, digest }
}

/// Debug output must not give the key away.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Returns true if a certificate is proven by these fingerprints (RFC 8122 §5.1).
pub(crate) fn matches(fingerprints: &[Fingerprint], der: &[u8]) -> bool {
    columba_dtls::Fingerprint::prove(&known(fingerprints), der)
}

/// The fingerprints as DTLS has them. Those of hash functions that are forbidden or unknown prove
/// nothing.
pub(crate) fn known(fingerprints: &[Fingerprint]) -> Vec<columba_dtls::Fingerprint> {
    let known = fingerprints.iter().filter_map(|fingerprint| {
        let hash = hash_function(&fingerprint.hash)?;
        Some(columba_dtls::Fingerprint { hash, digest: fingerprint.digest.clone() })
    });
    known.collect()
}

/// Returns the hash function as DTLS has it. MD2 and MD5 must not be used (RFC 8122 §5).
pub(crate) fn hash_function(hash: &HashFunction) -> Option<columba_dtls::HashFunction> {
    match hash {
        HashFunction::Sha1 => Some(columba_dtls::HashFunction::Sha1),
        HashFunction::Sha224 => Some(columba_dtls::HashFunction::Sha224),
        HashFunction::Sha256 => Some(columba_dtls::HashFunction::Sha256),
        HashFunction::Sha384 => Some(columba_dtls::HashFunction::Sha384),
        HashFunction::Sha512 => Some(columba_dtls::HashFunction::Sha512),
        _ => None,
    }
}

fn invalid(error: CertificateError) -> Error {
    failed(match error {
        CertificateError::UnsupportedKey => {
            "a key of ECDSA on P-256 or P-384, of Ed25519, or of RSA with 2,048 bits is needed, in PKCS #8"
        }
        CertificateError::KeyMismatch => "the key is not the one of the certificate",
        CertificateError::Malformed(_) => "the certificate or its key is malformed",
        _ => "the cryptography library failed to make or to use a key",
    })
}

fn failed(reason: &'static str) -> Error {
    Error::InvalidCertificate { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    fn generate(seed: u64) -> Certificate {
        let wall = UnixTime(Duration::from_secs(1_790_000_000));
        Certificate::generate(&mut ChaCha12Rng::seed_from_u64(seed), wall).unwrap()
    }

    #[test]
    fn the_key_comes_from_the_generator() {
        let (one, same, other) = (generate(1), generate(1), generate(2));
        assert_eq!(one.private_key_der(), same.private_key_der());
        assert_ne!(one.private_key_der(), other.private_key_der());
        assert_eq!(one.expires(), UnixTime(Duration::from_secs(1_790_000_000 + 30 * 86_400)));
        let debug = format!("{one:?}");
        assert!(debug.starts_with("Certificate") && debug.len() < 80, "{debug}");
    }

    #[test]
    fn strongest_hash_of_several_is_enough() {
        let certificate = generate(1);
        let of = |hash: HashFunction, algorithm| Fingerprint {
            hash,
            digest: digest::digest(algorithm, certificate.der()).as_ref().to_vec(),
        };
        let good = of(HashFunction::Sha512, &digest::SHA512);
        let wrong = Fingerprint { hash: HashFunction::Sha256, digest: vec![0; 32] };
        assert!(matches(&[certificate.fingerprint()], certificate.der()));
        assert!(matches(&[wrong.clone(), good], certificate.der()));
        assert!(!matches(&[wrong], certificate.der()));
        assert!(!matches(&[], certificate.der()));
        let weak = of(HashFunction::Sha1, &digest::SHA1_FOR_LEGACY_USE_ONLY);
        assert!(matches(std::slice::from_ref(&weak), certificate.der()), "where there is no other");
        let stronger = Fingerprint { hash: HashFunction::Sha256, digest: vec![0; 32] };
        assert!(!matches(&[weak, stronger], certificate.der()));
        let forbidden = Fingerprint { hash: HashFunction::Md5, digest: vec![0; 16] };
        assert!(!matches(&[forbidden], certificate.der()));
    }

    #[test]
    fn pem_keeps_certificate_key_and_expiry() {
        let own = generate(4);
        let text = own.to_pem();
        let again = Certificate::from_pem(&text).unwrap();
        assert_eq!(again.fingerprint(), own.fingerprint());
        assert_eq!(again.private_key_der(), own.private_key_der());
        assert_eq!(again.expires(), own.expires());
        let (certificate, key) = text.split_at(text.find("-----BEGIN PRIVATE KEY").unwrap());
        let turned = Certificate::from_pem(&(key.to_owned() + certificate)).unwrap();
        assert_eq!(turned.fingerprint(), own.fingerprint());
        for missing in [certificate, key, ""] {
            assert!(matches!(Certificate::from_pem(missing), Err(Error::InvalidCertificate { .. })));
        }
    }

    #[test]
    fn certificates_of_every_kind_are_kept_as_pem() {
        use KeyAlgorithm as K;
        let (wall, expires) =
            (UnixTime(Duration::from_secs(1_790_000_000)), Duration::from_secs(1_791_000_000));
        for kind in [K::EcdsaP256, K::EcdsaP384, K::Ed25519, K::Rsa2048, K::Rsa3072] {
            let own = Certificate::from_seed(kind, [7; 32], wall, UnixTime(expires)).unwrap();
            let again = Certificate::from_pem(&own.to_pem()).unwrap();
            assert_eq!(again.fingerprint(), own.fingerprint(), "{kind:?}");
            assert_eq!(again.expires(), UnixTime(expires), "{kind:?}");
        }
    }

    #[test]
    fn certificates_from_elsewhere_are_checked() {
        let own = generate(3);
        let again = Certificate::from_der(own.der().to_vec(), own.private_key_der().to_vec(), own.expires());
        assert_eq!(again.unwrap().fingerprint(), own.fingerprint());
        assert!(Certificate::from_der(own.der().to_vec(), b"no key".to_vec(), own.expires()).is_err());
    }
}
