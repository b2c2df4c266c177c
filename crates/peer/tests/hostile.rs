//! Input of an attacker: descriptions, candidates and datagrams. Nothing panics, and memory
//! stays bounded.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_peer::{
    Configuration, DataChannelInit, Ecn, IceCandidateInit, Input, Path, Peer, Request, SdpType,
    SessionDescription, TransportId, UnixTime,
};
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
fn start() -> Instant {
    Instant::now()
}

fn peer(now: Instant) -> Peer {
    let wall = UnixTime(Duration::from_secs(1_790_000_000));
    let mut peer = Peer::new(Configuration::default(), now, wall, [7; 32]).unwrap();
    peer.handle_network_change(now, &["10.0.0.1".parse::<IpAddr>().unwrap().into()]);
    peer.create_data_channel(now, "chat", DataChannelInit::default()).unwrap();
    peer
}

/// Does what the peer asks for; returns its socket's transport and address.
fn drain(peer: &mut Peer, now: Instant) -> Option<(TransportId, SocketAddr)> {
    let mut socket = None;
    while let Some((transport, request)) = peer.poll_request() {
        if let Request::BindUdp { id, address } = request {
            let local = SocketAddr::new(address, 4000);
            socket = Some((transport, local));
            peer.handle_input(now, transport, Input::Bound { id, local });
        }
    }
    while peer.poll_event().is_some() {}
    let mut buf = vec![0; 65_536];
    for _ in 0..1000 {
        if peer.poll_transmit(now, &mut buf).is_none() {
            return socket;
        }
    }
    panic!("it never stops sending");
}

fn recorded() -> Vec<String> {
    let directory = format!("{}/../sdp/tests/data", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "sdp"));
    files.into_iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// A recorded description with some of its lines lost, doubled, swapped or scratched.
fn mangled() -> impl Strategy<Value = String> {
    let change = (0..4_u8, any::<prop::sample::Index>(), any::<prop::sample::Index>(), "[ -~]{0,12}");
    (prop::sample::select(recorded()), prop::collection::vec(change, 0..6)).prop_map(|(text, changes)| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (kind, one, two, scratch) in changes {
            if lines.is_empty() {
                break;
            }
            let (one, two) = (one.index(lines.len()), two.index(lines.len()));
            match kind {
                0 => drop(lines.remove(one)),
                1 => lines.insert(two, lines[one].clone()),
                2 => lines.swap(one, two),
                _ => {
                    let keep = lines[one].len().min(6);
                    lines[one].truncate(keep);
                    lines[one].push_str(&scratch);
                }
            }
        }
        lines.join("\r\n") + "\r\n"
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_descriptions_are_answered_or_refused(
        texts in prop::collection::vec((mangled(), any::<bool>()), 1..4),
        offers: bool,
    ) {
        let now = start();
        let mut peer = peer(now);
        if offers {
            peer.set_local_description(now, None).unwrap();
        }
        for (text, answer) in texts {
            let kind = if answer { SdpType::Answer } else { SdpType::Offer };
            let before = peer.remote_description();
            match peer.set_remote_description(now, SessionDescription { kind, sdp: text }) {
                Ok(()) if !answer => {
                    let answer = peer.set_local_description(now, None).unwrap();
                    prop_assert_eq!(answer.kind, SdpType::Answer);
                    prop_assert!(answer.sdp.parse::<columba_sdp::SessionDescription>().is_ok());
                }
                Ok(()) => {}
                Err(error) => {
                    prop_assert!(!error.to_string().is_empty());
                    prop_assert_eq!(peer.remote_description(), before, "a refused description changes nothing");
                }
            }
            drain(&mut peer, now);
        }
    }

    #[test]
    fn random_candidates_are_taken_or_refused(
        candidate in "(candidate:)?[ -~]{0,40}|candidate:1 1 (udp|tcp) [0-9]{1,11} [0-9a-f.:]{2,20} [0-9]{1,6} typ (host|srflx|relay)( [a-z]{1,9} [ -~]{1,9}){0,3}",
        mid in prop::option::of("[0-2]"),
        index in prop::option::of(0..3_u16),
        ufrag in prop::option::of("[a-z]{4}"),
    ) {
        let now = start();
        let mut peer = peer(now);
        let offer = recorded().into_iter().find(|text| text.contains("jyv+")).unwrap();
        peer.set_remote_description(now, SessionDescription::offer(offer)).unwrap();
        let init = IceCandidateInit { candidate, sdp_mid: mid, sdp_m_line_index: index, username_fragment: ufrag };
        let _ = peer.add_ice_candidate(now, Some(init));
        drain(&mut peer, now);
    }

    #[test]
    fn random_datagrams_are_survived(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..40),
    ) {
        let mut now = start();
        let mut peer = peer(now);
        let offer = recorded().into_iter().find(|text| text.contains("jyv+")).unwrap();
        peer.set_remote_description(now, SessionDescription::offer(offer)).unwrap();
        peer.set_local_description(now, None).unwrap();
        let (transport, local) = drain(&mut peer, now).unwrap();
        for mut datagram in datagrams {
            let path = Path::udp(local, "10.0.0.2:5000".parse().unwrap());
            peer.handle_datagram(now, transport, path, Ecn::NotEct, None, &mut datagram);
            drain(&mut peer, now);
            now += Duration::from_millis(10);
            peer.handle_timeout(now);
        }
    }
}
