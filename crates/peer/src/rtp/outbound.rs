//! One encoding that is sent: frames become packets, which are kept for those who ask again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_rtp::extension::{
    AbsSendTime, AudioLevel, ExtensionForm, HeaderExtension, Mid, RepairedRid, Rid, TransportSequenceNumber,
};
use columba_rtp::payload::{Format, Packetizer};
use columba_rtp::stream::{History, HistoryLimits, KeyFrameLimiter, StreamSender};
use columba_rtp::{
    FIXED_HEADER_LEN, FixedHeader, NtpTime, Packet, PacketMut, PacketWriter, PayloadType, RtpTimestamp,
    SequenceNumber, Ssrc, WriteError,
};

use super::frame::OutgoingFrame;
use super::queue::Queue;
use super::sections::{AgreedCodec, AgreedEncoding, Extensions, Role, SendingSection};
use crate::error::Error;
use crate::media::{TrackKind, TransceiverId};
use crate::transport::TransportId;

/// The least time between two key frames that the other side's requests cause.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes by which a retransmission is longer than the packet.
const RTX_OVERHEAD: usize = 2;

/// The state of an encoding.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) transceiver: TransceiverId,
    pub(super) transport: TransportId,
    pub(super) kind: TrackKind,
    pub(super) rid: Option<Arc<str>>,
    pub(super) cname: Arc<str>,
    mid: Arc<str>,
    extensions: Extensions,
    codecs: Vec<AgreedCodec>,
    chosen: Option<PayloadType>,
    pub(super) is_active: bool,
    pub(super) max_bitrate: Option<u64>,
    pub(super) stream: StreamSender,
    rtx: StreamSender,
    /// Made with the first packet that may be asked for again.
    history: Option<History>,
    packetizer: Packetizer,
    /// The payload type of the last frame.
    current: Option<AgreedCodec>,
    /// The timestamp at the beginning of the sender's time.
    offset: u32,
    pub(super) limiter: KeyFrameLimiter,
    /// The other side has reported on the stream: it knows whose it is.
    is_known: bool,
    pub(super) has_sent: bool,
    /// The bitrate that the application was told.
    pub(super) told_bitrate: Option<u64>,
    /// Reports in a row by which nothing new has arrived.
    pub(super) unheard: u32,
    /// The highest number that the other side has reported, and the packets that were sent then.
    pub(super) heard_until: Option<u32>,
    pub(super) sent_at_report: u64,
}

impl Outbound {
    /// `random` are the beginnings of both sequence numbers and of the timestamp.
    pub(super) fn new(
        transport: TransportId,
        section: &SendingSection,
        encoding: &AgreedEncoding,
        random: [u32; 3],
    ) -> Self {
        let first = |number: u32| SequenceNumber((number >> 16) as u16);
        let rate = section.codecs.first().map_or(90_000, |codec| codec.clock_rate);
        let mut outbound = Self {
            transceiver: section.transceiver,
            transport,
            kind: section.kind,
            rid: encoding.rid.clone(),
            cname: Arc::clone(&section.cname),
            mid: Arc::clone(&section.mid),
            extensions: section.extensions,
            codecs: Vec::new(),
            chosen: None,
            is_active: false,
            max_bitrate: None,
            stream: StreamSender::new(encoding.ssrc, rate, first(random[0])),
            rtx: StreamSender::new(encoding.rtx, rate, first(random[1])),
            history: None,
            packetizer: Packetizer::new(Format::Whole),
            current: None,
            offset: random[2],
            limiter: KeyFrameLimiter::new(KEY_FRAME_INTERVAL),
            is_known: false,
            has_sent: false,
            told_bitrate: None,
            unheard: 0,
            heard_until: None,
            sent_at_report: 0,
        };
        outbound.update(transport, section, encoding);
        outbound
    }

    /// Takes over a later agreement. Returns true if it begins to send by that.
    pub(super) fn update(
        &mut self,
        transport: TransportId,
        section: &SendingSection,
        encoding: &AgreedEncoding,
    ) -> bool {
        let begins = encoding.active && !self.is_active;
        if self.mid != section.mid {
            (self.mid, self.is_known) = (Arc::clone(&section.mid), false);
        }
        (self.transport, self.extensions) = (transport, section.extensions);
        self.codecs.clone_from(&section.codecs);
        self.chosen = encoding.payload_type;
        self.is_active = encoding.active;
        self.max_bitrate = [encoding.max_bitrate, section.max_bitrate].into_iter().flatten().min();
        begins
    }

    pub(super) fn ssrc(&self) -> Ssrc {
        self.stream.ssrc()
    }

