//! The other side's certificate (RFC 5280), as far as it is of interest: its key.
//!
//! Names, validity and signature are not looked at: the fingerprint of the description proves the
//! certificate as a whole (RFC 8827 §6.5, RFC 8122 §6.2).

use super::der::{
    BIT_STRING, CONTEXT_0, Der, EC_PUBLIC_KEY, ED25519, GENERALIZED_TIME, INTEGER, OBJECT_IDENTIFIER, P256,
    P384, P521, RSA_ENCRYPTION, SEQUENCE, UTC_TIME,
};
use super::key::KeyKind;

/// Bytes of the longest certificate that is read.
const LONGEST: usize = 16 * 1024;

/// A key that signatures are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) kind: KeyKind,
    /// The point of an elliptic curve, or an `RSAPublicKey`.
    pub(crate) bytes: Vec<u8>,
}

/// Reads the key of a certificate. `None` if there is none of a known kind.
pub(crate) fn public_key(certificate: &[u8]) -> Option<PublicKey> {
    let mut parts = parts(certificate)?;
    let _subject = parts.element(SEQUENCE)?;
    read_public_key(parts.element(SEQUENCE)?)
}

/// Reads the end of a certificate's validity, as its notation and characters.
pub(super) fn not_after(certificate: &[u8]) -> Option<(bool, &[u8])> {
    let validity = validity(certificate)?;
    let mut validity = validity;
    let _begins = validity.any()?;
    match validity.any()? {
        (UTC_TIME, characters) => Some((false, characters.0)),
        (GENERALIZED_TIME, characters) => Some((true, characters.0)),
        _ => None,
    }
}

fn validity(certificate: &[u8]) -> Option<Der<'_>> {
    let mut parts = up_to_validity(certificate)?;
    parts.element(SEQUENCE)
}

/// The parts of a certificate behind its validity.
fn parts(certificate: &[u8]) -> Option<Der<'_>> {
    let mut parts = up_to_validity(certificate)?;
    let _validity = parts.element(SEQUENCE)?;
    Some(parts)
}

fn up_to_validity(certificate: &[u8]) -> Option<Der<'_>> {
    if certificate.len() > LONGEST {
        return None;
    }
    let mut outer = Der(certificate);
    let mut signed = outer.element(SEQUENCE)?;
    if !outer.is_empty() {
        return None;
    }
    let mut parts = signed.element(SEQUENCE)?;
    if parts.0.first() == Some(&CONTEXT_0) {
        let _version = parts.any()?;
    }
    let _serial = parts.element(INTEGER)?;
    let _algorithm = parts.element(SEQUENCE)?;
    let _issuer = parts.element(SEQUENCE)?;
    Some(parts)
}

fn read_public_key(mut info: Der<'_>) -> Option<PublicKey> {
    let mut algorithm = info.element(SEQUENCE)?;
    let identifier = algorithm.element(OBJECT_IDENTIFIER)?.0;
    let kind = match identifier {
        RSA_ENCRYPTION => KeyKind::Rsa,
        ED25519 => KeyKind::Ed25519,
        EC_PUBLIC_KEY => match algorithm.element(OBJECT_IDENTIFIER)?.0 {
            P256 => KeyKind::EcdsaP256,
            P384 => KeyKind::EcdsaP384,
            P521 => KeyKind::EcdsaP521,
            _ => return None,
        },
        _ => return None,
    };
    // The first byte counts unused bits of the last one.
    let (&0, bytes) = info.element(BIT_STRING)?.0.split_first()? else { return None };
    Some(PublicKey { kind, bytes: bytes.to_vec() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::super::{Certificate, KeyAlgorithm};
    use super::*;

    #[test]
    fn every_truncation_and_flipped_bit_is_survived() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let wall = Duration::from_secs(1_790_000_000);
        let own = Certificate::generate(KeyAlgorithm::EcdsaP256, &mut rng, wall, wall).unwrap();
        assert!(public_key(own.der()).is_some());
        for length in 0..own.der().len() {
            assert_eq!(public_key(&own.der()[..length]), None);
        }
        for bit in 0..own.der().len() * 8 {
            let mut der = own.der().to_vec();
            der[bit / 8] ^= 1 << (bit % 8);
            let _ = public_key(&der);
            let _ = not_after(&der);
        }
        assert_eq!(public_key(&vec![0x30; 1 << 20]), None, "a megabyte");
    }

    proptest! {
        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = public_key(&bytes);
            let _ = not_after(&bytes);
        }
    }
}
