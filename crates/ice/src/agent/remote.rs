//! Remote candidates.

use std::net::SocketAddr;

use super::ids::{RemoteId, SessionId};
use super::map::Map;
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport};
use crate::event::ResolveId;

/// The longest foundation, in bytes: as long as `columba-sdp` parses. RFC 8839 §5.1 has 32, but
/// others are longer in the field.
const MAX_FOUNDATION: usize = 256;

/// The longest user name fragment, in bytes (RFC 8839 §5.4).
const MAX_UFRAG: usize = 256;

/// The longest name, in bytes (RFC 1035 §2.3.4).
const MAX_NAME: usize = 255;

/// The remote candidates, and those that are none yet.
#[derive(Debug, Default)]
pub(super) struct Remotes {
    remotes: Map<RemoteId, Remote>,
    /// Names of candidates under resolution; bounded with the candidates.
    names: Map<ResolveId, Candidate>,
    /// Candidates of credentials not yet known, which may be those of a restart to come; bounded as
    /// candidates are, then the oldest goes.
    held: Vec<Candidate>,
}

/// A remote candidate, by its address.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) session: SessionId,
    pub(super) address: SocketAddr,
    pub(super) candidate: Candidate,
}

impl Remotes {
    pub(super) fn len(&self) -> usize {
        self.remotes.len()
    }

    pub(super) fn get(&self, id: RemoteId) -> Option<&Remote> {
        self.remotes.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: RemoteId) -> Option<&mut Remote> {
        self.remotes.get_mut(&id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RemoteId, &Remote)> {
        self.remotes.iter().map(|(id, remote)| (*id, remote))
    }

    /// The candidates of a session.
    pub(super) fn of(&self, session: SessionId) -> impl Iterator<Item = (RemoteId, &Remote)> {
        self.iter().filter(move |(_, remote)| remote.session == session)
    }

    pub(super) fn kind(&self, id: RemoteId) -> Option<CandidateKind> {
        self.get(id).map(|remote| remote.candidate.kind)
    }

    pub(super) fn find(
        &self,
        session: SessionId,
        transport: CandidateTransport,
        address: SocketAddr,
    ) -> Option<(RemoteId, &Remote)> {
        self.of(session)
            .find(|(_, remote)| remote.address == address && remote.candidate.transport == transport)
    }

    pub(super) fn insert(&mut self, id: RemoteId, remote: Remote) {
        self.remotes.insert(id, remote);
    }

    pub(super) fn retain(&mut self, is_kept: impl Fn(RemoteId, &Remote) -> bool) {
        self.remotes.retain(|id, remote| is_kept(*id, remote));
    }

    /// The number of candidates that are held back, or whose names are resolved.
    pub(super) fn waiting(&self) -> usize {
        self.held.len() + self.names.len()
    }

    /// Holds a candidate back until its credentials are known. Where `most` wait already, the
    /// oldest that is held makes room. Returns the number of candidates that are dropped for it.
    pub(super) fn hold(&mut self, candidate: Candidate, most: usize) -> u64 {
        let has_room = self.waiting() < most;
        if !has_room && self.held.is_empty() {
            return 1;
        }
        if !has_room {
            self.held.remove(0);
        }
        self.held.push(candidate);
        u64::from(!has_room)
    }

    pub(super) fn take_held(&mut self) -> Vec<Candidate> {
        std::mem::take(&mut self.held)
    }

    /// A candidate's name is being resolved.
    pub(super) fn add_name(&mut self, id: ResolveId, candidate: Candidate) {
        self.names.insert(id, candidate);
    }

    /// Returns whether it is a candidate's name that is resolved.
    pub(super) fn has_name(&self, id: ResolveId) -> bool {
        self.names.contains_key(&id)
    }

    pub(super) fn take_name(&mut self, id: ResolveId) -> Option<Candidate> {
        self.names.remove(&id)
    }

    pub(super) fn forget_names(&mut self) {
        self.names.clear();
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
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
