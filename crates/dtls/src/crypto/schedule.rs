//! The key schedule of DTLS 1.3 (RFC 8446 §7, RFC 9147 §5.9).

use aws_lc_rs::{digest, hkdf, hmac};

use super::secret::Secret;
use super::suite::SuiteHash;
use crate::error::Fault;

/// The prefix of each label in place of TLS's `"tls13 "`.
const PREFIX: &[u8] = b"dtls13";

/// Bytes of the longest label's HkdfLabel: two lengths, label and hash.
const MAX_INFO: usize = 2 + 1 + 255 + 1 + 64;

/// A secret from which others are derived in stages: early, handshake, master.
#[derive(Debug)]
pub(crate) struct Stage {
    hash: SuiteHash,
    prefix: &'static [u8],
    secret: Secret,
}

impl Stage {
    /// The early secret. Pre-shared keys are never used.
    pub(crate) fn early(hash: SuiteHash) -> Result<Self, Fault> {
        Self::early_with_prefix(hash, PREFIX)
    }

    fn early_with_prefix(hash: SuiteHash, prefix: &'static [u8]) -> Result<Self, Fault> {
        let zeros = Secret::zero(hash.length());
        Ok(Self { hash, prefix, secret: extract(hash, zeros.as_bytes(), zeros.as_bytes()) })
    }

    /// The next stage: the handshake secret from the key exchange's, or the master secret from
    /// zeros.
    pub(crate) fn next(&self, input: Option<&[u8]>) -> Result<Self, Fault> {
        let empty = digest::digest(self.hash.digest(), &[]);
        let derived = self.derive(b"derived", empty.as_ref())?;
        let zeros = Secret::zero(self.hash.length());
        let secret = extract(self.hash, derived.as_bytes(), input.unwrap_or(zeros.as_bytes()));
        Ok(Self { hash: self.hash, prefix: self.prefix, secret })
    }

    /// `Derive-Secret`: a secret that is bound to the messages so far.
    pub(crate) fn derive(&self, label: &[u8], transcript: &[u8]) -> Result<Secret, Fault> {
        let mut out = Secret::zero(self.hash.length());
        expand(self.hash, self.prefix, &self.secret, label, transcript, out.as_bytes_mut())?;
        Ok(out)
    }
}

