//! Perfect negotiation (W3C WebRTC 1.0 §10.7), as the call page does it: either side may want to
//! change something at any time; when both do at once, the impolite one's offer wins and the polite
//! one takes its own back.
//!
//! Beyond the pattern: offers are numbered and answers name the offer that they answer, so that a
//! message which was lost can be sent again and one that comes twice or late does no harm; and
//! candidates wait until the description that they belong to has been applied.

use std::collections::VecDeque;

use columba_peer::{IceCandidateInit, SdpType, SessionDescription, SignalingState};

use super::message::CallMessage;
use crate::connection::PeerConnection;
use crate::error::Error;

/// Candidates that wait for their description; the oldest is dropped first.
const MAX_HELD: usize = 256;

/// Own candidates of one generation kept for sending again.
const MAX_LOCAL: usize = 64;

/// The state of the exchange of descriptions for one connection.
#[derive(Debug, Default)]
pub(super) struct Negotiation {
    /// True if this side gives way.
    is_polite: bool,
    /// The number of the last own offer.
    offer: u64,
    /// The highest own offer that was taken back.
    withdrawn: u64,
    /// The number of the last offer of the other side's that was applied, or taken back by it.
    remote_offer: u64,
    /// The answer to it.
    answer: Option<CallMessage>,
    held: VecDeque<IceCandidateInit>,
    /// Own candidates of the descriptions that are in force or pending.
    local: Vec<IceCandidateInit>,
}

impl Negotiation {
    pub(super) fn new(is_polite: bool) -> Self {
        Self { is_polite, ..Self::default() }
    }

    /// Something is to be negotiated. The first offer is the impolite side's, so that the two do
    /// not begin with a collision.
    pub(super) async fn needed(&mut self, connection: &PeerConnection) -> Result<Option<CallMessage>, Error> {
        let is_mine = !self.is_polite || connection.remote_description().is_some();
        if !is_mine || connection.signaling_state() != SignalingState::Stable {
            return Ok(None);
        }
        let description = connection.set_local_description(None).await?;
        self.offer += 1;
        Ok(Some(described(&description, self.offer)))
    }

    /// An own candidate was found, or the end of a generation's.
    pub(super) fn found(&mut self, connection: &PeerConnection, candidate: IceCandidateInit) -> CallMessage {
        let fragment = candidate.username_fragment.as_deref();
        let is_same = |each: &IceCandidateInit| each.username_fragment.as_deref() == fragment;
        if !self.local.iter().any(is_same) {
            let own = own_descriptions(connection);
            self.local.retain(|each| is_of(&own, each));
        }
        if self.local.iter().filter(|each| is_same(each)).count() < MAX_LOCAL {
            self.local.push(candidate.clone());
        }
        CallMessage::candidate(candidate)
    }

    /// The messages that may have been lost on the way: an offer that was not answered, with the
    /// candidates in it, or else the candidates of the description in force.
    pub(super) fn messages_again(&self, connection: &PeerConnection) -> Vec<CallMessage> {
        if connection.signaling_state() == SignalingState::HaveLocalOffer && self.offer > 0 {
            let offer = connection.local_description();
            return offer.iter().map(|offer| described(offer, self.offer)).collect();
        }
        let own = own_descriptions(connection);
        let in_force = self.local.iter().filter(|each| is_of(&own, each));
        in_force.cloned().map(CallMessage::candidate).collect()
    }

    /// Takes a message of the other side's; returns the answer.
    pub(super) async fn take(
        &mut self,
        connection: &PeerConnection,
        message: CallMessage,
    ) -> Result<Option<CallMessage>, Error> {
        let offer = message.offer.unwrap_or_default();
        self.take_withdrawal(message.withdrawn.unwrap_or_default());
        let mut answer = None;
        if let Some(description) = message.description {
            match description.kind {
                SdpType::Offer => answer = self.take_offer(connection, description, offer).await?,
                SdpType::Answer => self.take_answer(connection, description, offer).await?,
                SdpType::PrAnswer | SdpType::Rollback => {}
            }
        }
        if let Some(candidate) = message.candidate {
            self.take_candidate(connection, candidate).await;
        }
        Ok(answer)
    }

    /// The other side has taken its offers up to this one back: one that comes late means nothing.
    fn take_withdrawal(&mut self, withdrawn: u64) {
        if withdrawn > self.remote_offer {
            self.remote_offer = withdrawn;
            self.answer = None;
        }
    }

