//! The traffic that strangers, and peers that lie, can make an agent send to others.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use columba_ice::{CandidateAddress, Config, EMBEDDED, Event};
use columba_stun::Class;

use crate::hostile::candidate;
use crate::lab::ip;
use crate::scripted::{Check, ScriptedPeer, Sent};

const SECOND: Duration = Duration::from_secs(1);

fn carries(sent: &Sent) -> bool {
    sent.message().has(EMBEDDED)
}

fn victim(number: u16) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], 1000 + number))
}

/// Checks of all kinds, each with how many messages answer it at once: an answer, and a check of
/// its own of a full agent's that has taken it for what it says.
fn checks() -> Vec<(Check, usize)> {
    let embedded = |length: usize| vec![(EMBEDDED.number(), vec![7; length])];
    let unknown = |count: u16| (0..count).map(|number| (0x7F00 + number, Vec::new())).collect::<Vec<_>>();
    let check = |nominates, controls, more| Check { nominates, controls, more };
    vec![
        (check(false, false, Vec::new()), 2),
        (check(true, false, Vec::new()), 2),
        (check(false, false, embedded(1)), 2),
        (check(false, false, embedded(400)), 2),
        (check(false, false, embedded(1100)), 2),
        (check(false, false, unknown(1)), 1),
        (check(false, false, unknown(16)), 1),
        (check(false, false, unknown(60)), 1),
        // Of two controlling sides the one with the larger number wins: here that is the agent.
        (check(false, true, Vec::new()), 1),
    ]
}

#[test]
fn unproven_addresses_get_no_more_bytes_than_they_sent() {
    for lite in [false, true] {
        for (number, (check, messages)) in checks().into_iter().enumerate() {
            let mut stranger = ScriptedPeer::with_remote(Config { lite, ..Config::default() });
            stranger.agent.set_embedded(stranger.now, [vec![1; 1000].into()]);
            stranger.take();
            let remote = victim(number as u16);
            let length = stranger.check(remote, &check);
            let at_once = stranger.take();
            if !lite {
                assert_eq!(at_once.len(), messages, "{check:?}");
                assert_ne!(at_once[0].message().class(), Class::Request, "{check:?}");
            }
            stranger.pass(SECOND * 60);
            let later = stranger.take();
            assert!(later.len() <= 40, "{} messages", later.len());
            for sent in at_once.iter().chain(&later) {
                assert_eq!(sent.path.remote, remote);
                assert!(
                    sent.bytes.len() <= length,
                    "lite {lite}: {} for {length}: {check:?}",
                    sent.bytes.len()
                );
            }
        }
    }
}

/// A proven address gets the whole value.
#[test]
fn proven_addresses_get_the_embedded_value() {
    let mut stranger = ScriptedPeer::with_remote(Config::default());
    stranger.agent.set_embedded(stranger.now, [vec![1; 1000].into()]);
    let remote = victim(1);
    stranger.check(remote, &Check::default());
    stranger.answer_all(remote);
    let nomination = stranger.take().remove(0);
    assert!(nomination.nominates() && carries(&nomination));
    stranger.check(remote, &Check::default());
    assert!(carries(&stranger.take()[0]), "the answer, too");
}

/// A flight as long as the other side's is answered by one.
#[test]
fn embedded_value_is_exchanged_at_equal_size() {
    let mut stranger = ScriptedPeer::with_remote(Config { lite: true, ..Config::default() });
    stranger.agent.set_embedded(stranger.now, [vec![1; 600].into()]);
    let more = vec![(EMBEDDED.number(), vec![7; 600])];
    let length = stranger.check(victim(1), &Check { more, ..Check::default() });
    let answer = stranger.take().remove(0);
    assert!(carries(&answer) && answer.bytes.len() <= length);
}

/// Values travel on the pair whose check goes out first; on the other one, too, if no check that
/// carried them is answered soon.
#[test]
fn embedded_values_travel_on_one_pair_first() {
    for answers in [true, false] {
        let addresses = ["192.0.2.1", "2001:db8::1"].map(|address| ip(address).into());
        let mut stranger = ScriptedPeer::new(Config::default(), &addresses);
        stranger.set_remote(crate::hostile::stranger());
        stranger.agent.set_embedded(stranger.now, [1, 2].map(|value| vec![value; 1000].into()));
        stranger.add(candidate("203.0.113.7", 1000));
        stranger.add(candidate("2001:db8:1::7", 1000));
        let at_once = stranger.take();
        assert_eq!(at_once.iter().filter(|sent| sent.is_request()).count(), 2, "both pairs are checked");
        let remotes: Vec<_> =
            at_once.iter().filter(|sent| carries(sent)).map(|sent| sent.path.remote).collect();
        assert_eq!(remotes.len(), 2, "two values travel once: {remotes:?}");
        assert_eq!(remotes[0], remotes[1]);
        if answers {
            let request = at_once.iter().find(|sent| sent.is_request() && carries(sent)).unwrap();
            stranger.answer(request, request.path.local);
        }
        stranger.pass(Duration::from_millis(10));
        let is_other = |sent: &&Sent| carries(sent) && sent.path.remote != remotes[0];
        let later = stranger.take().iter().filter(is_other).count();
        assert_eq!(later, if answers { 0 } else { 2 }, "answered: {answers}");
    }
}

