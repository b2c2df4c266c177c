//! RTP packets as views over bytes (RFC 3550 §5).

use std::ops::Range;

use crate::bytes_at::{be16, be32, put16, put32};
use crate::error::{ParseError, WriteError};
use crate::extension::{ExtensionForm, Extensions, HeaderExtension};
use crate::numbers::{PayloadType, RtpTimestamp, SequenceNumber, Ssrc};

/// The bytes of the header without contributing sources and extensions.
pub const FIXED_HEADER_LEN: usize = 12;

/// Returns true if a datagram whose first byte is that of RTP (128 to 191) carries RTCP: its
/// packet type lies between 192 and 223 (RFC 5761 §4).
#[must_use]
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

/// The fields at the beginning of every packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedHeader {
    /// The marker: the last packet of a video frame, the first of a talk spurt.
    pub marker: bool,
    /// The payload type.
    pub payload_type: PayloadType,
    /// The sequence number.
    pub sequence_number: SequenceNumber,
    /// The timestamp.
    pub timestamp: RtpTimestamp,
    /// The stream.
    pub ssrc: Ssrc,
}

/// The header of a packet whose payload is not looked at, because it may be encrypted.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    data: &'a [u8],
    /// The beginning of the data, whose length needs no more checks.
    fixed: &'a [u8; FIXED_HEADER_LEN],
    /// The offset of the extension's four bytes of head; `None` without one.
    extension: Option<usize>,
    len: usize,
}

impl<'a> Header<'a> {
    /// Reads the header at the beginning of a packet.
    ///
    /// # Errors
    ///
    /// The version is not 2, or the header is cut off.
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        let fixed: &[u8; FIXED_HEADER_LEN] =
            data.first_chunk().ok_or(ParseError::truncated("RTP header", 0))?;
        if fixed[0] >> 6 != 2 {
            return Err(ParseError::invalid("RTP version", 0));
        }
        let mut len = FIXED_HEADER_LEN + 4 * usize::from(fixed[0] & 0x0F);
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            if data.len() < len + 4 {
                return Err(ParseError::truncated("header extension", len));
            }
            extension = Some(len);
            len += 4 + 4 * usize::from(be16(data, len + 2));
        }
        if data.len() < len {
            return Err(ParseError::truncated("RTP header", FIXED_HEADER_LEN));
        }
        Ok(Self { data, fixed, extension, len })
    }

    /// Returns the length of the header, with contributing sources and extensions.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a header is never empty")]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns the fixed fields.
    #[inline]
    #[must_use]
    pub fn fixed(&self) -> FixedHeader {
        FixedHeader {
            marker: self.fixed[1] & 0x80 != 0,
            payload_type: self.payload_type(),
            sequence_number: self.sequence_number(),
            timestamp: RtpTimestamp(be32(self.fixed, 4)),
            ssrc: self.ssrc(),
        }
    }

    /// Returns the payload type.
    #[inline]
    #[must_use]
    pub fn payload_type(&self) -> PayloadType {
        PayloadType::of_bits(self.fixed[1])
    }

    /// Returns the sequence number.
    #[inline]
    #[must_use]
    pub fn sequence_number(&self) -> SequenceNumber {
        SequenceNumber(be16(self.fixed, 2))
    }

    /// Returns the stream.
    #[inline]
    #[must_use]
    pub fn ssrc(&self) -> Ssrc {
        Ssrc(be32(self.fixed, 8))
    }

    /// Returns the contributing sources.
    pub fn csrcs(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        let end = FIXED_HEADER_LEN + 4 * usize::from(self.data[0] & 0x0F);
        self.data[FIXED_HEADER_LEN..end].chunks_exact(4).map(|word| Ssrc(be32(word, 0)))
    }

    /// Returns the header extensions; none if there are none, or their form is not of RFC 8285.
    #[must_use]
    pub fn extensions(&self) -> Extensions<'a> {
        match self.extension {
            Some(at) => Extensions::new(be16(self.data, at), &self.data[at + 4..self.len]),
            None => Extensions::new(0, &[]),
        }
    }

    /// Returns the value of a header extension.
    #[must_use]
    pub fn extension(&self, id: u8) -> Option<&'a [u8]> {
        self.extensions().find(|(other, _)| *other == id).map(|(_, value)| value)
    }

    /// Returns a header extension of a type; `None` if it is missing or its value is not valid.
    #[must_use]
    pub fn get<T: HeaderExtension<'a>>(&self, id: u8) -> Option<T> {
        T::read(self.extension(id)?)
    }

    fn has_padding(&self) -> bool {
        self.data[0] & 0x20 != 0
    }

    /// Returns where the value of a header extension lies.
    fn extension_range(&self, id: u8) -> Option<Range<usize>> {
        let value = self.extension(id)?;
        let start = value.as_ptr().addr() - self.data.as_ptr().addr();
        Some(start..start + value.len())
    }
}

