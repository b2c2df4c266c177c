//! CertificateRequest (RFC 5246 §7.4.4, RFC 8422 §5.5, RFC 8446 §4.3.2).

use super::extension::{SIGNATURE_ALGORITHMS, for_each, put_numbers};
use crate::crypto::signature::Scheme;
use crate::error::Fault;
use crate::wire::{Numbers, Reader, put_u16, put_vec8, put_vec16};

/// `ClientCertificateType`: `rsa_sign` and `ecdsa_sign`. Ed25519 goes with the latter (RFC 8422
/// §5.5).
const RSA_SIGN: u8 = 1;
const ECDSA_SIGN: u8 = 64;

/// Returns the signature schemes that the server of DTLS 1.2 takes.
pub(crate) fn read_certificate_request_12(body: &[u8]) -> Result<Numbers<'_>, Fault> {
    let mut reader = Reader::new(body);
    let _types = reader.vec8()?;
    let schemes = reader.numbers()?;
    let _authorities = reader.vec16()?;
    reader.finish()?;
    Ok(schemes)
}

pub(crate) fn write_certificate_request_12() -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    put_vec8(&mut out, |out| out.extend_from_slice(&[ECDSA_SIGN, RSA_SIGN]));
    put_vec16(&mut out, |out| Scheme::OFFERED.iter().for_each(|scheme| put_u16(out, scheme.0)));
    put_vec16(&mut out, |_| {});
    out
}

/// Returns the signature schemes that the server of DTLS 1.3 takes.
pub(crate) fn read_certificate_request_13(body: &[u8]) -> Result<Numbers<'_>, Fault> {
    let mut reader = Reader::new(body);
    if !reader.vec8()?.is_empty() {
        return Err(Fault::illegal("a request for a certificate has a context in the handshake"));
    }
    let extensions = reader.vec16()?;
    reader.finish()?;
    let mut schemes = None;
    for_each(extensions, |number, mut body| {
        if number == SIGNATURE_ALGORITHMS {
            schemes = Some(body.numbers()?);
            body.finish()?;
        }
        Ok(())
    })?;
    schemes.ok_or(Fault::new(
        crate::alert::AlertDescription::MISSING_EXTENSION,
        "a request for a certificate says nothing of signatures",
    ))
}

pub(crate) fn write_certificate_request_13() -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    put_vec8(&mut out, |_| {});
    put_vec16(&mut out, |out| {
        put_numbers(out, SIGNATURE_ALGORITHMS, Scheme::OFFERED.map(|scheme| scheme.0));
    });
    out
}
