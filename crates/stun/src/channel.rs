//! Channels: four bytes of header in place of a whole STUN message (RFC 8656 §12).

use std::fmt;

/// Length of the header in front of channel data, in bytes (RFC 8656 §12.4).
pub const CHANNEL_HEADER_LEN: usize = 4;

/// A channel's number: 0x4000 to 0x7FFF.
///
/// RFC 8656 §12 has taken back what lies above 0x4FFF, so that channel data can be told from DTLS
/// on one socket (RFC 7983), and our clients stay below. Deviation: those that follow RFC 5766 §11
/// (coturn's client, older browsers) still choose from the whole range, and nothing else arrives
/// where a TURN server listens, so the higher ones are read and bound all the same: the highest,
/// too, of which RFC 5766 says both that it is allowed (§11) and that it is not (§11.2), and which
/// coturn's client chooses like any other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelNumber(u16);

impl ChannelNumber {
    /// The lowest number.
    pub const MIN: Self = Self(0x4000);
    /// The highest number that a client should choose (RFC 8656 §12).
    pub const MAX: Self = Self(0x4FFF);
    /// The highest number that RFC 5766 §11 allowed.
    pub const MAX_RFC5766: Self = Self(0x7FFF);

    /// A channel by its number; `None` outside the range.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= Self::MIN.0 && number <= Self::MAX_RFC5766.0 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl fmt::Debug for ChannelNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChannelNumber({:#06x})", self.0)
    }
}

/// A ChannelData message, borrowed from the datagram (RFC 8656 §12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The channel it came by.
    pub channel: ChannelNumber,
    /// The payload, without padding; may be empty.
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Reads channel data from a datagram, or from a frame of
    /// [`stream::Reader`](crate::stream::Reader).
    ///
    /// Padding to a multiple of four bytes may follow (RFC 8656 §12.5); nothing else may.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ChannelDataError> {
        let (&[channel_high, channel_low, length_high, length_low], rest) =
            datagram.split_first_chunk().ok_or(ChannelDataError::Truncated { length: datagram.len() })?;
        let number = u16::from_be_bytes([channel_high, channel_low]);
        let channel = ChannelNumber::new(number).ok_or(ChannelDataError::Number { number })?;
        let declared = usize::from(u16::from_be_bytes([length_high, length_low]));
        let length = ChannelDataError::Length { declared, actual: rest.len() };
        let data = rest.get(..declared).ok_or(length)?;
        if rest.len() > declared.next_multiple_of(4) {
            return Err(length);
        }
        Ok(Self { channel, data })
    }

    /// The header for `length` bytes of payload; `None` if the length field cannot hold that.
    ///
    /// Over streams the payload must be followed by [`padding`](Self::padding) zero bytes; over UDP
    /// it need not (RFC 8656 §12.5).
    #[must_use]
    pub fn header(channel: ChannelNumber, length: usize) -> Option<[u8; CHANNEL_HEADER_LEN]> {
        let [length_high, length_low] = u16::try_from(length).ok()?.to_be_bytes();
        let [channel_high, channel_low] = channel.0.to_be_bytes();
        Some([channel_high, channel_low, length_high, length_low])
    }

    /// The number of bytes that must follow `length` bytes of payload on a stream: 0 to 3.
    #[must_use]
    pub const fn padding(length: usize) -> usize {
        length.wrapping_neg() % 4
    }
}

/// Returns whether a datagram that came from a TURN server or its client looks like channel data:
/// its first byte is that of a [`ChannelNumber`].
#[must_use]
pub fn is_channel_data(datagram: &[u8]) -> bool {
    datagram.len() >= CHANNEL_HEADER_LEN && matches!(datagram[0], 0x40..=0x7F)
}

/// The reason for which a datagram is no channel data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelDataError {
    /// Shorter than the header.
    #[error("{length} bytes are too few for a ChannelData header")]
    Truncated {
        /// The length of the datagram, in bytes.
        length: usize,
    },
    /// Bytes 0..2 are no channel number.
    #[error("{number:#06x} is no channel number")]
    Number {
        /// Their value.
        number: u16,
    },
    /// The length field, at offset 2, does not fit the datagram.
    #[error("length field at byte 2 says {declared}, {actual} bytes follow the header")]
    Length {
        /// The length that the header declares, in bytes.
        declared: usize,
        /// The number of bytes behind the header.
        actual: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_range() {
        assert_eq!(ChannelNumber::new(0x3FFF), None);
        assert_eq!(ChannelNumber::new(0x4000), Some(ChannelNumber::MIN));
        assert_eq!(ChannelNumber::new(0x4FFF), Some(ChannelNumber::MAX));
        assert_eq!(ChannelNumber::new(0x7FFF), Some(ChannelNumber::MAX_RFC5766));
        assert_eq!(ChannelNumber::new(0x8000), None);
    }

    #[test]
    fn padding_is_optional_and_nothing_else() {
        let whole = [0x40, 0x01, 0, 2, b'h', b'i', 0, 0, 0];
        let expected = ChannelData { channel: ChannelNumber::new(0x4001).unwrap(), data: b"hi" };
        for length in 6..=8 {
            assert_eq!(ChannelData::parse(&whole[..length]), Ok(expected));
        }
        assert_eq!(ChannelData::parse(&whole), Err(ChannelDataError::Length { declared: 2, actual: 5 }));
        assert_eq!(ChannelData::parse(&whole[..5]), Err(ChannelDataError::Length { declared: 2, actual: 1 }));
        assert_eq!(ChannelData::parse(&whole[..3]), Err(ChannelDataError::Truncated { length: 3 }));
        assert_eq!(ChannelData::parse(&[0x80, 0, 0, 0]), Err(ChannelDataError::Number { number: 0x8000 }));
        assert_eq!(ChannelData::parse(&[0x40, 0, 0, 0]).unwrap().data, b"");
    }

    #[test]
    fn headers() {
        assert_eq!(ChannelData::header(ChannelNumber::MIN, 0x1234), Some([0x40, 0, 0x12, 0x34]));
        assert_eq!(ChannelData::header(ChannelNumber::MIN, 0x1_0000), None);
        assert_eq!([0, 1, 2, 3, 4].map(ChannelData::padding), [0, 3, 2, 1, 0]);
    }
}
