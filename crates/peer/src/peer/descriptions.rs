//! The exchange of descriptions.

use std::time::Instant;

use columba_ice::{Credentials, RemoteParameters};
use columba_sdp::attributes::TlsId;

use super::Peer;
use crate::configuration::{Configuration, DtlsVersions, PostQuantum};
use crate::description::{OfferOptions, SdpType, SessionDescription};
use crate::error::Error;
use crate::jsep::candidate::to_sdp;
use crate::jsep::{Extensions, Jsep, LocalParameters, Stage, TransportDescription, Wanted};
use crate::transport::Transport;

impl Peer {
    /// `createOffer`. Without transceivers and data channels, and with nothing negotiated before,
    /// the offer has no media section. Nothing changes before the offer is set: an ICE restart
    /// begins then.
    ///
    /// # Errors
    /// [`Error::InvalidState`] while an offer is to be answered, or an answer is provisional;
    /// [`Error::Closed`].
    pub fn create_offer(
        &mut self,
        _now: Instant,
        options: OfferOptions,
    ) -> Result<SessionDescription, Error> {
        self.require_open()?;
        let wanted = self.wanted();
        let (mut local, jsep) = self.local_parameters();
        jsep.create_offer(&mut local, wanted, options)
    }

    /// `createAnswer`. Sections of audio and video that the application has not asked for are
    /// accepted without media in either direction.
    ///
    /// # Errors
    /// [`Error::InvalidState`] without an offer of the other side's, [`Error::Closed`].
    pub fn create_answer(&mut self, _now: Instant) -> Result<SessionDescription, Error> {
        let (mut local, jsep) = self.local_parameters();
        jsep.create_answer(&mut local)
    }

