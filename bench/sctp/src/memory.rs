//! The cost of a packet, a message and an association in memory, in yardsticks: the time that it
//! takes to seal the same bytes.

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;
use columba_bench_sctp::engines::{Dcsctp, Engine, Ours, SctpProto};
use columba_bench_sctp::pair::Pair;

/// The bytes that are carried in one measurement.
const VOLUME: u64 = 64 << 20;
/// Measurements, of which the median counts. Engines take turns, so that what else the machine does
/// meets all.
const ROUNDS: usize = 5;
/// Associations in a process that measures how much memory they take.
const IDLE_PAIRS: u64 = 2_000;

const LARGE: usize = 64 << 10;
const SMALL: usize = 64;

/// One engine's measurement, of which the type is the engine.
struct Entry {
    name: &'static str,
    /// Of packets full of data.
    packet: fn() -> Bulk,
    /// Nanoseconds for each small message.
    message: fn() -> f64,
    /// Nanoseconds for each packet with so many associations.
    associations: fn(u64) -> f64,
    /// Nanoseconds for each packet with so many streams.
    streams: fn(u16) -> f64,
    /// Bytes of an idle end.
    idle: fn() -> f64,
}

/// Measures the cost of large messages.
struct Bulk {
    /// Nanoseconds for each packet with data.
    nanoseconds: f64,
    /// Bits of payload for each nanosecond.
    rate: f64,
    /// Answers for each packet with data.
    answers: f64,
}

const fn entry<E: Engine>() -> Entry {
    Entry {
        name: E::NAME,
        packet: packet::<E>,
        message: message::<E>,
        associations: associations::<E>,
        streams: streams::<E>,
        idle: idle::<E>,
    }
}

const ENGINES: [Entry; 3] = [entry::<Ours>(), entry::<Dcsctp>(), entry::<SctpProto>()];

fn main() {
    if let Some(name) = std::env::args().nth(1) {
        let engine = ENGINES.iter().find(|engine| engine.name == name).expect("an engine of the table");
        println!("{}", (engine.idle)());
        return;
    }
    costs();
    scale();
    println!("\nan idle end of an association, resident ({IDLE_PAIRS} pairs):");
    for engine in &ENGINES {
        // A process of its own: what another engine has given back would hide what this one takes.
        let program = std::env::current_exe().expect("this program has a name");
        let output = Command::new(program).arg(engine.name).output().expect("this program starts again");
        let bytes: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number");
        println!("{:12} {:7.1} KiB", engine.name, bytes / 1024.0);
    }
}

/// The goals: at most 5 yardsticks a packet, and 2 a small message.
fn costs() {
    let mut seals = [const { Vec::new() }; 2];
    let mut packets = [const { Vec::new() }; ENGINES.len()];
    let mut messages = [const { Vec::new() }; ENGINES.len()];
    for _ in 0..ROUNDS {
        for (seals, length) in seals.iter_mut().zip([1200, SMALL]) {
            seals.push(seal(length));
        }
        for (index, engine) in ENGINES.iter().enumerate() {
            packets[index].push((engine.packet)());
            messages[index].push((engine.message)());
        }
    }
    let [yardstick, small] = seals.map(median);
    println!("yardstick: AES-128-GCM seals 1,200 bytes in {yardstick:.0} ns, 64 bytes in {small:.0} ns\n");
    println!("both ends together, median of {ROUNDS}; in brackets yardsticks of 1,200 bytes");
    println!("             packet of 64 KiB messages     answers  64-byte message");
    for ((engine, packets), messages) in ENGINES.iter().zip(packets).zip(messages) {
        let [packet, rate, answers] =
            [|bulk: &Bulk| bulk.nanoseconds, |bulk: &Bulk| bulk.rate, |bulk: &Bulk| bulk.answers]
                .map(|figure| median(packets.iter().map(figure).collect()));
        let message = median(messages);
        println!(
            "{:12} {packet:8.0} ns ({:5.1}) {rate:6.2} Gbit/s  {answers:5.2}    {message:8.0} ns ({:5.1})",
            engine.name,
            packet / yardstick,
            message / yardstick,
        );
    }
}

