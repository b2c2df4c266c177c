//! Two peers with their owners, routers between them, a server, and the signaling that carries
//! descriptions and candidates.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_netsim::{
    Datagram, Departure, Endpoint, HostId, InterfaceId, Link, Loss, Nat, Network, Router, StreamId,
    StreamInput, ZoneId,
};
use columba_peer::{
    ChannelId, Configuration, DataChannelInit, Ecn, Error, Event, IceCandidateInit, IceServer, Input,
    LocalAddress, Message, Path, Peer, PeerConnectionState, Request, SdpType, SessionDescription,
    SignalingState, Transport, TransportId, UnixTime,
};

use crate::server::{PORT, TurnHost};
use crate::streams::Streams;

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;
pub(crate) const SECOND: Duration = Duration::from_secs(1);

const SIGNALING: Duration = Duration::from_millis(20);
const SERVER: &str = "5.0.0.1";
const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));

/// A peer and its owner.
pub(crate) struct PeerHost {
    pub(crate) peer: Peer,
    address: IpAddr,
    next_port: u16,
    /// The transport of each socket.
    sockets: BTreeMap<SocketAddr, TransportId>,
    pub(crate) streams: Streams,
    /// Messages that wait for the signaling.
    signals: VecDeque<Signal>,
    pub(crate) events: Vec<Event>,
    /// The tasks with several events.
    pub(crate) tasks: Vec<Vec<Event>>,
    pub(crate) states: Vec<PeerConnectionState>,
    pub(crate) errors: Vec<Error>,
    pub(crate) open: Vec<ChannelId>,
    pub(crate) closed: Vec<ChannelId>,
    pub(crate) received: BTreeMap<ChannelId, Vec<Message>>,
    /// True if messages are read as they come.
    pub(crate) reads: bool,
    polite: bool,
    /// The last offer of the other side's was ignored; so are errors of its candidates.
    ignores: bool,
    /// Errors of candidates are no failure of the test.
    pub(crate) tolerates: bool,
    /// Bytes of the largest datagram sent, and how many times several went out at once.
    pub(crate) largest: usize,
    pub(crate) batches: usize,
    /// RTP and RTCP as they have come, protected, if they are kept.
    pub(crate) heard: Vec<Vec<u8>>,
    pub(crate) hears: bool,
    /// True if offers are made as they are needed.
    pub(crate) offers: bool,
    /// True if offers are answered as they come.
    pub(crate) answers: bool,
}

#[derive(Clone, Debug)]
enum Signal {
    Description(SessionDescription),
    Candidate(Option<IceCandidateInit>),
}

impl PeerHost {
    fn run(&mut self, now: Instant) {
        loop {
            if let Some((transport, request)) = self.peer.poll_request() {
                self.fulfil(now, transport, &request);
            } else if let Some(task) = self.peer.poll_task() {
                self.tasks.extend(Some(task.clone()).filter(|task| task.len() > 1));
                task.into_iter().for_each(|event| self.handle_event(now, event));
            } else {
                break;
            }
        }
        if self.reads {
            for channel in self.open.clone() {
                while let Some(message) = self.peer.receive(now, channel) {
                    self.received.entry(channel).or_default().push(message);
                }
            }
        }
    }

    fn fulfil(&mut self, now: Instant, transport: TransportId, request: &Request) {
        if let Request::BindUdp { id, address } = request {
            assert_eq!(*address, self.address);
            self.next_port += 1;
            let local = SocketAddr::new(*address, self.next_port);
            self.sockets.insert(local, transport);
            self.peer.handle_input(now, transport, Input::Bound { id: *id, local });
        } else if let Some(input) = self.streams.fulfil(transport, request) {
            self.peer.handle_input(now, transport, input);
        }
    }

    fn handle_event(&mut self, now: Instant, event: Event) {
        match &event {
            Event::NegotiationNeeded if self.offers => {
                self.offer(now);
            }
            Event::IceCandidate(Some(candidate)) => {
                self.signals.push_back(Signal::Candidate(Some(candidate.init.clone())));
            }
            Event::ConnectionState(state) => self.states.push(*state),
            Event::Error(error) => self.errors.push(error.clone()),
            Event::DataChannel(channel) | Event::ChannelOpen(channel) => self.open.push(*channel),
            Event::ChannelClosed(channel, _) => self.closed.push(*channel),
            _ => {}
        }
        self.events.push(event);
    }

