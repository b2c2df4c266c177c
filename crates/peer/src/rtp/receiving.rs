//! The way of a packet that arrives: opened, told apart, repaired, made into frames.

use std::time::Instant;

use columba_rtp::extension::TransportSequenceNumber;
use columba_rtp::payload::{red, rtx};
use columba_rtp::{Header, NtpTime, Packet, PacketMut, PayloadType, Ssrc, is_rtcp};

use super::inbound::{Inbound, Part, Way, begins_stream};
use super::sections::{ArrivalReports, ReceivingSection, Role};
use super::session::Session;
use super::{Media, PacketSource, ReceivedPacket, Sink, intern};
use crate::event::Event;
use crate::transport::TransportId;

/// Streams that are received at once, at most.
const MAX_INBOUND: usize = 64;

/// A stream without packets for so long gives its place to another.
const IDLE: std::time::Duration = std::time::Duration::from_secs(10);

/// The streams, and what becomes of their packets.
struct Receiving<'a> {
    inbound: &'a mut Vec<Inbound>,
    sink: Sink<'a>,
    scratch: &'a mut Vec<u8>,
    restored: &'a mut Vec<u8>,
    transport: TransportId,
    received_at: Instant,
}

impl Media {
    /// Handles a protected packet in place; `wall` reads the wall clock at its arrival. Returns
    /// false if it is dropped.
    pub(crate) fn handle(
        &mut self,
        transport: TransportId,
        received_at: Instant,
        wall: impl FnOnce() -> NtpTime,
        packet: &mut [u8],
    ) -> bool {
        let Some(at) = self.position(transport) else { return false };
        let session = &mut self.sessions[at];
        if is_rtcp(packet) {
            let Ok(len) = session.receiver.unprotect_rtcp(packet) else { return false };
            self.handle_rtcp(at, received_at, wall(), &packet[..len]);
            if !self.has_packet_level(transport) {
                return true;
            }
            let source = PacketSource::Rtcp(transport);
            return self.keep_packet(ReceivedPacket { source, received_at }, &packet[..len]);
        }
        let Ok(len) = session.receiver.unprotect(packet) else { return false };
        self.handle_rtp(at, received_at, &mut packet[..len])
    }

    fn handle_rtp(&mut self, at: usize, received_at: Instant, packet: &mut [u8]) -> bool {
        let Ok(header) = Header::parse(packet) else { return false };
        note_arrival(&mut self.sessions[at], &header, received_at);
        self.note_source(at, received_at, header.ssrc());
        let session = &mut self.sessions[at];
        let Some(route) = session.demultiplexer.route(&header) else { return false };
        let section = &session.sections.receiving[route.section];
        let transceiver = section.transceiver;
        let rid = route.rid.and_then(|rid| intern(&mut self.rids, rid));
        let is_repair = route.is_repair;
        if !self.heard.contains(&transceiver) {
            self.heard.push(transceiver);
            self.events.push(Event::TrackUnmuted(transceiver, section.kind));
        }
        if self.packet_level.contains(&transceiver) {
            let source = PacketSource::Rtp { transceiver, rid, is_repair };
            return self.keep_packet(ReceivedPacket { source, received_at }, packet);
        }
        let mut receiving = Receiving {
            inbound: &mut self.inbound,
            sink: Sink { frames: &mut self.frames, events: &mut self.events },
            scratch: &mut self.scratch,
            restored: &mut self.restored,
            transport: session.transport,
            received_at,
        };
        receiving.handle(section, rid.as_ref(), packet)
    }

    /// Returns true if one of the transport's transceivers takes packets.
    fn has_packet_level(&self, transport: TransportId) -> bool {
        let session = self.sessions.iter().find(|one| one.transport == transport);
        session.is_some_and(|session| {
            let sections = &session.sections;
            let receiving = sections.receiving.iter().map(|one| one.transceiver);
            let mut all = receiving.chain(sections.sending.iter().map(|one| one.transceiver));
            all.any(|one| self.packet_level.contains(&one))
        })
    }

    fn keep_packet(&mut self, about: ReceivedPacket, packet: &[u8]) -> bool {
        let was_empty = self.received.is_empty();
        let is_kept = self.received.push(about, packet);
        if was_empty && is_kept {
            self.events.push(Event::PacketsReadable);
        }
        is_kept
    }
}

