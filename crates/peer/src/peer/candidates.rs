//! Candidates: the other side's that come after its description, and the local ones that are
//! announced.

use std::time::Instant;

use super::Peer;
use crate::candidate::{IceCandidate, IceCandidateInit};
use crate::error::Error;
use crate::event::Event;
use crate::jsep::candidate::to_sdp;
use crate::states::IceGatheringState;
use crate::transport::{Transport, TransportId};

/// The standing of a local candidate: see [`Peer::candidate_standing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateStanding {
    /// It belongs to the local description, and is to be sent.
    Current,
    /// An ICE restart has been offered since: it is to be sent only if that is rolled back.
    Replaced,
    /// Its description was rolled back or replaced for good.
    Obsolete,
}

impl Peer {
    /// `addIceCandidate`. `None` says that no more come, an empty candidate that no more come for
    /// its section. Candidates of an unknown kind, and of sections whose transport is not used, are
    /// ignored. An empty `sdp_mid` or `username_fragment` counts as absent.
    ///
    /// # Errors
    /// [`Error::NoRemoteDescription`]; [`Error::InvalidCandidate`] if it is malformed, names no
    /// section, or does not belong to a section or a generation of the remote description;
    /// [`Error::Closed`].
    pub fn add_ice_candidate(
        &mut self,
        now: Instant,
        candidate: Option<IceCandidateInit>,
    ) -> Result<(), Error> {
        self.require_open()?;
        let changes = self.jsep.add_candidate(candidate.as_ref())?;
        self.execute(now, changes);
        self.progress(now);
        Ok(())
    }

    /// Returns how an announced candidate stands now, for an owner that has kept its event: the
    /// other side knows only candidates of descriptions that are set.
    #[must_use]
    pub fn candidate_standing(&self, candidate: &IceCandidateInit) -> CandidateStanding {
        let Some(ufrag) = candidate.username_fragment.as_deref() else { return CandidateStanding::Obsolete };
        let mut running = self.transports.iter().filter(|one| !one.has_ended());
        if running.clone().any(|one| *one.credentials().ufrag == *ufrag) {
            CandidateStanding::Current
        } else if running.any(|one| one.is_running(ufrag)) {
            CandidateStanding::Replaced
        } else {
            CandidateStanding::Obsolete
        }
    }

    pub(super) fn announce_candidate(&mut self, transport: TransportId, candidate: columba_ice::Candidate) {
        // A transport that no section uses any more may go on to find some.
        if let Some(init) = self.candidate_init(transport, to_sdp(&candidate).to_string()) {
            let event = IceCandidate { init, candidate: Some(candidate) };
            self.events.push_back(Event::IceCandidate(Some(event)));
        }
    }

    /// W3C "finished gathering a generation of candidates": the end of a transport's candidates
    /// comes first, in a task of its own; then the states of the transport and of the whole, then
    /// `null`.
    pub(super) fn announce_gathering(&mut self, transport: TransportId, changed: IceGatheringState) {
        if changed == IceGatheringState::Complete
            && let Some(init) = self.candidate_init(transport, String::new())
        {
            self.events.extend([Event::IceCandidate(Some(IceCandidate { init, candidate: None }))]);
        }
        if self.transports.iter().any(|one| one.id() == transport && one.is_used()) {
            self.events.push_back(Event::IceTransportGatheringState(transport, changed));
        }
        self.announce_gathering_state();
    }

    /// Announces the state of all transports together, and its end.
    pub(super) fn announce_gathering_state(&mut self) {
        if self.update_gathering() && self.states.gathering == IceGatheringState::Complete {
            self.events.push_back(Event::IceCandidate(None));
        }
    }

    /// Announces the state of gathering of all transports together. Returns true if it has changed.
    pub(super) fn update_gathering(&mut self) -> bool {
        let state = {
            let used = self.transports.iter().filter(|one| one.is_used());
            IceGatheringState::of(used.map(Transport::gathering_state))
        };
        let changed = std::mem::replace(&mut self.states.gathering, state) != state;
        if changed {
            self.events.push_back(Event::IceGatheringState(state));
        }
        changed
    }

    /// `None` if the transport has no section in the local description.
    fn candidate_init(&self, transport: TransportId, candidate: String) -> Option<IceCandidateInit> {
        let (mid, index) = self.jsep.candidate_section(transport)?;
        let one = self.transports.iter().find(|one| one.id() == transport)?;
        Some(IceCandidateInit {
            candidate,
            sdp_mid: Some(mid.to_owned()),
            sdp_m_line_index: index.try_into().ok(),
            username_fragment: Some(one.credentials().ufrag.to_string()),
        })
    }
}
