//! A peer connection with a transport of a browser that offers audio and video.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_ice::{Config, Credentials, Ecn, Input, Path, RemoteParameters, Request, Role};
use columba_sdp::SessionDescription as Sdp;
use columba_sdp::attributes::{Direction, Fingerprint, Group, IcePwd, IceUfrag, Setup};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use super::Peer;
use crate::certificate::Certificate;
use crate::configuration::{Configuration, DtlsVersions, MediaConfidentiality, PostQuantum};
use crate::data::{Data, DataChannelInit, Message};
use crate::description::SessionDescription;
use crate::event::Event;
use crate::states::PeerConnectionState;
use crate::time::UnixTime;
use crate::transport::dtls::{DtlsRole, DtlsTransportConfig};
use crate::transport::{
    DatagramSizes, Source, Transport, TransportConfig, TransportEvent, TransportId, packet_size,
};

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));
const STEP: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
fn start() -> Instant {
    Instant::now()
}

/// The peer connection, and the transport and data of a browser.
struct World {
    now: Instant,
    peer: Peer,
    events: Vec<Event>,
    /// The transport of the peer's socket.
    socket: Option<(TransportId, SocketAddr)>,
    browser: Transport,
    data: Data,
    certificate: Certificate,
}

impl World {
    fn new() -> Self {
        let now = start();
        let mut rng = ChaCha12Rng::from_seed([9; 32]);
        let certificate = Certificate::generate(&mut rng, WALL).unwrap();
        let config = TransportConfig {
            ice: Config::default(),
            embedding: true,
            dtls: DtlsTransportConfig {
                certificate: certificate.clone(),
                versions: DtlsVersions::Auto,
                key_log: None,
                post_quantum: PostQuantum::default(),
                media_confidentiality: MediaConfidentiality::default(),
                datagram_size: 1200,
                seed: [9; 32],
            },
            sizes: DatagramSizes { safe: 1200, probed: 1200 },
        };
        let mut browser = Transport::new(TransportId::FIRST, config, &mut rng);
        browser.set_ice_role(Role::Controlling);
        browser.handle_network_change(now, &[IpAddr::from([10, 0, 0, 2]).into()]);
        browser.gather(now);
        let configuration = Configuration::default();
        let data = Data::new(&configuration.data, packet_size(1200), now, &mut rng);
        let mut peer = Peer::new(configuration, now, WALL, [1; 32]).unwrap();
        peer.handle_network_change(now, &[IpAddr::from([10, 0, 0, 1]).into()]);
        Self { now, peer, events: Vec::new(), socket: None, browser, data, certificate }
    }

    /// A description of the browser's: audio and video, and what follows.
    fn description(&self, setup: &str, direction: &str, more: &[(&str, &str)]) -> String {
        let Credentials { ufrag, pwd } = self.browser.credentials();
        let digest = self.certificate.fingerprint().digest;
        let digest: Vec<_> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        let names = more.iter().fold("a v".to_owned(), |names, (mid, _)| names + " " + mid);
        let mut text = format!(
            "v=0\r\no=- 7 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {names}\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=mid:a\r\na={direction}\r\n\
             a=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
             a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\na=ice-options:trickle\r\n\
             a=fingerprint:sha-256 {}\r\na=setup:{setup}\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:v\r\na={direction}\r\n\
             a=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\n",
            digest.join(":")
        );
        for (mid, port) in more {
            text += "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n";
            text += &format!("a=mid:{mid}\r\na=sctp-port:{port}\r\n");
        }
        text
    }