    fn receive_signal(&mut self, now: Instant, signal: Signal) {
        // What comes after its end is of no interest to an application.
        if self.peer.signaling_state() == SignalingState::Closed {
            return;
        }
        match signal {
            Signal::Candidate(candidate) => {
                let added = self.peer.add_ice_candidate(now, candidate);
                assert!(self.ignores || self.tolerates || added.is_ok(), "{added:?}");
            }
            Signal::Description(description) => {
                let offer = description.kind == SdpType::Offer;
                // Perfect negotiation: of two offers that collide, the impolite side's stands.
                let collides = self.peer.signaling_state() != SignalingState::Stable;
                self.ignores = offer && !self.polite && collides;
                if self.ignores {
                    return;
                }
                self.peer.set_remote_description(now, description).unwrap();
                if offer && self.answers {
                    self.answer(now);
                }
            }
        }
        self.run(now);
    }

    pub(crate) fn answer(&mut self, now: Instant) {
        let answer = self.peer.set_local_description(now, None).unwrap();
        assert_eq!(answer.kind, SdpType::Answer);
        self.signals.push_back(Signal::Description(answer));
    }

    pub(crate) fn offer(&mut self, now: Instant) {
        // The other side's offer may have been quicker.
        if self.peer.signaling_state() == SignalingState::Stable {
            let offer = self.peer.set_local_description(now, None).unwrap();
            assert_eq!(offer.kind, SdpType::Offer);
            self.signals.push_back(Signal::Description(offer));
        }
    }

    /// The sockets that are bound, and their transports.
    pub(crate) fn bound(&self) -> Vec<(SocketAddr, TransportId)> {
        self.sockets.iter().map(|(local, transport)| (*local, *transport)).collect()
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    pub(crate) fn all_received(&self) -> Vec<Message> {
        self.received.values().flatten().cloned().collect()
    }
}

/// The software of a host.
pub(crate) enum Software {
    Peer(Box<PeerHost>),
    Turn(Box<TurnHost>),
}

impl Endpoint for Software {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        match self {
            Self::Peer(host) => {
                let mut bytes = datagram.payload.to_vec();
                if host.hears && matches!(bytes.first(), Some(128..=191)) {
                    host.heard.push(bytes.clone());
                }
                let path = Path::udp(datagram.local, datagram.remote);
                // The kernel drops datagrams to ports without a socket.
                let Some(transport) = host.sockets.get(&path.local).copied() else { return };
                host.peer.handle_datagram(now, transport, path, Ecn::NotEct, None, &mut bytes);
                host.run(now);
            }
            Self::Turn(host) => host.handle_datagram(now, datagram),
        }
    }

    fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput<'_>) {
        if let Self::Peer(host) = self {
            host.streams.handle(now, stream, input, &mut host.peer);
            host.run(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Peer(host) => {
                host.peer.handle_timeout(now);
                host.run(now);
            }
            Self::Turn(host) => host.handle_timeout(now),
        }
    }

    fn poll_transmit(&mut self, now: Instant, payload: &mut Vec<u8>) -> Option<Departure> {
        match self {
            Self::Peer(host) => {
                if let Some(departure) = host.streams.poll_asked() {
                    return Some(departure);
                }
                payload.clear();
                // One copy: a loop over the bytes takes most of the time of a debug build.
                payload.extend_from_slice(&[0; 65_536]);
                let transmit = host.peer.poll_transmit(now, payload);
                host.run(now);
                let Some(transmit) = transmit else {
                    payload.clear();
                    return host.streams.poll_asked().or_else(|| host.streams.poll_closing());
                };
                let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len());
                host.largest = host.largest.max(size);
                host.batches += usize::from(transmit.range.len() > size);
                payload.truncate(transmit.range.end);
                payload.drain(..transmit.range.start);
                if transmit.path.transport != Transport::Udp {
                    // Of a connection that has just broken, nothing is known here any more.
                    return host.streams.departure(&transmit.path).or_else(|| {
                        payload.clear();
                        self.poll_transmit(now, payload)
                    });
                }
                Some(Departure::Udp {
                    local: transmit.path.local,
                    remote: transmit.path.remote,
                    ecn: columba_netsim::Ecn::NotEct,
                    segment_size: transmit.segment_size,
                })
            }
            Self::Turn(host) => host.poll_transmit(payload),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Peer(host) => host.peer.poll_timeout(),
            Self::Turn(host) => host.poll_timeout(),
        }
    }
}

