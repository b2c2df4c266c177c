//! Retransmissions (RFC 4588 §4).

use crate::bytes_at::{be16, put16};
use crate::error::{ParseError, WriteError};
use crate::numbers::{PayloadType, SequenceNumber, Ssrc};
use crate::packet::{Header, PacketMut};

/// The bytes that a retransmission has more than the packet.
pub const OVERHEAD: usize = 2;

/// The stream of retransmissions of another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtxStream {
    /// The stream.
    pub ssrc: Ssrc,
    /// The payload type of retransmissions.
    pub payload_type: PayloadType,
}

/// Makes the packet in the first `len` bytes of `buffer` a retransmission, in place; returns its
/// new length.
///
/// # Errors
///
/// It is not a packet, or there is no room for two bytes more.
pub fn wrap(
    buffer: &mut [u8],
    len: usize,
    stream: &RtxStream,
    sequence: SequenceNumber,
) -> Result<usize, WriteError> {
    let end = len + OVERHEAD;
    if buffer.len() < end {
        return Err(WriteError::no_room("retransmission", end));
    }
    let header = Header::parse(&buffer[..len]).map_err(|_| WriteError::OutOfRange { what: "RTP packet" })?;
    let (start, original) = (header.len(), header.sequence_number());
    buffer.copy_within(start..len, start + OVERHEAD);
    put16(buffer, start, original.0);
    rewrite(&mut buffer[..end], stream.ssrc, stream.payload_type, sequence);
    Ok(end)
}

/// Makes a retransmission in the clear the packet again, in place; returns its new length.
///
/// # Errors
///
/// It is not a packet, or has no payload: a probe that only has padding.
pub fn unwrap(packet: &mut [u8], ssrc: Ssrc, payload_type: PayloadType) -> Result<usize, ParseError> {
    let parsed = crate::Packet::parse(packet)?;
    let start = parsed.header().len();
    if parsed.payload().len() < OVERHEAD {
        return Err(ParseError::truncated("retransmission", start));
    }
    let original = SequenceNumber(be16(packet, start));
    let end = packet.len() - OVERHEAD;
    packet.copy_within(start + OVERHEAD.., start);
    rewrite(&mut packet[..end], ssrc, payload_type, original);
    Ok(end)
}

fn rewrite(packet: &mut [u8], ssrc: Ssrc, payload_type: PayloadType, sequence: SequenceNumber) {
    if let Ok(mut packet) = PacketMut::parse(packet) {
        packet.set_ssrc(ssrc);
        packet.set_payload_type(payload_type);
        packet.set_sequence_number(sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::{ExtensionForm, Mid};
    use crate::{FixedHeader, PacketWriter, RtpTimestamp};

    #[test]
    fn packets_come_back_with_header_and_padding() {
        let header = FixedHeader {
            marker: true,
            payload_type: PayloadType::new(96).unwrap(),
            sequence_number: SequenceNumber(777),
            timestamp: RtpTimestamp(5),
            ssrc: Ssrc(1),
        };
        let mut buffer = [0; 100];
        let len = PacketWriter::new(&mut buffer, &header, ExtensionForm::OneByte)
            .unwrap()
            .extension(3, &Mid("0"))
            .unwrap()
            .payload(b"payload", 4)
            .unwrap();
        let original = buffer[..len].to_vec();
        let stream = RtxStream { ssrc: Ssrc(2), payload_type: PayloadType::new(97).unwrap() };
        let wrapped = wrap(&mut buffer, len, &stream, SequenceNumber(9)).unwrap();
        let packet = crate::Packet::parse(&buffer[..wrapped]).unwrap();
        assert_eq!((packet.fixed().ssrc, packet.fixed().sequence_number), (Ssrc(2), SequenceNumber(9)));
        assert_eq!(packet.payload(), [&[3, 9], &b"payload"[..]].concat());
        assert!(wrap(&mut buffer[..wrapped + 1], wrapped, &stream, SequenceNumber(9)).is_err());
        let end = unwrap(&mut buffer[..wrapped], Ssrc(1), header.payload_type).unwrap();
        assert_eq!(buffer[..end], original);
        // One that has only its number stands for a packet without a part of a frame.
        let mut empty = [0x80, 97, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1];
        assert!(unwrap(&mut { empty }[..12], Ssrc(1), header.payload_type).is_err());
        assert_eq!(unwrap(&mut empty, Ssrc(1), header.payload_type), Ok(12));
        let packet = crate::Packet::parse(&empty[..12]).unwrap();
        assert_eq!((packet.fixed().sequence_number, packet.payload()), (SequenceNumber(1), &[][..]));
    }
}
