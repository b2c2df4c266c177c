//! The changes that follow from setting a description (RFC 9429 §5.9, §5.10, §5.11).

use columba_ice::{Candidate, Credentials, RemoteParameters, Role};
use columba_sdp::attributes::{Fingerprint, Setup};

use super::candidate;
use super::remote::{RemoteDescription, RemoteTransport};
use super::section::Section;
use super::write::Tag;
use crate::description::SdpType;
use crate::event::Event;
use crate::states::SignalingState;
use crate::transport::TransportId;
use crate::transport::dtls::DtlsRole;

/// A change that the peer connection executes, in the order in which they come.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// The signaling state is this one now.
    SignalingState(SignalingState),
    /// A transport has this role in ICE.
    IceRole(TransportId, Role),
    /// A transport has these local credentials in its description: it restarts if it has others.
    LocalIce(TransportId, Credentials),
    /// The local description of a transport was taken back.
    RollBack(TransportId),
    /// The other side's ICE agent has these parameters.
    RemoteIce(TransportId, RemoteParameters),
    /// A candidate of the other side's.
    RemoteCandidate(TransportId, Candidate),
    /// A candidate of the other side's was ignored: it is of an unknown kind, or of another
    /// component.
    CandidateIgnored,
    /// The other side has no more candidates.
    EndOfCandidates(TransportId),
    /// The local side gathers candidates.
    Gather(TransportId),
    /// DTLS of a transport has this local role, and the other side one of these certificates.
    Dtls(TransportId, DtlsRole, Vec<Fingerprint>),
    /// The other side's SCTP port, and the size of the longest message that it takes.
    RemoteData {
        /// The port.
        sctp_port: u16,
        /// Bytes; 0 for any length.
        max_message_size: u64,
    },
    /// Both sides have agreed on data over this transport.
    Data(TransportId),
    /// The other side has refused data that was offered.
    DataRefused,
    /// A transceiver has changed.
    Media(Event),
}

impl Change {
    pub(super) fn candidate(
        id: TransportId,
        candidate: &columba_sdp::Candidate,
        ufrag: Option<&str>,
    ) -> Self {
        let candidate = candidate::from_sdp(candidate, ufrag);
        candidate.map_or(Self::CandidateIgnored, |candidate| Self::RemoteCandidate(id, candidate))
    }
}

/// Returns the change of a local description: its transport has these credentials, and restarts if
/// it has others.
pub(super) fn local_ice(tag: &Tag) -> Change {
    Change::LocalIce(tag.transport, tag.credentials.clone())
}

impl RemoteTransport {
    /// Gives the transport the candidates that came with the description and since, but for those
    /// that the description before has given it under the same credentials.
    pub(super) fn apply_candidates(&mut self, before: Option<&RemoteDescription>, changes: &mut Vec<Change>) {
        if std::mem::replace(&mut self.is_applied, true) {
            return;
        }
        let description = &self.description;
        let credentials = &description.ice.credentials;
        let before = before.and_then(|before| before.transport(self.id));
        let before = before.filter(|one| one.is_applied && one.description.ice.credentials == *credentials);
        let known = before.map(|one| one.description.candidates.as_slice()).unwrap_or_default();
        let new = description.candidates.iter().filter(|candidate| !known.contains(candidate));
        changes.extend(new.map(|one| Change::candidate(self.id, one, Some(&credentials.ufrag))));
        if description.end_of_candidates {
            changes.push(Change::EndOfCandidates(self.id));
        }
    }
}

/// Returns the changes that follow from an answer. `local` are the local sections, and `answers` is
/// true if the local side has answered.
pub(super) fn answer_changes(
    local: &[Section],
    tags: &[Tag],
    remote: &RemoteDescription,
    answers: bool,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for tag in tags {
        let Some(transport) = remote.transport(tag.transport) else { continue };
        let role = match (answers, tag.setup, transport.description.setup) {
            (true, Setup::Active, _) | (false, _, Some(Setup::Passive)) => DtlsRole::Client,
            // An answer that does not say it is active, as browsers read it.
            _ => DtlsRole::Server,
        };
        changes.push(Change::Dtls(tag.transport, role, transport.description.fingerprints.clone()));
    }
    let own = local.iter().find_map(Section::application);
    match (own, remote.application()) {
        (Some(_), Some((data, transport))) => {
            let (sctp_port, max_message_size) = (data.sctp_port, data.max_message_size);
            changes.push(Change::RemoteData { sctp_port, max_message_size });
            changes.push(Change::Data(transport));
        }
        (Some(_), None) if remote.kind == SdpType::Answer => changes.push(Change::DataRefused),
        _ => {}
    }
    changes
}
