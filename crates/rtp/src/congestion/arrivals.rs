//! The receiving side: arrivals of packets, until they are reported.

use std::time::{Duration, Instant};

use crate::numbers::{CompactNtp, SequenceNumber, Ssrc};
use crate::rtcp::{CompoundWriter, CongestionStatus, TransportStatus};

/// Packets that are remembered.
const KEPT: usize = 8192;
/// Packets in one report.
const MAX_REPORTED: usize = 512;
/// Streams in one report.
const MAX_STREAMS: usize = 32;
/// Packets of one stream in one report.
const MAX_OF_STREAM: usize = 256;

/// Arrivals of a transport's packets, for transport-wide feedback.
#[derive(Debug)]
pub struct ArrivalRecorder {
    epoch: Instant,
    /// Each arrival at its number modulo the length.
    arrivals: Vec<Option<(u64, i64)>>,
    /// The first number that is not reported, and the last that has arrived.
    begin: Option<u64>,
    last: u64,
    reports: u8,
    scratch: Vec<TransportStatus>,
}

impl ArrivalRecorder {
    /// Returns a recorder whose clock begins at `epoch`.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            arrivals: vec![None; KEPT],
            begin: None,
            last: 0,
            reports: 0,
            scratch: Vec::with_capacity(MAX_REPORTED),
        }
    }

    /// Takes the number of a packet, and the time of its arrival.
    pub fn handle_packet(&mut self, arrival: Instant, number: SequenceNumber) {
        let reference = if self.begin.is_none() && self.last == 0 { 1 << 16 } else { self.last };
        let number = number.extend(reference);
        // A packet that is so late that it was reported as lost is reported again.
        if number + KEPT as u64 <= self.last {
            return;
        }
        self.begin = Some(self.begin.map_or(number, |begin| begin.min(number)));
        self.last = self.last.max(number);
        // What lies too far behind is not reported any more.
        let oldest = (self.last + 1).saturating_sub(KEPT as u64);
        self.begin = self.begin.map(|begin| begin.max(oldest));
        let slot = &mut self.arrivals[(number % KEPT as u64) as usize];
        if slot.is_none_or(|(other, _)| other != number) {
            let passed = arrival.saturating_duration_since(self.epoch);
            *slot = Some((number, (passed.as_micros() / 250) as i64));
        }
    }

    /// Writes a report, if there is something to report and room for it. Call it until it returns
    /// false.
    pub fn write_feedback(&mut self, writer: &mut CompoundWriter<'_>, sender: Ssrc, media: Ssrc) -> bool {
        let Some(begin) = self.begin else { return false };
        // Gaps at the beginning are not told: the report before did.
        let Some(first) = (begin..=self.last).find(|number| self.arrival(*number).is_some()) else {
            self.begin = None;
            return false;
        };
        self.scratch.clear();
        let end = self.last.min(first + MAX_REPORTED as u64 - 1);
        // What is missing since the last report is told with what has come after it.
        let first = if first - begin < MAX_REPORTED as u64 / 2 { begin } else { first };
        let end = end.min(first + MAX_REPORTED as u64 - 1);
        for number in first..=end {
            let arrival = self.arrival(number);
            self.scratch.push(TransportStatus { number: SequenceNumber((number & 0xFFFF) as u16), arrival });
        }
        let Ok(told) = writer.transport_feedback(sender, media, self.reports, &self.scratch) else {
            return false;
        };
        self.reports = self.reports.wrapping_add(1);
        let begin = first + told as u64;
        self.begin = (begin <= self.last).then_some(begin);
        true
    }

    fn arrival(&self, number: u64) -> Option<i64> {
        let (found, at) = self.arrivals[(number % KEPT as u64) as usize]?;
        (found == number).then_some(at)
    }
}

#[derive(Debug)]
struct Stream {
    ssrc: Ssrc,
    begin: u64,
    last: u64,
    /// Each arrival at its number modulo the length, with the bits of ECN.
    arrivals: Vec<Option<(u64, Instant, u8)>>,
}

/// Arrivals of streams' packets, for congestion control feedback (RFC 8888).
#[derive(Debug)]
pub struct CongestionRecorder {
    epoch: Instant,
    streams: Vec<Stream>,
    scratch: Vec<CongestionStatus>,
}

impl CongestionRecorder {
    /// Returns a recorder whose clock begins at `epoch`.
    #[must_use]
    pub fn new(epoch: Instant) -> Self {
        Self { epoch, streams: Vec::new(), scratch: Vec::with_capacity(MAX_STREAMS * MAX_OF_STREAM) }
    }

    /// Takes a packet, the time of its arrival, and its bits of ECN. Of more than 32 streams the
    /// others are not reported.
    pub fn handle_packet(&mut self, arrival: Instant, ssrc: Ssrc, sequence: SequenceNumber, ecn: u8) {
        let position = self.streams.iter().position(|stream| stream.ssrc == ssrc);
        let index = match position {
            Some(index) => index,
            None if self.streams.len() == MAX_STREAMS => return,
            None => {
                let first = sequence.extend(1 << 16);
                let arrivals = vec![None; 2 * MAX_OF_STREAM];
                self.streams.push(Stream { ssrc, begin: first, last: first, arrivals });
                self.streams.len() - 1
            }
        };
        let stream = &mut self.streams[index];
        let number = sequence.extend(stream.last);
        if number < stream.begin {
            return;
        }
        stream.last = stream.last.max(number);
        stream.begin = stream.begin.max((stream.last + 1).saturating_sub(MAX_OF_STREAM as u64));
        let len = stream.arrivals.len() as u64;
        stream.arrivals[(number % len) as usize] = Some((number, arrival, ecn));
    }

    /// Writes a report on all that is new, if there is room for it; returns whether it was written.
    pub fn write_feedback(&mut self, now: Instant, writer: &mut CompoundWriter<'_>, sender: Ssrc) -> bool {
        self.scratch.clear();
        let mut parts = [(Ssrc(0), SequenceNumber(0), 0, 0); MAX_STREAMS];
        let mut count = 0;
        for stream in &self.streams {
            let len = stream.arrivals.len() as u64;
            let begin = self.scratch.len();
            for number in stream.begin..=stream.last {
                let found = stream.arrivals[(number % len) as usize].filter(|(other, ..)| *other == number);
                self.scratch.push(match found {
                    Some((_, arrival, ecn)) => {
                        CongestionStatus::Received { ecn, ago: Some(now.saturating_duration_since(arrival)) }
                    }
                    None => CongestionStatus::Lost,
                });
            }
            if self.scratch.len() > begin {
                let first = SequenceNumber((stream.begin & 0xFFFF) as u16);
                parts[count] = (stream.ssrc, first, begin, self.scratch.len());
                count += 1;
            }
        }
        let empty: (Ssrc, SequenceNumber, &[CongestionStatus]) = (Ssrc(0), SequenceNumber(0), &[]);
        let mut streams = [empty; MAX_STREAMS];
        for (stream, (ssrc, first, begin, end)) in streams.iter_mut().zip(&parts[..count]) {
            *stream = (*ssrc, *first, &self.scratch[*begin..*end]);
        }
        let timestamp = self.timestamp(now);
        if count == 0 || writer.congestion_control_feedback(sender, timestamp, &streams[..count]).is_err() {
            return false;
        }
        self.streams.iter_mut().for_each(|stream| stream.begin = stream.last + 1);
        true
    }

    fn timestamp(&self, now: Instant) -> CompactNtp {
        let passed: Duration = now.saturating_duration_since(self.epoch);
        CompactNtp(((passed.as_nanos() << 16) / 1_000_000_000) as u32)
    }
}
