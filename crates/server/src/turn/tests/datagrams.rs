//! UDP listeners.

use std::net::SocketAddr;

use columba_turn::server::{AnswerLimit, DropReason};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::client::{Client, binding_request};
use super::{PATIENCE, config, eventually, start, start_at};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binding_tells_the_address() {
    let running = start(config());
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(running.udp).await.unwrap();
    let local = client.local_addr().unwrap();
    let mut client = Client::over(super::client::Wire::Udp(client));
    assert_eq!(client.binding().await, local);
    assert_eq!(running.service.stats().server.binding_requests, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_socket_serves_both_families_and_answers_from_where_it_was_asked() {
    let running = start_at("[::]:0", config());
    let port = running.udp.port();
    // 127.0.0.2 is this host too; an unmindful server would answer from 127.0.0.1, which a
    // connected socket ignores.
    for server in ["127.0.0.1", "127.0.0.2", "::1"] {
        let mut client = Client::udp(SocketAddr::new(server.parse().unwrap(), port)).await;
        let seen = client.binding().await;
        assert_eq!(seen.is_ipv4(), server != "::1", "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_is_counted_and_disturbs_no_client() {
    let running = start(config());
    let mut client = Client::udp(running.udp).await;
    let request = binding_request();
    for length in 0..request.len() {
        client.send(&request[..length]).await;
    }
    for bit in 0..request.len() * 8 {
        let mut flipped = request.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        client.send(&flipped).await;
    }
    client.send(&[0xFF; 1200]).await;
    client.send(&vec![0x40; 60_000]).await;
    eventually("the garbage is seen", || {
        running.service.stats().server.dropped(DropReason::Malformed) >= request.len() as u64
    })
    .await;
    let mut other = Client::udp(running.udp).await;
    other.binding().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn burst_of_requests_is_answered_completely() {
    const BURST: usize = 500;
    let mut config = config();
    config.server.unauthenticated =
        AnswerLimit { bytes_per_second: None, total_bytes_per_second: None, ..AnswerLimit::default() };
    let running = start(config);
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(running.udp).await.unwrap();
    let mut answers = 0;
    let mut buffer = [0; 1500];
    // Fewer at once than the smallest default of a receive queue holds.
    for _ in 0..BURST / 50 {
        for _ in 0..50 {
            client.send(&binding_request()).await.unwrap();
        }
        for _ in 0..50 {
            timeout(PATIENCE, client.recv(&mut buffer)).await.expect("all answers").unwrap();
            answers += 1;
        }
    }
    assert_eq!(answers, BURST);
    assert_eq!(running.service.stats().server.successes, BURST as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_gives_the_ports_back() {
    let running = start(config());
    let mut client = Client::udp(running.udp).await;
    let relayed = client.allocate().await.unwrap();
    let mut stream = Client::tcp(running.tcp).await;
    stream.binding().await;
    assert!(std::net::UdpSocket::bind(relayed).is_err(), "the relay port is in use");
    timeout(PATIENCE, running.service.shutdown()).await.expect("an end");
    std::net::UdpSocket::bind(relayed).expect("the relay port is free");
    std::net::UdpSocket::bind(running.udp).expect("the UDP port is free");
    super::Bound::new(running.tcp, super::Transport::Tcp).expect("the TCP port is free");
    assert_eq!(stream.receive().await, None, "streams are closed");
}
