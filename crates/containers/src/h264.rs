//! H.264 between a byte stream with start codes and units with lengths, and its parameter sets.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use crate::bytes_at::be16;

const START_CODE: [u8; 4] = [0, 0, 0, 1];
const IDR_SLICE: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const ACCESS_UNIT_DELIMITER: u8 = 9;

/// Returns the NAL units of a byte stream (ITU-T H.264 annex B).
fn units(stream: &[u8]) -> impl Iterator<Item = Range<usize>> + use<'_> {
    let next_start = |from: usize| {
        let found = stream.get(from..)?.windows(3).position(|three| three == [0, 0, 1])?;
        Some((from + found, from + found + 3))
    };
    let mut at = next_start(0).map(|(_, after)| after);
    std::iter::from_fn(move || {
        let start = at?;
        let (end, next) = next_start(start).map_or((stream.len(), None), |(end, after)| (end, Some(after)));
        at = next;
        let zeros = stream[start..end].iter().rev().take_while(|byte| **byte == 0).count();
        Some(start..end - zeros)
    })
    .filter(|unit| !unit.is_empty())
}

/// Returns the byte stream as units with four bytes of length.
pub(crate) fn to_lengths(stream: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(stream.len() + 16);
    for unit in units(stream).filter(|unit| stream[unit.start] & 0x1F != ACCESS_UNIT_DELIMITER) {
        out.put_u32(unit.len() as u32);
        out.put_slice(&stream[unit]);
    }
    out.freeze()
}

/// The contents of `avcC`: how many bytes a length has, and the parameter sets with start codes.
pub(crate) struct Configuration {
    pub(crate) length_size: usize,
    pub(crate) sets: Bytes,
}

impl Configuration {
    /// Reads ISO/IEC 14496-15 §5.3.3.1.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let length_size = usize::from(data.get(4)? & 3) + 1;
        let mut sets = BytesMut::new();
        let mut at = 5;
        for mask in [0x1F, 0xFF] {
            let count = *data.get(at)? & mask;
            at += 1;
            for _ in 0..count {
                data.get(at..at + 2)?;
                let end = at + 2 + usize::from(be16(data, at));
                sets.put_slice(&START_CODE);
                sets.put_slice(data.get(at + 2..end)?);
                at = end;
            }
        }
        Some(Self { length_size, sets: sets.freeze() })
    }

    /// Returns a frame as a byte stream; a key frame gets the parameter sets if it has none.
    pub(crate) fn to_stream(&self, frame: &[u8]) -> Option<Bytes> {
        let mut out = BytesMut::with_capacity(frame.len() + self.sets.len() + 16);
        let mut at = 0;
        let mut has_sets = false;
        while at < frame.len() {
            let length = frame.get(at..at + self.length_size)?;
            let len = length.iter().fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
            at += self.length_size;
            let unit = frame.get(at..at.checked_add(len)?)?;
            at += len;
            let kind = unit.first().map_or(0, |head| head & 0x1F);
            has_sets |= kind == SPS;
            if kind == IDR_SLICE && !has_sets {
                out.put_slice(&self.sets);
                has_sets = true;
            }
            out.put_slice(&START_CODE);
            out.put_slice(unit);
        }
        Some(out.freeze())
    }
}

/// Returns the contents of `avcC` for parameter sets with start codes; `None` if one is missing.
pub(crate) fn configuration(sets: &[u8]) -> Option<Vec<u8>> {
    let of = |kind| units(sets).map(|unit| &sets[unit]).filter(move |unit| unit[0] & 0x1F == kind);
    let first = of(SPS).next().filter(|sps| sps.len() >= 4)?;
    let mut out = vec![1, first[1], first[2], first[3], 0xFF];
    for (kind, mark) in [(SPS, 0xE0_u8), (PPS, 0)] {
        let most = if kind == SPS { 31 } else { 255 };
        out.push(mark | u8::try_from(of(kind).take(most).count()).ok()?);
        for set in of(kind).take(most) {
            out.extend_from_slice(&u16::try_from(set.len()).ok()?.to_be_bytes());
            out.extend_from_slice(set);
        }
    }
    of(PPS).next().map(|_| out)
}

