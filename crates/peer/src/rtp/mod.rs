//! Packets of audio and video between the network and the application: protected where they stand,
//! told apart by their media section, and queued within bounds.
//!
//! This is the level of RTP packets, for those who forward them, and for the level of frames above
//! it. A transport has one session.

mod queue;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use columba_rtp::srtp::{MasterKey, Profile, SrtpReceiver, SrtpSender};
use columba_rtp::{Demultiplexer, DemuxSection, Header, Packet, PayloadType, is_rtcp};
use queue::Queue;

use crate::error::Error;
use crate::media::TransceiverId;
use crate::transport::TransportId;
use crate::transport::dtls::{MasterKey as ExportedKey, SrtpKeys, SrtpProfile};

/// Packets, and their bytes, that wait for the application at most. Those that come then are
/// dropped: the sender repeats what is asked for, and media that waits is of no use.
const MAX_RECEIVED: usize = 1024;
const MAX_RECEIVED_BYTES: usize = 2 << 20;

/// Packets, and their bytes, that wait for the network at most: a key frame or two.
const MAX_OUTGOING: usize = 1024;
const MAX_OUTGOING_BYTES: usize = 2 << 20;

/// The largest packet that is sent, in bytes.
const MAX_PACKET: usize = 1500;

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

/// The sections of a transport, as they are agreed.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) receiving: Vec<DemuxSection>,
    /// The transceiver of each section that receives.
    pub(crate) transceivers: Vec<TransceiverId>,
    /// The transceivers that send, and the payload types that the other side takes.
    pub(crate) sending: Vec<(TransceiverId, Vec<PayloadType>)>,
}

impl Sections {
    pub(crate) fn is_empty(&self) -> bool {
        self.receiving.is_empty() && self.sending.is_empty()
    }
}

/// The packets of all transports.
#[derive(Debug)]
pub(crate) struct Media {
    sessions: Vec<Session>,
    received: Queue<ReceivedPacket>,
    rids: Vec<Arc<str>>,
}

/// The packets of one transport, whose keys are known.
#[derive(Debug)]
struct Session {
    transport: TransportId,
    sender: SrtpSender,
    receiver: SrtpReceiver,
    demultiplexer: Demultiplexer,
    sections: Sections,
    /// True for RTCP.
    outgoing: Queue<bool>,
}

impl Default for Media {
    fn default() -> Self {
        Self {
            sessions: Vec::new(),
            received: Queue::new(MAX_RECEIVED, MAX_RECEIVED_BYTES),
            rids: Vec::new(),
        }
    }
}

impl Media {
    /// Returns true if a transport has a session.
    pub(crate) fn has_session(&self, transport: TransportId) -> bool {
        self.sessions.iter().any(|session| session.transport == transport)
    }

    /// Begins the session of a transport, or gives it new keys: both sides count packets anew.
    pub(crate) fn set_keys(&mut self, transport: TransportId, keys: &SrtpKeys) {
        let Some((local, remote)) = master_key(keys, &keys.local).zip(master_key(keys, &keys.remote)) else {
            return;
        };
        let (sender, receiver) = (SrtpSender::new(&local), SrtpReceiver::new(&remote));
        if let Some(session) = self.session_mut(transport) {
            (session.sender, session.receiver) = (sender, receiver);
            return;
        }
        self.sessions.push(Session {
            transport,
            sender,
            receiver,
            demultiplexer: Demultiplexer::new(),
            sections: Sections::default(),
            outgoing: Queue::new(MAX_OUTGOING, MAX_OUTGOING_BYTES),
        });
    }

    /// Ends all sessions but those of the transports that are in use.
    pub(crate) fn retain(&mut self, is_used: impl Fn(TransportId) -> bool) {
        self.sessions.retain(|session| is_used(session.transport));
    }

    /// Sets what is agreed for a transport.
    pub(crate) fn set_sections(&mut self, transport: TransportId, mut sections: Sections) {
        if let Some(session) = self.session_mut(transport) {
            session.demultiplexer.set_sections(std::mem::take(&mut sections.receiving));
            session.sections = sections;
        }
    }

