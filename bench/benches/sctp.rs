//! SCTP in memory: packets full of data, small messages, answering packets out of order, and the
//! handshake; both ends together.

use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_sctp::{Association, Config, Ecn, Event, Message, Ppid, StreamId, Unlimited};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// Two associations, and a time that goes on as packets do.
struct Pair {
    sender: Association,
    receiver: Association,
    now: Instant,
}

impl Pair {
    fn new(config: &Config) -> Self {
        let now = Instant::now();
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut sender = Association::new(config.clone(), now, &mut rng);
        let receiver = Association::new(config.clone(), now, &mut rng);
        sender.connect(now);
        let mut pair = Self { sender, receiver, now };
        while !(pair.sender.is_established() && pair.receiver.is_established()) {
            pair.turn();
        }
        pair
    }

    /// Two packets at most from each side: every second is acknowledged. Answers with the count of
    /// messages that were read.
    fn turn(&mut self) -> u64 {
        let mut packet = [0; 1200];
        let mut moved = false;
        for forth in [true, false] {
            let (from, to) = if forth {
                (&mut self.sender, &mut self.receiver)
            } else {
                (&mut self.receiver, &mut self.sender)
            };
            for _ in 0..2 {
                let Some(length) = from.poll_transmit(self.now, &mut Unlimited, &mut packet) else { break };
                to.handle_input(self.now, &packet[..length], Ecn::NotMarked);
                moved = true;
            }
        }
        let mut count = 0;
        while let Some(event) = self.receiver.poll_event() {
            let Event::Readable(stream) = event else { continue };
            while self.receiver.receive(stream).is_some() {
                count += 1;
            }
        }
        while self.sender.poll_event().is_some() {}
        self.now += Duration::from_micros(5);
        if !moved {
            let deadlines = [self.sender.poll_timeout(), self.receiver.poll_timeout()];
            self.now = deadlines.into_iter().flatten().min().map_or(self.now, |at| at.max(self.now));
        }
        self.sender.handle_timeout(self.now);
        self.receiver.handle_timeout(self.now);
        count
    }

    /// Sends so many messages and waits until all are read.
    fn carry(&mut self, message: &Bytes, count: u64) {
        let (mut sent, mut read) = (0, 0);
        while read < count {
            while sent < count {
                let message = Message::new(Ppid(53), message.clone());
                if self.sender.send(self.now, StreamId(0), message).is_err() {
                    break;
                }
                sent += 1;
            }
            read += self.turn();
        }
    }
}

fn config(zero_checksum: bool) -> Config {
    Config { mtu: 1200, send_buffer: 2 << 20, zero_checksum, ..Config::default() }
}

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sctp");
    for (name, length) in [("64 KiB", 64 << 10), ("1 KiB", 1 << 10), ("64 B", 64)] {
        let message = Bytes::from(vec![1; length]);
        let count = ((1 << 20) / length as u64).min(4096);
        group.throughput(Throughput::Bytes(count * length as u64));
        for (checksum, zero) in [("without checksum", true), ("with checksum", false)] {
            let mut pair = Pair::new(&config(zero));
            group.bench_function(BenchmarkId::new(format!("messages of {name}"), checksum), |bencher| {
                bencher.iter(|| pair.carry(&message, count));
            });
        }
    }
}

/// Every packet arrives after the next one: a gap opens and closes each time.
fn disorder(criterion: &mut Criterion) {
    const COUNT: usize = 512;
    let mut group = criterion.benchmark_group("sctp");
    group.throughput(Throughput::Elements(COUNT as u64));
    let message = Bytes::from(vec![1; 1100]);
    let mut pair = Pair::new(&config(true));
    pair.carry(&message, 10_000);
    group.bench_function("packets in the wrong order", |bencher| {
        bencher.iter(|| {
            let mut packets = [[0; 1200]; 2];
            for _ in 0..COUNT / 2 {
                for packet in &mut packets {
                    let message = Message::new(Ppid(53), message.clone());
                    pair.sender.send(pair.now, StreamId(0), message).expect("the queue is empty");
                    pair.sender.poll_transmit(pair.now, &mut Unlimited, packet);
                }
                for packet in packets.iter().rev() {
                    pair.receiver.handle_input(pair.now, &packet[..1132], Ecn::NotMarked);
                }
                pair.turn();
            }
        });
    });
}

fn handshake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sctp");
    group.throughput(Throughput::Elements(1));
    group.bench_function("handshake", |bencher| bencher.iter(|| Pair::new(&config(true))));
}

criterion_group!(benches, messages, disorder, handshake);
criterion_main!(benches);
