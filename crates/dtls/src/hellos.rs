//! The handshake that a record of a client's belongs to, as far as it can be read without keys.

use crate::handshake::Fragment;
use crate::message::CLIENT_HELLO;
use crate::record::{Form, HANDSHAKE};
use crate::wire::Reader;

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The beginning of a ClientHello: its random number tells clients apart.
    ClientHello([u8; 32]),
    /// Another part of a ClientHello.
    Fragment,
    /// Everything else.
    Other,
}

/// Reads the kind of a record.
pub(crate) fn kind_of(form: Form, body: &[u8]) -> Kind {
    let Form::Plain { content_type: HANDSHAKE, epoch: 0, .. } = form else { return Kind::Other };
    let Ok(fragment) = Fragment::read(&mut Reader::new(body)) else { return Kind::Other };
    if fragment.kind != CLIENT_HELLO {
        return Kind::Other;
    }
    // The version comes first.
    match fragment.bytes.get(2..).and_then(|bytes| bytes.first_chunk::<32>()) {
        Some(random) if fragment.offset == 0 => Kind::ClientHello(*random),
        _ => Kind::Fragment,
    }
}
