//! Packets grow to what the path bears, and shrink when it bears less; nothing is lost by either.

mod sim;

use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_netsim::{Link, Loss, Queue};
use columba_sctp::{Config, Message, Ppid, Reliability, StreamId};
use sim::{Host, Pair};

/// IPv4 and UDP; there is no DTLS here.
const HEADERS: usize = 28;
const BASE: usize = 1191;

fn read(host: &mut Host, _now: Instant) {
    while let Some(message) = host.association.receive(StreamId(0)) {
        host.received_bytes += message.payload.len() as u64;
        host.messages.push(message);
    }
}

fn path(mtu: usize) -> Link {
    Link { delay: Duration::from_millis(10), rate: Some(100_000_000), mtu, ..Link::default() }
}

fn pair(link: &Link, max_mtu: usize) -> Pair {
    let config = Config {
        max_mtu,
        max_send_message_size: 1 << 20,
        send_buffer: 64 << 20,
        stream_send_buffer: 64 << 20,
        ..Config::default()
    };
    let mut pair = Pair::new(5, &config, link, read);
    for end in 0..2 {
        pair.with(end, |host, _| host.buffer = 65_535);
    }
    pair.connect();
    pair.run_for(Duration::from_millis(100));
    pair
}

/// Messages of many lengths, each of bytes that follow from its number.
fn send(pair: &mut Pair, from: u32, to: u32) {
    for number in from..to {
        let length = 1 + (number as usize * 7919) % 60_000;
        let message = Message::new(Ppid(number), Bytes::from(vec![number as u8; length]));
        pair.with(0, |host, now| host.association.send(now, StreamId(0), message)).unwrap();
    }
}

fn mtu(pair: &Pair) -> usize {
    pair.host(0).association.stats().mtu
}

fn finish(pair: &mut Pair, count: u32) {
    let mut waited = 0;
    while pair.host(1).messages.len() < count as usize {
        pair.run_for(Duration::from_millis(100));
        waited += 1;
        assert!(
            waited < 300,
            "stuck at {}: {:?}",
            pair.host(1).messages.len(),
            pair.host(0).association.stats()
        );
    }
    for (number, message) in pair.host(1).messages.iter().enumerate() {
        assert_eq!(message.ppid.0 as usize, number, "in order");
        assert_eq!(message.payload.len(), 1 + (number * 7919) % 60_000, "whole");
        assert!(message.payload.iter().all(|byte| *byte == number as u8), "unaltered");
    }
}

#[test]
fn packets_grow_to_what_each_path_bears() {
    for link_mtu in [1280, 1400, 1492, 1500, 4352, 9000, 65_535] {
        let mut pair = pair(&path(link_mtu), 65_507);
        assert_eq!(mtu(&pair), BASE, "an idle path is not probed");
        send(&mut pair, 0, 1000);
        pair.run_for(Duration::from_secs(20));
        let found = mtu(&pair);
        assert!(found <= link_mtu - HEADERS && found + 36 > link_mtu - HEADERS, "{found} of {link_mtu}");
        let lost = pair.host(0).association.stats().retransmitted_chunks;
        assert!(lost < 100, "lost probes are no lost data: {lost}");
        finish(&mut pair, 1000);
    }
}

#[test]
fn nothing_is_tried_that_the_owner_does_not_allow() {
    let mut pair = pair(&path(9000), BASE);
    send(&mut pair, 0, 200);
    finish(&mut pair, 200);
    assert_eq!(mtu(&pair), BASE);
}

#[test]
fn a_path_that_shrinks_in_the_middle_of_a_transfer_loses_nothing() {
    for before in [1500, 9000, 65_535] {
        let mut pair = pair(&path(before), 65_507);
        send(&mut pair, 0, 2000);
        pair.run_for(Duration::from_secs(2));
        assert!(mtu(&pair) > 1400, "{}", mtu(&pair));
        assert!(pair.host(0).association.stats().in_flight > 0, "in the middle");
        let there = pair.host(1).messages.len();
        assert!((1..1900).contains(&there), "{there}");
        pair.change_links(|link| link.mtu = 1280);
        pair.run_for(Duration::from_secs(3));
        assert!(mtu(&pair) <= 1280 - HEADERS, "{} after {before}", mtu(&pair));
        assert!(pair.host(1).messages.len() > there + 10, "it goes on within three seconds");
        finish(&mut pair, 2000);
    }
}

