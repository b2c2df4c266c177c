//! Whatever the network does: every reliable message arrives once, whole and in the order of its stream; and both sides end.

mod sim;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_netsim::{Link, Loss, Random};
use columba_sctp::{CloseReason, Config, Event, Message, Ppid, Reliability, Scheduling, StreamId};
use sim::{Host, Pair};

/// How many networks are tried; `SCTP_SEEDS` asks for more.
fn seeds() -> u64 {
    std::env::var("SCTP_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

/// A message that can be recognized: stream, number, kind, and bytes that follow from them.
fn content(stream: u16, number: u32, kind: u8, length: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(length + 7);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes.push(kind);
    let mut state = u32::from(stream).wrapping_mul(0x9e37_79b9) ^ number;
    bytes.extend((0..length).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }));
    bytes.into()
}

const ORDERED: u8 = 0;
const UNORDERED: u8 = 1;
const UNRELIABLE: u8 = 2;

fn read_all(host: &mut Host, _now: Instant) {
    let streams: Vec<_> = host
        .events
        .extract_if(.., |event| matches!(event, Event::Readable(_)))
        .map(|event| if let Event::Readable(stream) = event { stream } else { unreachable!() })
        .collect();
    for stream in streams {
        while let Some(message) = host.association.receive(stream) {
            host.messages.push(message);
        }
    }
}

struct Plan {
    streams: u16,
    sent: BTreeMap<(u16, u32), (u8, Bytes)>,
}

fn impaired(random: &mut Random) -> Link {
    let pick = |random: &mut Random, values: &[f64]| *random.pick(values);
    Link {
        delay: Duration::from_millis(random.below(100)),
        jitter: Duration::from_millis(random.below(20)),
        rate: [None, Some(1_000_000), Some(50_000_000)][random.below(3) as usize],
        loss: match random.below(3) {
            0 => Loss::None,
            1 => Loss::Random(pick(random, &[0.01, 0.05, 0.2])),
            _ => Loss::Burst { enter: 0.02, leave: 0.3, loss: 0.7 },
        },
        reorder: pick(random, &[0.0, 0.02, 0.2]),
        duplicate: pick(random, &[0.0, 0.05]),
        corrupt: pick(random, &[0.0, 0.02]),
        ..Link::default()
    }
}

fn send_some(pair: &mut Pair, plans: &mut [Plan; 2], random: &mut Random) {
    for (end, plan) in plans.iter_mut().enumerate() {
        for _ in 0..random.below(12) {
            let stream = random.below(u64::from(plan.streams)) as u16;
            let number = plan.sent.len() as u32;
            let kind = [ORDERED, ORDERED, UNORDERED, UNRELIABLE][random.below(4) as usize];
            let length = [0, 50, 1500, 20_000][random.below(4) as usize];
            let payload = content(stream, number, kind, length);
            let reliability = match kind {
                UNRELIABLE if random.chance(0.5) => Reliability::MaxRetransmits(random.below(2) as u16),
                UNRELIABLE => Reliability::MaxLifetime(Duration::from_millis(random.below(300))),
                _ => Reliability::Reliable,
            };
            let message = Message {
                ppid: Ppid(number),
                payload: payload.clone(),
                unordered: kind == UNORDERED || (kind == UNRELIABLE && random.chance(0.5)),
                reliability,
            };
            pair.with(end, |host, now| host.association.send(now, StreamId(stream), message)).unwrap();
            plan.sent.insert((stream, number), (kind, payload));
        }
    }
}

fn check(host: &Host, plan: &Plan, seed: u64) {
    let mut last_ordered: BTreeMap<u16, u32> = BTreeMap::new();
    let mut seen = BTreeMap::new();
    for message in &host.messages {
        let key = (message.stream.0, message.ppid.0);
        let (kind, payload) =
            plan.sent.get(&key).unwrap_or_else(|| panic!("seed {seed}: never sent {key:?}"));
        assert!(*payload == message.payload, "seed {seed}: {key:?} was altered");
        assert!(seen.insert(key, ()).is_none(), "seed {seed}: {key:?} came twice");
        if *kind == ORDERED {
            let last = last_ordered.insert(key.0, key.1);
            assert!(last.is_none_or(|last| last < key.1), "seed {seed}: {key:?} after {last:?}");
        }
    }
    for (key, (kind, _)) in &plan.sent {
        assert!(*kind == UNRELIABLE || seen.contains_key(key), "seed {seed}: {key:?} is missing");
    }
}

fn is_done(host: &Host) -> bool {
    host.association.is_established()
        && host.association.total_buffered_amount() == 0
        && host.association.stats().in_flight == 0
}

#[test]
fn everything_arrives_over_bad_networks() {
    for seed in 0..seeds() {
        let seed = columba_netsim::seed(seed);
        let mut random = Random::new(seed);
        let config = Config {
            interleaving: random.chance(0.5),
            // Corruption must be seen by somebody: here there is no DTLS.
            zero_checksum: false,
            receive_window: [20_000, 1 << 20][random.below(2) as usize],
            max_message_size: 30_000,
            scheduling: *random.pick(&[
                Scheduling::FirstCome,
                Scheduling::RoundRobin,
                Scheduling::WeightedFair,
            ]),
            ..Config::default()
        };
        let link = impaired(&mut random);
        let mut pair = Pair::new(seed, &config, &link, read_all);
        let mut plans = [(); 2].map(|()| Plan { streams: 1 + random.below(5) as u16, sent: BTreeMap::new() });
        pair.connect();
        for _ in 0..random.below(10) {
            send_some(&mut pair, &mut plans, &mut random);
            if random.chance(0.05) {
                pair.change_links(|link| link.loss = Loss::All);
                pair.run_for(Duration::from_millis(random.below(5000)));
                let loss = link.loss;
                pair.change_links(|link| link.loss = loss);
            }
            pair.run_for(Duration::from_millis(random.below(300)));
        }
        let mut waited = 0;
        while !(is_done(pair.host(0)) && is_done(pair.host(1))) {
            pair.run_for(Duration::from_secs(1));
            waited += 1;
            assert!(
                waited < 600,
                "seed {seed}: stuck: {:?} {:?}",
                pair.host(0).association.stats(),
                pair.host(1).association.stats()
            );
        }
        pair.with(0, |host, now| host.association.shutdown(now));
        let mut waited = 0;
        while !(pair.host(0).association.is_closed() && pair.host(1).association.is_closed()) {
            pair.run_for(Duration::from_secs(1));
            waited += 1;
            assert!(waited < 120, "seed {seed}: not closed");
        }
        for (end, plan) in [(0, &plans[1]), (1, &plans[0])] {
            check(pair.host(end), plan, seed);
        }
        assert!(pair.host(0).events.contains(&Event::Closed(CloseReason::Shutdown)), "seed {seed}");
    }
}
