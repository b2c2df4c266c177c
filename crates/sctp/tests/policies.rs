//! Partial reliability as it is on the wire (RFC 3758, RFC 7496): nothing goes out more often or
//! later than asked for.

mod sim;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_netsim::{Link, Loss};
use columba_sctp::{Config, Message, Ppid, Reliability, StreamId};
use sim::{Host, Pair};

fn read(host: &mut Host, _now: Instant) {
    for stream in 0..2 {
        while let Some(message) = host.association.receive(StreamId(stream)) {
            host.messages.push(message);
        }
    }
}

/// Sends messages of such a policy over a path that loses three packets of ten; gives how often
/// each was on the wire, and when after it was sent.
fn run(reliability: Reliability, interleaving: bool, length: usize) -> (Pair, BTreeMap<u32, Vec<Duration>>) {
    let link = Link { delay: Duration::from_millis(20), loss: Loss::Random(0.3), ..Link::default() };
    let mut pair = Pair::new(11, &Config { interleaving, ..Config::default() }, &link, read);
    pair.connect();
    pair.run_for(Duration::from_secs(10));
    pair.with(0, |host, _| host.tap = Some(Vec::new()));
    let mut sent = Vec::new();
    for number in 0..300_u32 {
        let payload = Bytes::from([&number.to_be_bytes()[..], &vec![number as u8; length]].concat());
        let unordered = number % 2 == 0;
        let message = Message { ppid: Ppid(number), payload, unordered, reliability };
        sent.push(pair.with(0, |host, now| {
            host.association.send(now, StreamId(number as u16 % 2), message).unwrap();
            now
        }));
        pair.run_for(Duration::from_millis(7));
    }
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.host(0).association.total_buffered_amount(), 0);
    assert_eq!(pair.host(0).association.stats().in_flight, 0, "what is given up does not stay in flight");
    let mut names = BTreeMap::new();
    let mut times: BTreeMap<u32, Vec<Duration>> = BTreeMap::new();
    for chunk in sim::data(pair.host(0).tap.as_deref().unwrap()) {
        if chunk.begin {
            names.insert(chunk.message, u32::from_be_bytes(chunk.payload[..4].try_into().unwrap()));
        }
        let number = names[&chunk.message];
        times.entry(chunk.tsn).or_default().push(chunk.at - sent[number as usize]);
    }
    for message in &pair.host(1).messages {
        assert!(message.payload[4..].iter().all(|byte| *byte == message.ppid.0 as u8), "altered");
    }
    (pair, times)
}

#[test]
fn nothing_is_sent_again_more_often_than_asked_for() {
    for interleaving in [true, false] {
        for length in [100, 5000] {
            for most in [0, 1, 3] {
                let (pair, times) = run(Reliability::MaxRetransmits(most), interleaving, length);
                let highest = times.values().map(Vec::len).max().unwrap();
                assert_eq!(highest, usize::from(most) + 1, "as often, and no oftener");
                let arrived = pair.host(1).messages.len();
                assert!((20..300).contains(&arrived) || most == 3, "{arrived}");
            }
        }
    }
}

#[test]
fn nothing_is_sent_after_its_time() {
    for interleaving in [true, false] {
        for length in [100, 5000] {
            let lifetime = Duration::from_millis(100);
            let (pair, times) = run(Reliability::MaxLifetime(lifetime), interleaving, length);
            let latest = times.values().flatten().max().unwrap();
            assert!(*latest <= lifetime, "{latest:?}");
            let again = times.values().filter(|times| times.len() > 1).count();
            assert!(again > 20, "within its time it is sent again: {again}");
            assert!(pair.host(1).messages.len() < 300);
        }
    }
}

#[test]
fn towards_a_reliable_policy_everything_arrives() {
    let (pair, times) = run(Reliability::Reliable, true, 5000);
    assert_eq!(pair.host(1).messages.len(), 300);
    assert!(times.values().any(|times| times.len() > 3));
}
