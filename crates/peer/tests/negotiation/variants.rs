//! Restarts, rollbacks, ringing and data sections once more, with other inputs than in the files
//! that are about each of them.

use std::time::Duration;

use columba_peer::{
    Configuration, Event, IceConnectionState, IceGatheringState, IceServer, OfferOptions, SdpType,
    SessionDescription, Track, TransportPolicy,
};

use crate::world::{ALICE, BOB, World, candidates, ufrag};

fn with_type(kind: SdpType, description: SessionDescription) -> SessionDescription {
    SessionDescription { kind, ..description }
}

/// A restart that is pending gives way to the other side's plain offer, or to its restart: the
/// answer has the old credentials, or new ones that no offer had.
#[test]
fn pending_restart_that_meets_an_offer_is_without_a_trace() {
    for theirs_restarts in [false, true] {
        let mut world = World::agreed();
        let (before, text) = (world.ufrag(ALICE), world.text(ALICE));
        world.peers[ALICE].restart_ice(world.now);
        let withdrawn = ufrag(&world.describe(ALICE).sdp);
        world.drain(ALICE);
        if theirs_restarts {
            world.peers[BOB].restart_ice(world.now);
        }
        let offer = world.describe(BOB);
        world.set(ALICE, offer);
        assert_eq!(world.peers[ALICE].current_local_description().unwrap().sdp, text);
        assert_eq!(world.peers[ALICE].ice_gathering_state(), IceGatheringState::Complete);
        let answer = world.describe(ALICE);
        let answered = ufrag(&answer.sdp);
        assert_eq!(answered != before, theirs_restarts);
        assert_ne!(answered, withdrawn);
        assert_eq!(candidates(&answer.sdp).len(), candidates(&text).len());
        world.set(BOB, answer);
        // What was restarted by the other side need not be restarted again.
        assert_eq!(world.peers[ALICE].is_negotiation_needed(), !theirs_restarts);
    }
}

/// An offer that replaces a pending one keeps its credentials; the rollback goes back behind both.
#[test]
fn offers_that_replace_each_other_are_taken_back_together() {
    let mut world = World::agreed();
    let before = world.text(ALICE);
    world.peers[ALICE].restart_ice(world.now);
    let first = ufrag(&world.describe(ALICE).sdp);
    world.peers[ALICE].add_track(world.now, Track::audio("a"), vec![]).unwrap();
    let second = world.describe(ALICE);
    assert_eq!(ufrag(&second.sdp), first);
    assert_eq!(second.sdp.matches("m=audio").count(), 1);
    let third = world.peers[ALICE].create_offer(world.now, OfferOptions { ice_restart: true }).unwrap();
    world.peers[ALICE].set_local_description(world.now, Some(third)).unwrap();
    assert_ne!(world.ufrag(ALICE), first);
    world.roll_back_local(ALICE);
    assert_eq!(world.text(ALICE), before);
    assert_eq!(world.peers[ALICE].transceivers()[0].mid, None);
}

/// Whichever side waits, and for what: nothing fails within ten minutes, and then it goes on.
#[test]
fn ten_minutes_in_any_state_before_the_answer_fail_nothing() {
    let failed = |events: &[Event]| {
        events.iter().any(|event| {
            matches!(event, Event::Error(_) | Event::IceConnectionState(IceConnectionState::Failed))
        })
    };
    let minutes = Duration::from_secs(600);
    for case in 0..4 {
        let mut world = World::new();
        let offer = world.describe(ALICE);
        let mut events = Vec::new();
        if case > 0 {
            world.set(BOB, offer.clone());
        }
        if case == 2 {
            world.set(BOB, SessionDescription::rollback());
        }
        if case == 3 {
            let answer = world.peers[BOB].create_answer(world.now).unwrap();
            world.peers[BOB]
                .set_local_description(world.now, Some(with_type(SdpType::PrAnswer, answer)))
                .unwrap();
        }
        for index in [ALICE, BOB] {
            events.extend(world.wait(index, minutes));
        }
        assert!(!failed(&events), "case {case}: {events:?}");
        if case != 1 && case != 3 {
            world.set(BOB, offer);
        }
        let answer = world.describe(BOB);
        world.set(ALICE, answer);
        let events = world.wait(ALICE, Duration::from_secs(30));
        assert!(!failed(&events), "case {case}: {events:?}");
    }
}