    async fn take_offer(
        &mut self,
        connection: &PeerConnection,
        description: SessionDescription,
        offer: u64,
    ) -> Result<Option<CallMessage>, Error> {
        if offer <= self.remote_offer {
            // It asks again because the answer did not arrive.
            return Ok(self.answer.clone().filter(|_| offer == self.remote_offer));
        }
        let collides = connection.signaling_state() != SignalingState::Stable;
        if collides && !self.is_polite {
            return Ok(None);
        }
        connection.set_remote_description(description).await?;
        if collides {
            self.withdrawn = self.offer;
        }
        self.remote_offer = offer;
        self.answer = None;
        let description = connection.set_local_description(None).await?;
        let withdrawn = Some(self.withdrawn).filter(|number| *number > 0);
        self.answer = Some(CallMessage { withdrawn, ..described(&description, offer) });
        self.take_held(connection).await;
        Ok(self.answer.clone())
    }

    async fn take_answer(
        &mut self,
        connection: &PeerConnection,
        description: SessionDescription,
        offer: u64,
    ) -> Result<(), Error> {
        if offer != self.offer || connection.signaling_state() != SignalingState::HaveLocalOffer {
            return Ok(());
        }
        connection.set_remote_description(description).await?;
        self.take_held(connection).await;
        Ok(())
    }

    async fn take_candidate(&mut self, connection: &PeerConnection, candidate: IceCandidateInit) {
        let remote = [connection.current_remote_description(), connection.pending_remote_description()];
        if !belongs(&remote, &candidate) {
            self.held.push_back(candidate);
            if self.held.len() > MAX_HELD {
                self.held.pop_front();
            }
            return;
        }
        // One candidate that cannot be used must not end a connection that others may make.
        let _ = connection.add_ice_candidate(candidate).await;
    }

    async fn take_held(&mut self, connection: &PeerConnection) {
        for candidate in std::mem::take(&mut self.held) {
            self.take_candidate(connection, candidate).await;
        }
    }
}

fn own_descriptions(connection: &PeerConnection) -> [Option<SessionDescription>; 2] {
    [connection.current_local_description(), connection.pending_local_description()]
}

/// Returns whether the description that this candidate belongs to is in force or pending.
fn belongs(descriptions: &[Option<SessionDescription>; 2], candidate: &IceCandidateInit) -> bool {
    descriptions.iter().any(Option::is_some) && is_of(descriptions, candidate)
}

/// Returns whether a candidate is of one of these descriptions: the fragment of the user name shows
/// it, and one without belongs to any.
fn is_of(descriptions: &[Option<SessionDescription>; 2], candidate: &IceCandidateInit) -> bool {
    let in_text = || candidate.candidate.split_once(" ufrag ").and_then(|(_, rest)| rest.split(' ').next());
    let named = candidate.username_fragment.as_deref().filter(|fragment| !fragment.is_empty());
    let Some(fragment) = named.or_else(in_text).filter(|fragment| !fragment.is_empty()) else { return true };
    descriptions
        .iter()
        .flatten()
        .flat_map(|description| description.sdp.lines())
        .filter_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .any(|each| each.trim() == fragment)
}

fn described(description: &SessionDescription, offer: u64) -> CallMessage {
    CallMessage { description: Some(description.clone()), offer: Some(offer), ..CallMessage::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_belong_to_the_descriptions_with_their_fragment() {
        let described = |ufrag: &str| SessionDescription::offer(format!("v=0\r\na=ice-ufrag:{ufrag}\r\n"));
        let known = [Some(described("here")), Some(described("too"))];
        for (text, named, is_theirs) in [
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host", None, true),
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host", Some("too"), true),
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host", Some("other"), false),
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host", Some(""), true),
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host ufrag here", Some(""), true),
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host ufrag other", Some(""), false),
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host ufrag  network-cost 10", None, true),
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host generation 0 ufrag ", None, true),
            ("candidate:1 1 udp 1 10.0.0.1 9 typ host generation 0 ufrag", None, true),
            ("", Some(""), true),
        ] {
            let candidate = IceCandidateInit {
                candidate: text.to_owned(),
                username_fragment: named.map(str::to_owned),
                ..IceCandidateInit::default()
            };
            assert_eq!(belongs(&known, &candidate), is_theirs, "{text:?} {named:?}");
            assert!(!belongs(&[None, None], &candidate));
        }
    }
}
