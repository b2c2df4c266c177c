//! The relay: the members of each session, and the events that wait for them.

mod buffers;
mod connection;
mod deadlines;
mod effort;
mod entering;
mod leaving;
mod meeting;
mod member;
mod member_set;
mod requests;
mod talking;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use columba_limits::{PrefixLimits, Prefixes};
use rand_core::CryptoRng;

use self::buffers::Buffers;
use self::connection::{Answer, Connection, Stage};
use self::deadlines::{Deadline, Deadlines};
use self::meeting::Meeting;
use self::member::{Member, MemberEvent, Presence};
use self::member_set::MemberSet;
use crate::config::Config;
use crate::error::{ErrorCode, Refusal};
use crate::names::{JoinKey, PeerId};
use crate::rates::{JoinLimiter, Rate};
use crate::server_message::{Ack, GoingAway, IceServers, LeaveReason, ServerMessage};
use crate::stats::Stats;

/// The WebSocket's normal closure (RFC 6455 §7.4.1).
const CLOSE_NORMAL: u16 = 1000;

/// The server goes down (RFC 6455 §7.4.1).
const CLOSE_GOING_AWAY: u16 = 1001;

/// Makes the `iceServers` of an answer for one peer. It is asked when the answer is written, so
/// that credentials are fresh; the owner knows by which host the client came and captures that.
pub type IceServersFor<'a> = &'a dyn Fn(PeerId) -> IceServers;

/// Names a connection of the relay: a WebSocket, an event stream or a poll. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// Input from a WebSocket.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message: a violation.
    Binary,
    /// A message larger than [`Config::frame_bytes`], which was not read: a violation.
    TooLarge,
    /// A WebSocket ping or pong frame: the client lives.
    Activity,
}

/// The way to go on reading a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The largest message that is worth reading next, in bytes: a larger one is
    /// [`Input::TooLarge`].
    pub limit: usize,
    /// The time for which nothing is to be read, because the client sends more than its rate.
    pub pause: Duration,
}

/// The ways to take events over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsKind {
    /// Server-Sent Events: open until one side ends it.
    Stream,
    /// A long poll, which the relay closes after this time (at most 30 s count).
    Poll(Duration),
}

/// Events for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// [`SessionRelay::poll_transmit`] has something for this connection; not repeated before it
    /// has returned `None`.
    Writable(ConnectionId),
    /// The membership of this peer has ended, for whatever reason. It may have another by now, see
    /// [`SessionRelay::is_member`].
    Left(PeerId),
    /// The relay is done with this connection: pull what is left, send it, close the socket, then
    /// call [`SessionRelay::disconnect`]. For a poll that merely ran out, `error` is none.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// The WebSocket close code.
        close_code: u16,
        /// The error that ends it, whose code is the WebSocket's close reason. It is also the last
        /// frame.
        error: Option<ErrorCode>,
    },
}

/// One message for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The number of an event; none for an answer.
    pub seq: Option<u64>,
    /// The JSON text.
    pub text: String,
    /// True if this is the server's `ping`, beside which a WebSocket ping frame goes.
    pub ping: bool,
}

/// Names a membership; in the order in which they began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MemberKey(u64);

/// The hash of a session's token, so that the time of a lookup reveals nothing about other tokens.
type SessionKey = [u8; 32];

/// The session relay as a state machine, behind both transports.
///
/// After every call, poll [`poll_event`](Self::poll_event) until `None` and look at
/// [`poll_timeout`](Self::poll_timeout) again. Any order of calls is legal. The cost of a message
/// depends on how many receive it, and not (but for the logarithm) on how many sessions there are.
/// Nothing here logs a token, a secret or data.
pub struct SessionRelay {
    config: Config,
    rng: Box<dyn CryptoRng + Send>,
    /// Boxed, as are the members: a tree of large values that come in order is half empty.
    connections: BTreeMap<ConnectionId, Box<Connection>>,
    next_connection: u64,
    members: BTreeMap<MemberKey, Box<Member>>,
    next_member: u64,
    by_peer: BTreeMap<PeerId, MemberKey>,
    sessions: BTreeMap<SessionKey, MemberSet>,
    meeting: Meeting,
    buffers: Buffers,
    joins: JoinLimiter,
    /// Joins of sessions with short names, by the network around an address.
    code_joins: JoinLimiter,
    /// The members by network.
    networks: Prefixes,
    deadlines: Deadlines,
    /// At most one `Writable` and one `Close` for each connection, one `Left` for each membership.
    events: VecDeque<Event>,
    drain: Option<Instant>,
    stats: Stats,
}

