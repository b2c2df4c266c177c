//! One stream that is received: packets become frames, and what is missing is asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_rtp::extension::{AudioLevel, CsrcAudioLevels};
use columba_rtp::payload::Format;
use columba_rtp::payload::red::Block;
use columba_rtp::payload::ulpfec::UlpfecDecoder;
use columba_rtp::stream::{
    Arrival, FrameBuffer, FrameInfo, InboundRtpStats, KeyFrameRequester, NackGenerator, NackLimits,
    PacketInfo, StreamReceiver,
};
use columba_rtp::{Packet, PayloadType, SequenceNumber, Ssrc};

use super::frame::{ReceivedFrame, RtpSource, linear_level};
use super::sections::{AgreedCodec, ReceivingSection, Role};
use crate::media::{TrackKind, TransceiverId};
use crate::time::UnixTime;
use crate::transport::TransportId;

/// Packets of a stream that wait for others, at most.
const VIDEO_PACKETS: usize = 1024;
const AUDIO_PACKETS: usize = 64;

/// The time for which a stream that begins may take until its first key frame is whole.
const FIRST_KEY_FRAME: Duration = Duration::from_millis(300);

/// Where packets are not sent again: those that come later than this are lost.
const NOT_REPAIRED: NackLimits = NackLimits {
    reordering: Duration::from_millis(100),
    max_requests: 0,
    max_age: Duration::from_millis(200),
};

/// The same where corrections restore packets: libwebrtc's protect pictures of two round trips.
const CORRECTED: NackLimits = NackLimits {
    reordering: Duration::from_millis(500),
    max_requests: 0,
    max_age: Duration::from_millis(500),
};

/// Contributing sources that are remembered.
const MAX_SOURCES: usize = 16;

/// The time for which a source counts (W3C WebRTC §5.3).
const SOURCE_AGE: Duration = Duration::from_secs(10);

/// The state of a stream.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) transceiver: TransceiverId,
    pub(super) transport: TransportId,
    pub(super) kind: TrackKind,
    pub(super) rid: Option<Arc<str>>,
    pub(super) stream: StreamReceiver,
    pub(super) codec: AgreedCodec,
    nack: NackGenerator,
    frames: FrameBuffer,
    requester: KeyFrameRequester,
    /// The time at which a missing key frame is asked for.
    key_wanted: Option<Instant>,
    /// Frames are not given out before a key frame: one did not fit into the queue.
    skips: bool,
    fec: Option<UlpfecDecoder>,
    /// The timestamp of the last frame, without wraps.
    extended: Option<i64>,
    pub(super) last: Instant,
    level: Option<AudioLevel>,
    rtp_timestamp: u32,
    contributing: Vec<RtpSource>,
    /// The stream of retransmissions, once one has come.
    pub(super) rtx_ssrc: Option<Ssrc>,
    /// Corrections and packets that they restored.
    pub(super) fec_packets: u64,
    pub(super) full_intra_number: u8,
    /// The limit of its bitrate that the other side has confirmed.
    pub(super) told_limit: Option<u64>,
}

/// A packet of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) packet: Packet<'a>,
    pub(super) received_at: Instant,
    pub(super) way: Way,
}

/// The way in which a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As it was sent first.
    First,
    /// As a retransmission.
    Again,
    /// Restored by a correction.
    Restored,
}

impl Inbound {
    pub(super) fn new(
        transport: TransportId,
        section: &ReceivingSection,
        codec: AgreedCodec,
        ssrc: Ssrc,
        now: Instant,
    ) -> Self {
        let (limits, frames) = buffers(section.kind, codec);
        Self {
            transceiver: section.transceiver,
            transport,
            kind: section.kind,
            rid: None,
            stream: StreamReceiver::new(ssrc, codec.clock_rate),
            codec,
            nack: NackGenerator::new(limits),
            frames,
            requester: KeyFrameRequester::default(),
            key_wanted: (section.kind == TrackKind::Video).then(|| now + FIRST_KEY_FRAME),
            skips: false,
            fec: None,
            extended: None,
            last: now,
            level: None,
            rtp_timestamp: 0,
            contributing: Vec::new(),
            rtx_ssrc: None,
            fec_packets: 0,
            full_intra_number: 0,
            told_limit: None,
        }
    }

    pub(super) fn ssrc(&self) -> Ssrc {
        self.stream.ssrc()
    }

    /// Takes another codec of the same stream.
    fn change_codec(&mut self, codec: AgreedCodec) {
        let same =
            matches!((self.codec.role, codec.role), (Role::Media(one), Role::Media(two)) if one == two);
        self.codec = codec;
        if !same {
            let (limits, frames) = buffers(self.kind, codec);
            self.renew(limits, frames);
        }
    }

    /// Begins with an empty buffer.
    fn renew(&mut self, limits: NackLimits, frames: FrameBuffer) {
        self.stream.stats.frames_dropped += self.frames.dropped();
        (self.nack, self.frames) = (NackGenerator::new(limits), frames);
    }

    /// Returns the counters.
    pub(super) fn stats(&self) -> InboundRtpStats {
        let stats = self.stream.stats;
        InboundRtpStats { frames_dropped: stats.frames_dropped + self.frames.dropped(), ..stats }
    }

