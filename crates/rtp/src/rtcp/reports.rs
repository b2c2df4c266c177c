//! Reports, descriptions of sources, and their end (RFC 3550 §6.4 to §6.7).

use crate::bytes_at::{be16, be24, be32, be64, put16, put24, put32, put64};
use crate::numbers::{CompactNtp, NtpTime, RtpTimestamp, Ssrc};

/// The times and totals of a sender (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SenderInfo {
    /// The wall clock when the report was made.
    pub ntp_time: NtpTime,
    /// The media timestamp of the same moment.
    pub rtp_time: RtpTimestamp,
    /// RTP packets sent.
    pub packets: u32,
    /// Bytes of payload sent.
    pub bytes: u32,
}

impl SenderInfo {
    pub(super) const LEN: usize = 20;

    fn read(body: &[u8]) -> Self {
        Self {
            ntp_time: NtpTime(be64(body, 0)),
            rtp_time: RtpTimestamp(be32(body, 8)),
            packets: be32(body, 12),
            bytes: be32(body, 16),
        }
    }

    pub(super) fn write(&self, body: &mut [u8]) {
        put64(body, 0, self.ntp_time.0);
        put32(body, 8, self.rtp_time.0);
        put32(body, 12, self.packets);
        put32(body, 16, self.bytes);
    }
}

/// The reception of one stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReportBlock {
    /// The stream.
    pub ssrc: Ssrc,
    /// The part of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the beginning: 24 bits with a sign, negative with duplicates.
    pub cumulative_lost: i32,
    /// The highest sequence number received, and above it the number of its wraps.
    pub highest_sequence: u32,
    /// The jitter of arrival in ticks of the stream's clock.
    pub jitter: u32,
    /// The time of the last sender report; 0 without one.
    pub last_sender_report: CompactNtp,
    /// The delay since that report.
    pub delay: CompactNtp,
}

impl ReportBlock {
    pub(super) const LEN: usize = 24;

    fn read(body: &[u8]) -> Self {
        Self {
            ssrc: Ssrc(be32(body, 0)),
            fraction_lost: body[4],
            cumulative_lost: (be24(body, 5) << 8).cast_signed() >> 8,
            highest_sequence: be32(body, 8),
            jitter: be32(body, 12),
            last_sender_report: CompactNtp(be32(body, 16)),
            delay: CompactNtp(be32(body, 20)),
        }
    }

    pub(super) fn write(&self, body: &mut [u8]) {
        put32(body, 0, self.ssrc.0);
        body[4] = self.fraction_lost;
        let lost = self.cumulative_lost.clamp(-0x0080_0000, 0x007F_FFFF);
        put24(body, 5, lost.cast_unsigned() & 0x00FF_FFFF);
        put32(body, 8, self.highest_sequence);
        put32(body, 12, self.jitter);
        put32(body, 16, self.last_sender_report.0);
        put32(body, 20, self.delay.0);
    }
}

fn blocks(body: &[u8]) -> impl ExactSizeIterator<Item = ReportBlock> + use<'_> {
    body.chunks_exact(ReportBlock::LEN).map(ReportBlock::read)
}

/// A sender report.
#[derive(Clone, Copy, Debug)]
pub struct SenderReport<'a> {
    /// The stream that is sent.
    pub ssrc: Ssrc,
    /// Its times and totals.
    pub info: SenderInfo,
    blocks: &'a [u8],
}

impl<'a> SenderReport<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let start = 4 + SenderInfo::LEN;
        let blocks = body.get(start..start + ReportBlock::LEN * usize::from(count))?;
        Some(Self { ssrc: Ssrc(be32(body, 0)), info: SenderInfo::read(&body[4..]), blocks })
    }

    /// Returns the receptions that the sender reports.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        blocks(self.blocks)
    }
}

/// A receiver report.
#[derive(Clone, Copy, Debug)]
pub struct ReceiverReport<'a> {
    /// The reporting source.
    pub ssrc: Ssrc,
    blocks: &'a [u8],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let blocks = body.get(4..4 + ReportBlock::LEN * usize::from(count))?;
        Some(Self { ssrc: Ssrc(be32(body, 0)), blocks })
    }

    /// Returns the receptions.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + use<'a> {
        blocks(self.blocks)
    }
}

