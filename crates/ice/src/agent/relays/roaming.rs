//! Allocations that follow the host to another address (RFC 8016): the relayed address stays, and
//! with it the pairs.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use columba_stun::canonical_ip;
use columba_turn::client::Client;

use super::super::ids::RelayId;
use super::relay::{Attempt, Leg, MOVING_CONNECT, Relay, WaitsFor};
use super::{Context, Output, Relays};
use crate::config::LocalAddress;
use crate::path::Transport;

impl Relays {
    /// Moves or gives up the relays whose local address is not kept. `there` are the addresses that
    /// still exist, although they may not be used any more: from there allocations can be released.
    pub(in crate::agent) fn leave(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        kept: &[IpAddr],
        there: &[LocalAddress],
        is_in_use: impl Fn(RelayId) -> bool,
    ) {
        let exists = |local: IpAddr| there.iter().any(|one| canonical_ip(one.address) == local);
        let worthy = self.relays.iter().filter(|(id, relay)| {
            let local = relay.attempt.local;
            !kept.contains(&local) && self.is_worth_moving(relay, kept, exists(local), || is_in_use(**id))
        });
        for id in worthy.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.detach(id);
        }
        let is_left =
            |relay: &Relay| !kept.contains(&relay.attempt.local) && !matches!(relay.leg, Leg::Moving { .. });
        let left = self.relays.iter().filter(|(_, relay)| is_left(relay)).map(|(id, _)| *id);
        for id in left.collect::<Vec<_>>() {
            let Some(relay) = self.relays.get_mut(&id) else { continue };
            if exists(relay.attempt.local) {
                relay.retired = true;
                self.outputs.push_back(Output::Withdrawn(id));
            } else if relay.client().is_some_and(Client::is_mobile) {
                // It is released from another address.
                relay.retired = true;
                self.outputs.push_back(Output::Withdrawn(id));
                self.detach(id);
            } else {
                self.discard(id);
            }
        }
        self.settle(now, context);
    }

    /// Only an allocation with a ticket can move. One without traffic need not, if the server can
    /// still be told to release it, or has another allocation for this agent.
    fn is_worth_moving(
        &self,
        relay: &Relay,
        kept: &[IpAddr],
        exists: bool,
        is_in_use: impl Fn() -> bool,
    ) -> bool {
        let has_ticket = relay.client().is_some_and(Client::is_mobile) && !relay.is_retired();
        let is_like = |other: &Relay| {
            other.is_for_same(relay) && kept.contains(&other.attempt.local) && !other.is_retired()
        };
        has_ticket && (is_in_use() || !(exists || self.relays.values().any(is_like)))
    }

    /// Leaves the local address of a relay; the allocation stays.
    pub(super) fn detach(&mut self, id: RelayId) {
        self.close_leg(id);
        if let Some(relay) = self.relays.get_mut(&id) {
            relay.detach();
        }
    }

    /// Looks for a new local address for moving relays, also for those that wait for their next
    /// try. Those that find none wait for the next change of the network.
    pub(super) fn settle(&mut self, now: Instant, context: &mut Context<'_>) {
        let homeless = self.relays.iter().filter(|(_, relay)| relay.is_homeless()).map(|(id, _)| *id);
        for id in homeless.collect::<Vec<_>>() {
            let Some(relay) = self.relays.get_mut(&id) else { continue };
            let Some((local, address)) = relay.attempt.new_ends(context, relay.setbacks) else {
                relay.detach();
                continue;
            };
            (relay.attempt.local, relay.attempt.address) = (local, address);
            let attempt = relay.attempt.clone();
            let chosen = match attempt.server.transport {
                Transport::Udp => {
                    self.outputs.push_back(Output::Bind { relay: id, local });
                    WaitsFor::Socket
                }
                Transport::Tcp | Transport::Tls => {
                    let id = self.connect(context, &attempt);
                    WaitsFor::Connection { id, until: now + MOVING_CONNECT }
                }
            };
            if let Some(Relay { leg: Leg::Moving { waits_for, .. }, .. }) = self.relays.get_mut(&id) {
                *waits_for = Some(chosen);
            }
        }
    }
}

impl Attempt {
    /// A local address from which the server can be reached, and the server's address in that
    /// family: the best one, and after each setback the next.
    fn new_ends(&self, context: &Context<'_>, setbacks: u8) -> Option<(IpAddr, SocketAddr)> {
        // After a redirection only that server's one address is known.
        let server = context.servers.find(&self.server).filter(|_| self.visited.is_empty());
        let known = server.map_or(&[][..], |server| server.addresses());
        let usable = context.addresses.usable(context.config).into_iter().filter_map(|one| {
            let is_same = |ip: &IpAddr| ip.is_ipv4() == one.address.is_ipv4();
            let ip = Some(self.address.ip()).filter(is_same).or_else(|| known.iter().copied().find(is_same));
            Some((one.address, SocketAddr::new(ip?, self.address.port())))
        });
        let ends: Vec<_> = usable.collect();
        ends.get(usize::from(setbacks) % ends.len().max(1)).copied()
    }
}
