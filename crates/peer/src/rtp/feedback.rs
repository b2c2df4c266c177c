//! RTCP: what the other side reports and asks for, and this side's reports, requests and feedback.

use std::time::{Duration, Instant};

use columba_rtp::congestion::FlowPriority;
use columba_rtp::rtcp::{
    Compound, CompoundWriter, DelaySinceReceiverReport, ExtendedBlock, ExtendedReport, RateRequest,
    ReportBlock, RtcpPacket,
};
use columba_rtp::{CompactNtp, NtpTime, SequenceNumber, Ssrc};

use super::inbound::Inbound;
use super::outbound::Outbound;
use super::path::flow_priority;
use super::redundancy::Corrections;
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
/// stream sends no more (RFC 8083 §4.2, with reports that come each second).
const MAX_UNHEARD: u32 = 10;

/// The time without a report on what is sent after which a stream sends no more (RFC 8083 §4.1):
/// as many reports as of those without news.
const REPORT_TIMEOUT: Duration = Duration::from_secs(15);

/// The time without RTCP of the other side after which the next packet of it says that it is back:
/// a stream that has stopped begins again (RFC 8083 §4.5: by news that what stopped it is over).
/// Longer than the time between two reports of sound, which is 7.5 s at most.
const AWAY: Duration = Duration::from_secs(10);

/// The pause after which a stream that has stopped is tried again, at first and at most: each try
/// in vain doubles it. Meanwhile the path has carried checks of consent (RFC 7675) both ways, or
/// nothing is sent at all.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(15);
const MOST_PAUSE: Duration = Duration::from_secs(120);

/// The least time between two streams that begin anew for their numbers.
const COLLISION_INTERVAL: Duration = Duration::from_secs(10);

/// Clocks of receivers that wait for their answer, at most.
const MAX_CLOCKS: usize = 8;

/// The bitrate that limits nothing.
const NO_LIMIT: u64 = 1_000_000_000;

/// Bits per second that are enough for a picture whose bitrate has no limit: more is not looked
/// for.
const ENOUGH: u64 = 2_500_000;

/// The part by which a bitrate must change to be told.
const TOLD_STEP: f64 = 0.05;

/// Bits per second that each sender of sound is reckoned with.
const AUDIO_SHARE: u64 = 48_000;

/// Returns the bits per second for each weight, by which streams with these weights and limits use
/// a total: what one does not need, the others have.
fn level(total: f64, streams: impl Iterator<Item = (f64, Option<u64>)> + Clone) -> f64 {
    let mut level = 0.0;
    loop {
        let (mut left, mut weights) = (total, 0.0);
        for (weight, limit) in streams.clone() {
            match limit.map(|limit| limit as f64).filter(|limit| *limit < weight * level) {
                Some(limit) => left -= limit,
                None => weights += weight,
            }
        }
        if weights <= 0.0 {
            return f64::INFINITY;
        }
        // Each round finds more that are content, or is the last one.
        let next = left / weights;
        if next <= level {
            return level;
        }
        level = next;
    }
}