/// A peer that names its victims as candidates: small checks, and few, but for a first ten that may
/// carry something.
#[test]
fn signalled_victims_get_few_large_checks() {
    for values in [1, 4, 50] {
        let mut stranger = ScriptedPeer::with_remote(Config::default());
        stranger.agent.set_embedded(stranger.now, vec![vec![1; 1000].into(); values]);
        for number in 0..10_000 {
            stranger.add(candidate("203.0.113.7", number));
        }
        for _ in 0..60 {
            stranger.pass(SECOND);
            // New values do not begin to be counted anew.
            stranger.agent.set_embedded(stranger.now, vec![vec![2; 1000].into(); values]);
        }
        let (large, small): (Vec<_>, Vec<_>) =
            stranger.take().into_iter().partition(|sent| sent.bytes.len() > 200);
        assert!(small.iter().all(|sent| sent.bytes.len() <= 120));
        let carried: BTreeSet<_> = large.iter().map(|sent| sent.message().transaction_id()).collect();
        assert_eq!(carried.len(), 10, "{values}");
        assert!(large.len() <= 150 && small.len() <= 2000, "{} and {}", large.len(), small.len());
    }
}

/// Values that checks cannot carry go behind them, in indications that only the other side can
/// write.
#[test]
fn indications_are_authentic() {
    let values: Vec<Vec<u8>> = (0..3).map(|number| vec![number; 900]).collect();
    let mut stranger = ScriptedPeer::with_remote(Config::default());
    stranger.agent.set_embedded(stranger.now, values.iter().cloned().map(Into::into));
    stranger.add(candidate("203.0.113.7", 9));
    let sent = stranger.take();
    let carried: Vec<_> =
        sent.iter().filter_map(|one| Some(one.message().raw(EMBEDDED)?.value.to_vec())).collect();
    assert_eq!(carried, values);
    assert!(sent[0].is_request() && sent[1..].iter().all(|one| one.message().class() == Class::Indication));

    let indication = stranger.indication(&[7; 900]);
    for bit in (0..indication.len() * 8).step_by(61) {
        let mut forged = indication.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        stranger.deliver(victim(1), forged);
    }
    let is_embedded = |event: &Event| matches!(event, Event::Embedded(_));
    assert!(!stranger.events.iter().any(is_embedded));
    stranger.deliver(victim(1), indication);
    assert_eq!(stranger.events.iter().filter(|event| is_embedded(event)).count(), 1);
    assert!(stranger.take().is_empty(), "nothing answers an indication");
}

/// Answers, data and noise from strangers bring about nothing at all.
#[test]
fn unauthenticated_requests_are_not_answered() {
    let mut stranger = ScriptedPeer::with_remote(Config::default());
    stranger.check(victim(1), &Check::default());
    let own = stranger.take();
    for sent in &own {
        let mut reflected = sent.bytes.clone();
        stranger.deliver(victim(2), reflected.clone());
        reflected[0] ^= 1;
        stranger.deliver(victim(2), reflected);
    }
    for first in 0..=255 {
        stranger.deliver(victim(3), vec![first; 1200]);
    }
    assert!(stranger.take().is_empty());
}

/// Texts that no candidate has are not kept.
#[test]
fn candidates_with_overlong_texts_are_dropped_and_counted() {
    let mut stranger = ScriptedPeer::with_remote(Config::default());
    let long: std::sync::Arc<str> = "x".repeat(1 << 20).into();
    let good = candidate("203.0.113.7", 1);
    let dropped = stranger.agent.stats().transport.dropped;
    stranger.add(columba_ice::Candidate { foundation: long.clone(), ..good.clone() });
    stranger.add(columba_ice::Candidate { ufrag: Some(long.clone()), ..good.clone() });
    stranger.add(columba_ice::Candidate { address: CandidateAddress::Name(long.clone()), ..good.clone() });
    assert_eq!(stranger.agent.stats().transport.dropped, dropped + 3);
    stranger.add(columba_ice::Candidate { url: Some(long), ..good });
    let stats = stranger.agent.stats();
    assert_eq!(stats.remote_candidates.len(), 1);
    assert_eq!(stats.remote_candidates[0].candidate.url, None);
}
