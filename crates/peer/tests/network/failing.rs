//! Failures: each is reported by one error.

use columba_netsim::{Link, Loss};
use columba_peer::{
    Configuration, DataChannelInit, DtlsTransportState, DtlsVersions, Ecn, Error, Event, IceCandidateInit,
    OfferOptions, Path, PeerConnectionState as State, SdpType, SessionDescription, SignalingState,
    TransportId,
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
        // W3C: `error` of the transport, then its state, in one task.
        for index in [ALICE, BOB] {
            let failed = Event::DtlsState(TransportId::FIRST, DtlsTransportState::Failed);
            let is_failure =
                |task: &Vec<Event>| matches!(&task[..], [Event::Error(_), last] if *last == failed);
            let host = lab.peer(index);
            assert!(host.tasks.iter().any(is_failure), "{:?}", host.tasks);
        }
    }
}

/// An answer whose credentials are another's: no check of this side is answered, and the other side
/// waits in vain: for DTLS or, where DTLS travels in its checks, for SCTP.
#[test]
fn credentials_of_another_never_connect() {
    for early_handshakes in [false, true] {
        let configuration = Configuration { early_handshakes, ..Configuration::default() };
        let errors = never_connected_by_credentials_of_another(&configuration);
        let is_late = matches!(&errors[..], [Error::Ice, Error::Dtls { .. }]);
        assert!(if early_handshakes { errors.contains(&Error::Ice) } else { is_late }, "{errors:?}");
    }
}

fn never_connected_by_credentials_of_another(configuration: &Configuration) -> Vec<Error> {
    let mut lab = Lab::lan(configuration, 0.0, 12);
    lab.forge = |description| match description.kind {
        SdpType::Answer => {
            let lines = description.sdp.lines().map(|line| match line {
                _ if line.starts_with("a=ice-ufrag:") => "a=ice-ufrag:another",
                _ if line.starts_with("a=ice-pwd:") => "a=ice-pwd:anothersanothersanothers",
                _ => line,
            });
            SessionDescription {
                sdp: lines.fold(String::new(), |sdp, line| sdp + line + "\r\n"),
                ..description
            }
        }
        _ => description,
    };
    // Candidates of the true generation are refused: they do not belong to the answer.
    lab.with(ALICE, |host, _| host.tolerates = true);
    let channel = lab.open(ALICE, "chat", DataChannelInit::default());
    for index in [ALICE, BOB] {
        lab.with(index, |host, _| host.offers = index == ALICE);
    }
    lab.run_for(SECOND * 5);
    lab.with(ALICE, |host, _| host.offers = false);
    lab.run_for(SECOND * 85);
    assert!(lab.both(|host| host.open.is_empty() && !host.states.contains(&State::Connected)));
    assert!(lab.peer(ALICE).peer.channel_state(channel).is_some());
    let bob = lab.peer(BOB);
    assert_eq!(bob.peer.connection_state(), State::Failed);
    let errors = bob.errors.clone();
    let timeouts = lab.network.stats().timeouts;
    lab.run_for(SECOND * 60);
    assert!(lab.network.stats().timeouts - timeouts < 200, "no timer storm");
    errors
}

/// An answer with more or fewer sections than the offer, or with others, is refused, and the right
/// one is taken after it.
#[test]
fn answers_of_other_sections_change_nothing() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 13);
    lab.carries_signals = false;
    lab.open(ALICE, "chat", DataChannelInit::default());
    let offer = lab.with(ALICE, |host, _| host.peer.local_description().unwrap());
    lab.with(BOB, |host, now| {
        host.peer.set_remote_description(now, offer).unwrap();
        host.peer.set_local_description(now, None).unwrap();
    });
    let answer = lab.with(BOB, |host, _| host.peer.local_description().unwrap());
    lab.run_for(SECOND / 10);
    let section = answer.sdp.find("m=application").unwrap();
    let (head, data) = answer.sdp.split_at(section);
    let another = data.replace("a=mid:0", "a=mid:1");
    let audio =
        "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=inactive\r\na=rtcp-mux\r\n";
    for wrong in [
        format!("{head}{data}{another}"),
        head.to_owned(),
        format!("{head}{another}"),
        format!("{head}{audio}"),
    ] {
        let error = lab.with(ALICE, |host, now| {
            host.peer.set_remote_description(now, SessionDescription::answer(wrong.clone())).unwrap_err()
        });
        assert!(matches!(error, Error::InvalidDescription { .. }), "{error}: {wrong}");
        assert_eq!(lab.peer(ALICE).peer.signaling_state(), SignalingState::HaveLocalOffer);
    }
    lab.carries_signals = true;
    lab.with(ALICE, |host, now| host.peer.set_remote_description(now, answer).unwrap());
    assert!(lab.run_until(SECOND * 10, Lab::connected), "{:?}", lab.summary(ALICE));
}

/// Datagrams that look like DTLS, from the path of the other side and from elsewhere: handshakes,
/// alerts, records of the future, thousands of each, before the handshake, during it and after.
#[test]
fn floods_of_dtls_neither_break_a_connection_nor_fill_the_memory() {
    let mut lab = Lab::lan(&Configuration::default(), 0.0, 14);
    lab.open(ALICE, "chat", DataChannelInit::default());
    let hello = |number: u8| {
        let mut record =
            vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, number, 0, 60, 1, 0, 0, 48, 0, number, 0, 0, 0, 0, 48];
        record.resize(73, number);
        record
    };
    let alert = |number: u8| vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 1, number, 0, 2, 2, number];
    let future = |number: u8| {
        let mut record = vec![23, 254, 253, 0, number, 0, 0, 0, 0, 1, 0, 0, 40];
        record.resize(53, number);
        record
    };
    // An alert without protection ends a handshake, as it must: the other side has no other way.
    let flood = |lab: &mut Lab| {
        let is_connected = lab.connected();
        let others = [lab.peer(ALICE).address(), lab.peer(BOB).address(), "10.9.9.9".parse().unwrap()];
        for index in [ALICE, BOB] {
            lab.with(index, |host, now| {
                for number in 0..3000_u32 {
                    let mut bytes = match number % 3 {
                        0 => hello(number as u8),
                        1 if is_connected => alert(number as u8),
                        _ => future(number as u8),
                    };
                    for (local, transport) in host.bound() {
                        for remote in others {
                            let path = Path::udp(local, (remote, 40_001).into());
                            host.peer.handle_datagram(now, transport, path, Ecn::NotEct, None, &mut bytes);
                        }
                    }
                }
            });
        }
    };
    for _ in 0..60 {
        lab.run_for(SECOND / 100);
        if !lab.connected() {
            flood(&mut lab);
        }
    }
    let connected = lab.run_until(SECOND * 60, Lab::connected);
    assert!(connected, "{:?} {:?}", lab.summary(ALICE), lab.summary(BOB));
    for _ in 0..5 {
        flood(&mut lab);
        lab.run_for(SECOND);
    }
    assert!(lab.connected() && lab.both(|host| host.errors.is_empty()));
    let known = lab.peer(BOB).all_received().len();
    let channel = lab.peer(ALICE).open[0];
    lab.with(ALICE, |host, now| host.peer.send(now, channel, "coo".into()).unwrap());
    assert!(lab.run_until(SECOND, |lab| lab.peer(BOB).all_received().len() > known));
    let dropped = lab.peer(BOB).peer.stats(lab.network.now()).dropped;
    assert!(dropped.dtls >= 3000, "{dropped:?}");
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
