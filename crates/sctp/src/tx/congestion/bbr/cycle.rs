//! From phase to phase: finding the bandwidth, trying for more now and then, and looking at the
//! round trip.

use std::time::{Duration, Instant};

use super::{BETA, Bbr, Lost, Phase};
use crate::tx::congestion::{Ack, INITIAL_WINDOW};

/// The state of the cycle.
#[derive(Debug)]
pub(super) struct Probe {
    random: u32,
    /// When the cycle began, with its quiet phase.
    since: Option<Instant>,
    /// Time, and rounds, to wait before the next try for more.
    wait: Duration,
    rounds: u32,
    /// Not all that was sent in a try has been judged yet.
    open: bool,
    /// When a round starts after a try has ended, its bandwidth is complete.
    closing: bool,
    /// The growth of the lasting limit: after so many bytes acknowledged, by a packet; twice as
    /// fast each round.
    up_rounds: u32,
    up_acked: usize,
    up_step: usize,
    /// The least round trip since the queue was to be emptied, and until when to look.
    least_round_trip: Option<Duration>,
    round_trip_until: Option<Instant>,
    round_trip_round: bool,
}

impl Probe {
    pub(super) fn new(seed: u32) -> Self {
        Self {
            random: seed | 1,
            since: None,
            wait: Duration::from_secs(2),
            rounds: 0,
            open: false,
            closing: false,
            up_rounds: 0,
            up_acked: 0,
            up_step: usize::MAX,
            least_round_trip: None,
            round_trip_until: None,
            round_trip_round: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    pub(super) fn note_round_trip(&mut self, round_trip: Duration) {
        let least = self.least_round_trip.map_or(round_trip, |least| least.min(round_trip));
        self.least_round_trip = Some(least);
    }

    fn draw(&mut self, below: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.random % below
    }

    fn elapsed(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl Bbr {
    /// Goes on to the next phase, if it is time.
    pub(super) fn advance(&mut self, ack: &Ack) {
        if ack.sample.round_start {
            self.probe.rounds += 1;
            if std::mem::take(&mut self.probe.closing)
                && !ack.sample.app_limited
                && let Some(model) = &mut self.model
            {
                model.next_cycle();
            }
        }
        match self.phase {
            Phase::Startup if self.full.reached => self.phase = Phase::Drain,
            Phase::Startup => {}
            Phase::Drain => {
                if ack.in_flight <= self.inflight(self.max_bandwidth(), 1.0) {
                    self.go_down(ack.now);
                }
            }
            Phase::ProbeRoundTrip => self.watch_round_trip(ack),
            _ => self.cycle(ack),
        }
        let stale = self.model.as_ref().is_some_and(|model| model.is_round_trip_stale(ack.now));
        if stale && self.phase != Phase::ProbeRoundTrip && !self.restarting {
            self.enter_round_trip_probe();
        }
    }

    fn cycle(&mut self, ack: &Ack) {
        if ack.sample.in_flight_then > self.inflight_high && !self.is_loss_of(ack) {
            self.inflight_high = ack.sample.in_flight_then;
        }
        match self.phase {
            Phase::Down if self.is_time_to_probe(ack.now) => self.refill(),
            Phase::Down => {
                let room = ack.in_flight <= self.inflight_with_headroom();
                let drained = ack.in_flight <= self.inflight(self.max_bandwidth(), 1.0);
                // Long enough for the loss of a quiet phase to be seen.
                if room && drained && self.probe.rounds >= QUIET_ROUNDS {
                    self.phase = Phase::Cruise;
                }
            }
            Phase::Cruise if self.is_time_to_probe(ack.now) => self.refill(),
            Phase::Refill if ack.sample.round_start && self.probe.rounds > 1 => self.go_up(ack),
            Phase::Up => self.probe_upward(ack),
            _ => {}
        }
    }

    fn is_loss_of(&self, ack: &Ack) -> bool {
        self.is_too_much(ack.sample.lost_since, ack.sample.in_flight_then)
    }

    /// After a few seconds; on a short path when Reno would have come back from a loss, so that a
    /// flow that uses it is not starved.
    fn is_time_to_probe(&self, now: Instant) -> bool {
        let packets = self.inflight(self.max_bandwidth(), 1.0).min(self.window) / self.mtu.max(1);
        let reno = u32::try_from(packets).unwrap_or(u32::MAX).min(RENO_ROUNDS);
        self.probe.elapsed(now) >= self.probe.wait || self.probe.rounds >= reno.max(QUIET_ROUNDS + 2)
    }

    pub(super) fn go_down(&mut self, now: Instant) {
        let mtu = self.mtu;
        if let Some(model) = &mut self.model {
            model.next_quiet_phase(mtu);
        }
        self.latest.lost = 0;
        self.latest.losses = 0;
        self.probe.closing = true;
        self.probe.rounds = self.probe.draw(2);
        self.probe.wait = Duration::from_millis(2000 + u64::from(self.probe.draw(1000)));
        self.probe.since = Some(now);
        self.phase = Phase::Down;
    }

    fn refill(&mut self) {
        self.reset_short_term();
        self.probe.up_rounds = 0;
        self.probe.up_acked = 0;
        self.probe.rounds = 0;
        self.phase = Phase::Refill;
    }

    fn go_up(&mut self, ack: &Ack) {
        self.probe.open = true;
        let rate = ack.sample.rate().unwrap_or(0.0);
        self.full.restart(rate);
        self.phase = Phase::Up;
        self.steepen();
    }

    fn steepen(&mut self) {
        let packets = 1usize << self.probe.up_rounds.min(20);
        self.probe.up_rounds += 1;
        self.probe.up_step = (self.window / packets).max(1);
    }

    /// Tries more, until too much is lost or no more is delivered.
    fn probe_upward(&mut self, ack: &Ack) {
        let bounded = self.window >= self.inflight_high && ack.peak_in_flight + 2 * self.mtu >= self.window;
        if bounded {
            // It is the limit that holds the bandwidth back, not the path.
            self.full.restart(ack.sample.rate().unwrap_or(0.0));
            self.probe.up_acked += ack.acked;
            let steps = self.probe.up_acked / self.probe.up_step;
            self.probe.up_acked %= self.probe.up_step;
            self.inflight_high = self.inflight_high.saturating_add(steps * self.mtu);
            if ack.sample.round_start {
                self.steepen();
            }
        } else if self.full.now {
            self.probe.open = false;
            self.go_down(ack.now);
        }
    }

    /// Something that was sent in a try, or just before it, was lost, and it was too much.
    pub(super) fn end_probe(&mut self, lost: &Lost) {
        self.probe.open = false;
        if !lost.app_limited {
            let target = self.inflight(self.bandwidth(), 1.0).min(self.window);
            self.inflight_high = lost.in_flight_then.max((target as f64 * BETA) as usize);
        }
        if self.phase == Phase::Up {
            self.go_down(lost.now);
        }
    }

    fn enter_round_trip_probe(&mut self) {
        self.save_window();
        self.probe.open = false;
        self.probe.round_trip_until = None;
        self.phase = Phase::ProbeRoundTrip;
    }

    fn watch_round_trip(&mut self, ack: &Ack) {
        let Some(until) = self.probe.round_trip_until else {
            if ack.in_flight <= self.inflight(self.bandwidth(), 0.5) {
                self.probe.round_trip_until = Some(ack.now + ROUND_TRIP_PROBE);
                self.probe.round_trip_round = false;
                self.probe.rounds = 0;
                self.probe.least_round_trip = None;
            }
            return;
        };
        self.probe.round_trip_round |= self.probe.rounds > 1;
        if ack.now < until || !self.probe.round_trip_round {
            return;
        }
        let least = self.probe.least_round_trip;
        if let Some(model) = &mut self.model {
            model.set_round_trip(ack.now, least);
        }
        if let Some(window) = self.saved_window.take() {
            self.window = self.window.max(window);
        }
        self.reset_short_term();
        if self.full.reached {
            self.go_down(ack.now);
            self.probe.closing = false;
            self.phase = Phase::Cruise;
        } else {
            self.phase = Phase::Startup;
            self.window = self.window.max(INITIAL_WINDOW * self.mtu);
        }
    }
}

/// Reno regains in so many rounds what it has lost on a path of 25 Mbit/s and 30 ms; longer paths
/// are not waited for.
const RENO_ROUNDS: u32 = 63;
/// A quiet phase takes at least so many rounds: one to empty the queue, one whose losses are seen.
const QUIET_ROUNDS: u32 = 2;
/// The time in which little is sent, to see the round trip.
const ROUND_TRIP_PROBE: Duration = Duration::from_millis(200);
