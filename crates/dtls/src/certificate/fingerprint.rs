//! Fingerprints of certificates (RFC 8122 §5, RFC 8827 §6.5).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;

use crate::error::CertificateError;

/// A hash function of fingerprints, in the order of strength. MD2 and MD5, which RFC 8122 §5
/// forbids, are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HashFunction {
    /// SHA-1: only where a description has no other. Collisions of it were found, but no second
    /// certificate with the fingerprint of a given one.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashFunction {
    const ALL: [Self; 5] = [Self::Sha1, Self::Sha224, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Returns its name in descriptions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha224 => "sha-224",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha224 => &digest::SHA224,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A fingerprint: the hash of a certificate in DER.
///
/// In text it is as in a description: `sha-256 4A:AD:…`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The hash function.
    pub hash: HashFunction,
    /// The hash.
    pub digest: Vec<u8>,
}

impl Fingerprint {
    /// Computes the fingerprint of a certificate.
    #[must_use]
    pub fn of(hash: HashFunction, certificate: &[u8]) -> Self {
        Self { hash, digest: digest::digest(hash.algorithm(), certificate).as_ref().to_vec() }
    }

    /// Returns true if it is the one of this certificate.
    #[must_use]
    pub fn matches(&self, certificate: &[u8]) -> bool {
        Self::of(self.hash, certificate).digest == self.digest
    }

    /// Returns true if a certificate is proven by the fingerprints of a description: it has one of
    /// those of the strongest hash function among them (RFC 8122 §5.1).
    #[must_use]
    pub fn prove(fingerprints: &[Self], certificate: &[u8]) -> bool {
        let strongest = fingerprints.iter().map(|fingerprint| fingerprint.hash).max();
        let mut counted = fingerprints.iter().filter(|fingerprint| Some(fingerprint.hash) == strongest);
        counted.any(|fingerprint| fingerprint.matches(certificate))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.hash.name())?;
        for (index, byte) in self.digest.iter().enumerate() {
            let colon = if index > 0 { ":" } else { "" };
            write!(f, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = CertificateError;

    fn from_str(text: &str) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed("the fingerprint");
        let (name, digits) = text.split_once(' ').ok_or(malformed)?;
        let hash = HashFunction::ALL.into_iter().find(|hash| hash.name().eq_ignore_ascii_case(name));
        let hash = hash.ok_or(malformed)?;
        let byte = |digits: &str| {
            let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u8::from_str_radix(digits, 16).ok().filter(|_| is_hex)
        };
        let digest: Option<Vec<u8>> = digits.trim().split(':').map(byte).collect();
        let digest = digest.filter(|digest| digest.len() == hash.algorithm().output_len());
        Ok(Self { hash, digest: digest.ok_or(malformed)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_hashes_are_written_and_read() {
        for hash in HashFunction::ALL {
            let fingerprint = Fingerprint::of(hash, b"a certificate");
            assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint.clone()));
            assert_eq!(fingerprint.to_string().to_uppercase().parse(), Ok(fingerprint.clone()));
            assert!(fingerprint.matches(b"a certificate"));
            assert!(!fingerprint.matches(b"another"));
        }
        assert!(HashFunction::ALL.is_sorted());
        for text in ["", "sha-256", "sha-256 00", "md5 00", "sha-1 +1", "sha-256 0:1"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn strongest_hash_of_a_description_decides() {
        let of = |hash, certificate: &[u8]| Fingerprint::of(hash, certificate);
        for (place, hash) in HashFunction::ALL.into_iter().enumerate() {
            let right = of(hash, b"right");
            assert!(
                Fingerprint::prove(&[of(hash, b"wrong"), right.clone()], b"right"),
                "of two certificates"
            );
            for weaker in &HashFunction::ALL[..place] {
                assert!(Fingerprint::prove(&[of(*weaker, b"wrong"), right.clone()], b"right"));
                assert!(!Fingerprint::prove(&[of(*weaker, b"right"), of(hash, b"wrong")], b"right"));
            }
        }
        assert!(!Fingerprint::prove(&[], b"right"));
    }
}
