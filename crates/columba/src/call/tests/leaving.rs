//! Peers that have left, and what of theirs comes later.

use std::sync::{Arc, Mutex};

use super::network::Network;
use super::sealing::Toy;
use super::{ann, bob, connected, left, options, until};
use crate::call::{CallEvent, CallEvents, CallOptions, PeerEnd};

/// Waits for the application's signal; no peer may come before it.
async fn marked(network: &Network, events: &mut CallEvents) {
    network.inject(ann(), bob(), r#"{"the application's":1}"#);
    until("the messages before it are taken", events, |event| match event {
        CallEvent::PeerJoined { .. } => panic!("{event:?}"),
        CallEvent::Signal { .. } => Some(()),
        _ => None,
    })
    .await;
}

/// Two peers connect, and one says goodbye over the connection. What it has sent before through the
/// server arrives later, and does not bring it back; `again` does.
async fn leave_and_return(options: impl Fn() -> CallOptions, again: String) {
    let network = Network::new(12);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = sent.clone();
    network.meddle(move |from, _, text| {
        if from == ann() {
            log.lock().unwrap().push(text.to_owned());
        }
        Some(text.to_owned())
    });
    let (one, mut to_one) = network.join(ann(), options());
    let (_other, mut to_other) = network.join(bob(), options());
    connected(&mut to_one).await;
    connected(&mut to_other).await;
    one.dismiss(bob());
    assert_eq!(left(&mut to_one).await, PeerEnd::Dismissed);
    assert_eq!(left(&mut to_other).await, PeerEnd::Left);
    let late = sent.lock().unwrap().clone();
    assert!(late.len() > 2, "an answer, candidates and a goodbye: {late:?}");
    for text in &late {
        network.inject(ann(), bob(), text);
    }
    marked(&network, &mut to_other).await;
    network.inject(ann(), bob(), &again);
    let joined = |event| matches!(event, CallEvent::PeerJoined { .. }).then_some(());
    until("it calls again", &mut to_other, joined).await;
}

#[tokio::test]
async fn late_messages_do_not_bring_a_peer_back_that_has_left() {
    leave_and_return(options, r#"{"call":{"renew":0}}"#.to_owned()).await;
}

#[tokio::test]
async fn late_sealed_messages_do_not_bring_a_peer_back_that_has_left() {
    leave_and_return(|| Toy::with(1), Toy::renewal(1, ann(), bob()).await).await;
}
