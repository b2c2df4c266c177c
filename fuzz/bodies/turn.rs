//! The TURN target. The crate's ordinary tests include this file, too, and
//! run it over the corpus, so that it is compiled and exercised without a fuzzer.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use columba_stun::attributes::{ErrorInfo, MobilityTicket, Nonce, Realm, Username};
use columba_stun::{
    AttributeType, Class, IntegrityKey, MAGIC_COOKIE, Message, MessageBuilder, Method, TransactionId, is_stun,
};
use columba_turn::server::{
    Arrival, Config, Credentials, Event, FiveTuple, Forward, HEADROOM, Input, RefusalReason, RelayId, Server,
    TAILROOM, Transport, UnixTime,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const SECRET: &[u8] = b"secret";
const WALL: UnixTime = UnixTime(Duration::from_secs(1_700_000_000));

/// The input is a script: each step is a byte that says what is done, a byte that says how long its
/// argument is, and the argument. No script panics, memory stays bounded, and in the end everything
/// is released.
pub(crate) fn server(script: &[u8]) {
    let mut world = World::new();
    let mut rest = script;
    while let [what, len, tail @ ..] = rest {
        let (argument, after) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = after;
        world.step(*what, argument);
        let stats = world.server.stats();
        assert!(stats.allocations_live <= 4, "more allocations than the configuration allows");
        assert!(stats.relays_live <= 16, "more relays than that can hold");
    }
    world.wait(Duration::from_secs(4000));
    let stats = world.server.stats();
    assert_eq!((stats.allocations_live, stats.relays_live), (0, 0), "something outlived its deadline");
    assert_eq!(world.server.poll_timeout(), None);
}

struct World {
    server: Server,
    now: Instant,
    clients: [Client; 3],
    next_port: u16,
    relays: Vec<RelayId>,
    /// Tickets that the server has given, newest last; at most [`MAX_TICKETS`].
    tickets: Vec<Vec<u8>>,
}

/// Tickets that the clients remember, used up or not.
const MAX_TICKETS: usize = 16;

struct Client {
    tuple: FiveTuple,
    credentials: Credentials,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    transaction: u8,
}

impl World {
    fn new() -> Self {
        let config = Config {
            secrets: vec![SECRET.to_vec()],
            relay_ipv6: true,
            max_allocations: 4,
            max_permissions: 4,
            max_channels: 4,
            ..Config::default()
        };
        let now = start();
        let server = Server::new(config, now, WALL, &mut ChaCha20Rng::seed_from_u64(1));
        let local = SocketAddr::from(([5, 0, 0, 1], 3478));
        let tuples = [
            FiveTuple::udp(local, ([9, 0, 0, 1], 1000).into()),
            FiveTuple::udp(local, ([9, 0, 1, 1], 1000).into()),
            FiveTuple::stream(Transport::Tcp, local, ([9, 0, 2, 1], 1000).into(), 1),
        ];
        let clients = tuples.map(|tuple| Client {
            tuple,
            credentials: Credentials::mint(SECRET, WALL, Duration::from_secs(3000), "fuzz"),
            realm: Vec::new(),
            nonce: Vec::new(),
            transaction: 0,
        });
        Self { server, now, clients, next_port: 50_000, relays: Vec::new(), tickets: Vec::new() }
    }

    fn step(&mut self, what: u8, argument: &[u8]) {
        let who = usize::from(what >> 4) % self.clients.len();
        let tuple = self.clients[who].tuple;
        match what & 0x0f {
            0..=2 => self.deliver(who, argument),
            3..=8 => self.request(who, what & 0x0f, argument),
            9 => self.route(Arrival::Client(&tuple), argument),
            10 => {
                let peer = SocketAddr::from(([8, 8, 8, argument.len() as u8], 8));
                if let Some(id) = self.relays.get(usize::from(what >> 4)).copied() {
                    self.route(Arrival::Relay { id, peer }, argument);
                }
            }
            11 => self.wait(Duration::from_millis(argument.iter().map(|b| u64::from(*b) * 50).sum())),
            12 => self.server.handle_input(self.now, Input::ConnectionClosed { tuple }),
            _ => self.server.handle_timeout(self.now),
        }
        self.drain();
    }

    /// An authentic request; the argument is its attributes. A ticket of one byte stands for one
    /// that the server has given.
    fn request(&mut self, who: usize, kind: u8, attributes: &[u8]) {
        let methods = [
            Method::ALLOCATE,
            Method::REFRESH,
            Method::CREATE_PERMISSION,
            Method::CHANNEL_BIND,
            Method::ALLOCATE,
            Method::BINDING,
        ];
        for _ in 0..2 {
            let client = &mut self.clients[who];
            let mut buf = [0; 1500];
            let method = methods[usize::from(kind - 3)];
            client.transaction = client.transaction.wrapping_add(1);
            let id = TransactionId([client.transaction; 12]);
            let Ok(mut builder) = MessageBuilder::new(&mut buf, Class::Request, method, id) else { return };
            let mut rest = attributes;
            while let [high, low, len, tail @ ..] = rest {
                let (value, after) = tail.split_at(usize::from(*len).min(tail.len()));
                rest = after;
                let ty = AttributeType::new(u16::from_be_bytes([*high, *low]));
                let ticket = match value {
                    [age] if ty == AttributeType::MOBILITY_TICKET => {
                        self.tickets.iter().rev().nth(usize::from(*age))
                    }
                    _ => None,
                };
                builder.push_raw(ty, ticket.map_or(value, Vec::as_slice)).expect("there is room");
            }
            if !client.nonce.is_empty() {
                let Credentials { username, password } = &client.credentials;
                let key = IntegrityKey::long_term_md5(username, &client.realm, password).expect("plain text");
                builder.push(&Username(username)).expect("there is room");
                builder.push(&Realm(&client.realm)).expect("there is room");
                builder.push(&Nonce(&client.nonce)).expect("there is room");
                builder.integrity(&key).expect("there is room");
            }
            let message = builder.as_bytes().to_vec();
            self.deliver(who, &message);
            if !self.drain() {
                return;
            }
        }
    }

    fn deliver(&mut self, who: usize, message: &[u8]) {
        let tuple = self.clients[who].tuple;
        self.route(Arrival::Client(&tuple), message);
        self.server.handle_input(self.now, Input::Message { tuple, data: message });
    }

    fn route(&mut self, from: Arrival<'_>, message: &[u8]) {
        let mut buf = vec![0; HEADROOM + message.len() + TAILROOM];
        let range = HEADROOM..HEADROOM + message.len();
        buf[range.clone()].copy_from_slice(message);
        match self.server.route(self.now, from, &mut buf, range) {
            Forward::ToClient { range, .. } => drop(buf[range].to_vec()),
            Forward::ToPeer { range, peer, .. } => {
                assert!(!peer.ip().is_loopback() && peer.ip() != std::net::IpAddr::from([5, 0, 0, 1]));
                drop(buf[range].to_vec());
            }
            Forward::Control | Forward::Drop(_) => {}
        }
    }

    fn wait(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            self.server.handle_timeout(at);
            self.drain();
        }
        self.now = end;
    }

    /// Drains the server as its owner does, and returns whether a client was challenged.
    fn drain(&mut self) -> bool {
        while let Some(event) = self.server.poll_event() {
            let Event::RelayWanted { id, .. } = event else { continue };
            self.next_port = self.next_port.wrapping_add(2);
            let input = if self.next_port.is_multiple_of(7) {
                Input::RelayRefused { id, reason: RefusalReason::Capacity }
            } else {
                self.relays.push(id);
                Input::RelayGranted { id, relayed: ([5, 0, 0, 1], self.next_port).into() }
            };
            self.server.handle_input(self.now, input);
        }
        let mut challenged = false;
        let mut buf = [0; 1500];
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut buf) {
            let answer = &mut buf[..transmit.len];
            if !is_stun(answer) {
                // It answers a Binding request of RFC 3489, and repeats what stands in the cookie's
                // place.
                assert!(matches!(answer[..2], [1, 1] | [1, 0x11]), "a Binding response");
                answer[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
            }
            let message = Message::parse(answer).expect("an answer is a message");
            if let Some(MobilityTicket(ticket)) = message.get().expect("well formed") {
                self.tickets.push(ticket.to_vec());
                self.tickets.drain(..self.tickets.len().saturating_sub(MAX_TICKETS));
            }
            let error = message.get::<ErrorInfo<'_>>().expect("well formed");
            if !error.is_some_and(|error| matches!(error.code.number(), 401 | 438)) {
                continue;
            }
            let client = self.clients.iter_mut().find(|client| client.tuple == transmit.tuple);
            if let (Some(client), Ok(Some(Realm(realm))), Ok(Some(Nonce(nonce)))) =
                (client, message.get(), message.get())
            {
                (client.realm, client.nonce) = (realm.to_owned(), nonce.to_owned());
                challenged = true;
            }
        }
        challenged
    }
}

#[allow(clippy::disallowed_methods, reason = "an Instant can be had no other way; its value does not matter")]
fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}
