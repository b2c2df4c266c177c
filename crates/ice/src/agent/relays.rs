//! Relays: allocations at TURN servers, over UDP, TCP or TLS.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use columba_stun::ErrorCode;
use columba_turn::client::{self, Client, Failure, Families};

use super::addresses::{Local, Purpose};
use super::gather::{Resolution, Server};
use super::{Agent, Base};
use crate::candidate::{Candidate, CandidateAddress, CandidateKind, CandidateTransport, priority};
use crate::config::{Host, IceServer, LocalAddress, ServerKind};
use crate::event::{BindId, ConnectId, Request};
use crate::framing::Framing;
use crate::path::{Path, Transport};

/// Names an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RelayId(pub(super) u32);

/// One allocation, or the attempt at one.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) server: IceServer,
    /// The server's address; another one than configured after a redirection.
    pub(super) address: SocketAddr,
    pub(super) local: IpAddr,
    pub(super) leg: Leg,
    /// How often this allocation was begun anew, on another port or at another server.
    attempts: u8,
    /// Servers that have sent this allocation on to another one.
    pub(super) visited: Vec<SocketAddr>,
    /// The relayed addresses that were asked for.
    pub(super) families: Families,
    /// An IPv6 address alone was asked for, too, for what it may be worth.
    pub(super) bridged: bool,
    /// The last generation in which the server was asked whether the allocation is still there, because checks went unanswered.
    doubted: Option<u32>,
    /// The configuration does not have its server any more: it goes when its last pair does.
    retired: bool,
}

/// The way to the server.
#[derive(Debug)]
pub(super) enum Leg {
    Binding,
    Connecting(ConnectId),
    Open {
        path: Path,
        client: Box<Client>,
    },
    /// The address from which the server was spoken to is gone, and the allocation comes along to another one.
    Moving {
        client: Box<Client>,
        /// None as long as there is no address.
        way: Option<Way>,
    },
}

/// What a relay on the move waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Socket,
    Connection(ConnectId),
}

/// Allocations, at most: for each server and address one, the first ones count.
const MAX_RELAYS: usize = 16;

/// How often an allocation is begun anew after a mismatch or a loss.
const MAX_ATTEMPTS: u8 = 4;

impl Relay {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.leg {
            Leg::Open { client, .. } => client.poll_timeout(),
            _ => None,
        }
    }

    pub(super) fn client(&self) -> Option<&Client> {
        match &self.leg {
            Leg::Open { client, .. } | Leg::Moving { client, .. } => Some(client),
            _ => None,
        }
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired
    }

    /// Whether both are at the same server of the configuration.
    pub(super) fn is_for_same(&self, other: &Self) -> bool {
        self.server == other.server && self.families == other.families
    }

    pub(super) fn path(&self) -> Option<Path> {
        match self.leg {
            Leg::Open { path, .. } => Some(path),
            _ => None,
        }
    }

    pub(super) fn open(&mut self) -> Option<(Path, &mut Client)> {
        match &mut self.leg {
            Leg::Open { path, client } => Some((*path, client)),
            _ => None,
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        self.client().is_none_or(|client| !client.is_live() && !client.is_releasing() && !client.is_ended())
    }
}

impl Agent {
    /// Begins an allocation for each server and address that has none.
    pub(super) fn open_relays(&mut self) {
        let mut wanted = Vec::new();
        for server in self.servers.iter().filter(|server| server.config.kind == ServerKind::Turn) {
            if server.config.transport == Transport::Udp && !self.config.udp {
                continue;
            }
            let Resolution::Known(addresses) = &server.addresses else { continue };
            for one in self.usable_addresses() {
                let same_family = addresses.iter().find(|ip| ip.is_ipv4() == one.address.is_ipv4());
                let Some(ip) = same_family else { continue };
                let remote = SocketAddr::new(*ip, server.config.port);
                wanted.push((server.config.clone(), remote, one.address));
            }
        }
        for (server, remote, local) in wanted {
            let exists = self.relays.values().any(|relay| {
                relay.server == server
                    && relay.local == local
                    && relay.families == Families::Both
                    && !relay.retired
                    && !relay.client().is_some_and(Client::is_releasing)
            });
            if !exists && self.has_room_for_relay() {
                self.open_relay(server, remote, local, (0, Vec::new()), Families::Both);
            }
        }
    }

