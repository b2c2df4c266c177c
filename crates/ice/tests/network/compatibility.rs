//! Other implementations: unusual forms that they send, and attributes that they may not know.

use std::net::SocketAddr;

use columba_ice::{Candidate, CandidateKind, Config, Event, RemoteParameters, Role, ServerKind, Transport};
use columba_stun::attributes::MappedAddress;
use columba_stun::{AttributeType, Class, MessageBuilder, Method};

use crate::hostile::{candidate, stranger};
use crate::lab::{ip, servers};
use crate::scripted::{Check, ScriptedPeer};
use crate::server::PORT;

/// RFC 8839 §5.1 allows 32 characters; other implementations write UUIDs of 36.
#[test]
fn long_foundations_are_accepted() {
    let mut peer = ScriptedPeer::with_remote(Config::default());
    for (number, length) in [(1, 32), (2, 36), (3, 256), (4, 257)] {
        let foundation = "f".repeat(length).into();
        peer.add(Candidate { foundation, ..candidate("198.51.100.1", number) });
    }
    let stats = peer.agent.stats();
    assert_eq!((stats.remote_candidates.len(), stats.transport.dropped), (3, 1));
}

/// An empty user name fragment, as JavaScript writes it, names no session.
#[test]
fn empty_fragments_count_as_absent() {
    let mut peer = ScriptedPeer::with_remote(Config::default());
    peer.add(Candidate { ufrag: Some("".into()), ..candidate("198.51.100.1", 1) });
    assert_eq!(peer.agent.stats().remote_candidates.len(), 1);
}

/// RFC 5389 §12.1: servers of RFC 3489 take requests without attributes, and answer with
/// MAPPED-ADDRESS.
#[test]
fn servers_of_rfc_3489_give_reflexive_candidates() {
    let config =
        Config { servers: vec![servers(ServerKind::Stun, Transport::Udp, PORT)], ..Config::default() };
    let mut peer = ScriptedPeer::new(config, &[ip("192.0.2.1").into()]);
    let request = peer.take().pop().unwrap();
    assert_eq!(request.message().attributes().count(), 0);
    let mapped: SocketAddr = "198.51.100.9:4000".parse().unwrap();
    let mut buffer = [0; 100];
    let id = request.message().transaction_id();
    let mut answer = MessageBuilder::new(&mut buffer, Class::SuccessResponse, Method::BINDING, id).unwrap();
    answer.push(&MappedAddress(mapped)).unwrap();
    peer.deliver(request.path.remote, answer.as_bytes().to_vec());
    let found = peer.events.iter().find_map(|event| match event {
        Event::LocalCandidate(one) if one.kind == CandidateKind::ServerReflexive => Some(one),
        _ => None,
    });
    assert_eq!(found.and_then(Candidate::socket_address), Some(mapped));
}

/// The code of an error counts, whatever its phrase.
#[test]
fn role_conflicts_with_unusual_phrases_are_resolved() {
    for phrase in [&b"Conflit de r\xF4les"[..], b"", &[b'x'; 140]] {
        let mut peer = ScriptedPeer::with_remote(Config::default());
        peer.add(candidate("198.51.100.1", 1));
        let check = peer.take().into_iter().find(|sent| sent.is_request()).unwrap();
        assert_eq!(peer.agent.role(), Role::Controlling);
        peer.refuse_raw(&check, &[&[0, 0, 4, 87], phrase].concat());
        assert_eq!(peer.agent.role(), Role::Controlled, "{phrase:?}");
    }
}

/// Firefox changes its role once, and ignores what it is told later.
#[test]
fn role_gives_way_to_a_side_that_keeps_its_own() {
    let mut peer = ScriptedPeer::with_remote(Config::default());
    let remote = candidate("198.51.100.1", 1).socket_address().unwrap();
    peer.add(candidate("198.51.100.1", 1));
    let check = Check { controls: true, ..Check::default() };
    for _ in 0..4 {
        peer.check(remote, &check);
        assert_eq!(peer.agent.role(), Role::Controlling, "it is told so");
        peer.pass(std::time::Duration::from_millis(600));
    }
    for _ in 0..10 {
        peer.check(remote, &check);
        assert_eq!(peer.agent.role(), Role::Controlled);
        peer.pass(std::time::Duration::from_millis(600));
    }
    // One that changes it in time makes this side keep its own.
    let mut peer = ScriptedPeer::with_remote(Config::default());
    peer.add(candidate("198.51.100.1", 1));
    for controls in [true, true, false, true, true] {
        peer.check(remote, &Check { controls, ..Check::default() });
        assert_eq!(peer.agent.role(), Role::Controlling);
        peer.pass(std::time::Duration::from_millis(900));
    }
}

