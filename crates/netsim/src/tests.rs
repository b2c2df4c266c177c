//! Whole networks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::{
    Datagram, Departure, Ecn, Endpoint, Firewall, HostId, Link, Loss, Nat, Network, Router, StreamId,
    StreamInput,
};

/// Remembers what it hears and sends what it is told to; echoes if asked.
#[derive(Debug, Default)]
struct Peer {
    echo: bool,
    heard: Vec<(SocketAddr, Vec<u8>)>,
    outbox: Vec<(Departure, Vec<u8>)>,
    stream: Vec<u8>,
    connected: usize,
    closed: usize,
    wake: Option<Instant>,
    woken: usize,
}

impl Endpoint for Peer {
    fn handle_datagram(&mut self, _now: Instant, datagram: Datagram<'_>) {
        self.heard.push((datagram.remote, datagram.payload.to_vec()));
        if self.echo {
            self.outbox.push((udp(datagram.local, datagram.remote), datagram.payload.to_vec()));
        }
    }

    fn handle_stream(&mut self, _now: Instant, stream: StreamId, input: StreamInput<'_>) {
        match input {
            StreamInput::Connected { .. } | StreamInput::Accepted { .. } => self.connected += 1,
            StreamInput::Data(bytes) => {
                self.stream.extend_from_slice(bytes);
                if self.echo {
                    self.outbox.push((Departure::Stream(stream), bytes.to_vec()));
                }
            }
            StreamInput::Closed => self.closed += 1,
            StreamInput::Clogged | StreamInput::Drained => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
            self.woken += 1;
        }
    }

    fn poll_transmit(&mut self, _now: Instant, payload: &mut Vec<u8>) -> Option<Departure> {
        if self.outbox.is_empty() {
            return None;
        }
        let (departure, bytes) = self.outbox.remove(0);
        payload.extend_from_slice(&bytes);
        Some(departure)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wake
    }
}

fn udp(local: SocketAddr, remote: SocketAddr) -> Departure {
    Departure::Udp { local, remote, ecn: Ecn::NotEct, segment_size: None }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

const ALICE: &str = "192.168.0.200:4000";
const BOB: &str = "192.168.0.200:5000";
const SERVER: &str = "203.0.113.1:3478";

/// Two hosts with the same inner address behind a router each, and a public host that echoes.
fn two_homes(first: Router, second: Router, seed: u64) -> (Network<Peer>, [HostId; 3]) {
    let mut network = Network::new(seed);
    network.keep_trace(100);
    let internet = network.add_zone();
    let hosts = [first, second].map(|router| {
        let home = network.add_zone();
        network.add_router(home, internet, router);
        let host = network.add_host(Peer::default());
        network.attach(host, home, address(ALICE).ip(), Link::with_delay(Duration::from_millis(10)));
        host
    });
    let server = network.add_host(Peer { echo: true, ..Peer::default() });
    network.attach(server, internet, address(SERVER).ip(), Link::default());
    (network, [hosts[0], hosts[1], server])
}

fn behind(outer: &str, nat: Nat) -> Router {
    Router { outer: vec![outer.parse().expect("an address")], nat: Some(nat), ..Router::default() }
}

fn send(network: &mut Network<Peer>, host: HostId, local: &str, remote: SocketAddr) {
    network.with(host, |peer, _| peer.outbox.push((udp(address(local), remote), b"coo".to_vec())));
    network.run_for(Duration::from_millis(100));
}

/// Returns whether two peers that learn their outer addresses from a server and send at once meet
/// directly.
fn meet(first: Nat, second: Nat) -> bool {
    let routers = (behind("198.51.100.1", first), behind("198.51.100.2", second));
    let (mut network, [alice, bob, server]) = two_homes(routers.0, routers.1, 1);
    send(&mut network, alice, ALICE, address(SERVER));
    send(&mut network, bob, BOB, address(SERVER));
    let outer = [network.host(server).heard[0].0, network.host(server).heard[1].0];
    network.with(bob, |peer, _| peer.heard.clear());
    network.with(alice, |peer, _| peer.heard.clear());
    for _ in 0..3 {
        send(&mut network, alice, ALICE, outer[1]);
        send(&mut network, bob, BOB, outer[0]);
        // A host that hears the other from a new address answers there, as ICE does.
        for (host, local) in [(alice, ALICE), (bob, BOB)] {
            if let Some((seen, _)) = network.host(host).heard.last().cloned() {
                send(&mut network, host, local, seen);
            }
        }
    }
    !network.host(alice).heard.is_empty() && !network.host(bob).heard.is_empty()
}

#[test]
fn hole_punching_follows_the_truth_table() {
    let kinds = [Nat::CONE, Nat::ADDRESS, Nat::PORT, Nat::SYMMETRIC];
    for (row, first) in kinds.iter().enumerate() {
        for (column, second) in kinds.iter().enumerate() {
            let expected = row + column < 5;
            assert_eq!(meet(*first, *second), expected, "{first:?} and {second:?}");
        }
    }
}

#[test]
fn udp_is_blocked_and_tcp_443_passes() {
    let wall = Router { firewall: Firewall::only_https(), ..behind("198.51.100.1", Nat::PORT) };
    let (mut network, [alice, _, server]) = two_homes(wall, behind("198.51.100.2", Nat::PORT), 1);
    send(&mut network, alice, ALICE, address(SERVER));
    assert!(network.host(server).heard.is_empty());

    let port = |port| SocketAddr::new(address(SERVER).ip(), port);
    network.listen(port(443));
    network.listen(port(3478));
    let connect = |stream, remote| Departure::Connect { stream, local: address(ALICE), remote };
    network.with(alice, |peer, _| {
        peer.outbox.push((connect(StreamId(1), port(3478)), Vec::new()));
        peer.outbox.push((connect(StreamId(2), port(443)), Vec::new()));
    });
    network.run_for(Duration::from_secs(1));
    assert_eq!((network.host(alice).connected, network.host(server).connected), (1, 1));
    network.with(alice, |peer, _| {
        peer.outbox.push((Departure::Stream(StreamId(2)), b"over ".to_vec()));
        peer.outbox.push((Departure::Stream(StreamId(2)), b"tcp".to_vec()));
    });
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.host(server).stream, b"over tcp");
    assert_eq!(network.host(alice).stream, b"over tcp");
    network.with(alice, |peer, _| peer.outbox.push((Departure::Close(StreamId(2)), Vec::new())));
    network.run_for(Duration::from_secs(1));
    assert_eq!(network.host(server).closed, 1);
}

