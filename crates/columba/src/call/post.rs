//! The messages between this side and one peer through the signaling server: sealed and opened on
//! their way, in order.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use columba_signal::PeerId;
use serde_json::value::RawValue;
use tracing::debug;

use super::message::{CallMessage, Received, sealed};
use super::seal::{BoxFuture, Seal, SealError};
use super::signaling::Signaling;

/// Messages that wait to be sealed or opened, each way; more are dropped, and repeated by their
/// sender when they matter.
const MAX_WAITING: usize = 256;

/// Bytes of a sealed message that are looked at.
const MAX_SEALED: usize = 1 << 20;

type Outcome = BoxFuture<'static, Result<String, SealError>>;

pub(super) struct Post {
    signaling: Arc<dyn Signaling>,
    seal: Option<Arc<dyn Seal>>,
    own: PeerId,
    peer: PeerId,
    outgoing: VecDeque<String>,
    sealing: Option<Outcome>,
    incoming: VecDeque<Received>,
    opening: Option<Outcome>,
}

/// The next message, or its refusal.
#[derive(Debug)]
pub(super) enum Delivery {
    Message(CallMessage),
    Refused(String),
}

impl Post {
    pub(super) fn new(
        signaling: Arc<dyn Signaling>,
        seal: Option<Arc<dyn Seal>>,
        own: PeerId,
        peer: PeerId,
    ) -> Self {
        Self {
            signaling,
            seal,
            own,
            peer,
            outgoing: VecDeque::new(),
            sealing: None,
            incoming: VecDeque::new(),
            opening: None,
        }
    }

    /// Sends a message, or lets it wait until it is sealed.
    pub(super) fn send(&mut self, message: CallMessage) {
        if self.seal.is_none() {
            self.transmit(message.into_clear());
        } else if self.outgoing.len() < MAX_WAITING {
            self.outgoing.extend(message.into_sealable(self.own, self.peer));
        } else {
            debug!("a message is dropped: too many wait to be sealed");
        }
    }

    pub(super) fn receive(&mut self, received: Received) {
        if self.incoming.len() < MAX_WAITING {
            self.incoming.push_back(received);
        } else {
            debug!("a message is dropped: too many wait to be opened");
        }
    }

    /// Seals and sends what waits, and waits for the next message that has come. Cancelling loses
    /// nothing.
    pub(super) async fn next(&mut self) -> Delivery {
        poll_fn(|cx| {
            while self.poll_sealing(cx).is_ready() {}
            self.poll_opening(cx)
        })
        .await
    }

    /// Waits until everything is sealed and sent.
    pub(super) async fn flush(&mut self) {
        poll_fn(|cx| {
            while self.poll_sealing(cx).is_ready() {}
            if self.sealing.is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Ready after each message.
    fn poll_sealing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.sealing.is_none() {
            let (Some(seal), Some(text)) = (self.seal.clone(), self.outgoing.pop_front()) else {
                return Poll::Pending;
            };
            let peer = self.peer;
            self.sealing = Some(Box::pin(async move { seal.seal(peer, text).await }));
        }
        let Some(sealing) = &mut self.sealing else { return Poll::Pending };
        let Poll::Ready(outcome) = sealing.as_mut().poll(cx) else { return Poll::Pending };
        self.sealing = None;
        match outcome {
            Ok(text) => self.transmit(sealed(text)),
            Err(error) => debug!(%error, "a message is not sent: it cannot be sealed"),
        }
        Poll::Ready(())
    }

    fn poll_opening(&mut self, cx: &mut Context<'_>) -> Poll<Delivery> {
        loop {
            if let Some(opening) = &mut self.opening {
                let Poll::Ready(outcome) = opening.as_mut().poll(cx) else { return Poll::Pending };
                self.opening = None;
                return Poll::Ready(self.opened(outcome));
            }
            let refused = |text: &str| Poll::Ready(Delivery::Refused(text.to_owned()));
            match (self.incoming.pop_front(), &self.seal) {
                (None, _) => return Poll::Pending,
                (Some(Received::Clear(message)), None) | (Some(Received::Opened(message)), _) => {
                    return Poll::Ready(Delivery::Message(message));
                }
                (Some(Received::Clear(_)), Some(_)) => return refused("the message is not sealed"),
                (Some(Received::Sealed(_)), None) => {
                    return refused("the message is sealed, and there is no key");
                }
                (Some(Received::Sealed(text)), Some(_)) if text.len() > MAX_SEALED => {
                    return refused("the sealed message is too long");
                }
                (Some(Received::Sealed(text)), Some(seal)) => {
                    let (seal, peer) = (seal.clone(), self.peer);
                    self.opening = Some(Box::pin(async move { seal.open(peer, text).await }));
                }
                (Some(Received::Unreadable | Received::Other), _) => {
                    debug!("a message of a peer that cannot be read");
                }
            }
        }
    }

    fn opened(&self, outcome: Result<String, SealError>) -> Delivery {
        match outcome {
            Ok(text) => CallMessage::opened(&text, self.peer, self.own).map_or_else(
                || Delivery::Refused("the sealed message is not from this peer to this one".to_owned()),
                Delivery::Message,
            ),
            Err(error) => Delivery::Refused(error.to_string()),
        }
    }

    fn transmit(&self, message: Option<Box<RawValue>>) {
        // If the queue is full: offers are sent again when they are not answered.
        if let Some(message) = message
            && let Err(error) = self.signaling.send(self.peer, &message)
        {
            debug!(%error, "a message is not sent");
        }
    }
}
