//! The handshake, its collisions, and restarts (RFC 9260 §5.1 and §5.2).

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::cookie::{Cookie, PeerInit};
use super::{Abort, Association, Identity, MAX_REPLIES, State, random_tag};
use crate::error::{CloseReason, ImportError};
use crate::event::Event;
use crate::rx::initial_window;
use crate::serial::Tsn;
use crate::timers::Timer;
use crate::wire::{
    Extensions, FLAG_REFLECTED_TAG, Header, Init, PACKET_HEADER, Writer, cause, chunk_type, seal,
};
use rand_core::Rng;

impl Association {
    /// Our INIT as it would go out, chunk header included, to be carried to the peer in another
    /// way; both sides do so.
    pub fn export_init(&self) -> Bytes {
        let mut buffer = [0; 128];
        let mut writer = Writer::new(&mut buffer);
        self.write_init(&mut writer);
        Bytes::copy_from_slice(writer.written())
    }

    /// Takes the peer's INIT that was carried in another way, after
    /// [`export_init`](Self::export_init) has carried ours: the association is established without
    /// a handshake.
    ///
    /// # Errors
    /// If the handshake has begun, or it is not an INIT, or our own.
    pub fn import_init(&mut self, now: Instant, init: &[u8]) -> Result<(), ImportError> {
        if self.state != State::Idle {
            return Err(ImportError::TooLate);
        }
        let init = read_init(init).ok_or(ImportError::Malformed)?;
        if init.tag == self.local_tag {
            return Err(ImportError::Own);
        }
        self.adopt(PeerInit::from(&init));
        self.is_imported = true;
        self.establish(now);
        Ok(())
    }

    /// The tag and the first TSN of this side, for an association that takes this one's place.
    pub(crate) fn identity(&self) -> Identity {
        Identity { tag: self.local_tag, tsn: self.local_tsn }
    }

    pub(super) fn write_init(&self, writer: &mut Writer<'_>) {
        self.local_init(self.local_tag, self.local_tsn).write(writer, chunk_type::INIT);
    }

