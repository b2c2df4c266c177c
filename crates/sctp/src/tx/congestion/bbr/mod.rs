//! A controller with a model of the path, in the manner of BBRv3 (draft-ietf-ccwg-bbr): it measures
//! how fast data is delivered and how long the way is without a queue, and keeps as much in flight
//! as that needs. Loss bounds it, but does not drive it.
//!
//! Deviations from the draft, each where a test shows why:
//! - Loss that comes even while less is sent than the path bears is not counted as a sign of
//!   congestion, and made up for (see `model::Ambient`).
//! - Short-term limits react to a round that loses too much rather than to any loss.
//! - The least round trip counts as seen again when it is come near to, and what a probe of it
//!   shows is believed at once.

mod cycle;
mod model;

use std::time::{Duration, Instant};

use super::{Ack, Controller, INITIAL_WINDOW, Lost, MIN_WINDOW};
use cycle::Probe;
use model::Model;

/// The phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Doubling each round, to find the bandwidth.
    Startup,
    /// Emptying the queue that this has made.
    Drain,
    /// Sending less than is delivered, so that a queue shrinks and others find room.
    Down,
    /// Sending as fast as is delivered.
    Cruise,
    /// Filling the path again before more is tried.
    Refill,
    /// Trying more.
    Up,
    /// Sending little, to see the round trip without a queue.
    ProbeRoundTrip,
}

/// The controller.
#[derive(Debug)]
pub(super) struct Bbr {
    mtu: usize,
    /// `None` before the first acknowledgement.
    model: Option<Model>,
    phase: Phase,
    window: usize,
    /// Bytes a second; `None` before the bandwidth is known.
    rate: Option<f64>,
    /// The limits that loss has shown: lasting ones, and those until the next probe.
    inflight_high: usize,
    inflight_low: usize,
    bandwidth_low: f64,
    latest: Latest,
    full: FullBandwidth,
    probe: Probe,
    /// The window to return to after a probe of the round trip, or a timeout.
    saved_window: Option<usize>,
    /// Rounds in a row that lost too much and delivered far less than the path was thought to,
    /// while a queue stood.
    fallen_rounds: u32,
    /// Nothing was sent for a while: the window is not to be judged yet.
    restarting: bool,
}

/// The findings of this round.
#[derive(Debug, Default)]
struct Latest {
    bandwidth: f64,
    inflight: usize,
    /// The round ends when what was sent after this has arrived.
    round_end: u64,
    /// Bytes acknowledged and lost in this round, and how many times something was lost.
    acked: usize,
    lost: usize,
    losses: u32,
}

/// The test that the bandwidth has stopped to grow.
#[derive(Debug, Default)]
struct FullBandwidth {
    best: f64,
    rounds: u32,
    /// It has stopped in this phase.
    now: bool,
    /// It has stopped once: startup is over.
    reached: bool,
}

impl FullBandwidth {
    fn restart(&mut self, best: f64) {
        *self = Self { best, rounds: 0, now: false, reached: self.reached };
    }

    /// Looks at a round's bandwidth.
    fn on_round(&mut self, bandwidth: f64) {
        if bandwidth >= self.best * FULL_GROWTH {
            return self.restart(bandwidth);
        }
        self.rounds += 1;
        self.now |= self.rounds >= FULL_ROUNDS;
        self.reached |= self.now;
    }
}

impl Bbr {
    pub(super) fn new(mtu: usize, seed: u32) -> Self {
        Self {
            mtu,
            model: None,
            phase: Phase::Startup,
            window: INITIAL_WINDOW * mtu,
            rate: None,
            inflight_high: usize::MAX,
            inflight_low: usize::MAX,
            bandwidth_low: f64::INFINITY,
            latest: Latest::default(),
            full: FullBandwidth::default(),
            probe: Probe::new(seed),
            saved_window: None,
            fallen_rounds: 0,
            restarting: false,
        }
    }

    fn max_bandwidth(&self) -> f64 {
        self.model.as_ref().map_or(0.0, Model::max_bandwidth)
    }

    fn bandwidth(&self) -> f64 {
        self.max_bandwidth().min(self.bandwidth_low)
    }

    fn least_window(&self) -> usize {
        MIN_WINDOW * self.mtu
    }