    /// The browser takes the transport of a description of the peer's, which is that of the section
    /// `tag`.
    fn set_transport(&mut self, description: &Sdp, tag: usize) {
        let lines = &description.media[tag].lines;
        let credentials = Credentials {
            ufrag: lines.get::<IceUfrag>().unwrap().unwrap().0.into(),
            pwd: lines.get::<IcePwd>().unwrap().unwrap().0.into(),
        };
        let remote =
            RemoteParameters { credentials, lite: false, trickle: true, renomination: true, pacing: None };
        self.browser.agent().set_remote(self.now, remote);
        let fingerprint = lines.get::<Fingerprint>().unwrap().unwrap();
        assert_eq!(lines.get(), Ok(Some(Setup::Active)));
        self.browser.set_dtls(self.now, DtlsRole::Server, vec![fingerprint]);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.drain_peer();
            self.drain_browser();
            self.now += STEP;
            self.peer.handle_timeout(self.now);
            self.browser.handle_timeout(self.now);
            self.data.handle_timeout(self.now);
        }
        self.drain_peer();
    }

    fn drain_peer(&mut self) {
        let now = self.now;
        while let Some((transport, request)) = self.peer.poll_request() {
            if let Request::BindUdp { id, address } = request {
                let local = SocketAddr::new(address, 4001);
                self.socket = Some((transport, local));
                self.peer.handle_input(now, transport, Input::Bound { id, local });
            }
        }
        while let Some(event) = self.peer.poll_event() {
            if let Event::IceCandidate(Some(candidate)) = &event {
                assert_eq!(candidate.init.sdp_mid.as_deref(), Some("a"), "that of the tagged section");
                assert_eq!(candidate.init.sdp_m_line_index, Some(0));
                if let Some(candidate) = candidate.candidate.clone() {
                    self.browser.agent().add_remote_candidate(now, candidate);
                }
            }
            self.events.push(event);
        }
        let mut buf = vec![0; 65_536];
        while let Some(transmit) = self.peer.poll_transmit(now, &mut buf) {
            let path = Path::udp(transmit.path.remote, transmit.path.local);
            let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
            for datagram in buf[transmit.range].chunks_mut(size) {
                self.browser.handle_datagram(now, path, Ecn::NotEct, datagram, Some(&mut self.data));
            }
        }
    }

    fn drain_browser(&mut self) {
        let now = self.now;
        while let Some(request) = self.browser.poll_request() {
            if let Request::BindUdp { id, address } = request {
                self.browser.handle_input(now, Input::Bound { id, local: SocketAddr::new(address, 4002) });
            }
        }
        while let Some(event) = self.browser.poll_event(now) {
            if let TransportEvent::LocalCandidate(candidate) = event {
                let init = crate::IceCandidateInit {
                    candidate: crate::jsep::candidate::to_sdp(&candidate).to_string(),
                    sdp_mid: Some("a".to_owned()),
                    ..crate::IceCandidateInit::default()
                };
                self.peer.add_ice_candidate(now, Some(init)).unwrap();
            }
        }
        let mut buf = vec![0; 65_536];
        loop {
            let source = Source { data: &mut self.data, budget: &mut columba_sctp::Unlimited };
            let Some(transmit) = self.browser.poll_transmit(now, Some(source), &mut buf) else { break };
            let path = Path::udp(transmit.path.remote, transmit.path.local);
            let Some((transport, _)) = self.socket else { continue };
            let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
            for datagram in buf[transmit.range].chunks_mut(size) {
                self.peer.handle_datagram(now, transport, path, Ecn::NotEct, None, datagram);
            }
        }
    }
}

