//! Allocations that follow their clients, from socket to socket and from connection to connection.

use std::net::SocketAddr;

use columba_stun::attributes::{Lifetime, MobilityTicket, RequestedTransport, XorRelayedAddress};
use columba_stun::{Message, Method};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::client::{Client, Via};
use super::{PATIENCE, config, eventually, start};

fn ticket(answer: &[u8]) -> Vec<u8> {
    Message::parse(answer).unwrap().get::<MobilityTicket<'_>>().unwrap().unwrap().0.to_vec()
}

async fn allocate(client: &mut Client) -> (SocketAddr, Vec<u8>) {
    let answer = client
        .request(Method::ALLOCATE, |builder| {
            builder.push(&RequestedTransport::UDP)?.push(&MobilityTicket(&[])).map(drop)
        })
        .await
        .unwrap();
    let relayed = Message::parse(&answer).unwrap().get::<XorRelayedAddress>().unwrap().unwrap().0;
    (relayed, ticket(&answer))
}

/// Data both ways by a channel, seen from the peer as coming from this address.
async fn talks(client: &mut Client, peer: &UdpSocket, relayed: SocketAddr) {
    let mut buffer = [0; 100];
    client.send_channel(0x4001, b"coo").await;
    let (length, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.expect("data").unwrap();
    assert_eq!((&buffer[..length], from), (b"coo".as_slice(), relayed));
    peer.send_to(b"coo coo", relayed).await.unwrap();
    assert_eq!(client.receive_data().await, (Via::Channel(0x4001), b"coo coo".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allocation_follows_its_client_over_every_transport() {
    let running = start(config());
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut client = Client::udp(running.udp).await;
    let (relayed, mut last) = allocate(&mut client).await;
    client.bind_channel(0x4001, peer.local_addr().unwrap()).await.unwrap();
    talks(&mut client, &peer, relayed).await;
    for step in 0..5 {
        client.change_wire(match step {
            0 | 3 => Client::udp(running.udp).await,
            1 | 4 => Client::tcp(running.tcp).await,
            _ => Client::tls(&running, &[]).await,
        });
        let shown = last.clone();
        let answer = client
            .request(Method::REFRESH, |builder| {
                builder.push(&Lifetime(600))?.push(&MobilityTicket(&shown)).map(drop)
            })
            .await
            .unwrap();
        last = ticket(&answer);
        assert_ne!(last, shown);
        talks(&mut client, &peer, relayed).await;
    }
    let stats = running.service.stats();
    assert_eq!((stats.server.allocations_total, stats.server.allocations_moved), (1, 5));
    eventually("the connections that it has left are closed", || {
        running.service.stats().sockets.streams_open == 1
    })
    .await;
    client.release().await;
    eventually("the port is closed", || running.service.stats().server.relays_live == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mobility_can_be_switched_off() {
    let mut config = config();
    config.server.mobility = false;
    let running = start(config);
    let mut client = Client::udp(running.udp).await;
    let asked = client.allocate_with(|builder| builder.push(&MobilityTicket(&[])).map(drop)).await;
    assert_eq!(asked, Err(405));
    client.allocate().await.unwrap();
}