    pub(super) fn has_room_for_relay(&self) -> bool {
        self.relays.len() < MAX_RELAYS
    }

    pub(super) fn open_relay(
        &mut self,
        server: IceServer,
        address: SocketAddr,
        local: IpAddr,
        (attempts, visited): (u8, Vec<SocketAddr>),
        families: Families,
    ) {
        let id = RelayId(self.new_id());
        let leg = match server.transport {
            Transport::Udp => {
                self.open_socket(local, Purpose::Relay(id));
                Leg::Binding
            }
            Transport::Tcp | Transport::Tls => {
                Leg::Connecting(self.connect_to_server(&server, local, address))
            }
        };
        let relay = Relay {
            server,
            address,
            local,
            leg,
            attempts,
            visited,
            families,
            bridged: false,
            doubted: None,
            retired: false,
        };
        self.relays.insert(id, relay);
    }

    /// The certificate is always that of the configured server, whoever has sent us on (RFC 8489 §10).
    pub(super) fn connect_to_server(
        &mut self,
        server: &IceServer,
        local: IpAddr,
        remote: SocketAddr,
    ) -> ConnectId {
        let id = ConnectId(u64::from(self.new_id()));
        let name = match &server.host {
            Host::Name(name) => name.clone(),
            Host::Ip(ip) => ip.to_string().into(),
        };
        let tls = (server.transport == Transport::Tls).then_some(name);
        let local = SocketAddr::new(local, 0);
        self.requests.push_back(Request::Connect { id, local, remote, tls, framing: Framing::Stun });
        id
    }

    pub(super) fn handle_relay_bound(&mut self, now: Instant, id: RelayId, local: SocketAddr) {
        let Some(relay) = self.relays.get(&id) else { return };
        let path = Path::udp(local, relay.address);
        self.open_leg(now, id, path);
    }

    pub(super) fn handle_connected(&mut self, now: Instant, id: ConnectId, path: Path) {
        let path = Path::new(path.transport, path.local, path.remote);
        self.clogged.remove(&path);
        match self.relay_connecting(id) {
            Some(relay) => self.open_leg(now, relay, path),
            None if self.handle_stream_connected(now, id, path) => {}
            None => self.requests.push_back(Request::CloseStream { path }),
        }
    }

    pub(super) fn handle_connect_failed(&mut self, now: Instant, id: ConnectId) {
        if self.handle_stream_refused(now, id) {
            return;
        }
        if let Some(relay) = self.relay_connecting(id) {
            self.fail_leg(now, relay, "the connection to the server could not be opened");
        }
    }

    /// There is no way to the server.
    pub(super) fn fail_leg(&mut self, now: Instant, id: RelayId, text: &str) {
        match self.relays.get(&id).map(|relay| &relay.leg) {
            Some(Leg::Moving { .. }) => self.lose_relay(now, id),
            _ => self.fail_relay(now, id, None, text),
        }
    }

    fn relay_connecting(&self, id: ConnectId) -> Option<RelayId> {
        let is_meant = |relay: &Relay| match relay.leg {
            Leg::Connecting(one) => one == id,
            Leg::Moving { way, .. } => way == Some(Way::Connection(id)),
            _ => false,
        };
        self.relays.iter().find(|(_, relay)| is_meant(relay)).map(|(id, _)| *id)
    }

    fn open_leg(&mut self, now: Instant, id: RelayId, path: Path) {
        if !self.resume_relay(now, id, path) {
            self.start_client(now, id, path);
        }
    }

    fn start_client(&mut self, now: Instant, id: RelayId, path: Path) {
        let Some(relay) = self.relays.get_mut(&id) else { return };
        let forbidden = |server: &Server| server.config == relay.server && server.forbids_mobility;
        let config = client::Config {
            mobility: self.config.mobility && !self.servers.iter().any(forbidden),
            username: relay.server.username.clone(),
            password: relay.server.credential.clone(),
            stream: path.transport.is_stream(),
            families: relay.families,
            rto: self.config.timings.server_rto,
            quick_repetitions: self.config.timings.quick_repetitions,
        };
        relay.leg = Leg::Open { path, client: Box::new(Client::new(config, now, &mut self.rng)) };
    }

