//! The state machine of offers and answers (RFC 9429 §3.2, §4.1): its state, and the making of
//! descriptions. They are set in `set.rs`.

use columba_ice::{Credentials, Role};
use columba_sdp::Candidate;
use columba_sdp::attributes::{EndOfCandidates, IceOptions, Origin};

use super::media::{self, Negotiated};
use super::remote::{self, RemoteDescription};
use super::rtp::Numbers;
use super::section::{Kind, Section, Sections};
use super::transport::{Extensions, TransportDescription};
use super::transports::TransportIds;
use super::write::{self, LocalParameters, Tag};
use super::{answer, default_candidate, offer};
use crate::description::{OfferOptions, SdpType, SessionDescription};
use crate::error::Error;
use crate::media::{TransceiverId, Transceivers};
use crate::states::SignalingState;
use crate::transport::TransportId;

/// The state of the exchange, and the descriptions that were agreed.
#[derive(Debug)]
pub(crate) struct Jsep {
    pub(super) state: SignalingState,
    session_id: u64,
    /// The version of the next description.
    pub(super) version: u64,
    /// The W3C's `[[LastCreatedOffer]]`.
    pub(super) created_offer: Option<Created>,
    /// The W3C's `[[LastCreatedAnswer]]`.
    pub(super) created_answer: Option<Created>,
    pub(super) current: Agreement,
    pub(super) pending: Agreement,
    /// The role in ICE, once the first answer was set: the side that makes the first offer controls
    /// (RFC 8445 §6.1.1).
    pub(super) role: Option<Role>,
    /// The names of further transports.
    pub(super) transport_ids: TransportIds,
    /// User name fragments that the next offer replaces: the W3C's
    /// `[[LocalIceCredentialsToReplace]]`.
    pub(super) to_replace: Vec<String>,
    /// User name fragments under which candidates were gathered with other servers or another
    /// policy than the configuration has now: RFC 9429's "needs-ice-restart" bit (§4.1.18).
    pub(super) outdated: Vec<String>,
    /// A local description was set, even if it was rolled back since.
    pub(super) was_described: bool,
    pub(super) media: Transceivers,
    /// The payload types and numbers of header extensions that were agreed.
    pub(super) numbers: Numbers,
    /// A transceiver is not as the current descriptions say.
    media_changed: bool,
}

/// The stages of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The pending one, else the current one.
    Latest,
    /// The one that was agreed.
    Current,
    /// The one that is being negotiated.
    Pending,
}

/// The sections that the application wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// A section for data.
    pub(crate) data: bool,
}

/// Both sides' descriptions of one exchange.
#[derive(Clone, Debug, Default)]
pub(super) struct Agreement {
    pub(super) local: Option<LocalDescription>,
    pub(super) remote: Option<RemoteDescription>,
    /// The sections as the local side describes them.
    pub(super) sections: Sections,
}

/// A local description that was created and perhaps never set.
#[derive(Clone, Debug)]
pub(super) struct Created {
    text: String,
    pub(super) local: LocalDescription,
    pub(super) sections: Vec<Section>,
    /// It was set, and is not implied by a later call any more.
    pub(super) was_set: bool,
}

