//! Throughput over simulated links with random loss, of ours and of other engines over the same
//! links with the same seeds: `cargo xtask bench sctp-loss`. Virtual time: the machine plays no
//! part.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_bench_sctp::engines::{Dcsctp, Engine, Ours, SctpProto};
use columba_netsim::{Datagram, Departure, Ecn, Endpoint, Link, Loss, Network, Queue};

/// Losses of the table.
const LOSSES: [f64; 4] = [0.01, 0.05, 0.1, 0.3];
/// Seeds of each figure, which is their mean.
const SEEDS: u64 = 3;
/// Seconds in which the engine finds its speed, and then those that count.
const WARM_UP: u64 = 10;
const SECONDS: u64 = 5;

/// An engine as a host of the network.
struct Host<E> {
    engine: E,
    local: SocketAddr,
    remote: SocketAddr,
    sends: bool,
    opened: bool,
    received: u64,
    message: Bytes,
    /// The last time at which the engine was called: an engine that asks for the past again is
    /// asked later.
    called: Instant,
}

impl<E: Engine> Host<E> {
    fn after(&mut self, now: Instant) {
        self.called = now;
        self.received += self.engine.read().1;
        if !self.engine.is_established() {
            return;
        }
        if !std::mem::replace(&mut self.opened, true) {
            self.engine.open(0);
        }
        while self.sends && self.engine.send(now, 0, &self.message) {}
    }
}

impl<E: Engine> Endpoint for Host<E> {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        self.engine.receive(now, datagram.payload);
        self.after(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.engine.handle_timeout(now);
        self.after(now);
    }

    fn poll_transmit(&mut self, now: Instant, payload: &mut Vec<u8>) -> Option<Departure> {
        let (local, remote) = (self.local, self.remote);
        self.engine.transmit(now, |packet| payload.extend_from_slice(packet)).then_some(Departure::Udp {
            local,
            remote,
            ecn: Ecn::NotEct,
            segment_size: None,
        })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.engine.timeout().map(|at| at.max(self.called + Duration::from_micros(100)))
    }
}

/// Mbit/s of messages that arrive in 64 KiB each.
fn measure<E: Engine>(link: &Link, seed: u64) -> f64 {
    let mut network = Network::new(seed);
    let zone = network.add_zone();
    let addresses: [SocketAddr; 2] = [([192, 0, 2, 1], 5000).into(), ([192, 0, 2, 2], 5000).into()];
    let now = network.now();
    let hosts = [0, 1].map(|end| {
        let host = network.add_host(Host {
            engine: E::new(now, seed * 2 + end as u64, end == 0),
            local: addresses[end],
            remote: addresses[1 - end],
            sends: end == 0,
            opened: false,
            received: 0,
            message: Bytes::from_static(&[7; 64 << 10]),
            called: now,
        });
        let interface = network.attach(host, zone, addresses[end].ip(), Link::default());
        network.change_link(interface, |up, _down| *up = link.clone());
        host
    });
    // The end that begins has something to send.
    network.with(hosts[0], |_host, _now| {});
    network.run_for(Duration::from_secs(WARM_UP));
    let before = network.host(hosts[1]).received;
    network.run_for(Duration::from_secs(SECONDS));
    (network.host(hosts[1]).received - before) as f64 * 8.0 / SECONDS as f64 / 1e6
}

fn row<E: Engine>(link: &Link) {
    print!("{:<12}", E::NAME);
    for loss in LOSSES {
        let link = Link { loss: Loss::Random(loss), ..link.clone() };
        let sum: f64 = (1..=SEEDS).map(|seed| measure::<E>(&link, seed)).sum();
        print!("{:>12.2}", sum / SEEDS as f64);
    }
    println!();
}

fn main() {
    for (megabits, round_trip) in [(100.0, 20), (100.0, 100), (1000.0, 20)] {
        println!(
            "\n{megabits} Mbit/s, {round_trip} ms round trip, loss in both directions; Mbit/s of messages"
        );
        print!("{:<12}", "");
        for loss in LOSSES {
            print!("{:>10} %", loss * 100.0);
        }
        println!();
        let rate = megabits * 1e6;
        let link = Link {
            delay: Duration::from_millis(round_trip) / 2,
            rate: Some(rate as u64),
            queue: Queue::DropTail { bytes: (rate / 8.0 * round_trip as f64 / 1e3) as usize },
            ..Link::default()
        };
        row::<Ours>(&link);
        row::<Dcsctp>(&link);
        row::<SctpProto>(&link);
    }
}