#[test]
fn a_connection_breaks_when_its_way_is_gone_and_a_closed_port_refuses() {
    let (mut network, [alice, _, server]) =
        two_homes(behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT), 1);
    network.listen(address(SERVER));
    let connect = |stream, remote| Departure::Connect { stream, local: address(ALICE), remote };
    network.with(alice, |peer, _| {
        peer.outbox.push((connect(StreamId(1), address(SERVER)), Vec::new()));
        peer.outbox.push((connect(StreamId(2), SocketAddr::new(address(SERVER).ip(), 81)), Vec::new()));
    });
    network.run_for(Duration::from_secs(1));
    assert_eq!((network.host(alice).connected, network.host(alice).closed), (1, 1));
    network.flush_router(crate::RouterId(0));
    network.with(server, |peer, _| {
        peer.outbox.push((Departure::Stream(StreamId(1 << 63)), b"gone".to_vec()));
    });
    network.run_for(Duration::from_secs(60));
    assert_eq!((network.host(alice).closed, network.host(server).closed), (2, 1));
    assert!(network.host(alice).stream.is_empty());
}

/// Each NAT lets in only what was sent to: the first segment of one side opens the way for the
/// other's.
#[test]
fn two_connections_that_cross_are_one() {
    for late in [0, 5, 40, 700, 5000] {
        let (mut network, [alice, bob, _]) =
            two_homes(behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT), 1);
        let outer = |ip, inner| SocketAddr::new(address(ip).ip(), address(inner).port());
        let (to_alice, to_bob) = (outer("198.51.100.1:1", ALICE), outer("198.51.100.2:1", BOB));
        let stream = StreamId(1);
        let connect =
            |local, remote| (Departure::Connect { stream, local: address(local), remote }, Vec::new());
        network.with(alice, |peer, _| peer.outbox.push(connect(ALICE, to_bob)));
        network.run_for(Duration::from_millis(late));
        network.with(bob, |peer, _| peer.outbox.push(connect(BOB, to_alice)));
        network.run_for(Duration::from_secs(4));
        assert_eq!((network.host(alice).connected, network.host(bob).connected), (1, 1), "{late} ms late");
        network.with(alice, |peer, _| peer.outbox.push((Departure::Stream(stream), b"one".to_vec())));
        network.with(bob, |peer, _| peer.outbox.push((Departure::Stream(stream), b"two".to_vec())));
        network.run_for(Duration::from_secs(1));
        let heard = [alice, bob].map(|host| network.host(host).stream.clone());
        assert_eq!(heard, [b"two".to_vec(), b"one".to_vec()]);
        // There is no second one between the same ports.
        let again = Departure::Connect { stream: StreamId(2), local: address(ALICE), remote: to_bob };
        network.with(alice, |peer, _| peer.outbox.push((again, Vec::new())));
        network.run_for(Duration::from_secs(1));
        assert_eq!((network.host(alice).closed, network.host(bob).closed), (1, 0));
    }
}