    fn local_init(&self, tag: u32, initial_tsn: Tsn) -> Init<'static> {
        Init {
            tag,
            window: u32::try_from(initial_window(&self.config)).unwrap_or(u32::MAX),
            outgoing_streams: self.config.streams,
            incoming_streams: self.config.streams,
            initial_tsn,
            extensions: Extensions {
                forward_tsn: true,
                reconfig: true,
                interleaving: self.config.interleaving,
                zero_checksum: self.config.zero_checksum,
                partial_sacks: true,
                padding: true,
                ecn: self.config.ecn,
            },
            cookie: &[],
            unrecognized: &[],
        }
    }

    pub(super) fn on_init(&mut self, now: Instant, value: &[u8]) {
        let Ok(init) = Init::parse(value) else { return self.drop_packet("malformed INIT") };
        if init.tag == 0 {
            return self.drop_packet("INIT without a tag");
        }
        if !is_usable(&init) {
            let text = "INIT with no streams or hardly a window";
            return self.reply_abort(init.tag, cause::INVALID_MANDATORY_PARAMETER, text);
        }
        let (tag, tsn, tie_tags) = match &self.state {
            State::Closed => return,
            // The peer has not heard that we agree to end (RFC 9260 §9.2).
            State::ShutdownAckSent => {
                self.due.shutdown_ack = true;
                return;
            }
            State::Idle | State::CookieWait => (self.local_tag, self.local_tsn, (0, 0)),
            State::CookieEchoed { .. } => (self.local_tag, self.local_tsn, (self.local_tag, self.peer.tag)),
            // Deviation: RFC 9260 §5.2.2 wants another tag. This INIT is the one that was carried
            // in another way; ours was lost there, so that the peer begins the handshake.
            _ if self.is_imported && init.tag == self.peer.tag && init.initial_tsn == self.peer.tsn => {
                (self.local_tag, self.local_tsn, (0, 0))
            }
            // The peer may have begun anew; nothing changes before its cookie comes back.
            _ => (random_tag(&mut self.rng), Tsn(self.rng.next_u32()), (self.local_tag, self.peer.tag)),
        };
        let cookie = Cookie {
            made: self.age(now),
            local_tag: tag,
            local_tsn: tsn,
            tie_tags,
            peer: PeerInit::from(&init),
        }
        .to_bytes(&self.cookie_key);
        // An unrecognized parameter is only reported if it is of a reasonable size.
        let unrecognized = if init.unrecognized.len() <= 256 { init.unrecognized } else { &[] };
        let answer = Init { cookie: &cookie, unrecognized, ..self.local_init(tag, tsn) };
        self.reply(init.tag, |writer| answer.write(writer, chunk_type::INIT_ACK));
    }

    pub(super) fn on_init_ack(&mut self, now: Instant, value: &[u8]) {
        if self.state != State::CookieWait {
            return;
        }
        let Ok(init) = Init::parse(value) else { return self.drop_packet("malformed INIT ACK") };
        if !is_usable(&init) || init.cookie.is_empty() || init.cookie.len() > MAX_COOKIE {
            self.close(CloseReason::Violation("unusable INIT ACK"));
            return self.reply_abort(init.tag, cause::INVALID_MANDATORY_PARAMETER, "unusable INIT ACK");
        }
        self.adopt(PeerInit::from(&init));
        self.path_mtu.on_cookie(init.cookie);
        self.state = State::CookieEchoed { cookie: Bytes::copy_from_slice(init.cookie) };
        self.due.cookie_echo = true;
        self.unanswered = 0;
        if let Some(sent) = self.handshake_sent.take() {
            self.sender.round_trip.measured(now.saturating_duration_since(sent));
        }
        self.timers.stop(Timer::Handshake);
    }

    /// A cookie comes back: RFC 9260 §5.1.5 and §5.2.4, whose table decides by the tags. Says
    /// whether the rest of the packet is to be read.
    pub(super) fn on_cookie_echo(&mut self, now: Instant, header: &Header, value: &[u8]) -> bool {
        let Some(cookie) = Cookie::from_bytes(value, &self.cookie_key) else {
            self.drop_packet("a cookie that is not ours");
            return false;
        };
        if header.verification_tag != cookie.local_tag || self.state == State::Closed {
            self.drop_packet("a cookie under a wrong tag");
            return false;
        }
        let same_local = cookie.local_tag == self.local_tag;
        let same_peer = cookie.peer.tag == self.peer.tag;
        let stale = self.age(now).saturating_sub(cookie.made) > COOKIE_LIFETIME;
        if stale && !(same_local && same_peer) {
            let staleness = (self.age(now).saturating_sub(cookie.made) - COOKIE_LIFETIME).as_micros();
            let staleness = u32::try_from(staleness).unwrap_or(u32::MAX);
            self.reply(cookie.peer.tag, |writer| {
                writer.chunk(chunk_type::ERROR, 0, |writer| {
                    writer.parameter(cause::STALE_COOKIE, |writer| writer.u32(staleness));
                });
            });
            return false;
        }
        match self.state {
            // B: both have begun at once; or only the peer has.
            State::Idle | State::CookieWait | State::CookieEchoed { .. } if same_local => {
                // In CookieEchoed with the same peer tag this is D, and comes to the same.
                self.adopt(cookie.peer);
                self.establish(now);
                self.due.cookie_ack = true;
                true
            }
            State::Idle | State::CookieWait | State::CookieEchoed { .. } => false,
            // D: our COOKIE ACK was lost.
            _ if same_local && same_peer => {
                self.due.cookie_ack = true;
                true
            }
            // A: the peer has begun anew.
            _ if !same_local && !same_peer && cookie.tie_tags == (self.local_tag, self.peer.tag) => {
                self.on_restart(now, &cookie)
            }
            // C: a cookie from before.
            _ => false,
        }
    }

    fn on_restart(&mut self, now: Instant, cookie: &Cookie) -> bool {
        if self.state == State::ShutdownAckSent {
            self.due.shutdown_ack = true;
            return false;
        }
        tracing::debug!("the peer has begun anew");
        // What this side wanted, it still wants.
        self.ends = matches!(self.state, State::ShutdownPending | State::ShutdownSent);
        self.local_tag = cookie.local_tag;
        self.local_tsn = cookie.local_tsn;
        self.is_imported = false;
        self.timers.stop_all();
        let resetting = self.sender.restart(&self.config, cookie.local_tsn, now);
        self.resets = super::Resets::new(cookie.local_tsn, resetting);
        self.receiver.reassembly.reset_all();
        self.path_mtu.on_cookie(&[]);
        self.due.shutdown = false;
        self.adopt(cookie.peer);
        self.establish(now);
        self.events.pop_back();
        self.events.push_back(Event::Restarted);
        self.due.cookie_ack = true;
        true
    }

    pub(super) fn on_cookie_ack(&mut self, now: Instant) {
        if matches!(self.state, State::CookieEchoed { .. }) {
            self.establish(now);
        }
    }

    /// Remembers what the peer has said of itself; what both can do, both will.
    fn adopt(&mut self, peer: PeerInit) {
        let theirs = peer.extensions;
        let extensions = Extensions {
            interleaving: theirs.interleaving && self.config.interleaving,
            zero_checksum: theirs.zero_checksum && self.config.zero_checksum,
            ecn: theirs.ecn && self.config.ecn,
            ..theirs
        };
        self.peer = PeerInit { extensions, ..peer };
        self.sender.start(peer.window, extensions.interleaving, extensions.forward_tsn);
        self.receiver.start(peer.tsn, extensions.interleaving, extensions.partial_sacks);
        self.sender.queue.drop_from(self.outgoing_streams());
        self.path_mtu.set_peer_pads(extensions.padding);
        self.resets.start(peer.tsn);
        self.notification = Default::default();
    }

    fn establish(&mut self, now: Instant) {
        self.state = State::Established;
        self.unanswered = 0;
        self.due.init = false;
        self.due.cookie_echo = false;
        self.timers.stop(Timer::Handshake);
        self.timers.set(Timer::Heartbeat, now + self.config.heartbeat_interval);
        self.events.push_back(Event::Connected);
        if std::mem::take(&mut self.ends) {
            self.shutdown(now);
        }
    }

    pub(super) fn on_handshake_timeout(&mut self) {
        self.unanswered += 1;
        self.handshake_sent = None;
        if self.config.max_init_retransmissions.is_some_and(|most| self.unanswered > most) {
            return self.close(CloseReason::Timeout);
        }
        self.sender.round_trip.back_off();
        match self.state {
            State::CookieWait => self.due.init = true,
            State::CookieEchoed { .. } => self.due.cookie_echo = true,
            _ => {}
        }
    }

    /// The peer says that our cookie came too late: the handshake begins again.
    pub(super) fn on_stale_cookie(&mut self) {
        if matches!(self.state, State::CookieEchoed { .. }) {
            self.state = State::CookieWait;
            self.due.cookie_echo = false;
            self.due.init = true;
        }
    }

    /// Queues a packet that needs no state, with a checksum in any case.
    pub(super) fn reply(&mut self, tag: u32, write: impl FnOnce(&mut Writer<'_>)) {
        if self.due.replies.len() >= MAX_REPLIES {
            return;
        }
        let mut buffer = [0; 640];
        let mut writer = Writer::new(&mut buffer);
        self.header(tag).write(&mut writer);
        write(&mut writer);
        seal(writer.written());
        self.due.replies.push_back(writer.written().to_vec());
    }

    fn reply_abort(&mut self, tag: u32, cause: u16, text: &'static str) {
        let reflected = if tag == 0 { FLAG_REFLECTED_TAG } else { 0 };
        self.reply(tag, |writer| Abort::new(cause, text).write(writer, reflected));
    }

    pub(super) fn header(&self, tag: u32) -> Header {
        Header {
            source_port: self.config.local_port,
            destination_port: self.config.remote_port,
            verification_tag: tag,
        }
    }
}

