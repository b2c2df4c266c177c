//! A host that runs the TURN server: UDP port 3478, TCP ports 3478 and 443.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_ice::framing::{Framing, Reader};
use columba_netsim::{Datagram, Departure, Ecn, StreamId, StreamInput};
use columba_stun::attributes::{AlternateServer, MappedAddress};
use columba_stun::{Class, ErrorCode, Message, MessageBuilder, Method};
use columba_turn::server::{
    AddressFamily, Arrival, Config, Credentials, Event, FiveTuple, Forward, HEADROOM, Input, RefusalReason,
    RelayId, Server, TAILROOM, Transport, UnixTime,
};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

pub(crate) const WALL: UnixTime = UnixTime(Duration::from_secs(1_800_000_000));
pub(crate) const SECRET: &[u8] = b"north";
pub(crate) const PORT: u16 = 3478;

/// Networks for documentation, which stand for public addresses here; a relay would refuse them as
/// peers.
const PUBLIC: [&str; 3] = ["198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"];

pub(crate) struct TurnHost {
    pub(crate) server: Server,
    ip: IpAddr,
    /// Where IPv6 is relayed for who asks for nothing else, as servers from before RFC 8656 do it.
    pub(crate) ipv6_alone: Option<IpAddr>,
    next_port: u16,
    relays: BTreeMap<SocketAddr, RelayId>,
    by_id: BTreeMap<RelayId, SocketAddr>,
    streams: BTreeMap<StreamId, (FiveTuple, Reader)>,
    out: VecDeque<(Departure, Vec<u8>)>,
    /// Instead of allocating: an error, with the server to ask instead, for so many requests.
    pub(crate) refusals: Vec<(ErrorCode, Option<SocketAddr>)>,
    /// Messages and data to peers, by their form.
    pub(crate) requests: BTreeMap<Method, u64>,
    pub(crate) channel_data: u64,
    /// Nothing is answered any more, while this is true.
    pub(crate) muted_port: bool,
    /// Binding requests are answered as servers of RFC 3489 do, with MAPPED-ADDRESS alone.
    pub(crate) sends_mapped_address: bool,
}

impl TurnHost {
    pub(crate) fn new(now: Instant, ips: &[IpAddr], seed: u64) -> Self {
        let ip = ips[0];
        let config = Config {
            secrets: vec![SECRET.to_vec()],
            relay_ipv4: ip.is_ipv4(),
            relay_ipv6: ip.is_ipv6(),
            own_addresses: ips.to_vec(),
            listeners: vec![SocketAddr::new(ip, PORT)],
            allow_peers: PUBLIC.iter().map(|network| network.parse().expect("a network")).collect(),
            ..Config::default()
        };
        let server = Server::new(config, now, WALL, &mut ChaCha12Rng::seed_from_u64(seed));
        Self {
            server,
            ip,
            ipv6_alone: None,
            next_port: 50_000,
            relays: BTreeMap::new(),
            by_id: BTreeMap::new(),
            streams: BTreeMap::new(),
            out: VecDeque::new(),
            refusals: Vec::new(),
            requests: BTreeMap::new(),
            channel_data: 0,
            muted_port: false,
            sends_mapped_address: false,
        }
    }

    pub(crate) fn change(&mut self, now: Instant, change: impl FnOnce(&mut Config)) {
        let mut config = self.server.config().clone();
        change(&mut config);
        self.server = Server::new(config, now, WALL, &mut ChaCha12Rng::seed_from_u64(1));
    }

    /// The answer that a test wants a request to get.
    fn refuse(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let request = Message::parse(message).ok()?;
        if (request.class(), request.method()) != (Class::Request, Method::ALLOCATE)
            || self.refusals.is_empty()
        {
            return None;
        }
        let (code, alternate) = self.refusals.remove(0);
        let mut buffer = [0; 500];
        let mut builder = MessageBuilder::error(&mut buffer, &request, code).expect("room");
        if let Some(alternate) = alternate {
            builder.push(&AlternateServer(alternate)).expect("room");
        }
        Some(builder.finish()).map(|length| buffer[..length].to_vec())
    }

    fn count(&mut self, message: &[u8]) {
        match Message::parse(message) {
            Ok(message) => *self.requests.entry(message.method()).or_default() += 1,
            Err(_) => self.channel_data += 1,
        }
    }

    pub(crate) fn credentials() -> Credentials {
        Self::credentials_of("ada")
    }

    pub(crate) fn credentials_of(user: &str) -> Credentials {
        Credentials::mint(SECRET, WALL, Duration::from_secs(3600), user)
    }

    pub(crate) fn allocations(&self) -> u64 {
        self.server.stats().allocations_live
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        let mut buffer = frame(datagram.payload);
        let range = HEADROOM..HEADROOM + datagram.payload.len();
        if let Some(id) = self.relays.get(&datagram.local).copied() {
            let arrival = Arrival::Relay { id, peer: datagram.remote };
            let forward = self.server.route(now, arrival, &mut buffer, range);
            return self.forward(forward, &buffer);
        }
        if datagram.local.port() == PORT {
            let tuple = FiveTuple::udp(datagram.local, datagram.remote);
            self.handle_client(now, tuple, &mut buffer, range);
        }
    }

