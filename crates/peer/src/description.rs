//! Session descriptions as the API hands them around.

use std::fmt;

/// The W3C's `RTCSdpType` (RFC 8829 §4.1.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SdpType {
    /// Opens a negotiation.
    Offer,
    /// An answer that may still be changed by another one.
    PrAnswer,
    /// Ends a negotiation.
    Answer,
    /// Not a description: takes back the offer that is pending.
    Rollback,
}

impl SdpType {
    /// The word that the W3C's dictionary uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::PrAnswer => "pranswer",
            Self::Answer => "answer",
            Self::Rollback => "rollback",
        }
    }
}

impl fmt::Display for SdpType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The W3C's `RTCSessionDescription`: a type and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionDescription {
    /// What it is for.
    pub kind: SdpType,
    /// The text, with CRLF line ends.
    pub sdp: String,
}

impl SessionDescription {
    /// An offer of this text.
    pub fn offer(sdp: impl Into<String>) -> Self {
        Self { kind: SdpType::Offer, sdp: sdp.into() }
    }

    /// An answer of this text.
    pub fn answer(sdp: impl Into<String>) -> Self {
        Self { kind: SdpType::Answer, sdp: sdp.into() }
    }

    /// The wish to take back the pending offer.
    #[must_use]
    pub const fn rollback() -> Self {
        Self { kind: SdpType::Rollback, sdp: String::new() }
    }
}

/// What [`Peer::create_offer`](crate::Peer::create_offer) can be asked for: the W3C's `RTCOfferOptions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfferOptions {
    /// Offer new ICE credentials, so that the peers look for a path anew.
    pub ice_restart: bool,
}
