//! The client against the server's own state machine, message by message.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_stun::attributes::{
    AdditionalAddressFamily, AlternateServer, ErrorInfo, Nonce, Realm, RequestedAddressFamily,
};
use columba_stun::{Class, ErrorCode, Message, MessageBuilder, Method};
use proptest::prelude::*;
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

mod mobility;
mod tolerance;

use super::*;
use crate::server::{self, Arrival, Credentials, FiveTuple, Forward, Input, RelayId, Server, UnixTime};

const SECOND: Duration = Duration::from_secs(1);
const WALL: UnixTime = UnixTime(Duration::from_secs(1_800_000_000));

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had no other way; its value does not matter"
)]
fn start() -> Instant {
    Instant::now()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn peer() -> SocketAddr {
    addr("93.184.216.34:5000")
}

/// A client and its server, without a network between them.
struct Lab {
    now: Instant,
    client: Client,
    server: Server,
    tuple: FiveTuple,
    relay: Option<RelayId>,
    /// The data that reached the peer.
    arrived: Vec<Vec<u8>>,
    /// Control messages that the client sent.
    requests: Vec<Method>,
    deaf: bool,
    /// True if the server's answers are lost.
    mute: bool,
}

impl Lab {
    fn new(password: Option<&str>) -> Self {
        Self::with_mobility(password, [false, true])
    }

    /// With mobility asked for by the client, and allowed by the server.
    fn with_mobility(password: Option<&str>, [asked, allowed]: [bool; 2]) -> Self {
        let now = start();
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let secrets = vec![b"north".to_vec()];
        let config = server::Config { secrets, mobility: allowed, ..server::Config::default() };
        let server = Server::new(config, now, WALL, &mut rng);
        let credentials = Credentials::mint(b"north", WALL, SECOND * 86_400, "ada");
        let config = Config {
            username: credentials.username.as_str().into(),
            password: password.unwrap_or(&credentials.password).into(),
            mobility: asked,
            ..Config::default()
        };
        let client = Client::new(config, now, &mut rng);
        let tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("198.51.100.7:40000"));
        Self {
            now,
            client,
            server,
            tuple,
            relay: None,
            arrived: vec![],
            requests: vec![],
            deaf: false,
            mute: false,
        }
    }

    /// Delivers messages in both directions until none is left.
    fn settle(&mut self) {
        let mut buf = [0; 4000];
        while let Some(length) = self.client.poll_transmit(self.now, &mut buf) {
            let message = buf[..length].to_vec();
            self.requests.push(Message::parse(&message).unwrap().method());
            if !self.deaf {
                self.deliver(&message);
            }
        }
    }

    fn deliver(&mut self, message: &[u8]) {
        let mut buffer = vec![0; HEADROOM + message.len() + TAILROOM];
        let range = HEADROOM..HEADROOM + message.len();
        buffer[range.clone()].copy_from_slice(message);
        match self.server.route(self.now, Arrival::Client(&self.tuple), &mut buffer, range) {
            Forward::ToPeer { range, peer: to, .. } => {
                assert_eq!(to, peer());
                self.arrived.push(buffer[range].to_vec());
            }
            Forward::Control => {
                self.server.handle_input(self.now, Input::Message { tuple: self.tuple, data: message });
                self.drain_server();
            }
            _ => {}
        }
    }

    fn drain_server(&mut self) {
        while let Some(event) = self.server.poll_event() {
            if let server::Event::RelayWanted { id, .. } = event {
                self.relay = Some(id);
                let relayed = addr("5.0.0.1:50000");
                self.server.handle_input(self.now, Input::RelayGranted { id, relayed });
            }
        }
        let mut buf = [0; 2000];
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut buf) {
            if !self.mute && transmit.tuple == self.tuple {
                self.client.handle_message(self.now, &buf[..transmit.len]);
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.server.handle_timeout(self.now);
            self.client.handle_timeout(self.now);
            self.settle();
        }
        self.now = end;
        self.server.handle_timeout(end);
        self.drain_server();
    }

    fn send(&mut self, data: &[u8]) -> usize {
        let mut buffer = vec![0xEE; HEADROOM + data.len() + TAILROOM];
        let range = HEADROOM..HEADROOM + data.len();
        buffer[range.clone()].copy_from_slice(data);
        let wrapped = self.client.wrap(peer(), &mut buffer, range).unwrap();
        let overhead = wrapped.len() - data.len();
        self.deliver(&buffer[wrapped]);
        overhead
    }

    fn allocated() -> Self {
        Self::new(None).allocate()
    }

    fn mobile() -> Self {
        let lab = Self::with_mobility(None, [true; 2]).allocate();
        assert!(lab.client.is_mobile());
        lab
    }

    /// The client comes to another address, and knows it.
    fn change_address(&mut self, client: &str) {
        self.tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr(client));
        self.client.change_address(self.now);
    }

    /// Returns whether what the peer sends comes through.
    fn receives_from_peer(&mut self) -> bool {
        let mut buffer = vec![0; HEADROOM + 5 + TAILROOM];
        buffer[HEADROOM..HEADROOM + 5].copy_from_slice(b"reply");
        let arrival = Arrival::Relay { id: self.relay.unwrap(), peer: peer() };
        let range = HEADROOM..HEADROOM + 5;
        let Forward::ToClient { range, tuple } = self.server.route(self.now, arrival, &mut buffer, range)
        else {
            return false;
        };
        tuple == self.tuple
            && matches!(self.client.handle_message(self.now, &buffer[range]), Received::Data { .. })
    }

    fn allocate(self) -> Self {
        let mut lab = self;
        lab.settle();
        let event = lab.client.poll_event().unwrap();
        let relayed = vec![addr("5.0.0.1:50000")];
        assert_eq!(event, Event::Allocated { relayed, mapped: Some(addr("198.51.100.7:40000")) });
        lab
    }
}

