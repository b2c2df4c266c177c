//! Local candidates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::ids::{Base, SessionId};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind};
use crate::path::Transport;

/// Foundations that are remembered, at most; later candidates share the last.
const MAX_FOUNDATIONS: usize = 1000;

/// A local candidate.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) base: Base,
    /// The address itself, even where a name hides it.
    pub(super) address: SocketAddr,
    /// The candidate as the other side gets it.
    pub(super) candidate: Candidate,
    /// False if the candidate is not signalled.
    pub(super) shown: bool,
    /// The last two sessions in which it was signalled, the later first: one may be rolled back.
    announced: [Option<SessionId>; 2],
    pub(super) relay_protocol: Option<Transport>,
}

/// The properties that candidates of one foundation have in common (RFC 8445 §5.1.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundationKey {
    pub(super) kind: CandidateKind,
    pub(super) base: IpAddr,
    pub(super) server: Option<IpAddr>,
    pub(super) protocol: Transport,
}

/// The foundations of an agent's candidates; the position is the foundation.
#[derive(Debug, Default)]
pub(super) struct Foundations(Vec<FoundationKey>);

impl Local {
    pub(super) fn new(base: Base, address: SocketAddr, candidate: Candidate) -> Self {
        Self { base, address, candidate, shown: true, announced: [None; 2], relay_protocol: None }
    }

    /// A candidate of a relay that is reached by this protocol.
    pub(super) fn relayed(
        base: Base,
        address: SocketAddr,
        candidate: Candidate,
        protocol: Transport,
    ) -> Self {
        Self { relay_protocol: Some(protocol), ..Self::new(base, address, candidate) }
    }

    /// Sets whether the candidate is signalled.
    pub(super) fn with_shown(self, shown: bool) -> Self {
        Self { shown, ..self }
    }

    pub(super) fn is_discovered(&self) -> bool {
        self.candidate.kind == CandidateKind::PeerReflexive
    }

    /// Returns whether pairs are formed with it: others send from their base, whose pair is the
    /// same (RFC 8445 §6.1.2.4).
    pub(super) fn is_base(&self) -> bool {
        matches!(self.candidate.kind, CandidateKind::Host | CandidateKind::Relayed)
    }

    /// The candidate to be signalled in this session, if it is to be and was not yet.
    pub(super) fn announce(&mut self, session: SessionId, ufrag: &Arc<str>) -> Option<Candidate> {
        if !self.shown || self.is_discovered() || self.announced.contains(&Some(session)) {
            return None;
        }
        self.announced = [Some(session), self.announced[0]];
        self.candidate.ufrag = Some(ufrag.clone());
        Some(self.candidate.clone())
    }

    /// A session in which it may have been signalled is rolled back; `ufrag` is that of the session
    /// that counts again.
    pub(super) fn take_back(&mut self, session: SessionId, ufrag: &Arc<str>) {
        if self.announced[0] == Some(session) {
            self.announced = [self.announced[1], None];
            self.candidate.ufrag = self.announced[0].map(|_| ufrag.clone());
        }
    }

    /// The candidate as it may be shown: a host candidate that is not signalled has no address.
    pub(super) fn shown_candidate(&self) -> Candidate {
        let hidden = self.candidate.kind == CandidateKind::Host && !self.shown;
        let address = if hidden {
            CandidateAddress::Ip(unspecified(self.address).ip())
        } else {
            self.candidate.address.clone()
        };
        Candidate { address, ..self.candidate.clone() }
    }
}

impl Foundations {
    pub(super) fn of(&mut self, key: FoundationKey) -> Arc<str> {
        let index = self.0.iter().position(|known| *known == key).unwrap_or_else(|| {
            if self.0.len() < MAX_FOUNDATIONS {
                self.0.push(key);
            }
            self.0.len() - 1
        });
        (index + 1).to_string().into()
    }
}

/// The unspecified address of the same family, with port 0.
pub(super) fn unspecified(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
