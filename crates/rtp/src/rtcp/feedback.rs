//! Feedback on packets and pictures (RFC 4585, RFC 5104), and REMB.

use super::sender_and_media;
use crate::bytes_at::{be16, be24, be32, put32};
use crate::numbers::{SequenceNumber, Ssrc};

/// Packets that are missing: generic NACK (RFC 4585 §6.2.1).
#[derive(Clone, Copy, Debug)]
pub struct Nack<'a> {
    /// The source that reports.
    pub sender: Ssrc,
    /// The stream whose packets are missing.
    pub media: Ssrc,
    pairs: &'a [u8],
}

impl<'a> Nack<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (sender, media) = sender_and_media(body)?;
        Some(Self { sender, media, pairs: &body[8..] })
    }

    /// Returns the sequence numbers of the missing packets.
    pub fn missing(&self) -> impl Iterator<Item = SequenceNumber> + use<'a> {
        self.pairs.chunks_exact(4).flat_map(|pair| {
            let (first, mask) = (SequenceNumber(be16(pair, 0)), be16(pair, 2));
            let others = (0..16).filter(move |bit| (mask >> bit) & 1 == 1);
            std::iter::once(first).chain(others.map(move |bit| first.plus(bit + 1)))
        })
    }
}

/// The picture cannot be decoded: PLI (RFC 4585 §6.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureLossIndication {
    /// The source that reports.
    pub sender: Ssrc,
    /// The stream whose picture it is.
    pub media: Ssrc,
}

impl PictureLossIndication {
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let (sender, media) = sender_and_media(body)?;
        Some(Self { sender, media })
    }
}

/// Requests for key frames: FIR (RFC 5104 §4.3.1).
#[derive(Clone, Copy, Debug)]
pub struct FullIntraRequests<'a> {
    /// The source that requests.
    pub sender: Ssrc,
    entries: &'a [u8],
}

impl<'a> FullIntraRequests<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (sender, _) = sender_and_media(body)?;
        Some(Self { sender, entries: &body[8..] })
    }

    /// Returns the streams and the numbers of the requests: a repetition has the same number.
    pub fn requests(&self) -> impl Iterator<Item = (Ssrc, u8)> + use<'a> {
        self.entries.chunks_exact(8).map(|entry| (Ssrc(be32(entry, 0)), entry[4]))
    }
}

/// A bitrate that a stream may have at most (RFC 5104 §4.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateRequest {
    /// The stream; in TMMBN the owner of the limit.
    pub ssrc: Ssrc,
    /// The bitrate in bits per second, rounded down to 17 significant bits.
    pub bits_per_second: u64,
    /// The bytes of headers that each packet counts beside its payload, 0 to 511.
    pub overhead: u16,
}

impl RateRequest {
    pub(super) const LEN: usize = 8;

    fn read(entry: &[u8]) -> Self {
        let word = be32(entry, 4);
        let bits_per_second = from_exponent(word >> 26, u64::from((word >> 9) & 0x1_FFFF));
        Self { ssrc: Ssrc(be32(entry, 0)), bits_per_second, overhead: (word & 0x1FF) as u16 }
    }

    pub(super) fn write(&self, entry: &mut [u8]) {
        let (exponent, mantissa) = to_exponent(self.bits_per_second, 17);
        put32(entry, 0, self.ssrc.0);
        put32(entry, 4, (exponent << 26) | (mantissa << 9) | u32::from(self.overhead.min(0x1FF)));
    }
}

/// Limits of bitrates: TMMBR and TMMBN (RFC 5104 §4.2).
#[derive(Clone, Copy, Debug)]
pub struct RateRequests<'a> {
    /// The source that sends them.
    pub sender: Ssrc,
    entries: &'a [u8],
}

impl<'a> RateRequests<'a> {
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (sender, _) = sender_and_media(body)?;
        Some(Self { sender, entries: &body[8..] })
    }

    /// Returns the limits.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = RateRequest> + use<'a> {
        self.entries.chunks_exact(RateRequest::LEN).map(RateRequest::read)
    }
}

/// The receiver's estimate of the bitrate that all its streams may have: REMB.
#[derive(Clone, Copy, Debug)]
pub struct Remb<'a> {
    /// The source that reports.
    pub sender: Ssrc,
    /// The bitrate in bits per second.
    pub bits_per_second: u64,
    streams: &'a [u8],
}

impl<'a> Remb<'a> {
    /// The length without streams, the RTCP header not counted.
    pub(super) const LEN: usize = 16;

    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let (sender, _) = sender_and_media(body)?;
        if body.len() < Self::LEN {
            return None;
        }
        let bits = be24(body, 13);
        let streams = body.get(Self::LEN..Self::LEN + 4 * usize::from(body[12]))?;
        Some(Self { sender, bits_per_second: from_exponent(bits >> 18, u64::from(bits & 0x3_FFFF)), streams })
    }

    /// Returns the streams that the estimate is for.
    pub fn streams(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        self.streams.chunks_exact(4).map(|word| Ssrc(be32(word, 0)))
    }
}

fn from_exponent(exponent: u32, mantissa: u64) -> u64 {
    if mantissa == 0 {
        0
    } else if exponent > mantissa.leading_zeros() {
        u64::MAX
    } else {
        mantissa << exponent
    }
}

/// Returns exponent and mantissa, of so many bits, of a number rounded down.
pub(super) const fn to_exponent(value: u64, bits: u32) -> (u32, u32) {
    let used = u64::BITS - value.leading_zeros();
    let exponent = used.saturating_sub(bits);
    (exponent, (value >> exponent) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitrates_keep_their_leading_bits() {
        for value in [0, 1, 131_071, 131_072, 1_000_000, 5_000_000_000] {
            let (exponent, mantissa) = to_exponent(value, 17);
            let back = from_exponent(exponent, u64::from(mantissa));
            assert!(back <= value && value - back <= value >> 16, "{value} {back}");
        }
        assert_eq!(from_exponent(63, 3), u64::MAX);
    }

    #[test]
    fn masks_name_the_packets_behind_the_first() {
        let body = [0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFF, 0x80, 0x01];
        let nack = Nack::read(&body).unwrap();
        let missing: Vec<_> = nack.missing().map(|number| number.0).collect();
        assert_eq!(missing, [65_535, 0, 15]);
    }
}
