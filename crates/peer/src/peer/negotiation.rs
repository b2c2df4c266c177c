//! The exchange of descriptions, and what follows from it for the transports.

use std::time::Instant;

use columba_ice::Role;
use columba_sdp::attributes::{EndOfCandidates, Setup};

use super::{Gathered, Peer};
use crate::description::{OfferOptions, SdpType, SessionDescription};
use crate::error::Error;
use crate::event::Event;
use crate::jsep::{Remote, RemoteData};
use crate::states::SignalingState;

impl Peer {
    /// `createOffer`. Without a data channel, and with none negotiated before, the offer has no media
    /// section.
    ///
    /// # Errors
    /// [`Error::InvalidState`] while the other side's offer is to be answered, [`Error::Closed`].
    pub fn create_offer(&mut self, now: Instant, options: OfferOptions) -> Result<SessionDescription, Error> {
        self.require_open()?;
        let wanted = options.ice_restart || self.negotiation.restart;
        let possible = self.negotiation.remote.is_some() && !self.negotiation.restarted;
        if wanted && possible && self.jsep.state() == SignalingState::Stable {
            self.restart_agent(now);
        }
        self.jsep.create_offer(&self.local_parameters(), self.negotiation.data)
    }

    /// `createAnswer`.
    ///
    /// # Errors
    /// [`Error::InvalidState`] without an offer of the other side's, [`Error::Closed`].
    pub fn create_answer(&mut self, _now: Instant) -> Result<SessionDescription, Error> {
        self.jsep.create_answer(&self.local_parameters(), self.link.is_client())
    }

    /// `setLocalDescription`: sets what was created last. Without a description, or with one without text,
    /// the one that fits the state is created first. Tells what was set.
    ///
    /// # Errors
    /// [`Error::InvalidModification`] if it is not what was created last; [`Error::InvalidState`],
    /// [`Error::Closed`].
    pub fn set_local_description(
        &mut self,
        now: Instant,
        description: Option<SessionDescription>,
    ) -> Result<SessionDescription, Error> {
        self.require_open()?;
        let description = match description {
            Some(description) if description.kind == SdpType::Rollback || !description.sdp.is_empty() => {
                description
            }
            Some(SessionDescription { kind, .. }) => self.create(now, kind)?,
            None => self.create(now, self.fitting_kind())?,
        };
        let initial = self.jsep.is_initial();
        self.jsep.set_local(&description)?;
        self.negotiation.described |= description.kind != SdpType::Rollback;
        if description.kind == SdpType::Offer && initial {
            self.agent.set_role(Role::Controlling);
        }
        if matches!(description.kind, SdpType::Answer | SdpType::PrAnswer) {
            self.take_answer(now);
        }
        let has_data = self.jsep.local().is_some_and(|local| local.data.is_some());
        if has_data && self.agent.gathering_state() == columba_ice::GatheringState::New {
            self.agent.gather(now);
        }
        self.announce_signaling();
        self.progress(now);
        Ok(description)
    }

    /// `setRemoteDescription`. An offer takes back a pending offer of this side's.
    ///
    /// # Errors
    /// [`Error::InvalidDescription`] says what is wrong with it and where; nothing has changed then.
    /// [`Error::InvalidState`] if it does not fit where the exchange stands, [`Error::Closed`].
    pub fn set_remote_description(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), Error> {
        self.require_open()?;
        if description.kind == SdpType::Rollback {
            self.jsep.roll_back_remote()?;
            self.announce_signaling();
            self.progress(now);
            return Ok(());
        }
        let remote = Remote::parse(description.kind, &description.sdp)?;
        let rolls_back = self.jsep.check_remote(&remote)?;
        self.check_identity(&remote)?;
        if rolls_back {
            self.states.signaling = SignalingState::Stable;
            self.events.push_back(Event::SignalingState(SignalingState::Stable));
        }
        if remote.kind == SdpType::Offer && self.jsep.is_initial() {
            self.agent.set_role(Role::Controlled);
        }
        let (kind, data) = (remote.kind, remote.data.clone());
        self.jsep.set_remote(remote);
        if let Some(data) = &data {
            self.take_remote_transport(now, kind, data);
        }
        if kind != SdpType::Offer {
            self.take_answer(now);
        }
        self.announce_signaling();
        self.progress(now);
        Ok(())
    }

    /// `restartIce`: the next offer asks to look for a path anew.
    pub fn restart_ice(&mut self, now: Instant) {
        if self.negotiation.remote.is_some() {
            self.negotiation.restart = true;
            self.progress(now);
        }
    }

