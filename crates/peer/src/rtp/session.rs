//! The packets of one transport, whose keys are known: what waits, and in which order it goes.

use std::time::Instant;

use columba_rtp::congestion::{Class, FlowPriority};
use columba_rtp::srtp::{SrtpReceiver, SrtpSender};
use columba_rtp::{CompactNtp, Demultiplexer, Ssrc};

use super::path::{MediaPath, flow_priority};
use super::queue::Queue;
use super::sections::{ArrivalReports, Sections};
use super::{MAX_OUTGOING, MAX_OUTGOING_BYTES, MAX_PACKET};
use crate::data::Priority;
use crate::error::Error;
use crate::media::TrackKind;
use crate::transport::TransportId;

/// Retransmissions that wait at most; what is asked for again would come too late behind them.
const MAX_REPAIR: usize = 512;

/// A queue of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Rtcp,
    /// Packets of the application's own.
    Packets,
    Frames(Class),
    /// None, but a packet that tries the path.
    Probe,
}

/// A packet of the application's own.
#[derive(Debug)]
pub(crate) enum Outgoing<'a> {
    /// It is copied.
    Copied(&'a [u8]),
    /// Its memory is taken, and other memory given for it.
    Exchanged(&'a mut Vec<u8>),
}

impl Outgoing<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(packet) => packet,
            Self::Exchanged(packet) => packet,
        }
    }
}

fn require_size(packet: &[u8]) -> Result<(), Error> {
    if packet.len() > MAX_PACKET {
        return Err(Error::InvalidPacket { reason: "it is longer than 1,500 bytes" });
    }
    Ok(())
}

/// The session of a transport.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) transport: TransportId,
    pub(super) sender: SrtpSender,
    pub(super) receiver: SrtpReceiver,
    pub(super) demultiplexer: Demultiplexer,
    pub(super) sections: Sections,
    /// The agreement on reports, by the sections.
    pub(super) arrival_reports: ArrivalReports,
    pub(super) path: MediaPath,
    /// The stream that asks and reports, where this side sends none.
    pub(super) own: Ssrc,
    rtcp: Queue<()>,
    packets: Queue<()>,
    /// Sound, and since when each packet waits.
    pub(super) audio: Queue<Instant>,
    pub(super) repair: Queue<Instant>,
    /// Pictures, by their priority: the highest first.
    video: [Queue<Instant>; 4],
    /// The time at which pictures were given up last.
    pub(super) given_up: Option<Instant>,
    /// The time at which the pacer lets the next packet go.
    pub(super) opening: Option<Instant>,
    pub(super) next_report: Instant,
    /// The stream of the last packet that arrived.
    pub(super) last_heard: Ssrc,
    /// The arrival of the last RTCP.
    pub(super) last_rtcp: Option<Instant>,
    /// The time at which a stream began anew, because another source had its number.
    pub(super) collided: Option<Instant>,
    /// This side's own streams come back.
    pub(super) is_looped: bool,
    /// Clocks of receivers, and when they came, until the next report.
    pub(super) clocks: Vec<(Ssrc, CompactNtp, Instant)>,
}

impl Session {
    pub(super) fn new(
        now: Instant,
        transport: TransportId,
        sender: SrtpSender,
        receiver: SrtpReceiver,
        own: Ssrc,
    ) -> Self {
        let queue = || Queue::new(MAX_OUTGOING, MAX_OUTGOING_BYTES);
        let own_queue = || Queue::new(MAX_OUTGOING, MAX_OUTGOING_BYTES);
        Self {
            transport,
            sender,
            receiver,
            demultiplexer: Demultiplexer::new(),
            sections: Sections::default(),
            arrival_reports: ArrivalReports::None,
            path: MediaPath::new(now),
            own,
            rtcp: own_queue(),
            packets: own_queue(),
            audio: queue(),
            repair: Queue::new(MAX_REPAIR, MAX_OUTGOING_BYTES),
            video: std::array::from_fn(|_| queue()),
            given_up: None,
            opening: None,
            next_report: now,
            last_heard: Ssrc(0),
            last_rtcp: None,
            collided: None,
            is_looped: false,
            clocks: Vec::new(),
        }
    }

