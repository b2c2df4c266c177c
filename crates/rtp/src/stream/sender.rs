//! The sending end of one stream: numbers, totals, reports.

use std::time::{Duration, Instant};

use super::stats::{OutboundRtpStats, RemoteInboundRtpStats};
use crate::numbers::{CompactNtp, NtpTime, PayloadType, RtpTimestamp, SequenceNumber, Ssrc};
use crate::packet::FixedHeader;
use crate::rtcp::{ReportBlock, SenderInfo};

/// The state of a sender for one stream.
#[derive(Debug)]
pub struct StreamSender {
    ssrc: Ssrc,
    clock_rate: u32,
    next: SequenceNumber,
    /// The last timestamp, and when it was captured, or else sent.
    last: Option<(RtpTimestamp, Instant)>,
    packets: u32,
    bytes: u32,
    round_trip: Option<Duration>,
    /// The owner tells when frames were captured.
    knows_capture: bool,
    /// Counters; those that this type does not know are its owner's to count.
    pub stats: OutboundRtpStats,
    remote: RemoteInboundRtpStats,
}

impl StreamSender {
    /// Returns the state before the first packet of a stream whose timestamps count so many ticks a
    /// second. The first number is to be random; its most significant bit is cleared, so that
    /// losses at the beginning do not hide a wrap from the receiver's SRTP.
    #[must_use]
    pub fn new(ssrc: Ssrc, clock_rate: u32, first: SequenceNumber) -> Self {
        Self {
            ssrc,
            clock_rate: clock_rate.max(1),
            next: SequenceNumber(first.0 & 0x7FFF),
            last: None,
            packets: 0,
            bytes: 0,
            round_trip: None,
            knows_capture: false,
            stats: OutboundRtpStats::default(),
            remote: RemoteInboundRtpStats::default(),
        }
    }

