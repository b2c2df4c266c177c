//! The packets that were sent, until their fates are known.

use std::time::{Duration, Instant};

use super::PacketResult;
use crate::numbers::{SequenceNumber, Ssrc};
use crate::rtcp::{CongestionControlFeedback, CongestionStatus, TransportFeedback};

/// Packets that are remembered: at 50 Mbit/s more than a second.
const KEPT: usize = 8192;
/// Streams whose packets are found by their own numbers.
const MAX_STREAMS: usize = 64;
/// Packets of one stream that are found so.
const KEPT_OF_STREAM: usize = 2048;

#[derive(Clone, Copy, Debug)]
struct Sent {
    number: u64,
    at: Instant,
    bytes: usize,
    answered: bool,
}

/// A stream's own numbers, and the numbers across streams.
type Numbers = Vec<Option<(u16, u64)>>;

/// Numbers packets across streams, and joins feedback with what was sent.
#[derive(Debug)]
pub struct SentPackets {
    next: u64,
    packets: Vec<Option<Sent>>,
    /// For each stream its packets, each at its number modulo the length.
    streams: Vec<(Ssrc, Numbers)>,
    /// All numbers below are answered, or too old.
    answered: u64,
    /// The receiver's clock, without its wraps.
    reference: Option<i64>,
    results: Vec<PacketResult>,
}

impl Default for SentPackets {
    fn default() -> Self {
        Self {
            next: 1 << 16,
            packets: vec![None; KEPT],
            streams: Vec::new(),
            answered: 1 << 16,
            reference: None,
            results: Vec::with_capacity(KEPT),
        }
    }
}

impl SentPackets {
    /// Returns no packets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the transport-wide number that the next packet will have.
    #[must_use]
    pub const fn next_number(&self) -> SequenceNumber {
        SequenceNumber((self.next & 0xFFFF) as u16)
    }

    /// Enters a packet that leaves, with its length in bytes, all headers included.
    pub fn handle_sent(&mut self, now: Instant, ssrc: Ssrc, sequence: SequenceNumber, bytes: usize) {
        let number = self.next;
        self.next += 1;
        self.packets[slot(number)] = Some(Sent { number, at: now, bytes, answered: false });
        let position = self.streams.iter().position(|(other, _)| *other == ssrc);
        let index = match position {
            Some(index) => index,
            None => {
                if self.streams.len() == MAX_STREAMS {
                    self.streams.remove(0);
                }
                self.streams.push((ssrc, vec![None; KEPT_OF_STREAM]));
                self.streams.len() - 1
            }
        };
        self.streams[index].1[usize::from(sequence.0) % KEPT_OF_STREAM] = Some((sequence.0, number));
    }

    /// Returns the fates that transport-wide feedback tells, of packets not answered before.
    pub fn handle_transport_feedback(&mut self, feedback: &TransportFeedback<'_>) -> &[PacketResult] {
        self.results.clear();
        // The clock wraps at 2^32 ticks of 250 µs.
        let mut offset = None;
        for status in feedback.statuses() {
            let number = status.number.extend(self.next);
            let arrival = status.arrival.map(|ticks| {
                let offset = *offset.get_or_insert_with(|| {
                    let reference = self.reference.unwrap_or(1 << 33);
                    let wraps = (reference - ticks + (1 << 31)).div_euclid(1 << 32);
                    wraps << 32
                });
                let ticks = ticks + offset;
                self.reference = Some(self.reference.map_or(ticks, |last| last.max(ticks)));
                Duration::from_micros(250 * ticks.max(0).cast_unsigned())
            });
            self.answer(number, arrival, false);
        }
        self.results.sort_unstable_by_key(|result| result.sent);
        &self.results
    }

    /// Returns the fates that congestion control feedback tells, of packets not answered before.
    pub fn handle_congestion_feedback(
        &mut self,
        feedback: &CongestionControlFeedback<'_>,
    ) -> &[PacketResult] {
        self.results.clear();
        // The report's clock counts 1/65,536 s and wraps after 18 hours.
        let report = i64::from(feedback.timestamp.0);
        let reference = self.reference.unwrap_or(1 << 33);
        let report = report + ((reference - report + (1 << 31)).div_euclid(1 << 32) << 32);
        self.reference = Some(report.max(reference));
        let report = Duration::from_nanos(((report.max(0) as u128 * 1_000_000_000) >> 16) as u64);
        for stream in feedback.streams() {
            for (sequence, status) in stream.statuses() {
                let Some(number) = self.find(stream.ssrc, sequence) else { continue };
                match status {
                    CongestionStatus::Lost => self.answer(number, None, false),
                    CongestionStatus::Received { ecn, ago: Some(ago) } => {
                        self.answer(number, Some(report.saturating_sub(ago)), ecn == 3);
                    }
                    // It has arrived, and nothing can be learned from when.
                    CongestionStatus::Received { ago: None, .. } => self.forget(number),
                }
            }
        }
        self.results.sort_unstable_by_key(|result| result.sent);
        &self.results
    }

