//! RTCP: what the other side reports and asks for, and this side's reports, requests and feedback.

use std::time::{Duration, Instant};

use columba_rtp::rtcp::{Compound, CompoundWriter, ReportBlock, RtcpPacket};
use columba_rtp::{NtpTime, SequenceNumber, Ssrc};

use super::outbound::Outbound;
use super::{Media, Sink};
use crate::event::Event;
use crate::media::{TrackKind, TransceiverId};
use crate::transport::TransportId;

/// The time between two reports, before it is varied (RFC 3550 §6.3.1): as browsers have it for
/// video.
const REPORT_INTERVAL: Duration = Duration::from_millis(1000);

/// The longest compound packet.
const MAX_COMPOUND: usize = 1200;

/// Report blocks in one packet at most.
const MAX_BLOCKS: usize = 31;

/// Reports in a row by which nothing new has arrived, although packets were sent, after which a
/// stream sends no more (RFC 8083 §4.3, with reports that come each second).
const MAX_UNHEARD: u32 = 10;

/// The part by which a bitrate must change to be told.
const TOLD_STEP: f64 = 0.05;

/// Bits per second that each sender of sound is reckoned with.
const AUDIO_SHARE: u64 = 48_000;

impl Media {
    /// Handles a compound packet, or a lone one of reduced size, in the clear.
    pub(super) fn handle_rtcp(&mut self, at: usize, now: Instant, wall: NtpTime, packet: &[u8]) {
        let transport = self.sessions[at].transport;
        for part in Compound::new(packet) {
            let part = match part {
                Ok(part) => part,
                Err(error) => {
                    tracing::debug!(%error, "the rest of an RTCP packet is dropped");
                    return;
                }
            };
            match part {
                RtcpPacket::SenderReport(report) => {
                    if let Some(inbound) = self
                        .inbound
                        .iter_mut()
                        .find(|one| one.ssrc() == report.ssrc && one.transport == transport)
                    {
                        inbound.stream.handle_sender_report(now, &report.info);
                    }
                    report.blocks().for_each(|block| self.handle_block(at, wall, &block));
                }
                RtcpPacket::ReceiverReport(report) => {
                    report.blocks().for_each(|block| self.handle_block(at, wall, &block));
                }
                RtcpPacket::Nack(nack) => self.handle_nack(at, now, nack.media, nack.missing()),
                RtcpPacket::PictureLoss(loss) => {
                    if let Some(outbound) = self.outbound_mut(transport, loss.media) {
                        outbound.stream.stats.pli_count += 1;
                        outbound.limiter.picture_loss();
                    }
                }
                RtcpPacket::FullIntra(requests) => {
                    for (ssrc, number) in requests.requests() {
                        if let Some(outbound) = self.outbound_mut(transport, ssrc) {
                            outbound.stream.stats.fir_count += 1;
                            outbound.limiter.full_intra(number);
                        }
                    }
                }
                RtcpPacket::Transport(feedback) => self.sessions[at].path.handle_feedback(now, &feedback),
                RtcpPacket::Remb(remb) => {
                    let path = &mut self.sessions[at].path;
                    path.remb = Some(remb.bits_per_second);
                    path.update(now);
                }
                RtcpPacket::Goodbye(goodbye) => {
                    goodbye.sources().for_each(|ssrc| self.handle_goodbye(transport, ssrc));
                }
                _ => {}
            }
        }
        self.tell_wishes(now);
    }

    fn outbound_mut(&mut self, transport: TransportId, ssrc: Ssrc) -> Option<&mut Outbound> {
        self.outbound.iter_mut().find(|one| one.transport == transport && one.ssrc() == ssrc)
    }

    fn handle_block(&mut self, at: usize, wall: NtpTime, block: &ReportBlock) {
        let transport = self.sessions[at].transport;
        let Some(outbound) = self.outbound_mut(transport, block.ssrc) else { return };
        outbound.handle_block(block);
        if let Some(round_trip) = outbound.stream.handle_report(wall, block) {
            self.sessions[at].path.handle_round_trip(round_trip);
        }
    }

    fn handle_nack(
        &mut self,
        at: usize,
        now: Instant,
        ssrc: Ssrc,
        missing: impl Iterator<Item = SequenceNumber>,
    ) {
        let Self { sessions, outbound, buffer, .. } = self;
        let session = &mut sessions[at];
        let of = |one: &&mut Outbound| one.transport == session.transport && one.ssrc() == ssrc;
        let Some(outbound) = outbound.iter_mut().find(of) else { return };
        outbound.stream.stats.nack_count += 1;
        let round_trip = session.path.round_trip;
        for sequence in missing {
            outbound.resend(now, sequence, round_trip, &mut session.repair, &mut buffer[..]);
        }
    }

    /// The other side has ended a stream: its track is muted until another begins.
    fn handle_goodbye(&mut self, transport: TransportId, ssrc: Ssrc) {
        let found = self.inbound.iter().position(|one| one.transport == transport && one.ssrc() == ssrc);
        let Some(at) = found else { return };
        let ended = self.inbound.swap_remove(at);
        if !self.inbound.iter().any(|one| one.transceiver == ended.transceiver) {
            self.heard.retain(|one| *one != ended.transceiver);
            self.events.push(Event::TrackMuted(ended.transceiver, ended.kind));
        }
    }