    /// A connection is gone.
    pub(super) fn handle_closed(&mut self, now: Instant, path: Path) {
        let path = Path::new(path.transport, path.local, path.remote);
        if self.handle_stream_closed(now, &path) {
            return;
        }
        let found = self
            .relays
            .iter()
            .find(|(_, relay)| matches!(relay.leg, Leg::Open { path: one, .. } if one == path));
        let Some(id) = found.map(|(id, _)| *id) else { return };
        match self.relays.get_mut(&id) {
            // The connection is gone, but not the allocation.
            Some(relay) if relay.client().is_some_and(Client::is_mobile) && relay.attempts < MAX_ATTEMPTS => {
                relay.attempts += 1;
                self.uproot_relay(id);
                self.settle_relays();
            }
            _ => self.lose_relay(now, id),
        }
    }

    /// Lets the clients act on time, and acts on what they say.
    pub(super) fn drive_relays(&mut self, now: Instant) {
        let due: Vec<RelayId> = self
            .relays
            .iter()
            .filter(|(_, relay)| relay.poll_timeout().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            if let Some((_, client)) = self.relays.get_mut(&id).and_then(Relay::open) {
                client.handle_timeout(now);
            }
            self.drain_relay(now, id);
        }
    }

    pub(super) fn drain_relay(&mut self, now: Instant, id: RelayId) {
        while let Some((_, client)) = self.relays.get_mut(&id).and_then(Relay::open) {
            match client.poll_event() {
                None => break,
                Some(client::Event::Allocated { relayed, mapped }) => {
                    self.note_mobility(id);
                    for address in relayed {
                        self.add_relayed(now, id, address, mapped);
                    }
                    self.bridge_families(now);
                }
                Some(client::Event::Failed(failure)) => self.handle_failure(now, id, &failure),
                Some(client::Event::Moved) => self.handle_relay_moved(now, id),
                Some(client::Event::Lost) => self.lose_relay(now, id),
                Some(client::Event::PeerRefused(ip)) => {
                    self.remove_pairs(|pair| pair.base == Base::Relay(id) && pair.address.ip() == ip);
                }
                Some(_) => {}
            }
        }
    }

    /// A server that forbids mobility is not asked for it again.
    fn note_mobility(&mut self, id: RelayId) {
        let Some(relay) = self.relays.get(&id) else { return };
        if relay.client().is_some_and(Client::is_mobility_forbidden) {
            let servers = self.servers.iter_mut().filter(|server| server.config == relay.server);
            servers.for_each(|server| server.forbids_mobility = true);
        }
    }

    fn add_relayed(&mut self, now: Instant, id: RelayId, address: SocketAddr, mapped: Option<SocketAddr>) {
        let Some(relay) = self.relays.get(&id) else { return };
        let (protocol, local) = (relay.server.transport, relay.local);
        let (server, url) = (relay.address.ip(), relay.server.url.clone());
        // The nearer the way to the server is to plain datagrams, the better; as libwebrtc has it.
        let preference = match protocol {
            Transport::Udp => 2,
            Transport::Tcp => 1,
            Transport::Tls => 0,
        };
        // A relay that must not translate between families is the better one.
        let same_family = address.is_ipv4() == local.is_ipv4();
        let local_preference = self.local_preference(local).saturating_sub(if same_family { 0 } else { 256 });
        let kind = CandidateKind::Relayed;
        let candidate = Candidate {
            foundation: self.foundation(kind, address.ip(), Some(server), protocol),
            transport: CandidateTransport::Udp,
            priority: priority(preference, local_preference),
            address: CandidateAddress::Ip(address.ip()),
            port: address.port(),
            kind,
            related: mapped.map(|mapped| self.shown_related(mapped)),
            ufrag: None,
            network_cost: self.network_cost(local),
            url: Some(url),
        };
        let (base, relay_protocol) = (Base::Relay(id), Some(protocol));
        self.add_local(now, Local { base, address, candidate, shown: true, announced: None, relay_protocol });
    }

    fn handle_failure(&mut self, now: Instant, id: RelayId, failure: &Failure) {
        let Some(relay) = self.relays.get(&id) else { return };
        let again = match (failure.code, failure.alternate) {
            (_, Some(alternate)) => self.follow_redirection(relay, alternate),
            // The 5-tuple is somebody's already: another port.
            (Some(ErrorCode::ALLOCATION_MISMATCH), _) if relay.attempts < MAX_ATTEMPTS => {
                Some((relay.local, relay.address, relay.visited.clone()))
            }
            _ => None,
        };
        match again {
            Some((local, address, visited)) => {
                let (server, families) = (relay.server.clone(), relay.families);
                let attempts = relay.attempts + 1;
                self.discard_relay(now, id);
                self.open_relay(server, address, local, (attempts, visited), families);
            }
            None => self.fail_relay(now, id, failure.code, &failure.text),
        }
    }

