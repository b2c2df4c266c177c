//! Relays: allocations at TURN servers, over UDP, TCP or TLS (RFC 8656).
//!
//! A machine of its own: it is driven with inputs and answers with [`Output`]s, and knows neither
//! candidates nor pairs. The caller says which relays are in use.

mod families;
mod redirection;
mod relay;
mod roaming;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use columba_stun::ErrorCode;
use columba_turn::client::{self, Client, Failure, Families};
use rand_chacha::ChaCha12Rng;

use super::addresses::Addresses;
use super::ids::{Ids, RelayId, SessionId};
use super::map::Map;
use super::servers::Servers;
use crate::config::{Config, Host, IceServer, ServerKind};
use crate::event::ConnectId;
use crate::path::{Path, Transport};
pub(super) use families::is_wide_ipv6;
use relay::{Attempt, Leg, Relay};

/// Allocations, at most: for each server and address one, the first ones count.
const MAX_RELAYS: usize = 16;

/// Times that an allocation is begun anew after a mismatch or a loss, at most.
const MAX_RETRIES: u8 = 4;

/// The error code of a server that was not reached (W3C `RTCPeerConnectionIceErrorEvent`).
const UNREACHABLE: u16 = 701;

/// All allocations of an agent.
#[derive(Debug, Default)]
pub(super) struct Relays {
    relays: Map<RelayId, Relay>,
    outputs: VecDeque<Output>,
}

/// The parts of the agent that the machine reads, or draws from.
pub(super) struct Context<'a> {
    pub(super) config: &'a Config,
    pub(super) addresses: &'a Addresses,
    pub(super) servers: &'a mut Servers,
    pub(super) ids: &'a mut Ids,
    pub(super) rng: &'a mut ChaCha12Rng,
}

/// The consequences of an input, to be carried out in this order.
#[derive(Debug)]
pub(super) enum Output {
    /// A UDP socket is needed.
    Bind { relay: RelayId, local: IpAddr },
    /// The relay's UDP socket is not needed any more.
    CloseSocket(RelayId),
    /// A connection to a server is needed.
    Connect { id: ConnectId, local: SocketAddr, remote: SocketAddr, tls: Option<Arc<str>> },
    /// The connection is not needed any more.
    CloseStream(Path),
    /// The server has given these addresses.
    Allocated { relay: RelayId, relayed: Vec<SocketAddr>, mapped: Option<SocketAddr> },
    /// The allocation has followed the host to another address.
    Moved(RelayId),
    /// The server does not relay to this address.
    PeerRefused { relay: RelayId, peer: IpAddr },
    /// The relay's candidates and pairs are gone.
    Withdrawn(RelayId),
    /// A server did not do what it was asked.
    Failed { local: Option<SocketAddr>, url: Arc<str>, code: u16, text: String },
}

/// The facts about a relay from which its candidates are made.
pub(super) struct RelayFacts<'a> {
    pub(super) server: &'a IceServer,
    /// The server's address.
    pub(super) address: SocketAddr,
    pub(super) local: IpAddr,
}

impl Relays {
    pub(super) fn poll_output(&mut self) -> Option<Output> {
        super::outputs::pop(&mut self.outputs)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.relays.values().filter_map(Relay::poll_timeout).min()
    }

    /// Returns whether an allocation is still to come.
    pub(super) fn is_pending(&self) -> bool {
        self.relays.values().any(Relay::is_pending)
    }