/// Returns whether a packet costs the same among many.
fn scale() {
    println!("\nns a packet, by associations (64 KiB in turn) and by streams (1 KiB messages in turn)");
    println!("                  1      100   10,000 |        1      100    1,000");
    for engine in &ENGINES {
        let mut costs = Vec::new();
        for count in [1, 100, 10_000] {
            costs.push(median((0..3).map(|_| (engine.associations)(count)).collect()));
        }
        for count in [1, 100, 1_000] {
            costs.push(median((0..3).map(|_| (engine.streams)(count)).collect()));
        }
        let [a, b, c, d, e, f] = costs[..] else { unreachable!("six figures") };
        println!("{:12} {a:8.0} {b:8.0} {c:8.0} | {d:8.0} {e:8.0} {f:8.0}", engine.name);
    }
}

fn packet<E: Engine>() -> Bulk {
    let mut pair = warm::<E>(1);
    let message = Bytes::from(vec![1; LARGE]);
    let (packets, answers) = (pair.packets, pair.answers);
    let start = Instant::now();
    pair.carry(&message, VOLUME / LARGE as u64, 1);
    let spent = start.elapsed().as_nanos() as f64;
    let packets = (pair.packets - packets) as f64;
    Bulk {
        nanoseconds: spent / packets,
        rate: VOLUME as f64 * 8.0 / spent,
        answers: (pair.answers - answers) as f64 / packets,
    }
}

fn message<E: Engine>() -> f64 {
    let mut pair = warm::<E>(1);
    let message = Bytes::from(vec![1; SMALL]);
    let count = VOLUME / 8 / SMALL as u64;
    let start = Instant::now();
    pair.carry(&message, count, 1);
    start.elapsed().as_nanos() as f64 / count as f64
}

fn associations<E: Engine>(count: u64) -> f64 {
    let now = Instant::now();
    let mut pairs: Vec<_> = (0..count).map(|index| Pair::<E>::new(now, index * 2, 1)).collect();
    let message = Bytes::from(vec![1; LARGE]);
    for pair in &mut pairs {
        pair.carry(&message, 4, 1);
    }
    let before: u64 = pairs.iter().map(|pair| pair.packets).sum();
    let start = Instant::now();
    for _ in 0..(VOLUME / LARGE as u64).div_ceil(count) {
        for pair in &mut pairs {
            pair.carry(&message, 1, 1);
        }
    }
    let spent = start.elapsed().as_nanos() as f64;
    spent / (pairs.iter().map(|pair| pair.packets).sum::<u64>() - before) as f64
}

fn streams<E: Engine>(count: u16) -> f64 {
    let mut pair = warm::<E>(count);
    let message = Bytes::from(vec![1; 1 << 10]);
    pair.carry(&message, 4 * u64::from(count), count);
    let before = pair.packets;
    let start = Instant::now();
    pair.carry(&message, VOLUME >> 12, count);
    start.elapsed().as_nanos() as f64 / (pair.packets - before) as f64
}

/// A pair of which the windows have opened and the buffers have grown.
fn warm<E: Engine>(streams: u16) -> Pair<E> {
    let mut pair = Pair::new(Instant::now(), 1, streams);
    pair.carry(&Bytes::from(vec![1; LARGE]), 64, 1);
    pair
}

fn idle<E: Engine>() -> f64 {
    let now = Instant::now();
    let message = Bytes::from(vec![1; LARGE]);
    // What the program takes once is not an association's.
    let mut pairs = vec![Pair::<E>::new(now, 0, 1)];
    let before = resident();
    for index in 1..=IDLE_PAIRS {
        let mut pair = Pair::<E>::new(now, index * 2, 1);
        // It has been used before it became idle.
        pair.carry(&message, 1, 1);
        pairs.push(pair);
    }
    let grown = resident() - before;
    black_box(&pairs);
    grown / (2.0 * IDLE_PAIRS as f64)
}

/// Bytes of memory that the process has.
fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of it");
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
    kibibytes * 1024.0
}

/// Nanoseconds to seal so many bytes.
fn seal(length: usize) -> f64 {
    let key = UnboundKey::new(&AES_128_GCM, &[7; 16]).expect("a key of that length");
    let key = LessSafeKey::new(key);
    let mut data = vec![1; length];
    let start = Instant::now();
    const COUNT: u32 = 200_000;
    for count in 0..COUNT {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&count.to_be_bytes());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, Aad::from([0; 13]), black_box(&mut data));
        let _ = black_box(tag);
    }
    start.elapsed().as_nanos() as f64 / f64::from(COUNT)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
