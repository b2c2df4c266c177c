//! VP9 (RFC 9628).

use super::FrameError;
use super::assembler::PartInfo;
use super::packetizer::{Cut, Part};
use super::split::Split;
use crate::bits::BitReader;
use crate::bytes_at::{be16, put16};
use crate::error::ParseError;

/// Frames that a frame refers to at most.
const MAX_REFERENCES: usize = 3;

/// The payload descriptor (RFC 9628 §4.2), without the scalability structure, which is skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// The number of the picture, which wraps at 7 or 15 bits.
    pub picture_id: Option<u16>,
    /// The frame refers to earlier ones.
    pub inter_predicted: bool,
    /// The references are told in each packet.
    pub flexible: bool,
    /// The payload begins the frame of a layer.
    pub begins: bool,
    /// The payload ends the frame of a layer.
    pub ends: bool,
    /// No frame of a higher spatial layer refers to this one.
    pub not_reference_for_higher: bool,
    /// The layers, if they are told.
    pub layers: Option<Layers>,
    /// In the non-flexible mode the number of the picture among those of the lowest temporal layer.
    pub tl0_picture_index: Option<u8>,
    /// The resolutions of the layers follow.
    pub has_structure: bool,
}

/// The place of a frame among the layers (RFC 9628 §4.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers {
    /// The temporal layer.
    pub temporal: u8,
    /// A receiver may switch up to this temporal layer here.
    pub switching_up: bool,
    /// The spatial layer.
    pub spatial: u8,
    /// The frame refers to the spatial layer below.
    pub inter_layer: bool,
}

impl Descriptor {
    /// Reads the descriptor; returns it and the rest.
    ///
    /// # Errors
    ///
    /// It is cut off, it has more references than three, or nothing is behind it.
    pub fn read(payload: &[u8]) -> Result<(Self, &[u8]), ParseError> {
        let mut at = 0;
        let mut byte = || {
            at += 1;
            payload.get(at - 1).copied().ok_or_else(|| ParseError::truncated("VP9 descriptor", at - 1))
        };
        let flags = byte()?;
        let flag = |bit: u8| flags & (0x80 >> bit) != 0;
        let mut descriptor = Self {
            inter_predicted: flag(1),
            flexible: flag(3),
            begins: flag(4),
            ends: flag(5),
            has_structure: flag(6),
            not_reference_for_higher: flag(7),
            ..Self::default()
        };
        if flag(0) {
            let high = byte()?;
            let id = if high & 0x80 != 0 { be16(&[high & 0x7F, byte()?], 0) } else { u16::from(high) };
            descriptor.picture_id = Some(id);
        }
        if flag(2) {
            let bits = byte()?;
            descriptor.layers = Some(Layers {
                temporal: bits >> 5,
                switching_up: bits & 0x10 != 0,
                spatial: (bits >> 1) & 7,
                inter_layer: bits & 1 != 0,
            });
            if !descriptor.flexible {
                descriptor.tl0_picture_index = Some(byte()?);
            }
        }
        if descriptor.flexible && descriptor.inter_predicted {
            let mut references = 0;
            while byte()? & 1 != 0 {
                references += 1;
                if references == MAX_REFERENCES {
                    return Err(ParseError::invalid("VP9 references", 0));
                }
            }
        }
        if descriptor.has_structure {
            let head = byte()?;
            let resolutions = if head & 0x10 != 0 { 4 * (usize::from(head >> 5) + 1) } else { 0 };
            for _ in 0..resolutions {
                byte()?;
            }
            let pictures = if head & 8 != 0 { byte()? } else { 0 };
            for _ in 0..pictures {
                for _ in 0..(byte()? >> 2) & 3 {
                    byte()?;
                }
            }
        }
        match payload.get(at..) {
            Some(body) if !body.is_empty() => Ok((descriptor, body)),
            _ => Err(ParseError::truncated("VP9 payload", at)),
        }
    }

    /// A frame of a higher spatial layer belongs to the picture that is begun already.
    pub(super) fn place(&self) -> PartInfo {
        let base = self.layers.is_none_or(|layers| layers.spatial == 0);
        let begins = self.begins && base;
        PartInfo {
            begins,
            ends: false,
            key: begins && !self.inter_predicted,
            picture: super::vp8::picture(self.picture_id),
        }
    }
}

/// The head of a frame that can be read without decoding it (VP9 bitstream specification §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// It is a key frame.
    pub key: bool,
    /// Width and height in pixels, in key frames of 8 bits.
    pub dimensions: Option<(u32, u32)>,
}

