//! What goes through the signaling server, in the words of the introductions.

use columba::{IceCandidateInit, SdpType, SessionDescription};
use serde::{Deserialize, Serialize};

/// One message: it has one of these.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Word {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offer: Option<Description>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Description>,
    /// Introductions send it under one name and read it under the other.
    #[serde(default, alias = "new-ice-candidate", skip_serializing_if = "Option::is_none")]
    pub(crate) ice_candidate: Option<Candidate>,
}

/// `RTCSessionDescriptionInit`.
#[derive(Deserialize, Serialize)]
pub(crate) struct Description {
    #[serde(rename = "type")]
    kind: String,
    sdp: String,
}

/// `RTCIceCandidateInit`.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate {
    candidate: String,
    sdp_mid: Option<String>,
    sdp_m_line_index: Option<u16>,
    username_fragment: Option<String>,
}

impl From<SessionDescription> for Word {
    fn from(description: SessionDescription) -> Self {
        let said = Some(Description { kind: description.kind.to_string(), sdp: description.sdp });
        match description.kind {
            SdpType::Offer => Self { offer: said, ..Self::default() },
            _ => Self { answer: said, ..Self::default() },
        }
    }
}

impl From<IceCandidateInit> for Word {
    fn from(init: IceCandidateInit) -> Self {
        let candidate = Candidate {
            candidate: init.candidate,
            sdp_mid: init.sdp_mid,
            sdp_m_line_index: init.sdp_m_line_index,
            username_fragment: init.username_fragment,
        };
        Self { ice_candidate: Some(candidate), ..Self::default() }
    }
}

impl From<Candidate> for IceCandidateInit {
    fn from(candidate: Candidate) -> Self {
        Self {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_m_line_index: candidate.sdp_m_line_index,
            username_fragment: candidate.username_fragment,
        }
    }
}

impl Description {
    pub(crate) fn sdp(self) -> String {
        self.sdp
    }
}
