//! The agent: its fields and its methods for the owner.

mod addresses;
mod allocations;
mod check_list;
mod checks;
mod claim;
mod consent;
mod data;
mod forming;
mod gather;
mod gathering;
mod ids;
mod local;
mod locals;
mod map;
mod nominate;
mod outputs;
mod pair;
mod pairs;
mod pool;
mod relays;
mod remote;
mod remotes;
mod requests;
mod role;
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

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_stun::TransactionId;
use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRng, Rng, SeedableRng};

use crate::config::Config;
use crate::credentials::Credentials;
use crate::event::{BindId, Event, GatheringState, Input, Request, Role, State};
use addresses::Addresses;
use check_list::CheckList;
use gathering::Gathering;
use ids::{Base, Ids, SessionId};
use local::Locals;
use map::Map;
use outputs::Outputs;
use pairs::Pairs;
use relays::Relays;
use remote::Remotes;
use role::Roles;
use servers::Servers;
use session::{Session, Sessions};
use socket::Socket;
use stream::Tcp;
use transaction::Transactions;

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
    ids: Ids,
    roles: Roles,
    state: State,
    sessions: Sessions,
    addresses: Addresses,
    sockets: Map<BindId, Socket>,
    tcp: Tcp,
    servers: Servers,
    relays: Relays,
    gathering: Gathering,
    locals: Locals,
    remotes: Remotes,
    pairs: Pairs,
    checks: CheckList,
    transactions: Transactions,
    timers: Timers,
    outputs: Outputs,
    counters: Counters,
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
    /// Embedded values may travel on further pairs.
    embed: Option<Instant>,
    /// Unused connections and listeners are closed.
    conclude: Option<Instant>,
    /// Failed pairs are checked again.
    slow: Option<Instant>,
}

impl Timers {
    fn next(&self) -> Option<Instant> {
        let checks = [self.pace, self.spacing, self.nominate, self.slow];
        let others = [self.state, self.gather, self.bindings, self.conclude, self.embed];
        checks.into_iter().chain(others).flatten().min()
    }
}

impl Agent {
    /// Creates an agent. `rng` seeds the agent's own generator and is not kept.
    pub fn new(config: Config, rng: &mut impl CryptoRng) -> Self {
        let mut rng = Box::new(ChaCha12Rng::from_rng(rng));
        let session = Session::new(SessionId::FIRST, Credentials::random(&mut rng));
        Self {
            ids: Ids::default(),
            roles: Roles::new(rng.next_u64()),
            state: State::New,
            sessions: Sessions::new(session),
            addresses: Addresses::default(),
            sockets: Map::default(),
            tcp: Tcp::default(),
            servers: Servers::default(),
            relays: Relays::default(),
            gathering: Gathering::new(),
            locals: Locals::default(),
            remotes: Remotes::default(),
            pairs: Pairs::default(),
            checks: CheckList::new(config.timings.burst),
            transactions: Transactions::default(),
            timers: Timers::default(),
            outputs: Outputs::default(),
            counters: Counters::default(),
            config,
            rng,
        }
    }

    /// Returns the local credentials that count in the next description: those of a restart, if
    /// there is one, else those of the current session.
    #[must_use]
    pub fn local_credentials(&self) -> &Credentials {
        &self.sessions.announced().local
    }

    /// Returns the local credentials of the session that runs: others than the
    /// [local ones](Self::local_credentials) as long as a restart is not answered.
    #[must_use]
    pub fn running_credentials(&self) -> &Credentials {
        &self.sessions.current().local
    }

    /// Returns true if there was a remote description.
    #[must_use]
    pub fn has_remote(&self) -> bool {
        self.sessions.current().remote.is_some()
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
        self.roles.role
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns true from [`Event::RestartWanted`] until the path has come back or both sides have
    /// restarted ICE.
    #[must_use]
    pub fn wants_restart(&self) -> bool {
        self.sessions.current().restart_requested
    }

    /// Returns the state of gathering.
    #[must_use]
    pub fn gathering_state(&self) -> GatheringState {
        self.gathering.state
    }

    /// Sets the role: controlling for the offerer of the first offer (RFC 8445 §6.1.1). A full
    /// agent that meets a lite one becomes controlling by itself.
    pub fn set_role(&mut self, role: Role) {
        if self.roles.role != role {
            self.roles.role = role;
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

    /// Sets the values that checks carry for the owner from now on, in the attribute
    /// [`crate::EMBEDDED`]: DTLS flights, for example. Each has at most 1,100 bytes, so that a
    /// check stays one packet, and there are at most four; more are not carried. A check carries
    /// the first, authentic Binding indications behind it the others. New values go out at once on
    /// the best pair under check, and on others if that does not answer within 5 ms. To addresses
    /// that have not answered yet they go in the first ten messages at most, if they were signalled
    /// at all, and the first one in responses that are not larger than the request.
    ///
    /// ICE does not negotiate the attribute. Its type is comprehension-optional, so that receivers
    /// skip it (RFC 8489 §14); set a value only where the other side is known to expect it.
    pub fn set_embedded(&mut self, now: Instant, values: impl IntoIterator<Item = Bytes>) {
        let is_short = |value: &Bytes| value.len() <= requests::MAX_EMBEDDED;
        self.checks.embedded = values.into_iter().filter(is_short).take(requests::MAX_VALUES).collect();
        (self.checks.carried_at, self.timers.embed) = (None, None);
        if !self.checks.embedded.is_empty() {
            self.checks.generation += 1;
            self.embed_now(now);
        }
    }

    /// Forgets the values that checks carry.
    pub fn forget_embedded(&mut self) {
        self.checks.embedded = Vec::new();
        (self.checks.carried_at, self.timers.embed) = (None, None);
    }

    /// Returns true if the other side has answered a check that came with the values that were set
    /// last, so that they have arrived most probably.
    #[must_use]
    pub fn has_delivered(&self) -> bool {
        self.checks.generation > 0 && self.checks.delivered == self.checks.generation
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
        let is_early = self.poll_timeout().is_none_or(|at| at > now);
        // A closed one looks for allocations that are released.
        if is_early && self.state != State::Closed {
            return;
        }
        self.expire_transactions(now);
        self.with_relays(now, |relays, context| relays.handle_timeout(now, context));
        self.expire_streams(now);
        self.check_liveness(now);
        self.handle_gather_timers(now);
        self.handle_embed_timer(now);
        self.update(now);
    }

    /// Returns the next event for the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.outputs.poll_event()
    }

    /// Returns the next action that the agent needs of its owner.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.outputs.poll_request()
    }

    /// Returns the time to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.state == State::Closed {
            return self.relays.poll_timeout();
        }
        let pairs = self.pairs.values().filter_map(|pair| pair.consent.next).min();
        [
            self.transactions.poll_timeout(),
            pairs,
            self.relays.poll_timeout(),
            self.tcp.poll_timeout(),
            self.timers.next(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Closes everything. Go on polling: allocations at servers are still to be released.
    pub fn close(&mut self, now: Instant) {
        if self.state == State::Closed {
            return;
        }
        self.sessions.prospect = None;
        self.sessions.early.clear();
        self.transactions.clear();
        self.pairs.clear();
        self.remotes.clear();
        self.checks.forget_triggered();
        self.outputs.clear_messages();
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

    /// The state of gathering of the running session.
    fn running_gathering(&self) -> GatheringState {
        self.sessions.prospect.as_ref().map_or(self.gathering.state, |prospect| prospect.gathering)
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
        if !self.outputs.send(base, remote, bytes) {
            self.counters.dropped += 1;
        }
    }
}
