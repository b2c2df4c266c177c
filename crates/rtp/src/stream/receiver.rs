//! The receiving end of one stream: numbers, losses, jitter, reports (RFC 3550 §6.4, appendix A).

use std::time::{Duration, Instant};

use super::clock::StreamClock;
use super::stats::{InboundRtpStats, RemoteOutboundRtpStats};
use crate::numbers::{CompactNtp, RtpTimestamp, SequenceNumber, Ssrc};
use crate::packet::FixedHeader;
use crate::rtcp::{ReportBlock, SenderInfo};

/// A jump of sequence numbers that is taken for a new beginning, if two packets agree (RFC 3550
/// appendix A.1).
const MAX_DROPOUT: u64 = 3000;
/// A packet may come so far back.
const MAX_MISORDER: u64 = 1000;

/// The fate of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is good; here is its extended number.
    Accepted(u64),
    /// It is too far from the others; a second one behind it would begin the stream anew.
    Doubted,
    /// The stream has begun anew with this extended number, which is beyond all before: buffers
    /// and requests for what is missing are to be emptied.
    Restarted(u64),
}

/// The state of a receiver for one stream.
#[derive(Debug)]
pub struct StreamReceiver {
    ssrc: Ssrc,
    clock_rate: u32,
    base: u64,
    highest: Option<u64>,
    /// The number that would make a jump a new beginning.
    jump: Option<SequenceNumber>,
    received: u64,
    /// At the last report: expected and received packets.
    reported: (u64, u64),
    /// In 1/16 of ticks.
    jitter: u32,
    last_transit: Option<(Instant, RtpTimestamp)>,
    last_sender_report: Option<(CompactNtp, Instant)>,
    clock: StreamClock,
    /// Counters; those that this type does not know are its owner's to count.
    pub stats: InboundRtpStats,
    remote: RemoteOutboundRtpStats,
}

impl StreamReceiver {
    /// Returns the state before the first packet of a stream whose timestamps count so many ticks a
    /// second.
    #[must_use]
    pub fn new(ssrc: Ssrc, clock_rate: u32) -> Self {
        Self {
            ssrc,
            clock_rate: clock_rate.max(1),
            base: 0,
            highest: None,
            jump: None,
            received: 0,
            reported: (0, 0),
            jitter: 0,
            last_transit: None,
            last_sender_report: None,
            clock: StreamClock::new(clock_rate),
            stats: InboundRtpStats::default(),
            remote: RemoteOutboundRtpStats::default(),
        }
    }

    /// Returns the stream.
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Returns the highest extended number; `None` before the first packet.
    #[must_use]
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Returns the stream's wall clock.
    #[must_use]
    pub const fn clock(&self) -> &StreamClock {
        &self.clock
    }

    /// Takes a packet at the time of its arrival, with the lengths of its header and padding, and
    /// of its payload.
    pub fn handle_packet(
        &mut self,
        arrival: Instant,
        header: &FixedHeader,
        header_len: usize,
        payload_len: usize,
    ) -> Arrival {
        let number = header.sequence_number;
        let Some(highest) = self.highest else {
            // Far from zero, so that packets before the first have numbers, too.
            let extended = (1 << 16) + u64::from(number.0);
            self.base = extended;
            self.accept(arrival, header, header_len, payload_len, extended);
            return Arrival::Accepted(extended);
        };
        let extended = number.extend(highest);
        let near = if extended > highest {
            extended - highest < MAX_DROPOUT
        } else {
            highest - extended < MAX_MISORDER
        };
        if near {
            self.jump = None;
            self.accept(arrival, header, header_len, payload_len, extended);
            return Arrival::Accepted(extended);
        }
        if self.jump != Some(number) {
            self.jump = Some(number.next());
            self.stats.packets_discarded += 1;
            return Arrival::Doubted;
        }
        // Beyond all numbers so far, and no losses between.
        let extended = ((highest >> 16) + 2) << 16 | u64::from(number.0);
        let skipped = extended - highest - 1;
        self.base += skipped;
        (self.jump, self.last_transit) = (None, None);
        self.accept(arrival, header, header_len, payload_len, extended);
        Arrival::Restarted(extended)
    }

