//! Candidates of the other side's that come after its description (RFC 8838, RFC 8840).

use std::time::Instant;

use columba_sdp::Candidate;
use columba_sdp::attributes::EndOfCandidates;

use super::Peer;
use crate::candidate::IceCandidateInit;
use crate::convert;
use crate::error::Error;
use crate::jsep::Remote;

impl Peer {
    /// `addIceCandidate`. `None` says that no more come at all, an empty candidate that no more come for its
    /// section. Candidates of a kind that is not known, and of sections that are not used, are passed over.
    ///
    /// # Errors
    /// [`Error::NoRemoteDescription`]; [`Error::InvalidCandidate`] if it is malformed, or does not belong to
    /// a section or a generation of the remote description; [`Error::Closed`].
    pub fn add_ice_candidate(
        &mut self,
        now: Instant,
        candidate: Option<IceCandidateInit>,
    ) -> Result<(), Error> {
        self.require_open()?;
        let remote = self.jsep.remote().ok_or(Error::NoRemoteDescription)?;
        let Some(init) = candidate else {
            self.end_of_candidates(now);
            return Ok(());
        };
        let used = belongs(remote, &init)?;
        if init.candidate.trim_ascii().is_empty() {
            if used {
                self.end_of_candidates(now);
            }
            return Ok(());
        }
        let candidate: Candidate = init
            .candidate
            .parse()
            .map_err(|error: columba_sdp::Error| Error::InvalidCandidate { reason: error.to_string() })?;
        let ufrag = init.username_fragment.as_deref().or_else(|| candidate.ufrag());
        let current = remote.data.as_ref().map(|data| data.ice.credentials.ufrag.clone());
        if let (Some(ufrag), Some(current)) = (ufrag, &current)
            && ufrag != &**current
        {
            return Err(invalid("it belongs to another generation than the remote description"));
        }
        if let Some(current) = current.filter(|_| used) {
            self.remember(&candidate);
            self.add_to_agent(now, &candidate, &current);
            self.progress(now);
        }
        Ok(())
    }

    pub(super) fn add_to_agent(&mut self, now: Instant, candidate: &Candidate, ufrag: &str) {
        match convert::from_sdp(candidate, Some(ufrag)) {
            Some(candidate) => self.agent.add_remote_candidate(now, candidate),
            None => self.dropped.candidates += 1,
        }
    }

    /// Adds it to the remote description, as long as there are not too many.
    fn remember(&mut self, candidate: &Candidate) {
        let Some(remote) = self.jsep.remote_mut() else { return };
        let Some(index) = remote.data.as_ref().map(|data| data.index) else { return };
        if let Some(section) = remote.description.media.get_mut(index)
            && section.lines.len() < MAX_LINES
        {
            let _ = section.lines.add(candidate);
        }
    }

    fn end_of_candidates(&mut self, now: Instant) {
        if let Some(remote) = self.jsep.remote_mut()
            && let Some(index) = remote.data.as_ref().map(|data| data.index)
            && let Some(section) = remote.description.media.get_mut(index)
        {
            let _ = section.lines.set(&EndOfCandidates);
        }
        self.agent.end_of_remote_candidates(now);
        self.progress(now);
    }
}

/// Whether a candidate belongs to the transport that is used; an error if it belongs to nothing.
fn belongs(remote: &Remote, init: &IceCandidateInit) -> Result<bool, Error> {
    let section = match (&init.sdp_mid, init.sdp_m_line_index) {
        (Some(mid), _) => remote.sections.iter().find(|section| section.mid == *mid),
        (None, Some(index)) => remote.sections.get(usize::from(index)),
        (None, None) => return Err(invalid("it names neither a media section nor its index")),
    };
    let section = section.ok_or_else(|| invalid("the remote description has no such media section"))?;
    Ok(remote.data.as_ref().is_some_and(|data| data.bundle.contains(&section.mid)))
}

fn invalid(reason: &str) -> Error {
    Error::InvalidCandidate { reason: reason.to_owned() }
}

/// Lines of the remote description's section to which candidates are added: far more than the agent takes.
const MAX_LINES: usize = 300;
