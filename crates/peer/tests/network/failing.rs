//! Failures: each is reported by one error.

use columba_netsim::{Link, Loss};
use columba_peer::{
    Configuration, DataChannelInit, DtlsTransportState, DtlsVersions, Error, Event, IceCandidateInit,
    OfferOptions, PeerConnectionState as State, SdpType, SessionDescription, SignalingState,
};

use crate::lab::{ALICE, BOB, Forge, Lab, SECOND};

/// The alert to a certificate that is not the one of the description.
const BAD_CERTIFICATE: u8 = 42;

/// Puts another hash in place of the fingerprint's.
fn with_wrong_fingerprint(description: SessionDescription) -> SessionDescription {
    let wrong = format!("a=fingerprint:sha-256 {}", ["00"; 32].join(":"));
    let lines = description.sdp.lines();
    let lines = lines.map(|line| if line.starts_with("a=fingerprint") { &wrong } else { line });
    SessionDescription { sdp: lines.fold(String::new(), |sdp, line| sdp + line + "\r\n"), ..description }
}

#[test]
fn a_wrong_fingerprint_is_one_clear_error() {
    let forge_answer = |description: SessionDescription| match description.kind {
        SdpType::Answer => with_wrong_fingerprint(description),
        _ => description,
    };
    let forge_offer = |description: SessionDescription| match description.kind {
        SdpType::Offer => with_wrong_fingerprint(description),
        _ => description,
    };
    let forges: [(usize, Forge); 2] = [(ALICE, forge_answer), (BOB, forge_offer)];
    for (deceived, forge) in forges {
        let mut lab = Lab::lan(&Configuration::default(), 0.0, 4);
        lab.forge = forge;
        lab.open(ALICE, "chat", DataChannelInit::default());
        lab.run_for(SECOND * 5);
        assert_eq!(lab.peer(deceived).errors, [Error::FingerprintMismatch]);
        assert_eq!(lab.peer(deceived).peer.connection_state(), State::Failed);
        assert!(lab.peer(deceived).open.is_empty() && lab.peer(1 - deceived).open.is_empty());
        assert_eq!(lab.peer(deceived).errors[0].sent_alert(), Some(BAD_CERTIFICATE));
        let reason = "the other side refuses with the alert bad_certificate".to_owned();
        let told = Error::Dtls { reason, received_alert: Some(BAD_CERTIFICATE), sent_alert: None };
        assert_eq!(told.received_alert(), Some(BAD_CERTIFICATE));
        assert_eq!(lab.peer(1 - deceived).errors, [told]);
    }
}

#[test]
fn malformed_descriptions_and_candidates_change_nothing() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 5);
    for text in ["", "garbage", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nm=application\r\n", "\u{0}\r\n"] {
        let error = lab.with(ALICE, |host, now| {
            host.peer.set_remote_description(now, SessionDescription::offer(text)).unwrap_err()
        });
        assert!(matches!(error, Error::InvalidDescription { .. }), "{error}");
        assert!(error.to_string().starts_with("the offer cannot be used"), "{error}");
    }
    lab.with(ALICE, |host, now| {
        assert_eq!(host.peer.signaling_state(), SignalingState::Stable);
        let answer = SessionDescription::answer("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n");
        let error = host.peer.set_remote_description(now, answer).unwrap_err();
        assert!(matches!(error, Error::InvalidState { .. }), "{error}");
        assert_eq!(host.peer.add_ice_candidate(now, None), Err(Error::NoRemoteDescription));
    });
    // It still works afterwards.
    lab.open(ALICE, "chat", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 5, Lab::connected));
    lab.with(ALICE, |host, now| {
        let init = |candidate: &str, mid: &str, ufrag: Option<&str>| IceCandidateInit {
            candidate: candidate.to_owned(),
            sdp_mid: Some(mid.to_owned()),
            sdp_m_line_index: None,
            username_fragment: ufrag.map(str::to_owned),
        };
        let good = "candidate:1 1 udp 1 10.0.0.9 9 typ host";
        for wrong in [
            init("nonsense", "0", None),
            init(good, "7", None),
            init(good, "0", Some("unknown")),
            init("candidate:1 1 udp 1 10.0.0.9 9 typ host ufrag unknown", "0", None),
            IceCandidateInit { candidate: good.to_owned(), ..IceCandidateInit::default() },
        ] {
            let error = host.peer.add_ice_candidate(now, Some(wrong.clone())).unwrap_err();
            let is_refused = matches!(error, Error::InvalidCandidate { .. } | Error::CandidateWithoutSection);
            assert!(is_refused, "{wrong:?}: {error}");
        }
        host.peer.add_ice_candidate(now, Some(init(good, "0", None))).unwrap();
        host.peer
            .add_ice_candidate(now, Some(init("candidate:1 1 magic 1 10.0.0.9 9 typ host", "0", None)))
            .unwrap();
        host.peer.add_ice_candidate(now, Some(init("", "0", None))).unwrap();
        let remote = host.peer.remote_description().unwrap().sdp;
        assert!(remote.contains(good) && remote.contains("a=end-of-candidates"), "{remote}");
    });
}