    /// Handles a protected packet in place. Returns false if it is dropped.
    pub(crate) fn handle(&mut self, transport: TransportId, received_at: Instant, packet: &mut [u8]) -> bool {
        let Some(session) = self.sessions.iter_mut().find(|one| one.transport == transport) else {
            return false;
        };
        if is_rtcp(packet) {
            let Ok(len) = session.receiver.unprotect_rtcp(packet) else { return false };
            let source = PacketSource::Rtcp(transport);
            return self.received.push(ReceivedPacket { source, received_at }, &packet[..len]);
        }
        let Ok(len) = session.receiver.unprotect(packet) else { return false };
        let Ok(header) = Header::parse(&packet[..len]) else { return false };
        let Some(route) = session.demultiplexer.route(&header) else { return false };
        let transceiver = session.sections.transceivers[route.section];
        let rid = route.rid.and_then(|rid| intern(&mut self.rids, rid));
        let source = PacketSource::Rtp { transceiver, rid, is_repair: route.is_repair };
        self.received.push(ReceivedPacket { source, received_at }, &packet[..len])
    }

    /// Moves the next packet to the application.
    pub(crate) fn receive(&mut self, buf: &mut Vec<u8>) -> Option<ReceivedPacket> {
        self.received.pop(usize::MAX, |packet| {
            buf.clear();
            buf.extend_from_slice(packet);
        })
    }

    /// Queues an RTP packet of a transceiver.
    pub(crate) fn send_rtp(&mut self, transceiver: TransceiverId, packet: &[u8]) -> Result<(), Error> {
        let parsed = Packet::parse(packet);
        let header = parsed.map_err(|_| Error::InvalidPacket { reason: "it is not an RTP packet" })?.fixed();
        let mut sessions = self.sessions.iter_mut();
        let found = sessions.find_map(|session| {
            let sending = &session.sections.sending;
            let at = sending.iter().position(|(id, _)| *id == transceiver)?;
            Some((at, session))
        });
        let (at, session) = found.ok_or(Error::NotSending)?;
        if !session.sections.sending[at].1.contains(&header.payload_type) {
            return Err(Error::InvalidPacket { reason: "its payload type is not agreed" });
        }
        session.queue(false, packet)
    }

    /// Queues an RTCP packet for a transport.
    pub(crate) fn send_rtcp(&mut self, transport: TransportId, packet: &[u8]) -> Result<(), Error> {
        if !is_rtcp(packet) || packet.len() < 8 {
            return Err(Error::InvalidPacket { reason: "it is not an RTCP packet" });
        }
        self.session_mut(transport).ok_or(Error::NotSending)?.queue(true, packet)
    }

    /// Returns true if packets wait for this transport.
    pub(crate) fn has_outgoing(&self, transport: TransportId) -> bool {
        self.sessions.iter().any(|session| session.transport == transport && !session.outgoing.is_empty())
    }

    /// Writes the next packet for a transport, protected, if it is not longer than `limit`; returns
    /// its length.
    pub(crate) fn write_next(
        &mut self,
        transport: TransportId,
        buf: &mut [u8],
        limit: usize,
    ) -> Option<usize> {
        let session = self.session_mut(transport)?;
        let profile = session.sender.profile();
        // What protection adds depends on the kind: RTCP goes alone, so that batches are of RTP.
        let plain = limit.saturating_sub(profile.rtp_overhead());
        if limit < usize::MAX && session.outgoing.front() == Some(&true) {
            return None;
        }
        loop {
            let mut len = 0;
            let is_rtcp = session.outgoing.pop(plain.min(buf.len()), |packet| {
                buf[..packet.len()].copy_from_slice(packet);
                len = packet.len();
            })?;
            let protected = match is_rtcp {
                true => session.sender.protect_rtcp(buf, len),
                false => session.sender.protect(buf, len),
            };
            match protected {
                Ok(len) => return Some(len),
                Err(error) => tracing::debug!(%error, "an outgoing packet is dropped"),
            }
        }
    }

    fn session_mut(&mut self, transport: TransportId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|session| session.transport == transport)
    }
}

impl Session {
    fn queue(&mut self, is_rtcp: bool, packet: &[u8]) -> Result<(), Error> {
        if packet.len() > MAX_PACKET {
            return Err(Error::InvalidPacket { reason: "it is longer than 1,500 bytes" });
        }
        if self.outgoing.push(is_rtcp, packet) { Ok(()) } else { Err(Error::BufferFull) }
    }
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
