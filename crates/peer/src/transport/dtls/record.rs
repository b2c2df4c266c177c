//! Records, as far as they can be read without keys (RFC 6347 §4.1, RFC 9147 §4).

/// Bytes of the header of a plaintext record, and of each record of DTLS 1.2.
const HEADER: usize = 13;

/// The records of a datagram; a remainder that is not a record is noise.
pub(super) struct Records<'a>(pub(super) &'a [u8]);

/// One record with its header, and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) kind: Kind<'a>,
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Encrypted: dropped if it cannot be decrypted.
    Sealed,
    /// The beginning of a first ClientHello, from its version on: the same in each repetition.
    ClientHello(&'a [u8]),
    /// A whole ServerHello or HelloVerifyRequest.
    Answer,
    /// Another handshake message, in the clear.
    Handshake,
    /// An alert in the clear, which may be forged.
    Alert(u8),
    /// A record that has no meaning in the clear.
    Noise,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let first = *self.0.first()?;
        let length = if is_unified(first) { unified_length(self.0) } else { plaintext_length(self.0) };
        let bytes = length.and_then(|length| self.0.get(..length));
        let Some(bytes) = bytes else {
            return Some(Record { bytes: std::mem::take(&mut self.0), kind: Kind::Noise });
        };
        self.0 = &self.0[bytes.len()..];
        Some(Record { bytes, kind: if is_unified(first) { Kind::Sealed } else { kind_of(bytes) } })
    }
}

/// Returns true if a record begins with the unified header of DTLS 1.3.
fn is_unified(first: u8) -> bool {
    first & 0xE0 == 0x20
}

fn unified_length(bytes: &[u8]) -> Option<usize> {
    let flags = bytes[0];
    // Connection identifiers are never negotiated.
    if flags & 0x10 != 0 {
        return None;
    }
    let at = if flags & 0x08 != 0 { 3 } else { 2 };
    if flags & 0x04 == 0 {
        return Some(bytes.len());
    }
    let length = bytes.get(at..at + 2)?;
    Some(at + 2 + usize::from(u16::from_be_bytes([length[0], length[1]])))
}

fn plaintext_length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.first_chunk::<HEADER>()?;
    Some(HEADER + usize::from(u16::from_be_bytes([header[11], header[12]])))
}

fn kind_of(record: &[u8]) -> Kind<'_> {
    let (header, body) = record.split_at(HEADER);
    if header[3..5] != [0, 0] {
        return Kind::Sealed;
    }
    match (header[0], body) {
        // Change cipher spec.
        (20, _) => Kind::Handshake,
        (21, [_, description, ..]) => Kind::Alert(*description),
        (22, _) => handshake_kind(body),
        _ => Kind::Noise,
    }
}

fn handshake_kind(body: &[u8]) -> Kind<'_> {
    let Some((header, message)) = body.split_first_chunk::<12>() else { return Kind::Noise };
    let number = |at: usize| u32::from_be_bytes([0, header[at], header[at + 1], header[at + 2]]);
    let (length, offset, fragment) = (number(1), number(6), number(9));
    if usize::try_from(fragment).is_ok_and(|fragment| fragment > message.len()) || offset + fragment > length
    {
        return Kind::Noise;
    }
    // A second ClientHello, which a server has asked for, continues the handshake of the first.
    let opens = header[4..6] == [0, 0] && offset == 0;
    match header[0] {
        1 if opens => Kind::ClientHello(message),
        2 | 3 if offset == 0 => Kind::Answer,
        _ => Kind::Handshake,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let mut record = vec![kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 7, 0, body.len() as u8];
        record.extend_from_slice(body);
        record
    }

    fn kinds(datagram: &[u8]) -> Vec<Kind<'_>> {
        Records(datagram).map(|record| record.kind).collect()
    }

    #[test]
    fn records_are_classified() {
        let hello = plain(22, 0, &[1, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 254, 253, 9]);
        let fragment = plain(22, 0, &[1, 0, 0, 3, 0, 0, 0, 0, 1, 0, 0, 2, 253, 9]);
        let answer = plain(22, 0, &[2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 7]);
        assert_eq!(kinds(&hello), [Kind::ClientHello(&[254, 253, 9])]);
        assert_eq!(kinds(&fragment), [Kind::Handshake]);
        let second = plain(22, 0, &[1, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0, 3, 254, 253, 9]);
        assert_eq!(kinds(&second), [Kind::Handshake]);
        assert_eq!(kinds(&plain(21, 0, &[2, 40])), [Kind::Alert(40)]);
        assert_eq!(kinds(&plain(21, 1, &[2, 40])), [Kind::Sealed]);
        assert_eq!(kinds(&plain(23, 0, &[2, 40])), [Kind::Noise]);
        assert_eq!(kinds(&plain(22, 0, &[2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 7])), [Kind::Noise]);
        let several =
            [&answer[..], &[0x2E, 0, 1, 0, 2, 8, 8], &plain(20, 0, &[1])[..], &[0x22, 0, 9, 9]].concat();
        assert_eq!(kinds(&several), [Kind::Answer, Kind::Sealed, Kind::Handshake, Kind::Sealed]);
        assert_eq!(kinds(&hello[..hello.len() - 1]), [Kind::Noise]);
        assert_eq!(kinds(&[0x3E, 0, 1, 0, 0]), [Kind::Noise]);
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_record(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            let total: usize = Records(&datagram).map(|record| record.bytes.len()).sum();
            prop_assert_eq!(total, datagram.len());
        }
    }
}