/// `restartIce` counts for the descriptions that are set when it is called.
#[test]
fn restart_ice_without_a_description_wants_nothing() {
    let mut fresh = World::new();
    fresh.peers[ALICE].restart_ice(fresh.now);
    fresh.exchange(ALICE);
    assert!(!fresh.peers[ALICE].is_negotiation_needed());
    let mut offered = World::new();
    let offer = offered.describe(ALICE);
    offered.set(BOB, offer);
    offered.peers[BOB].restart_ice(offered.now);
    offered.peers[ALICE].restart_ice(offered.now);
    let answer = offered.describe(BOB);
    offered.set(ALICE, answer);
    assert!(!offered.peers[BOB].is_negotiation_needed(), "it had no local description");
    assert!(offered.peers[ALICE].is_negotiation_needed(), "it had one");
    offered.peers[ALICE].close(offered.now);
    offered.peers[ALICE].restart_ice(offered.now);
    assert!(!offered.peers[ALICE].is_negotiation_needed());
}

/// RFC 9429 §4.1.18: another configuration restarts with the next offer of this side's, whichever
/// side negotiates before; the same one does not.
#[test]
fn needs_ice_restart_is_a_matter_of_the_next_own_offer() {
    let server = IceServer { urls: vec!["stun:192.0.2.9".into()], ..IceServer::default() };
    let other = Configuration { ice_servers: vec![server], ..Configuration::default() };
    let relay = Configuration { ice_transport_policy: TransportPolicy::Relay, ..Configuration::default() };
    for (configuration, restarts) in [(other, true), (relay, true), (Configuration::default(), false)] {
        let mut world = World::agreed();
        let before = world.ufrag(ALICE);
        world.peers[ALICE].set_configuration(world.now, configuration).unwrap();
        assert!(!world.peers[ALICE].is_negotiation_needed());
        world.exchange(BOB);
        assert_eq!(world.ufrag(ALICE), before, "the other side's offer restarts nothing");
        let offer = world.describe(ALICE);
        assert_eq!(ufrag(&offer.sdp) != before, restarts);
        world.roll_back_local(ALICE);
        let again = world.describe(ALICE);
        assert_eq!(ufrag(&again.sdp) != before, restarts, "a rollback leaves the bit");
        world.set(BOB, again);
        let answer = world.describe(BOB);
        world.set(ALICE, answer);
        let settled = world.ufrag(ALICE);
        world.exchange(ALICE);
        assert_eq!(world.ufrag(ALICE), settled, "once");
    }
}

/// Data is refused, offered again, stopped by either side and offered again: each time there is a
/// fresh transport, and channels have ids as soon as the role does.
#[test]
fn data_comes_and_goes_again_and_again() {
    let without_data = |text: &str| {
        let text = text.replace("m=application 9 ", "m=application 0 ");
        text.replace("m=application 4000 ", "m=application 0 ").replace("a=group:BUNDLE 0", "a=group:BUNDLE")
    };
    let mut world = World::new();
    for round in 0..3 {
        // Another Bob each time, who knows nothing of what was before.
        let (mut other, [_, bob]) = (World::new(), World::new().peers);
        world.peers[BOB] = bob;
        if round > 0 {
            world.open(ALICE, "again");
        }
        let offer = world.describe(ALICE);
        other.set(BOB, offer);
        let answer = other.describe(BOB);
        world.set(ALICE, SessionDescription::answer(without_data(&answer.sdp)));
        assert_eq!(world.peers[ALICE].sctp_transport(), None, "round {round}");
        let events = world.drain(ALICE);
        assert!(events.iter().any(|event| matches!(event, Event::ChannelClosed(_, Some(_)))));
        assert!(!events.contains(&Event::NegotiationNeeded));
        // Offered again, and taken.
        let id = world.open(ALICE, "again");
        assert!(world.peers[ALICE].is_negotiation_needed());
        world.exchange(ALICE);
        assert!(world.peers[ALICE].channel(id).unwrap().stream.is_some());
        assert!(world.peers[ALICE].sctp_transport().is_some());
        world.drain(ALICE);
        // Stopped by the other side.
        let offer = world.describe(BOB);
        world.set(ALICE, SessionDescription::offer(without_data(&offer.sdp)));
        world.describe(ALICE);
        assert_eq!(world.peers[ALICE].sctp_transport(), None);
        assert_eq!(world.peers[ALICE].channel_state(id), None);
        world.drain(ALICE);
    }
}

