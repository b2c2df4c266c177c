//! Descriptions and candidates of other implementations that depart from the specifications: they
//! are used where browsers use them, and harmless where browsers ignore them.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_peer::{
    Configuration, DataChannelInit, Ecn, Error, Event, IceCandidateInit, Input, Path, Peer,
    PeerConnectionState, Request, SdpType, SessionDescription, TransportId, UnixTime,
};

const FINGERPRINT: &str = "sha-256 8B:F9:59:09:15:4D:36:CB:60:8D:42:92:1D:F0:94:11:10:79:77:2B:0E:A0:A9:24:1F:CC:\
                           EE:99:AF:F0:7A:5B";
const HOST: &str = "candidate:1 1 udp 2130706431 10.0.0.99 5000 typ host";
const THERE: &str = "10.0.0.99:5000";

/// A peer, and where it sends checks to.
struct Side {
    peer: Peer,
    socket: Option<(TransportId, SocketAddr)>,
    candidates: Vec<IceCandidateInit>,
    sent_to: Vec<SocketAddr>,
}

struct World {
    now: Instant,
    sides: Vec<Side>,
}

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
fn start() -> Instant {
    Instant::now()
}

impl World {
    fn new(count: u8) -> Self {
        let now = start();
        let wall = UnixTime(Duration::from_secs(1_790_000_000));
        let side = |index: u8| {
            let mut peer = Peer::new(Configuration::default(), now, wall, [index; 32]).unwrap();
            peer.handle_network_change(now, &[IpAddr::from([10, 0, 0, index]).into()]);
            Side { peer, socket: None, candidates: Vec::new(), sent_to: Vec::new() }
        };
        Self { now, sides: (1..=count).map(side).collect() }
    }

    /// A peer that has answered this offer.
    fn answered(offer: SessionDescription) -> (Self, SessionDescription) {
        let mut world = Self::new(1);
        let (now, peer) = (world.now, &mut world.sides[0].peer);
        peer.set_remote_description(now, offer).unwrap();
        let answer = peer.set_local_description(now, None).unwrap();
        (world, answer)
    }

    fn add(&mut self, init: IceCandidateInit) -> Result<(), Error> {
        self.sides[0].peer.add_ice_candidate(self.now, Some(init))
    }