/// Lost segments of a connection arrive late; a partition ends the connection.
#[test]
fn a_connection_outlives_losses_but_no_partition() {
    let (mut network, [alice, _, server]) =
        two_homes(behind("198.51.100.1", Nat::PORT), behind("198.51.100.2", Nat::PORT), 5);
    let remote = address(SERVER);
    network.listen(remote);
    let connect = |stream, remote| Departure::Connect { stream, local: address(ALICE), remote };
    let (first, second) = (StreamId(1), StreamId(2));
    network.with(alice, |peer, _| peer.outbox.push((connect(first, remote), Vec::new())));
    network.run_for(Duration::from_secs(1));
    let interface = crate::InterfaceId(0);
    network.change_link(interface, |out, _| out.loss = Loss::Random(0.5));
    for byte in 0..50 {
        network.with(alice, |peer, _| peer.outbox.push((Departure::Stream(first), vec![byte])));
    }
    network.run_for(Duration::from_secs(60));
    assert_eq!(network.host(server).stream, (0..50).collect::<Vec<u8>>(), "in order, and whole");
    network.change_link(interface, |out, _| out.loss = Loss::All);
    network.with(alice, |peer, _| peer.outbox.push((Departure::Stream(first), vec![50])));
    network.with(alice, |peer, _| peer.outbox.push((connect(second, remote), Vec::new())));
    network.run_for(Duration::from_millis(100));
    network.change_link(interface, |out, _| out.loss = Loss::None);
    network.with(alice, |peer, _| peer.outbox.push((Departure::Stream(first), vec![51])));
    network.run_for(Duration::from_secs(60));
    assert_eq!(network.host(server).stream.len(), 50, "nothing comes after a gap");
    assert_eq!((network.host(alice).closed, network.host(server).closed), (2, 1));
}

#[test]
fn one_seed_gives_one_run() {
    let run = |seed| {
        let (mut network, [alice, _, _]) =
            two_homes(behind("198.51.100.1", Nat::SYMMETRIC), behind("198.51.100.2", Nat::PORT), seed);
        let lossy = Link { loss: Loss::Random(0.3), duplicate: 0.2, corrupt: 0.2, ..Link::default() };
        network.change_link(crate::InterfaceId(0), |out, into| {
            *out = lossy.clone();
            *into = lossy.clone();
        });
        for _ in 0..50 {
            send(&mut network, alice, ALICE, address(SERVER));
        }
        (network.trace(), network.stats().clone(), network.host(alice).heard.clone())
    };
    assert_eq!(run(4), run(4));
    assert_ne!(run(4).0, run(5).0);
}

#[test]
fn timers_fire_when_due_and_time_jumps() {
    let mut network = Network::new(1);
    let host = network.add_host(Peer::default());
    network.with(host, |peer, now| peer.wake = Some(now + Duration::from_secs(3600)));
    network.run_for(Duration::from_secs(3599));
    assert_eq!(network.host(host).woken, 0);
    assert!(network.run_while_not(Duration::from_secs(2), |network| network.host(host).woken == 1));
    assert_eq!(network.elapsed(), Duration::from_secs(3600));
}

