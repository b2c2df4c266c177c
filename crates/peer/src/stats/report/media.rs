//! The objects of audio and video.

use std::time::Instant;

use super::{Object, Writer};
use crate::media::RtpCodec;
use crate::rtp::{InboundStats, OutboundStats, RtpStats};
use crate::transport::TransportId;

dictionary! {
    /// `RTCCodecStats`.
    Codec {
        /// The number in packets.
        payload_type: u8,
        /// The transport.
        transport_id: String,
        /// Kind and name.
        mime_type: String,
        /// Ticks of the timestamp per second.
        clock_rate: u32,
        ;
        /// The number of channels.
        channels: u16,
        /// The parameters.
        sdp_fmtp_line: String,
    }
}

dictionary! {
    /// `RTCInboundRtpStreamStats`.
    InboundRtp {
        /// The stream.
        ssrc: u32,
        /// `audio` or `video`.
        kind: &'static str,
        /// The transport.
        transport_id: String,
        /// Packets received, with repetitions and retransmissions.
        packets_received: u64,
        /// Packets lost.
        packets_lost: i64,
        /// In seconds.
        jitter: f64,
        /// The track.
        track_identifier: String,
        /// Packets that were too late, or came twice.
        packets_discarded: u64,
        /// Payloads.
        bytes_received: u64,
        /// Headers and padding.
        header_bytes_received: u64,
        /// Packets that were sent again.
        retransmitted_packets_received: u64,
        /// Their payloads.
        retransmitted_bytes_received: u64,
        /// Requests for packets.
        nack_count: u64,
        /// Corrections.
        fec_packets_received: u64,
        /// Their payloads.
        fec_bytes_received: u64,
        /// Corrections that were of no use.
        fec_packets_discarded: u64,
        /// The arrival of the last packet, in milliseconds.
        last_packet_received_timestamp: f64,
        ;
        /// The codec.
        codec_id: String,
        /// The name of the section.
        mid: String,
        /// The statistics that the other side reports of it.
        remote_id: String,
        /// Frames received whole.
        frames_received: u64,
        /// Frames given up.
        frames_dropped: u64,
        /// Frames that came in several packets.
        frames_assembled_from_multiple_packets: u64,
        /// The stream of retransmissions.
        rtx_ssrc: u32,
        /// Requests for key frames.
        pli_count: u64,
        /// Requests for key frames, of the other kind.
        fir_count: u64,
    }
}

dictionary! {
    /// `RTCOutboundRtpStreamStats`.
    OutboundRtp {
        /// The stream.
        ssrc: u32,
        /// `audio` or `video`.
        kind: &'static str,
        /// The transport.
        transport_id: String,
        /// Packets sent.
        packets_sent: u64,
        /// Payloads.
        bytes_sent: u64,
        /// Headers and padding.
        header_bytes_sent: u64,
        /// Packets that were sent again.
        retransmitted_packets_sent: u64,
        /// Their payloads.
        retransmitted_bytes_sent: u64,
        /// Requests for packets.
        nack_count: u64,
        /// It is sent.
        active: bool,
        /// The place of the encoding among those of its sender.
        encoding_index: u32,
        /// The time that packets waited in all, in seconds.
        total_packet_send_delay: f64,
        ;
        /// The codec.
        codec_id: String,
        /// The name of the section.
        mid: String,
        /// The name of the encoding.
        rid: String,
        /// The source of the media that is sent.
        media_source_id: String,
        /// The statistics that the other side reports of it.
        remote_id: String,
        /// The stream of retransmissions.
        rtx_ssrc: u32,
        /// The bitrate that the encoder is to have.
        target_bitrate: f64,
        /// Frames sent.
        frames_sent: u64,
        /// Frames of at least 2.5 times the average size.
        huge_frames_sent: u64,
        /// Frames of the last second.
        frames_per_second: f64,
        /// Requests for key frames.
        pli_count: u64,
        /// Requests for key frames, of the other kind.
        fir_count: u64,
    }
}

dictionary! {
    /// `RTCRemoteInboundRtpStreamStats`.
    RemoteInboundRtp {
        /// The stream.
        ssrc: u32,
        /// `audio` or `video`.
        kind: &'static str,
        /// The transport.
        transport_id: String,
        /// Packets lost.
        packets_lost: i64,
        /// In seconds.
        jitter: f64,
        /// The stream as it is sent.
        local_id: String,
        /// The part of packets lost between the last two reports.
        fraction_lost: f64,
        /// The sum of all round trips, in seconds.
        total_round_trip_time: f64,
        /// Their number.
        round_trip_time_measurements: u64,
        ;
        /// The codec.
        codec_id: String,
        /// The last one, in seconds.
        round_trip_time: f64,
    }
}

