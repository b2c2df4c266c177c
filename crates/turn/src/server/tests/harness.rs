//! A server, its owner and its clients, without sockets.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use columba_stun::attributes::{
    Data, ErrorInfo, Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, RequestedTransport, Username,
    XorPeerAddress, XorRelayedAddress,
};
use columba_stun::{
    Attribute, BuildError, ChannelData, ChannelNumber, Class, IntegrityKey, Message, MessageBuilder, Method,
    TransactionId,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use super::super::*;

/// The beginning of virtual time.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had no other way; its value does not matter"
)]
pub(in super::super) fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

pub(super) const SECRET: &[u8] = b"north";

/// Wall time at the start.
pub(super) const WALL: UnixTime = UnixTime(Duration::from_secs(1_700_000_000));

/// A server that authenticates by [`SECRET`].
pub(super) fn config() -> Config {
    Config {
        secrets: vec![SECRET.to_vec()],
        relay_ipv6: true,
        own_addresses: vec!["5.0.0.1".parse().unwrap()],
        listeners: vec!["5.0.0.1:3478".parse().unwrap()],
        ..Config::default()
    }
}

pub(super) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// The behaviour of the owner when it is asked for ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Grants,
    Refuses(RefusalReason),
    RefusesIpv6,
    /// Leaves them in [`Lab::wanted`].
    Waits,
}

/// A server and its owner.
pub(super) struct Lab {
    pub(super) server: Server,
    pub(super) now: Instant,
    pub(super) owner: Owner,
    /// Where relays are granted.
    pub(super) relay_ips: [&'static str; 2],
    next_port: u16,
    pub(super) wanted: Vec<(RelayId, AddressFamily, PortRequirement)>,
    pub(super) released: Vec<RelayId>,
    pub(super) closed: Vec<FiveTuple>,
    pub(super) sent: Vec<(FiveTuple, Vec<u8>)>,
}

impl Lab {
    pub(super) fn new(config: Config) -> Self {
        let server = Server::new(config, start(), WALL, &mut ChaCha20Rng::seed_from_u64(7));
        Self {
            server,
            now: start(),
            owner: Owner::Grants,
            relay_ips: ["5.0.0.1", "2a00::1"],
            next_port: 50_000,
            wanted: Vec::new(),
            released: Vec::new(),
            closed: Vec::new(),
            sent: Vec::new(),
        }
    }

    /// Does what the owner has to do after each input.
    pub(super) fn drain(&mut self) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::RelayWanted { id, family, port } => self.answer_request(id, family, port),
                Event::RelayReleased { id } => self.released.push(id),
                Event::ConnectionClose { tuple } => self.closed.push(tuple),
            }
        }
        let mut buf = [0; 2000];
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut buf) {
            self.sent.push((transmit.tuple, buf[..transmit.len].to_vec()));
        }
    }

    fn answer_request(&mut self, id: RelayId, family: AddressFamily, port: PortRequirement) {
        let input = match self.owner {
            Owner::Waits => return self.wanted.push((id, family, port)),
            Owner::Refuses(reason) => Input::RelayRefused { id, reason },
            Owner::RefusesIpv6 if family == AddressFamily::Ipv6 => {
                Input::RelayRefused { id, reason: RefusalReason::Capacity }
            }
            Owner::Grants | Owner::RefusesIpv6 => {
                Input::RelayGranted { id, relayed: self.next_relay(family) }
            }
        };
        self.server.handle_input(self.now, input);
    }

    /// The next even port.
    pub(super) fn next_relay(&mut self, family: AddressFamily) -> SocketAddr {
        self.next_port += 2;
        let ip = self.relay_ips[usize::from(family == AddressFamily::Ipv6)];
        SocketAddr::new(ip.parse().unwrap(), self.next_port)
    }

    /// A message arrives as a driver would take it; what comes back to the same client.
    pub(super) fn deliver(&mut self, tuple: FiveTuple, message: &[u8]) -> Vec<Vec<u8>> {
        let before = self.sent.len();
        let (mut buf, range) = frame(message);
        if self.server.route(self.now, Arrival::Client(&tuple), &mut buf, range) == Forward::Control {
            self.server.handle_input(self.now, Input::Message { tuple, data: message });
        }
        self.drain();
        self.sent[before..].iter().filter(|(to, _)| *to == tuple).map(|(_, bytes)| bytes.clone()).collect()
    }

    /// Lets time pass, deadline by deadline.
    pub(super) fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past");
            self.now = at;
            self.server.handle_timeout(at);
            self.drain();
        }
        self.now = end;
    }

    /// Data from a client; what the server makes of it.
    pub(super) fn data(&mut self, tuple: FiveTuple, message: &[u8]) -> Routed {
        let (mut buf, range) = frame(message);
        let forward = self.server.route(self.now, Arrival::Client(&tuple), &mut buf, range);
        Routed::of(forward, &buf)
    }

    /// Data from a peer.
    pub(super) fn peer_sends(&mut self, id: RelayId, peer: SocketAddr, payload: &[u8]) -> Routed {
        let (mut buf, range) = frame(payload);
        let forward = self.server.route(self.now, Arrival::Relay { id, peer }, &mut buf, range);
        Routed::of(forward, &buf)
    }
}

