//! SACK (RFC 9260 §3.3.4).

use super::Reader;
use crate::error::WireError;
use crate::serial::Tsn;

/// A SACK with fewer blocks has named all that there is to name: no stack is known to have room for
/// less.
const FEWEST_BLOCKS: usize = 20;

/// The length of a SACK chunk without blocks and duplicates.
const HEADER: usize = 16;

/// TSNs that have arrived beyond a hole: from `start` to `end`, both counted from the cumulative
/// TSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GapBlock {
    pub(crate) start: u16,
    pub(crate) end: u16,
}

/// An acknowledgement, as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sack<'a> {
    pub(crate) cumulative_tsn: Tsn,
    /// The receiver's window in bytes.
    pub(crate) window: u32,
    blocks: &'a [u8],
    pub(crate) duplicates: usize,
    /// The flags, if it is agreed that they mean something.
    partial: Option<u8>,
}

impl<'a> Sack<'a> {
    /// In a partial SACK: its blocks go on where another had no room for more. What lies before is
    /// not named.
    pub(crate) const RESUMED: u8 = 1;
    /// In a partial SACK: there is more behind its last block.
    pub(crate) const CUT: u8 = 2;

    /// Reads the chunk's value, and takes its flags where partial SACKs are agreed upon.
    pub(crate) fn parse(partial: Option<u8>, value: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        let cumulative_tsn = Tsn(reader.u32()?);
        let window = reader.u32()?;
        let blocks = usize::from(reader.u16()?);
        let duplicates = usize::from(reader.u16()?);
        let blocks = reader.bytes(blocks * 4)?;
        reader.bytes(duplicates * 4)?;
        Ok(Self { cumulative_tsn, window, blocks, duplicates, partial })
    }

    /// An acknowledgement without holes.
    pub(crate) fn cumulative(cumulative_tsn: Tsn, window: u32) -> Self {
        Self { cumulative_tsn, window, blocks: &[], duplicates: 0, partial: None }
    }

    /// The gap blocks as the peer wrote them: any order, any value.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = GapBlock> + 'a {
        self.blocks.chunks_exact(4).map(|block| GapBlock {
            start: u16::from_be_bytes([block[0], block[1]]),
            end: u16::from_be_bytes([block[2], block[3]]),
        })
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.partial.is_some_and(|flags| flags & Self::RESUMED != 0)
    }

    /// Returns whether something may have arrived beyond the last block.
    pub(crate) fn is_cut(&self) -> bool {
        self.partial.map_or(self.blocks.len() / 4 >= FEWEST_BLOCKS, |flags| flags & Self::CUT != 0)
    }

    /// The number of bytes that a SACK with so many blocks and duplicates takes.
    pub(crate) const fn wire_length(blocks: usize, duplicates: usize) -> usize {
        HEADER + 4 * blocks + 4 * duplicates
    }
}
