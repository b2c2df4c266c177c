//! A reader of DER (X.690), as far as certificates and keys need it.

use crate::error::CertificateError;

/// Tags of ASN.1.
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0C;
pub(super) const UTC_TIME: u8 = 0x17;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// `[0]`, constructed: the version of a certificate.
pub(super) const CONTEXT_0: u8 = 0xA0;

/// Object identifiers, encoded.
pub(super) const RSA_ENCRYPTION: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1];
pub(super) const SHA256_WITH_RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 11];
pub(super) const EC_PUBLIC_KEY: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1];
pub(super) const ECDSA_WITH_SHA256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2];
pub(super) const ECDSA_WITH_SHA384: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 3];
pub(super) const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7];
pub(super) const P384: &[u8] = &[0x2B, 0x81, 4, 0, 34];
pub(super) const P521: &[u8] = &[0x2B, 0x81, 4, 0, 35];
pub(super) const ED25519: &[u8] = &[0x2B, 0x65, 0x70];
pub(super) const COMMON_NAME: &[u8] = &[0x55, 4, 3];

/// Elements that stand one behind the other. Nothing recurses, so nothing nests too deeply.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    /// Reads the next element: its tag and contents.
    pub(super) fn any(&mut self) -> Option<(u8, Self)> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            // The length itself has one, two or three bytes: 16 MB are more than enough.
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, Self(contents)))
    }

    /// Reads the next element, which must have this tag.
    pub(super) fn element(&mut self, tag: u8) -> Option<Self> {
        let (found, contents) = self.any()?;
        (found == tag).then_some(contents)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Names the part that was malformed.
pub(super) fn malformed(part: &'static str) -> impl FnOnce() -> CertificateError {
    move || CertificateError::Malformed(part)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_are_read_in_both_forms() {
        let mut der = Der(&[0x30, 3, 2, 1, 9, 2, 0x81, 1, 7]);
        assert_eq!(der.element(SEQUENCE).unwrap().element(INTEGER).unwrap().0, [9]);
        assert_eq!(der.element(INTEGER).unwrap().0, [7]);
        assert!(der.is_empty() && der.any().is_none());
        assert!(Der(&[0x30, 0x84, 0, 0, 0, 0]).any().is_none());
        assert!(Der(&[0x30, 0x80]).any().is_none());
        assert!(Der(&[0x30, 2, 1]).any().is_none());
    }

    proptest! {
        #[test]
        fn anything_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut der = Der(&bytes);
            while der.any().is_some() {}
        }
    }
}
