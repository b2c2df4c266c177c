//! Allocations that go along when the host's address changes (RFC 8016): the relayed address stays, and with it the pairs.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use columba_turn::client::Client;

use super::addresses::Purpose;
use super::gather::Resolution;
use super::pairs::PairId;
use super::relays::{Leg, Relay, RelayId, Way};
use super::{Agent, Base};
use crate::config::LocalAddress;
use crate::event::Event;
use crate::path::{Path, Transport};

impl Agent {
    /// Takes those relays along that are spoken to from addresses that are not kept, and are worth it; the others stay as they are.
    pub(super) fn take_relays_along(&mut self, kept: &[IpAddr], there: &[LocalAddress]) {
        let left: Vec<RelayId> = self
            .relays
            .iter()
            .filter(|(id, relay)| {
                !kept.contains(&relay.local) && self.is_worth_taking(**id, relay, kept, there)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in left {
            self.uproot_relay(id);
        }
    }

    /// Only what has a ticket can come along. What nothing goes over need not, if the server can still be told to forget it, or has
    /// another relay for this agent.
    fn is_worth_taking(&self, id: RelayId, relay: &Relay, kept: &[IpAddr], there: &[LocalAddress]) -> bool {
        let has_ticket = relay.client().is_some_and(Client::is_mobile) && !relay.is_retired();
        let in_use =
            || self.pairs.values().any(|pair| pair.base == Base::Relay(id) && self.is_in_use(pair.id));
        let is_there = there.iter().any(|one| columba_stun::canonical_ip(one.address) == relay.local);
        let is_like =
            |other: &Relay| other.is_for_same(relay) && kept.contains(&other.local) && !other.is_retired();
        has_ticket && (in_use() || !(is_there || self.relays.values().any(is_like)))
    }

    /// Leaves the address from which a relay is spoken to; the relay stays.
    pub(super) fn uproot_relay(&mut self, id: RelayId) {
        self.close_leg(id);
        let Some(relay) = self.relays.get_mut(&id) else { return };
        relay.leg = match std::mem::replace(&mut relay.leg, Leg::Binding) {
            Leg::Open { client, .. } | Leg::Moving { client, .. } => Leg::Moving { client, way: None },
            other => other,
        };
    }

    /// Looks for a new address for relays that have lost theirs. Those that find none wait for the next change of the network.
    pub(super) fn settle_relays(&mut self) {
        let homeless: Vec<RelayId> = self
            .relays
            .iter()
            .filter(|(_, relay)| matches!(relay.leg, Leg::Moving { way: None, .. }))
            .map(|(id, _)| *id)
            .collect();
        for id in homeless {
            let Some((local, remote)) = self.relays.get(&id).and_then(|relay| self.new_ends(relay)) else {
                continue;
            };
            let Some(relay) = self.relays.get_mut(&id) else { continue };
            (relay.local, relay.address) = (local, remote);
            let chosen = match relay.server.transport {
                Transport::Udp => {
                    self.open_socket(local, Purpose::Relay(id));
                    Way::Socket
                }
                Transport::Tcp | Transport::Tls => {
                    let server = relay.server.clone();
                    Way::Connection(self.connect_to_server(&server, local, remote))
                }
            };
            if let Some(Relay { leg: Leg::Moving { way, .. }, .. }) = self.relays.get_mut(&id) {
                *way = Some(chosen);
            }
        }
    }

    /// The best address from which a relay's server can be reached, and the server's address in that family.
    fn new_ends(&self, relay: &Relay) -> Option<(IpAddr, SocketAddr)> {
        let resolved = self.servers.iter().find(|server| server.config == relay.server);
        let known: &[IpAddr] = match resolved.map(|server| &server.addresses) {
            // Whoever was sent on to another server knows that one's address only.
            Some(Resolution::Known(addresses)) if relay.visited.is_empty() => addresses,
            _ => &[],
        };
        self.usable_addresses().into_iter().find_map(|one| {
            let is_same = |ip: &IpAddr| ip.is_ipv4() == one.address.is_ipv4();
            let ip = Some(relay.address.ip()).filter(is_same).or_else(|| known.iter().copied().find(is_same));
            Some((one.address, SocketAddr::new(ip?, relay.address.port())))
        })
    }

    /// There is a way to the server again: it is asked to follow. `false` if the relay was not on the move.
    pub(super) fn resume_relay(&mut self, now: Instant, id: RelayId, path: Path) -> bool {
        let Some(relay) = self.relays.get_mut(&id) else { return false };
        match std::mem::replace(&mut relay.leg, Leg::Binding) {
            Leg::Moving { mut client, .. } => {
                client.change_address(now);
                relay.leg = Leg::Open { path, client };
                true
            }
            other => {
                relay.leg = other;
                false
            }
        }
    }

    /// The server has followed: what went over the relay goes on, by another way to it. Whether it gets through is asked at once.
    pub(super) fn handle_relay_moved(&mut self, now: Instant, id: RelayId) {
        for pair in self.pairs.values_mut().filter(|pair| pair.base == Base::Relay(id) && pair.is_valid()) {
            // What was not sent cannot have been answered.
            pair.missed = 0;
            pair.next_check = Some(now);
            pair.rerouted = true;
        }
        self.check_liveness(now);
    }

    /// A check was answered: if that is the first time by another way to the server, round-trip times and windows are other ones.
    pub(super) fn note_route(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get_mut(&id) else { return };
        if !std::mem::take(&mut pair.rerouted) {
            return;
        }
        if self.active == Some(id)
            && let Some(selected) = self.selected_pair(id, true)
        {
            self.counters.path_changes += 1;
            self.events.push_back(Event::Selected(selected));
        }
    }
}
