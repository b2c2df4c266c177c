//! FORWARD-TSN (RFC 3758 §3.2) and I-FORWARD-TSN (RFC 8260 §2.3.1).

use super::{Reader, Writer, chunk_type};
use crate::error::WireError;
use crate::serial::{StreamId, Tsn};

/// The sender will not send what is up to this TSN again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ForwardTsn<'a> {
    pub(crate) cumulative_tsn: Tsn,
    skipped: &'a [u8],
    interleaved: bool,
}

/// A message that was given up: the last one of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) stream: StreamId,
    pub(crate) unordered: bool,
    /// Stream sequence number, or message identifier.
    pub(crate) message: u32,
}

impl<'a> ForwardTsn<'a> {
    /// Reads the chunk's value.
    pub(crate) fn parse(value: &'a [u8], interleaved: bool) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        Ok(Self { cumulative_tsn: Tsn(reader.u32()?), skipped: reader.rest(), interleaved })
    }

    /// The messages given up.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = Skipped> + 'a {
        let interleaved = self.interleaved;
        let length = Skipped::wire_length(interleaved);
        self.skipped.chunks_exact(length).filter_map(move |bytes| {
            let mut reader = Reader::new(bytes);
            let stream = StreamId(reader.u16().ok()?);
            if interleaved {
                let unordered = reader.u16().ok()? & 1 != 0;
                Some(Skipped { stream, unordered, message: reader.u32().ok()? })
            } else {
                Some(Skipped { stream, unordered: false, message: u32::from(reader.u16().ok()?) })
            }
        })
    }

    /// Writes a chunk.
    pub(crate) fn write(
        writer: &mut Writer<'_>,
        cumulative_tsn: Tsn,
        skipped: &[Skipped],
        interleaved: bool,
    ) {
        let kind = if interleaved { chunk_type::I_FORWARD_TSN } else { chunk_type::FORWARD_TSN };
        writer.chunk(kind, 0, |writer| {
            writer.u32(cumulative_tsn.0);
            for skipped in skipped {
                writer.u16(skipped.stream.0);
                if interleaved {
                    writer.u16(u16::from(skipped.unordered));
                    writer.u32(skipped.message);
                } else {
                    writer.u16(skipped.message as u16);
                }
            }
        });
    }
}

impl Skipped {
    /// The number of bytes that one takes in the chunk.
    pub(crate) const fn wire_length(interleaved: bool) -> usize {
        if interleaved { 8 } else { 4 }
    }
}
