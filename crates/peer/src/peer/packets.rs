//! Packets of audio and video, as they are.

use std::time::Instant;

use columba_rtp::extension::{HeaderExtension, Mid, RepairedRid, Rid};
use columba_rtp::{DemuxSection, PayloadType};
use columba_sdp::attributes::Direction;

use super::Peer;
use crate::error::Error;
use crate::media::{RtpCodecParameters, TransceiverId};
use crate::rtp::{ReceivedPacket, Sections};
use crate::transport::{Transport, TransportId};

impl Peer {
    /// Sends an RTP packet, in the clear, as a transceiver's: it is protected and goes out with
    /// [`poll_transmit`](Self::poll_transmit). Its payload type is one of the agreement
    /// ([`send_parameters`](Self::send_parameters)); streams, numbers and header extensions are the
    /// caller's. A sequence number of a stream is used once.
    ///
    /// # Errors
    /// [`Error::NotSending`] if the transceiver is not connected, or it is not agreed that this
    /// side sends; [`Error::InvalidPacket`]; [`Error::BufferFull`] if 1,024 packets wait.
    pub fn send_rtp(&mut self, transceiver: TransceiverId, packet: &[u8]) -> Result<(), Error> {
        self.require_open()?;
        self.packets.send_rtp(transceiver, packet)
    }

    /// Sends a compound RTCP packet, or one of reduced size, in the clear, over a transport.
    ///
    /// # Errors
    /// [`Error::NotSending`] if the transport is not connected, or carries no media;
    /// [`Error::InvalidPacket`]; [`Error::BufferFull`] if 1,024 packets wait.
    pub fn send_rtcp(&mut self, transport: TransportId, packet: &[u8]) -> Result<(), Error> {
        self.require_open()?;
        self.packets.send_rtcp(transport, packet)
    }

    /// Moves the next packet of media that has arrived into `buf`, in the clear. Of more than 1,024
    /// packets, or 2 MiB, that wait, the later ones are dropped and counted.
    pub fn receive_packet(&mut self, buf: &mut Vec<u8>) -> Option<ReceivedPacket> {
        self.packets.receive(buf)
    }

    /// Handles a protected packet.
    pub(super) fn handle_media(&mut self, received_at: Instant, transport: TransportId, packet: &mut [u8]) {
        let len = packet.len();
        if self.packets.handle(transport, received_at, packet) {
            return;
        }
        self.dropped.media += 1;
        self.dropped.media_bytes += len as u64;
        self.dropped.last_media = Some(self.wall.at(received_at));
    }

    /// Takes the keys of a transport that is connected.
    pub(super) fn begin_media(&mut self, index: usize) {
        let transport = &self.transports[index];
        if let Some(keys) = transport.srtp_keys()
            && self.packets.has_session(transport.id())
        {
            self.packets.set_keys(transport.id(), keys);
        }
        self.agree_on_media();
    }

    /// Takes over what the descriptions agree on.
    pub(super) fn agree_on_media(&mut self) {
        let transports: Vec<_> =
            self.transports.iter().filter(|one| !one.has_ended()).map(Transport::id).collect();
        self.packets.retain(|id| transports.contains(&id));
        for id in transports {
            let sections = self.agreed_sections(id);
            // A connection that only carries data has no use for the ciphers.
            if !self.packets.has_session(id) && !sections.is_empty() {
                let transport = self.transports.iter().find(|one| one.id() == id);
                if let Some(keys) = transport.and_then(Transport::srtp_keys) {
                    self.packets.set_keys(id, keys);
                }
            }
            self.packets.set_sections(id, sections);
        }
    }

    fn agreed_sections(&self, transport: TransportId) -> Sections {
        let mut sections = Sections::default();
        for one in self.jsep.media().iter().filter(|one| !one.is_stopped) {
            let Some(mid) = one.mid.as_deref() else { continue };
            if self.jsep.section_transport(mid) != Some(transport) {
                continue;
            }
            let direction = one.current_direction.unwrap_or(Direction::Inactive);
            if matches!(direction, Direction::SendRecv | Direction::RecvOnly) {
                let agreed = self.jsep.negotiated(mid, false);
                let id = |uri: &str| {
                    let found = agreed.header_extensions.iter().find(|one| one.uri == uri);
                    found.and_then(|one| u8::try_from(one.id).ok())
                };
                sections.receiving.push(DemuxSection {
                    mid: mid.to_owned(),
                    mid_extension: id(Mid::URI),
                    rid_extension: id(Rid::URI),
                    repaired_rid_extension: id(RepairedRid::URI),
                    payload_types: payload_types(&agreed.codecs),
                    ssrcs: Vec::new(),
                });
                sections.transceivers.push(one.id);
            }
            if matches!(direction, Direction::SendRecv | Direction::SendOnly) {
                let agreed = self.jsep.negotiated(mid, true);
                sections.sending.push((one.id, payload_types(&agreed.codecs)));
            }
        }
        sections
    }
}

fn payload_types(codecs: &[RtpCodecParameters]) -> Vec<PayloadType> {
    codecs.iter().filter_map(|codec| PayloadType::new(codec.payload_type)).collect()
}
