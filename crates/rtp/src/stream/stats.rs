//! Counters under the W3C's names (webrtc-stats §8), as far as packets tell them.

use std::time::{Duration, Instant};

use crate::numbers::NtpTime;

/// `framesPerSecond`: the frames of the last whole second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FrameRate {
    since: Option<Instant>,
    frames: u32,
    last: Option<f64>,
}

impl FrameRate {
    /// The time over which frames are counted.
    const SPAN: Duration = Duration::from_secs(1);

    /// Takes a frame.
    pub fn handle_frame(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        if passed >= Self::SPAN {
            self.last = Some(f64::from(self.frames) / passed.as_secs_f64());
            (self.since, self.frames) = (Some(now), 0);
        }
        self.frames += 1;
    }

    /// Returns frames per second; `None` before the first second is over, and where none have come
    /// for two.
    #[must_use]
    pub fn frames_per_second(&self, now: Instant) -> Option<f64> {
        let is_recent = |since| now.saturating_duration_since(since) <= 2 * Self::SPAN;
        self.last.filter(|_| self.since.is_some_and(is_recent))
    }
}

/// `RTCInboundRtpStreamStats`: what was received of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct InboundRtpStats {
    /// `packetsReceived`, repetitions and retransmissions included.
    pub packets_received: u64,
    /// `bytesReceived`: payloads.
    pub bytes_received: u64,
    /// `headerBytesReceived`: headers and padding.
    pub header_bytes_received: u64,
    /// `packetsLost`; negative with repetitions.
    pub packets_lost: i64,
    /// `jitter`.
    pub jitter: Duration,
    /// `packetsDiscarded`: too late, or repetitions.
    pub packets_discarded: u64,
    /// `retransmittedPacketsReceived`.
    pub retransmitted_packets_received: u64,
    /// `retransmittedBytesReceived`.
    pub retransmitted_bytes_received: u64,
    /// `nackCount`.
    pub nack_count: u64,
    /// `pliCount`.
    pub pli_count: u64,
    /// `firCount`.
    pub fir_count: u64,
    /// `framesReceived`.
    pub frames_received: u64,
    /// `keyFramesReceived`; the W3C counts those that are decoded.
    pub key_frames_received: u64,
    /// `framesDropped`: given up for losses.
    pub frames_dropped: u64,
    /// `framesAssembledFromMultiplePackets`.
    pub frames_assembled_from_multiple_packets: u64,
    /// `fecBytesReceived`: payloads of corrections.
    pub fec_bytes_received: u64,
    /// `fecPacketsDiscarded`: corrections that are malformed, or of no use.
    pub fec_packets_discarded: u64,
}

/// `RTCOutboundRtpStreamStats`: what was sent of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OutboundRtpStats {
    /// `packetsSent`, retransmissions included.
    pub packets_sent: u64,
    /// `bytesSent`: payloads.
    pub bytes_sent: u64,
    /// `headerBytesSent`: headers and padding.
    pub header_bytes_sent: u64,
    /// `retransmittedPacketsSent`.
    pub retransmitted_packets_sent: u64,
    /// `retransmittedBytesSent`.
    pub retransmitted_bytes_sent: u64,
    /// `nackCount`.
    pub nack_count: u64,
    /// `pliCount`.
    pub pli_count: u64,
    /// `firCount`.
    pub fir_count: u64,
    /// `framesSent`.
    pub frames_sent: u64,
    /// `totalPacketSendDelay`: from the time that a frame was given to the sender to that at which
    /// its packets have left.
    pub total_packet_send_delay: Duration,
    /// `hugeFramesSent`: frames of at least 2.5 times the average size.
    pub huge_frames_sent: u64,
    /// The bytes of all frames, before they are cut into packets.
    pub frame_bytes_sent: u64,
    /// Frames that were taken and given up, because they waited for too long.
    pub frames_given_up: u64,
}

impl OutboundRtpStats {
    /// Counts a frame of so many bytes.
    pub fn handle_frame(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        if self.frames_sent > 0 && 2 * bytes * self.frames_sent >= 5 * self.frame_bytes_sent {
            self.huge_frames_sent += 1;
        }
        self.frames_sent += 1;
        self.frame_bytes_sent += bytes;
    }
}

/// `RTCRemoteInboundRtpStreamStats`: what the other side says that it received.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RemoteInboundRtpStats {
    /// `packetsLost`.
    pub packets_lost: i64,
    /// `fractionLost`, 0 to 1.
    pub fraction_lost: f64,
    /// `jitter`.
    pub jitter: Duration,
    /// `roundTripTime`.
    pub round_trip_time: Option<Duration>,
    /// `totalRoundTripTime`.
    pub total_round_trip_time: Duration,
    /// `roundTripTimeMeasurements`.
    pub round_trip_time_measurements: u64,
    /// Reports received.
    pub reports_received: u64,
}

/// `RTCRemoteOutboundRtpStreamStats`: what the other side says that it sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemoteOutboundRtpStats {
    /// `packetsSent`.
    pub packets_sent: u64,
    /// `bytesSent`.
    pub bytes_sent: u64,
    /// `reportsSent`.
    pub reports_sent: u64,
    /// `remoteTimestamp`: the other side's clock at its last report.
    pub remote_timestamp: Option<NtpTime>,
    /// `roundTripTime`, where the other side answers this side's clock (RFC 3611 §4.5).
    pub round_trip_time: Option<Duration>,
    /// `totalRoundTripTime`.
    pub total_round_trip_time: Duration,
    /// `roundTripTimeMeasurements`.
    pub round_trip_time_measurements: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_per_second_are_those_of_the_last_second() {
        let start = crate::test_time();
        let mut rate = FrameRate::default();
        assert_eq!(rate.frames_per_second(start), None);
        let at = |index: u64| start + Duration::from_millis(40 * index);
        for index in 0..=25 {
            rate.handle_frame(at(index));
        }
        assert_eq!(rate.frames_per_second(at(25)), Some(25.0));
        assert_eq!(rate.frames_per_second(at(80)), None);
    }

    #[test]
    fn huge_frames_are_told_by_the_average() {
        let mut stats = OutboundRtpStats::default();
        for bytes in [1000, 1000, 1000, 2400, 1000, 4000] {
            stats.handle_frame(bytes);
        }
        assert_eq!((stats.frames_sent, stats.huge_frames_sent, stats.frame_bytes_sent), (6, 1, 10_400));
    }
}