/// Returns whether this is an INIT chunk, header included, as
/// [`export_init`](Association::export_init) writes it, that an association can be established
/// with.
#[must_use]
pub fn is_init(chunk: &[u8]) -> bool {
    read_init(chunk).is_some()
}

fn read_init(chunk: &[u8]) -> Option<Init<'_>> {
    let [chunk_type::INIT, _, high, low, ..] = chunk else { return None };
    let value = chunk.get(4..usize::from(u16::from_be_bytes([*high, *low])))?;
    Init::parse(value).ok().filter(is_usable)
}

impl Abort {
    pub(super) fn new(cause: u16, text: &'static str) -> Self {
        Self { cause, tsn: None, text }
    }

    pub(super) fn write(self, writer: &mut Writer<'_>, flags: u8) {
        writer.chunk(chunk_type::ABORT, flags, |writer| {
            writer.parameter(self.cause, |writer| {
                if let Some(tsn) = self.tsn {
                    writer.u32(tsn.0);
                }
                writer.bytes(self.text.as_bytes());
            });
        });
    }
}

/// RFC 9260 §3.3.2: neither the tag nor the numbers of streams are zero, and the window has room
/// for a packet.
fn is_usable(init: &Init<'_>) -> bool {
    init.tag != 0 && init.outgoing_streams != 0 && init.incoming_streams != 0 && init.window >= LEAST_WINDOW
}

/// RFC 9260 §16: Valid.Cookie.Life.
const COOKIE_LIFETIME: Duration = Duration::from_secs(60);
/// The smallest window that an INIT may name, in bytes (RFC 9260 §3.3.2).
const LEAST_WINDOW: u32 = 1500;
/// A cookie must fit into a packet; no implementation needs more.
const MAX_COOKIE: usize = 1191 - PACKET_HEADER - 4;