/// An RTP packet in the clear.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    header: Header<'a>,
    payload_end: usize,
}

impl<'a> Packet<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// The header is not valid, or there is more padding than payload.
    pub fn parse(data: &'a [u8]) -> Result<Self, ParseError> {
        let header = Header::parse(data)?;
        let mut payload_end = data.len();
        if header.has_padding() {
            let padding = usize::from(data[data.len() - 1]);
            if padding == 0 || header.len + padding > data.len() {
                return Err(ParseError::invalid("padding", data.len() - 1));
            }
            payload_end -= padding;
        }
        Ok(Self { header, payload_end })
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// Returns the fixed fields of the header.
    #[must_use]
    pub fn fixed(&self) -> FixedHeader {
        self.header.fixed()
    }

    /// Returns the payload without padding.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.header.data[self.header.len..self.payload_end]
    }

    /// Returns where the payload lies in the packet.
    #[must_use]
    pub const fn payload_range(&self) -> Range<usize> {
        self.header.len..self.payload_end
    }

    /// Returns the number of bytes of padding.
    #[must_use]
    pub const fn padding_len(&self) -> usize {
        self.header.data.len() - self.payload_end
    }

    /// Returns all bytes of the packet.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.header.data
    }
}

/// A packet whose header is rewritten in place, as a forwarder does it.
#[derive(Debug)]
pub struct PacketMut<'a>(&'a mut [u8]);

impl<'a> PacketMut<'a> {
    /// Reads a packet.
    ///
    /// # Errors
    ///
    /// The header is not valid.
    pub fn parse(data: &'a mut [u8]) -> Result<Self, ParseError> {
        Header::parse(data)?;
        Ok(Self(data))
    }

    /// Replaces all fixed fields.
    pub fn set_fixed(&mut self, header: &FixedHeader) {
        write_fixed(self.0, header);
    }

    /// Replaces the marker.
    pub fn set_marker(&mut self, marker: bool) {
        self.0[1] = (self.0[1] & 0x7F) | (u8::from(marker) << 7);
    }

    /// Replaces the payload type.
    pub fn set_payload_type(&mut self, payload_type: PayloadType) {
        self.0[1] = (self.0[1] & 0x80) | payload_type.get();
    }

    /// Replaces the sequence number.
    pub fn set_sequence_number(&mut self, number: SequenceNumber) {
        put16(self.0, 2, number.0);
    }

    /// Replaces the timestamp.
    pub fn set_timestamp(&mut self, timestamp: RtpTimestamp) {
        put32(self.0, 4, timestamp.0);
    }

    /// Replaces the stream.
    pub fn set_ssrc(&mut self, ssrc: Ssrc) {
        put32(self.0, 8, ssrc.0);
    }

    /// Replaces the value of a header extension by one of the same length. Returns false if the
    /// packet has no such extension, or its length is another.
    pub fn set_extension<'v, T: HeaderExtension<'v>>(&mut self, id: u8, value: &T) -> bool {
        let range = Header::parse(self.0).ok().and_then(|header| header.extension_range(id));
        match range {
            Some(range) if range.len() == value.len() => {
                value.write(&mut self.0[range]);
                true
            }
            _ => false,
        }
    }

    /// Returns the packet for reading.
    #[must_use]
    pub fn header(&self) -> Header<'_> {
        Header::parse(self.0).expect("the header was valid, and its lengths are never written")
    }
}

fn write_fixed(data: &mut [u8], header: &FixedHeader) {
    data[1] = (u8::from(header.marker) << 7) | header.payload_type.get();
    put16(data, 2, header.sequence_number.0);
    put32(data, 4, header.timestamp.0);
    put32(data, 8, header.ssrc.0);
}

/// A packet that is written, front to back, into a buffer of the caller's: contributing sources,
/// header extensions, payload, padding.
#[derive(Debug)]
pub struct PacketWriter<'a> {
    buffer: &'a mut [u8],
    /// The bytes written.
    len: usize,
    /// The offset of the extension's head.
    extension: Option<usize>,
    form: ExtensionForm,
}

