//! The W3C's report of statistics, of two peers that are connected.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_peer::report::{Object, StatsReport};
use columba_peer::{
    Configuration, DataChannelInit, DtlsVersions, Ecn, Event, Input, Message, Path, Peer, Request,
    TransportId, UnixTime,
};

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
fn start() -> Instant {
    Instant::now()
}

/// Two peers in one process, between whose sockets datagrams are passed.
struct Pair {
    now: Instant,
    sides: [(Peer, Option<TransportId>); 2],
    open: bool,
}

impl Pair {
    fn connect(versions: DtlsVersions) -> Self {
        let now = start();
        let side = |number: u8| {
            let configuration = Configuration { dtls_versions: versions, ..Configuration::default() };
            let mut peer = Peer::new(configuration, now, WALL, [number; 32]).unwrap();
            peer.handle_network_change(now, &[IpAddr::from([10, 0, 0, number]).into()]);
            (peer, None)
        };
        let mut pair = Self { now, sides: [side(1), side(2)], open: false };
        let chat = pair.sides[0].0.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
        for _ in 0..2000 {
            pair.step();
            if pair.open {
                pair.sides[0].0.send(pair.now, chat, Message::from("coo")).unwrap();
                (0..100).for_each(|_| pair.step());
                return pair;
            }
        }
        panic!("no connection with {versions:?}");
    }

    fn step(&mut self) {
        for from in 0..2 {
            self.serve(from);
        }
        self.now += Duration::from_millis(5);
        let now = self.now;
        self.sides.iter_mut().for_each(|(peer, _)| peer.handle_timeout(now));
    }

    fn serve(&mut self, from: usize) {
        let now = self.now;
        let (peer, socket) = &mut self.sides[from];
        while let Some((transport, request)) = peer.poll_request() {
            if let Request::BindUdp { id, address } = request {
                peer.handle_input(now, transport, Input::Bound { id, local: SocketAddr::new(address, 4000) });
                *socket = Some(transport);
            }
        }
        while let Some(event) = self.sides[from].0.poll_event() {
            match event {
                Event::NegotiationNeeded => {
                    let offer = self.sides[from].0.set_local_description(now, None).unwrap();
                    self.sides[1 - from].0.set_remote_description(now, offer).unwrap();
                    let answer = self.sides[1 - from].0.set_local_description(now, None).unwrap();
                    self.sides[from].0.set_remote_description(now, answer).unwrap();
                }
                Event::IceCandidate(Some(candidate)) => {
                    self.sides[1 - from].0.add_ice_candidate(now, Some(candidate.init)).unwrap();
                }
                Event::ChannelOpen(_) => self.open = true,
                _ => {}
            }
        }
        let mut buf = vec![0; 65_536];
        while let Some(transmit) = self.sides[from].0.poll_transmit(now, &mut buf) {
            let path = Path::udp(transmit.path.remote, transmit.path.local);
            let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
            let (peer, socket) = &mut self.sides[1 - from];
            let Some(socket) = *socket else { continue };
            for datagram in buf[transmit.range].chunks_mut(size) {
                peer.handle_datagram(now, socket, path, Ecn::NotEct, None, datagram);
            }
        }
    }

    fn report(&self, side: usize) -> StatsReport {
        self.sides[side].0.stats_report(self.now)
    }
}

fn all<'a, T>(report: &'a StatsReport, pick: impl Fn(&'a Object) -> Option<T>) -> Vec<T> {
    report.entries.iter().filter_map(|entry| pick(&entry.object)).collect()
}