/// Returns width and height that a sequence parameter set tells (ITU-T H.264 §7.3.2.1.1).
pub(crate) fn dimensions(sets: &[u8]) -> Option<(u32, u32)> {
    let unit = units(sets).find(|unit| sets[unit.start] & 0x1F == SPS)?;
    let sps = &sets[unit];
    // The bytes that keep start codes out are not part of the numbers.
    let mut plain = Vec::with_capacity(sps.len());
    for (index, byte) in sps.iter().enumerate().skip(1) {
        if !(*byte == 3 && index >= 3 && sps[index - 2..index] == [0, 0]) {
            plain.push(*byte);
        }
    }
    let mut bits = Bits { data: &plain, at: 24 };
    let profile = *plain.first()?;
    bits.golomb()?;
    let mut chroma = 1;
    if [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135].contains(&profile) {
        chroma = bits.golomb()?;
        if chroma == 3 {
            bits.bit()?;
        }
        bits.golomb()?;
        bits.golomb()?;
        bits.bit()?;
        if bits.bit()? == 1 {
            for index in 0..if chroma == 3 { 12 } else { 8 } {
                if bits.bit()? == 1 {
                    bits.skip_scaling_list(if index < 6 { 16 } else { 64 })?;
                }
            }
        }
    }
    bits.golomb()?;
    match bits.golomb()? {
        0 => drop(bits.golomb()?),
        1 => {
            bits.bit()?;
            bits.golomb()?;
            bits.golomb()?;
            for _ in 0..bits.golomb()?.min(255) {
                bits.golomb()?;
            }
        }
        _ => {}
    }
    bits.golomb()?;
    bits.bit()?;
    let width = (bits.golomb()?.checked_add(1)?).checked_mul(16)?;
    let map_units = bits.golomb()?.checked_add(1)?;
    let frames_only = bits.bit()?;
    let height = map_units.checked_mul(16 * (2 - frames_only))?;
    if frames_only == 0 {
        bits.bit()?;
    }
    bits.bit()?;
    if bits.bit()? == 0 {
        return Some((width, height));
    }
    let crop = [bits.golomb()?, bits.golomb()?, bits.golomb()?, bits.golomb()?];
    let (horizontal, vertical) = match chroma {
        1 => (2, 2 * (2 - frames_only)),
        2 => (2, 2 - frames_only),
        _ => (1, 2 - frames_only),
    };
    let cropped = |size: u32, one: u32, other: u32, unit: u32| {
        size.checked_sub(one.checked_add(other)?.checked_mul(unit)?)
    };
    let width = cropped(width, crop[0], crop[1], horizontal)?;
    Some((width, cropped(height, crop[2], crop[3], vertical)?))
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u32::from(bit))
    }

    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 30 {
                return None;
            }
        }
        let mut value = 1_u32;
        for _ in 0..zeros {
            value = value << 1 | self.bit()?;
        }
        Some(value - 1)
    }

    fn skip_scaling_list(&mut self, size: u32) -> Option<()> {
        let (mut last, mut next) = (8_i64, 8_i64);
        for _ in 0..size {
            if next != 0 {
                let code = i64::from(self.golomb()?);
                let delta = if code % 2 == 1 { (code + 1) / 2 } else { -code / 2 };
                next = (last + delta).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A baseline stream of 640 by 360, as openh264 and x264 make it.
    const SETS: [u8; 33] = [
        0, 0, 0, 1, 0x67, 0x42, 0xC0, 0x1E, 0xDA, 0x02, 0x80, 0xBF, 0xE5, 0xC0, 0x44, 0, 0, 3, 0, 4, 0, 0, 3,
        0, 0xF0, 0, 0, 0, 1, 0x68, 0xCE, 0x3C, 0x80,
    ];

    #[test]
    fn sizes_are_read() {
        assert_eq!(dimensions(&SETS), Some((640, 360)));
        assert_eq!(dimensions(&SETS[..8]), None);
    }

    #[test]
    fn streams_come_back_with_their_sets() {
        let configuration = configuration(&SETS).unwrap();
        let read = Configuration::read(&configuration).unwrap();
        assert_eq!((read.length_size, &read.sets[..]), (4, &SETS[..]));
        let frame = [0, 0, 0, 1, 9, 0xF0, 0, 0, 1, 0x65, 1, 2];
        let lengths = to_lengths(&frame);
        assert_eq!(lengths[..], [0, 0, 0, 3, 0x65, 1, 2]);
        let stream = read.to_stream(&lengths).unwrap();
        assert_eq!(stream[..], [&SETS[..], &[0, 0, 0, 1, 0x65, 1, 2]].concat());
        assert!(read.to_stream(&[0, 0, 0, 9, 1]).is_none());
        for len in 0..configuration.len() {
            assert!(Configuration::read(&configuration[..len]).is_none());
        }
    }
}