#[test]
#[should_panic(expected = "keeps asking for a timeout that is past")]
fn a_timer_storm_panics() {
    struct Restless(Instant);
    impl Endpoint for Restless {
        fn handle_datagram(&mut self, _now: Instant, _datagram: Datagram<'_>) {}
        fn handle_timeout(&mut self, _now: Instant) {}
        fn poll_transmit(&mut self, _now: Instant, _payload: &mut Vec<u8>) -> Option<Departure> {
            None
        }
        fn poll_timeout(&self) -> Option<Instant> {
            Some(self.0)
        }
    }
    let mut network = Network::new(1);
    let now = network.now();
    let host = network.add_host(Restless(now));
    network.with(host, |_, _| ());
    network.run_for(Duration::from_secs(1));
}

#[test]
fn hairpin_and_double_nat() {
    for hairpin in [true, false] {
        let mut network: Network<Peer> = Network::new(1);
        let internet = network.add_zone();
        let carrier = network.add_zone();
        let home = network.add_zone();
        let nat = Nat { hairpin, ..Nat::CONE };
        network.add_router(carrier, internet, behind("198.51.100.1", nat));
        network.add_router(home, carrier, behind("100.64.0.2", Nat::CONE));
        let alice = network.add_host(Peer::default());
        let bob = network.add_host(Peer::default());
        let server = network.add_host(Peer { echo: true, ..Peer::default() });
        network.attach(alice, home, address(ALICE).ip(), Link::default());
        network.attach(bob, carrier, "100.64.0.9".parse().expect("an address"), Link::default());
        network.attach(server, internet, address(SERVER).ip(), Link::default());
        send(&mut network, alice, ALICE, address(SERVER));
        let outer = network.host(server).heard[0].0;
        assert_eq!(outer.ip(), address("198.51.100.1:1").ip(), "translated twice");
        assert_eq!(network.host(alice).heard.len(), 1, "and back");
        // The neighbour behind the carrier's NAT reaches it only by hairpin, and seems to come from
        // outside (RFC 4787 REQ-9).
        send(&mut network, bob, "100.64.0.9:7000", outer);
        let seen = network.host(alice).heard.get(1).map(|(from, _)| from.ip());
        assert_eq!(seen, hairpin.then_some(outer.ip()));
    }
}

#[test]
fn ipv6_passes_unchanged_and_a_stateful_firewall_filters_it() {
    let mut network: Network<Peer> = Network::new(1);
    let internet = network.add_zone();
    let home = network.add_zone();
    let router =
        network.add_router(home, internet, Router { firewall: Firewall::stateful(), ..Router::default() });
    network.add_route(internet, "2001:db8:1::".parse().expect("an address"), 48, router);
    let inner = address("[2001:db8:1::5]:4000");
    let outer = address("[2001:db8:9::1]:3478");
    let alice = network.add_host(Peer::default());
    let server = network.add_host(Peer::default());
    network.attach(alice, home, inner.ip(), Link::default());
    network.attach(server, internet, outer.ip(), Link::default());
    send(&mut network, server, "[2001:db8:9::1]:3478", inner);
    assert!(network.host(alice).heard.is_empty());
    send(&mut network, alice, "[2001:db8:1::5]:4000", outer);
    assert_eq!(network.host(server).heard[0].0, inner);
    send(&mut network, server, "[2001:db8:9::1]:3478", inner);
    assert_eq!(network.host(alice).heard.len(), 1);
}

#[test]
fn an_interface_goes_down_and_comes_back() {
    let (mut network, [alice, _, server]) =
        two_homes(behind("198.51.100.1", Nat::CONE), behind("198.51.100.2", Nat::CONE), 1);
    network.set_up(crate::InterfaceId(0), false);
    assert!(network.addresses(alice).is_empty());
    send(&mut network, alice, ALICE, address(SERVER));
    assert!(network.host(server).heard.is_empty());
    assert_eq!(network.stats().dropped.get("no source"), Some(&1));
    network.set_up(crate::InterfaceId(0), true);
    send(&mut network, alice, ALICE, address(SERVER));
    assert_eq!(network.host(server).heard.len(), 1);
}

#[test]
fn a_host_sends_by_the_interface_that_has_the_address() {
    let mut network: Network<Peer> = Network::new(1);
    let (cable, radio) = (network.add_zone(), network.add_zone());
    let alice = network.add_host(Peer::default());
    let bob = network.add_host(Peer { echo: true, ..Peer::default() });
    for (zone, net, delay) in [(cable, 1, 2), (radio, 2, 30)] {
        for (host, number) in [(alice, 1), (bob, 2)] {
            let ip = std::net::IpAddr::from([10, net, 0, number]);
            network.attach(host, zone, ip, Link::with_delay(Duration::from_millis(delay)));
        }
    }
    assert_eq!(network.addresses(alice).len(), 2);
    for (local, remote, round_trip) in
        [("10.1.0.1:1", "10.1.0.2:1", 8), ("10.2.0.1:1", "10.2.0.2:1", 120), ("10.1.0.1:1", "10.2.0.2:1", 0)]
    {
        let (start, before) = (network.elapsed(), network.host(alice).heard.len());
        network
            .with(alice, |peer, _| peer.outbox.push((udp(address(local), address(remote)), b"coo".to_vec())));
        let answered =
            network.run_while_not(Duration::from_secs(1), |network| network.host(alice).heard.len() > before);
        let took = answered.then(|| network.elapsed() - start);
        // There is no route between the two networks.
        let expected = (round_trip > 0).then(|| Duration::from_millis(round_trip));
        assert_eq!(took, expected, "{local} to {remote}");
    }
}

#[test]
fn a_link_affects_only_its_own_direction() {
    let story = |out: Link, into: Link| {
        let (mut network, [alice, _, server]) =
            two_homes(behind("198.51.100.1", Nat::CONE), behind("198.51.100.2", Nat::CONE), 3);
        network.change_link(crate::InterfaceId(0), |now_out, now_into| (*now_out, *now_into) = (out, into));
        for _ in 0..200 {
            send(&mut network, alice, ALICE, address(SERVER));
        }
        let heard =
            |host| network.host(host).heard.iter().map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>();
        (heard(server), heard(alice))
    };
    let clean = Link::default();
    let (there, back) = story(Link { duplicate: 0.5, ..clean.clone() }, clean.clone());
    assert!(there.len() > 250 && back.len() == there.len());
    let (there, back) = story(clean.clone(), Link { loss: Loss::Random(0.5), ..clean.clone() });
    assert!(there.len() == 200 && (60..140).contains(&back.len()));
    let (there, _) = story(Link { corrupt: 0.5, ..clean.clone() }, clean.clone());
    let flipped =
        |bytes: &Vec<u8>| bytes.iter().zip(b"coo").map(|(one, two)| (one ^ two).count_ones()).sum::<u32>();
    let wrong: Vec<u32> = there.iter().map(flipped).filter(|bits| *bits > 0).collect();
    assert!(there.len() == 200 && (60..140).contains(&wrong.len()));
    assert!(wrong.iter().all(|bits| *bits == 1), "one bit each");
    // "coo" and its headers are 31 bytes.
    let (there, _) = story(Link { mtu: 30, ..clean.clone() }, clean.clone());
    assert!(there.is_empty());
    let (there, back) = story(Link { mtu: 31, ..clean.clone() }, Link { mtu: 30, ..clean });
    assert!(there.len() == 200 && back.is_empty());
}

#[test]
fn a_router_has_a_link_of_its_own() {
    let slow = Link { rate: Some(8000), ..Link::with_delay(Duration::from_millis(50)) };
    let router = Router { link: slow, ..behind("198.51.100.1", Nat::CONE) };
    let (mut network, [alice, _, server]) = two_homes(router, behind("198.51.100.2", Nat::CONE), 1);
    network.with(alice, |peer, _| {
        for _ in 0..2 {
            peer.outbox.push((udp(address(ALICE), address(SERVER)), b"coo".to_vec()));
        }
    });
    // 10 ms to the router, 31 ms for the 31 bytes of each, 50 ms behind it.
    for (number, at) in [(1, 91), (2, 122)] {
        assert!(
            network
                .run_while_not(Duration::from_secs(1), |network| network.host(server).heard.len() == number)
        );
        assert_eq!(network.elapsed(), Duration::from_millis(at));
    }
}

#[test]
fn a_stateful_firewall_closes_after_silence() {
    let mut network: Network<Peer> = Network::new(1);
    let (internet, home) = (network.add_zone(), network.add_zone());
    let router =
        network.add_router(home, internet, Router { firewall: Firewall::stateful(), ..Router::default() });
    network.add_route(internet, "2001:db8:1::".parse().expect("an address"), 48, router);
    let (inner, outer) = ("[2001:db8:1::5]:4000", "[2001:db8:9::1]:3478");
    let alice = network.add_host(Peer::default());
    let server = network.add_host(Peer::default());
    network.attach(alice, home, address(inner).ip(), Link::default());
    network.attach(server, internet, address(outer).ip(), Link::default());
    send(&mut network, alice, inner, address(outer));
    network.run_for(Duration::from_secs(119));
    send(&mut network, server, outer, address(inner));
    assert_eq!(network.host(alice).heard.len(), 1);
    network.run_for(Duration::from_secs(2));
    send(&mut network, server, outer, address(inner));
    assert_eq!(network.host(alice).heard.len(), 1);
}
