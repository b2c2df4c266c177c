//! The packet: common header, checksum, chunks (RFC 9260 §3.1, §3.2 and §6.8).

use super::{Reader, Writer};
use crate::error::WireError;

/// The length of the common header in bytes.
pub(crate) const PACKET_HEADER: usize = 12;

/// The common header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) verification_tag: u32,
}

impl Header {
    /// Writes it, with a checksum of zero; [`seal`] puts in the right one.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.u16(self.source_port);
        writer.u16(self.destination_port);
        writer.u32(self.verification_tag);
        writer.u32(0);
    }
}

/// A chunk that has not been looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) value: &'a [u8],
}

/// Reads the header, verifies the checksum, and gives the chunks. A checksum of zero is taken for
/// correct where `zero_is_valid` (RFC 9653 §5.3).
pub(crate) fn parse(packet: &[u8], zero_is_valid: bool) -> Result<(Header, Chunks<'_>), WireError> {
    let mut reader = Reader::new(packet);
    let header = Header {
        source_port: reader.u16()?,
        destination_port: reader.u16()?,
        verification_tag: reader.u32()?,
    };
    let checksum = u32::from_le_bytes(reader.array()?);
    if !(checksum == 0 && zero_is_valid) && checksum != compute(packet) {
        return Err(WireError::Checksum);
    }
    Ok((header, Chunks { reader }))
}

/// The chunks of a packet, until its end or the first that cannot be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let element = self.reader.element();
        if element.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(element.map(|([kind, flags], value)| Chunk { kind, flags, value }))
    }
}

/// Puts the checksum into a finished packet.
pub(crate) fn seal(packet: &mut [u8]) {
    let checksum = compute(packet).to_le_bytes();
    if let Some(field) = packet.get_mut(8..PACKET_HEADER) {
        field.copy_from_slice(&checksum);
    }
}

/// CRC32c over the packet with zeros in place of the checksum.
fn compute(packet: &[u8]) -> u32 {
    let (header, chunks) = packet.split_at(PACKET_HEADER.min(packet.len()));
    let checksum = crc32c::crc32c(&header[..header.len().min(8)]);
    let checksum = crc32c::crc32c_append(checksum, &[0; 4]);
    crc32c::crc32c_append(checksum, chunks)
}
