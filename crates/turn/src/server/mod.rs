//! The STUN and TURN server as a sans-IO state machine.

mod addresses;
mod answers;
mod bucket;
mod config;
mod credentials;
mod deadlines;
mod familiar;
mod hash;
mod mobility;
mod nonce;
mod path;
mod policy;
mod pool;
mod relays;
mod requests;
mod route;
mod stats;
mod table;
#[cfg(test)]
mod tests;

pub use columba_stun::AddressFamily;
pub use config::{AnswerLimit, Config, Rate};
pub use credentials::{Admission, Credentials};
pub use path::{
    Arrival, Event, FiveTuple, Forward, Input, PortRequirement, RefusalReason, RelayId, Transmit, Transport,
    UnixTime,
};
pub use policy::Doubt;
pub use stats::{DropReason, ERROR_CODES, Stats};

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rand_core::CryptoRng;

use addresses::Addresses;
use answers::Answers;
use bucket::{Accounts, Bucket};
use deadlines::Deadlines;
use hash::Keyed;
use mobility::Tickets;
use nonce::Nonces;
use policy::Policy;
use relays::Reservation;
use table::{Holder, Slot, Stage, Table, Token};

/// The room that [`Server::route`] needs in front of the payload to write a header there: a Data
/// indication with an IPv6 peer address is 20 bytes of header, 24 of XOR-PEER-ADDRESS and 4 of
/// DATA's own header.
pub const HEADROOM: usize = 48;

/// The room that [`Server::route`] needs behind the payload for padding to a multiple of four.
pub const TAILROOM: usize = 3;

/// The bytes of a datagram that count towards bandwidth beside its payload: IPv4 and UDP headers.
pub const DATAGRAM_OVERHEAD: usize = 28;

/// The longest answer, in bytes; fits the smallest MTU of IPv6.
const MAX_ANSWER: usize = 1232;

/// When so many events wait for the owner, no more allocations are made, and streams are not asked
/// to be closed.
const MAX_EVENTS: usize = 8192;

