//! The agent: its fields and its methods for the owner.

mod addresses;
mod allocations;
mod checks;
mod consent;
mod data;
mod gather;
mod ids;
mod local;
mod locals;
mod map;
mod nominate;
mod pair;
mod pairs;
mod pool;
mod relays;
mod remote;
mod remotes;
mod requests;
mod servers;
mod session;
mod sessions;
mod socket;
mod sockets;
mod state;
mod stats;
mod stream;
mod streams;
mod transaction;
mod transactions;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_stun::TransactionId;
use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRng, Rng, SeedableRng};

use crate::candidate::Candidate;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::event::{BindId, Event, GatheringState, Input, Request, ResolveId, Role, State};
use crate::path::Path;
use addresses::Addresses;
use ids::{Base, Ids, LocalId, PairId, RemoteId, SessionId, TcpBaseId};
use local::{Foundations, Local};
use map::Map;
use pair::Pair;
use pool::Pool;
use relays::Relays;
use remote::Remote;
use requests::Early;
use servers::Servers;
use session::{Prospect, Session};
use socket::Socket;
use stream::{Stream, StreamKey, TcpBase};
use transaction::Transaction;

pub use columba_turn::client::{HEADROOM, TAILROOM};
pub use requests::EMBEDDED;

/// An ICE agent for one data stream with one component (RFC 8445).
///
/// # How to drive it
///
/// 1. [`handle_network_change`](Self::handle_network_change), then [`gather`](Self::gather);
///    exchange descriptions and candidates with the other side through
///    [`set_remote`](Self::set_remote) and [`add_remote_candidate`](Self::add_remote_candidate).
/// 2. Hand in what arrives by [`handle_datagram`](Self::handle_datagram), and grants by
///    [`handle_input`](Self::handle_input).
/// 3. After each call: [`poll_request`](Self::poll_request), [`poll_event`](Self::poll_event) and
///    [`poll_transmit`](Self::poll_transmit) until `None`, and call
///    [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) says so.
/// 4. Data goes out through [`prepare`](Self::prepare), as soon as there was an
///    [`Event::Writable`], and as long as its path is not [clogged](Self::is_clogged).
///
/// Any order of calls is legal. What comes from the network is dropped and counted if it is not
/// right. Events and requests that are not taken are bounded, since each stands for something that
/// is bounded itself: candidates, pairs, sockets, changes of state.
///
/// # Deviations from RFC 8445
///
/// - A small burst of checks goes out unpaced in the beginning, and triggered checks go out at
///   once; only to one IP address they keep the distance of 5 ms that RFC 8445 §14.2 wants between
///   all checks of a host. See [`Timings`](crate::Timings).
/// - Checks of other pairs go on after a pair is nominated, so that there is something to fail over
///   to; not over TCP where datagrams pass directly.
/// - Requests whose integrity does not hold are dropped, not answered: an answer would help only an
///   attacker.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    rng: Box<ChaCha12Rng>,
    role: Role,
    tie_breaker: u64,
    /// The current session is the last one; the one before stays until the current one has its
    /// pair.
    sessions: Vec<Session>,
    /// The session that a restart has begun, until the other side's description comes.
    prospect: Option<Box<Prospect>>,
    addresses: Addresses,
    sockets: Map<BindId, Socket>,
    servers: Servers,
    /// The local ends of TCP connections: an active and a passive one for each address.
    tcp_bases: Map<TcpBaseId, TcpBase>,
    /// The connections to peers; bounded with the pairs, but for unproven ones.
    streams: Map<StreamKey, Stream>,
    /// Connections, to peers and to servers, whose send buffers are full.
    clogged: BTreeSet<Path>,
    relays: Relays,
    /// Names of remote candidates under resolution; bounded with the candidates.
    names: Map<ResolveId, Candidate>,
    locals: Map<LocalId, Local>,
    remotes: Map<RemoteId, Remote>,
    pairs: Map<PairId, Pair>,
    /// One for each pair under check, and one for each socket and server.
    transactions: Map<TransactionId, Transaction>,
    /// Messages to send, at most [`MAX_OUTBOX`]; more are dropped, as the network might.
    outbox: VecDeque<Outgoing>,
    events: VecDeque<Event>,
    requests: VecDeque<Request>,
    /// Pairs to be checked at once.
    triggered: VecDeque<PairId>,
    /// IP addresses that were sent a check of the check list within the last
    /// [`crate::config::MIN_PACING`].
    asked: Map<IpAddr, Instant>,
    /// Authentic requests that came before the remote credentials; at most [`requests::MAX_EARLY`],
    /// then the oldest goes.
    early: VecDeque<Early>,
    /// Remote candidates of credentials not yet known, which may be those of a restart to come;
    /// bounded as remote candidates are, then the oldest goes.
    held: Vec<Candidate>,
    foundations: Foundations,
    embedded: Option<Bytes>,
    gathering: GatheringState,
    pool: Pool,
    state: State,
    /// The data path: the nominated pair, else the best valid one, else the old session's.
    active: Option<PairId>,
    timers: Timers,
    /// When the host last went on after a standstill: misses of checks from before prove little.
    woke: Option<Instant>,
    burst: u32,
    ids: Ids,
    counters: Counters,
}

