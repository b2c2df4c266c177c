//! ICE restarts: they begin when the description is set, and an answer follows its offer.

use columba_peer::{
    Configuration, Error, Event, IceServer, OfferOptions, SdpType, SessionDescription, TransportPolicy,
};

use crate::world::{ALICE, BOB, World, announced, candidates, ufrag};

#[test]
fn restart_offer_that_is_never_set_changes_nothing() {
    let mut world = World::agreed();
    let before = world.text(BOB);
    assert!(before.contains("a=candidate") && before.contains("a=end-of-candidates"));
    world.peers[BOB].create_offer(world.now, OfferOptions { ice_restart: true }).unwrap();
    assert_eq!(world.text(BOB), before);
    world.exchange(ALICE);
    assert_eq!(world.ufrag(BOB), ufrag(&before), "the offer has not restarted ICE");
}

#[test]
fn restart_announces_all_candidates_under_the_new_credentials() {
    let mut world = World::agreed();
    let (before, known) = (world.ufrag(ALICE), candidates(&world.text(ALICE)).len());
    world.peers[ALICE].restart_ice(world.now);
    assert!(world.drain(ALICE).contains(&Event::NegotiationNeeded));
    let offer = world.describe(ALICE);
    let new = ufrag(&offer.sdp);
    assert_ne!(new, before);
    assert_eq!(candidates(&offer.sdp).len(), known, "those of open sockets are known at once");
    let events = world.drain(ALICE);
    assert!(announced(&events).iter().all(|init| init.username_fragment.as_ref() == Some(&new)));
    assert!(announced(&events).len() > known, "and the end of candidates");
    world.set(BOB, offer);
    let old = world.ufrag(BOB);
    let answer = world.describe(BOB);
    assert_ne!(ufrag(&answer.sdp), old);
    world.set(ALICE, answer);
    assert_eq!(world.ufrag(ALICE), new);
    assert!(!world.drain(ALICE).contains(&Event::NegotiationNeeded));
}

#[test]
fn answer_must_follow_the_offer_in_its_credentials() {
    let mut world = World::agreed();
    let kept = world.ufrag(BOB);
    for restart in [false, true] {
        if restart {
            world.peers[ALICE].restart_ice(world.now);
        }
        let offer = world.describe(ALICE);
        world.set(BOB, offer);
        let answer = world.describe(BOB);
        let own = world.ufrag(BOB);
        let forged =
            SessionDescription::answer(answer.sdp.replace(&own, if restart { &kept } else { "another" }));
        let forged = match restart {
            // Both values count.
            true => {
                let sdp = world.peers[ALICE].remote_description().unwrap().sdp;
                let pwd =
                    |sdp: &str| sdp.lines().find(|line| line.starts_with("a=ice-pwd")).unwrap().to_owned();
                SessionDescription::answer(forged.sdp.replace(&pwd(&forged.sdp), &pwd(&sdp)))
            }
            false => forged,
        };
        let error = world.peers[ALICE].set_remote_description(world.now, forged).unwrap_err();
        assert!(matches!(error, Error::InvalidDescription { kind: SdpType::Answer, .. }), "{error}");
        world.set(ALICE, answer);
    }
}

/// RFC 9429 §4.1.18: candidates of other servers, or under another policy, need a restart, but no
/// negotiation.
#[test]
fn other_servers_or_policy_restart_with_the_next_offer() {
    let server = IceServer { urls: vec!["stun:192.0.2.1".to_owned()], ..IceServer::default() };
    let relay = Configuration { ice_transport_policy: TransportPolicy::Relay, ..Configuration::default() };
    let other = Configuration { ice_servers: vec![server], ..Configuration::default() };
    let same = Configuration::default();
    for (configuration, restarts) in [(relay, true), (other, true), (same, false)] {
        let mut world = World::agreed();
        let before = world.ufrag(ALICE);
        world.peers[ALICE].set_configuration(world.now, configuration).unwrap();
        assert!(!world.drain(ALICE).contains(&Event::NegotiationNeeded));
        world.exchange(ALICE);
        assert_eq!(world.ufrag(ALICE) != before, restarts);
        let settled = world.ufrag(ALICE);
        world.exchange(ALICE);
        assert_eq!(world.ufrag(ALICE), settled, "once");
    }
}

#[test]
fn restart_ice_replaces_credentials_of_descriptions_that_are_set() {
    // Bob has none yet.
    let mut world = World::new();
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    world.peers[BOB].restart_ice(world.now);
    let answer = world.describe(BOB);
    assert!(!world.drain(BOB).contains(&Event::NegotiationNeeded));
    // Alice has offered hers.
    world.peers[ALICE].restart_ice(world.now);
    world.drain(ALICE);
    world.set(ALICE, answer);
    assert!(world.drain(ALICE).contains(&Event::NegotiationNeeded));
    let before = world.ufrag(ALICE);
    world.exchange(ALICE);
    assert_ne!(world.ufrag(ALICE), before);
    assert!(!world.drain(ALICE).contains(&Event::NegotiationNeeded));
}

#[test]
fn negotiation_is_needed_only_if_it_still_is_when_the_event_fires() {
    let mut world = World::new();
    world.open(BOB, "other");
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    assert!(!world.drain(BOB).contains(&Event::NegotiationNeeded), "an offer is to be answered");
    let answer = world.describe(BOB);
    assert!(!world.drain(BOB).contains(&Event::NegotiationNeeded), "data is agreed");
    world.set(ALICE, answer);
}
