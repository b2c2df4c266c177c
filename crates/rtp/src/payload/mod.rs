//! Payload formats: frames into the payloads of packets, and back.
//!
//! ```
//! use columba_rtp::payload::{Assembler, Format, Packetizer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A frame of VP8: bit 0 of its first byte says that it is an inter frame.
//! let frame = vec![1; 3000];
//! let mut packetizer = Packetizer::new(Format::Vp8);
//! let mut assembler = Assembler::new(Format::Vp8);
//!
//! let mut buffer = [0; 1200];
//! let mut received = Vec::new();
//! packetizer.begin(&frame, buffer.len())?;
//! while let Some(part) = packetizer.next(&frame, &mut buffer)? {
//!     assembler.push(&buffer[..part.len], &mut received)?;
//! }
//! assert_eq!(received, frame);
//! # Ok(())
//! # }
//! ```

mod assembler;
pub mod av1;
pub mod h264;
pub mod opus;
mod packetizer;
pub mod red;
pub mod rtx;
mod split;
pub mod telephone_event;
pub mod ulpfec;
pub mod vp8;
pub mod vp9;

#[cfg(test)]
mod tests;

pub use assembler::{Assembler, PartInfo};
pub use packetizer::{Packetizer, Part};

use thiserror::Error;

/// The largest frame that is put together, in bytes.
pub const MAX_FRAME_LEN: usize = 4 << 20;

/// The payload format of a codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A frame is one payload: Opus (RFC 7587), G.711 (RFC 3551 §4.5.14).
    Whole,
    /// VP8 (RFC 7741).
    Vp8,
    /// VP9 in the non-flexible mode (RFC 9628).
    Vp9,
    /// H.264 (RFC 6184) as a byte stream with start codes.
    H264 {
        /// Several NAL units may be put into a packet, and large ones cut up (`packetization-mode`
        /// 1). Without it each NAL unit is a packet, and must fit into one.
        non_interleaved: bool,
    },
    /// AV1 (AV1 RTP payload format 1.0) as a temporal unit of OBUs with sizes.
    Av1,
}

impl Format {
    /// Returns whether a decoder can begin with a frame; always true for sound.
    #[must_use]
    pub fn is_key_frame(self, frame: &[u8]) -> bool {
        match self {
            Self::Whole => true,
            Self::Vp8 => vp8::is_key_frame(frame),
            Self::Vp9 => vp9::FrameHead::read(frame).is_some_and(|head| head.key),
            Self::H264 { .. } => h264::is_key_frame(frame),
            Self::Av1 => av1::is_key_frame(frame),
        }
    }
}

/// The reason for which a frame cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The frame is empty, or not of the codec.
    #[error("the frame is empty, or not of its codec: {what}")]
    Malformed {
        /// The part that is missing or wrong.
        what: &'static str,
    },
    /// The frame, or one of its units, is larger than a packet, and the format cannot cut it.
    #[error("{len} bytes do not fit into one packet of {room}, and the format cannot cut them")]
    TooLarge {
        /// The bytes that must stay together.
        len: usize,
        /// The room of a packet.
        room: usize,
    },
    /// The packets have no room for the format's own headers.
    #[error("packets of {room} bytes are too small for the format")]
    NoRoom {
        /// The room of a packet.
        room: usize,
    },
}