#[test]
fn a_challenge_is_met_and_data_flows_both_ways() {
    let mut lab = Lab::allocated();
    assert_eq!(lab.requests, [Method::ALLOCATE; 2]);
    assert!(!lab.client.is_permitted(peer().ip()));
    lab.client.permit(lab.now, peer().ip());
    lab.settle();
    assert!(lab.client.is_permitted(peer().ip()));

    for length in [0, 1, 2, 3, 4, 1200] {
        let data = vec![7; length];
        assert_eq!(lab.send(&data), 36 + length.next_multiple_of(4) - length, "a Send indication");
        assert_eq!(lab.arrived.pop().unwrap(), data);
    }
    lab.client.bind(lab.now, peer());
    assert_eq!(lab.send(b"early"), 36 + 3, "until the channel is bound");
    lab.settle();
    assert!(lab.client.is_bound(peer()));
    assert_eq!(lab.send(b"later"), 4);
    assert_eq!(lab.arrived, [b"early", b"later"]);

    let mut buffer = vec![0; HEADROOM + 5 + TAILROOM];
    buffer[HEADROOM..HEADROOM + 5].copy_from_slice(b"reply");
    let arrival = Arrival::Relay { id: lab.relay.unwrap(), peer: peer() };
    let Forward::ToClient { range, .. } =
        lab.server.route(lab.now, arrival, &mut buffer, HEADROOM..HEADROOM + 5)
    else {
        panic!("not forwarded")
    };
    let Received::Data { peer: from, range: data } =
        lab.client.handle_message(lab.now, &buffer[range.clone()])
    else {
        panic!("no data")
    };
    assert_eq!((from, &buffer[range][data]), (peer(), b"reply".as_slice()));
}

#[test]
fn everything_is_renewed_ahead_of_time_even_when_the_nonce_goes_stale() {
    let mut lab = Lab::allocated();
    lab.client.permit(lab.now, peer().ip());
    lab.client.bind(lab.now, peer());
    lab.settle();
    for _ in 0..200 {
        lab.advance(SECOND * 60);
        assert_eq!(lab.client.poll_event(), None);
        assert_eq!(lab.send(b"still"), 4);
        assert_eq!(lab.arrived.pop().unwrap(), b"still");
    }
    assert_eq!(lab.server.stats().allocations_live, 1);
}

#[test]
fn release_ends_it_at_the_server() {
    let mut lab = Lab::allocated();
    lab.client.release(lab.now);
    assert!(!lab.client.is_ended());
    lab.settle();
    assert!(lab.client.is_ended());
    assert_eq!(lab.server.stats().allocations_live, 0);
    assert_eq!(lab.client.poll_timeout(), None);
}

