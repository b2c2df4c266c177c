//! WebSocket frames as a server reads and writes them (RFC 6455 §5), without sockets.
//!
//! A connection that waits holds no buffer: bytes are decoded where they were read, and only what
//! has come of an unfinished message is kept.

/// The longest head of a frame that a client sends: 2 bytes, 8 of length, 4 of mask.
const MAX_HEAD: usize = 14;

/// The longest payload of a control frame (RFC 6455 §5.5).
const MAX_CONTROL: usize = 125;

/// The close codes of RFC 6455 §7.4.1 for faults in frames.
const PROTOCOL_ERROR: u16 = 1002;
const INVALID_DATA: u16 = 1007;

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// One thing that a client has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming<'a> {
    /// A whole text message.
    Text(&'a str),
    /// The head of a binary message, whose payload is not kept.
    Binary,
    /// The head of a message with more bytes than the limit. Nothing after it can be read.
    TooLarge,
    /// A ping, to be answered by a pong with the same bytes.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A close frame.
    Close,
    /// A frame of a message that is not its last.
    Fragment,
    /// Not a frame that a client may send; the code with which to close.
    Fault(u16),
}

/// The frame under way.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: u8,
    last: bool,
    mask: [u8; 4],
    /// The bytes of the payload that are still to come.
    left: usize,
    /// The bytes that have come.
    come: usize,
}

/// Reads frames from bytes as they arrive.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    head: [u8; MAX_HEAD],
    head_len: u8,
    frame: Option<Frame>,
    /// The text message under way, unmasked.
    message: Vec<u8>,
    /// A text message has begun whose last frame has not.
    in_message: bool,
    /// The message has been returned, and is to be forgotten.
    delivered: bool,
    /// The payload of a control frame under way.
    control: Vec<u8>,
    /// Nothing more can be read.
    broken: bool,
}

impl Decoder {
    /// The bytes of memory that are in use for an unfinished message.
    pub(super) fn held(&self) -> usize {
        self.message.capacity() + self.control.capacity()
    }

    /// Returns whether nothing more can be read.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Takes bytes from the front of `bytes` up to the end of the next frame, or all. A message has
    /// at most `limit` bytes.
    pub(super) fn next(&mut self, bytes: &mut &[u8], limit: usize) -> Option<Incoming<'_>> {
        if std::mem::take(&mut self.delivered) {
            self.message = Vec::new();
        }
        if self.broken {
            *bytes = &[];
            return None;
        }
        let mut frame = match self.frame {
            Some(frame) => frame,
            None => match self.head(bytes)? {
                Ok(frame) => {
                    if let Some(refused) = self.admit(&frame, limit) {
                        return Some(refused);
                    }
                    frame
                }
                Err(code) => return Some(self.fault(code)),
            },
        };
        let (now, rest) = bytes.split_at(frame.left.min(bytes.len()));
        *bytes = rest;
        let payload = if frame.opcode >= CLOSE { &mut self.control } else { &mut self.message };
        if frame.come == 0 && frame.opcode >= CLOSE {
            payload.clear();
        }
        let start = payload.len();
        payload.extend_from_slice(now);
        unmask(payload.get_mut(start..).unwrap_or_default(), frame.mask, frame.come);
        frame.come += now.len();
        frame.left -= now.len();
        if frame.left > 0 {
            self.frame = Some(frame);
            return None;
        }
        self.frame = None;
        self.complete(frame)
    }

    /// Reads the head of a frame; none until it is whole.
    fn head(&mut self, bytes: &mut &[u8]) -> Option<Result<Frame, u16>> {
        loop {
            let have = usize::from(self.head_len);
            let wanted = match (have, self.head[1]) {
                (0 | 1, _) => 2,
                (_, second) => {
                    let length = match second & 0x7f {
                        126 => 2,
                        127 => 8,
                        _ => 0,
                    };
                    2 + length + 4
                }
            };
            if have >= 2 && self.head[1] & 0x80 == 0 {
                return Some(Err(PROTOCOL_ERROR));
            }
            if have == wanted {
                self.head_len = 0;
                return Some(self.parse(wanted));
            }
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            if let Some(place) = self.head.get_mut(have) {
                *place = *byte;
            }
            self.head_len += 1;
        }
    }

    fn parse(&self, length: usize) -> Result<Frame, u16> {
        let head = &self.head;
        let left = match head[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes([head[2], head[3]])),
            127 => {
                u64::from_be_bytes([head[2], head[3], head[4], head[5], head[6], head[7], head[8], head[9]])
            }
            short => u64::from(short),
        };
        let mask = head.get(length - 4..length).and_then(|mask| mask.try_into().ok()).unwrap_or_default();
        // The reserved bits belong to extensions, and none is negotiated.
        if head[0] & 0x70 != 0 {
            return Err(PROTOCOL_ERROR);
        }
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        Ok(Frame { opcode: head[0] & 0x0f, last: head[0] & 0x80 != 0, mask, left, come: 0 })
    }

    /// Checks a frame before its payload is read.
    fn admit(&mut self, frame: &Frame, limit: usize) -> Option<Incoming<'static>> {
        match frame.opcode {
            CONTINUATION if self.in_message => {}
            TEXT if !self.in_message => self.in_message = true,
            BINARY if !self.in_message => {
                self.broken = true;
                return Some(Incoming::Binary);
            }
            CLOSE | PING | PONG if frame.last && frame.left <= MAX_CONTROL => return None,
            _ => return Some(self.fault(PROTOCOL_ERROR)),
        }
        if self.message.len().saturating_add(frame.left) > limit {
            self.broken = true;
            return Some(Incoming::TooLarge);
        }
        None
    }

    fn complete(&mut self, frame: Frame) -> Option<Incoming<'_>> {
        match frame.opcode {
            TEXT | CONTINUATION if !frame.last => Some(Incoming::Fragment),
            TEXT | CONTINUATION => {
                self.in_message = false;
                if std::str::from_utf8(&self.message).is_err() {
                    return Some(self.fault(INVALID_DATA));
                }
                self.delivered = true;
                std::str::from_utf8(&self.message).ok().map(Incoming::Text)
            }
            PING => Some(Incoming::Ping(&self.control)),
            CLOSE => {
                self.broken = true;
                Some(Incoming::Close)
            }
            _ => Some(Incoming::Pong),
        }
    }

    fn fault(&mut self, code: u16) -> Incoming<'static> {
        self.broken = true;
        self.message = Vec::new();
        Incoming::Fault(code)
    }
}

