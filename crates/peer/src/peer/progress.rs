//! Events of the transports and of data become states and events of the peer connection.

use std::time::Instant;

use columba_ice::SelectedPair;

use super::{CONTROLLED_RESTART_DELAY, Peer};
use crate::error::Error;
use crate::event::Event;
use crate::states::{DtlsTransportState, IceConnectionState, PeerConnectionState};
use crate::transport::{Transport, TransportEvent, TransportId, is_direct};

/// A change of the path of a transport.
#[derive(Default)]
struct PathChange {
    pair: Option<Box<SelectedPair>>,
    state: Option<IceConnectionState>,
}

impl PathChange {
    /// Returns true if the event begins another change, or is of another kind.
    fn is_complete_before(&self, event: &TransportEvent) -> bool {
        match event {
            TransportEvent::IceState(_) => self.state.is_some(),
            TransportEvent::SelectedPair(_) => self.pair.is_some(),
            _ => self.pair.is_some() || self.state.is_some(),
        }
    }
}

impl Peer {
    /// Handles everything that has happened below, and announces the states that follow.
    pub(super) fn progress(&mut self, now: Instant) {
        for index in 0..self.transports.len() {
            let mut path = PathChange::default();
            while let Some(event) = self.transports[index].poll_event(now) {
                if self.transports[index].has_ended() {
                    if let TransportEvent::IceState(state) = event {
                        self.transports[index].set_ice_state(state);
                    }
                    continue;
                }
                // A pair and the state that comes with it are one task (W3C "change the selected
                // candidate pair and state").
                if path.is_complete_before(&event) {
                    self.change_path(now, index, std::mem::take(&mut path));
                }
                match event {
                    TransportEvent::IceState(state) => path.state = Some(state),
                    TransportEvent::SelectedPair(pair) => path.pair = Some(pair),
                    event => {
                        self.events.begin();
                        self.handle_transport_event(now, index, event);
                        self.events.end();
                    }
                }
            }
            self.change_path(now, index, path);
        }
        // Data may be open as soon as DTLS is connected, and is told after it.
        let mut has_connected = false;
        for index in 0..self.transports.len() {
            if self.transports[index].dtls_state() == DtlsTransportState::Connected {
                has_connected |= self.announce_dtls(index);
            }
        }
        if has_connected {
            self.announce_connection();
        }
        if let Some(error) = self.announce_data() {
            self.events.push_back(Event::Error(error));
        }
        for index in 0..self.transports.len() {
            self.announce_dtls(index);
        }
        self.announce_connection();
        self.announce_media();
        if self.jsep.is_closed() {
            // W3C `close` fires no events, and nothing that was queued before.
            self.events.clear();
        }
    }

    /// W3C "change the selected candidate pair and state".
    fn change_path(&mut self, now: Instant, index: usize, change: PathChange) {
        let id = self.transports[index].id();
        self.events.begin();
        if let Some(pair) = change.pair {
            if pair.changed {
                self.packets.handle_path_change(now, id);
            }
            if self.carries_data(id) {
                let largest = self.transports[index].largest_packet(&pair);
                self.data.set_direct(is_direct(&pair));
                if pair.changed {
                    self.data.handle_path_change(now, largest);
                } else {
                    self.data.set_largest_packet(largest);
                }
            }
            self.events.push_back(Event::SelectedCandidatePair(id, pair));
        }
        if let Some(state) = change.state {
            self.transports[index].set_ice_state(state);
            if self.transports[index].is_used() && !self.jsep.is_closed() {
                self.events.push_back(Event::IceTransportState(id, state));
            }
            self.announce_ice(Some(state));
            self.announce_connection();
        }
        self.events.end();
    }