dictionary! {
    /// `RTCRemoteOutboundRtpStreamStats`.
    RemoteOutboundRtp {
        /// The stream.
        ssrc: u32,
        /// `audio` or `video`.
        kind: &'static str,
        /// The transport.
        transport_id: String,
        /// Packets sent.
        packets_sent: u64,
        /// Payloads.
        bytes_sent: u64,
        /// The stream as it is received.
        local_id: String,
        /// Reports that told it.
        reports_sent: u64,
        /// The sum of round trips.
        total_round_trip_time: f64,
        /// Round trips that were measured.
        round_trip_time_measurements: u64,
        ;
        /// The codec.
        codec_id: String,
        /// The other side's clock at the last report, in milliseconds.
        remote_timestamp: f64,
        /// The round trip that was measured last.
        round_trip_time: f64,
    }
}

dictionary! {
    /// `RTCMediaSourceStats`.
    MediaSource {
        /// The track.
        track_identifier: String,
        /// `audio` or `video`.
        kind: &'static str,
        ;
        /// Frames that were given to the sender.
        frames: u64,
        /// Frames of the last second.
        frames_per_second: f64,
        /// The loudness of the last frame, 0 to 1, where the application tells it.
        audio_level: f64,
    }
}

impl Writer {
    pub(super) fn add_media(&mut self, stats: &RtpStats, clock: impl Fn(Instant) -> f64) {
        for stream in stats.outbound.iter().filter(|one| one.sent.packets_sent > 0) {
            self.add_outbound(stream);
        }
        for stream in &stats.inbound {
            self.add_inbound(stream, &clock);
        }
    }

    /// Adds a codec, unless it is there already. Returns its identifier.
    fn add_codec(&mut self, transport: TransportId, sends: bool, number: u8, codec: &RtpCodec) -> String {
        let way = if sends { 'O' } else { 'I' };
        let id = format!("C{way}{}-{number}", transport.0);
        if self.report.get(&id).is_none() {
            let object = Codec {
                payload_type: number,
                transport_id: format!("T{}", transport.0),
                mime_type: codec.mime_type.clone(),
                clock_rate: codec.clock_rate,
                channels: codec.channels,
                sdp_fmtp_line: codec.sdp_fmtp_line.clone(),
            };
            self.add(id.clone(), Object::Codec(object));
        }
        id
    }

    fn add_outbound(&mut self, stream: &OutboundStats) {
        let (kind, sent, remote) = (stream.kind.as_str(), &stream.sent, &stream.remote);
        let transport_id = format!("T{}", stream.transport.0);
        let codec_id = stream
            .codec
            .as_ref()
            .zip(stream.payload_type)
            .map(|(codec, number)| self.add_codec(stream.transport, true, number, codec));
        let is_video = kind == "video";
        let media_source_id = stream.track.as_ref().map(|track| {
            let id = format!("S{}", stream.transceiver.0);
            if self.report.get(&id).is_none() {
                let frames = is_video.then_some(sent.frames_sent);
                let object = MediaSource {
                    track_identifier: track.clone(),
                    kind,
                    frames,
                    frames_per_second: stream.frames_per_second.filter(|_| is_video),
                    audio_level: stream.audio_level,
                };
                self.add(id.clone(), Object::MediaSource(object));
            }
            id
        });
        let id = format!("O{}", stream.ssrc);
        let remote_id = (remote.reports_received > 0).then(|| format!("RI{}", stream.ssrc));
        if let Some(remote_id) = &remote_id {
            let object = RemoteInboundRtp {
                ssrc: stream.ssrc,
                kind,
                transport_id: transport_id.clone(),
                packets_lost: remote.packets_lost,
                jitter: remote.jitter.as_secs_f64(),
                local_id: id.clone(),
                fraction_lost: remote.fraction_lost,
                total_round_trip_time: remote.total_round_trip_time.as_secs_f64(),
                round_trip_time_measurements: remote.round_trip_time_measurements,
                codec_id: codec_id.clone(),
                round_trip_time: remote.round_trip_time.map(|time| time.as_secs_f64()),
            };
            self.add(remote_id.clone(), Object::RemoteInboundRtp(object));
        }
        let object = OutboundRtp {
            ssrc: stream.ssrc,
            kind,
            transport_id,
            packets_sent: sent.packets_sent + sent.retransmitted_packets_sent,
            bytes_sent: sent.bytes_sent + sent.retransmitted_bytes_sent,
            header_bytes_sent: sent.header_bytes_sent,
            retransmitted_packets_sent: sent.retransmitted_packets_sent,
            retransmitted_bytes_sent: sent.retransmitted_bytes_sent,
            nack_count: sent.nack_count,
            active: stream.active,
            encoding_index: stream.encoding_index,
            total_packet_send_delay: sent.total_packet_send_delay.as_secs_f64(),
            codec_id,
            mid: stream.mid.clone(),
            rid: stream.rid.as_deref().map(str::to_owned),
            media_source_id,
            remote_id,
            rtx_ssrc: stream.rtx_ssrc,
            target_bitrate: stream.target_bitrate.map(|rate| rate as f64),
            frames_sent: is_video.then_some(sent.frames_sent),
            huge_frames_sent: is_video.then_some(sent.huge_frames_sent),
            frames_per_second: stream.frames_per_second.filter(|_| is_video),
            pli_count: is_video.then_some(sent.pli_count),
            fir_count: is_video.then_some(sent.fir_count),
        };
        self.add(id, Object::OutboundRtp(object));
    }

