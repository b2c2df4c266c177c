//! ICE candidates as the API hands them around.

/// A candidate of the other side's, or the word that no more come: the W3C's `RTCIceCandidateInit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceCandidateInit {
    /// The candidate (RFC 8839 §5.1), with or without `candidate:` in front; empty if no more come.
    pub candidate: String,
    /// The name of the media section to which it belongs.
    pub sdp_mid: Option<String>,
    /// The index of that section; looked at only without a name.
    pub sdp_m_line_index: Option<u16>,
    /// The user name fragment of the generation to which it belongs.
    pub username_fragment: Option<String>,
}

/// An own candidate, to be sent to the other side: the W3C's `RTCIceCandidate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCandidate {
    /// What is to be sent.
    pub init: IceCandidateInit,
    /// The same in its parts; `None` for the word that no more come in this generation.
    pub candidate: Option<columba_ice::Candidate>,
}
