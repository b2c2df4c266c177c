//! The host's addresses: sockets on them, and the candidates that come of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use columba_stun::canonical;

use super::pool::Pool;
use super::relays::RelayId;
use super::{Agent, Base, mdns_name};
use crate::candidate::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, priority, tcp_local_preference,
};
use crate::config::{AddressPolicy, LocalAddress, MdnsMode};
use crate::event::{BindId, Event, GatheringState, Request, State};
use crate::path::Transport;

/// A UDP socket that was asked for.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) address: IpAddr,
    pub(super) purpose: Purpose,
    /// Where it is bound, once it is.
    pub(super) local: Option<SocketAddr>,
    /// The configuration does not let it be used any more: it goes when its last pair does.
    retired: bool,
}

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Host,
    /// One allocation: it needs a 5-tuple of its own.
    Relay(RelayId),
}

/// A candidate of this agent's.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) base: Base,
    /// The address itself, even where a name hides it.
    pub(super) address: SocketAddr,
    /// As it is shown to the other side, but for the user name fragment.
    pub(super) candidate: Candidate,
    /// Whether the other side learns of it at all.
    pub(super) shown: bool,
    /// The last generation for which the other side was told.
    pub(super) announced: Option<u32>,
    pub(super) relay_protocol: Option<Transport>,
}

/// What candidates of one foundation have in common (RFC 8445 §5.1.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundationKey {
    kind: CandidateKind,
    base: IpAddr,
    server: Option<IpAddr>,
    protocol: Transport,
}

/// Addresses that are used, at most: a host with more of them has containers, not networks.
const MAX_ADDRESSES: usize = 16;

/// Foundations that are remembered, at most; later candidates share the last.
const MAX_FOUNDATIONS: usize = 1000;