#[test]
fn audio_and_video_alone_connect_and_data_is_added_later() {
    let mut world = World::new();
    let offer = world.description("actpass", "sendrecv", &[]);
    world.peer.set_remote_description(world.now, SessionDescription::offer(offer)).unwrap();
    let answer = world.peer.set_local_description(world.now, None).unwrap();
    let answer: Sdp = answer.sdp.parse().unwrap();
    for section in &answer.media {
        assert_eq!(section.lines.get(), Ok(Some(Direction::Inactive)));
    }
    assert_eq!(answer.lines.get::<Group>().unwrap().unwrap().mids, ["a", "v"]);
    world.set_transport(&answer, 0);
    world.run(Duration::from_secs(2));
    assert_eq!(world.peer.connection_state(), PeerConnectionState::Connected);
    assert!(!world.events.contains(&Event::NegotiationNeeded));

    // Media that arrives nevertheless is counted with the kernel's time.
    let (transport, local) = world.socket.unwrap();
    let path = Path::udp(local, "10.0.0.2:4002".parse().unwrap());
    let arrival = world.now - Duration::from_millis(3);
    let mut packet = [0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2];
    world.peer.handle_datagram(world.now, transport, path, Ecn::NotEct, Some(arrival), &mut packet);
    let stats = world.peer.stats(world.now);
    assert_eq!((stats.dropped.media, stats.dropped.media_bytes), (1, 14));
    assert_eq!(stats.dropped.last_media, Some(UnixTime(stats.timestamp.0 - Duration::from_millis(3))));
    assert!(stats.transports[0].srtp_profile.is_some(), "SRTP is negotiated");

    // Data joins the bundle that runs.
    let init = DataChannelInit { negotiated: Some(1), ..DataChannelInit::default() };
    let channel = world.peer.create_data_channel(world.now, "later", init.clone()).unwrap();
    let theirs = world.data.create(world.now, "later", init).unwrap();
    world.run(STEP);
    assert!(world.events.contains(&Event::NegotiationNeeded));
    let offer = world.peer.set_local_description(world.now, None).unwrap();
    let offer: Sdp = offer.sdp.parse().unwrap();
    assert_eq!(offer.lines.get::<Group>().unwrap().unwrap().mids, ["a", "v", "0"]);
    let answer = world.description("passive", "inactive", &[("0", "5000")]);
    world.peer.set_remote_description(world.now, SessionDescription::answer(answer)).unwrap();
    world.data.begin(world.now, DtlsRole::Server, usize::MAX);
    world.run(Duration::from_secs(2));
    assert!(world.events.contains(&Event::ChannelOpen(channel)));
    world.peer.send(world.now, channel, Message::from("after all")).unwrap();
    world.run(Duration::from_millis(100));
    assert_eq!(world.data.receive(world.now, theirs), Some(Message::from("after all")));
    assert_eq!(world.peer.stats(world.now).dropped.no_path, 0);
}

#[test]
fn inputs_and_datagrams_of_unknown_transports_are_dropped() {
    let mut world = World::new();
    let offer = world.description("actpass", "sendrecv", &[]);
    world.peer.set_remote_description(world.now, SessionDescription::offer(offer)).unwrap();
    world.peer.set_local_description(world.now, None).unwrap();
    let (transport, request) = world.peer.poll_request().unwrap();
    let Request::BindUdp { id, address } = request else { panic!("{request:?}") };
    let local = SocketAddr::new(address, 4001);
    let unknown = TransportId(7);
    let candidates = |world: &World| world.peer.stats(world.now).transports[0].ice.local_candidates.len();
    let before = candidates(&world);
    world.peer.handle_input(world.now, unknown, Input::Bound { id, local });
    let path = Path::udp(local, "10.0.0.2:4002".parse().unwrap());
    world.peer.handle_datagram(world.now, unknown, path, Ecn::NotEct, None, &mut [22; 40]);
    assert_eq!(world.peer.stats(world.now).dropped.unknown, 1);
    assert_eq!(candidates(&world), before);
    world.peer.handle_input(world.now, transport, Input::Bound { id, local });
    assert!(candidates(&world) > before);
}

#[test]
fn dead_path_restarts_ice_by_itself_unless_configured_otherwise() {
    for automatic in [true, false] {
        let mut world = World::new();
        world.peer.configuration.automatic_ice_restart = automatic;
        let offer = world.description("actpass", "sendrecv", &[]);
        world.peer.set_remote_description(world.now, SessionDescription::offer(offer)).unwrap();
        let answer = world.peer.set_local_description(world.now, None).unwrap();
        world.set_transport(&answer.sdp.parse().unwrap(), 0);
        world.run(Duration::from_secs(1));
        assert_eq!(world.peer.connection_state(), PeerConnectionState::Connected);
        let ufrag = world.peer.transports[0].credentials().ufrag.clone();
        // The browser falls silent.
        for _ in 0..12_000 {
            world.drain_peer();
            world.now += STEP;
            world.peer.handle_timeout(world.now);
        }
        let wanted = world.events.iter().position(|event| *event == Event::IceRestartWanted);
        let needed = world.events.iter().position(|event| *event == Event::NegotiationNeeded);
        assert!(wanted.is_some(), "{:?}", world.events);
        assert_eq!(needed.is_some(), automatic, "{:?}", world.events);
        assert!(needed.is_none_or(|needed| Some(needed) > wanted));
        let offer = world.peer.set_local_description(world.now, None).unwrap();
        assert_eq!(!offer.sdp.contains(&format!("a=ice-ufrag:{ufrag}")), automatic);
    }
}
