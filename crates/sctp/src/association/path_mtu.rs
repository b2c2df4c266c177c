//! The size of packets: searched for by padded probes (RFC 8899, carried as its §6.2 says by
//! HEARTBEAT and the PAD of RFC 4820), and found out again when larger packets begin to vanish.
//!
//! A chunk that has a TSN cannot be cut any more, so that none is made that would not fit the base
//! size: larger packets carry several. Whatever happens to the path, what is in flight can be sent
//! again.

use std::time::{Duration, Instant};

use rand_core::Rng;

use super::{Association, State};
use crate::timers::Timer;
use crate::wire::{PACKET_HEADER, Writer, chunk_type, seal};

/// The search. All sizes are of SCTP packets, in bytes.
#[derive(Debug)]
pub(super) struct PathMtu {
    /// The size that every path bears.
    base: usize,
    /// The largest size that the owner lets us try.
    max_mtu: usize,
    /// True if the peer says that it knows padding, and so expects packets of any size.
    peer_pads: bool,
    /// True if the peer is known to skip padding, although it does not say that it knows it.
    peer_skips: bool,
    /// The largest size that has been confirmed.
    current: usize,
    /// The smallest size that is too large, as far as is known.
    too_large: usize,
    phase: Phase,
    /// The last probe that was given up: it may have been only late.
    given_up: Option<Probe>,
    /// The number of packets that had been received at the first of the last timeouts in a row.
    received: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has been sent that would gain by larger packets.
    Idle,
    Probing(Probe),
    /// The size has been found, until the path is tried again.
    Complete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probe {
    size: usize,
    nonce: u64,
    /// The number of have that been lost, although something else came back meanwhile.
    lost: u32,
    due: bool,
    /// The number of packets that had been received when it was sent.
    received: u64,
    /// It asks whether the present size still gets through.
    confirms: bool,
}

/// The conclusion from the expiry of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing yet.
    Open,
    /// The size does not get through; smaller ones may.
    TooLarge,
    /// The size that got through before does not any more.
    BlackHole,
}

impl PathMtu {
    pub(super) fn new(base: usize, max_mtu: usize) -> Self {
        let max_mtu = max_mtu.max(base) & !3;
        Self {
            base,
            max_mtu,
            peer_pads: false,
            peer_skips: false,
            current: base,
            too_large: max_mtu + 4,
            phase: Phase::Idle,
            given_up: None,
            received: 0,
        }
    }

    /// Another path.
    pub(super) fn change_path(&mut self, base: usize, max_mtu: usize) {
        let (peer_pads, peer_skips) = (self.peer_pads, self.peer_skips);
        *self = Self { peer_pads, peer_skips, ..Self::new(base, max_mtu) };
        self.set_peer_pads(self.peer_pads);
    }

    /// Something else may be tried at most.
    pub(super) fn set_max_mtu(&mut self, max_mtu: usize) {
        self.max_mtu = max_mtu.max(self.base) & !3;
        self.too_large = self.limit() + 4;
        self.phase = Phase::Idle;
    }

    /// The handshake has told what the peer expects. What was asked before it is not answered any
    /// more.
    pub(super) fn set_peer_pads(&mut self, pads: bool) {
        self.peer_pads = pads;
        self.phase = Phase::Idle;
        self.too_large = self.limit() + 4;
    }

    /// The peer's cookie tells whose it is. A peer that does not declare PAD is not sent any,
    /// because one exists whose process ends by it (werift 0.25): the information of its HEARTBEATs
    /// is as long as the probe. dcsctp declares no PAD, either, but skips it as RFC 9260 §3.2 says,
    /// and Chromium, which has it, drops answers of more than 1,191 bytes.
    pub(super) fn on_cookie(&mut self, cookie: &[u8]) {
        self.peer_skips = cookie.starts_with(DCSCTP_COOKIE);
    }

    fn limit(&self) -> usize {
        if self.peer_pads { self.max_mtu } else { self.max_mtu.min(FOREIGN_LIMIT).max(self.base) }
    }

