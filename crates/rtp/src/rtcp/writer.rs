//! Writes compound packets into a buffer of the caller's.

use super::congestion::{CongestionControlFeedback, CongestionStatus};
use super::extended::{DelaySinceReceiverReport, ExtendedReport};
use super::feedback::{RateRequest, Remb, to_exponent};
use super::reports::{ReportBlock, SdesItem, SenderInfo, write_head};
use super::transport::{TransportFeedback, TransportStatus};
use super::{
    APPLICATION, EXTENDED_REPORT, GOODBYE, PAYLOAD_FEEDBACK, RECEIVER_REPORT, SENDER_REPORT,
    SOURCE_DESCRIPTION, TRANSPORT_FEEDBACK,
};
use crate::bytes_at::{be16, put16, put24, put32, put64};
use crate::error::WriteError;
use crate::numbers::{CompactNtp, NtpTime, SequenceNumber, Ssrc};

/// The longest text of an item or a reason.
const MAX_TEXT: usize = 255;
/// Reports and sources in one packet: the count has five bits.
const MAX_COUNT: usize = 31;

/// A compound packet that is written packet by packet. A packet that does not fit leaves it as it
/// was.
#[derive(Debug)]
pub struct CompoundWriter<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> CompoundWriter<'a> {
    /// Begins a compound packet.
    #[must_use]
    pub const fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Returns the bytes written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns true if no packet is written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the room that is left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.buffer.len() - self.len
    }

    /// Writes a sender report with up to 31 blocks (RFC 3550 §6.4.1).
    ///
    /// # Errors
    ///
    /// There is no room, or there are more blocks.
    pub fn sender_report(
        &mut self,
        ssrc: Ssrc,
        info: &SenderInfo,
        blocks: &[ReportBlock],
    ) -> Result<(), WriteError> {
        let body = self.reports(SENDER_REPORT, ssrc, SenderInfo::LEN, blocks)?;
        info.write(body);
        Ok(())
    }

    /// Writes a receiver report with up to 31 blocks (RFC 3550 §6.4.2).
    ///
    /// # Errors
    ///
    /// There is no room, or there are more blocks.
    pub fn receiver_report(&mut self, ssrc: Ssrc, blocks: &[ReportBlock]) -> Result<(), WriteError> {
        self.reports(RECEIVER_REPORT, ssrc, 0, blocks).map(drop)
    }

    /// Writes the canonical name of a source (RFC 3550 §6.5.1).
    ///
    /// # Errors
    ///
    /// There is no room, or the name has more than 255 bytes.
    pub fn cname(&mut self, ssrc: Ssrc, name: &str) -> Result<(), WriteError> {
        check_text(name)?;
        // At least one null byte ends the items.
        let len = (4 + 2 + name.len() + 1).next_multiple_of(4);
        let body = self.packet(1, SOURCE_DESCRIPTION, len)?;
        body.fill(0);
        put32(body, 0, ssrc.0);
        body[4..6].copy_from_slice(&[SdesItem::CNAME, name.len() as u8]);
        body[6..6 + name.len()].copy_from_slice(name.as_bytes());
        Ok(())
    }

    /// Writes the end of up to 31 sources, with a reason (RFC 3550 §6.6).
    ///
    /// # Errors
    ///
    /// There is no room, there are more sources, or the reason has more than 255 bytes.
    pub fn goodbye(&mut self, sources: &[Ssrc], reason: Option<&str>) -> Result<(), WriteError> {
        check_count(sources.len())?;
        reason.map_or(Ok(()), check_text)?;
        let text = reason.map_or(0, |reason| (1 + reason.len()).next_multiple_of(4));
        let body = self.packet(sources.len() as u8, GOODBYE, 4 * sources.len() + text)?;
        body.fill(0);
        for (index, source) in sources.iter().enumerate() {
            put32(body, 4 * index, source.0);
        }
        if let Some(reason) = reason {
            let at = 4 * sources.len();
            body[at] = reason.len() as u8;
            body[at + 1..=at + reason.len()].copy_from_slice(reason.as_bytes());
        }
        Ok(())
    }

    /// Writes a packet of an application's (RFC 3550 §6.7).
    ///
    /// # Errors
    ///
    /// There is no room, the subtype has more than five bits, or the data is not whole words.
    pub fn application(
        &mut self,
        subtype: u8,
        ssrc: Ssrc,
        name: [u8; 4],
        data: &[u8],
    ) -> Result<(), WriteError> {
        if usize::from(subtype) > MAX_COUNT || !data.len().is_multiple_of(4) {
            return Err(WriteError::OutOfRange { what: "application-defined packet" });
        }
        let body = self.packet(subtype, APPLICATION, 8 + data.len())?;
        put32(body, 0, ssrc.0);
        body[4..8].copy_from_slice(&name);
        body[8..].copy_from_slice(data);
        Ok(())
    }

    /// Writes the numbers of missing packets, in ascending order, as far as there is room (RFC 4585
    /// §6.2.1). Returns how many.
    ///
    /// # Errors
    ///
    /// There is no room for one.
    pub fn nack(
        &mut self,
        sender: Ssrc,
        media: Ssrc,
        missing: &[SequenceNumber],
    ) -> Result<usize, WriteError> {
        let mut told = 0;
        if missing.is_empty() {
            return Ok(told);
        }
        let body = self.feedback(TRANSPORT_FEEDBACK, 1, sender, media, 4)?;
        put16(body, 8, missing[0].0);
        put16(body, 10, 0);
        let start = self.len - body_len(4);
        let mut at = self.len - 4;
        for number in missing {
            let first = SequenceNumber(be16(self.buffer, at));
            match number.since(first) {
                0 => {}
                distance @ 1..=16 => {
                    let mask = be16(self.buffer, at + 2) | (1 << (distance - 1));
                    put16(self.buffer, at + 2, mask);
                }
                _ if self.remaining() < 4 => break,
                _ => {
                    at = self.len;
                    self.len += 4;
                    put16(self.buffer, at, number.0);
                    put16(self.buffer, at + 2, 0);
                }
            }
            told += 1;
        }
        let len = self.len - start;
        write_head(&mut self.buffer[start..], 1, TRANSPORT_FEEDBACK, len);
        Ok(told)
    }

    /// Writes that a picture cannot be decoded (RFC 4585 §6.3.1).
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn picture_loss(&mut self, sender: Ssrc, media: Ssrc) -> Result<(), WriteError> {
        self.feedback(PAYLOAD_FEEDBACK, 1, sender, media, 0).map(drop)
    }

    /// Writes requests for key frames: streams, and a number of each request (RFC 5104 §4.3.1).
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn full_intra(&mut self, sender: Ssrc, requests: &[(Ssrc, u8)]) -> Result<(), WriteError> {
        let body = self.feedback(PAYLOAD_FEEDBACK, 4, sender, Ssrc(0), 8 * requests.len())?;
        for (entry, (ssrc, number)) in body[8..].chunks_exact_mut(8).zip(requests) {
            put32(entry, 0, ssrc.0);
            put32(entry, 4, u32::from(*number) << 24);
        }
        Ok(())
    }

    /// Writes requests for bitrates (RFC 5104 §4.2.1).
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn tmmbr(&mut self, sender: Ssrc, requests: &[RateRequest]) -> Result<(), WriteError> {
        self.rates(3, sender, requests)
    }

    /// Writes the bitrates that hold (RFC 5104 §4.2.2).
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn tmmbn(&mut self, sender: Ssrc, limits: &[RateRequest]) -> Result<(), WriteError> {
        self.rates(4, sender, limits)
    }

    /// Writes an estimate of the bitrate for up to 255 streams
    /// (draft-alvestrand-rmcat-remb-03 §2.2).
    ///
    /// # Errors
    ///
    /// There is no room, or there are more streams.
    pub fn remb(&mut self, sender: Ssrc, bits_per_second: u64, streams: &[Ssrc]) -> Result<(), WriteError> {
        let count = u8::try_from(streams.len()).map_err(|_| WriteError::OutOfRange { what: "streams" })?;
        let body = self.feedback(PAYLOAD_FEEDBACK, 15, sender, Ssrc(0), Remb::LEN - 8 + 4 * streams.len())?;
        body[8..12].copy_from_slice(b"REMB");
        body[12] = count;
        let (exponent, mantissa) = to_exponent(bits_per_second, 18);
        put24(body, 13, (exponent << 18) | mantissa);
        for (index, stream) in streams.iter().enumerate() {
            put32(body, Remb::LEN + 4 * index, stream.0);
        }
        Ok(())
    }

    /// Writes transport-wide feedback on packets with consecutive numbers, as far as there is room
    /// and their times can be expressed. Returns how many it tells.
    ///
    /// # Errors
    ///
    /// There is no room for one, or no packet has arrived.
    pub fn transport_feedback(
        &mut self,
        sender: Ssrc,
        media: Ssrc,
        number: u8,
        statuses: &[TransportStatus],
    ) -> Result<usize, WriteError> {
        let none = WriteError::no_room("transport feedback", self.len + 24);
        let packet = &mut self.buffer[self.len..];
        let body = packet.get_mut(4..).ok_or(none)?;
        let (told, len) = TransportFeedback::write(body, sender, media, number, statuses).ok_or(none)?;
        write_head(packet, 15, TRANSPORT_FEEDBACK, 4 + len);
        self.len += 4 + len;
        Ok(told)
    }

    /// Writes congestion control feedback on streams (RFC 8888 §3.1): for each the number of its
    /// first packet, and the fates of it and of those behind it.
    ///
    /// # Errors
    ///
    /// There is no room, or more than 16,384 packets of one stream.
    pub fn congestion_control_feedback(
        &mut self,
        sender: Ssrc,
        timestamp: CompactNtp,
        streams: &[(Ssrc, SequenceNumber, &[CongestionStatus])],
    ) -> Result<(), WriteError> {
        let len_of = |statuses: &[CongestionStatus]| CongestionControlFeedback::len(statuses.len());
        if streams.iter().any(|(_, _, statuses)| statuses.len() > 16_384) {
            return Err(WriteError::OutOfRange { what: "number of packets" });
        }
        let len = 8 + streams.iter().map(|(_, _, statuses)| len_of(statuses)).sum::<usize>();
        let body = self.packet(11, TRANSPORT_FEEDBACK, len)?;
        put32(body, 0, sender.0);
        let mut at = 4;
        for (ssrc, begin, statuses) in streams {
            let end = at + len_of(statuses);
            CongestionControlFeedback::write_stream(&mut body[at..end], *ssrc, *begin, statuses);
            at = end;
        }
        put32(body, at, timestamp.0);
        Ok(())
    }

    /// Writes the clock of a receiver (RFC 3611 §4.4).
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn reference_time(&mut self, sender: Ssrc, time: NtpTime) -> Result<(), WriteError> {
        let body = self.packet(0, EXTENDED_REPORT, 16)?;
        put32(body, 0, sender.0);
        put32(body, 4, (u32::from(ExtendedReport::REFERENCE_TIME) << 24) | 2);
        put64(body, 8, time.0);
        Ok(())
    }

    /// Writes the answers to the clocks of receivers (RFC 3611 §4.5).
    ///
    /// # Errors
    ///
    /// There is no room.
    pub fn delays(&mut self, sender: Ssrc, delays: &[DelaySinceReceiverReport]) -> Result<(), WriteError> {
        let body = self.packet(0, EXTENDED_REPORT, 8 + 12 * delays.len())?;
        put32(body, 0, sender.0);
        put32(body, 4, (u32::from(ExtendedReport::DELAY) << 24) | (3 * delays.len() as u32));
        for (entry, delay) in body[8..].chunks_exact_mut(12).zip(delays) {
            put32(entry, 0, delay.ssrc.0);
            put32(entry, 4, delay.last_report.0);
            put32(entry, 8, delay.delay.0);
        }
        Ok(())
    }

    fn reports(
        &mut self,
        packet_type: u8,
        ssrc: Ssrc,
        info: usize,
        blocks: &[ReportBlock],
    ) -> Result<&mut [u8], WriteError> {
        check_count(blocks.len())?;
        let len = 4 + info + ReportBlock::LEN * blocks.len();
        let body = self.packet(blocks.len() as u8, packet_type, len)?;
        put32(body, 0, ssrc.0);
        let (info, parts) = body[4..].split_at_mut(info);
        for (part, block) in parts.chunks_exact_mut(ReportBlock::LEN).zip(blocks) {
            block.write(part);
        }
        Ok(info)
    }

    fn rates(&mut self, format: u8, sender: Ssrc, rates: &[RateRequest]) -> Result<(), WriteError> {
        let len = RateRequest::LEN * rates.len();
        let body = self.feedback(TRANSPORT_FEEDBACK, format, sender, Ssrc(0), len)?;
        for (entry, rate) in body[8..].chunks_exact_mut(RateRequest::LEN).zip(rates) {
            rate.write(entry);
        }
        Ok(())
    }

    fn feedback(
        &mut self,
        packet_type: u8,
        format: u8,
        sender: Ssrc,
        media: Ssrc,
        len: usize,
    ) -> Result<&mut [u8], WriteError> {
        let body = self.packet(format, packet_type, 8 + len)?;
        put32(body, 0, sender.0);
        put32(body, 4, media.0);
        Ok(body)
    }

    /// Writes a head, and returns the body of that length.
    fn packet(&mut self, format: u8, packet_type: u8, len: usize) -> Result<&mut [u8], WriteError> {
        let (start, end) = (self.len, self.len + 4 + len);
        if end > self.buffer.len() || len > 4 * 0xFFFF {
            return Err(WriteError::no_room("RTCP packet", end));
        }
        self.len = end;
        let packet = &mut self.buffer[start..end];
        write_head(packet, format, packet_type, 4 + len);
        Ok(&mut packet[4..])
    }
}

/// The length of a feedback packet with so many bytes behind both SSRCs.
const fn body_len(rest: usize) -> usize {
    12 + rest
}

fn check_text(text: &str) -> Result<(), WriteError> {
    if text.len() > MAX_TEXT { Err(WriteError::OutOfRange { what: "text" }) } else { Ok(()) }
}

fn check_count(count: usize) -> Result<(), WriteError> {
    if count > MAX_COUNT { Err(WriteError::OutOfRange { what: "count" }) } else { Ok(()) }
}
