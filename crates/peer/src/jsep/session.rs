//! The state machine of offers and answers (RFC 9429 §3.2, §4.1).

use columba_sdp::Candidate;
use columba_sdp::attributes::{EndOfCandidates, Fingerprint, IceUfrag, Origin};

use super::apply::{self, Change, IceNegotiation};
use super::remote::{self, RemoteDescription};
use super::section::Section;
use super::write::{self, LocalParameters, Tag};
use super::{answer, offer};
use crate::candidate::IceCandidateInit;
use crate::description::{OfferOptions, SdpType, SessionDescription};
use crate::error::Error;
use crate::states::SignalingState;
use crate::transport::TransportId;

/// The state of the exchange, and the descriptions that were agreed.
#[derive(Debug)]
pub(crate) struct Jsep {
    state: SignalingState,
    session_id: u64,
    /// The version of the next description.
    version: u64,
    created_offer: Option<Created>,
    created_answer: Option<Created>,
    current: Agreement,
    pending: Agreement,
    /// One for each transport.
    ice: Vec<IceNegotiation>,
    /// User name fragments that the next offer replaces: the W3C's
    /// `[[LocalIceCredentialsToReplace]]`.
    to_replace: Vec<String>,
    /// A local description was set, even if it was rolled back since.
    was_described: bool,
}

/// The sections that the application wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// A section for data.
    pub(crate) data: bool,
}

/// Both sides' descriptions of one exchange.
#[derive(Clone, Debug, Default)]
struct Agreement {
    local: Option<LocalDescription>,
    remote: Option<RemoteDescription>,
    /// The sections as the local side describes them.
    sections: Vec<Section>,
}

/// A local description that was created and perhaps never set.
#[derive(Clone, Debug)]
struct Created {
    text: String,
    local: LocalDescription,
    sections: Vec<Section>,
}

/// A local description.
#[derive(Clone, Debug)]
struct LocalDescription {
    kind: SdpType,
    description: columba_sdp::SessionDescription,
    /// The section of each transport that carries its candidates.
    tags: Vec<Tag>,
}

impl Jsep {
    pub(crate) fn new(session_id: u64) -> Self {
        Self {
            state: SignalingState::Stable,
            // RFC 9429 §5.2.1: 63 random bits.
            session_id: session_id >> 1,
            version: 1,
            created_offer: None,
            created_answer: None,
            current: Agreement::default(),
            pending: Agreement::default(),
            ice: vec![IceNegotiation::new(TransportId::FIRST)],
            to_replace: Vec::new(),
            was_described: false,
        }
    }

    pub(crate) fn state(&self) -> SignalingState {
        self.state
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state == SignalingState::Closed
    }

    pub(crate) fn close(&mut self) {
        self.state = SignalingState::Closed;
    }

    /// Returns true if a local description was set, even if it was rolled back since.
    pub(crate) fn was_described(&self) -> bool {
        self.was_described
    }

    /// Returns the local description that counts: the pending one, else the current one.
    fn local(&self) -> Option<&LocalDescription> {
        self.pending.local.as_ref().or(self.current.local.as_ref())
    }

    /// Returns the other side's description that counts.
    fn remote(&self) -> Option<&RemoteDescription> {
        self.pending.remote.as_ref().or(self.current.remote.as_ref())
    }

    /// Returns `localDescription`. `candidates` returns the candidates of a transport, and whether
    /// they are complete.
    pub(crate) fn local_description<'a>(
        &self,
        candidates: impl Fn(TransportId) -> Option<(&'a [Candidate], bool)>,
    ) -> Option<SessionDescription> {
        let local = self.local()?;
        let mut description = local.description.clone();
        for tag in &local.tags {
            let Some((found, is_complete)) = candidates(tag.transport) else { continue };
            let Some(section) = description.media.get_mut(tag.index) else { continue };
            for candidate in found {
                // The agent's candidates can be written.
                let _ = section.lines.add(candidate);
            }
            if is_complete {
                let _ = section.lines.add(&EndOfCandidates);
            }
        }
        Some(SessionDescription { kind: local.kind, sdp: description.to_string() })
    }

    /// Returns `remoteDescription`.
    pub(crate) fn remote_description(&self) -> Option<SessionDescription> {
        let remote = self.remote()?;
        Some(SessionDescription { kind: remote.kind, sdp: remote.description.to_string() })
    }

