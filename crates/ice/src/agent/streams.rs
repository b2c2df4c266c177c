//! TCP candidates (RFC 6544): listeners, connections to peers, and which pairs they carry.
//!
//! A connection is identified by its base and the remote address, as a datagram's path is, so that
//! checks, consent and data know no difference. An active pair opens its connection when its turn
//! for a check comes. A connection that was accepted shows by an authentic check to which pair it
//! belongs; one that does not is closed.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_stun::canonical;

use super::Agent;
use super::ids::{Base, PairId, ServerIndex, TcpBaseId};
use super::stream::{End, Leg, Stream, StreamKey, TcpBase};
use crate::candidate::{CandidateTransport, TcpType};
use crate::config::{AddressPolicy, LocalAddress, MIN_PACING, TcpMode};
use crate::event::{ConnectId, ListenId, Request};
use crate::framing::Framing;
use crate::path::Path;
use crate::stats::PairState;

/// The port of active candidates (RFC 6544 §4.5): "discard", because nothing listens there.
const DISCARD: u16 = 9;

/// The time in which a connection must open.
const CONNECT: Duration = Duration::from_secs(10);

/// The time in which a connection to a STUN server must open: gathering waits for it.
const CONNECT_TO_SERVER: Duration = Duration::from_secs(3);

/// The shortest time after which a simultaneous-open connection is tried again that the other side
/// was not ready for.
const ANOTHER_TRY: Duration = Duration::from_millis(500);

/// The time in which a check must show which pair an accepted connection belongs to.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// The time after nomination at which unused connections and listeners are closed (RFC 8445 §8.3).
const CONCLUSION: Duration = Duration::from_secs(3);

/// A connection in use that has lasted so long is opened again if it breaks, before a restart is
/// asked for.
const LASTING: Duration = Duration::from_secs(10);

/// The time in which it must open.
const RECONNECTION: Duration = Duration::from_secs(2);

impl Agent {
    /// Makes the TCP candidates of an address that are not there yet, and asks for the listener.
    pub(super) fn open_tcp(&mut self, now: Instant, address: IpAddr) {
        let mode = self.config.tcp;
        if self.config.is_relay_only() || mode == TcpMode::Off || self.is_tcp_needless() {
            return;
        }
        if !self.config.lite && !self.tcp.has_base(address, |end| end == End::Active) {
            let id = self.add_tcp_base(address, End::Active);
            let local = SocketAddr::new(address, DISCARD);
            self.add_host(now, Base::Tcp(id), local, CandidateTransport::Tcp(TcpType::Active));
        }
        // No connection comes to an address that is not announced.
        let shown = self.config.address_policy != AddressPolicy::DefaultRouteHidden;
        if mode.listens() && shown && !self.tcp.has_base(address, |end| matches!(end, End::Passive(_))) {
            let id = self.add_tcp_base(address, End::Passive(None));
            self.outputs.request(Request::Listen { id: id.listener(), address, opens: false });
        }
        if mode == TcpMode::SimultaneousOpen
            && shown
            && !self.config.lite
            && !self.tcp.has_base(address, End::is_simultaneous)
        {
            let id = self.add_tcp_base(address, End::Simultaneous(None));
            self.outputs.request(Request::Listen { id: id.listener(), address, opens: true });
        }
    }

    /// The same for every socket: listeners are closed when they are not needed, and a new session
    /// may need them.
    pub(super) fn open_missing_tcp(&mut self, now: Instant) {
        let hosts = self.sockets.values().filter(|one| one.is_host() && one.local.is_some());
        for address in hosts.map(|one| one.address).collect::<Vec<_>>() {
            self.open_tcp(now, address);
        }
    }

    fn add_tcp_base(&mut self, address: IpAddr, end: End) -> TcpBaseId {
        let id = self.ids.tcp_base();
        self.tcp.bases.insert(id, TcpBase { address, end, retired: false });
        id
    }

    pub(super) fn handle_listening(&mut self, now: Instant, id: ListenId, local: SocketAddr) {
        let local = canonical(local);
        let Some((id, base)) = self.listener(id).filter(|(_, base)| base.is_pending()) else {
            // Not wanted any more, or never.
            self.outputs.request(Request::CloseListener { local });
            return;
        };
        let (end, tcp_type) = match base.end.is_simultaneous() {
            true => (End::Simultaneous(Some(local)), TcpType::SimultaneousOpen),
            false => (End::Passive(Some(local)), TcpType::Passive),
        };
        base.end = end;
        self.add_host(now, Base::Tcp(id), local, CandidateTransport::Tcp(tcp_type));
        self.connect_to_servers(now, id);
    }

