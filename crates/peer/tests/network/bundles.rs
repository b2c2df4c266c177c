//! Two peers of which one side's words about bundles get lost: each section has a transport of its
//! own, with its checks, its handshake and its data.

use columba_netsim::Nat;
use columba_peer::{
    BundlePolicy, Configuration, DataChannelInit, DtlsTransportState, Event, IceConnectionState, Message,
    PeerConnectionState, SessionDescription, SignalingState, TrackKind, TransceiverInit,
};

use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

fn without_bundles(description: SessionDescription) -> SessionDescription {
    let lines = description.sdp.lines().filter(|line| !line.starts_with("a=group:BUNDLE"));
    let sdp = lines.fold(String::new(), |text, line| text + line + "\r\n");
    SessionDescription { sdp, ..description }
}

fn add(lab: &mut Lab, index: usize, kind: TrackKind) {
    lab.with(index, |host, now| {
        host.peer.add_transceiver(now, kind, TransceiverInit::default()).unwrap();
    });
}

/// Audio, video and data of Alice's, behind NATs.
fn media(seed: u64, loss: f64) -> Lab {
    let configuration = Configuration { bundle_policy: BundlePolicy::MaxCompat, ..with_turn() };
    let nats = [[Nat::CONE, Nat::PORT], [Nat::SYMMETRIC; 2]][seed as usize % 2];
    let mut lab = Lab::homes(nats, &configuration, loss, seed);
    add(&mut lab, ALICE, TrackKind::Audio);
    add(&mut lab, ALICE, TrackKind::Video);
    lab.open(ALICE, "chat", DataChannelInit::default());
    lab
}

fn is_open(lab: &Lab) -> bool {
    lab.connected() && lab.both(|host| host.open.len() == 1)
}

/// Returns true if a peer has this many transports, all connected.
fn runs(lab: &Lab, index: usize, number: usize) -> bool {
    let peer = &lab.peer(index).peer;
    let ids = peer.transports();
    let is_connected = |id| peer.dtls_transport(id).unwrap().state == DtlsTransportState::Connected;
    ids.len() == number && ids.into_iter().all(is_connected)
}

fn talks(lab: &mut Lab) {
    let known = lab.peer(BOB).all_received().len();
    let channel = lab.peer(ALICE).open[0];
    lab.with(ALICE, |host, now| host.peer.send(now, channel, Message::from("coo")).unwrap());
    assert!(lab.run_until(SECOND * 30, |lab| lab.peer(BOB).all_received().len() > known));
}

#[test]
fn each_section_connects_where_nothing_is_bundled() {
    for seed in 0..6 {
        let mut lab = media(seed, [0.0, 0.1][seed as usize / 3]);
        lab.forge = without_bundles;
        assert!(lab.run_until(SECOND * 60, is_open), "{seed}: {}", lab.network.trace());
        assert!([ALICE, BOB].into_iter().all(|index| runs(&lab, index, 3)), "{seed}");
        talks(&mut lab);
        // All restart, and none is interrupted.
        let states = lab.peer(ALICE).states.len();
        let parameters = |lab: &Lab| {
            let peer = &lab.peer(ALICE).peer;
            let all = peer.transports().into_iter().map(|id| peer.ice_transport(id).unwrap());
            all.map(|one| (one.local_parameters, one.remote_parameters)).collect::<Vec<_>>()
        };
        let before = parameters(&lab);
        lab.with(ALICE, |host, now| host.peer.restart_ice(now));
        let renewed = |lab: &Lab| {
            let after = parameters(lab);
            let pairs = before.iter().zip(&after);
            pairs.clone().all(|(before, after)| before.0 != after.0 && before.1 != after.1)
                && lab.peer(ALICE).peer.signaling_state() == SignalingState::Stable
        };
        assert!(lab.run_until(SECOND * 30, renewed), "{seed}");
        lab.run_for(SECOND * 20);
        assert!(lab.connected() && runs(&lab, ALICE, 3), "{seed}");
        assert_eq!(lab.peer(ALICE).states.len(), states, "{seed}: it was never interrupted");
        talks(&mut lab);
        // The data of one that goes are the others' no concern.
        let video = lab.peer(BOB).peer.transceivers()[1].id;
        lab.with(BOB, |host, now| host.peer.stop_transceiver(now, video).unwrap());
        assert!(lab.run_until(SECOND * 30, |lab| runs(lab, ALICE, 2) && runs(lab, BOB, 2)), "{seed}");
        talks(&mut lab);
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| host.peer.close(now));
        }
        lab.run_for(SECOND * 5);
        assert!(lab.both(|host| host.peer.is_drained()), "{seed}");
        assert_eq!(lab.allocations(), 0, "{seed}: nothing is left at the server");
    }
}

#[test]
fn states_are_as_far_as_the_slowest_transport() {
    let mut lab = media(0, 0.0);
    // The candidates of video get lost.
    lab.forge = without_bundles;
    lab.drops_candidates_of = Some("1".to_owned());
    let data = |lab: &Lab| lab.both(|host| host.open.len() == 1);
    assert!(lab.run_until(SECOND * 60, data), "data does not wait for video");
    let states = |lab: &Lab| {
        let peer = &lab.peer(ALICE).peer;
        (peer.ice_connection_state(), peer.connection_state())
    };
    assert_eq!(states(&lab), (IceConnectionState::Checking, PeerConnectionState::Connecting));
    lab.drops_candidates_of = None;
    let failed = |lab: &Lab| lab.both(|host| host.peer.connection_state() == PeerConnectionState::Failed);
    assert!(lab.run_until(SECOND * 120, failed), "one failed transport is enough: {:?}", states(&lab));
    talks(&mut lab);
}

#[test]
fn transports_of_a_bundle_end_and_leave_nothing_at_the_server() {
    for seed in 0..4 {
        let mut lab = media(seed, 0.0);
        assert!(lab.run_until(SECOND * 60, is_open), "{seed}");
        assert!([ALICE, BOB].into_iter().all(|index| runs(&lab, index, 1)), "{seed}");
        lab.run_for(SECOND * 10);
        talks(&mut lab);
        assert!(lab.allocations() <= 2, "{seed}: {} allocations", lab.allocations());
        let ended = |event: &&Event| **event == Event::IceCandidate(None);
        assert!(lab.peer(ALICE).events.iter().filter(ended).count() >= 1, "{seed}");
        assert_eq!(lab.peer(ALICE).peer.stats(lab.network.now()).transports.len(), 1, "{seed}");
    }
}
