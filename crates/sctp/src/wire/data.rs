//! DATA (RFC 9260 §3.3.1) and I-DATA (RFC 8260 §2.1).

use super::{Reader, Writer, chunk_type, padded};
use crate::error::WireError;
use crate::serial::{Ppid, StreamId, Tsn};

/// The length of a DATA chunk without its payload.
pub(crate) const DATA_HEADER: usize = 16;
/// The length of an I-DATA chunk without its payload.
pub(crate) const I_DATA_HEADER: usize = 20;

const FLAG_END: u8 = 1;
const FLAG_BEGIN: u8 = 2;
const FLAG_UNORDERED: u8 = 4;
const FLAG_IMMEDIATE: u8 = 8;

/// A fragment of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Data<'a> {
    pub(crate) tsn: Tsn,
    pub(crate) stream: StreamId,
    pub(crate) unordered: bool,
    pub(crate) begin: bool,
    pub(crate) end: bool,
    /// Please acknowledge at once (RFC 7053).
    pub(crate) immediate: bool,
    /// In DATA the stream sequence number, in I-DATA the message identifier.
    pub(crate) message: u32,
    /// In I-DATA, the fragment's number within its message.
    pub(crate) fragment: u32,
    /// In I-DATA, only the first fragment has one.
    pub(crate) ppid: Ppid,
    pub(crate) payload: &'a [u8],
}

impl<'a> Data<'a> {
    /// Reads a DATA chunk, or an I-DATA chunk if `interleaved`.
    pub(crate) fn parse(flags: u8, value: &'a [u8], interleaved: bool) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        let tsn = Tsn(reader.u32()?);
        let stream = StreamId(reader.u16()?);
        let begin = flags & FLAG_BEGIN != 0;
        let (message, fragment, ppid);
        if interleaved {
            reader.u16()?;
            message = reader.u32()?;
            let shared = reader.u32()?;
            (fragment, ppid) = if begin { (0, Ppid(shared)) } else { (shared, Ppid(0)) };
        } else {
            message = u32::from(reader.u16()?);
            fragment = 0;
            ppid = Ppid(reader.u32()?);
        }
        Ok(Self {
            tsn,
            stream,
            unordered: flags & FLAG_UNORDERED != 0,
            begin,
            end: flags & FLAG_END != 0,
            immediate: flags & FLAG_IMMEDIATE != 0,
            message,
            fragment,
            ppid,
            payload: reader.rest(),
        })
    }

    /// The number of bytes that the chunk takes in a packet.
    pub(crate) fn wire_length(payload: usize, interleaved: bool) -> usize {
        padded(payload + if interleaved { I_DATA_HEADER } else { DATA_HEADER })
    }

    /// Writes the chunk.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, interleaved: bool) {
        let mut flags = 0;
        for (set, flag) in [
            (self.end, FLAG_END),
            (self.begin, FLAG_BEGIN),
            (self.unordered, FLAG_UNORDERED),
            (self.immediate, FLAG_IMMEDIATE),
        ] {
            flags |= if set { flag } else { 0 };
        }
        let length = self.payload.len();
        if interleaved {
            let mut header = [0; I_DATA_HEADER];
            header[0] = chunk_type::I_DATA;
            header[1] = flags;
            header[2..4].copy_from_slice(&((length + I_DATA_HEADER) as u16).to_be_bytes());
            header[4..8].copy_from_slice(&self.tsn.0.to_be_bytes());
            header[8..10].copy_from_slice(&self.stream.0.to_be_bytes());
            header[12..16].copy_from_slice(&self.message.to_be_bytes());
            let shared = if self.begin { self.ppid.0 } else { self.fragment };
            header[16..20].copy_from_slice(&shared.to_be_bytes());
            writer.bytes(&header);
        } else {
            let mut header = [0; DATA_HEADER];
            header[0] = chunk_type::DATA;
            header[1] = flags;
            header[2..4].copy_from_slice(&((length + DATA_HEADER) as u16).to_be_bytes());
            header[4..8].copy_from_slice(&self.tsn.0.to_be_bytes());
            header[8..10].copy_from_slice(&self.stream.0.to_be_bytes());
            header[10..12].copy_from_slice(&(self.message as u16).to_be_bytes());
            header[12..16].copy_from_slice(&self.ppid.0.to_be_bytes());
            writer.bytes(&header);
        }
        writer.bytes(self.payload);
        writer.zeros(padded(length) - length);
    }
}
