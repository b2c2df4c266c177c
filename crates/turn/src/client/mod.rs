//! The TURN client: one allocation at a server, kept alive, with permissions and channels for its
//! peers (RFC 8656).
//!
//! ```
//! use std::time::Instant;
//! use columba_turn::client::{Client, Config};
//! use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};
//!
//! let now = Instant::now();
//! let config = Config { username: "ada".into(), password: "secret".into(), ..Config::default() };
//! let mut client = Client::new(config, now, &mut ChaCha12Rng::seed_from_u64(1));
//!
//! let mut buf = [0; 1500];
//! let length = client.poll_transmit(now, &mut buf).unwrap();
//! assert_eq!(buf[..2], [0, 3], "an Allocate request, first without credentials");
//! assert_eq!(client.poll_transmit(now, &mut buf), None);
//! assert!(client.poll_timeout().is_some(), "to repeat it");
//! ```

mod auth;
mod data;
mod mobility;
mod peers;
mod responses;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_stun::{ChannelNumber, ErrorCode};
use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRng, SeedableRng};

use auth::Auth;
use mobility::Mobility;
use peers::{Channel, Permission};
use transaction::{Kind, Transaction};

pub use crate::server::{HEADROOM, TAILROOM};

/// The lifetime asked for, in seconds: what servers give by default (RFC 8656 §3.2).
const LIFETIME: u32 = 600;

/// The time between keepalives over UDP, for the NATs on the way to the server: some drop a mapping
/// after 30 s, and with the mapping the allocation is lost.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The time before its end at which an allocation is refreshed.
const REFRESH_AHEAD: Duration = Duration::from_secs(60);

/// The parameters of a client.
#[derive(Clone)]
pub struct Config {
    /// The user's name at the server.
    pub username: Arc<str>,
    /// The user's password.
    pub password: Arc<str>,
    /// True if a stream leads to the server: then nothing is repeated, and channel data is padded.
    /// Default false.
    pub stream: bool,
    /// The relayed addresses to ask for. Default [`Families::Both`].
    pub families: Families,
    /// True if to ask for a ticket, with which the allocation can be taken along to another
    /// address, see [`Client::change_address`] (RFC 8016). Where the server does not allow that,
    /// asking costs a round trip. Default false.
    pub mobility: bool,
    /// The time until the first repetition of a request, as long as no round trip to the server is
    /// known; then it is twice that, but not more than this. Default 500 ms (RFC 8489 §6.2.1).
    pub rto: Duration,
    /// The number of repetitions after the first that keep that distance, before each waits twice
    /// as long as the one before. Default none.
    pub quick_repetitions: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            username: "".into(),
            password: "".into(),
            stream: false,
            families: Families::Both,
            mobility: false,
            rto: Duration::from_millis(500),
            quick_repetitions: 0,
        }
    }
}

/// The relayed addresses that an allocation shall have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// An IPv4 one, and an IPv6 one beside it (ADDITIONAL-ADDRESS-FAMILY, RFC 8656 §7.1). Servers
    /// from before that RFC give the first only. One that has no IPv4 is asked for IPv6 alone.
    #[default]
    Both,
    /// An IPv4 one alone.
    Ipv4,
    /// An IPv6 one alone (REQUESTED-ADDRESS-FAMILY).
    Ipv6,
}

/// Debug output must not give the password away.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config").field("stream", &self.stream).finish_non_exhaustive()
    }
}

/// Events for the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The allocation is there.
    Allocated {
        /// The relayed addresses: one, or one of each family.
        relayed: Vec<SocketAddr>,
        /// The client's address as the server sees it.
        mapped: Option<SocketAddr>,
    },
    /// The allocation has come along to the new address: data flows again.
    Moved,
    /// There is no allocation, and there will be none.
    Failed(Failure),
    /// The allocation is gone; a new one needs a new client on a new local port.
    Lost,
    /// The server does not relay to this address.
    PeerRefused(IpAddr),
}

/// The reason for which there is no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The server's error code; `None` if it did not answer.
    pub code: Option<ErrorCode>,
    /// The server's reason phrase.
    pub text: String,
    /// The server to ask instead (300, RFC 8489 §10).
    pub alternate: Option<SocketAddr>,
}

/// The kind of a datagram from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// A message of the client's own, or a malformed one.
    Consumed,
    /// Data from a peer.
    Data {
        /// The peer.
        peer: SocketAddr,
        /// The place of the data in the datagram.
        range: Range<usize>,
    },
}

/// One allocation. Dropped without [`release`](Self::release), it ends at the server when its
/// lifetime does.
///
/// Nothing is remembered for peers that were not asked for, so memory is bounded by
/// [`MAX_PEERS`](Self::MAX_PEERS).
#[derive(Debug)]
pub struct Client {
    config: Config,
    rng: Box<ChaCha12Rng>,
    stage: Stage,
    auth: Option<Auth>,
    transactions: Vec<Transaction>,
    permissions: BTreeMap<IpAddr, Permission>,
    channels: BTreeMap<SocketAddr, Channel>,
    /// The peer of each channel, by number from [`ChannelNumber::MIN`] on; never reused, see
    /// `bind`.
    numbers: Vec<SocketAddr>,
    relayed: Vec<SocketAddr>,
    mobility: Mobility,
    refresh_at: Option<Instant>,
    /// When the way to the server is to be kept open.
    keepalive_at: Option<Instant>,
    keepalive_due: bool,
    /// Smoothed.
    round_trip: Option<Duration>,
    events: VecDeque<Event>,
}