    /// Bytes in flight for this gain: what the path holds, and what timers and clumped
    /// acknowledgements need.
    fn inflight(&self, bandwidth: f64, gain: f64) -> usize {
        let Some(model) = &self.model else { return INITIAL_WINDOW * self.mtu };
        let burst = 3.0 * (bandwidth * BURST.as_secs_f64()).min(MAX_BURST).max(2.0 * self.mtu as f64);
        let inflight = (gain * model.product(bandwidth)).max(burst) as usize;
        let probing = if self.phase == Phase::Up { 2 * self.mtu } else { 0 };
        inflight.max(self.least_window()) + probing
    }

    /// The lasting limit, with some room left for others.
    fn inflight_with_headroom(&self) -> usize {
        if self.inflight_high == usize::MAX {
            return usize::MAX;
        }
        let headroom = ((self.inflight_high as f64 * HEADROOM) as usize).max(self.mtu);
        self.inflight_high.saturating_sub(headroom).max(self.least_window())
    }

    /// Returns whether so much loss says that there was too much in flight.
    fn is_too_much(&self, lost: usize, of: usize) -> bool {
        let ambient = self.model.as_ref().map_or(0.0, Model::ambient_loss);
        let share = LOSS_THRESHOLD + AMBIENT_SLACK * ambient;
        lost > LOSS_GRAIN * self.mtu && lost as f64 > share * of as f64
    }

    fn gains(&self) -> (f64, f64) {
        match self.phase {
            Phase::Startup => (STARTUP_GAIN, 2.0),
            Phase::Drain => (DRAIN_GAIN, 2.0),
            Phase::Down => (DOWN_GAIN, 2.0),
            Phase::Cruise | Phase::Refill => (1.0, 2.0),
            Phase::Up => (UP_GAIN, 2.25),
            Phase::ProbeRoundTrip => (1.0, 0.5),
        }
    }

    fn reset_short_term(&mut self) {
        self.inflight_low = usize::MAX;
        self.bandwidth_low = f64::INFINITY;
    }

    fn learn(&mut self, ack: &Ack) {
        let (bandwidth, window) = (self.bandwidth(), self.window);
        let model = self.model.get_or_insert_with(|| Model::new(ack.now));
        if let Some(round_trip) = ack.round_trip {
            model.on_round_trip(ack.now, round_trip);
            self.probe.note_round_trip(round_trip);
        }
        // An interval shorter than the round trip is an accident of timing.
        let plausible = Some(ack.sample.interval) >= model.min_round_trip;
        if let Some(rate) = ack.sample.rate().filter(|_| plausible) {
            model.on_rate(rate, ack.sample.app_limited);
            self.latest.bandwidth = self.latest.bandwidth.max(rate);
        }
        // Behind a queue that stands in spite of it, a phase is not quiet: where the buffer is
        // shorter than the least window, the loss is our own.
        if !ack.is_queued(model.min_round_trip) {
            model.on_quiet(ack.quiet.0, ack.quiet.1);
        }
        model.on_aggregation(ack, bandwidth, window);
        self.latest.inflight = self.latest.inflight.max(ack.sample.delivered());
        self.latest.acked += ack.acked;
        self.latest.lost += ack.lost;
        self.latest.losses += u32::from(ack.lost > 0);
    }

    /// A round has passed: a round with too much loss lowers the limits until the next probe.
    fn end_round(&mut self, ack: &Ack) {
        let too_much = self.is_too_much(self.latest.lost, self.latest.lost + self.latest.acked);
        let queued = ack.is_queued(self.model.as_ref().and_then(|model| model.min_round_trip));
        if self.phase == Phase::Startup && !ack.sample.app_limited {
            self.full.on_round(self.latest.bandwidth);
            // Loss without growth: the queue is full. Without a queue chance may have stopped the
            // growth.
            let rounds = if queued { 1 } else { 2 };
            if too_much && self.latest.losses >= STARTUP_LOSSES && self.full.rounds >= rounds {
                self.full.reached = true;
                self.inflight_high = self.latest.inflight.max(self.inflight(self.max_bandwidth(), 1.0));
            }
        } else if self.phase == Phase::Up {
            self.full.on_round(self.latest.bandwidth);
        }
        let fallen =
            too_much && self.full.reached && queued && self.latest.bandwidth < self.max_bandwidth() / 2.0;
        self.fallen_rounds = if fallen { self.fallen_rounds + 1 } else { 0 };
        if self.fallen_rounds >= FALLEN_ROUNDS {
            self.accept_fall();
        } else if too_much && !matches!(self.phase, Phase::Startup | Phase::Refill | Phase::Up) {
            self.lower_limits();
        }
        self.latest = Latest { round_end: ack.sample.total_delivered, ..Latest::default() };
    }

