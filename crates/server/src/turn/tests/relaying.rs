//! Relaying, from the client's request to the peer's socket and back.

use std::net::{IpAddr, SocketAddr};

use columba_stun::attributes::{
    AdditionalAddressFamily, EvenPort, RequestedAddressFamily, RequestedTransport, ReservationToken,
    XorRelayedAddress,
};
use columba_stun::{Message, Method};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::super::ports::tests::free_range;
use super::client::{Client, Via};
use super::{PATIENCE, config, eventually, start, start_at};

/// A peer that sends everything back.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    address
}

/// An allocation, a permission, a channel, and data both ways in both forms.
async fn relays_everything(mut client: Client) {
    let peer = echo().await;
    let relayed = client.allocate().await.unwrap();
    assert!(relayed.is_ipv4());

    client.permit(peer).await.unwrap();
    client.send_indication(peer, b"by indication").await;
    assert_eq!(client.receive_data().await, (Via::Peer(peer), b"by indication".to_vec()));

    client.bind_channel(0x4001, peer).await.unwrap();
    for length in [0, 1, 2, 3, 4, 1200, 1401] {
        let data: Vec<u8> = (0..length).map(|i| i as u8).collect();
        client.send_channel(0x4001, &data).await;
        assert_eq!(client.receive_data().await, (Via::Channel(0x4001), data), "{length} bytes");
    }
    client.release().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_udp() {
    let running = start(config());
    relays_everything(Client::udp(running.udp).await).await;
    eventually("the port is closed", || running.service.stats().server.relays_live == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp() {
    let running = start(config());
    relays_everything(Client::tcp(running.tcp).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_whatever_alpn_says() {
    let running = start(config());
    relays_everything(Client::tls(&running, &[]).await).await;
    relays_everything(Client::tls(&running, &[b"stun.turn"]).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_relay_to_relay() {
    let running = start(config());
    let mut alice = Client::udp(running.udp).await;
    let mut bob = Client::tcp(running.tcp).await;
    let (at_alice, at_bob) = (alice.allocate().await.unwrap(), bob.allocate().await.unwrap());
    alice.permit(at_bob).await.unwrap();
    bob.bind_channel(0x4002, at_alice).await.unwrap();
    alice.send_indication(at_bob, b"coo").await;
    assert_eq!(bob.receive_data().await, (Via::Channel(0x4002), b"coo".to_vec()));
    bob.send_channel(0x4002, b"coo coo").await;
    assert_eq!(alice.receive_data().await, (Via::Peer(at_bob), b"coo coo".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_host_is_no_peer_by_default() {
    let mut config = config();
    config.server.allow_peers.clear();
    let running = start(config);
    let mut client = Client::udp(running.udp).await;
    client.allocate().await.unwrap();
    for peer in ["127.0.0.1:9", "[::ffff:10.0.0.1]:9", "192.168.1.1:9"] {
        assert_eq!(client.permit(peer.parse().unwrap()).await, Err(403), "{peer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_train_of_equal_datagrams_arrives_whole_and_in_order() {
    const CARRIAGES: u16 = 40;
    let running = start(config());
    let mut client = Client::udp(running.udp).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.allocate().await.unwrap();
    client.bind_channel(0x4001, peer.local_addr().unwrap()).await.unwrap();
    for number in 0..CARRIAGES {
        client.send_channel(0x4001, &[&number.to_be_bytes()[..], &[0x5A; 1000]].concat()).await;
    }
    let mut buffer = [0; 1500];
    let mut from = None;
    for number in 0..CARRIAGES {
        let received = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.expect("all of it").unwrap();
        assert_eq!((received.0, &buffer[..2]), (1002, &number.to_be_bytes()[..]));
        from = Some(received.1);
    }
    for number in 0..CARRIAGES {
        let bytes = [&number.to_be_bytes()[..], &[0xA5; 500]].concat();
        peer.send_to(&bytes, from.unwrap()).await.unwrap();
    }
    for number in 0..CARRIAGES {
        let (via, data) = client.receive_data().await;
        assert_eq!((via, &data[..2], data.len()), (Via::Channel(0x4001), &number.to_be_bytes()[..], 502));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_ports_are_reported_and_recover() {
    let mut config = config();
    config.relay_ports = free_range(3);
    let range = config.relay_ports.clone();
    let running = start(config);
    let mut clients = Vec::new();
    for _ in range.clone() {
        let mut client = Client::udp(running.udp).await;
        assert!(range.contains(&client.allocate().await.unwrap().port()));
        clients.push(client);
    }
    let mut late = Client::udp(running.udp).await;
    assert_eq!(late.allocate().await, Err(508));
    clients[0].release().await;
    // The socket closes when its reader has ended, which the answer to the client does not wait
    // for.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while late.allocate().await.is_err() {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn even_ports_and_the_next() {
    let mut config = config();
    config.relay_ports = free_range(2);
    let (even, next) = config.relay_ports.clone().into_inner();
    let running = start(config);
    let mut first = Client::udp(running.udp).await;
    let answer = first
        .request(Method::ALLOCATE, |builder| {
            builder.push(&RequestedTransport::UDP)?.push(&EvenPort { reserve_next: true }).map(drop)
        })
        .await
        .unwrap();
    let answer = Message::parse(&answer).unwrap();
    let relayed = answer.get::<XorRelayedAddress>().unwrap().unwrap().0;
    assert_eq!(relayed.port(), even);
    let token = answer.get::<ReservationToken>().unwrap().unwrap();
    let mut second = Client::udp(running.udp).await;
    let relayed = second.allocate_with(|builder| builder.push(&token).map(drop)).await.unwrap();
    assert_eq!(relayed.port(), next);

    let peer = echo().await;
    second.bind_channel(0x4001, peer).await.unwrap();
    second.send_channel(0x4001, b"over the next").await;
    assert_eq!(second.receive_data().await, (Via::Channel(0x4001), b"over the next".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn public_addresses_are_announced() {
    let public: IpAddr = "203.0.113.5".parse().unwrap();
    let mut config = config();
    config.public_addresses = vec![public];
    let running = start(config);
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::udp(running.udp).await;
    let relayed = client.allocate().await.unwrap();
    assert_eq!(relayed.ip(), public);
    client.bind_channel(0x4001, peer.local_addr().unwrap()).await.unwrap();
    client.send_channel(0x4001, b"through the wall").await;
    let mut buffer = [0; 100];
    let (length, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.expect("it arrives").unwrap();
    assert_eq!((&buffer[..length], from.port()), (&b"through the wall"[..], relayed.port()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_for_clients_of_ipv6() {
    let running = start_at("[::]:0", config());
    let mut client = Client::udp(SocketAddr::new("::1".parse().unwrap(), running.udp.port())).await;
    let relayed =
        client.allocate_with(|builder| builder.push(&RequestedAddressFamily::IPV6).map(drop)).await.unwrap();
    assert!(relayed.is_ipv6());
    let peer = UdpSocket::bind("[::1]:0").await.unwrap();
    client.bind_channel(0x4001, peer.local_addr().unwrap()).await.unwrap();
    client.send_channel(0x4001, b"six").await;
    let mut buffer = [0; 100];
    let (length, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.expect("it arrives").unwrap();
    assert_eq!((&buffer[..length], from.port()), (&b"six"[..], relayed.port()));

    let mut both = Client::udp(SocketAddr::new("127.0.0.1".parse().unwrap(), running.udp.port())).await;
    let answer = both
        .request(Method::ALLOCATE, |builder| {
            builder.push(&RequestedTransport::UDP)?.push(&AdditionalAddressFamily::IPV6).map(drop)
        })
        .await
        .unwrap();
    let answer = Message::parse(&answer).unwrap();
    let families: Vec<bool> =
        answer.all::<XorRelayedAddress>().map(|address| address.unwrap().0.is_ipv4()).collect();
    assert_eq!(families, [true, false], "one of each family");
    for family in [RequestedAddressFamily::IPV4, RequestedAddressFamily::IPV6] {
        both.request(Method::REFRESH, |builder| builder.push(&family).map(drop)).await.unwrap();
    }
}