/// Firefox answers checks before it has the answer with this side's credentials, and forgets that
/// one of them nominates. Its own checks come as soon as it has them.
#[test]
fn nominations_before_the_other_side_has_checked_are_repeated_once() {
    let remote = candidate("198.51.100.1", 1).socket_address().unwrap();
    for (heard_first, renomination) in [(false, false), (false, true), (true, false)] {
        let mut peer = ScriptedPeer::new(Config::default(), &[ip("192.0.2.1").into()]);
        peer.set_remote(RemoteParameters { renomination, ..stranger() });
        peer.add(candidate("198.51.100.1", 1));
        let nominations = |peer: &mut ScriptedPeer| {
            let sent: Vec<_> = peer.take().into_iter().filter(|sent| sent.is_request()).collect();
            sent.iter().for_each(|one| peer.answer(one, one.path.local));
            sent.iter().filter(|one| one.nominates()).count()
        };
        let mut counts = Vec::new();
        for round in 0..3 {
            if round > 0 || heard_first {
                peer.check(remote, &Check::default());
            }
            let mut count = 0;
            for _ in 0..40 {
                count += nominations(&mut peer);
                peer.pass(std::time::Duration::from_millis(50));
            }
            counts.push(count);
        }
        let expected = if heard_first { [1, 0, 0] } else { [1, 1, 0] };
        assert_eq!(counts, expected, "heard first: {heard_first}, renomination: {renomination}");
        assert_eq!(peer.target(), Some(remote));
    }
}

/// The other side's first check may overtake its answer to a nomination that came before it knew
/// this side's credentials, where the two come from different addresses.
#[test]
fn nomination_whose_answer_is_overtaken_by_the_first_check_is_repeated_once() {
    let remotes = ["198.51.100.1", "198.51.100.2"].map(|host| candidate(host, 1));
    let second = remotes[1].socket_address().unwrap();
    let mut peer = ScriptedPeer::new(Config::default(), &[ip("192.0.2.1").into()]);
    peer.set_remote(stranger());
    remotes.into_iter().for_each(|remote| peer.add(remote));
    let mut nominations = 0;
    for _ in 0..60 {
        for sent in peer.take().into_iter().filter(|sent| sent.is_request()) {
            if sent.nominates() {
                nominations += 1;
                if nominations == 1 {
                    peer.check(second, &Check::default());
                }
            }
            peer.answer(&sent, sent.path.local);
        }
        peer.pass(std::time::Duration::from_millis(50));
    }
    assert_eq!(nominations, 2);
}

/// A check carries the attributes of RFC 8445 and no others, unless the other side has declared
/// renomination or the owner embeds a value.
#[test]
fn undeclared_attributes_are_not_sent() {
    use AttributeType as Type;
    const RENOMINATION: AttributeType = AttributeType::new(0xC001);
    for renomination in [false, true] {
        let mut peer = ScriptedPeer::new(Config::default(), &[ip("192.0.2.1").into()]);
        peer.set_remote(RemoteParameters { renomination, ..stranger() });
        peer.add(candidate("198.51.100.1", 1));
        let mut nominations = 0;
        for _ in 0..100 {
            for sent in peer.take().into_iter().filter(|sent| sent.is_request()) {
                let mut usual = vec![Type::USERNAME, Type::PRIORITY, Type::ICE_CONTROLLING];
                if sent.nominates() {
                    nominations += 1;
                    usual.push(Type::USE_CANDIDATE);
                    usual.extend(renomination.then_some(RENOMINATION));
                }
                usual.extend([Type::MESSAGE_INTEGRITY, Type::FINGERPRINT]);
                let types: Vec<_> = sent.message().attributes().map(|attribute| attribute.ty).collect();
                assert_eq!(types, usual);
                peer.answer(&sent, sent.path.local);
            }
            peer.pass(std::time::Duration::from_millis(50));
        }
        assert!(nominations > 0);
    }
}