    /// Tells the application of key frames that are wanted, and of bitrates that have changed.
    pub(super) fn tell_wishes(&mut self, now: Instant) {
        for outbound in self.outbound.iter_mut().filter(|one| one.is_active && one.kind == TrackKind::Video) {
            if outbound.limiter.poll(now) {
                self.events.push(Event::KeyFrameWanted(outbound.transceiver, outbound.rid.clone()));
            }
        }
        for session in &self.sessions {
            let of = |one: &&mut Outbound| one.transport == session.transport && one.is_active;
            let kinds = self.outbound.iter_mut().filter(of).map(|one| (one.kind, one.has_sent));
            let (mut sounds, mut pictures) = (0, 0);
            for (kind, has_sent) in kinds {
                match kind {
                    TrackKind::Audio => sounds += u64::from(has_sent),
                    TrackKind::Video => pictures += 1,
                }
            }
            let total = session.path.bits_beside_data(now).saturating_sub(sounds * AUDIO_SHARE);
            let mut left = (total, pictures);
            for outbound in self.outbound.iter_mut().filter(of).filter(|one| one.kind == TrackKind::Video) {
                // What one does not need, the next ones may have.
                let share = left.0 / left.1.max(1);
                let wanted = outbound.max_bitrate.map_or(share, |most| most.min(share));
                left = (left.0 - wanted, left.1 - 1);
                let told = outbound.told_bitrate.unwrap_or(0);
                if told.abs_diff(wanted) as f64 > TOLD_STEP * told as f64 {
                    outbound.told_bitrate = Some(wanted);
                    let rid = outbound.rid.clone();
                    self.events.push(Event::BitrateWanted(outbound.transceiver, rid, wanted));
                }
            }
        }
    }

    /// Handles deadlines. `round_trip` is that of a transport, where ICE has measured it.
    pub(crate) fn handle_timeout(
        &mut self,
        now: Instant,
        wall: NtpTime,
        round_trip: impl Fn(TransportId) -> Option<Duration>,
    ) {
        for at in 0..self.sessions.len() {
            let session = &mut self.sessions[at];
            session.path.handle_timeout(now);
            // The owner polls for packets now. One that waits for a stream gets no other deadline.
            session.opening = session.opening.filter(|opening| *opening > now);
            if self.sessions[at].next_report <= now {
                let (transport, has_senders) = (self.sessions[at].transport, self.has_sent(at));
                if let Some(round_trip) = round_trip(transport).filter(|_| !has_senders) {
                    self.sessions[at].path.round_trip = round_trip;
                }
                self.report(at, now, wall);
                let varied = REPORT_INTERVAL.mul_f64(0.5 + f64::from(self.random()) / f64::from(u32::MAX));
                self.sessions[at].next_report = now + varied;
            }
            self.ask(at, now);
            if self.sessions[at].path.has_feedback(now) {
                self.feed_back(at);
            }
        }
        self.tell_wishes(now);
    }

