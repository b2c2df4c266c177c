//! H.264 (RFC 6184), packetization modes 0 and 1.

use std::ops::Range;

use super::FrameError;
use super::assembler::PartInfo;
use super::packetizer::Part;
use super::split::Split;
use crate::bytes_at::{be16, put16};
use crate::error::ParseError;

/// Types of NAL units (ITU-T H.264 §7.4.1) and of payloads (RFC 6184 §5.2).
const IDR_SLICE: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;
const ACCESS_UNIT_DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// NAL units of a frame at most.
const MAX_UNITS: usize = 512;

/// The head of a STAP-A; each unit in it has two bytes of length.
const STAP_HEADER: usize = 1;
const LENGTH: usize = 2;
/// The indicator and the header of a fragment.
const FU_HEADER: usize = 2;

const fn type_of(head: u8) -> u8 {
    head & 0x1F
}

/// Returns the NAL units of a byte stream with start codes (ITU-T H.264 annex B).
pub fn units(stream: &[u8]) -> impl Iterator<Item = Range<usize>> + use<'_> {
    let mut at = next_start(stream, 0).map(|(_, after)| after);
    std::iter::from_fn(move || {
        let start = at?;
        let (end, next) = match next_start(stream, start) {
            Some((end, after)) => (end, Some(after)),
            None => (stream.len(), None),
        };
        at = next;
        // Zeros behind a unit belong to the stream.
        let trailing = stream[start..end].iter().rev().take_while(|byte| **byte == 0).count();
        Some(start..end - trailing)
    })
    .filter(|unit| !unit.is_empty())
}

/// Returns where the next start code of three bytes begins and ends.
fn next_start(stream: &[u8], from: usize) -> Option<(usize, usize)> {
    let found = stream.get(from..)?.windows(3).position(|three| three == [0, 0, 1])?;
    Some((from + found, from + found + 3))
}

/// Returns whether a byte stream has a key frame.
#[must_use]
pub fn is_key_frame(stream: &[u8]) -> bool {
    units(stream).any(|unit| type_of(stream[unit.start]) == IDR_SLICE)
}

/// Returns the place of a payload.
pub(super) fn inspect(payload: &[u8]) -> Result<PartInfo, ParseError> {
    let head = *payload.first().ok_or_else(|| ParseError::truncated("H.264 payload", 0))?;
    let key = |kind: u8| kind == IDR_SLICE || kind == SPS;
    let info = |begins, key| PartInfo { begins, key, ..PartInfo::default() };
    match type_of(head) {
        1..=23 => Ok(info(true, key(type_of(head)))),
        STAP_A => {
            let mut any = false;
            aggregated(payload, |unit| any |= key(type_of(unit[0])))?;
            Ok(info(true, any))
        }
        FU_A => {
            let header = *payload.get(1).ok_or_else(|| ParseError::truncated("FU header", 1))?;
            let start = header & 0x80 != 0;
            Ok(info(start, start && key(type_of(header))))
        }
        _ => Err(ParseError::invalid("H.264 payload type", 0)),
    }
}

fn aggregated(payload: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), ParseError> {
    let mut at = STAP_HEADER;
    while at < payload.len() {
        let cut = ParseError::truncated("aggregated NAL unit", at);
        let start = at + LENGTH;
        if payload.len() < start {
            return Err(cut);
        }
        let unit = payload.get(start..start + usize::from(be16(payload, at))).ok_or(cut)?;
        if unit.is_empty() {
            return Err(ParseError::invalid("length of a NAL unit", at));
        }
        each(unit);
        at = start + unit.len();
    }
    Ok(())
}

/// Puts NAL units together again.
#[derive(Debug, Default)]
pub(super) struct Depacketizer {
    /// Fragments of a unit were appended, and its end is to come.
    in_fragments: bool,
}

impl Depacketizer {
    pub(super) fn push(&mut self, payload: &[u8], frame: &mut Vec<u8>) -> Result<PartInfo, ParseError> {
        let info = inspect(payload)?;
        match type_of(payload[0]) {
            STAP_A => aggregated(payload, |unit| {
                frame.extend_from_slice(&START_CODE);
                frame.extend_from_slice(unit);
            })?,
            FU_A => {
                let header = payload[1];
                if header & 0x80 != 0 {
                    frame.extend_from_slice(&START_CODE);
                    frame.push((payload[0] & 0xE0) | type_of(header));
                } else if !self.in_fragments {
                    return Err(ParseError::invalid("fragment without a beginning", 1));
                }
                self.in_fragments = header & 0x40 == 0;
                frame.extend_from_slice(&payload[FU_HEADER..]);
                return Ok(info);
            }
            _ => {
                frame.extend_from_slice(&START_CODE);
                frame.extend_from_slice(payload);
            }
        }
        self.in_fragments = false;
        Ok(info)
    }
}

