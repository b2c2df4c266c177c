//! One encoding that is sent: frames become packets, which are kept for those who ask again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_rtp::extension::{
    AbsSendTime, AudioLevel, ExtensionForm, HeaderExtension, Mid, RepairedRid, Rid, TransportSequenceNumber,
};
use columba_rtp::payload::{Format, Packetizer};
use columba_rtp::stream::{FrameRate, History, HistoryLimits, KeyFrameLimiter, StreamSender};
use columba_rtp::{
    FIXED_HEADER_LEN, FixedHeader, NtpTime, Packet, PacketMut, PacketWriter, PayloadType, RtpTimestamp,
    SequenceNumber, Ssrc, WriteError,
};

use super::dtmf::{Step, Tones};
use super::feedback::FIRST_PAUSE;
use super::frame::{OutgoingFrame, linear_level};
use super::path::flow_priority;
use super::queue::Queue;
use super::redundancy::{self, Copies, Corrections};
use super::sections::{AgreedCodec, AgreedEncoding, Extensions, Role, SendingSection};
use crate::data::Priority;
use crate::error::Error;
use crate::media::{TrackKind, TransceiverId};
use crate::transport::TransportId;

/// The least time between two key frames that the other side's requests cause.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(500);

/// Frames whose packets may wait, of which is remembered since when.
const QUEUED: usize = 32;

/// The longest payload with copies of sound, in bytes.
const MAX_COPIED: usize = 1000;

/// The time after which a stream names its section again. A receiver may forget whose it is
/// (Firefox does in a rollback), and would believe retransmissions alone, which name it always.
const NAMED_EACH: Duration = Duration::from_secs(1);

