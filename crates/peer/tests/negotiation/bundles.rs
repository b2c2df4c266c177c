//! Bundles and their transports: the policies of offers and answers, and other sides that bundle
//! late or never.

use columba_peer::{
    BundlePolicy, Configuration, Error, Event, IceGatheringState, SdpType, SessionDescription, TrackKind,
    TransceiverInit, TransportId,
};
use columba_sdp::attributes::{BundleOnly, Group, IceUfrag};
use columba_sdp::{MediaSection, SessionDescription as Sdp};

use crate::world::{ALICE, BOB, World, announced};

/// Peers with these policies; Alice has audio, twice video, and data.
fn world(policies: [BundlePolicy; 2]) -> World {
    let mut world = World::with(
        policies.map(|bundle_policy| Configuration { bundle_policy, ..Configuration::default() }),
    );
    for kind in [TrackKind::Audio, TrackKind::Video, TrackKind::Video] {
        world.peers[ALICE].add_transceiver(world.now, kind, TransceiverInit::default()).unwrap();
    }
    world
}

fn parse(description: &SessionDescription) -> Sdp {
    description.sdp.parse().unwrap()
}

/// The description as a side without bundles would have written or read it.
fn unbundled(description: SessionDescription) -> SessionDescription {
    let lines = description.sdp.lines().filter(|line| !line.starts_with("a=group:BUNDLE"));
    let sdp = lines.fold(String::new(), |text, line| text + line + "\r\n");
    SessionDescription { sdp, ..description }
}

fn group(description: &Sdp) -> Vec<String> {
    description.lines.get::<Group>().unwrap().map(|group| group.mids).unwrap_or_default()
}

fn ufrag(section: &MediaSection) -> Option<String> {
    section.lines.get::<IceUfrag>().unwrap().map(|ufrag| ufrag.0)
}

/// The user name fragments of the sections, as numbers in the order in which they come.
fn transports(description: &Sdp) -> Vec<Option<usize>> {
    let mut known: Vec<String> = Vec::new();
    let number = |ufrag: String| {
        let at = known.iter().position(|one| *one == ufrag);
        at.unwrap_or_else(|| {
            known.push(ufrag);
            known.len() - 1
        })
    };
    let mut number = number;
    description.media.iter().map(|section| ufrag(section).map(&mut number)).collect()
}

/// An exchange in which neither side knows of bundles. Returns offer and answer.
fn exchange_unbundled(world: &mut World) -> (Sdp, Sdp) {
    let offer = world.describe(ALICE);
    world.set(BOB, unbundled(offer.clone()));
    let answer = world.describe(BOB);
    world.set(ALICE, unbundled(answer.clone()));
    (parse(&offer), parse(&answer))
}