/// Messages that wait to be sent, at most.
const MAX_OUTBOX: usize = 512;

/// A message of the agent's own.
#[derive(Debug)]
struct Outgoing {
    base: Base,
    remote: SocketAddr,
    bytes: Box<[u8]>,
}

/// The counters of the agent as a whole.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    packets_sent: u64,
    packets_received: u64,
    bytes_sent: u64,
    bytes_received: u64,
    path_changes: u32,
    dropped: u64,
}

/// The agent's deadlines, beside those of transactions, pairs and relays.
#[derive(Clone, Copy, Debug, Default)]
struct Timers {
    /// The next check of the check list may go out.
    pace: Option<Instant>,
    /// An address may be sent another check.
    spacing: Option<Instant>,
    /// A valid pair may be nominated.
    nominate: Option<Instant>,
    /// The state changes unless something happens.
    state: Option<Instant>,
    /// Gathering goes on without the servers that have not answered.
    gather: Option<Instant>,
    /// Bindings at STUN servers are refreshed.
    bindings: Option<Instant>,
    /// Unused connections and listeners are closed.
    conclude: Option<Instant>,
    /// Failed pairs are checked again.
    slow: Option<Instant>,
}

impl Timers {
    fn next(&self) -> Option<Instant> {
        let checks = [self.pace, self.spacing, self.nominate, self.slow];
        let others = [self.state, self.gather, self.bindings, self.conclude];
        checks.into_iter().chain(others).flatten().min()
    }
}

