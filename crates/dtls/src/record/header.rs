//! Headers of records (RFC 6347 §4.1, RFC 9147 §4).

/// Bytes of the header of an unprotected record, and of each record of DTLS 1.2.
pub(crate) const HEADER: usize = 13;

/// Bits of the first byte of the unified header of DTLS 1.3 (RFC 9147 §4).
pub(super) const UNIFIED: u8 = 0x20;
const UNIFIED_BITS: u8 = 0xE0;
const CONNECTION_ID: u8 = 0x10;
pub(super) const LONG_SEQUENCE: u8 = 0x08;
pub(super) const WITH_LENGTH: u8 = 0x04;
pub(super) const EPOCH_BITS: u8 = 0x03;

/// A record whose header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    /// Bytes of the header, and of the whole record.
    pub(crate) header: usize,
    pub(crate) length: usize,
    pub(crate) form: Form,
}

/// The form of a record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// That of an unprotected record, and of each record of DTLS 1.2.
    Plain { content_type: u8, epoch: u16, sequence: u64 },
    /// The unified header of DTLS 1.3, which has two bits of the epoch.
    Unified { epoch_bits: u8 },
}

/// Reads the header of the first record of a datagram. `None` if the rest of the datagram is not a
/// record.
pub(crate) fn first(datagram: &[u8]) -> Option<Raw> {
    let first = *datagram.first()?;
    let raw = if first & UNIFIED_BITS == UNIFIED { unified(first, datagram)? } else { plain(datagram)? };
    (raw.header <= raw.length && raw.length <= datagram.len()).then_some(raw)
}

fn plain(datagram: &[u8]) -> Option<Raw> {
    let header = datagram.first_chunk::<HEADER>()?;
    let [content_type, major, _, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = *header;
    // The minor version of a ClientHello may be that of DTLS 1.0 (RFC 9147 §4).
    if major != 0xFE {
        return None;
    }
    let form = Form::Plain {
        content_type,
        epoch: u16::from_be_bytes([e0, e1]),
        sequence: u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]),
    };
    Some(Raw { header: HEADER, length: HEADER + usize::from(u16::from_be_bytes([l0, l1])), form })
}

fn unified(first: u8, datagram: &[u8]) -> Option<Raw> {
    // Connection identifiers are never negotiated.
    if first & CONNECTION_ID != 0 {
        return None;
    }
    let at = if first & LONG_SEQUENCE != 0 { 3 } else { 2 };
    let (header, length) = if first & WITH_LENGTH != 0 {
        let bytes = datagram.get(at..at + 2)?;
        (at + 2, at + 2 + usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    } else {
        (at, datagram.len())
    };
    Some(Raw { header, length, form: Form::Unified { epoch_bits: first & EPOCH_BITS } })
}

/// Writes the header of an unprotected record, or of a record of DTLS 1.2.
pub(super) fn write_plain(out: &mut [u8; HEADER], content_type: u8, epoch: u16, sequence: u64, length: u16) {
    out[0] = content_type;
    out[1..3].copy_from_slice(&[0xFE, 0xFD]);
    out[3..11].copy_from_slice(&(u64::from(epoch) << 48 | sequence).to_be_bytes());
    out[11..].copy_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_of_both_forms_are_read() {
        let mut header = [0; HEADER];
        write_plain(&mut header, 22, 1, 7, 3);
        let datagram = [&header[..], &[1, 2, 3, 4]].concat();
        let form = Form::Plain { content_type: 22, epoch: 1, sequence: 7 };
        assert_eq!(first(&datagram), Some(Raw { header: 13, length: 16, form }));
        assert_eq!(first(&datagram[..15]), None, "cut off");
        let form = Form::Unified { epoch_bits: 2 };
        assert_eq!(first(&[0x2E, 0, 1, 0, 2, 8, 8, 9]), Some(Raw { header: 5, length: 7, form }));
        assert_eq!(first(&[0x22, 1, 8, 8]), Some(Raw { header: 2, length: 4, form }));
        assert_eq!(first(&[0x3E, 0, 1, 0, 0]), None, "a connection identifier");
        assert_eq!(first(&[0x2E, 0, 1, 0]), None);
        assert_eq!(first(&[]), None);
        assert_eq!(first(&[22, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), None, "TLS");
    }

    proptest! {
        #[test]
        fn every_record_lies_in_its_datagram(datagram in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(raw) = first(&datagram) {
                prop_assert!(raw.header <= raw.length && raw.length <= datagram.len());
            }
        }
    }
}
