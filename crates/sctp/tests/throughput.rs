//! How fast it goes over simulated paths.

mod sim;

use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_netsim::{Link, Queue};
use columba_sctp::{Config, Message, Ppid, StreamId};
use sim::{Host, Pair};

/// Reads all, and keeps the queue of whoever has begun to send full.
fn pump(host: &mut Host, now: Instant) {
    while let Some(message) = host.association.receive(StreamId(0)) {
        host.received_bytes += message.payload.len() as u64;
    }
    fill(host, now);
}

fn fill(host: &mut Host, now: Instant) {
    if !host.events.is_empty() && host.sends {
        while host.association.total_buffered_amount() < 4 << 20 {
            let message = Message::new(Ppid(53), Bytes::from_static(&[7; 64 * 1024]));
            host.association.send(now, StreamId(0), message).unwrap();
        }
    }
}

/// Mbit/s between `from` and `to` seconds.
fn measure(link: &Link, seed: u64, from: u64, to: u64) -> f64 {
    let config = Config::default();
    let mut pair = Pair::new(seed, &config, link, pump);
    pair.connect();
    pair.run_for(Duration::from_millis(500));
    pair.with(0, |host, now| {
        host.sends = true;
        fill(host, now);
    });
    pair.run_for(Duration::from_secs(from));
    let before = pair.host(1).received_bytes;
    pair.run_for(Duration::from_secs(to - from));
    (pair.host(1).received_bytes - before) as f64 * 8.0 / (to - from) as f64 / 1e6
}

fn path(rate: u64, round_trip_ms: u64) -> Link {
    Link {
        delay: Duration::from_millis(round_trip_ms) / 2,
        rate: Some(rate),
        // As much as is on the way in a round trip.
        queue: Queue::DropTail { bytes: (rate / 8 * round_trip_ms / 1000) as usize },
        ..Link::default()
    }
}

#[test]
fn a_clean_path_is_filled() {
    assert!(measure(&path(100_000_000, 40), 1, 2, 5) > 85.0);
}