impl Agent {
    /// Creates an agent. `rng` seeds the agent's own generator and is not kept.
    pub fn new(config: Config, rng: &mut impl CryptoRng) -> Self {
        let mut rng = Box::new(ChaCha12Rng::from_rng(rng));
        let session = Session::new(SessionId::FIRST, Credentials::random(&mut rng));
        Self {
            role: Role::Controlling,
            tie_breaker: rng.next_u64(),
            sessions: vec![session],
            prospect: None,
            addresses: Addresses::default(),
            sockets: Map::default(),
            servers: Servers::default(),
            tcp_bases: Map::default(),
            streams: Map::default(),
            clogged: BTreeSet::new(),
            relays: Relays::default(),
            names: Map::default(),
            locals: Map::default(),
            remotes: Map::default(),
            pairs: Map::default(),
            transactions: Map::default(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            requests: VecDeque::new(),
            triggered: VecDeque::new(),
            asked: Map::default(),
            early: VecDeque::new(),
            held: Vec::new(),
            foundations: Foundations::default(),
            embedded: None,
            gathering: GatheringState::New,
            pool: Pool::Untouched,
            state: State::New,
            active: None,
            timers: Timers::default(),
            woke: None,
            burst: config.timings.burst,
            ids: Ids::default(),
            counters: Counters::default(),
            config,
            rng,
        }
    }

    /// Returns the local credentials that count in the next description: those of a restart, if
    /// there is one, else those of the current session.
    #[must_use]
    pub fn local_credentials(&self) -> &Credentials {
        &self.announced_session().local
    }

    /// Returns the local credentials of the session that runs: others than the
    /// [local ones](Self::local_credentials) as long as a restart is not answered.
    #[must_use]
    pub fn running_credentials(&self) -> &Credentials {
        &self.session().local
    }

    /// Returns true if there was a remote description.
    #[must_use]
    pub fn has_remote(&self) -> bool {
        self.session().remote.is_some()
    }

    /// Returns new credentials for a restart, from the agent's generator.
    pub fn new_credentials(&mut self) -> Credentials {
        Credentials::random(&mut self.rng)
    }

    /// Returns whether the local description should say `a=ice-lite`.
    #[must_use]
    pub fn is_lite(&self) -> bool {
        self.config.lite
    }

    /// Returns the role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the state of gathering.
    #[must_use]
    pub fn gathering_state(&self) -> GatheringState {
        self.gathering
    }

    /// Sets the role: controlling for the offerer of the first offer (RFC 8445 §6.1.1). A full
    /// agent that meets a lite one becomes controlling by itself.
    pub fn set_role(&mut self, role: Role) {
        if self.role != role {
            self.role = role;
            self.reprioritize();
        }
    }

    /// Sets the configuration for the next gathering; [`restart`](Self::restart) takes one, too. A
    /// candidate pool that the new configuration would not have led to is given up, and gathered
    /// anew.
    pub fn set_config(&mut self, now: Instant, config: Config) {
        let before = std::mem::replace(&mut self.config, config);
        self.refill_pool(now, &before);
    }

    /// Sets the value that checks and responses carry for the owner from now on, in the attribute
    /// [`crate::EMBEDDED`]: DTLS flights, for example. At most 1,100 bytes, so that a check stays
    /// one packet; more is not carried. To addresses that have not answered yet it goes in the
    /// first ten checks at most, if they were signalled at all, and in responses that are not
    /// larger than the request.
    ///
    /// ICE does not negotiate the attribute. Its type is comprehension-optional, so that receivers
    /// skip it (RFC 8489 §14); set a value only where the other side is known to expect it.
    pub fn set_embedded(&mut self, value: Option<Bytes>) {
        self.embedded = value.filter(|bytes| bytes.len() <= requests::MAX_EMBEDDED);
    }

    /// Takes in the answer to a request, or news of a connection.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        match input {
            Input::Bound { id, local } => self.handle_bound(now, id, local),
            Input::BindFailed { id } => self.handle_bind_failed(now, id),
            Input::Connected { id, path } => self.handle_connected(now, id, path),
            Input::ConnectFailed { id } => self.handle_connect_failed(now, id),
            Input::Listening { id, local } => self.handle_listening(now, id, local),
            Input::ListenFailed { id } => self.handle_listen_failed(id),
            Input::Accepted { path } => self.handle_accepted(now, path),
            Input::Closed { path } => self.handle_closed(now, path),
            Input::Clogged { path } => return self.handle_clogged(path),
            Input::Drained { path } => return self.handle_drained(path),
            Input::Resolved { id, addresses } => self.handle_resolved(now, id, &addresses),
        }
        self.update(now);
    }

    /// Acts on the time that [`poll_timeout`](Self::poll_timeout) has returned. Harmless at any
    /// other time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_transactions(now);
        self.with_relays(now, |relays, context| relays.handle_timeout(now, context));
        self.expire_streams(now);
        self.check_liveness(now);
        self.handle_gather_timers(now);
        self.update(now);
    }

    /// Returns the next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        pop(&mut self.events)
    }

    /// Returns the next action that the agent needs of its owner.
    pub fn poll_request(&mut self) -> Option<Request> {
        pop(&mut self.requests)
    }

    /// Returns the time to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return self.relays.poll_timeout();
        }
        let transactions = self.transactions.values().map(|transaction| transaction.next);
        let pairs = self.pairs.values().filter_map(|pair| pair.consent.next);
        let streams = self.streams.values().filter_map(|stream| stream.deadline);
        transactions
            .chain(pairs)
            .chain(self.relays.poll_timeout())
            .chain(streams)
            .chain(self.timers.next())
            .min()
    }

    /// Closes everything. Go on polling: allocations at servers are still to be released.
    pub fn close(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.prospect = None;
        self.transactions.clear();
        self.pairs.clear();
        self.remotes.clear();
        self.triggered.clear();
        self.early.clear();
        self.held.clear();
        self.names.clear();
        self.outbox.clear();
        self.active = None;
        self.timers = Timers::default();
        self.relays.retire_all();
        self.close_hosts(now);
        self.set_state(State::Closed);
    }

    /// Brings all parts into agreement after an input.
    fn update(&mut self, now: Instant) {
        if self.state == State::Closed {
            return self.sweep_relays(now);
        }
        self.check_slowly(now);
        self.run_checks(now);
        self.update_nomination(now);
        self.update_active(now);
        self.sweep_streams(now);
        self.update_gathering(now);
        self.update_state(now);
        self.sweep_relays(now);
        self.sweep_sockets();
    }

    fn session(&self) -> &Session {
        // There is always one: the constructor makes it, and `restart` adds before it removes.
        &self.sessions[self.sessions.len() - 1]
    }

    fn session_mut(&mut self) -> &mut Session {
        let last = self.sessions.len() - 1;
        &mut self.sessions[last]
    }

    /// The session whose credentials and candidates are announced now.
    fn announced_session(&self) -> &Session {
        self.prospect.as_ref().map_or_else(|| self.session(), |prospect| &prospect.session)
    }

    /// All sessions whose checks are answered.
    fn all_sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.iter().chain(self.prospect.as_ref().map(|prospect| &prospect.session))
    }

    fn session_with(&self, id: SessionId) -> Option<&Session> {
        self.all_sessions().find(|session| session.id == id)
    }

    /// The state of gathering of the running session.
    fn running_gathering(&self) -> GatheringState {
        self.prospect.as_ref().map_or(self.gathering, |prospect| prospect.gathering)
    }

    fn new_transaction_id(&mut self) -> TransactionId {
        let mut id = [0; 12];
        self.rng.fill_bytes(&mut id);
        TransactionId(id)
    }

    /// A duration from 0.8 to 1.2 of this one (RFC 7675 §5.1).
    fn around(&mut self, duration: Duration) -> Duration {
        duration.mul_f64(0.8 + 0.4 * f64::from(self.rng.next_u32()) / f64::from(u32::MAX))
    }

    fn send(&mut self, base: Base, remote: SocketAddr, bytes: Box<[u8]>) {
        if self.outbox.len() < MAX_OUTBOX {
            self.outbox.push_back(Outgoing { base, remote, bytes });
        } else {
            self.counters.dropped += 1;
        }
    }
}

/// Takes the first element of a queue that is seldom filled; an empty one gives its memory back.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if first.is_none() {
        *queue = VecDeque::new();
    }
    first
}