    pub(super) fn facts(&self, id: RelayId) -> Option<RelayFacts<'_>> {
        let Attempt { server, address, local, .. } = &self.relays.get(&id)?.attempt;
        Some(RelayFacts { server, address: *address, local: *local })
    }

    pub(super) fn path(&self, id: RelayId) -> Option<Path> {
        self.relays.get(&id)?.path()
    }

    /// The relay whose server is at the other end of this path.
    pub(super) fn at(&self, path: &Path) -> Option<RelayId> {
        self.relays.iter().find(|(_, relay)| relay.path() == Some(*path)).map(|(id, _)| *id)
    }

    /// The way to the server and the client, if the server can be reached.
    pub(super) fn open(&mut self, id: RelayId) -> Option<(Path, &mut Client)> {
        self.relays.get_mut(&id).and_then(Relay::open)
    }

    /// Returns whether the relay's candidates may be used in a new session.
    pub(super) fn is_current(&self, id: RelayId) -> bool {
        self.relays.get(&id).is_some_and(|relay| !relay.retired)
    }

    /// Returns whether data for this peer would pass.
    pub(super) fn is_permitted(&self, id: RelayId, peer: IpAddr) -> bool {
        self.relays.get(&id).and_then(Relay::client).is_some_and(|client| client.is_permitted(peer))
    }

    /// Returns whether the server has refused to relay to this peer.
    pub(super) fn is_refused(&self, id: RelayId, peer: IpAddr) -> bool {
        self.relays.get(&id).and_then(Relay::client).is_some_and(|client| client.is_refused(peer))
    }

    pub(super) fn permit(&mut self, now: Instant, id: RelayId, peer: IpAddr) {
        if let Some((_, client)) = self.open(id) {
            client.permit(now, peer);
        }
    }

    pub(super) fn bind_channel(&mut self, now: Instant, id: RelayId, peer: SocketAddr) {
        if let Some((_, client)) = self.open(id) {
            client.bind(now, peer);
        }
    }

    /// Asks the server whether the allocation is still there.
    pub(super) fn probe(&mut self, now: Instant, id: RelayId) {
        if let Some((_, client)) = self.open(id) {
            client.probe(now);
        }
    }

    /// As [`probe`](Self::probe), but once in a session.
    pub(super) fn probe_once(&mut self, now: Instant, id: RelayId, session: SessionId) {
        if let Some(relay) = self.relays.get_mut(&id).filter(|relay| relay.probed_in != Some(session)) {
            relay.probed_in = Some(session);
            self.probe(now, id);
        }
    }

    /// Writes the next message to a server.
    pub(super) fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<(Path, usize)> {
        self.relays.values_mut().filter_map(Relay::open).find_map(|(path, client)| {
            let length = client.poll_transmit(now, buf)?;
            Some((path, length))
        })
    }

    /// Begins an allocation for each server and address that has none.
    pub(super) fn open_missing(&mut self, context: &mut Context<'_>) {
        let usable = context.addresses.usable(context.config);
        let mut wanted = Vec::new();
        for server in context.servers.iter().filter(|server| server.config.kind == ServerKind::Turn) {
            if server.config.transport == Transport::Udp && !context.config.udp {
                continue;
            }
            for local in usable.iter().map(|one| one.address) {
                if let Some(address) = server.address_for(local) {
                    wanted.push(Attempt {
                        server: server.config.clone(),
                        address,
                        local,
                        retries: 0,
                        visited: Vec::new(),
                        families: Families::Both,
                    });
                }
            }
        }
        for attempt in wanted {
            let exists = self.relays.values().any(|relay| {
                relay.attempt.server == attempt.server
                    && relay.attempt.local == attempt.local
                    && relay.attempt.families == Families::Both
                    && !relay.retired
                    && !relay.client().is_some_and(Client::is_releasing)
            });
            if !exists && self.has_room() {
                self.begin(context, attempt);
            }
        }
    }

    fn has_room(&self) -> bool {
        self.relays.len() < MAX_RELAYS
    }

    fn begin(&mut self, context: &mut Context<'_>, attempt: Attempt) {
        let id = context.ids.relay();
        let leg = match attempt.server.transport {
            Transport::Udp => {
                self.outputs.push_back(Output::Bind { relay: id, local: attempt.local });
                Leg::Binding
            }
            Transport::Tcp | Transport::Tls => Leg::Connecting(self.connect(context, &attempt)),
        };
        self.relays.insert(id, Relay::new(attempt, leg));
    }

    /// Asks for a connection to the server. The certificate is always that of the configured
    /// server, also after a redirection (RFC 8489 §10).
    fn connect(&mut self, context: &mut Context<'_>, attempt: &Attempt) -> ConnectId {
        let id = context.ids.connect();
        let name = match &attempt.server.host {
            Host::Name(name) => name.clone(),
            Host::Ip(ip) => ip.to_string().into(),
        };
        let tls = (attempt.server.transport == Transport::Tls).then_some(name);
        let local = SocketAddr::new(attempt.local, 0);
        self.outputs.push_back(Output::Connect { id, local, remote: attempt.address, tls });
        id
    }

    /// A UDP socket was bound for a relay.
    pub(super) fn handle_bound(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        id: RelayId,
        local: SocketAddr,
    ) {
        let Some(relay) = self.relays.get(&id) else { return };
        let path = Path::udp(local, relay.attempt.address);
        self.open_leg(now, context, id, path);
    }

    pub(super) fn handle_bind_failed(&mut self, now: Instant, context: &mut Context<'_>, id: RelayId) {
        self.fail_leg(now, context, id, "no socket could be bound");
    }

    /// A connection to a server is open. Returns false if it is not a relay's.
    pub(super) fn handle_connected(
        &mut self,
        now: Instant,
        context: &mut Context<'_>,
        id: ConnectId,
        path: Path,
    ) -> bool {
        let Some(relay) = self.connecting(id) else { return false };
        self.open_leg(now, context, relay, path);
        true
    }

    pub(super) fn handle_connect_failed(&mut self, now: Instant, context: &mut Context<'_>, id: ConnectId) {
        if let Some(relay) = self.connecting(id) {
            self.fail_leg(now, context, relay, "the connection to the server could not be opened");
        }
    }

    /// A connection is gone.
    pub(super) fn handle_closed(&mut self, now: Instant, context: &mut Context<'_>, path: &Path) {
        let Some(id) = self.at(path) else { return };
        match self.relays.get_mut(&id) {
            // The connection is gone, but not the allocation.
            Some(relay)
                if relay.client().is_some_and(Client::is_mobile) && relay.attempt.retries < MAX_RETRIES =>
            {
                relay.attempt.retries += 1;
                self.detach(id);
                self.settle(now, context);
            }
            _ => self.lose(context, id),
        }
    }

    fn connecting(&self, id: ConnectId) -> Option<RelayId> {
        self.relays.iter().find(|(_, relay)| relay.waits_for(id)).map(|(id, _)| *id)
    }

    /// The server cannot be reached. An allocation that moves is still there: it is tried again,
    /// for a while.
    fn fail_leg(&mut self, now: Instant, context: &mut Context<'_>, id: RelayId, text: &str) {
        let Some(relay) = self.relays.get_mut(&id) else { return };
        if relay.retry_later(now) {
            return;
        }
        match relay.leg {
            Leg::Moving { .. } => self.lose(context, id),
            _ => self.fail(id, None, text),
        }
    }

    fn open_leg(&mut self, now: Instant, context: &mut Context<'_>, id: RelayId, path: Path) {
        let Some(relay) = self.relays.get_mut(&id) else { return };
        if relay.resume(now, path) {
            return;
        }
        let server = &relay.attempt.server;
        let config = client::Config {
            mobility: context.config.mobility && !context.servers.forbids_mobility(server),
            username: server.username.clone(),
            password: server.credential.clone(),
            stream: path.transport.is_stream(),
            families: relay.attempt.families,
            rto: context.config.timings.server_rto,
            quick_repetitions: context.config.timings.quick_repetitions,
        };
        relay.leg = Leg::Open { path, client: Box::new(Client::new(config, now, context.rng)) };
    }

    /// Lets the clients whose time has come act.
    pub(super) fn handle_timeout(&mut self, now: Instant, context: &mut Context<'_>) {
        let due = self.relays.iter().filter(|(_, relay)| relay.poll_timeout().is_some_and(|at| at <= now));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some((_, client)) = self.open(id) {
                client.handle_timeout(now);
            }
            self.drain(context, id);
        }
        let overdue = self.relays.iter().filter(|(_, relay)| relay.is_connecting_until(now));
        for id in overdue.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.fail_leg(now, context, id, "the connection to the server could not be opened");
        }
        let is_due = |relay: &Relay| relay.is_homeless() && relay.poll_timeout().is_some_and(|at| at <= now);
        if self.relays.values().any(is_due) {
            self.settle(now, context);
        }
    }

    /// Acts on the events of a relay's client.
    pub(super) fn drain(&mut self, context: &mut Context<'_>, id: RelayId) {
        while let Some(event) = self.open(id).and_then(|(_, client)| client.poll_event()) {
            match event {
                client::Event::Allocated { relayed, mapped } => {
                    self.note_mobility(context, id);
                    self.outputs.push_back(Output::Allocated { relay: id, relayed, mapped });
                }
                client::Event::Failed(failure) => self.handle_failure(context, id, &failure),
                client::Event::Moved => self.outputs.push_back(Output::Moved(id)),
                client::Event::Lost => self.lose(context, id),
                client::Event::PeerRefused(peer) => {
                    self.outputs.push_back(Output::PeerRefused { relay: id, peer });
                }
            }
        }
    }

    /// A server that forbids mobility is not asked for it again.
    fn note_mobility(&self, context: &mut Context<'_>, id: RelayId) {
        let Some(relay) = self.relays.get(&id) else { return };
        if relay.client().is_some_and(Client::is_mobility_forbidden) {
            context.servers.forbid_mobility(&relay.attempt.server);
        }
    }

    fn handle_failure(&mut self, context: &mut Context<'_>, id: RelayId, failure: &Failure) {
        let Some(relay) = self.relays.get(&id) else { return };
        let next = match (failure.code, failure.alternate) {
            (_, Some(alternate)) => relay.attempt.redirected(context, alternate),
            // The server knows the 5-tuple already: another port is tried.
            (Some(ErrorCode::ALLOCATION_MISMATCH), _) if relay.attempt.retries < MAX_RETRIES => {
                Some(relay.attempt.clone())
            }
            _ => None,
        };
        match next {
            Some(attempt) => {
                self.discard(id);
                self.begin(context, Attempt { retries: attempt.retries + 1, ..attempt });
            }
            None => self.fail(id, failure.code, &failure.text),
        }
    }

    /// The allocation is gone, and its pairs with it; another one is tried for.
    fn lose(&mut self, context: &mut Context<'_>, id: RelayId) {
        let Some(relay) = self.relays.get(&id) else { return };
        let attempt = Attempt { retries: relay.attempt.retries + 1, ..relay.attempt.clone() };
        let again = attempt.retries <= MAX_RETRIES && !relay.retired;
        self.discard(id);
        if again {
            self.begin(context, attempt);
        }
    }

    fn fail(&mut self, id: RelayId, code: Option<ErrorCode>, text: &str) {
        let Some(relay) = self.relays.get(&id) else { return };
        let local = relay.path().map(|path| path.local);
        // An allocation beside the configured ones has no errors to report.
        if relay.attempt.families == Families::Both {
            let url = relay.attempt.server.url.clone();
            let code = code.map_or(UNREACHABLE, ErrorCode::number);
            self.outputs.push_back(Output::Failed { local, url, code, text: text.to_owned() });
        }
        self.discard(id);
    }

    /// Gives up the servers that have not answered. An allocation that comes after all is released.
    pub(super) fn give_up_pending(&mut self, now: Instant) {
        let pending = self.relays.iter().filter(|(_, relay)| relay.is_pending()).map(|(id, _)| *id);
        for id in pending.collect::<Vec<_>>() {
            let text = "the server did not answer";
            let opened = self.open(id).map(|(path, client)| {
                client.release(now);
                (path.local, client.is_releasing())
            });
            match (opened, self.relays.get(&id)) {
                (Some((local, true)), Some(relay)) => {
                    let (local, url) = (Some(local), relay.attempt.server.url.clone());
                    let text = text.to_owned();
                    self.outputs.push_back(Output::Failed { local, url, code: UNREACHABLE, text });
                }
                _ => self.fail(id, None, text),
            }
        }
    }

    /// Removes a relay with its socket or connection and its candidates, without releasing the
    /// allocation.
    fn discard(&mut self, id: RelayId) {
        self.close_leg(id);
        self.relays.remove(&id);
        self.outputs.push_back(Output::Withdrawn(id));
    }

    fn close_leg(&mut self, id: RelayId) {
        if let Some(path) = self.path(id).filter(|path| path.transport.is_stream()) {
            self.outputs.push_back(Output::CloseStream(path));
        }
        self.outputs.push_back(Output::CloseSocket(id));
    }

    /// Retires the relays that the configuration does not allow any more, and takes back those that
    /// it allows again.
    pub(super) fn retire_unusable(&mut self, context: &mut Context<'_>) {
        let usable = context.addresses.usable(context.config);
        for relay in self.relays.values_mut() {
            if matches!(relay.leg, Leg::Moving { .. }) && relay.retired {
                // It moves only to be released.
                continue;
            }
            let is_usable =
                relay.is_homeless() || usable.iter().any(|one| one.address == relay.attempt.local);
            relay.retired = !is_usable || context.servers.find(&relay.attempt.server).is_none();
        }
    }

    /// Retires all relays: they are released one after the other by [`sweep`](Self::sweep).
    pub(super) fn retire_all(&mut self) {
        self.relays.values_mut().for_each(|relay| relay.retired = true);
    }

    /// Releases retired relays that are not in use, and removes those that are released.
    pub(super) fn sweep(&mut self, now: Instant, is_used: impl Fn(RelayId) -> bool) {
        let mut ended = Vec::new();
        for (id, relay) in self.relays.iter_mut() {
            let retired = relay.retired;
            match &mut relay.leg {
                Leg::Open { client, .. } => {
                    if retired && !is_used(*id) {
                        client.release(now);
                    }
                    if client.is_ended() {
                        ended.push(*id);
                    }
                }
                // The release is still to be sent.
                Leg::Moving { waits_for: Some(_), .. } => {}
                _ if retired => ended.push(*id),
                _ => {}
            }
        }
        for id in ended {
            self.discard(id);
        }
    }
}
