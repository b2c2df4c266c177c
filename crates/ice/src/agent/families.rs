//! From one family to the other: relays whose IPv6 address must be asked for alone.

use std::net::SocketAddr;
use std::time::Instant;

use columba_turn::client::{Client, Families};

use super::Agent;
use super::relays::RelayId;
use crate::event::GatheringState;

impl Agent {
    /// Where the other side has IPv6 and nothing here does, not even a relay that was asked for both families, servers are asked for IPv6
    /// alone: those from before RFC 8656 give it in no other way, and there may be no other path. Each relay leads to that once.
    pub(super) fn bridge_families(&mut self, now: Instant) {
        let session = self.session().number;
        let is_there = |address: &SocketAddr| match address {
            SocketAddr::V4(_) => false,
            SocketAddr::V6(v6) => !v6.ip().is_unicast_link_local() && !v6.ip().is_loopback(),
        };
        let theirs = self.remotes.values().any(|one| one.session == session && is_there(&one.address));
        if !theirs || self.locals.values().any(|local| is_there(&local.address)) {
            return;
        }
        let live = self.relays.iter().filter(|(_, relay)| {
            let is_live = relay.client().is_some_and(Client::is_live);
            is_live && relay.families == Families::Both && !relay.bridged && !relay.is_retired()
        });
        let live: Vec<RelayId> = live.map(|(id, _)| *id).collect();
        for id in live {
            let has_room = self.has_room_for_relay();
            let Some(relay) = self.relays.get_mut(&id).filter(|_| has_room) else { continue };
            relay.bridged = true;
            let (server, address, local) = (relay.server.clone(), relay.address, relay.local);
            let visited = relay.visited.clone();
            self.open_relay(server, address, local, (0, visited), Families::Ipv6);
            if self.gathering == GatheringState::Complete {
                self.set_gathering(now, GatheringState::Gathering);
            }
        }
    }
}
