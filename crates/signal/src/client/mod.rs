//! The client's side of the protocol, without sockets: what has been received, what is to be sent,
//! and when a connection is to be opened.

mod events;
mod membership;
mod outbox;
mod phase;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_core::Rng;
use serde_json::value::RawValue;

pub use events::{ClientEvent, ClientInput, ClientRequest, SendError};
pub use timing::Timing;

use self::membership::Membership;
use self::outbox::Outbox;
use self::phase::Phase;
use crate::client_message::ClientMessage;
use crate::error::Refusal;
use crate::names::{ClientId, PeerId, SessionToken};
use crate::server_message::{IceServers, ServerMessage};

/// Events that wait for the application: then [`Client::is_full`], and its owner should read
/// nothing more from the server, which in the end removes a client that is too slow.
const MAX_EVENTS: usize = 256;

/// JSON around the data of a `send`, at most, in bytes.
const AROUND: usize = 128;

/// A client in a session, over all connections that carry it.
///
/// The owner opens a connection when [`poll_request`](Self::poll_request) asks for one, hands in
/// what arrives ([`handle_input`](Self::handle_input)), sends what
/// [`poll_transmit`](Self::poll_transmit) returns, calls [`handle_timeout`](Self::handle_timeout)
/// at
/// [`poll_timeout`](Self::poll_timeout), and takes events. Any order of calls is legal.
///
/// Broken connections are mended: every message arrives once and in order as long as the server
/// keeps the membership; after that, and after a restart of the server, the client joins anew with
/// the same instance, and so under the same peer id, and sends again what was never acknowledged.
pub struct Client {
    greeting: ClientMessage,
    timing: Timing,
    rng: Box<dyn Rng + Send>,
    /// A moment of the monotonic clock, and the Unix time then.
    clock: (Instant, Duration),
    phase: Phase,
    /// Attempts to connect since the last success, and the pause before the next.
    attempts: u32,
    pause: Duration,
    requests: VecDeque<ClientRequest>,
    membership: Option<Membership>,
    /// True if there was ever a membership.
    was_joined: bool,
    session: Option<SessionToken>,
    peers: BTreeMap<PeerId, Option<ClientId>>,
    ice_servers: IceServers,
    /// Counts the lists of servers that came.
    ice_servers_version: u64,
    ice_servers_wanted: bool,
    /// When to ask for fresh ones, so that the credentials among them never expire.
    renew_at: Option<Instant>,
    outbox: Outbox,
    paused_until: Option<Instant>,
    gaps: u32,
    received: u64,
    acknowledged: u64,
    acknowledge_at: Option<Instant>,
    /// Small messages to be sent first; bounded by what the server asks on one connection, and the
    /// owner sends them before it reads on.
    answers: VecDeque<ClientMessage>,
    last_activity: Instant,
    probe_until: Option<Instant>,
    depart_at: Option<Instant>,
    /// The refusal that ended the last connection.
    refusal: Option<Refusal>,
    /// Events for the application; bounded by the owner, which stops reading.
    events: VecDeque<ClientEvent>,
}

impl Client {
    /// A client that enters a session with `greeting` (`join`, `create` or `meet`). `unix_time` is
    /// the wall clock's at `now`; `rng` spreads the pauses between attempts to connect.
    pub fn new(
        now: Instant,
        unix_time: Duration,
        greeting: ClientMessage,
        timing: Timing,
        rng: impl Rng + Send + 'static,
    ) -> Self {
        Self {
            greeting,
            rng: Box::new(rng),
            clock: (now, unix_time),
            phase: Phase::Opening,
            attempts: 0,
            pause: timing.backoff,
            requests: VecDeque::from([ClientRequest::Open]),
            membership: None,
            was_joined: false,
            session: None,
            peers: BTreeMap::new(),
            ice_servers: IceServers::default(),
            ice_servers_version: 0,
            ice_servers_wanted: false,
            renew_at: None,
            outbox: Outbox::new(timing.hold),
            timing,
            paused_until: None,
            gaps: 0,
            received: 0,
            acknowledged: 0,
            acknowledge_at: None,
            answers: VecDeque::new(),
            last_activity: now,
            probe_until: None,
            depart_at: None,
            refusal: None,
            events: VecDeque::new(),
        }
    }

    /// Something has happened outside.
    pub fn handle_input(&mut self, now: Instant, input: ClientInput<'_>) {
        match input {
            ClientInput::Opened => self.opened(now),
            ClientInput::Text(text) => self.text(now, text),
            ClientInput::Activity => self.note_activity(now),
            ClientInput::Ended => self.connection_ended(now),
            ClientInput::NetworkChanged { lost } => self.network_changed(now, lost),
        }
    }

    /// Sends `data` to one peer, or to all who are there; while there is none, it waits for the
    /// first that come. What is sent to a peer that is not there waits a minute for it.
    ///
    /// # Errors
    /// The session was left, the message is larger than the server takes, or 1,024 messages or 8
    /// MiB wait already.
    pub fn send(&mut self, now: Instant, to: Option<PeerId>, data: Arc<RawValue>) -> Result<(), SendError> {
        if self.phase.is_ending() {
            return Err(SendError::Closed);
        }
        let size = data.get().len() + AROUND;
        if let Some(limit) = self.message_bytes().filter(|limit| size > *limit) {
            return Err(SendError::TooLarge { size, limit });
        }
        if self.outbox.add(now, to, data) { Ok(()) } else { Err(SendError::Full) }
    }

