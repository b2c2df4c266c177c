//! Two peers of the library that may only meet over the server's relay, reached over UDP and over
//! TCP.
#![allow(missing_docs, reason = "a test")]

mod common;
#[allow(dead_code, reason = "its main function reads arguments")]
#[path = "../../columba/examples/relay_only.rs"]
mod relay_only;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use columba::call::{Call, CallEvent, CallOptions};
use columba::signaling::{SignalingChannel, SignalingOptions};
use columba::{
    Configuration, DataChannelInit, Endpoint, Event, Events, IceServer, Message, PeerConnection,
    PeerConnectionState, TransportPolicy,
};
use common::{Folder, PATIENCE, Server, program};
use tokio::net::UdpSocket;
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

#[tokio::test(flavor = "multi_thread")]
async fn example_relay_only_talks_over_the_relay() {
    let server = Server::start(&[]);
    let url = format!("http://127.0.0.1:{}", server.port);
    let its = url.clone();
    let program =
        tokio::spawn(
            async move { relay_only::talk(&its, "a-session").await.map_err(|error| error.to_string()) },
        );
    let options = SignalingOptions::join(url, "a-session".parse().unwrap());
    let (call, mut events) = Call::join(options, CallOptions::default()).await.unwrap();
    let (mut candidates, mut remote) = (None, None);
    loop {
        match soon("its greeting", events.recv()).await.expect("the call goes on") {
            CallEvent::PeerConnected { connection, .. } => {
                candidates = connection.remote_description().map(|description| description.sdp);
                let ice = &connection.stats().transports[0].ice;
                let pair = ice.pairs.iter().find(|pair| Some(pair.id) == ice.transport.selected_pair);
                let path = pair.and_then(|pair| pair.path).expect("the selected pair has a path");
                remote = Some(path.remote);
            }
            CallEvent::Message { text, .. } => {
                assert_eq!(text, "hello over a relay");
                break;
            }
            _ => {}
        }
    }
    let candidates = candidates.expect("it is connected before it greets");
    let lines = candidates.lines().filter(|line| line.starts_with("a=candidate:"));
    assert!(lines.clone().all(|line| line.contains(" typ relay")), "{candidates}");
    // Between two allocations of its own, or to a member, the server sends from its own port.
    let port = remote.expect("there is a path").port();
    let is_relay = port == server.stun_port("UDP") || candidates.contains(&format!(" {port} typ relay"));
    assert!(is_relay, "{remote:?} is none of {candidates}");
    assert!(!program.is_finished());
    program.abort();
    call.leave(PATIENCE).await;
}

/// A router between an endpoint and a STUN server: what comes to `inside` goes on from `outside`.
struct Router {
    inside: SocketAddr,
    outside: SocketAddr,
}

impl Router {
    async fn before(server: SocketAddr) -> Self {
        let bind = || UdpSocket::bind("127.0.0.1:0");
        let (inner, outer) = (bind().await.unwrap(), bind().await.unwrap());
        let router = Self { inside: inner.local_addr().unwrap(), outside: outer.local_addr().unwrap() };
        tokio::spawn(async move {
            let (mut there, mut back) = ([0; 2048], [0; 2048]);
            let mut home = None;
            loop {
                tokio::select! {
                    Ok((len, from)) = inner.recv_from(&mut there) => {
                        assert_eq!(*home.get_or_insert(from), from, "all come from the endpoint's socket");
                        outer.send_to(&there[..len], server).await.unwrap();
                    }
                    Ok((len, _)) = outer.recv_from(&mut back) => {
                        inner.send_to(&back[..len], home.expect("it answers")).await.unwrap();
                    }
                }
            }
        });
        router
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_an_endpoint_learn_their_public_address_over_its_socket() {
    let server = Server::start(&[]);
    let router = Router::before(([127, 0, 0, 1], server.stun_port("UDP")).into()).await;
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let urls = vec![format!("stun:{}", router.inside)];
    let ice_servers = vec![IceServer { urls, ..IceServer::default() }];
    let configuration = Arc::new(Configuration { ice_servers, ..Configuration::default() });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (endpoint, configuration) = (endpoint.clone(), configuration.clone());
        tasks.spawn(async move {
            let builder = PeerConnection::builder().configuration((*configuration).clone());
            let (connection, mut events) = builder.endpoint(endpoint).build().unwrap();
            connection.create_data_channel("any", DataChannelInit::default()).unwrap();
            connection.set_local_description(None).await.unwrap();
            loop {
                let event = soon("a public address", events.recv()).await.expect("it goes on");
                if let Event::IceCandidate(Some(candidate)) = event
                    && candidate.init.candidate.contains("typ srflx")
                {
                    connection.close().await;
                    return candidate.init.candidate;
                }
            }
        });
    }
    let mut found = BTreeSet::new();
    while let Some(candidate) = tasks.join_next().await {
        let candidate = candidate.unwrap();
        let words: Vec<&str> = candidate.split(' ').collect();
        found.insert((format!("{}:{}", words[4], words[5]), words[8..12].join(" ")));
    }
    let local = endpoint.local_address();
    let related = format!("raddr {} rport {}", local.ip(), local.port());
    assert_eq!(found.len(), 1, "one mapping of one socket: {found:?}");
    let (public, rest) = found.first().unwrap();
    assert_eq!(*public, router.outside.to_string());
    assert_eq!(*rest, related);
}
