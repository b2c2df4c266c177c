//! The smallest HTTP/2 client, which may misbehave (RFC 9113).

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// The types of frames that are sent or looked for.
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;

/// The silence after which nothing more is expected.
const SILENCE: Duration = Duration::from_millis(300);

/// A connection to the web port.
pub struct Http2 {
    stream: TcpStream,
    next: u32,
}

impl Http2 {
    /// Opens a connection whose streams may be sent so many bytes.
    pub fn open(mut stream: TcpStream, window: u32) -> Self {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").expect("the preface is taken");
        let mut http = Self { stream, next: 1 };
        let initial_window_size = [&4_u16.to_be_bytes()[..], &window.to_be_bytes()].concat();
        http.frame(SETTINGS, 0, 0, &initial_window_size);
        http
    }

    /// Sends the head of a request, which has no body.
    pub fn get(&mut self, path: &str, headers: &[(&str, &str)]) {
        let pseudo = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a.test")];
        let mut block = Vec::new();
        for (name, value) in pseudo.iter().chain(headers) {
            // A literal field that is not indexed (RFC 7541 §6.2.2).
            block.push(0);
            for text in [name, value] {
                assert!(text.len() < 127, "a length of one byte");
                block.push(text.len() as u8);
                block.extend_from_slice(text.as_bytes());
            }
        }
        let stream = self.next;
        self.next += 2;
        // END_STREAM and END_HEADERS.
        self.frame(HEADERS, 0x5, stream, &block);
    }

    /// Reads what has come, and returns how many bytes of data there were.
    pub fn read_data(&mut self) -> usize {
        let mut data = 0;
        self.stream.set_read_timeout(Some(SILENCE)).expect("a timeout can be set");
        loop {
            let mut head = [0; 9];
            if self.stream.read_exact(&mut head).is_err() {
                return data;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            if self.stream.read_exact(&mut vec![0; length]).is_err() {
                return data;
            }
            if head[3] == DATA {
                data += length;
            }
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let [_, a, b, c] = (payload.len() as u32).to_be_bytes();
        let head = [&[a, b, c, kind, flags][..], &stream.to_be_bytes()].concat();
        self.stream.write_all(&[&head, payload].concat()).expect("the frame is taken");
    }
}
