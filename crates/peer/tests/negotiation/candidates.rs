//! `addIceCandidate`: sections, generations, and the end of candidates.

use columba_peer::{Configuration, Error, IceCandidateInit, TransportPolicy};

use crate::world::{ALICE, BOB, World};

fn candidate(ufrag: Option<&str>) -> IceCandidateInit {
    IceCandidateInit {
        candidate: "candidate:9 1 udp 1 10.0.0.9 9 typ host".to_owned(),
        sdp_mid: Some("0".to_owned()),
        sdp_m_line_index: None,
        username_fragment: ufrag.map(str::to_owned),
    }
}

#[test]
fn candidates_of_the_current_description_are_taken_while_another_is_pending() {
    let mut world = World::agreed();
    let old = world.ufrag(ALICE);
    world.peers[ALICE].restart_ice(world.now);
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let new = world.ufrag(ALICE);
    for ufrag in [old.as_str(), new.as_str()] {
        world.peers[BOB].add_ice_candidate(world.now, Some(candidate(Some(ufrag)))).unwrap();
    }
    let reaches_old = |world: &World| {
        let stats = world.peers[BOB].stats(world.now);
        stats.transports[0].ice.remote_candidates.iter().filter(|one| one.candidate.port == 9).count()
    };
    assert_eq!(reaches_old(&world), 1, "that of the session that runs");
    let unknown = world.peers[BOB].add_ice_candidate(world.now, Some(candidate(Some("nosuch"))));
    assert!(matches!(unknown, Err(Error::InvalidCandidate { .. })));
}

#[test]
fn end_of_candidates_belongs_to_its_generation() {
    let mut world = World::new();
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let end = |mid: Option<&str>, ufrag: Option<&str>| IceCandidateInit {
        candidate: String::new(),
        sdp_mid: mid.map(str::to_owned),
        ..candidate(ufrag)
    };
    let ended =
        |world: &World| world.peers[BOB].remote_description().unwrap().sdp.contains("a=end-of-candidates");
    for wrong in [end(Some("0"), Some("nosuch")), end(None, Some("nosuch"))] {
        let refused = world.peers[BOB].add_ice_candidate(world.now, Some(wrong));
        assert!(matches!(refused, Err(Error::InvalidCandidate { .. })));
        assert!(!ended(&world));
    }
    world.peers[BOB].add_ice_candidate(world.now, Some(end(None, None))).unwrap();
    assert!(ended(&world));
}

/// W3C `addIceCandidate`: a candidate that may not be used must not be resolved either.
#[test]
fn names_are_not_resolved_where_only_relays_may_be_used() {
    for (policy, asks) in [(TransportPolicy::Relay, false), (TransportPolicy::All, true)] {
        let configuration = Configuration { ice_transport_policy: policy, ..Configuration::default() };
        let mut world = World::with([Configuration::default(), configuration]);
        world.exchange(ALICE);
        for name in ["tracker.example.org", "861c320e-b193-4828-a1b7-0406ee17cb66.local"] {
            let line = format!("candidate:1 1 udp 2113929471 {name} 10100 typ host");
            let init = IceCandidateInit { candidate: line, ..candidate(None) };
            world.peers[BOB].add_ice_candidate(world.now, Some(init)).unwrap();
        }
        world.drain(BOB);
        let asked = world.requests[BOB].iter().filter(|request| request.starts_with("Resolve"));
        assert_eq!(asked.count(), if asks { 2 } else { 0 });
    }
}
