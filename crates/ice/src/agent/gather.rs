//! Gathering: names of servers, reflexive addresses, and the gathering state (RFC 8445 §5.1.1, RFC
//! 8838).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use columba_stun::attributes::ErrorInfo;
use columba_stun::{Class, HEADER_LEN, Message, MessageBuilder, Method};

use super::Agent;
use super::ids::{Base, ServerIndex, TcpBaseId};
use super::local::{FoundationKey, Local};
use super::stream::TcpBase;
use super::transaction::{Kind, Transaction};
use crate::candidate::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, TcpType, priority, tcp_local_preference,
};
use crate::config::{Config, ServerKind};
use crate::event::{BindId, CandidateError, Event, GatheringState, Request, ResolveId, State};
use crate::path::Transport;

/// W3C: the code for a server that was not reached.
const UNREACHABLE: u16 = 701;

/// Servers that are asked over TCP about one port, at most: the second is for when the first does
/// not answer there.
const MAX_TCP_SERVERS: usize = 2;

impl Agent {
    /// Begins to gather, or to gather again after a restart: what is still good is announced again.
    pub fn gather(&mut self, now: Instant) {
        if self.state == State::Closed || self.gathering.state == GatheringState::Gathering {
            return;
        }
        let was_pooled = self.announce_pool();
        self.set_gathering(now, GatheringState::Gathering);
        self.add_servers();
        self.retire_relays(now);
        self.retire_sockets();
        for id in self.locals.ids() {
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
            .filter(|(_, socket)| !was_pooled && socket.is_host() && socket.local.is_some())
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
            for config in self.config.servers.iter().take(Config::MAX_SERVERS) {
                let request = self.servers.add(config.clone(), || self.ids.resolve());
                if let Some((id, host)) = request {
                    self.outputs.request(Request::Resolve { id, host });
                }
            }
        }
    }

    pub(super) fn handle_resolved(&mut self, now: Instant, id: ResolveId, addresses: &[IpAddr]) {
        if self.remotes.has_name(id) {
            return self.handle_candidate_resolved(now, id, addresses);
        }
        let waiting = self.servers.waiting_for(id);
        let found = self.servers.resolve(id, addresses);
        for url in waiting.into_iter().filter(|_| addresses.is_empty()) {
            self.report(None, url, UNREACHABLE, "the server's name has no address");
        }
        if found {
            self.query_all_servers(now);
            self.open_relays(now);
        }
    }

    /// Asks all servers for the reflexive address of each socket.
    pub(super) fn query_all_servers(&mut self, now: Instant) {
        for socket in self.sockets.keys().copied().collect::<Vec<_>>() {
            self.query_servers(now, socket);
        }
        self.connect_all_to_servers(now);
    }

    pub(super) fn report(&mut self, local: Option<SocketAddr>, url: Arc<str>, code: u16, text: &str) {
        // W3C: an address that is not shown in a candidate is not shown here, either.
        let local = local.filter(|_| self.config.shows_addresses());
        self.report_error(CandidateError { local, url, code, text: text.into() });
    }

    /// Asks all servers for the reflexive address of a socket.
    pub(super) fn query_servers(&mut self, now: Instant, id: BindId) {
        let Some(socket) = self.sockets.get(&id) else { return };
        let Some(local) = socket.local.filter(|_| socket.is_host()) else { return };
        let mut asked = self.transactions.servers_asked(Base::Socket(id));
        let mut wanted = Vec::new();
        for (index, server) in self.servers.indexed() {
            if server.config.transport != Transport::Udp {
                continue;
            }
            let Some(remote) = server.address_for(local.ip()) else { continue };
            if !asked.contains(&remote) {
                asked.push(remote);
                wanted.push((index, remote));
            }
        }
        for (server, remote) in wanted {
            self.query(now, Base::Socket(id), server, remote, true);
        }
    }

    /// Opens connections to the servers that are asked for the reflexive address of
    /// simultaneous-open candidates (RFC 6544 §5.2).
    pub(super) fn connect_to_servers(&mut self, now: Instant, id: TcpBaseId) {
        let Some(local) = self.tcp.bases.get(&id).and_then(TcpBase::simultaneous) else { return };
        let mut wanted: Vec<(SocketAddr, ServerIndex)> = Vec::new();
        for (index, server) in self.servers.indexed() {
            if server.config.transport == Transport::Tls {
                continue;
            }
            let Some(remote) = server.address_for(local.ip()) else { continue };
            if wanted.len() < MAX_TCP_SERVERS && !wanted.iter().any(|(known, _)| *known == remote) {
                wanted.push((remote, index));
            }
        }
        let base = Base::Tcp(id);
        let is_known = |index: ServerIndex| {
            let url = self.servers.get(index).map(|server| &server.config.url);
            self.locals.values().any(|one| one.base == base && one.candidate.url.as_ref() == url)
        };
        wanted.retain(|(_, index)| !is_known(*index));
        for (remote, index) in wanted {
            self.open_server_stream(now, id, remote, index);
        }
    }

