//! Streams: framing, bounds, time limits, and those that come from the web port.

use columba_stun::stream::Reader;
use columba_turn::server::Transport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::client::{Client, Via, Wire, binding_request};
use super::{PATIENCE, config, eventually, quick_limits, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binding_over_tcp_and_tls() {
    let running = start(config());
    assert!(Client::tcp(running.tcp).await.binding().await.ip().is_loopback());
    assert!(Client::tls(&running, &[]).await.binding().await.ip().is_loopback());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_may_come_in_any_pieces() {
    let running = start(config());
    let mut client = Client::tcp(running.tcp).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.allocate().await.unwrap();
    client.bind_channel(0x4001, peer.local_addr().unwrap()).await.unwrap();
    let stream = [
        client.channel_bytes(0x4001, b"odd"),
        client.channel_bytes(0x4001, b""),
        client.channel_bytes(0x4001, &[9; 997]),
        binding_request(),
        client.channel_bytes(0x4001, b"last"),
    ]
    .concat();
    for piece in [1, 3, 7, 501, stream.len()] {
        for part in stream.chunks(piece) {
            client.send(part).await;
        }
        let mut buffer = [0; 1500];
        for expected in [&b"odd"[..], b"", &[9; 997], b"last"] {
            let length = timeout(PATIENCE, peer.recv(&mut buffer)).await.expect("it arrives").unwrap();
            assert_eq!(&buffer[..length], expected, "in pieces of {piece}");
        }
        let answer = client.receive().await.unwrap();
        assert_eq!(answer[..2], [1, 1], "a Binding success response");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_closes_the_stream() {
    let running = start(config());
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 40], &[0, 1, 0, 0, 1, 2, 3, 4]] {
        let mut client = Client::tcp(running.tcp).await;
        client.send(garbage).await;
        assert_eq!(client.receive().await, None);
    }
    eventually("all are counted", || running.service.stats().sockets.streams_garbage == 3).await;
    Client::tcp(running.tcp).await.binding().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_loses_data_and_nothing_else() {
    const DATAGRAMS: usize = 6000;
    let running = start(config());
    let mut slow = Client::tcp(running.tcp).await;
    let mut brisk = Client::udp(running.udp).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    let at_slow = slow.allocate().await.unwrap();
    slow.bind_channel(0x4001, address).await.unwrap();
    // The server must not have more on its hands than the kernel's buffers and its own bound.
    for _ in 0..DATAGRAMS {
        peer.send_to(&[1; 1400], at_slow).await.unwrap();
        if running.service.stats().sockets.stream_messages_dropped > 0 {
            break;
        }
    }
    eventually("data is dropped", || running.service.stats().sockets.stream_messages_dropped > 0).await;
    brisk.binding().await;
    // What was queued before is still whole, and answers come after it.
    assert_eq!(slow.receive_data().await, (Via::Channel(0x4001), vec![1; 1400]));
    slow.permit(address).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_that_does_not_read_its_answers_is_closed() {
    let running = start(config());
    let stream = TcpStream::connect(running.tcp).await.unwrap();
    let (_read, mut write) = stream.into_split();
    let requests = binding_request().repeat(1000);
    let asking = async { while write.write_all(&requests).await.is_ok() {} };
    timeout(PATIENCE, asking).await.expect("the server closes");
    eventually("it is counted", || running.service.stats().sockets.streams_stalled == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_stream_without_an_allocation_is_closed() {
    let mut config = config();
    config.streams = quick_limits();
    let running = start(config);
    let mut allocated = Client::tcp(running.tcp).await;
    allocated.allocate().await.unwrap();
    let mut released = Client::tcp(running.tcp).await;
    released.allocate().await.unwrap();
    released.release().await;
    let mut silent = Client::tcp(running.tcp).await;
    assert_eq!(silent.receive().await, None);
    assert_eq!(released.receive().await, None);
    // No hello.
    let mut unsaid = TcpStream::connect(running.tls).await.unwrap();
    assert_eq!(timeout(PATIENCE, unsaid.read(&mut [0; 10])).await.expect("an end").unwrap(), 0);
    eventually("all are counted", || {
        let sockets = running.service.stats().sockets;
        (sockets.streams_idle, sockets.handshakes_failed) == (2, 1)
    })
    .await;
    assert!(allocated.binding().await.ip().is_loopback(), "still there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_has_only_so_many_streams() {
    let mut config = config();
    config.streams.max_streams_per_client = 2;
    let running = start(config);
    let mut first = Client::tcp(running.tcp).await;
    let mut second = Client::tcp(running.tcp).await;
    first.binding().await;
    second.binding().await;
    assert_eq!(Client::tcp(running.tcp).await.receive().await, None);
    assert_eq!(running.service.stats().sockets.streams_refused, 1);
    drop(first);
    eventually("a place is free", || running.service.stats().sockets.streams_open == 1).await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let mut third = Client::tcp(running.tcp).await;
        third.send(&binding_request()).await;
        if third.receive().await.is_some() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_takes_its_allocation_along() {
    let running = start(config());
    let mut client = Client::tcp(running.tcp).await;
    let relayed = client.allocate().await.unwrap();
    drop(client);
    eventually("the allocation is gone", || running.service.stats().server.allocations_live == 0).await;
    eventually("the port is free", || std::net::UdpSocket::bind(relayed).is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_web_port_hands_streams_over() {
    let running = start(config());
    let (ours, theirs) = tokio::io::duplex(4096);
    let (local, client) = ("192.0.2.1:443".parse().unwrap(), "198.51.100.7:50000".parse().unwrap());
    let request = binding_request();
    let serving = running.service.serve_stream(theirs, &request[..1], local, client, Transport::Tls);
    let asking = async {
        let mut asking = Client::over(Wire::Stream(Box::new(ours), Reader::new()));
        asking.send(&request[1..]).await;
        let answer = asking.receive().await.unwrap();
        let answer = columba_stun::Message::parse(&answer).unwrap();
        let mapped = answer.get::<columba_stun::attributes::XorMappedAddress>().unwrap().unwrap();
        assert_eq!(mapped.0, client);
    };
    // When the client is gone, so is the server's end.
    let (served, ()) = tokio::join!(timeout(PATIENCE, serving), asking);
    served.expect("an end");
    assert_eq!(running.service.stats().sockets.streams_open, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_for_new_connections() {
    let mut running = start(config());
    let mut old = Client::tls(&running, &[]).await;
    let (tls, certificate) = super::tls_config();
    running.service.set_tls(tls);
    running.certificate = certificate;
    Client::tls(&running, &[]).await.binding().await;
    old.binding().await;
}
