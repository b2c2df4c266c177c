//! Relayed IPv6 addresses from servers that give one only when it is asked for alone.

use std::net::SocketAddr;

use columba_turn::client::{Client, Families};

use super::super::ids::RelayId;
use super::relay::Attempt;
use super::{Context, Relays};

impl Relays {
    /// Asks each server that was asked for both families for IPv6 alone, once: servers from before
    /// RFC 8656 give an IPv6 address in no other way. Returns whether any was asked.
    pub(in crate::agent) fn bridge_families(&mut self, context: &mut Context<'_>) -> bool {
        let live = self.relays.iter().filter(|(_, relay)| {
            let is_live = relay.client().is_some_and(Client::is_live);
            is_live && relay.attempt.families == Families::Both && !relay.bridged && !relay.is_retired()
        });
        let live: Vec<RelayId> = live.map(|(id, _)| *id).collect();
        let mut asked = false;
        for id in live {
            let has_room = self.has_room();
            let Some(relay) = self.relays.get_mut(&id).filter(|_| has_room) else { continue };
            relay.bridged = true;
            let attempt = Attempt { retries: 0, families: Families::Ipv6, ..relay.attempt.clone() };
            self.begin(context, attempt);
            asked = true;
        }
        asked
    }
}

/// Returns whether this is an IPv6 address that reaches beyond its link.
pub(in crate::agent) fn is_wide_ipv6(address: &SocketAddr) -> bool {
    match address {
        SocketAddr::V4(_) => false,
        SocketAddr::V6(v6) => !v6.ip().is_unicast_link_local() && !v6.ip().is_loopback(),
    }
}
