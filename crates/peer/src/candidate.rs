//! ICE candidates as the API has them.

/// A candidate of the other side's, or the notice that no more come: the W3C's
/// `RTCIceCandidateInit`.
///
/// With the feature `serde` it is read and written as the JSON of browsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "camelCase", default))]
pub struct IceCandidateInit {
    /// The candidate (RFC 8839 §5.1), with or without `candidate:` in front; empty if no more come.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::json::null_as_default"))]
    pub candidate: String,
    /// The name of the media section to which it belongs.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::json::text"))]
    pub sdp_mid: Option<String>,
    /// The index of that section; only used without a name.
    #[cfg_attr(feature = "serde", serde(rename = "sdpMLineIndex", deserialize_with = "crate::json::index"))]
    pub sdp_m_line_index: Option<u16>,
    /// The user name fragment of the generation to which it belongs.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "crate::json::text"))]
    pub username_fragment: Option<String>,
}

/// A local candidate, to be sent to the other side: the W3C's `RTCIceCandidate`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceCandidate {
    /// The form in which it is sent.
    pub init: IceCandidateInit,
    /// Its parts; `None` for the notice that no more come in this generation.
    pub candidate: Option<columba_ice::Candidate>,
}
