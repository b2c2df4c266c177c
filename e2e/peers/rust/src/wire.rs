//! The messages between two peers through the signaling server, as introductions to WebRTC write
//! them.

use columba::{IceCandidateInit, SdpType, SessionDescription};
use serde::{Deserialize, Serialize};

/// One message: it has one of these members.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignalingMessage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offer: Option<SessionDescription>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<SessionDescription>,
    /// Introductions send it under one name and read it under the other.
    #[serde(default, alias = "new-ice-candidate", skip_serializing_if = "Option::is_none")]
    pub(crate) ice_candidate: Option<IceCandidateInit>,
}

impl From<SessionDescription> for SignalingMessage {
    fn from(description: SessionDescription) -> Self {
        match description.kind {
            SdpType::Offer => Self { offer: Some(description), ..Self::default() },
            _ => Self { answer: Some(description), ..Self::default() },
        }
    }
}

impl From<IceCandidateInit> for SignalingMessage {
    fn from(candidate: IceCandidateInit) -> Self {
        Self { ice_candidate: Some(candidate), ..Self::default() }
    }
}
