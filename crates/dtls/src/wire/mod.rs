//! Bytes of the presentation language of TLS (RFC 8446 §3), read with bounds and written.

mod reader;
mod writer;

pub(crate) use reader::{Numbers, Reader};
pub(crate) use writer::{put_u16, put_u24, put_vec8, put_vec16, put_vec24};