/// The life of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Allocating,
    Live,
    /// A refresh with lifetime zero is on its way, or will be once the server says that it has
    /// allocated.
    Releasing,
    Ended,
}

impl Client {
    /// Peers with a permission, at most.
    pub const MAX_PEERS: usize = 128;

    /// A client that is about to allocate. `rng` seeds a generator of its own.
    pub fn new(config: Config, now: Instant, rng: &mut impl CryptoRng) -> Self {
        let mut client = Self {
            config,
            rng: Box::new(ChaCha12Rng::from_rng(rng)),
            stage: Stage::Allocating,
            auth: None,
            transactions: Vec::new(),
            permissions: BTreeMap::new(),
            channels: BTreeMap::new(),
            numbers: Vec::new(),
            relayed: Vec::new(),
            mobility: Mobility::default(),
            refresh_at: None,
            keepalive_at: None,
            keepalive_due: false,
            round_trip: None,
            events: VecDeque::new(),
        };
        client.begin(now, Kind::Allocate);
        client
    }

    /// Returns whether the allocation is there.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.stage == Stage::Live
    }

    /// Returns whether it is being given back to the server.
    #[must_use]
    pub fn is_releasing(&self) -> bool {
        self.stage == Stage::Releasing
    }

    /// Returns whether nothing is left to be done: released, failed or lost.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Ends the allocation (RFC 8656 §8), also from an address to which it has not come along yet;
    /// keep draining until [`is_ended`](Self::is_ended).
    pub fn release(&mut self, now: Instant) {
        match self.stage {
            Stage::Live => {
                self.stage = Stage::Releasing;
                self.transactions.clear();
                self.begin(now, Kind::Refresh { lifetime: 0 });
            }
            // The server may have allocated already: its answer will show it. It has not if it
            // knows no credentials yet.
            Stage::Allocating if self.transactions.iter().any(|one| one.signed) => {
                self.stage = Stage::Releasing;
            }
            Stage::Allocating => self.end(),
            Stage::Releasing | Stage::Ended => {}
        }
        self.refresh_at = None;
        self.keepalive_at = None;
    }

    /// Asks the server whether the allocation is still there, because nothing comes back through
    /// it: behind a NAT that has forgotten its mapping, the server does not know the client any
    /// more. Leads to [`Event::Lost`] if so.
    pub fn probe(&mut self, now: Instant) {
        let asked = self.transactions.iter().any(|one| matches!(one.kind, Kind::Refresh { .. } | Kind::Move));
        if self.stage == Stage::Live && !asked {
            self.begin(now, Kind::Refresh { lifetime: LIFETIME });
        }
    }

    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        let stream = self.config.stream;
        let mut expired = Vec::new();
        self.transactions.retain_mut(|transaction| {
            if transaction.next > now {
                return true;
            }
            let alive = transaction.repeat(now, stream);
            if !alive {
                expired.push(transaction.kind.clone());
            }
            alive
        });
        for kind in expired {
            self.handle_silence(now, kind);
        }
        if self.stage != Stage::Live || self.is_moving() {
            return;
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = None;
            self.begin(now, Kind::Refresh { lifetime: LIFETIME });
        }
        if self.keepalive_at.is_some_and(|at| at <= now) {
            self.keepalive_due = true;
            self.keepalive_at = Some(now + KEEPALIVE);
        }
        self.renew_peers(now);
    }

    /// Writes the next request to the front of `buf` and returns its length. `None` if there is
    /// none.
    pub fn poll_transmit(&mut self, _now: Instant, buf: &mut [u8]) -> Option<usize> {
        if std::mem::take(&mut self.keepalive_due)
            && let Some(length) = self.build_keepalive(buf)
        {
            return Some(length);
        }
        let transaction = self.transactions.iter_mut().find(|transaction| transaction.due)?;
        transaction.due = false;
        let length = transaction.bytes.len();
        buf.get_mut(..length)?.copy_from_slice(&transaction.bytes);
        Some(length)
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transactions = self.transactions.iter().map(|transaction| transaction.next);
        if self.is_moving() {
            return transactions.min();
        }
        transactions.chain(self.refresh_at).chain(self.keepalive_at).chain(self.next_renewal()).min()
    }

    fn end(&mut self) {
        self.stage = Stage::Ended;
        self.transactions.clear();
        self.permissions.clear();
        self.channels.clear();
        self.mobility = Mobility::default();
        self.refresh_at = None;
        self.keepalive_at = None;
    }

    fn fail(&mut self, failure: Failure) {
        let wanted = self.stage != Stage::Releasing;
        self.end();
        if wanted {
            self.events.push_back(Event::Failed(failure));
        }
    }

    fn lose(&mut self) {
        self.end();
        self.events.push_back(Event::Lost);
    }
}

fn channel_number(index: usize) -> Option<ChannelNumber> {
    let index = u16::try_from(index).ok()?;
    ChannelNumber::new(ChannelNumber::MIN.number().checked_add(index)?)
}
