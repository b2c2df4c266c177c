//! Certificates: the identity of a peer (RFC 8827 §6.5).

mod pem;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use columba_sdp::attributes::{Fingerprint, HashFunction};
use rand_core::CryptoRng;
use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, SerialNumber, date_time_ymd};

use crate::error::Error;
use crate::time::UnixTime;

/// The validity of a certificate: 30 days, the default of the W3C's `generateCertificate` and of
/// Chromium.
const VALIDITY: Duration = Duration::from_secs(30 * 86_400);

/// The labels of the blocks of PEM (RFC 7468 §5, §10).
const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// The time by which a certificate is dated back, because the other side's clock may be late.
const BACKDATED: Duration = Duration::from_secs(86_400);

/// Attempts to draw a scalar from the generator: nearly every 256 bits are one.
const MAX_DRAWS: usize = 64;

/// A self-signed certificate and its key: the W3C's `RTCCertificate`. Cheap to clone; several
/// connections may share one, and then their peers can recognize it.
#[derive(Clone)]
pub struct Certificate(Arc<Parts>);

struct Parts {
    der: Vec<u8>,
    key: Vec<u8>,
    expires: UnixTime,
}

impl Certificate {
    /// Makes a certificate with a new ECDSA key on P-256, valid for 30 days. The key comes from
    /// `rng`; the signature has randomness of the cryptography library's own in it.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`] if the cryptography library fails.
    pub fn generate(rng: &mut impl CryptoRng, wall: UnixTime) -> Result<Self, Error> {
        let key = private_key(rng).ok_or_else(|| failed("no key could be made"))?;
        let key_pair = KeyPair::try_from(key.as_slice()).map_err(|_| failed("the key was not taken"))?;
        let expires = UnixTime(wall.0 + VALIDITY);
        let certificate = parameters(rng, wall, expires)
            .and_then(|parameters| parameters.self_signed(&key_pair))
            .map_err(|_| failed("signing it failed"))?;
        Ok(Self(Arc::new(Parts { der: certificate.der().to_vec(), key, expires })))
    }

    /// Makes a certificate from DER, and from its ECDSA key (P-256 or P-384) as PKCS #8 in DER.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`] if the key is of another kind or the two are empty.
    pub fn from_der(certificate: Vec<u8>, key: Vec<u8>, expires: UnixTime) -> Result<Self, Error> {
        use aws_lc_rs::signature::ECDSA_P384_SHA384_ASN1_SIGNING;
        let fits = [&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1_SIGNING]
            .into_iter()
            .any(|algorithm| EcdsaKeyPair::from_pkcs8(algorithm, &key).is_ok());
        if !fits || certificate.is_empty() {
            return Err(failed("an ECDSA key on P-256 or P-384 in PKCS #8 is needed"));
        }
        Ok(Self(Arc::new(Parts { der: certificate, key, expires })))
    }

    /// Reads a certificate and its ECDSA key (P-256 or P-384) from PEM: the blocks `CERTIFICATE`
    /// and `PRIVATE KEY` (PKCS #8), in any order, as [`to_pem`](Self::to_pem) and other programs
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
        pem::write(CERTIFICATE, &self.0.der) + &pem::write(PRIVATE_KEY, &self.0.key)
    }

    /// Returns the certificate, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// Returns the private key, PKCS #8 in DER. Secret.
    #[must_use]
    pub fn private_key_der(&self) -> &[u8] {
        &self.0.key
    }

    /// Returns the time at which it expires.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.0.expires
    }

    /// Returns its SHA-256 fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(&self.0.der)
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
        f.debug_struct("Certificate").field("expires", &self.0.expires).finish_non_exhaustive()
    }
}

/// Returns true if a certificate has one of these fingerprints (RFC 8122 §5.1). Hash functions that
/// are broken or unknown prove nothing.
pub(crate) fn matches(fingerprints: &[Fingerprint], der: &[u8]) -> bool {
    fingerprints.iter().any(|fingerprint| {
        algorithm(&fingerprint.hash)
            .is_some_and(|algorithm| digest::digest(algorithm, der).as_ref() == fingerprint.digest)
    })
}

/// Returns the algorithm of a hash function, if it is trusted.
pub(crate) fn algorithm(hash: &HashFunction) -> Option<&'static digest::Algorithm> {
    match hash {
        HashFunction::Sha224 => Some(&digest::SHA224),
        HashFunction::Sha256 => Some(&digest::SHA256),
        HashFunction::Sha384 => Some(&digest::SHA384),
        HashFunction::Sha512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// A P-256 key in PKCS #8 whose scalar comes from the generator.
fn private_key(rng: &mut impl CryptoRng) -> Option<Vec<u8>> {
    for _ in 0..MAX_DRAWS {
        let mut scalar = [0; 32];
        rng.fill_bytes(&mut scalar);
        let Ok(key) = PrivateKey::from_private_key(&ECDH_P256, &scalar) else { continue };
        let public = key.compute_public_key().ok()?;
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &scalar, public.as_ref()).ok()?;
        return Some(pair.to_pkcs8v1().ok()?.as_ref().to_vec());
    }
    None
}

fn parameters(
    rng: &mut impl CryptoRng,
    wall: UnixTime,
    expires: UnixTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    // Some peers refuse an empty name; a telling one would identify the user.
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, "WebRTC");
    parameters.distinguished_name = name;
    parameters.is_ca = IsCa::NoCa;
    let epoch = date_time_ymd(1970, 1, 1);
    parameters.not_before = epoch + wall.0.saturating_sub(BACKDATED);
    parameters.not_after = epoch + expires.0;
    // Firefox wants serial numbers to be unique in the world. The first bit is 0, so that the
    // number is positive; the second is 1.
    let mut serial = [0; 16];
    rng.fill_bytes(&mut serial);
    serial[0] = serial[0] & 0x3f | 0x40;
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(parameters)
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
    fn one_trusted_hash_of_several_is_enough() {
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
        let broken = of(HashFunction::Sha1, &digest::SHA1_FOR_LEGACY_USE_ONLY);
        assert!(!matches(&[broken], certificate.der()), "SHA-1 proves nothing");
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
    fn certificates_from_elsewhere_are_checked() {
        let own = generate(3);
        let again = Certificate::from_der(own.der().to_vec(), own.private_key_der().to_vec(), own.expires());
        assert_eq!(again.unwrap().fingerprint(), own.fingerprint());
        assert!(Certificate::from_der(own.der().to_vec(), b"no key".to_vec(), own.expires()).is_err());
    }
}
