//! EncryptedExtensions of DTLS 1.3 (RFC 8446 §4.3.1).

use super::extension::{Choices, SUPPORTED_GROUPS, UNSOLICITED, for_each};
use crate::error::Fault;
use crate::wire::{Reader, put_vec16};

/// Returns the server's choices.
pub(crate) fn read_encrypted_extensions(body: &[u8]) -> Result<Choices, Fault> {
    let mut reader = Reader::new(body);
    let extensions = reader.vec16()?;
    reader.finish()?;
    let mut choices = Choices::default();
    for_each(extensions, |number, mut body| {
        if choices.read(number, &mut body)? {
            return body.finish();
        }
        // A server may say which groups it prefers, for the next time.
        if number == SUPPORTED_GROUPS { Ok(()) } else { Err(UNSOLICITED) }
    })?;
    Ok(choices)
}

pub(crate) fn write_encrypted_extensions(choices: &Choices) -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    put_vec16(&mut out, |out| choices.write(out));
    out
}
