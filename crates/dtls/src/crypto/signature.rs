//! Signature schemes (RFC 8446 §4.2.3, RFC 5246 §7.4.1.4.1), and signatures checked.

use aws_lc_rs::signature::{self as sig, UnparsedPublicKey, VerificationAlgorithm};

use super::suite::Authentication;
use crate::alert::AlertDescription;
use crate::certificate::{KeyKind, PublicKey};
use crate::config::Version;
use crate::error::Fault;

/// A signature scheme, by its number in IANA's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scheme(pub(crate) u16);

impl Scheme {
    pub(crate) const RSA_PKCS1_SHA256: Self = Self(0x0401);
    pub(crate) const ECDSA_SHA256: Self = Self(0x0403);
    pub(crate) const RSA_PKCS1_SHA384: Self = Self(0x0501);
    pub(crate) const ECDSA_SHA384: Self = Self(0x0503);
    pub(crate) const RSA_PKCS1_SHA512: Self = Self(0x0601);
    pub(crate) const ECDSA_SHA512: Self = Self(0x0603);
    pub(crate) const RSA_PSS_SHA256: Self = Self(0x0804);
    pub(crate) const RSA_PSS_SHA384: Self = Self(0x0805);
    pub(crate) const RSA_PSS_SHA512: Self = Self(0x0806);
    pub(crate) const ED25519: Self = Self(0x0807);

    /// The schemes that are checked, in the order of preference. RSA with PKCS #1 is not for
    /// handshakes of DTLS 1.3, but for certificates, whose signatures are not checked here.
    pub(crate) const OFFERED: [Self; 10] = [
        Self::ECDSA_SHA256,
        Self::ED25519,
        Self::ECDSA_SHA384,
        Self::ECDSA_SHA512,
        Self::RSA_PSS_SHA256,
        Self::RSA_PSS_SHA384,
        Self::RSA_PSS_SHA512,
        Self::RSA_PKCS1_SHA256,
        Self::RSA_PKCS1_SHA384,
        Self::RSA_PKCS1_SHA512,
    ];

    /// The schemes with which a key can sign, the preferred first.
    pub(crate) fn of_key(kind: KeyKind, version: Version) -> &'static [Self] {
        match (kind, version) {
            (KeyKind::EcdsaP256, _) => &[Self::ECDSA_SHA256],
            (KeyKind::EcdsaP384, _) => &[Self::ECDSA_SHA384],
            (KeyKind::EcdsaP521, _) => &[Self::ECDSA_SHA512],
            (KeyKind::Ed25519, _) => &[Self::ED25519],
            (KeyKind::Rsa, Version::Dtls13) => {
                &[Self::RSA_PSS_SHA256, Self::RSA_PSS_SHA384, Self::RSA_PSS_SHA512]
            }
            (KeyKind::Rsa, Version::Dtls12) => &[
                Self::RSA_PSS_SHA256,
                Self::RSA_PKCS1_SHA256,
                Self::RSA_PSS_SHA384,
                Self::RSA_PSS_SHA512,
                Self::RSA_PKCS1_SHA384,
                Self::RSA_PKCS1_SHA512,
            ],
        }
    }
}

impl KeyKind {
    /// The cipher suites of DTLS 1.2 that it goes with.
    pub(crate) const fn authentication(self) -> Authentication {
        match self {
            Self::Rsa => Authentication::Rsa,
            _ => Authentication::Ecdsa,
        }
    }
}

/// Checks the signature of a message of the handshake.
pub(crate) fn verify(
    key: &PublicKey,
    scheme: Scheme,
    version: Version,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    let algorithm = algorithm(key.kind, scheme, version)
        .ok_or(Fault::illegal("a signature is of a scheme that does not fit its key"))?;
    UnparsedPublicKey::new(algorithm, &key.bytes)
        .verify(message, signature)
        .map_err(|_| Fault::new(AlertDescription::DECRYPT_ERROR, "a signature of the handshake is wrong"))
}

