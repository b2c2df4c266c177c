//! The selection among several nominated pairs without numbers, and the time at which another pair
//! is nominated.

use std::net::SocketAddr;
use std::time::Duration;

use columba_ice::{Config, HEADROOM, LocalAddress, PairState, Role, TAILROOM, Timings};
use columba_stun::ErrorCode;

use crate::hostile::candidate;
use crate::scripted::{Check, ScriptedPeer, Sent};

const MS: Duration = Duration::from_millis(1);
const NOMINATION: Check = Check { nominates: true, controls: true, more: Vec::new() };
const ORDINARY: Check = Check { nominates: false, controls: true, more: Vec::new() };

/// A controlled agent with a better and a worse valid pair, the better one nominated just now.
fn two_pairs() -> (ScriptedPeer, SocketAddr, SocketAddr) {
    let timings = Timings { consent_interval: MS * 1000, ..Timings::default() };
    let mut stranger = ScriptedPeer::with_remote(Config { timings, ..Config::default() });
    stranger.agent.set_role(Role::Controlled);
    let [worse, better] = [1, 2].map(|number| candidate(&format!("198.51.100.{number}"), number));
    let [worse_address, better_address] = [&worse, &better].map(|one| one.socket_address().unwrap());
    stranger.add(worse);
    stranger.add(better);
    stranger.pass(MS * 10);
    for sent in stranger.take() {
        stranger.answer(&sent, sent.path.local);
    }
    stranger.check(better_address, &NOMINATION);
    assert_eq!(stranger.target(), Some(better_address));
    stranger.take();
    (stranger, better_address, worse_address)
}

/// The next consent check to an address.
fn consent_check(stranger: &mut ScriptedPeer, to: SocketAddr) -> Sent {
    for _ in 0..2000 {
        stranger.pass(MS);
        let sent = stranger.take().into_iter().find(|sent| sent.is_request() && sent.path.remote == to);
        if let Some(sent) = sent {
            return sent;
        }
    }
    panic!("no check of consent in two seconds");
}

#[test]
fn nominated_pair_is_selected_again_after_a_late_answer() {
    let (mut stranger, better, worse) = two_pairs();
    let late = consent_check(&mut stranger, better);
    stranger.pass(MS * 500);
    // As Firefox does, which nominates in every check: of all that it has nominated it sends on the
    // best.
    stranger.check(worse, &NOMINATION);
    assert_eq!(stranger.target(), Some(worse), "the better one is silent");
    stranger.answer(&late, late.path.local);
    assert_eq!(stranger.target(), Some(better), "but lives, and was nominated a moment ago");
}

#[test]
fn stale_nomination_is_not_selected_again() {
    let (mut stranger, better, worse) = two_pairs();
    let late = consent_check(&mut stranger, better);
    for _ in 0..6 {
        stranger.pass(MS * 1000);
        stranger.check(worse, &NOMINATION);
        stranger.answer_all(worse);
    }
    assert_eq!(stranger.target(), Some(worse));
    stranger.answer(&late, late.path.local);
    assert_eq!(stranger.target(), Some(worse), "the other side nominates something else all the while");
}

#[test]
fn refused_nominated_pair_is_selected_again_when_valid() {
    let (mut stranger, better, worse) = two_pairs();
    let check = consent_check(&mut stranger, better);
    stranger.refuse(&check, ErrorCode::SERVER_ERROR);
    stranger.check(worse, &NOMINATION);
    assert_eq!(stranger.target(), Some(worse));
    let stats = stranger.agent.stats();
    assert!(stats.pairs.iter().any(|pair| pair.state == PairState::Failed));
    stranger.take();
    stranger.check(better, &ORDINARY);
    stranger.answer_all(better);
    assert_eq!(stranger.target(), Some(better), "it was nominated a moment ago");
}

