//! Remote candidates.

use std::net::SocketAddr;

use super::ids::SessionId;
use crate::candidate::{Candidate, CandidateAddress, CandidateKind};

/// The longest foundation, in bytes: as long as `columba-sdp` parses. RFC 8839 §5.1 has 32, but
/// others are longer in the field.
const MAX_FOUNDATION: usize = 256;

/// The longest user name fragment, in bytes (RFC 8839 §5.4).
const MAX_UFRAG: usize = 256;

/// The longest name, in bytes (RFC 1035 §2.3.4).
const MAX_NAME: usize = 255;

/// A remote candidate, by its address.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) session: SessionId,
    pub(super) address: SocketAddr,
    pub(super) candidate: Candidate,
}

impl Remote {
    pub(super) fn is_discovered(&self) -> bool {
        self.candidate.kind == CandidateKind::PeerReflexive
    }
}

/// Returns whether the texts of a candidate have acceptable lengths.
pub(super) fn is_bounded(candidate: &Candidate) -> bool {
    let name = match &candidate.address {
        CandidateAddress::Ip(_) => 0,
        CandidateAddress::Name(name) => name.len(),
    };
    let ufrag = candidate.ufrag.as_ref().map_or(0, |ufrag| ufrag.len());
    candidate.foundation.len() <= MAX_FOUNDATION && ufrag <= MAX_UFRAG && name <= MAX_NAME
}
