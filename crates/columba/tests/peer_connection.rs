//! Two peer connections in one process, over real sockets.
#![allow(missing_docs, reason = "a test")]

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use columba::{
    Configuration, DataChannelInit, DataChannelState, Error, Event, Events, IceConfig, IceConnectionState,
    IceGatheringState, IceTimings, MdnsMode, Message, OfferOptions, PeerConnection, PeerConnectionState,
    PeerError, SessionDescription,
};
use common::peers::{forward, pair, pair_of};
use common::soon;
use tokio::sync::mpsc;

#[tokio::test(flavor = "multi_thread")]
async fn messages_go_both_ways_and_the_caller_closes() {
    let (mut caller, mut callee, channel) = pair().await;
    soon("sending", channel.send("hello")).await.unwrap();
    let other = callee.channel().await;
    assert_eq!((other.label(), other.state()), ("a channel", DataChannelState::Open));
    assert_eq!(soon("hello", other.recv()).await, Some(Message::from("hello")));
    soon("sending", other.send(vec![1, 2, 3])).await.unwrap();
    assert_eq!(soon("an answer", channel.recv()).await, Some(Message::from(vec![1, 2, 3])));
    soon("sending", other.send("")).await.unwrap();
    assert_eq!(soon("nothing, said", channel.recv()).await, Some(Message::from("")));
    caller.reaches(PeerConnectionState::Connected).await;
    soon("closing", caller.connection.close()).await;
    assert_eq!(caller.connection.connection_state(), PeerConnectionState::Closed);
    assert_eq!(soon("the end", other.recv()).await, None);
    let _ = soon("the end", other.closed()).await;
    assert!(matches!(channel.try_send("late"), Err(Error::Peer(_))));
    soon("closing", callee.connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callee_closes_the_connection() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    soon("closing", callee.connection.close()).await;
    assert_eq!(soon("the end", channel.recv()).await, None);
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("closing", caller.connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mdns_names_hide_addresses_and_are_resolved() {
    let ice = IceConfig { mdns: MdnsMode::QueryAndGather, ..IceConfig::default() };
    let (caller, mut callee, channel) = pair_of(Configuration { ice, ..Configuration::default() }).await;
    soon("opening", channel.opened()).await.unwrap();
    soon("sending", channel.send("hello")).await.unwrap();
    assert_eq!(soon("hello", callee.channel().await.recv()).await, Some(Message::from("hello")));
    for connection in [&caller.connection, &callee.connection] {
        let description = connection.local_description().unwrap().sdp;
        let mut hosts = description.lines().filter(|line| line.starts_with("a=candidate:"));
        assert!(hosts.all(|line| line.contains(".local ") || line.contains(" 127.0.0.1 ")), "{description}");
    }
    soon("closing", caller.connection.close()).await;
    soon("closing", callee.connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn message_sent_right_before_close_arrives() {
    let (caller, mut callee, channel) = pair().await;
    soon("opening", channel.opened()).await.unwrap();
    let other = callee.channel().await;
    channel.try_send("last words").unwrap();
    soon("closing", caller.connection.close()).await;
    assert_eq!(soon("last words", other.recv()).await, Some(Message::from("last words")));
    assert_eq!(soon("the end", other.recv()).await, None);
    soon("the end", other.closed()).await.unwrap();
    soon("closing", callee.connection.close()).await;
}

/// Waits until the description has all candidates in it.
async fn gathered(connection: &PeerConnection, events: &mut Events) -> SessionDescription {
    loop {
        if let Some(Event::IceCandidate(None)) = soon("all candidates", events.recv()).await {
            return connection.local_description().unwrap();
        }
    }
}

/// Candidates of UDP do not wait until there are listeners; nothing comes behind the last one.
#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_opened_behind_sockets_and_none_is_missing() {
    let (connection, mut events) = PeerConnection::new(Configuration::default()).unwrap();
    connection.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    drop(connection.set_local_description(None));
    let mut kinds = Vec::new();
    loop {
        let event = soon("all candidates", events.recv()).await.expect("the events ended");
        let Event::IceCandidate(candidate) = event else { continue };
        let Some(candidate) = candidate else { break };
        let text = candidate.init.candidate;
        // The end of candidates, of the W3C.
        if text.is_empty() {
            continue;
        }
        kinds.push(if text.contains(" tcptype passive") { "listener" } else { "other" });
        if text.to_ascii_lowercase().contains(" udp ") {
            *kinds.last_mut().unwrap() = "socket";
        }
    }
    let last_socket = kinds.iter().rposition(|kind| *kind == "socket").unwrap();
    let first_listener = kinds.iter().position(|kind| *kind == "listener").unwrap();
    assert!(last_socket < first_listener, "{kinds:?}");
    let count = |wanted| kinds.iter().filter(|kind| **kind == wanted).count();
    assert_eq!(count("socket"), count("listener"), "one of each for each address: {kinds:?}");
    assert_eq!(connection.ice_gathering_state(), IceGatheringState::Complete);
    let description = connection.local_description().unwrap().sdp;
    assert_eq!(description.matches("a=candidate:").count(), kinds.len());
    assert!(description.contains("a=end-of-candidates"));
}

/// Those of later connections are made ahead of time, and still for one connection each.
#[tokio::test(flavor = "multi_thread")]
async fn every_connection_has_a_certificate_of_its_own() {
    const CONNECTIONS: usize = 8;
    let mut fingerprints = BTreeSet::new();
    for _ in 0..CONNECTIONS {
        let (mut caller, mut callee, _) = pair().await;
        for side in [&mut caller, &mut callee] {
            side.reaches(PeerConnectionState::Connected).await;
            let description = side.connection.local_description().unwrap().sdp;
            let line = description.lines().find(|line| line.starts_with("a=fingerprint:")).unwrap();
            fingerprints.insert(line.to_owned());
        }
        soon("closing", caller.connection.close()).await;
        soon("closing", callee.connection.close()).await;
    }
    assert_eq!(fingerprints.len(), 2 * CONNECTIONS);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_closes_the_connection() {
    let (caller, mut from_caller) = PeerConnection::new(Configuration::default()).unwrap();
    let (callee, mut from_callee) = PeerConnection::new(Configuration::default()).unwrap();
    let init = DataChannelInit { negotiated: Some(7), ..DataChannelInit::default() };
    let ours = caller.create_data_channel("ours", init.clone()).unwrap();
    let theirs = callee.create_data_channel("theirs", init).unwrap();
    caller.set_local_description(None).await.unwrap();
    callee.set_remote_description(gathered(&caller, &mut from_caller).await).await.unwrap();
    callee.set_local_description(None).await.unwrap();
    caller.set_remote_description(gathered(&callee, &mut from_callee).await).await.unwrap();
    // A channel holds its connection.
    drop((caller, from_caller));
    soon("sending", ours.send("still here")).await.unwrap();
    assert_eq!(soon("a message", theirs.recv()).await, Some(Message::from("still here")));
    drop(ours);
    assert_eq!(soon("the end", theirs.recv()).await, None);
    soon("closing", callee.close()).await;
    while soon("the last event", from_callee.recv()).await.is_some() {}
}

#[tokio::test]
async fn garbage_description_is_refused_with_one_error() {
    let (connection, _events) = PeerConnection::new(Configuration::default()).unwrap();
    let error = connection.set_remote_description(SessionDescription::offer("garbage")).await.unwrap_err();
    assert!(matches!(error, Error::Peer(PeerError::InvalidDescription { .. })), "{error}");
    assert!(error.to_string().starts_with("the offer cannot be used"), "{error}");
    soon("closing", connection.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_fingerprint_fails_the_connection_with_one_error() {
    let (caller, mut caller_events) = PeerConnection::new(Configuration::default()).unwrap();
    let (callee, callee_events) = PeerConnection::new(Configuration::default()).unwrap();
    let channel = caller.create_data_channel("never", DataChannelInit::default()).unwrap();
    callee.set_remote_description(caller.set_local_description(None).await.unwrap()).await.unwrap();
    let mut answer = callee.set_local_description(None).await.unwrap();
    let at = answer.sdp.find("a=fingerprint:sha-256 ").unwrap() + "a=fingerprint:sha-256 ".len();
    let wrong = if &answer.sdp[at..at + 2] == "00" { "01" } else { "00" };
    answer.sdp.replace_range(at..at + 2, wrong);
    caller.set_remote_description(answer).await.unwrap();
    let _told = forward(callee_events, caller.clone());
    let mut error = None;
    loop {
        match soon("the failure", caller_events.recv()).await.unwrap() {
            Event::IceCandidate(Some(candidate)) => {
                callee.add_ice_candidate(candidate.init).await.unwrap();
            }
            Event::Error(told) => error = Some(told),
            Event::ConnectionState(PeerConnectionState::Failed) => break,
            _ => {}
        }
    }
    assert_eq!(error, Some(PeerError::FingerprintMismatch));
    assert!(soon("the refusal", channel.send("secret")).await.is_err());
}

#[test]
fn new_without_a_runtime_is_an_error() {
    assert_eq!(PeerConnection::new(Configuration::default()).map(|_| ()), Err(Error::NoRuntime));
}

#[tokio::test(flavor = "multi_thread")]
async fn candidate_pool_is_filled_and_used_by_the_first_description() {
    let configuration = Configuration { ice_candidate_pool_size: 1, ..Configuration::default() };
    let (connection, _events) = PeerConnection::new(configuration.clone()).unwrap();
    let found = async {
        while connection.stats().transports[0].ice.local_candidates.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon("a candidate ahead of need", found).await;
    let none = Configuration::default();
    connection.set_configuration(none).unwrap();
    assert!(connection.stats().transports[0].ice.local_candidates.is_empty(), "the pool is dropped");
    connection.set_configuration(configuration).unwrap();
    let found = async {
        while connection.stats().transports[0].ice.local_candidates.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    soon("another candidate", found).await;
    let _channel = connection.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    connection.set_local_description(None).await.unwrap();
    assert!(connection.local_description().unwrap().sdp.contains("a=candidate:"), "it is there at once");
    assert!(connection.set_configuration(Configuration::default()).is_err());
}

/// Timings with which a dead path is noticed within two seconds.
fn impatient() -> Configuration {
    let timings = IceTimings {
        consent_interval: Duration::from_millis(100),
        consent_timeout: Duration::from_millis(1500),
        disconnected_timeout: Duration::from_millis(500),
        failed_timeout: Duration::from_secs(5),
        ..IceTimings::default()
    };
    Configuration { ice: IceConfig { timings, ..IceConfig::default() }, ..Configuration::default() }
}

/// A connection whose other side has vanished without a close notification.
async fn abandoned(configuration: Configuration) -> (PeerConnection, mpsc::UnboundedReceiver<Event>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (caller, caller_events) = PeerConnection::new(configuration).unwrap();
    let callee = PeerConnection::builder().runtime(runtime.handle().clone());
    let (callee, callee_events) = callee.build().unwrap();
    let channel = caller.create_data_channel("a channel", DataChannelInit::default()).unwrap();
    callee.set_remote_description(caller.set_local_description(None).await.unwrap()).await.unwrap();
    caller.set_remote_description(callee.set_local_description(None).await.unwrap()).await.unwrap();
    let events = forward(caller_events, callee.clone());
    let _from_callee = forward(callee_events, caller.clone());
    soon("opening", channel.opened()).await.unwrap();
    runtime.shutdown_background();
    (caller, events)
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_path_restarts_ice_and_reaches_the_application() {
    let (caller, mut events) = abandoned(impatient()).await;
    let before = caller.local_description().unwrap().sdp;
    let is_wanted = |event: &Event| matches!(event, Event::IceRestartWanted);
    while !is_wanted(&soon("a wanted restart", events.recv()).await.unwrap()) {}
    while !matches!(soon("negotiation", events.recv()).await, Some(Event::NegotiationNeeded)) {}
    let ufrag = |sdp: &str| sdp.lines().find(|line| line.starts_with("a=ice-ufrag:")).map(str::to_owned);
    let offer = caller.create_offer(OfferOptions::default()).await.unwrap().sdp;
    assert!(ufrag(&offer).is_some() && ufrag(&offer) != ufrag(&before));
    soon("closing", caller.close()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn application_can_restart_ice_itself() {
    let (caller, mut events) = abandoned(Configuration { automatic_ice_restart: false, ..impatient() }).await;
    loop {
        match soon("a failed connection", events.recv()).await.unwrap() {
            Event::IceRestartWanted => caller.restart_ice(),
            Event::NegotiationNeeded if caller.ice_connection_state() != IceConnectionState::New => break,
            _ => {}
        }
    }
    soon("closing", caller.close()).await;
}