    pub(super) fn handle_listen_failed(&mut self, id: ListenId) {
        if let Some((id, _)) = self.listener(id).filter(|(_, base)| base.is_pending()) {
            self.tcp.bases.remove(&id);
        }
    }

    fn listener(&mut self, id: ListenId) -> Option<(TcpBaseId, &mut TcpBase)> {
        let id = TcpBaseId::of_listener(id)?;
        self.tcp.bases.get_mut(&id).map(|base| (id, base))
    }

    /// A listener has accepted a connection.
    pub(super) fn handle_accepted(&mut self, now: Instant, path: Path) {
        let path = path.canonical();
        self.tcp.unclog(&path);
        let Some(id) = self.tcp.listening_at(path.local) else {
            self.outputs.request(Request::CloseStream { path });
            return;
        };
        if let Some(oldest) = self.tcp.surplus() {
            self.close_stream(oldest);
            self.counters.dropped += 1;
        }
        let key = (id, path.remote);
        let deadline = Some(now + INTRODUCTION);
        self.tcp.streams.insert(key, Stream { leg: Leg::Open(path), server: None, deadline, opened: now });
        // Where both open at once, the other side's attempt may come first: it is the same
        // connection.
        self.start_checks_on(now, key);
    }

    /// A connection is open: a relay's, or one of the streams.
    pub(super) fn handle_connected(&mut self, now: Instant, id: ConnectId, path: Path) {
        let path = path.canonical();
        self.tcp.unclog(&path);
        let is_relay =
            self.with_relays(now, |relays, context| relays.handle_connected(now, context, id, path));
        if !is_relay && !self.handle_stream_connected(now, id, path) {
            self.outputs.request(Request::CloseStream { path });
        }
    }

    pub(super) fn handle_connect_failed(&mut self, now: Instant, id: ConnectId) {
        if !self.handle_stream_refused(now, id) {
            self.with_relays(now, |relays, context| relays.handle_connect_failed(now, context, id));
        }
    }

    /// A connection is gone.
    pub(super) fn handle_closed(&mut self, now: Instant, path: Path) {
        let path = path.canonical();
        if !self.handle_stream_closed(now, &path) {
            self.with_relays(now, |relays, context| relays.handle_closed(now, context, &path));
        }
    }

    /// Opens the connection that a pair needs; its check follows.
    pub(super) fn connect(&mut self, now: Instant, pair: PairId) {
        let Some((base, remote)) = self.pairs.get(pair).map(|pair| (pair.base, pair.address)) else {
            return;
        };
        let Base::Tcp(id) = base else { return };
        let known = self.tcp.streams.get(&(id, remote));
        let opens = self.tcp.opens(id);
        if !opens || known.is_some_and(|stream| stream.server.is_some()) {
            // Only the other side can open it; or a server is there, and no peer.
            return self.handle_check_silence(pair);
        }
        if known.is_none() {
            self.open_stream((id, remote), now, now + CONNECT, None);
        }
        if let Some(pair) = self.pairs.get_mut(pair) {
            pair.state = PairState::InProgress;
        }
    }

    /// Asks for a connection, from the base's own port where it has one.
    fn open_stream(
        &mut self,
        (base, remote): StreamKey,
        opened: Instant,
        deadline: Instant,
        server: Option<ServerIndex>,
    ) {
        let Some(local) = self.tcp.bases.get(&base).and_then(TcpBase::opens_from) else { return };
        let id = self.ids.connect();
        let framing = if server.is_some() { Framing::Stun } else { Framing::Rfc4571 };
        self.outputs.request(Request::Connect { id, local, remote, tls: None, framing });
        let stream = Stream { leg: Leg::Connecting(id), server, deadline: Some(deadline), opened };
        self.tcp.streams.insert((base, remote), stream);
    }

    /// Asks for a connection to a STUN server, unless one is there.
    pub(super) fn open_server_stream(
        &mut self,
        now: Instant,
        base: TcpBaseId,
        remote: SocketAddr,
        server: ServerIndex,
    ) {
        if !self.tcp.streams.contains_key(&(base, remote)) {
            self.open_stream((base, remote), now, now + CONNECT_TO_SERVER, Some(server));
        }
    }

    /// A connection to a peer or a STUN server is open. Returns false if it is neither's.
    pub(super) fn handle_stream_connected(&mut self, now: Instant, id: ConnectId, path: Path) -> bool {
        let Some(key) = self.tcp.connecting(id) else { return false };
        let server = self.tcp.streams.get(&key).and_then(|stream| stream.server);
        self.tcp.streams.insert(key, Stream { leg: Leg::Open(path), server, deadline: None, opened: now });
        match server {
            Some(server) => self.query(now, Base::Tcp(key.0), server, key.1, true),
            None => self.start_checks_on(now, key),
        }
        true
    }