/// `createOffer` after a rollback gives the offer that was created before, as long as it holds.
#[test]
fn last_created_offer_survives_rollbacks_and_nothing_else() {
    let mut world = World::new();
    let created = world.peers[ALICE].create_offer(world.now, OfferOptions::default()).unwrap();
    for _ in 0..2 {
        world.peers[ALICE].set_local_description(world.now, Some(created.clone())).unwrap();
        world.drain(ALICE);
        assert_ne!(world.peers[ALICE].ice_gathering_state(), IceGatheringState::New);
        world.roll_back_local(ALICE);
        assert_eq!(world.peers[ALICE].ice_gathering_state(), IceGatheringState::New);
    }
    let (mut other, offer) =
        (World::new(), world.peers[ALICE].create_offer(world.now, OfferOptions::default()));
    let theirs = other.describe(ALICE);
    world.peers[ALICE].set_local_description(world.now, Some(offer.unwrap())).unwrap();
    world.set(ALICE, theirs);
    world.set(ALICE, SessionDescription::rollback());
    assert_eq!(world.peers[ALICE].ice_gathering_state(), IceGatheringState::New);
    world.exchange(ALICE);
    let old = world.peers[ALICE].set_local_description(world.now, Some(created));
    assert!(old.is_err(), "an answer forgets it");
}

/// Sections of an answer without `a=mid` have the names of the offer, whatever these are.
#[test]
fn answers_without_mid_follow_the_order_of_the_offer() {
    let mut world = World::new();
    for index in [ALICE, BOB] {
        world.peers[index].add_track(world.now, Track::video("v"), vec![]).unwrap();
        world.peers[index].add_track(world.now, Track::audio("a"), vec![]).unwrap();
    }
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let answer = world.describe(BOB);
    let lines = answer.sdp.lines().filter(|line| !line.starts_with("a=mid"));
    let sdp = lines.fold(String::new(), |sdp, line| sdp + line + "\r\n");
    world.set(ALICE, SessionDescription { sdp, ..answer });
    let mids: Vec<_> = world.peers[ALICE].transceivers().into_iter().map(|one| (one.kind, one.mid)).collect();
    let theirs: Vec<_> = world.peers[BOB].transceivers().into_iter().map(|one| (one.kind, one.mid)).collect();
    assert_eq!(mids, theirs);
    assert!(world.peers[ALICE].sctp_transport().is_some());
}

fn with_tls_id(description: &SessionDescription, name: &str) -> SessionDescription {
    let lines = description.sdp.lines().map(|line| match line.starts_with("a=tls-id:") {
        true => format!("a=tls-id:{name}\r\n"),
        false => format!("{line}\r\n"),
    });
    SessionDescription { sdp: lines.collect(), ..description.clone() }
}

fn tls_id(sdp: &str) -> &str {
    sdp.lines().find_map(|line| line.strip_prefix("a=tls-id:")).unwrap()
}

