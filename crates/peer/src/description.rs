//! Session descriptions as the API has them.

use std::fmt;

/// The W3C's `RTCSdpType` (RFC 9429 §4.1.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum SdpType {
    /// Opens a negotiation.
    Offer,
    /// A provisional answer, which another answer may change.
    PrAnswer,
    /// Ends a negotiation.
    Answer,
    /// Not a description: takes back the offer that is pending.
    Rollback,
}

impl SdpType {
    /// Returns the word of the W3C's enumeration.
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
///
/// With the feature `serde` it is read and written as the JSON of browsers: `{"type", "sdp"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SessionDescription {
    /// Its type.
    #[cfg_attr(feature = "serde", serde(rename = "type"))]
    pub kind: SdpType,
    /// The text, with CRLF line ends.
    #[cfg_attr(feature = "serde", serde(default, deserialize_with = "crate::json::null_as_default"))]
    pub sdp: String,
}

impl SessionDescription {
    /// Returns an offer with this text.
    pub fn offer(sdp: impl Into<String>) -> Self {
        Self { kind: SdpType::Offer, sdp: sdp.into() }
    }

    /// Returns an answer with this text.
    pub fn answer(sdp: impl Into<String>) -> Self {
        Self { kind: SdpType::Answer, sdp: sdp.into() }
    }

    /// Returns the description that takes back the pending offer.
    #[must_use]
    pub const fn rollback() -> Self {
        Self { kind: SdpType::Rollback, sdp: String::new() }
    }
}

/// Options of [`Peer::create_offer`](crate::Peer::create_offer): the W3C's `RTCOfferOptions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OfferOptions {
    /// Offer new ICE credentials, so that the peers look for a path anew.
    pub ice_restart: bool,
}