/// In DTLS 1.2 any hash goes with any curve; in 1.3 a scheme says both (RFC 8446 §4.2.3).
fn algorithm(kind: KeyKind, scheme: Scheme, version: Version) -> Option<&'static dyn VerificationAlgorithm> {
    let is_12 = version == Version::Dtls12;
    Some(match (kind, scheme) {
        (KeyKind::EcdsaP256, Scheme::ECDSA_SHA256) => &sig::ECDSA_P256_SHA256_ASN1,
        (KeyKind::EcdsaP384, Scheme::ECDSA_SHA384) => &sig::ECDSA_P384_SHA384_ASN1,
        (KeyKind::EcdsaP521, Scheme::ECDSA_SHA512) => &sig::ECDSA_P521_SHA512_ASN1,
        (KeyKind::EcdsaP256, Scheme::ECDSA_SHA384) if is_12 => &sig::ECDSA_P256_SHA384_ASN1,
        (KeyKind::EcdsaP256, Scheme::ECDSA_SHA512) if is_12 => &sig::ECDSA_P256_SHA512_ASN1,
        (KeyKind::EcdsaP384, Scheme::ECDSA_SHA256) if is_12 => &sig::ECDSA_P384_SHA256_ASN1,
        (KeyKind::EcdsaP384, Scheme::ECDSA_SHA512) if is_12 => &sig::ECDSA_P384_SHA512_ASN1,
        (KeyKind::EcdsaP521, Scheme::ECDSA_SHA256) if is_12 => &sig::ECDSA_P521_SHA256_ASN1,
        (KeyKind::EcdsaP521, Scheme::ECDSA_SHA384) if is_12 => &sig::ECDSA_P521_SHA384_ASN1,
        (KeyKind::Ed25519, Scheme::ED25519) => &sig::ED25519,
        (KeyKind::Rsa, Scheme::RSA_PSS_SHA256) => &sig::RSA_PSS_2048_8192_SHA256,
        (KeyKind::Rsa, Scheme::RSA_PSS_SHA384) => &sig::RSA_PSS_2048_8192_SHA384,
        (KeyKind::Rsa, Scheme::RSA_PSS_SHA512) => &sig::RSA_PSS_2048_8192_SHA512,
        (KeyKind::Rsa, Scheme::RSA_PKCS1_SHA256) if is_12 => &sig::RSA_PKCS1_2048_8192_SHA256,
        (KeyKind::Rsa, Scheme::RSA_PKCS1_SHA384) if is_12 => &sig::RSA_PKCS1_2048_8192_SHA384,
        (KeyKind::Rsa, Scheme::RSA_PKCS1_SHA512) if is_12 => &sig::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_of_dtls13_are_bound_to_their_curve_and_padding() {
        let fits = |kind, scheme, version| algorithm(kind, scheme, version).is_some();
        for (kind, scheme) in [
            (KeyKind::EcdsaP256, Scheme::ECDSA_SHA384),
            (KeyKind::EcdsaP384, Scheme::ECDSA_SHA256),
            (KeyKind::Rsa, Scheme::RSA_PKCS1_SHA256),
        ] {
            assert!(fits(kind, scheme, Version::Dtls12));
            assert!(!fits(kind, scheme, Version::Dtls13));
        }
        assert!(!fits(KeyKind::Rsa, Scheme(0x0201), Version::Dtls12), "SHA-1");
        assert!(!fits(KeyKind::Ed25519, Scheme::ECDSA_SHA256, Version::Dtls12));
        for kind in
            [KeyKind::EcdsaP256, KeyKind::EcdsaP384, KeyKind::EcdsaP521, KeyKind::Ed25519, KeyKind::Rsa]
        {
            for version in [Version::Dtls12, Version::Dtls13] {
                assert!(Scheme::of_key(kind, version).iter().all(|scheme| fits(kind, *scheme, version)));
            }
        }
    }
}