/// The whole laboratory.
pub(crate) struct Lab {
    pub(crate) network: Network<Software>,
    internet: ZoneId,
    server: HostId,
    hosts: Vec<HostId>,
    pub(crate) interfaces: Vec<InterfaceId>,
    /// Signals under way between the peers: the time of arrival, the receiver, the signal.
    signals: VecDeque<(Instant, usize, Signal)>,
    /// Changes descriptions on the way.
    pub(crate) forge: Forge,
    /// The section whose candidates get lost.
    pub(crate) drops_candidates_of: Option<String>,
    /// True if signals reach the other side.
    pub(crate) carries_signals: bool,
    /// The time between two looks at what is to be signaled.
    pub(crate) step: Duration,
    /// The time that signals take.
    pub(crate) signaling: Duration,
    /// The time that answers take, if it is another.
    pub(crate) answer_delay: Option<Duration>,
}

/// A change of a description on the way.
pub(crate) type Forge = fn(SessionDescription) -> SessionDescription;

impl Lab {
    fn empty(seed: u64) -> Self {
        let mut network = Network::new(seed);
        network.keep_trace(100);
        let internet = network.add_zone();
        let now = network.now();
        let ip: IpAddr = SERVER.parse().unwrap();
        let server = network.add_host(Software::Turn(Box::new(TurnHost::new(now, ip, seed))));
        network.attach(server, internet, ip, Link::with_delay(Duration::from_millis(5)));
        Self {
            network,
            internet,
            server,
            hosts: Vec::new(),
            interfaces: Vec::new(),
            signals: VecDeque::new(),
            forge: |description| description,
            drops_candidates_of: None,
            carries_signals: true,
            step: Duration::from_millis(5),
            signaling: SIGNALING,
            answer_delay: None,
        }
    }

    /// Two peers in one network.
    pub(crate) fn lan(configuration: &Configuration, loss: f64, seed: u64) -> Self {
        Self::lan_of([configuration; 2], loss, seed)
    }

    /// Two peers of different configurations in one network.
    pub(crate) fn lan_of(configurations: [&Configuration; 2], loss: f64, seed: u64) -> Self {
        let mut lab = Self::empty(seed);
        let zone = lab.network.add_zone();
        for (configuration, address) in configurations.into_iter().zip(["10.0.0.1", "10.0.0.2"]) {
            lab.add(zone, address, configuration, loss);
        }
        lab
    }

    /// Two peers, each behind a NAT of its own.
    pub(crate) fn homes(nats: [Nat; 2], configuration: &Configuration, loss: f64, seed: u64) -> Self {
        let mut lab = Self::empty(seed);
        for (nat, outer) in nats.into_iter().zip(["198.51.100.1", "198.51.100.2"]) {
            let zone = lab.network.add_zone();
            let router = Router { outer: vec![outer.parse().unwrap()], nat: Some(nat), ..Router::default() };
            lab.network.add_router(zone, lab.internet, router);
            lab.add(zone, "192.168.0.7", configuration, loss);
        }
        lab
    }

    fn add(&mut self, zone: ZoneId, address: &str, configuration: &Configuration, loss: f64) {
        let address: IpAddr = address.parse().unwrap();
        let now = self.network.now();
        let seed = self.network.random().seed();
        let configuration = configuration.clone();
        let mut peer = Peer::new(configuration, now, WALL, seed).unwrap();
        peer.handle_network_change(now, &[LocalAddress::from(address)]);
        let software = PeerHost {
            peer,
            address,
            next_port: 40_000,
            sockets: BTreeMap::new(),
            streams: Streams::default(),
            signals: VecDeque::new(),
            events: Vec::new(),
            tasks: Vec::new(),
            states: Vec::new(),
            errors: Vec::new(),
            open: Vec::new(),
            closed: Vec::new(),
            received: BTreeMap::new(),
            reads: true,
            polite: !self.hosts.is_empty(),
            ignores: false,
            tolerates: false,
            largest: 0,
            batches: 0,
            heard: Vec::new(),
            hears: false,
            offers: true,
            answers: true,
        };
        let host = self.network.add_host(Software::Peer(Box::new(software)));
        // A packet between peers crosses two such links: `loss` is that of both together.
        let loss = if loss > 0.0 && loss < 1.0 { 1.0 - (1.0 - loss).sqrt() } else { loss };
        let loss = if loss > 0.0 { Loss::Random(loss) } else { Loss::None };
        let link = Link { loss, ..Link::with_delay(Duration::from_millis(10)) };
        self.interfaces.push(self.network.attach(host, zone, address, link));
        self.hosts.push(host);
    }

