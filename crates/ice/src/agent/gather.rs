//! Gathering: names of servers, reflexive addresses, and when it is done (RFC 8445 §5.1.1, RFC 8838).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use columba_stun::attributes::ErrorInfo;
use columba_stun::{Class, Message, MessageBuilder, Method, canonical};

use super::addresses::{Local, Purpose};
use super::transaction::{Kind, Transaction};
use super::{Agent, Base, TcpBase, TcpBaseId};
use crate::candidate::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, TcpType, priority, tcp_local_preference,
};
use crate::config::{Config, Host, IceServer, ServerKind};
use crate::event::{BindId, CandidateError, Event, GatheringState, Request, ResolveId, State};
use crate::path::Transport;

/// A server of the configuration.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: IceServer,
    pub(super) addresses: Resolution,
    /// TURN: it has said that allocations must not move.
    pub(super) forbids_mobility: bool,
}

/// What is known of a server's addresses.
#[derive(Debug)]
pub(super) enum Resolution {
    Pending(ResolveId),
    Known(Vec<IpAddr>),
}

/// W3C: the code for a server that was not reached.
const UNREACHABLE: u16 = 701;

/// Addresses of one server that are used, at most: one of each family, and some in reserve.
const MAX_SERVER_ADDRESSES: usize = 4;

/// Servers that are asked over TCP about one port, at most: the second is for when the first does not answer there.
const MAX_TCP_SERVERS: usize = 2;

impl Agent {
    /// Begins to gather, or to gather again after a restart: what is still good is announced again.
    pub fn gather(&mut self, now: Instant) {
        if self.state == State::Closed || self.gathering == GatheringState::Gathering {
            return;
        }
        let was_pooled = self.hand_out_pool();
        self.set_gathering(now, GatheringState::Gathering);
        self.add_servers();
        self.retire_relays();
        self.retire_sockets();
        let known: Vec<u32> = self.locals.keys().copied().collect();
        for id in known {
            if self.is_local_current(id) {
                self.announce(id);
            }
            if was_pooled {
                self.pair_local(now, id);
            }
        }
        self.open_sockets(now);
        let bound: Vec<BindId> = self
            .sockets
            .iter()
            // Those of a pool have asked already.
            .filter(|(_, socket)| !was_pooled && socket.purpose == Purpose::Host && socket.local.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in bound {
            self.query_servers(now, id);
        }
        self.open_missing_tcp(now);
        self.connect_all_to_servers(now);
        self.update(now);
    }

    /// Takes the configuration's servers, unless some are in use already.
    pub(super) fn add_servers(&mut self) {
        if self.servers.is_empty() && !self.config.lite {
            let servers: Vec<IceServer> =
                self.config.servers.iter().take(Config::MAX_SERVERS).cloned().collect();
            for config in servers {
                self.add_server(config);
            }
        }
    }

    fn add_server(&mut self, config: IceServer) {
        let addresses = match &config.host {
            Host::Ip(ip) => Resolution::Known(vec![columba_stun::canonical_ip(*ip)]),
            Host::Name(host) => {
                let host = host.clone();
                let same = self.servers.iter().find_map(|server| match server.addresses {
                    Resolution::Pending(id) if server.config.host == config.host => Some(id),
                    _ => None,
                });
                let id = same.unwrap_or_else(|| {
                    let id = ResolveId(u64::from(self.new_id()));
                    self.requests.push_back(Request::Resolve { id, host });
                    id
                });
                Resolution::Pending(id)
            }
        };
        self.servers.push(Server { config, addresses, forbids_mobility: false });
    }

    pub(super) fn handle_resolved(&mut self, now: Instant, id: ResolveId, addresses: &[IpAddr]) {
        if self.names.contains_key(&id) {
            return self.handle_candidate_resolved(now, id, addresses);
        }
        let mut unknown = Vec::new();
        let mut found = false;
        for server in &mut self.servers {
            if matches!(server.addresses, Resolution::Pending(pending) if pending == id) {
                let known = addresses.iter().copied().map(columba_stun::canonical_ip);
                server.addresses = Resolution::Known(known.take(MAX_SERVER_ADDRESSES).collect());
                found = true;
                if addresses.is_empty() {
                    unknown.push(server.config.url.clone());
                }
            }
        }
        for url in unknown {
            self.report(None, url, UNREACHABLE, "the server's name has no address");
        }
        if found {
            let sockets: Vec<BindId> = self.sockets.keys().copied().collect();
            for socket in sockets {
                self.query_servers(now, socket);
            }
            self.connect_all_to_servers(now);
            self.open_relays();
        }
    }

    pub(super) fn report(&mut self, local: Option<SocketAddr>, url: Arc<str>, code: u16, text: &str) {
        // W3C: an address that is not shown in a candidate is not shown here, either.
        let local = local.filter(|_| self.config.shows_addresses());
        self.report_error(CandidateError { local, url, code, text: text.into() });
    }

    /// Asks all servers what a socket's address looks like from there.
    pub(super) fn query_servers(&mut self, now: Instant, id: BindId) {
        let Some(socket) = self.sockets.get(&id) else { return };
        let Some(local) = socket.local.filter(|_| socket.purpose == Purpose::Host) else { return };
        let mut asked: Vec<SocketAddr> = self
            .transactions
            .values()
            .filter(|one| one.base == Base::Socket(id) && matches!(one.kind, Kind::Server { .. }))
            .map(|one| one.remote)
            .collect();
        let mut wanted = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let Resolution::Known(addresses) = &server.addresses else { continue };
            if server.config.transport != Transport::Udp {
                continue;
            }
            let same_family = addresses.iter().find(|ip| ip.is_ipv4() == local.is_ipv4());
            let Some(ip) = same_family else { continue };
            let remote = canonical(SocketAddr::new(*ip, server.config.port));
            if !asked.contains(&remote) {
                asked.push(remote);
                wanted.push((index, remote));
            }
        }
        for (server, remote) in wanted {
            self.query(now, Base::Socket(id), server, remote, true);
        }
    }