impl fmt::Debug for SessionRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRelay")
            .field("config", &self.config)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl SessionRelay {
    /// A relay without sessions. `rng` makes tokens and secrets.
    pub fn new(config: Config, rng: impl CryptoRng + Send + 'static) -> Self {
        let bounded = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let limits =
            PrefixLimits { total: bounded(config.peers), per_client: bounded(config.peers_per_client) };
        Self {
            networks: Prefixes::new(limits),
            joins: JoinLimiter::new(config.joins_per_minute, config.counted_addresses),
            code_joins: JoinLimiter::new(Config::CODE_JOINS_PER_MINUTE, config.counted_addresses),
            config,
            rng: Box::new(rng),
            connections: BTreeMap::new(),
            next_connection: 0,
            members: BTreeMap::new(),
            next_member: 0,
            by_peer: BTreeMap::new(),
            sessions: BTreeMap::new(),
            meeting: Meeting::default(),
            buffers: Buffers::default(),
            deadlines: Deadlines::default(),
            events: VecDeque::new(),
            drain: None,
            stats: Stats::default(),
        }
    }

    /// The limits it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// From now on this key is asked for on entering a session, instead of
    /// [`Config::join_key`]. Members stay, and come back without it.
    pub fn set_join_key(&mut self, key: Option<JoinKey>) {
        self.config.join_key = key;
    }

    /// A client has opened a WebSocket from this address. It has [`Config::join_timeout`] to enter
    /// a session. How many sockets may be open is the owner's to limit.
    pub fn connect(&mut self, now: Instant, client_address: IpAddr) -> ConnectionId {
        let connection = self.add_connection(now, Stage::Entering, Some(client_address));
        self.arm(connection, Some((now + self.config.join_timeout, Deadline::Join(connection))));
        connection
    }

    /// Something arrived on a WebSocket. Ignored for a connection that is unknown or already
    /// closing. Returns how to go on reading.
    pub fn handle_input(&mut self, now: Instant, connection: ConnectionId, input: Input<'_>) -> Reading {
        let bytes = if let Input::Text(text) = input { text.len() } else { 0 };
        let pause = self.count_frame(now, connection, bytes);
        self.take_input(now, connection, input);
        Reading { limit: self.reading_limit(connection), pause }
    }

    fn take_input(&mut self, now: Instant, connection: ConnectionId, input: Input<'_>) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        state.last_activity = now;
        state.pings = 0;
        let stage = state.stage;
        match (input, stage) {
            (_, Stage::Closing) | (Input::Activity, _) => {}
            (Input::Binary, _) => {
                let text = "WebSocket messages are text here, not binary.";
                self.violate(now, connection, Refusal::new(ErrorCode::BinaryFrame, text));
            }
            (Input::TooLarge, _) => {
                let most = match stage {
                    Stage::Entering => self.config.entry_bytes(),
                    _ => self.config.message_bytes,
                };
                let text = format!("A message has at most {most} bytes.");
                self.violate(now, connection, Refusal::new(ErrorCode::MessageTooLarge, text));
            }
            (Input::Text(text), Stage::Entering) => self.enter_by(now, connection, text),
            (Input::Text(text), Stage::Member(key)) => self.talk_by(now, connection, key, text),
        }
        self.relieve(now);
    }

    /// The connection is gone: its socket broke, or has been closed after [`Event::Close`], or the
    /// answer to a poll has been written. The membership waits for [`Config::resume_within`].
    /// No more events come for this connection, except what [`poll_event`](Self::poll_event)
    /// had waiting already.
    pub fn disconnect(&mut self, now: Instant, connection: ConnectionId) {
        self.arm(connection, None);
        let Some(state) = self.connections.remove(&connection) else { return };
        if let Some(at) = state.acks.armed {
            self.deadlines.remove(at, Deadline::Ack(connection));
        }
        if let Stage::Member(key) = state.stage {
            self.await_return(now, key);
        }
    }

    /// The next message for this connection. To be called while its socket takes more; what is not
    /// pulled waits here, up to [`Config::client_buffer_bytes`].
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        ice_servers: IceServersFor<'_>,
    ) -> Option<Frame> {
        let state = self.connections.get_mut(&connection)?;
        let stage = state.stage;
        if let Some(answer) = state.answers.pop_front() {
            state.acks.accompanied = true;
            if state.answers.is_empty() {
                // Answers are rare, and room for some is larger than all else of an idle client.
                state.answers = VecDeque::new();
            }
            return Some(self.completed(answer, stage, ice_servers));
        }
        if let Stage::Member(key) = stage
            && let Some(member) = self.members.get_mut(&key)
        {
            if std::mem::take(&mut member.ice_servers_owed) {
                let servers = ServerMessage::IceServers(IceServers::default());
                let answer = Answer::with_ice_servers(servers, member.peer);
                return Some(self.completed(answer, stage, ice_servers));
            }
            let event = member.log.get(state.next_event);
            let goes_along = state.acks.accompanied || event.is_some();
            if (goes_along || state.acks.is_due(now)) && state.acks.settle(now) {
                return Some(Frame::new(&ServerMessage::Ack(Ack { seq: member.accepted })));
            }
            if let Some(event) = event {
                state.next_event += 1;
                return Some(Frame::new(&event));
            }
        }
        (state.announced, state.acks.accompanied) = (false, false);
        None
    }

    /// An answer as it is sent. If it tells the ICE servers, they are not owed any more.
    fn completed(&mut self, answer: Answer, stage: Stage, ice_servers: IceServersFor<'_>) -> Frame {
        if let (Some(_), Stage::Member(key)) = (answer.ice_servers_for(), stage)
            && let Some(member) = self.members.get_mut(&key)
        {
            member.ice_servers_owed = false;
        }
        Frame::new(&answer.complete(&|peer| self.ice_servers(peer, ice_servers)))
    }

    /// Returns whether this peer has a membership.
    pub fn is_member(&self, peer: PeerId) -> bool {
        self.by_peer.contains_key(&peer)
    }

    /// The next event, until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The time asked for has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(deadline) = self.deadlines.pop_due(now) {
            match deadline {
                Deadline::Join(connection) => {
                    let text = "Nothing has entered a session in time.";
                    self.end_with(now, connection, Refusal::new(ErrorCode::JoinTimeout, text));
                }
                Deadline::Silence(connection) => self.after_silence(now, connection),
                Deadline::Ack(connection) => self.after_ack_rest(now, connection),
                Deadline::PollEnd(connection) => self.end(now, connection, CLOSE_NORMAL),
                Deadline::Expiry(key) => {
                    self.stats.expiries += 1;
                    self.remove(now, key, LeaveReason::Timeout);
                }
                Deadline::DrainEnd => {
                    let open: Vec<_> = self.connections.keys().copied().collect();
                    for connection in open {
                        self.end(now, connection, CLOSE_GOING_AWAY);
                    }
                }
            }
        }
        self.relieve(now);
    }

    /// The server is about to stop: every client gets `going-away` and comes back `after` this
    /// time, no new memberships begin, and at that time every connection is closed (1001). Those
    /// that are there can talk and resume until then.
    pub fn drain(&mut self, now: Instant, after: Duration) {
        let until = now + after;
        if let Some(before) = self.drain.replace(until) {
            self.deadlines.remove(before, Deadline::DrainEnd);
        }
        self.deadlines.insert(until, Deadline::DrainEnd);
        let open: Vec<_> = self.connections.keys().copied().collect();
        for connection in open {
            self.send_going_away(now, connection);
        }
        self.relieve(now);
    }

    /// Counts a refusal that the owner made itself (`subprotocol-required`, `origin-not-allowed`, a
    /// body too large).
    pub fn count_error(&mut self, code: ErrorCode) {
        self.stats.count_error(code);
    }

    /// Returns the counters and the present numbers.
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.sessions = self.sessions.len() as u64;
        stats.peers = self.members.len() as u64;
        stats.connections = self.connections.len() as u64;
        stats.buffered_bytes = self.buffers.total() as u64;
        stats
    }

    /// The bytes that wait for clients or for their acknowledgement.
    pub fn buffered_bytes(&self) -> usize {
        self.buffers.total()
    }

    fn sending_rate(&self) -> Rate {
        Rate {
            per_second: f64::from(self.config.messages_per_second.max(1)),
            burst: f64::from(self.config.message_burst.max(1)),
        }
    }

    fn add_connection(&mut self, now: Instant, stage: Stage, address: Option<IpAddr>) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let state = Connection::new(now, stage, address, self.effort_rate());
        self.connections.insert(connection, Box::new(state));
        connection
    }

    /// Sets the one deadline of a connection, or takes it away.
    fn arm(&mut self, connection: ConnectionId, deadline: Option<(Instant, Deadline)>) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let before = std::mem::replace(&mut state.deadline, deadline);
        if let Some((at, deadline)) = before {
            self.deadlines.remove(at, deadline);
        }
        if let Some((at, deadline)) = deadline {
            self.deadlines.insert(at, deadline);
        }
    }

    /// Pings a WebSocket, ends it, or sees that it was not silent at all: what arrives does not
    /// touch the table.
    fn after_silence(&mut self, now: Instant, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let end = state.last_activity + self.config.idle_timeout;
        if end <= now {
            let text = "Nothing has been heard of you for too long.";
            return self.end_with(now, connection, Refusal::new(ErrorCode::IdleTimeout, text));
        }
        if state.last_activity + self.config.ping_after * (state.pings + 1) <= now {
            state.pings += 1;
            self.answer(now, connection, ServerMessage::Ping.into());
        }
        self.watch_silence(connection);
    }

    /// Arms the next look at whether a WebSocket is silent.
    fn watch_silence(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get(&connection) else { return };
        let ping = state.last_activity + self.config.ping_after * (state.pings + 1);
        let next = ping.min(state.last_activity + self.config.idle_timeout);
        self.arm(connection, Some((next, Deadline::Silence(connection))));
    }

    fn send_going_away(&mut self, now: Instant, connection: ConnectionId) {
        let Some(until) = self.drain else { return };
        let after = until.saturating_duration_since(now).as_millis();
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        self.answer(now, connection, ServerMessage::GoingAway(GoingAway { after }).into());
    }

    /// Queues an answer. A client that asks and asks and reads no answer is put out.
    fn answer(&mut self, now: Instant, connection: ConnectionId, answer: Answer) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        if state.stage == Stage::Closing {
            return;
        }
        if state.answers.len() >= Connection::MAX_ANSWERS {
            state.answers.clear();
            let stage = state.stage;
            let refusal = Refusal::new(ErrorCode::TooSlow, "You do not read the answers to your messages.");
            self.end_with(now, connection, refusal);
            if let Stage::Member(key) = stage {
                self.stats.put_out_slow += 1;
                self.remove(now, key, LeaveReason::TooSlow);
            }
            return;
        }
        state.answers.push_back(answer);
        self.announce(connection);
    }

    /// Says that there is something to pull, once until everything is pulled.
    fn announce(&mut self, connection: ConnectionId) {
        if let Some(state) = self.connections.get_mut(&connection)
            && !std::mem::replace(&mut state.announced, true)
        {
            self.events.push_back(Event::Writable(connection));
        }
    }

    /// Lets an event wait for a member.
    fn push_member_event(&mut self, key: MemberKey, event: MemberEvent) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let before = member.log.bytes();
        member.log.push(event);
        self.buffers.change(key, before, member.log.bytes());
        if let Presence::Connected(connection) = member.presence {
            self.announce(connection);
        }
    }

    /// Forgets the events that a client has received.
    fn acknowledge(&mut self, key: MemberKey, seq: u64) {
        let Some(member) = self.members.get_mut(&key) else { return };
        let before = member.log.bytes();
        member.log.acknowledge(seq);
        self.buffers.change(key, before, member.log.bytes());
        if let Presence::Connected(connection) = member.presence
            && let Some(state) = self.connections.get_mut(&connection)
        {
            state.next_event = state.next_event.max(member.log.first());
        }
    }
}

#[cfg(test)]
mod tests;