/// Cuts a byte stream into payloads: parameter sets go together, before the slices of their frame
/// and with its timestamp; large units become fragments of one size.
#[derive(Debug)]
pub(super) struct Packetizer {
    non_interleaved: bool,
    /// The units that are left, in reverse order.
    units: Vec<Range<usize>>,
    room: usize,
    /// Bytes of the first unit that is left, that are written, its head included.
    done: usize,
}

impl Packetizer {
    pub(super) const fn new(non_interleaved: bool) -> Self {
        Self { non_interleaved, units: Vec::new(), room: 0, done: 0 }
    }

    pub(super) fn begin(&mut self, frame: &[u8], room: usize) -> Result<usize, FrameError> {
        (self.room, self.done) = (room, 0);
        self.units.clear();
        // Delimiters tell nothing that the marker does not.
        let kept = |unit: &Range<usize>| type_of(frame[unit.start]) != ACCESS_UNIT_DELIMITER;
        self.units.extend(units(frame).filter(kept).take(MAX_UNITS + 1));
        self.units.reverse();
        if self.units.is_empty() {
            return Err(FrameError::Malformed { what: "NAL units behind start codes" });
        }
        if self.units.len() > MAX_UNITS {
            return Err(FrameError::Malformed { what: "no more than 512 NAL units" });
        }
        let largest = self.units.iter().map(Range::len).max().unwrap_or_default();
        if !self.non_interleaved && largest > room {
            return Err(FrameError::TooLarge { len: largest, room });
        }
        if room <= FU_HEADER {
            return Err(FrameError::NoRoom { room });
        }
        let mut left = self.units.as_slice();
        let mut count = 0;
        while let Some((unit, rest)) = left.split_last() {
            let together = self.aggregate(frame, left);
            if together > 1 {
                (left, count) = (&left[..left.len() - together], count + 1);
            } else {
                (left, count) = (rest, count + self.fragments(unit.len()).map_or(1, |split| split.count));
            }
        }
        Ok(count)
    }

    pub(super) fn needed(&self) -> usize {
        if self.units.is_empty() { 0 } else { self.room }
    }

    pub(super) fn next(&mut self, frame: &[u8], out: &mut [u8]) -> Option<Part> {
        let unit = self.units.last()?.clone();
        let together = if self.done == 0 { self.aggregate(frame, &self.units) } else { 1 };
        let part = match self.fragments(unit.len()) {
            _ if together > 1 => {
                Part { len: self.write_aggregate(frame, together, out), padding: 0, last: false }
            }
            Some(split) => self.write_fragment(&frame[unit], split, out),
            None => {
                self.units.pop();
                out[..unit.len()].copy_from_slice(&frame[unit.clone()]);
                Part { len: unit.len(), padding: 0, last: false }
            }
        };
        Some(Part { last: self.units.is_empty(), ..part })
    }

    /// Returns how a unit is cut, its head not counted; `None` if it fits into a packet.
    fn fragments(&self, len: usize) -> Option<Split> {
        if len <= self.room || !self.non_interleaved {
            return None;
        }
        Split::new(len - 1, self.room - FU_HEADER)
    }

    /// Returns how many of the first units go into one packet: parameter sets and other small units
    /// that are not slices.
    fn aggregate(&self, frame: &[u8], units: &[Range<usize>]) -> usize {
        if !self.non_interleaved {
            return 1;
        }
        let mut len = STAP_HEADER;
        units
            .iter()
            .rev()
            .take_while(|unit| {
                len += LENGTH + unit.len();
                len <= self.room && type_of(frame[unit.start]) > IDR_SLICE
            })
            .count()
    }

    fn write_aggregate(&mut self, frame: &[u8], together: usize, out: &mut [u8]) -> usize {
        // The highest importance of all (RFC 6184 §5.7.1).
        let mut importance = 0;
        let mut len = STAP_HEADER;
        for _ in 0..together {
            let Some(unit) = self.units.pop() else { break };
            let unit = &frame[unit];
            importance = importance.max(unit[0] & 0x60);
            put16(out, len, unit.len() as u16);
            out[len + LENGTH..len + LENGTH + unit.len()].copy_from_slice(unit);
            len += LENGTH + unit.len();
        }
        out[0] = importance | STAP_A;
        len
    }

