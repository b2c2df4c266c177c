//! Handshakes that travel earlier than their turn, and key exchanges for the time of quantum
//! computers: between peers whose descriptions say so, and with others.

use std::cell::RefCell;
use std::time::Duration;

use columba_peer::{
    Configuration, DataChannelInit, DtlsVersions, Event, IceConnectionState, MediaConfidentiality, Message,
    PostQuantum, SdpType, SessionDescription, SignalingState,
};

use crate::lab::{ALICE, BOB, Forge, Lab, SECOND};

fn early() -> Configuration {
    Configuration::default()
}

fn late() -> Configuration {
    Configuration { early_handshakes: false, ..Configuration::default() }
}

/// The round-trip time between two hosts of the lab: two links, there and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// A description as another implementation writes it.
fn of_another(description: SessionDescription) -> SessionDescription {
    let is_ours = |line: &&str| !line.starts_with("a=dtls-groups") && !line.starts_with("a=sctp-init");
    let lines = description.sdp.lines().filter(is_ours);
    let sdp = lines.fold(String::new(), |text, line| text + &line.replace(" sped", "") + "\r\n");
    SessionDescription { sdp, ..description }
}

thread_local! {
    static OFFERED_INIT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Descriptions whose answers repeat the line of the offer for SCTP, as libdatachannel repeats what
/// it does not know.
fn mirrored(description: SessionDescription) -> SessionDescription {
    let is_init = |line: &&str| line.starts_with("a=sctp-init");
    if description.kind == SdpType::Offer {
        let init = description.sdp.lines().find(is_init).unwrap_or_default();
        OFFERED_INIT.set(init.to_owned());
        return description;
    }
    let mut description = of_another(description);
    OFFERED_INIT.with_borrow(|init| description.sdp.push_str(&format!("{init}\r\n")));
    description
}

fn of_another_in_offers(description: SessionDescription) -> SessionDescription {
    if description.kind == SdpType::Offer { of_another(description) } else { description }
}

fn of_another_in_answers(description: SessionDescription) -> SessionDescription {
    if description.kind == SdpType::Answer { of_another(description) } else { description }
}

fn group(lab: &Lab, index: usize) -> Option<&'static str> {
    lab.peer(index)
        .peer
        .stats(lab.network.now())
        .transports
        .first()
        .and_then(|transport| transport.dtls.group)
}

/// Two peers that open a channel. Returns the lab, connected.
fn opened(configuration: &Configuration, forge: Forge, loss: f64, seed: u64) -> Lab {
    let mut lab = Lab::lan(configuration, loss, seed);
    lab.forge = forge;
    lab.step = Duration::from_millis(1);
    lab.open(ALICE, "early", DataChannelInit::default());
    assert!(lab.run_until(60 * SECOND, both_open), "{:?} {:?}", lab.summary(ALICE), lab.summary(BOB));
    lab
}

fn both_open(lab: &Lab) -> bool {
    lab.both(|host| !host.open.is_empty())
}

#[test]
fn peers_of_ours_exchange_post_quantum_keys() {
    for (post_quantum, forge, expected) in [
        (PostQuantum::Negotiated, (|same| same) as Forge, "X25519MLKEM768"),
        (PostQuantum::Negotiated, of_another, "x25519"),
        (PostQuantum::Always, of_another, "X25519MLKEM768"),
        (PostQuantum::Never, |same| same, "x25519"),
    ] {
        let lab = opened(&Configuration { post_quantum, ..early() }, forge, 0.0, 1);
        assert_eq!([group(&lab, ALICE), group(&lab, BOB)], [Some(expected); 2], "{post_quantum:?}");
    }
}

#[test]
fn post_quantum_keys_are_not_promised_without_dtls_13() {
    let configuration = Configuration { dtls_versions: DtlsVersions::Dtls12, ..Configuration::default() };
    let lab = opened(&configuration, |same| same, 0.0, 1);
    assert_eq!(group(&lab, ALICE), Some("x25519"));
    let offer = lab.peer(ALICE).peer.local_description().unwrap();
    assert!(!offer.sdp.contains("dtls-groups"));
}

/// Round trips from the moment at which both sides have both descriptions to a channel that is open
/// at both.
fn round_trips(configuration: &Configuration, forge: Forge) -> f64 {
    let mut lab = Lab::lan(configuration, 0.0, 1);
    (lab.forge, lab.step, lab.signaling) = (forge, Duration::from_millis(1), Duration::ZERO);
    lab.open(ALICE, "early", DataChannelInit::default());
    let is_described = |lab: &Lab| {
        lab.both(|host| {
            let is_stable = host.peer.signaling_state() == SignalingState::Stable;
            is_stable && host.peer.current_remote_description().is_some()
        })
    };
    assert!(lab.run_until(SECOND, is_described));
    let start = lab.network.now();
    assert!(lab.run_until(10 * SECOND, both_open));
    (lab.network.now() - start).as_secs_f64() / ROUND_TRIP.as_secs_f64()
}

