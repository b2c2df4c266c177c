//! The changes that follow from setting a description (RFC 9429 §5.9, §5.10, §5.11).

use columba_ice::{Candidate, Credentials, RemoteParameters, Role};
use columba_sdp::attributes::{Fingerprint, Setup};

use super::candidate;
use super::remote::RemoteDescription;
use super::section::Section;
use super::write::Tag;
use crate::description::SdpType;
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
    /// ICE of a transport restarts with new local credentials.
    RestartIce(TransportId),
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

/// The state of ICE of one transport, as far as descriptions decide it.
#[derive(Debug)]
pub(super) struct IceNegotiation {
    pub(super) transport: TransportId,
    /// The other side's credentials that the agent knows.
    pub(super) remote: Option<Credentials>,
    /// The agent has new local credentials that the other side has not answered yet.
    pub(super) restarting: bool,
}

impl IceNegotiation {
    pub(super) fn new(transport: TransportId) -> Self {
        Self { transport, remote: None, restarting: false }
    }

    /// Restarts ICE, if it has begun and is not restarting already.
    pub(super) fn restart(&mut self) -> Option<Change> {
        if self.remote.is_none() || self.restarting {
            return None;
        }
        self.restarting = true;
        Some(Change::RestartIce(self.transport))
    }

    /// Takes the other side's parameters. New credentials in an offer restart ICE (RFC 8839
    /// §4.4.1.1.1).
    fn set_remote(&mut self, kind: SdpType, parameters: &RemoteParameters, changes: &mut Vec<Change>) {
        let changed = self.remote.as_ref() != Some(&parameters.credentials);
        if changed && kind == SdpType::Offer {
            changes.extend(self.restart());
        }
        if changed || self.restarting {
            changes.push(Change::RemoteIce(self.transport, parameters.clone()));
            self.remote = Some(parameters.credentials.clone());
        }
    }
}

/// Returns the changes that follow from the other side's description at once, be it an offer or an
/// answer.
pub(super) fn remote_changes(remote: &RemoteDescription, ice: &mut [IceNegotiation]) -> Vec<Change> {
    let mut changes = Vec::new();
    for transport in &remote.transports {
        let description = &transport.description;
        if let Some(ice) = ice.iter_mut().find(|ice| ice.transport == transport.id) {
            ice.set_remote(remote.kind, &description.ice, &mut changes);
        }
        let ufrag = &description.ice.credentials.ufrag;
        let candidates = description.candidates.iter();
        changes.extend(candidates.map(|candidate| Change::candidate(transport.id, candidate, Some(ufrag))));
        if description.end_of_candidates {
            changes.push(Change::EndOfCandidates(transport.id));
        }
    }
    if let Some((data, _)) = remote.application() {
        let (sctp_port, max_message_size) = (data.sctp_port, data.max_message_size);
        changes.push(Change::RemoteData { sctp_port, max_message_size });
    }
    changes
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
        (Some(_), Some((_, transport))) => changes.push(Change::Data(transport)),
        (Some(_), None) if remote.kind == SdpType::Answer => changes.push(Change::DataRefused),
        _ => {}
    }
    changes
}