/// A datagram with the room around it that the driver leaves.
fn frame(message: &[u8]) -> (Vec<u8>, Range<usize>) {
    let mut buf = vec![0xee; HEADROOM + message.len() + TAILROOM];
    let range = HEADROOM..HEADROOM + message.len();
    buf[range.clone()].copy_from_slice(message);
    (buf, range)
}

/// A [`Forward`] with its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Routed {
    ToClient(FiveTuple, Vec<u8>),
    ToPeer { relay: RelayId, peer: SocketAddr, payload: Vec<u8>, dont_fragment: bool },
    Control,
    Drop(DropReason),
}

impl Routed {
    fn of(forward: Forward, buf: &[u8]) -> Self {
        match forward {
            Forward::ToClient { tuple, range } => Self::ToClient(tuple, buf[range].to_vec()),
            Forward::ToPeer { relay, peer, range, dont_fragment } => {
                Self::ToPeer { relay, peer, payload: buf[range].to_vec(), dont_fragment }
            }
            Forward::Control => Self::Control,
            Forward::Drop(reason) => Self::Drop(reason),
        }
    }

    /// The peer and payload of a Data indication.
    pub(super) fn indication(&self) -> (SocketAddr, Vec<u8>) {
        let Self::ToClient(_, bytes) = self else { panic!("{self:?}") };
        let message = Message::parse(bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        let XorPeerAddress(peer) = message.get().unwrap().unwrap();
        let Data(payload) = message.get().unwrap().unwrap();
        (peer, payload.to_vec())
    }

    /// The channel and payload of ChannelData.
    pub(super) fn channel_data(&self) -> (u16, Vec<u8>) {
        let Self::ToClient(_, bytes) = self else { panic!("{self:?}") };
        let data = ChannelData::parse(bytes).unwrap();
        (data.channel.number(), data.data.to_vec())
    }
}

/// A client as the RFC wants it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) tuple: FiveTuple,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) realm: Vec<u8>,
    pub(super) nonce: Vec<u8>,
    /// Uses SHA-256 throughout, where the server offers it.
    pub(super) sha256: bool,
    pub(super) transaction: [u8; 12],
}

/// An answer: 0 is success.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) bytes: Vec<u8>,
}

impl Answer {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        let message = Message::parse(&bytes).unwrap();
        let code = message.get::<ErrorInfo<'_>>().unwrap().map_or(0, |e| e.code.number());
        assert_eq!(code == 0, message.class() == Class::SuccessResponse);
        Self { code, bytes }
    }

    pub(super) fn get<'a, A: Attribute<'a>>(&'a self) -> Option<A> {
        Message::parse(&self.bytes).unwrap().get().unwrap()
    }

    pub(super) fn relayed(&self) -> SocketAddr {
        assert_eq!(self.code, 0);
        self.get::<XorRelayedAddress>().unwrap().0
    }
}

pub(super) type Fill<'a> = dyn Fn(&mut MessageBuilder<'_>) -> Result<(), BuildError> + 'a;

impl Client {
    pub(super) fn new(client: &str) -> Self {
        Self::named(client, "ada")
    }

    pub(super) fn named(client: &str, name: &str) -> Self {
        let Credentials { username, password } =
            Credentials::mint(SECRET, WALL, Duration::from_secs(86_400), name);
        Self {
            tuple: FiveTuple::udp(addr("5.0.0.1:3478"), addr(client)),
            username,
            password,
            realm: Vec::new(),
            nonce: Vec::new(),
            sha256: false,
            transaction: [0; 12],
        }
    }

    pub(super) fn over(mut self, transport: Transport, connection: u64) -> Self {
        self.tuple = FiveTuple::stream(transport, self.tuple.local(), self.tuple.client(), connection);
        self
    }

    pub(super) fn key(&self) -> IntegrityKey {
        let (username, password) = (&self.username, &self.password);
        let key = if self.sha256 {
            IntegrityKey::long_term_sha256(username, &self.realm, password)
        } else {
            IntegrityKey::long_term_md5(username, &self.realm, password)
        };
        key.unwrap()
    }

    pub(super) fn next_transaction(&mut self) -> TransactionId {
        let next = u16::from_be_bytes([self.transaction[0], self.transaction[1]]) + 1;
        self.transaction[..2].copy_from_slice(&next.to_be_bytes());
        TransactionId(self.transaction)
    }