/// A new DTLS association by the answer to a restart, by one offer after the other, and by an offer
/// that is taken back: only what was agreed counts.
#[test]
fn dtls_begins_anew_with_what_was_agreed() {
    let mut world = World::agreed();
    // The answer to a plain offer cannot name another one; that to a restart can.
    let another = "another-association-of-bob";
    for restarts in [false, true] {
        if restarts {
            world.peers[ALICE].restart_ice(world.now);
        }
        let offer = world.describe(ALICE);
        world.set(BOB, offer);
        let answer = with_tls_id(&world.describe(BOB), another);
        let result = world.peers[ALICE].set_remote_description(world.now, answer.clone());
        assert_eq!(result.is_ok(), restarts, "{result:?}");
        if !restarts {
            let mine = with_tls_id(&answer, tls_id(&world.text(BOB)));
            world.set(ALICE, mine);
        }
    }
    // Each restart of a renewed side is answered with a new name of one's own.
    let mut names = vec![tls_id(&world.text(BOB)).to_owned()];
    for round in 0..3 {
        world.peers[ALICE].restart_ice(world.now);
        let offer = with_tls_id(&world.describe(ALICE), &format!("association-number-{round}-of-alice"));
        world.set(BOB, offer.clone());
        // Taken back, it leaves nothing behind.
        world.set(BOB, SessionDescription::rollback());
        assert_eq!(tls_id(&world.text(BOB)), names[round]);
        world.set(BOB, offer);
        let answer = world.describe(BOB);
        names.push(tls_id(&answer.sdp).to_owned());
        world.set(ALICE, answer);
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4);
}

/// Names are not resolved under the policy `relay`, in whatever way they come.
#[test]
fn names_in_descriptions_are_not_resolved_either() {
    let names = [
        "1 1 udp 2113929471 tracker.example.org 10100 typ host",
        "2 1 udp 2113929471 861c320e-b193-4828-a1b7-0406ee17cb66.local 10101 typ host",
        "3 1 tcp 1518283007 tracker.example.org 10102 typ host tcptype passive",
        "4 1 udp 41885439 relay.example.org 10103 typ relay raddr 0.0.0.0 rport 0",
    ];
    let asked = |policy: TransportPolicy, is_answer: bool| {
        let configuration = Configuration { ice_transport_policy: policy, ..Configuration::default() };
        let mut world = World::with([Configuration::default(), configuration]);
        let extended = |description: SessionDescription| {
            let lines: String = names.iter().map(|name| format!("a=candidate:{name}\r\n")).collect();
            SessionDescription { sdp: description.sdp + &lines, ..description }
        };
        let (first, second) = if is_answer { (BOB, ALICE) } else { (ALICE, BOB) };
        if is_answer {
            world.open(BOB, "other");
        }
        let offer = world.describe(first);
        let offer = if is_answer { offer } else { extended(offer) };
        world.set(second, offer);
        let answer = world.describe(second);
        world.set(first, if is_answer { extended(answer) } else { answer });
        world.drain(BOB);
        world.requests[BOB].iter().filter(|request| request.starts_with("Resolve")).count()
    };
    for is_answer in [false, true] {
        assert_eq!(asked(TransportPolicy::Relay, is_answer), 0);
        assert!(asked(TransportPolicy::All, is_answer) >= 2);
    }
}

/// `negotiationneeded` is looked at when it fires: what is pending, done, or no longer wanted by
/// then does not fire, and what is still wanted does.
#[test]
fn negotiation_is_announced_if_it_is_needed_then() {
    let fires = |world: &mut World, index: usize| {
        let events = world.drain(index);
        events.into_iter().filter(|event| *event == Event::NegotiationNeeded).count()
    };
    // Described before it fires.
    let mut world = World::agreed();
    world.peers[ALICE].add_track(world.now, Track::audio("a"), vec![]).unwrap();
    let offer = world.describe(ALICE);
    assert_eq!(fires(&mut world, ALICE), 0);
    world.roll_back_local(ALICE);
    assert_eq!(fires(&mut world, ALICE), 1, "the rollback has brought it back");
    // The other side's offer comes first, and its answer does not cover it.
    world.peers[ALICE].restart_ice(world.now);
    let theirs = world.describe(BOB);
    world.set(ALICE, theirs);
    assert_eq!(fires(&mut world, ALICE), 0);
    let answer = world.describe(ALICE);
    world.set(BOB, answer);
    assert_eq!(fires(&mut world, ALICE), 1);
    drop(offer);
    // Wanted and given up.
    let mut world = World::agreed();
    let id = world.peers[ALICE].add_track(world.now, Track::video("v"), vec![]).unwrap();
    world.peers[ALICE].stop_transceiver(world.now, id).unwrap();
    assert_eq!(fires(&mut world, ALICE), 0);
    // Wanted twice, by two calls.
    world.peers[ALICE].add_track(world.now, Track::audio("a"), vec![]).unwrap();
    world.peers[ALICE].restart_ice(world.now);
    assert_eq!(fires(&mut world, ALICE), 1);
    world.peers[ALICE].add_track(world.now, Track::video("w"), vec![]).unwrap();
    assert_eq!(fires(&mut world, ALICE), 0, "it is still being told");
}

