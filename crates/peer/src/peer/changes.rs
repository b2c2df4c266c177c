//! Execution of the changes that follow from descriptions and candidates.

use std::time::Instant;

use columba_ice::Credentials;

use super::descriptions::offered_extensions;
use super::{Peer, ice_configuration};
use crate::error::Error;
use crate::event::Event;
use crate::jsep::Change;
use crate::states::{DtlsTransportState, IceConnectionState, IceGatheringState, SignalingState};
use crate::transport::{TransportId, is_direct};

impl Peer {
    pub(super) fn execute(&mut self, now: Instant, changes: Vec<Change>) {
        let is_settled =
            changes.iter().any(|one| matches!(one, Change::SignalingState(SignalingState::Stable)));
        self.events.begin();
        let mut ended = Vec::new();
        let mut has_state = false;
        for change in changes {
            // An offer that takes back the own one: the rollback is a task before it.
            let is_state = matches!(change, Change::SignalingState(_));
            if is_state && std::mem::replace(&mut has_state, true) {
                self.events.begin();
            }
            match change {
                // Ends of tracks are tasks of their own, behind this one (Media Capture and
                // Streams, "track ended by the user agent").
                Change::Media(event @ Event::TrackEnded(..)) => ended.push(event),
                change => self.execute_one(now, change),
            }
        }
        self.events.end();
        self.events.extend(ended);
        if is_settled {
            self.agree_on_media(now);
        }
    }

    fn execute_one(&mut self, now: Instant, change: Change) {
        match change {
            Change::SignalingState(state) => self.events.push_back(Event::SignalingState(state)),
            Change::IceRole(id, role) => {
                if let Some(transport) = self.transport_mut(id) {
                    transport.set_ice_role(role);
                }
            }
            Change::LocalIce(id, credentials) => self.set_local_ice(now, id, credentials),
            Change::RollBack(id) => self.roll_back(now, id),
            Change::Extensions(id, extensions) => {
                let common = offered_extensions(&self.configuration).common(extensions);
                if let Some(transport) = self.transport_mut(id) {
                    transport.set_extensions(common);
                }
            }
            Change::RemoteIce(id, parameters) => {
                if let Some(transport) = self.transport_mut(id) {
                    transport.set_remote_ice(now, parameters);
                }
                self.withheld = Vec::new();
            }
            Change::RemoteCandidate(id, candidate) => {
                if let Some(transport) = self.transport_mut(id) {
                    transport.agent().add_remote_candidate(now, candidate);
                }
            }
            Change::CandidateIgnored => self.dropped.candidates += 1,
            Change::EndOfCandidates(id) => {
                if let Some(transport) = self.transport_mut(id) {
                    transport.agent().end_of_remote_candidates(now);
                }
            }
            Change::Gather(id) => {
                if let Some(transport) = self.transport_mut(id) {
                    transport.gather(now);
                }
            }
            Change::Dtls(id, role, fingerprints) => {
                if let Some(transport) = self.transport_mut(id) {
                    transport.set_dtls(now, role, fingerprints);
                }
            }
            Change::RemoteData { sctp_port, max_message_size, init } => {
                if self.data.has_ended() {
                    self.announce_data();
                    self.data.renew(now, &mut self.rng);
                }
                self.data.set_remote(sctp_port, max_message_size, init);
            }
            Change::Data(id) => {
                self.agree_on_data(now, id);
                self.begin_data(now);
            }
            Change::Media(event) => self.events.push_back(event),
            Change::DataEnded { refused } => {
                let error = Error::InvalidChannel { reason: "the other side refuses data channels" };
                self.data.end(now, Some(error).filter(|_| refused));
            }
            Change::RenewDtls(id) => self.renew_dtls(now, id),
            Change::Unused(id) => self.end_transport(now, id),
        }
    }

    /// Both sides have agreed on data over this transport.
    fn agree_on_data(&mut self, now: Instant, id: TransportId) {
        let is_other = self.data.transport() != Some(id);
        self.data.set_transport(id);
        let Some(transport) = self.transports.iter().find(|one| one.id() == id) else { return };
        if let Some(role) = transport.dtls_role() {
            self.data.set_role(now, role);
        }
        // It may have run for long.
        if let Some(pair) = transport.current_pair().filter(|_| is_other) {
            self.data.set_direct(is_direct(&pair));
            self.data.handle_path_change(now, transport.largest_packet(&pair));
        }
    }

