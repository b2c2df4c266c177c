//! Sending user data: what goes into the next packet, and what acknowledgements and timers do to
//! what is in flight.

use std::time::{Duration, Instant};

use super::congestion::{Ack, Controller, Lost, controller};
use super::outstanding::{AckSummary, NeverSent, NewestAcked, Outstanding, Sent, SentState};
use super::{Delivery, Fragment, Marks, Pacer, Rack, RoundTrip, SendQueue};
use crate::config::{Config, CongestionControl};
use crate::serial::{StreamId, Tsn};
use crate::stats::Fates;
use crate::timers::{Timer, Timers};
use crate::wire::{DATA_HEADER, ForwardTsn, I_DATA_HEADER, PACKET_HEADER, Sack, Skipped, Writer};

/// The sending half of an association.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) queue: SendQueue,
    pub(crate) outstanding: Outstanding,
    pub(crate) round_trip: RoundTrip,
    rack: Rack,
    congestion_control: CongestionControl,
    controller: Box<dyn Controller>,
    delivery: Delivery,
    /// The most that was in flight in the last round and in this one.
    peak_in_flight: [usize; 2],
    /// Bytes found lost since the controller was last told, and how many of them were sent in a
    /// quiet phase.
    lost: (usize, usize),
    pacer: Pacer,
    interleaved: bool,
    /// The peer takes FORWARD-TSN.
    partial_reliability: bool,
    mtu: usize,
    /// The size that every path bears; no chunk is larger.
    base_mtu: usize,
    /// Something had to be sent again more than once, as if packets of its size did not get
    /// through.
    suspicious: bool,
    max_in_flight: usize,
    /// The window in the peer's last SACK.
    peer_window: usize,
    /// The most that the peer has ever said.
    widest_window: usize,
    /// The last TSN that was sent when loss was found; the recovery ends when it is acknowledged.
    recovery: Option<Tsn>,
    /// The last TSN that was sent when a mark was answered; marks of what was sent before ask for
    /// nothing more.
    marked_until: Option<Tsn>,
    /// When the retransmission timer last expired, until its verdict has been confirmed or refuted.
    timed_out_at: Option<Instant>,
    /// The next packet may go out whatever the window says.
    free_packet: Option<FreePacket>,
    /// A probe is on its way; another would tell no more.
    probing: bool,
    forward_due: bool,
    /// The last FORWARD-TSN, so that one a round trip suffices.
    last_forward: Option<(Tsn, Instant)>,
    last_sent: Option<Instant>,
    pub(crate) retransmitted_chunks: u64,
    /// Those that the owner has not taken yet.
    pub(crate) fates: Fates,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FreePacket {
    /// The first retransmission of a recovery (RFC 9260 §7.2.4).
    Retransmit,
    /// A tail-loss probe.
    Probe,
}

impl Sender {
    pub(crate) fn new(config: &Config, initial: Tsn, now: Instant) -> Self {
        Self {
            queue: SendQueue::new(config),
            outstanding: Outstanding::new(initial),
            round_trip: RoundTrip::new(config.initial_rto, config.min_rto, config.max_rto),
            rack: Rack::new(initial),
            congestion_control: config.congestion_control,
            controller: controller(config.congestion_control, config.mtu, initial.0),
            delivery: Delivery::new(now),
            peak_in_flight: [0; 2],
            lost: (0, 0),
            pacer: Pacer::new(now),
            interleaved: false,
            partial_reliability: false,
            mtu: config.mtu,
            base_mtu: config.mtu,
            suspicious: false,
            max_in_flight: config.max_in_flight,
            peer_window: 0,
            widest_window: 0,
            recovery: None,
            marked_until: None,
            timed_out_at: None,
            free_packet: None,
            probing: false,
            forward_due: false,
            last_forward: None,
            last_sent: None,
            retransmitted_chunks: 0,
            fates: Fates::default(),
        }
    }

    /// The handshake is done.
    pub(crate) fn start(&mut self, peer_window: u32, interleaved: bool, partial_reliability: bool) {
        self.peer_window = peer_window as usize;
        self.widest_window = self.peer_window;
        self.interleaved = interleaved;
        self.partial_reliability = partial_reliability;
        self.queue.set_interleaved(interleaved);
        self.queue.set_gives_up(partial_reliability);
        self.outstanding.set_interleaved(interleaved);
    }

