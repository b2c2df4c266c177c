//! Calls over loopback, with signaling that misbehaves.

mod leaving;
mod link;
mod negotiation;
mod network;
mod sealing;
mod storms;

use std::time::Duration;

use columba_peer::{DataChannelInit, Message};
use columba_signal::PeerId;
use tokio::time::timeout;

use self::network::Network;
use super::{Admission, Call, CallError, CallEvent, CallEvents, CallOptions, CallTiming, PeerEnd};

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);

fn ann() -> PeerId {
    "aaaaaaaaaaaaaaaa".parse().unwrap()
}

/// Impolite towards `ann`.
fn bob() -> PeerId {
    "bbbbbbbbbbbbbbbb".parse().unwrap()
}

fn options() -> CallOptions {
    let ms = Duration::from_millis;
    let timing = CallTiming {
        patience: ms(150),
        disconnected: ms(500),
        polite: ms(60),
        retry: ms(3000),
        send_again: ms(150),
        absent: ms(300),
        close: ms(1000),
    };
    CallOptions { timing, ..CallOptions::default() }
}

async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// Waits for an event that `wanted` takes something from.
async fn until<T>(what: &str, events: &mut CallEvents, mut wanted: impl FnMut(CallEvent) -> Option<T>) -> T {
    soon(what, async {
        loop {
            let event = events.recv().await.unwrap_or_else(|| panic!("the call is over, and never: {what}"));
            if let Some(value) = wanted(event) {
                return value;
            }
        }
    })
    .await
}

async fn connected(events: &mut CallEvents) -> crate::PeerConnection {
    until("connected", events, |event| match event {
        CallEvent::PeerConnected { connection, .. } => Some(connection),
        _ => None,
    })
    .await
}

async fn text(events: &mut CallEvents) -> String {
    until("a text", events, |event| match event {
        CallEvent::Message { text, .. } => Some(text),
        _ => None,
    })
    .await
}

async fn left(events: &mut CallEvents) -> PeerEnd {
    until("the peer leaves", events, |event| match event {
        CallEvent::PeerLeft { end, .. } => Some(end),
        _ => None,
    })
    .await
}

/// Both send a text, and receive the other's.
async fn talk(one: (&Call, &mut CallEvents), other: (&Call, &mut CallEvents)) {
    one.0.send(bob(), "from ann").unwrap();
    other.0.send(ann(), "from bob").unwrap();
    assert_eq!(text(one.1).await, "from bob");
    assert_eq!(text(other.1).await, "from ann");
}

#[tokio::test]
async fn peers_connect_over_signaling_that_drops_repeats_and_reorders() {
    for seed in 0..6 {
        let network = Network::new(seed);
        network.disturb(20, 20, 40);
        let (one, mut to_one) = network.join(ann(), options());
        let (other, mut to_other) = network.join(bob(), options());
        connected(&mut to_one).await;
        connected(&mut to_other).await;
        talk((&one, &mut to_one), (&other, &mut to_other)).await;
        let channel = one.open_channel(bob(), "files", DataChannelInit::default()).unwrap();
        channel.send("a piece").await.unwrap();
        let channel = until("a channel", &mut to_other, |event| match event {
            CallEvent::ChannelOpened { channel, .. } => Some(channel),
            _ => None,
        })
        .await;
        assert_eq!(channel.label(), "files");
        assert_eq!(soon("a piece", channel.recv()).await, Some(Message::Text("a piece".to_owned())));
        network.disturb(0, 0, 0);
        assert_eq!(soon("leaving", one.leave(Duration::ZERO)).await, 0);
        assert_eq!(left(&mut to_other).await, PeerEnd::Left);
    }
}

#[tokio::test]
async fn texts_wait_for_the_connection_and_are_sent_before_leaving() {
    let network = Network::new(1);
    let (one, mut to_one) = network.join(ann(), options());
    assert_eq!(one.send(bob(), "too early"), Err(CallError::NoSuchPeer { peer: bob() }));
    let (_other, mut to_other) = network.join(bob(), options());
    until("bob is here", &mut to_one, |event| matches!(event, CallEvent::PeerJoined { .. }).then_some(()))
        .await;
    for number in 0..256 {
        one.send(bob(), number.to_string()).unwrap();
    }
    let full = std::iter::repeat_with(|| one.send(bob(), "one more")).take(300).find_map(Result::err);
    assert_eq!(full, Some(CallError::Full { peer: bob() }));
    let too_long = one.send(bob(), "x".repeat(70_000));
    assert_eq!(too_long, Err(CallError::TooLong { size: 70_000, limit: 65_536 }));
    let leaving = one.leave(PATIENCE);
    let reading = async {
        for number in 0..256 {
            assert_eq!(text(&mut to_other).await, number.to_string());
        }
        assert_eq!(left(&mut to_other).await, PeerEnd::Left);
    };
    assert_eq!(soon("leaving", async { tokio::join!(leaving, reading) }).await.0, 0);
}