/// The STUN and TURN server.
///
/// # How to drive it
///
/// One `Server` serves all sockets of a process; their owner does this:
///
/// 1. **Something arrives** at a listening socket, on a stream (cut into messages), or at a relay
///    port. Receive it into a buffer at offset [`HEADROOM`], leaving [`TAILROOM`] behind, and call
///    [`route`](Self::route) with where it [arrived](Arrival). Do what the returned [`Forward`]
///    says: send that range of the same buffer, or hand the message to
///    [`handle_input`](Self::handle_input) as [`Input::Message`], or forget it. `route` never makes
///    anything for the other doors, so a burst of data needs no draining.
/// 2. **After every `handle_input` and `handle_timeout`**: call [`poll_event`](Self::poll_event)
///    until `None` and carry the events out, then [`poll_transmit`](Self::poll_transmit) until
///    `None` and send what it wrote. A granted or refused relay is an input, so drain again after
///    it.
/// 3. **Sleep** until [`poll_timeout`](Self::poll_timeout) (ask again after each of the above),
///    then call [`handle_timeout`](Self::handle_timeout).
/// 4. **A stream ends**: [`Input::ConnectionClosed`].
///
/// Any order of calls is legal, and none of them fails: what comes from the network and is not
/// right is dropped and counted in [`stats`](Self::stats), or answered with the error that the RFC
/// has for it. Time must not go backwards (if it does, deadlines are merely late).
///
/// # What the owner must see to
///
/// * A relay socket is bound on [`Event::RelayWanted`] and closed on [`Event::RelayReleased`];
///   datagrams that still arrive for a released [`RelayId`] are dropped by `route`.
/// * ECN and DSCP bits are the owner's to carry over from the received datagram to the sent one
///   (RFC 8656 §14).
/// * Streams: idle ones without an allocation, and what a slow one may buffer. A stream is never
///   "blocked": when its buffer is full, drop the data that `route` has for it, as UDP would.
/// * [`Config::own_addresses`] and [`Config::listeners`] must be true, they keep peers away from
///   the host.
///
/// # Decisions
///
/// * Nothing is remembered about a client before it has authenticated: the nonce is a time and a
///   MAC over it and the client's address. Answers before that are limited, see [`AnswerLimit`].
/// * Username anonymity (USERHASH) is not offered, and the nonce says so: a time-limited username
///   cannot be found from its hash, because there is no list of them.
/// * An allocation outlives its credential, see [`Config::expired_grace`].
/// * An allocation that may move (RFC 8016) takes its ticket and its credential to be moved, and
///   outlives its connection by a minute, see [`Config::mobility`].
/// * Permissions are for addresses whose kind is allowed (see [`Config::allow_peers`]), and for the
///   server's own addresses, because two clients behind firewalls meet relay to relay there. Data
///   to an own address is handed to the allocation that has that relayed address within this
///   process, or dropped.
#[derive(Debug)]
pub struct Server {
    config: Config,
    policy: Policy,
    /// The pair from which wall time is derived, set anew by the owner.
    start: Instant,
    wall: UnixTime,
    nonces: Nonces,
    answers: Answers,
    tickets: Tickets,
    table: Table,
    /// The holder of each relay, by its id.
    relays: HashMap<RelayId, Holder, Keyed>,
    /// The allocation that has a relayed address.
    by_address: HashMap<SocketAddr, Slot, Keyed>,
    /// The number of those with each address.
    relayed_ips: BTreeMap<IpAddr, usize>,
    reservations: BTreeMap<Token, Reservation>,
    credentials: Accounts<Arc<str>>,
    addresses: Addresses,
    total_up: Bucket,
    total_down: Bucket,
    deadlines: Deadlines,
    /// Answers to be sent, see `reply` for the bound.
    outbox: VecDeque<(FiveTuple, Box<[u8]>)>,
    /// Bounded by [`MAX_EVENTS`] and the number of relays.
    events: VecDeque<Event>,
    last_relay: u64,
    /// Withdrawn requests for ports that the owner has not answered.
    withdrawn: usize,
    live: u64,
    secret: Keyed,
    secrets_drawn: u64,
    stats: Stats,
}