    /// The peer has begun anew: what waits is kept, what was in flight is gone. Gives the streams
    /// that are being reset.
    pub(crate) fn restart(&mut self, config: &Config, initial: Tsn, now: Instant) -> Vec<StreamId> {
        let fresh = Self::new(config, initial, now);
        let mut queue = std::mem::replace(&mut self.queue, SendQueue::new(config));
        let resetting = queue.restart();
        *self = Self { queue, mtu: self.mtu, base_mtu: self.base_mtu, ..fresh };
        resetting
    }

    /// Another path, of which nothing is known but the packet size.
    pub(crate) fn change_path(&mut self, now: Instant, mtu: usize) {
        self.base_mtu = mtu;
        self.round_trip.forget();
        self.controller = controller(self.congestion_control, mtu, self.outstanding.next_tsn().0);
        self.delivery.change_path(now);
        self.peak_in_flight = [0; 2];
        self.pacer = Pacer::new(now);
        self.set_mtu(mtu);
        self.recovery = None;
        self.timed_out_at = None;
    }

    pub(crate) fn mtu(&self) -> usize {
        self.mtu
    }

    /// Packets may have this size from now on.
    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
        self.controller.set_mtu(mtu);
    }

    /// Packets in flight have vanished for their size: their chunks go out again, in smaller
    /// packets.
    pub(crate) fn on_black_hole(&mut self, now: Instant) {
        self.on_timeout(now);
        self.round_trip.answered();
        self.timed_out_at = None;
    }

    /// Returns whether packets seem to vanish since this was asked last.
    pub(crate) fn take_suspicion(&mut self) -> bool {
        std::mem::take(&mut self.suspicious)
    }

    /// The payload of the largest chunk: as many of them as needed fill a packet evenly.
    fn largest_payload(&self) -> usize {
        let header = if self.interleaved { I_DATA_HEADER } else { DATA_HEADER };
        let room = self.mtu.saturating_sub(PACKET_HEADER);
        let chunks = room.div_ceil(self.base_mtu.saturating_sub(PACKET_HEADER).max(1)).max(1);
        ((room / chunks) & !3).saturating_sub(header)
    }

    pub(crate) fn congestion_window(&self) -> usize {
        self.controller.window()
    }

    pub(crate) fn peer_window(&self) -> usize {
        self.peer_window
    }

    /// Nothing waits, nothing is in flight.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty() && self.outstanding.is_empty()
    }

    /// Takes in a SACK. `Ok(true)` if it is not an old one.
    pub(crate) fn on_sack(
        &mut self,
        now: Instant,
        sack: &Sack<'_>,
        timers: &mut Timers,
    ) -> Result<bool, NeverSent> {
        let Some(summary) = self.outstanding.on_sack(sack)? else { return Ok(false) };
        if self.queue.is_empty() {
            self.outstanding.give_back();
        }
        self.peer_window = sack.window as usize;
        self.widest_window = self.widest_window.max(self.peer_window);
        if summary.acked > 0 {
            self.probing = false;
            self.delivery.on_acked(now, summary.acked);
            self.fates.acknowledged += summary.acked;
            // Which one of several copies has arrived is not known.
            let newest = summary.newest.filter(|newest| !newest.retransmitted);
            self.fates.newest = newest.map(|newest| newest.sent_at).or(self.fates.newest);
            match measure(now, summary.newest) {
                Some(round_trip) => self.round_trip.measured(round_trip),
                None => self.round_trip.answered(),
            }
        }
        self.judge_timeout(summary.revived, summary.newest);
        self.rack.on_acked(now, &summary, &self.round_trip);
        if sack.duplicates > 0 {
            self.rack.on_duplicates(self.recovery.is_some());
        }
        if self.recovery.is_some_and(|point| self.outstanding.base().is_after(point)) {
            self.recovery = None;
            self.rack.on_recovered();
        }
        self.detect_loss(now, timers);
        if let Some(newest) = summary.newest {
            self.update_controller(now, &summary, newest);
        }
        if self.outstanding.should_forward() {
            self.forward_due = true;
        }
        if self.outstanding.is_empty() {
            timers.stop(Timer::Retransmission);
            timers.stop(Timer::TailLossProbe);
            timers.stop(Timer::Reordering);
        } else if summary.advanced || summary.acked > 0 {
            // Only for the earliest chunk (RFC 9260 §6.3.2, rule R3): it waits, whatever arrives
            // behind it.
            if summary.advanced || !timers.is_set(Timer::Retransmission) {
                timers.set(Timer::Retransmission, now + self.round_trip.rto());
            }
            self.arm_probe(now, timers);
        }
        Ok(true)
    }

    fn update_controller(&mut self, now: Instant, summary: &AckSummary, newest: NewestAcked) {
        let Some(sample) = self.delivery.sample(now, newest.sent_at, &newest.marks) else { return };
        let lost = std::mem::take(&mut self.lost);
        let in_flight = self.outstanding.in_flight();
        if sample.round_start {
            self.peak_in_flight = [self.peak_in_flight[1], in_flight];
        }
        self.controller.on_ack(&Ack {
            now,
            acked: summary.acked,
            lost: lost.0,
            quiet: (summary.quiet, lost.1),
            in_flight,
            peak_in_flight: self.peak_in_flight[0].max(self.peak_in_flight[1]),
            recovering: self.recovery.is_some(),
            round_trip: measure(now, Some(newest)),
            smoothed: self.round_trip.estimate(),
            sample,
        });
    }

    /// A timeout was spurious if the first thing to arrive after it had been sent before (in the
    /// spirit of RFC 5682).
    fn judge_timeout(&mut self, revived: bool, newest: Option<NewestAcked>) {
        let (Some(timed_out_at), Some(newest)) = (self.timed_out_at, newest) else { return };
        self.timed_out_at = None;
        if revived && newest.sent_at < timed_out_at {
            let resent = self.outstanding.revive_lost();
            self.rack.on_revived(self.outstanding.base(), resent);
            self.controller.on_spurious_timeout();
        }
    }

    /// Looks for what is lost.
    pub(crate) fn detect_loss(&mut self, now: Instant, timers: &mut Timers) {
        let in_flight = self.outstanding.in_flight();
        let recovering = self.recovery.is_some();
        let (mut total, mut quiet) = (0, 0);
        let (delivery, controller) = (&mut self.delivery, &mut self.controller);
        let report = |bytes: usize, marks: &Marks| {
            total += bytes;
            quiet += if marks.quiet { bytes } else { 0 };
            delivery.on_lost(bytes);
            let (in_flight_then, lost_since, app_limited) = delivery.lost_since(marks);
            controller.on_lost(&Lost { now, in_flight_then, lost_since, app_limited });
        };
        match self.rack.detect(now, &mut self.outstanding, &self.round_trip, recovering, report) {
            Some(again) => timers.set(Timer::Reordering, again),
            None => timers.stop(Timer::Reordering),
        }
        if total > 0 && !recovering {
            self.recovery = Some(self.outstanding.next_tsn().previous());
            self.controller.on_congestion(now, in_flight);
            self.free_packet = Some(FreePacket::Retransmit);
        }
        self.lost = (self.lost.0 + total, self.lost.1 + quiet);
        self.fates.lost += total;
    }

    /// The path's budget holds data back: what arrives then tells how much that gave out.
    pub(crate) fn note_held_back(&mut self) {
        self.delivery.note_app_limited(self.outstanding.in_flight());
    }

    /// The peer says that the packet with this TSN was marked. Says whether it can have been.
    pub(crate) fn on_marked(&mut self, now: Instant, tsn: Tsn) -> bool {
        let last = self.outstanding.next_tsn().previous();
        if tsn.is_after(last) {
            return false;
        }
        if self.marked_until.is_none_or(|until| tsn.is_after(until)) {
            self.marked_until = Some(last);
            if self.recovery.is_none() {
                self.controller.on_marked(now, self.outstanding.in_flight());
            }
        }
        true
    }

    /// The retransmission timer has expired. Says whether anything was in flight.
    pub(crate) fn on_timeout(&mut self, now: Instant) -> bool {
        if self.outstanding.is_empty() {
            return false;
        }
        let in_flight = self.outstanding.in_flight();
        self.outstanding.mark_all_lost();
        self.rack.on_timeout(self.outstanding.next_tsn());
        // A closed window is no congestion.
        if self.peer_window > 0 {
            self.controller.on_timeout(now, in_flight);
        }
        self.round_trip.back_off();
        self.recovery = None;
        self.timed_out_at = Some(now);
        self.free_packet = Some(FreePacket::Retransmit);
        self.last_forward = None;
        self.forward_due |= self.outstanding.should_forward();
        true
    }

    /// The probe timer has expired.
    pub(crate) fn on_probe_timeout(&mut self) {
        if self.outstanding.in_flight() > 0 {
            self.free_packet = Some(FreePacket::Probe);
            self.probing = true;
        }
    }

    /// The pacer's wait is over; the owner comes `late`.
    pub(crate) fn on_pacing_timeout(&mut self, late: Duration) {
        self.pacer.woken(late);
    }

    fn arm_probe(&self, now: Instant, timers: &mut Timers) {
        timers.stop(Timer::TailLossProbe);
        let Some(smoothed) = self.round_trip.smoothed() else { return };
        if self.probing || self.recovery.is_some() || self.outstanding.in_flight() == 0 {
            return;
        }
        let alone = self.outstanding.in_flight() <= self.mtu;
        let wait = smoothed * 2 + if alone { PROBE_SLACK_ALONE } else { PROBE_SLACK };
        if wait < self.round_trip.rto() {
            timers.set(Timer::TailLossProbe, now + wait);
        }
    }

    /// Writes as many chunks as may go out now and fit. Says whether it wrote any.
    #[inline]
    pub(crate) fn write(&mut self, now: Instant, writer: &mut Writer<'_>, timers: &mut Timers) -> bool {
        let before = writer.len();
        let free = self.free_packet;
        if !self.may_send(now, free, timers) {
            return false;
        }
        self.note_idle(now);
        let first = self.outstanding.transmissions_of_first();
        self.write_lost(now, writer, free.is_some());
        if free != Some(FreePacket::Retransmit) || writer.len() == before {
            self.write_new(now, writer, free.is_some());
        }
        if free == Some(FreePacket::Probe) && writer.len() == before {
            self.write_probe(now, writer);
        }
        self.free_packet = None;
        let written = writer.len() - before;
        if written == 0 {
            // It was the peer's window.
            self.delivery.note_app_limited(self.outstanding.in_flight());
            return false;
        }
        let in_flight = self.outstanding.in_flight();
        self.peak_in_flight[1] = self.peak_in_flight[1].max(in_flight);
        self.last_sent = Some(now);
        self.pacer.sent(written + PACKET_HEADER);
        let first_again = self.outstanding.transmissions_of_first() != first;
        if !timers.is_set(Timer::Retransmission) || free == Some(FreePacket::Retransmit) || first_again {
            timers.set(Timer::Retransmission, now + self.round_trip.rto());
        }
        self.arm_probe(now, timers);
        true
    }

    /// Returns whether the window and the pacer let a packet go, if there is anything to put into
    /// it.
    #[inline]
    fn may_send(&mut self, now: Instant, free: Option<FreePacket>, timers: &mut Timers) -> bool {
        if free.is_some() {
            return true;
        }
        if !self.would_send() {
            let in_flight = self.outstanding.in_flight();
            if in_flight < self.window() {
                self.delivery.note_app_limited(in_flight);
            }
            return false;
        }
        let Some(rate) = self.pacing_rate() else { return true };
        match self.pacer.check(now, rate, self.mtu) {
            Ok(()) => true,
            Err(when) => {
                timers.set(Timer::Pacing, when);
                false
            }
        }
    }

    /// Returns whether there is data that the window lets go.
    #[inline]
    pub(crate) fn would_send(&mut self) -> bool {
        let waiting = self.queue.has_fragment() && !self.outstanding.is_full();
        self.free_packet.is_some()
            || ((waiting || self.outstanding.next_lost().is_some())
                && self.outstanding.in_flight() < self.window())
    }

    fn window(&self) -> usize {
        self.controller.window().min(self.max_in_flight)
    }

    /// Bytes a second; `None` before the round trip is known.
    // Inlined by force, as the three below: for each packet, and LTO left them as calls (4 % of the
    // instructions of a transfer).
    #[inline(always)]
    fn pacing_rate(&self) -> Option<u64> {
        if let Some(rate) = self.controller.pacing_rate() {
            // However little a model believes to get through, a packet a round trip may always find
            // out.
            let round_trip = self.round_trip.estimate().as_secs_f64().max(1e-6);
            return Some(rate.max((self.mtu as f64 / round_trip) as u64));
        }
        let smoothed = self.round_trip.smoothed()?.as_secs_f64().max(1e-6);
        // Faster than the window allows on average, so that it is the window that holds back.
        let gain = if self.controller.in_slow_start() { 2.0 } else { 1.25 };
        Some((self.controller.window() as f64 / smoothed * gain) as u64)
    }

    fn note_idle(&mut self, now: Instant) {
        if self.outstanding.in_flight() > 0 {
            return;
        }
        if let Some(last) = self.last_sent {
            self.controller.on_idle(now, now.saturating_duration_since(last), self.round_trip.rto());
        }
    }

    #[inline(always)]
    fn write_lost(&mut self, now: Instant, writer: &mut Writer<'_>, free: bool) {
        while let Some((tsn, length)) = self.outstanding.next_lost() {
            if self.give_up_if_overdue(now, tsn) {
                continue;
            }
            // A closed window is probed by one packet for each timeout (RFC 9260 §6.3.3).
            let probes = self.peer_window == 0 && self.timed_out_at.is_some();
            if length > writer.room() || (!free && (probes || self.outstanding.in_flight() >= self.window()))
            {
                return;
            }
            self.resend(now, tsn, writer);
        }
    }

    fn resend(&mut self, now: Instant, tsn: Tsn, writer: &mut Writer<'_>) {
        let (delivery, quiet) = (&mut self.delivery, self.controller.is_quiet());
        let marks = |in_flight, length| delivery.mark(now, in_flight, length, quiet);
        if let Some(sent) = self.outstanding.resend(tsn, now, marks) {
            sent.data(tsn, true).write(writer, self.interleaved);
            self.suspicious |= sent.transmissions > 2;
            self.rack.on_resent(now, tsn);
            self.retransmitted_chunks += 1;
        }
    }

    /// Gives a message up if its policy says so. RFC 3758 §3.5.
    fn give_up_if_overdue(&mut self, now: Instant, tsn: Tsn) -> bool {
        let Some(sent) = self.outstanding.get(tsn) else { return false };
        let overdue = self.partial_reliability && sent.is_overdue(now);
        if overdue {
            let (stream, unordered, message) = (sent.stream, sent.unordered, sent.message);
            let rest = Fragment {
                stream,
                ppid: sent.ppid,
                payload: bytes::Bytes::new(),
                unordered,
                begin: false,
                end: true,
                message,
                fragment: 0,
                policy: sent.policy,
            };
            if !sent.end && self.queue.abandon(stream, unordered, message) {
                self.push_end(now, rest);
            }
            self.outstanding.abandon(tsn);
            self.forward_due |= self.outstanding.should_forward();
        }
        overdue
    }

    /// A message that is given up before all of it was sent needs an end, so that the peer learns
    /// of it even if all that was sent has arrived.
    fn push_end(&mut self, now: Instant, rest: Fragment) -> Tsn {
        self.outstanding.push(Sent::new(now, rest, SentState::Abandoned))
    }

    #[inline]
    fn write_new(&mut self, now: Instant, writer: &mut Writer<'_>, free: bool) {
        let header = if self.interleaved { I_DATA_HEADER } else { DATA_HEADER };
        let full = self.largest_payload();
        while !self.outstanding.is_full() {
            if self.outstanding.in_flight() >= self.window() && !free {
                return;
            }
            let mut room = (writer.room() & !3).saturating_sub(header).min(full);
            let credit = self.peer_window.saturating_sub(self.outstanding.payload());
            // A closed window is probed by one chunk (RFC 9260 §6.1, rule A).
            if credit < full.min(room) && !self.outstanding.is_empty() {
                room = room.min(credit);
            }
            self.queue.set_scarce(credit < self.widest_window / 2);
            let Some(fragment) = self.queue.next_fragment(now, room, full) else { return };
            if fragment.payload.is_empty() {
                let end = self.push_end(now, fragment);
                self.outstanding.abandon(end);
                self.forward_due |= self.outstanding.should_forward();
            } else {
                self.send_fragment(now, fragment, writer);
            }
        }
    }

    #[inline(always)]
    fn send_fragment(&mut self, now: Instant, fragment: Fragment, writer: &mut Writer<'_>) {
        let mut sent = Sent::new(now, fragment, SentState::InFlight);
        let (in_flight, length) = (self.outstanding.in_flight(), sent.wire_length(self.interleaved));
        sent.marks = self.delivery.mark(now, in_flight, length, self.controller.is_quiet());
        // The last one before a pause: nothing behind it would make the peer answer.
        let last = self.queue.is_empty()
            || self.outstanding.in_flight() + self.mtu >= self.window()
            || self.outstanding.payload() + self.mtu >= self.peer_window;
        sent.data(self.outstanding.next_tsn(), last).write(writer, self.interleaved);
        self.outstanding.push(sent);
    }

    /// Nothing new is there to probe with: the last chunk is sent again.
    fn write_probe(&mut self, now: Instant, writer: &mut Writer<'_>) {
        if let Some(tsn) = self.outstanding.last_in_flight()
            && self.outstanding.get(tsn).is_some_and(|sent| {
                sent.wire_length(self.interleaved) <= writer.room()
                    && !(self.partial_reliability && sent.is_overdue(now))
            })
        {
            self.resend(now, tsn, writer);
        }
    }

    /// Gives up what would go out again, but is overdue, and writes a FORWARD-TSN, if one is due.
    #[inline(always)]
    pub(crate) fn write_forward(&mut self, now: Instant, writer: &mut Writer<'_>, timers: &mut Timers) {
        while let Some((tsn, _)) = self.outstanding.next_lost()
            && self.give_up_if_overdue(now, tsn)
        {}
        if !self.forward_due {
            return;
        }
        let each = Skipped::wire_length(self.interleaved);
        let most = writer.room().saturating_sub(FORWARD_HEADER) / each;
        if most == 0 {
            return;
        }
        let recent = |(sent, at): (Tsn, Instant), tsn: Tsn| {
            !tsn.is_after(sent) && now.saturating_duration_since(at) < self.round_trip.estimate()
        };
        if let Some((tsn, skipped)) = self.outstanding.forward_point(most) {
            if !self.last_forward.is_some_and(|last| recent(last, tsn)) {
                self.last_forward = Some((tsn, now));
                ForwardTsn::write(writer, tsn, &skipped, self.interleaved);
            }
            // Until it is acknowledged it is sent again whenever the timer expires.
            if !timers.is_set(Timer::Retransmission) {
                timers.set(Timer::Retransmission, now + self.round_trip.rto());
            }
        }
        self.forward_due = false;
    }
}

/// The round trip that an acknowledgement tells, if that is certain (Karn's rule).
fn measure(now: Instant, newest: Option<NewestAcked>) -> Option<Duration> {
    let newest = newest.filter(|newest| !newest.retransmitted)?;
    Some(now.saturating_duration_since(newest.sent_at))
}

/// The time that a tail-loss probe waits beyond two round trips: for scheduling here and there.
const PROBE_SLACK: Duration = Duration::from_millis(2);
/// And if only one packet is in flight: for a peer that waits before it acknowledges, although it
/// is asked not to.
const PROBE_SLACK_ALONE: Duration = Duration::from_millis(25);
/// A FORWARD-TSN chunk without its list.
const FORWARD_HEADER: usize = 8;
