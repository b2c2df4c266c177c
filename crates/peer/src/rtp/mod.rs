//! Audio and video between the network and the application: packets protected where they stand,
//! told apart by their media section, repaired, paced; as encoded frames, or as they are for those
//! who forward them.
//!
//! A transport has one session. It knows no descriptions: `peer/packets.rs` tells what they agree
//! on.

mod dtmf;
mod feedback;
mod frame;
mod inbound;
mod outbound;
mod path;
mod queue;
mod receiving;
mod redundancy;
mod sections;
mod session;
mod statistics;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_rtp::congestion::{Class, FlowPriority};
use columba_rtp::srtp::{MasterKey, Profile, SrtpReceiver, SrtpSender};
use columba_rtp::{NtpTime, Packet, SequenceNumber, Ssrc, is_rtcp};
use columba_sctp::Fates;

pub use frame::{OutgoingFrame, ReceiveLevel, ReceivedFrame, RtpSource};
use inbound::Inbound;
use outbound::Outbound;
pub(crate) use path::DataBudget;
use queue::Queue;
pub(crate) use sections::{ReceivingSection, Sections, SendingSection};
pub(crate) use session::Outgoing;
use session::{Line, Session};
pub use statistics::{InboundStats, OutboundStats, PathStats, RtpStats};

use crate::data::Priority;
use crate::error::Error;
use crate::event::Event;
use crate::media::TransceiverId;
use crate::transport::TransportId;
use crate::transport::dtls::{MasterKey as ExportedKey, SrtpKeys, SrtpProfile};

/// Packets, and their bytes, that wait for the application at most. Those that come then are
/// dropped: the sender repeats what is asked for, and media that waits is of no use.
const MAX_RECEIVED: usize = 1024;
const MAX_RECEIVED_BYTES: usize = 2 << 20;

/// Frames of a transceiver, and their bytes, that wait for the application at most. One that comes
/// then is dropped, and with it those up to the next key frame.
const MAX_FRAMES: usize = 256;
const MAX_FRAME_BYTES: usize = 8 << 20;

/// Packets, and their bytes, that wait for the network at most: a key frame or two.
const MAX_OUTGOING: usize = 1024;
const MAX_OUTGOING_BYTES: usize = 2 << 20;

/// The time after which pictures that wait for the network are of no use: those of a stream are
/// given up, and a key frame is asked for. One that has begun to leave leaves whole.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The least time between two streams that are given up: what has waited for the first one leaves.
const GIVE_UP_INTERVAL: Duration = Duration::from_millis(500);

/// The largest packet that is sent, in bytes.
const MAX_PACKET: usize = 1500;

/// Bytes that protection adds at most.
const PROTECTION: usize = 16;

/// Names of encodings that are kept.
const MAX_RIDS: usize = 64;

/// A packet of [`Peer::receive_packet`](crate::Peer::receive_packet).
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedPacket {
    /// The place that it belongs to.
    pub source: PacketSource,
    /// The arrival, by the kernel's clock where it is known.
    pub received_at: Instant,
}

/// The place that a packet belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PacketSource {
    /// RTP of a transceiver that receives.
    Rtp {
        /// The transceiver.
        transceiver: TransceiverId,
        /// The name of the encoding, if the stream has told one.
        rid: Option<Arc<str>>,
        /// The stream repairs that encoding.
        is_repair: bool,
    },
    /// A compound RTCP packet of a transport, or a lone one of reduced size.
    Rtcp(TransportId),
}

/// The packets and frames of all transports.
#[derive(Debug)]
pub(crate) struct Media {
    sessions: Vec<Session>,
    outbound: Vec<Outbound>,
    inbound: Vec<Inbound>,
    received: Queue<ReceivedPacket>,
    frames: BTreeMap<TransceiverId, Queue<ReceivedFrame>>,
    /// Transceivers whose application takes packets.
    packet_level: Vec<TransceiverId>,
    /// Transceivers of which packets have come since they were muted.
    heard: Vec<TransceiverId>,
    rids: Vec<Arc<str>>,
    /// Events that the peer has not taken yet.
    events: Vec<Event>,
    /// The source of numbers that need not be secret: the packets that have them are protected.
    seed: u64,
    /// A packet that is written.
    buffer: Vec<u8>,
    /// A frame that becomes whole, and a packet that is restored.
    scratch: Vec<u8>,
    restored: Vec<u8>,
    missing: Vec<SequenceNumber>,
    /// The bits per second that transceivers want to receive at most.
    limits: Vec<(TransceiverId, u64)>,
    /// Streams that have other numbers, which the peer has not taken yet.
    renumbered: Vec<(TransceiverId, u32, [u32; 2])>,
}