    /// Returns the next deadline.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let sessions =
            self.sessions.iter().filter(|one| !one.sections.is_empty()).flat_map(|session| {
                [Some(session.next_report), session.opening, session.path.poll_timeout()]
            });
        let streams = self.inbound.iter().map(|one| one.poll_timeout());
        // The limiters answer by the time that they were asked, which is past already.
        let limiters = self.outbound.iter().filter(|one| one.is_active).filter_map(|one| {
            let session = self.sessions.iter().find(|session| session.transport == one.transport)?;
            one.limiter.poll_timeout(session.next_report)
        });
        sessions.chain(streams).flatten().chain(limiters).min()
    }

    fn has_sent(&self, at: usize) -> bool {
        let transport = self.sessions[at].transport;
        self.outbound.iter().any(|one| one.transport == transport && one.has_sent)
    }

    /// The stream by which this side reports and asks.
    fn reporter(&self, at: usize) -> Ssrc {
        let session = &self.sessions[at];
        let own = self.outbound.iter().find(|one| one.transport == session.transport);
        own.map_or(session.own, Outbound::ssrc)
    }

    /// Queues the reports of all streams of a transport.
    fn report(&mut self, at: usize, now: Instant, wall: NtpTime) {
        let transport = self.sessions[at].transport;
        let reporter = self.reporter(at);
        let Self { sessions, outbound, inbound, buffer, .. } = self;
        let mut blocks = [ReportBlock::default(); MAX_BLOCKS];
        let mut count = 0;
        for stream in inbound.iter_mut().filter(|one| one.transport == transport) {
            if count < MAX_BLOCKS
                && let Some(block) = stream.stream.report(now)
            {
                blocks[count] = block;
                count += 1;
            }
        }
        let mut left = &blocks[..count];
        let mut writer = CompoundWriter::new(&mut buffer[..MAX_COMPOUND]);
        let senders = outbound.iter().filter(|one| one.transport == transport && one.is_active);
        for sender in senders {
            let Some(info) = sender.stream.report(now, wall) else { continue };
            let written = writer.sender_report(sender.ssrc(), &info, left);
            if written.and_then(|()| writer.cname(sender.ssrc(), &sender.cname)).is_err() {
                // Only with very many senders: those are reported the next time.
                break;
            }
            left = &[];
        }
        if !left.is_empty() || (writer.is_empty() && count > 0) {
            let cname = outbound.iter().find(|one| one.transport == transport);
            let cname = cname.map_or("columba", |one| &*one.cname);
            let written = writer.receiver_report(reporter, left);
            if let Err(error) = written.and_then(|()| writer.cname(reporter, cname)) {
                tracing::debug!(%error, "a report is incomplete");
            }
        }
        let len = writer.len();
        sessions[at].queue_rtcp(&buffer[..len]);
    }

    /// Asks for packets that are missing, and for key frames.
    fn ask(&mut self, at: usize, now: Instant) {
        let reporter = self.reporter(at);
        let Self { sessions, inbound, buffer, frames, events, scratch, missing, .. } = self;
        let session = &mut sessions[at];
        let reduced = session.sections.reduced_size();
        let (round_trip, transport) = (session.path.round_trip, session.transport);
        for stream in inbound.iter_mut().filter(|one| one.transport == transport) {
            if stream.poll_timeout().is_none_or(|deadline| deadline > now) {
                continue;
            }
            let mut sink = Sink { frames, events };
            let take = &mut |about, data: &[u8]| sink.take(about, data);
            let wants_key = stream.handle_timeout(now, round_trip, missing, take, scratch);
            let mut writer = CompoundWriter::new(&mut buffer[..MAX_COMPOUND]);
            if !reduced && writer.receiver_report(reporter, &[]).is_err() {
                continue;
            }
            let (ssrc, begun) = (stream.ssrc(), writer.len());
            if stream.codec.nack && !missing.is_empty() && writer.nack(reporter, ssrc, missing).is_ok() {
                stream.stream.stats.nack_count += 1;
            }
            if wants_key && stream.codec.pli {
                if writer.picture_loss(reporter, ssrc).is_ok() {
                    stream.stream.stats.pli_count += 1;
                }
            } else if wants_key && stream.codec.fir {
                stream.full_intra_number = stream.full_intra_number.wrapping_add(1);
                if writer.full_intra(reporter, &[(ssrc, stream.full_intra_number)]).is_ok() {
                    stream.stream.stats.fir_count += 1;
                }
            }
            let len = writer.len();
            if len > begun {
                session.queue_rtcp(&buffer[..len]);
            }
        }
    }

    /// Queues transport-wide feedback.
    fn feed_back(&mut self, at: usize) {
        let reporter = self.reporter(at);
        let Self { sessions, buffer, .. } = self;
        let session = &mut sessions[at];
        let reduced = session.sections.reduced_size();
        loop {
            let mut writer = CompoundWriter::new(&mut buffer[..MAX_COMPOUND]);
            if !reduced && writer.receiver_report(reporter, &[]).is_err() {
                return;
            }
            if !session.path.write_feedback(&mut writer, reporter, session.last_heard) {
                return;
            }
            let len = writer.len();
            session.queue_rtcp(&buffer[..len]);
        }
    }

    /// Queues the end of streams that are sent no longer.
    pub(super) fn say_goodbye(&mut self, at: usize, ssrc: Ssrc) {
        let Self { sessions, buffer, .. } = self;
        let mut writer = CompoundWriter::new(&mut buffer[..MAX_COMPOUND]);
        let written = writer.receiver_report(ssrc, &[]).and_then(|()| writer.goodbye(&[ssrc], None));
        if written.is_ok() {
            let len = writer.len();
            sessions[at].queue_rtcp(&buffer[..len]);
        }
    }

    /// Asks for a key frame of all streams of a transceiver.
    pub(crate) fn request_key_frame(&mut self, now: Instant, transceiver: TransceiverId) {
        for stream in self.inbound.iter_mut().filter(|one| one.transceiver == transceiver) {
            stream.want_key_frame(now);
        }
    }
}

impl Outbound {
    /// Takes the other side's report. If it goes on to hear nothing of what is sent, the stream
    /// sends no more (RFC 8083 §4.3).
    fn handle_block(&mut self, block: &ReportBlock) {
        self.known();
        let is_new = self.heard_until != Some(block.highest_sequence);
        let has_sent = self.stream.stats.packets_sent > self.sent_at_report;
        self.heard_until = Some(block.highest_sequence);
        self.sent_at_report = self.stream.stats.packets_sent;
        self.unheard = if is_new || !has_sent { 0 } else { self.unheard + 1 };
        if self.unheard == MAX_UNHEARD {
            tracing::debug!(ssrc = self.ssrc().0, "a stream that does not arrive is sent no more");
        }
    }

    /// Returns true if what is sent does not arrive for long.
    pub(super) fn is_broken(&self) -> bool {
        self.unheard >= MAX_UNHEARD
    }
}
