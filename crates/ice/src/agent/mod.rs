//! The agent.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::{CryptoRng, SeedableRng};

use crate::candidate::Candidate;
use crate::config::{Config, LocalAddress};
use crate::credentials::{Credentials, RemoteParameters};
use crate::event::{Event, GatheringState, Input, Received, Role, State};
use crate::path::{Ecn, Path, Transmit};

/// Bytes that must be free in front of the data for [`Agent::prepare`]: a Send indication to an IPv6 peer.
pub const HEADROOM: usize = 48;

/// Bytes that must be free behind it: padding.
pub const TAILROOM: usize = 3;

/// An ICE agent for one stream of data.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    rng: Box<ChaCha12Rng>,
    credentials: Credentials,
    role: Role,
    state: State,
    gathering: GatheringState,
    events: VecDeque<Event>,
}

impl Agent {
    /// An agent that has not begun. `rng` seeds the agent's own generator and is not kept.
    pub fn new(config: Config, _now: Instant, rng: &mut impl CryptoRng) -> Self {
        let mut rng = Box::new(ChaCha12Rng::from_rng(rng));
        let credentials = Credentials::random(&mut rng);
        Self {
            config,
            rng,
            credentials,
            role: Role::Controlling,
            state: State::New,
            gathering: GatheringState::New,
            events: VecDeque::new(),
        }
    }
    /// The own credentials of the current generation.
    #[must_use]
    pub fn local_credentials(&self) -> &Credentials {
        &self.credentials
    }
    /// Whether the own description should say `a=ice-lite`.
    #[must_use]
    pub fn is_lite(&self) -> bool {
        self.config.lite
    }
    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }
    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }
    /// The state of gathering.
    #[must_use]
    pub fn gathering_state(&self) -> GatheringState {
        self.gathering
    }
    /// Sets the role: controlling for the offerer of the first offer, unless only the other side is full (RFC 8445 §6.1.1).
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
    }
    /// The configuration for the next gathering; [`restart`](Self::restart) takes one, too.
    pub fn set_config(&mut self, config: Config) {
        self.config = config;
    }
    /// The other side's description has arrived: checks begin.
    pub fn set_remote(&mut self, _now: Instant, _remote: RemoteParameters) {}
    /// A candidate of the other side's. Those that belong to credentials not yet known are held back.
    pub fn add_remote_candidate(&mut self, _now: Instant, _candidate: Candidate) {}
    /// No more candidates of the other side's follow (RFC 8838 §8.2).
    pub fn end_of_remote_candidates(&mut self, _now: Instant) {}
    /// Begins to gather, or to gather again after a restart.
    pub fn gather(&mut self, _now: Instant) {}
    /// These are the host's addresses now; to be called before the first [`gather`](Self::gather) and after each change.
    pub fn handle_network_change(&mut self, _now: Instant, _addresses: &[LocalAddress]) {}
    /// Something that an event asked for has happened.
    pub fn handle_input(&mut self, _now: Instant, _input: Input) {}
    /// A datagram, or a frame of a connection, has arrived. Relayed data is unwrapped where it stands.
    pub fn handle_datagram(
        &mut self,
        _now: Instant,
        _path: Path,
        _ecn: Ecn,
        _datagram: &mut [u8],
    ) -> Received {
        Received::Consumed
    }
    /// The time that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, _now: Instant) {}
    /// Makes ready to send data of component 1: `range` of `buf`, with [`HEADROOM`] bytes in front and [`TAILROOM`] behind that
    /// may be written to. With `segment_size` the data is several datagrams of that size, see
    /// [`takes_batches`](Self::takes_batches). `None` if there is no way now: the data is to be dropped.
    pub fn prepare(
        &mut self,
        _now: Instant,
        _buf: &mut [u8],
        _range: Range<usize>,
        _segment_size: Option<usize>,
    ) -> Option<Transmit> {
        None
    }
    /// Whether [`prepare`](Self::prepare) takes several datagrams at once now: not on relayed pairs and connections.
    #[must_use]
    pub fn takes_batches(&self) -> bool {
        false
    }
    /// Writes the next message of the agent's own to the front of `buf`, which should have 1,500 bytes.
    pub fn poll_transmit(&mut self, _now: Instant, _buf: &mut [u8]) -> Option<Transmit> {
        None
    }
    /// The next thing that the owner should know or do.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// Begins a new generation (RFC 8445 §9): new credentials now, `gather` and `set_remote` to follow. Data goes over the old pair until
    /// a new one is nominated.
    pub fn restart(&mut self, _now: Instant, config: Option<Config>) {
        if let Some(config) = config {
            self.config = config;
        }
        self.credentials = Credentials::random(&mut self.rng);
    }
    /// What checks and responses shall carry for the owner from now on.
    pub fn set_embedded(&mut self, _value: Option<Bytes>) {}
    /// What was counted.
    #[must_use]
    pub fn stats(&self, _now: Instant) -> crate::Stats {
        crate::Stats {
            transport: crate::TransportStats {
                packets_sent: 0,
                packets_received: 0,
                bytes_sent: 0,
                bytes_received: 0,
                role: self.role,
                local_username_fragment: self.credentials.ufrag.to_string(),
                state: self.state,
                selected_pair: None,
                selected_pair_changes: 0,
                dropped: 0,
            },
            pairs: Vec::new(),
            local_candidates: Vec::new(),
            remote_candidates: Vec::new(),
        }
    }
    /// Releases everything; keep draining for the goodbyes to servers.
    pub fn close(&mut self, _now: Instant) {
        self.state = State::Closed;
    }
}