/// Foundations beyond RFC 8839's 32 characters, which some servers write, up to 256.
#[test]
fn long_foundations_are_read_in_every_place() {
    let line = |length: usize, port: u16| {
        format!("candidate:{} 1 udp 2130706431 10.0.0.9 {port} typ host", "f".repeat(length))
    };
    let mut world = World::new();
    let offer = world.describe(ALICE);
    let carried: String =
        [33, 64, 256, 257].iter().map(|length| format!("a={}\r\n", line(*length, *length as u16))).collect();
    world.set(BOB, SessionDescription { sdp: offer.sdp + &carried, ..offer });
    let answer = world.describe(BOB);
    world.set(ALICE, answer);
    for (length, is_read) in [(32, true), (34, true), (255, true), (300, false)] {
        let init = columba_peer::IceCandidateInit {
            candidate: line(length, 1000 + length as u16),
            sdp_mid: Some("0".to_owned()),
            sdp_m_line_index: None,
            username_fragment: None,
        };
        let added = world.peers[BOB].add_ice_candidate(world.now, Some(init));
        assert_eq!(added.is_ok(), is_read, "{length}: {added:?}");
    }
    let stats = world.peers[BOB].stats(world.now);
    let mut ports: Vec<_> =
        stats.transports[0].ice.remote_candidates.iter().map(|one| one.candidate.port).collect();
    ports.retain(|port| *port != 4000);
    ports.sort_unstable();
    assert_eq!(ports, [33, 64, 256, 1032, 1034, 1255]);
}

/// `a=setup` of the session counts for sections without one; an answer without any is passive, of
/// whatever section it is the answer. The default candidate is that of the transport, IPv6 where
/// there is no IPv4.
#[test]
fn setup_options_and_default_addresses_once_more() {
    use columba_peer::DtlsRole;
    for (session, section, role) in [
        ("a=setup:active\r\n", "", DtlsRole::Server),
        ("a=setup:passive\r\n", "", DtlsRole::Client),
        ("a=setup:active\r\n", "a=setup:passive\r\n", DtlsRole::Client),
        ("", "", DtlsRole::Client),
    ] {
        let mut world = World::new();
        let offer = world.describe(ALICE);
        world.set(BOB, offer);
        let answer = world.describe(BOB);
        let sdp = answer.sdp.replace("a=setup:active\r\n", section);
        let sdp = sdp.replacen("t=0 0\r\n", &format!("t=0 0\r\n{session}"), 1);
        world.set(ALICE, SessionDescription { sdp, ..answer });
        let stats = world.peers[ALICE].stats(world.now);
        assert_eq!(stats.transports[0].dtls.role, Some(role), "{session:?} {section:?}");
    }
    let mut world = World::new();
    let address = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7);
    world.peers[BOB].handle_network_change(world.now, &[std::net::IpAddr::from(address).into()]);
    world.exchange(ALICE);
    world.drain(BOB);
    let text = world.text(BOB);
    assert!(text.contains("m=application 4000 ") && text.contains("c=IN IP6 2001:db8::7\r\n"), "{text}");
    for sdp in [text, world.text(ALICE)] {
        let head = sdp.split("m=").next().unwrap();
        assert!(head.contains("a=ice-options:") && !sdp[head.len()..].contains("a=ice-options"), "{sdp}");
        assert_eq!(sdp.matches("a=tls-id:").count(), 1);
    }
    // Closing says nothing, not even that SCTP is closed.
    world.peers[BOB].close(world.now);
    assert_eq!(world.drain(BOB), []);
}
