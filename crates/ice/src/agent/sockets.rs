//! The sockets of the host's addresses: opened, and closed when the network changes.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use columba_stun::canonical;

use super::Agent;
use super::gathering::Pool;
use super::ids::{Base, LocalId, RelayId};
use super::socket::{Purpose, Socket};
use crate::candidate::CandidateTransport;
use crate::config::LocalAddress;
use crate::event::{BindId, GatheringState, Request, State};

impl Agent {
    /// Takes in the host's addresses; to be called before the first [`gather`](Self::gather) and
    /// after each change. Sockets of addresses that are gone are closed, and new addresses used at
    /// once; a candidate pool begins to be filled.
    pub fn handle_network_change(&mut self, now: Instant, addresses: &[LocalAddress]) {
        let before = self.addresses.replace(addresses);
        if self.state == State::Closed {
            return;
        }
        if matches!(self.gathering.pool, Pool::Untouched) {
            return self.fill_pool(now);
        }
        // The same address in another network is another one: what NATs and servers know of it is
        // void.
        let there = self.addresses.kept_since(&before);
        let usable = self.addresses.usable(&self.config);
        let kept = usable.iter().filter(|one| before.has_no_other(one)).map(|one| one.address);
        let kept: Vec<IpAddr> = kept.collect();
        self.leave_relays(now, &kept, &there);
        let gone: Vec<BindId> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.is_host() && !kept.contains(&socket.address))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.close_socket(id);
        }
        self.close_tcp_except(&kept);
        // After a restart `gather` opens new ones.
        if self.gathering.is_pooling() || self.gathering.state != GatheringState::New {
            self.open_sockets(now);
        }
        self.update(now);
    }

    /// Asks for a socket for each address that has none.
    pub(super) fn open_sockets(&mut self, now: Instant) {
        if !self.config.is_relay_only() {
            for one in self.addresses.usable(&self.config) {
                let exists =
                    self.sockets.values().any(|socket| socket.address == one.address && socket.is_host());
                if !self.config.udp {
                    self.open_tcp(now, one.address);
                } else if !exists {
                    self.open_socket(one.address, Purpose::Host);
                }
            }
        }
        if !self.config.lite {
            self.open_relays(now);
        }
        if self.gathering.state == GatheringState::Complete && self.is_gathering_pending() {
            self.set_gathering(now, GatheringState::Gathering);
        }
    }

    pub(super) fn open_socket(&mut self, address: IpAddr, purpose: Purpose) -> BindId {
        let id = self.ids.bind();
        self.sockets.insert(id, Socket::new(address, purpose));
        self.outputs.request(Request::BindUdp { id, address });
        id
    }

    pub(super) fn handle_bound(&mut self, now: Instant, id: BindId, local: SocketAddr) {
        let local = canonical(local);
        let Some(socket) = self.sockets.get_mut(&id).filter(|socket| socket.local.is_none()) else {
            // Not wanted any more, or never.
            self.outputs.request(Request::CloseUdp { local });
            return;
        };
        socket.local = Some(local);
        let address = socket.address;
        match socket.purpose {
            Purpose::Host => {
                self.add_host(now, Base::Socket(id), local, CandidateTransport::Udp);
                self.query_servers(now, id);
                self.open_tcp(now, address);
            }
            Purpose::Relay(relay) => {
                self.with_relays(now, |relays, context| relays.handle_bound(now, context, relay, local))
            }
        }
    }

    pub(super) fn handle_bind_failed(&mut self, now: Instant, id: BindId) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        match socket.purpose {
            Purpose::Host => self.open_tcp(now, socket.address),
            Purpose::Relay(relay) => {
                self.with_relays(now, |relays, context| relays.handle_bind_failed(now, context, relay));
            }
        }
    }

    /// Closes a host candidate's socket with all that came of it.
    pub(super) fn close_socket(&mut self, id: BindId) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        if let Some(local) = socket.local {
            self.outputs.request(Request::CloseUdp { local });
        }
        self.transactions.forget(Base::Socket(id), None);
        self.remove_locals(Base::Socket(id));
    }

    /// Sockets that the configuration does not let be used any more, or lets be used again.
    pub(super) fn retire_sockets(&mut self) {
        let usable = self.addresses.usable(&self.config);
        let none = self.config.is_relay_only();
        for socket in self.sockets.values_mut().filter(|socket| socket.is_host()) {
            socket.retired = none || !usable.iter().any(|one| one.address == socket.address);
        }
        self.retire_tcp(&usable);
    }

    /// Closes those of them over which nothing goes any more.
    pub(super) fn sweep_sockets(&mut self) {
        let retired = self.sockets.iter().filter(|(_, socket)| socket.retired);
        let unused =
            retired.filter(|(id, _)| !self.pairs.values().any(|pair| pair.base == Base::Socket(**id)));
        let unused: Vec<BindId> = unused.map(|(id, _)| *id).collect();
        for id in unused {
            self.close_socket(id);
        }
    }

    /// Returns whether a candidate may be used and announced in a new session.
    pub(super) fn is_local_current(&self, id: LocalId) -> bool {
        match self.locals.get(id).map(|local| local.base) {
            Some(Base::Relay(relay)) => self.relays.is_current(relay),
            Some(Base::Socket(socket)) => self.sockets.get(&socket).is_some_and(|socket| !socket.retired),
            Some(Base::Tcp(base)) => self.tcp.is_current(base),
            None => false,
        }
    }

    /// Closes the socket of a relay.
    pub(super) fn close_relay_socket(&mut self, relay: RelayId) {
        let purpose = Purpose::Relay(relay);
        let sockets = self.sockets.iter().filter(|(_, socket)| socket.purpose == purpose);
        for id in sockets.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(local) = self.sockets.remove(&id).and_then(|socket| socket.local) {
                self.outputs.request(Request::CloseUdp { local });
            }
        }
    }

    /// Closes all sockets and listeners of the host; those of relays are closed once the relays are
    /// released.
    pub(super) fn close_hosts(&mut self, now: Instant) {
        let hosts = self.sockets.iter().filter(|(_, socket)| socket.is_host());
        for id in hosts.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.close_socket(id);
        }
        self.close_tcp_except(&[]);
        self.locals.clear();
        self.sweep_relays(now);
    }
}
