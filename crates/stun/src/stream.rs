//! Framing over TCP and TLS: finds STUN messages and padded channel data in a stream of bytes (RFC
//! 8489 §6.2.2, RFC 8656 §12.5).
//!
//! ```
//! use columba_stun::stream::{Frame, Reader};
//!
//! # fn main() -> Result<(), columba_stun::stream::StreamError> {
//! let mut reader = Reader::new();
//! // A socket would read into the space; three bytes of payload have one byte of padding.
//! let arrived = [0x40, 0x01, 0, 3, b'a', b'b', b'c', 0];
//! reader.space()[..arrived.len()].copy_from_slice(&arrived);
//! reader.advance(arrived.len());
//!
//! let Some(Frame::ChannelData(bytes)) = reader.next_frame()? else { panic!("no frame") };
//! assert_eq!(bytes, [0x40, 0x01, 0, 3, b'a', b'b', b'c']);
//! assert!(reader.next_frame()?.is_none());
//! # Ok(())
//! # }
//! ```

use crate::channel::CHANNEL_HEADER_LEN;
use crate::header::{HEADER_LEN, MAGIC_COOKIE, MAX_MESSAGE_LEN};

/// The largest frame that either kind can announce, in bytes: a STUN message, a little longer than
/// any channel data.
pub const MAX_FRAME_LEN: usize = MAX_MESSAGE_LEN;

/// With how much buffer a reader begins: a few frames of the size that a path's MTU leaves.
const INITIAL_CAPACITY: usize = 4096;

/// Cuts a stream into frames.
///
/// The reader owns one buffer: read from the socket into [`space`](Self::space), pass the number of
/// bytes to [`advance`](Self::advance), then take frames until there is none. Frames are borrowed
/// from the buffer where they arrived; bytes are moved only when an incomplete frame must make room
/// for its rest.
///
/// The buffer grows with what has arrived, never by what a header announces, and never beyond one
/// frame of the largest size allowed; it goes back to its first size once a large frame has been
/// taken.
#[derive(Debug)]
pub struct Reader {
    buffer: Vec<u8>,
    /// The bytes that have arrived and not been taken are `buffer[start..end]`.
    start: usize,
    end: usize,
    max_frame: usize,
    broken: Option<StreamError>,
}

/// One complete frame, as it would have come in a datagram. Mutable, so that it can be forwarded in
/// place.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'r> {
    /// A STUN message, for [`Message::parse`](crate::Message::parse).
    Message(&'r mut [u8]),
    /// Header and payload of channel data, without padding, for
    /// [`ChannelData::parse`](crate::ChannelData::parse).
    ChannelData(&'r mut [u8]),
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// A reader for frames of any size: at most [`MAX_FRAME_LEN`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_frame(MAX_FRAME_LEN)
    }

    /// A reader that refuses frames of more than `max_frame` bytes, padding included.
    #[must_use]
    pub fn with_max_frame(max_frame: usize) -> Self {
        let max_frame = max_frame.clamp(HEADER_LEN, MAX_FRAME_LEN);
        let capacity = INITIAL_CAPACITY.min(max_frame);
        Self { buffer: vec![0; capacity], start: 0, end: 0, max_frame, broken: None }
    }

    /// Where the next bytes of the stream belong; never empty while frames are taken as they are
    /// complete.
    ///
    /// Call it only when [`next_frame`](Self::next_frame) has found nothing complete: that
    /// keeps the buffer small.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > INITIAL_CAPACITY {
                self.buffer.truncate(INITIAL_CAPACITY);
                self.buffer.shrink_to_fit();
            }
        }
        if self.start > 0 && self.buffer.len() - self.end < self.buffer.len() / 4 {
            // Little room is left behind what has arrived, and a read for each few bytes would cost
            // more than the move.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            let larger = (self.buffer.len() * 2).min(self.max_frame).max(self.buffer.len());
            self.buffer.resize(larger, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Notes that `length` bytes have been read into [`space`](Self::space); no more than fit there
    /// are counted.
    pub fn advance(&mut self, length: usize) {
        self.end = self.end.saturating_add(length).min(self.buffer.len());
    }

    /// Copies in as much of `bytes` as there is space for and returns how much that was: for who
    /// has them elsewhere.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let length = bytes.len().min(space.len());
        space[..length].copy_from_slice(&bytes[..length]);
        self.advance(length);
        length
    }

    /// The next complete frame; `None` if more bytes are needed.
    ///
    /// # Errors
    /// What arrived is neither STUN nor channel data, or too large. A stream has no marks by which
    /// to find the next frame, so the connection is to be closed; every further call returns the
    /// same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, StreamError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let header = match FrameHeader::read(&self.buffer[self.start..self.end], self.max_frame) {
            Ok(Some(header)) if header.padded_len <= self.end - self.start => header,
            Ok(_) => return Ok(None),
            Err(error) => {
                self.broken = Some(error);
                return Err(error);
            }
        };
        let frame = &mut self.buffer[self.start..self.start + header.len];
        self.start += header.padded_len;
        Ok(Some(match header.kind {
            FrameKind::Message => Frame::Message(frame),
            FrameKind::ChannelData => Frame::ChannelData(frame),
        }))
    }

    /// The number of bytes that have arrived and not been taken. If the stream ends and this is not
    /// zero, it ended within a frame.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.end - self.start
    }
}