/// Takes the mask off a part of a payload that begins `come` bytes after its start.
fn unmask(payload: &mut [u8], mask: [u8; 4], come: usize) {
    let mut turned = mask;
    turned.rotate_left(come % mask.len());
    let [a, b, c, d] = turned;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(turned.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

/// Appends a text message.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    write(out, TEXT, text.as_bytes());
}

/// Appends a ping without payload.
pub(super) fn write_ping(out: &mut Vec<u8>) {
    write(out, PING, &[]);
}

/// Appends the answer to a ping.
pub(super) fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write(out, PONG, payload);
}

/// Appends a close frame. The reason is one of the protocol's error codes, and short.
pub(super) fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut payload = code.to_be_bytes().to_vec();
    payload.extend_from_slice(reason.as_bytes());
    payload.truncate(MAX_CONTROL);
    write(out, CLOSE, &payload);
}

fn write(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    const LAST: u8 = 0x80;
    out.reserve(MAX_HEAD + payload.len());
    out.push(LAST | opcode);
    match payload.len() {
        short @ 0..=125 => out.push(short as u8),
        medium @ 126..=0xffff => {
            out.push(126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
    use tokio_tungstenite::tungstenite::protocol::frame::{Frame as Theirs, FrameHeader, FrameSocket};

    use super::*;

    const LIMIT: usize = 100_000;

    /// A frame as another implementation's client writes it.
    fn frame(payload: &[u8], opcode: OpCode, last: bool, mask: [u8; 4]) -> Vec<u8> {
        let header = FrameHeader { is_final: last, opcode, mask: Some(mask), ..FrameHeader::default() };
        let frame = Theirs::from_payload(header, payload.to_vec().into());
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        bytes
    }

    fn text(payload: &[u8], last: bool) -> Vec<u8> {
        frame(payload, OpCode::Data(Data::Text), last, [1, 2, 3, 4])
    }

    /// Everything that is read from bytes that arrive in pieces of this size.
    fn read(decoder: &mut Decoder, bytes: &[u8], piece: usize) -> Vec<String> {
        let mut seen = Vec::new();
        for mut piece in bytes.chunks(piece) {
            while let Some(incoming) = decoder.next(&mut piece, LIMIT) {
                seen.push(format!("{incoming:?}"));
            }
            assert!(piece.is_empty(), "all has been taken");
        }
        seen
    }

    #[test]
    fn frames_are_read_however_they_are_cut() {
        let long = "ä".repeat(40_000);
        let mut bytes = text(b"one", true);
        bytes.extend(text(&[b't', b'w', 0xc3], false));
        bytes.extend(frame(b"hey", OpCode::Control(Control::Ping), true, [9, 8, 7, 6]));
        bytes.extend(frame(b"", OpCode::Data(Data::Continue), false, [0; 4]));
        bytes.extend(frame(&[0xa4], OpCode::Data(Data::Continue), true, [5, 5, 5, 5]));
        bytes.extend(text(long.as_bytes(), true));
        bytes.extend(text("m".repeat(300).as_bytes(), true));
        bytes.extend(frame(b"", OpCode::Control(Control::Pong), true, [0; 4]));
        bytes.extend(frame(&1000_u16.to_be_bytes(), OpCode::Control(Control::Close), true, [3; 4]));
        bytes.extend(text(b"after the end", true));
        let expected: Vec<String> = [
            Incoming::Text("one"),
            Incoming::Fragment,
            Incoming::Ping(b"hey"),
            Incoming::Fragment,
            Incoming::Text("twä"),
            Incoming::Text(&long),
            Incoming::Text(&"m".repeat(300)),
            Incoming::Pong,
            Incoming::Close,
        ]
        .map(|incoming| format!("{incoming:?}"))
        .into();
        for piece in [1, 2, 3, 7, 1000, 16_384, bytes.len()] {
            let mut decoder = Decoder::default();
            assert_eq!(read(&mut decoder, &bytes, piece), expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn nothing_is_kept_between_messages() {
        let mut decoder = Decoder::default();
        read(&mut decoder, &text(&[b'x'; 50_000], true), 1000);
        read(&mut decoder, &text(b"y", false), 1000);
        assert!(decoder.held() < 1000, "{}", decoder.held());
    }

    #[test]
    fn announced_bytes_take_no_memory_before_they_come() {
        let mut decoder = Decoder::default();
        let bytes = text(&[b'x'; 90_000], true);
        assert!(read(&mut decoder, &bytes[..100], 100).is_empty());
        assert!(decoder.held() < 1000, "{}", decoder.held());
    }

    #[test]
    fn faults_are_named_by_their_close_code() {
        let fault = |code| vec![format!("{:?}", Incoming::Fault(code))];
        let ping = OpCode::Control(Control::Ping);
        for (bytes, code) in [
            (vec![0x81, 0x01, b'x'], PROTOCOL_ERROR),
            ([&[0xc1][..], &text(b"x", true)[1..]].concat(), PROTOCOL_ERROR),
            ([&[0x83][..], &text(b"x", true)[1..]].concat(), PROTOCOL_ERROR),
            (frame(b"x", OpCode::Data(Data::Continue), true, [1; 4]), PROTOCOL_ERROR),
            (frame(b"x", ping, false, [1; 4]), PROTOCOL_ERROR),
            (frame(&[0; 126], ping, true, [1; 4]), PROTOCOL_ERROR),
            (text(&[0xff, 0xfe], true), INVALID_DATA),
        ] {
            let mut decoder = Decoder::default();
            let seen = read(&mut decoder, &bytes, 1000);
            assert_eq!(seen, fault(code), "{bytes:?}");
            assert!(decoder.is_broken());
        }
        let mut decoder = Decoder::default();
        read(&mut decoder, &text(b"x", false), 1000);
        assert_eq!(read(&mut decoder, &text(b"y", true), 1000), fault(PROTOCOL_ERROR), "a second beginning");
    }

    #[test]
    fn large_and_binary_messages_are_refused_by_their_heads() {
        let mut decoder = Decoder::default();
        let bytes = text(&vec![b'x'; LIMIT + 1], true);
        assert_eq!(read(&mut decoder, &bytes[..20], 1), ["TooLarge"]);
        let mut decoder = Decoder::default();
        read(&mut decoder, &text(&vec![b'x'; LIMIT], false), 1000);
        let more = frame(b"x", OpCode::Data(Data::Continue), true, [1; 4]);
        assert_eq!(read(&mut decoder, &more, 1), ["TooLarge"], "the parts count together");
        let mut decoder = Decoder::default();
        let binary = frame(b"x", OpCode::Data(Data::Binary), true, [1; 4]);
        assert_eq!(read(&mut decoder, &binary, 1), ["Binary"]);
        let mut decoder = Decoder::default();
        let huge = [0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(read(&mut decoder, &huge, 1), ["TooLarge"]);
    }

    #[test]
    fn frames_are_written_as_another_implementation_reads_them() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let (mut out, text) = (Vec::new(), "x".repeat(length));
            write_text(&mut out, &text);
            write_pong(&mut out, b"hey");
            write_close(&mut out, 1008, "too-slow");
            let mut reader = FrameSocket::new(std::io::Cursor::new(out));
            let first = reader.read(None).unwrap().unwrap();
            assert_eq!(first.payload(), text.as_bytes());
            let second = reader.read(None).unwrap().unwrap();
            assert_eq!(second.header().opcode, OpCode::Control(Control::Pong));
            let close = reader.read(None).unwrap().unwrap();
            assert_eq!(close.header().opcode, OpCode::Control(Control::Close));
            assert_eq!(close.payload(), [&1008_u16.to_be_bytes()[..], b"too-slow"].concat());
        }
    }
}