#[test]
fn a_black_hole_is_seen_although_small_packets_pass() {
    let mut pair = pair(&path(1500), 65_507);
    send(&mut pair, 0, 300);
    pair.run_for(Duration::from_millis(500));
    pair.change_links(|link| link.mtu = 1280);
    for _ in 0..150 {
        // Unordered and small: it arrives, and what is large before it does not.
        pair.with(0, |host, now| {
            let message = Message {
                unordered: true,
                reliability: Reliability::Reliable,
                ..Message::new(Ppid(1), "tick")
            };
            host.association.send(now, StreamId(7), message).unwrap();
        });
        pair.run_for(Duration::from_millis(20));
    }
    assert!(mtu(&pair) <= 1280 - HEADERS, "{}", mtu(&pair));
    finish(&mut pair, 300);
}

#[test]
fn silence_is_not_taken_for_a_black_hole() {
    let mut pair = pair(&path(9000), 65_507);
    send(&mut pair, 0, 2000);
    pair.run_for(Duration::from_secs(2));
    assert!(mtu(&pair) > 8900);
    pair.change_links(|link| link.loss = Loss::All);
    pair.run_for(Duration::from_secs(5));
    pair.change_links(|link| link.loss = Loss::None);
    pair.run_for(Duration::from_secs(5));
    assert!(mtu(&pair) > 8900, "{}", mtu(&pair));
    finish(&mut pair, 2000);
}

#[test]
fn another_path_is_searched_anew() {
    let mut pair = pair(&path(9000), 65_507);
    send(&mut pair, 0, 500);
    pair.run_for(Duration::from_secs(1));
    assert!(mtu(&pair) > 8900);
    pair.change_links(|link| link.mtu = 1500);
    pair.with(0, |host, now| host.association.handle_path_change(now, BASE, 65_507));
    assert_eq!(mtu(&pair), BASE);
    send(&mut pair, 500, 1500);
    pair.run_for(Duration::from_secs(5));
    assert!((1432..=1472).contains(&mtu(&pair)), "{}", mtu(&pair));
    finish(&mut pair, 1500);
}

/// Two sides on a wide path, of which one has sent 500 messages.
fn wide() -> Pair {
    let mut pair = pair(&path(65_535), 16_380);
    send(&mut pair, 0, 500);
    finish(&mut pair, 500);
    assert_eq!(mtu(&pair), 16_380);
    pair
}

/// Sends a message of nearly 16 kB.
fn send_last(pair: &mut Pair, seed: u32) {
    let length = 16_000 - seed as usize * 300;
    let message = Message::new(Ppid(500), Bytes::from(vec![1; length]));
    pair.with(0, |host, now| host.association.send(now, StreamId(0), message)).unwrap();
}

#[test]
fn the_last_packet_arrives_although_the_path_has_shrunk_before_it() {
    for seed in 1..=10_u32 {
        let mut pair = wide();
        pair.change_links(|link| {
            link.mtu = 1500;
            link.rate = Some(600_000);
            link.queue = Queue::DropTail { bytes: 22_500 };
            link.delay = Duration::from_millis(seed.into());
            link.loss = Loss::Random(0.05);
        });
        send_last(&mut pair, seed);
        for second in 0.. {
            pair.run_for(Duration::from_secs(1));
            if pair.host(1).messages.len() == 501 {
                break;
            }
            assert!(second < 20, "{seed}: {:?}", pair.host(0).association.stats());
        }
    }
}

/// A queue on the way that has room for one large packet: the probe that confirms its size takes it
/// from the data behind it, each time.
#[test]
fn a_size_that_only_probes_get_through_is_given_up() {
    for seed in 1..=10_u32 {
        let mut pair = wide();
        pair.change_links(|link| {
            link.rate = Some(600_000);
            link.queue = Queue::DropTail { bytes: 22_500 };
            link.loss = Loss::All;
        });
        send_last(&mut pair, seed);
        pair.run_for(Duration::from_millis(100));
        pair.change_links(|link| link.loss = Loss::None);
        for second in 0.. {
            pair.run_for(Duration::from_secs(1));
            if pair.host(1).messages.len() == 501 {
                break;
            }
            assert!(second < 20, "{seed}: {:?}", pair.host(0).association.stats());
        }
    }
}
