//! Peer connections over TCP (RFC 6544), on real sockets.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::net::SocketAddr;

use columba::{
    Configuration, DataChannelInit, Event, Events, IceConfig, Message, PeerConnection, PeerConnectionState,
    SessionDescription, TcpMode, Transport,
};
use common::peers::{pair_of, selected_path};
use common::soon;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn without_datagrams() -> Configuration {
    let ice = IceConfig { udp: false, ..IceConfig::default() };
    Configuration { ice, ..Configuration::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_carries_everything_without_udp() {
    let (mut caller, mut callee, channel) = pair_of(without_datagrams()).await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    caller.reaches(PeerConnectionState::Connected).await;
    let path = selected_path(&caller.connection);
    assert_eq!(path.transport, Transport::Tcp);
    // More than may wait for the connection at once.
    let sending = tokio::spawn({
        let channel = channel.clone();
        async move {
            for number in 0..64u8 {
                channel.send(vec![number; 64 << 10]).await.unwrap();
            }
        }
    });
    for number in 0..64u8 {
        let message = soon("a message", other.recv()).await;
        assert_eq!(message, Some(Message::from(vec![number; 64 << 10])));
    }
    soon("the sender", sending).await.unwrap();
    channel.try_send("last words").unwrap();
    soon("closing", caller.connection.close()).await;
    assert_eq!(soon("last words", other.recv()).await, Some(Message::from("last words")));
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("closing", callee.connection.close()).await;
}

/// Forwards only the simultaneous-open candidates.
fn forward_simultaneous(mut from: Events, to: PeerConnection) {
    tokio::spawn(async move {
        while let Some(event) = from.recv().await {
            if let Event::IceCandidate(Some(candidate)) = event
                && candidate.init.candidate.contains("tcptype so")
            {
                let _ = to.add_ice_candidate(candidate.init).await;
            }
        }
    });
}

/// The description without candidates.
fn bare(description: SessionDescription) -> SessionDescription {
    let lines = description.sdp.split_inclusive("\r\n").filter(|line| !line.starts_with("a=candidate:"));
    SessionDescription { sdp: lines.collect(), ..description }
}

/// One side may be sooner, or both SYNs may cross: it is one connection.
#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_open_connects_from_the_listening_ports() {
    let ice = IceConfig { udp: false, tcp: TcpMode::SimultaneousOpen, ..IceConfig::default() };
    let configuration = Configuration { ice, ..Configuration::default() };
    for _ in 0..10 {
        let (caller, caller_events) = PeerConnection::new(configuration.clone()).unwrap();
        let (callee, callee_events) = PeerConnection::new(configuration.clone()).unwrap();
        let channel = caller.create_data_channel("a channel", DataChannelInit::default()).unwrap();
        let offer = caller.set_local_description(None).await.unwrap();
        callee.set_remote_description(bare(offer)).await.unwrap();
        let answer = callee.set_local_description(None).await.unwrap();
        caller.set_remote_description(bare(answer)).await.unwrap();
        forward_simultaneous(caller_events, callee.clone());
        forward_simultaneous(callee_events, caller.clone());
        soon("opening", channel.opened()).await.unwrap();
        let ends = [&caller, &callee].map(|connection| {
            let path = selected_path(connection);
            (path.local, path.remote)
        });
        // Whichever connection came first, each end has the port of its candidate.
        assert_eq!(ends[0], (ends[1].1, ends[1].0));
        soon("closing", caller.close()).await;
        soon("closing", callee.close()).await;
    }
}

/// The address at which a connection listens.
async fn listener(events: &mut Events) -> SocketAddr {
    loop {
        if let Some(Event::IceCandidate(Some(found))) = soon("a listener", events.recv()).await
            && let Some(candidate) = found.candidate
            && candidate.port != 9
        {
            return candidate.socket_address().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_connections_at_the_listener_are_closed() {
    let (connection, mut events) = PeerConnection::new(without_datagrams()).unwrap();
    connection.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    connection.set_local_description(None).await.unwrap();
    let listener = listener(&mut events).await;
    // The first ones are closed when too many follow.
    let mut strangers = Vec::new();
    for _ in 0..40 {
        strangers.push(soon("connecting", TcpStream::connect(listener)).await.unwrap());
    }
    for mut early in strangers.drain(..24) {
        assert!(matches!(soon("the end", early.read(&mut [0; 1])).await, Ok(0) | Err(_)));
    }
    // A connection with another protocol is closed at once.
    let mut last = strangers.pop().unwrap();
    let nonsense = [b"\x00\x0e".as_slice(), b"GET / HTTP/1.1"].concat();
    last.write_all(&nonsense).await.unwrap();
    assert!(matches!(soon("the end", last.read(&mut [0; 1])).await, Ok(0) | Err(_)));
    soon("closing", connection.close()).await;
    for mut other in strangers {
        assert!(matches!(soon("the end", other.read(&mut [0; 1])).await, Ok(0) | Err(_)));
    }
}