/// The queues of frames.
struct Sink<'a> {
    frames: &'a mut BTreeMap<TransceiverId, Queue<ReceivedFrame>>,
    events: &'a mut Vec<Event>,
}

impl Sink<'_> {
    /// Returns false if there is no room.
    fn take(&mut self, about: ReceivedFrame, data: &[u8]) -> bool {
        let transceiver = about.transceiver;
        let queue = self.frames.entry(transceiver).or_insert_with(|| Queue::new(MAX_FRAMES, MAX_FRAME_BYTES));
        let was_empty = queue.is_empty();
        let is_kept = queue.push(about, data);
        if was_empty && is_kept {
            self.events.push(Event::FramesReadable(transceiver));
        }
        is_kept
    }
}

impl Media {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            sessions: Vec::new(),
            outbound: Vec::new(),
            inbound: Vec::new(),
            received: Queue::new(MAX_RECEIVED, MAX_RECEIVED_BYTES),
            frames: BTreeMap::new(),
            packet_level: Vec::new(),
            heard: Vec::new(),
            rids: Vec::new(),
            events: Vec::new(),
            seed,
            buffer: Vec::new(),
            scratch: Vec::new(),
            restored: Vec::new(),
            missing: Vec::new(),
            limits: Vec::new(),
            renumbered: Vec::new(),
        }
    }

    fn random(&mut self) -> u32 {
        (crate::media::split_mix(&mut self.seed) >> 32) as u32
    }

    fn position(&self, transport: TransportId) -> Option<usize> {
        self.sessions.iter().position(|session| session.transport == transport)
    }

    /// Returns true if a transport has a session.
    pub(crate) fn has_session(&self, transport: TransportId) -> bool {
        self.position(transport).is_some()
    }

    /// Begins the session of a transport, or gives it new keys: both sides count packets anew.
    pub(crate) fn set_keys(&mut self, now: Instant, transport: TransportId, keys: &SrtpKeys) {
        let Some((local, remote)) = master_key(keys, &keys.local).zip(master_key(keys, &keys.remote)) else {
            return;
        };
        let (sender, receiver) = (SrtpSender::new(&local), SrtpReceiver::new(&remote));
        self.buffer.resize(MAX_PACKET, 0);
        if let Some(at) = self.position(transport) {
            (self.sessions[at].sender, self.sessions[at].receiver) = (sender, receiver);
            return;
        }
        let own = Ssrc(self.random().max(1));
        self.sessions.push(Session::new(now, transport, sender, receiver, own));
    }

    /// Ends all sessions but those of the transports that are in use, and all that belongs to
    /// transceivers that are gone.
    pub(crate) fn retain(
        &mut self,
        is_used: impl Fn(TransportId) -> bool,
        is_there: impl Fn(TransceiverId) -> bool,
    ) {
        self.sessions.retain(|session| is_used(session.transport));
        self.inbound.retain(|stream| is_used(stream.transport) && is_there(stream.transceiver));
        self.outbound.retain(|stream| is_there(stream.transceiver));
        self.frames.retain(|id, _| is_there(*id));
        self.limits.retain(|(id, _)| is_there(*id));
        self.packet_level.retain(|id| is_there(*id));
        // Whether tracks are muted is for the descriptions to say, and for the next packet.
        self.heard.clear();
    }

    /// Sets what is agreed for a transport.
    pub(crate) fn set_sections(&mut self, now: Instant, transport: TransportId, sections: Sections) {
        let Some(at) = self.position(transport) else { return };
        let demux = sections.receiving.iter().map(|section| section.demux.clone()).collect();
        self.sessions[at].demultiplexer.set_sections(demux);
        for section in &sections.sending {
            for encoding in &section.encodings {
                let known = self.outbound.iter().position(|one| one.has(encoding.ssrc));
                let begins = match known {
                    Some(known) => self.outbound[known].update(transport, section, encoding),
                    None => {
                        let random = [self.random(), self.random(), self.random()];
                        self.outbound.push(Outbound::new(transport, section, encoding, random));
                        encoding.active
                    }
                };
                let index = known.unwrap_or(self.outbound.len() - 1);
                if begins {
                    self.outbound[index].limiter.picture_loss();
                }
            }
        }
        let is_sent = |one: &Outbound| {
            let mut encodings = sections.sending.iter().flat_map(|section| &section.encodings);
            encodings.any(|encoding| encoding.active && one.has(encoding.ssrc))
        };
        for index in 0..self.outbound.len() {
            let one = &mut self.outbound[index];
            if one.transport == transport && !is_sent(one) {
                one.is_active = false;
                if std::mem::take(&mut one.has_sent) {
                    let ssrc = one.ssrc();
                    self.say_goodbye(at, ssrc);
                }
            }
        }
        let still = |stream: &Inbound| {
            let mut receiving = sections.receiving.iter();
            stream.transport != transport || receiving.any(|one| one.transceiver == stream.transceiver)
        };
        self.inbound.retain(still);
        let is_told =
            self.outbound.iter().any(|one| one.transport == transport && one.is_active && one.is_told());
        self.sessions[at].arrival_reports = sections.arrival_reports();
        self.sessions[at].sections = sections;
        self.sessions[at].path.set_told(now, is_told);
        self.tell_wishes(now);
    }

    /// Ends all streams: nothing is sent, received or due any more. Frames that wait can be taken.
    pub(crate) fn close(&mut self) {
        self.sessions.clear();
        self.outbound.clear();
        self.inbound.clear();
    }

    /// The path of a transport is another one.
    pub(crate) fn handle_path_change(&mut self, now: Instant, transport: TransportId) {
        if let Some(at) = self.position(transport) {
            self.sessions[at].path.handle_path_change(now);
            let streams = self.outbound.iter_mut().filter(|one| one.transport == transport);
            streams.for_each(Outbound::handle_path_change);
        }
    }

    /// Sets the way in which what arrives is taken.
    pub(crate) fn set_receive_level(&mut self, transceiver: TransceiverId, level: ReceiveLevel) {
        self.packet_level.retain(|id| *id != transceiver);
        if level == ReceiveLevel::Packets {
            self.packet_level.push(transceiver);
            self.frames.remove(&transceiver);
        }
    }

    /// Moves the next packet to the application.
    pub(crate) fn receive(&mut self, buf: &mut Vec<u8>) -> Option<ReceivedPacket> {
        self.received.exchange(buf)
    }

    /// Moves the next frame of a transceiver to the application.
    pub(crate) fn receive_frame(
        &mut self,
        transceiver: TransceiverId,
        buf: &mut Vec<u8>,
    ) -> Option<ReceivedFrame> {
        self.frames.get_mut(&transceiver)?.pop(usize::MAX, |frame| {
            buf.clear();
            buf.extend_from_slice(frame);
        })
    }

    /// Returns the sources of a transceiver: true for those that synchronize.
    pub(crate) fn sources(
        &self,
        now: Instant,
        transceiver: TransceiverId,
    ) -> impl Iterator<Item = (bool, RtpSource)> {
        let streams = self.inbound.iter().filter(move |one| one.transceiver == transceiver);
        streams.flat_map(move |one| one.sources(now))
    }

    /// Takes the events that have happened.
    pub(crate) fn take_event(&mut self) -> Option<Event> {
        (!self.events.is_empty()).then(|| self.events.remove(0))
    }

    /// Queues the packets of a frame; `datagram` is the size that the path carries.
    pub(crate) fn send_frame(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        frame: &OutgoingFrame<'_>,
        datagram: usize,
    ) -> Result<(), Error> {
        let Self { sessions, outbound, buffer, .. } = self;
        let wanted = |one: &&mut Outbound| {
            one.transceiver == transceiver && frame.rid.is_none_or(|rid| one.rid.as_deref() == Some(rid))
        };
        let outbound = outbound.iter_mut().find(wanted).ok_or(Error::NotSending)?;
        let session = sessions.iter_mut().find(|one| one.transport == outbound.transport);
        let session = session.filter(|_| outbound.is_active).ok_or(Error::NotSending)?;
        let largest = datagram.saturating_sub(PROTECTION).min(MAX_PACKET - PROTECTION);
        let queue = session.frames(outbound.kind, outbound.priority);
        outbound.send(now, frame, largest, queue, &mut buffer[..])
    }

    /// Returns the sender of sound of a transceiver that can send tones.
    fn tones(&mut self, transceiver: TransceiverId) -> Option<&mut Outbound> {
        let can = |one: &&mut Outbound| one.transceiver == transceiver && one.is_active;
        self.outbound.iter_mut().find(can).filter(|one| one.tones_codec().is_some())
    }

    /// `canInsertDTMF`.
    pub(crate) fn can_insert_dtmf(&mut self, transceiver: TransceiverId) -> bool {
        self.tones(transceiver).is_some()
    }

    /// `insertDTMF`.
    pub(crate) fn insert_dtmf(
        &mut self,
        now: Instant,
        transceiver: TransceiverId,
        tones: &str,
        duration: Duration,
        gap: Duration,
    ) -> Result<(), Error> {
        let outbound = self.tones(transceiver).ok_or(Error::NotSending)?;
        let reason = "tones are 0 to 9, A to D, # and *, with a comma for a pause, 1,024 at most";
        let is_known = outbound.tones.insert(now, tones, duration, gap);
        is_known.then_some(()).ok_or(Error::InvalidParameters { reason })
    }

    /// `toneBuffer`.
    pub(crate) fn tone_buffer(&self, transceiver: TransceiverId) -> String {
        let of = |one: &&Outbound| one.transceiver == transceiver;
        self.outbound.iter().find(of).map(|one| one.tones.waiting()).unwrap_or_default()
    }

    /// Queues an RTP packet of a transceiver.
    pub(crate) fn send_rtp(&mut self, transceiver: TransceiverId, packet: Outgoing<'_>) -> Result<(), Error> {
        let parsed = Packet::parse(packet.bytes());
        let parsed = parsed.map_err(|_| Error::InvalidPacket { reason: "it is not an RTP packet" })?;
        let payload_type = parsed.header().payload_type();
        let mut sessions = self.sessions.iter_mut();
        let found = sessions.find_map(|session| {
            let sending = &session.sections.sending;
            let at = sending.iter().position(|one| one.transceiver == transceiver)?;
            Some((at, session))
        });
        let (at, session) = found.ok_or(Error::NotSending)?;
        let mut codecs = session.sections.sending[at].codecs.iter();
        if !codecs.any(|codec| codec.payload_type == payload_type) {
            return Err(Error::InvalidPacket { reason: "its payload type is not agreed" });
        }
        session.send_rtp(packet)
    }

    /// Queues an RTCP packet for a transport.
    pub(crate) fn send_rtcp(&mut self, transport: TransportId, packet: &[u8]) -> Result<(), Error> {
        if !is_rtcp(packet) || packet.len() < 8 {
            return Err(Error::InvalidPacket { reason: "it is not an RTCP packet" });
        }
        let at = self.position(transport).ok_or(Error::NotSending)?;
        self.sessions[at].send_rtcp(packet)
    }

    /// Says whether data waits for a transport, and of which priority.
    pub(crate) fn note_data(&mut self, now: Instant, transport: TransportId, waiting: Option<Priority>) {
        if let Some(at) = self.position(transport) {
            let pictures = self.sessions[at].waiting_pictures();
            self.sessions[at].path.note_data(now, waiting, pictures);
        }
    }

    /// Returns the mark of the packets of a transport: a code point of RFC 8837 §5.
    pub(crate) fn dscp(&self, transport: TransportId) -> u8 {
        self.position(transport).map_or(0, |at| self.sessions[at].sections.dscp())
    }

    /// Returns the share of data in what a transport's path carries.
    pub(crate) fn data_budget(&mut self, transport: TransportId) -> DataBudget<'_> {
        match self.position(transport) {
            Some(at) => self.sessions[at].path.data_budget(),
            None => DataBudget::default(),
        }
    }

    /// Takes the fates of data, which belong to the model of the path.
    pub(crate) fn handle_fates(&mut self, now: Instant, transport: TransportId, fates: &Fates) {
        if let Some(at) = self.position(transport) {
            self.sessions[at].path.handle_fates(now, fates);
            self.tell_wishes(now);
        }
    }

    /// Returns true if packets wait for this transport.
    pub(crate) fn has_outgoing(&self, now: Instant, transport: TransportId) -> bool {
        self.position(transport).is_some_and(|at| self.sessions[at].has_outgoing(now))
    }

    /// Writes the next packet for a transport, protected, if it is not longer than `limit`; returns
    /// its length.
    pub(crate) fn write_next(
        &mut self,
        now: Instant,
        wall: NtpTime,
        transport: TransportId,
        buf: &mut [u8],
        limit: usize,
    ) -> Option<usize> {
        let at = self.position(transport)?;
        let Self { sessions, outbound, .. } = self;
        let session = &mut sessions[at];
        // What protection adds depends on the kind: RTCP goes alone, so that batches are of RTP.
        let plain = limit.saturating_sub(session.sender.profile().rtp_overhead());
        loop {
            let line = session.next_line(now)?;
            if limit < usize::MAX && line == Line::Rtcp {
                return None;
            }
            if line == Line::Probe {
                return probe(now, wall, session, outbound, buf, plain);
            }
            if let Line::Frames(Class::Video(priority)) = line
                && give_up_late(now, session, outbound, priority)
            {
                continue;
            }
            let mut len = 0;
            let is_taken = session.pop(line, plain.min(buf.len()), |packet| {
                buf[..packet.len()].copy_from_slice(packet);
                len = packet.len();
            });
            if !is_taken {
                return None;
            }
            let protected = match line {
                Line::Rtcp => session.sender.protect_rtcp(buf, len),
                Line::Packets | Line::Probe => session.sender.protect(buf, len),
                Line::Frames(class) => {
                    let Some(bytes) = leave(now, wall, session, outbound, class, &mut buf[..len]) else {
                        continue;
                    };
                    session.path.pacer.sent(now, class, bytes);
                    session.sender.protect(buf, len)
                }
            };
            match protected {
                Ok(len) => return Some(len),
                Err(error) => tracing::debug!(%error, "an outgoing packet is dropped"),
            }
        }
    }
}

