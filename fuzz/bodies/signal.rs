//! The signaling target. The crate's ordinary tests include this file,
//! too, and run it over the corpus, so that it is compiled and exercised without a fuzzer.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use columba_signal::{
    ClientMessage, Config, ConnectionId, Credential, Event, EventsKind, IceServers, Input, ServerMessage,
    SessionRelay,
};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng as _;

/// Plays a script with one call to the relay per line: no script panics, every frame can be read,
/// events come without gaps, and nothing is left in the end.
///
/// ```text
/// c           a WebSocket connects
/// 3{…}        a message on connection 3; $P, $S are the peer and the secret of the last `joined`
/// b3 l3 a3    binary, too large, activity
/// h3 d3       everything is pulled, the connection breaks
/// t500        half a second passes
/// j{…} p{…}   a join, a post over HTTP
/// s7 w7       an event stream, a poll, after event 7
/// x           the peer leaves over HTTP
/// g           the server drains
/// ```
pub(crate) fn relay(data: &[u8]) {
    let Ok(script) = std::str::from_utf8(data) else { return };
    let mut stage = Stage::new();
    for line in script.lines().take(200) {
        stage.play(line);
    }
    stage.clear();
}

struct Stage {
    relay: SessionRelay,
    now: Instant,
    connections: Vec<ConnectionId>,
    /// The last event that came over a connection.
    heard: BTreeMap<ConnectionId, u64>,
    closed: BTreeMap<ConnectionId, u16>,
    credential: Option<Credential>,
}

fn no_servers(_: columba_signal::PeerId) -> IceServers {
    IceServers::default()
}

impl Stage {
    #[allow(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise; only added to")]
    fn new() -> Self {
        let config = Config {
            session_peers: 4,
            client_buffer_bytes: 4096,
            total_buffer_bytes: 8192,
            peers: 12,
            sessions: 6,
            joins_per_minute: 30,
            message_bytes: 2048,
            ..Config::default()
        };
        Self {
            relay: SessionRelay::new(config, ChaCha12Rng::seed_from_u64(1)),
            now: Instant::now(),
            connections: Vec::new(),
            heard: BTreeMap::new(),
            closed: BTreeMap::new(),
            credential: None,
        }
    }

    fn play(&mut self, line: &str) {
        let mut rest = line.chars();
        let Some(call) = rest.next() else { return };
        let rest = rest.as_str();
        let number: u64 = rest.parse().unwrap_or_default();
        let named = self.connections.get(usize::try_from(number).unwrap_or_default()).copied();
        match (call, named) {
            ('c', _) if self.connections.len() < 10 => {
                let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
                self.connections.push(self.relay.connect(self.now, address));
            }
            ('0'..='9', _) => {
                let index = call.to_digit(10).map_or(0, |digit| digit as usize);
                let text = self.filled_in(rest);
                read_twice(&text);
                if let Some(&connection) = self.connections.get(index) {
                    self.input(connection, Input::Text(&text));
                }
            }
            ('b', Some(connection)) => self.input(connection, Input::Binary),
            ('l', Some(connection)) => self.input(connection, Input::TooLarge),
            ('a', Some(connection)) => self.input(connection, Input::Activity),
            ('h', Some(connection)) => self.receive(connection),
            ('d', Some(connection)) => self.relay.disconnect(self.now, connection),
            ('t', _) => self.pass(Duration::from_millis(number.min(100_000))),
            ('g', _) => self.relay.drain(self.now, Duration::from_secs(2)),
            ('j', _) => {
                let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
                if let Ok(joined) = self.relay.join(self.now, address, &self.filled_in(rest), &no_servers) {
                    self.remember(&joined);
                }
            }
            (call, _) => self.request(call, rest, number),
        }
        self.settle();
    }

    fn input(&mut self, connection: ConnectionId, input: Input<'_>) {
        self.relay.handle_input(self.now, connection, input);
    }

    /// A request over HTTP with the last credential.
    fn request(&mut self, call: char, rest: &str, number: u64) {
        let Some(credential) = self.credential.clone() else { return };
        let kind = match call {
            's' => EventsKind::Stream,
            'w' => EventsKind::Poll(Duration::from_secs(number)),
            'p' => {
                let body = self.filled_in(rest);
                match self.relay.post(self.now, &credential, &body, &no_servers) {
                    Ok(answers) => drop(
                        serde_json::from_str::<Vec<ServerMessage>>(&answers).expect("an array of answers"),
                    ),
                    Err(refusal) => drop(ServerMessage::parse(&refusal.to_json()).expect("an error message")),
                }
                return;
            }
            'x' => return drop(self.relay.leave(self.now, &credential)),
            _ => return,
        };
        if let Ok(connection) = self.relay.open_events(self.now, &credential, Some(number), kind) {
            self.connections.push(connection);
        }
    }

    fn filled_in(&self, text: &str) -> String {
        match &self.credential {
            None => text.to_owned(),
            Some(Credential { peer, secret }) => {
                text.replace("$P", peer.as_str()).replace("$S", secret.as_str())
            }
        }
    }

    fn remember(&mut self, text: &str) {
        if let Ok(ServerMessage::Joined(joined)) = ServerMessage::parse(text) {
            self.credential = Some(Credential { peer: joined.peer, secret: joined.secret });
        }
    }

    fn receive(&mut self, connection: ConnectionId) {
        while let Some(frame) = self.relay.poll_transmit(self.now, connection, &no_servers) {
            let message = ServerMessage::parse(&frame.text).expect("a frame is a message");
            assert_eq!(message.to_json(), frame.text);
            assert_eq!(message.event_seq(), frame.seq);
            assert!(frame.server_sent_event().ends_with("\n\n"));
            if let Some(seq) = frame.seq {
                let before = self.heard.insert(connection, seq);
                // An event that is acknowledged before it was pulled is skipped; the order is kept.
                assert!(before.is_none_or(|before| before < seq));
            }
            self.remember(&frame.text);
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.relay.poll_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.relay.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
    }

    fn settle(&mut self) {
        while let Some(event) = self.relay.poll_event() {
            if let Event::Close { connection, close_code, .. } = event {
                assert!(self.closed.insert(connection, close_code).is_none(), "closed twice");
            }
        }
        assert!(self.relay.stats().buffered_bytes <= 8192);
    }

    fn clear(&mut self) {
        for connection in std::mem::take(&mut self.connections) {
            self.receive(connection);
            self.relay.disconnect(self.now, connection);
        }
        self.pass(Duration::from_secs(31));
        let stats = self.relay.stats();
        assert_eq!((stats.peers, stats.sessions, stats.connections, stats.buffered_bytes), (0, 0, 0, 0));
        assert_eq!(self.relay.poll_timeout(), None);
    }
}

/// A message that can be read is the same when it is written and read again.
fn read_twice(text: &str) {
    if let Ok(message) = ClientMessage::parse(text) {
        let written = message.to_json();
        let again: ClientMessage = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(again.to_json(), written);
    }
}
