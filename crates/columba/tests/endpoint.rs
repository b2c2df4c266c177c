//! Many connections on one UDP socket.
//!
//! The largest numbers are left out of an ordinary run. By hand, with 20,000 open files allowed:
//!
//! ```text
//! cargo test --release -p columba --test endpoint -- --ignored --nocapture --test-threads 1
//! ```
#![allow(missing_docs, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use columba::{Configuration, DataChannel, DataChannelInit, Endpoint, Events, Message, PeerConnection};
use common::peers::{forward, selected_path};
use common::soon;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Connections that are made at a time.
const AT_ONCE: usize = 32;

/// Two connected sides with a negotiated channel.
struct Pair {
    caller: PeerConnection,
    callee: PeerConnection,
    channels: [DataChannel; 2],
}

fn side(endpoint: &Endpoint) -> (PeerConnection, Events, DataChannel) {
    let builder = PeerConnection::builder().configuration(Configuration::default());
    let (connection, events) = builder.endpoint(endpoint.clone()).build().unwrap();
    let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
    let channel = connection.create_data_channel("echo", init).unwrap();
    (connection, events, channel)
}

impl Pair {
    async fn between(one: &Endpoint, other: &Endpoint) -> Self {
        let (caller, caller_events, here) = side(one);
        let (callee, callee_events, there) = side(other);
        let offer = caller.set_local_description(None).await.unwrap();
        callee.set_remote_description(offer).await.unwrap();
        let answer = callee.set_local_description(None).await.unwrap();
        caller.set_remote_description(answer).await.unwrap();
        let _told = [forward(caller_events, callee.clone()), forward(callee_events, caller.clone())];
        let pair = Self { caller, callee, channels: [here, there] };
        pair.talk("hello").await;
        pair
    }

    /// A message goes there and back.
    async fn talk(&self, text: &str) {
        let [here, there] = &self.channels;
        soon("it is sent", here.send(text)).await.unwrap();
        let message = soon("it arrives", there.recv()).await.expect("the channel is open");
        soon("it is answered", there.send(message)).await.unwrap();
        assert_eq!(soon("it comes back", here.recv()).await, Some(Message::Text(text.to_owned())));
    }

    async fn close(self) {
        self.caller.close().await;
        self.callee.close().await;
    }
}

/// Makes so many pairs, several at a time.
async fn pairs(count: usize, mut ends: impl FnMut(usize) -> (Endpoint, Endpoint)) -> Vec<Pair> {
    let (mut pairs, mut tasks) = (Vec::with_capacity(count), JoinSet::new());
    for number in 0..count {
        if tasks.len() >= AT_ONCE {
            pairs.extend(tasks.join_next().await.map(Result::unwrap));
        }
        let (one, other) = ends(number);
        tasks.spawn(async move { Pair::between(&one, &other).await });
    }
    while let Some(pair) = tasks.join_next().await {
        pairs.push(pair.unwrap());
    }
    pairs
}

fn loopback(number: usize) -> SocketAddr {
    let number = u32::try_from(number).unwrap();
    (Ipv4Addr::from(0x7F01_0000 + number), 0).into()
}

fn bind(address: SocketAddr) -> Endpoint {
    Endpoint::bind(address).unwrap()
}