    /// Opens connections to the servers that can say what the port of simultaneous-open candidates looks like from there (RFC 6544 §5.2).
    pub(super) fn connect_to_servers(&mut self, now: Instant, id: TcpBaseId) {
        let Some(local) = self.tcp_bases.get(&id).and_then(TcpBase::simultaneous) else { return };
        let mut wanted: Vec<(SocketAddr, usize)> = Vec::new();
        for (index, server) in self.servers.iter().enumerate() {
            let Resolution::Known(addresses) = &server.addresses else { continue };
            let same_family = addresses.iter().find(|ip| ip.is_ipv4() == local.is_ipv4());
            let Some(ip) = same_family.filter(|_| server.config.transport != Transport::Tls) else {
                continue;
            };
            let remote = canonical(SocketAddr::new(*ip, server.config.port));
            if wanted.len() < MAX_TCP_SERVERS && !wanted.iter().any(|(known, _)| *known == remote) {
                wanted.push((remote, index));
            }
        }
        let base = Base::Tcp(id);
        let is_known = |index: usize| {
            let url = Some(&self.servers[index].config.url);
            self.locals.values().any(|one| one.base == base && one.candidate.url.as_ref() == url)
        };
        wanted.retain(|(_, index)| !is_known(*index));
        for (remote, index) in wanted {
            self.open_server_stream(now, id, remote, index);
        }
    }

    /// The same for all of them.
    pub(super) fn connect_all_to_servers(&mut self, now: Instant) {
        for id in self.tcp_bases.keys().copied().collect::<Vec<_>>() {
            self.connect_to_servers(now, id);
        }
    }