#[test]
fn allocation_granted_after_the_release_is_released() {
    let mut lab = Lab::new(None);
    let mut buf = [0; 4000];
    let challenged = lab.client.poll_transmit(lab.now, &mut buf).unwrap();
    lab.deliver(&buf[..challenged]);
    let signed = lab.client.poll_transmit(lab.now, &mut buf).unwrap();
    lab.client.release(lab.now);
    assert!(lab.client.is_releasing() && !lab.client.is_ended());
    lab.deliver(&buf[..signed]);
    assert_eq!(lab.server.stats().allocations_live, 1);
    lab.settle();
    assert_eq!(lab.server.stats().allocations_live, 0);
    assert!(lab.client.is_ended());
    assert_eq!((lab.client.poll_event(), lab.client.poll_timeout()), (None, None));
}

#[test]
fn release_before_any_signed_request_ends_at_once() {
    let mut lab = Lab::new(None);
    lab.client.release(lab.now);
    assert!(lab.client.is_ended());
    lab.settle();
    assert!(lab.requests.is_empty());
}

#[test]
fn a_wrong_password_is_tried_once() {
    let mut lab = Lab::new(Some("guess"));
    lab.settle();
    let Some(Event::Failed(failure)) = lab.client.poll_event() else { panic!("no failure") };
    assert_eq!(failure.code, Some(ErrorCode::UNAUTHENTICATED));
    assert!(lab.requests.len() <= 3, "{:?}", lab.requests);
    assert!(lab.client.is_ended());
}

#[test]
fn unanswered_request_is_sent_seven_times() {
    let mut lab = Lab::new(None);
    lab.deaf = true;
    lab.settle();
    lab.advance(SECOND * 120);
    assert_eq!(lab.requests.len(), 7);
    let Some(Event::Failed(failure)) = lab.client.poll_event() else { panic!("no failure") };
    assert_eq!(failure.code, None);
}

#[test]
fn an_allocation_that_is_gone_is_noticed() {
    let mut lab = Lab::allocated();
    // The NAT forgets its mapping: the server sees another client.
    lab.tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("198.51.100.7:40001"));
    lab.client.probe(lab.now);
    lab.settle();
    assert_eq!(lab.client.poll_event(), Some(Event::Lost));
}

/// The NAT has forgotten everything, and given each client the port that was the other's: whatever
/// is asked for fails because the allocation there is another user's.
#[test]
fn allocation_of_another_user_is_noticed() {
    type Ask = fn(&mut Client, Instant);
    let asks: [Ask; 3] = [
        |client, now| client.probe(now),
        |client, now| client.permit(now, peer().ip()),
        |client, now| client.bind(now, peer()),
    ];
    for (ask, mobile) in asks.into_iter().flat_map(|ask| [(ask, false), (ask, true)]) {
        let mut lab = Lab::with_mobility(None, [mobile, true]).allocate();
        lab.tuple = FiveTuple::udp(addr("5.0.0.1:3478"), addr("198.51.100.7:40001"));
        let credentials = Credentials::mint(b"north", WALL, SECOND * 86_400, "bertha");
        let config = Config {
            username: credentials.username.as_str().into(),
            password: credentials.password.as_str().into(),
            ..Config::default()
        };
        let other = Client::new(config, lab.now, &mut ChaCha12Rng::seed_from_u64(2));
        let own = std::mem::replace(&mut lab.client, other);
        lab.settle();
        assert!(lab.client.is_live());
        lab.client = own;
        ask(&mut lab.client, lab.now);
        lab.settle();
        assert_eq!(lab.client.poll_event(), Some(Event::Lost));
    }
}

#[test]
fn forbidden_peer_does_not_spoil_the_request_of_others() {
    let mut lab = Lab::allocated();
    let forbidden: IpAddr = "127.0.0.1".parse().unwrap();
    // The first goes alone, the other two in one request, which is refused for one of them.
    for ip in ["93.184.216.35".parse().unwrap(), forbidden, peer().ip()] {
        lab.client.permit(lab.now, ip);
    }
    lab.settle();
    assert_eq!(lab.client.poll_event(), Some(Event::PeerRefused(forbidden)));
    assert!(lab.client.is_permitted(peer().ip()) && !lab.client.is_permitted(forbidden));
}

#[test]
fn peers_are_bounded() {
    let mut lab = Lab::allocated();
    for number in 0..1000_u32 {
        lab.client.permit(lab.now, IpAddr::from([93, 184, (number >> 8) as u8, number as u8]));
        lab.client.bind(lab.now, SocketAddr::new([93, 185, (number >> 8) as u8, number as u8].into(), 1));
    }
    assert!(lab.client.permissions.len() <= Client::MAX_PEERS);
    assert!(lab.client.channels.len() <= Client::MAX_PEERS);
}