fn reason(result: Result<(), Error>) -> (Option<String>, String) {
    match result {
        Err(Error::InvalidDescription { mid, reason, .. }) => (mid, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn policy_decides_which_sections_have_a_transport_of_their_own() {
    use BundlePolicy::{Balanced, MaxBundle, MaxCompat, MustBundle};
    let all = [Some(0), Some(1), Some(2), Some(3)];
    for (policy, expected) in [
        (Balanced, [Some(0), Some(1), Some(0), Some(2)]),
        (MaxCompat, all),
        (MustBundle, [Some(0); 4]),
        (MaxBundle, [Some(0); 4]),
    ] {
        let mut world = world([policy; 2]);
        let offer = parse(&world.describe(ALICE));
        assert_eq!(transports(&offer), expected, "{policy:?}");
        assert_eq!(group(&offer), ["0", "1", "2", "3"], "{policy:?}: one bundle in any case");
        let bundle_only = |section: &MediaSection| section.lines.has::<BundleOnly>();
        let marked: Vec<_> = offer.media.iter().map(bundle_only).collect();
        let shares = |index: usize| expected[..index].contains(&expected[index]) && policy != MaxBundle;
        assert_eq!(marked, (0..4).map(shares).collect::<Vec<_>>(), "{policy:?}");
        for section in &offer.media {
            assert_eq!(section.head().port == 0, bundle_only(section), "{policy:?}");
        }
        let number = transports(&offer).into_iter().flatten().max().unwrap() + 1;
        let ids = world.peers[ALICE].transports();
        assert_eq!(ids.len(), number, "{policy:?}");
        // Candidates of each belong to its section.
        let events = world.drain(ALICE);
        let mut mids: Vec<_> = announced(&events).into_iter().filter_map(|one| one.sdp_mid).collect();
        mids.sort();
        mids.dedup();
        assert_eq!(mids.len(), number, "{policy:?}: {mids:?}");
        let ends = events.iter().filter(|event| **event == Event::IceCandidate(None));
        assert_eq!(ends.count(), 1, "{policy:?}: all have gathered");
        // Their addresses are in the sections, but for those that have none.
        let gathered = parse(&world.peers[ALICE].local_description().unwrap());
        let ports = gathered.media.iter().map(|section| section.head().port == 0);
        assert_eq!(ports.collect::<Vec<_>>(), marked, "{policy:?}");
    }
}

#[test]
fn transports_end_when_their_sections_join_the_bundle() {
    let mut world = world([BundlePolicy::MaxCompat, BundlePolicy::Balanced]);
    let offer = world.describe(ALICE);
    world.drain(ALICE);
    assert_eq!(world.peers[ALICE].transports().len(), 4);
    world.set(BOB, offer);
    let answer = world.describe(BOB);
    assert_eq!(transports(&parse(&answer)), [Some(0); 4]);
    assert_eq!(group(&parse(&answer)), ["0", "1", "2", "3"]);
    world.set(ALICE, answer);
    assert_eq!(world.peers[ALICE].transports(), [TransportId::FIRST]);
    let events = world.drain(ALICE);
    assert!(announced(&events).is_empty(), "{events:?}");
    let closed = world.requests[ALICE].iter().filter(|request| request.starts_with("CloseUdp"));
    assert_eq!(closed.count(), 3, "{:?}", world.requests[ALICE]);
    for index in [ALICE, BOB] {
        let peer = &world.peers[index];
        assert!(peer.transceivers().iter().all(|one| one.transport == Some(TransportId::FIRST)));
        assert_eq!(peer.sctp_transport().map(|sctp| sctp.transport), Some(TransportId::FIRST));
        assert_eq!(peer.stats(world.now).transports.len(), 1);
    }
    // What comes later joins the bundle, with its address.
    world.peers[ALICE].add_transceiver(world.now, TrackKind::Audio, TransceiverInit::default()).unwrap();
    let again = parse(&world.describe(ALICE));
    assert_eq!(transports(&again), [Some(0); 5]);
    assert_eq!(group(&again).len(), 5);
}

#[test]
fn sections_of_sides_that_do_not_bundle_have_a_transport_each() {
    let mut world = world([BundlePolicy::MaxCompat; 2]);
    let (_, answer) = exchange_unbundled(&mut world);
    assert_eq!(transports(&answer), [Some(0), Some(1), Some(2), Some(3)]);
    assert!(group(&answer).is_empty(), "a bundle cannot be answered where none is offered");
    for index in [ALICE, BOB] {
        let peer = &world.peers[index];
        let ids = peer.transports();
        assert_eq!(ids.len(), 4);
        let of_media: Vec<_> = peer.transceivers().iter().filter_map(|one| one.transport).collect();
        assert_eq!(of_media, ids[..3]);
        assert_eq!(peer.sctp_transport().unwrap().transport, ids[3]);
    }
    // Each ICE restarts; a rollback brings all back.
    world.drain(ALICE);
    let before = parse(&world.peers[ALICE].local_description().unwrap());
    world.peers[ALICE].restart_ice(world.now);
    let restart = parse(&world.describe(ALICE));
    assert_eq!(transports(&restart), [Some(0), Some(1), Some(2), Some(3)]);
    let pairs = before.media.iter().zip(&restart.media);
    assert!(pairs.clone().all(|(before, after)| ufrag(before) != ufrag(after)));
    assert!(group(&restart).is_empty(), "RFC 9429 §5.2.2: what was not bundled stays so");
    world.roll_back_local(ALICE);
    world.drain(ALICE);
    assert_eq!(parse(&world.peers[ALICE].local_description().unwrap()), before);
    exchange_unbundled(&mut world);
    let after = parse(&world.peers[ALICE].local_description().unwrap());
    assert!(before.media.iter().zip(&after.media).all(|(before, after)| ufrag(before) != ufrag(after)));
    assert_eq!(world.peers[ALICE].transports().len(), 4);
    // One that is stopped takes its transport with it.
    let first = world.peers[ALICE].transceivers()[1].id;
    world.peers[ALICE].stop_transceiver(world.now, first).unwrap();
    exchange_unbundled(&mut world);
    assert_eq!(world.peers[ALICE].transports().len(), 3);
    assert_eq!(world.peers[BOB].transports().len(), 3);
}

#[test]
fn bundle_only_sections_are_rejected_without_a_bundle() {
    let mut world = world([BundlePolicy::Balanced; 2]);
    let (_, answer) = exchange_unbundled(&mut world);
    assert_eq!(transports(&answer), [Some(0), Some(1), None, Some(2)]);
    assert!(answer.media[2].is_rejected());
    assert_eq!(world.peers[ALICE].transceivers().len(), 2, "its transceiver is gone");
    assert_eq!(world.peers[ALICE].transports().len(), 3);
}

#[test]
fn policy_of_the_answerer_rejects_what_is_not_bundled() {
    for (policy, accepted) in [
        (BundlePolicy::MaxCompat, [true, true, true, true]),
        (BundlePolicy::Balanced, [true, true, false, true]),
        (BundlePolicy::MustBundle, [true, false, false, false]),
        (BundlePolicy::MaxBundle, [true, false, false, false]),
    ] {
        let mut world = world([BundlePolicy::MaxCompat, policy]);
        let (_, answer) = exchange_unbundled(&mut world);
        let found: Vec<_> = answer.media.iter().map(|section| !section.is_rejected()).collect();
        assert_eq!(found, accepted, "{policy:?}");
        let number = accepted.iter().filter(|one| **one).count();
        assert_eq!(world.peers[ALICE].transports().len(), number, "{policy:?}");
    }
}

#[test]
fn bundles_that_were_not_offered_or_are_taken_apart_are_refused() {
    let mut world = world([BundlePolicy::MustBundle, BundlePolicy::MaxCompat]);
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let answer = world.describe(BOB);
    let (mid, words) = reason(world.peers[ALICE].set_remote_description(world.now, unbundled(answer)));
    assert!(mid.as_deref() == Some("1") && words.contains("outside of the bundle"), "{mid:?} {words}");
    // In the other direction: sections that are not bundled stay so.
    let mut world = self::world([BundlePolicy::MaxCompat; 2]);
    exchange_unbundled(&mut world);
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let mut answer = world.describe(BOB);
    answer.sdp = answer.sdp.replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0 1\r\n");
    let (mid, words) = reason(world.peers[ALICE].set_remote_description(world.now, answer));
    assert!(mid.as_deref() == Some("0") && words.contains("not offered"), "{mid:?} {words}");
}

#[test]
fn provisional_answer_may_leave_open_what_the_answer_bundles() {
    let mut world = world([BundlePolicy::MaxCompat; 2]);
    let offer = world.describe(ALICE);
    world.set(BOB, offer);
    let answer = world.describe(BOB);
    let provisional = SessionDescription { kind: SdpType::PrAnswer, ..answer.clone() };
    world.set(ALICE, provisional);
    let media = |world: &World| {
        let all = world.peers[ALICE].transceivers();
        all.iter().filter_map(|one| one.transport).collect::<Vec<_>>()
    };
    assert_eq!(media(&world), [TransportId::FIRST; 3], "they are bundled for now");
    assert_eq!(world.peers[ALICE].transports().len(), 4, "the answer may change it");
    world.set(ALICE, answer);
    assert_eq!(world.peers[ALICE].transports().len(), 1);
    assert_eq!(media(&world), [TransportId::FIRST; 3]);
}

#[test]
fn rollback_of_the_first_offer_ends_the_transports_that_it_made() {
    let mut world = world([BundlePolicy::MaxCompat; 2]);
    world.describe(ALICE);
    assert_eq!(world.peers[ALICE].transports().len(), 4);
    let glare = {
        world.peers[BOB].add_transceiver(world.now, TrackKind::Audio, TransceiverInit::default()).unwrap();
        world.describe(BOB)
    };
    world.set(ALICE, glare);
    assert_eq!(world.peers[ALICE].ice_gathering_state(), IceGatheringState::New);
    assert!(announced(&world.drain(ALICE)).is_empty());
    let answer = world.describe(ALICE);
    world.set(BOB, answer);
    assert_eq!(world.peers[ALICE].transports().len(), 1);
    // The rest is offered now, in the bundle that was agreed.
    let again = parse(&world.describe(ALICE));
    let found = transports(&again);
    assert!(found.len() >= 4 && found.iter().all(|one| *one == Some(0)), "{found:?}");
    for init in announced(&world.drain(ALICE)) {
        assert!(init.sdp_mid.is_some() && init.username_fragment.is_some(), "{init:?}");
    }
}

#[test]
fn offer_that_replaces_a_pending_one_keeps_its_transports() {
    let mut world = world([BundlePolicy::MaxCompat; 2]);
    let first = parse(&world.describe(ALICE));
    world.drain(ALICE);
    let again = world.peers[ALICE].create_offer(world.now, columba_peer::OfferOptions::default()).unwrap();
    world.peers[ALICE].set_local_description(world.now, Some(again.clone())).unwrap();
    let again = parse(&again);
    let fragments = |sdp: &Sdp| sdp.media.iter().map(ufrag).collect::<Vec<_>>();
    assert_eq!(fragments(&again), fragments(&first));
    assert_eq!(world.peers[ALICE].transports().len(), 4);
}

/// W3C `createOffer`: with `[[LocalIceCredentialsToReplace]]` all credentials are new ones, also
/// those of a transport that has come since. Firefox refuses a restart of some.
#[test]
fn restart_is_one_of_all_transports() {
    for outdated in [false, true] {
        let mut world = world([BundlePolicy::MaxCompat; 2]);
        exchange_unbundled(&mut world);
        if outdated {
            let servers = vec![columba_peer::IceServer {
                urls: vec!["stun:192.0.2.9".into()],
                ..columba_peer::IceServer::default()
            }];
            let configuration = world.peers[ALICE].configuration();
            let other = Configuration { ice_servers: servers, ..configuration.clone() };
            world.peers[ALICE].set_configuration(world.now, other).unwrap();
        } else {
            world.peers[ALICE].restart_ice(world.now);
        }
        // The other side adds a section first, and a transport with it.
        world.peers[BOB].add_transceiver(world.now, TrackKind::Audio, TransceiverInit::default()).unwrap();
        let offer = world.describe(BOB);
        world.set(ALICE, unbundled(offer));
        let answer = world.describe(ALICE);
        world.set(BOB, unbundled(answer.clone()));
        let before: Vec<_> = parse(&answer).media.iter().map(ufrag).collect();
        assert_eq!(before.len(), 5);
        let restarted = parse(&world.describe(ALICE));
        let after: Vec<_> = restarted.media.iter().map(ufrag).collect();
        assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
        // An offer that replaces it is no other restart.
        world.peers[ALICE].add_transceiver(world.now, TrackKind::Video, TransceiverInit::default()).unwrap();
        let again: Vec<_> = parse(&world.describe(ALICE)).media.iter().map(ufrag).collect();
        assert_eq!(again[..5], after[..]);
    }
}
