//! Local candidates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::ids::{Base, LocalId, SessionId};
use super::map::Map;
use crate::candidate::{Candidate, CandidateAddress, CandidateKind};
use crate::path::Transport;

/// Foundations that are remembered, at most; later candidates share the last.
const MAX_FOUNDATIONS: usize = 1000;

/// The local candidates, signalled or not.
#[derive(Debug, Default)]
pub(super) struct Locals {
    locals: Map<LocalId, Local>,
    foundations: Foundations,
}

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
struct Foundations(Vec<FoundationKey>);

impl Locals {
    pub(super) fn get(&self, id: LocalId) -> Option<&Local> {
        self.locals.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LocalId) -> Option<&mut Local> {
        self.locals.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (LocalId, &Local)> + Clone {
        self.locals.iter().map(|(id, local)| (*id, local))
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Local> + Clone {
        self.locals.values()
    }

    pub(super) fn ids(&self) -> Vec<LocalId> {
        self.locals.keys().copied().collect()
    }

    pub(super) fn insert(&mut self, id: LocalId, local: Local) {
        self.locals.insert(id, local);
    }

    pub(super) fn remove(&mut self, id: LocalId) {
        self.locals.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        self.locals.clear();
    }

    /// The candidates of a base.
    pub(super) fn of(&self, base: Base) -> impl Iterator<Item = (LocalId, &Local)> + Clone {
        self.iter().filter(move |(_, local)| local.base == base)
    }

    /// The candidate of a base with this address.
    pub(super) fn find(&self, base: Base, address: SocketAddr) -> Option<LocalId> {
        self.of(base).find(|(_, local)| local.address == address).map(|(id, _)| id)
    }

    /// The host or relayed candidate behind a base, of the family that the other side has.
    pub(super) fn behind(&self, base: Base, remote: SocketAddr) -> Option<LocalId> {
        let is_fit = |local: &Local| local.is_base() && local.address.is_ipv4() == remote.is_ipv4();
        self.of(base).find(|(_, local)| is_fit(local)).map(|(id, _)| id)
    }

    /// Forgets the candidates of a base that is gone.
    pub(super) fn forget(&mut self, base: Base) {
        self.locals.retain(|_, local| local.base != base);
    }

    /// Forgets the reflexive candidates of a base from one server.
    pub(super) fn forget_reflexive(&mut self, base: Base, url: &Arc<str>) {
        self.locals.retain(|_, one| {
            one.base != base
                || one.candidate.kind != CandidateKind::ServerReflexive
                || one.candidate.url.as_ref() != Some(url)
        });
    }

    /// A session in which candidates may have been signalled is rolled back.
    pub(super) fn take_back(&mut self, session: SessionId, ufrag: &Arc<str>) {
        self.locals.values_mut().for_each(|local| local.take_back(session, ufrag));
    }

    /// The name that hides an address, if it has one.
    pub(super) fn name_of(&self, ip: IpAddr) -> Option<Arc<str>> {
        self.values().filter(|local| local.candidate.kind == CandidateKind::Host).find_map(|local| {
            match &local.candidate.address {
                CandidateAddress::Name(name) if local.address.ip() == ip => Some(name.clone()),
                _ => None,
            }
        })
    }

    /// The foundation of candidates with these properties.
    pub(super) fn foundation(&mut self, key: FoundationKey) -> Arc<str> {
        self.foundations.of(key)
    }
}

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
    fn of(&mut self, key: FoundationKey) -> Arc<str> {
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