impl Agent {
    /// These are the host's addresses now; to be called before the first [`gather`](Self::gather) and after each change. Sockets of
    /// addresses that are gone are closed, and new addresses used at once; a candidate pool begins to be filled.
    pub fn handle_network_change(&mut self, now: Instant, addresses: &[LocalAddress]) {
        let before = std::mem::replace(&mut self.addresses, addresses.to_vec());
        if self.state == State::Closed {
            return;
        }
        if matches!(self.pool, Pool::Untouched) {
            return self.fill_pool(now);
        }
        // The same address in another network is another one: what NATs and servers know of it is void.
        let is_old = |one: &LocalAddress| {
            before.iter().all(|old| old.address != one.address || old.network == one.network)
        };
        let there: Vec<LocalAddress> = self.addresses.iter().copied().filter(is_old).collect();
        let kept: Vec<IpAddr> =
            self.usable_addresses().iter().filter(|one| is_old(one)).map(|one| one.address).collect();
        self.leave_relays(now, &kept, &there);
        let gone: Vec<BindId> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.purpose == Purpose::Host && !kept.contains(&socket.address))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.close_socket(id);
        }
        self.close_tcp_except(&kept);
        // After a restart `gather` opens new ones.
        if self.is_pooling() || self.gathering != GatheringState::New {
            self.open_sockets(now);
        }
        self.update(now);
    }

    /// The addresses that the configuration lets use, best first.
    pub(super) fn usable_addresses(&self) -> Vec<LocalAddress> {
        let is_loopback = |one: &LocalAddress| one.address.is_loopback();
        let only_loopback = self.addresses.iter().all(is_loopback);
        let mut usable: Vec<LocalAddress> = self
            .addresses
            .iter()
            .map(|one| LocalAddress { address: columba_stun::canonical_ip(one.address), ..*one })
            .filter(|one| !one.address.is_unspecified() && !one.address.is_multicast())
            .filter(|one| !is_loopback(one) || only_loopback || self.config.loopback)
            .filter(|one| self.config.address_policy == AddressPolicy::All || one.default_route)
            .filter(|one| !is_deprecated(one.address) && !self.is_hidden_by_temporary(one))
            .collect();
        usable.sort_by_key(|one| (one.network_cost, !one.default_route, is_unique_local(one.address)));
        usable.dedup_by_key(|one| one.address);
        if self.config.address_policy != AddressPolicy::All {
            let mut families = [true; 2];
            usable.retain(|one| std::mem::take(&mut families[usize::from(one.address.is_ipv4())]));
        }
        usable.truncate(MAX_ADDRESSES);
        usable
    }

    /// A stable address tells who the host is; where a temporary one of the same prefix exists, that is used (RFC 8981).
    fn is_hidden_by_temporary(&self, one: &LocalAddress) -> bool {
        let IpAddr::V6(address) = one.address else { return false };
        !one.temporary
            && self.addresses.iter().any(|other| match other.address {
                IpAddr::V6(temporary) if other.temporary => {
                    temporary.segments()[..4] == address.segments()[..4]
                }
                _ => false,
            })
    }

    /// IPv6 and IPv4 in turn, each in the order of preference (RFC 8421 §4), so that no family must wait for the other's end.
    pub(super) fn local_preference(&self, address: IpAddr) -> u16 {
        let usable = self.usable_addresses();
        let of_family = usable.iter().filter(|one| one.address.is_ipv4() == address.is_ipv4());
        let index = of_family.map(|one| one.address).position(|one| one == address).unwrap_or(MAX_ADDRESSES);
        let rank = 2 * index + usize::from(address.is_ipv4());
        u16::MAX - u16::try_from(rank).unwrap_or(u16::MAX)
    }

    /// Asks for a socket for each address that has none.
    pub(super) fn open_sockets(&mut self, now: Instant) {
        if !self.config.is_relay_only() {
            for one in self.usable_addresses() {
                let exists = self
                    .sockets
                    .values()
                    .any(|socket| socket.address == one.address && socket.purpose == Purpose::Host);
                if !self.config.udp {
                    self.open_tcp(now, one.address);
                } else if !exists {
                    self.open_socket(one.address, Purpose::Host);
                }
            }
        }
        if !self.config.lite {
            self.open_relays();
        }
        if self.gathering == GatheringState::Complete && self.is_gathering_pending() {
            self.set_gathering(now, GatheringState::Gathering);
        }
    }

    pub(super) fn open_socket(&mut self, address: IpAddr, purpose: Purpose) -> BindId {
        let id = BindId(u64::from(self.new_id()));
        self.sockets.insert(id, Socket { address, purpose, local: None, retired: false });
        self.requests.push_back(Request::BindUdp { id, address });
        id
    }

    pub(super) fn handle_bound(&mut self, now: Instant, id: BindId, local: SocketAddr) {
        let local = canonical(local);
        let Some(socket) = self.sockets.get_mut(&id).filter(|socket| socket.local.is_none()) else {
            // Not wanted any more, or never.
            self.requests.push_back(Request::CloseUdp { local });
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
            Purpose::Relay(relay) => self.handle_relay_bound(now, relay, local),
        }
    }

    pub(super) fn handle_bind_failed(&mut self, now: Instant, id: BindId) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        match socket.purpose {
            Purpose::Host => self.open_tcp(now, socket.address),
            Purpose::Relay(relay) => self.fail_leg(now, relay, "no socket could be bound"),
        }
    }

    /// Closes a host candidate's socket with all that came of it.
    pub(super) fn close_socket(&mut self, id: BindId) {
        let Some(socket) = self.sockets.remove(&id) else { return };
        if let Some(local) = socket.local {
            self.requests.push_back(Request::CloseUdp { local });
        }
        self.transactions.retain(|_, transaction| transaction.base != Base::Socket(id));
        self.remove_locals(Base::Socket(id));
    }

    /// Sockets that the configuration does not let be used any more, or lets be used again.
    pub(super) fn retire_sockets(&mut self) {
        let usable = self.usable_addresses();
        let none = self.config.is_relay_only();
        for socket in self.sockets.values_mut().filter(|socket| socket.purpose == Purpose::Host) {
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

    /// Whether a candidate may be used and shown in a new generation.
    pub(super) fn is_local_current(&self, id: u32) -> bool {
        match self.locals.get(&id).map(|local| local.base) {
            Some(Base::Relay(relay)) => self.is_relay_current(relay),
            Some(Base::Socket(socket)) => self.sockets.get(&socket).is_some_and(|socket| !socket.retired),
            Some(Base::Tcp(base)) => self.is_tcp_current(base),
            None => false,
        }
    }

    pub(super) fn remove_locals(&mut self, base: Base) {
        self.locals.retain(|_, local| local.base != base);
        self.remove_pairs(|pair| pair.base == base);
        self.outbox.retain(|outgoing| outgoing.base != base);
    }

    /// Adds the candidate of a host's own address.
    pub(super) fn add_host(
        &mut self,
        now: Instant,
        base: Base,
        local: SocketAddr,
        transport: CandidateTransport,
    ) {
        let ip = local.ip();
        let policy = self.config.address_policy;
        let shown = !matches!(policy, AddressPolicy::DefaultRouteHidden | AddressPolicy::RelayOnly);
        let hidden = shown && self.config.mdns == MdnsMode::QueryAndGather && !ip.is_loopback();
        let address =
            if hidden { CandidateAddress::Name(self.name_of(ip)) } else { CandidateAddress::Ip(ip) };
        let of_address = self.local_preference(ip);
        let (protocol, type_preference, local_preference) = match transport {
            CandidateTransport::Udp => (Transport::Udp, CandidateKind::Host.preference(), of_address),
            CandidateTransport::Tcp(tcp_type) => (
                Transport::Tcp,
                CandidateKind::Host.tcp_preference(),
                tcp_local_preference(CandidateKind::Host, tcp_type, of_address),
            ),
        };
        let candidate = Candidate {
            foundation: self.foundation(CandidateKind::Host, ip, None, protocol),
            transport,
            priority: priority(type_preference, local_preference),
            address,
            port: local.port(),
            kind: CandidateKind::Host,
            related: None,
            ufrag: None,
            network_cost: self.network_cost(ip),
            url: None,
        };
        self.add_local(
            now,
            Local { base, address: local, candidate, shown, announced: None, relay_protocol: None },
        );
    }

    /// The mDNS name that hides an address: one for all candidates of it.
    fn name_of(&mut self, ip: IpAddr) -> Arc<str> {
        let mut hosts = self.locals.values().filter(|local| local.candidate.kind == CandidateKind::Host);
        let known = hosts.find_map(|local| match &local.candidate.address {
            CandidateAddress::Name(name) if local.address.ip() == ip => Some(name.clone()),
            _ => None,
        });
        known.unwrap_or_else(|| {
            let host = mdns_name(&mut self.rng);
            self.requests.push_back(Request::PublishMdns { host: host.clone(), address: ip });
            host
        })
    }

    /// Adds a candidate unless it says nothing new, announces and pairs it.
    pub(super) fn add_local(&mut self, now: Instant, local: Local) {
        let known =
            self.locals.iter_mut().find(|(_, one)| one.base == local.base && one.address == local.address);
        if let Some((id, known)) = known {
            if known.candidate.kind == CandidateKind::PeerReflexive {
                // A check was quicker than the server; in a later generation nobody will have seen it.
                *known = local;
                let id = *id;
                self.announce(id);
            }
            return;
        }
        let id = self.new_id();
        self.locals.insert(id, local);
        self.announce(id);
        self.pair_local(now, id);
    }

    /// Tells the other side, once in each generation, and not before anybody wants to know.
    pub(super) fn announce(&mut self, id: u32) {
        if self.gathering == GatheringState::New {
            return;
        }
        let session = self.session();
        let (number, ufrag) = (session.number, session.local.ufrag.clone());
        let Some(local) = self.locals.get_mut(&id) else { return };
        let discovered = local.candidate.kind == CandidateKind::PeerReflexive;
        if local.shown && !discovered && local.announced != Some(number) {
            local.announced = Some(number);
            local.candidate.ufrag = Some(ufrag);
            self.events.push_back(Event::LocalCandidate(local.candidate.clone()));
        }
    }

    pub(super) fn foundation(
        &mut self,
        kind: CandidateKind,
        base: IpAddr,
        server: Option<IpAddr>,
        protocol: Transport,
    ) -> Arc<str> {
        let key = FoundationKey { kind, base, server, protocol };
        let index = self.foundations.iter().position(|known| *known == key).unwrap_or_else(|| {
            if self.foundations.len() < MAX_FOUNDATIONS {
                self.foundations.push(key);
            }
            self.foundations.len() - 1
        });
        (index + 1).to_string().into()
    }

    pub(super) fn network_cost(&self, ip: IpAddr) -> Option<u16> {
        let found = self.addresses.iter().find(|one| columba_stun::canonical_ip(one.address) == ip);
        found.map(|one| one.network_cost).filter(|cost| *cost > 0)
    }

    /// What may be shown as the address from which another candidate was had.
    pub(super) fn shown_related(&self, address: SocketAddr) -> SocketAddr {
        match address {
            address if self.config.shows_addresses() => address,
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        }
    }
}

/// IPv6 addresses that reach no further than their site (RFC 4193).
fn is_unique_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unique_local())
}

/// Addresses that RFC 8445 §5.1.1.1 forbids: site-local, and IPv4 in the deprecated form of IPv6.
fn is_deprecated(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => {
            let segments = ip.segments();
            let compatible = segments[..6] == [0; 6] && !ip.is_loopback();
            compatible || segments[0] & 0xFFC0 == 0xFEC0
        }
    }
}
