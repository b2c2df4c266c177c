//! Receiving user data: takes chunks, and says when to acknowledge them.

use std::time::{Duration, Instant};

use super::{Arrival, Notice, Reassembly, Tracker, Window};
use crate::config::Config;
use crate::serial::Tsn;
use crate::timers::{Timer, Timers};
use crate::wire::{Data, ForwardTsn, Writer};

/// The receiving half of an association.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) reassembly: Reassembly,
    tracker: Tracker,
    window: Window,
    ack: AckState,
    sack_delay: Duration,
    interleaved: bool,
    /// Nothing is taken, and the window is closed.
    is_held: bool,
}

/// The urgency of the next SACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckState {
    Idle,
    /// One packet may wait for another (RFC 9260 §6.2).
    Delayed,
    Due,
}

impl Receiver {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        Self {
            reassembly: Reassembly::new(config.max_message_size),
            tracker: Tracker::new(Tsn(0)),
            window: Window::new(initial_window(config), config.max_receive_window, now),
            ack: AckState::Idle,
            sack_delay: config.sack_delay,
            interleaved: false,
            is_held: false,
        }
    }

    /// The handshake is done, or done again: the peer's first TSN is known.
    pub(crate) fn start(&mut self, initial: Tsn, interleaved: bool, partial_sacks: bool) {
        self.tracker = Tracker::new(initial);
        self.tracker.set_partial_sacks(partial_sacks);
        self.tracker.set_interleaved(interleaved);
        self.ack = AckState::Idle;
        self.interleaved = interleaved;
        self.reassembly.set_interleaved(interleaved);
    }

    pub(crate) fn cumulative_tsn(&self) -> Tsn {
        self.tracker.cumulative()
    }

    pub(crate) fn window_limit(&self) -> usize {
        self.window.limit()
    }

    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    /// Closes the window and takes nothing, or opens it again, which the peer is told at once.
    pub(crate) fn hold(&mut self, hold: bool) {
        if std::mem::replace(&mut self.is_held, hold) && !hold {
            self.ack = AckState::Due;
        }
    }

    /// Takes a fragment, unless it is a duplicate, too far ahead, or more than there is memory for.
    pub(crate) fn on_data(&mut self, data: &Data<'_>) -> Option<Notice> {
        match self.tracker.classify(data.tsn) {
            Arrival::New => {}
            Arrival::Duplicate => {
                self.tracker.note_duplicate(data.tsn);
                self.ack = AckState::Due;
                return None;
            }
            Arrival::TooFar => return None,
        }
        // Beyond the window only what fills a hole is taken: it lets what is held behind it go.
        if self.is_held || self.reassembly.held() >= self.window.limit() && !self.tracker.fills_hole(data.tsn)
        {
            self.ack = AckState::Due;
            return None;
        }
        let had_holes = self.tracker.has_holes();
        self.tracker.take(data.tsn);
        if had_holes || self.tracker.has_holes() || data.immediate {
            self.ack = AckState::Due;
        }
        self.reassembly.take(data)
    }

    /// A packet with data has been read to its end.
    pub(crate) fn on_packet_end(&mut self, now: Instant, timers: &mut Timers) {
        match self.ack {
            AckState::Idle => {
                self.ack = AckState::Delayed;
                timers.set(Timer::Sack, now + self.sack_delay);
            }
            AckState::Delayed | AckState::Due => self.ack = AckState::Due,
        }
    }

    /// The peer has given up messages. `notice` hears what can be read now.
    pub(crate) fn on_forward(&mut self, forward: &ForwardTsn<'_>, mut notice: impl FnMut(Notice)) {
        self.ack = AckState::Due;
        if !forward.cumulative_tsn.is_after(self.tracker.cumulative()) {
            return;
        }
        self.tracker.forward(forward.cumulative_tsn);
        for skipped in forward.skipped() {
            if let Some(said) = self.reassembly.skip(skipped.stream, skipped.unordered, skipped.message) {
                notice(said);
            }
        }
        self.reassembly.skip_unordered_until(forward.cumulative_tsn);
    }

    /// A message of so many bytes that was taken out of the reassembly has been read.
    pub(crate) fn release(&mut self, length: usize) {
        self.reassembly.release(length);
        self.window.on_read(length);
        if self.window.should_announce(self.reassembly.held()) {
            self.ack = AckState::Due;
        }
    }

    /// The next SACK is not to wait.
    pub(crate) fn acknowledge_now(&mut self) {
        self.ack = AckState::Due;
    }

    /// Returns whether a SACK waits for company, and would go along with data.
    pub(crate) fn has_delayed_sack(&self) -> bool {
        self.ack == AckState::Delayed
    }

    pub(crate) fn is_sack_due(&self) -> bool {
        self.ack == AckState::Due
    }

    /// Writes a SACK, if there is room.
    pub(crate) fn write_sack(
        &mut self,
        now: Instant,
        writer: &mut Writer<'_>,
        round_trip: Duration,
        timers: &mut Timers,
    ) {
        let window =
            self.window.advertise(now, self.reassembly.held(), self.reassembly.readable(), round_trip);
        let window = if self.is_held { 0 } else { window };
        if self.tracker.write_sack(writer, window) {
            self.ack = AckState::Idle;
            timers.stop(Timer::Sack);
        }
    }

    /// Another path.
    pub(crate) fn change_path(&mut self, now: Instant) {
        self.window.restart(now);
    }
}

/// The window that the INIT advertises: at least two of the largest messages, because one that does
/// not fit can never be read.
pub(crate) fn initial_window(config: &Config) -> usize {
    config.receive_window.max(2 * config.max_message_size)
}
