//! Packets that go out: control chunks first, then user data, as much as fits.

use std::time::{Duration, Instant};

use super::{Association, State};
use crate::budget::Budget;
use crate::timers::Timer;
use crate::wire::{PACKET_HEADER, Writer, chunk_type, padded, seal};

/// The shortest wait for a budget that is used up.
const MIN_BUDGET_WAIT: Duration = Duration::from_millis(1);

impl Association {
    /// Writes the next packet into `buffer`, and says how long it is. Until `None`. The buffer
    /// holds at least [`Config::max_mtu`](crate::Config::max_mtu) bytes; in a smaller one packets
    /// are smaller, and larger ones are not tried. What is longer than
    /// [`Stats::mtu`](crate::Stats::mtu) is a probe that may get lost for its length.
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        budget: &mut dyn Budget,
        buffer: &mut [u8],
    ) -> Option<usize> {
        if self.held_since.is_some() {
            return None;
        }
        let length = self.write_packet(now, budget, buffer)?;
        budget.consumed(now, length);
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += length as u64;
        Some(length)
    }

    fn write_packet(&mut self, now: Instant, budget: &mut dyn Budget, buffer: &mut [u8]) -> Option<usize> {
        while let Some(reply) = self.due.replies.pop_front() {
            if let Some(target) = buffer.get_mut(..reply.len()) {
                target.copy_from_slice(&reply);
                return Some(reply.len());
            }
        }
        if let Some(abort) = self.due.abort.take() {
            return Some(self.alone(buffer, self.peer.tag, |writer| abort.write(writer, 0)));
        }
        match self.state {
            State::Idle | State::Closed => None,
            State::CookieWait => {
                if !std::mem::take(&mut self.due.init) {
                    return None;
                }
                if self.unanswered == 0 {
                    self.handshake_sent = Some(now);
                }
                self.timers.set(Timer::Handshake, now + self.sender.round_trip.rto());
                let length = self.alone(buffer, 0, |writer| self.write_init(writer));
                Some(length)
            }
            _ => {
                self.search_path_mtu();
                let written =
                    self.write_probe(now, buffer).or_else(|| self.write_chunks(now, budget, buffer));
                // The last of the data may have gone not by being acknowledged, but because its
                // time was over.
                if written.is_none() && self.continue_shutdown(now) {
                    return self.write_chunks(now, budget, buffer);
                }
                written
            }
        }
    }

    /// A packet with one chunk and a checksum.
    fn alone(&self, buffer: &mut [u8], tag: u32, write: impl FnOnce(&mut Writer<'_>)) -> usize {
        let mut writer = Writer::new(buffer);
        self.header(tag).write(&mut writer);
        write(&mut writer);
        seal(writer.written());
        writer.len()
    }

    fn write_chunks(&mut self, now: Instant, budget: &mut dyn Budget, buffer: &mut [u8]) -> Option<usize> {
        let size = self.packet_size().min(buffer.len());
        let mut writer = Writer::new(&mut buffer[..size]);
        self.header(self.peer.tag).write(&mut writer);
        let echo_due = self.due.cookie_echo;
        self.write_control(now, &mut writer);
        let echoes = echo_due && writer.len() > PACKET_HEADER;
        if self.may_send_data(echoes) && self.has_budget(now, budget) {
            self.write_data(now, &mut writer);
        }
        if writer.len() == PACKET_HEADER {
            return None;
        }
        // The peer cannot know that it agrees before it has read the cookie (RFC 9653 §5.2).
        if echoes || !self.peer.extensions.zero_checksum {
            seal(writer.written());
        }
        Some(writer.len())
    }

    /// Returns whether the budget lets a packet with user data go. If not, its next opening becomes
    /// a deadline, as far as there is data for it.
    fn has_budget(&mut self, now: Instant, budget: &mut dyn Budget) -> bool {
        if budget.available(now) > 0 {
            self.timers.stop(Timer::Budget);
            return true;
        }
        let would_send = self.sender.would_send();
        if would_send {
            self.sender.note_held_back();
        }
        match budget.next_opening(now).filter(|_| would_send) {
            // A budget that is used up and says "now" must not keep its owner busy.
            Some(at) => self.timers.set(Timer::Budget, at.max(now + MIN_BUDGET_WAIT)),
            None => self.timers.stop(Timer::Budget),
        }
        false
    }

    /// Chunks that were sent when packets could be larger must still fit, and so must the peer's
    /// cookie, however long it is.
    fn packet_size(&mut self) -> usize {
        let lost = self.sender.outstanding.next_lost().map_or(0, |(_, length)| length + PACKET_HEADER);
        let cookie = match &self.state {
            State::CookieEchoed { cookie } if self.due.cookie_echo => {
                PACKET_HEADER + padded(4 + cookie.len())
            }
            _ => 0,
        };
        self.sender.mtu().max(lost).max(cookie)
    }

    /// User data follows the handshake, or goes along with the cookie (RFC 9260 §5.1).
    fn may_send_data(&self, echoes: bool) -> bool {
        match self.state {
            State::CookieEchoed { .. } => echoes,
            State::Established | State::ShutdownPending | State::ShutdownReceived => true,
            _ => false,
        }
    }

    fn write_data(&mut self, now: Instant, writer: &mut Writer<'_>) {
        // A SACK that waits for company has found it, but only if there is something to accompany.
        let delayed = self.receiver.has_delayed_sack();
        if delayed && self.sender.would_send() {
            let round_trip = self.sender.round_trip.estimate();
            self.receiver.write_sack(now, writer, round_trip, &mut self.timers);
        }
        // Before any data: a peer that finds a control chunk behind it may abort (RFC 9260 §6.10;
        // usrsctp does). What is given up while data is written, the next packet tells.
        self.sender.write_forward(now, writer, &mut self.timers);
        self.sender.write(now, writer, &mut self.timers);
        if self.sender.take_suspicion() {
            self.suspect_black_hole(now);
        }
    }

    fn write_control(&mut self, now: Instant, writer: &mut Writer<'_>) {
        if std::mem::take(&mut self.due.cookie_echo)
            && let State::CookieEchoed { cookie } = &self.state
            && padded(4 + cookie.len()) <= writer.room()
        {
            writer.chunk(chunk_type::COOKIE_ECHO, 0, |writer| writer.bytes(cookie));
            self.timers.set(Timer::Handshake, now + self.sender.round_trip.rto());
        }
        if std::mem::take(&mut self.due.cookie_ack) {
            writer.chunk(chunk_type::COOKIE_ACK, 0, |_| {});
        }
        if matches!(self.state, State::CookieEchoed { .. }) {
            return;
        }
        if let Some((cause, information)) =
            self.due.error.take_if(|(_, bytes)| bytes.len() + 8 < writer.room())
        {
            writer.chunk(chunk_type::ERROR, 0, |writer| {
                writer.parameter(cause, |writer| writer.bytes(&information));
            });
        }
        while self.due.heartbeat_acks.front().is_some_and(|bytes| bytes.len() + 8 < writer.room())
            && let Some(information) = self.due.heartbeat_acks.pop_front()
        {
            writer.chunk(chunk_type::HEARTBEAT_ACK, 0, |writer| writer.bytes(&information));
        }
        if std::mem::take(&mut self.due.heartbeat)
            && let Some((nonce, _)) = self.heartbeat.asked
        {
            writer.chunk(chunk_type::HEARTBEAT, 0, |writer| writer.parameter(1, |writer| writer.u64(nonce)));
        }
        if std::mem::take(&mut self.due.shutdown) && self.state == State::ShutdownSent {
            let tsn = self.receiver.cumulative_tsn();
            writer.chunk(chunk_type::SHUTDOWN, 0, |writer| writer.u32(tsn.0));
            self.timers.set(Timer::Shutdown, now + self.sender.round_trip.rto());
        }
        if std::mem::take(&mut self.due.shutdown_ack) && self.state == State::ShutdownAckSent {
            writer.chunk(chunk_type::SHUTDOWN_ACK, 0, |_| {});
            self.timers.set(Timer::Shutdown, now + self.sender.round_trip.rto());
        }
        self.write_resets(now, writer);
        self.write_notification(writer);
        if self.receiver.is_sack_due() {
            let round_trip = self.sender.round_trip.estimate();
            self.receiver.write_sack(now, writer, round_trip, &mut self.timers);
        }
    }
}