    /// `setLocalDescription`: sets the description that was created last. Without a description, or
    /// with one without text, it is the offer that was created last and still holds, else the one
    /// that fits the state is created first. Returns the description with the candidates known so
    /// far, to be sent to the other side; those that follow are announced by
    /// [`Event::IceCandidate`](crate::Event::IceCandidate).
    ///
    /// # Errors
    /// [`Error::InvalidModification`] if it is not the one that was created last, candidates apart;
    /// [`Error::InvalidState`], [`Error::Closed`].
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
            None => self.create(now, self.jsep.implicit_kind())?,
        };
        let changes = self.jsep.set_local(&description)?;
        self.states.negotiation_needed = false;
        self.execute(now, changes);
        self.progress(now);
        Ok(self.local_description().filter(|set| set.kind == description.kind).unwrap_or(description))
    }

    /// `setRemoteDescription`. An offer takes back a pending local offer.
    ///
    /// # Errors
    /// [`Error::InvalidDescription`] says what is wrong with it and where; nothing has changed
    /// then. [`Error::InvalidState`] if it does not fit the signaling state, [`Error::Closed`].
    pub fn set_remote_description(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), Error> {
        self.require_open()?;
        let transports = &self.transports;
        let find = |id| transports.iter().find(|transport: &&Transport| transport.id() == id);
        let changes = self.jsep.set_remote(
            &description,
            |id, fingerprints| find(id).is_none_or(|transport| transport.accepts(fingerprints)),
            |id| find(id).and_then(Transport::dtls_role),
        )?;
        self.states.negotiation_needed = false;
        self.execute(now, changes);
        self.progress(now);
        Ok(())
    }

    /// `restartIce`: the next offer has new ICE credentials, so that the peers look for a path
    /// anew.
    pub fn restart_ice(&mut self, now: Instant) {
        self.jsep.restart_ice();
        self.progress(now);
    }

    /// `localDescription`, with the candidates found so far.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        self.local_description_at(Stage::Latest)
    }

    /// `currentLocalDescription`: the one that was agreed last.
    #[must_use]
    pub fn current_local_description(&self) -> Option<SessionDescription> {
        self.local_description_at(Stage::Current)
    }

    /// `pendingLocalDescription`: the one that is being negotiated.
    #[must_use]
    pub fn pending_local_description(&self) -> Option<SessionDescription> {
        self.local_description_at(Stage::Pending)
    }

    fn local_description_at(&self, stage: Stage) -> Option<SessionDescription> {
        self.jsep.local_description(stage, |id, credentials| {
            let transport = self.transports.iter().find(|transport| transport.id() == id)?;
            let candidates = transport.candidates(credentials)?;
            Some((candidates.found.iter().map(to_sdp).collect(), candidates.is_complete))
        })
    }

    /// `remoteDescription`, with the candidates that came so far.
    #[must_use]
    pub fn remote_description(&self) -> Option<SessionDescription> {
        self.jsep.remote_description(Stage::Latest)
    }

    /// `currentRemoteDescription`: the one that was agreed last.
    #[must_use]
    pub fn current_remote_description(&self) -> Option<SessionDescription> {
        self.jsep.remote_description(Stage::Current)
    }

    /// `pendingRemoteDescription`: the one that is being negotiated.
    #[must_use]
    pub fn pending_remote_description(&self) -> Option<SessionDescription> {
        self.jsep.remote_description(Stage::Pending)
    }

    /// `canTrickleIceCandidates`: whether the other side takes candidates that come later; `None`
    /// without a description of its.
    #[must_use]
    pub fn can_trickle_ice_candidates(&self) -> Option<bool> {
        self.jsep.can_trickle()
    }

    /// W3C "check if negotiation is needed": true if an offer is to be made now. It depends on
    /// nothing but the state of the connection, and changes nothing.
    #[must_use]
    pub fn is_negotiation_needed(&self) -> bool {
        self.jsep.needs_negotiation(self.wanted())
    }

    fn create(&mut self, now: Instant, kind: SdpType) -> Result<SessionDescription, Error> {
        match kind {
            SdpType::Offer => {
                let wanted = self.wanted();
                let (local, jsep) = self.local_parameters();
                let last = jsep.last_offer(&local, wanted);
                drop(local);
                match last {
                    Some(offer) => Ok(offer),
                    None => self.create_offer(now, OfferOptions::default()),
                }
            }
            kind => Ok(SessionDescription { kind, ..self.create_answer(now)? }),
        }
    }

    /// Returns the sections that the application wants.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted { data: self.data.is_wanted() }
    }

    /// Returns the parameters that descriptions are made of, and what makes them.
    fn local_parameters(&mut self) -> (LocalParameters<'_>, &mut Jsep) {
        let Self { configuration, certificate, rng, jsep, transports, data, .. } = self;
        let ice = RemoteParameters {
            // Each transport has its own.
            credentials: Credentials { ufrag: "".into(), pwd: "".into() },
            lite: configuration.ice.lite,
            trickle: true,
            renomination: configuration.ice.renomination,
            pacing: Some(configuration.ice.timings.pacing),
        };
        let transport = TransportDescription {
            ice,
            extensions: offered_extensions(configuration),
            fingerprints: vec![certificate.fingerprint()],
            setup: None,
            tls_id: None,
            candidates: Vec::new(),
            end_of_candidates: false,
        };
        let roles = transports.iter().filter_map(|one| Some((one.id(), one.dtls_role()?)));
        let local = LocalParameters {
            transport,
            roles: roles.collect(),
            draw: Box::new(move || {
                let [credentials, other] = [Credentials::random(rng), Credentials::random(rng)];
                // RFC 8842 §4: at least 120 bits of randomness.
                (credentials, TlsId(other.pwd.to_string()))
            }),
            max_message_size: configuration.data.max_message_size.into(),
            sctp_init: data.init().filter(|_| configuration.early_handshakes),
            bundle_policy: configuration.bundle_policy,
        };
        (local, jsep)
    }
}

/// Returns the extensions that this side has.
pub(super) fn offered_extensions(configuration: &Configuration) -> Extensions {
    let has_dtls_13 = configuration.dtls_versions != DtlsVersions::Dtls12;
    Extensions {
        post_quantum: configuration.post_quantum != PostQuantum::Never && has_dtls_13,
        embedding: configuration.early_handshakes,
    }
}
