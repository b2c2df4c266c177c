//! The relay: who is in which session, and what waits for whom.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use crate::config::Config;
use crate::error::{ErrorCode, Refusal};
use crate::names::{Credential, PeerId};
use crate::server_message::IceServers;
use crate::stats::Stats;

/// Makes the `iceServers` of an answer for one peer. It is asked when the answer is written, so that credentials are
/// fresh; the owner knows by which host the client came and captures that.
pub type IceServersFor<'a> = &'a dyn Fn(PeerId) -> IceServers;

/// Names a connection of the relay: a WebSocket, an event stream or a poll. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

/// What arrived on a WebSocket.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// A text message.
    Text(&'a str),
    /// A binary message: a violation.
    Binary,
    /// A message larger than [`Config::frame_bytes`], which nobody has read: a violation.
    TooLarge,
    /// A WebSocket ping or pong frame: the client lives.
    Activity,
}

/// How events are taken over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsKind {
    /// Server-Sent Events: open until one side ends it.
    Stream,
    /// A long poll, which the relay closes after this time (at most 30 s count).
    Poll(Duration),
}

/// What the owner should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// [`Relay::poll_transmit`] has something for this connection; not said again before it has returned `None`.
    Writable(ConnectionId),
    /// The relay is done with this connection: pull what is left, send it, close the socket, then call
    /// [`Relay::disconnect`]. For a poll that merely ran out, `error` is none.
    Close {
        /// The connection.
        connection: ConnectionId,
        /// The WebSocket close code.
        close_code: u16,
        /// The error that ends it, whose code is the WebSocket's close reason. It is also the last frame.
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
    /// Whether this is the server's `ping`, beside which a WebSocket ping frame goes.
    pub ping: bool,
}

impl Frame {
    /// The frame as a Server-Sent Event: `id` for an event, and one `data` line for each line of the text.
    pub fn server_sent_event(&self) -> String {
        todo!()
    }
}

/// The session relay as a state machine: both doors lead here.
pub struct Relay {}

impl Relay {
    /// A relay without sessions. `rng` makes tokens and secrets.
    pub fn new(config: Config, rng: impl CryptoRng + Send + 'static) -> Self {
        todo!()
    }

    /// The limits it was made with.
    pub fn config(&self) -> &Config {
        todo!()
    }

    /// A client has opened a WebSocket from this address. It has [`Config::join_timeout`] to enter a session.
    pub fn connect(&mut self, now: Instant, client_address: IpAddr) -> ConnectionId {
        todo!()
    }

    /// Something arrived on a WebSocket. Ignored for a connection that is unknown or already closing.
    pub fn handle_input(&mut self, now: Instant, connection: ConnectionId, input: Input<'_>) {
        todo!()
    }

    /// The connection is gone: its socket broke, or has been closed after [`Event::Close`], or the answer to
    /// a poll has been written. The membership waits for [`Config::resume_within`]. Never followed by events about this connection.
    pub fn disconnect(&mut self, now: Instant, connection: ConnectionId) {
        todo!()
    }

    /// The next message for this connection. To be called while its socket takes more; what is not pulled waits here,
    /// up to [`Config::client_buffer_bytes`].
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        ice_servers: IceServersFor<'_>,
    ) -> Option<Frame> {
        todo!()
    }

    /// The next event, until `None`. To be polled after every other call.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    /// The time asked for has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        todo!()
    }

    /// `POST /v1/signal`: enters a session. `Ok` is the body of a `201`; the membership has
    /// [`Config::resume_within`] until its first stream or poll.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer.
    pub fn join(
        &mut self,
        now: Instant,
        client_address: IpAddr,
        body: &str,
        ice_servers: IceServersFor<'_>,
    ) -> Result<String, Refusal> {
        todo!()
    }

    /// `POST /v1/signal/messages`: one message or an array of them. `Ok` is the body of a `200`: the array of answers.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer: of the credential, of the body, or of a message that came alone.
    pub fn post(
        &mut self,
        now: Instant,
        credential: &Credential,
        body: &str,
        ice_servers: IceServersFor<'_>,
    ) -> Result<String, Refusal> {
        todo!()
    }

    /// `GET /v1/signal/events`: opens a stream or poll, which replaces the connection that the peer has. `after` is `Last-Event-ID`
    /// or the query's `after`: everything up to it is acknowledged. Frames come from [`poll_transmit`](Self::poll_transmit);
    /// a poll answers, and disconnects, as soon as there is one.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer.
    pub fn open_events(
        &mut self,
        now: Instant,
        credential: &Credential,
        after: Option<u64>,
        kind: EventsKind,
    ) -> Result<ConnectionId, Refusal> {
        todo!()
    }

    /// `DELETE /v1/signal`: the peer leaves for good.
    ///
    /// # Errors
    ///
    /// The refusal with which to answer.
    pub fn leave(&mut self, now: Instant, credential: &Credential) -> Result<(), Refusal> {
        todo!()
    }

    /// The server is about to stop: every client is told to come back `after` this time, no new memberships begin, and
    /// at that time every connection is closed (1001). Those that are there can talk and resume until then.
    pub fn drain(&mut self, now: Instant, after: Duration) {
        todo!()
    }

    /// Counts a refusal that the owner made itself (`subprotocol-required`, `origin-not-allowed`, a body too large).
    pub fn count_error(&mut self, code: ErrorCode) {
        todo!()
    }

    /// What has been counted, and how much there is.
    pub fn stats(&self) -> Stats {
        todo!()
    }
}
