//! Clients and the relay in virtual time: connections that break, a server that restarts, messages
//! that come twice, late or not at all.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};
use serde_json::value::RawValue;

use super::{Client, ClientEvent, ClientInput, ClientRequest, SendError, Timing};
use crate::client_message::ClientMessage;
use crate::names::{Instance, PeerId};
use crate::server_message::{IceServers, ServerMessage};
use crate::test_clock::start;
use crate::{Config, ConnectionId, ErrorCode, Event, Input, SessionRelay};

const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
const WALL: Duration = Duration::from_secs(1_790_000_000);

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn client(now: Instant, seed: u64, greeting: impl FnOnce(Option<Instance>) -> ClientMessage) -> Client {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let greeting = greeting(Some(Instance::random(&mut rng)));
    Client::new(now, WALL, greeting, Timing::default(), rng)
}

fn joining(instance: Option<Instance>) -> ClientMessage {
    ClientMessage::Join { session: "a-session".parse().unwrap(), instance, id: None, key: None }
}

fn meeting(instance: Option<Instance>) -> ClientMessage {
    ClientMessage::Meet { id: "the-desk".parse().unwrap(), with: None, instance, key: None }
}

/// A connection between a client and the relay: bytes arrive in order, after a while.
struct Wire {
    id: ConnectionId,
    up: VecDeque<(Instant, String)>,
    down: VecDeque<(Instant, String)>,
    /// It is cut: the relay learns of it at once, the client at this time.
    cut: Option<Instant>,
}

struct Seat {
    client: Client,
    wire: Option<Wire>,
    opens_at: Option<Instant>,
    /// Events of earlier connections, to be repeated.
    past: Vec<String>,
    events: Vec<ClientEvent>,
}

/// A relay and its clients.
struct World {
    now: Instant,
    relay: SessionRelay,
    rng: ChaCha12Rng,
    /// Added to the time of everything on its way.
    slow: Duration,
    seats: Vec<Seat>,
    /// The server takes no connections until then.
    away_until: Instant,
    /// In percent: old messages that come again, and messages of the server that are lost.
    repeats: u32,
    losses: u32,
    expire: Option<u64>,
}

impl World {
    fn new(seed: u64, clients: u64) -> Self {
        let now = start();
        let rng = ChaCha12Rng::seed_from_u64(seed);
        let relay = SessionRelay::new(Config::default(), ChaCha12Rng::seed_from_u64(seed + 1000));
        let seats = (0..clients).map(|each| Seat::new(client(now, 100 * seed + each, joining))).collect();
        let slow = Duration::ZERO;
        Self { now, relay, rng, slow, seats, away_until: now, repeats: 0, losses: 0, expire: None }
    }

    fn percent(&mut self, share: u32) -> bool {
        self.rng.next_u32() % 100 < share
    }

    fn delay(&mut self) -> Duration {
        self.slow + ms(1 + u64::from(self.rng.next_u32() % 40))
    }

    fn cut(&mut self, seat: usize) {
        let notice = self.delay() * 4;
        if let Some(wire) = self.seats[seat].wire.as_mut().filter(|wire| wire.cut.is_none()) {
            self.relay.disconnect(self.now, wire.id);
            wire.cut = Some(self.now + notice);
        }
    }