    pub(crate) fn peer(&self, index: usize) -> &PeerHost {
        match self.network.host(self.hosts[index]) {
            Software::Peer(host) => host,
            Software::Turn(_) => unreachable!("peers are peers"),
        }
    }

    /// Events and errors of a peer, for the message of a failed test.
    pub(crate) fn summary(&self, index: usize) -> (&[Event], &[Error]) {
        (&self.peer(index).events, &self.peer(index).errors)
    }

    pub(crate) fn allocations(&self) -> u64 {
        match self.network.host(self.server) {
            Software::Turn(host) => host.allocations(),
            Software::Peer(_) => unreachable!("the server is the server"),
        }
    }

    pub(crate) fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut PeerHost, Instant) -> T) -> T {
        self.network.with(self.hosts[index], |software, now| match software {
            Software::Peer(host) => {
                let answer = act(host, now);
                host.run(now);
                answer
            }
            Software::Turn(_) => unreachable!("peers are peers"),
        })
    }

    /// A peer creates a channel, and the rest follows.
    pub(crate) fn open(&mut self, index: usize, label: &str, init: DataChannelInit) -> ChannelId {
        self.with(index, |host, now| host.peer.create_data_channel(now, label, init).unwrap())
    }

    /// Carries signals, and lets things happen, until the condition holds, for `limit` at the most.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let deadline = self.network.now() + limit;
        loop {
            self.collect();
            if done(self) {
                return true;
            }
            let next = self.signals.front().map_or(deadline, |(at, ..)| *at).min(deadline);
            // A signal that is made meanwhile has to be posted in its time: hence in small steps.
            let step = (self.network.now() + self.step).min(next);
            self.network.run_until(step);
            while self.signals.front().is_some_and(|(at, ..)| *at <= self.network.now()) {
                if let Some((_, to, signal)) = self.signals.pop_front() {
                    self.with(to, |host, now| host.receive_signal(now, signal));
                }
            }
            if self.network.now() >= deadline {
                self.collect();
                return done(self);
            }
        }
    }

    /// Returns true if no signal is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        self.signals.is_empty() && self.both(|host| host.signals.is_empty())
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    fn collect(&mut self) {
        let now = self.network.now();
        for index in [ALICE, BOB] {
            let signals = self.with(index, |host, _| std::mem::take(&mut host.signals));
            let dropped = self.drops_candidates_of.clone();
            let is_carried = |signal: &Signal| match signal {
                Signal::Candidate(Some(init)) if !init.candidate.is_empty() => {
                    dropped.is_none() || init.sdp_mid != dropped
                }
                _ => true,
            };
            let signals = signals.into_iter().filter(is_carried);
            for signal in signals.filter(|_| self.carries_signals) {
                let signal = match signal {
                    Signal::Description(description) => Signal::Description((self.forge)(description)),
                    candidate => candidate,
                };
                let answer = matches!(&signal, Signal::Description(one) if one.kind == SdpType::Answer);
                let delay = self.answer_delay.filter(|_| answer).unwrap_or(self.signaling);
                // One channel keeps the order.
                let behind =
                    self.signals.iter().rev().find(|(_, to, _)| *to == 1 - index).map(|(at, ..)| *at);
                let arrival = (now + delay).max(behind.unwrap_or(now));
                let place =
                    self.signals.iter().position(|(at, ..)| *at > arrival).unwrap_or(self.signals.len());
                self.signals.insert(place, (arrival, 1 - index, signal));
            }
        }
    }

    pub(crate) fn both(&self, holds: impl Fn(&PeerHost) -> bool) -> bool {
        holds(self.peer(ALICE)) && holds(self.peer(BOB))
    }

    pub(crate) fn connected(&self) -> bool {
        self.both(|host| host.peer.connection_state() == PeerConnectionState::Connected)
    }
}

/// A configuration with the lab's server.
pub(crate) fn with_turn() -> Configuration {
    let credentials = TurnHost::credentials();
    let server = IceServer {
        urls: vec![format!("turn:{SERVER}:{PORT}")],
        username: credentials.username,
        credential: credentials.password,
    };
    Configuration { ice_servers: vec![server], ..Configuration::default() }
}
