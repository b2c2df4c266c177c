//! The TSNs that have arrived (RFC 9260 §6.2).

use crate::bit_ring::BitRing;
use crate::serial::Tsn;
use crate::wire::{GapBlock, Sack, Writer, chunk_type};

/// The relation of a TSN to those that have arrived before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    New,
    Duplicate,
    /// So far ahead that a SACK could not name it.
    TooFar,
}

/// The TSNs that have arrived: all up to one, and some beyond.
#[derive(Debug)]
pub(crate) struct Tracker {
    cumulative: Tsn,
    highest: Tsn,
    beyond: BitRing,
    /// TSNs that are further ahead are not taken.
    max_offset: u32,
    /// The peer takes SACKs that name only a stretch of what is beyond.
    partial_sacks: bool,
    /// Where the next SACK goes on, if the last one had no room for all.
    resume: Option<Tsn>,
    /// TSNs that have come again since the last SACK; at most [`MAX_DUPLICATES`], more are not
    /// reported.
    duplicates: Vec<Tsn>,
}

impl Tracker {
    pub(crate) fn new(initial: Tsn) -> Self {
        let cumulative = initial.previous();
        Self {
            cumulative,
            highest: cumulative,
            beyond: BitRing::new(initial),
            max_offset: MAX_OFFSET,
            partial_sacks: false,
            resume: None,
            duplicates: Vec::new(),
        }
    }

    pub(crate) fn set_partial_sacks(&mut self, partial_sacks: bool) {
        self.partial_sacks = partial_sacks;
    }

    /// With I-DATA messages have numbers of 32 bits; those of DATA would have two meanings where
    /// more than half of them are ahead.
    pub(crate) fn set_interleaved(&mut self, interleaved: bool) {
        self.max_offset = if interleaved { MAX_OFFSET } else { MAX_DATA_OFFSET };
    }

    pub(crate) fn cumulative(&self) -> Tsn {
        self.cumulative
    }

    pub(crate) fn has_holes(&self) -> bool {
        self.highest != self.cumulative
    }

    /// Returns whether `tsn` lies in front of something that has arrived.
    pub(crate) fn fills_hole(&self, tsn: Tsn) -> bool {
        self.highest.is_after(tsn)
    }

    /// Returns the relation of `tsn` to the others, without taking it.
    pub(crate) fn classify(&self, tsn: Tsn) -> Arrival {
        let offset = tsn.since(self.cumulative);
        if offset == 0 || offset > u32::MAX / 2 {
            Arrival::Duplicate
        } else if offset > self.max_offset {
            Arrival::TooFar
        } else if self.has_holes() && self.beyond.contains(tsn) {
            Arrival::Duplicate
        } else {
            Arrival::New
        }
    }

    /// Takes a TSN that is [`Arrival::New`].
    pub(crate) fn take(&mut self, tsn: Tsn) {
        if !self.has_holes() && tsn == self.cumulative.next() {
            self.cumulative = tsn;
            self.highest = tsn;
            self.beyond.advance(tsn.next());
            return;
        }
        self.beyond.insert(tsn);
        if tsn.is_after(self.highest) {
            self.highest = tsn;
        }
        self.close_holes();
    }

    /// Remembers that `tsn` has come again.
    pub(crate) fn note_duplicate(&mut self, tsn: Tsn) {
        if self.duplicates.len() < MAX_DUPLICATES {
            self.duplicates.push(tsn);
        }
    }

    /// Takes all up to `tsn`, as the peer says that they will not come (RFC 3758 §3.6).
    pub(crate) fn forward(&mut self, tsn: Tsn) {
        if !tsn.is_after(self.cumulative) {
            return;
        }
        self.cumulative = tsn;
        if tsn.is_after(self.highest) {
            self.highest = tsn;
            self.beyond.clear();
        }
        self.beyond.advance(tsn.next());
        self.close_holes();
    }

    fn close_holes(&mut self) {
        let filled = self.beyond.leading();
        self.cumulative = self.cumulative.plus(filled);
        if self.cumulative == self.highest {
            self.beyond.clear();
        }
        self.beyond.advance(self.cumulative.next());
    }