    /// The server forgets everything, and is away for a while.
    fn restart(&mut self) {
        (0..self.seats.len()).for_each(|seat| self.cut(seat));
        let seed = u64::from(self.rng.next_u32());
        self.relay = SessionRelay::new(Config::default(), ChaCha12Rng::seed_from_u64(seed));
        self.away_until = self.now + ms(u64::from(self.rng.next_u32() % 3000));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for seat in 0..self.seats.len() {
                self.serve(seat);
            }
            while self.relay.poll_timeout().is_some_and(|at| at <= self.now) {
                self.relay.handle_timeout(self.now);
            }
            while let Some(event) = self.relay.poll_event() {
                if let Event::Close { connection, .. } = event {
                    let is_it = |seat: &Seat| seat.wire.as_ref().is_some_and(|wire| wire.id == connection);
                    if let Some(seat) = self.seats.iter().position(is_it) {
                        self.pull(seat);
                        self.cut(seat);
                    }
                }
            }
            self.now += ms(1);
        }
    }

    fn run_for_a_moment(&mut self) {
        let time = ms(u64::from(self.rng.next_u32() % 60));
        self.run(time);
    }

    /// Everything that happens at one client now.
    fn serve(&mut self, seat: usize) {
        let now = self.now;
        self.arrive(seat);
        let this = &mut self.seats[seat];
        if this.client.poll_timeout().is_some_and(|at| at <= now) {
            this.client.handle_timeout(now);
        }
        while let Some(request) = self.seats[seat].client.poll_request() {
            match request {
                ClientRequest::Open => {
                    let delay = self.delay();
                    self.seats[seat].opens_at = Some(now + delay);
                }
                ClientRequest::Close => {
                    // What was sent before it still arrives.
                    self.upload(seat, true);
                    self.cut(seat);
                    (self.seats[seat].wire, self.seats[seat].opens_at) = (None, None);
                }
            }
        }
        self.open(seat);
        self.upload(seat, false);
        self.pull(seat);
        let this = &mut self.seats[seat];
        this.events.extend(std::iter::from_fn(|| this.client.poll_event()));
    }

    fn open(&mut self, seat: usize) {
        let now = self.now;
        if self.seats[seat].opens_at.is_none_or(|at| at > now) {
            return;
        }
        self.seats[seat].opens_at = None;
        if now < self.away_until {
            return self.seats[seat].client.handle_input(now, ClientInput::Ended);
        }
        let id = self.relay.connect(now, OFFICE);
        self.seats[seat].wire = Some(Wire { id, up: VecDeque::new(), down: VecDeque::new(), cut: None });
        self.seats[seat].client.handle_input(now, ClientInput::Opened);
    }

    /// Gives the client and the relay what arrives now.
    fn arrive(&mut self, seat: usize) {
        let now = self.now;
        self.upload(seat, false);
        loop {
            let Some(wire) = &mut self.seats[seat].wire else { return };
            if wire.cut.is_some_and(|at| at <= now) {
                self.seats[seat].wire = None;
                return self.seats[seat].client.handle_input(now, ClientInput::Ended);
            }
            if wire.down.front().is_none_or(|(at, _)| *at > now) {
                break;
            }
            let Some((_, text)) = wire.down.pop_front() else { break };
            if self.percent(self.losses) {
                continue;
            }
            let old = match self.seats[seat].past.len() {
                0 => None,
                count => Some(self.rng.next_u32() as usize % count),
            };
            let again = old.filter(|_| self.percent(self.repeats));
            let this = &mut self.seats[seat];
            if let Some(again) = again {
                this.client.handle_input(now, ClientInput::Text(&this.past[again]));
            }
            this.client.handle_input(now, ClientInput::Text(&text));
            let is_event = ServerMessage::parse(&text).is_ok_and(|message| message.event_seq().is_some());
            if is_event {
                this.past.push(text);
            }
        }
    }

    /// Moves messages to the relay; all of them, whatever their time, if the connection is closed
    /// in order.
    fn upload(&mut self, seat: usize, all: bool) {
        let (now, delay) = (self.now, self.delay());
        let Self { relay, seats, .. } = self;
        let Seat { client, wire: Some(wire), .. } = &mut seats[seat] else { return };
        while let Some(message) = client.poll_transmit(now) {
            let at = wire.up.back().map_or(now, |(at, _)| *at).max(now + delay);
            wire.up.push_back((at, message.to_json()));
        }
        while wire.cut.is_none() && wire.up.front().is_some_and(|(at, _)| all || *at <= now) {
            let Some((_, text)) = wire.up.pop_front() else { return };
            relay.handle_input(now, wire.id, Input::Text(&text));
        }
    }

    fn pull(&mut self, seat: usize) {
        let (now, delay) = (self.now, self.delay());
        let expire = self.expire;
        let Self { relay, seats, .. } = self;
        let Some(wire) = &mut seats[seat].wire else { return };
        if wire.cut.is_some() {
            return;
        }
        let servers = move |_: PeerId| IceServers { servers: Vec::new(), expire };
        while let Some(frame) = relay.poll_transmit(now, wire.id, &servers) {
            let at = wire.down.back().map_or(now, |(at, _)| *at).max(now + delay);
            wire.down.push_back((at, frame.text));
        }
    }

    fn send(&mut self, seat: usize, number: u64) -> Result<(), SendError> {
        let data = RawValue::from_string(number.to_string()).unwrap().into();
        self.seats[seat].client.send(self.now, None, data)
    }

    /// The numbers that a client has received; `None` where a membership began.
    fn received(&self, seat: usize) -> Vec<Option<u64>> {
        let number = |event: &ClientEvent| match event {
            ClientEvent::Message { data, .. } => Some(Some(data.get().parse().unwrap())),
            ClientEvent::Open { rejoined: true } => Some(None),
            _ => None,
        };
        self.seats[seat].events.iter().filter_map(number).collect()
    }
}

