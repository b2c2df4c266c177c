//! Every dictionary and member of webrtc-stats that exists without streams of RTP, by its name. All
//! of them: `members`.

#![cfg_attr(not(feature = "serde"), allow(dead_code, unused_imports, reason = "names are those of JSON"))]

use std::collections::BTreeSet;

use columba_netsim::Nat;
use columba_peer::{
    DataChannelInit, Error, ErrorKind, Message, StatsSelector, Track, TrackKind, TransceiverInit,
};

use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

/// The type of an object, the members that it always has, and those that it may have.
type Dictionary = (&'static str, &'static [&'static str], &'static [&'static str]);

const DICTIONARIES: [Dictionary; 7] = [
    ("peer-connection", &["dataChannelsOpened", "dataChannelsClosed"], &[]),
    (
        "transport",
        &[
            "packetsSent",
            "packetsReceived",
            "bytesSent",
            "bytesReceived",
            "iceRole",
            "iceLocalUsernameFragment",
            "dtlsState",
            "iceState",
            "localCertificateId",
            "dtlsRole",
            "selectedCandidatePairChanges",
            "selectedCandidatePairId",
            "remoteCertificateId",
            "tlsVersion",
            "dtlsCipher",
            // Not in webrtc-stats; the group of the key exchange is said by Chromium, too.
            "tlsGroup",
            "srtpCipher",
        ],
        &[],
    ),
    (
        "candidate-pair",
        &[
            "transportId",
            "localCandidateId",
            "remoteCandidateId",
            "state",
            "nominated",
            "packetsSent",
            "packetsReceived",
            "bytesSent",
            "bytesReceived",
            "totalRoundTripTime",
            "requestsReceived",
            "requestsSent",
            "responsesReceived",
            "responsesSent",
            "consentRequestsSent",
            "packetsDiscardedOnSend",
            "bytesDiscardedOnSend",
        ],
        &[
            "lastPacketSentTimestamp",
            "lastPacketReceivedTimestamp",
            "currentRoundTripTime",
            "availableOutgoingBitrate",
        ],
    ),
    ("local-candidate", CANDIDATE, LOCAL_CANDIDATE),
    ("remote-candidate", CANDIDATE, &["relatedAddress", "relatedPort", "usernameFragment", "tcpType"]),
    ("certificate", &["fingerprint", "fingerprintAlgorithm", "base64Certificate"], &[]),
    (
        "data-channel",
        &[
            "label",
            "protocol",
            "dataChannelIdentifier",
            "state",
            "messagesSent",
            "bytesSent",
            "messagesReceived",
            "bytesReceived",
        ],
        &[],
    ),
];

const CANDIDATE: &[&str] =
    &["transportId", "address", "port", "protocol", "candidateType", "priority", "foundation"];

const LOCAL_CANDIDATE: &[&str] =
    &["url", "relayProtocol", "relatedAddress", "relatedPort", "usernameFragment", "tcpType"];

/// Members that never have a value here: what RTP would estimate, and the issuer of a certificate
/// that has signed itself.
const ABSENT: [&str; 2] = ["availableIncomingBitrate", "issuerCertificateId"];

/// Two sides that are connected over a relay, with a section of audio besides.
fn relayed() -> Lab {
    let mut lab = Lab::homes([Nat::SYMMETRIC; 2], &with_turn(), 0.0, 3);
    let channel = lab.open(ALICE, "chat", DataChannelInit::default());
    lab.with(ALICE, |host, now| {
        host.peer.add_track(now, Track::audio("microphone"), vec!["stream".to_owned()]).unwrap();
    });
    let is_open = |lab: &Lab| lab.peer(ALICE).open.contains(&channel);
    assert!(lab.run_until(SECOND * 60, is_open), "{}", lab.network.trace());
    lab.with(ALICE, |host, now| host.peer.send(now, channel, Message::from("coo")).unwrap());
    lab.run_for(SECOND * 10);
    lab
}

#[cfg(feature = "serde")]
#[test]
fn every_member_of_webrtc_stats_is_there_by_its_name() {
    let lab = relayed();
    let now = lab.network.now();
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    for side in [ALICE, BOB] {
        let report = serde_json::to_value(lab.peer(side).peer.stats_report(now)).unwrap();
        for object in report.as_array().unwrap() {
            let kind = object["type"].as_str().unwrap().to_owned();
            let (_, always, sometimes) = DICTIONARIES.iter().find(|(name, ..)| *name == kind).unwrap();
            let members: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
            for member in always.iter().chain(&["id", "type", "timestamp"]) {
                assert!(members.contains(member), "{kind} without {member}: {object}");
            }
            for member in members {
                let is_known = always.contains(&member)
                    || sometimes.contains(&member)
                    || ["id", "type", "timestamp"].contains(&member);
                assert!(is_known && !ABSENT.contains(&member), "{kind} with {member}");
                seen.insert((kind.clone(), member.to_owned()));
            }
        }
    }
    for (kind, always, sometimes) in DICTIONARIES {
        for member in always.iter().chain(sometimes) {
            assert!(seen.contains(&(kind.to_owned(), (*member).to_owned())), "no {kind} has {member}");
        }
    }
}

#[test]
fn report_of_a_selector_has_what_it_refers_to_and_nothing_else() {
    let lab = relayed();
    let (peer, now) = (&lab.peer(ALICE).peer, lab.network.now());
    let id = peer.transceivers()[0].id;
    let whole = peer.stats_report(now);
    for selector in [
        StatsSelector::Sender(id),
        StatsSelector::Receiver(id),
        StatsSelector::Track("microphone".to_owned()),
    ] {
        let part = peer.stats_report_of(now, &selector).unwrap();
        let mut kinds: Vec<_> = part.entries.iter().map(|one| one.id.chars().next().unwrap()).collect();
        kinds.sort_unstable();
        // The transport, two certificates and the pair, and a candidate of each side.
        assert_eq!(kinds, ['C', 'C', 'C', 'L', 'R', 'T'], "{part:?}");
        assert!(part.entries.iter().all(|one| whole.entries.contains(one)), "the same identifiers");
    }
    let unknown = peer.stats_report_of(now, &StatsSelector::Track("camera".to_owned())).unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::InvalidAccessError);
}

#[test]
fn selector_without_a_transport_has_an_empty_report_and_a_shared_track_none() {
    let mut lab = Lab::homes([Nat::PORT; 2], &with_turn(), 0.0, 3);
    lab.with(ALICE, |host, now| {
        let init = TransceiverInit::default();
        let id = host.peer.add_transceiver(now, TrackKind::Video, init).unwrap();
        assert!(host.peer.stats_report_of(now, &StatsSelector::Sender(id)).unwrap().entries.is_empty());
        let track = host.peer.transceiver(id).unwrap().receiver.track;
        host.peer.add_track(now, track.clone(), Vec::new()).unwrap();
        let error = host.peer.stats_report_of(now, &StatsSelector::Track(track.id)).unwrap_err();
        assert!(matches!(error, Error::NoSuchTrack { .. }), "{error}");
    });
}

#[test]
fn packets_that_sockets_do_not_take_are_counted_at_their_pair() {
    let mut lab = relayed();
    let stats = lab.peer(ALICE).peer.stats(lab.network.now());
    let transport = &stats.transports[0];
    let selected = transport.ice.transport.selected_pair;
    let pair = transport.ice.pairs.iter().find(|pair| Some(pair.id) == selected).unwrap();
    let (id, path) = (transport.id, pair.path.unwrap());
    lab.with(ALICE, |host, now| {
        host.peer.note_discarded(id, path, 2, 2400);
        host.peer.note_discarded(id, path, 1, 40);
        let report = host.peer.stats_report(now);
        let discarded = report.entries.iter().filter_map(|entry| match &entry.object {
            columba_peer::report::Object::CandidatePair(pair) if pair.packets_discarded_on_send > 0 => {
                Some((pair.packets_discarded_on_send, pair.bytes_discarded_on_send))
            }
            _ => None,
        });
        let discarded: Vec<_> = discarded.collect();
        // Pairs of one path are one path to the kernel.
        assert!(!discarded.is_empty() && discarded.iter().all(|one| *one == (3, 2440)), "{discarded:?}");
    });
}