impl Media {
    /// Handles a compound packet, or a lone one of reduced size, in the clear.
    pub(super) fn handle_rtcp(&mut self, at: usize, now: Instant, wall: NtpTime, packet: &[u8]) {
        let transport = self.sessions[at].transport;
        self.note_presence(at, now);
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
                    self.note_source(at, now, report.ssrc);
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
                        outbound.begin_again();
                        outbound.limiter.picture_loss();
                    }
                }
                RtcpPacket::FullIntra(requests) => {
                    for (ssrc, number) in requests.requests() {
                        if let Some(outbound) = self.outbound_mut(transport, ssrc) {
                            outbound.stream.stats.fir_count += 1;
                            outbound.begin_again();
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
                RtcpPacket::CongestionControl(feedback) => {
                    self.sessions[at].path.handle_congestion_feedback(now, &feedback);
                }
                RtcpPacket::Tmmbr(requests) => self.handle_limits(at, requests.sender, requests.entries()),
                RtcpPacket::Tmmbn(limits) => {
                    for entry in limits.entries() {
                        let mut streams = self.inbound.iter_mut().filter(|one| one.transport == transport);
                        if let Some(stream) = streams.find(|one| one.ssrc() == limits.sender) {
                            stream.told_limit = Some(entry.bits_per_second);
                        }
                    }
                }
                RtcpPacket::Extended(report) => self.handle_extended(at, now, wall, &report),
                RtcpPacket::Goodbye(goodbye) => {
                    goodbye.sources().for_each(|ssrc| self.handle_goodbye(transport, ssrc));
                }
                _ => {}
            }
        }
        self.tell_wishes(now);
    }

    /// RTCP has come: the other side may have been away.
    fn note_presence(&mut self, at: usize, now: Instant) {
        let session = &mut self.sessions[at];
        let before = session.last_rtcp.replace(now);
        if before.is_some_and(|before| now.saturating_duration_since(before) > AWAY) {
            let of = |one: &&mut Outbound| one.transport == session.transport && one.is_broken(now);
            for outbound in self.outbound.iter_mut().filter(of) {
                outbound.begin_again();
                outbound.want_key();
            }
        }
    }

    fn outbound_mut(&mut self, transport: TransportId, ssrc: Ssrc) -> Option<&mut Outbound> {
        self.outbound.iter_mut().find(|one| one.transport == transport && one.ssrc() == ssrc)
    }

    fn handle_block(&mut self, at: usize, wall: NtpTime, block: &ReportBlock) {
        let transport = self.sessions[at].transport;
        let path_round_trip = self.sessions[at].path.round_trip;
        let Some(outbound) = self.outbound_mut(transport, block.ssrc) else { return };
        outbound.handle_block(block);
        outbound.handle_loss(f64::from(block.fraction_lost) / 256.0, path_round_trip);
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

    /// The other side limits bitrates (RFC 5104 §4.2.1): they hold, and are told back.
    fn handle_limits(&mut self, at: usize, sender: Ssrc, entries: impl Iterator<Item = RateRequest>) {
        let transport = self.sessions[at].transport;
        for entry in entries {
            let Some(outbound) = self.outbound_mut(transport, entry.ssrc) else { continue };
            outbound.tmmbr = Some(entry.bits_per_second);
            let own = outbound.ssrc();
            let Self { sessions, buffer, .. } = self;
            let session = &mut sessions[at];
            let mut writer = CompoundWriter::new(&mut buffer[..MAX_COMPOUND]);
            let limit = RateRequest { ssrc: sender, ..entry };
            let is_reduced = session.sections.reduced_size();
            let begun = if is_reduced { Ok(()) } else { writer.receiver_report(own, &[]) };
            if begun.and_then(|()| writer.tmmbn(own, &[limit])).is_ok() {
                let len = writer.len();
                session.queue_rtcp(&buffer[..len]);
            }
        }
    }

    /// Limits the bitrate that the other side sends to a transceiver: by TMMBR or REMB, as it is
    /// agreed, with each report until it is confirmed. `None` ends it.
    pub(crate) fn set_receive_limit(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        bits_per_second: Option<u64>,
    ) {
        self.limits.retain(|(id, _)| *id != transceiver);
        self.limits.push((transceiver, bits_per_second.unwrap_or(NO_LIMIT)));
        for session in self.sessions.iter_mut() {
            session.next_report = session.next_report.min(now);
        }
    }

    /// Adds the limits of what is received to a report.
    fn write_limits(
        limits: &[(TransceiverId, u64)],
        inbound: &[Inbound],
        transport: TransportId,
        reporter: Ssrc,
        writer: &mut CompoundWriter<'_>,
    ) {
        for (transceiver, bits_per_second) in limits.iter().copied() {
            let of = |one: &&Inbound| one.transport == transport && one.transceiver == transceiver;
            for stream in inbound.iter().filter(of) {
                let is_told = stream.told_limit == Some(bits_per_second);
                let written = if stream.codec.tmmbr && !is_told {
                    let request = RateRequest { ssrc: stream.ssrc(), bits_per_second, overhead: 0 };
                    writer.tmmbr(reporter, &[request])
                } else if stream.codec.remb && !stream.codec.tmmbr {
                    writer.remb(reporter, bits_per_second, &[stream.ssrc()])
                } else {
                    Ok(())
                };
                if written.is_err() {
                    tracing::debug!("a limit of what is received waits for the next report");
                }
            }
        }
    }

    /// Takes the clocks of those who only receive, and their answers to this side's (RFC 3611).
    fn handle_extended(&mut self, at: usize, now: Instant, wall: NtpTime, report: &ExtendedReport<'_>) {
        let reporter = self.reporter(at);
        let session = &mut self.sessions[at];
        for block in report.blocks() {
            match block {
                ExtendedBlock::ReferenceTime(time) => {
                    session.clocks.retain(|(ssrc, ..)| *ssrc != report.sender);
                    if session.clocks.len() == MAX_CLOCKS {
                        session.clocks.remove(0);
                    }
                    session.clocks.push((report.sender, time.compact(), now));
                }
                ExtendedBlock::Delay(delay) if delay.ssrc == reporter => {
                    if let Some(since) = wall.compact().since(delay.last_report) {
                        let round_trip = since.saturating_sub(delay.delay.to_duration());
                        session.path.handle_round_trip(round_trip);
                        let transport = session.transport;
                        // Its streams come from the end of the transport that has answered.
                        for inbound in self.inbound.iter_mut().filter(|one| one.transport == transport) {
                            inbound.stream.handle_round_trip(round_trip);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Answers the clocks that have come since the last report (RFC 3611 §4.5).
    fn write_delays(
        clocks: &mut Vec<(Ssrc, CompactNtp, Instant)>,
        now: Instant,
        reporter: Ssrc,
        writer: &mut CompoundWriter<'_>,
    ) {
        let none =
            DelaySinceReceiverReport { ssrc: Ssrc(0), last_report: CompactNtp(0), delay: CompactNtp(0) };
        let mut delays = [none; MAX_CLOCKS];
        let count = clocks.len();
        for (delay, (ssrc, last_report, at)) in delays.iter_mut().zip(clocks.drain(..)) {
            let passed = now.saturating_duration_since(at).as_secs_f64();
            let passed = CompactNtp((passed * 65_536.0) as u32);
            *delay = DelaySinceReceiverReport { ssrc, last_report, delay: passed };
        }
        if count > 0 && writer.delays(reporter, &delays[..count]).is_err() {
            tracing::debug!("clocks of receivers are not answered: there is no room");
        }
    }

    /// Another source has the number of one of this side's streams: that ends, and begins anew with
    /// another number (RFC 3550 §8.2). One that follows to the new number is this side's own
    /// stream, which comes back in a loop.
    pub(super) fn note_source(&mut self, at: usize, now: Instant, ssrc: Ssrc) {
        let transport = self.sessions[at].transport;
        let of = |one: &Outbound| one.transport == transport && one.has(ssrc);
        let Some(index) = self.outbound.iter().position(of) else { return };
        let session = &mut self.sessions[at];
        let is_recent = |at: Instant| now.saturating_duration_since(at) < COLLISION_INTERVAL;
        if session.is_looped || session.collided.is_some_and(is_recent) {
            session.is_looped = true;
            return;
        }
        session.collided = Some(now);
        let old = self.outbound[index].ssrc();
        if self.outbound[index].has_sent {
            self.say_goodbye(at, old);
        }
        let mut fresh = [Ssrc(0); 2];
        for number in &mut fresh {
            loop {
                *number = Ssrc(self.random());
                let number = *number;
                let is_used = self.outbound.iter().any(|one| one.has(number))
                    || self.inbound.iter().any(|one| one.ssrc() == number);
                if number != Ssrc(0) && !is_used {
                    break;
                }
            }
        }
        let random = [self.random(), self.random()];
        self.outbound[index].renew(fresh, random);
        tracing::debug!(old = old.0, new = fresh[0].0, "another source has the number of a stream");
        let transceiver = self.outbound[index].transceiver;
        self.renumbered.push((transceiver, old.0, fresh.map(|ssrc| ssrc.0)));
    }

    /// Takes a stream that has other numbers now: the transceiver, the former number of its media,
    /// and the new ones.
    pub(crate) fn take_renumbered(&mut self) -> Option<(TransceiverId, u32, [u32; 2])> {
        self.renumbered.pop()
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
        for session in &mut self.sessions {
            let mut wishes = (0, false);
            let of = |one: &&mut Outbound| one.transport == session.transport && one.is_active;
            let kinds = self.outbound.iter_mut().filter(of).map(|one| (one.kind, one.has_sent));
            let sounds =
                kinds.filter(|(kind, has_sent)| *kind == TrackKind::Audio && *has_sent).count() as u64;
            let is_picture = |one: &&Outbound| {
                one.transport == session.transport && one.is_active && one.kind == TrackKind::Video
            };
            let pictures = self.outbound.iter().filter(is_picture);
            session.path.set_weights(FlowPriority::ALL.map(|priority| {
                let of = pictures.clone().filter(|one| flow_priority(one.priority) == priority);
                (priority, of.map(|one| one.weight).sum())
            }));
            // Sound leaves them half of what there is, as in the pacer.
            let both = session.path.bits_beside_data(now);
            let total = both.saturating_sub(sounds * AUDIO_SHARE).max(both / 2);
            let level = level(total as f64, pictures.map(|one| (one.weight, one.limit())));
            wishes.0 += sounds * AUDIO_SHARE;
            for outbound in self.outbound.iter_mut().filter(of).filter(|one| one.kind == TrackKind::Video) {
                let (share, limits) = ((outbound.weight * level) as u64, outbound.limit());
                let given = limits.map_or(share, |most| most.min(share));
                // Corrections take their part of it.
                let media = outbound.corrections.as_ref().map_or(1.0, Corrections::share_of_media);
                let wanted = (given as f64 * media) as u64;
                wishes.0 += limits.unwrap_or(ENOUGH);
                wishes.1 |= outbound.has_sent;
                let told = outbound.told_bitrate.unwrap_or(0);
                if told.abs_diff(wanted) as f64 > TOLD_STEP * told as f64 {
                    outbound.told_bitrate = Some(wanted);
                    let rid = outbound.rid.clone();
                    self.events.push(Event::BitrateWanted(outbound.transceiver, rid, wanted));
                }
            }
            session.path.want(wishes.0, wishes.1);
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
            self.play_tones(at, now, wall);
            self.ask(at, now);
            if self.sessions[at].path.has_feedback(now) {
                self.feed_back(at, now);
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
        let tones = self.outbound.iter().filter_map(|one| one.tones.poll_timeout());
        sessions.chain(streams).flatten().chain(limiters).chain(tones).min()
    }

    /// Queues the packets of tones that are due.
    fn play_tones(&mut self, at: usize, now: Instant, wall: NtpTime) {
        let Self { sessions, outbound, buffer, events, .. } = self;
        let session = &mut sessions[at];
        for one in outbound.iter_mut().filter(|one| one.transport == session.transport) {
            let id = one.transceiver;
            let changed = |tone| events.push(Event::ToneChange(id, tone));
            one.play_tones(now, wall, &mut session.audio, &mut buffer[..], changed);
        }
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
        let has_sent = self.has_sent(at);
        let Self { sessions, outbound, inbound, buffer, limits, .. } = self;
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
        if !writer.is_empty() {
            Self::write_limits(limits, inbound, transport, reporter, &mut writer);
            Self::write_delays(&mut sessions[at].clocks, now, reporter, &mut writer);
            // Senders measure the round trip by the reports on what they send.
            let mut receiving = sessions[at].sections.receiving.iter();
            if !has_sent
                && receiving.any(|one| one.receiver_round_trip)
                && writer.reference_time(reporter, wall).is_err()
            {
                tracing::debug!("a receiver's clock waits for the next report");
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

    /// Queues feedback on arrivals.
    fn feed_back(&mut self, at: usize, now: Instant) {
        let reporter = self.reporter(at);
        let Self { sessions, buffer, .. } = self;
        let session = &mut sessions[at];
        let reduced = session.sections.reduced_size();
        loop {
            let mut writer = CompoundWriter::new(&mut buffer[..MAX_COMPOUND]);
            if !reduced && writer.receiver_report(reporter, &[]).is_err() {
                return;
            }
            if !session.path.write_feedback(now, &mut writer, reporter, session.last_heard) {
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
    /// sends no more (RFC 8083 §4.2).
    fn handle_block(&mut self, block: &ReportBlock) {
        self.known();
        self.unreported = None;
        let is_new = self.heard_until != Some(block.highest_sequence);
        let has_sent = self.stream.stats.packets_sent > self.sent_at_report;
        self.heard_until = Some(block.highest_sequence);
        self.sent_at_report = self.stream.stats.packets_sent;
        // A stream that has stopped stays so for a while: nothing was sent of which news comes.
        self.unheard = if is_new { 0 } else { self.unheard + u32::from(has_sent) };
        if is_new {
            self.pause = FIRST_PAUSE;
        }
        if self.unheard == MAX_UNHEARD {
            tracing::debug!(ssrc = self.ssrc().0, "a stream that does not arrive is sent no more");
        }
    }

    /// The stream is tried again: the other side wants pictures, or has come back, or a pause is
    /// over.
    fn begin_again(&mut self) {
        (self.unheard, self.unreported, self.stopped) = (0, None, None);
    }

    /// Returns whether a frame may be sent. A stream that has stopped is tried again after a pause.
    pub(super) fn may_send(&mut self, now: Instant) -> bool {
        if !self.is_broken(now) {
            self.stopped = None;
            return true;
        }
        let since = *self.stopped.get_or_insert(now);
        let is_over = now.saturating_duration_since(since) >= self.pause;
        if is_over {
            self.pause = (2 * self.pause).min(MOST_PAUSE);
            self.begin_again();
        }
        // Pictures that are refused are missing to those that follow.
        self.want_key();
        is_over
    }

    /// Returns true if what is sent does not arrive for long, or nothing is reported of it.
    fn is_broken(&self, now: Instant) -> bool {
        let is_late = |since: Instant| now.saturating_duration_since(since) > REPORT_TIMEOUT;
        self.unheard >= MAX_UNHEARD || self.unreported.is_some_and(is_late)
    }
}
