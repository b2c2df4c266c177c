//! From zone to zone: routes, translation, firewalls.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Event, Network, Packet, pass};
use crate::endpoint::Endpoint;
use crate::nat::Protocol;
use crate::topology::{Attachment, RouterId, ZoneId};
use crate::trace::Drop;

/// Routers that a packet may cross.
const MAX_HOPS: u8 = 16;

/// The time for which a stateful firewall lets answers in (the two minutes of RFC 4787 REQ-5).
const FLOW: Duration = Duration::from_secs(120);

impl<E: Endpoint> Network<E> {
    /// A packet is in a zone: to whom does it go?
    pub(super) fn forward(&mut self, zone: ZoneId, mut packet: Packet) {
        packet.hops += 1;
        if packet.hops > MAX_HOPS {
            return self.drop(packet, Drop::Loop);
        }
        let destination = packet.destination.ip();
        match self.zones[zone.0].attached.get(&destination).copied() {
            Some(Attachment::Interface(id)) => {
                let (link, state) = &mut self.interfaces[id.0].into;
                let passage = pass(link, state, self.now, &packet, &mut self.random);
                self.pass_on(passage, packet, |packet| Event::Arrive(id, packet));
            }
            Some(Attachment::Router(id)) => self.enter_router(id, packet),
            None => {
                if let Some(router) = self.zones[zone.0].route(destination) {
                    self.enter_router(router, packet);
                } else if let Some(router) = self.zones[zone.0].gateway {
                    let state = &mut self.routers[router.0];
                    let passage =
                        pass(&state.router.link, &mut state.out, self.now, &packet, &mut self.random);
                    self.pass_on(passage, packet, |packet| Event::Outward(router, packet));
                } else {
                    self.drop(packet, Drop::NoRoute);
                }
            }
        }
    }

    fn enter_router(&mut self, id: RouterId, packet: Packet) {
        let state = &mut self.routers[id.0];
        let passage = pass(&state.router.link, &mut state.into, self.now, &packet, &mut self.random);
        self.pass_on(passage, packet, |packet| Event::Inward(id, packet));
    }

    /// A packet from inside has reached a router.
    pub(super) fn outward(&mut self, id: RouterId, mut packet: Packet) {
        let state = &mut self.routers[id.0];
        let firewall = &state.router.firewall;
        let passes = match packet.protocol() {
            Protocol::Udp => firewall.udp,
            Protocol::Tcp => {
                firewall.tcp_ports.as_ref().is_none_or(|ports| ports.contains(&packet.destination.port()))
            }
        };
        if !passes {
            return self.drop(packet, Drop::Firewall);
        }
        if firewall.stateful {
            state.flows.insert((packet.source, packet.destination), self.now);
        }
        let back = state.router.outer.contains(&packet.destination.ip());
        if let Some(nat) = state.router.nat {
            let same_family = |address: &&std::net::IpAddr| address.is_ipv4() == packet.source.is_ipv4();
            let Some(outer) = state.router.outer.iter().find(same_family).copied() else {
                return self.drop(packet, Drop::NoRoute);
            };
            if back && !nat.hairpin {
                return self.drop(packet, Drop::Hairpin);
            }
            let pair = (packet.source, outer);
            let (protocol, remote) = (packet.protocol(), packet.destination);
            let port = state.nat.outbound(&nat, self.now, protocol, pair, remote, &mut self.random);
            packet.source = SocketAddr::new(outer, port);
        }
        let zone = state.outer_zone;
        if back { self.inward(id, packet) } else { self.forward(zone, packet) }
    }

    /// A packet from outside has reached a router.
    pub(super) fn inward(&mut self, id: RouterId, mut packet: Packet) {
        let state = &mut self.routers[id.0];
        if let Some(nat) = state.router.nat {
            let (protocol, outer) = (packet.protocol(), packet.destination);
            let Some(inner) = state.nat.inbound(&nat, self.now, protocol, outer, packet.source) else {
                return self.drop(packet, Drop::Nat);
            };
            packet.destination = inner;
        }
        if state.router.firewall.stateful {
            let flow = state.flows.get(&(packet.destination, packet.source));
            if flow.is_none_or(|sent| self.now.saturating_duration_since(*sent) > FLOW) {
                return self.drop(packet, Drop::Firewall);
            }
        }
        let zone = state.inner;
        self.forward(zone, packet);
    }
}
