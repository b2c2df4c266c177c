//! HelloVerifyRequest of DTLS 1.2 (RFC 6347 §4.2.1).

use crate::error::Fault;
use crate::wire::{Reader, put_u16, put_vec8};

/// The version that stands in it, whatever comes after it: DTLS 1.0 (RFC 6347 §4.2.1).
const VERSION: u16 = 0xFEFF;

/// Returns the cookie.
pub(crate) fn read_hello_verify_request(body: &[u8]) -> Result<&[u8], Fault> {
    let mut reader = Reader::new(body);
    let _version = reader.u16()?;
    let cookie = reader.vec8()?.rest();
    reader.finish()?;
    Ok(cookie)
}

pub(crate) fn write_hello_verify_request(cookie: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(3 + cookie.len());
    put_u16(&mut out, VERSION);
    put_vec8(&mut out, |out| out.extend_from_slice(cookie));
    out
}