/// A local description.
#[derive(Clone, Debug)]
pub(super) struct LocalDescription {
    pub(super) kind: SdpType,
    pub(super) description: columba_sdp::SessionDescription,
    /// The section of each transport that carries its candidates, and its credentials.
    pub(super) tags: Vec<Tag>,
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
            role: None,
            transport_ids: TransportIds::new(),
            to_replace: Vec::new(),
            outdated: Vec::new(),
            was_described: false,
            media: Transceivers::new(session_id),
            numbers: Numbers::default(),
            media_changed: false,
        }
    }

    pub(crate) fn media(&self) -> &Transceivers {
        &self.media
    }

    /// Lets the application change transceivers.
    pub(crate) fn change_media<R>(&mut self, change: impl FnOnce(&mut Transceivers) -> R) -> R {
        let result = change(&mut self.media);
        self.check_media();
        result
    }

    /// Mutes the track of a receiver, or no longer; false if it was so already.
    pub(crate) fn change_receiver(&mut self, id: TransceiverId, muted: bool) -> bool {
        self.media.set_muted(id, muted)
    }

    /// Compares the transceivers with the current descriptions.
    pub(super) fn check_media(&mut self) {
        let (local, remote) = (self.current.local.as_ref(), self.current.remote.as_ref());
        let remote = remote.map(|remote| remote.sections.as_slice()).unwrap_or_default();
        let kind = local.map(|local| local.kind);
        self.media_changed = media::needs_negotiation(&self.media, kind, &self.current.sections, remote);
    }

    /// Returns what both sides have agreed on for a section and a direction; while the first offer
    /// is pending, what the local side can receive.
    pub(crate) fn negotiated(&self, mid: &str, sends: bool) -> Negotiated {
        let agreement = if self.current.local.is_some() { &self.current } else { &self.pending };
        let Some(index) = agreement.sections.place(mid) else { return Negotiated::default() };
        let local = &agreement.sections[index];
        let remote = agreement.remote.as_ref().and_then(|remote| remote.sections.get(index));
        match remote {
            Some(remote) if sends => media::negotiated(remote, Some(local), None),
            None if sends => Negotiated::default(),
            remote => media::negotiated(local, remote, remote.and_then(Section::cname)),
        }
    }

    fn offered_sections(&self, local: &LocalParameters<'_>, wanted: Wanted) -> Vec<Section> {
        let (size, mut numbers) = (local.max_message_size, self.numbers.clone());
        let known = offer::Known {
            current: &self.current.sections,
            pending: &self.pending.sections,
            transport_ids: &self.transport_ids,
        };
        let mut sections =
            offer::sections(known, wanted, size, local.bundle_policy, &self.media, &mut numbers);
        for section in &mut sections {
            if let Kind::Application(data) = &mut section.kind {
                data.init.clone_from(&local.sctp_init);
            }
        }
        sections
    }

    /// Returns the transport of a section, as the local descriptions and the answers that were set
    /// have it: the W3C's `[[SenderTransport]]`.
    pub(crate) fn section_transport(&self, mid: &str) -> Option<TransportId> {
        let of = |sections: &Sections, answered: Option<&RemoteDescription>| {
            let index = sections.place(mid)?;
            let answered = answered.and_then(|remote| remote.sections.get(index));
            answered.unwrap_or(&sections[index]).transport
        };
        match &self.pending.local {
            Some(_) => of(&self.pending.sections, self.pending.remote.as_ref()),
            None => of(&self.current.sections, None),
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
        self.media.close();
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

    /// Returns a local description. `candidates` returns the candidates of a transport under
    /// credentials, and whether they are complete.
    pub(crate) fn local_description(
        &self,
        stage: Stage,
        candidates: impl Fn(TransportId, &Credentials) -> Option<(Vec<Candidate>, bool)>,
    ) -> Option<SessionDescription> {
        let local = match stage {
            Stage::Latest => self.local(),
            Stage::Current => self.current.local.as_ref(),
            Stage::Pending => self.pending.local.as_ref(),
        }?;
        let mut description = local.description.clone();
        for tag in &local.tags {
            let Some((found, is_complete)) = candidates(tag.transport, &tag.credentials) else { continue };
            default_candidate::write(&mut description, &tag.credentials, &found);
            let Some(section) = description.media.get_mut(tag.index) else { continue };
            for candidate in &found {
                // The agent's candidates can be written.
                let _ = section.lines.add(candidate);
            }
            if is_complete {
                let _ = section.lines.add(&EndOfCandidates);
            }
        }
        Some(SessionDescription { kind: local.kind, sdp: description.to_string() })
    }

    /// Returns a description of the other side's.
    pub(crate) fn remote_description(&self, stage: Stage) -> Option<SessionDescription> {
        let remote = match stage {
            Stage::Latest => self.remote(),
            Stage::Current => self.current.remote.as_ref(),
            Stage::Pending => self.pending.remote.as_ref(),
        }?;
        Some(SessionDescription { kind: remote.kind, sdp: remote.description.to_string() })
    }

    /// Returns what the other side's description says of a transport.
    pub(crate) fn remote_transport(&self, id: TransportId) -> Option<&TransportDescription> {
        self.remote()?.transport(id).map(|transport| &transport.description)
    }

    /// Returns the candidates of a transport in the other side's description.
    pub(crate) fn remote_candidates(&self, id: TransportId) -> Vec<Candidate> {
        self.remote().map(|remote| remote.candidates(id)).unwrap_or_default()
    }

    /// Returns the local credentials of a transport in the description that counts.
    pub(crate) fn local_credentials(&self, id: TransportId) -> Option<&Credentials> {
        self.local()?.tag(id).map(|tag| &tag.credentials)
    }

    /// Returns `canTrickleIceCandidates`.
    pub(crate) fn can_trickle(&self) -> Option<bool> {
        let description = &self.remote()?.description;
        let session = description.lines.get::<IceOptions>().ok().flatten();
        let sections = description.media.iter();
        let mut all = session.into_iter().chain(sections.filter_map(|one| one.lines.get().ok().flatten()));
        Some(all.any(|options| options.contains(IceOptions::TRICKLE)))
    }

    /// Returns true if roles in ICE are settled, or this side has offered first.
    pub(crate) fn has_ice_role(&self) -> bool {
        self.role.is_some() || self.pending.local.is_some()
    }

    /// Returns name and index of the section to which the candidates of a transport belong.
    pub(crate) fn candidate_section(&self, transport: TransportId) -> Option<(&str, usize)> {
        let local = self.local()?;
        let index = local.tag(transport)?.index;
        Some((local.description.media.get(index)?.mid()?, index))
    }

    /// Returns the transport of a section of the local description.
    pub(crate) fn transport_of(&self, mid: &str) -> Option<TransportId> {
        let of = |sections: &Sections| sections[sections.place(mid)?].transport;
        [&self.pending, &self.current].into_iter().find_map(|one| of(&one.sections))
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
        self.state == SignalingState::Stable
            && (self.wants_restart() || wanted.data && !has_data || self.media_changed)
    }

    /// Returns true if the current local description has credentials that are to be replaced.
    fn wants_restart(&self) -> bool {
        let tags = self.current.local.as_ref().map(|local| local.tags.as_slice()).unwrap_or_default();
        let is_used = |ufrag: &String| tags.iter().any(|tag| *tag.credentials.ufrag == **ufrag);
        self.to_replace.iter().any(is_used)
    }

    /// `restartIce`: the next offer replaces the credentials of both local descriptions.
    pub(crate) fn restart_ice(&mut self) {
        self.to_replace = self.used_ufrags();
    }

    /// Servers or policy are others from now on: the next offer restarts ICE, but none is needed
    /// because of it.
    pub(crate) fn outdate(&mut self) {
        self.outdated = self.used_ufrags();
    }

    /// Returns whether the next offer replaces these credentials, and so restarts ICE.
    fn is_replaced(&self, tag: &Tag) -> bool {
        let mut replaced = self.to_replace.iter().chain(&self.outdated);
        replaced.any(|one| *one == *tag.credentials.ufrag)
    }

    fn used_ufrags(&self) -> Vec<String> {
        let descriptions = [&self.current.local, &self.pending.local].into_iter().flatten();
        descriptions.flat_map(LocalDescription::ufrags).collect()
    }

    /// RFC 9429 §5.2. Without anything to negotiate the offer has no section. New credentials are
    /// those of `local`; no transport has them before the offer is set.
    pub(crate) fn create_offer(
        &mut self,
        local: &mut LocalParameters<'_>,
        wanted: Wanted,
        options: OfferOptions,
    ) -> Result<SessionDescription, Error> {
        use SignalingState as State;
        self.require("create_offer", &[State::Stable, State::HaveLocalOffer])?;
        let sections = self.offered_sections(local, wanted);
        let known = self.current.local.as_ref().map(|local| local.tags.as_slice()).unwrap_or_default();
        let used = |id| self.local().and_then(|local| local.tag(id));
        // All restart, or none: Firefox refuses an offer with some of both.
        let mut running = sections.iter().filter_map(|section| used(section.transport?));
        let restarts = options.ice_restart || running.any(|tag| self.is_replaced(tag));
        let tags = offer::tags(&sections, known, used, restarts, local);
        let created = self.create(SdpType::Offer, sections, tags, local)?;
        let text = created.text.clone();
        self.created_offer = Some(created);
        Ok(SessionDescription::offer(text))
    }

    /// Returns the offer that `setLocalDescription` without one sets: the one that was created
    /// last, as long as it was not set, and nothing has changed since.
    pub(crate) fn last_offer(
        &self,
        local: &LocalParameters<'_>,
        wanted: Wanted,
    ) -> Option<SessionDescription> {
        let created = self.created_offer.as_ref().filter(|created| !created.was_set)?;
        let sections = self.offered_sections(local, wanted);
        let is_replaced = created.local.tags.iter().any(|tag| self.is_replaced(tag));
        let is_accurate = created.sections == sections && !is_replaced;
        is_accurate.then(|| SessionDescription::offer(created.text.clone()))
    }

    /// RFC 9429 §5.3. Credentials are new for a transport that the offer restarts.
    pub(crate) fn create_answer(
        &mut self,
        local: &mut LocalParameters<'_>,
    ) -> Result<SessionDescription, Error> {
        use SignalingState as State;
        let state = self.state;
        self.require("create_answer", &[State::HaveRemoteOffer, State::HaveLocalPrAnswer])?;
        let offer = self.pending.remote.as_ref();
        let offer = offer.ok_or(Error::InvalidState { operation: "create_answer", state })?;
        let mut numbers = self.numbers.clone();
        let (size, policy) = (local.max_message_size, local.bundle_policy);
        let init = local.sctp_init.as_ref();
        let sections = answer::sections(offer, size, init, policy, &self.media, &mut numbers);
        // They are written once for all transports.
        local.transport.extensions = offer
            .transports
            .iter()
            .map(|transport| transport.description.extensions)
            .fold(local.transport.extensions, Extensions::common);
        let mut tags = answer::tags(offer, &sections, local);
        for tag in &mut tags {
            let provisional = self.pending.local.as_ref();
            let kept = self.current.local.as_ref().filter(|_| !self.is_restarted(offer, tag.transport));
            if let Some(known) = provisional.or(kept).and_then(|known| known.tag(tag.transport)) {
                tag.credentials = known.credentials.clone();
            }
            let is_renewed = offer.transport(tag.transport).is_some_and(|transport| transport.is_renewed);
            let current = self.current.local.as_ref().filter(|_| !is_renewed);
            if let Some(known) = provisional.or(current).and_then(|known| known.tag(tag.transport)) {
                tag.tls_id.clone_from(&known.tls_id);
            }
        }
        let created = self.create(SdpType::Answer, sections, tags, local)?;
        let text = created.text.clone();
        self.created_answer = Some(created);
        Ok(SessionDescription::answer(text))
    }

    /// Returns true if the other side's description has other credentials for a transport than the
    /// current one (RFC 8839 §4.4.1.1.1).
    pub(super) fn is_restarted(&self, remote: &RemoteDescription, id: TransportId) -> bool {
        let current = self.current.remote.as_ref().and_then(|remote| remote.credentials(id));
        current != remote.credentials(id)
    }

    fn create(
        &self,
        kind: SdpType,
        sections: Vec<Section>,
        tags: Vec<Tag>,
        local: &LocalParameters<'_>,
    ) -> Result<Created, Error> {
        let origin = Origin::new(self.session_id, self.version);
        // Only a name of the other side's could be unprintable, and those were read.
        let description = write::write(origin, &sections, &tags, local)
            .map_err(|error| remote::wrong(kind, None, &error.to_string()))?;
        let text = description.to_string();
        let local = LocalDescription { kind, description, tags };
        Ok(Created { text, local, sections, was_set: false })
    }

    pub(super) fn require(&self, operation: &'static str, states: &[SignalingState]) -> Result<(), Error> {
        if self.is_closed() {
            Err(Error::Closed)
        } else if states.contains(&self.state) {
            Ok(())
        } else {
            Err(Error::InvalidState { operation, state: self.state })
        }
    }
}

impl Created {
    /// Returns true if this is the description, with or without the candidates that were found
    /// since.
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text || essence(&self.text).eq(essence(text))
    }
}

/// The lines of a description but for what candidates change: of an `m=` line the port, unless it
/// is 0.
fn essence(text: &str) -> impl Iterator<Item = (&str, &str, bool)> {
    let is_fixed = |line: &&str| {
        !["a=candidate:", "a=end-of-candidates", "c="].iter().any(|prefix| line.starts_with(prefix))
    };
    text.lines().filter(is_fixed).map(|line| {
        let media = line.strip_prefix("m=").and_then(|media| media.split_once(' '));
        match media.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
            Some((kind, (port, formats))) => (kind, formats, port == "0"),
            None => (line, "", false),
        }
    })
}

impl LocalDescription {
    pub(super) fn tag(&self, transport: TransportId) -> Option<&Tag> {
        self.tags.iter().find(|tag| tag.transport == transport)
    }

    pub(super) fn ufrags(&self) -> Vec<String> {
        self.tags.iter().map(|tag| tag.credentials.ufrag.to_string()).collect()
    }
}
