//! Counters under the W3C's names (webrtc-stats §8), as far as packets tell them.

use std::time::Duration;

use crate::numbers::NtpTime;

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
    /// `totalPacketSendDelay`.
    pub total_packet_send_delay: Duration,
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
