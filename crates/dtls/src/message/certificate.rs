//! Certificate (RFC 5246 §7.4.2, RFC 8446 §4.4.2).

use crate::config::Version;
use crate::error::Fault;
use crate::wire::{Reader, put_vec8, put_vec16, put_vec24};

/// Returns the first certificate of the chain, which is the sender's; an empty one if there is
/// none. The others say nothing: the fingerprint is that of the first.
pub(crate) fn read_certificate(version: Version, body: &[u8]) -> Result<&[u8], Fault> {
    let mut reader = Reader::new(body);
    if version == Version::Dtls13 && !reader.vec8()?.is_empty() {
        return Err(Fault::illegal("a certificate answers another request"));
    }
    let mut chain = reader.vec24()?;
    reader.finish()?;
    let mut first: &[u8] = &[];
    let mut is_first = true;
    while !chain.is_empty() {
        let certificate = chain.vec24()?.rest();
        if version == Version::Dtls13 {
            let _extensions = chain.vec16()?;
        }
        if certificate.is_empty() {
            return Err(Fault::decode("a certificate is empty"));
        }
        if std::mem::take(&mut is_first) {
            first = certificate;
        }
    }
    Ok(first)
}

pub(crate) fn write_certificate(version: Version, certificate: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(certificate.len() + 12);
    if version == Version::Dtls13 {
        put_vec8(&mut out, |_| {});
    }
    put_vec24(&mut out, |out| {
        put_vec24(out, |out| out.extend_from_slice(certificate));
        if version == Version::Dtls13 {
            put_vec16(out, |_| {});
        }
    });
    out
}