impl<'a> PacketWriter<'a> {
    /// Begins a packet. Header extensions are written in the given form.
    ///
    /// # Errors
    ///
    /// The buffer has no room for a header.
    pub fn new(buffer: &'a mut [u8], header: &FixedHeader, form: ExtensionForm) -> Result<Self, WriteError> {
        if buffer.len() < FIXED_HEADER_LEN {
            return Err(WriteError::no_room("RTP header", FIXED_HEADER_LEN));
        }
        buffer[0] = 2 << 6;
        write_fixed(buffer, header);
        Ok(Self { buffer, len: FIXED_HEADER_LEN, extension: None, form })
    }

    /// Adds contributing sources, before any header extension.
    ///
    /// # Errors
    ///
    /// There are more than 15, an extension is written already, or the buffer is full.
    pub fn csrcs(mut self, csrcs: &[Ssrc]) -> Result<Self, WriteError> {
        let count = usize::from(self.buffer[0] & 0x0F) + csrcs.len();
        if count > 15 || self.extension.is_some() {
            return Err(WriteError::OutOfRange { what: "number of contributing sources" });
        }
        for csrc in csrcs {
            let at = self.take(4, "contributing source")?;
            put32(self.buffer, at, csrc.0);
        }
        self.buffer[0] = (self.buffer[0] & 0xF0) | count as u8;
        Ok(self)
    }

    /// Adds a header extension (RFC 8285).
    ///
    /// # Errors
    ///
    /// The number is 0 or 15 in the one-byte form, the value is too long for the form, or the
    /// buffer is full.
    pub fn extension<'v, T: HeaderExtension<'v>>(mut self, id: u8, value: &T) -> Result<Self, WriteError> {
        let len = value.len();
        if id == 0 || len > 255 {
            return Err(WriteError::OutOfRange { what: "header extension" });
        }
        let head = match self.form {
            ExtensionForm::OneByte if id > 14 || len == 0 || len > 16 => {
                return Err(WriteError::NeedsTwoByteForm { id });
            }
            ExtensionForm::OneByte => 1,
            ExtensionForm::TwoByte => 2,
        };
        if self.extension.is_none() {
            let at = self.take(4, "header extension")?;
            put16(self.buffer, at, self.form.profile());
            self.extension = Some(at);
        }
        let at = self.take(head + len, "header extension")?;
        match self.form {
            ExtensionForm::OneByte => self.buffer[at] = (id << 4) | (len - 1) as u8,
            ExtensionForm::TwoByte => self.buffer[at..at + 2].copy_from_slice(&[id, len as u8]),
        }
        value.write(&mut self.buffer[at + head..at + head + len]);
        Ok(self)
    }

    /// Ends the header, and returns the room behind it, for a payload that the caller writes.
    /// Then [`finish`](Self::finish) takes the payload's length.
    ///
    /// # Errors
    ///
    /// The buffer has no room for the padding of the extensions.
    pub fn payload_mut(&mut self) -> Result<&mut [u8], WriteError> {
        self.end_extensions()?;
        Ok(&mut self.buffer[self.len..])
    }

    /// Ends a packet whose payload was written into [`payload_mut`](Self::payload_mut), and returns
    /// its length.
    ///
    /// # Errors
    ///
    /// The payload is longer than its room.
    pub fn finish(mut self, payload_len: usize) -> Result<usize, WriteError> {
        self.end_extensions()?;
        self.take(payload_len, "payload")?;
        Ok(self.len)
    }

    /// Ends a packet with a payload and padding, and returns its length.
    ///
    /// # Errors
    ///
    /// The buffer is too small.
    pub fn payload(mut self, payload: &[u8], padding: u8) -> Result<usize, WriteError> {
        self.end_extensions()?;
        let at = self.take(payload.len(), "payload")?;
        self.buffer[at..at + payload.len()].copy_from_slice(payload);
        if padding > 0 {
            let at = self.take(usize::from(padding), "padding")?;
            self.buffer[at..self.len].fill(0);
            self.buffer[self.len - 1] = padding;
            self.buffer[0] |= 0x20;
        }
        Ok(self.len)
    }