impl Server {
    /// A server at time `now`, when the wall clock shows `wall` (see
    /// [`set_wall_time`](Self::set_wall_time)). `rng` gives the keys (of nonces,
    /// tokens and hash tables) and is not kept.
    pub fn new(mut config: Config, now: Instant, wall: UnixTime, rng: &mut impl CryptoRng) -> Self {
        let mut nonce_key = [0; 32];
        rng.fill_bytes(&mut nonce_key);
        let mut ticket_key = [0; 32];
        rng.fill_bytes(&mut ticket_key);
        let mut keyed = || Keyed::new(rng.next_u64(), rng.next_u64());
        // Prepared, so that clients that prepare it again and those that do not make the same key,
        // and as long as a REALM attribute may be (RFC 8489 §14.9).
        let realm =
            columba_stun::auth::prepare(&config.realm).map_or_else(|_| config.realm.clone(), Into::into);
        config.realm = realm.chars().take(127).collect();
        let max_idle = config.max_allocations;
        Self {
            policy: Policy::new(&config),
            start: now,
            wall,
            nonces: Nonces::new(&nonce_key, now, config.nonce_lifetime),
            answers: Answers::new(config.unauthenticated, keyed(), now),
            tickets: Tickets::new(&ticket_key, keyed()),
            table: Table::new(keyed()),
            relays: HashMap::with_hasher(keyed()),
            by_address: HashMap::with_hasher(keyed()),
            relayed_ips: BTreeMap::new(),
            reservations: BTreeMap::new(),
            credentials: Accounts::new(keyed(), max_idle),
            addresses: Addresses::new(keyed(), &config),
            total_up: Bucket::full(now),
            total_down: Bucket::full(now),
            deadlines: Deadlines::default(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            last_relay: 0,
            withdrawn: 0,
            live: 0,
            secret: keyed(),
            secrets_drawn: 0,
            stats: Stats::default(),
            config,
        }
    }

    /// Takes an input. Never fails; leads to transmits and events.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Message { tuple, data } => self.handle_message(now, tuple, data),
            Input::RelayGranted { id, relayed } => self.handle_granted(now, id, relayed),
            Input::RelayRefused { id, reason } => self.handle_refused(now, id, reason),
            Input::ConnectionClosed { tuple } => self.handle_connection_closed(now, tuple),
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come. Harmless at any other
    /// time.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(deadline) = self.deadlines.due(now) {
            self.handle_deadline(now, deadline);
        }
    }

    /// Writes the next message for a client to the front of `buf`. `None` when there is no more to
    /// send. A message that does not fit is dropped and counted; none is longer than 1,232 bytes.
    pub fn poll_transmit(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        while let Some((tuple, message)) = self.outbox.pop_front() {
            if let Some(target) = buf.get_mut(..message.len()) {
                target.copy_from_slice(&message);
                let allocated = tuple.transport().is_stream() && self.has_allocation(&tuple);
                return Some(Transmit { tuple, len: message.len(), allocated });
            }
            self.stats.count_drop(DropReason::NoRoom);
        }
        None
    }

    /// Returns the next event. `None` when there is no more.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout). `None` if nothing waits for time to
    /// pass.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        stats.allocations_live = self.live;
        stats.relays_live = self.relays.len() as u64;
        stats
    }

    /// The configuration in use.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// From now on these secrets are good, instead of those in the configuration. Allocations live
    /// on, but those made under a secret that is gone cannot be refreshed.
    pub fn set_secrets(&mut self, secrets: Vec<Vec<u8>>) {
        self.config.secrets = secrets;
    }

    /// From now on these are the host's addresses and networks, beside the addresses of granted
    /// relays: call it when one comes or goes.
    pub fn set_own_addresses(&mut self, addresses: Vec<IpAddr>, networks: Vec<IpNet>) {
        self.config.own_addresses = addresses;
        self.config.own_networks = networks;
        self.policy = Policy::new(&self.config);
        self.by_address.keys().for_each(|relayed| self.policy.learn(relayed.ip()));
    }

    /// A connection of a client at this address has been opened (signaling for example): answers to
    /// it go before those to unknown sources, until it is closed.
    pub fn note_connection(&mut self, client: IpAddr) {
        self.answers.familiar.connect(columba_stun::canonical_ip(client));
    }

    /// A connection that was noted has been closed.
    pub fn forget_connection(&mut self, client: IpAddr) {
        self.answers.familiar.disconnect(columba_stun::canonical_ip(client));
    }

    /// A client at this address has proven that it is there, by a request over a connection for
    /// example: answers to it go before those to unknown sources for some minutes.
    pub fn note_client(&mut self, now: Instant, client: IpAddr) {
        self.answers.proven(now, columba_stun::canonical_ip(client));
    }

    /// Sets the wall clock by which new credentials are judged: call it with the time read live
    /// before each message that may hold credentials, so that a step of the clock is seen at once.
    /// What lives already is measured by `now` alone.
    pub fn set_wall_time(&mut self, now: Instant, wall: UnixTime) {
        (self.start, self.wall) = (now, wall);
    }

    fn has_allocation(&self, tuple: &FiveTuple) -> bool {
        let allocation = self.table.find(tuple).and_then(|slot| self.table.get(slot));
        allocation.is_some_and(|allocation| matches!(allocation.stage, Stage::Live(_)))
    }

    fn push_event(&mut self, event: Event) {
        let optional = matches!(event, Event::ConnectionClose { .. });
        if !(optional && self.events.len() >= MAX_EVENTS) {
            self.events.push_back(event);
        }
    }

    /// The wall time, as time since the Unix epoch.
    fn wall(&self, now: Instant) -> Duration {
        self.wall.0.saturating_add(now.saturating_duration_since(self.start))
    }

    /// A number that cannot be guessed from outside, another one each time.
    fn secret_number(&mut self) -> u64 {
        self.secrets_drawn += 1;
        self.secret.hash_one(self.secrets_drawn)
    }
}