    /// Counts a packet of the stream of retransmissions, which was unwrapped.
    pub fn handle_retransmission(&mut self, payload_len: usize) {
        self.stats.retransmitted_packets_received += 1;
        self.stats.retransmitted_bytes_received += payload_len as u64;
    }

    fn accept(
        &mut self,
        arrival: Instant,
        header: &FixedHeader,
        header_len: usize,
        payload_len: usize,
        extended: u64,
    ) {
        self.base = self.base.min(extended);
        let newest = self.highest.is_none_or(|highest| extended > highest);
        self.highest = Some(self.highest.map_or(extended, |highest| highest.max(extended)));
        self.received += 1;
        self.stats.packets_received += 1;
        self.stats.bytes_received += payload_len as u64;
        self.stats.header_bytes_received += header_len as u64;
        self.stats.packets_lost = self.lost();
        // Packets that come again would look like jitter.
        if newest {
            self.update_jitter(arrival, header.timestamp);
        }
    }

    /// RFC 3550 appendix A.8, with the packets of one timestamp counted once.
    fn update_jitter(&mut self, arrival: Instant, timestamp: RtpTimestamp) {
        if let Some((last_arrival, last_timestamp)) = self.last_transit {
            if last_timestamp == timestamp {
                return;
            }
            let passed = arrival.saturating_duration_since(last_arrival).as_secs_f64();
            let ticks = passed * f64::from(self.clock_rate);
            let difference = (ticks - f64::from(timestamp.since(last_timestamp))).abs();
            // A pause is no jitter.
            if difference < f64::from(self.clock_rate) {
                let difference = difference as u32;
                self.jitter = self.jitter - ((self.jitter + 8) >> 4) + difference;
            }
        }
        self.last_transit = Some((arrival, timestamp));
        let ticks = f64::from(self.jitter >> 4);
        self.stats.jitter = Duration::from_secs_f64(ticks / f64::from(self.clock_rate));
    }

    fn expected(&self) -> u64 {
        self.highest.map_or(0, |highest| highest - self.base + 1)
    }

    fn lost(&self) -> i64 {
        self.expected().cast_signed() - self.received.cast_signed()
    }

    /// Takes the sender's report.
    pub fn handle_sender_report(&mut self, now: Instant, info: &SenderInfo) {
        self.last_sender_report = Some((info.ntp_time.compact(), now));
        self.clock.handle_report(info.ntp_time, info.rtp_time);
        self.remote = RemoteOutboundRtpStats {
            packets_sent: u64::from(info.packets),
            bytes_sent: u64::from(info.bytes),
            reports_sent: self.remote.reports_sent + 1,
            remote_timestamp: Some(info.ntp_time),
            ..self.remote
        };
    }

    /// Takes a round trip that was measured by the other side's answer to this side's clock (RFC
    /// 3611 §4.5).
    pub fn handle_round_trip(&mut self, round_trip: Duration) {
        self.remote.round_trip_time = Some(round_trip);
        self.remote.total_round_trip_time += round_trip;
        self.remote.round_trip_time_measurements += 1;
    }