    fn find(&self, ssrc: Ssrc, sequence: SequenceNumber) -> Option<u64> {
        let (_, numbers) = self.streams.iter().find(|(other, _)| *other == ssrc)?;
        let (found, number) = numbers[usize::from(sequence.0) % KEPT_OF_STREAM]?;
        (found == sequence.0).then_some(number)
    }

    /// Lost packets may still come, and be told of then; they count once.
    fn answer(&mut self, number: u64, arrival: Option<Duration>, marked: bool) {
        let Some(sent) = &mut self.packets[slot(number)] else { return };
        if sent.number != number || sent.answered || self.results.len() == KEPT {
            return;
        }
        sent.answered = true;
        self.answered = self.answered.max(number);
        self.results.push(PacketResult { sent: sent.at, bytes: sent.bytes, arrival, marked });
    }

    fn forget(&mut self, number: u64) {
        if let Some(sent) = &mut self.packets[slot(number)]
            && sent.number == number
        {
            sent.answered = true;
        }
    }
}

const fn slot(number: u64) -> usize {
    (number % KEPT as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::congestion::{ArrivalRecorder, CongestionRecorder};
    use crate::rtcp::{Compound, CompoundWriter, RtcpPacket};

    /// Across the wrap of the numbers: every packet is told of once, with its time.
    #[test]
    fn feedback_of_both_kinds_tells_each_packet_once() {
        let start = crate::test_time();
        let mut sent = SentPackets::new();
        let (mut wide, mut streams) = (ArrivalRecorder::new(start), CongestionRecorder::new(start));
        let mut by_streams = SentPackets::new();
        let mut buffer = [0; 1200];
        let (mut told, mut told_by_streams, mut lost) = (0, 0, 0);
        for index in 0..70_000_u64 {
            let now = start + Duration::from_millis(index);
            let number = sent.next_number();
            let sequence = SequenceNumber(index as u16);
            sent.handle_sent(now, Ssrc(1), sequence, 1000);
            by_streams.handle_sent(now, Ssrc(1), sequence, 1000);
            let arrival = now + Duration::from_millis(30);
            if index % 10 != 3 {
                wide.handle_packet(arrival, number);
                streams.handle_packet(arrival, Ssrc(1), sequence, 0);
            }
            if index % 50 != 49 {
                continue;
            }
            let mut writer = CompoundWriter::new(&mut buffer);
            while wide.write_feedback(&mut writer, Ssrc(9), Ssrc(1)) {}
            streams.write_feedback(arrival, &mut writer, Ssrc(9));
            let len = writer.len();
            for packet in Compound::new(&buffer[..len]) {
                let results = match packet.unwrap() {
                    RtcpPacket::Transport(feedback) => {
                        let results = sent.handle_transport_feedback(&feedback);
                        told += results.len();
                        results
                    }
                    RtcpPacket::CongestionControl(feedback) => {
                        let results = by_streams.handle_congestion_feedback(&feedback);
                        told_by_streams += results.len();
                        results
                    }
                    _ => panic!("another type"),
                };
                lost += results.iter().filter(|result| result.arrival.is_none()).count();
                for pair in results.windows(2) {
                    let (Some(first), Some(second)) = (pair[0].arrival, pair[1].arrival) else { continue };
                    let between = (second - first).as_secs_f64();
                    let expected = pair[1].sent.duration_since(pair[0].sent).as_secs_f64();
                    assert!((between - expected).abs() < 0.0013, "{between} {expected}");
                }
            }
        }
        assert!(told >= 69_900 && told_by_streams >= 69_900, "{told} {told_by_streams}");
        assert!((13_900..=14_000).contains(&lost), "{lost}");
    }

    #[test]
    fn feedback_on_what_was_not_sent_is_ignored() {
        let start = crate::test_time();
        let mut recorder = ArrivalRecorder::new(start);
        (0..200).for_each(|number| recorder.handle_packet(start, SequenceNumber(number * 300)));
        let mut buffer = [0; 1200];
        let mut sent = SentPackets::new();
        sent.handle_sent(start, Ssrc(1), SequenceNumber(1), 1000);
        let mut results = 0;
        loop {
            let mut writer = CompoundWriter::new(&mut buffer);
            if !recorder.write_feedback(&mut writer, Ssrc(9), Ssrc(1)) {
                break;
            }
            let len = writer.len();
            for packet in Compound::new(&buffer[..len]).flatten() {
                if let RtcpPacket::Transport(feedback) = packet {
                    results += sent.handle_transport_feedback(&feedback).len();
                }
            }
        }
        assert!(results <= 1);
    }
}
