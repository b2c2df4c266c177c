//! Counters of streams (webrtc-stats §8).

use std::sync::Arc;
use std::time::Instant;

use columba_rtp::Ssrc;
use columba_rtp::stream::{InboundRtpStats, OutboundRtpStats, RemoteInboundRtpStats, RemoteOutboundRtpStats};

use super::Media;
use crate::media::{RtpCodec, TrackKind, TransceiverId};
use crate::transport::TransportId;

/// Statistics of all streams.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RtpStats {
    /// The streams that are sent.
    pub outbound: Vec<OutboundStats>,
    /// The streams that are received.
    pub inbound: Vec<InboundStats>,
    /// The paths of transports that carry media.
    pub paths: Vec<PathStats>,
}

/// The path of a transport, as far as media knows it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PathStats {
    /// The transport.
    pub transport: TransportId,
    /// `RTCIceCandidatePairStats.availableOutgoingBitrate`, in bits per second: the estimate, where
    /// the other side tells of arrivals.
    pub available_outgoing_bitrate: Option<u64>,
    /// `RTCTransportStats.ccfbMessagesSent` (RFC 8888).
    pub ccfb_messages_sent: u64,
    /// `RTCTransportStats.ccfbMessagesReceived`.
    pub ccfb_messages_received: u64,
}

/// `RTCOutboundRtpStreamStats` of an encoding, with what the other side says of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutboundStats {
    /// The transceiver.
    pub transceiver: TransceiverId,
    /// The transport.
    pub transport: TransportId,
    /// The kind.
    pub kind: TrackKind,
    /// The stream.
    pub ssrc: u32,
    /// The stream of retransmissions.
    pub rtx_ssrc: Option<u32>,
    /// The name of the encoding.
    pub rid: Option<Arc<str>>,
    /// It is sent.
    pub active: bool,
    /// The payload type of the last frame.
    pub payload_type: Option<u8>,
    /// The name of the section.
    pub mid: Option<String>,
    /// The codec of the last frame.
    pub codec: Option<RtpCodec>,
    /// The identifier of the track.
    pub track: Option<String>,
    /// The place of the encoding among those of its sender.
    pub encoding_index: u32,
    /// Frames of the last second.
    pub frames_per_second: Option<f64>,
    /// The loudness of the last frame, 0 to 1, where the application tells it.
    pub audio_level: Option<f64>,
    /// The bitrate that the application was told, in bits per second.
    pub target_bitrate: Option<u64>,
    /// Statistics of the packets sent.
    pub sent: OutboundRtpStats,
    /// Statistics of reception, as the other side reports them.
    pub remote: RemoteInboundRtpStats,
}

/// `RTCInboundRtpStreamStats` of a stream, with what the other side says of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InboundStats {
    /// The transceiver.
    pub transceiver: TransceiverId,
    /// The transport.
    pub transport: TransportId,
    /// The kind.
    pub kind: TrackKind,
    /// The stream.
    pub ssrc: u32,
    /// The name of the encoding, if the stream has told one.
    pub rid: Option<Arc<str>>,
    /// The payload type of the last packet.
    pub payload_type: u8,
    /// The name of the section.
    pub mid: Option<String>,
    /// The codec of the last packet.
    pub codec: Option<RtpCodec>,
    /// The identifier of the track.
    pub track: Option<String>,
    /// The stream of retransmissions, if descriptions name it, or one has come.
    pub rtx_ssrc: Option<u32>,
    /// The arrival of the last packet.
    pub last_packet_received: Instant,
    /// Corrections that arrived.
    pub fec_packets_received: u64,
    /// Statistics of the packets received.
    pub received: InboundRtpStats,
    /// Statistics of sending, as the other side reports them.
    pub remote: RemoteOutboundRtpStats,
}

impl RtpStats {
    /// Returns the identifiers in reports of what a transceiver sends.
    pub(crate) fn sent_by(&self, transceiver: TransceiverId) -> Vec<String> {
        let own = self.outbound.iter().filter(|one| one.transceiver == transceiver);
        own.map(|one| format!("O{}", one.ssrc)).collect()
    }

    /// Returns the identifiers in reports of what a transceiver receives.
    pub(crate) fn received_by(&self, transceiver: TransceiverId) -> Vec<String> {
        let own = self.inbound.iter().filter(|one| one.transceiver == transceiver);
        own.map(|one| format!("I{}", one.ssrc)).collect()
    }
}

impl Media {
    pub(crate) fn stats(&self, now: Instant) -> RtpStats {
        let paths = self.sessions.iter().map(|session| {
            let [ccfb_messages_sent, ccfb_messages_received] = session.path.ccfb_messages;
            PathStats {
                transport: session.transport,
                available_outgoing_bitrate: session.path.available(),
                ccfb_messages_sent,
                ccfb_messages_received,
            }
        });
        let outbound = self.outbound.iter().map(|one| OutboundStats {
            transceiver: one.transceiver,
            transport: one.transport,
            kind: one.kind,
            ssrc: one.ssrc().0,
            rtx_ssrc: one.rtx_ssrc().map(|ssrc| ssrc.0),
            rid: one.rid.clone(),
            active: one.is_active,
            payload_type: one.current().map(|codec| codec.payload_type.get()),
            mid: None,
            codec: None,
            track: None,
            encoding_index: one.encoding_index,
            frames_per_second: one.rate.frames_per_second(now),
            audio_level: one.audio_level,
            target_bitrate: one.told_bitrate,
            sent: one.stream.stats,
            remote: one.stream.remote_stats(),
        });
        let inbound = self.inbound.iter().map(|one| InboundStats {
            transceiver: one.transceiver,
            transport: one.transport,
            kind: one.kind,
            ssrc: one.ssrc().0,
            rid: one.rid.clone(),
            payload_type: one.codec.payload_type.get(),
            mid: None,
            codec: None,
            track: None,
            rtx_ssrc: self.rtx_ssrc_of(one.ssrc()).or(one.rtx_ssrc).map(|ssrc| ssrc.0),
            last_packet_received: one.last,
            fec_packets_received: one.fec_packets,
            received: one.stats(),
            remote: one.stream.remote_stats(),
        });
        RtpStats { outbound: outbound.collect(), inbound: inbound.collect(), paths: paths.collect() }
    }

    fn rtx_ssrc_of(&self, ssrc: Ssrc) -> Option<Ssrc> {
        let mut sections = self.sessions.iter().flat_map(|session| &session.sections.receiving);
        sections.find_map(|section| {
            let mut repaired = section.repaired.iter();
            repaired.find(|(main, _)| *main == ssrc).map(|(_, rtx)| *rtx)
        })
    }
}
