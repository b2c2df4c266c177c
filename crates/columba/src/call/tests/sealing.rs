//! Calls whose messages are sealed, and servers that meddle with them.

use std::sync::{Arc, Mutex};

use columba_signal::PeerId;
use tokio::sync::watch;

use super::network::Network;
use super::{ann, bob, connected, options, soon, talk, until};
use crate::call::message::{CallMessage, sealed};
use crate::call::{BoxFuture, CallEvent, CallEvents, CallOptions, Seal, SealError};

/// A toy that binds a text to a key, once there is one.
#[derive(Debug)]
pub(super) struct Toy {
    key: watch::Receiver<Option<u64>>,
}

impl Toy {
    pub(super) fn with(key: u64) -> CallOptions {
        Self::waiting(watch::Sender::new(Some(key)).subscribe())
    }

    fn waiting(key: watch::Receiver<Option<u64>>) -> CallOptions {
        CallOptions { seal: Some(Arc::new(Self { key })), ..options() }
    }

    /// The message that asks for a connection, as it goes through the server.
    pub(super) async fn renewal(key: u64, from: PeerId, to: PeerId) -> String {
        let toy = Self { key: watch::Sender::new(Some(key)).subscribe() };
        let text = CallMessage::renew(0).into_sealable(from, to).unwrap();
        sealed(toy.seal(to, text).await.unwrap()).unwrap().get().to_owned()
    }

    async fn tag(&self, text: &str) -> Result<u64, SealError> {
        let mut key = self.key.clone();
        let key = *key.wait_for(Option::is_some).await.map_err(|_| SealError("no key".to_owned()))?;
        let seed = key.unwrap_or_default();
        Ok(text.bytes().fold(seed, |tag, byte| (tag ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)))
    }
}

impl Seal for Toy {
    fn seal(&self, _: PeerId, text: String) -> BoxFuture<'_, Result<String, SealError>> {
        Box::pin(async move { Ok(format!("{}:{text}", self.tag(&text).await?)) })
    }

    fn open(&self, _: PeerId, sealed: String) -> BoxFuture<'_, Result<String, SealError>> {
        Box::pin(async move {
            let fault = || SealError("the seal is broken".to_owned());
            let (tag, text) = sealed.split_once(':').ok_or_else(fault)?;
            if tag == self.tag(text).await?.to_string() { Ok(text.to_owned()) } else { Err(fault()) }
        })
    }
}

async fn refused(events: &mut CallEvents) -> String {
    until("a seal is refused", events, |event| match event {
        CallEvent::SealRefused { error, .. } => Some(error),
        CallEvent::PeerConnected { .. } => panic!("connected"),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn sealed_calls_show_the_server_nothing_and_wait_for_the_key() {
    let network = Network::new(7);
    network.disturb(10, 20, 20);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    network.meddle(move |_, _, text| {
        log.lock().unwrap().push(text.to_owned());
        Some(text.to_owned())
    });
    let key = watch::Sender::new(None);
    let (one, mut to_one) = network.join(ann(), Toy::waiting(key.subscribe()));
    let (other, mut to_other) = network.join(bob(), Toy::with(1));
    until("bob", &mut to_one, |event| matches!(event, CallEvent::PeerJoined { .. }).then_some(())).await;
    key.send_replace(Some(1));
    connected(&mut to_one).await;
    connected(&mut to_other).await;
    talk((&one, &mut to_one), (&other, &mut to_other)).await;
    soon("leaving", one.leave(std::time::Duration::ZERO)).await;
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 2, "{seen:?}");
    for text in seen.iter() {
        assert!(text.starts_with(r#"{"call":{"version":2,"sealed":""#), "{text}");
    }
}

#[tokio::test]
async fn another_key_connects_nothing() {
    let network = Network::new(8);
    let (one, mut to_one) = network.join(ann(), Toy::with(1));
    let (_other, mut to_other) = network.join(bob(), Toy::with(2));
    assert_eq!(refused(&mut to_one).await, "the seal is broken");
    assert_eq!(refused(&mut to_other).await, "the seal is broken");
    assert!(one.connection(bob()).is_err());
}

#[tokio::test]
async fn a_side_that_does_not_seal_is_refused_and_refuses() {
    let network = Network::new(9);
    let (_one, mut to_one) = network.join(ann(), Toy::with(1));
    let (_other, mut to_other) = network.join(bob(), options());
    assert_eq!(refused(&mut to_one).await, "the message is not sealed");
    assert_eq!(refused(&mut to_other).await, "the message is sealed, and there is no key");
}

#[tokio::test]
async fn reflected_messages_are_refused() {
    let network = Network::new(10);
    let (_one, mut to_one) = network.join(ann(), Toy::with(1));
    let reflecting = network.clone();
    network.meddle(move |from, to, text| {
        let (network, text) = (reflecting.clone(), text.to_owned());
        tokio::spawn(async move { network.inject(to, from, &text) });
        None
    });
    let (_other, mut to_other) = network.join(bob(), Toy::with(1));
    for events in [&mut to_one, &mut to_other] {
        assert_eq!(refused(events).await, "the sealed message is not from this peer to this one");
    }
}

#[tokio::test]
async fn goodbyes_and_renewals_in_clear_do_not_touch_a_sealed_call() {
    let network = Network::new(11);
    let (one, mut to_one) = network.join(ann(), Toy::with(1));
    let (other, mut to_other) = network.join(bob(), Toy::with(1));
    connected(&mut to_one).await;
    connected(&mut to_other).await;
    for text in
        [r#"{"call":{"bye":true}}"#, r#"{"call":{"renew":0}}"#, r#"{"call":{"version":2,"sealed":"1:x"}}"#]
    {
        network.inject(ann(), bob(), text);
        assert!(!refused(&mut to_other).await.is_empty());
    }
    talk((&one, &mut to_one), (&other, &mut to_other)).await;
}