    fn end_extensions(&mut self) -> Result<(), WriteError> {
        let Some(at) = self.extension else { return Ok(()) };
        if self.buffer[0] & 0x10 != 0 {
            return Ok(());
        }
        let rest = (self.len - at).wrapping_neg() & 3;
        let padding = self.take(rest, "header extension")?;
        self.buffer[padding..padding + rest].fill(0);
        put16(self.buffer, at + 2, ((self.len - at - 4) / 4) as u16);
        self.buffer[0] |= 0x10;
        Ok(())
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<usize, WriteError> {
        let at = self.len;
        if self.buffer.len() < at + len {
            return Err(WriteError::no_room(what, at + len));
        }
        self.len += len;
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::{AudioLevel, Mid, TransportSequenceNumber};

    const HEADER: FixedHeader = FixedHeader {
        marker: true,
        payload_type: PayloadType::of_bits(96),
        sequence_number: SequenceNumber(27_023),
        timestamp: RtpTimestamp(3_653_407_706),
        ssrc: Ssrc(476_325_762),
    };

    #[test]
    fn packets_are_written_as_they_are_read() {
        let mut buffer = [0xAA; 200];
        let len = PacketWriter::new(&mut buffer, &HEADER, ExtensionForm::OneByte)
            .unwrap()
            .csrcs(&[Ssrc(1), Ssrc(2)])
            .unwrap()
            .extension(3, &Mid("audio"))
            .unwrap()
            .extension(1, &TransportSequenceNumber(7))
            .unwrap()
            .payload(b"payload", 3)
            .unwrap();
        let packet = Packet::parse(&buffer[..len]).unwrap();
        assert_eq!(packet.fixed(), HEADER);
        assert_eq!(packet.payload(), b"payload");
        assert_eq!(packet.padding_len(), 3);
        assert_eq!(packet.header().csrcs().collect::<Vec<_>>(), [Ssrc(1), Ssrc(2)]);
        assert_eq!(packet.header().get(3), Some(Mid("audio")));
        assert_eq!(packet.header().get(1), Some(TransportSequenceNumber(7)));
        assert_eq!(packet.header().get::<AudioLevel>(2), None);
    }

    #[test]
    fn headers_are_rewritten_in_place() {
        let mut buffer = [0; 64];
        let len = PacketWriter::new(&mut buffer, &HEADER, ExtensionForm::TwoByte)
            .unwrap()
            .extension(200, &TransportSequenceNumber(7))
            .unwrap()
            .payload(&[1, 2, 3], 0)
            .unwrap();
        let mut packet = PacketMut::parse(&mut buffer[..len]).unwrap();
        packet.set_ssrc(Ssrc(9));
        packet.set_marker(false);
        packet.set_payload_type(PayloadType::of_bits(5));
        packet.set_sequence_number(SequenceNumber(1));
        packet.set_timestamp(RtpTimestamp(2));
        assert!(packet.set_extension(200, &TransportSequenceNumber(8)));
        assert!(!packet.set_extension(201, &TransportSequenceNumber(8)));
        assert!(!packet.set_extension(200, &AudioLevel { voice: true, level: 1 }));
        assert_eq!(packet.header().len(), 12 + 8);
        let packet = Packet::parse(&buffer[..len]).unwrap();
        let expected = FixedHeader {
            marker: false,
            payload_type: PayloadType::of_bits(5),
            sequence_number: SequenceNumber(1),
            timestamp: RtpTimestamp(2),
            ssrc: Ssrc(9),
        };
        assert_eq!(packet.fixed(), expected);
        assert_eq!(packet.header().get(200), Some(TransportSequenceNumber(8)));
        assert_eq!(packet.payload(), [1, 2, 3]);
    }

    #[test]
    fn damaged_packets_are_refused() {
        let good = [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        assert!(Packet::parse(&good).is_ok());
        for (at, byte) in [(0, 0x40), (0, 0x90), (0, 0x81), (0, 0xA0)] {
            let mut bad = good;
            bad[at] = byte;
            assert!(Packet::parse(&bad).is_err(), "{byte:#x}");
        }
        assert!(Packet::parse(&good[..11]).is_err());
        let padded = |padding: u8| [&[0xA0], &good[1..], &[0, 0, padding]].concat();
        assert_eq!(Packet::parse(&padded(3)).unwrap().payload(), []);
        assert!(Packet::parse(&padded(0)).is_err() && Packet::parse(&padded(4)).is_err());
    }

    #[test]
    fn buffers_that_are_too_small_are_errors_that_say_the_need() {
        let mut buffer = [0; 14];
        let writer = PacketWriter::new(&mut buffer, &HEADER, ExtensionForm::OneByte).unwrap();
        assert_eq!(writer.payload(&[0; 3], 0), Err(WriteError::no_room("payload", 15)));
        let writer = PacketWriter::new(&mut buffer, &HEADER, ExtensionForm::OneByte).unwrap();
        assert!(matches!(writer.extension(15, &Mid("a")), Err(WriteError::NeedsTwoByteForm { id: 15 })));
        assert!(PacketWriter::new(&mut [0; 11], &HEADER, ExtensionForm::OneByte).is_err());
    }
}