/// Waits until no connection is left: a driver ends after its connection was closed.
async fn emptied(endpoint: &Endpoint) {
    let deadline = Instant::now() + common::PATIENCE;
    while endpoint.connections() > 0 {
        assert!(Instant::now() < deadline, "{} are left", endpoint.connections());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Peers with an address each, and a server with one port for all of them.
async fn peers_on_one_port(count: usize) {
    let begin = Instant::now();
    let server = bind("127.0.0.1:0".parse().unwrap());
    let all = pairs(count, |number| (bind(loopback(number)), server.clone())).await;
    println!("{count} peers are connected after {:?}", begin.elapsed());
    assert_eq!(server.connections(), count);
    let mut remotes = BTreeSet::new();
    for pair in &all {
        let path = selected_path(&pair.callee);
        assert_eq!(path.local, server.local_address());
        remotes.insert(path.remote.ip());
    }
    assert_eq!(remotes.len(), count, "each has an address of its own");
    for pair in &all {
        pair.talk("still there?").await;
    }
    for pair in all {
        pair.close().await;
    }
    emptied(&server).await;
}

/// Connections between two programs with one port each: all have the same addresses.
async fn connections_between_two(count: usize) {
    let begin = Instant::now();
    let [one, other] = [(); 2].map(|()| bind("127.0.0.1:0".parse().unwrap()));
    let all = pairs(count, |_| (one.clone(), other.clone())).await;
    println!("{count} connections are made after {:?}", begin.elapsed());
    assert_eq!((one.connections(), other.connections()), (count, count));
    for (number, pair) in all.iter().enumerate() {
        pair.talk(&format!("number {number}")).await;
    }
    for pair in all {
        pair.close().await;
    }
    emptied(&one).await;
    emptied(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundred_peers_with_different_addresses_share_one_port() {
    peers_on_one_port(100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_connections_between_two_endpoints() {
    connections_between_two(50).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and 10,000 sockets: run by hand, see the head of this file"]
async fn ten_thousand_peers_with_different_addresses_share_one_port() {
    peers_on_one_port(10_000).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: run by hand, see the head of this file"]
async fn thousand_connections_between_two_endpoints() {
    connections_between_two(1000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_of_strangers_are_dropped_and_disturb_nothing() {
    let server = bind("127.0.0.1:0".parse().unwrap());
    let pair = Pair::between(&bind(loopback(1)), &server).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // A check without a user name, one of a guessed one, DTLS, and nothing that has a name.
    let mut check = vec![0, 1, 0, 12, 0x21, 0x12, 0xA4, 0x42];
    check.extend([7; 12]);
    check.extend([0, 6, 0, 5]);
    check.extend(b"a:bcd\0\0\0");
    let before = server.dropped_datagrams();
    for datagram in [&check[..20], &check, &[22, 254, 253, 0], &[255; 1200], &[]] {
        stranger.send_to(datagram, server.local_address()).await.unwrap();
    }
    let deadline = Instant::now() + common::PATIENCE;
    while server.dropped_datagrams() < before + 4 {
        assert!(Instant::now() < deadline, "{} are dropped", server.dropped_datagrams());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    pair.talk("undisturbed").await;
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoint_on_all_addresses_answers_from_the_one_that_was_asked() {
    let server = bind("0.0.0.0:0".parse().unwrap());
    let pair = Pair::between(&bind("0.0.0.0:0".parse().unwrap()), &server).await;
    let port = server.local_address().port();
    let candidates = pair.callee.local_description().unwrap().sdp;
    for line in candidates.lines().filter(|line| line.contains(" typ host")) {
        let fields: Vec<&str> = line.split(' ').collect();
        let is_ipv4 = fields[4].parse::<Ipv4Addr>().is_ok();
        if is_ipv4 && fields[2].eq_ignore_ascii_case("udp") {
            assert_eq!(fields[5], port.to_string(), "{line}");
        }
    }
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn restart_of_ice_goes_on_over_the_same_port() {
    let server = bind("127.0.0.1:0".parse().unwrap());
    let pair = Pair::between(&bind(loopback(2)), &server).await;
    pair.caller.restart_ice();
    let offer = pair.caller.set_local_description(None).await.unwrap();
    pair.callee.set_remote_description(offer).await.unwrap();
    let answer = pair.callee.set_local_description(None).await.unwrap();
    pair.caller.set_remote_description(answer).await.unwrap();
    pair.talk("after the restart").await;
    assert_eq!(selected_path(&pair.callee).local, server.local_address());
    assert_eq!(server.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_is_closed_with_its_last_user() {
    let server = bind("127.0.0.1:0".parse().unwrap());
    let address = server.local_address();
    let pair = Pair::between(&bind(loopback(3)), &server).await;
    drop(server);
    pair.talk("the connection keeps it").await;
    assert!(std::net::UdpSocket::bind(address).is_err());
    pair.close().await;
    let deadline = Instant::now() + common::PATIENCE;
    while std::net::UdpSocket::bind(address).is_err() {
        assert!(Instant::now() < deadline, "it is still open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_share_one_endpoint() {
    let Ok(probe) = std::net::UdpSocket::bind("[::1]:0") else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    drop(probe);
    let server = Endpoint::bind_all(&["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]).unwrap();
    let [ipv4, ipv6] = server.local_addresses()[..] else { panic!("two addresses") };
    let mut all = Vec::new();
    for _ in 0..4 {
        for (client, local) in [("127.0.0.1:0", ipv4), ("[::1]:0", ipv6)] {
            let pair = Pair::between(&bind(client.parse().unwrap()), &server).await;
            assert_eq!(selected_path(&pair.callee).local, local, "for {client}");
            all.push(pair);
        }
    }
    assert_eq!(server.connections(), 8);
    for pair in &all {
        pair.talk("still there?").await;
    }
    for pair in all {
        pair.close().await;
    }
    emptied(&server).await;
}

#[tokio::test]
async fn port_of_all_addresses_is_bound_in_both_families() {
    let Ok(first) = Endpoint::bind_all(&["0.0.0.0:0".parse().unwrap(), "[::]:0".parse().unwrap()]) else {
        println!("skipped: this machine has no IPv6");
        return;
    };
    let [ipv4, ipv6] = first.local_addresses()[..] else { panic!("two addresses") };
    assert!(ipv4.is_ipv4() && ipv6.is_ipv6());
    // The same port of the other family is free: the socket of IPv6 does not take it.
    let other: SocketAddr = (Ipv4Addr::UNSPECIFIED, ipv6.port()).into();
    assert!(Endpoint::bind(other).is_ok(), "{other}");
}

#[tokio::test]
async fn addresses_that_are_missing_or_double_are_refused() {
    let double: [SocketAddr; 2] = ["127.0.0.1:0".parse().unwrap(), "127.0.0.1:9".parse().unwrap()];
    for addresses in [&[][..], &double] {
        let error = Endpoint::bind_all(addresses).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pair_whose_addresses_are_taken_has_a_socket_beside() {
    let [one, other] = [(); 2].map(|()| bind("127.0.0.1:0".parse().unwrap()));
    let first = Pair::between(&one, &other).await;
    let second = Pair::between(&one, &other).await;
    let ways = [&first, &second].map(|pair| [&pair.caller, &pair.callee].map(selected_path));
    assert_eq!(
        (ways[0][0].remote, ways[0][1].remote),
        (other.local_address(), one.local_address()),
        "the first has the shared ports"
    );
    // A socket beside is known to the other side alone, as the address that checks come from.
    let beside = [(ways[1][1].remote, one.local_address()), (ways[1][0].remote, other.local_address())];
    assert!(beside.iter().any(|(seen, shared)| seen != shared), "{beside:?}");
    first.talk("the first").await;
    second.talk("the second").await;
    first.close().await;
    second.talk("the second is alone").await;
    second.close().await;
    emptied(&one).await;
    emptied(&other).await;
}