#[test]
fn report_of_a_connection_names_everything_once() {
    let ciphers =
        [(DtlsVersions::Dtls12, "FEFD", "TLS_ECDHE_ECDSA_WITH_"), (DtlsVersions::Dtls13, "FEFC", "TLS_AES_")];
    for (versions, version, cipher) in ciphers {
        let pair = Pair::connect(versions);
        let reports = [pair.report(0), pair.report(1)];
        for report in &reports {
            let mut ids: Vec<_> = report.entries.iter().map(|entry| &entry.id).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), report.entries.len(), "identifiers are unique");
            let transports = all(report, |object| match object {
                Object::Transport(one) => Some(one),
                _ => None,
            });
            let [transport] = transports.as_slice() else { panic!("{report:?}") };
            assert_eq!((transport.dtls_state, transport.tls_version), ("connected", Some(version)));
            assert!(transport.dtls_cipher.unwrap().starts_with(cipher), "{:?}", transport.dtls_cipher);
            assert!(transport.tls_group.is_some() && transport.srtp_cipher.is_some());
            assert_eq!(transport.selected_candidate_pair_changes, 1);
            assert!(transport.bytes_sent > 0 && transport.packets_received > 0);
            let own = report.get(&transport.local_certificate_id);
            let theirs = report.get(transport.remote_certificate_id.as_ref().unwrap());
            assert!(matches!((own, theirs), (Some(Object::Certificate(_)), Some(Object::Certificate(_)))));
            let Some(Object::CandidatePair(selected)) =
                report.get(transport.selected_candidate_pair_id.as_ref().unwrap())
            else {
                panic!("{report:?}")
            };
            assert_eq!((selected.state, selected.nominated), ("succeeded", true));
            assert!(selected.requests_sent > 0 && selected.responses_received > 0);
            let at = selected.last_packet_received_timestamp.unwrap();
            assert!(at >= 1_790_000_000_000.0 && at <= report.entries[0].timestamp, "{at}");
            assert!(matches!(report.get(&selected.local_candidate_id), Some(Object::LocalCandidate(_))));
            assert!(matches!(report.get(&selected.remote_candidate_id), Some(Object::RemoteCandidate(_))));
            assert!(report.get(&selected.transport_id).is_some());
        }
        let cipher = |side: usize| {
            all(&reports[side], |object| match object {
                Object::Transport(one) => Some((one.dtls_cipher, one.tls_group, one.srtp_cipher)),
                _ => None,
            })
        };
        assert_eq!(cipher(0), cipher(1), "both sides read the same choice");
        let sent = all(&reports[0], |object| match object {
            Object::DataChannel(one) => Some((one.label.as_str(), one.state, one.messages_sent)),
            _ => None,
        });
        assert_eq!(sent, [("chat", "open", 1)]);
    }
}

#[test]
fn identifiers_stay_the_same() {
    let mut pair = Pair::connect(DtlsVersions::Auto);
    let ids = |report: StatsReport| report.entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    let before = ids(pair.report(0));
    (0..50).for_each(|_| pair.step());
    assert_eq!(ids(pair.report(0)), before);
}

/// A connection that is new has its transport and its certificate only.
#[test]
fn report_of_a_new_connection_is_short() {
    let peer = Peer::new(Configuration::default(), start(), WALL, [1; 32]).unwrap();
    let report = peer.stats_report(start());
    let kinds: Vec<_> = report.entries.iter().map(|entry| entry.id.chars().next().unwrap()).collect();
    assert_eq!(kinds, ['P', 'C', 'T']);
    let Some(Object::Transport(transport)) = report.get("T0") else { panic!("{report:?}") };
    assert_eq!((transport.ice_state, transport.dtls_state, transport.dtls_role), ("new", "new", "unknown"));
    assert_eq!((transport.tls_version, transport.dtls_cipher), (None, None));
}

#[cfg(feature = "serde")]
#[test]
fn json_is_that_of_browsers() {
    let pair = Pair::connect(DtlsVersions::Auto);
    let json = serde_json::to_value(pair.report(0)).unwrap();
    let find = |kind: &str| json.as_array().unwrap().iter().find(|one| one["type"] == kind).unwrap().clone();
    assert_eq!(find("peer-connection")["dataChannelsOpened"], 1);
    let transport = find("transport");
    assert_eq!(transport["selectedCandidatePairChanges"], 1);
    assert_eq!(transport["dtlsState"], "connected");
    assert!(transport["iceLocalUsernameFragment"].is_string() && transport["timestamp"].is_f64());
    let pair = find("candidate-pair");
    assert!(pair["consentRequestsSent"].is_u64() && pair["currentRoundTripTime"].is_f64());
    let local = find("local-candidate");
    assert_eq!((&local["candidateType"], &local["protocol"]), (&"host".into(), &"udp".into()));
    assert!(local.get("relayProtocol").is_none(), "absent members are left out");
    assert_eq!(find("certificate")["fingerprintAlgorithm"], "sha-256");
    assert_eq!(find("data-channel")["dataChannelIdentifier"], 1);
    find("remote-candidate");
}
