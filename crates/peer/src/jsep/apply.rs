//! The changes that follow from setting a description (RFC 9429 §5.9, §5.10, §5.11).

use columba_ice::{Candidate, Credentials, RemoteParameters, Role};
use columba_sdp::attributes::{Fingerprint, Setup};

use super::candidate;
use super::remote::{RemoteDescription, RemoteTransport};
use super::section::Section;
use super::transport::Extensions;
use super::write::Tag;
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
    /// A transport has these local credentials in its description: it is new, or restarts if it has
    /// others.
    LocalIce(TransportId, Credentials),
    /// The local description of a transport was taken back.
    RollBack(TransportId),
    /// The other side's description of a transport names these extensions.
    Extensions(TransportId, Extensions),
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
        /// Its INIT, if the local description has one, too.
        init: Option<Vec<u8>>,
    },
    /// Both sides have agreed on data over this transport.
    Data(TransportId),
    /// There is no section for data any more: the other side has refused it, or one side has
    /// stopped it.
    DataEnded {
        /// The other side has refused what this one has offered.
        refused: bool,
    },
    /// A transport needs a new DTLS association.
    RenewDtls(TransportId),
    /// No section uses a transport any more: it ends.
    Unused(TransportId),
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
        let description = &mut self.description;
        let credentials = &description.ice.credentials;
        let is_same = |before: &&RemoteDescription| {
            let known = before.transport(self.id);
            known.is_some_and(|one| one.is_applied && one.description.ice.credentials == *credentials)
        };
        let known = before.filter(is_same).map(|before| before.candidates(self.id)).unwrap_or_default();
        // The description has them as lines.
        let mut candidates = std::mem::take(&mut description.candidates);
        candidates.retain(|candidate| !known.contains(candidate));
        let new = candidates.iter();
        changes.extend(new.map(|one| Change::candidate(self.id, one, Some(&credentials.ufrag))));
        if description.end_of_candidates {
            changes.push(Change::EndOfCandidates(self.id));
        }
    }
}

/// Returns the changes that follow from an answer for DTLS and data. `local` are the local
/// sections, and `answers` is true if the local side has answered.
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
            // An answer that does not say it is passive (RFC 4145 §4.1).
            (true, Setup::Active, _) | (false, _, Some(Setup::Passive) | None) => DtlsRole::Client,
            _ => DtlsRole::Server,
        };
        if transport.is_renewed {
            changes.push(Change::RenewDtls(tag.transport));
        }
        changes.push(Change::Dtls(tag.transport, role, transport.description.fingerprints.clone()));
    }
    let own = local.iter().find_map(Section::application);
    if let (Some((own, _)), Some((data, transport))) = (own, remote.application()) {
        let (sctp_port, max_message_size) = (data.sctp_port, data.max_message_size);
        let init = data.init.clone().filter(|_| own.init.is_some());
        changes.push(Change::RemoteData { sctp_port, max_message_size, init });
        changes.push(Change::Data(transport));
    }
    changes
}