impl Seat {
    fn new(client: Client) -> Self {
        Self { client, wire: None, opens_at: None, past: Vec::new(), events: Vec::new() }
    }
}

#[test]
fn every_message_arrives_once_and_in_order_while_the_server_remembers() {
    for seed in 0..12 {
        let mut world = World::new(seed, 2);
        (world.repeats, world.losses) = (20, if seed % 2 == 0 { 3 } else { 0 });
        world.run(ms(300));
        for number in 0..150 {
            world.send(0, number).unwrap();
            world.run_for_a_moment();
            if world.percent(8) {
                let seat = world.rng.next_u32() as usize % 2;
                world.cut(seat);
            }
        }
        world.losses = 0;
        world.run(ms(60_000));
        let expected: Vec<_> = (0..150).map(Some).collect();
        assert_eq!(world.received(1), expected, "seed {seed}");
        assert!(world.seats.iter().all(|seat| seat.client.is_open()), "seed {seed}");
    }
}

#[test]
fn restarts_of_the_server_keep_order_and_lose_nothing_that_comes_after() {
    for seed in 0..12 {
        let mut world = World::new(seed, 2);
        world.repeats = 10;
        world.run(ms(300));
        for number in 0..150 {
            world.send(0, number).unwrap();
            world.run_for_a_moment();
            if world.percent(4) {
                world.restart();
            }
        }
        world.run(ms(30_000));
        for number in 150..160 {
            world.send(0, number).unwrap();
        }
        world.run(ms(10_000));
        let received = world.received(1);
        // In each membership of the receiver's numbers grow, but where the sender has begun one.
        let restarts = received
            .split(Option::is_none)
            .map(|run| run.windows(2).filter(|pair| pair[0] >= pair[1]).count());
        assert!(restarts.sum::<usize>() <= 12, "seed {seed}: {received:?}");
        let numbers: Vec<u64> = received.iter().flatten().copied().collect();
        assert_eq!(numbers[numbers.len() - 10..], *(150..160).collect::<Vec<u64>>(), "seed {seed}");
        let ids: Vec<_> = world.seats.iter().map(|seat| seat.client.peer_id()).collect();
        assert!(
            ids.iter().all(Option::is_some)
                && world.seats.iter().all(|seat| seat.client.peers().count() == 1)
        );
    }
}

#[test]
fn messages_of_clients_that_leave_arrive_before() {
    let mut world = World::new(1, 2);
    world.run(ms(500));
    world.send(0, 7).unwrap();
    let now = world.now;
    world.seats[0].client.close(now);
    assert_eq!(world.send(0, 8), Err(SendError::Closed));
    world.run(ms(3000));
    assert_eq!(world.received(1), [Some(7)]);
    assert!(matches!(world.seats[0].events.last(), Some(ClientEvent::Closed(None))));
    assert_eq!(world.seats[1].client.peers().count(), 0);
}

#[test]
fn client_id_can_be_used_again_at_once_after_a_reload() {
    let mut world = World::new(2, 0);
    world.seats.push(Seat::new(client(world.now, 1, meeting)));
    world.run(ms(500));
    assert!(world.seats[0].client.is_open());
    // The connection is lost, and the page is loaded again: another instance of the same id.
    world.cut(0);
    let mut gone = world.seats.remove(0);
    gone.wire = None;
    world.seats.push(Seat::new(client(world.now, 2, meeting)));
    world.run(ms(200));
    assert!(world.seats[0].client.is_open());
}

#[test]
fn client_id_of_a_client_that_is_there_is_refused_and_tried_again() {
    let mut world = World::new(3, 0);
    for seed in 1..3 {
        world.seats.push(Seat::new(client(world.now, seed, meeting)));
        world.run(ms(500));
    }
    let refused = |seat: &Seat| seat.client.refusal().map(|refusal| refusal.code);
    assert_eq!((world.seats[0].client.is_open(), world.seats[1].client.is_open()), (true, false));
    assert_eq!(refused(&world.seats[1]), Some(ErrorCode::IdTaken));
    assert!(!world.seats[1].client.is_closed());
    let now = world.now;
    world.seats[0].client.close(now);
    world.run(ms(12_000));
    assert!(world.seats[1].client.is_open(), "it keeps trying");
}