    /// Writes a SACK with as many blocks and duplicates as there is room for, and forgets the
    /// duplicates. It writes nothing if there is not even room for a SACK without.
    pub(crate) fn write_sack(&mut self, writer: &mut Writer<'_>, window: u32) -> bool {
        let Some(room) = writer.room().checked_sub(Sack::wire_length(0, 0)) else { return false };
        let fitting = room / 4;
        let cumulative = self.cumulative;
        let resume = self.resume.take().filter(|tsn| self.partial_sacks && tsn.is_after(cumulative.next()));
        let blocks = || {
            self.beyond.runs_from(resume).take(fitting).map(|(first, last)| GapBlock {
                start: first.since(cumulative) as u16,
                end: last.since(cumulative) as u16,
            })
        };
        let (mut block_count, mut start, mut end) = (0, cumulative, cumulative);
        if self.has_holes() {
            for block in blocks() {
                block_count += 1;
                start = cumulative.plus(block.start.into());
                end = cumulative.plus(block.end.into());
            }
        }
        let mut flags = 0;
        if self.partial_sacks && block_count > 0 {
            flags |= if resume.is_some() { Sack::RESUMED } else { 0 };
            if self.highest.is_after(end) {
                flags |= Sack::CUT;
                // With the last block again, so that the hole behind it is told of, too.
                self.resume = Some(if block_count > 1 { start } else { end.next() });
            }
        }
        let duplicates = self.duplicates.len().min(fitting - block_count);
        writer.chunk(chunk_type::SACK, flags, |writer| {
            writer.u32(cumulative.0);
            writer.u32(window);
            writer.u16(block_count as u16);
            writer.u16(duplicates as u16);
            for block in blocks().take(block_count) {
                writer.u16(block.start);
                writer.u16(block.end);
            }
            for tsn in &self.duplicates[..duplicates] {
                writer.u32(tsn.0);
            }
        });
        self.duplicates.clear();
        true
    }
}

/// A gap block counts in 16 bits from the cumulative TSN.
const MAX_OFFSET: u32 = u16::MAX as u32;
/// Stream sequence numbers of DATA have 16 bits, and each message has a TSN at least.
const MAX_DATA_OFFSET: u32 = i16::MAX as u32;
/// Enough to tell the peer that it sends too much again; the rest of the SACK is for holes.
const MAX_DUPLICATES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(tracker: &mut Tracker) -> (Vec<(u16, u16)>, usize) {
        let mut buffer = [0; 1200];
        let mut writer = Writer::new(&mut buffer);
        assert!(tracker.write_sack(&mut writer, 1000));
        let sack = Sack::parse(Some(writer.written()[1]), &writer.written()[4..]).expect("we wrote it");
        assert_eq!(sack.cumulative_tsn, tracker.cumulative());
        (sack.blocks().map(|block| (block.start, block.end)).collect(), sack.duplicates)
    }

    #[test]
    fn holes_open_and_close() {
        let first = Tsn(u32::MAX - 1);
        let mut tracker = Tracker::new(first);
        for offset in [0, 2, 3, 7] {
            assert_eq!(tracker.classify(first.plus(offset)), Arrival::New);
            tracker.take(first.plus(offset));
        }
        assert_eq!(tracker.classify(first.plus(3)), Arrival::Duplicate);
        tracker.note_duplicate(first.plus(3));
        assert_eq!(blocks(&mut tracker), (vec![(2, 3), (7, 7)], 1));
        tracker.take(first.plus(1));
        assert_eq!(tracker.cumulative(), first.plus(3));
        assert_eq!(blocks(&mut tracker), (vec![(4, 4)], 0));
        tracker.forward(first.plus(6));
        assert_eq!(tracker.cumulative(), first.plus(7));
        assert!(!tracker.has_holes());
        assert_eq!(tracker.classify(first.plus(7 + 65_536)), Arrival::TooFar);
        assert_eq!(tracker.classify(first.plus(7 + 65_535)), Arrival::New);
    }
}