/// Takes the transport-wide number, of whatever section the packet is.
fn note_arrival(session: &mut Session, header: &Header<'_>, received_at: Instant) {
    session.last_heard = header.ssrc();
    match session.arrival_reports {
        ArrivalReports::None => {}
        ArrivalReports::OfStreams => {
            session.path.handle_stream_arrival(received_at, header.ssrc(), header.sequence_number());
        }
        ArrivalReports::OfTransport(id) => {
            if let Some(TransportSequenceNumber(number)) = header.get(id) {
                session.path.handle_arrival(received_at, columba_rtp::SequenceNumber(number));
            }
        }
    }
}

impl Receiving<'_> {
    fn handle(
        &mut self,
        section: &ReceivingSection,
        rid: Option<&std::sync::Arc<str>>,
        packet: &mut [u8],
    ) -> bool {
        let Ok(parsed) = Packet::parse(packet) else { return false };
        let fixed = parsed.fixed();
        let Some(codec) = section.codec(fixed.payload_type) else { return false };
        if let Role::Rtx(original) = codec.role {
            let Some(at) = self.repaired(section, fixed.ssrc, rid) else { return false };
            self.inbound[at].rtx_ssrc = Some(fixed.ssrc);
            // Without a payload it only tries the path.
            let Ok(len) = rtx::unwrap(packet, self.inbound[at].ssrc(), original) else { return true };
            return self.handle_stream(section, at, &mut packet[..len], Way::Again);
        }
        let Some(at) = self.stream(section, fixed.ssrc, fixed.payload_type) else { return false };
        if rid.is_some() && self.inbound[at].rid.as_ref() != rid {
            self.inbound[at].rid = rid.cloned();
        }
        self.handle_stream(section, at, packet, Way::First)
    }

    /// Handles a packet of a stream, which may be wrapped.
    fn handle_stream(&mut self, section: &ReceivingSection, at: usize, packet: &mut [u8], way: Way) -> bool {
        let Ok(parsed) = Packet::parse(packet) else { return false };
        let Some(codec) = section.codec(parsed.fixed().payload_type) else { return false };
        match codec.role {
            Role::Media(_) => self.take(section, at, &parsed, way),
            Role::Red => self.handle_red(section, at, packet, way),
            Role::Rtx(_) | Role::Ulpfec => false,
        }
    }

    fn take(&mut self, section: &ReceivingSection, at: usize, packet: &Packet<'_>, way: Way) -> bool {
        let Some(codec) = section.codec(packet.fixed().payload_type).copied() else { return false };
        let part = Part { packet: *packet, received_at: self.received_at, way };
        let sink = &mut self.sink;
        self.inbound[at].handle(
            section,
            codec,
            part,
            &mut |about, data| sink.take(about, data),
            self.scratch,
        );
        true
    }

    /// Takes redundancy off: the packet's own block takes its place, older ones fill gaps, and
    /// corrections restore what is missing.
    fn handle_red(&mut self, section: &ReceivingSection, at: usize, packet: &mut [u8], way: Way) -> bool {
        let Ok(parsed) = Packet::parse(packet) else { return false };
        let (head, end) = (parsed.header().len(), parsed.payload_range().end);
        let Ok(blocks) = red::blocks(parsed.payload()) else { return false };
        let Some(own) = blocks.last() else { return false };
        let (payload_type, len) = (own.payload_type, own.data.len());
        let Some(codec) = section.codec(payload_type) else { return false };
        // No extension has number 0.
        let mutable =
            [section.extensions.transport, section.extensions.send_time].map(Option::unwrap_or_default);
        if codec.role == Role::Ulpfec {
            let inbound = &mut self.inbound[at];
            // It has a number of the stream, and no frame.
            let mut restored = std::mem::take(self.restored);
            let mut is_more = inbound.correct(&mutable, Some(own.data), None, &mut restored);
            self.take_empty(section, at, &parsed, way);
            while is_more {
                if let Ok(packet) = Packet::parse(&restored) {
                    self.take(section, at, &packet, Way::Restored);
                }
                is_more = self.inbound[at].restore(&mut restored);
            }
            *self.restored = restored;
            return true;
        }
        if let Ok(blocks) = red::blocks(parsed.payload()) {
            let older: Vec<_> = blocks.filter(|block| block.offset > 0 && !block.data.is_empty()).collect();
            if !older.is_empty() {
                let sink = &mut self.sink;
                self.inbound[at].handle_redundant(
                    &parsed,
                    &older,
                    self.received_at,
                    &mut |about, data| sink.take(about, data),
                    self.scratch,
                );
            }
        }
        let start = end - len - head;
        packet.copy_within(..head, start);
        // Padding stays behind it.
        let unwrapped = &mut packet[start..];
        if let Ok(mut rewritten) = PacketMut::parse(unwrapped) {
            rewritten.set_payload_type(payload_type);
        }
        let Ok(packet) = Packet::parse(unwrapped) else { return false };
        let has_fec = section.codecs.iter().any(|codec| codec.role == Role::Ulpfec);
        let is_taken = self.take(section, at, &packet, way);
        if has_fec {
            let mut restored = std::mem::take(self.restored);
            let bytes = packet.as_bytes();
            let mut is_more = self.inbound[at].correct(&mutable, None, Some(bytes), &mut restored);
            while is_more {
                if let Ok(packet) = Packet::parse(&restored) {
                    self.take(section, at, &packet, Way::Restored);
                }
                is_more = self.inbound[at].restore(&mut restored);
            }
            *self.restored = restored;
        }
        is_taken
    }

    /// Counts a packet that has a number and no part of a frame.
    fn take_empty(&mut self, section: &ReceivingSection, at: usize, packet: &Packet<'_>, way: Way) {
        let head = packet.header().len();
        let mut empty = [0; 256];
        let Some(room) = empty.get_mut(..head) else { return };
        room.copy_from_slice(&packet.as_bytes()[..head]);
        // No padding.
        room[0] &= !0x20;
        let Some(codec) = section.codecs.iter().find(|one| matches!(one.role, Role::Media(_))) else {
            return;
        };
        if let Ok(mut rewritten) = PacketMut::parse(room) {
            rewritten.set_payload_type(codec.payload_type);
            rewritten.set_marker(false);
        }
        if let Ok(packet) = Packet::parse(room) {
            self.take(section, at, &packet, way);
        }
    }

    /// Returns the stream that a stream of retransmissions repairs.
    fn repaired(
        &self,
        section: &ReceivingSection,
        ssrc: Ssrc,
        rid: Option<&std::sync::Arc<str>>,
    ) -> Option<usize> {
        let of = |one: &Inbound| one.transport == self.transport && one.transceiver == section.transceiver;
        if let Some((main, _)) = section.repaired.iter().find(|(_, repair)| *repair == ssrc) {
            return self.inbound.iter().position(|one| of(one) && one.ssrc() == *main);
        }
        let mut candidates = self.inbound.iter().enumerate().filter(|(_, one)| of(one));
        if rid.is_some() {
            return candidates.find(|(_, one)| one.rid.as_ref() == rid).map(|(at, _)| at);
        }
        let first = candidates.next()?;
        candidates.next().is_none().then_some(first.0)
    }

    /// Returns the stream of a packet, which may begin with it.
    fn stream(&mut self, section: &ReceivingSection, ssrc: Ssrc, payload_type: PayloadType) -> Option<usize> {
        let known = self.inbound.iter().position(|one| one.ssrc() == ssrc && one.transport == self.transport);
        if let Some(at) = known.filter(|at| self.inbound[*at].transceiver == section.transceiver) {
            return Some(at);
        }
        let codec = begins_stream(section, payload_type)?;
        let begun = Inbound::new(self.transport, section, codec, ssrc, self.received_at);
        // It has moved to another section.
        if let Some(at) = known {
            self.inbound[at] = begun;
            return Some(at);
        }
        if self.inbound.len() == MAX_INBOUND {
            let now = self.received_at;
            let idle = |one: &Inbound| now.saturating_duration_since(one.last) >= IDLE;
            let at = self.inbound.iter().position(idle)?;
            self.inbound.swap_remove(at);
        }
        self.inbound.push(begun);
        Some(self.inbound.len() - 1)
    }
}
