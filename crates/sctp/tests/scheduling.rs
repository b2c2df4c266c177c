//! The order of streams: by weight, in turn, in order of arrival; and the delay of urgent messages.

mod sim;

use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_netsim::{Link, Queue};
use columba_sctp::{Config, Message, Ppid, Scheduling, StreamId};
use sim::{Host, Pair};

/// 10 Mbit/s, 50 ms there and back.
fn path() -> Link {
    Link {
        delay: Duration::from_millis(25),
        rate: Some(10_000_000),
        queue: Queue::DropTail { bytes: 62_500 },
        ..Link::default()
    }
}

fn read(host: &mut Host, _now: Instant) {
    for stream in 0..4 {
        while let Some(message) = host.association.receive(StreamId(stream)) {
            host.messages.push(message);
        }
    }
}

fn pair(config: &Config) -> Pair {
    let mut pair = Pair::new(9, config, &path(), read);
    pair.connect();
    pair.run_for(Duration::from_millis(200));
    pair.with(0, |host, _| host.tap = Some(Vec::new()));
    pair
}

fn send(pair: &mut Pair, stream: u16, length: usize, count: usize) {
    for _ in 0..count {
        let message = Message::new(Ppid(53), Bytes::from(vec![stream as u8; length]));
        pair.with(0, |host, now| host.association.send(now, StreamId(stream), message)).unwrap();
    }
}

/// The number of bytes that of each stream went out, counted once.
fn shares(pair: &Pair) -> [usize; 4] {
    let mut shares = [0; 4];
    let mut last = std::collections::BTreeSet::new();
    for chunk in sim::data(pair.host(0).tap.as_deref().unwrap()) {
        if last.insert(chunk.tsn) {
            shares[usize::from(chunk.message.0)] += chunk.payload.len();
        }
    }
    shares
}

#[test]
fn channels_share_as_their_weights_say() {
    for interleaving in [true, false] {
        for (length, count) in [(200_000, 30), (5000, 1000), (900, 5000)] {
            let config = Config {
                interleaving,
                max_send_message_size: 1 << 20,
                send_buffer: 64 << 20,
                ..Config::default()
            };
            let mut pair = pair(&config);
            let weights = [128, 256, 512, 1024];
            for (stream, weight) in (0..).zip(weights) {
                pair.with(0, |host, _| host.association.set_weight(StreamId(stream), weight));
                send(&mut pair, stream, length, count);
            }
            // No stream runs dry before the time is over.
            pair.run_for(Duration::from_secs(4));
            let shares = shares(&pair);
            let total: usize = shares.iter().sum();
            assert!(total > 3_000_000, "{total}");
            // Without interleaving a message is a turn: large ones are coarse.
            if !interleaving && length > 100_000 {
                continue;
            }
            for (share, weight) in shares.into_iter().zip(weights) {
                let due = total as f64 * f64::from(weight) / 1920.0;
                let error = (share as f64 - due).abs() / due;
                assert!(error < 0.1, "{interleaving} {length}: {shares:?}");
            }
        }
    }
}

#[test]
fn in_turn_is_in_turn_whatever_the_weights() {
    let config = Config { scheduling: Scheduling::RoundRobin, ..Config::default() };
    let mut pair = pair(&config);
    for stream in 0..4 {
        pair.with(0, |host, _| host.association.set_weight(StreamId(stream), 100 << stream));
        send(&mut pair, stream, 60_000, 40);
    }
    pair.run_for(Duration::from_secs(3));
    let shares = shares(&pair);
    let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
    assert!(*least > 500_000 && most - least < most / 50, "{shares:?}");
}

#[test]
fn first_come_is_first_served() {
    let config = Config { scheduling: Scheduling::FirstCome, ..Config::default() };
    let mut pair = pair(&config);
    let order = [2, 0, 3, 1, 2, 2, 0, 1, 3, 0];
    for stream in order {
        send(&mut pair, stream, 50_000, 1);
    }
    pair.run_for(Duration::from_secs(5));
    // On the wire: what gets lost on the way may be overtaken.
    let sent = sim::data(pair.host(0).tap.as_deref().unwrap());
    let mut begun: Vec<_> =
        sent.iter().filter(|chunk| chunk.begin).map(|chunk| (chunk.tsn, chunk.message.0)).collect();
    let first = begun[0].0;
    begun.sort_by_key(|(tsn, _)| tsn.wrapping_sub(first));
    begun.dedup();
    assert_eq!(begun.into_iter().map(|(_, stream)| stream).collect::<Vec<_>>(), order);
    assert_eq!(pair.host(1).messages.len(), order.len());
}

#[test]
fn a_small_message_passes_a_large_one_only_where_messages_interleave() {
    for interleaving in [true, false] {
        let mut pair = pair(&Config {
            interleaving,
            max_message_size: 1 << 20,
            max_send_message_size: 1 << 20,
            ..Config::default()
        });
        send(&mut pair, 0, 1 << 20, 1);
        pair.run_for(Duration::from_millis(100));
        send(&mut pair, 1, 10, 1);
        pair.run_for(Duration::from_secs(5));
        let arrived: Vec<_> = pair.host(1).messages.iter().map(|message| message.stream.0).collect();
        assert_eq!(arrived, if interleaving { [1, 0] } else { [0, 1] });
    }
}

#[test]
fn what_is_urgent_leaves_within_a_round_trip_behind_a_hundred_megabytes() {
    let large = 100 << 20;
    let config = Config { max_message_size: large, max_send_message_size: large, ..Config::default() };
    let mut pair = pair(&config);
    pair.with(0, |host, _| {
        host.association.set_weight(StreamId(0), 128);
        host.association.set_weight(StreamId(1), 1024);
    });
    send(&mut pair, 0, large, 1);
    for _ in 0..20 {
        pair.run_for(Duration::from_millis(730));
        let asked = pair.with(0, |host, now| {
            host.tap = Some(Vec::new());
            now
        });
        send(&mut pair, 1, 64, 1);
        pair.run_for(Duration::from_millis(50));
        let sent = sim::data(pair.host(0).tap.as_deref().unwrap());
        let left = sent.iter().find(|chunk| chunk.message.0 == 1).expect("it has left");
        assert!(left.at - asked < Duration::from_millis(50));
    }
}