    /// Returns the block for a report (RFC 3550 appendix A.3), and begins the next interval; `None`
    /// before the first packet.
    pub fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let highest = self.highest?;
        let (expected, received) = (self.expected(), self.received);
        let more_expected = expected.saturating_sub(self.reported.0);
        let more_received = received.saturating_sub(self.reported.1);
        self.reported = (expected, received);
        let lost = more_expected.saturating_sub(more_received);
        let fraction_lost = (lost * 256).checked_div(more_expected).map_or(0, |part| part.min(255) as u8);
        let (last_sender_report, delay) = match self.last_sender_report {
            Some((report, at)) => (report, CompactNtp::from_duration(now.saturating_duration_since(at))),
            None => Default::default(),
        };
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: self.lost().clamp(-0x0080_0000, 0x007F_FFFF) as i32,
            // The first number was raised by one wrap.
            highest_sequence: (highest - (1 << 16)) as u32,
            jitter: self.jitter >> 4,
            last_sender_report,
            delay,
        })
    }

    /// Returns what the other side says that it sent.
    #[must_use]
    pub const fn remote_stats(&self) -> RemoteOutboundRtpStats {
        self.remote
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::{NtpTime, PayloadType};

    fn header(number: u16, timestamp: u32) -> FixedHeader {
        FixedHeader {
            marker: false,
            payload_type: PayloadType::default(),
            sequence_number: SequenceNumber(number),
            timestamp: RtpTimestamp(timestamp),
            ssrc: Ssrc(1),
        }
    }

    #[test]
    fn losses_are_reported_across_the_wrap() {
        let start = crate::test_time();
        let mut receiver = StreamReceiver::new(Ssrc(1), 90_000);
        assert_eq!(receiver.report(start), None);
        for number in 65_500..65_600_u32 {
            if number % 4 != 1 {
                receiver.handle_packet(start, &header(number as u16, 0), 12, 100);
            }
        }
        let block = receiver.report(start).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (64, 25));
        assert_eq!(block.highest_sequence, 65_599);
        // Late ones make it good.
        for number in (65_500..65_600_u32).filter(|number| number % 4 == 1) {
            receiver.handle_packet(start, &header(number as u16, 0), 12, 100);
        }
        let block = receiver.report(start).unwrap();
        assert_eq!((block.fraction_lost, block.cumulative_lost), (0, 0));
        assert_eq!(receiver.stats.packets_received, 100);
        assert_eq!(receiver.stats.bytes_received, 10_000);
    }

    #[test]
    fn jumps_begin_the_stream_anew_if_two_packets_agree() {
        let start = crate::test_time();
        let mut receiver = StreamReceiver::new(Ssrc(1), 90_000);
        let mut handle = |number| receiver.handle_packet(start, &header(number, 0), 12, 1);
        assert_eq!(handle(10), Arrival::Accepted(65_546));
        assert_eq!(handle(30_000), Arrival::Doubted);
        assert_eq!(handle(11), Arrival::Accepted(65_547));
        assert_eq!(handle(30_000), Arrival::Doubted);
        let Arrival::Restarted(number) = handle(30_001) else { panic!("not restarted") };
        assert_eq!(handle(30_002), Arrival::Accepted(number + 1));
        assert_eq!(receiver.stats.packets_lost, 0);
        // A storm of jumps never begins anew.
        for number in 0..1000_u16 {
            let arrival = receiver.handle_packet(start, &header(number.wrapping_mul(7919), 0), 12, 1);
            assert!(!matches!(arrival, Arrival::Restarted(_)));
        }
    }

    #[test]
    fn jitter_is_that_of_frames() {
        let start = crate::test_time();
        let mut receiver = StreamReceiver::new(Ssrc(1), 48_000);
        for number in 0..500_u16 {
            let late = if number % 2 == 0 { 0 } else { 4 };
            let arrival = start + Duration::from_millis(u64::from(number) * 20 + late);
            receiver.handle_packet(arrival, &header(number, u32::from(number) * 960), 12, 1);
        }
        let jitter = receiver.stats.jitter;
        assert!(jitter > Duration::from_micros(3700) && jitter < Duration::from_micros(4300), "{jitter:?}");
    }

    #[test]
    fn delays_since_the_senders_report_are_told() {
        let start = crate::test_time();
        let mut receiver = StreamReceiver::new(Ssrc(1), 48_000);
        receiver.handle_packet(start, &header(1, 0), 12, 1);
        let info =
            SenderInfo { ntp_time: NtpTime(0x1234_5678_9ABC_DEF0), packets: 7, ..SenderInfo::default() };
        receiver.handle_sender_report(start, &info);
        let block = receiver.report(start + Duration::from_millis(250)).unwrap();
        assert_eq!(block.last_sender_report, CompactNtp(0x5678_9ABC));
        assert_eq!(block.delay, CompactNtp(0x4000));
        assert_eq!((receiver.remote_stats().packets_sent, receiver.remote_stats().reports_sent), (7, 1));
    }
}