    /// The path has become far slower: what it was is forgotten, and the queue that this has made
    /// emptied.
    fn accept_fall(&mut self) {
        if let Some(model) = &mut self.model {
            model.restart_bandwidth(self.latest.bandwidth);
        }
        self.fallen_rounds = 0;
        self.reset_short_term();
        self.inflight_high = usize::MAX;
        self.phase = Phase::Drain;
    }

    fn lower_limits(&mut self) {
        let bandwidth = self.bandwidth_low.min(self.max_bandwidth());
        let inflight = self.inflight_low.min(self.window);
        self.bandwidth_low = self.latest.bandwidth.max(bandwidth * BETA);
        self.inflight_low = self.latest.inflight.max((inflight as f64 * BETA) as usize);
    }

    fn set_rate(&mut self) {
        let bandwidth = self.bandwidth();
        let Some(model) = self.model.as_ref().filter(|_| bandwidth > 0.0) else { return };
        let rate = self.gains().0 * bandwidth * (1.0 - MARGIN) / (1.0 - model.ambient_loss());
        if self.full.reached || self.rate.is_none_or(|known| rate > known) {
            self.rate = Some(rate);
        }
    }

    fn set_window(&mut self, ack: &Ack) {
        let extra = self.model.as_ref().map_or(0, Model::extra_acked);
        let most = self.inflight(self.max_bandwidth(), self.gains().1) + extra;
        if self.full.reached {
            self.window = (self.window + ack.acked).min(most);
        } else if self.window < most || ack.sample.total_delivered < (INITIAL_WINDOW * self.mtu) as u64 {
            self.window += ack.acked;
        }
        self.window = self.window.min(self.cap()).max(self.least_window());
    }

    fn cap(&self) -> usize {
        let lasting = match self.phase {
            Phase::Startup | Phase::Drain => usize::MAX,
            Phase::Cruise => self.inflight_with_headroom(),
            Phase::Down | Phase::Refill | Phase::Up => self.inflight_high,
            Phase::ProbeRoundTrip => {
                self.inflight_with_headroom().min(self.inflight(self.bandwidth(), self.gains().1))
            }
        };
        lasting.min(self.inflight_low)
    }

    fn save_window(&mut self) {
        self.saved_window = Some(self.saved_window.unwrap_or(0).max(self.window));
    }
}

impl Controller for Bbr {
    fn on_ack(&mut self, ack: &Ack) {
        self.learn(ack);
        if ack.sample.prior_delivered >= self.latest.round_end {
            self.end_round(ack);
        }
        self.advance(ack);
        self.set_rate();
        self.set_window(ack);
        self.restarting = false;
    }

    fn on_lost(&mut self, lost: &Lost) {
        if self.probe.is_open() && self.is_too_much(lost.lost_since, lost.in_flight_then) {
            self.end_probe(lost);
        }
    }

    fn on_congestion(&mut self, _now: Instant, _in_flight: usize) {}

    fn on_marked(&mut self, now: Instant, in_flight: usize) {
        match self.phase {
            Phase::Startup => {
                self.full.reached = true;
                self.inflight_high = in_flight.max(self.inflight(self.max_bandwidth(), 1.0));
            }
            Phase::Refill | Phase::Up => {
                self.end_probe(&Lost { now, in_flight_then: in_flight, lost_since: 0, app_limited: false });
            }
            _ => self.lower_limits(),
        }
    }

    fn on_timeout(&mut self, _now: Instant, _in_flight: usize) {
        self.save_window();
        self.window = self.mtu;
    }

    fn on_spurious_timeout(&mut self) {
        if let Some(window) = self.saved_window.take() {
            self.window = self.window.max(window);
        }
    }

