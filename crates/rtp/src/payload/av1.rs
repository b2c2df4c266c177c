//! AV1 (RTP payload format for AV1 1.0).

use super::FrameError;
use super::assembler::PartInfo;
use super::packetizer::Part;
use crate::bits::{leb128, leb128_len, put_leb128};
use crate::error::ParseError;

/// Types of OBUs (AV1 specification §6.2.2).
const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// OBUs of a temporal unit at most.
const MAX_OBUS: usize = 512;

const AGGREGATION_HEADER: usize = 1;

/// The bits Z, Y and N of the aggregation header.
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;

const HAS_EXTENSION: u8 = 4;
const HAS_SIZE: u8 = 2;

const fn type_of(head: u8) -> u8 {
    (head >> 3) & 0x0F
}

/// One OBU in a temporal unit: the bytes of its header, without size, and its contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Obu {
    head: [u8; 2],
    head_len: usize,
    start: usize,
    end: usize,
}

impl Obu {
    /// Reads the OBU at an offset; returns it and where the next one begins.
    fn read(unit: &[u8], at: usize) -> Option<(Self, usize)> {
        let head = *unit.get(at)?;
        let head_len = if head & HAS_EXTENSION != 0 { 2 } else { 1 };
        let extension = if head_len == 2 { *unit.get(at + 1)? } else { 0 };
        let mut start = at + head_len;
        let end = if head & HAS_SIZE != 0 {
            let (size, len) = leb128(unit.get(start..)?)?;
            start += len;
            start.checked_add(usize::try_from(size).ok()?)?
        } else {
            unit.len()
        };
        unit.get(start..end)?;
        Some((Self { head: [head & !HAS_SIZE, extension], head_len, start, end }, end))
    }

    const fn len(&self) -> usize {
        self.head_len + self.end - self.start
    }

    /// Copies bytes of the OBU as it is sent, from an offset on.
    fn copy(&self, unit: &[u8], from: usize, out: &mut [u8]) {
        let head = self.head_len.saturating_sub(from).min(out.len());
        out[..head].copy_from_slice(&self.head[from.min(self.head_len)..][..head]);
        let body = self.start + (from + head - self.head_len);
        let rest = out.len() - head;
        out[head..].copy_from_slice(&unit[body..body + rest]);
    }

    const fn is_sent(&self) -> bool {
        !matches!(type_of(self.head[0]), TEMPORAL_DELIMITER | TILE_LIST | PADDING)
    }
}

/// Returns whether a temporal unit begins a coded video sequence: it has a sequence header.
#[must_use]
pub fn is_key_frame(unit: &[u8]) -> bool {
    let mut at = 0;
    while let Some((obu, next)) = Obu::read(unit, at) {
        if type_of(obu.head[0]) == SEQUENCE_HEADER {
            return true;
        }
        at = next;
    }
    false
}

/// Returns the bytes of the sequence header OBU, with its own header; `None` if there is none.
#[must_use]
pub fn sequence_header(unit: &[u8]) -> Option<&[u8]> {
    let mut at = 0;
    loop {
        let (obu, next) = Obu::read(unit, at)?;
        if type_of(obu.head[0]) == SEQUENCE_HEADER {
            return Some(&unit[at..next]);
        }
        at = next;
    }
}

/// Returns the place of a payload.
pub(super) fn inspect(payload: &[u8]) -> Result<PartInfo, ParseError> {
    match payload {
        [head, _, ..] => Ok(PartInfo {
            // The first packet of a temporal unit cannot be told from others: the marker of the
            // packet before tells it.
            begins: head & CONTINUES == 0,
            ends: false,
            key: head & NEW_SEQUENCE != 0,
            picture: None,
        }),
        _ => Err(ParseError::truncated("AV1 payload", 0)),
    }
}

/// Puts OBUs together again, with sizes.
#[derive(Debug, Default)]
pub(super) struct Depacketizer {
    /// The beginning of an OBU that goes on in the next packet.
    partial: Vec<u8>,
}

impl Depacketizer {
    pub(super) fn reset(&mut self) {
        self.partial.clear();
    }