/// Gives the pictures of one stream up, if the first packet has waited for too long. Of streams
/// that share a queue it is the one with the most to send: the others have waited for that. Returns
/// whether there were some.
fn give_up_late(
    now: Instant,
    session: &mut Session,
    outbound: &mut [Outbound],
    priority: FlowPriority,
) -> bool {
    let passed = |since: Instant| now.saturating_duration_since(since);
    let is_soon = session.given_up.is_some_and(|at| passed(at) < GIVE_UP_INTERVAL);
    let transport = session.transport;
    let queue = session.pictures(priority);
    if is_soon || queue.front().is_none_or(|since| passed(*since) <= LONGEST_WAIT) {
        return false;
    }
    let senders = outbound.iter_mut().filter(|one| one.transport == transport);
    let is_given_up = senders.max_by_key(|one| one.waiting(queue)).is_some_and(|one| one.give_up(queue));
    if is_given_up {
        session.given_up = Some(now);
    }
    is_given_up
}

/// Writes a packet that only tries the path; returns its length.
fn probe(
    now: Instant,
    wall: NtpTime,
    session: &mut Session,
    outbound: &mut [Outbound],
    buf: &mut [u8],
    limit: usize,
) -> Option<usize> {
    let mut senders = outbound.iter_mut().filter(|one| one.transport == session.transport && one.is_active);
    let room = buf.len().min(limit);
    let len = senders.find_map(|one| one.write_probe(now, wall, buf.get_mut(..room)?));
    let Some(len) = len else {
        session.path.end_probe();
        return None;
    };
    let bytes = leave(now, wall, session, outbound, Class::Probe, &mut buf[..len])?;
    session.path.pacer.sent(now, Class::Probe, bytes);
    session.sender.protect(buf, len).ok()
}

