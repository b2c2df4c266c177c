//! The exchange of descriptions, message by message.

use columba_peer::{Configuration, DataChannelInit, SignalingState};

use super::soon;
use crate::call::message::CallMessage;
use crate::call::negotiation::Negotiation;
use crate::connection::PeerConnection;
use crate::events::{Event, Events};

struct Side {
    connection: PeerConnection,
    events: Events,
    negotiation: Negotiation,
}

impl Side {
    fn new(is_polite: bool) -> Self {
        let (connection, events) = PeerConnection::new(Configuration::default()).unwrap();
        let init = DataChannelInit { negotiated: Some(0), ..DataChannelInit::default() };
        connection.create_data_channel("columba", init).unwrap();
        Self { connection, events, negotiation: Negotiation::new(is_polite) }
    }

    async fn offer(&mut self) -> CallMessage {
        self.negotiation.needed(&self.connection).await.unwrap().expect("an offer")
    }

    async fn take(&mut self, message: &CallMessage) -> Option<CallMessage> {
        self.negotiation.take(&self.connection, message.clone()).await.unwrap()
    }

    fn again(&self) -> Vec<CallMessage> {
        self.negotiation.messages_again(&self.connection)
    }

    /// Gathers; the candidates, the last of which is their end.
    async fn gather(&mut self) -> Vec<CallMessage> {
        let mut found = Vec::new();
        loop {
            let event = soon("the candidates", self.events.recv()).await.expect("the connection is open");
            if let Event::IceCandidate(Some(candidate)) = event {
                let is_last = candidate.init.candidate.is_empty();
                found.push(self.negotiation.found(&self.connection, candidate.init));
                if is_last {
                    return found;
                }
            }
        }
    }
}

/// Two sides that have agreed.
async fn agreed() -> (Side, Side) {
    let (mut polite, mut impolite) = (Side::new(true), Side::new(false));
    let offer = impolite.offer().await;
    let answer = polite.take(&offer).await.expect("an answer");
    assert_eq!(impolite.take(&answer).await, None);
    (polite, impolite)
}

fn ufrag(message: &CallMessage) -> Option<String> {
    message.candidate.as_ref().and_then(|candidate| candidate.username_fragment.clone())
}

#[tokio::test]
async fn candidates_end_with_a_notice() {
    let (mut polite, mut impolite) = agreed().await;
    for side in [&mut polite, &mut impolite] {
        let found = side.gather().await;
        let last = found.last().unwrap().candidate.as_ref().unwrap();
        assert_eq!((last.candidate.as_str(), last.username_fragment.is_some()), ("", true));
        assert_eq!(side.again(), found, "all are repeated, the end too");
    }
}

#[tokio::test]
async fn withdrawn_offer_that_comes_late_is_not_applied() {
    let (mut polite, mut impolite) = agreed().await;
    polite.connection.restart_ice();
    impolite.connection.restart_ice();
    let (withdrawn, winning) = (polite.offer().await, impolite.offer().await);
    let answer = polite.take(&winning).await.expect("an answer");
    assert_eq!(answer.withdrawn, Some(1));
    assert_eq!(impolite.take(&answer).await, None);
    assert_eq!(impolite.connection.signaling_state(), SignalingState::Stable);
    let before = impolite.connection.remote_description();
    assert_eq!(impolite.take(&withdrawn).await, None);
    assert_eq!(impolite.connection.remote_description(), before);
    // The next one is another.
    polite.connection.restart_ice();
    let next = polite.offer().await;
    assert_eq!(next.offer, Some(2));
    assert!(impolite.take(&next).await.is_some());
}

#[tokio::test]
async fn candidates_that_live_are_repeated_after_a_restart_that_was_taken_back() {
    let (mut polite, mut impolite) = agreed().await;
    let live = polite.gather().await;
    polite.connection.restart_ice();
    polite.offer().await;
    let dead = polite.gather().await;
    assert_ne!(ufrag(&live[0]), ufrag(&dead[0]));
    // An offer without a restart wins.
    let transceiver = columba_peer::TransceiverInit::default();
    impolite.connection.add_transceiver(columba_peer::TrackKind::Audio, transceiver).unwrap();
    let winning = impolite.offer().await;
    assert!(polite.take(&winning).await.is_some());
    assert_eq!(polite.again(), live);
}

#[tokio::test]
async fn offers_and_answers_that_come_twice_do_no_harm() {
    let (mut polite, mut impolite) = (Side::new(true), Side::new(false));
    let offer = impolite.offer().await;
    let answer = polite.take(&offer).await;
    assert_eq!(polite.take(&offer).await, answer, "the answer may have been lost");
    assert_eq!(impolite.again().len(), 1, "the offer may have been lost");
    impolite.take(answer.as_ref().unwrap()).await;
    impolite.take(answer.as_ref().unwrap()).await;
    assert_eq!(impolite.connection.signaling_state(), SignalingState::Stable);
}
