//! Packets that arrive (RFC 9260 §6, §8 and §9).

use std::time::Instant;

use bytes::Bytes;

use super::{Abort, Association, MAX_REPLIES, State};
use crate::error::CloseReason;
use crate::wire::{
    Chunk, Data, FLAG_REFLECTED_TAG, ForwardTsn, Header, PACKET_HEADER, Reader, Sack, cause, chunk_type,
    parse,
};

/// The congestion mark in the IP header of a packet (RFC 3168).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ecn {
    /// Nothing.
    #[default]
    NotMarked,
    /// A router on the way was congested.
    CongestionExperienced,
}

/// Tells whether the rest of a packet is to be read.
enum Next {
    Continue,
    Stop,
}

impl Association {
    /// A packet has arrived, decrypted. What makes no sense is dropped and counted.
    pub fn handle_input(&mut self, now: Instant, packet: &[u8], ecn: Ecn) {
        let (header, chunks) = match parse(packet, self.config.zero_checksum) {
            Ok(parsed) => parsed,
            Err(error) => {
                tracing::debug!(%error, "packet dropped");
                self.stats.packets_dropped += 1;
                return;
            }
        };
        if header.source_port != self.config.remote_port || header.destination_port != self.config.local_port
        {
            return self.drop_packet("other ports");
        }
        let mut chunks = chunks.peekable();
        let Some(Ok(first)) = chunks.peek().copied() else { return self.drop_packet("no chunk") };
        if !self.is_tag_right(&header, &first) {
            return self.drop_packet("wrong verification tag");
        }
        self.stats.packets_received += 1;
        self.stats.bytes_received += packet.len() as u64;
        if self.state == State::Closed && first.kind != chunk_type::SHUTDOWN_ACK {
            return self.repeat_abort(first.kind);
        }
        let mut marked = ecn == Ecn::CongestionExperienced && self.peer.extensions.ecn;
        let mut had_data = false;
        for chunk in chunks {
            let Ok(chunk) = chunk else {
                tracing::debug!("the rest of a packet cannot be read");
                break;
            };
            let is_data = matches!(chunk.kind, chunk_type::DATA | chunk_type::I_DATA);
            if is_data && std::mem::take(&mut marked) {
                self.note_marked(chunk.value);
            }
            had_data |= is_data;
            if matches!(self.on_chunk(now, &header, &chunk), Next::Stop) || self.state == State::Closed {
                break;
            }
        }
        if had_data && self.takes_data() {
            self.receiver.on_packet_end(now, &mut self.timers);
            // An end that shuts down answers each packet with another SHUTDOWN (RFC 9260 §9.2).
            if self.state == State::ShutdownSent {
                self.due.shutdown = true;
            }
        }
        self.refuse_resets();
    }

    pub(super) fn drop_packet(&mut self, why: &'static str) {
        tracing::debug!(why, "packet dropped");
        self.stats.packets_dropped += 1;
    }

    /// RFC 9260 §8.5: each packet carries our tag, but for a few chunks.
    fn is_tag_right(&self, header: &Header, first: &Chunk<'_>) -> bool {
        let tag = header.verification_tag;
        match first.kind {
            chunk_type::INIT => tag == 0,
            // Its own tag is in the cookie.
            chunk_type::COOKIE_ECHO => true,
            chunk_type::ABORT | chunk_type::SHUTDOWN_COMPLETE if first.flags & FLAG_REFLECTED_TAG != 0 => {
                self.peer.tag != 0 && tag == self.peer.tag
            }
            _ => tag == self.local_tag,
        }
    }

    /// A peer that goes on as if nothing had happened has not heard our ABORT (RFC 9260 §8.4); of
    /// the chunks that are not to be answered so, there are those that end or begin something.
    fn repeat_abort(&mut self, kind: u8) {
        let silent = [
            chunk_type::ABORT,
            chunk_type::SHUTDOWN_COMPLETE,
            chunk_type::ERROR,
            chunk_type::INIT,
            chunk_type::INIT_ACK,
            chunk_type::COOKIE_ECHO,
            chunk_type::COOKIE_ACK,
        ];
        if !silent.contains(&kind) {
            self.due.abort = self.last_abort;
        }
    }

    fn takes_data(&self) -> bool {
        matches!(self.state, State::Established | State::ShutdownPending | State::ShutdownSent)
    }

    pub(super) fn has_peer(&self) -> bool {
        !matches!(self.state, State::Idle | State::CookieWait | State::Closed)
    }