/// The kind and length of a frame, from its first bytes, for owners with a buffer of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Its kind.
    pub kind: FrameKind,
    /// The frame's length in bytes, header included, padding not.
    pub len: usize,
    /// Where the next frame begins: the length with padding.
    pub padded_len: usize,
}

/// The two kinds of frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A STUN message.
    Message,
    /// Channel data.
    ChannelData,
}

impl FrameHeader {
    /// Reads the header at the beginning of `bytes`; `None` if there is too little of it. Wrong
    /// bytes are found as early as possible.
    ///
    /// # Errors
    /// No frame begins like this, or the frame is longer than `max_frame` bytes.
    pub fn read(bytes: &[u8], max_frame: usize) -> Result<Option<Self>, StreamError> {
        let Some(&first_byte) = bytes.first() else { return Ok(None) };
        match first_byte {
            0x00..=0x3F => Self::read_message(bytes, max_frame),
            0x40..=0x7F => Self::read_channel_data(bytes, max_frame),
            _ => Err(StreamError::Garbage { first_byte }),
        }
    }

    fn read_message(bytes: &[u8], max_frame: usize) -> Result<Option<Self>, StreamError> {
        let cookie = bytes.get(4..).unwrap_or_default();
        if cookie.iter().zip(MAGIC_COOKIE.to_be_bytes()).any(|(found, expected)| *found != expected) {
            return Err(StreamError::MagicCookie);
        }
        let Some(&[_, _, length_high, length_low]) = bytes.first_chunk() else { return Ok(None) };
        let declared = usize::from(u16::from_be_bytes([length_high, length_low]));
        if !declared.is_multiple_of(4) {
            return Err(StreamError::Length { declared });
        }
        let len = HEADER_LEN + declared;
        Self { kind: FrameKind::Message, len, padded_len: len }.within(max_frame)
    }

    fn read_channel_data(bytes: &[u8], max_frame: usize) -> Result<Option<Self>, StreamError> {
        let Some(&[_, _, length_high, length_low]) = bytes.first_chunk() else { return Ok(None) };
        let len = CHANNEL_HEADER_LEN + usize::from(u16::from_be_bytes([length_high, length_low]));
        let padded_len = len.next_multiple_of(4);
        Self { kind: FrameKind::ChannelData, len, padded_len }.within(max_frame)
    }

    fn within(self, max_frame: usize) -> Result<Option<Self>, StreamError> {
        if self.padded_len > max_frame {
            return Err(StreamError::TooLong { length: self.padded_len, limit: max_frame });
        }
        Ok(Some(self))
    }
}