    fn on_idle(&mut self, _now: Instant, _idle: Duration, _rto: Duration) {
        self.restarting = true;
        if self.full.reached && self.phase != Phase::ProbeRoundTrip {
            // No faster than the path is known to be, whatever was being tried before the pause.
            self.rate = self.rate.map(|rate| rate.min(self.bandwidth().max(1.0)));
        }
    }

    fn set_mtu(&mut self, mtu: usize) {
        self.mtu = mtu;
    }

    fn window(&self) -> usize {
        self.window
    }

    fn pacing_rate(&self) -> Option<u64> {
        self.rate.map(|rate| rate as u64)
    }

    fn in_slow_start(&self) -> bool {
        self.phase == Phase::Startup
    }

    fn is_quiet(&self) -> bool {
        match self.phase {
            Phase::Down | Phase::ProbeRoundTrip => true,
            // So little is no congestion, and quiet phases alone would take too long to tell
            // anything.
            Phase::Cruise => self.window <= SMALL_WINDOW * self.mtu,
            Phase::Startup | Phase::Drain | Phase::Refill | Phase::Up => false,
        }
    }
}

/// 4 ln 2: doubles the rate each round.
const STARTUP_GAIN: f64 = 2.773;
const DRAIN_GAIN: f64 = 0.5;
const DOWN_GAIN: f64 = 0.9;
const UP_GAIN: f64 = 1.25;
/// The margin below the bandwidth at which to send, so that a queue shrinks in the long run.
const MARGIN: f64 = 0.01;
/// The part of what was in flight or delivered that is kept when loss lowers the limits.
const BETA: f64 = 0.7;
/// The part of the lasting limit that is left for others.
const HEADROOM: f64 = 0.15;
/// The share of loss that says that too much is in flight.
const LOSS_THRESHOLD: f64 = 0.02;
/// The part of the ambient loss that is allowed for besides, because chance scatters it.
const AMBIENT_SLACK: f64 = 1.5;
/// So many lost packets are chance.
const LOSS_GRAIN: usize = 2;
/// Startup ends when the bandwidth has not grown by this factor for so many rounds,
const FULL_GROWTH: f64 = 1.25;
const FULL_ROUNDS: u32 = 3;
/// So many packets in flight are few.
const SMALL_WINDOW: usize = 32;
/// So many rounds far below the bandwidth are no accident.
const FALLEN_ROUNDS: u32 = 2;
/// or when so many acknowledgements of a round have shown loss, and it was too much.
const STARTUP_LOSSES: u32 = 6;
/// The bytes that the pacer may send at once, and their upper limit.
const BURST: Duration = Duration::from_millis(1);
const MAX_BURST: f64 = 65_536.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tx::congestion::RateSample;

    /// The loss that is taken for the path's own after 20 s in which every round lost an eleventh
    /// of it.
    fn ambient_loss_behind(smoothed: Duration) -> f64 {
        let round_trip = Duration::from_millis(10);
        let (acked, lost) = (200 * 1200, 20 * 1200);
        let mut controller = Bbr::new(1200, 1);
        let mut now = crate::test_time();
        for round in 0..2000 {
            let delivered = round * acked as u64;
            controller.on_ack(&Ack {
                now,
                acked,
                lost,
                quiet: if controller.is_quiet() { (acked, lost) } else { (0, 0) },
                in_flight: acked,
                peak_in_flight: acked,
                recovering: false,
                round_trip: Some(round_trip),
                smoothed,
                sample: RateSample {
                    prior_delivered: delivered,
                    total_delivered: delivered + acked as u64,
                    interval: round_trip,
                    app_limited: false,
                    in_flight_then: acked,
                    lost_since: lost,
                    round_start: true,
                },
            });
            now += round_trip;
        }
        controller.model.expect("something was acknowledged").ambient_loss()
    }

    /// A browser's socket on the same machine overflows in the quiet phases, too, because it holds
    /// less than a burst.
    #[test]
    fn loss_behind_a_standing_queue_is_not_the_path_s_own() {
        let learnt = ambient_loss_behind(Duration::from_millis(11));
        assert!((0.08..0.1).contains(&learnt), "{learnt}");
        assert_eq!(ambient_loss_behind(Duration::from_millis(30)), 0.0);
    }
}