    /// The same for all of them.
    pub(super) fn connect_all_to_servers(&mut self, now: Instant) {
        for id in self.tcp.bases.keys().copied().collect::<Vec<_>>() {
            self.connect_to_servers(now, id);
        }
    }

    pub(super) fn query(
        &mut self,
        now: Instant,
        base: Base,
        server: ServerIndex,
        remote: SocketAddr,
        first: bool,
    ) {
        let id = self.new_transaction_id();
        let mut buffer = [0; HEADER_LEN];
        // Without attributes, so that servers of RFC 3489 answer, too (RFC 5389 §12.1).
        let Ok(builder) = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, id) else {
            return;
        };
        let bytes: Box<[u8]> = builder.as_bytes().into();
        let (rto, quick) = (self.config.timings.server_rto, self.config.timings.quick_repetitions);
        let timeout = self.config.timings.gather_timeout;
        // TCP repeats by itself.
        let rto = if base.is_tcp() { timeout } else { rto };
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
        server: ServerIndex,
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
                // A TURN server that does not answer Binding requests has done nothing wrong, nor
                // one that does so over UDP alone.
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

    /// A server did not answer.
    pub(super) fn handle_server_silence(
        &mut self,
        transaction: &Transaction,
        server: ServerIndex,
        first: bool,
    ) {
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
            Base::Tcp(id) => self.tcp.bases.get(&id).and_then(TcpBase::simultaneous),
            Base::Relay(_) => None,
        }
    }

    fn add_reflexive(&mut self, now: Instant, base: Base, mapped: SocketAddr, server: IpAddr, url: Arc<str>) {
        let Some(local) = self.mapped_end(base) else { return };
        // A NAT may have mapped anew: as long as the pool is not announced, only the latest
        // candidate from a server is of use.
        let kind = CandidateKind::ServerReflexive;
        if self.gathering.is_pooling() {
            self.locals.forget_reflexive(base, &url);
        }
        let of_address = self.addresses.local_preference(&self.config, local.ip());
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
            foundation: self.locals.foundation(FoundationKey {
                kind,
                base: local.ip(),
                server: Some(server),
                protocol,
            }),
            transport,
            priority: priority(type_preference, local_preference),
            address: CandidateAddress::Ip(mapped.ip()),
            port: mapped.port(),
            kind,
            related: Some(self.shown_related(local)),
            ufrag: None,
            network_cost: self.addresses.network_cost(local.ip()),
            url: Some(url),
        };
        let same = self.locals.values().filter(|one| one.base == base && one.candidate.kind == kind).count();
        // One for each server, and a few more where a NAT changes its mind.
        if same < Config::MAX_SERVERS {
            self.add_local(now, Local::new(base, mapped, candidate));
        }
    }

    /// Returns whether a request of gathering is still unanswered.
    pub(super) fn is_gathering_pending(&self) -> bool {
        self.sockets.values().any(|socket| socket.local.is_none())
            || self.servers.is_pending()
            || self.transactions.is_gathering()
            || self.relays.is_pending()
            || self.tcp.is_pending()
    }

    pub(super) fn update_gathering(&mut self, now: Instant) {
        if self.gathering.state == GatheringState::Gathering && !self.is_gathering_pending() {
            self.set_gathering(now, GatheringState::Complete);
        }
    }

    pub(super) fn set_gathering(&mut self, now: Instant, state: GatheringState) {
        self.gathering.state = state;
        self.timers.gather =
            (state == GatheringState::Gathering).then(|| now + self.config.timings.gather_timeout);
        self.keep_bindings(now);
        self.outputs.emit(Event::GatheringState(state));
    }

    /// Begins to refresh the bindings of NATs.
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
        for url in self.servers.give_up_names() {
            self.report(None, url, UNREACHABLE, "the server's name was not resolved");
        }
        self.with_relays(now, |relays, _| relays.give_up_pending(now));
        self.sockets.retain(|_, socket| socket.local.is_some());
        self.tcp.give_up_listeners();
    }

    /// Keeps the NATs' bindings of reflexive candidates open while the other side may still learn
    /// of them; once pairs are nominated, their own checks do it.
    fn refresh_bindings(&mut self, now: Instant) {
        let is_settled = self.sessions.current().selected.is_some() && !self.sessions.is_restarting();
        if is_settled || self.config.is_relay_only() {
            return;
        }
        self.timers.bindings = Some(now + self.config.timings.keepalive);
        let mut wanted = Vec::new();
        for local in self.locals.values() {
            let (Base::Socket(id), Some(url)) = (local.base, &local.candidate.url) else { continue };
            let Some((index, server)) = self.servers.with_url(url) else { continue };
            if let Some(remote) = server.address_for(local.address.ip()) {
                wanted.push((id, index, remote));
            }
        }
        for (socket, server, remote) in wanted {
            self.query(now, Base::Socket(socket), server, remote, false);
        }
    }
}