    fn handle_transport_event(&mut self, now: Instant, index: usize, event: TransportEvent) {
        let id = self.transports[index].id();
        match event {
            TransportEvent::LocalCandidate(candidate) => self.announce_candidate(id, candidate),
            TransportEvent::GatheringState(state) => self.announce_gathering(id, state),
            TransportEvent::CandidateError(error) => self.events.push_back(Event::IceCandidateError(error)),
            // `progress` keeps them for `change_path`.
            TransportEvent::IceState(_) | TransportEvent::SelectedPair(_) => {}
            TransportEvent::RestartWanted if self.transports[index].is_used() => {
                self.events.push_back(Event::IceRestartWanted);
                self.restart_automatically(now, index);
            }
            TransportEvent::RestartWanted => {}
            TransportEvent::DtlsConnected => {
                self.begin_media(now, index);
                self.begin_data(now);
            }
            TransportEvent::PathKnown => {
                self.begin_data(now);
                while let Some((ecn, packet)) = self.transports[index].next_early_packet() {
                    if self.carries_data(id) && self.data.has_begun() {
                        self.data.handle_packet(now, ecn, &packet);
                    }
                }
            }
            // The close notification of the other side ends the channels, and is no failure of the
            // connection.
            TransportEvent::DtlsClosed => {
                if self.carries_data(id) {
                    self.data.close_remotely(now);
                }
            }
            TransportEvent::Failed(error) => {
                self.events.push_back(Event::Error(error.clone()));
                self.announce_dtls(index);
                if self.carries_data(id) {
                    self.data.fail(now, &error);
                }
            }
        }
    }

    /// Restarts ICE, if it is configured. The controlled side leaves it to the other side first.
    fn restart_automatically(&mut self, now: Instant, index: usize) {
        if !self.configuration.automatic_ice_restart || self.is_restarting {
            return;
        }
        if self.transports[index].is_controlling() {
            self.jsep.restart_ice();
        } else {
            self.restart_at.get_or_insert(now + CONTROLLED_RESTART_DELAY);
        }
    }

    /// Restarts ICE after the delay of the controlled side, unless the path has come back meanwhile
    /// or the transport that lost it has ended.
    pub(super) fn restart_if_still_wanted(&mut self) {
        if self.transports.iter().any(|one| one.is_used() && one.wants_restart()) {
            self.jsep.restart_ice();
        }
    }

    /// Returns true if data runs over this transport.
    fn carries_data(&self, id: TransportId) -> bool {
        self.data.transport() == Some(id)
    }

    /// W3C "update the ICE connection state".
    pub(super) fn announce_ice(&mut self, changed: Option<IceConnectionState>) {
        let used = self.transports.iter().filter(|one| one.is_used());
        let state = IceConnectionState::of(used.map(Transport::ice_state));
        if state == self.states.ice {
            return;
        }
        self.states.ice = state;
        if matches!(state, IceConnectionState::Connected | IceConnectionState::Completed) {
            (self.restart_at, self.is_restarting) = (None, false);
        }
        if changed == Some(IceConnectionState::Failed) {
            self.events.push_back(Event::Error(Error::Ice));
        }
        // W3C `close` fires no events.
        if !self.jsep.is_closed() {
            self.events.push_back(Event::IceConnectionState(state));
        }
    }

    /// Announces the state of a transport's DTLS. That of the connection follows in a task of its
    /// own (W3C "update the connection state"). Returns true if there was a new one.
    fn announce_dtls(&mut self, index: usize) -> bool {
        let transport = &mut self.transports[index];
        if transport.has_ended() || self.jsep.is_closed() {
            return false;
        }
        let mut is_new = false;
        while let Some(state) = transport.poll_dtls_state() {
            self.events.push_back(Event::DtlsState(transport.id(), state));
            is_new = true;
        }
        is_new
    }

    /// W3C "update the connection state".
    fn announce_connection(&mut self) {
        let closed = self.jsep.is_closed();
        let used = self.transports.iter().filter(|one| one.is_used());
        let transports = used.map(|one| (one.ice_state(), one.dtls_state()));
        let state = PeerConnectionState::of(closed, transports);
        if state != self.states.connection {
            self.states.connection = state;
            if !closed {
                self.events.push_back(Event::ConnectionState(state));
            }
        }
    }

    /// W3C "update the negotiation-needed flag", whose last check is made when the event fires.
    pub(super) fn announce_negotiation(&mut self) -> Option<Event> {
        let is_needed = self.jsep.needs_negotiation(self.wanted());
        let was_needed = std::mem::replace(&mut self.states.negotiation_needed, is_needed);
        (is_needed && !was_needed).then_some(Event::NegotiationNeeded)
    }
}
