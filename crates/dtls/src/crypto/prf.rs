//! The key schedule of DTLS 1.2 (RFC 5246 §5, §6.3, §8.1, RFC 7627).

use aws_lc_rs::tls_prf;
use zeroize::Zeroizing;

use super::secret::Secret;
use super::suite::{CipherSuite, SuiteHash};
use crate::config::Role;
use crate::error::Fault;

/// Bytes of a master secret, and of the data of a Finished message.
const MASTER: usize = 48;
pub(crate) const VERIFY_DATA: usize = 12;

/// The master secret of an association and the random numbers that go with it.
#[derive(Debug)]
pub(crate) struct Master {
    hash: SuiteHash,
    secret: Secret,
    client_random: [u8; 32],
    server_random: [u8; 32],
}

/// Keys of both directions.
pub(crate) struct KeyBlock {
    bytes: tls_prf::Secret,
    key: usize,
    iv: usize,
}

impl Master {
    /// Derives the master secret. `session_hash` is that of an extended master secret.
    pub(crate) fn new(
        hash: SuiteHash,
        shared: &[u8],
        client_random: [u8; 32],
        server_random: [u8; 32],
        session_hash: Option<&[u8]>,
    ) -> Result<Self, Fault> {
        let derived = match session_hash {
            Some(session_hash) => prf(hash, shared, b"extended master secret", session_hash, &[], MASTER)?,
            None => prf(hash, shared, b"master secret", &client_random, &server_random, MASTER)?,
        };
        Ok(Self { hash, secret: Secret::new(derived.as_ref()), client_random, server_random })
    }

    pub(crate) fn key_block(&self, suite: CipherSuite) -> Result<KeyBlock, Fault> {
        let (key, iv) = (suite.aead().key_length(), suite.aead().fixed_iv_length_12());
        let master = self.secret.as_bytes();
        let length = 2 * (key + iv);
        let bytes =
            prf(self.hash, master, b"key expansion", &self.server_random, &self.client_random, length)?;
        Ok(KeyBlock { bytes, key, iv })
    }

    /// The data of the Finished message of `sender`.
    pub(crate) fn verify_data(&self, sender: Role, transcript: &[u8]) -> Result<[u8; VERIFY_DATA], Fault> {
        let label: &[u8] = match sender {
            Role::Client => b"client finished",
            Role::Server => b"server finished",
        };
        let data = prf(self.hash, self.secret.as_bytes(), label, transcript, &[], VERIFY_DATA)?;
        data.as_ref().try_into().map_err(|_| Fault::crypto())
    }

    /// Exports keying material (RFC 5705 §4). The context is optional, and an empty one is not the
    /// same as none.
    pub(crate) fn export(&self, label: &[u8], context: Option<&[u8]>, out: &mut [u8]) -> Result<(), Fault> {
        let mut seed = Zeroizing::new([self.client_random, self.server_random].concat());
        if let Some(context) = context {
            let length = u16::try_from(context.len()).map_err(|_| Fault::crypto())?;
            seed.extend_from_slice(&length.to_be_bytes());
            seed.extend_from_slice(context);
        }
        let material = prf(self.hash, self.secret.as_bytes(), label, &seed, &[], out.len())?;
        out.copy_from_slice(material.as_ref());
        Ok(())
    }

    /// For a log of keys only.
    pub(crate) fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }
}

impl KeyBlock {
    /// The key and the fixed part of the nonce with which `sender` protects its records.
    pub(crate) fn keys_of(&self, sender: Role) -> (&[u8], &[u8]) {
        let index = usize::from(sender == Role::Server);
        let (keys, ivs) = self.bytes.as_ref().split_at(2 * self.key);
        (&keys[index * self.key..][..self.key], &ivs[index * self.iv..][..self.iv])
    }
}

fn prf(
    hash: SuiteHash,
    secret: &[u8],
    label: &[u8],
    seed: &[u8],
    more: &[u8],
    length: usize,
) -> Result<tls_prf::Secret, Fault> {
    let secret = tls_prf::Secret::new(hash.prf(), secret)?;
    Ok(secret.derive_with_seed_concatination(label, seed, more, length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
        digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    /// The known answers that the TLS working group's list has for P_SHA256 and P_SHA384.
    #[test]
    fn prf_has_its_known_answers() {
        let out = prf(
            SuiteHash::Sha256,
            &bytes("9b be 43 6b a9 40 f0 17 b1 76 52 84 9a 71 db 35"),
            b"test label",
            &bytes("a0 ba 9f 93 6c da 31 18 27 a6 f7 96 ff d5 19 8c"),
            &[],
            100,
        )
        .unwrap();
        assert_eq!(out.as_ref()[..16], bytes("e3 f2 29 ba 72 7b e1 7b 8d 12 26 20 55 7c d4 53"));
        assert_eq!(out.as_ref()[92..], bytes("10 ff f7 01 87 34 7b 66"));
    }

    #[test]
    fn export_tells_no_context_from_an_empty_one() {
        let master = Master::new(SuiteHash::Sha256, &[1; 32], [2; 32], [3; 32], None).unwrap();
        let export = |context| {
            let mut out = [0; 20];
            master.export(b"EXTRACTOR-test", context, &mut out).unwrap();
            out
        };
        assert_eq!(export(None), export(None));
        assert_ne!(export(None), export(Some(&b""[..])));
        let extended = Master::new(SuiteHash::Sha256, &[1; 32], [2; 32], [3; 32], Some(&[9; 32])).unwrap();
        assert_ne!(extended.secret(), master.secret());
        assert_eq!(format!("{:?}", extended.secret), "Secret");
    }
}
