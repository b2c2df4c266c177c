//! The estimator and the pacer over simulated paths, in virtual time, with the real feedback
//! packets. `cargo test -p columba-rtp --test congestion -- --nocapture` prints the figures.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use columba_rtp::congestion::{
    ArrivalClock, ArrivalRecorder, Class, DelayEstimator, Estimator, EstimatorLimits, FlowPriority, Pacer,
    SentPackets,
};
use columba_rtp::rtcp::{Compound, CompoundWriter, RtcpPacket};
use columba_rtp::{SequenceNumber, Ssrc};

const PACKET: usize = 1200;

const VIDEO: Class = Class::Video(FlowPriority::Low);

#[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
fn start() -> Instant {
    Instant::now()
}

/// A small generator, seeded for each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }
}

/// A path and what the application wants to send.
struct World {
    /// From these milliseconds on, so many bits per second.
    capacity: Vec<(u64, f64)>,
    /// From these milliseconds on the encoder makes at most so many bits per second.
    wanted: Vec<(u64, f64)>,
    delay: u64,
    queue_limit: f64,
    loss: f64,
    jitter: f64,
    /// The receiver's clock is so much faster.
    drift: f64,
    /// Each so many milliseconds a key frame of so many seconds of the rate; between them pictures
    /// stand still, and take a tenth of it.
    keys: Option<(u64, f64)>,
    /// A file is sent beside the video.
    data: bool,
    /// Sound of 64 kbit/s is sent beside the video, of whose arrival nothing is told.
    sound: bool,
    /// The estimate to begin with.
    start: u64,
    /// The receiver waits so many seconds for the processor, on average, twice in a row: before it
    /// reads, and before the time of arrival is taken.
    starved: f64,
    millis: u64,
    seed: u64,
}

impl Default for World {
    fn default() -> Self {
        Self {
            capacity: vec![(0, 1e6)],
            wanted: vec![(0, 50e6)],
            delay: 50,
            queue_limit: 0.3,
            loss: 0.0,
            jitter: 0.0,
            drift: 0.0,
            keys: None,
            data: false,
            sound: false,
            start: EstimatorLimits::default().start,
            starved: 0.0,
            millis: 40_000,
            seed: 1,
        }
    }
}

impl World {
    /// Adds what the encoder has made to the bytes that wait.
    fn encode(&self, millis: u64, estimate: f64, video: &mut f64) {
        let wanted = at(&self.wanted, millis);
        if millis.is_multiple_of(33) {
            let share = if self.data { 0.5 } else { 1.0 };
            let rate = (share * estimate).min(wanted);
            *video = (*video + rate / 8.0 * self.keys.map_or(0.033, |_| 0.0033)).min(rate / 8.0);
        }
        if let Some((interval, size)) = self.keys
            && millis % interval == interval - 1
        {
            *video += size * wanted.min(estimate) / 8.0;
        }
    }
}

#[derive(Default)]
struct Outcome {
    /// For each millisecond: bytes delivered, queueing delay in seconds, estimate.
    delivered: Vec<usize>,
    data: usize,
    video: usize,
    queue: Vec<f64>,
    estimate: Vec<f64>,
}

impl Outcome {
    fn megabits(&self, from: u64, to: u64) -> f64 {
        let bytes: usize = self.delivered[from as usize..to as usize].iter().sum();
        8.0 * bytes as f64 / 1000.0 / (to - from) as f64
    }

    /// Mean and 95th percentile in milliseconds.
    fn queue(&self, from: u64, to: u64) -> (f64, f64) {
        let mut part = self.queue[from as usize..to as usize].to_vec();
        part.sort_by(f64::total_cmp);
        let mean = part.iter().sum::<f64>() / part.len() as f64;
        (1000.0 * mean, 1000.0 * part[part.len() * 95 / 100])
    }
}

fn at<T: Copy>(steps: &[(u64, T)], now: u64) -> T {
    steps.iter().rev().find(|(since, _)| *since <= now).unwrap().1
}