    /// Takes a packet of the stream. Frames that it makes whole are given to `take`.
    pub(super) fn handle(
        &mut self,
        section: &ReceivingSection,
        codec: AgreedCodec,
        part: Part<'_>,
        take: &mut dyn FnMut(ReceivedFrame, &[u8]) -> bool,
        frame: &mut Vec<u8>,
    ) {
        let Part { packet, received_at, way } = part;
        let fixed = packet.fixed();
        if codec != self.codec && matches!(codec.role, Role::Media(_)) {
            self.change_codec(codec);
        }
        (self.last, self.rtp_timestamp) = (received_at, fixed.timestamp.0);
        let payload = packet.payload().len();
        let number = if way != Way::First {
            let Some(highest) = self.stream.highest() else { return };
            if way == Way::Again {
                self.stream.handle_retransmission(payload);
            }
            fixed.sequence_number.extend(highest)
        } else {
            self.note_sources(section, &packet, received_at);
            let head = packet.as_bytes().len() - payload;
            match self.stream.handle_packet(received_at, &fixed, head, payload) {
                Arrival::Accepted(number) => number,
                Arrival::Doubted => return,
                Arrival::Restarted(number) => {
                    let (limits, frames) = buffers(self.kind, self.codec);
                    self.renew(limits, frames);
                    self.want_key_frame(received_at);
                    number
                }
            }
        };
        if !self.nack.handle_packet(received_at, number) {
            self.frames.give_up(number - 1);
            self.want_key_frame(received_at);
        }
        let info = PacketInfo {
            number,
            timestamp: fixed.timestamp,
            marker: fixed.marker,
            payload_type: fixed.payload_type,
        };
        if !self.frames.insert(info, packet.payload()) {
            self.stream.stats.packets_discarded += 1;
        }
        self.drain(received_at, take, frame);
    }

