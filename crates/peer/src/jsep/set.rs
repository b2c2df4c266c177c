//! Setting of descriptions (RFC 9429 §5.9, §5.10, §5.11), and rollback (§5.7).
//!
//! A description changes no transport before it is set, and the other side's offer none before it
//! is answered: until then everything that follows from it is only part of the pending description.

use columba_ice::Role;
use columba_sdp::attributes::{Fingerprint, Setup};

use super::apply::{self, Change};
use super::candidates::NotAdded;
use super::media;
use super::remote::{self, RemoteDescription};
use super::rtp;
use super::section::{Section, Sections};
use super::session::{Agreement, Jsep, LocalDescription};
use crate::candidate::IceCandidateInit;
use crate::description::{SdpType, SessionDescription};
use crate::error::Error;
use crate::states::SignalingState;
use crate::transport::TransportId;
use crate::transport::dtls::DtlsRole;

impl Jsep {
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
                return Ok(self.take_back());
            }
        }
        let created = if kind == SdpType::Offer { &mut self.created_offer } else { &mut self.created_answer };
        let Some(created) = created.as_mut().filter(|created| created.is(&description.sdp)) else {
            return Err(Error::InvalidModification { kind });
        };
        created.was_set = true;
        let created = created.clone();
        let before = self.state;
        let local = LocalDescription { kind, ..created.local };
        local.tags.iter().for_each(|tag| self.transport_ids.given(tag.transport));
        let mut changes: Vec<_> = local.tags.iter().map(apply::local_ice).collect();
        changes.extend(self.replaced_transports(&local));
        let gathering: Vec<_> = local.tags.iter().map(|tag| Change::Gather(tag.transport)).collect();
        self.version += 1;
        self.was_described = true;
        self.pending.local = Some(local);
        self.pending.sections = Sections::new(created.sections);
        let mut tracks = media::set_local(&mut self.media, kind, &self.pending.sections);
        if kind == SdpType::Offer {
            self.state = State::HaveLocalOffer;
        } else {
            changes.extend(self.answered(true, None));
            if kind == SdpType::PrAnswer {
                self.state = State::HaveLocalPrAnswer;
            } else {
                tracks.extend(self.settle());
            }
        }
        changes.extend(gathering);
        self.add_state_change(before, &mut changes);
        changes.extend(tracks);
        Ok(changes)
    }

    /// Sets a description of the other side's (RFC 9429 §5.10). `accepts` returns false if a
    /// transport's other side has shown another certificate than these, `role` the role in DTLS, if
    /// it is settled. If there is an error, nothing has changed.
    pub(crate) fn set_remote(
        &mut self,
        description: &SessionDescription,
        accepts: impl Fn(TransportId, &[Fingerprint]) -> bool,
        role: impl Fn(TransportId) -> Option<DtlsRole>,
    ) -> Result<Vec<Change>, Error> {
        use SignalingState as State;
        let operation = "set_remote_description";
        let kind = description.kind;
        let is_offer = kind == SdpType::Offer;
        match kind {
            SdpType::Rollback => {
                self.require(operation, &[State::HaveRemoteOffer])?;
                return Ok(self.take_back());
            }
            SdpType::Offer => {
                self.require(operation, &[State::Stable, State::HaveRemoteOffer, State::HaveLocalOffer])?;
            }
            SdpType::Answer | SdpType::PrAnswer => {
                self.require(operation, &[State::HaveLocalOffer, State::HaveRemotePrAnswer])?;
            }
        }
        let known = if is_offer { &self.current.sections } else { &self.pending.sections };
        let used = self.current.sections.iter().map(|section| section.transport);
        let ids = self.transport_ids.without(used);
        let mut remote = RemoteDescription::read(kind, &description.sdp, known, ids)?;
        check_order(&remote, known, !is_offer)?;
        for transport in &remote.transports {
            rtp::check_bundle(
                kind,
                remote.sections.iter().filter(|one| one.transport == Some(transport.id)),
            )?;
        }
        if !is_offer {
            media::check_answer(kind, known, &remote.sections)?;
        }
        if !is_offer {
            self.check_credentials(&remote)?;
        }
        self.check_identity(&mut remote, accepts, role)?;
        Ok(self.apply_remote(remote))
    }

    /// Finds the transports that need a new DTLS association (RFC 8842 §4): where the other side
    /// shows another certificate or another `a=tls-id` together with an ICE restart. Without a
    /// restart it is an error.
    fn check_identity(
        &self,
        remote: &mut RemoteDescription,
        accepts: impl Fn(TransportId, &[Fingerprint]) -> bool,
        role: impl Fn(TransportId) -> Option<DtlsRole>,
    ) -> Result<(), Error> {
        // A provisional answer counts before the current description; an offer replaces another.
        let pending = self.pending.remote.as_ref().filter(|_| remote.kind != SdpType::Offer);
        let before = [pending, self.current.remote.as_ref()];
        for index in 0..remote.transports.len() {
            let transport = &remote.transports[index];
            let (id, description) = (transport.id, &transport.description);
            let known = before.into_iter().flatten().find_map(|one| one.transport(id));
            let known_id = known.and_then(|known| known.description.tls_id.as_ref());
            let is_other_id =
                known_id.zip(description.tls_id.as_ref()).is_some_and(|(known, new)| known != new);
            let mid = remote.sections.get(transport.tag).map(|section| section.mid.as_str());
            let accepted = accepts(id, &description.fingerprints);
            if !self.is_restarted(remote, id) && (is_other_id || !accepted) {
                let reason = if accepted {
                    "it has another a=tls-id, and does not restart ICE"
                } else {
                    "its fingerprints are not those of the certificate that the other side has shown, and \
                     it does not restart ICE"
                };
                return Err(remote::wrong(remote.kind, mid, reason));
            }
            let is_renewed = is_other_id || !accepted;
            let conflict = matches!(
                (role(id).filter(|_| !is_renewed), &description.setup),
                (Some(DtlsRole::Client), Some(Setup::Active))
                    | (Some(DtlsRole::Server), Some(Setup::Passive))
            );
            if conflict && remote.kind == SdpType::Offer {
                let reason = "its a=setup is the local side's role in the DTLS association that runs";
                return Err(remote::wrong(remote.kind, mid, reason));
            }
            remote.transports[index].is_renewed = is_renewed;
        }
        Ok(())
    }

    fn apply_remote(&mut self, remote: RemoteDescription) -> Vec<Change> {
        let kind = remote.kind;
        let mut changes = Vec::new();
        if kind == SdpType::Offer && self.state == SignalingState::HaveLocalOffer {
            changes = self.take_back();
        }
        let before = self.state;
        remote.transports.iter().for_each(|transport| self.transport_ids.given(transport.id));
        let own = &*self.pending.sections;
        let mut tracks = media::set_remote(&mut self.media, kind, &remote.sections, own);
        if kind == SdpType::Offer {
            self.roll_back();
            changes.extend(self.offered(remote));
            self.state = SignalingState::HaveRemoteOffer;
        } else {
            let provisional = self.pending.remote.replace(remote);
            changes.extend(self.answered(false, provisional));
            if kind == SdpType::PrAnswer {
                self.state = SignalingState::HaveRemotePrAnswer;
            } else {
                tracks.extend(self.settle());
            }
        }
        self.add_state_change(before, &mut changes);
        changes.extend(tracks);
        changes
    }

    /// The other side's offer is pending. Only what it says of sessions of ICE that run has
    /// consequences at once: their candidates.
    fn offered(&mut self, mut remote: RemoteDescription) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some(current) = &self.current.remote {
            for transport in &mut remote.transports {
                if current.credentials(transport.id) == Some(&transport.description.ice.credentials) {
                    transport.apply_candidates(Some(current), &mut changes);
                }
            }
        }
        self.pending.remote = Some(remote);
        changes
    }

    /// Returns the changes that follow from the pending answer, which is the local side's if `own`.
    /// `provisional` is the other side's answer before.
    fn answered(&mut self, own: bool, provisional: Option<RemoteDescription>) -> Vec<Change> {
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
        let mut changes = Vec::new();
        // The side that makes the first offer controls ICE (RFC 8445 §6.1.1).
        let role = if own { Role::Controlled } else { Role::Controlling };
        // The local side may have rejected all sections of a transport.
        let is_used = |id: TransportId| local.tags.iter().any(|tag| tag.transport == id);
        let known = [provisional.as_ref(), self.current.remote.as_ref()];
        let role = self.role.unwrap_or(role);
        for transport in remote.transports.iter_mut().filter(|transport| is_used(transport.id)) {
            let mut known = known.into_iter().flatten();
            if !transport.is_applied && !known.any(|known| known.transport(transport.id).is_some()) {
                changes.push(Change::IceRole(transport.id, role));
            }
            changes.push(Change::Extensions(transport.id, transport.description.extensions));
            changes.push(Change::RemoteIce(transport.id, transport.description.ice.clone()));
            transport.apply_candidates(provisional.as_ref().or(self.current.remote.as_ref()), &mut changes);
        }
        if remote.transports.iter().any(|transport| is_used(transport.id)) {
            self.role = Some(role);
        }
        changes.extend(apply::answer_changes(sections, &local.tags, remote, own));
        let kind = if own { local.kind } else { remote.kind };
        if kind == SdpType::Answer {
            let is_data = |section: &Section| section.application().is_some();
            let had_data = self.current.sections.iter().any(is_data);
            let has_own = sections.iter().any(is_data);
            let is_agreed = has_own && remote.application().is_some();
            if !is_agreed && (had_data || has_own) {
                changes.push(Change::DataEnded { refused: !had_data });
            }
            let before = self.current.local.iter().flat_map(|local| &local.tags);
            let mut unused: Vec<_> = before.chain(&local.tags).map(|tag| tag.transport).collect();
            unused.retain(|id| remote.transport(*id).is_none() || !is_used(*id));
            unused.sort_unstable();
            unused.dedup();
            local.tags.retain(|tag| !unused.contains(&tag.transport));
            unused.iter().for_each(|id| self.transport_ids.ended(*id));
            changes.extend(unused.into_iter().map(Change::Unused));
        }
        changes
    }

    fn add_state_change(&self, before: SignalingState, changes: &mut Vec<Change>) {
        if self.state != before {
            changes.push(Change::SignalingState(self.state));
        }
    }

    /// Adds a candidate of the other side's, or the end of candidates, to the description whose
    /// generation it names, else to the one that counts (W3C `addIceCandidate`).
    pub(crate) fn add_candidate(&mut self, init: Option<&IceCandidateInit>) -> Result<Vec<Change>, Error> {
        // W3C `addIceCandidate` step 3 comes before the state is looked at.
        if init.is_some_and(IceCandidateInit::lacks_section) {
            return Err(Error::CandidateWithoutSection);
        }
        let (pending, current) = (self.pending.remote.as_mut(), self.current.remote.as_mut());
        match (pending, current) {
            (Some(pending), Some(current)) => match pending.add_candidate(init) {
                Err(NotAdded::OtherGeneration) => current.add_candidate(init),
                result => result,
            },
            (Some(remote), None) | (None, Some(remote)) => remote.add_candidate(init),
            (None, None) => return Err(Error::NoRemoteDescription),
        }
        .map_err(Error::from)
    }

    /// Takes the pending offer back, and with it what it did to transceivers.
    fn take_back(&mut self) -> Vec<Change> {
        let of_remote = self.state == SignalingState::HaveRemoteOffer;
        let mut changes = self.roll_back();
        changes.extend(media::roll_back(&mut self.media, of_remote));
        self.check_media();
        changes
    }

    /// Takes the pending descriptions back. What was created stays: the offer may be set again.
    fn roll_back(&mut self) -> Vec<Change> {
        let pending = std::mem::take(&mut self.pending);
        // It answers an offer that is gone.
        self.created_answer = None;
        let before = std::mem::replace(&mut self.state, SignalingState::Stable);
        let tags = pending.local.into_iter().flat_map(|local| local.tags);
        // The first one waits for another section, with its candidate pool.
        let is_new = |id| id != TransportId::FIRST && !self.is_agreed(id);
        let change = |id| if is_new(id) { Change::Unused(id) } else { Change::RollBack(id) };
        let mut changes: Vec<_> = tags.map(|tag| change(tag.transport)).collect();
        self.add_state_change(before, &mut changes);
        changes
    }

    /// Returns true if the current descriptions use a transport.
    fn is_agreed(&self, id: TransportId) -> bool {
        self.current.local.as_ref().is_some_and(|local| local.tag(id).is_some())
    }

    /// Returns the ends of transports of a pending offer that another offer replaces without them.
    fn replaced_transports(&self, offer: &LocalDescription) -> Vec<Change> {
        let replaced = self.pending.local.iter().filter(|_| offer.kind == SdpType::Offer);
        let ids = replaced.flat_map(|local| &local.tags).map(|tag| tag.transport);
        ids.filter(|id| offer.tag(*id).is_none() && !self.is_agreed(*id)).map(Change::Unused).collect()
    }

    /// The pending descriptions become the current ones: both sides agree on the sections that
    /// neither has rejected.
    fn settle(&mut self) -> Vec<Change> {
        let mut agreed = std::mem::take(&mut self.pending);
        (self.created_offer, self.created_answer) = (None, None);
        self.state = SignalingState::Stable;
        if let Some(remote) = &agreed.remote {
            for (section, answered) in agreed.sections.iter_mut().zip(&remote.sections) {
                if answered.is_rejected() {
                    *section = section.rejected();
                } else if !section.is_rejected() {
                    (section.transport, section.bundle) = (answered.transport, answered.bundle);
                    section.is_bundle_only = false;
                }
            }
        }
        let remote = agreed.remote.as_ref().map(|remote| remote.sections.as_slice()).unwrap_or_default();
        let tracks = media::settle(&mut self.media, &mut self.numbers, &agreed.sections, remote);
        self.current = agreed;
        self.check_media();
        let used = self.current.local.as_ref().map(LocalDescription::ufrags).unwrap_or_default();
        self.to_replace.retain(|ufrag| used.contains(ufrag));
        self.outdated.retain(|ufrag| used.contains(ufrag));
        tracks
    }

    /// An answer changes the credentials of a transport if the offer did, and only then (RFC 8839
    /// §4.4.1.1.1, §4.4.2.1).
    fn check_credentials(&self, answer: &RemoteDescription) -> Result<(), Error> {
        let (Some(current), Some(offer)) = (&self.current.local, &self.pending.local) else { return Ok(()) };
        for transport in &answer.transports {
            let id = transport.id;
            let credentials = |local: &LocalDescription| local.tag(id).map(|tag| tag.credentials.clone());
            let Some(before) = credentials(current) else { continue };
            let offered = credentials(offer) != Some(before);
            let reason = match (offered, self.is_restarted(answer, id)) {
                (true, false) => "the offer has restarted ICE, and the answer keeps its credentials",
                (false, true) => "the answer has new ICE credentials, and the offer has not restarted ICE",
                _ => continue,
            };
            let mid = answer.sections.get(transport.tag).map(|section| section.mid.as_str());
            return Err(remote::wrong(answer.kind, mid, reason));
        }
        Ok(())
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
