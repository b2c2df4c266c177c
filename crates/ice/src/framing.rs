//! Framing: messages are cut out of a connection's bytes.
//!
//! The agent frames what it sends; its owner cuts what arrives, with one [`Reader`] for each
//! connection, and hands every frame to [`Agent::handle_datagram`](crate::Agent::handle_datagram).

use std::ops::Range;

use columba_stun::stream::{Frame, Reader as StunReader, StreamError};

/// Bytes of the length in front of a packet (RFC 4571 §2).
pub(crate) const LENGTH: usize = 2;

/// The longest frame of RFC 4571, its two bytes of length included.
const LARGEST: usize = LENGTH + 65_535;

/// The delimiters of messages on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framing {
    /// STUN messages and channel data say their length themselves (RFC 8656 §12.5): towards a
    /// server.
    Stun,
    /// Two bytes of length in front of each packet (RFC 4571): between peers.
    Rfc4571,
}

/// Cuts one connection's bytes into messages.
#[derive(Debug)]
pub struct Reader(Kind);

#[derive(Debug)]
enum Kind {
    Stun(Box<StunReader>),
    Rfc4571 { buffer: Vec<u8>, taken: usize },
}

impl Reader {
    /// A reader for a new connection.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Stun => Kind::Stun(Box::default()),
            Framing::Rfc4571 => Kind::Rfc4571 { buffer: Vec::new(), taken: 0 },
        })
    }

    /// Takes in bytes as they arrived, and returns how many of them: read the frames and come back
    /// with the rest.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        match &mut self.0 {
            Kind::Stun(reader) => reader.feed(bytes),
            Kind::Rfc4571 { buffer, taken } => {
                buffer.drain(..*taken);
                *taken = 0;
                // A frame is at most 2 + 65535 bytes, so that more is never needed to complete one.
                let room = (LARGEST - buffer.len().min(LARGEST)).min(bytes.len());
                buffer.extend_from_slice(&bytes[..room]);
                room
            }
        }
    }

    /// The next whole message; `None` if more bytes are needed.
    ///
    /// # Errors
    /// The bytes are not what they should be; the connection is to be closed.
    pub fn next_frame(&mut self) -> Result<Option<&mut [u8]>, StreamError> {
        match &mut self.0 {
            Kind::Stun(reader) => Ok(reader.next_frame()?.map(|frame| match frame {
                Frame::Message(bytes) | Frame::ChannelData(bytes) => bytes,
            })),
            Kind::Rfc4571 { buffer, taken } => {
                let rest = &buffer[*taken..];
                let Some(&[high, low]) = rest.first_chunk() else { return Ok(None) };
                let end = *taken + 2 + usize::from(u16::from_be_bytes([high, low]));
                let start = *taken + 2;
                if end > buffer.len() {
                    return Ok(None);
                }
                *taken = end;
                Ok(Some(&mut buffer[start..end]))
            }
        }
    }
}

/// Writes the length in front of a packet, where there is room for it (RFC 4571 §2). Returns the
/// range of both.
pub(crate) fn wrap(buf: &mut [u8], packet: Range<usize>) -> Option<Range<usize>> {
    let length = u16::try_from(packet.len()).ok()?;
    let start = packet.start.checked_sub(LENGTH)?;
    buf.get_mut(start..packet.start)?.copy_from_slice(&length.to_be_bytes());
    Some(start..packet.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_whole_again_however_their_bytes_arrive() {
        let bytes = [0, 2, b'h', b'i', 0, 0, 0, 3, b'y', b'o', b'u'];
        for size in 1..=bytes.len() {
            let mut reader = Reader::new(Framing::Rfc4571);
            let mut frames = Vec::new();
            for piece in bytes.chunks(size) {
                assert_eq!(reader.feed(piece), piece.len());
                while let Some(frame) = reader.next_frame().unwrap() {
                    frames.push(frame.to_vec());
                }
            }
            assert_eq!(frames, [b"hi".to_vec(), b"".to_vec(), b"you".to_vec()]);
        }
    }
}