    pub(super) fn push(&mut self, payload: &[u8], frame: &mut Vec<u8>) -> Result<PartInfo, ParseError> {
        let info = inspect(payload)?;
        let head = payload[0];
        if (head & CONTINUES != 0) == self.partial.is_empty() {
            self.reset();
            return Err(ParseError::invalid("continuation of an OBU", 0));
        }
        let count = usize::from(head >> 4 & 3);
        let (mut at, mut index) = (AGGREGATION_HEADER, 0);
        while at < payload.len() {
            index += 1;
            let rest = &payload[at..];
            let element = if count != 0 && index == count {
                at = payload.len();
                rest
            } else {
                let cut = ParseError::truncated("OBU element", at);
                let (size, len) = leb128(rest).ok_or(cut)?;
                let end = usize::try_from(size).ok().and_then(|size| size.checked_add(len)).ok_or(cut)?;
                at += end;
                rest.get(len..end).ok_or(cut)?
            };
            if self.partial.len() + element.len() > super::MAX_FRAME_LEN {
                self.reset();
                return Err(ParseError::invalid("length of the OBU", 0));
            }
            self.partial.extend_from_slice(element);
            if at < payload.len() || head & CONTINUED == 0 {
                self.finish(frame)?;
            }
        }
        Ok(info)
    }

    /// Appends the OBU that is whole, with its size.
    fn finish(&mut self, frame: &mut Vec<u8>) -> Result<(), ParseError> {
        let invalid = ParseError::invalid("OBU", AGGREGATION_HEADER);
        let result = match Obu::read(&self.partial, 0) {
            Some((obu, end)) if end == self.partial.len() => {
                let mut size = [0; 10];
                let len = put_leb128(&mut size, (obu.end - obu.start) as u64);
                frame.push(obu.head[0] | HAS_SIZE);
                frame.extend_from_slice(&obu.head[1..obu.head_len]);
                frame.extend_from_slice(&size[..len]);
                frame.extend_from_slice(&self.partial[obu.start..]);
                Ok(())
            }
            _ => Err(invalid),
        };
        self.partial.clear();
        result
    }
}

/// Cuts a temporal unit into payloads.
#[derive(Debug, Default)]
pub(super) struct Packetizer {
    /// The OBUs of the unit that are sent.
    obus: Vec<Obu>,
    place: Place,
    /// The bytes of each payload but the last.
    size: usize,
}

/// A place in a temporal unit: all before it is written.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    obu: usize,
    /// Bytes of that OBU that are written.
    done: usize,
}

impl Packetizer {
    /// Less is of no use: a header, a size, and a byte.
    const LEAST_ROOM: usize = 8;