#[test]
fn silent_peer_is_disconnected_then_failed() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 6);
    lab.open(ALICE, "chat", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 5, Lab::connected));
    let wall = |link: &mut Link| link.loss = Loss::All;
    let interface = lab.interfaces[BOB];
    lab.network.change_link(interface, |out, into| {
        wall(out);
        wall(into);
    });
    for index in [ALICE, BOB] {
        lab.with(index, |host, _| host.offers = false);
    }
    lab.run_for(SECOND * 90);
    let (alice, states) = (lab.peer(ALICE), &lab.peer(ALICE).states);
    assert_eq!(states[states.len() - 2..], [State::Disconnected, State::Failed]);
    assert_eq!(alice.errors, [Error::Ice]);
}

#[test]
fn peer_without_an_answer_fails_once_and_stays_quiet() {
    let mut lab = Lab::lan(&Configuration::default(), 1.0, 7);
    lab.open(ALICE, "chat", DataChannelInit::default());
    lab.run_until(SECOND, |lab| !lab.peer(ALICE).states.is_empty());
    for index in [ALICE, BOB] {
        lab.with(index, |host, _| host.offers = false);
    }
    lab.run_for(SECOND * 120);
    assert_eq!(lab.peer(ALICE).peer.connection_state(), State::Failed);
    assert_eq!(lab.peer(ALICE).errors, [Error::Ice]);
    let timeouts = lab.network.stats().timeouts;
    lab.run_for(SECOND * 120);
    assert!(lab.network.stats().timeouts - timeouts < 100, "no timer storm");
}

#[test]
fn closed_connection_refuses_calls_and_emits_no_events() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 8);
    lab.open(ALICE, "chat", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 5, Lab::connected));
    lab.with(ALICE, |host, now| {
        host.peer.close(now);
        host.events.clear();
    });
    lab.run_for(SECOND * 2);
    lab.with(ALICE, |host, now| {
        assert!(host.peer.is_drained());
        assert_eq!(host.peer.signaling_state(), SignalingState::Closed);
        assert_eq!(host.peer.connection_state(), State::Closed);
        assert_eq!(host.peer.create_offer(now, OfferOptions::default()), Err(Error::Closed));
        assert_eq!(host.peer.set_local_description(now, None), Err(Error::Closed));
        assert_eq!(host.peer.create_data_channel(now, "", DataChannelInit::default()), Err(Error::Closed));
        let quiet = |event: &Event| matches!(event, Event::ChannelClosed(_, None) | Event::SctpState(_));
        assert!(host.events.iter().all(quiet), "{:?}", host.events);
    });
    let closed = |event: &Event| matches!(event, Event::DtlsState(_, DtlsTransportState::Closed));
    assert!(lab.peer(BOB).events.iter().any(closed));
}

#[test]
fn duplicates_and_reordering_do_not_prevent_connecting() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 9);
    for interface in lab.interfaces.clone() {
        lab.network.change_link(interface, |out, into| {
            (out.duplicate, into.duplicate) = (0.2, 0.2);
            (out.reorder, into.reorder) = (0.2, 0.2);
        });
    }
    lab.open(ALICE, "chat", DataChannelInit::default());
    assert!(lab.run_until(SECOND * 60, Lab::connected), "{:?}", lab.peer(ALICE).errors);
}

/// Returns the number of scenarios, which `NETSIM_SCENARIOS` overrides.
fn scenarios(default: u64) -> u64 {
    std::env::var("NETSIM_SCENARIOS").ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

#[test]
fn peers_connect_with_one_datagram_of_five_damaged() {
    for seed in 0..scenarios(24) {
        let versions = [DtlsVersions::Auto, DtlsVersions::Dtls13, DtlsVersions::Dtls12][seed as usize % 3];
        let configuration = Configuration { dtls_versions: versions, ..Configuration::default() };
        let mut lab = Lab::lan(&configuration, 0.0, seed);
        for interface in lab.interfaces.clone() {
            lab.network.change_link(interface, |out, into| {
                out.corrupt = 0.2;
                (out.duplicate, into.reorder) = (0.1, 0.1);
            });
        }
        let alice = lab.open(ALICE, "chat", DataChannelInit::default());
        let open = |lab: &Lab| lab.both(|host| !host.open.is_empty());
        let done = lab.run_until(SECOND * 55, open);
        let faults = [ALICE, BOB].map(|side| lab.peer(side).errors.clone());
        assert!(done && faults.iter().all(Vec::is_empty), "seed {seed}, {versions:?}: {faults:?}");
        lab.with(ALICE, |host, now| host.peer.send(now, alice, "coo".into()).unwrap());
        let heard = lab.run_until(SECOND * 20, |lab| !lab.peer(BOB).all_received().is_empty());
        assert!(heard, "seed {seed}, {versions:?}");
    }
}