#[test]
fn an_alternate_server_is_reported() {
    let now = start();
    let mut client = Client::new(Config::default(), now, &mut ChaCha12Rng::seed_from_u64(3));
    let mut buf = [0; 500];
    let length = client.poll_transmit(now, &mut buf).unwrap();
    let mut answer = [0; 500];
    let request = Message::parse(&buf[..length]).unwrap();
    let length = MessageBuilder::error(&mut answer, &request, ErrorCode::TRY_ALTERNATE)
        .unwrap()
        .push(&AlternateServer(addr("5.0.0.2:3478")))
        .unwrap()
        .finish();
    client.handle_message(now, &answer[..length]);
    let Some(Event::Failed(failure)) = client.poll_event() else { panic!("no failure") };
    assert_eq!(failure.alternate, Some(addr("5.0.0.2:3478")));
}

#[test]
fn a_server_without_ipv4_is_asked_for_ipv6_alone() {
    let now = start();
    let mut client = Client::new(Config::default(), now, &mut ChaCha12Rng::seed_from_u64(3));
    let asked = [(Some(AdditionalAddressFamily::IPV6), None), (None, Some(RequestedAddressFamily::IPV6))];
    for (additional, requested) in asked {
        assert_eq!(client.poll_event(), None);
        let mut buf = [0; 500];
        let length = client.poll_transmit(now, &mut buf).unwrap();
        let request = Message::parse(&buf[..length]).unwrap();
        assert_eq!((request.get().unwrap(), request.get().unwrap()), (additional, requested));
        let mut answer = [0; 500];
        let code = ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED;
        let length = MessageBuilder::error(&mut answer, &request, code).unwrap().finish();
        client.handle_message(now, &answer[..length]);
    }
    let Some(Event::Failed(failure)) = client.poll_event() else { panic!("no failure") };
    assert_eq!(failure.code, Some(ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED));
}

#[test]
fn endless_challenges_end() {
    let now = start();
    let mut client = Client::new(Config::default(), now, &mut ChaCha12Rng::seed_from_u64(3));
    let mut buf = [0; 1000];
    let mut rounds = 0;
    while let Some(length) = client.poll_transmit(now, &mut buf) {
        let request = Message::parse(&buf[..length]).unwrap();
        let mut answer = [0; 500];
        let nonce = format!("nonce{rounds}");
        let length = MessageBuilder::new(
            &mut answer,
            Class::ErrorResponse,
            Method::ALLOCATE,
            request.transaction_id(),
        )
        .unwrap()
        .push(&ErrorInfo::from(ErrorCode::STALE_NONCE))
        .unwrap()
        .push(&Realm(b"columba"))
        .unwrap()
        .push(&Nonce(nonce.as_bytes()))
        .unwrap()
        .finish();
        client.handle_message(now, &answer[..length]);
        rounds += 1;
        assert!(rounds < 20);
    }
    assert!(matches!(client.poll_event(), Some(Event::Failed(_))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_from_the_server_do_not_end_an_allocation(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20),
    ) {
        let mut lab = Lab::allocated();
        for datagram in datagrams {
            let _ = lab.client.handle_message(lab.now, &datagram);
        }
        prop_assert!(lab.client.is_live());
    }
}

#[test]
fn keepalives_are_sent_and_not_answered() {
    let mut lab = Lab::allocated();
    lab.requests.clear();
    lab.advance(SECOND * 61);
    assert_eq!(lab.requests, [Method::BINDING; 4]);
    let before = lab.server.stats().control_bytes_out;
    lab.advance(SECOND * 15);
    assert_eq!(lab.server.stats().control_bytes_out, before);
}

#[test]
fn repetitions_come_as_soon_as_the_distance_to_the_server_allows() {
    let now = start();
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let config = Config { rto: Duration::from_millis(200), quick_repetitions: 2, ..Config::default() };
    let mut client = Client::new(config, now, &mut rng);
    let mut times = Vec::new();
    let mut buf = [0; 500];
    let mut at = now;
    while !client.is_ended() {
        if client.poll_transmit(at, &mut buf).is_some() {
            times.push((at - now).as_millis());
        }
        let Some(next) = client.poll_timeout() else { break };
        at = next;
        client.handle_timeout(at);
    }
    assert_eq!(times, [0, 200, 400, 600, 1000, 1800, 3400, 6600, 13_000, 25_800]);
    assert_eq!((at - now).as_millis(), 39_500, "given up as RFC 8489 has it");
}