    pub(super) fn begin(&mut self, unit: &[u8], room: usize) -> Result<usize, FrameError> {
        self.obus.clear();
        self.place = Place::default();
        let mut at = 0;
        while at < unit.len() {
            let (obu, next) = Obu::read(unit, at).ok_or(FrameError::Malformed { what: "an OBU" })?;
            if obu.is_sent() {
                self.obus.push(obu);
            }
            at = next;
        }
        if self.obus.is_empty() || self.obus.len() > MAX_OBUS {
            return Err(FrameError::Malformed { what: "1 to 512 OBUs to send" });
        }
        if room < Self::LEAST_ROOM {
            return Err(FrameError::NoRoom { room });
        }
        // The smallest payloads of which as few do as of the largest.
        let count = self.count(room);
        let (mut low, mut high) = (Self::LEAST_ROOM, room);
        while low < high {
            let middle = low.midpoint(high);
            if self.count(middle) <= count {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        self.size = low;
        Ok(count)
    }

    pub(super) fn needed(&self) -> usize {
        if self.place.obu < self.obus.len() { self.size } else { 0 }
    }

    pub(super) fn next(&mut self, unit: &[u8], out: &mut [u8]) -> Option<Part> {
        if self.place.obu >= self.obus.len() {
            return None;
        }
        let begin = self.place;
        let alone = Self::fills_alone(&self.obus, begin, self.size);
        let mut len = AGGREGATION_HEADER;
        let obus = &self.obus;
        let (end, elements) = Self::fill(obus, begin, self.size, |element| {
            if !alone {
                len += put_size(&mut out[len..], element.len, element.size_len);
            }
            obus[element.obu].copy(unit, element.from, &mut out[len..len + element.len]);
            len += element.len;
        });
        self.place = end;
        let first = begin.obu == 0 && begin.done == 0;
        let new = first && obus.iter().any(|obu| type_of(obu.head[0]) == SEQUENCE_HEADER);
        out[0] = if begin.done > 0 { CONTINUES } else { 0 }
            | if end.done > 0 { CONTINUED } else { 0 }
            | if alone { 1 << 4 } else { 0 }
            | if new { NEW_SEQUENCE } else { 0 };
        debug_assert!(elements > 0 && len <= self.size);
        Some(Part { len, padding: 0, last: end.obu == obus.len() })
    }

    fn count(&self, size: usize) -> usize {
        let (mut place, mut count) = (Place::default(), 0);
        while place.obu < self.obus.len() {
            (place, _) = Self::fill(&self.obus, place, size, |_| {});
            count += 1;
        }
        count
    }

    /// Returns whether the payload is one element: then it needs no size.
    fn fills_alone(obus: &[Obu], place: Place, size: usize) -> bool {
        let left = obus[place.obu].len() - place.done;
        left >= size - AGGREGATION_HEADER || place.obu + 1 == obus.len()
    }

    /// Fills a payload from a place on; returns where it ends, and the number of elements.
    fn fill(obus: &[Obu], mut place: Place, size: usize, mut each: impl FnMut(Element)) -> (Place, usize) {
        let mut room = size - AGGREGATION_HEADER;
        let alone = Self::fills_alone(obus, place, size);
        let mut elements = 0;
        while let Some(obu) = obus.get(place.obu) {
            let left = obu.len() - place.done;
            let size_len = if alone { 0 } else { leb128_len(left as u64) };
            let element = if left + size_len <= room {
                // One byte is too few for another element: the size takes it, so that all payloads
                // but the last are full.
                let one_left = left + size_len + 1 == room && place.obu + 1 < obus.len();
                let size_len = size_len + usize::from(one_left && !alone);
                Element { obu: place.obu, from: place.done, len: left, size_len }
            } else {
                // A size may be a byte longer than it needs, so that the payload is full.
                let size_len = if alone { 0 } else { leb128_len(room as u64) };
                let Some(len) = room.checked_sub(size_len).filter(|len| *len > 0) else { break };
                Element { obu: place.obu, from: place.done, len, size_len }
            };
            each(element);
            elements += 1;
            room -= element.len + element.size_len;
            place = match element.len == left {
                true => Place { obu: place.obu + 1, done: 0 },
                false => Place { obu: place.obu, done: place.done + element.len },
            };
            if room == 0 || alone {
                break;
            }
        }
        (place, elements)
    }
}

/// A part of an OBU in a payload.
#[derive(Clone, Copy)]
struct Element {
    obu: usize,
    from: usize,
    len: usize,
    /// The bytes of its size.
    size_len: usize,
}

/// Writes a size in just so many bytes.
fn put_size(out: &mut [u8], size: usize, len: usize) -> usize {
    let written = put_leb128(out, size as u64);
    if written < len {
        out[written - 1] |= 0x80;
        out[written..len - 1].fill(0x80);
        out[len - 1] = 0;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn obu(kind: u8, len: usize) -> Vec<u8> {
        let mut size = [0; 10];
        let size_len = put_leb128(&mut size, len as u64);
        let mut bytes = vec![kind << 3 | HAS_SIZE];
        bytes.extend_from_slice(&size[..size_len]);
        bytes.extend((0..len).map(|index| index as u8));
        bytes
    }

    #[test]
    fn units_come_back_without_delimiters() {
        let kept = [obu(SEQUENCE_HEADER, 10), obu(6, 3000), obu(5, 1), obu(6, 127)].concat();
        let unit = [obu(TEMPORAL_DELIMITER, 0), kept.clone()].concat();
        assert!(is_key_frame(&unit) && !is_key_frame(&obu(6, 5)));
        assert_eq!(sequence_header(&unit), Some(&obu(SEQUENCE_HEADER, 10)[..]));
        for room in (8..300).chain([1000, 1200, 4000]) {
            let mut packetizer = Packetizer::default();
            let count = packetizer.begin(&unit, room).unwrap();
            let (mut depacketizer, mut frame) = (Depacketizer::default(), Vec::new());
            let mut out = vec![0; room];
            let mut sizes = Vec::new();
            while let Some(part) = packetizer.next(&unit, &mut out) {
                let info = depacketizer.push(&out[..part.len], &mut frame).unwrap();
                assert_eq!(info.key, sizes.is_empty());
                sizes.push(part.len);
                assert_eq!(part.last, sizes.len() == count, "{room}");
            }
            assert_eq!(frame, kept, "{room}");
            assert_eq!(sizes.len(), count);
            let full = sizes.iter().filter(|size| **size == sizes[0]).count();
            assert!(full + 1 >= count, "{room}: {sizes:?}");
        }
    }

    #[test]
    fn damage_is_refused() {
        let mut depacketizer = Depacketizer::default();
        let mut frame = Vec::new();
        for payload in [&[0x80, 1][..], &[0], &[], &[0, 5, 1], &[0, 0xFF], &[0x10, 0x06]] {
            assert!(depacketizer.push(payload, &mut frame).is_err(), "{payload:?}");
        }
        assert!(frame.is_empty());
        assert!(matches!(Packetizer::default().begin(&[0x0A, 9], 100), Err(FrameError::Malformed { .. })));
        assert!(matches!(Packetizer::default().begin(&[0x12, 0], 100), Err(FrameError::Malformed { .. })));
    }
}