/// One item of a source's description (RFC 3550 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SdesItem<'a> {
    /// The source.
    pub ssrc: Ssrc,
    /// The type of the item.
    pub kind: u8,
    /// The text, UTF-8 if the sender follows the RFC.
    pub text: &'a [u8],
}

impl<'a> SdesItem<'a> {
    /// The type of the canonical name.
    pub const CNAME: u8 = 1;

    /// Returns the canonical name, if the item is one.
    #[must_use]
    pub fn cname(&self) -> Option<&'a str> {
        if self.kind == Self::CNAME { std::str::from_utf8(self.text).ok() } else { None }
    }
}

/// Descriptions of sources.
#[derive(Clone, Copy, Debug)]
pub struct SourceDescription<'a> {
    chunks: u8,
    body: &'a [u8],
}

impl<'a> SourceDescription<'a> {
    pub(super) fn read(chunks: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self { chunks, body })
    }

    /// Returns the items of all sources; damage ends them.
    #[must_use]
    pub const fn items(&self) -> SdesItems<'a> {
        SdesItems { chunks: self.chunks, body: self.body, at: 0, ssrc: None }
    }
}

/// The items of [`SourceDescription::items`].
#[derive(Clone, Debug)]
#[expect(unnameable_types, reason = "an iterator")]
pub struct SdesItems<'a> {
    chunks: u8,
    body: &'a [u8],
    at: usize,
    ssrc: Option<Ssrc>,
}

impl<'a> Iterator for SdesItems<'a> {
    type Item = SdesItem<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some(ssrc) = self.ssrc else {
                self.chunks = self.chunks.checked_sub(1)?;
                self.body.get(self.at..self.at + 4)?;
                self.ssrc = Some(Ssrc(be32(self.body, self.at)));
                self.at += 4;
                continue;
            };
            let kind = *self.body.get(self.at)?;
            if kind == 0 {
                // Null bytes up to the next word end a chunk.
                self.at = (self.at + 4) & !3;
                self.ssrc = None;
                continue;
            }
            let len = usize::from(*self.body.get(self.at + 1)?);
            let text = self.body.get(self.at + 2..self.at + 2 + len)?;
            self.at += 2 + len;
            return Some(SdesItem { ssrc, kind, text });
        }
    }
}

/// Sources that end.
#[derive(Clone, Copy, Debug)]
pub struct Goodbye<'a> {
    sources: &'a [u8],
    /// The reason, if one is given.
    pub reason: Option<&'a [u8]>,
}

impl<'a> Goodbye<'a> {
    pub(super) fn read(count: u8, body: &'a [u8]) -> Option<Self> {
        let (sources, rest) = body.split_at_checked(4 * usize::from(count))?;
        let reason = match rest.split_first() {
            Some((len, text)) => Some(text.get(..usize::from(*len))?),
            None => None,
        };
        Some(Self { sources, reason })
    }

    /// Returns the sources.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = Ssrc> + use<'a> {
        self.sources.chunks_exact(4).map(|word| Ssrc(be32(word, 0)))
    }
}

/// A packet defined by an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplicationDefined<'a> {
    /// A number that the application gives a meaning, 0 to 31.
    pub subtype: u8,
    /// The sending source.
    pub ssrc: Ssrc,
    /// Four ASCII characters that name the application.
    pub name: [u8; 4],
    /// The data.
    pub data: &'a [u8],
}

impl<'a> ApplicationDefined<'a> {
    pub(super) fn read(subtype: u8, body: &'a [u8]) -> Option<Self> {
        let (head, data) = body.split_at_checked(8)?;
        let name = [head[4], head[5], head[6], head[7]];
        Some(Self { subtype, ssrc: Ssrc(be32(head, 0)), name, data })
    }
}

/// Writes the head of an RTCP packet of `len` bytes, which is a multiple of four.
pub(super) fn write_head(packet: &mut [u8], format: u8, packet_type: u8, len: usize) {
    packet[0] = (2 << 6) | format;
    packet[1] = packet_type;
    put16(packet, 2, (len / 4 - 1) as u16);
    debug_assert_eq!(usize::from(be16(packet, 2)), len / 4 - 1);
}
