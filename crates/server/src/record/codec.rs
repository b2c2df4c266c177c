//! The description of a track in a file, read from its first key frame.

use bytes::Bytes;
use columba_containers::{Codec, Track};

/// Returns the codec of that name in descriptions; `None` if files do not take it.
pub(super) fn codec(name: &str) -> Option<Codec> {
    let known = [
        ("VP8", Codec::Vp8),
        ("VP9", Codec::Vp9),
        ("AV1", Codec::Av1),
        ("H264", Codec::H264),
        ("opus", Codec::Opus),
    ];
    known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, codec)| codec)
}

/// Returns the track of a stream that begins with this key frame; `None` if the frame has not got
/// what a file needs.
pub(super) fn track(codec: Codec, frame: &[u8]) -> Option<Track> {
    let (width, height, private) = match codec {
        Codec::Opus => return Some(Track::new(codec)),
        Codec::Vp8 => {
            let (width, height) = vp8_size(frame)?;
            (width, height, Bytes::new())
        }
        Codec::Vp9 => {
            let (width, height) = vp9_size(frame)?;
            (width, height, Bytes::new())
        }
        Codec::Av1 => {
            let header = sequence_header(frame)?;
            let (width, height) = av1_size(header)?;
            (width, height, Bytes::copy_from_slice(header))
        }
        // The size is in the parameter sets, where the writer looks.
        Codec::H264 => (0, 0, parameter_sets(frame)?),
        _ => return None,
    };
    Some(Track { width, height, private, ..Track::new(codec) })
}

/// RFC 6386 §9.1.
fn vp8_size(frame: &[u8]) -> Option<(u32, u32)> {
    let head = frame.get(..10)?;
    let size = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]) & 0x3FFF);
    (head[3..6] == [0x9D, 0x01, 0x2A]).then(|| (size(6), size(8)))
}

/// Bits, the most significant first.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.at / 8)?;
            value = (value << 1) | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

/// The uncompressed header (VP9 bitstream §6.2).
fn vp9_size(frame: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits { data: frame, at: 0 };
    let marker = bits.take(2)?;
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if marker != 2 || profile == 3 {
        return None;
    }
    // Shows a frame that is there already, or is no key frame.
    if bits.take(1)? != 0 || bits.take(1)? != 0 {
        return None;
    }
    bits.take(2)?;
    if bits.take(24)? != 0x49_83_42 {
        return None;
    }
    if profile == 2 {
        bits.take(1)?;
    }
    let is_rgb = bits.take(3)? == 7;
    let more = match (is_rgb, profile) {
        (false, 1) => 4,
        (false, _) => 1,
        (true, 1) => 1,
        (true, _) => return None,
    };
    bits.take(more)?;
    Some((bits.take(16)? + 1, bits.take(16)? + 1))
}

/// Returns the OBU of the sequence header, with its size (AV1 bitstream §5.3).
fn sequence_header(unit: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    while let Some(head) = unit.get(at) {
        let extension = usize::from(head >> 2 & 1);
        // Temporal units have sizes here.
        if head & 2 == 0 {
            return None;
        }
        let (mut len, mut place) = (0_usize, at + 1 + extension);
        for shift in (0..28).step_by(7) {
            let byte = *unit.get(place)?;
            len |= usize::from(byte & 0x7F) << shift;
            place += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let end = place.checked_add(len)?;
        if head >> 3 & 0xF == 1 {
            return unit.get(at..end);
        }
        at = end;
    }
    None
}

/// The largest size of a sequence (AV1 bitstream §5.5.1).
fn av1_size(header: &[u8]) -> Option<(u32, u32)> {
    let start = header.iter().skip(1).position(|byte| byte & 0x80 == 0)? + 2;
    let mut bits = Bits { data: header.get(start..)?, at: 0 };
    bits.take(4)?;
    if bits.take(1)? == 1 {
        bits.take(5)?;
    } else {
        // Timing information is not used in real time.
        if bits.take(1)? == 1 {
            return None;
        }
        let has_delay = bits.take(1)? == 1;
        for _ in 0..=bits.take(5)? {
            bits.take(12)?;
            if bits.take(5)? > 7 {
                bits.take(1)?;
            }
            if has_delay && bits.take(1)? == 1 {
                bits.take(4)?;
            }
        }
    }
    let (width, height) = (bits.take(4)? + 1, bits.take(4)? + 1);
    Some((bits.take(width as usize)? + 1, bits.take(height as usize)? + 1))
}

/// Returns the parameter sets of a key frame of H.264, with start codes.
fn parameter_sets(frame: &[u8]) -> Option<Bytes> {
    let mut sets = Vec::new();
    let starts: Vec<usize> =
        frame.windows(3).enumerate().filter(|(_, code)| *code == [0, 0, 1]).map(|(at, _)| at + 3).collect();
    for (index, start) in starts.iter().enumerate() {
        let mut end = starts.get(index + 1).map_or(frame.len(), |next| next - 3);
        while end > *start && frame[end - 1] == 0 && index + 1 < starts.len() {
            end -= 1;
        }
        let unit = frame.get(*start..end)?;
        if unit.first().is_some_and(|head| matches!(head & 0x1F, 7 | 8)) {
            sets.extend_from_slice(&[0, 0, 0, 1]);
            sets.extend_from_slice(unit);
        }
    }
    (!sets.is_empty()).then(|| sets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_key_frames() {
        let vp8 = [0x10, 0, 0, 0x9D, 1, 0x2A, 0x40, 0x01, 0xF0, 0x00];
        assert_eq!(vp8_size(&vp8), Some((320, 240)));
        assert_eq!(vp8_size(&vp8[..9]), None);
        // Marker, profile 0, key frame, shown; sync code; BT.601; 320 x 240.
        let vp9 = [0x82, 0x49, 0x83, 0x42, 0x20, 0x13, 0xF0, 0x0E, 0xF0];
        assert_eq!(vp9_size(&vp9), Some((320, 240)));
        assert_eq!(vp9_size(&[0x86, 0, 0]), None);
    }

    #[test]
    fn parameter_sets_are_taken_out() {
        let frame = [&[0, 0, 0, 1, 0x67, 1, 2][..], &[0, 0, 0, 1, 0x68, 3], &[0, 0, 1, 0x65, 9, 9]].concat();
        assert_eq!(parameter_sets(&frame).unwrap(), [0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3][..]);
        assert_eq!(parameter_sets(&[0, 0, 1, 0x41]), None);
    }

    #[test]
    fn the_sequence_header_is_found_behind_the_delimiter() {
        let unit = [0x12, 0, 0x0A, 2, 0xAA, 0xBB, 0x32, 1, 7];
        assert_eq!(sequence_header(&unit), Some(&[0x0A, 2, 0xAA, 0xBB][..]));
        assert_eq!(sequence_header(&[0x12, 0]), None);
    }
}
