//! CertificateVerify, and signatures in general (RFC 5246 §4.7, §7.4.8, RFC 8446 §4.4.3).

use crate::config::Role;
use crate::crypto::signature::Scheme;
use crate::error::Fault;
use crate::wire::{Reader, put_u16, put_vec16};

/// Reads a scheme and a signature.
pub(crate) fn read_signed<'a>(reader: &mut Reader<'a>) -> Result<(Scheme, &'a [u8]), Fault> {
    Ok((Scheme(reader.u16()?), reader.vec16()?.rest()))
}

/// Appends a scheme and a signature.
pub(crate) fn write_signed(out: &mut Vec<u8>, scheme: Scheme, signature: &[u8]) {
    put_u16(out, scheme.0);
    put_vec16(out, |out| out.extend_from_slice(signature));
}

/// The content that `signer` signs in DTLS 1.3: a hash that no other protocol signs.
pub(crate) fn signed_content(signer: Role, transcript: &[u8]) -> Vec<u8> {
    let context: &[u8] = match signer {
        Role::Client => b"TLS 1.3, client CertificateVerify",
        Role::Server => b"TLS 1.3, server CertificateVerify",
    };
    let mut content = vec![0x20; 64];
    content.extend_from_slice(context);
    content.push(0);
    content.extend_from_slice(transcript);
    content
}
