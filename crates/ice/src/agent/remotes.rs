//! The other side's candidates: signalled, named, and discovered.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use columba_stun::canonical;

use super::Agent;
use super::ids::{RemoteId, SessionId};
use super::remote::{Remote, is_bounded};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport, TcpType};
use crate::config::{MdnsMode, TcpMode};
use crate::event::{Request, ResolveId, State};

impl Agent {
    /// A candidate of the other side's. Those that belong to credentials not yet known are held
    /// back, those of old credentials dropped; names are asked for by events.
    pub fn add_remote_candidate(&mut self, now: Instant, candidate: Candidate) {
        self.take_remote_candidate(now, candidate);
        self.update(now);
    }

    pub(super) fn take_remote_candidate(&mut self, now: Instant, candidate: Candidate) {
        if self.state == State::Closed || !self.is_usable(&candidate) {
            return;
        }
        if !is_bounded(&candidate) {
            self.counters.dropped += 1;
            return;
        }
        // The URL is of no use here, and may be of any length. An empty fragment names no session.
        let ufrag = candidate.ufrag.filter(|ufrag| !ufrag.is_empty());
        let candidate = Candidate { url: None, ufrag, ..candidate };
        let most = self.config.max_remote_candidates;
        let room = self.remotes.waiting() < most;
        let belongs = match (&self.sessions.current().remote, &candidate.ufrag) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(remote), Some(ufrag)) => *remote.parameters.credentials.ufrag == **ufrag,
        };
        if !belongs {
            let is_old = candidate.ufrag.as_ref().is_some_and(|ufrag| self.sessions.is_former_ufrag(ufrag));
            self.counters.dropped += if is_old { 1 } else { self.remotes.hold(candidate, most) };
            return;
        }
        match candidate.address.clone() {
            CandidateAddress::Ip(ip) => {
                let address = canonical(SocketAddr::new(ip, candidate.port));
                self.add_remote_address(now, candidate, address);
            }
            // The question would show this host's address (W3C: administratively prohibited).
            CandidateAddress::Name(_) if self.config.is_relay_only() => self.counters.dropped += 1,
            CandidateAddress::Name(host) if room => self.resolve_candidate(candidate, host),
            CandidateAddress::Name(_) => self.counters.dropped += 1,
        }
    }

    /// No more candidates of the other side's follow (RFC 8838 §8.2).
    pub fn end_of_remote_candidates(&mut self, now: Instant) {
        self.sessions.current_mut().ended = true;
        self.update(now);
    }

    fn is_usable(&self, candidate: &Candidate) -> bool {
        match candidate.transport {
            CandidateTransport::Udp => candidate.port != 0,
            CandidateTransport::Tcp(TcpType::Passive) => {
                candidate.port != 0 && self.config.tcp != TcpMode::Off
            }
            CandidateTransport::Tcp(TcpType::SimultaneousOpen) => {
                candidate.port != 0 && self.config.tcp == TcpMode::SimultaneousOpen
            }
            // Where they come from is seen when they come.
            CandidateTransport::Tcp(TcpType::Active) => false,
        }
    }

    fn resolve_candidate(&mut self, candidate: Candidate, host: Arc<str>) {
        let id = self.ids.resolve();
        let is_mdns = host.to_ascii_lowercase().ends_with(".local");
        if is_mdns && self.config.mdns == MdnsMode::Off {
            return;
        }
        self.remotes.add_name(id, candidate);
        self.outputs.request(if is_mdns {
            Request::ResolveMdns { id, host }
        } else {
            Request::Resolve { id, host }
        });
    }

    /// A name of a candidate has its address. mDNS names stand for exactly one; of others the first
    /// is taken (RFC 8839 §5.1), as long as it is one that can be used.
    pub(super) fn handle_candidate_resolved(&mut self, now: Instant, id: ResolveId, addresses: &[IpAddr]) {
        let Some(candidate) = self.remotes.take_name(id) else { return };
        if let Some(ip) = addresses.iter().find(|ip| !ip.is_unspecified() && !ip.is_multicast()) {
            let address = canonical(SocketAddr::new(*ip, candidate.port));
            self.add_remote_address(now, candidate, address);
        }
    }

    fn add_remote_address(&mut self, now: Instant, candidate: Candidate, address: SocketAddr) {
        let ip = address.ip();
        if ip.is_unspecified() || ip.is_multicast() {
            return;
        }
        let session = self.sessions.current().id;
        if let Some((id, known)) = self.remotes.find(session, candidate.transport, address) {
            if known.is_discovered() {
                // RFC 8838 §11.4: the discovered one becomes the signalled one; its pairs go on as
                // they are. A discovered one has pairs only with those local candidates where its
                // checks have come; now it gets the others.
                for pair in self.pairs.values_mut().filter(|pair| pair.remote == id) {
                    pair.foundation.1 = candidate.foundation.clone();
                }
                if let Some(known) = self.remotes.get_mut(id) {
                    known.candidate = candidate;
                }
                self.reprioritize();
                self.pair_remote(now, id);
                self.bridge_families(now);
            }
            return;
        }
        if let Some(id) = self.insert_remote(Remote { session, address, candidate }) {
            self.pair_remote(now, id);
            self.bridge_families(now);
        }
    }

    /// The candidate for the source of an authentic request; `None` if there are too many already.
    pub(super) fn remote_for(
        &mut self,
        session: SessionId,
        transport: CandidateTransport,
        address: SocketAddr,
        priority: u32,
    ) -> Option<RemoteId> {
        if let Some((id, _)) = self.remotes.find(session, transport, address) {
            return Some(id);
        }
        let candidate = Candidate {
            foundation: self.ids.foundation().into(),
            transport,
            priority,
            address: CandidateAddress::Ip(address.ip()),
            port: address.port(),
            kind: CandidateKind::PeerReflexive,
            related: None,
            ufrag: None,
            network_cost: None,
            url: None,
        };
        self.insert_remote(Remote { session, address, candidate })
    }

    fn insert_remote(&mut self, remote: Remote) -> Option<RemoteId> {
        if self.remotes.len() >= self.config.max_remote_candidates {
            self.counters.dropped += 1;
            return None;
        }
        let id = self.ids.remote();
        self.remotes.insert(id, remote);
        Some(id)
    }
}