/// Numbers and counts a packet that leaves; returns its length with what protection adds, or `None`
/// if its stream is gone.
fn leave(
    now: Instant,
    wall: NtpTime,
    session: &mut Session,
    outbound: &mut [Outbound],
    class: Class,
    packet: &mut [u8],
) -> Option<usize> {
    let ssrc = Packet::parse(packet).ok()?.fixed().ssrc;
    let sender = outbound.iter_mut().find(|one| one.transport == session.transport && one.has(ssrc))?;
    let is_numbered = sender.is_numbered();
    let number = if is_numbered { session.path.next_number() } else { SequenceNumber(0) };
    let bytes = packet.len() + session.sender.profile().rtp_overhead();
    let stream = sender.leave(now, wall, number, packet)?;
    tracing::trace!(?class, ssrc = ssrc.0, bytes, "a packet leaves");
    session.path.handle_sent(now, stream, bytes, is_numbered);
    Some(bytes)
}

/// Returns the name that is kept; `None` if there are too many.
fn intern(rids: &mut Vec<Arc<str>>, rid: &str) -> Option<Arc<str>> {
    if let Some(known) = rids.iter().find(|known| ***known == *rid) {
        return Some(known.clone());
    }
    if rids.len() == MAX_RIDS {
        return None;
    }
    rids.push(rid.into());
    rids.last().cloned()
}

fn master_key(keys: &SrtpKeys, key: &ExportedKey) -> Option<MasterKey> {
    let profile = match keys.profile() {
        SrtpProfile::Aes128CmSha1_80 => Profile::Aes128CmSha1_80,
        SrtpProfile::AeadAes128Gcm => Profile::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => Profile::AeadAes256Gcm,
    };
    MasterKey::new(profile, &key.key, &key.salt).ok()
}

impl fmt::Display for PacketSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtp { transceiver, .. } => write!(f, "RTP of transceiver {}", transceiver.0),
            Self::Rtcp(transport) => write!(f, "RTCP of transport {transport}"),
        }
    }
}