    /// A request with whatever credentials the client has been able to make so far.
    pub(super) fn build(&mut self, method: Method, fill: &Fill<'_>) -> Vec<u8> {
        let mut buf = [0; 2000];
        let transaction = self.next_transaction();
        let mut builder = MessageBuilder::new(&mut buf, Class::Request, method, transaction).unwrap();
        fill(&mut builder).unwrap();
        if !self.nonce.is_empty() {
            builder.push(&Username(&self.username)).unwrap();
            builder.push(&Realm(&self.realm)).unwrap();
            builder.push(&Nonce(&self.nonce)).unwrap();
            if self.sha256 {
                builder.push(&PasswordAlgorithms::SUPPORTED).unwrap();
                builder.push(&PasswordAlgorithm::SHA256).unwrap();
                builder.integrity_sha256(&self.key()).unwrap();
            } else {
                builder.integrity(&self.key()).unwrap();
            }
        }
        let len = builder.finish();
        buf[..len].to_vec()
    }

    /// Sends one message; its one answer.
    pub(super) fn exchange(&mut self, lab: &mut Lab, message: &[u8]) -> Answer {
        let mut answers = lab.deliver(self.tuple, message);
        assert_eq!(answers.len(), 1, "one answer");
        Answer::of(answers.remove(0))
    }

    /// Sends a request, once more when challenged; the last answer, its integrity checked.
    pub(super) fn request(&mut self, lab: &mut Lab, method: Method, fill: &Fill<'_>) -> Answer {
        let message = self.build(method, fill);
        let answer = self.exchange(lab, &message);
        if !matches!(answer.code, 401 | 438) {
            return answer;
        }
        self.learn(&answer);
        let message = self.build(method, fill);
        let answer = self.exchange(lab, &message);
        if !matches!(answer.code, 401 | 438) {
            let message = Message::parse(&answer.bytes).unwrap();
            if self.sha256 {
                message.verify_integrity_sha256(&self.key()).unwrap();
            } else {
                message.verify_integrity(&self.key()).unwrap();
            }
        }
        answer
    }

    /// Takes realm and nonce from a challenge.
    pub(super) fn learn(&mut self, challenge: &Answer) {
        self.realm = challenge.get::<Realm<'_>>().unwrap().0.to_owned();
        self.nonce = challenge.get::<Nonce<'_>>().unwrap().0.to_owned();
    }

    pub(super) fn allocate(&mut self, lab: &mut Lab) -> Answer {
        self.allocate_with(lab, &|_| Ok(()))
    }

    pub(super) fn allocate_with(&mut self, lab: &mut Lab, fill: &Fill<'_>) -> Answer {
        self.request(lab, Method::ALLOCATE, &|b| {
            b.push(&RequestedTransport::UDP)?;
            fill(b)
        })
    }

    pub(super) fn permit(&mut self, lab: &mut Lab, peers: &[&str]) -> u16 {
        self.request(lab, Method::CREATE_PERMISSION, &|b| {
            for peer in peers {
                b.push(&XorPeerAddress(addr(peer)))?;
            }
            Ok(())
        })
        .code
    }

    pub(super) fn bind(&mut self, lab: &mut Lab, channel: u16, peer: &str) -> u16 {
        self.request(lab, Method::CHANNEL_BIND, &|b| {
            b.push_raw(
                columba_stun::AttributeType::CHANNEL_NUMBER,
                &[(channel >> 8) as u8, channel as u8, 0, 0],
            )?;
            b.push(&XorPeerAddress(addr(peer)))?;
            Ok(())
        })
        .code
    }

    pub(super) fn refresh(&mut self, lab: &mut Lab, lifetime: u32) -> Answer {
        self.request(lab, Method::REFRESH, &|b| {
            b.push(&columba_stun::attributes::Lifetime(lifetime))?;
            Ok(())
        })
    }

    /// A Send indication.
    pub(super) fn send(&mut self, peer: &str, payload: &[u8]) -> Vec<u8> {
        let mut buf = [0; 2000];
        let transaction = self.next_transaction();
        let len = MessageBuilder::new(&mut buf, Class::Indication, Method::SEND, transaction)
            .unwrap()
            .push(&XorPeerAddress(addr(peer)))
            .unwrap()
            .push(&Data(payload))
            .unwrap()
            .finish();
        buf[..len].to_vec()
    }
}

/// ChannelData as it goes over UDP.
pub(super) fn channel_data(channel: u16, payload: &[u8]) -> Vec<u8> {
    let channel = ChannelNumber::new(channel).unwrap();
    let mut message = ChannelData::header(channel, payload.len()).unwrap().to_vec();
    message.extend_from_slice(payload);
    message
}