/// With numbers the last word is the other side's.
#[test]
fn latest_numbered_nomination_is_selected() {
    let (mut stranger, better, worse) = two_pairs();
    let number = |number: u32| Check { more: vec![(0xC001, number.to_be_bytes().to_vec())], ..NOMINATION };
    stranger.check(better, &number(1));
    let late = consent_check(&mut stranger, better);
    stranger.pass(MS * 500);
    stranger.check(worse, &number(2));
    assert_eq!(stranger.target(), Some(worse));
    stranger.answer(&late, late.path.local);
    assert_eq!(stranger.target(), Some(worse));
    stranger.check(better, &number(1));
    assert_eq!(stranger.target(), Some(worse), "an older number comes late");
}

/// The other side turns to a pair with so low a priority that it was not kept alive: it has to
/// answer before it carries data, and is asked at once, and again.
#[test]
fn stale_pair_is_checked_when_it_is_nominated() {
    let mut stranger = ScriptedPeer::with_remote(Config::default());
    stranger.agent.set_role(Role::Controlled);
    let addresses: Vec<SocketAddr> = (1..=8)
        .map(|number| {
            let candidate = candidate(&format!("198.51.100.{number}"), number);
            let address = candidate.socket_address().unwrap();
            stranger.add(candidate);
            address
        })
        .collect();
    let (worst, best) = (addresses[0], addresses[7]);
    let answer_all = |stranger: &mut ScriptedPeer| {
        for sent in stranger.take().into_iter().filter(Sent::is_request) {
            stranger.answer(&sent, sent.path.local);
        }
    };
    for _ in 0..100 {
        stranger.pass(MS * 10);
        answer_all(&mut stranger);
    }
    let number = |number: u32| Check { more: vec![(0xC001, number.to_be_bytes().to_vec())], ..NOMINATION };
    stranger.check(best, &number(1));
    for _ in 0..4500 {
        stranger.pass(MS * 10);
        answer_all(&mut stranger);
    }
    stranger.check(worst, &number(2));
    assert_eq!(stranger.target(), Some(worst));
    let send = |stranger: &mut ScriptedPeer| {
        let mut buffer = vec![0x80; HEADROOM + 10 + TAILROOM];
        let sent = stranger.agent.prepare(stranger.now, &mut buffer, HEADROOM..HEADROOM + 10, None);
        sent.map(|transmit| transmit.path.remote)
    };
    assert_eq!(send(&mut stranger), None, "it has not answered for longer than consent lasts");
    // The first question is lost.
    assert!(stranger.take().iter().any(|sent| sent.is_request() && sent.path.remote == worst));
    stranger.pass(MS * 500);
    assert_eq!(stranger.target(), Some(worst));
    stranger.answer_all(worst);
    assert_eq!(send(&mut stranger), Some(worst));
}

/// A controlling agent that has come into another network: its first pair is gone, and a check of
/// the next was answered just now.
fn elsewhere() -> (ScriptedPeer, SocketAddr) {
    let mut stranger = ScriptedPeer::with_remote(Config::default());
    let there = candidate("198.51.100.1", 1);
    let address = there.socket_address().unwrap();
    stranger.add(there);
    stranger.pass(MS * 10);
    stranger.answer_all(address);
    assert!(stranger.sent.iter().any(Sent::nominates), "the first nomination does not wait");
    stranger.answer_all(address);
    stranger.pass(MS * 1000);
    let moved = LocalAddress { network: 7, ..crate::lab::ip("192.0.2.1").into() };
    stranger.agent.handle_network_change(stranger.now, &[moved]);
    stranger.drain();
    stranger.locals.swap(0, 1);
    stranger.pass(MS * 100);
    stranger.answer_all(address);
    (stranger, address)
}

/// Pion follows a nomination of another pair only if it has checked that pair.
#[test]
fn second_nomination_waits_for_the_peers_check() {
    let (mut stranger, address) = elsewhere();
    assert!(!stranger.sent.iter().any(Sent::nominates));
    stranger.check(address, &Check::default());
    let sent = stranger.take();
    assert!(!sent.first().unwrap().is_request(), "its check is answered first");
    assert!(sent.iter().any(Sent::nominates));
}

#[test]
fn second_nomination_waits_a_bounded_time() {
    let (mut stranger, _) = elsewhere();
    stranger.pass(MS * 150);
    assert!(!stranger.take().iter().any(Sent::nominates));
    stranger.pass(MS * 100);
    assert!(stranger.take().iter().any(Sent::nominates));
}