    /// The next size to try: first what networks are usually made for, then the middle of what is
    /// left.
    fn candidate(&self) -> Option<usize> {
        let usual = USUAL.into_iter().chain([self.limit()]);
        let usual = usual.filter(|size| (self.current + 1..self.too_large).contains(size)).min();
        let middle = ((self.current + self.too_large) / 2) & !3;
        usual.or_else(|| (self.too_large - self.current > PRECISION).then_some(middle))
    }

    /// Goes on with the next size, if there is one.
    fn advance(&mut self, nonce: u64) {
        self.phase = match self.candidate() {
            Some(size) => {
                Phase::Probing(Probe { size, nonce, lost: 0, due: true, received: 0, confirms: false })
            }
            None => Phase::Complete,
        };
    }

    fn probe(&mut self) -> Option<&mut Probe> {
        match &mut self.phase {
            Phase::Probing(probe) => Some(probe),
            Phase::Idle | Phase::Complete => None,
        }
    }

    /// Data has timed out, so often in a row. Returns whether the size is to blame: something
    /// smaller came back meanwhile. A probe of the size may get through nevertheless, and fill the
    /// queue that the data behind it finds.
    fn on_data_timeout(&mut self, in_a_row: u32, received: u64) -> bool {
        if in_a_row < 2 {
            self.received = received;
            return false;
        }
        let is_black_hole = self.current > self.base && received > self.received;
        if is_black_hole {
            self.too_large = self.current;
            self.current = self.base;
        }
        is_black_hole
    }

    fn on_expired(&mut self, received: u64) -> Verdict {
        let Some(probe) = self.probe() else { return Verdict::Open };
        probe.due = true;
        // Where nothing comes back at all, it says nothing about size.
        if received == probe.received {
            return Verdict::Open;
        }
        probe.lost += 1;
        if probe.lost < MAX_PROBES {
            return Verdict::Open;
        }
        let probe = *probe;
        self.too_large = probe.size;
        self.given_up = Some(probe);
        if probe.confirms {
            self.current = self.base;
            return Verdict::BlackHole;
        }
        Verdict::TooLarge
    }
}

impl Association {
    /// Begins to search once there is something that would gain by it. Idle paths are not probed.
    pub(super) fn search_path_mtu(&mut self) {
        if self.path_mtu.phase == Phase::Idle
            && self.state == State::Established
            && self.path_mtu.current < self.path_mtu.limit()
            && self.sender.queue.queued() > WORTH_A_SEARCH * self.sender.mtu()
        {
            let nonce = self.rng.next_u64();
            self.path_mtu.advance(nonce);
        }
    }

    /// Writes a probe, if one is due and fits.
    pub(super) fn write_probe(&mut self, now: Instant, buffer: &mut [u8]) -> Option<usize> {
        let received = self.stats.packets_received;
        let probe = self.path_mtu.probe().filter(|probe| probe.due && self.state == State::Established)?;
        let (size, nonce) = (probe.size, probe.nonce);
        let target = buffer.get_mut(..size)?;
        probe.due = false;
        probe.received = received;
        let mut writer = Writer::new(target);
        self.header(self.peer.tag).write(&mut writer);
        if self.path_mtu.peer_pads || self.path_mtu.peer_skips {
            writer.chunk(chunk_type::HEARTBEAT, 0, |writer| writer.parameter(1, |writer| writer.u64(nonce)));
            let padding = writer.room().saturating_sub(4);
            writer.chunk(chunk_type::PAD, 0, |writer| writer.zeros(padding));
        } else {
            let padding = writer.room().saturating_sub(4 + 4 + 8);
            writer.chunk(chunk_type::HEARTBEAT, 0, |writer| {
                writer.parameter(1, |writer| {
                    writer.u64(nonce);
                    writer.zeros(padding);
                });
            });
        }
        debug_assert!(writer.len() == size && size > PACKET_HEADER, "a probe is as large as it says");
        if !self.peer.extensions.zero_checksum {
            seal(writer.written());
        }
        // Shorter than RFC 8899 §5.1.1 has it where the round trip is not known: here it is.
        let patience = self.sender.round_trip.estimate() * 2 + PROBE_SLACK;
        self.timers.set(Timer::PathMtu, now + patience);
        Some(size)
    }

