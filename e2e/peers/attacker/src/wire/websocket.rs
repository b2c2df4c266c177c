//! WebSocket frames (RFC 6455 §5.2), masked with zeros.

use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;

use serde_json::Value;

use super::transport::{Door, Transport};

const TEXT: u8 = 1;
pub(crate) const PING: u8 = 9;
const PONG: u8 = 10;
const CLOSE: u8 = 8;

/// A WebSocket to the signaling service.
#[derive(Debug)]
pub(crate) struct WebSocket {
    pub(crate) stream: Transport,
}

impl WebSocket {
    pub(crate) fn open(source: IpAddr, server: Door) -> io::Result<Self> {
        Self::open_with(source, server, "")
    }

    /// With these headers too.
    pub(crate) fn open_with(source: IpAddr, server: Door, headers: &str) -> io::Result<Self> {
        let mut stream = Transport::connect(source, server, Some("http/1.1"))?;
        write!(
            stream,
            "GET /v1/signal HTTP/1.1\r\nHost: {server}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: columba.v1\r\n{headers}\r\n"
        )?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        if !head.starts_with(b"HTTP/1.1 101") {
            return Err(io::Error::other("no upgrade"));
        }
        Ok(Self { stream })
    }

    pub(crate) fn send(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(&frame(TEXT, text.as_bytes()))
    }

    /// The next message; pings are answered.
    pub(crate) fn receive(&mut self) -> io::Result<Value> {
        loop {
            let mut head = [0; 2];
            self.stream.read_exact(&mut head)?;
            let mut length = usize::from(head[1] & 0x7f);
            if length == 126 {
                let mut more = [0; 2];
                self.stream.read_exact(&mut more)?;
                length = usize::from(u16::from_be_bytes(more));
            } else if length == 127 {
                let mut more = [0; 8];
                self.stream.read_exact(&mut more)?;
                length = u64::from_be_bytes(more) as usize;
            }
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload)?;
            match head[0] & 0xf {
                TEXT => return serde_json::from_slice(&payload).map_err(io::Error::other),
                PING => self.stream.write_all(&frame(PONG, &payload))?,
                CLOSE => return Err(io::ErrorKind::ConnectionReset.into()),
                _ => {}
            }
        }
    }

    /// Sends a message and returns the answer.
    pub(crate) fn ask(&mut self, text: &str) -> io::Result<Value> {
        self.send(text)?;
        self.receive()
    }
}

/// A frame of a client.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}