    /// Returns name and index of the section to which the candidates of a transport belong.
    pub(crate) fn candidate_section(&self, transport: TransportId) -> Option<(&str, usize)> {
        let local = self.local()?;
        let index = local.tags.iter().find(|tag| tag.transport == transport)?.index;
        Some((local.description.media.get(index)?.mid()?, index))
    }

    /// Returns the kind of the description that `setLocalDescription` without one creates.
    pub(crate) fn implicit_kind(&self) -> SdpType {
        match self.state {
            SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPrAnswer => SdpType::Answer,
            _ => SdpType::Offer,
        }
    }

    /// Compares what is wanted with what is agreed: the W3C's "check if negotiation is needed".
    /// False in any state but stable.
    pub(crate) fn needs_negotiation(&self, wanted: Wanted) -> bool {
        let has_data = self.current.sections.iter().any(|section| section.application().is_some());
        self.state == SignalingState::Stable && (self.wants_restart() || wanted.data && !has_data)
    }

    /// Returns true if the current local description has credentials that are to be replaced.
    fn wants_restart(&self) -> bool {
        let used = self.current.local.as_ref().map(LocalDescription::ufrags).unwrap_or_default();
        self.to_replace.iter().any(|ufrag| used.contains(ufrag))
    }

    /// `restartIce`: the next offer replaces the credentials of both local descriptions.
    pub(crate) fn restart_ice(&mut self) {
        let descriptions = [&self.current.local, &self.pending.local].into_iter().flatten();
        self.to_replace = descriptions.flat_map(LocalDescription::ufrags).collect();
    }

    /// Returns the changes that come before an offer is created.
    pub(crate) fn begin_offer(&mut self, options: OfferOptions) -> Vec<Change> {
        let wanted = options.ice_restart || self.wants_restart();
        if !wanted || self.state != SignalingState::Stable {
            return Vec::new();
        }
        self.ice.iter_mut().filter_map(IceNegotiation::restart).collect()
    }

    /// RFC 9429 §5.2. Without anything to negotiate the offer has no section.
    pub(crate) fn create_offer(
        &mut self,
        local: &LocalParameters,
        wanted: Wanted,
    ) -> Result<SessionDescription, Error> {
        use SignalingState as State;
        self.require("create_offer", &[State::Stable, State::HaveLocalOffer, State::HaveRemotePrAnswer])?;
        let sections = offer::sections(&self.current.sections, wanted, local.max_message_size);
        let known = self.current.local.as_ref().map(|local| local.tags.as_slice()).unwrap_or_default();
        let tags = offer::tags(&sections, known);
        let created = self.create(SdpType::Offer, sections, tags, local)?;
        let text = created.text.clone();
        self.created_offer = Some(created);
        Ok(SessionDescription::offer(text))
    }

    /// RFC 9429 §5.3.
    pub(crate) fn create_answer(&mut self, local: &LocalParameters) -> Result<SessionDescription, Error> {
        use SignalingState as State;
        let state = self.state;
        self.require("create_answer", &[State::HaveRemoteOffer, State::HaveLocalPrAnswer])?;
        let offer = self.pending.remote.as_ref();
        let offer = offer.ok_or(Error::InvalidState { operation: "create_answer", state })?;
        let sections = answer::sections(offer, local.max_message_size);
        let created = self.create(SdpType::Answer, sections, answer::tags(offer, local), local)?;
        let text = created.text.clone();
        self.created_answer = Some(created);
        Ok(SessionDescription::answer(text))
    }

    fn create(
        &self,
        kind: SdpType,
        sections: Vec<Section>,
        tags: Vec<Tag>,
        local: &LocalParameters,
    ) -> Result<Created, Error> {
        let origin = Origin::new(self.session_id, self.version);
        // Only a name of the other side's could be unprintable, and those were read.
        let description = write::write(origin, &sections, &tags, local)
            .map_err(|error| remote::wrong(kind, None, &error.to_string()))?;
        let text = description.to_string();
        Ok(Created { text, local: LocalDescription { kind, description, tags }, sections })
    }

