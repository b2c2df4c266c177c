//! Candidates of the other side's that come after its description (RFC 8838, RFC 8840).

use columba_sdp::Candidate;
use columba_sdp::attributes::{EndOfCandidates, IceUfrag};

use super::apply::Change;
use super::remote::RemoteDescription;
use crate::candidate::IceCandidateInit;
use crate::error::Error;
use crate::transport::TransportId;

/// Lines of a section of the remote description up to which candidates are added: far more than an
/// agent takes.
const MAX_LINES: usize = 300;

impl RemoteDescription {
    /// Adds a candidate, or the end of candidates: of one section if the candidate is empty and
    /// names one, else of all. Returns what follows for the transports: nothing for a candidate of
    /// unknown kind, and of a section whose transport is not used.
    pub(super) fn add_candidate(&mut self, init: Option<&IceCandidateInit>) -> Result<Vec<Change>, Error> {
        let Some(init) = init else { return Ok(self.end_all()) };
        let text = init.candidate.trim_ascii();
        let Some(index) = self.section_of(init)? else {
            return match text {
                "" => Ok(self.end_all()),
                _ => Err(invalid("it names neither a media section nor its index")),
            };
        };
        let transport = self.transport_of(index);
        if text.is_empty() {
            return Ok(transport.map(|id| self.end(index, id)).into_iter().collect());
        }
        let candidate: Candidate = text
            .parse()
            .map_err(|error: columba_sdp::Error| Error::InvalidCandidate { reason: error.to_string() })?;
        let named = present(init.username_fragment.as_deref()).or_else(|| present(candidate.ufrag()));
        let current = self.ufrag(index);
        if let (Some(named), Some(current)) = (named, &current)
            && named != current
        {
            return Err(invalid("it belongs to another generation than the remote description"));
        }
        let Some(transport) = transport else { return Ok(Vec::new()) };
        self.remember(index, &candidate);
        Ok(vec![Change::candidate(transport, &candidate, current.as_deref())])
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
    fn transport_of(&self, index: usize) -> Option<TransportId> {
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

    fn remember(&mut self, index: usize, candidate: &Candidate) {
        if let Some(section) = self.description.media.get_mut(index)
            && section.lines.len() < MAX_LINES
        {
            // A candidate that was read can be written, but for one with a control character.
            let _ = section.lines.add(candidate);
        }
    }

    fn end_all(&mut self) -> Vec<Change> {
        let transports: Vec<_> =
            self.transports.iter().map(|transport| (transport.tag, transport.id)).collect();
        transports.into_iter().map(|(index, id)| self.end(index, id)).collect()
    }

    fn end(&mut self, index: usize, transport: TransportId) -> Change {
        if let Some(section) = self.description.media.get_mut(index) {
            // A line without a value can always be written.
            let _ = section.lines.set(&EndOfCandidates);
        }
        Change::EndOfCandidates(transport)
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
