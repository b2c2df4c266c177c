//! Candidate lines, as the signaling brings them: each is read, taken by a peer with an agent under
//! it, and checked for a while.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use columba_peer::{
    Certificate, Configuration, DataChannelInit, IceCandidateInit, Input, Peer, Request, SdpType,
    SessionDescription, UnixTime,
};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

/// Lines of one input; more only take longer.
const MAX_LINES: usize = 150;

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

/// The offer of the other side.
const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:them\r\n\
    a=ice-pwd:a-password-of-enough-letters\r\na=ice-options:trickle\r\na=setup:actpass\r\na=sctp-port:5000\r\n\
    a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F\r\n";

/// Takes the lines of a text as candidates. Returns how many were taken.
pub(crate) fn lines(data: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(data) else { return 0 };
    let mut now = start();
    let mut buffer = vec![0; 65_536];
    let mut peer = peer(now, &mut buffer);
    let mut taken = 0;
    for line in text.lines().take(MAX_LINES) {
        let init = IceCandidateInit {
            candidate: line.strip_prefix("a=").unwrap_or(line).to_owned(),
            sdp_mid: Some("0".to_owned()),
            sdp_m_line_index: None,
            username_fragment: None,
        };
        taken += usize::from(peer.add_ice_candidate(now, Some(init)).is_ok());
        drain(&mut peer, now, &mut buffer);
        now = wait(&mut peer, now, Duration::from_millis(20), &mut buffer);
    }
    wait(&mut peer, now, Duration::from_secs(60), &mut buffer);
    taken
}

#[allow(clippy::disallowed_methods, reason = "an Instant can be had no other way; its value does not matter")]
fn start() -> Instant {
    Instant::now()
}

fn peer(now: Instant, buffer: &mut [u8]) -> Peer {
    static CERTIFICATE: OnceLock<Certificate> = OnceLock::new();
    let certificate = CERTIFICATE.get_or_init(|| {
        Certificate::generate(&mut ChaCha12Rng::seed_from_u64(1), WALL).expect("a certificate can be made")
    });
    let configuration = Configuration { certificates: vec![certificate.clone()], ..Configuration::default() };
    let mut peer = Peer::new(configuration, now, WALL, [7; 32]).expect("the configuration is valid");
    let addresses =
        ["10.0.0.1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().expect("an address").into());
    peer.handle_network_change(now, &addresses);
    let offer = SessionDescription { kind: SdpType::Offer, sdp: OFFER.to_owned() };
    peer.set_remote_description(now, offer).expect("the offer is valid");
    peer.set_local_description(now, None).expect("it can be answered");
    peer.create_data_channel(now, "chat", DataChannelInit::default()).expect("a channel can be made");
    drain(&mut peer, now, buffer);
    peer
}

/// Grants what the peer asks for; whatever name it asks about is one address.
fn drain(peer: &mut Peer, now: Instant, buffer: &mut [u8]) {
    while peer.poll_event().is_some() {}
    while let Some((transport, request)) = peer.poll_request() {
        match request {
            Request::BindUdp { id, address } => {
                peer.handle_input(now, transport, Input::Bound { id, local: SocketAddr::new(address, 4000) });
            }
            Request::Resolve { id, .. } | Request::ResolveMdns { id, .. } => {
                let addresses = vec!["192.0.2.9".parse().expect("an address")];
                peer.handle_input(now, transport, Input::Resolved { id, addresses });
            }
            Request::Listen { id, address, .. } => {
                peer.handle_input(
                    now,
                    transport,
                    Input::Listening { id, local: SocketAddr::new(address, 4001) },
                );
            }
            Request::Connect { id, .. } => peer.handle_input(now, transport, Input::ConnectFailed { id }),
            _ => {}
        }
    }
    for _ in 0..2000 {
        if peer.poll_transmit(now, buffer).is_none() {
            return;
        }
    }
    panic!("no end of sending");
}

fn wait(peer: &mut Peer, now: Instant, duration: Duration, buffer: &mut [u8]) -> Instant {
    let end = now + duration;
    let mut now = now;
    for _ in 0..5000 {
        let Some(at) = peer.poll_timeout().filter(|at| *at <= end) else { return end };
        now = now.max(at);
        peer.handle_timeout(now);
        drain(peer, now, buffer);
        assert!(peer.poll_timeout().is_none_or(|next| next > now), "a timer in the past");
    }
    panic!("timers without end");
}
