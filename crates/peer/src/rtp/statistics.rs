//! Counters of streams (webrtc-stats §8).

use std::sync::Arc;

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
    /// Corrections that arrived.
    pub fec_packets_received: u64,
    /// Statistics of the packets received.
    pub received: InboundRtpStats,
    /// Statistics of sending, as the other side reports them.
    pub remote: RemoteOutboundRtpStats,
}

impl Media {
    pub(crate) fn stats(&self) -> RtpStats {
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
            fec_packets_received: one.fec_packets,
            received: one.stream.stats,
            remote: one.stream.remote_stats(),
        });
        RtpStats { outbound: outbound.collect(), inbound: inbound.collect() }
    }
}
