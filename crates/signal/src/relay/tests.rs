//! The relay in virtual time, one promise of `docs/signaling.md` each.

mod abuse;
mod admission;
mod coming_back;
mod effort;
mod entering;
mod http;
mod limits;
mod lossy;
mod meeting;
mod talking;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng as _;
use serde_json::{Value, json};

use super::ConnectionId;
use crate::names::{Credential, PeerId};
use crate::server_message::{IceServer, IceServers};
use crate::test_clock::start;
use crate::{Config, ErrorCode, Event, EventsKind, Frame, Input, Refusal, SessionRelay};

const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// A relay, its clock, and its events about connections.
struct House {
    relay: SessionRelay,
    now: Instant,
    closed: Vec<(ConnectionId, u16, Option<ErrorCode>)>,
    writable: Vec<ConnectionId>,
    left: Vec<PeerId>,
    /// The number of TURN credentials made.
    granted: Cell<u64>,
}

impl House {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let relay = SessionRelay::new(config, ChaCha12Rng::seed_from_u64(7));
        let (closed, writable, left) = (Vec::new(), Vec::new(), Vec::new());
        Self { relay, now: start(), closed, writable, left, granted: Cell::new(0) }
    }

    /// A house with other limits than the default ones.
    fn limited(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self::with(config)
    }

    fn settle(&mut self) {
        while let Some(event) = self.relay.poll_event() {
            match event {
                Event::Writable(connection) => self.writable.push(connection),
                Event::Close { connection, close_code, error } => {
                    self.closed.push((connection, close_code, error))
                }
                Event::Left(peer) => self.left.push(peer),
            }
        }
    }

    fn connect(&mut self) -> ConnectionId {
        self.connect_from(OFFICE)
    }

    fn connect_from(&mut self, address: IpAddr) -> ConnectionId {
        self.relay.connect(self.now, address)
    }

    fn input(&mut self, connection: ConnectionId, input: Input<'_>) {
        self.relay.handle_input(self.now, connection, input);
        self.settle();
    }

    fn send_json(&mut self, connection: ConnectionId, message: &Value) {
        self.input(connection, Input::Text(&message.to_string()));
    }

    fn disconnect(&mut self, connection: ConnectionId) {
        self.relay.disconnect(self.now, connection);
        self.settle();
    }

    fn frame(&mut self, connection: ConnectionId) -> Option<Frame> {
        let granted = &self.granted;
        let servers = |peer: PeerId| grant(granted, peer);
        self.relay.poll_transmit(self.now, connection, &servers)
    }

    fn texts(&mut self, connection: ConnectionId) -> Vec<String> {
        std::iter::from_fn(|| self.frame(connection)).map(|frame| frame.text).collect()
    }

    /// Everything that waits for a connection.
    fn receive(&mut self, connection: ConnectionId) -> Vec<Value> {
        self.texts(connection).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// Exactly one message, which waits for a connection.
    fn receive_one(&mut self, connection: ConnectionId) -> Value {
        let mut received = self.receive(connection);
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.relay.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.relay.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    /// A WebSocket that entered a session: its connection and what it was answered.
    fn join(&mut self, message: &Value) -> (ConnectionId, Value) {
        let connection = self.connect();
        self.send_json(connection, message);
        let joined = self.receive_one(connection);
        assert_eq!(joined["type"], "joined", "{joined}");
        (connection, joined)
    }

    fn join_session(&mut self, instance: u8) -> (ConnectionId, Value) {
        self.join(&json!({"type": "join", "session": "room", "instance": instance_text(instance)}))
    }

    /// Two peers of one session who know of each other.
    fn pair(&mut self) -> ((ConnectionId, Value), (ConnectionId, Value)) {
        let one = self.join_session(1);
        let other = self.join_session(2);
        assert_eq!(self.receive(one.0), [json!({"type": "peer-joined", "seq": 1, "peer": other.1["peer"]})]);
        (one, other)
    }

    /// Comes back on a new WebSocket; the connection and the answer.
    fn resume(&mut self, joined: &Value, seq: u64) -> (ConnectionId, Vec<Value>) {
        let connection = self.connect();
        let (peer, secret) = (&joined["peer"], &joined["secret"]);
        self.send_json(connection, &json!({"type": "resume", "peer": peer, "secret": secret, "seq": seq}));
        (connection, self.receive(connection))
    }

    fn post(&mut self, joined: &Value, body: &Value) -> Result<Value, Refusal> {
        self.post_text(&credential(joined), &body.to_string())
    }

    fn post_text(&mut self, credential: &Credential, body: &str) -> Result<Value, Refusal> {
        let granted = &self.granted;
        let servers = |peer: PeerId| grant(granted, peer);
        let answer = self.relay.post(self.now, credential, body, &servers);
        self.settle();
        answer.map(|text| serde_json::from_str(&text).unwrap())
    }

    fn http_join(&mut self, body: &Value) -> Result<Value, Refusal> {
        let granted = &self.granted;
        let servers = |peer: PeerId| grant(granted, peer);
        let answer = self.relay.join(self.now, OFFICE, &body.to_string(), &servers);
        self.settle();
        answer.map(|text| serde_json::from_str(&text).unwrap())
    }

    fn open(
        &mut self,
        joined: &Value,
        after: Option<u64>,
        kind: EventsKind,
    ) -> Result<ConnectionId, Refusal> {
        let opened = self.relay.open_events(self.now, &credential(joined), after, kind);
        self.settle();
        opened
    }

    fn was_closed(&self, connection: ConnectionId) -> Option<(u16, Option<ErrorCode>)> {
        let closed = self.closed.iter().find(|(closed, ..)| *closed == connection);
        closed.map(|&(_, code, error)| (code, error))
    }
}

fn grant(granted: &Cell<u64>, peer: PeerId) -> IceServers {
    granted.set(granted.get() + 1);
    let server = IceServer {
        urls: vec!["turn:example.org:3478".into()],
        username: Some(format!("1:{peer}")),
        credential: Some("c".into()),
    };
    IceServers { servers: vec![server], expire: Some(1_790_000_000) }
}

fn credential(joined: &Value) -> Credential {
    let text = format!("{}.{}", joined["peer"].as_str().unwrap(), joined["secret"].as_str().unwrap());
    text.parse().unwrap()
}

fn instance_text(number: u8) -> String {
    format!("instance-{number:0>22}")
}

fn send(seq: u64, data: impl Into<Value>) -> Value {
    json!({"type": "send", "seq": seq, "data": data.into()})
}

/// The codes of errors among messages.
fn codes(messages: &[Value]) -> Vec<&str> {
    messages.iter().filter_map(|message| message["code"].as_str()).collect()
}

/// The data of messages among events.
fn data(messages: &[Value]) -> Vec<Value> {
    let messages = messages.iter().filter(|message| message["type"] == "message");
    messages.map(|message| message["data"].clone()).collect()
}

const SECOND: Duration = Duration::from_secs(1);
