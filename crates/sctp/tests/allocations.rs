//! The memory of an association: none for a packet, and little for being there.

use std::time::{Duration, Instant};

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use columba_sctp::channels::{ChannelEvent, ChannelId, ChannelInit, DataChannels, Payload, Role};
use columba_sctp::{Config, Ecn, Unlimited};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

#[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
fn now() -> Instant {
    Instant::now()
}

/// Two ends in memory, with open channels.
struct Pair {
    now: Instant,
    ends: [DataChannels; 2],
    channels: Vec<ChannelId>,
    packets: usize,
    messages: usize,
}

impl Pair {
    fn new(seed: u64, channels: usize, interleaving: bool) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let config = Config { interleaving, ..Config::default() };
        let ends = [(); 2].map(|()| DataChannels::new(config.clone(), now(), &mut rng));
        let mut pair = Self { now: now(), ends, channels: Vec::new(), packets: 0, messages: 0 };
        pair.ends[0].start(pair.now, Role::Client);
        pair.ends[1].start(pair.now, Role::Server);
        for _ in 0..channels {
            let id = pair.ends[0].open(pair.now, "channel", ChannelInit::default()).unwrap();
            pair.channels.push(id);
        }
        pair.run(Duration::from_millis(500));
        assert!(pair.ends.iter().all(|end| end.channels().count() == channels));
        pair
    }

    /// Carries packets, reads messages, and lets timers expire.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let mut buffer = [0; 2048];
        while self.now < end {
            for from in 0..2 {
                while let Some(length) = self.ends[from].poll_transmit(self.now, &mut Unlimited, &mut buffer)
                {
                    self.packets += 1;
                    self.ends[1 - from].handle_input(self.now, &buffer[..length], Ecn::NotMarked);
                    self.read(1 - from);
                }
            }
            self.now += Duration::from_millis(1);
            for end in &mut self.ends {
                if end.poll_timeout().is_some_and(|at| at <= self.now) {
                    end.handle_timeout(self.now);
                }
            }
        }
    }

    fn read(&mut self, end: usize) {
        while let Some(event) = self.ends[end].poll_event() {
            if let ChannelEvent::Readable(id) = event {
                while self.ends[end].receive(self.now, id).is_some() {
                    self.messages += 1;
                }
            }
        }
    }

    /// Sends so many messages over all channels in turn, and carries everything.
    fn exchange(&mut self, count: usize, payload: &Bytes) {
        for number in 0..count {
            let channel = self.channels[number % self.channels.len()];
            self.ends[0].send(self.now, channel, Payload::Binary(payload.clone())).unwrap();
            if number % 8 == 7 {
                self.run(Duration::from_millis(20));
            }
        }
        self.run(Duration::from_millis(100));
    }
}

/// Once everything has its size, only messages that arrive are allocated: once each, and once more
/// for handing them out.
#[test]
fn packets_cost_no_allocations() {
    for interleaving in [true, false] {
        for channels in [1, 1000] {
            let mut pair = Pair::new(1, channels, interleaving);
            let payload = Bytes::from_static(&[7; 60_000]);
            pair.exchange(3000, &payload);
            (pair.packets, pair.messages) = (0, 0);
            let used = measure(|| pair.exchange(1000, &payload));
            assert_eq!(pair.messages, 1000);
            assert!(pair.packets > 50_000, "{}", pair.packets);
            let beyond = used.count_total.saturating_sub(2 * pair.messages as u64);
            assert!(beyond <= 16, "{beyond} of {} packets, {channels} channels: {used:?}", pair.packets);
        }
    }
}

/// A message that fits a packet is one allocation: its bytes, copied out of the datagram.
#[test]
fn small_messages_cost_one_allocation_each() {
    let mut pair = Pair::new(1, 1, true);
    let payload = Bytes::from_static(&[7; 64]);
    pair.exchange(20_000, &payload);
    (pair.packets, pair.messages) = (0, 0);
    let used = measure(|| pair.exchange(8000, &payload));
    assert_eq!(pair.messages, 8000);
    assert!(used.count_total <= 8000 + 16, "{used:?}");
}

/// Both ends of so many associations with a channel each, and what they take.
fn idle(count: usize, channels: usize) -> AllocationInfo {
    let mut kept = Vec::with_capacity(count);
    measure(|| {
        for seed in 0..count {
            kept.push(Pair::new(seed as u64, channels, true));
        }
    })
}

#[test]
fn an_idle_association_is_small_however_many_there_are() {
    for count in [1, 100, 10_000] {
        let each = idle(count, 1).bytes_current / (2 * count as i64) + size_of::<DataChannels>() as i64;
        assert!(each < 16 << 10, "{each} bytes each of {count}");
    }
}

#[test]
fn a_channel_is_small_however_many_there_are() {
    let one = idle(1, 1).bytes_current;
    for channels in [10, 1000, 10_000] {
        let each = (idle(1, channels).bytes_current - one) / (2 * channels as i64);
        assert!(each < 1200, "{each} bytes each of {channels}");
    }
}

/// The time that a message takes, both ends together, with few and with many: `cargo test --release
/// -p columba-sctp --test allocations -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and asserts nothing"]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn the_cost_is_flat() {
    let payload = Bytes::from_static(&[7; 1000]);
    for (associations, channels) in [(1, 1), (1, 1000), (100, 1), (10_000, 1)] {
        let mut pairs: Vec<_> = (0..associations).map(|seed| Pair::new(seed, channels, true)).collect();
        let rounds = 200_000 / (associations as usize * 8);
        let begun = Instant::now();
        for _ in 0..rounds {
            pairs.iter_mut().for_each(|pair| pair.exchange(8, &payload));
        }
        let each = begun.elapsed() / (rounds * associations as usize * 8) as u32;
        println!("{associations} associations, {channels} channels each: {each:?} a message");
    }
}