    /// Returns the SSRC of retransmissions, if there are such.
    pub(super) fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.codecs.iter().any(|codec| codec.rtx.is_some()).then(|| self.rtx.ssrc())
    }

    /// Returns the codec of the last frame, with which statistics are told.
    pub(super) fn current(&self) -> Option<&AgreedCodec> {
        self.current.as_ref()
    }

    pub(super) fn transport_extension(&self) -> Option<u8> {
        self.extensions.transport
    }

    /// Returns true if the other side tells of arrivals by transport-wide numbers.
    pub(super) fn has_transport_feedback(&self) -> bool {
        self.extensions.transport.is_some() && self.codecs.iter().any(|codec| codec.transport_cc)
    }

    fn codec(&self, wanted: Option<u8>) -> Result<AgreedCodec, Error> {
        let wanted = wanted.and_then(PayloadType::new).or(self.chosen);
        let is_wanted = |codec: &&AgreedCodec| {
            matches!(codec.role, Role::Media(_)) && wanted.is_none_or(|wanted| codec.payload_type == wanted)
        };
        let codec = self.codecs.iter().find(is_wanted).copied();
        codec.ok_or_else(|| Error::InvalidFrame { reason: "its payload type is not agreed".into() })
    }

    /// Cuts a frame into packets of at most `largest` bytes, which wait in `queue`.
    pub(super) fn send(
        &mut self,
        now: Instant,
        frame: &OutgoingFrame<'_>,
        largest: usize,
        queue: &mut Queue<()>,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        if self.is_broken() {
            return Err(Error::NotSending);
        }
        let codec = self.codec(frame.payload_type)?;
        let Role::Media(format) = codec.role else {
            return Err(Error::InvalidFrame { reason: "its payload type carries no media".into() });
        };
        if self.current != Some(codec) {
            if self.packetizer.format() != format {
                self.packetizer = Packetizer::new(format);
            }
            self.stream.set_clock_rate(codec.clock_rate);
            self.current = Some(codec);
        }
        let level = frame.audio_level.map(|(level, voice)| AudioLevel { level, voice });
        let head = FIXED_HEADER_LEN + self.extensions_len(level.is_some());
        let largest = largest.min(buffer.len());
        let room = largest.saturating_sub(head + RTX_OVERHEAD);
        let refused =
            |error: columba_rtp::payload::FrameError| Error::InvalidFrame { reason: error.to_string() };
        let count = self.packetizer.begin(frame.data, room).map_err(refused)?;
        if !queue.has_room(count, count * largest) {
            return Err(Error::BufferFull);
        }
        let ticks = frame.timestamp.as_nanos() * u128::from(codec.clock_rate) / 1_000_000_000;
        let timestamp = RtpTimestamp(self.offset.wrapping_add(ticks as u32));
        self.stream.handle_captured(frame.captured_at.unwrap_or(now), timestamp);
        let is_audio = self.kind == TrackKind::Audio;
        let mut payload = [0; super::MAX_PACKET];
        while let Some(part) = self.packetizer.next(frame.data, &mut payload[..room]).map_err(refused)? {
            // The marker of sound is that of its beginning (RFC 3551 §4.1).
            let marker = if is_audio { frame.begins_talk } else { part.last };
            let header = self.stream.next_header(codec.payload_type, timestamp, marker);
            let written = self
                .begin_packet(buffer, &header, level.as_ref(), false)
                .and_then(|writer| writer.payload(&payload[..part.len], part.padding));
            let len = written.map_err(|error| Error::InvalidFrame { reason: error.to_string() })?;
            queue.push((), &buffer[..len]);
        }
        self.stream.stats.frames_sent += 1;
        self.has_sent = true;
        Ok(())
    }

    /// The bytes of the header extensions of a packet, with what stands before and behind them.
    fn extensions_len(&self, has_level: bool) -> usize {
        let Extensions { mid, rid, transport, send_time, level, .. } = self.extensions;
        let names = !self.is_known;
        let rid_len = self.rid.as_ref().map_or(0, |rid| rid.len());
        let parts = [
            (mid.is_some() && names, self.mid.len()),
            (rid.is_some() && names && rid_len > 0, rid_len),
            (transport.is_some(), 2),
            (send_time.is_some(), 3),
            (level.is_some() && has_level, 1),
        ];
        let head = if self.form() == ExtensionForm::OneByte { 1 } else { 2 };
        let len: usize = parts.iter().filter(|(is_there, _)| *is_there).map(|(_, len)| head + len).sum();
        if len == 0 { 0 } else { 4 + len.next_multiple_of(4) }
    }

    fn form(&self) -> ExtensionForm {
        let Extensions { mid, rid, repaired_rid, transport, send_time, level, .. } = self.extensions;
        let mut numbers = [mid, rid, repaired_rid, transport, send_time, level].into_iter().flatten();
        let is_long = self.mid.len() > 16 || self.rid.as_ref().is_some_and(|rid| rid.len() > 16);
        if is_long || numbers.any(|id| id > 14) { ExtensionForm::TwoByte } else { ExtensionForm::OneByte }
    }

    fn begin_packet<'a>(
        &self,
        buffer: &'a mut [u8],
        header: &FixedHeader,
        level: Option<&AudioLevel>,
        is_repair: bool,
    ) -> Result<PacketWriter<'a>, WriteError> {
        fn add<'a, 'v, T: HeaderExtension<'v>>(
            writer: PacketWriter<'a>,
            id: Option<u8>,
            value: Option<&T>,
        ) -> Result<PacketWriter<'a>, WriteError> {
            match (id, value) {
                (Some(id), Some(value)) => writer.extension(id, value),
                _ => Ok(writer),
            }
        }
        let extensions = &self.extensions;
        let mut writer = PacketWriter::new(buffer, header, self.form())?;
        // Retransmissions are no stream that the other side reports on.
        if !self.is_known || is_repair {
            writer = add(writer, extensions.mid, Some(&Mid(&self.mid)))?;
            let rid = self.rid.as_deref();
            writer = match is_repair {
                false => add(writer, extensions.rid, rid.map(Rid).as_ref())?,
                true => add(writer, extensions.repaired_rid, rid.map(RepairedRid).as_ref())?,
            };
        }
        // Numbered and timed when it leaves.
        writer = add(writer, extensions.transport, Some(&TransportSequenceNumber(0)))?;
        writer = add(writer, extensions.send_time, Some(&AbsSendTime::new(NtpTime(0))))?;
        add(writer, extensions.level, level)
    }

    /// Writes the retransmission of a packet, if there is one and it may be sent again.
    pub(super) fn resend(
        &mut self,
        now: Instant,
        sequence: SequenceNumber,
        round_trip: Duration,
        queue: &mut Queue<()>,
        buffer: &mut [u8],
    ) {
        let Some(mut history) = self.history.take() else { return };
        if let Some(packet) = history.resend(now, sequence, round_trip)
            && let Some(len) = self.write_retransmission(packet, sequence, buffer)
            && queue.has_room(1, len)
        {
            queue.push((), &buffer[..len]);
        }
        self.history = Some(history);
    }

    fn write_retransmission(
        &mut self,
        packet: &[u8],
        sequence: SequenceNumber,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let packet = Packet::parse(packet).ok()?;
        let fixed = packet.fixed();
        let codec = self.codecs.iter().find(|codec| codec.payload_type == fixed.payload_type)?;
        let header = self.rtx.next_header(codec.rtx?, fixed.timestamp, fixed.marker);
        let mut writer = self.begin_packet(buffer, &header, None, true).ok()?;
        let payload = writer.payload_mut().ok()?;
        let len = RTX_OVERHEAD + packet.payload().len();
        payload.get_mut(..RTX_OVERHEAD)?.copy_from_slice(&sequence.0.to_be_bytes());
        payload.get_mut(RTX_OVERHEAD..len)?.copy_from_slice(packet.payload());
        writer.finish(len).ok()
    }

    /// Numbers a packet that leaves, and counts it. `number` is the transport-wide one. Returns the
    /// stream and number of the packet.
    pub(super) fn leave(
        &mut self,
        now: Instant,
        wall: NtpTime,
        number: SequenceNumber,
        packet: &mut [u8],
    ) -> Option<(Ssrc, SequenceNumber)> {
        let mut rewritten = PacketMut::parse(packet).ok()?;
        if let Some(id) = self.extensions.transport {
            rewritten.set_extension(id, &TransportSequenceNumber(number.0));
        }
        if let Some(id) = self.extensions.send_time {
            rewritten.set_extension(id, &AbsSendTime::new(wall));
        }
        let parsed = Packet::parse(packet).ok()?;
        let (fixed, payload) = (parsed.fixed(), parsed.payload().len());
        let head = packet.len() - payload;
        if fixed.ssrc == self.rtx.ssrc() {
            self.rtx.handle_sent(now, fixed.timestamp, head, payload);
            self.stream.handle_resent(payload);
        } else {
            self.stream.handle_sent(now, fixed.timestamp, head, payload);
            if self.current.is_some_and(|codec| codec.nack && codec.rtx.is_some()) {
                let history = self.history.get_or_insert_with(|| History::new(HistoryLimits::default()));
                history.store(now, fixed.sequence_number, packet);
            }
        }
        Some((fixed.ssrc, fixed.sequence_number))
    }

    /// The other side has reported on the stream.
    pub(super) fn known(&mut self) {
        self.is_known = true;
    }

    /// Returns true if the SSRC is one of its streams.
    pub(super) fn has(&self, ssrc: Ssrc) -> bool {
        ssrc == self.stream.ssrc() || ssrc == self.rtx.ssrc()
    }
}