    fn exchange(&mut self) {
        let now = self.now;
        for index in 0..self.sides.len() {
            let side = &mut self.sides[index];
            while let Some((transport, request)) = side.peer.poll_request() {
                if let Request::BindUdp { id, address } = request {
                    let local = SocketAddr::new(address, 4000);
                    side.socket = Some((transport, local));
                    side.peer.handle_input(now, transport, Input::Bound { id, local });
                }
            }
            while let Some(event) = side.peer.poll_event() {
                if let Event::IceCandidate(Some(candidate)) = event {
                    side.candidates.push(candidate.init);
                }
            }
            let mut buf = vec![0; 65_536];
            while let Some(transmit) = self.sides[index].peer.poll_transmit(now, &mut buf) {
                let to = transmit.path.remote;
                self.sides[index].sent_to.push(to);
                let path = Path::udp(to, transmit.path.local);
                for side in &mut self.sides {
                    if let Some((transport, _)) = side.socket.filter(|(_, local)| *local == to) {
                        let bytes = &mut buf[transmit.range.clone()];
                        let size = transmit.segment_size.unwrap_or(bytes.len()).max(1);
                        for datagram in bytes.chunks_mut(size) {
                            side.peer.handle_datagram(now, transport, path, Ecn::NotEct, None, datagram);
                        }
                    }
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.exchange();
            self.now += Duration::from_millis(10);
            for side in &mut self.sides {
                side.peer.handle_timeout(self.now);
            }
        }
    }

    /// Returns true if the first peer sends checks to this address within a second.
    fn checks(&mut self, address: &str) -> bool {
        self.run(Duration::from_secs(1));
        let address: SocketAddr = address.parse().unwrap();
        self.sides[0].sent_to.contains(&address)
    }

    fn set(&mut self, index: usize, description: SessionDescription) -> Result<(), Error> {
        self.sides[index].peer.set_remote_description(self.now, description)
    }

    fn describe(&mut self, index: usize) -> SessionDescription {
        self.sides[index].peer.set_local_description(self.now, None).unwrap()
    }
}

/// An offer of data; `head` goes to the session, `before` stands before the data section, `data` in
/// it.
fn offer(head: &str, before: &str, data: &str) -> SessionDescription {
    SessionDescription::offer(format!(
        "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n{head}{before}\
         m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=sctp-port:5000\r\n\
         a=max-message-size:262144\r\n{data}"
    ))
}

fn transport(ufrag: &str) -> String {
    format!(
        "a=ice-ufrag:{ufrag}\r\na=ice-pwd:x9cml/YzichV2+XlhiMu8gab\r\na=ice-options:trickle\r\n\
         a=fingerprint:{FINGERPRINT}\r\na=setup:actpass\r\n"
    )
}

fn simple(more: &str) -> SessionDescription {
    offer("a=group:BUNDLE 0\r\n", "", &format!("a=mid:0\r\n{}{more}", transport("abcd")))
}

fn init(candidate: &str, mid: Option<&str>, index: Option<u16>, ufrag: Option<&str>) -> IceCandidateInit {
    IceCandidateInit {
        candidate: candidate.to_owned(),
        sdp_mid: mid.map(str::to_owned),
        sdp_m_line_index: index,
        username_fragment: ufrag.map(str::to_owned),
    }
}

fn without(text: &str, prefixes: &[&str]) -> String {
    let lines = text.lines().filter(|line| !prefixes.iter().any(|prefix| line.starts_with(prefix)));
    lines.fold(String::new(), |text, line| text + line + "\r\n")
}

#[test]
fn empty_strings_beside_a_candidate_count_as_absent() {
    for candidate in [
        init(HOST, Some("0"), Some(0), Some("")),
        init(HOST, Some("0"), None, Some("")),
        init(HOST, Some(""), Some(0), Some("")),
        init(HOST, Some(""), Some(0), None),
        init(HOST, None, Some(0), Some("abcd")),
    ] {
        let (mut world, _) = World::answered(simple(""));
        assert_eq!(world.add(candidate.clone()), Ok(()), "{candidate:?}");
        assert!(world.checks(THERE), "{candidate:?}");
    }
    for end in [
        init("", Some(""), None, Some("")),
        init("", None, None, None),
        init(" ", Some(""), Some(0), Some("")),
    ] {
        let (mut world, _) = World::answered(simple(""));
        assert_eq!(world.add(end.clone()), Ok(()), "{end:?}");
        let remote = world.sides[0].peer.remote_description().unwrap().sdp;
        assert!(remote.contains("a=end-of-candidates"), "{end:?}");
    }
    let (mut world, _) = World::answered(simple(""));
    let nameless = world.add(init(HOST, Some(""), None, None));
    assert_eq!(nameless, Err(Error::CandidateWithoutSection));
}

#[test]
fn candidates_of_a_section_that_is_not_used_are_harmless() {
    let audio = format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\na=mid:a\r\n\
         a=rtcp-mux\r\na=sendrecv\r\n{}",
        transport("AUDI")
    );
    let elsewhere = "candidate:1 1 udp 2130706431 10.0.0.98 5000 typ host";
    let offered = |bundle: &str| offer(bundle, &audio, &format!("a=mid:d\r\n{}", transport("DATA")));
    // In the bundle the tagged section's transport runs.
    let (mut world, _) = World::answered(offered("a=group:BUNDLE a d\r\n"));
    let with_ufrag = format!("{elsewhere} generation 0 ufrag DATA");
    for candidate in [
        init(elsewhere, Some("d"), None, Some("DATA")),
        init(&with_ufrag, Some("d"), None, None),
        init(elsewhere, Some("d"), None, None),
        init("", Some("d"), None, Some("DATA")),
    ] {
        assert_eq!(world.add(candidate.clone()), Ok(()), "{candidate:?}");
    }
    assert_eq!(world.add(init(HOST, Some("a"), None, Some("AUDI"))), Ok(()));
    assert!(world.checks(THERE) && !world.checks("10.0.0.98:5000"));
    let remote = world.sides[0].peer.remote_description().unwrap().sdp;
    assert!(!remote.contains("end-of-candidates"));
    // Without a bundle each has its own.
    let (mut world, answer) = World::answered(offered(""));
    assert!(!answer.sdp.contains("m=audio 0") && !answer.sdp.contains("a=group"), "{}", answer.sdp);
    assert_eq!(world.add(init(elsewhere, Some("d"), None, Some("DATA"))), Ok(()));
    assert!(world.add(init(HOST, Some("a"), None, Some("DATA"))).is_err(), "it is the other one's");
    assert_eq!(world.add(init(HOST, Some("a"), None, Some("AUDI"))), Ok(()));
    assert!(world.checks(THERE));
    assert!(world.checks("10.0.0.98:5000"));
}

#[test]
fn candidates_at_session_level_are_checked() {
    let line = format!("a={HOST} generation 0\r\n");
    for lite in ["", "a=ice-lite\r\n"] {
        let head = format!("{lite}a=group:BUNDLE 0\r\n{line}{}", transport("abcd"));
        let (mut world, _) = World::answered(offer(&head, "", "a=mid:0\r\n"));
        assert!(world.checks(THERE), "{lite}");
        let (mut world, _) = World::answered(simple(&line));
        assert!(world.checks(THERE), "{lite}");
    }
}

#[test]
fn answers_without_mid_are_matched_by_index() {
    for renamed in [false, true] {
        let mut world = World::new(2);
        world.sides[0].peer.create_data_channel(world.now, "x", DataChannelInit::default()).unwrap();
        let mut offer = world.describe(0);
        if renamed {
            // The names are the other side's, and are not the indices.
            world.sides[0]
                .peer
                .set_local_description(world.now, Some(SessionDescription::rollback()))
                .unwrap();
            world.sides[1].peer.create_data_channel(world.now, "y", DataChannelInit::default()).unwrap();
            let mut theirs = world.describe(1);
            theirs.sdp = theirs.sdp.replace("a=mid:0", "a=mid:data").replace("BUNDLE 0", "BUNDLE data");
            world.set(0, theirs).unwrap();
            let answer = world.describe(0);
            assert!(answer.sdp.contains("a=mid:data"));
            let answer = SessionDescription {
                sdp: answer.sdp.replace("a=mid:data", "a=mid:0").replace("BUNDLE data", "BUNDLE 0"),
                ..answer
            };
            world.set(1, answer).unwrap();
            offer = world.describe(0);
            assert!(offer.sdp.contains("a=mid:data"), "{}", offer.sdp);
            offer.sdp = offer.sdp.replace("a=mid:data", "a=mid:0").replace("BUNDLE data", "BUNDLE 0");
        }
        world.set(1, offer).unwrap();
        let mut answer = world.describe(1);
        assert_eq!(answer.kind, SdpType::Answer);
        answer.sdp = without(&answer.sdp, &["a=mid", "a=group"]);
        assert_eq!(world.set(0, answer), Ok(()), "{renamed}");
        for _ in 0..2 {
            world.exchange();
        }
        for (from, to) in [(0, 1), (1, 0)] {
            let now = world.now;
            for candidate in std::mem::take(&mut world.sides[from].candidates) {
                let candidate = IceCandidateInit { sdp_mid: None, ..candidate };
                world.sides[to].peer.add_ice_candidate(now, Some(candidate)).unwrap();
            }
        }
        world.run(Duration::from_secs(2));
        let states = [0, 1].map(|index| world.sides[index].peer.connection_state());
        assert_eq!(states, [PeerConnectionState::Connected; 2], "{renamed}");
    }
}

#[test]
fn candidates_in_forms_of_other_implementations_are_used() {
    for (text, used) in [
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host generation 0 ufrag abcd", true),
        ("a=candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host", true),
        ("3 1 udp 2122260223 10.0.0.99 5000 typ host\r\n", true),
        ("candidate:3 1 UDP 2122260223 10.0.0.99 5000 TYP HOST", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ srflx raddr 0.0.0.0 rport 0", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host generation", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host generation 0 x-tag ", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host ufrag  network-cost 10", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host generation ufrag network-id 1", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ srflx raddr  rport  generation 0", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host tcptype generation 0 ufrag abcd", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host ufrag abcd ufrag other", true),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ host network-id 70000 x-müller ü", true),
        ("candidate:udp-host-{5a}-Ä 1 udp 2122260223 10.0.0.99 5000 typ host", true),
        ("candidate: 3\t1  udp 02122260223 10.0.0.99  5000 typ prflx raddr x_y rport 99999", true),
        ("candidate:3 1 udp 4294967295 ::ffff:10.0.0.99 5000 typ relay rport 1 raddr 0.0.0.0", true),
        ("candidate:3 2 udp 2122260222 10.0.0.99 5000 typ host", false),
        ("candidate:3 1 ssltcp 2122260223 10.0.0.99 443 typ host", false),
        ("candidate:3 1 udp 2122260223 10.0.0.99 5000 typ magic", false),
    ] {
        let (mut world, _) = World::answered(simple(""));
        assert_eq!(world.add(init(text, Some("0"), Some(0), None)), Ok(()), "{text}");
        assert_eq!(world.checks(THERE), used, "{text}");
        let line = text.trim_end().trim_start_matches("a=").trim_start_matches("candidate:");
        let (mut world, _) = World::answered(simple(&format!("a=candidate:{line}\r\n")));
        assert_eq!(world.checks(THERE), used, "in the description: {text}");
    }
    let ignored = |text: &str| {
        let (mut world, _) = World::answered(simple(""));
        world.add(init(text, Some("0"), Some(0), None)).unwrap();
        world.sides[0].peer.stats(world.now).dropped.candidates
    };
    assert_eq!(ignored("candidate:3 2 udp 2122260222 10.0.0.99 5000 typ host"), 1);
    assert_eq!(ignored(HOST), 0);
}

/// An offer with a candidate, one line of which is written in another way.
#[test]
fn descriptions_in_forms_of_other_implementations_are_used() {
    let base = simple(&format!("a={HOST}\r\n")).sdp;
    let version = "o=- 4611731400430051336 2 ";
    for (from, to) in [
        ("\r\n", "\n"),
        ("\r\n", " \r\n"),
        ("\r\n", "\r\n\r\n"),
        ("t=0 0\r\n", ""),
        ("t=0 0\r\n", "t=0 0\r\nx=odd\r\nb=X-odd:abc\r\nz=0 0\r\nk=clear:x\r\n"),
        ("s=-", "s="),
        ("s=-", "s=Tür\r\ni=Kamera\r\nu=no url\r\ne=a@b\r\np=+1"),
        (version, "o=- 99999999999999999999999 99999999999999999999999 "),
        (version, "o=camera -5 -1 "),
        (version, "o=- 6f9ccb5a-3a5a 0x2 "),
        ("IN IP4 127.0.0.1", "IN IP4 camera.local"),
        ("IN IP4 127.0.0.1", "IN IP4 ::1"),
        ("BUNDLE 0", "BUNDLE"),
        ("BUNDLE 0", "BUNDLE  0  1 "),
        ("a=mid:0\r\n", "a=\r\na=:\r\na=-:=\r\na=mid:0\r\n"),
        ("a=mid:0\r\n", "a=ice-pacing:\r\na=mid:0\r\n"),
        ("a=mid:0\r\n", "a=ice-pacing:50ms\r\na=mid:0\r\n"),
        ("a=mid:0\r\n", "a=ice-pacing:-1\r\na=tls-id:\r\na=mid:0\r\n"),
        ("a=mid:0\r\n", "a=rtcp:x\r\na=sendrecv\r\na=ice-mismatch\r\na=mid:0\r\n"),
        ("a=ice-options:trickle", "a=ice-options"),
        ("a=ice-options:trickle", "a=ice-options: ,google-ice"),
        ("a=setup:actpass", "a=setup: ACTPASS"),
        ("a=setup:actpass\r\n", ""),
        ("a=fingerprint", "a=fingerprint:\r\na=fingerprint:md5 AA:BB\r\na=fingerprint"),
        ("sha-256 ", "SHA-256  "),
        ("a=group", "a=ice-ufrag:\r\na=ice-pwd:\r\na=group"),
        ("a=ice-ufrag:abcd", "a=ice-ufrag:ab-cd_= "),
        ("c=IN IP4 0.0.0.0\r\n", ""),
        ("c=IN IP4 0.0.0.0", "c="),
        ("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 5000"),
        ("a=sctp-port:5000", "a=sctpmap:5000 webrtc-datachannel"),
        ("a=candidate", "a=CANDIDATE"),
        ("webrtc-datachannel", " webrtc-datachannel "),
    ] {
        assert!(base.contains(from), "{from}");
        let (mut world, _) = World::answered(SessionDescription::offer(base.replace(from, to)));
        assert!(world.checks(THERE), "{to:?} in place of {from:?}");
    }
}