/// `HKDF-Expand-Label`.
pub(crate) fn expand_label(
    hash: SuiteHash,
    secret: &Secret,
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Result<(), Fault> {
    expand(hash, PREFIX, secret, label, context, out)
}

/// The data of the Finished message of the side with this handshake traffic secret.
pub(crate) fn verify_data(hash: SuiteHash, secret: &Secret, transcript: &[u8]) -> Result<Secret, Fault> {
    let mut key = Secret::zero(hash.length());
    expand_label(hash, secret, b"finished", &[], key.as_bytes_mut())?;
    let tag = hmac::sign(&hmac::Key::new(hash.hmac(), key.as_bytes()), transcript);
    Ok(Secret::new(tag.as_ref()))
}

/// The secret of the next generation of keys (RFC 8446 §7.2).
pub(crate) fn updated(hash: SuiteHash, secret: &Secret) -> Result<Secret, Fault> {
    let mut next = Secret::zero(hash.length());
    expand_label(hash, secret, b"traffic upd", &[], next.as_bytes_mut())?;
    Ok(next)
}

/// Exports keying material from the exporter's master secret (RFC 8446 §7.5).
pub(crate) fn export(
    hash: SuiteHash,
    exporter: &Secret,
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Result<(), Fault> {
    let empty = digest::digest(hash.digest(), &[]);
    let mut secret = Secret::zero(hash.length());
    expand_label(hash, exporter, label, empty.as_ref(), secret.as_bytes_mut())?;
    let context = digest::digest(hash.digest(), context);
    expand_label(hash, &secret, b"exporter", context.as_ref(), out)
}

/// `HKDF-Extract` (RFC 5869 §2.2).
fn extract(hash: SuiteHash, salt: &[u8], input: &[u8]) -> Secret {
    Secret::new(hmac::sign(&hmac::Key::new(hash.hmac(), salt), input).as_ref())
}

fn expand(
    hash: SuiteHash,
    prefix: &[u8],
    secret: &Secret,
    label: &[u8],
    context: &[u8],
    out: &mut [u8],
) -> Result<(), Fault> {
    let length = u16::try_from(out.len()).map_err(|_| Fault::crypto())?;
    let mut info = Vec::with_capacity(MAX_INFO);
    info.extend_from_slice(&length.to_be_bytes());
    info.push(u8::try_from(prefix.len() + label.len()).map_err(|_| Fault::crypto())?);
    info.extend_from_slice(prefix);
    info.extend_from_slice(label);
    info.push(u8::try_from(context.len()).map_err(|_| Fault::crypto())?);
    info.extend_from_slice(context);
    let key = hkdf::Prk::new_less_safe(hash.hkdf(), secret.as_bytes());
    Ok(key.expand(&[&info], Length(out.len()))?.fill(out)?)
}

/// The length of an output, as the library wants it.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    /// RFC 8448 §3, whose labels are those of TLS.
    #[test]
    fn stages_are_those_of_rfc_8448() {
        let hash = SuiteHash::Sha256;
        let early = Stage::early_with_prefix(hash, b"tls13 ").unwrap();
        assert_eq!(
            early.secret.as_bytes(),
            bytes("33ad0a1c607ec03b09e6cd9893680ce210adf300aa1f2660e1b22e10f170f92a")
        );
        let shared = bytes("8bd4054fb55b9d63fdfbacf9f04b9f0d35e6d63f537563efd46272900f89492d");
        let handshake = early.next(Some(&shared)).unwrap();
        assert_eq!(
            handshake.secret.as_bytes(),
            bytes("1dc826e93606aa6fdc0aadc12f741b01046aa6b99f691ed221a9f0ca043fbeac")
        );
        let hello = bytes("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8");
        let client = handshake.derive(b"c hs traffic", &hello).unwrap();
        assert_eq!(
            client.as_bytes(),
            bytes("b3eddb126e067f35a780b3abf45e2d8f3b1a950738f52e9600746a0e27a55a21")
        );
        let server = handshake.derive(b"s hs traffic", &hello).unwrap();
        assert_eq!(
            server.as_bytes(),
            bytes("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
        );
        let mut key = [0; 16];
        expand(hash, b"tls13 ", &server, b"key", &[], &mut key).unwrap();
        assert_eq!(key[..], bytes("3fce516009c21727d0f2e4e86ee403bc"));
        let mut iv = [0; 12];
        expand(hash, b"tls13 ", &server, b"iv", &[], &mut iv).unwrap();
        assert_eq!(iv[..], bytes("5d313eb2671276ee13000b30"));
        let master = handshake.next(None).unwrap();
        assert_eq!(
            master.secret.as_bytes(),
            bytes("18df06843d13a08bf2a449844c5f8a478001bc4d4c627984d5a41da8d0402919")
        );
    }

    #[test]
    fn prefix_of_dtls_makes_other_keys() {
        let hash = SuiteHash::Sha384;
        let (tls, dtls) = (Stage::early_with_prefix(hash, b"tls13 ").unwrap(), Stage::early(hash).unwrap());
        assert_eq!(tls.secret.as_bytes(), dtls.secret.as_bytes());
        assert_ne!(tls.next(None).unwrap().secret.as_bytes(), dtls.next(None).unwrap().secret.as_bytes());
        let next = updated(hash, &dtls.secret).unwrap();
        assert_ne!(next.as_bytes(), dtls.secret.as_bytes());
        assert_eq!(next.as_bytes().len(), 48);
    }
}
