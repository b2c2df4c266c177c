//! SACK (RFC 9260 section 3.3.4).

use super::Reader;
use crate::error::WireError;
use crate::serial::Tsn;

/// The length of a SACK chunk without blocks and duplicates.
const HEADER: usize = 16;

/// TSNs that have arrived beyond a hole: from `start` to `end`, both counted from the cumulative TSN.
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
}

impl<'a> Sack<'a> {
    /// Reads the chunk's value.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        let cumulative_tsn = Tsn(reader.u32()?);
        let window = reader.u32()?;
        let blocks = usize::from(reader.u16()?);
        let duplicates = usize::from(reader.u16()?);
        let blocks = reader.bytes(blocks * 4)?;
        reader.bytes(duplicates * 4)?;
        Ok(Self { cumulative_tsn, window, blocks, duplicates })
    }

    /// An acknowledgement without holes.
    pub(crate) fn cumulative(cumulative_tsn: Tsn, window: u32) -> Self {
        Self { cumulative_tsn, window, blocks: &[], duplicates: 0 }
    }

    /// The gap blocks as the peer wrote them: any order, any value.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = GapBlock> + 'a {
        self.blocks.chunks_exact(4).map(|block| GapBlock {
            start: u16::from_be_bytes([block[0], block[1]]),
            end: u16::from_be_bytes([block[2], block[3]]),
        })
    }

    /// How many bytes a SACK with so many blocks and duplicates takes.
    pub(crate) const fn wire_length(blocks: usize, duplicates: usize) -> usize {
        HEADER + 4 * blocks + 4 * duplicates
    }
}
