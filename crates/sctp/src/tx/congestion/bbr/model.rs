//! The model of the path: bandwidth, round trip, how acknowledgements clump, and the loss that is
//! not ours.

use std::time::{Duration, Instant};

use crate::tx::congestion::Ack;

/// The model of the path, without what its limits are.
#[derive(Debug)]
pub(super) struct Model {
    /// The highest delivery rate of the last probing cycle and of this one, in bytes a second.
    bandwidth: [f64; 2],
    /// The least round trip, and when it was last seen.
    pub(super) min_round_trip: Option<Duration>,
    min_seen: Instant,
    aggregation: Aggregation,
    ambient: Ambient,
}

impl Model {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            bandwidth: [0.0; 2],
            min_round_trip: None,
            min_seen: now,
            aggregation: Aggregation { start: now, delivered: 0, most: [0; 2], rounds: 0 },
            ambient: Ambient::default(),
        }
    }

    /// The highest rate at which data was delivered, in bytes a second.
    pub(super) fn max_bandwidth(&self) -> f64 {
        self.bandwidth[0].max(self.bandwidth[1])
    }

    /// Takes in a rate.
    pub(super) fn on_rate(&mut self, rate: f64, app_limited: bool) {
        if !app_limited || rate >= self.max_bandwidth() {
            self.bandwidth[1] = self.bandwidth[1].max(rate);
        }
    }

    /// A probing cycle has ended: what was measured before it is forgotten.
    pub(super) fn next_cycle(&mut self) {
        if self.bandwidth[1] > 0.0 {
            self.bandwidth = [self.bandwidth[1], 0.0];
        }
    }

    /// Replaces all measurements: this is the bandwidth now.
    pub(super) fn restart_bandwidth(&mut self, bandwidth: f64) {
        self.bandwidth = [0.0, bandwidth];
    }

    /// Takes in a round trip. Where it comes near the least again by itself, the queue is empty now
    /// and then, and need not be emptied to see it.
    pub(super) fn on_round_trip(&mut self, now: Instant, round_trip: Duration) {
        let known = self.min_round_trip.unwrap_or(Duration::MAX);
        if round_trip < known {
            self.min_round_trip = Some(round_trip);
        }
        if round_trip <= known.saturating_add(known / 32) {
            self.min_seen = now;
        }
    }

    /// The least round trip has not been seen for long.
    pub(super) fn is_round_trip_stale(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.min_seen) > PROBE_INTERVAL
    }

    /// The queue has been emptied, and this was the least then.
    pub(super) fn set_round_trip(&mut self, now: Instant, least: Option<Duration>) {
        self.min_round_trip = least.or(self.min_round_trip);
        self.min_seen = now;
    }

    /// Bytes in flight that fill the path at this rate.
    pub(super) fn product(&self, bandwidth: f64) -> f64 {
        bandwidth * self.min_round_trip.unwrap_or_default().as_secs_f64() / (1.0 - self.ambient.share)
    }

    /// The share that is lost on the path whatever we do.
    pub(super) fn ambient_loss(&self) -> f64 {
        self.ambient.share
    }

    /// Takes in what was acknowledged and lost of what was sent in a quiet phase.
    pub(super) fn on_quiet(&mut self, acked: usize, lost: usize) {
        self.ambient.acked += acked;
        self.ambient.lost += lost;
    }

    /// The next quiet phase begins: what the last one has shown is taken in.
    pub(super) fn next_quiet_phase(&mut self, mtu: usize) {
        self.ambient.settle(mtu);
    }

    /// More than was expected may be acknowledged at once; so much more must be in flight.
    pub(super) fn extra_acked(&self) -> usize {
        self.aggregation.most[0].max(self.aggregation.most[1])
    }

    pub(super) fn on_aggregation(&mut self, ack: &Ack, bandwidth: f64, window: usize) {
        self.aggregation.on_ack(ack, bandwidth, window);
    }
}

/// The excess of acknowledgements at once over what the bandwidth explains.
#[derive(Debug)]
struct Aggregation {
    start: Instant,
    delivered: usize,
    /// The most in the last few rounds, and in those before.
    most: [usize; 2],
    rounds: u32,
}

impl Aggregation {
    fn on_ack(&mut self, ack: &Ack, bandwidth: f64, window: usize) {
        if ack.sample.round_start {
            self.rounds += 1;
            if self.rounds >= AGGREGATION_ROUNDS {
                self.rounds = 0;
                self.most = [self.most[1], 0];
            }
        }
        let passed = ack.now.saturating_duration_since(self.start).as_secs_f64();
        let mut expected = (bandwidth * passed) as usize;
        if self.delivered <= expected {
            self.delivered = 0;
            self.start = ack.now;
            expected = 0;
        }
        self.delivered += ack.acked;
        let extra = self.delivered.saturating_sub(expected).min(window);
        self.most[1] = self.most[1].max(extra);
    }
}

/// The share that is lost even of what is sent more slowly than the path delivers: on a radio link,
/// say. It is no sign that we send too much, so limits allow for it and rates make up for it.
/// Measured only while a queue would shrink: loss that we cause ends then, so that this cannot feed
/// itself.
#[derive(Debug, Default)]
struct Ambient {
    share: f64,
    acked: usize,
    lost: usize,
    /// It has been measured.
    known: bool,
    /// The findings of the last quiet phases; the least counts.
    shown: [f64; AMBIENT_PHASES],
}

impl Ambient {
    fn settle(&mut self, mtu: usize) {
        // Too few packets say nothing: wait for more.
        if self.acked + self.lost < AMBIENT_PACKETS * mtu {
            return;
        }
        let share = self.lost as f64 / (self.acked + self.lost) as f64;
        self.shown.rotate_left(1);
        self.shown[AMBIENT_PHASES - 1] = share;
        if !std::mem::replace(&mut self.known, true) {
            self.shown = [share; AMBIENT_PHASES];
        }
        self.share = self.shown.iter().copied().fold(MAX_AMBIENT, f64::min);
        (self.acked, self.lost) = (0, 0);
    }
}

/// The time that the least round trip is believed without being seen again.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
const AGGREGATION_ROUNDS: u32 = 5;
const AMBIENT_PHASES: usize = 2;
/// The number of packets that a quiet phase needs to say anything.
const AMBIENT_PACKETS: usize = 100;
/// Whatever is lost beyond this is taken for our fault.
const MAX_AMBIENT: f64 = 0.4;