impl FrameHead {
    /// Reads the head; `None` if the bytes are not of VP9.
    #[must_use]
    pub fn read(frame: &[u8]) -> Option<Self> {
        let mut bits = BitReader::new(frame);
        if bits.bits(2)? != 2 {
            return None;
        }
        let profile = bits.bits(1)? | (bits.bits(1)? << 1);
        if profile == 3 {
            bits.bits(1)?;
        }
        let inter = Self { key: false, dimensions: None };
        if bits.flag()? {
            // It only shows a frame that was decoded before.
            return Some(inter);
        }
        let key = !bits.flag()?;
        bits.bits(2)?;
        if !key {
            return Some(inter);
        }
        if bits.bits(24)? != 0x0049_8342 {
            return None;
        }
        let dimensions = (|| {
            if profile >= 2 {
                bits.bits(1)?;
            }
            let color_space = bits.bits(3)?;
            let has_subsampling = profile & 1 == 1;
            if color_space == 7 {
                bits.bits(usize::from(has_subsampling))?;
            } else {
                bits.bits(1 + if has_subsampling { 3 } else { 0 })?;
            }
            Some((bits.bits(16)? + 1, bits.bits(16)? + 1))
        })();
        Some(Self { key, dimensions })
    }
}

/// Frames of one layer in the non-flexible mode, with the resolution in key frames.
#[derive(Debug, Default)]
pub(super) struct Packetizer {
    picture_id: u16,
    key: bool,
    structure: Option<[u8; Self::STRUCTURE]>,
    cut: Cut,
}

impl Packetizer {
    /// A byte of flags and a picture id of 15 bits.
    const HEADER: usize = 3;
    /// One layer with a resolution.
    const STRUCTURE: usize = 5;

    pub(super) fn begin(&mut self, frame: &[u8], room: usize) -> Result<usize, FrameError> {
        let head = FrameHead::read(frame).ok_or(FrameError::Malformed { what: "VP9's frame marker" })?;
        let structure = head.dimensions.map(|(width, height)| {
            let mut structure = [0x10, 0, 0, 0, 0];
            put16(&mut structure, 1, width as u16);
            put16(&mut structure, 3, height as u16);
            structure
        });
        let extra = structure.map_or(0, |structure| structure.len());
        let room_of_part = room.saturating_sub(Self::HEADER);
        let split = Split::new(frame.len() + extra, room_of_part).filter(|split| split.size > extra);
        let split = split.ok_or(FrameError::NoRoom { room })?;
        self.picture_id = (self.picture_id + 1) & 0x7FFF;
        (self.key, self.structure, self.cut) = (head.key, structure, Cut { split, done: 0 });
        Ok(split.count)
    }

    pub(super) fn needed(&self) -> usize {
        Self::HEADER + self.cut.split.size
    }

    pub(super) fn next(&mut self, frame: &[u8], out: &mut [u8]) -> Option<Part> {
        let begins = self.cut.done == 0;
        let structure = self.structure.filter(|_| begins);
        let less = structure.map_or(0, |structure| structure.len());
        let ends = self.cut.done + self.cut.split.size - less >= frame.len();
        let mut header = [0; Self::HEADER + Self::STRUCTURE];
        header[0] = 0x80
            | (u8::from(!self.key) << 6)
            | (u8::from(begins) << 3)
            | (u8::from(ends) << 2)
            | (u8::from(structure.is_some()) << 1)
            | 1;
        put16(&mut header, 1, 0x8000 | self.picture_id);
        if let Some(structure) = structure {
            header[Self::HEADER..].copy_from_slice(&structure);
        }
        self.cut.next(frame, &header[..Self::HEADER + less], less, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_the_size() {
        // Profile 0, a key frame, BT.709, 640 by 360.
        let key = [0x82, 0x49, 0x83, 0x42, 0x40, 0x27, 0xF0, 0x16, 0x70];
        let head = FrameHead::read(&key).unwrap();
        assert_eq!(head, FrameHead { key: true, dimensions: Some((640, 360)) });
        assert_eq!(FrameHead::read(&[0x86]), Some(FrameHead { key: false, dimensions: None }));
        assert_eq!(FrameHead::read(&[0x00, 1, 2, 3]), None);
    }

    #[test]
    fn structures_and_references_are_skipped() {
        let flexible = [0b1111_1001, 0x81, 0x02, 0x20, 0x03, 0x02, 7];
        let (descriptor, body) = Descriptor::read(&flexible).unwrap();
        assert_eq!((descriptor.picture_id, body), (Some(0x102), &[7][..]));
        assert!(descriptor.flexible && descriptor.begins && !descriptor.ends);
        assert_eq!(descriptor.layers.unwrap().temporal, 1);
        let endless = [0b0101_1000, 3, 3, 3, 3, 3];
        assert!(Descriptor::read(&endless).is_err());
        let structure = [0b0000_1010, 0b0001_1000, 0, 64, 0, 64, 1, 0b0000_0100, 1, 7];
        assert_eq!(Descriptor::read(&structure).unwrap().1, [7]);
        for len in 0..structure.len() {
            assert!(Descriptor::read(&structure[..len]).is_err(), "{len}");
        }
    }
}