    /// The allocation is gone, and its pairs with it; another one is tried for.
    fn lose_relay(&mut self, now: Instant, id: RelayId) {
        let Some(relay) = self.relays.get(&id) else { return };
        let (server, address, local) = (relay.server.clone(), relay.address, relay.local);
        let (attempts, visited, families) = (relay.attempts + 1, relay.visited.clone(), relay.families);
        let again = attempts <= MAX_ATTEMPTS && !relay.retired;
        self.discard_relay(now, id);
        if again {
            self.open_relay(server, address, local, (attempts, visited), families);
        }
    }

    pub(super) fn fail_relay(&mut self, now: Instant, id: RelayId, code: Option<ErrorCode>, text: &str) {
        let Some(relay) = self.relays.get(&id) else { return };
        let url = relay.server.url.clone();
        let local = match &relay.leg {
            Leg::Open { path, .. } => Some(path.local),
            _ => None,
        };
        // What nobody has configured is nobody's error.
        if relay.families == Families::Both {
            self.report(local, url, code.map_or(701, ErrorCode::number), text);
        }
        self.discard_relay(now, id);
    }

    /// Those who have not answered by now are given up. What one of them allocates nevertheless is given back.
    pub(super) fn give_up_relays(&mut self, now: Instant) {
        let pending: Vec<RelayId> =
            self.relays.iter().filter(|(_, relay)| relay.is_pending()).map(|(id, _)| *id).collect();
        for id in pending {
            let text = "the server did not answer";
            let opened = self.relays.get_mut(&id).and_then(Relay::open).map(|(path, client)| {
                client.release(now);
                (path.local, client.is_releasing())
            });
            match (opened, self.relays.get(&id)) {
                (Some((local, true)), Some(relay)) => {
                    let url = relay.server.url.clone();
                    self.report(Some(local), url, 701, text);
                }
                _ => self.fail_relay(now, id, None, text),
            }
        }
    }

    /// Removes a relay with its socket or connection and all that came of it, without a goodbye.
    fn discard_relay(&mut self, _now: Instant, id: RelayId) {
        self.close_leg(id);
        self.relays.remove(&id);
        self.remove_locals(Base::Relay(id));
    }