#[test]
fn early_handshakes_save_round_trips() {
    let (configuration, late) = (early(), late());
    let (soon, usual) = (round_trips(&configuration, |same| same), round_trips(&late, |same| same));
    eprintln!("round trips: {soon}, otherwise {usual}");
    assert!(soon <= 2.0 && usual >= 4.0, "{soon} and {usual}");
    assert!(round_trips(&configuration, of_another) >= usual, "others have not offered it");
}

/// Handshakes ahead of the path are not told before it: states and events come in one order, early
/// or not.
#[test]
fn events_come_in_the_same_order_as_without() {
    let told = |configuration: &Configuration, seed, index| {
        let lab = opened(configuration, |same| same, 0.0, seed);
        let is_state = |event: &&Event| {
            matches!(
                event,
                Event::DtlsState(..)
                    | Event::ConnectionState(_)
                    | Event::IceConnectionState(IceConnectionState::Checking | IceConnectionState::Connected)
                    | Event::SctpState(_)
                    | Event::ChannelOpen(_)
                    | Event::DataChannel(_)
            )
        };
        lab.peer(index).events.iter().filter(is_state).cloned().collect::<Vec<_>>()
    };
    for seed in 0..8 {
        for index in [ALICE, BOB] {
            assert_eq!(told(&early(), seed, index), told(&late(), seed, index), "seed {seed}");
        }
    }
}

/// RFC 8833: peers of ours agree on `webrtc`, and on `c-webrtc` if one of them needs it.
#[test]
fn confidentiality_of_media_is_agreed_upon() {
    use MediaConfidentiality::{Optional, Required};
    for dtls_versions in [DtlsVersions::Dtls12, DtlsVersions::Dtls13] {
        for (alice, bob, protocol) in [
            (Optional, Optional, "webrtc"),
            (Required, Optional, "c-webrtc"),
            (Optional, Required, "c-webrtc"),
            (Required, Required, "c-webrtc"),
        ] {
            let of = |media_confidentiality| Configuration {
                media_confidentiality,
                dtls_versions,
                ..Configuration::default()
            };
            let mut lab = Lab::lan_of([&of(alice), &of(bob)], 0.0, 1);
            lab.open(ALICE, "quiet", DataChannelInit::default());
            assert!(lab.run_until(10 * SECOND, both_open), "{alice:?} {bob:?}");
            for index in [ALICE, BOB] {
                let stats = lab.peer(index).peer.stats(lab.network.now());
                assert_eq!(stats.transports[0].dtls.application_protocol.as_deref(), Some(protocol));
            }
        }
    }
}

/// Early handshakes at their worst: they connect, and no later than others.
#[test]
fn early_handshakes_survive_loss() {
    let late = late();
    let mut sums = [Duration::ZERO; 2];
    for seed in 0..12 {
        for (sum, configuration) in sums.iter_mut().zip([&early(), &late]) {
            let mut lab = Lab::lan(configuration, 0.3, seed);
            let start = lab.network.now();
            lab.open(ALICE, "early", DataChannelInit::default());
            assert!(lab.run_until(60 * SECOND, both_open), "{:?}", lab.summary(ALICE));
            assert!(lab.both(|host| host.errors.is_empty()));
            *sum += lab.network.now() - start;
        }
    }
    eprintln!("with a loss of 30 %: {:?}, otherwise {:?}", sums[0] / 12, sums[1] / 12);
    assert!(sums[0] < sums[1]);
}

/// The first search for a path finds none: ICE restarts, with another session below the same
/// handshake.
#[test]
fn handshake_that_is_embedded_outlives_a_restart() {
    for restarter in [ALICE, BOB] {
        let mut lab = Lab::lan(&early(), 0.0, 1);
        let interface = lab.interfaces[BOB];
        lab.network.set_up(interface, false);
        lab.open(ALICE, "early", DataChannelInit::default());
        lab.run_for(5 * SECOND);
        assert!(!lab.connected());
        lab.network.set_up(interface, true);
        lab.with(restarter, |host, now| host.peer.restart_ice(now));
        assert!(lab.run_until(20 * SECOND, both_open), "{:?} {:?}", lab.summary(ALICE), lab.summary(BOB));
        assert!(lab.both(|host| host.errors.is_empty()));
    }
}

/// Signaling that loses the lines in one direction.
#[test]
fn one_side_without_the_others_init_connects() {
    for forge in [of_another_in_offers as Forge, of_another_in_answers, mirrored] {
        for loss in [0.0, 0.2] {
            for seed in 0..8 {
                let mut lab = opened(&early(), forge, loss, seed);
                for index in [ALICE, BOB] {
                    lab.with(index, |host, now| {
                        let channel = host.open[0];
                        host.peer.send(now, channel, Message::from("coo")).unwrap();
                    });
                }
                let heard = |lab: &Lab| lab.both(|host| host.all_received() == [Message::from("coo")]);
                assert!(lab.run_until(30 * SECOND, heard), "{:?}", lab.summary(ALICE));
                assert!(lab.both(|host| host.errors.is_empty() && host.closed.is_empty()));
            }
        }
    }
}