    fn add_inbound(&mut self, stream: &InboundStats, clock: impl Fn(Instant) -> f64) {
        let (kind, received, remote) = (stream.kind.as_str(), &stream.received, &stream.remote);
        let transport_id = format!("T{}", stream.transport.0);
        let number = stream.payload_type;
        let codec_id =
            stream.codec.as_ref().map(|codec| self.add_codec(stream.transport, false, number, codec));
        let id = format!("I{}", stream.ssrc);
        let remote_id = (remote.reports_sent > 0).then(|| format!("RO{}", stream.ssrc));
        if let Some(remote_id) = &remote_id {
            let told = remote.remote_timestamp;
            let object = RemoteOutboundRtp {
                ssrc: stream.ssrc,
                kind,
                transport_id: transport_id.clone(),
                packets_sent: remote.packets_sent,
                bytes_sent: remote.bytes_sent,
                local_id: id.clone(),
                reports_sent: remote.reports_sent,
                codec_id: codec_id.clone(),
                remote_timestamp: told.map(|time| time.to_unix().as_secs_f64() * 1000.0),
                total_round_trip_time: remote.total_round_trip_time.as_secs_f64(),
                round_trip_time_measurements: remote.round_trip_time_measurements,
                round_trip_time: remote.round_trip_time.map(|time| time.as_secs_f64()),
            };
            self.add(remote_id.clone(), Object::RemoteOutboundRtp(object));
        }
        let is_video = kind == "video";
        let object = InboundRtp {
            ssrc: stream.ssrc,
            kind,
            transport_id,
            packets_received: received.packets_received + received.retransmitted_packets_received,
            packets_lost: received.packets_lost,
            jitter: received.jitter.as_secs_f64(),
            track_identifier: stream.track.clone().unwrap_or_default(),
            packets_discarded: received.packets_discarded,
            bytes_received: received.bytes_received + received.retransmitted_bytes_received,
            header_bytes_received: received.header_bytes_received,
            retransmitted_packets_received: received.retransmitted_packets_received,
            retransmitted_bytes_received: received.retransmitted_bytes_received,
            nack_count: received.nack_count,
            fec_packets_received: stream.fec_packets_received,
            fec_bytes_received: received.fec_bytes_received,
            fec_packets_discarded: received.fec_packets_discarded,
            last_packet_received_timestamp: clock(stream.last_packet_received),
            codec_id,
            mid: stream.mid.clone(),
            remote_id,
            frames_received: is_video.then_some(received.frames_received),
            frames_dropped: is_video.then_some(received.frames_dropped),
            frames_assembled_from_multiple_packets: is_video
                .then_some(received.frames_assembled_from_multiple_packets),
            rtx_ssrc: stream.rtx_ssrc,
            pli_count: is_video.then_some(received.pli_count),
            fir_count: is_video.then_some(received.fir_count),
        };
        self.add(id, Object::InboundRtp(object));
    }
}