    /// The checks that have waited for a connection.
    fn start_checks_on(&mut self, now: Instant, key: StreamKey) {
        for pair in self.pairs.between(Base::Tcp(key.0), key.1) {
            if self.pairs.get(pair).is_some_and(|pair| pair.state == PairState::InProgress) {
                self.start_check(now, pair, false);
            }
        }
    }

    /// A connection to a peer or a STUN server could not be opened. Returns false if it is
    /// neither's.
    pub(super) fn handle_stream_refused(&mut self, now: Instant, id: ConnectId) -> bool {
        let Some(key) = self.tcp.connecting(id) else { return false };
        let both_open = self.tcp.bases.get(&key.0).is_some_and(|base| base.end.is_simultaneous());
        if let Some(stream) =
            self.tcp.streams.get_mut(&key).filter(|stream| both_open && stream.server.is_none())
        {
            // A NAT or a host may refuse what comes before its own side has opened (RFC 5382
            // REQ-4). An unwilling host gets no more than a silent one: each wait is as long as all
            // before.
            let next = now + ANOTHER_TRY.max(now.saturating_duration_since(stream.opened));
            if next < stream.opened + CONNECT {
                (stream.leg, stream.deadline) = (Leg::Refused, Some(next));
                return true;
            }
        }
        self.tcp.streams.remove(&key);
        for pair in self.pairs.between(Base::Tcp(key.0), key.1) {
            self.handle_check_silence(pair);
        }
        true
    }

    /// A connection to a peer is gone. Returns false if it is not a peer's.
    pub(super) fn handle_stream_closed(&mut self, now: Instant, path: &Path) -> bool {
        let Some(key) = self.tcp.at(path) else { return false };
        let Some(stream) = self.tcp.streams.remove(&key) else { return false };
        let lasted = now.saturating_duration_since(stream.opened) >= LASTING;
        self.forget_messages(key);
        for pair in self.pairs.between(Base::Tcp(key.0), key.1) {
            self.lose_connection(now, pair, lasted);
        }
        true
    }

    /// A pair's connection is gone: it is not valid any more. One that was in use is opened again
    /// by who opened it.
    fn lose_connection(&mut self, now: Instant, id: PairId, lasted: bool) {
        let again = lasted && self.pairs.active == Some(id);
        let Some(pair) = self.pairs.get_mut(id) else { return };
        pair.disconnect();
        let (current, base) = (pair.session, pair.base);
        self.sessions.forget_pair(id);
        if !again || current != self.sessions.current().id {
            return;
        }
        self.sessions.current_mut().reconnecting_until = Some(now + RECONNECTION);
        let Base::Tcp(base) = base else { return };
        if self.tcp.opens(base)
            && let Some(pair) = self.pairs.get_mut(id)
        {
            pair.state = PairState::Waiting;
            self.checks.trigger(id);
        }
    }

    /// Connections that did not open, or did not show whose they are.
    pub(super) fn expire_streams(&mut self, now: Instant) {
        for key in self.tcp.due(now) {
            if let Some(stream) = self.tcp.streams.get(&key).filter(|stream| stream.leg == Leg::Refused) {
                let opened = stream.opened;
                self.open_stream(key, opened, opened + CONNECT, None);
                continue;
            }
            self.close_stream(key);
            for pair in self.pairs.between(Base::Tcp(key.0), key.1) {
                self.handle_check_silence(pair);
            }
        }
    }

    /// Something has come over it that no peer would begin with.
    pub(super) fn distrust_stream(&mut self, base: Base, remote: SocketAddr) {
        if let Base::Tcp(base) = base
            && self.tcp.streams.get(&(base, remote)).is_some_and(Stream::is_unproven)
        {
            self.close_stream((base, remote));
        }
    }

    /// Closes a connection; what hangs on it is its caller's business.
    fn close_stream(&mut self, key: StreamKey) {
        if let Some(path) = self.tcp.streams.remove(&key).and_then(|stream| stream.path()) {
            self.outputs.request(Request::CloseStream { path });
        }
        self.forget_messages(key);
    }

    fn forget_messages(&mut self, (base, remote): StreamKey) {
        let base = Base::Tcp(base);
        self.outputs.forget_messages(base, Some(remote));
        self.sessions.early.forget(base, remote);
        self.transactions.forget(base, Some(remote));
    }

