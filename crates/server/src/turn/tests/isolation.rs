//! The service beside a program whose own threads do not come to anything.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

use columba_turn::server::Transport;

use super::client::binding_request;
use super::{PATIENCE, config, start};

/// The length of a Binding response to an IPv4 address.
const RESPONSE: usize = 32;

/// A request and its answer by calls that block the thread that they are made on.
fn blocking_binding(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&binding_request()).unwrap();
    let mut answer = [0; RESPONSE];
    stream.read_exact(&mut answer).expect("an answer in time");
    assert_eq!(answer[..2], [1, 1], "a Binding success response");
}

// The runtime of these tests has one thread, and the client blocks it: so the service can answer
// only from threads of its own.

#[tokio::test]
async fn datagrams_are_answered_while_the_programs_threads_are_busy() {
    let running = start(config());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(&binding_request(), running.udp).unwrap();
    let mut answer = [0; 100];
    assert_eq!(client.recv(&mut answer).expect("an answer in time"), RESPONSE);
    assert_eq!(answer[..2], [1, 1], "a Binding success response");
}

#[tokio::test]
async fn streams_are_answered_while_the_programs_threads_are_busy() {
    let running = start(config());
    blocking_binding(&mut TcpStream::connect(running.tcp).unwrap());
}

#[tokio::test]
async fn streams_of_the_web_port_are_answered_while_its_threads_are_busy() {
    let running = Arc::new(start(config()));
    let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local: SocketAddr = web.local_addr().unwrap();
    let mut client = TcpStream::connect(local).unwrap();
    let (stream, peer) = web.accept().await.unwrap();
    let service = Arc::clone(&running);
    let serving = tokio::spawn(async move {
        service.service.serve_stream(stream, &[], local, peer, Transport::Tcp).await;
    });
    super::eventually("it is handed over", || running.service.stats().sockets.streams_open == 1).await;
    for _ in 0..3 {
        blocking_binding(&mut client);
    }
    drop(client);
    serving.await.unwrap();
}