#[test]
fn refusals_that_nothing_would_change_are_final() {
    let mut world = World::new(4, 0);
    let same = |instance| ClientMessage::Meet {
        id: "the-desk".parse().unwrap(),
        with: "the-desk".parse().ok(),
        instance,
        key: None,
    };
    world.seats.push(Seat::new(client(world.now, 1, same)));
    world.run(ms(500));
    let last = world.seats[0].events.last();
    assert!(matches!(last, Some(ClientEvent::Closed(Some(refusal))) if refusal.code == ErrorCode::BadId));
    assert_eq!(world.seats[0].client.poll_timeout(), None);
}

#[test]
fn server_that_answers_later_than_the_first_answer_may_take_is_entered_all_the_same() {
    let mut world = World::new(6, 1);
    world.slow = ms(6000);
    world.run(Duration::from_secs(60));
    let events = &world.seats[0].events;
    assert!(events.iter().any(|event| matches!(event, ClientEvent::Open { .. })), "{events:?}");
}

#[test]
fn silent_server_is_given_up_and_tried_at_growing_intervals() {
    let mut world = World::new(5, 1);
    world.run(ms(500));
    // Nothing arrives any more, and no notice comes.
    world.losses = 100;
    world.run(ms(12_000 + 5000 + 500));
    assert!(!world.seats[0].client.is_open());
    world.losses = 0;
    world.run(ms(20_000));
    assert!(world.seats[0].client.is_open());
}

#[test]
fn credentials_are_renewed_before_they_end_and_until_there_is_an_answer() {
    let mut world = World::new(6, 1);
    let at = |world: &World, left: u64| {
        WALL.as_secs() + (world.now - world.seats[0].client.clock.0).as_secs() + left
    };
    world.expire = Some(at(&world, 300));
    world.run(ms(500));
    assert_eq!(world.seats[0].client.ice_servers_version(), 1);
    world.run(Duration::from_secs(175));
    assert_eq!(world.seats[0].client.ice_servers_version(), 1);
    // The first answers are lost.
    world.expire = Some(at(&world, 300));
    world.losses = 100;
    world.run(Duration::from_secs(10));
    assert_eq!(world.seats[0].client.ice_servers_version(), 1);
    world.losses = 0;
    world.run(Duration::from_secs(40));
    assert!(world.seats[0].client.ice_servers_version() >= 2);
    // Those that have ended already are not asked for all the time.
    world.expire = Some(1);
    let now = world.now;
    world.seats[0].client.want_ice_servers();
    world.run(ms(500));
    let before = world.seats[0].client.ice_servers_version();
    world.run(Duration::from_secs(150));
    let asked = world.seats[0].client.ice_servers_version() - before;
    assert!((1..=3).contains(&asked), "{asked} since {:?}", world.now - now);
}

#[test]
fn nonsense_of_the_server_does_nothing() {
    let mut world = World::new(7, 2);
    world.run(ms(500));
    let now = world.now;
    let client = &mut world.seats[0].client;
    for text in [
        "",
        "{",
        r#"{"type":"joined"}"#,
        r#"{"type":"resumed","seq":18446744073709551615,"iceServers":[]}"#,
        r#"{"type":"ack","seq":18446744073709551615}"#,
        r#"{"type":"going-away","after":18446744073709551615}"#,
        r#"{"type":"ice-servers","iceServers":[],"iceServersExpire":18446744073709551615}"#,
        r#"{"type":"error","code":"rate-limited","message":"","fatal":false,"retryAfter":18446744073709551615}"#,
        r#"{"type":"peer-left","seq":1,"peer":"aaaaaaaaaaaaaaaa","reason":"unheard-of"}"#,
    ] {
        client.handle_input(now, ClientInput::Text(text));
        client.handle_timeout(now);
    }
    for input in [ClientInput::Opened, ClientInput::Activity, ClientInput::NetworkChanged { lost: false }] {
        client.handle_input(now, input);
    }
    world.run(ms(70_000));
    assert!(world.seats[0].client.is_open());
}
