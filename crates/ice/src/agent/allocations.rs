//! Relays inside the agent: their machine's outputs are carried out, and relayed candidates made.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::Agent;
use super::ids::{Base, PairId, RelayId};
use super::local::{FoundationKey, Local};
use super::relays::{Context, Output, RelayFacts, Relays, is_wide_ipv6};
use super::socket::Purpose;
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport, priority};
use crate::config::LocalAddress;
use crate::event::{Event, GatheringState, Request};
use crate::framing::Framing;
use crate::path::Transport;

/// The step by which the local preference of a relayed candidate falls whose family is not that of
/// the path to the server.
const OTHER_FAMILY: u16 = 256;

impl Agent {
    /// Lets the machine of relays act, and carries out its outputs.
    pub(super) fn with_relays<T>(
        &mut self,
        now: Instant,
        act: impl FnOnce(&mut Relays, &mut Context<'_>) -> T,
    ) -> T {
        let mut context = Context {
            config: &self.config,
            addresses: &self.addresses,
            servers: &mut self.servers,
            ids: &mut self.ids,
            rng: &mut self.rng,
        };
        let result = act(&mut self.relays, &mut context);
        self.execute_relays(now);
        result
    }

    fn execute_relays(&mut self, now: Instant) {
        while let Some(output) = self.relays.poll_output() {
            match output {
                Output::Bind { relay, local } => {
                    self.open_socket(local, Purpose::Relay(relay));
                }
                Output::CloseSocket(relay) => self.close_relay_socket(relay),
                Output::Connect { id, local, remote, tls } => {
                    let framing = Framing::Stun;
                    self.outputs.request(Request::Connect { id, local, remote, tls, framing });
                }
                Output::CloseStream(path) => self.outputs.request(Request::CloseStream { path }),
                Output::Allocated { relay, relayed, mapped } => {
                    for address in relayed {
                        self.add_relayed(now, relay, address, mapped);
                    }
                    self.bridge_families(now);
                }
                Output::Moved(relay) => self.handle_relay_moved(now, relay),
                Output::PeerRefused { relay, peer } => {
                    self.remove_pairs(|pair| pair.base == Base::Relay(relay) && pair.address.ip() == peer);
                }
                Output::Withdrawn(relay) => self.remove_locals(Base::Relay(relay)),
                Output::Failed { local, url, code, text } => self.report(local, url, code, &text),
            }
        }
    }

    /// Begins an allocation for each server and address that has none.
    pub(super) fn open_relays(&mut self, now: Instant) {
        self.with_relays(now, Relays::open_missing);
    }

    /// Retires the relays that the configuration does not allow any more, and takes back those that
    /// it allows again.
    pub(super) fn retire_relays(&mut self, now: Instant) {
        self.with_relays(now, Relays::retire_unusable);
    }

    /// Releases retired relays that are not in use, and closes those that are released.
    pub(super) fn sweep_relays(&mut self, now: Instant) {
        self.relays.sweep(now, |id| self.pairs.values().any(|pair| pair.base == Base::Relay(id)));
        self.execute_relays(now);
    }

    /// Moves or gives up the relays whose local address is not kept.
    pub(super) fn leave_relays(&mut self, now: Instant, kept: &[IpAddr], there: &[LocalAddress]) {
        let in_use = self.pairs.values().filter(|pair| self.is_in_use(pair.id)).map(|pair| pair.base);
        let in_use: Vec<Base> = in_use.collect();
        self.with_relays(now, |relays, context| {
            relays.leave(now, context, kept, there, |id| in_use.contains(&Base::Relay(id)));
        });
    }

    fn add_relayed(&mut self, now: Instant, id: RelayId, address: SocketAddr, mapped: Option<SocketAddr>) {
        let Some(RelayFacts { server, address: server_address, local }) = self.relays.facts(id) else {
            return;
        };
        let (protocol, url) = (server.transport, server.url.clone());
        // The nearer the path to the server is to plain datagrams, the better; as in libwebrtc.
        let type_preference = match protocol {
            Transport::Udp => 2,
            Transport::Tcp => 1,
            Transport::Tls => 0,
        };
        // A relay that need not translate between families is the better one.
        let penalty = if address.is_ipv4() == local.is_ipv4() { 0 } else { OTHER_FAMILY };
        let local_preference = self.addresses.local_preference(&self.config, local).saturating_sub(penalty);
        let kind = CandidateKind::Relayed;
        let candidate = Candidate {
            foundation: self.locals.foundation(FoundationKey {
                kind,
                base: address.ip(),
                server: Some(server_address.ip()),
                protocol,
            }),
            transport: CandidateTransport::Udp,
            priority: priority(type_preference, local_preference),
            address: CandidateAddress::Ip(address.ip()),
            port: address.port(),
            kind,
            related: mapped.map(|mapped| self.shown_related(mapped)),
            ufrag: None,
            network_cost: self.addresses.network_cost(local),
            url: Some(url),
        };
        self.add_local(now, Local::relayed(Base::Relay(id), address, candidate, protocol));
    }

    /// Where the other side has IPv6 and this side has none, not even at a relay that was asked for
    /// both families, servers are asked for IPv6 alone: there may be no other path.
    pub(super) fn bridge_families(&mut self, now: Instant) {
        let session = self.sessions.current().id;
        let theirs = self.remotes.of(session).any(|(_, one)| is_wide_ipv6(&one.address));
        if !theirs || self.locals.values().any(|local| is_wide_ipv6(&local.address)) {
            return;
        }
        let asked = self.with_relays(now, |relays, context| relays.bridge_families(context));
        if asked && self.gathering.state == GatheringState::Complete {
            self.set_gathering(now, GatheringState::Gathering);
        }
    }

    /// The server has followed: the pairs of the relay go on, by another path to it. Whether it
    /// works is checked at once.
    fn handle_relay_moved(&mut self, now: Instant, id: RelayId) {
        for pair in self.pairs.values_mut().filter(|pair| pair.base == Base::Relay(id) && pair.is_valid()) {
            pair.reroute(now);
        }
        self.check_liveness(now);
    }

    /// A check was answered: if it is the first one by another path to the server, round-trip times
    /// and windows are to be learned anew.
    pub(super) fn note_route(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        if std::mem::take(&mut pair.rerouted)
            && self.pairs.active == Some(id)
            && let Some(selected) = self.selected_pair(id, true)
        {
            self.counters.path_changes += 1;
            self.outputs.emit(Event::Selected(selected));
        }
    }

    /// A check through a relay goes unanswered. If none has ever been answered there, a NAT may
    /// have forgotten its mapping, so that the server does not know this host any more: it is
    /// probed, once in a session.
    pub(super) fn doubt_relay(&mut self, now: Instant, id: RelayId) {
        let works = self.pairs.values().any(|pair| pair.base == Base::Relay(id) && pair.is_valid());
        if !works {
            let session = self.sessions.current().id;
            self.relays.probe_once(now, id, session);
        }
    }

    pub(super) fn is_permitted(&self, base: Base, peer: IpAddr) -> bool {
        match base {
            Base::Socket(_) | Base::Tcp(_) => true,
            Base::Relay(id) => self.relays.is_permitted(id, peer),
        }
    }

    /// Returns whether a pair could never be checked: the relay's server has refused to relay
    /// there.
    pub(super) fn is_refused(&self, base: Base, peer: IpAddr) -> bool {
        matches!(base, Base::Relay(id) if self.relays.is_refused(id, peer))
    }
}