    fn write_fragment(&mut self, unit: &[u8], split: Split, out: &mut [u8]) -> Part {
        let first = self.done == 0;
        let start = self.done.max(1);
        let end = unit.len().min(start + split.size);
        let last = end == unit.len();
        out[0] = (unit[0] & 0xE0) | FU_A;
        out[1] = (u8::from(first) << 7) | (u8::from(last) << 6) | type_of(unit[0]);
        let len = FU_HEADER + end - start;
        out[FU_HEADER..len].copy_from_slice(&unit[start..end]);
        self.done = end;
        if last {
            self.done = 0;
            self.units.pop();
        }
        // The parts differ by as many bytes as there are parts, at most.
        let padding = u8::try_from(FU_HEADER + split.size - len).unwrap_or(0);
        Part { len, padding, last: false }
    }
}

/// The parameter sets of a stream, and its size: what a container, or the description of a session,
/// tells beside the frames.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParameterSets<'a> {
    /// The first sequence parameter set.
    pub sps: &'a [u8],
    /// The first picture parameter set.
    pub pps: &'a [u8],
}

impl<'a> ParameterSets<'a> {
    /// Returns the first of each in a byte stream with start codes; `None` if one is missing.
    #[must_use]
    pub fn find(stream: &'a [u8]) -> Option<Self> {
        let find = |kind| units(stream).find(|unit| type_of(stream[unit.start]) == kind);
        Some(Self { sps: &stream[find(SPS)?], pps: &stream[find(PPS)?] })
    }

    /// Returns the six digits of `profile-level-id` as bytes; `None` if the set is cut off.
    #[must_use]
    pub fn profile_level_id(&self) -> Option<[u8; 3]> {
        self.sps.get(1..4)?.try_into().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_between_start_codes() {
        let stream =
            [0, 0, 0, 1, 9, 0xF0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 0, 0, 1, 0x65, 4, 0];
        let found: Vec<_> = units(&stream).map(|unit| stream[unit].to_vec()).collect();
        assert_eq!(found, [vec![9, 0xF0], vec![0x67, 1, 2], vec![0x68, 3], vec![0x65, 4]]);
        assert!(is_key_frame(&stream) && !is_key_frame(&stream[..20]));
        assert_eq!(units(&[1, 2, 3]).count() + units(&[0, 0, 1]).count() + units(&[]).count(), 0);
        let sets = ParameterSets::find(&stream).unwrap();
        assert_eq!((sets.sps, sets.pps), (&[0x67, 1, 2][..], &[0x68, 3][..]));
    }

    #[test]
    fn parameter_sets_go_together_before_the_slice() {
        let mut frame = vec![0, 0, 0, 1, 0x67, 1, 2, 0, 0, 0, 1, 0x68, 3, 0, 0, 0, 1, 0x65];
        frame.extend(std::iter::repeat_n(7, 2500));
        let mut packetizer = Packetizer::new(true);
        assert_eq!(packetizer.begin(&frame, 1000), Ok(4));
        let mut out = [0; 1000];
        let first = packetizer.next(&frame, &mut out).unwrap();
        assert_eq!(out[..first.len], [0x78, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3]);
        let rest: Vec<_> = std::iter::from_fn(|| packetizer.next(&frame, &mut out)).collect();
        let sizes: Vec<_> = rest.iter().map(|part| part.len + usize::from(part.padding)).collect();
        assert_eq!(sizes, [836; 3]);
        assert_eq!(rest.iter().map(|part| part.last).collect::<Vec<_>>(), [false, false, true]);
    }

    #[test]
    fn single_units_must_fit_without_the_mode() {
        let mut frame = vec![0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x65];
        frame.extend(std::iter::repeat_n(7, 999));
        let mut packetizer = Packetizer::new(false);
        assert_eq!(packetizer.begin(&frame, 1000), Ok(2));
        assert_eq!(packetizer.begin(&frame, 999), Err(FrameError::TooLarge { len: 1000, room: 999 }));
        assert!(matches!(packetizer.begin(&[1, 2], 999), Err(FrameError::Malformed { .. })));
    }
}
