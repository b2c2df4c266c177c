//! The table of `docs/dtls-states.md`, walked: every message in every state, too early, too late,
//! twice, and not at all.

mod common;

use std::time::Duration;

use columba_dtls::{AlertDescription, Config, Event, Versions};
use common::{Pair, configs};

const SECOND: Duration = Duration::from_secs(1);

/// All types of handshake messages, known and unknown, and the numbers of the longest handshake.
const KINDS: std::ops::RangeInclusive<u8> = 0..=25;
const NUMBERS: std::ops::Range<u8> = 0..8;

fn with_versions(versions: Versions) -> [Config; 2] {
    configs().map(|mut config| {
        config.versions = versions;
        config
    })
}

/// A handshake message in the clear, in a record of an epoch.
fn message(kind: u8, number: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
    let length = body.len() as u8;
    let mut record = vec![22, 254, 253, 0, epoch, 0, 0, 0, 0, 9, 9, 0, 12 + length];
    record.extend_from_slice(&[kind, 0, 0, length, 0, number, 0, 0, 0, 0, 0, length]);
    record.extend_from_slice(body);
    record
}

/// Counts the datagrams of a handshake.
fn count(versions: Versions) -> usize {
    let mut pair = Pair::new(with_versions(versions), 1);
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let counter = count.clone();
    pair.mangle = Some(Box::new(move |_, _| {
        counter.set(counter.get() + 1);
        true
    }));
    assert!(pair.connect(SECOND));
    count.get()
}

/// A handshake into which datagrams are put when so many have passed.
fn interrupted(versions: Versions, at: usize, to: usize, datagrams: &[Vec<u8>]) -> Pair<'static> {
    let mut pair = Pair::new(with_versions(versions), 1);
    let passed = std::rc::Rc::new(std::cell::Cell::new(0));
    let counter = passed.clone();
    pair.mangle = Some(Box::new(move |_, _| {
        counter.set(counter.get() + 1);
        true
    }));
    let end = pair.now + SECOND;
    pair.pump();
    while passed.get() < at && pair.step(end) {}
    for datagram in datagrams {
        pair.inject(to, datagram);
    }
    pair
}

#[test]
fn every_message_in_every_state_costs_an_attempt_at_most() {
    for versions in [Versions::Only12, Versions::Only13, Versions::Both] {
        for at in 1..=count(versions) {
            for to in 0..2 {
                for kind in KINDS {
                    for number in NUMBERS {
                        let body = [number.wrapping_mul(7); 5];
                        let forged = message(kind, number, 0, if kind % 2 == 0 { &body } else { &[] });
                        let mut pair = interrupted(versions, at, to, &[forged]);
                        assert!(
                            pair.connect(10 * SECOND),
                            "{versions:?} {kind} with number {number} to {to} after {at}: {:?}",
                            pair.events
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn messages_of_other_epochs_are_dropped() {
    for versions in [Versions::Only12, Versions::Only13] {
        for at in 1..=count(versions) {
            for to in 0..2 {
                let forged: Vec<Vec<u8>> = KINDS
                    .flat_map(|kind| [1, 2, 3, 255].map(|epoch| message(kind, kind % 8, epoch, &[kind; 40])))
                    .collect();
                let mut pair = interrupted(versions, at, to, &forged);
                pair.run(Duration::from_millis(1));
                assert!(pair.connect(2 * SECOND), "{versions:?} to {to} after {at}: {:?}", pair.events);
                assert!(pair.sides[to].dropped() > 0);
                pair.assert_open();
            }
        }
    }
}

/// Each datagram of a handshake in turn is lost, doubled, or comes after the next one.
#[test]
fn datagrams_are_missing_doubled_and_out_of_order() {
    for versions in [Versions::Only12, Versions::Only13] {
        for index in 0..count(versions) {
            for copies in [0, 2] {
                let mut pair = Pair::new(with_versions(versions), 1);
                pair.faults.duplication = if copies == 2 { 100 } else { 0 };
                let mut seen = 0;
                pair.mangle = Some(Box::new(move |_, _| {
                    seen += 1;
                    copies == 2 || seen != index + 1
                }));
                assert!(pair.connect(5 * SECOND), "{versions:?} {index} {copies} {:?}", pair.events);
                pair.assert_open();
                assert_eq!(pair.events, [vec![Event::Connected], vec![Event::Connected]]);
            }
        }
    }
}

/// An attacker takes the newer version out of the ClientHello.
#[test]
fn downgrade_is_noticed() {
    let mut pair = Pair::new(configs(), 1);
    pair.mangle = Some(Box::new(|from, datagram| {
        let versions = [0, 43, 0, 5, 4, 0xFE, 0xFC, 0xFE, 0xFD];
        let at = datagram.windows(versions.len()).position(|window| window == versions);
        if let Some(at) = at.filter(|_| from == 0) {
            datagram[at] = 0x7F;
        }
        true
    }));
    pair.run(5 * SECOND);
    assert!(!pair.are_connected());
    assert!(matches!(pair.events[0].last(), Some(Event::Failed(_))), "{:?}", pair.events);
    assert!(pair.events[1].contains(&Event::Alert(AlertDescription::ILLEGAL_PARAMETER)), "{:?}", pair.events);
}