#[tokio::test]
async fn restart_of_the_server_does_not_touch_connections_that_are_up() {
    let network = Network::new(2);
    let (one, mut to_one) = network.join(ann(), options());
    let (other, mut to_other) = network.join(bob(), options());
    let before = [connected(&mut to_one).await, connected(&mut to_other).await];
    network.stop();
    talk((&one, &mut to_one), (&other, &mut to_other)).await;
    network.restart();
    until("it is back", &mut to_one, |event| match event {
        CallEvent::PeerLeft { .. } | CallEvent::PeerInterrupted { .. } => panic!("{event:?}"),
        CallEvent::SignalingOpen { rejoined: true } => Some(()),
        _ => None,
    })
    .await;
    talk((&one, &mut to_one), (&other, &mut to_other)).await;
    let credentials =
        |connection: &crate::PeerConnection| connection.current_local_description().unwrap().sdp;
    let now = [one.connection(bob()).unwrap(), other.connection(ann()).unwrap()];
    assert_eq!(before.each_ref().map(credentials), now.each_ref().map(credentials));
}

#[tokio::test]
async fn connection_that_one_side_has_closed_is_made_anew() {
    for closes_ann in [true, false] {
        let network = Network::new(3);
        let (one, mut to_one) = network.join(ann(), options());
        let (other, mut to_other) = network.join(bob(), options());
        let connections = [connected(&mut to_one).await, connected(&mut to_other).await];
        soon("closing", connections[usize::from(!closes_ann)].close()).await;
        connected(&mut to_one).await;
        connected(&mut to_other).await;
        talk((&one, &mut to_one), (&other, &mut to_other)).await;
    }
}

#[tokio::test]
async fn renewal_that_comes_twice_or_late_does_not_tear_a_connection_down() {
    let network = Network::new(4);
    let (one, mut to_one) = network.join(ann(), options());
    let (other, mut to_other) = network.join(bob(), options());
    let before = connected(&mut to_other).await;
    connected(&mut to_one).await;
    for _ in 0..3 {
        network.inject(ann(), bob(), r#"{"call":{"renew":0}}"#);
        network.inject(ann(), bob(), r#"{"call":{"renew":1}}"#);
    }
    talk((&one, &mut to_one), (&other, &mut to_other)).await;
    network.inject(ann(), bob(), r#"{"the application's":1}"#);
    let signal = until("the messages before it are taken", &mut to_other, |event| match event {
        CallEvent::PeerInterrupted { .. } | CallEvent::PeerConnected { .. } => panic!("{event:?}"),
        CallEvent::Signal { data, .. } => Some(data),
        _ => None,
    })
    .await;
    assert_eq!(signal.get(), r#"{"the application's":1}"#);
    talk((&one, &mut to_one), (&other, &mut to_other)).await;
    let now = other.connection(ann()).unwrap();
    assert_eq!(now.current_local_description(), before.current_local_description());
}

#[tokio::test]
async fn on_request_nothing_is_connected_before_both_want_it() {
    let network = Network::new(5);
    let (one, mut to_one) = network.join(ann(), CallOptions { admission: Admission::OnRequest, ..options() });
    let (_other, mut to_other) = network.join(bob(), options());
    let joined = |event| matches!(event, CallEvent::PeerJoined { .. }).then_some(());
    until("bob", &mut to_one, joined).await;
    // The offer arrives, and waits.
    tokio::task::yield_now().await;
    assert_eq!(one.connection(bob()).unwrap_err(), CallError::NotConnected { peer: bob() });
    one.send_signal(bob(), &serde_json::json!({"pake": "x"})).unwrap();
    let signal = until("a signal", &mut to_other, |event| match event {
        CallEvent::Signal { data, .. } => Some(data),
        CallEvent::PeerConnected { .. } => panic!("connected unasked"),
        _ => None,
    })
    .await;
    assert_eq!(signal.get(), r#"{"pake":"x"}"#);
    one.connect(bob());
    connected(&mut to_one).await;
    connected(&mut to_other).await;
    one.dismiss(bob());
    assert_eq!(left(&mut to_one).await, PeerEnd::Dismissed);
    assert_eq!(left(&mut to_other).await, PeerEnd::Left);
    assert_eq!(one.connection(bob()).unwrap_err(), CallError::NoSuchPeer { peer: bob() });
}

#[tokio::test]
async fn malformed_messages_of_a_peer_are_dropped() {
    let network = Network::new(6);
    let (one, mut to_one) = network.join(ann(), options());
    let (other, mut to_other) = network.join(bob(), options());
    for (from, to) in [(ann(), bob()), (bob(), ann())] {
        for text in [
            r#"{"call":null}"#,
            r#"{"call":{"attempt":-1}}"#,
            r#"{"call":{"attempt":18446744073709551615,"description":{"type":"offer","sdp":""},"offer":1}}"#,
            r#"{"call":{"attempt":9007199254740992,"candidate":{"candidate":"x"}}}"#,
            r#"{"call":{"sealed":"x"}}"#,
            r#"{"call":{"renew":"soon"}}"#,
        ] {
            network.inject(from, to, text);
        }
    }
    connected(&mut to_one).await;
    connected(&mut to_other).await;
    talk((&one, &mut to_one), (&other, &mut to_other)).await;
}
