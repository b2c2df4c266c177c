//! Extended reports: the round trip for those who only receive (RFC 3611 §4.4, §4.5).

use crate::bytes_at::{be16, be32, be64};
use crate::numbers::{CompactNtp, NtpTime, Ssrc};

/// The answer to one receiver's reference time (RFC 3611 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelaySinceReceiverReport {
    /// The receiver.
    pub ssrc: Ssrc,
    /// The reference time that it sent last.
    pub last_report: CompactNtp,
    /// The delay since that arrived.
    pub delay: CompactNtp,
}

/// One block of an extended report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtendedBlock<'a> {
    /// The reporter's clock (RRTR).
    ReferenceTime(NtpTime),
    /// An answer to a receiver's clock (DLRR); a block with several is given out one by one.
    Delay(DelaySinceReceiverReport),
    /// A block of another type.
    Unknown {
        /// The type.
        kind: u8,
        /// The byte that is specific to the type.
        specific: u8,
        /// The contents.
        data: &'a [u8],
    },
}

/// An extended report (RFC 3611 §2).
#[derive(Clone, Copy, Debug)]
pub struct ExtendedReport<'a> {
    /// The reporting source.
    pub sender: Ssrc,
    blocks: &'a [u8],
}

impl<'a> ExtendedReport<'a> {
    pub(super) const REFERENCE_TIME: u8 = 4;
    pub(super) const DELAY: u8 = 5;

    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        (body.len() >= 4).then(|| Self { sender: Ssrc(be32(body, 0)), blocks: &body[4..] })
    }

    /// Returns the blocks; damage ends them.
    #[must_use]
    pub const fn blocks(&self) -> ExtendedBlocks<'a> {
        ExtendedBlocks { data: self.blocks, delays: &[] }
    }
}

/// The blocks of [`ExtendedReport::blocks`].
#[derive(Clone, Debug)]
#[expect(unnameable_types, reason = "an iterator")]
pub struct ExtendedBlocks<'a> {
    data: &'a [u8],
    /// The rest of the block of delays that is being given out.
    delays: &'a [u8],
}

impl<'a> Iterator for ExtendedBlocks<'a> {
    type Item = ExtendedBlock<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((delay, rest)) = self.delays.split_at_checked(12) {
                self.delays = rest;
                return Some(ExtendedBlock::Delay(DelaySinceReceiverReport {
                    ssrc: Ssrc(be32(delay, 0)),
                    last_report: CompactNtp(be32(delay, 4)),
                    delay: CompactNtp(be32(delay, 8)),
                }));
            }
            let (head, rest) = self.data.split_at_checked(4)?;
            let (data, rest) = rest.split_at_checked(4 * usize::from(be16(head, 2)))?;
            self.data = rest;
            match head[0] {
                ExtendedReport::REFERENCE_TIME if data.len() >= 8 => {
                    return Some(ExtendedBlock::ReferenceTime(NtpTime(be64(data, 0))));
                }
                ExtendedReport::DELAY => self.delays = data,
                kind => return Some(ExtendedBlock::Unknown { kind, specific: head[1], data }),
            }
        }
    }
}
