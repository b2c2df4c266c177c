//! Candidates of the other side's that come after its description (RFC 8838, RFC 8840).

use columba_sdp::Candidate;
use columba_sdp::attributes::{EndOfCandidates, IceUfrag};

use super::apply::Change;
use super::remote::{RemoteDescription, RemoteTransport};
use crate::candidate::IceCandidateInit;
use crate::error::Error;
use crate::transport::TransportId;

/// Lines of a section of the remote description, and candidates of a transport, up to which
/// candidates are added: far more than an agent takes.
const MAX_LINES: usize = 300;

/// Lines of candidates of a transport that are read in a description.
pub(super) const MAX_CANDIDATES: usize = 300;

/// The reason why a description does not take a candidate.
#[derive(Debug)]
pub(super) enum NotAdded {
    /// It belongs to other credentials.
    OtherGeneration,
    Invalid(Error),
}

impl From<Error> for NotAdded {
    fn from(error: Error) -> Self {
        Self::Invalid(error)
    }
}

impl From<NotAdded> for Error {
    fn from(not_added: NotAdded) -> Self {
        match not_added {
            NotAdded::OtherGeneration => {
                invalid("it belongs to another generation than the remote descriptions")
            }
            NotAdded::Invalid(error) => error,
        }
    }
}

impl RemoteDescription {
    /// Adds a candidate, or the end of candidates: of one section if the candidate is empty and
    /// names one, else of all. Returns what follows for the transports: nothing for a candidate of
    /// unknown kind, and of a section whose transport is not used.
    pub(super) fn add_candidate(&mut self, init: Option<&IceCandidateInit>) -> Result<Vec<Change>, NotAdded> {
        let Some(init) = init else { return Ok(self.end_all(None)) };
        let text = init.candidate.trim_ascii();
        let named = present(init.username_fragment.as_deref());
        let Some(index) = self.section_of(init)? else {
            let is_known = |named: &str| {
                let mut transports = self.transports.iter();
                transports.any(|transport| *transport.description.ice.credentials.ufrag == *named)
            };
            if named.is_some_and(|named| !is_known(named)) {
                return Err(NotAdded::OtherGeneration);
            }
            return Ok(self.end_all(named));
        };
        let (transport, current) = (self.transport_of(index), self.ufrag(index));
        let belongs = |named: &str| current.as_ref().is_none_or(|current| current == named);
        if text.is_empty() {
            if named.is_some_and(|named| !belongs(named)) {
                return Err(NotAdded::OtherGeneration);
            }
            return Ok(transport.and_then(|id| self.end(index, id)).into_iter().collect());
        }
        let candidate: Candidate = text
            .parse()
            .map_err(|error: columba_sdp::Error| Error::InvalidCandidate { reason: error.to_string() })?;
        if named.or_else(|| present(candidate.ufrag())).is_some_and(|named| !belongs(named)) {
            return Err(NotAdded::OtherGeneration);
        }
        let Some(transport) = transport else { return Ok(Vec::new()) };
        Ok(self.take(index, transport, candidate, current.as_deref()).into_iter().collect())
    }

    /// Adds a candidate to the description, and to the transport if that has the others.
    fn take(
        &mut self,
        index: usize,
        id: TransportId,
        candidate: Candidate,
        ufrag: Option<&str>,
    ) -> Option<Change> {
        if let Some(section) = self.description.media.get_mut(index)
            && section.lines.len() < MAX_LINES
        {
            // A candidate that was read can be written, but for one with a control character.
            let _ = section.lines.add(&candidate);
        }
        let transport = self.transports.iter_mut().find(|transport| transport.id == id)?;
        if transport.is_applied {
            return Some(Change::candidate(id, &candidate, ufrag));
        }
        if transport.description.candidates.len() < MAX_LINES {
            transport.description.candidates.push(candidate);
        }
        None
    }

    /// Returns the section that a candidate names: by name, else by index. An empty name is none:
    /// some implementations know only the index.
    fn section_of(&self, init: &IceCandidateInit) -> Result<Option<usize>, Error> {
        let index = match (present(init.sdp_mid.as_deref()), init.sdp_m_line_index) {
            (Some(mid), _) => self.sections.iter().position(|section| section.mid == mid),
            (None, Some(index)) => Some(usize::from(index)).filter(|index| *index < self.sections.len()),
            (None, None) => return Ok(None),
        };
        index.map(Some).ok_or_else(|| invalid("the remote description has no such media section"))
    }

    /// Returns the transport to which candidates of a section belong. In an offer each section of a
    /// bundle may have a transport of its own until the bundle is agreed, and only the tagged one's
    /// is used.
    pub(super) fn transport_of(&self, index: usize) -> Option<TransportId> {
        let id = self.sections.get(index)?.transport?;
        let transport = self.transport(id)?;
        (transport.tag == index || transport.is_agreed).then_some(id)
    }

    /// Returns the user name fragment of a section: its own or the session's, else that of its
    /// transport.
    fn ufrag(&self, index: usize) -> Option<String> {
        let own = self.description.media.get(index);
        let own = own.and_then(|section| self.description.effective::<IceUfrag>(section).ok().flatten());
        own.map(|ufrag| ufrag.0).or_else(|| {
            let transport = self.transport(self.sections.get(index)?.transport?)?;
            Some(transport.description.ice.credentials.ufrag.to_string())
        })
    }

    /// No more candidates of this generation come, or of any.
    fn end_all(&mut self, ufrag: Option<&str>) -> Vec<Change> {
        let is_meant = |transport: &&RemoteTransport| {
            ufrag.is_none_or(|ufrag| *transport.description.ice.credentials.ufrag == *ufrag)
        };
        let transports = self.transports.iter().filter(is_meant);
        let transports: Vec<_> = transports.map(|transport| (transport.tag, transport.id)).collect();
        transports.into_iter().filter_map(|(index, id)| self.end(index, id)).collect()
    }

    fn end(&mut self, index: usize, id: TransportId) -> Option<Change> {
        if let Some(section) = self.description.media.get_mut(index) {
            // A line without a value can always be written.
            let _ = section.lines.set(&EndOfCandidates);
        }
        let transport = self.transports.iter_mut().find(|transport| transport.id == id)?;
        transport.description.end_of_candidates = true;
        transport.is_applied.then_some(Change::EndOfCandidates(id))
    }
}

impl IceCandidateInit {
    /// Returns true if it is a candidate of no section.
    pub(super) fn lacks_section(&self) -> bool {
        let is_named = present(self.sdp_mid.as_deref()).is_some() || self.sdp_m_line_index.is_some();
        !is_named && !self.candidate.trim_ascii().is_empty()
    }
}

/// Returns a text that says something: in the JSON of some implementations an empty string stands
/// for an absent value.
fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

fn invalid(reason: &str) -> Error {
    Error::InvalidCandidate { reason: reason.to_owned() }
}
