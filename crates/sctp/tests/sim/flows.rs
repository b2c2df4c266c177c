//! Several associations that share a bottleneck.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use columba_netsim::{HostId, InterfaceId, Link, Network, Queue, Router, RouterId};
use columba_sctp::{Association, Config, CongestionControl, Message, Ppid, StreamId};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use super::{Host, Instant};

/// A path: what a flow is sent over.
pub(crate) fn path(megabits: f64, round_trip_ms: u64, queue_products: f64) -> Link {
    let product = megabits * 1e6 / 8.0 * round_trip_ms as f64 / 1e3;
    Link {
        delay: Duration::from_millis(round_trip_ms) / 2,
        rate: Some((megabits * 1e6) as u64),
        queue: Queue::DropTail { bytes: (product * queue_products) as usize },
        ..Link::default()
    }
}

/// A sender and when it begins.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) config: Config,
    pub(crate) start: Duration,
    /// Added to the round trip of the bottleneck.
    pub(crate) extra_round_trip: Duration,
}

impl Flow {
    pub(crate) fn new(congestion_control: CongestionControl) -> Self {
        let config = Config { congestion_control, ..Config::default() };
        Self { config, start: Duration::ZERO, extra_round_trip: Duration::ZERO }
    }

    pub(crate) fn starting(self, seconds: f64) -> Self {
        Self { start: Duration::from_secs_f64(seconds), ..self }
    }

    pub(crate) fn farther_by(self, milliseconds: u64) -> Self {
        Self { extra_round_trip: Duration::from_millis(milliseconds), ..self }
    }
}

/// The throughput of a flow in a stretch of time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// Bytes of messages that arrived, in Mbit/s.
    pub(crate) megabits: f64,
    /// The mean of the smoothed round trip, in milliseconds.
    pub(crate) round_trip: f64,
    /// Of the chunks sent, those sent again.
    pub(crate) resent: u64,
}

/// The network: senders on one side of a router, receivers on the other.
pub(crate) struct Shared {
    pub(crate) network: Network<Host>,
    pub(crate) senders: Vec<HostId>,
    pub(crate) receivers: Vec<HostId>,
    router: RouterId,
    first_back: InterfaceId,
    starts: Vec<Duration>,
}

impl Shared {
    pub(crate) fn new(seed: u64, bottleneck: &Link, flows: &[Flow]) -> Self {
        let mut network = Network::new(seed);
        let (left, right) = (network.add_zone(), network.add_zone());
        let router =
            network.add_router(left, right, Router { link: bottleneck.clone(), ..Router::default() });
        network.add_route(right, IpAddr::from([10, 0, 0, 0]), 8, router);
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let (mut senders, mut receivers, mut first_back) = (Vec::new(), Vec::new(), None);
        for (index, flow) in flows.iter().enumerate() {
            let near = IpAddr::from([10, 0, 0, index as u8 + 1]);
            let far = IpAddr::from([192, 0, 2, index as u8 + 1]);
            for (zone, local, remote, hosts) in
                [(left, near, far, &mut senders), (right, far, near, &mut receivers)]
            {
                let association = Association::new(flow.config.clone(), network.now(), &mut rng);
                let host = network.add_host(Host::new(
                    association,
                    (local, 5000).into(),
                    (remote, 5000).into(),
                    pump,
                ));
                // Each interface is passed on the way there and on the way back.
                let interface =
                    network.attach(host, zone, local, Link::with_delay(flow.extra_round_trip / 4));
                if index == 0 {
                    first_back = Some(interface);
                }
                hosts.push(host);
            }
        }
        let starts = flows.iter().map(|flow| flow.start).collect();
        let first_back = first_back.expect("there is a flow");
        Self { network, senders, receivers, router, first_back, starts }
    }

    pub(crate) fn change(&mut self, change: impl FnOnce(&mut Link)) {
        self.network.change_router(self.router, |router| change(&mut router.link));
    }

    /// Changes the way back of the first flow.
    pub(crate) fn change_back(&mut self, change: impl FnOnce(&mut Link)) {
        self.network.change_link(self.first_back, |out, _into| change(out));
    }

    /// The first flow has nothing more to send.
    pub(crate) fn pause(&mut self) {
        self.network.with(self.senders[0], |host, _now| host.paused = true);
    }

    /// It has again.
    pub(crate) fn resume(&mut self) {
        self.network.with(self.senders[0], |host, now| {
            host.paused = false;
            fill(host, now);
        });
    }

    /// Lets time pass, and says what has become of each flow meanwhile.
    pub(crate) fn run(&mut self, seconds: f64) -> Vec<Outcome> {
        const STEPS: u32 = 40;
        let before: Vec<_> = self.senders.iter().map(|host| self.resent(*host)).collect();
        let received: Vec<_> =
            self.receivers.iter().map(|host| self.network.host(*host).received_bytes).collect();
        let mut round_trips = vec![0.0; self.senders.len()];
        for _ in 0..STEPS {
            let step = Duration::from_secs_f64(seconds / f64::from(STEPS));
            self.start_flows(step);
            for (index, host) in self.senders.iter().enumerate() {
                let stats = self.network.host(*host).association.stats();
                round_trips[index] += stats.smoothed_round_trip.unwrap_or_default().as_secs_f64() * 1e3;
            }
        }
        (0..self.senders.len())
            .map(|index| Outcome {
                megabits: (self.network.host(self.receivers[index]).received_bytes - received[index]) as f64
                    * 8.0
                    / seconds
                    / 1e6,
                round_trip: round_trips[index] / f64::from(STEPS),
                resent: self.resent(self.senders[index]) - before[index],
            })
            .collect()
    }

    fn resent(&self, host: HostId) -> u64 {
        self.network.host(host).association.stats().retransmitted_chunks
    }

    /// Runs for a step, in which flows may start.
    fn start_flows(&mut self, step: Duration) {
        let end = self.network.elapsed() + step;
        let mut due: Vec<_> = (0..self.starts.len())
            .filter(|index| self.starts[*index] < end && !self.network.host(self.senders[*index]).sends)
            .collect();
        due.sort_by_key(|index| self.starts[*index]);
        for index in due {
            let wait = self.starts[index].saturating_sub(self.network.elapsed());
            self.network.run_for(wait);
            for host in [self.senders[index], self.receivers[index]] {
                self.network.with(host, |host, now| host.association.connect(now));
            }
            self.network.with(self.senders[index], |host, _now| host.sends = true);
        }
        self.network.run_for(end.saturating_sub(self.network.elapsed()));
    }
}

/// Reads all, and keeps the queue of the sender full.
pub(crate) fn pump(host: &mut Host, now: Instant) {
    while let Some(message) = host.association.receive(StreamId(0)) {
        host.received_bytes += message.payload.len() as u64;
    }
    fill(host, now);
}

/// Fills the queue of a connected sender.
pub(crate) fn fill(host: &mut Host, now: Instant) {
    if host.sends && !host.paused && host.association.is_established() {
        while host.association.total_buffered_amount() < host.queue_limit {
            let message = Message::new(Ppid(53), Bytes::from_static(&[7; 64 * 1024]));
            host.association.send(now, StreamId(0), message).expect("there is room");
        }
    }
}

/// Jain's index of fairness: 1 when all have the same, 1/n when one has everything.
pub(crate) fn jain(outcomes: &[Outcome]) -> f64 {
    let sum: f64 = outcomes.iter().map(|outcome| outcome.megabits).sum();
    let squares: f64 = outcomes.iter().map(|outcome| outcome.megabits.powi(2)).sum();
    sum * sum / (outcomes.len() as f64 * squares)
}