    pub(super) fn query(&mut self, now: Instant, base: Base, server: usize, remote: SocketAddr, first: bool) {
        let id = self.new_transaction_id();
        let mut buffer = [0; 64];
        let Ok(mut builder) = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, id) else {
            return;
        };
        let Ok(builder) = builder.fingerprint() else { return };
        let bytes: Box<[u8]> = builder.as_bytes().into();
        let (rto, quick) = (self.config.timings.server_rto, self.config.timings.quick_repetitions);
        let timeout = self.config.timings.gather_timeout;
        // TCP repeats by itself.
        let rto = if matches!(base, Base::Tcp(_)) { timeout } else { rto };
        let (deadline, kind) = (now + timeout, Kind::Server { server, first });
        self.send(base, remote, bytes.clone());
        let transaction =
            Transaction::new(kind, base, remote, bytes, now, rto, deadline).with_quick_repetitions(quick);
        self.transactions.insert(id, transaction);
    }

    /// A STUN server has answered.
    pub(super) fn handle_server_response(
        &mut self,
        now: Instant,
        transaction: &Transaction,
        server: usize,
        first: bool,
        answer: &Message<'_>,
    ) {
        let Some(local) = self.mapped_end(transaction.base) else { return };
        let Some(config) = self.servers.get(server).map(|server| server.config.clone()) else { return };
        match answer.class() {
            Class::SuccessResponse => {
                if let Some(mapped) = answer.mapped_address() {
                    self.add_reflexive(now, transaction.base, mapped, transaction.remote.ip(), config.url);
                }
            }
            _ => {
                // A TURN server that does not answer Binding requests has done nothing wrong, nor one that does so over UDP alone.
                let first = first && matches!(transaction.base, Base::Socket(_));
                if let Ok(Some(ErrorInfo { code, reason })) = answer.get()
                    && first
                    && config.kind == ServerKind::Stun
                {
                    self.report(Some(local), config.url, code.number(), &reason);
                }
            }
        }
    }

    /// Nobody answered at a server's address.
    pub(super) fn handle_server_silence(&mut self, transaction: &Transaction, server: usize, first: bool) {
        let Base::Socket(id) = transaction.base else { return };
        let local = self.sockets.get(&id).and_then(|socket| socket.local);
        let Some(config) = self.servers.get(server).map(|server| server.config.clone()) else { return };
        if first && config.kind == ServerKind::Stun {
            self.report(local, config.url, UNREACHABLE, "the server did not answer");
        }
    }

    /// The address of an end that servers are asked about.
    fn mapped_end(&self, base: Base) -> Option<SocketAddr> {
        match base {
            Base::Socket(id) => self.sockets.get(&id).and_then(|one| one.local),
            Base::Tcp(id) => self.tcp_bases.get(&id).and_then(TcpBase::simultaneous),
            Base::Relay(_) => None,
        }
    }

    fn add_reflexive(&mut self, now: Instant, base: Base, mapped: SocketAddr, server: IpAddr, url: Arc<str>) {
        let Some(local) = self.mapped_end(base) else { return };
        // A NAT may have changed its mind: the candidate from the same server is still of use to who knows it already, and to nobody
        // else.
        let kind = CandidateKind::ServerReflexive;
        if self.is_pooling() {
            self.locals.retain(|_, one| {
                one.base != base || one.candidate.kind != kind || one.candidate.url.as_ref() != Some(&url)
            });
        }
        let of_address = self.local_preference(local.ip());
        let (transport, protocol, type_preference, local_preference) = match base {
            Base::Tcp(_) => (
                CandidateTransport::Tcp(TcpType::SimultaneousOpen),
                Transport::Tcp,
                kind.tcp_preference(),
                tcp_local_preference(kind, TcpType::SimultaneousOpen, of_address),
            ),
            _ => (CandidateTransport::Udp, Transport::Udp, kind.preference(), of_address),
        };
        let candidate = Candidate {
            foundation: self.foundation(kind, local.ip(), Some(server), protocol),
            transport,
            priority: priority(type_preference, local_preference),
            address: CandidateAddress::Ip(mapped.ip()),
            port: mapped.port(),
            kind,
            related: Some(self.shown_related(local)),
            ufrag: None,
            network_cost: self.network_cost(local.ip()),
            url: Some(url),
        };
        let same = self.locals.values().filter(|one| one.base == base && one.candidate.kind == kind).count();
        // One for each server, and a few more where a NAT changes its mind.
        if same < Config::MAX_SERVERS {
            self.add_local(
                now,
                Local {
                    base,
                    address: mapped,
                    candidate,
                    shown: true,
                    announced: None,
                    relay_protocol: None,
                },
            );
        }
    }

    /// Whether anything asked for is still to come.
    pub(super) fn is_gathering_pending(&self) -> bool {
        self.sockets.values().any(|socket| socket.local.is_none())
            || self.servers.iter().any(|server| matches!(server.addresses, Resolution::Pending(_)))
            || self.transactions.values().any(|one| matches!(one.kind, Kind::Server { first: true, .. }))
            || self.relays.values().any(super::Relay::is_pending)
            || self.tcp_bases.values().any(TcpBase::is_pending)
            || self.streams.values().any(super::Stream::is_server_pending)
    }

    pub(super) fn update_gathering(&mut self, now: Instant) {
        if self.gathering == GatheringState::Gathering && !self.is_gathering_pending() {
            self.set_gathering(now, GatheringState::Complete);
        }
    }

    pub(super) fn set_gathering(&mut self, now: Instant, state: GatheringState) {
        self.gathering = state;
        self.timers.gather =
            (state == GatheringState::Gathering).then(|| now + self.config.timings.gather_timeout);
        self.keep_bindings(now);
        self.events.push_back(Event::GatheringState(state));
    }

    /// From now on NATs' bindings are refreshed.
    pub(super) fn keep_bindings(&mut self, now: Instant) {
        if self.timers.bindings.is_none() && !self.config.lite {
            self.timers.bindings = Some(now + self.config.timings.keepalive);
        }
    }

    pub(super) fn handle_gather_timers(&mut self, now: Instant) {
        if self.timers.gather.is_some_and(|at| at <= now) {
            self.timers.gather = None;
            self.give_up_gathering(now);
        }
        if self.timers.bindings.is_some_and(|at| at <= now) {
            self.timers.bindings = None;
            self.refresh_bindings(now);
        }
    }

    fn give_up_gathering(&mut self, now: Instant) {
        let mut unresolved = Vec::new();
        for server in &mut self.servers {
            if matches!(server.addresses, Resolution::Pending(_)) {
                server.addresses = Resolution::Known(Vec::new());
                unresolved.push(server.config.url.clone());
            }
        }
        for url in unresolved {
            self.report(None, url, UNREACHABLE, "the server's name was not resolved");
        }
        self.give_up_relays(now);
        self.sockets.retain(|_, socket| socket.local.is_some());
        self.give_up_listeners();
    }

    /// Keeps the NATs' bindings of reflexive candidates open while the other side may still learn of them; once pairs are
    /// nominated, their own checks do it.
    fn refresh_bindings(&mut self, now: Instant) {
        if self.session().is_selected() || self.config.is_relay_only() {
            return;
        }
        self.timers.bindings = Some(now + self.config.timings.keepalive);
        let mut wanted = Vec::new();
        for local in self.locals.values() {
            let (Base::Socket(id), Some(url)) = (local.base, &local.candidate.url) else { continue };
            let server = self.servers.iter().position(|server| server.config.url == *url);
            let Some(index) = server else { continue };
            if let Resolution::Known(addresses) = &self.servers[index].addresses
                && let Some(ip) = addresses.iter().find(|ip| ip.is_ipv4() == local.address.is_ipv4())
            {
                let port = self.servers[index].config.port;
                wanted.push((id, index, canonical(SocketAddr::new(*ip, port))));
            }
        }
        for (socket, server, remote) in wanted {
            self.query(now, Base::Socket(socket), server, remote, false);
        }
    }
}