fn pop_front_if<T>(queue: &mut VecDeque<T>, due: impl Fn(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(due) { queue.pop_front() } else { None }
}

struct InFlight {
    arrival: f64,
    number: SequenceNumber,
    class: Class,
}

/// The moments at which a program gets the processor.
struct Turns {
    mean: f64,
    next: f64,
}

impl Turns {
    /// Returns the first turn from this time on.
    fn after(&mut self, time: f64, random: &mut Random) -> f64 {
        while self.mean > 0.0 && self.next < time {
            self.next -= self.mean * (1.0 - random.next()).ln();
        }
        self.next.max(time)
    }
}

fn take(report: &[u8], now: Instant, sent: &mut SentPackets, estimator: &mut DelayEstimator) {
    for packet in Compound::new(report) {
        if let Ok(RtcpPacket::Transport(feedback)) = packet {
            let results = sent.handle_transport_feedback(&feedback);
            estimator.handle_feedback(now, ArrivalClock::Receiver, results);
        }
    }
}

fn run(world: &World) -> Outcome {
    let epoch = start();
    let (mut sent, mut recorder) = (SentPackets::new(), ArrivalRecorder::new(epoch));
    let mut estimator =
        DelayEstimator::new(EstimatorLimits { start: world.start, ..EstimatorLimits::default() });
    let mut pacer = Pacer::new(epoch, estimator.bits_per_second());
    let mut random = Random(world.seed);
    let mut flight: VecDeque<InFlight> = VecDeque::new();
    let mut reports: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
    let (mut free_at, mut video, mut sequence) = (0.0_f64, 0.0_f64, 0_u16);
    let mut turns = [(); 2].map(|()| Turns { mean: world.starved, next: 0.0 });
    let mut outcome = Outcome::default();
    for millis in 0..world.millis {
        let now = epoch + Duration::from_millis(millis);
        let seconds = millis as f64 / 1000.0;
        while let Some((_, report)) = pop_front_if(&mut reports, |(due, _)| *due <= millis) {
            take(&report, now, &mut sent, &mut estimator);
            estimator.handle_round_trip(Duration::from_millis(2 * world.delay));
        }
        estimator.handle_timeout(now);
        pacer.set_rate(now, estimator.bits_per_second());
        world.encode(millis, estimator.bits_per_second() as f64, &mut video);
        pacer.set_waiting(VIDEO, video >= PACKET as f64);
        if world.sound && millis.is_multiple_of(20) {
            pacer.sent(now, Class::Audio, 160);
        }
        let file = Class::Data(FlowPriority::Low);
        pacer.set_waiting(file, world.data);
        for class in [VIDEO, file] {
            let mut has_more = if class == file { world.data } else { video >= PACKET as f64 };
            while has_more && pacer.may_send(now, class) {
                if class == VIDEO {
                    video -= PACKET as f64;
                    has_more = video >= PACKET as f64;
                    pacer.set_waiting(class, has_more);
                }
                pacer.sent(now, class, PACKET);
                let number = sent.next_number();
                sent.handle_sent(now, Ssrc(1), SequenceNumber(sequence), PACKET);
                estimator.handle_sent(now, PACKET);
                sequence = sequence.wrapping_add(1);
                let begin = free_at.max(seconds);
                if begin - seconds > world.queue_limit || random.next() < world.loss {
                    continue;
                }
                free_at = begin + 8.0 * PACKET as f64 / at(&world.capacity, millis);
                let mut arrival = free_at + world.delay as f64 / 1000.0 + world.jitter * random.next();
                for turns in &mut turns {
                    arrival = turns.after(arrival, &mut random);
                }
                flight.push_back(InFlight { arrival, number, class });
            }
        }
        outcome.queue.push((free_at - seconds).max(0.0));
        outcome.estimate.push(estimator.bits_per_second() as f64);
        outcome.delivered.push(0);
        flight.make_contiguous().sort_by(|one, other| one.arrival.total_cmp(&other.arrival));
        while let Some(packet) = pop_front_if(&mut flight, |packet| packet.arrival <= seconds) {
            let clock = Duration::from_secs_f64(packet.arrival * (1.0 + world.drift));
            recorder.handle_packet(epoch + clock, packet.number);
            *outcome.delivered.last_mut().unwrap() += PACKET;
            match packet.class {
                Class::Video(_) => outcome.video += PACKET,
                _ => outcome.data += PACKET,
            }
        }
        if millis % 50 == 0 {
            let mut buffer = [0; 1200];
            let mut writer = CompoundWriter::new(&mut buffer);
            while recorder.write_feedback(&mut writer, Ssrc(9), Ssrc(1)) {}
            let len = writer.len();
            // Reports are lost like all else.
            if random.next() >= world.loss {
                reports.push_back((millis + world.delay, buffer[..len].to_vec()));
            }
        }
    }
    outcome
}

fn print(name: &str, outcome: &Outcome, from: u64, to: u64, capacity: f64) -> (f64, f64) {
    let (mean, p95) = outcome.queue(from, to);
    let used = outcome.megabits(from, to) / capacity * 100.0;
    println!("{name}: {used:.0} % used, queue {mean:.0} ms, p95 {p95:.0} ms");
    (used, mean)
}

/// RFC 8867 §5.1: the capacity changes, one flow.
#[test]
fn capacity_that_changes_is_followed() {
    let capacity = vec![(0, 1e6), (40_000, 2.5e6), (60_000, 0.6e6), (80_000, 1e6)];
    let outcome = run(&World { capacity, millis: 100_000, ..World::default() });
    let reached = outcome.estimate.iter().position(|rate| *rate >= 0.9e6).unwrap();
    println!("90 % of 1 Mbit/s after {reached} ms");
    assert!(reached < 5000, "{reached}");
    let (used, queue) = print("1.0 Mbit/s", &outcome, 2000, 40_000, 1.0);
    assert!(used > 85.0 && queue < 50.0);
    let (used, queue) = print("2.5 Mbit/s", &outcome, 50_000, 60_000, 2.5);
    assert!(used > 80.0 && queue < 50.0);
    let (used, queue) = print("0.6 Mbit/s", &outcome, 62_000, 80_000, 0.6);
    assert!(used > 80.0 && queue < 60.0);
}

#[test]
fn sudden_drops_are_followed_and_left_again() {
    for queue_limit in [0.3, 1.0] {
        let capacity = vec![(0, 3e6), (30_000, 0.5e6), (60_000, 3e6)];
        let outcome = run(&World { capacity, queue_limit, millis: 90_000, ..World::default() });
        print("3 Mbit/s", &outcome, 10_000, 30_000, 3.0);
        let (used, queue) = print("0.5 Mbit/s", &outcome, 30_000, 60_000, 0.5);
        assert!(used > 85.0 && queue < 120.0);
        let back = outcome.estimate[60_000..].iter().position(|rate| *rate >= 2.7e6).unwrap();
        println!("90 % of 3 Mbit/s again after {back} ms");
        assert!(back < 15_000, "{back}");
    }
}

/// 60 random paths: losses that are not congestion, jitter, drifting clocks, delays.
#[test]
fn random_paths_are_used_without_a_long_queue() {
    let mut random = Random(7);
    for seed in 0..60 {
        let capacity = 0.3e6 * 40_f64.powf(random.next());
        let world = World {
            capacity: vec![(0, capacity)],
            delay: 5 + (120.0 * random.next()) as u64,
            loss: 0.03 * random.next(),
            jitter: 0.008 * random.next(),
            drift: 1e-4 * (random.next() - 0.5),
            queue_limit: 0.2 + random.next(),
            seed,
            ..World::default()
        };
        let outcome = run(&world);
        let (used, queue) = print(&format!("seed {seed}"), &outcome, 15_000, 40_000, capacity / 1e6);
        assert!(used > 60.0 && queue < 90.0, "seed {seed}: {used:.0} %, {queue:.0} ms");
    }
}

/// While the application sends little the estimate neither falls nor runs away; afterwards it is
/// there again at once.
#[test]
fn phases_limited_by_the_application_teach_nothing_wrong() {
    let wanted = vec![(0, 50e6), (20_000, 0.2e6), (40_000, 50e6)];
    let outcome = run(&World { capacity: vec![(0, 2e6)], wanted, millis: 60_000, ..World::default() });
    let limited = &outcome.estimate[21_000..40_000];
    let (least, most) =
        limited.iter().fold((f64::MAX, 0.0_f64), |(least, most), rate| (least.min(*rate), most.max(*rate)));
    println!("limited: {:.2} to {:.2} Mbit/s", least / 1e6, most / 1e6);
    assert!(least > 1e6 && most < 3e6);
    let (used, _) = print("afterwards", &outcome, 41_000, 45_000, 2.0);
    assert!(used > 75.0);
    let (_, p95) = outcome.queue(40_000, 60_000);
    assert!(p95 < 150.0, "{p95}");
    // From the beginning it does not grow beyond what was tried.
    let outcome = run(&World { wanted: vec![(0, 0.2e6)], capacity: vec![(0, 50e6)], ..World::default() });
    let last = *outcome.estimate.last().unwrap();
    assert!(last < 0.6e6, "{last}");
}

/// A key frame after a quiet moment makes a queue, and what has come out of it by then is not what
/// the path carries: the quiet time is no part of the measure.
#[test]
fn key_frames_after_quiet_moments_teach_nothing_wrong() {
    for (capacity, delay) in [(0.6e6, 20), (0.6e6, 60), (1e6, 30), (2e6, 10), (4e6, 50)] {
        for size in [0.4, 0.8] {
            let (keys, capacities) = (Some((1700, size)), vec![(0, capacity)]);
            let outcome = run(&World { capacity: capacities, keys, delay, ..World::default() });
            let part = &outcome.estimate[10_000..];
            let least = part.iter().fold(f64::MAX, |least, rate| least.min(*rate));
            let (mean, p95) = outcome.queue(10_000, 40_000);
            println!("{capacity} {delay} {size}: least {:.2}, {mean:.0} {p95:.0} ms", least / capacity);
            // A queue empties at four fifths of what is delivered.
            assert!(least > 0.75 * capacity && p95 < 150.0, "{capacity} {delay} {size}: {least}");
        }
    }
}

/// A tenth of all packets lost at random is no congestion: what is sent keeps its rate, also where
/// there are few packets to tell.
#[test]
fn heavy_losses_at_random_do_not_take_the_rate() {
    for wanted in [0.1e6, 0.4e6, 2e6] {
        for seed in 0..5 {
            let (wanted, capacity) = (vec![(0, wanted)], vec![(0, 10e6)]);
            let outcome =
                run(&World { wanted: wanted.clone(), capacity, loss: 0.1, seed, ..World::default() });
            let part = &outcome.estimate[8000..];
            let least = part.iter().fold(f64::MAX, |least, rate| least.min(*rate));
            let wanted = wanted[0].1;
            println!("{:.1} Mbit/s: least {:.2}", wanted / 1e6, least / 1e6);
            assert!(least > wanted, "{wanted}: {least}");
        }
    }
}

/// A receiver that waits for its processor, or a radio for its turn, tells of delays that are no
/// queue: they do not fall when less is sent, and fall faster than a queue could empty.
#[test]
fn a_starved_receiver_does_not_take_the_rate() {
    for (starved, least) in [(0.01, 0.98), (0.03, 0.85), (0.06, 0.7), (0.1, 0.5), (0.2, 0.4)] {
        let used = |seed| {
            let (wanted, capacity) = (vec![(0, 0.5e6)], vec![(0, 20e6)]);
            let world =
                World { wanted, capacity, starved, seed, delay: 1, millis: 60_000, ..World::default() };
            run(&world).megabits(5000, 60_000) / 0.5
        };
        let mean = (0..8).map(used).sum::<f64>() / 8.0;
        println!("starved for {starved} s: {:.0} % of the wanted rate", 100.0 * mean);
        assert!(mean > least, "{starved}: {mean}");
    }
}

/// A rate that has gone down below that of sound comes back: pictures still leave, so that
/// something is learned.
#[test]
fn sound_does_not_keep_a_low_rate_low() {
    for starved in [0.0, 0.03] {
        let (wanted, capacity) = (vec![(0, 0.3e6)], vec![(0, 20e6)]);
        let world = World { wanted, capacity, sound: true, start: 30_000, starved, ..World::default() };
        let used = run(&world).megabits(20_000, 40_000) / 0.3;
        println!("{:.0} % of the wanted rate beside sound", 100.0 * used);
        assert!(used > 0.7, "{starved}: {used}");
    }
}

/// A queue that stands beside such delays is found.
#[test]
fn a_starved_receiver_does_not_hide_a_queue() {
    for (starved, most) in [(0.01, 200.0), (0.03, 400.0)] {
        for capacity in [0.5e6, 2e6, 8e6] {
            for seed in 0..4 {
                let capacity = vec![(0, capacity)];
                let world =
                    World { capacity, starved, seed, delay: 10, queue_limit: 2.0, ..World::default() };
                let (mean, p95) = run(&world).queue(10_000, 40_000);
                println!("starved for {starved} s: queue {mean:.0} ms, p95 {p95:.0} ms");
                assert!(p95 < most, "{starved}: {p95}");
            }
        }
    }
}

/// A file and video share the path by their weights, with one queue that stays short.
#[test]
fn a_file_does_not_starve_the_video() {
    let outcome = run(&World { capacity: vec![(0, 3e6)], data: true, ..World::default() });
    let (used, queue) = print("video and file", &outcome, 10_000, 40_000, 3.0);
    let share = outcome.video as f64 / (outcome.video + outcome.data) as f64;
    println!("video's share: {share:.2}");
    assert!(used > 85.0 && queue < 50.0 && (0.4..0.6).contains(&share));
}

/// A path that is cut lets the rate fall, and comes back.
#[test]
fn silence_halves_the_rate() {
    let capacity = vec![(0, 2e6), (20_000, 1.0), (20_100, 2e6)];
    // The packet in service when the path is cut takes for ever: nothing arrives any more.
    let outcome = run(&World { capacity, millis: 26_000, ..World::default() });
    assert!(outcome.estimate[25_999] < outcome.estimate[19_999] / 4.0);
}
