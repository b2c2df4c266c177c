//! The receiving side: payloads in order become frames.

use super::{Format, MAX_FRAME_LEN, av1, h264, vp8, vp9};
use crate::error::ParseError;

/// The place of a payload in its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartInfo {
    /// A frame begins with it.
    pub begins: bool,
    /// The codec says that a frame ends with it; most leave that to the marker.
    pub ends: bool,
    /// It belongs to a key frame, as far as it can tell: a decoder can begin with that.
    pub key: bool,
    /// The lowest seven bits of the number of its picture, if the format tells it.
    pub picture: Option<u8>,
}

/// Puts frames together from payloads that come in order.
#[derive(Debug)]
pub struct Assembler {
    format: Format,
    h264: h264::Depacketizer,
    av1: av1::Depacketizer,
}

impl Assembler {
    /// Returns an assembler of a format.
    #[must_use]
    pub fn new(format: Format) -> Self {
        Self { format, h264: h264::Depacketizer::default(), av1: av1::Depacketizer::default() }
    }

    /// Returns the place of a payload without using it.
    ///
    /// # Errors
    ///
    /// The payload is not of the format.
    pub fn inspect(format: Format, payload: &[u8]) -> Result<PartInfo, ParseError> {
        match format {
            Format::Whole => Ok(PartInfo { begins: true, ends: true, key: true, picture: None }),
            Format::Vp8 => vp8::Descriptor::read(payload).map(|(descriptor, body)| descriptor.place(body)),
            Format::Vp9 => vp9::Descriptor::read(payload).map(|(descriptor, _)| descriptor.place()),
            Format::H264 { .. } => h264::inspect(payload),
            Format::Av1 => av1::inspect(payload),
        }
    }

    /// Appends a payload to the frame that `frame` holds so far.
    ///
    /// # Errors
    ///
    /// The payload is not of the format, or the frame grows beyond [`MAX_FRAME_LEN`]. Then the
    /// frame is of no use.
    pub fn push(&mut self, payload: &[u8], frame: &mut Vec<u8>) -> Result<PartInfo, ParseError> {
        // A packet of many small units grows by start codes: less than five times its length.
        if frame.len() + payload.len() > MAX_FRAME_LEN {
            return Err(ParseError::invalid("length of the frame", 0));
        }
        match self.format {
            Format::Whole => {
                frame.extend_from_slice(payload);
                Ok(PartInfo { begins: true, ends: true, key: true, picture: None })
            }
            Format::Vp8 => {
                let (descriptor, body) = vp8::Descriptor::read(payload)?;
                frame.extend_from_slice(body);
                Ok(descriptor.place(body))
            }
            Format::Vp9 => {
                let (descriptor, body) = vp9::Descriptor::read(payload)?;
                frame.extend_from_slice(body);
                Ok(descriptor.place())
            }
            Format::H264 { .. } => self.h264.push(payload, frame),
            Format::Av1 => self.av1.push(payload, frame),
        }
    }

    /// Forgets parts of units, after a loss.
    pub fn reset(&mut self) {
        self.h264 = h264::Depacketizer::default();
        self.av1.reset();
    }
}