/// Why a stream cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// A frame begins with a byte with which none can.
    #[error("neither STUN nor channel data begins with {first_byte:#04x}")]
    Garbage {
        /// The byte.
        first_byte: u8,
    },
    /// It began like a STUN message, but there is no magic cookie.
    #[error("no magic cookie in the STUN header")]
    MagicCookie,
    /// A STUN message announces a length that is no multiple of four.
    #[error("a STUN message's length field says {declared}, which is no multiple of four")]
    Length {
        /// The length that the header declares, in bytes.
        declared: usize,
    },
    /// The frame is longer than the reader's limit.
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// The frame's length, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChannelData, ChannelNumber, Class, Message, MessageBuilder, Method, TransactionId};

    /// A message, odd-sized channel data with its padding, and a message again.
    fn stream() -> Vec<u8> {
        let mut buffer = [0; 64];
        let id = TransactionId([5; 12]);
        let mut builder = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, id).unwrap();
        let length = builder.fingerprint().unwrap().finish();
        let message = &buffer[..length];
        let channel_data = [0x40, 0x00, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
        [message, &channel_data, message].concat()
    }

    fn take_all(reader: &mut Reader, kinds: &mut Vec<FrameKind>) {
        while let Some(frame) = reader.next_frame().unwrap() {
            match frame {
                Frame::Message(bytes) => {
                    Message::parse(bytes).unwrap().verify_fingerprint().unwrap();
                    kinds.push(FrameKind::Message);
                }
                Frame::ChannelData(bytes) => {
                    let ChannelData { channel, data } = ChannelData::parse(bytes).unwrap();
                    assert_eq!((channel, data), (ChannelNumber::MIN, [1, 2, 3, 4, 5].as_slice()));
                    kinds.push(FrameKind::ChannelData);
                }
            }
        }
    }

    #[test]
    fn frames_are_found_for_every_segmentation() {
        let stream = stream();
        for cut in 1..=stream.len() {
            let mut reader = Reader::new();
            let mut kinds = Vec::new();
            for piece in stream.chunks(cut) {
                assert_eq!(reader.feed(piece), piece.len());
                take_all(&mut reader, &mut kinds);
            }
            assert_eq!(kinds, [FrameKind::Message, FrameKind::ChannelData, FrameKind::Message], "{cut}");
            assert_eq!(reader.pending(), 0);
        }
    }

    #[test]
    fn the_largest_frames_pass_and_the_buffer_shrinks_again() {
        let mut reader = Reader::new();
        let mut message = vec![0, 1, 0xFF, 0xFC];
        message.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        message.resize(MAX_FRAME_LEN, 0);
        let mut channel_data = vec![0x4F, 0xFF, 0xFF, 0xFF];
        channel_data.resize(CHANNEL_HEADER_LEN + 0x1_0000, 7);
        for (wire, expected) in [(&message, MAX_FRAME_LEN), (&channel_data, CHANNEL_HEADER_LEN + 0xFFFF)] {
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                assert_eq!(reader.next_frame(), Ok(None));
                let taken = reader.feed(rest);
                assert!(taken > 0);
                rest = &rest[taken..];
            }
            let Some(Frame::Message(frame) | Frame::ChannelData(frame)) = reader.next_frame().unwrap() else {
                panic!("complete")
            };
            assert_eq!(frame.len(), expected);
        }
        assert_eq!(reader.space().len(), INITIAL_CAPACITY);
        assert!(reader.buffer.capacity() < 2 * INITIAL_CAPACITY);
    }

    #[test]
    fn there_is_always_space_for_a_reasonable_read() {
        let stream = stream().repeat(500);
        let mut reader = Reader::new();
        let (mut rest, mut count) = (stream.as_slice(), 0);
        while !rest.is_empty() {
            assert!(reader.space().len() >= INITIAL_CAPACITY / 4);
            let taken = reader.feed(&rest[..rest.len().min(999)]);
            rest = &rest[taken..];
            while reader.next_frame().unwrap().is_some() {
                count += 1;
            }
        }
        assert_eq!((count, reader.buffer.len()), (1500, INITIAL_CAPACITY));
    }

    #[test]
    fn an_announcement_alone_allocates_nothing() {
        let mut reader = Reader::new();
        reader.feed(&[0x40, 0, 0xFF, 0xFF]);
        assert_eq!(reader.next_frame(), Ok(None));
        reader.space();
        assert_eq!(reader.buffer.len(), INITIAL_CAPACITY);
    }

    #[test]
    fn garbage_is_an_error_at_once_and_for_good() {
        let error = |bytes: &[u8]| {
            let mut reader = Reader::with_max_frame(1500);
            reader.feed(bytes);
            let first = reader.next_frame().unwrap_err();
            reader.feed(&[0; 8]);
            assert_eq!(reader.next_frame(), Err(first));
            first
        };
        assert_eq!(error(b"\x80"), StreamError::Garbage { first_byte: 0x80 });
        assert_eq!(error(b"\x80\x00"), StreamError::Garbage { first_byte: 0x80 });
        assert_eq!(error(&[0, 1, 0, 0, 0x22]), StreamError::MagicCookie);
        assert_eq!(error(&[0, 1, 0, 2]), StreamError::Length { declared: 2 });
        assert_eq!(error(&[0, 1, 0x06, 0]), StreamError::TooLong { length: 1556, limit: 1500 });
        assert_eq!(error(&[0x40, 0, 0x05, 0xD9]), StreamError::TooLong { length: 1504, limit: 1500 });
    }
}