    /// Queues an RTCP packet of the application's own.
    pub(super) fn send_rtcp(&mut self, packet: &[u8]) -> Result<(), Error> {
        require_size(packet)?;
        if self.rtcp.push((), packet) { Ok(()) } else { Err(Error::BufferFull) }
    }

    /// Queues an RTP packet of the application's own: a copy, or its memory in exchange.
    pub(super) fn send_rtp(&mut self, packet: Outgoing<'_>) -> Result<(), Error> {
        require_size(packet.bytes())?;
        let is_kept = match packet {
            Outgoing::Copied(packet) => self.packets.push((), packet),
            Outgoing::Exchanged(packet) => self.packets.push_exchange((), packet),
        };
        if is_kept { Ok(()) } else { Err(Error::BufferFull) }
    }

    /// Queues a compound packet of this side's reports and requests; the next ones repeat what does
    /// not fit.
    pub(super) fn queue_rtcp(&mut self, packet: &[u8]) {
        if !packet.is_empty() && !self.rtcp.push((), packet) {
            tracing::debug!("a report is dropped: too many wait");
        }
    }

    /// Returns the queue for frames of a kind.
    pub(super) fn frames(&mut self, kind: TrackKind, priority: Priority) -> &mut Queue<Instant> {
        match kind {
            TrackKind::Audio => &mut self.audio,
            TrackKind::Video => self.pictures(flow_priority(priority)),
        }
    }

    pub(super) fn pictures(&mut self, priority: FlowPriority) -> &mut Queue<Instant> {
        &mut self.video[FlowPriority::High as usize - priority as usize]
    }

    /// Returns the bytes of pictures that wait.
    pub(super) fn waiting_pictures(&self) -> usize {
        self.video.iter().map(Queue::bytes).sum()
    }

    pub(super) fn has_outgoing(&self, now: Instant) -> bool {
        self.path.is_probing(now)
            || [&self.rtcp, &self.packets].iter().any(|one| !one.is_empty())
            || [&self.audio, &self.repair].into_iter().chain(&self.video).any(|one| !one.is_empty())
    }

    /// Returns the queue whose packet goes next. If the pacer lets none go, the time of its next
    /// opening is kept.
    pub(super) fn next_line(&mut self, now: Instant) -> Option<Line> {
        self.opening = None;
        if !self.rtcp.is_empty() {
            return Some(Line::Rtcp);
        }
        if !self.packets.is_empty() {
            return Some(Line::Packets);
        }
        let pacer = &mut self.path.pacer;
        let mut first = None;
        let mut note = |class, is_empty: bool| {
            pacer.set_waiting(class, !is_empty);
            if !is_empty {
                first = first.or(Some(class));
            }
        };
        note(Class::Audio, self.audio.is_empty());
        note(Class::Retransmission, self.repair.is_empty());
        for (priority, queue) in FlowPriority::ALL.into_iter().zip(&self.video) {
            note(Class::Video(priority), queue.is_empty());
        }
        let next = self.path.pacer.next_class();
        let Some(class) = next.filter(|class| matches!(class, Class::Video(_))).or(first) else {
            if !self.path.is_probing(now) {
                return None;
            }
            if self.path.pacer.may_send(now, Class::Probe) {
                return Some(Line::Probe);
            }
            self.opening = self.path.pacer.next_opening(now, Class::Probe);
            return None;
        };
        if self.path.pacer.may_send(now, class) {
            return Some(Line::Frames(class));
        }
        self.opening = self.path.pacer.next_opening(now, class);
        None
    }

    /// Takes the first packet of a queue, if it is not longer than `limit`. Returns whether there
    /// was one.
    pub(super) fn pop(&mut self, line: Line, limit: usize, take: impl FnOnce(&[u8])) -> bool {
        let queue = match line {
            Line::Rtcp => return self.rtcp.pop(limit, take).is_some(),
            Line::Packets => return self.packets.pop(limit, take).is_some(),
            Line::Frames(Class::Audio) => &mut self.audio,
            Line::Frames(Class::Retransmission) => &mut self.repair,
            Line::Frames(Class::Video(priority)) => self.pictures(priority),
            // No other one is a queue of frames.
            Line::Frames(_) | Line::Probe => return false,
        };
        queue.pop(limit, take).is_some()
    }
}