    fn on_chunk(&mut self, now: Instant, header: &Header, chunk: &Chunk<'_>) -> Next {
        match chunk.kind {
            // What the peer repeats until it is taken.
            chunk_type::FORWARD_TSN | chunk_type::I_FORWARD_TSN | chunk_type::RECONFIG
                if self.receiver.is_held() => {}
            chunk_type::DATA | chunk_type::I_DATA => return self.on_data(now, chunk),
            chunk_type::SACK => self.on_sack(now, chunk),
            chunk_type::INIT => {
                self.on_init(now, chunk.value);
                return Next::Stop;
            }
            chunk_type::INIT_ACK => {
                self.on_init_ack(now, chunk.value);
                return Next::Stop;
            }
            chunk_type::COOKIE_ECHO => {
                if !self.on_cookie_echo(now, header, chunk.value) {
                    return Next::Stop;
                }
            }
            chunk_type::COOKIE_ACK => self.on_cookie_ack(now),
            chunk_type::HEARTBEAT => {
                let acks = &self.due.heartbeat_acks;
                let room = self.sender.mtu().saturating_sub(PACKET_HEADER + 12);
                let fits = chunk.value.len() <= room.min(MAX_HEARTBEAT);
                if self.has_peer() && fits && acks.len() < MAX_REPLIES {
                    self.due.heartbeat_acks.push_back(Bytes::copy_from_slice(chunk.value));
                }
            }
            chunk_type::HEARTBEAT_ACK => self.on_heartbeat_ack(now, chunk.value),
            chunk_type::ABORT => {
                let cause = Reader::new(chunk.value).u16().ok();
                if self.state != State::Idle {
                    self.close(CloseReason::Remote { cause });
                }
                return Next::Stop;
            }
            chunk_type::SHUTDOWN => self.on_shutdown(now, chunk.value),
            chunk_type::SHUTDOWN_ACK => self.on_shutdown_ack(header),
            chunk_type::SHUTDOWN_COMPLETE => self.on_shutdown_complete(),
            chunk_type::ERROR => self.on_error(chunk.value),
            chunk_type::FORWARD_TSN | chunk_type::I_FORWARD_TSN => self.on_forward_tsn(now, chunk),
            chunk_type::RECONFIG => {
                if self.has_peer() {
                    self.on_reconfig(now, chunk.value);
                }
            }
            chunk_type::ECNE => self.on_echo(now, chunk.value),
            chunk_type::CWR => self.on_reduced(chunk.value),
            chunk_type::PAD => {}
            _ => return self.on_unknown(chunk),
        }
        Next::Continue
    }

    fn on_data(&mut self, now: Instant, chunk: &Chunk<'_>) -> Next {
        if !self.takes_data() {
            return Next::Continue;
        }
        let interleaved = chunk.kind == chunk_type::I_DATA;
        if interleaved != self.peer.extensions.interleaving {
            self.violation(now, "DATA and I-DATA mixed");
            return Next::Stop;
        }
        let Ok(data) = Data::parse(chunk.flags, chunk.value, interleaved) else {
            self.violation(now, "malformed DATA");
            return Next::Stop;
        };
        if data.payload.is_empty() {
            // The cause names the TSN (RFC 9260 §3.3.10.9).
            self.abort_with(now, Abort { tsn: Some(data.tsn), ..Abort::new(cause::NO_USER_DATA, "") });
            self.close(CloseReason::Violation("DATA without data"));
            return Next::Stop;
        }
        if let Some(notice) = self.receiver.on_data(&data) {
            self.notices.push_back(notice);
        }
        Next::Continue
    }

    fn on_sack(&mut self, now: Instant, chunk: &Chunk<'_>) {
        if !self.has_peer() {
            return;
        }
        // Without an agreement the flags mean nothing.
        let partial = self.peer.extensions.partial_sacks.then_some(chunk.flags);
        let Ok(sack) = Sack::parse(partial, chunk.value) else {
            return self.violation(now, "malformed SACK");
        };
        let waiting = |sender: &crate::tx::Sender| (sender.outstanding.base(), sender.outstanding.payload());
        let before = waiting(&self.sender);
        match self.sender.on_sack(now, &sack, &mut self.timers) {
            Ok(true) => {
                self.unanswered = 0;
                self.notification.on_acknowledged();
                if waiting(&self.sender) != before {
                    self.note_progress(now);
                }
            }
            Ok(false) => {}
            Err(_) => return self.violation(now, "SACK for data never sent"),
        }
        self.continue_shutdown(now);
    }

    fn on_forward_tsn(&mut self, now: Instant, chunk: &Chunk<'_>) {
        if !self.takes_data() {
            return;
        }
        let interleaved = chunk.kind == chunk_type::I_FORWARD_TSN;
        if interleaved != self.peer.extensions.interleaving {
            return self.violation(now, "FORWARD-TSN and I-FORWARD-TSN mixed");
        }
        let Ok(forward) = ForwardTsn::parse(chunk.value, interleaved) else {
            return self.violation(now, "malformed FORWARD-TSN");
        };
        let notices = &mut self.notices;
        self.receiver.on_forward(&forward, |notice| notices.push_back(notice));
    }

    fn on_error(&mut self, value: &[u8]) {
        let mut reader = Reader::new(value);
        while let Ok((kind, _)) = reader.element() {
            let kind = u16::from_be_bytes(kind);
            tracing::debug!(cause = kind, "the peer reports an error");
            if kind == cause::STALE_COOKIE {
                self.on_stale_cookie();
            }
        }
    }

    /// RFC 9260 §3.2: the upper bits of an unknown type say what to do with it.
    fn on_unknown(&mut self, chunk: &Chunk<'_>) -> Next {
        if chunk.kind & 0x40 != 0 && self.has_peer() {
            let mut copy = vec![chunk.kind, chunk.flags];
            copy.extend_from_slice(&((chunk.value.len() + 4) as u16).to_be_bytes());
            copy.extend_from_slice(&chunk.value[..chunk.value.len().min(MAX_REPORTED)]);
            self.due.error = Some((cause::UNRECOGNIZED_CHUNK, copy.into()));
        }
        if chunk.kind & 0x80 != 0 { Next::Continue } else { Next::Stop }
    }
}

/// The largest HEARTBEAT that is answered, which must fit into a packet of ours, too. Peers probe
/// the size of their path with long ones.
const MAX_HEARTBEAT: usize = 8192;
/// The bytes of an unknown chunk that are given back.
const MAX_REPORTED: usize = 128;