/// Bytes of a packet that only tries the path, beside its header.
const PROBE_PADDING: u8 = 224;

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
    pub(super) priority: Priority,
    /// Its part beside other streams.
    pub(super) weight: f64,
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
    /// The packets of the present frame name their section.
    is_named: bool,
    /// The time of the last frame that did.
    named_at: Option<Instant>,
    pub(super) has_sent: bool,
    /// Copies of sound, where they are agreed.
    copies: Option<Copies>,
    /// Corrections of pictures, where they are agreed.
    pub(super) corrections: Option<Corrections>,
    /// The part of packets lost that the other side reports, smoothed.
    loss: f64,
    pub(super) tones: Tones,
    /// The bitrate that the other side allows (TMMBR).
    pub(super) tmmbr: Option<u64>,
    /// The place of the encoding among those of its sender.
    pub(super) encoding_index: u32,
    pub(super) rate: FrameRate,
    /// The loudness of the last frame, 0 to 1, where the application tells it.
    pub(super) audio_level: Option<f64>,
    /// The last frames, and when each was given to the sender.
    queued: [Option<(RtpTimestamp, Instant)>; QUEUED],
    next_queued: usize,
    /// The timestamp of the last packet that has left.
    leaving: Option<RtpTimestamp>,
    /// Pictures were refused or given up: what follows builds on them, up to a key frame.
    needs_key: bool,
    /// Something was sent since the other side's last report, first then.
    pub(super) unreported: Option<Instant>,
    /// The time at which a stream that is broken was to send first, and the time after which it is
    /// tried again.
    pub(super) stopped: Option<Instant>,
    pub(super) pause: Duration,
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
            priority: Priority::default(),
            weight: 0.0,
            stream: StreamSender::new(encoding.ssrc, rate, first(random[0])),
            rtx: StreamSender::new(encoding.rtx, rate, first(random[1])),
            history: None,
            packetizer: Packetizer::new(Format::Whole),
            current: None,
            offset: random[2],
            limiter: KeyFrameLimiter::new(KEY_FRAME_INTERVAL),
            is_known: false,
            is_named: true,
            named_at: None,
            has_sent: false,
            copies: None,
            corrections: None,
            loss: 0.0,
            tones: Tones::default(),
            tmmbr: None,
            encoding_index: 0,
            rate: FrameRate::default(),
            audio_level: None,
            queued: [None; QUEUED],
            next_queued: 0,
            leaving: None,
            needs_key: false,
            unreported: None,
            stopped: None,
            pause: FIRST_PAUSE,
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
        self.named_at = None;
        (self.transport, self.extensions) = (transport, section.extensions);
        self.codecs.clone_from(&section.codecs);
        let mutable = self.mutable();
        let corrections = Corrections::of(&self.codecs, mutable).filter(|_| self.kind == TrackKind::Video);
        match (&self.corrections, corrections) {
            (Some(own), Some(agreed)) if own.is_same(&agreed) => {}
            (_, agreed) => self.corrections = agreed,
        }
        self.chosen = encoding.payload_type;
        self.is_active = encoding.active;
        self.priority = encoding.priority;
        let at = section.encodings.iter().position(|one| one.ssrc == encoding.ssrc);
        self.encoding_index = at.unwrap_or_default() as u32;
        let active = section.encodings.iter().filter(|one| one.active).count();
        self.weight = flow_priority(encoding.priority).weight() / active.max(1) as f64;
        self.max_bitrate = [encoding.max_bitrate, section.max_bitrate].into_iter().flatten().min();
        begins
    }

    /// Returns the bits per second that it may have at most.
    pub(super) fn limit(&self) -> Option<u64> {
        [self.max_bitrate, self.tmmbr].into_iter().flatten().min()
    }

    pub(super) fn ssrc(&self) -> Ssrc {
        self.stream.ssrc()
    }

    /// The header extensions that are written when a packet leaves; none has number 0.
    fn mutable(&self) -> [u8; 2] {
        [self.extensions.transport, self.extensions.send_time].map(Option::unwrap_or_default)
    }

    /// Begins new streams, because another source has the numbers of these (RFC 3550 §8.2).
    pub(super) fn renew(&mut self, [ssrc, rtx]: [Ssrc; 2], random: [u32; 2]) {
        let first = |number: u32| SequenceNumber((number >> 16) as u16);
        let rate =
            self.current.or_else(|| self.codecs.first().copied()).map_or(90_000, |codec| codec.clock_rate);
        self.stream = StreamSender::new(ssrc, rate, first(random[0]));
        self.rtx = StreamSender::new(rtx, rate, first(random[1]));
        (self.history, self.is_known, self.has_sent) = (None, false, false);
        (self.unheard, self.heard_until, self.sent_at_report) = (0, None, 0);
        (self.unreported, self.copies) = (None, None);
        self.corrections = Corrections::of(&self.codecs, self.mutable());
        self.limiter.picture_loss();
    }

    /// Takes the part of packets that the other side reports as lost.
    pub(super) fn handle_loss(&mut self, loss: f64, round_trip: Duration) {
        self.loss += 0.3 * (loss - self.loss);
        if let Some(corrections) = &mut self.corrections {
            corrections.handle_loss(self.loss, round_trip);
        }
    }

    /// Forgets what was reported: the path is another one.
    pub(super) fn handle_path_change(&mut self) {
        (self.unheard, self.unreported, self.loss) = (0, None, 0.0);
        self.pause = FIRST_PAUSE;
    }

    /// Returns the SSRC of retransmissions, if there are such.
    pub(super) fn rtx_ssrc(&self) -> Option<Ssrc> {
        self.codecs.iter().any(|codec| codec.rtx.is_some()).then(|| self.rtx.ssrc())
    }

    /// Returns the codec of the last frame, with which statistics are told.
    pub(super) fn current(&self) -> Option<&AgreedCodec> {
        self.current.as_ref()
    }

    /// Returns true if the other side tells of arrivals: by transport-wide numbers, or by those of
    /// the stream (RFC 8888).
    pub(super) fn is_told(&self) -> bool {
        let wide = self.extensions.transport.is_some() && self.codecs.iter().any(|codec| codec.transport_cc);
        wide || self.has_ccfb()
    }

    fn has_ccfb(&self) -> bool {
        self.codecs.iter().any(|codec| codec.ccfb)
    }

    /// Returns true if its packets are remembered until the other side tells of them.
    pub(super) fn is_numbered(&self) -> bool {
        self.extensions.transport.is_some() || self.has_ccfb()
    }

    fn codec(&self, wanted: Option<u8>) -> Result<AgreedCodec, Error> {
        let wanted = wanted.and_then(PayloadType::new).or(self.chosen);
        let is_wanted = |codec: &&AgreedCodec| {
            matches!(codec.role, Role::Media(_)) && wanted.is_none_or(|wanted| codec.payload_type == wanted)
        };
        let codec = self.codecs.iter().find(is_wanted).copied();
        codec.ok_or_else(|| Error::InvalidFrame { reason: "its payload type is not agreed".into() })
    }

    /// Takes the codec of the next frame.
    fn begin_codec(&mut self, codec: AgreedCodec, format: Format) {
        if self.current == Some(codec) {
            return;
        }
        if self.packetizer.format() != format {
            self.packetizer = Packetizer::new(format);
        }
        self.stream.set_clock_rate(codec.clock_rate);
        self.current = Some(codec);
    }

    /// Cuts a frame into packets of at most `largest` bytes, which wait in `queue`.
    pub(super) fn send(
        &mut self,
        now: Instant,
        frame: &OutgoingFrame<'_>,
        largest: usize,
        queue: &mut Queue<Instant>,
        buffer: &mut [u8],
    ) -> Result<(), Error> {
        if !self.may_send(now) {
            return Err(Error::NotSending);
        }
        // A tone takes the place of the sound.
        if self.tones.sounds() {
            return Ok(());
        }
        let codec = self.codec(frame.payload_type)?;
        let Role::Media(format) = codec.role else {
            return Err(Error::InvalidFrame { reason: "its payload type carries no media".into() });
        };
        self.begin_codec(codec, format);
        let is_key = format.is_key_frame(frame.data);
        self.name(now, is_key && self.kind == TrackKind::Video);
        let level = frame.audio_level.map(|(level, voice)| AudioLevel { level, voice });
        let head = FIXED_HEADER_LEN + self.extensions_len(level.is_some());
        let largest = largest.min(buffer.len());
        let (protects, copies) = self.redundancy(&codec);
        let redundancy = if protects { redundancy::OVERHEAD + head - FIXED_HEADER_LEN } else { 0 };
        let room = largest.saturating_sub(head + RTX_OVERHEAD + redundancy);
        let refused =
            |error: columba_rtp::payload::FrameError| Error::InvalidFrame { reason: error.to_string() };
        let count = self.packetizer.begin(frame.data, room).map_err(refused)?;
        // A correction protects two packets at least; some were sent before.
        let most = if protects { 2 * count + 2 } else { count };
        let is_useful = !self.needs_key || is_key;
        if !is_useful || !queue.has_room(most, most * largest) {
            self.want_key();
            return Err(Error::BufferFull);
        }
        self.needs_key = false;
        let ticks = frame.timestamp.as_nanos() * u128::from(codec.clock_rate) / 1_000_000_000;
        let timestamp = RtpTimestamp(self.offset.wrapping_add(ticks as u32));
        self.stream.handle_captured(frame.captured_at.unwrap_or(now), timestamp);
        let is_audio = self.kind == TrackKind::Audio;
        let (mut payload, mut wrapped) = ([0; super::MAX_PACKET], [0; super::MAX_PACKET]);
        let mut following = count;
        if let Some(corrections) = self.corrections.as_mut().filter(|_| protects) {
            corrections.begin_picture(now, count);
        }
        while let Some(part) = self.packetizer.next(frame.data, &mut payload[..room]).map_err(refused)? {
            // The marker of sound is that of its beginning (RFC 3551 §4.1).
            let marker = if is_audio { frame.begins_talk } else { part.last };
            let header = self.stream.next_header(codec.payload_type, timestamp, marker);
            let copied = copies.and_then(|red| self.copy(red, &header, &payload[..part.len], &mut wrapped));
            let (header, data) = match copied {
                Some((header, len)) => (header, &wrapped[..len]),
                None => (header, &payload[..part.len]),
            };
            let written = self
                .begin_packet(buffer, &header, level.as_ref(), false)
                .and_then(|writer| writer.payload(data, part.padding));
            let len = written.map_err(|error| Error::InvalidFrame { reason: error.to_string() })?;
            if protects {
                following = following.saturating_sub(1);
                self.protect(now, &buffer[..len], following, queue, &mut wrapped);
            } else {
                queue.push(now, &buffer[..len]);
            }
        }
        if self.corrections.as_mut().is_some_and(|one| protects && one.end_picture(now)) {
            self.correct(now, timestamp, queue);
        }
        self.stream.stats.handle_frame(frame.data.len());
        self.rate.handle_frame(now);
        self.audio_level = frame.audio_level.map(|(level, _)| linear_level(level));
        self.queued[self.next_queued] = Some((timestamp, now));
        self.next_queued = (self.next_queued + 1) % QUEUED;
        self.has_sent = true;
        Ok(())
    }

    /// Decides whether the packets of a frame name their section: until the other side has reported
    /// on the stream, with pictures that a decoder can begin with, and now and then.
    fn name(&mut self, now: Instant, is_beginning: bool) {
        let is_due = self.named_at.is_none_or(|at| now.saturating_duration_since(at) >= NAMED_EACH);
        self.is_named = !self.is_known || is_beginning || is_due;
        if self.is_named {
            self.named_at = Some(now);
        }
    }

    /// Returns whether pictures are protected by corrections, and the payload type that carries
    /// copies of sound.
    fn redundancy(&self, codec: &AgreedCodec) -> (bool, Option<PayloadType>) {
        match self.kind {
            TrackKind::Video => (self.corrections.as_ref().is_some_and(|one| one.is_on), None),
            TrackKind::Audio => (false, redundancy::of_sound(&self.codecs, codec)),
        }
    }

    /// Writes a frame of sound with copies of those before; returns the header and the length of
    /// the payload.
    fn copy(
        &mut self,
        red: PayloadType,
        header: &FixedHeader,
        frame: &[u8],
        out: &mut [u8; super::MAX_PACKET],
    ) -> Option<(FixedHeader, usize)> {
        let codec = header.payload_type;
        if self.copies.as_ref().is_none_or(|copies| (copies.red, copies.codec) != (red, codec)) {
            self.copies = Some(Copies::new(red, codec));
        }
        // What does not fit goes without copies.
        let len = self.copies.as_mut()?.write(header.timestamp, frame, &mut out[..MAX_COPIED])?;
        Some((FixedHeader { payload_type: red, ..*header }, len))
    }

    /// Queues a packet of pictures, wrapped, behind which the picture has so many more.
    fn protect(
        &mut self,
        now: Instant,
        packet: &[u8],
        following: usize,
        queue: &mut Queue<Instant>,
        wrapped: &mut [u8; super::MAX_PACKET],
    ) {
        let Some(corrections) = &mut self.corrections else { return };
        corrections.add(packet, following);
        match redundancy::wrap(packet, corrections.red, wrapped) {
            Some(len) => queue.push(now, &wrapped[..len]),
            None => queue.push(now, packet),
        };
    }

    /// Queues the corrections that are due behind a picture.
    fn correct(&mut self, now: Instant, timestamp: RtpTimestamp, queue: &mut Queue<Instant>) {
        let Some(mut corrections) = self.corrections.take() else { return };
        let mut correction = [0; super::MAX_PACKET];
        let mut buffer = [0; super::MAX_PACKET];
        while let Some(len) = corrections.write(&mut correction[1..]) {
            correction[0] = corrections.ulpfec.get();
            let header = self.stream.next_header(corrections.red, timestamp, false);
            let writer = self.begin_packet(&mut buffer, &header, None, false);
            if let Ok(len) = writer.and_then(|writer| writer.payload(&correction[..=len], 0)) {
                queue.push(now, &buffer[..len]);
            }
        }
        self.corrections = Some(corrections);
    }

    /// Writes a packet that only tries the path: a retransmission of nothing. Returns its length.
    pub(super) fn write_probe(&mut self, now: Instant, wall: NtpTime, buf: &mut [u8]) -> Option<usize> {
        let rtx = self.current?.rtx.filter(|_| self.is_known && self.extensions.transport.is_some())?;
        let timestamp = self.stream.report(now, wall)?.rtp_time;
        let header = self.rtx.next_header(rtx, timestamp, false);
        self.begin_packet(buf, &header, None, true).ok()?.payload(&[], PROBE_PADDING).ok()
    }

    /// Queues the packets of tones that are due. Returns the changes: a tone, or none any more.
    pub(super) fn play_tones(
        &mut self,
        now: Instant,
        wall: NtpTime,
        queue: &mut Queue<Instant>,
        buffer: &mut [u8],
        mut changed: impl FnMut(Option<char>),
    ) {
        while self.tones.poll_timeout().is_some_and(|at| at <= now) {
            let Some(codec) = self.tones_codec().filter(|_| self.is_active) else {
                return self.tones.clear();
            };
            let report = self.stream.report(now, wall);
            let timestamp = report.map_or(RtpTimestamp(self.offset), |report| report.rtp_time);
            match self.tones.poll(now, timestamp, codec.clock_rate) {
                None => return,
                Some(Step::Begins(tone)) => changed(Some(tone)),
                Some(Step::Ended) => changed(None),
                Some(Step::Packet(timestamp, marker, payload)) => {
                    let header = self.stream.next_header(codec.payload_type, timestamp, marker);
                    let writer = self.begin_packet(buffer, &header, None, false);
                    if let Ok(len) = writer.and_then(|writer| writer.payload(&payload, 0)) {
                        queue.push(now, &buffer[..len]);
                    }
                }
            }
        }
    }

    /// Returns the codec of tones: that with the clock of the sound (RFC 4733 §2.1).
    pub(super) fn tones_codec(&self) -> Option<AgreedCodec> {
        let media = |one: &&AgreedCodec| matches!(one.role, Role::Media(_)) && !one.tones;
        let sound = self.current.or_else(|| self.codecs.iter().find(media).copied())?;
        let is_of = |one: &&AgreedCodec| one.tones && one.clock_rate == sound.clock_rate;
        self.codecs.iter().find(is_of).copied()
    }

    /// The bytes of the header extensions of a packet, with what stands before and behind them.
    fn extensions_len(&self, has_level: bool) -> usize {
        let Extensions { mid, rid, transport, send_time, level, .. } = self.extensions;
        let names = self.is_named;
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
        if self.is_named || is_repair {
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
        queue: &mut Queue<Instant>,
        buffer: &mut [u8],
    ) {
        let Some(mut history) = self.history.take() else { return };
        if let Some(packet) = history.resend(now, sequence, round_trip)
            && let Some(len) = self.write_retransmission(packet, sequence, buffer)
            && queue.has_room(1, len)
        {
            queue.push(now, &buffer[..len]);
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
            if payload > 0 {
                self.stream.handle_resent(payload);
            }
        } else {
            self.stream.handle_sent(now, fixed.timestamp, head, payload);
            self.leaving = Some(fixed.timestamp);
            let mut queued = self.queued.iter().flatten();
            if let Some((_, since)) = queued.find(|(timestamp, _)| *timestamp == fixed.timestamp) {
                self.stream.stats.total_packet_send_delay += now.saturating_duration_since(*since);
            }
            self.unreported.get_or_insert(now);
            if let Some(codec) = self.current.filter(|codec| codec.nack && codec.rtx.is_some()) {
                let history = self.history.get_or_insert_with(|| History::new(HistoryLimits::default()));
                let mut plain = [0; super::MAX_PACKET];
                let red = self.corrections.as_ref().map(|one| one.red);
                let unwrapped = (Some(fixed.payload_type) == red)
                    .then(|| redundancy::unwrap(packet, codec.payload_type, &mut plain))
                    .flatten();
                let stored = unwrapped.map_or(&*packet, |len| &plain[..len]);
                history.store(now, fixed.sequence_number, stored);
            }
        }
        Some((fixed.ssrc, fixed.sequence_number))
    }

    /// Returns the header of a packet of pictures of this stream that have not begun to leave.
    fn waits(&self, packet: &[u8]) -> Option<FixedHeader> {
        let fixed = Packet::parse(packet).ok()?.fixed();
        (fixed.ssrc == self.ssrc() && self.leaving != Some(fixed.timestamp)).then_some(fixed)
    }

    /// Returns the bytes of pictures that wait, but for one that has begun to leave.
    pub(super) fn waiting(&self, queue: &Queue<Instant>) -> usize {
        queue.packets().filter(|packet| self.waits(packet).is_some()).map(<[u8]>::len).sum()
    }

    /// Gives the pictures up that wait, but for one that has begun to leave. Their numbers are
    /// given once more, so that the other side does not ask for them. Returns true if there were
    /// some.
    pub(super) fn give_up(&mut self, queue: &mut Queue<Instant>) -> bool {
        let (mut first, mut last, mut frames) = (None, None, 0);
        queue.retain(|packet| {
            let Some(fixed) = self.waits(packet) else { return true };
            first.get_or_insert(fixed.sequence_number);
            frames += u64::from(last.replace(fixed.timestamp) != Some(fixed.timestamp));
            false
        });
        let Some(first) = first else { return false };
        tracing::debug!(ssrc = self.ssrc().0, frames, "pictures have waited for too long, and are given up");
        self.stream.handle_given_up(first, frames);
        if let Some(corrections) = &mut self.corrections {
            corrections.begin_again();
        }
        self.want_key();
        true
    }

    /// A picture does not go, and those that follow build on it. Sound has nothing of that.
    pub(super) fn want_key(&mut self) {
        if self.kind == TrackKind::Video {
            self.needs_key = true;
            self.limiter.picture_loss();
        }
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