    /// Takes copies of earlier frames of sound, which fill gaps.
    pub(super) fn handle_redundant(
        &mut self,
        packet: &Packet<'_>,
        older: &[Block<'_>],
        received_at: Instant,
        take: &mut dyn FnMut(ReceivedFrame, &[u8]) -> bool,
        frame: &mut Vec<u8>,
    ) {
        let Some(highest) = self.stream.highest() else { return };
        let fixed = packet.fixed();
        let own = fixed.sequence_number.extend(highest);
        for (block, back) in older.iter().zip((1..=older.len() as u64).rev()) {
            let info = PacketInfo {
                number: own.saturating_sub(back),
                timestamp: fixed.timestamp.plus(u32::from(block.offset).wrapping_neg()),
                marker: false,
                payload_type: block.payload_type,
            };
            if self.frames.insert(info, block.data) {
                self.nack.handle_packet(received_at, info.number);
                self.drain(received_at, take, frame);
            }
        }
    }

    fn note_sources(&mut self, section: &ReceivingSection, packet: &Packet<'_>, at: Instant) {
        let header = packet.header();
        self.level = section.extensions.level.and_then(|id| header.get::<AudioLevel>(id));
        let csrcs = header.csrcs();
        if csrcs.len() == 0 {
            return;
        }
        let levels = section.extensions.mixed_levels.and_then(|id| header.get::<CsrcAudioLevels<'_>>(id));
        for (index, csrc) in csrcs.enumerate() {
            let level = levels.as_ref().and_then(|levels| levels.levels().nth(index));
            let source = RtpSource {
                source: csrc.0,
                timestamp: at,
                audio_level: level.map(linear_level),
                rtp_timestamp: packet.fixed().timestamp.0,
            };
            match self.contributing.iter_mut().find(|one| one.source == csrc.0) {
                Some(known) => *known = source,
                None => {
                    if self.contributing.len() == MAX_SOURCES {
                        self.contributing.remove(0);
                    }
                    self.contributing.push(source);
                }
            }
        }
    }

    /// Gives whole frames out.
    fn drain(
        &mut self,
        received_at: Instant,
        take: &mut dyn FnMut(ReceivedFrame, &[u8]) -> bool,
        frame: &mut Vec<u8>,
    ) {
        while let Some(info) = self.frames.pop(frame) {
            self.stream.stats.frames_received += 1;
            self.stream.stats.frames_assembled_from_multiple_packets += u64::from(info.first != info.last);
            // What is missing before it is not needed any more.
            self.nack.forget_until(info.last);
            if info.key {
                self.stream.stats.key_frames_received += 1;
                self.requester.fulfilled();
                self.key_wanted = None;
            }
            if self.skips && !info.key {
                self.stream.stats.frames_dropped += 1;
                continue;
            }
            let received = self.received(&info, received_at);
            self.skips = !take(received, frame) && self.kind == TrackKind::Video;
            if self.skips {
                self.stream.stats.frames_dropped += 1;
                self.want_key_frame(received_at);
            }
        }
        if self.frames.wants_key_frame() && self.key_wanted.is_none() {
            tracing::debug!(ssrc = self.ssrc().0, "what comes is of no use before a key frame");
            self.want_key_frame(received_at);
        }
    }

    fn received(&mut self, info: &FrameInfo, received_at: Instant) -> ReceivedFrame {
        // Far from zero, so that frames before the first have times, too.
        let reference = self.extended.unwrap_or(1 << 32);
        let extended = info.timestamp.extend(reference);
        self.extended = Some(reference.max(extended));
        let captured = self.stream.clock().capture_time(info.timestamp);
        ReceivedFrame {
            transceiver: self.transceiver,
            rid: self.rid.clone(),
            ssrc: self.ssrc().0,
            payload_type: info.payload_type.get(),
            timestamp: extended.max(0).cast_unsigned(),
            clock_rate: self.codec.clock_rate,
            key: info.key,
            after_loss: info.after_loss,
            received_at,
            captured_at: captured.map(|time| UnixTime(time.to_unix())),
            audio_level: self.level.map(|level| (level.level, level.voice)),
        }
    }

    /// A key frame is to be asked for at once.
    pub(super) fn want_key_frame(&mut self, now: Instant) {
        if self.kind == TrackKind::Video {
            let wanted = self.key_wanted.get_or_insert(now);
            *wanted = (*wanted).min(now);
        }
    }

    /// Takes a correction, or a packet that corrections may need, and hands out what is restored.
    pub(super) fn correct(
        &mut self,
        mutable: &[u8],
        correction: Option<&[u8]>,
        packet: Option<&[u8]>,
        restored: &mut Vec<u8>,
    ) -> bool {
        let ssrc = self.ssrc();
        let fec = self.fec.get_or_insert_with(|| UlpfecDecoder::new(ssrc, mutable));
        if let Some(packet) = packet {
            fec.add_media(packet);
        }
        if let Some(payload) = correction {
            self.fec_packets += 1;
            self.stream.stats.fec_bytes_received += payload.len() as u64;
            if let Err(error) = fec.add_correction(payload) {
                self.stream.stats.fec_packets_discarded += 1;
                tracing::debug!(%error, "a correction is dropped");
            }
        }
        fec.restore(restored)
    }

    /// Returns the next packet that the corrections so far restore.
    pub(super) fn restore(&mut self, restored: &mut Vec<u8>) -> bool {
        self.fec.as_mut().is_some_and(|fec| fec.restore(restored))
    }

    /// Handles deadlines: the numbers to ask for are written into `missing`. Returns true if a key
    /// frame is to be asked for.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        round_trip: Duration,
        missing: &mut Vec<SequenceNumber>,
        take: &mut dyn FnMut(ReceivedFrame, &[u8]) -> bool,
        frame: &mut Vec<u8>,
    ) -> bool {
        if let Some(lost) = self.nack.poll(now, round_trip, missing) {
            tracing::debug!(ssrc = self.ssrc().0, lost, "packets are given up");
            self.frames.give_up(lost);
            self.drain(now, take, frame);
        }
        if self.key_wanted.is_some_and(|at| at <= now) {
            self.requester.request();
        }
        self.requester.poll(now, round_trip)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let key = self.key_wanted.map(|at| self.requester.poll_timeout(at).map_or(at, |next| next.max(at)));
        [self.nack.poll_timeout(), key].into_iter().flatten().min()
    }

    /// Returns the stream as a source, and those that contribute to it.
    pub(super) fn sources(&self, now: Instant) -> impl Iterator<Item = (bool, RtpSource)> {
        let own = RtpSource {
            source: self.ssrc().0,
            timestamp: self.last,
            audio_level: self.level.map(|level| linear_level(level.level)),
            rtp_timestamp: self.rtp_timestamp,
        };
        let contributing = self.contributing.iter().map(|source| (false, *source));
        let is_recent =
            move |source: &RtpSource| now.saturating_duration_since(source.timestamp) <= SOURCE_AGE;
        std::iter::once((true, own)).chain(contributing).filter(move |(_, source)| is_recent(source))
    }
}

/// Returns the bounds of asking, and the buffer, of a codec.
fn buffers(kind: TrackKind, codec: AgreedCodec) -> (NackLimits, FrameBuffer) {
    let limits = match (codec.nack, codec.is_corrected) {
        (true, _) => NackLimits::default(),
        (false, true) => CORRECTED,
        (false, false) => NOT_REPAIRED,
    };
    let format = match codec.role {
        Role::Media(format) => format,
        Role::Rtx(_) | Role::Red | Role::Ulpfec => Format::Whole,
    };
    let packets = if kind == TrackKind::Video { VIDEO_PACKETS } else { AUDIO_PACKETS };
    (limits, FrameBuffer::new(format, packets))
}

/// Returns true for a payload type whose packets begin a stream.
pub(super) fn begins_stream(section: &ReceivingSection, payload_type: PayloadType) -> Option<AgreedCodec> {
    let codec = section.codec(payload_type)?;
    match codec.role {
        Role::Media(_) => Some(*codec),
        Role::Red => section.codecs.iter().find(|one| matches!(one.role, Role::Media(_))).copied(),
        Role::Rtx(_) | Role::Ulpfec => None,
    }
}
