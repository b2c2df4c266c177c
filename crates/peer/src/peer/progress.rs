//! What follows from what has happened: events of the rooms below become states and events of the whole.

use std::time::{Duration, Instant};

use columba_ice::{Event as Ice, GatheringState, State};

use super::Peer;
use super::packets::is_direct;
use crate::candidate::{IceCandidate, IceCandidateInit};
use crate::convert;
use crate::error::Error;
use crate::event::Event;
use crate::link::{LinkEvent, Settings};
use crate::states::{IceConnectionState, IceGatheringState, SignalingState, connection_state};

impl Peer {
    /// Carries on until nothing follows any more.
    pub(super) fn progress(&mut self, now: Instant) {
        while let Some(request) = self.agent.poll_request() {
            self.events.push_back(Event::Request(request));
        }
        while let Some(event) = self.agent.poll_event() {
            self.take_ice_event(now, event);
        }
        self.take_link_events(now);
        if let Some(error) = self.data.poll_events(&mut self.events) {
            self.events.push_back(Event::Error(error));
        }
        self.announce_dtls();
        self.update_connection_state();
        self.update_negotiation();
    }

    fn announce_dtls(&mut self) {
        let state = self.link.state();
        if state != self.states.dtls {
            self.states.dtls = state;
            if self.jsep.state() != SignalingState::Closed {
                self.events.push_back(Event::DtlsState(state));
            }
        }
    }

    fn take_ice_event(&mut self, now: Instant, event: Ice) {
        match event {
            Ice::LocalCandidate(candidate) => self.take_candidate(candidate),
            Ice::GatheringState(state) => self.take_gathering_state(state),
            Ice::CandidateError(error) => self.events.push_back(Event::IceCandidateError(error)),
            Ice::State(state) => self.take_ice_state(state),
            Ice::Writable => {
                self.states.writable = true;
                self.begin_dtls(now);
            }
            Ice::Selected(pair) => {
                let largest = self.largest_packet(&pair);
                self.data.set_direct(is_direct(&pair));
                if pair.changed {
                    self.data.handle_path_change(now, largest);
                } else {
                    self.data.set_largest_packet(largest);
                }
                self.events.push_back(Event::SelectedCandidatePair(Box::new(pair)));
            }
            Ice::RestartWanted => self.events.push_back(Event::IceRestartWanted),
            // The roles are the agent's own business, and nothing is embedded.
            Ice::RoleChanged(_) | Ice::Embedded(_) => {}
        }
    }

    fn take_candidate(&mut self, candidate: columba_ice::Candidate) {
        let written = convert::to_sdp(&candidate);
        let init = self.candidate_init(written.to_string());
        self.gathered.candidates.push(written);
        self.events.push_back(Event::IceCandidate(Some(IceCandidate { init, candidate: Some(candidate) })));
    }

    fn candidate_init(&self, candidate: String) -> IceCandidateInit {
        let data = self.jsep.local().and_then(|local| local.data.as_ref());
        IceCandidateInit {
            candidate,
            sdp_mid: data.map(|data| data.mid.clone()),
            sdp_m_line_index: data.and_then(|data| data.index.try_into().ok()),
            username_fragment: Some(self.agent.local_credentials().ufrag.to_string()),
        }
    }

    /// W3C "update the ICE gathering state": the last candidate is empty, then comes the state, then nothing.
    fn take_gathering_state(&mut self, state: GatheringState) {
        let state = match state {
            GatheringState::New => IceGatheringState::New,
            GatheringState::Gathering => IceGatheringState::Gathering,
            GatheringState::Complete => IceGatheringState::Complete,
        };
        if state == self.states.gathering {
            return;
        }
        self.states.gathering = state;
        self.gathered.complete = state == IceGatheringState::Complete;
        if self.gathered.complete {
            let init = self.candidate_init(String::new());
            self.events.push_back(Event::IceCandidate(Some(IceCandidate { init, candidate: None })));
        }
        self.events.push_back(Event::IceGatheringState(state));
        if self.gathered.complete {
            self.events.push_back(Event::IceCandidate(None));
        }
    }

    fn take_ice_state(&mut self, state: State) {
        let state = match state {
            State::New => IceConnectionState::New,
            State::Checking => IceConnectionState::Checking,
            State::Connected => IceConnectionState::Connected,
            State::Completed => IceConnectionState::Completed,
            State::Disconnected => IceConnectionState::Disconnected,
            State::Failed => IceConnectionState::Failed,
            State::Closed => IceConnectionState::Closed,
        };
        if state == self.states.ice {
            return;
        }
        self.states.ice = state;
        if state == IceConnectionState::Failed {
            self.events.push_back(Event::Error(Error::Ice));
        }
        // W3C `close` fires no events.
        if self.jsep.state() != SignalingState::Closed {
            self.events.push_back(Event::IceConnectionState(state));
        }
    }

    pub(super) fn take_link_events(&mut self, now: Instant) {
        loop {
            match self.link.poll_event(now) {
                Ok(Some(LinkEvent::Connected)) => {
                    self.data.connect(now, self.link.is_client() == Some(true));
                }
                Ok(Some(LinkEvent::Closed)) => {
                    // The other side's goodbye is the end of the channels, and no failure.
                    self.data.close(now);
                }
                Ok(None) => return,
                Err(error) => self.fail(now, error),
            }
        }
    }

    /// DTLS begins as soon as it is settled who begins and there is a path. A server can wait without one.
    pub(super) fn begin_dtls(&mut self, now: Instant) {
        let Some(client) = self.link.is_client() else { return };
        if self.link.has_begun() || client && !self.states.writable {
            return;
        }
        let settings = Settings {
            certificate: &self.certificate,
            versions: self.configuration.dtls_versions,
            datagram_size: self.configuration.datagram_size,
            round_trip: self.round_trip(),
        };
        if let Err(error) = self.link.begin(now, &settings) {
            self.fail(now, error);
        }
    }

    fn round_trip(&self) -> Option<Duration> {
        let pairs = self.agent.stats().pairs;
        pairs.into_iter().filter_map(|pair| pair.counters.current_round_trip_time).min()
    }

    /// The connection has failed for good.
    pub(super) fn fail(&mut self, now: Instant, error: Error) {
        self.events.push_back(Event::Error(error.clone()));
        self.data.fail(now, &error);
    }

    fn update_connection_state(&mut self) {
        let closed = self.jsep.state() == SignalingState::Closed;
        let state = connection_state(closed, self.states.ice, self.link.state());
        if state != self.states.connection {
            self.states.connection = state;
            if !closed {
                self.events.push_back(Event::ConnectionState(state));
            }
        }
    }

    /// W3C "update the negotiation-needed flag".
    fn update_negotiation(&mut self) {
        let wanted = self.negotiation.restart || self.negotiation.data && !self.jsep.has_data();
        if wanted && !self.negotiation.announced && self.jsep.state() == SignalingState::Stable {
            self.negotiation.announced = true;
            self.events.push_back(Event::NegotiationNeeded);
        }
    }
}
