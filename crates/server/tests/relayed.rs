//! Two peers of the library that may only meet over the server's relay, reached over UDP and over
//! TCP.
#![allow(missing_docs, reason = "a test")]

mod common;

use columba::signaling::{SignalingChannel, SignalingOptions};
use columba::{
    Configuration, DataChannelInit, Event, Events, IceServer, Message, PeerConnection, PeerConnectionState,
    TransportPolicy,
};
use common::{Folder, PATIENCE, Server, program};
use tokio::time::timeout;

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Only the servers whose URL begins and ends like this, and nothing but relayed candidates; and
/// the membership that the credentials are for, without which they make no allocation.
async fn configuration(
    options: SignalingOptions,
    beginning: &str,
    ending: &str,
) -> (Configuration, SignalingChannel) {
    let (channel, _events) = soon("joining", SignalingChannel::open(options)).await.unwrap();
    let offered = channel.ice_servers().servers;
    let ice_servers: Vec<IceServer> = offered
        .into_iter()
        .map(|server| IceServer {
            urls: server
                .urls
                .iter()
                .filter(|url| url.starts_with(beginning) && url.ends_with(ending))
                .cloned()
                .collect(),
            ..server
        })
        .filter(|server| !server.urls.is_empty())
        .collect();
    assert!(!ice_servers.is_empty(), "the server offers {beginning} with {ending}");
    let ice_transport_policy = TransportPolicy::Relay;
    (Configuration { ice_servers, ice_transport_policy, ..Configuration::default() }, channel)
}

async fn forward(mut events: Events, other: PeerConnection) {
    while let Some(event) = events.recv().await {
        match event {
            Event::IceCandidate(Some(candidate)) => {
                assert!(
                    candidate.init.candidate.is_empty() || candidate.init.candidate.contains("typ relay")
                );
                let _ = other.add_ice_candidate(candidate.init).await;
            }
            Event::DataChannel(channel) => {
                tokio::spawn(async move {
                    while let Some(message) = channel.recv().await {
                        if channel.send(message).await.is_err() {
                            return;
                        }
                    }
                });
            }
            _ => {}
        }
    }
}

async fn echo_through(ending: &str) {
    let server = Server::start(&[]);
    let options = || SignalingOptions::create(format!("http://127.0.0.1:{}", server.port));
    let (caller, _caller_is_member) = configuration(options(), "turn:", ending).await;
    let (callee, _callee_is_member) = configuration(options(), "turn:", ending).await;
    echo(PeerConnection::new(caller).unwrap(), PeerConnection::new(callee).unwrap()).await;
}

async fn echo(
    (caller, from_caller): (PeerConnection, Events),
    (callee, from_callee): (PeerConnection, Events),
) {
    let channel = caller.create_data_channel("echo", DataChannelInit::default()).unwrap();
    callee.set_remote_description(caller.set_local_description(None).await.unwrap()).await.unwrap();
    caller.set_remote_description(callee.set_local_description(None).await.unwrap()).await.unwrap();
    tokio::spawn(forward(from_caller, callee.clone()));
    tokio::spawn(forward(from_callee, caller.clone()));
    for number in 0..16u8 {
        soon("sending", channel.send(vec![number; 64 << 10])).await.unwrap();
    }
    for number in 0..16u8 {
        let echo = soon("an echo", channel.recv()).await;
        assert_eq!(echo, Some(Message::from(vec![number; 64 << 10])), "{number}");
    }
    assert_eq!(caller.connection_state(), PeerConnectionState::Connected);
    soon("both close", async { tokio::join!(caller.close(), callee.close()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_over_udp_carries_a_megabyte_each_way() {
    echo_through("transport=udp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_over_tcp_carries_a_megabyte_each_way() {
    echo_through("transport=tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signaling_and_relay_over_tls_with_a_self_signed_certificate() {
    let folder = Folder::new();
    let state = folder.path().join("state");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--stun-listen", "127.0.0.1:0"];
    let mut command = program();
    command.args(arguments).args(["--turns-listen", "127.0.0.1:0", "--tls", "self-signed", "--state-dir"]);
    let server = Server::spawn(command.arg(&state));
    let url = format!("wss://localhost:{}", server.port);

    // Who does not know the certificate does not trust it.
    let error = soon("refusing", SignalingChannel::open(SignalingOptions::create(&url))).await.unwrap_err();
    assert!(error.to_string().contains("TLS failed") || error.to_string().contains("trusted"), "{error}");

    let certificate = std::fs::read(state.join("self-signed.crt")).unwrap();
    let trusted = columba::tls::trusting(&certificate).unwrap();
    let options = || SignalingOptions { tls: Some(trusted.clone()), ..SignalingOptions::create(&url) };
    let (caller, _caller_is_member) = configuration(options(), "turns:", "").await;
    let (callee, _callee_is_member) = configuration(options(), "turns:", "").await;
    let caller = PeerConnection::builder().configuration(caller).tls(trusted.clone()).build().unwrap();
    let callee = PeerConnection::builder().configuration(callee).tls(trusted.clone()).build().unwrap();
    echo(caller, callee).await;
}
