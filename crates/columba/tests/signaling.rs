//! The signaling channel against the real relay: meeting, breaking, restarting, refusing.
#![allow(missing_docs, reason = "a test")]

mod common;

use columba::signaling::{
    ErrorCode, PeerId, SignalingChannel, SignalingError, SignalingEvent, SignalingEvents, SignalingOptions,
};
use common::server::Server;
use common::soon;
use tokio::net::TcpListener;

async fn join(server: &Server, token: &str) -> (SignalingChannel, SignalingEvents) {
    let options = SignalingOptions::join(server.url(), token.parse().unwrap());
    soon("joining", SignalingChannel::open(options)).await.unwrap()
}

async fn message(events: &mut SignalingEvents) -> (PeerId, String) {
    loop {
        match soon("a message", events.recv()).await {
            Some(SignalingEvent::Message { from, data }) => return (from, data.get().to_owned()),
            Some(SignalingEvent::Closed(error)) => panic!("closed: {error}"),
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
}

#[tokio::test]
async fn messages_sent_before_the_other_peer_joins_arrive() {
    let server = Server::start().await;
    let options = SignalingOptions::create(server.url());
    let (ann, mut to_ann) = soon("creating", SignalingChannel::open(options)).await.unwrap();
    assert_eq!(ann.ice_servers().servers[0].urls, ["stun:127.0.0.1:9"]);
    ann.send(None, "are you there?").unwrap();
    let token = ann.session().unwrap();
    let (bob, mut to_bob) = join(&server, token.as_str()).await;
    assert_eq!(message(&mut to_bob).await, (ann.peer_id().unwrap(), "\"are you there?\"".to_owned()));
    bob.send(ann.peer_id(), &serde_json::json!({"answer": 42})).unwrap();
    assert_eq!(message(&mut to_ann).await, (bob.peer_id().unwrap(), r#"{"answer":42}"#.to_owned()));
    assert_eq!(soon("fresh servers", ann.refresh_ice_servers()).await.unwrap().servers.len(), 1);
    soon("closing", bob.close()).await;
    assert_eq!(bob.send(None, "late"), Err(SignalingError::Closed));
    loop {
        if let Some(SignalingEvent::PeerLeft { peer, .. }) = soon("the end", to_ann.recv()).await {
            assert_eq!(Some(peer), bob.peer_id());
            break;
        }
    }
}

#[tokio::test]
async fn clients_meet_by_id() {
    let server = Server::start().await;
    let meet = |own: &str, with: Option<&str>| {
        let with = with.map(|id| id.parse().unwrap());
        SignalingChannel::open(SignalingOptions::meet(server.url(), own.parse().unwrap(), with))
    };
    let (ann, mut to_ann) = soon("meeting", meet("ann", None)).await.unwrap();
    let (bob, _to_bob) = soon("meeting", meet("bob", Some("ann"))).await.unwrap();
    bob.send(None, "hello").unwrap();
    assert_eq!(message(&mut to_ann).await.1, "\"hello\"");
    assert_eq!(ann.peers()[0].1.as_ref().map(|id| id.as_str()), Some("bob"));
    assert_eq!(ann.session(), None);
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_however_often_connections_break() {
    let server = Server::start().await;
    let (ann, _to_ann) = join(&server, "a-session").await;
    let (_bob, mut to_bob) = join(&server, "a-session").await;
    let me = ann.peer_id();
    for number in 0..200 {
        ann.send(None, &number).unwrap();
        if number % 40 == 20 {
            server.break_connections();
            tokio::task::yield_now().await;
        }
        if number % 10 == 0 {
            assert_eq!(message(&mut to_bob).await.1, (number / 10).to_string());
        }
    }
    for number in 20..200 {
        assert_eq!(message(&mut to_bob).await.1, number.to_string());
    }
    assert_eq!(ann.peer_id(), me);
}

#[tokio::test]
async fn after_a_restart_of_the_server_the_same_peers_meet_again() {
    let server = Server::start().await;
    let (ann, _to_ann) = join(&server, "a-session").await;
    let (bob, mut to_bob) = join(&server, "a-session").await;
    let ids = (ann.peer_id(), bob.peer_id());
    server.restart();
    loop {
        match soon("rejoining", to_bob.recv()).await.unwrap() {
            SignalingEvent::Open { rejoined: true } => break,
            event => assert!(!matches!(event, SignalingEvent::Closed(_))),
        }
    }
    ann.send(bob.peer_id(), "still me").unwrap();
    assert_eq!(message(&mut to_bob).await, (ids.0.unwrap(), "\"still me\"".to_owned()));
    assert_eq!((ann.peer_id(), bob.peer_id()), ids);
}

#[tokio::test]
async fn a_reader_who_sleeps_misses_nothing() {
    let server = Server::start().await;
    let (ann, _to_ann) = join(&server, "a-session").await;
    let (_bob, mut to_bob) = join(&server, "a-session").await;
    for number in 0..600 {
        while ann.send(None, &number).is_err() {
            tokio::task::yield_now().await;
        }
    }
    for number in 0..600 {
        assert_eq!(message(&mut to_bob).await.1, number.to_string());
    }
}

#[tokio::test]
async fn each_fault_has_its_error() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let open = |url: &str| SignalingChannel::open(SignalingOptions::create(url));
    let error = soon("an answer", open(&format!("http://{address}"))).await.unwrap_err();
    assert!(matches!(error, SignalingError::Unreachable { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("the signaling server {address} cannot be reached")));
    let error = soon("an answer", open("gopher://example.org")).await.unwrap_err();
    assert!(matches!(error, SignalingError::InvalidUrl { .. }), "{error}");

    let server = Server::with(columba_signal::Config { session_peers: 1, ..Default::default() }).await;
    let _first = join(&server, "a-session").await;
    let options = SignalingOptions::join(server.url(), "a-session".parse().unwrap());
    match soon("an answer", SignalingChannel::open(options)).await {
        Err(SignalingError::Refused(refusal)) => assert_eq!(refusal.code, ErrorCode::SessionFull),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_too_large_is_refused_at_once() {
    let server = Server::start().await;
    let (ann, _events) = join(&server, "a-session").await;
    let error = ann.send(None, &"x".repeat(300_000)).unwrap_err();
    assert!(matches!(error, SignalingError::TooLarge { limit: 262_144, .. }), "{error}");
}