    /// Leaves the session for good. What was sent goes out first, if it can within
    /// [`Timing::close`].
    pub fn close(&mut self, now: Instant) {
        match self.phase {
            Phase::Open => self.phase = Phase::Leaving { until: now + self.timing.close },
            Phase::Leaving { .. } | Phase::Closed => {}
            Phase::Opening | Phase::Entering { .. } | Phase::Waiting { .. } => self.end(None),
        }
    }

    /// The next message to be transmitted on the present connection.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<ClientMessage> {
        if !self.phase.is_connected() {
            return None;
        }
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        if !self.is_entered() {
            return None;
        }
        let unacknowledged = self.received.saturating_sub(self.acknowledged);
        if unacknowledged >= membership::ACKNOWLEDGE_EVERY || self.acknowledge_at.is_some_and(|at| at <= now)
        {
            self.acknowledge_at = None;
            self.acknowledged = self.received;
            if unacknowledged > 0 {
                return Some(ClientMessage::Ack { seq: self.received });
            }
        }
        if self.paused_until.is_none_or(|until| until <= now) {
            self.paused_until = None;
            let peers = &self.peers;
            let is_here = |to: Option<PeerId>| to.map_or(!peers.is_empty(), |peer| peers.contains_key(&peer));
            if let Some(message) = self.outbox.take(now, is_here) {
                return Some(message);
            }
        }
        self.leave_if_settled(now)
    }

    /// The next request to the owner: to open a connection, or to close one.
    pub fn poll_request(&mut self) -> Option<ClientRequest> {
        self.requests.pop_front()
    }

    /// The next event for the application; [`ClientEvent::Closed`] is the last.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Returns true while the application has so many events to take that nothing more should be
    /// read from the server.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.events.len() >= MAX_EVENTS && !self.phase.is_ending()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and poll for messages.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let on_connection = || {
            let quiet = self.probe_until.unwrap_or(self.last_activity + self.timing.silence);
            let others = [self.acknowledge_at, self.paused_until, self.depart_at, self.renew_at];
            others.into_iter().flatten().fold(quiet, Instant::min)
        };
        match self.phase {
            Phase::Opening | Phase::Closed => None,
            Phase::Entering { until } | Phase::Waiting { until, .. } => Some(until),
            Phase::Open => Some(on_connection()),
            Phase::Leaving { until } => Some(on_connection().min(until)),
        }
    }

    /// A time has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Opening | Phase::Closed => {}
            Phase::Entering { until } => {
                if until <= now {
                    self.lose(now, phase::Ended::Lost);
                }
            }
            Phase::Waiting { until, .. } => {
                if until <= now {
                    self.reopen();
                }
            }
            Phase::Open | Phase::Leaving { .. } => self.time_on_connection(now),
        }
    }

    /// The own peer id. `None` for a moment while the client joins anew.
    #[must_use]
    pub fn peer_id(&self) -> Option<PeerId> {
        self.membership.as_ref().map(|membership| membership.peer)
    }

    /// The session's token; `None` before it is entered, and if clients meet by id.
    #[must_use]
    pub fn session(&self) -> Option<&SessionToken> {
        self.session.as_ref()
    }

    /// The peers that can be reached through the server.
    pub fn peers(&self) -> impl Iterator<Item = (PeerId, Option<&ClientId>)> {
        self.peers.iter().map(|(peer, id)| (*peer, id.as_ref()))
    }

    /// Returns whether this peer can be reached through the server now.
    #[must_use]
    pub fn is_reachable(&self, peer: PeerId) -> bool {
        self.is_open() && self.peers.contains_key(&peer)
    }

    /// Returns whether the session is entered over the present connection.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_entered()
    }

    /// Returns whether the client has left the session, or is leaving it.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase.is_ending()
    }

    /// The refusal that ended the last connection, if one did.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_ref()
    }

    /// The STUN and TURN servers that the server offers.
    #[must_use]
    pub fn ice_servers(&self) -> &IceServers {
        &self.ice_servers
    }

    /// Counts the lists of servers that came.
    #[must_use]
    pub fn ice_servers_version(&self) -> u64 {
        self.ice_servers_version
    }

    /// Asks for fresh ICE servers; again after a reconnection, until they come.
    pub fn want_ice_servers(&mut self) {
        if !self.ice_servers_wanted && self.is_entered() {
            self.answers.push_back(ClientMessage::IceServers);
        }
        self.ice_servers_wanted = true;
    }

    fn is_entered(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Leaving { .. })
    }

    fn text(&mut self, now: Instant, text: &str) {
        if !self.phase.is_connected() {
            return;
        }
        match ServerMessage::parse(text) {
            Ok(message) => {
                if let Some(ended) = self.handle_message(now, message) {
                    self.lose(now, ended);
                }
            }
            Err(error) => {
                // A later version may know more.
                tracing::debug!(%error, "a message of the server that cannot be understood");
                self.note_activity(now);
            }
        }
    }
}

impl Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers = self.peers.len();
        f.debug_struct("Client").field("phase", &self.phase).field("peers", &peers).finish_non_exhaustive()
    }
}