    /// Sets a local description that was created before (RFC 9429 §5.9).
    pub(crate) fn set_local(&mut self, description: &SessionDescription) -> Result<Vec<Change>, Error> {
        use SignalingState as State;
        let kind = description.kind;
        let operation = "set_local_description";
        match kind {
            SdpType::Offer => self.require(operation, &[State::Stable, State::HaveLocalOffer])?,
            SdpType::Answer | SdpType::PrAnswer => {
                self.require(operation, &[State::HaveRemoteOffer, State::HaveLocalPrAnswer])?;
            }
            SdpType::Rollback => {
                self.require(operation, &[State::HaveLocalOffer])?;
                self.roll_back();
                return Ok(vec![Change::SignalingState(self.state)]);
            }
        }
        let created = if kind == SdpType::Offer { &self.created_offer } else { &self.created_answer };
        let Some(created) = created.as_ref().filter(|created| created.text == description.sdp).cloned()
        else {
            return Err(Error::InvalidModification { kind });
        };
        let before = self.state;
        let mut changes = self.initial_roles(kind, columba_ice::Role::Controlling);
        let gathering = created.local.tags.iter().map(|tag| Change::Gather(tag.transport));
        let gathering: Vec<_> = gathering.collect();
        self.version += 1;
        self.was_described = true;
        self.pending.local = Some(LocalDescription { kind, ..created.local });
        self.pending.sections = created.sections;
        if kind == SdpType::Offer {
            self.state = State::HaveLocalOffer;
        } else {
            changes.extend(self.answered(true));
            if kind == SdpType::PrAnswer {
                self.state = State::HaveLocalPrAnswer;
            } else {
                self.settle();
            }
        }
        changes.extend(gathering);
        self.add_state_change(before, &mut changes);
        Ok(changes)
    }

    /// Sets a description of the other side's (RFC 9429 §5.10). `accepts` returns false if a
    /// transport's other side has shown another certificate than these. If there is an error,
    /// nothing has changed.
    pub(crate) fn set_remote(
        &mut self,
        description: &SessionDescription,
        accepts: impl Fn(TransportId, &[Fingerprint]) -> bool,
    ) -> Result<Vec<Change>, Error> {
        use SignalingState as State;
        let operation = "set_remote_description";
        let kind = description.kind;
        let is_offer = kind == SdpType::Offer;
        match kind {
            SdpType::Rollback => {
                self.require(operation, &[State::HaveRemoteOffer])?;
                self.roll_back();
                return Ok(vec![Change::SignalingState(self.state)]);
            }
            SdpType::Offer => {
                self.require(operation, &[State::Stable, State::HaveRemoteOffer, State::HaveLocalOffer])?;
            }
            SdpType::Answer | SdpType::PrAnswer => {
                self.require(operation, &[State::HaveLocalOffer, State::HaveRemotePrAnswer])?;
            }
        }
        let known = if is_offer { &self.current.sections } else { &self.pending.sections };
        let remote = RemoteDescription::read(kind, &description.sdp, known)?;
        check_order(&remote, known, !is_offer)?;
        check_identity(&remote, accepts)?;
        Ok(self.apply_remote(remote))
    }

    fn apply_remote(&mut self, remote: RemoteDescription) -> Vec<Change> {
        let kind = remote.kind;
        let mut changes = Vec::new();
        if kind == SdpType::Offer && self.state == SignalingState::HaveLocalOffer {
            self.roll_back();
            changes.push(Change::SignalingState(self.state));
        }
        let before = self.state;
        changes.extend(self.initial_roles(kind, columba_ice::Role::Controlled));
        changes.extend(apply::remote_changes(&remote, &mut self.ice));
        if kind == SdpType::Offer {
            self.roll_back();
            self.pending.remote = Some(remote);
            self.state = SignalingState::HaveRemoteOffer;
        } else {
            self.pending.remote = Some(remote);
            changes.extend(self.answered(false));
            if kind == SdpType::PrAnswer {
                self.state = SignalingState::HaveRemotePrAnswer;
            } else {
                self.settle();
            }
        }
        self.add_state_change(before, &mut changes);
        changes
    }

    /// The side that makes the first offer controls ICE (RFC 8445 §6.1.1).
    fn initial_roles(&self, kind: SdpType, role: columba_ice::Role) -> Vec<Change> {
        let is_initial = kind == SdpType::Offer && self.current.local.is_none();
        let transports = self.ice.iter().filter(|_| is_initial);
        transports.map(|ice| Change::IceRole(ice.transport, role)).collect()
    }