    /// Closes a relay's socket or connection.
    pub(super) fn close_leg(&mut self, id: RelayId) {
        if let Some(path) = self.relays.get(&id).and_then(Relay::path)
            && path.transport.is_stream()
        {
            self.requests.push_back(Request::CloseStream { path });
        }
        let sockets: Vec<BindId> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.purpose == Purpose::Relay(id))
            .map(|(id, _)| *id)
            .collect();
        for socket in sockets {
            if let Some(local) = self.sockets.remove(&socket).and_then(|socket| socket.local) {
                self.requests.push_back(Request::CloseUdp { local });
            }
        }
    }

    /// Takes relays along, or gives them up, that are not spoken to from one of the addresses that are kept. Where the address is still there, although it is not
    /// to be used any more, the server hears of it.
    pub(super) fn leave_relays(&mut self, now: Instant, kept: &[IpAddr], there: &[LocalAddress]) {
        self.take_relays_along(kept, there);
        let is_left =
            |relay: &Relay| !kept.contains(&relay.local) && !matches!(relay.leg, Leg::Moving { .. });
        let left: Vec<RelayId> =
            self.relays.iter().filter(|(_, relay)| is_left(relay)).map(|(id, _)| *id).collect();
        for id in left {
            let Some(relay) = self.relays.get_mut(&id) else { continue };
            if there.iter().any(|one| columba_stun::canonical_ip(one.address) == relay.local) {
                relay.retired = true;
                self.remove_locals(Base::Relay(id));
            } else if relay.client().is_some_and(Client::is_mobile) {
                // It says goodbye from elsewhere.
                relay.retired = true;
                self.remove_locals(Base::Relay(id));
                self.uproot_relay(id);
            } else {
                self.discard_relay(now, id);
            }
        }
        self.settle_relays();
    }

    /// Relays that the configuration does not let be used any more, or lets be used again.
    pub(super) fn retire_relays(&mut self) {
        let usable = self.usable_addresses();
        for relay in self.relays.values_mut() {
            let (is_moving, is_homeless) = match relay.leg {
                Leg::Moving { way, .. } => (true, way.is_none()),
                _ => (false, false),
            };
            if is_moving && relay.retired {
                // On its way to say goodbye.
                continue;
            }
            let is_usable = is_homeless || usable.iter().any(|one| one.address == relay.local);
            relay.retired = !is_usable || !self.servers.iter().any(|server| server.config == relay.server);
        }
    }

    pub(super) fn is_relay_current(&self, id: RelayId) -> bool {
        self.relays.get(&id).is_some_and(|relay| !relay.retired)
    }

    pub(super) fn permit(&mut self, now: Instant, id: RelayId, peer: IpAddr) {
        if let Some((_, client)) = self.relays.get_mut(&id).and_then(Relay::open) {
            client.permit(now, peer);
        }
    }

    pub(super) fn probe_relay(&mut self, now: Instant, id: RelayId) {
        if let Some((_, client)) = self.relays.get_mut(&id).and_then(Relay::open) {
            client.probe(now);
        }
    }

    /// A check through a relay goes unanswered. If none has ever been answered there, a NAT may have forgotten its mapping, so that the
    /// server does not know this host any more: it is asked, once in a generation.
    pub(super) fn doubt_relay(&mut self, now: Instant, id: RelayId) {
        let number = self.session().number;
        if self.pairs.values().any(|pair| pair.base == Base::Relay(id) && pair.is_valid()) {
            return;
        }
        if let Some(relay) = self.relays.get_mut(&id).filter(|relay| relay.doubted != Some(number)) {
            relay.doubted = Some(number);
            self.probe_relay(now, id);
        }
    }

    pub(super) fn bind_channel(&mut self, now: Instant, id: RelayId, peer: SocketAddr) {
        if let Some((_, client)) = self.relays.get_mut(&id).and_then(Relay::open) {
            client.bind(now, peer);
        }
    }

    pub(super) fn is_permitted(&self, base: Base, peer: IpAddr) -> bool {
        match base {
            Base::Socket(_) | Base::Tcp(_) => true,
            Base::Relay(id) => {
                self.relays.get(&id).and_then(Relay::client).is_some_and(|client| client.is_permitted(peer))
            }
        }
    }

    /// Whether a pair could never be checked: the relay's server has refused to send there.
    pub(super) fn is_refused(&self, base: Base, peer: IpAddr) -> bool {
        let Base::Relay(id) = base else { return false };
        self.relays.get(&id).and_then(Relay::client).is_some_and(|client| client.is_refused(peer))
    }

    /// Releases what nobody needs any more, and closes what is released.
    pub(super) fn sweep_relays(&mut self, now: Instant) {
        let mut ended = Vec::new();
        for (id, relay) in &mut self.relays {
            let used = self.pairs.values().any(|pair| pair.base == Base::Relay(*id));
            let retired = relay.retired;
            match &mut relay.leg {
                Leg::Open { client, .. } => {
                    if retired && !used {
                        client.release(now);
                    }
                    if client.is_ended() {
                        ended.push(*id);
                    }
                }
                // The goodbye is still to be said.
                Leg::Moving { way: Some(_), .. } => {}
                _ if retired => ended.push(*id),
                _ => {}
            }
        }
        for id in ended {
            self.discard_relay(now, id);
        }
    }

    /// Says goodbye to servers and closes the rest.
    pub(super) fn release_everything(&mut self, now: Instant) {
        for relay in self.relays.values_mut() {
            relay.retired = true;
        }
        self.close_hosts(now);
    }

    /// Closes the sockets of host candidates, and what lives on them once it has said goodbye.
    pub(super) fn close_hosts(&mut self, now: Instant) {
        let hosts: Vec<BindId> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.purpose == Purpose::Host)
            .map(|(id, _)| *id)
            .collect();
        for id in hosts {
            self.close_socket(id);
        }
        self.close_tcp_except(&[]);
        self.locals.clear();
        self.sweep_relays(now);
    }
}