    /// A HEARTBEAT has been answered; says whether it was a probe.
    pub(super) fn on_probe_answered(&mut self, now: Instant, nonce: u64) -> bool {
        let path = &mut self.path_mtu;
        let late = path.given_up.take_if(|probe| probe.nonce == nonce);
        if late.is_some() {
            path.too_large = path.limit() + 4;
        }
        let Some(probe) = late.or_else(|| path.probe().copied().filter(|probe| probe.nonce == nonce)) else {
            return false;
        };
        tracing::debug!(size = probe.size, "the path bears packets of this size");
        self.path_mtu.current = self.path_mtu.current.max(probe.size);
        self.sender.set_mtu(self.path_mtu.current);
        self.go_on(now);
        true
    }

    pub(super) fn on_path_mtu_timeout(&mut self, now: Instant) {
        if self.state != State::Established {
            return;
        }
        if self.path_mtu.phase == Phase::Complete {
            // The path may have become better: RFC 8899 §5.1.1, PMTU_RAISE_TIMER.
            self.path_mtu.too_large = self.path_mtu.limit() + 4;
            self.path_mtu.phase = Phase::Idle;
            return;
        }
        match self.path_mtu.on_expired(self.stats.packets_received) {
            // It goes out again, and something small with it that will come back if anything does.
            Verdict::Open => self.ask_heartbeat(now),
            Verdict::TooLarge => self.go_on(now),
            Verdict::BlackHole => {
                tracing::debug!("larger packets vanish");
                self.sender.set_mtu(self.path_mtu.current);
                self.sender.on_black_hole(now);
                self.go_on(now);
            }
        }
    }

    /// The retransmission timer has expired with data in flight (RFC 8899 §4.3).
    pub(super) fn on_data_timeout(&mut self, now: Instant) {
        let in_a_row = self.sender.round_trip.timeouts();
        if self.state == State::Established
            && self.path_mtu.on_data_timeout(in_a_row, self.stats.packets_received)
        {
            tracing::debug!("larger packets vanish again and again");
            self.sender.set_mtu(self.path_mtu.current);
            self.go_on(now);
        }
        self.suspect_black_hole(now);
    }

    /// Large packets may be vanishing: is it their size?
    pub(super) fn suspect_black_hole(&mut self, now: Instant) {
        let path = &mut self.path_mtu;
        if path.current == path.base || self.state != State::Established {
            return;
        }
        if path.probe().is_some_and(|probe| probe.confirms) {
            return;
        }
        let (size, nonce) = (path.current, self.rng.next_u64());
        path.phase = Phase::Probing(Probe { size, nonce, lost: 0, due: true, received: 0, confirms: true });
        self.ask_heartbeat(now);
    }

    fn go_on(&mut self, now: Instant) {
        let nonce = self.rng.next_u64();
        self.path_mtu.advance(nonce);
        if self.path_mtu.phase == Phase::Complete {
            self.timers.set(Timer::PathMtu, now + RAISE);
        }
    }
}

/// The beginning of dcsctp's cookies, by which it knows itself, too.
const DCSCTP_COOKIE: &[u8] = b"dcSCTP";
/// The sizes that fit Ethernet with IPv6 or IPv4, UDP and DTLS 1.2; jumbo frames; and one DTLS
/// record (RFC 9147 §4).
const USUAL: [usize; 4] = [1412, 1432, 8912, 16_384];
/// A peer that has never heard of padding is not made for more than Ethernet: some have receive
/// buffers of 1,460 or 2,048 bytes, and take what is cut off for an attack.
const FOREIGN_LIMIT: usize = 1432;
/// The search ends when the size is known as exactly as this.
const PRECISION: usize = 32;
/// RFC 8899 §5.1.2.
const MAX_PROBES: u32 = 3;
/// RFC 8899 §5.1.1.
const RAISE: Duration = Duration::from_secs(600);
/// The time that a probe may take beyond two round trips: as long as a queue on the way may grow,
/// or a busy peer may take.
const PROBE_SLACK: Duration = Duration::from_millis(300);
/// So many packets must wait before larger ones are looked for.
const WORTH_A_SEARCH: usize = 4;