    /// Returns the changes that follow from the pending answer, which is the local side's if `own`.
    fn answered(&mut self, own: bool) -> Vec<Change> {
        let Agreement { local: Some(local), remote: Some(remote), sections } = &mut self.pending else {
            return Vec::new();
        };
        if !own {
            // The answerer may have rejected the section that the offer had tagged.
            for tag in &mut local.tags {
                if let Some(transport) = remote.transport(tag.transport) {
                    tag.index = transport.tag;
                }
            }
        }
        apply::answer_changes(sections, &local.tags, remote, own)
    }

    fn add_state_change(&self, before: SignalingState, changes: &mut Vec<Change>) {
        if self.state != before {
            changes.push(Change::SignalingState(self.state));
        }
    }

    /// Adds a candidate of the other side's, or the end of candidates.
    pub(crate) fn add_candidate(&mut self, init: Option<&IceCandidateInit>) -> Result<Vec<Change>, Error> {
        let remote = self.pending.remote.as_mut().or(self.current.remote.as_mut());
        remote.ok_or(Error::NoRemoteDescription)?.add_candidate(init)
    }

    fn roll_back(&mut self) {
        self.pending = Agreement::default();
        self.created_offer = None;
        self.created_answer = None;
        self.state = SignalingState::Stable;
    }

    /// The pending descriptions become the current ones: both sides agree on the sections that
    /// neither has rejected.
    fn settle(&mut self) {
        let mut agreed = std::mem::take(&mut self.pending);
        self.roll_back();
        if let Some(remote) = &agreed.remote {
            for (section, answered) in agreed.sections.iter_mut().zip(&remote.sections) {
                if answered.is_rejected() {
                    *section = section.rejected();
                }
            }
        }
        self.current = agreed;
        let used = self.current.local.as_ref().map(LocalDescription::ufrags).unwrap_or_default();
        self.to_replace.retain(|ufrag| used.contains(ufrag));
        self.ice.iter_mut().for_each(|ice| ice.restarting = false);
    }

    fn require(&self, operation: &'static str, states: &[SignalingState]) -> Result<(), Error> {
        if self.is_closed() {
            Err(Error::Closed)
        } else if states.contains(&self.state) {
            Ok(())
        } else {
            Err(Error::InvalidState { operation, state: self.state })
        }
    }
}

impl LocalDescription {
    fn ufrags(&self) -> Vec<String> {
        let sections = self.description.media.iter();
        sections.flat_map(|section| section.lines.all::<IceUfrag>().flatten()).map(|ufrag| ufrag.0).collect()
    }
}

/// Sections keep their place (RFC 3264 §8): none goes missing, and only a rejected one may become
/// another.
fn check_order(remote: &RemoteDescription, known: &[Section], is_answer: bool) -> Result<(), Error> {
    let wrong = |mid: Option<&str>, reason: String| remote::wrong(remote.kind, mid, &reason);
    let (found, expected) = (remote.sections.len(), known.len());
    if found < expected || is_answer && found > expected {
        return Err(wrong(None, format!("{found} media sections, where {expected} are known")));
    }
    for (section, known) in remote.sections.iter().zip(known) {
        let is_same = section.mid == known.mid && section.media_kind() == known.media_kind();
        if !is_same && (is_answer || !known.is_rejected()) {
            let reason = format!("it stands where {:?} was", known.mid);
            return Err(wrong(Some(&section.mid), reason));
        }
        if is_answer && known.is_rejected() && !section.is_rejected() {
            return Err(wrong(Some(&section.mid), "it accepts a section that was not offered".to_owned()));
        }
    }
    Ok(())
}

/// Once the other side has shown its certificate, no description may name another one.
fn check_identity(
    remote: &RemoteDescription,
    accepts: impl Fn(TransportId, &[Fingerprint]) -> bool,
) -> Result<(), Error> {
    for transport in &remote.transports {
        if !accepts(transport.id, &transport.description.fingerprints) {
            let mid = remote.sections.get(transport.tag).map(|section| section.mid.as_str());
            let reason = "its fingerprints are not those of the certificate that the other side has shown";
            return Err(remote::wrong(remote.kind, mid, reason));
        }
    }
    Ok(())
}