    /// Returns the stream.
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Sets the ticks of timestamps in a second, for another codec.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        self.clock_rate = clock_rate.max(1);
    }

    /// Returns the header of the next packet.
    pub fn next_header(
        &mut self,
        payload_type: PayloadType,
        timestamp: RtpTimestamp,
        marker: bool,
    ) -> FixedHeader {
        let sequence_number = self.next;
        self.next = sequence_number.next();
        FixedHeader { marker, payload_type, sequence_number, timestamp, ssrc: self.ssrc }
    }

    /// Counts a packet that is sent, with the lengths of header and padding and of its payload.
    pub fn handle_sent(
        &mut self,
        now: Instant,
        timestamp: RtpTimestamp,
        header_len: usize,
        payload_len: usize,
    ) {
        if !self.knows_capture {
            self.note(timestamp, now);
        }
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(payload_len as u32);
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += payload_len as u64;
        self.stats.header_bytes_sent += header_len as u64;
    }

    /// Takes the time at which the frame of a timestamp was captured, for reports. Without it, that
    /// at which it is sent counts.
    pub fn handle_captured(&mut self, captured: Instant, timestamp: RtpTimestamp) {
        self.knows_capture = true;
        self.note(timestamp, captured);
    }

    fn note(&mut self, timestamp: RtpTimestamp, at: Instant) {
        if self.last.is_none_or(|(last, _)| timestamp.is_after(last)) {
            self.last = Some((timestamp, at));
        }
    }

    /// Takes packets back that have headers and were not sent, from this number on: the next one
    /// has that number. They were so many frames.
    pub fn handle_given_up(&mut self, from: SequenceNumber, frames: u64) {
        self.next = from;
        self.stats.frames_sent = self.stats.frames_sent.saturating_sub(frames);
        self.stats.frames_given_up += frames;
    }

    /// Counts a packet that is sent again.
    pub fn handle_resent(&mut self, payload_len: usize) {
        self.stats.retransmitted_packets_sent += 1;
        self.stats.retransmitted_bytes_sent += payload_len as u64;
    }

    /// Returns the times and totals for a report; `None` before the first packet. `wall` is the
    /// wall clock at `now`.
    #[must_use]
    pub fn report(&self, now: Instant, wall: NtpTime) -> Option<SenderInfo> {
        let (timestamp, sent) = self.last?;
        // The timestamp of this moment, as if the last packet's frame had been captured when it
        // was sent (RFC 3550 §6.4.1).
        let passed = now.saturating_duration_since(sent).as_secs_f64() * f64::from(self.clock_rate);
        Some(SenderInfo {
            ntp_time: wall,
            rtp_time: timestamp.plus(passed as u64 as u32),
            packets: self.packets,
            bytes: self.bytes,
        })
    }

    /// Takes the other side's report on the stream; returns the round trip, if it tells it.
    pub fn handle_report(&mut self, wall: NtpTime, block: &ReportBlock) -> Option<Duration> {
        self.remote.reports_received += 1;
        self.remote.packets_lost = i64::from(block.cumulative_lost);
        self.remote.fraction_lost = f64::from(block.fraction_lost) / 256.0;
        self.remote.jitter = Duration::from_secs_f64(f64::from(block.jitter) / f64::from(self.clock_rate));
        if block.last_sender_report == CompactNtp(0) {
            return None;
        }
        let since = wall.compact().since(block.last_sender_report)?;
        // Clocks with another rate, and rounding, make it less than nothing.
        let round_trip = since.saturating_sub(block.delay.to_duration());
        self.round_trip = Some(round_trip);
        self.remote.round_trip_time = Some(round_trip);
        self.remote.total_round_trip_time += round_trip;
        self.remote.round_trip_time_measurements += 1;
        Some(round_trip)
    }

    /// Returns the last round trip that was measured.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Returns what the other side says that it received.
    #[must_use]
    pub const fn remote_stats(&self) -> RemoteInboundRtpStats {
        self.remote
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_carry_the_timestamp_of_their_moment() {
        let start = crate::test_time();
        let mut sender = StreamSender::new(Ssrc(1), 48_000, SequenceNumber(65_535));
        assert_eq!(sender.report(start, NtpTime(1)), None);
        let header = sender.next_header(PayloadType::default(), RtpTimestamp(960), false);
        assert_eq!(header.sequence_number, SequenceNumber(32_767));
        sender.handle_sent(start, header.timestamp, 12, 100);
        let info = sender.report(start + Duration::from_millis(500), NtpTime(1)).unwrap();
        let expected =
            SenderInfo { ntp_time: NtpTime(1), rtp_time: RtpTimestamp(24_960), packets: 1, bytes: 100 };
        assert_eq!(info, expected);
    }

    #[test]
    fn numbers_of_packets_that_were_not_sent_are_given_again() {
        let mut sender = StreamSender::new(Ssrc(1), 90_000, SequenceNumber(7));
        let mut next = |given_up: Option<u16>| {
            if let Some(from) = given_up {
                sender.handle_given_up(SequenceNumber(from), 2);
            }
            sender.stats.handle_frame(100);
            let header = sender.next_header(PayloadType::default(), RtpTimestamp(0), true);
            (header.sequence_number.0, sender.stats.frames_sent, sender.stats.frames_given_up)
        };
        assert_eq!([next(None), next(None), next(None)], [(7, 1, 0), (8, 2, 0), (9, 3, 0)]);
        assert_eq!([next(Some(8)), next(None)], [(8, 2, 2), (9, 3, 2)]);
    }

    #[test]
    fn round_trips_come_from_reports() {
        let mut sender = StreamSender::new(Ssrc(1), 48_000, SequenceNumber(1));
        let sent = NtpTime(77 << 32);
        let block = ReportBlock {
            last_sender_report: sent.compact(),
            delay: CompactNtp::from_duration(Duration::from_secs(2)),
            fraction_lost: 64,
            ..ReportBlock::default()
        };
        let wall = NtpTime((79 << 32) + (1 << 31));
        assert_eq!(sender.handle_report(wall, &block), Some(Duration::from_millis(500)));
        assert_eq!(sender.handle_report(sent, &block), Some(Duration::ZERO));
        assert_eq!(sender.handle_report(NtpTime(1), &ReportBlock::default()), None);
        assert_eq!(sender.remote_stats().round_trip_time_measurements, 2);
        assert!((sender.remote_stats().fraction_lost - 0.0).abs() < 1e-9);
    }
}
