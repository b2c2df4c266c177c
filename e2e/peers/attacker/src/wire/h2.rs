//! HTTP/2 frames (RFC 9113 §4), header blocks without compression (RFC 7541 §6.2.2).

use std::io::{self, Write as _};
use std::net::IpAddr;

use super::transport::{Door, Transport};

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const DATA: u8 = 0;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// The initial window of streams (RFC 9113 §6.5.2).
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection whose streams may receive so many bytes.
pub(crate) fn connect(source: IpAddr, server: Door, window: u32) -> io::Result<Transport> {
    let mut stream = Transport::connect(source, server, Some("h2"))?;
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat();
    hello.extend(frame(SETTINGS, 0, 0, &setting));
    hello.extend(frame(SETTINGS, 1, 0, &[]));
    stream.write_all(&hello)?;
    Ok(stream)
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The header block of a request.
pub(crate) fn request(method: &str, path: &str, server: Door, more: &[(&str, &str)]) -> Vec<u8> {
    let authority = server.to_string();
    let pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", &authority)];
    pseudo.iter().chain(more).flat_map(|(name, value)| field(name, value)).collect()
}

/// A field that is neither indexed nor compressed.
pub(crate) fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let length = text.len();
        if length < 127 {
            bytes.push(length as u8);
        } else {
            bytes.push(127);
            let mut rest = length - 127;
            while rest >= 128 {
                bytes.push((rest % 128 + 128) as u8);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}
