//! Execution of the changes that follow from descriptions and candidates.

use std::time::Instant;

use super::{Peer, ice_configuration};
use crate::error::Error;
use crate::event::Event;
use crate::jsep::Change;

impl Peer {
    pub(super) fn execute(&mut self, now: Instant, changes: Vec<Change>) {
        for change in changes {
            self.execute_one(now, change);
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
            Change::RestartIce(id) => {
                (self.restart_at, self.is_restarting) = (None, true);
                // Servers and policy of a configuration that was set since are used from now on.
                // They were valid then.
                let config = ice_configuration(&self.configuration).ok();
                if let Some(transport) = self.transport_mut(id) {
                    transport.restart_ice(now, config);
                }
            }
            Change::RemoteIce(id, parameters) => {
                if let Some(transport) = self.transport_mut(id) {
                    transport.agent().set_remote(now, parameters);
                }
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
            Change::RemoteData { sctp_port, max_message_size } => {
                self.data.set_remote(sctp_port, max_message_size);
            }
            Change::Data(id) => {
                self.data.set_transport(id);
                self.begin_data(now);
            }
            Change::DataRefused => {
                let error = Error::InvalidChannel { reason: "the other side refuses data channels" };
                self.data.fail(now, &error);
            }
        }
    }

    /// Begins SCTP once both sides have agreed on data and DTLS is connected, whichever comes last.
    pub(super) fn begin_data(&mut self, now: Instant) {
        if self.data.has_begun() {
            return;
        }
        let Some(id) = self.data.transport() else { return };
        let role = self.transports.iter().find(|one| one.id() == id).and_then(|one| one.connected_role());
        if let Some(role) = role {
            self.data.begin(now, role);
        }
    }
}