    /// `localDescription`, with the candidates found so far.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        let local = self.jsep.local()?;
        let mut description = local.description.clone();
        if let Some(section) = local.data.as_ref().and_then(|data| description.media.get_mut(data.index)) {
            for candidate in &self.gathered.candidates {
                // The agent's candidates print as what they are.
                let _ = section.lines.add(candidate);
            }
            if self.gathered.complete {
                let _ = section.lines.add(&EndOfCandidates);
            }
        }
        Some(SessionDescription { kind: local.kind, sdp: description.to_string() })
    }

    /// `remoteDescription`, with the candidates that came so far.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        let remote = self.jsep.remote()?;
        Some(SessionDescription { kind: remote.kind, sdp: remote.description.to_string() })
    }

    fn create(&mut self, now: Instant, kind: SdpType) -> Result<SessionDescription, Error> {
        match kind {
            SdpType::Offer => self.create_offer(now, OfferOptions::default()),
            kind => Ok(SessionDescription { kind, ..self.create_answer(now)? }),
        }
    }

    /// W3C "setLocalDescription" without a type.
    fn fitting_kind(&self) -> SdpType {
        match self.jsep.state() {
            SignalingState::HaveRemoteOffer | SignalingState::HaveLocalPrAnswer => SdpType::Answer,
            _ => SdpType::Offer,
        }
    }

    /// Once the other side has shown its certificate, no description may say that it is somebody else.
    fn check_identity(&self, remote: &Remote) -> Result<(), Error> {
        let Some(data) = &remote.data else { return Ok(()) };
        if self.link.fits(&data.fingerprints) {
            return Ok(());
        }
        let reason = "its fingerprints are not those of the certificate that the other side has shown";
        Err(Error::InvalidDescription {
            kind: remote.kind,
            line: None,
            mid: Some(data.mid.clone()),
            reason: reason.to_owned(),
        })
    }

    /// The other side's ICE parameters and candidates count at once, also those of an offer (RFC 8829 §5.10).
    fn take_remote_transport(&mut self, now: Instant, kind: SdpType, data: &RemoteData) {
        let changed = self.negotiation.remote.as_ref() != Some(&data.ice.credentials);
        if changed
            && kind == SdpType::Offer
            && self.negotiation.remote.is_some()
            && !self.negotiation.restarted
        {
            self.restart_agent(now);
        }
        if changed || self.negotiation.restarted {
            self.agent.set_remote(now, data.ice.clone());
            self.negotiation.remote = Some(data.ice.credentials.clone());
        }
        let ufrag = data.ice.credentials.ufrag.clone();
        for candidate in &data.candidates {
            self.add_to_agent(now, candidate, &ufrag);
        }
        if data.end_of_candidates {
            self.agent.end_of_remote_candidates(now);
        }
        self.data.set_remote(data.sctp_port, data.max_message_size);
    }

    /// An answer, of whichever side, settles who begins DTLS, and whether there is data at all.
    fn take_answer(&mut self, now: Instant) {
        let local = self.jsep.local();
        let own_answer = local.is_some_and(|local| local.kind != SdpType::Offer);
        let data = self.jsep.remote().and_then(|remote| remote.data.as_ref());
        let (Some(local), Some(data)) = (local.and_then(|local| local.data.as_ref()), data) else {
            if self.negotiation.data
                && self.jsep.remote().is_some_and(|remote| remote.kind == SdpType::Answer)
            {
                // Refused: to offer it again would be refused again.
                self.negotiation.data = false;
                self.data
                    .fail(now, &Error::InvalidChannel { reason: "the other side refuses data channels" });
            }
            return;
        };
        let client = if own_answer {
            local.setup == Setup::Active
        } else {
            // An answer that does not say so is active (RFC 4145 §4.1 has it so).
            data.setup == Some(Setup::Passive)
        };
        self.link.set_role(client, data.fingerprints.clone());
        self.negotiation.data = true;
        if self.jsep.state() == SignalingState::Stable && self.negotiation.restarted {
            self.negotiation.restarted = false;
            self.negotiation.restart = false;
        }
        self.begin_dtls(now);
    }

    fn restart_agent(&mut self, now: Instant) {
        // Servers and policy of a configuration that was set since are taken now.
        let config = super::ice_configuration(&self.configuration).ok();
        self.agent.restart(now, config);
        self.gathered = Gathered::default();
        self.negotiation.restarted = true;
    }

    fn announce_signaling(&mut self) {
        self.negotiation.announced = false;
        if self.states.signaling != self.jsep.state() {
            self.states.signaling = self.jsep.state();
            self.events.push_back(Event::SignalingState(self.states.signaling));
        }
    }
}