    /// No section uses a transport any more.
    fn end_transport(&mut self, now: Instant, id: TransportId) {
        self.take_back(now, id);
        let Some(transport) = self.transport_mut(id) else { return };
        let has_run = !transport.is_unanswered();
        transport.end(now);
        let ufrag = transport.credentials().ufrag.clone();
        self.events.remove(|event| is_candidate_of(event, &ufrag));
        if has_run {
            let ice = Event::IceTransportState(id, IceConnectionState::Closed);
            let dtls = Event::DtlsState(id, DtlsTransportState::Closed);
            self.events.extend([ice, dtls]);
        }
        self.announce_ice(None);
        self.announce_gathering_state();
    }

    /// The other side of a transport is another one, or has begun anew: so do DTLS and SCTP here
    /// (RFC 8842 §4, RFC 8841 §9).
    fn renew_dtls(&mut self, now: Instant, id: TransportId) {
        if self.data.transport() == Some(id) {
            let (reason, cause) = ("the other side has begun a new association".to_owned(), None);
            self.data.fail(now, &Error::Sctp { reason, cause });
            self.announce_data();
            self.data.renew(now, &mut self.rng);
        }
        if let Some(transport) = self.transport_mut(id) {
            transport.renew_dtls();
        }
    }

    /// The local description of a transport has these credentials.
    fn set_local_ice(&mut self, now: Instant, id: TransportId, credentials: Credentials) {
        // Servers and policy of a configuration that was set since are used from now on. They were
        // valid then.
        let config = ice_configuration(&self.configuration).ok();
        if self.transport_mut(id).is_none() {
            self.add_transport(now, id);
        }
        let Some(transport) = self.transport_mut(id) else { return };
        let (is_first, ufrag) = (transport.is_unanswered(), transport.credentials().ufrag.clone());
        if !transport.set_local_ice(now, credentials, config.filter(|_| !is_first)) {
            return;
        }
        if !is_first {
            (self.restart_at, self.is_restarting) = (None, true);
        }
        // The owner would send them behind the description that has replaced theirs.
        let old = self.events.remove(|event| is_candidate_of(event, &ufrag));
        self.withheld.extend(old);
    }

    /// Announces what has happened to data, each as a task of its own. Returns the reason if the
    /// association has failed by itself.
    pub(super) fn announce_data(&mut self) -> Option<Error> {
        let is_open = self.events.end();
        let failed = self.data.poll_events(&mut self.events);
        if is_open {
            self.events.begin();
        }
        failed
    }

    /// The local description of a transport was taken back. Candidates of it that the owner has not
    /// taken yet go with it, and those of the description before come back.
    fn roll_back(&mut self, now: Instant, id: TransportId) {
        let Some((before, gathering)) = self.take_back(now, id) else { return };
        if gathering != before {
            self.events.push_back(Event::IceTransportGatheringState(id, gathering));
        }
        self.update_gathering();
    }

    /// Returns the states of gathering before and now; `None` if there was nothing to take back.
    fn take_back(&mut self, now: Instant, id: TransportId) -> Option<(IceGatheringState, IceGatheringState)> {
        let transport = self.transport_mut(id)?;
        let before = transport.gathering_state();
        let ufrag = transport.roll_back(now)?;
        let gathering = transport.gathering_state();
        self.is_restarting = false;
        self.events.remove(|event| is_candidate_of(event, &ufrag));
        self.events.extend(std::mem::take(&mut self.withheld));
        Some((before, gathering))
    }

    /// Begins SCTP once both sides have agreed on data and DTLS is connected, whichever comes last.
    pub(super) fn begin_data(&mut self, now: Instant) {
        if self.data.has_begun() {
            return;
        }
        let Some(id) = self.data.transport() else { return };
        let transport = self.transports.iter().find(|one| one.id() == id);
        if let Some(transport) = transport
            && let Some(role) = transport.connected_role()
        {
            self.data.begin(now, role, transport.packet_limit());
        }
    }
}

/// Returns true if the event announces a candidate under this user name fragment.
fn is_candidate_of(event: &Event, ufrag: &str) -> bool {
    match event {
        Event::IceCandidate(Some(one)) => one.init.username_fragment.as_deref() == Some(ufrag),
        _ => false,
    }
}