    /// Closes connections whose pairs have failed or gone, and after the nomination all that are
    /// not used.
    pub(super) fn sweep_streams(&mut self, now: Instant) {
        self.timers.conclude = None;
        if !self.tcp.bases.is_empty() {
            self.conclude(now);
        }
        let is_used = |id: TcpBaseId| self.pairs.at(Base::Tcp(id)).next().is_some();
        for id in self.tcp.bases_that(|id, base| base.retired && !is_used(id)) {
            self.close_tcp_base(id);
        }
        let session = self.sessions.current();
        let mapped_in_vain =
            (session.failed || session.concluded.is_some()) && !self.sessions.is_restarting();
        let is_needed = |(base, remote): &StreamKey, stream: &Stream| {
            let base = Base::Tcp(*base);
            // As long as a server's connection is there, a NAT keeps its port.
            (stream.server.is_some() && !mapped_in_vain)
                || stream.is_unproven()
                || self.sessions.early.is_from(base, *remote)
                || self
                    .pairs
                    .at(base)
                    .any(|pair| pair.address == *remote && (pair.is_valid() || pair.is_pending()))
        };
        let unused = self.tcp.streams.iter().filter(|(key, stream)| !is_needed(key, stream));
        for key in unused.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.close_stream(key);
        }
    }

    fn conclude(&mut self, now: Instant) {
        let session = self.sessions.current();
        let current = session.id;
        let selected = session.selected.and_then(|id| self.pairs.get(id)).filter(|pair| pair.is_valid());
        let Some(selected) = selected.filter(|pair| self.is_direct(pair)) else {
            // None yet, or over a relay: a connection would be better.
            if self.sessions.current_mut().concluded.take().is_some() {
                self.pair_tcp(now);
            }
            return;
        };
        let needless = !selected.base.is_tcp();
        let concluded = *self.sessions.current_mut().concluded.get_or_insert(now) + CONCLUSION;
        if needless {
            let open: Vec<_> = self.tcp.streams.keys().copied().collect();
            self.remove_pairs(|pair| match pair.base {
                Base::Tcp(base) => pair.session == current && !open.contains(&(base, pair.address)),
                _ => false,
            });
        }
        if now < concluded {
            self.timers.conclude = Some(concluded);
            return;
        }
        let used = self.pairs.active;
        self.remove_pairs(|pair| pair.base.is_tcp() && pair.session == current && used != Some(pair.id));
        // A restart that is under way has announced them.
        if needless && !self.sessions.is_restarting() {
            for id in self.tcp.bases_that(|_, base| base.end != End::Active) {
                self.close_tcp_base(id);
            }
        }
    }

    /// Makes the pairs of connections again: what seemed to be direct has turned out to be a relay,
    /// or is gone.
    fn pair_tcp(&mut self, now: Instant) {
        let locals = self.locals.iter().filter(|(_, local)| local.base.is_tcp());
        for id in locals.map(|(id, _)| id).collect::<Vec<_>>() {
            self.pair_local(now, id);
        }
        self.timers.pace.get_or_insert(now + MIN_PACING);
    }

    /// Returns whether a direct pair for datagrams is selected, and no restart looks for others:
    /// then connections are of no use.
    pub(super) fn is_tcp_needless(&self) -> bool {
        let selected = self.sessions.current().selected.and_then(|id| self.pairs.get(id));
        let is_restarting = self.sessions.is_restarting();
        !is_restarting
            && selected.is_some_and(|pair| pair.is_valid() && self.is_direct(pair) && !pair.base.is_tcp())
    }

    /// Returns whether a direct pair for datagrams is valid, nominated or not.
    pub(super) fn has_datagrams(&self) -> bool {
        let mut pairs = self.pairs.valid(self.sessions.current().id);
        pairs.any(|pair| self.is_direct(pair) && !pair.base.is_tcp())
    }

    /// Retires the bases that the configuration does not allow any more, and takes back those that
    /// it allows again.
    pub(super) fn retire_tcp(&mut self, usable: &[LocalAddress]) {
        let none = self.config.is_relay_only() || self.config.tcp == TcpMode::Off;
        let mode = self.config.tcp;
        let no_listeners = !mode.listens() || self.config.address_policy == AddressPolicy::DefaultRouteHidden;
        for base in self.tcp.bases.values_mut() {
            base.retired = none
                || (no_listeners && base.end != End::Active)
                || (mode != TcpMode::SimultaneousOpen && base.end.is_simultaneous())
                || !usable.iter().any(|one| one.address == base.address);
        }
    }

    /// Closes what belongs to addresses that are gone.
    pub(super) fn close_tcp_except(&mut self, kept: &[IpAddr]) {
        for id in self.tcp.bases_that(|_, base| !kept.contains(&base.address)) {
            self.close_tcp_base(id);
        }
    }

    fn close_tcp_base(&mut self, id: TcpBaseId) {
        let Some(base) = self.tcp.bases.remove(&id) else { return };
        if let Some(local) = base.end.listens_at() {
            self.outputs.request(Request::CloseListener { local });
        }
        for key in self.tcp.streams_of(id) {
            self.close_stream(key);
        }
        self.remove_locals(Base::Tcp(id));
    }
}