    fn handle_client(
        &mut self,
        now: Instant,
        tuple: FiveTuple,
        buffer: &mut [u8],
        range: std::ops::Range<usize>,
    ) {
        self.count(&buffer[range.clone()]);
        if self.muted_port {
            return;
        }
        if let Some(refusal) = self.refuse(&buffer[range.clone()]) {
            return self.answer(tuple, refusal);
        }
        if self.sends_mapped_address
            && let Some(answer) = mapped_address_alone(&buffer[range.clone()], tuple.client())
        {
            return self.answer(tuple, answer);
        }
        match self.server.route(now, Arrival::Client(&tuple), buffer, range.clone()) {
            Forward::Control => {
                self.server.handle_input(now, Input::Message { tuple, data: &buffer[range] });
                self.drain(now);
            }
            forward => self.forward(forward, buffer),
        }
    }

    fn forward(&mut self, forward: Forward, buffer: &[u8]) {
        match forward {
            Forward::ToClient { tuple, range } => self.answer(tuple, buffer[range].to_vec()),
            Forward::ToPeer { relay, peer, range, .. } => {
                let local = self.by_id[&relay];
                self.out.push_back((udp(local, peer), buffer[range].to_vec()));
            }
            Forward::Control | Forward::Drop(_) => {}
        }
    }

    fn answer(&mut self, tuple: FiveTuple, bytes: Vec<u8>) {
        if tuple.transport() == Transport::Udp {
            self.out.push_back((udp(tuple.local(), tuple.client()), bytes));
        } else if let Some((id, _)) = self.streams.iter().find(|(_, (one, _))| *one == tuple) {
            self.out.push_back((Departure::Stream(*id), bytes));
        }
    }

    pub(crate) fn drain(&mut self, now: Instant) {
        let mut is_alone = true;
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::RelayWanted { id, family, .. } => {
                    let places = [Some(self.ip), self.ipv6_alone.filter(|_| is_alone)];
                    is_alone = false;
                    let place = places.into_iter().flatten().find(|ip| AddressFamily::of(*ip) == family);
                    let Some(place) = place else {
                        let reason = RefusalReason::Family;
                        self.server.handle_input(now, Input::RelayRefused { id, reason });
                        continue;
                    };
                    self.next_port += 1;
                    let relayed = SocketAddr::new(place, self.next_port);
                    self.relays.insert(relayed, id);
                    self.by_id.insert(id, relayed);
                    self.server.handle_input(now, Input::RelayGranted { id, relayed });
                }
                Event::RelayReleased { id } => {
                    if let Some(address) = self.by_id.remove(&id) {
                        self.relays.remove(&address);
                    }
                }
                Event::ConnectionClose { tuple } => {
                    let found = self.streams.iter().find(|(_, (one, _))| *one == tuple);
                    if let Some(id) = found.map(|(id, _)| *id) {
                        self.streams.remove(&id);
                        self.out.push_back((Departure::Close(id), Vec::new()));
                    }
                }
                _ => {}
            }
        }
        let mut buffer = [0; 2000];
        while let Some(transmit) = self.server.poll_transmit(now, &mut buffer) {
            self.answer(transmit.tuple, buffer[..transmit.len].to_vec());
        }
    }

    pub(crate) fn handle_stream(&mut self, now: Instant, id: StreamId, input: StreamInput<'_>) {
        match input {
            StreamInput::Accepted { local, remote } => {
                let tuple = FiveTuple::stream(Transport::Tcp, local, remote, id.0);
                self.streams.insert(id, (tuple, Reader::new(Framing::Stun)));
            }
            StreamInput::Data(mut bytes) => {
                let mut frames = Vec::new();
                let Some((tuple, reader)) = self.streams.get_mut(&id) else { return };
                let tuple = *tuple;
                while !bytes.is_empty() {
                    let taken = reader.feed(bytes);
                    bytes = &bytes[taken..];
                    while let Ok(Some(message)) = reader.next_frame() {
                        frames.push(message.to_vec());
                    }
                }
                for message in frames {
                    let mut buffer = frame(&message);
                    self.handle_client(now, tuple, &mut buffer, HEADROOM..HEADROOM + message.len());
                }
            }
            StreamInput::Closed => {
                if let Some((tuple, _)) = self.streams.remove(&id) {
                    self.server.handle_input(now, Input::ConnectionClosed { tuple });
                    self.drain(now);
                }
            }
            StreamInput::Connected { .. } | StreamInput::Clogged | StreamInput::Drained => {}
        }
    }

    pub(crate) fn poll_transmit(&mut self, payload: &mut Vec<u8>) -> Option<Departure> {
        let (departure, bytes) = self.out.pop_front()?;
        payload.extend_from_slice(&bytes);
        Some(departure)
    }
}

pub(crate) fn udp(local: SocketAddr, remote: SocketAddr) -> Departure {
    Departure::Udp { local, remote, ecn: Ecn::NotEct, segment_size: None }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; HEADROOM + payload.len() + TAILROOM];
    buffer[HEADROOM..HEADROOM + payload.len()].copy_from_slice(payload);
    buffer
}

/// The answer of a server of RFC 3489 to a Binding request.
fn mapped_address_alone(message: &[u8], client: SocketAddr) -> Option<Vec<u8>> {
    let request = Message::parse(message).ok()?;
    if (request.class(), request.method()) != (Class::Request, Method::BINDING) {
        return None;
    }
    let mut buffer = [0; 64];
    let mut builder = MessageBuilder::success(&mut buffer, &request).expect("room");
    let length = builder.push(&MappedAddress(client)).expect("room").finish();
    Some(buffer[..length].to_vec())
}
