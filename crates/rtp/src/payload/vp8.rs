//! VP8 (RFC 7741).

use super::FrameError;
use super::assembler::PartInfo;
use super::packetizer::{Cut, Part};
use super::split::Split;
use crate::bytes_at::{be16, put16};
use crate::error::ParseError;

/// The longest descriptor.
const MAX_DESCRIPTOR: usize = 6;

/// The payload descriptor (RFC 7741 §4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// No other frame refers to this one.
    pub non_reference: bool,
    /// The payload begins a partition.
    pub starts_partition: bool,
    /// The index of the partition, 0 to 7.
    pub partition: u8,
    /// The number of the frame, 15 bits, which wraps.
    pub picture_id: Option<u16>,
    /// The number of the frame among those of the lowest temporal layer.
    pub tl0_picture_index: Option<u8>,
    /// The temporal layer, 0 to 3, and the flag "layer sync".
    pub temporal: Option<(u8, bool)>,
    /// The number of a key frame, 0 to 31.
    pub key_index: Option<u8>,
}

impl Descriptor {
    /// Reads the descriptor; returns it and the rest.
    ///
    /// # Errors
    ///
    /// It is cut off, or nothing is behind it.
    pub fn read(payload: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut at = 0;
        let mut byte = || {
            at += 1;
            payload.get(at - 1).copied().ok_or_else(|| ParseError::truncated("VP8 descriptor", at - 1))
        };
        let head = byte()?;
        let mut descriptor = Self {
            non_reference: head & 0x20 != 0,
            starts_partition: head & 0x10 != 0,
            partition: head & 7,
            ..Self::default()
        };
        let flags = if head & 0x80 != 0 { byte()? } else { 0 };
        if flags & 0x80 != 0 {
            let high = byte()?;
            let id = if high & 0x80 != 0 { be16(&[high & 0x7F, byte()?], 0) } else { u16::from(high) };
            descriptor.picture_id = Some(id);
        }
        if flags & 0x40 != 0 {
            descriptor.tl0_picture_index = Some(byte()?);
        }
        if flags & 0x30 != 0 {
            let bits = byte()?;
            descriptor.temporal = (flags & 0x20 != 0).then_some((bits >> 6, bits & 0x20 != 0));
            descriptor.key_index = (flags & 0x10 != 0).then_some(bits & 0x1F);
        }
        match payload.get(at..) {
            Some(body) if !body.is_empty() => Ok((descriptor, body)),
            _ => Err(ParseError::truncated("VP8 payload", at)),
        }
    }

    /// Writes the descriptor, and returns its length, at most 6.
    pub fn write(&self, out: &mut [u8; MAX_DESCRIPTOR]) -> usize {
        out[0] = (u8::from(self.non_reference) << 5) | (u8::from(self.starts_partition) << 4);
        out[0] |= self.partition & 7;
        let flags = (u8::from(self.picture_id.is_some()) << 7)
            | (u8::from(self.tl0_picture_index.is_some()) << 6)
            | (u8::from(self.temporal.is_some()) << 5)
            | (u8::from(self.key_index.is_some()) << 4);
        if flags == 0 {
            return 1;
        }
        out[0] |= 0x80;
        out[1] = flags;
        let mut len = 2;
        if let Some(id) = self.picture_id {
            put16(out, len, 0x8000 | id);
            len += 2;
        }
        if let Some(index) = self.tl0_picture_index {
            out[len] = index;
            len += 1;
        }
        if self.temporal.is_some() || self.key_index.is_some() {
            let (layer, sync) = self.temporal.unwrap_or_default();
            let key = self.key_index.unwrap_or_default();
            out[len] = (layer << 6) | (u8::from(sync) << 5) | (key & 0x1F);
            len += 1;
        }
        len
    }

    pub(super) fn place(&self, body: &[u8]) -> PartInfo {
        let begins = self.starts_partition && self.partition == 0;
        PartInfo { begins, ends: false, key: begins && is_key_frame(body), picture: picture(self.picture_id) }
    }
}

/// Returns what numbers of pictures of seven and of fifteen bits have in common.
pub(super) fn picture(id: Option<u16>) -> Option<u8> {
    id.map(|id| (id & 0x7F) as u8)
}

/// Returns whether a frame is a key frame (RFC 6386 §9.1).
#[must_use]
pub fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte & 1 == 0)
}

/// Returns width and height of a key frame in pixels; `None` if the frame is none.
#[must_use]
pub fn dimensions(frame: &[u8]) -> Option<(u16, u16)> {
    let head = frame.get(..10)?;
    let size = |at| u16::from_le_bytes([head[at], head[at + 1]]) & 0x3FFF;
    (is_key_frame(head) && head[3..6] == [0x9D, 1, 0x2A]).then(|| (size(6), size(8)))
}

/// Frames with a picture id, in one partition, as all receivers understand it.
#[derive(Debug, Default)]
pub(super) struct Packetizer {
    picture_id: u16,
    cut: Cut,
}

impl Packetizer {
    /// A descriptor with a picture id.
    const HEADER: usize = 4;

    pub(super) fn begin(&mut self, frame: &[u8], room: usize) -> Result<usize, FrameError> {
        let split = Split::new(frame.len(), room.saturating_sub(Self::HEADER));
        let split = split.ok_or(FrameError::NoRoom { room })?;
        self.picture_id = (self.picture_id + 1) & 0x7FFF;
        self.cut = Cut { split, done: 0 };
        Ok(split.count)
    }

    pub(super) fn needed(&self) -> usize {
        Self::HEADER + self.cut.split.size
    }

    pub(super) fn next(&mut self, frame: &[u8], out: &mut [u8]) -> Option<Part> {
        let starts_partition = self.cut.done == 0;
        let picture_id = Some(self.picture_id);
        let descriptor = Descriptor { starts_partition, picture_id, ..Descriptor::default() };
        let mut header = [0; MAX_DESCRIPTOR];
        let len = descriptor.write(&mut header);
        self.cut.next(frame, &header[..len], 0, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_read_as_they_were_written() {
        let full = Descriptor {
            non_reference: true,
            starts_partition: true,
            partition: 5,
            picture_id: Some(0x7FFF),
            tl0_picture_index: Some(200),
            temporal: Some((2, true)),
            key_index: Some(31),
        };
        for descriptor in [full, Descriptor::default(), Descriptor { temporal: None, ..full }] {
            let mut bytes = [0; MAX_DESCRIPTOR];
            let len = descriptor.write(&mut bytes);
            let payload = [&bytes[..len], &[9]].concat();
            assert_eq!(Descriptor::read(&payload), Ok((descriptor, &[9][..])));
            assert!(Descriptor::read(&bytes[..len]).is_err());
        }
        // A picture id of seven bits.
        let (short, _) = Descriptor::read(&[0x90, 0x80, 0x7F, 1]).unwrap();
        assert_eq!(short.picture_id, Some(127));
    }

    #[test]
    fn key_frames_tell_their_size() {
        let key = [0x10, 0, 0, 0x9D, 1, 0x2A, 0x80, 0x42, 0xE0, 1];
        assert_eq!(dimensions(&key), Some((640, 480)));
        assert_eq!(dimensions(&[1; 10]), None);
        assert_eq!(dimensions(&key[..9]), None);
    }
}
