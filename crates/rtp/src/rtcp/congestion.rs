//! Congestion control feedback (RFC 8888).

use std::time::Duration;

use crate::bytes_at::{be16, be32, put16, put32};
use crate::numbers::{CompactNtp, SequenceNumber, Ssrc};

/// The offset that stands for "longer ago than can be said".
const TOO_LONG: u16 = 0x1FFE;
/// The offset that stands for "no time known".
const NO_TIME: u16 = 0x1FFF;

/// The fate of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CongestionStatus {
    /// It has not arrived.
    Lost,
    /// It has arrived.
    Received {
        /// The two bits of explicit congestion notification.
        ecn: u8,
        /// The time from its arrival to the report, in units of 1/1024 s up to 8 s; `None` if it
        /// is longer or not known.
        ago: Option<Duration>,
    },
}

impl CongestionStatus {
    fn read(word: u16) -> Self {
        if word & 0x8000 == 0 {
            return Self::Lost;
        }
        let offset = word & 0x1FFF;
        let ago = (offset < TOO_LONG)
            .then(|| Duration::from_nanos((u64::from(offset) * 1_000_000_000).div_ceil(1024)));
        Self::Received { ecn: (word >> 13) as u8 & 3, ago }
    }

    fn word(self) -> u16 {
        match self {
            Self::Lost => 0,
            Self::Received { ecn, ago } => {
                let offset = ago.map_or(NO_TIME, |ago| {
                    u16::try_from(ago.as_nanos() * 1024 / 1_000_000_000).unwrap_or(TOO_LONG).min(TOO_LONG)
                });
                0x8000 | (u16::from(ecn & 3) << 13) | offset
            }
        }
    }
}

/// The fates of consecutive packets of one stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamStatuses<'a> {
    /// The stream.
    pub ssrc: Ssrc,
    /// The first packet.
    pub begin: SequenceNumber,
    words: &'a [u8],
}

impl<'a> StreamStatuses<'a> {
    /// Returns the packets and their fates.
    pub fn statuses(&self) -> impl Iterator<Item = (SequenceNumber, CongestionStatus)> + use<'a> {
        let begin = self.begin;
        self.words
            .chunks_exact(2)
            .enumerate()
            .map(move |(index, word)| (begin.plus(index as u16), CongestionStatus::read(be16(word, 0))))
    }
}

/// Arrival times and marks of streams' packets.
#[derive(Clone, Copy, Debug)]
pub struct CongestionControlFeedback<'a> {
    /// The source that reports.
    pub sender: Ssrc,
    /// The time of the report by the receiver's clock.
    pub timestamp: CompactNtp,
    streams: &'a [u8],
}

impl<'a> CongestionControlFeedback<'a> {
    /// The length of a stream's head.
    const STREAM: usize = 8;

    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        let end = body.len().checked_sub(4).filter(|end| *end >= 4)?;
        let streams = &body[4..end];
        let feedback = Self { sender: Ssrc(be32(body, 0)), timestamp: CompactNtp(be32(body, end)), streams };
        let told: usize = feedback.streams().map(|stream| Self::len(stream.words.len() / 2)).sum();
        (told == streams.len()).then_some(feedback)
    }

    /// Returns the streams; damage ends them.
    pub fn streams(&self) -> impl Iterator<Item = StreamStatuses<'a>> + use<'a> {
        let mut rest = self.streams;
        std::iter::from_fn(move || {
            let (head, after) = rest.split_at_checked(Self::STREAM)?;
            let count = usize::from(be16(head, 6));
            let (words, _) = after.split_at_checked(2 * count)?;
            rest = after.get(2 * count.next_multiple_of(2)..)?;
            let (ssrc, begin) = (Ssrc(be32(head, 0)), SequenceNumber(be16(head, 4)));
            Some(StreamStatuses { ssrc, begin, words })
        })
    }

    /// Returns the length of a stream with so many statuses.
    pub(super) const fn len(count: usize) -> usize {
        Self::STREAM + 2 * count.next_multiple_of(2)
    }

    pub(super) fn write_stream(
        part: &mut [u8],
        ssrc: Ssrc,
        begin: SequenceNumber,
        statuses: &[CongestionStatus],
    ) {
        put32(part, 0, ssrc.0);
        put16(part, 4, begin.0);
        put16(part, 6, statuses.len() as u16);
        let mut at = Self::STREAM;
        for status in statuses {
            put16(part, at, status.word());
            at += 2;
        }
        part[at..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_say_what_they_cannot() {
        let received = |ago| CongestionStatus::Received { ecn: 2, ago };
        assert_eq!(received(Some(Duration::from_millis(500))).word(), 0xC000 | 512);
        assert_eq!(received(Some(Duration::from_secs(9))).word(), 0xC000 | TOO_LONG);
        assert_eq!(received(None).word(), 0xC000 | NO_TIME);
        for offset in [0, 1, 511, 512, 0x1FFD] {
            let word = 0xA000 | offset;
            assert_eq!(CongestionStatus::read(word).word(), word);
        }
        assert_eq!(CongestionStatus::read(0x1234), CongestionStatus::Lost);
    }

    #[test]
    fn counts_beyond_the_packet_are_refused() {
        let mut body = vec![0; 4 + 8 + 4 + 4];
        put16(&mut body, 10, 2);
        assert!(CongestionControlFeedback::read(&body).is_some());
        put16(&mut body, 10, 3);
        assert!(CongestionControlFeedback::read(&body).is_none());
        assert!(CongestionControlFeedback::read(&body[..7]).is_none());
    }
}
