//! Two agents, routers between them, servers, and the signaling that carries descriptions and
//! candidates.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_ice::framing::{Framing, Reader};
use columba_ice::{
    Agent, Candidate, CandidateError, CandidateKind, ConnectId, Event, GatheringState, HEADROOM, Host,
    IceServer, Input, LocalAddress, Path, Received, RemoteParameters, Request, Role, SelectedPair,
    ServerKind, State, TAILROOM, Transport,
};
use columba_ice::{Config, Ecn};
use columba_netsim::{
    Datagram, Departure, Endpoint, HostId, InterfaceId, Link, Loss, Network, Random, Router, RouterId,
    StreamId, StreamInput, ZoneId,
};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

use crate::server::{PORT, TurnHost, udp};
use crate::wire::Wire;

pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;

/// An agent and what its owner does for it.
pub(crate) struct AgentHost {
    pub(crate) agent: Agent,
    pub(crate) addresses: Vec<LocalAddress>,
    pub(crate) names: BTreeMap<String, Vec<IpAddr>>,
    next_port: u16,
    /// Candidates that the signaling has yet to carry, with the time from which on it does.
    pub(crate) candidates: Vec<(Instant, Candidate)>,
    /// The largest difference of the signaling's delay between two candidates: they arrive out of
    /// order.
    pub(crate) disorder: Duration,
    random: Random,
    pub(crate) gathered: bool,
    pub(crate) found: Vec<Candidate>,
    pub(crate) states: Vec<State>,
    pub(crate) selected: Vec<SelectedPair>,
    /// The pair that a restart has left in use.
    pub(crate) kept: Option<SelectedPair>,
    pub(crate) writable_at: Option<Instant>,
    pub(crate) errors: Vec<CandidateError>,
    pub(crate) restarts_wanted: usize,
    pub(crate) embedded: Vec<Vec<u8>>,
    pub(crate) received: Vec<Vec<u8>>,
    /// The port at which nothing arrives.
    pub(crate) muted_port: Option<u16>,
    /// Addresses without a route: no socket can be bound and no connection opened.
    pub(crate) unroutable: BTreeSet<IpAddr>,
    pub(crate) unsent: usize,
    /// Until when the host does nothing, and what has arrived meanwhile: its timers are late then,
    /// and come before what waits.
    pub(crate) stalled_until: Option<Instant>,
    waiting: Vec<(Path, Vec<u8>)>,
    pub(crate) wire: Wire,
    out: VecDeque<(Departure, Vec<u8>)>,
    connects: BTreeMap<StreamId, (ConnectId, Transport)>,
    readers: BTreeMap<StreamId, Reader>,
    /// The connections that are open.
    pub(crate) paths: BTreeMap<StreamId, Path>,
    next_stream: u64,
    pub(crate) sockets: usize,
    /// Addresses on which a socket or a connection was wanted, and those to which anything went.
    pub(crate) bound: BTreeSet<IpAddr>,
    pub(crate) destinations: BTreeSet<IpAddr>,
    pub(crate) listeners: usize,
    /// The most connections that were open at once.
    pub(crate) most_streams: usize,
}

impl AgentHost {
    fn new(agent: Agent, addresses: &[IpAddr], random: Random) -> Self {
        Self {
            agent,
            addresses: addresses.iter().map(|ip| LocalAddress::from(*ip)).collect(),
            names: BTreeMap::new(),
            next_port: 40_000,
            candidates: Vec::new(),
            disorder: Duration::ZERO,
            random,
            gathered: false,
            found: Vec::new(),
            states: Vec::new(),
            selected: Vec::new(),
            kept: None,
            writable_at: None,
            errors: Vec::new(),
            restarts_wanted: 0,
            embedded: Vec::new(),
            received: Vec::new(),
            muted_port: None,
            unroutable: BTreeSet::new(),
            unsent: 0,
            stalled_until: None,
            waiting: Vec::new(),
            wire: Wire::default(),
            out: VecDeque::new(),
            connects: BTreeMap::new(),
            readers: BTreeMap::new(),
            paths: BTreeMap::new(),
            next_stream: 0,
            sockets: 0,
            bound: BTreeSet::new(),
            destinations: BTreeSet::new(),
            listeners: 0,
            most_streams: 0,
        }
    }

    pub(crate) fn gather(&mut self, now: Instant) {
        let addresses = self.addresses.clone();
        self.agent.handle_network_change(now, &addresses);
        self.agent.gather(now);
        self.run(now);
    }

    pub(crate) fn parameters(&self) -> RemoteParameters {
        RemoteParameters {
            credentials: self.agent.local_credentials().clone(),
            lite: self.agent.is_lite(),
            trickle: true,
            renomination: true,
            pacing: None,
        }
    }

    /// Sends data the way the agent says.
    pub(crate) fn send(&mut self, now: Instant, data: &[u8]) {
        let mut buffer = vec![0; HEADROOM + data.len() + TAILROOM];
        buffer[HEADROOM..HEADROOM + data.len()].copy_from_slice(data);
        let range = HEADROOM..HEADROOM + data.len();
        match self.agent.prepare(now, &mut buffer, range, None) {
            Some(transmit) => self.depart(transmit.path, buffer[transmit.range].to_vec()),
            None => self.unsent += 1,
        }
    }

    fn depart(&mut self, path: Path, bytes: Vec<u8>) {
        self.destinations.insert(path.remote.ip());
        if path.transport == Transport::Udp {
            self.out.push_back((udp(path.local, path.remote), bytes));
        } else if let Some((id, _)) = self.paths.iter().find(|(_, one)| **one == path) {
            self.out.push_back((Departure::Stream(*id), bytes));
        }
    }

    /// Serves all requests of the agent.
    pub(crate) fn run(&mut self, now: Instant) {
        self.drain(now);
        let mut buffer = [0; 2000];
        while let Some(transmit) = self.agent.poll_transmit(now, &mut buffer) {
            self.wire.sent(now, &transmit.path, &buffer[transmit.range.clone()]);
            self.depart(transmit.path, buffer[transmit.range].to_vec());
        }
        self.drain(now);
    }

    fn drain(&mut self, now: Instant) {
        while let Some(request) = self.agent.poll_request() {
            self.serve(now, request);
        }
        while let Some(event) = self.agent.poll_event() {
            self.note(now, event);
        }
    }

    fn serve(&mut self, now: Instant, request: Request) {
        match request {
            Request::BindUdp { id, address } => {
                self.bound.insert(address);
                let is_there = self.addresses.iter().any(|one| one.address == address);
                let input = if is_there && !self.unroutable.contains(&address) {
                    self.next_port += 1;
                    self.sockets += 1;
                    Input::Bound { id, local: SocketAddr::new(address, self.next_port) }
                } else {
                    Input::BindFailed { id }
                };
                self.agent.handle_input(now, input);
            }
            Request::CloseUdp { .. } => self.sockets -= 1,
            Request::Listen { id, address, .. } => {
                self.bound.insert(address);
                let input = if self.addresses.iter().any(|one| one.address == address) {
                    self.next_port += 1;
                    self.listeners += 1;
                    let local = SocketAddr::new(address, self.next_port);
                    self.out.push_back((Departure::Listen(local), Vec::new()));
                    Input::Listening { id, local }
                } else {
                    Input::ListenFailed { id }
                };
                self.agent.handle_input(now, input);
            }
            Request::CloseListener { local } => {
                self.listeners -= 1;
                self.out.push_back((Departure::Unlisten(local), Vec::new()));
            }
            Request::Connect { id, local, remote, tls, framing } => {
                self.bound.insert(local.ip());
                if self.unroutable.contains(&local.ip()) {
                    return self.agent.handle_input(now, Input::ConnectFailed { id });
                }
                self.next_stream += 1;
                self.next_port += 1;
                let stream = StreamId(self.next_stream);
                let transport = if tls.is_some() { Transport::Tls } else { Transport::Tcp };
                self.connects.insert(stream, (id, transport));
                self.readers.insert(stream, Reader::new(framing));
                let any = SocketAddr::new(local.ip(), self.next_port);
                let local = if local.port() == 0 { any } else { local };
                self.out.push_back((Departure::Connect { stream, local, remote }, Vec::new()));
            }
            Request::CloseStream { path } => {
                let found = self.paths.iter().find(|(_, one)| **one == path).map(|(id, _)| *id);
                if let Some(id) = found {
                    self.paths.remove(&id);
                    self.readers.remove(&id);
                    self.out.push_back((Departure::Close(id), Vec::new()));
                }
            }
            Request::Resolve { id, host } | Request::ResolveMdns { id, host } => {
                let addresses = self.names.get(&*host).cloned().unwrap_or_default();
                self.agent.handle_input(now, Input::Resolved { id, addresses });
            }
            Request::PublishMdns { .. } => {}
        }
    }

    fn note(&mut self, now: Instant, event: Event) {
        match event {
            Event::LocalCandidate(candidate) => {
                self.found.push(candidate.clone());
                self.candidates.push((now + self.random.up_to(self.disorder), candidate));
            }
            Event::GatheringState(state) => self.gathered = state == GatheringState::Complete,
            Event::CandidateError(error) => self.errors.push(error),
            Event::State(state) => self.states.push(state),
            Event::Writable => self.writable_at = self.writable_at.or(Some(now)),
            Event::Selected(pair) => {
                self.wire.selected(&pair);
                self.selected.push(pair);
            }
            Event::RestartWanted => self.restarts_wanted += 1,
            Event::Embedded(bytes) => self.embedded.push(bytes.to_vec()),
            Event::RoleChanged(_) => {}
        }
    }
}

/// The software of a host.
pub(crate) enum Software {
    Agent(Box<AgentHost>),
    Turn(Box<TurnHost>),
}

impl Endpoint for Software {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        match self {
            Self::Agent(host) => {
                if host.muted_port == Some(datagram.local.port()) {
                    return;
                }
                let path = Path::udp(datagram.local, datagram.remote);
                if host.stalled_until.is_some() {
                    return host.waiting.push((path, datagram.payload.to_vec()));
                }
                host.receive(now, path, datagram.payload.to_vec());
            }
            Self::Turn(host) => host.handle_datagram(now, datagram),
        }
    }

    fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput<'_>) {
        match self {
            Self::Agent(host) => host.handle_stream(now, stream, input),
            Self::Turn(host) => host.handle_stream(now, stream, input),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Agent(host) => {
                if host.stalled_until.is_some_and(|until| now < until) {
                    return;
                }
                host.agent.handle_timeout(now);
                host.run(now);
                host.stalled_until = None;
                for (path, bytes) in std::mem::take(&mut host.waiting) {
                    host.receive(now, path, bytes);
                }
                let next = host.agent.poll_timeout();
                assert!(next.is_none_or(|at| at > now), "a timer in the past after its time was handled");
            }
            Self::Turn(host) => {
                host.server.handle_timeout(now);
                host.drain(now);
            }
        }
    }

    fn handle_network_change(&mut self, now: Instant, addresses: &[IpAddr]) {
        if let Self::Agent(host) = self {
            host.addresses = addresses.iter().map(|ip| LocalAddress::from(*ip)).collect();
            let addresses = host.addresses.clone();
            host.agent.handle_network_change(now, &addresses);
            host.run(now);
        }
    }

    fn poll_transmit(&mut self, _now: Instant, payload: &mut Vec<u8>) -> Option<Departure> {
        match self {
            Self::Agent(host) => {
                let (departure, bytes) = host.out.pop_front()?;
                payload.extend_from_slice(&bytes);
                Some(departure)
            }
            Self::Turn(host) => host.poll_transmit(payload),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Agent(host) => host.stalled_until.or_else(|| host.agent.poll_timeout()),
            Self::Turn(host) => host.server.poll_timeout(),
        }
    }
}

impl AgentHost {
    fn receive(&mut self, now: Instant, path: Path, mut bytes: Vec<u8>) {
        self.wire.received(&path, &bytes);
        if let Received::Data { range } = self.agent.handle_datagram(now, path, Ecn::NotEct, &mut bytes) {
            self.received.push(bytes[range].to_vec());
        }
        self.run(now);
    }

    fn handle_stream(&mut self, now: Instant, stream: StreamId, input: StreamInput<'_>) {
        match input {
            StreamInput::Connected { local, remote } => {
                let Some((id, transport)) = self.connects.remove(&stream) else { return };
                let path = Path::new(transport, local, remote);
                self.open(stream, path);
                self.agent.handle_input(now, Input::Connected { id, path });
            }
            StreamInput::Data(mut bytes) => {
                let (Some(path), Some(reader)) =
                    (self.paths.get(&stream).copied(), self.readers.get_mut(&stream))
                else {
                    return;
                };
                let mut frames = Vec::new();
                while !bytes.is_empty() {
                    let taken = reader.feed(bytes);
                    bytes = &bytes[taken..];
                    while let Ok(Some(frame)) = reader.next_frame() {
                        frames.push(frame.to_vec());
                    }
                }
                for mut frame in frames {
                    self.wire.received(&path, &frame);
                    if let Received::Data { range } =
                        self.agent.handle_datagram(now, path, Ecn::NotEct, &mut frame)
                    {
                        self.received.push(frame[range].to_vec());
                    }
                }
            }
            StreamInput::Clogged => {
                if let Some(path) = self.paths.get(&stream).copied() {
                    self.agent.handle_input(now, Input::Clogged { path });
                }
            }
            StreamInput::Drained => {
                if let Some(path) = self.paths.get(&stream).copied() {
                    self.agent.handle_input(now, Input::Drained { path });
                }
            }
            StreamInput::Closed => match (self.paths.remove(&stream), self.connects.remove(&stream)) {
                (Some(path), _) => {
                    self.readers.remove(&stream);
                    self.agent.handle_input(now, Input::Closed { path });
                }
                (None, Some((id, _))) => self.agent.handle_input(now, Input::ConnectFailed { id }),
                (None, None) => {}
            },
            StreamInput::Accepted { local, remote } => {
                let path = Path::new(Transport::Tcp, local, remote);
                self.readers.insert(stream, Reader::new(Framing::Rfc4571));
                self.open(stream, path);
                self.agent.handle_input(now, Input::Accepted { path });
            }
        }
        self.run(now);
    }

    /// Breaks all connections, for both ends.
    pub(crate) fn break_streams(&mut self, now: Instant) {
        for (stream, path) in std::mem::take(&mut self.paths) {
            self.readers.remove(&stream);
            self.out.push_back((Departure::Close(stream), Vec::new()));
            self.agent.handle_input(now, Input::Closed { path });
        }
    }

    fn open(&mut self, stream: StreamId, path: Path) {
        self.paths.insert(stream, path);
        self.most_streams = self.most_streams.max(self.paths.len());
    }
}

/// The whole laboratory.
pub(crate) struct Lab {
    pub(crate) network: Network<Software>,
    pub(crate) internet: ZoneId,
    pub(crate) peers: Vec<HostId>,
    pub(crate) interfaces: Vec<InterfaceId>,
    pub(crate) routers: Vec<RouterId>,
    pub(crate) server: Option<HostId>,
    /// The delay of the signaling.
    pub(crate) delay: Duration,
    /// The delay of descriptions, if it differs: candidates may arrive first.
    pub(crate) description_delay: Option<Duration>,
    /// The user name fragment of the last description that each peer was given.
    described: [Option<Arc<str>>; 2],
    random: Random,
}

pub(crate) const SERVER: &str = "5.0.0.1";

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The servers that a peer is told of.
pub(crate) fn servers(kind: ServerKind, transport: Transport, port: u16) -> IceServer {
    let credentials = TurnHost::credentials();
    IceServer {
        kind,
        host: Host::Ip(ip(SERVER)),
        port,
        transport,
        username: credentials.username.as_str().into(),
        credential: credentials.password.as_str().into(),
        url: format!("{kind:?}:{SERVER}:{port}?{transport:?}").into(),
    }
}

pub(crate) fn with_stun() -> Config {
    Config { servers: vec![servers(ServerKind::Stun, Transport::Udp, PORT)], ..Config::default() }
}

pub(crate) fn with_turn() -> Config {
    Config { servers: vec![servers(ServerKind::Turn, Transport::Udp, PORT)], ..Config::default() }
}

impl Lab {
    /// An internet with a STUN and TURN server in it.
    pub(crate) fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        network.keep_trace(200);
        let internet = network.add_zone();
        let now = network.now();
        let host = network.add_host(Software::Turn(Box::new(TurnHost::new(now, &[ip(SERVER)], seed))));
        network.attach(host, internet, ip(SERVER), Link::with_delay(Duration::from_millis(5)));
        network.listen(SocketAddr::new(ip(SERVER), 443));
        network.listen(SocketAddr::new(ip(SERVER), PORT));
        Self {
            network,
            internet,
            peers: Vec::new(),
            interfaces: Vec::new(),
            routers: Vec::new(),
            server: Some(host),
            delay: Duration::from_millis(20),
            description_delay: None,
            described: [None, None],
            random: Random::new(seed ^ 0xA5A5),
        }
    }

    /// Another STUN and TURN server in the internet.
    pub(crate) fn add_server(&mut self, address: &str) -> HostId {
        let now = self.network.now();
        let server = TurnHost::new(now, &[ip(address)], 1);
        let host = self.network.add_host(Software::Turn(Box::new(server)));
        self.network.attach(host, self.internet, ip(address), Link::with_delay(Duration::from_millis(5)));
        self.network.listen(SocketAddr::new(ip(address), PORT));
        host
    }

    pub(crate) fn with_server<T>(
        &mut self,
        host: HostId,
        act: impl FnOnce(&mut TurnHost, Instant) -> T,
    ) -> T {
        self.network.with(host, |software, now| match software {
            Software::Turn(host) => act(host, now),
            Software::Agent(_) => unreachable!("the server is no agent"),
        })
    }

    /// The same server with another configuration, before its first client.
    pub(crate) fn change_server(&mut self, change: impl FnOnce(&mut columba_turn::server::Config)) {
        let host = self.server.expect("a server");
        self.with_server(host, |host, now| host.change(now, change));
    }

    /// A peer in a zone.
    pub(crate) fn add_peer(&mut self, zone: ZoneId, address: &str, config: Config, link: Link) -> usize {
        let mut rng = ChaCha12Rng::from_seed(self.random.seed());
        let mut agent = Agent::new(config, &mut rng);
        let index = self.peers.len();
        agent.set_role(if index == 0 { Role::Controlling } else { Role::Controlled });
        let agent_host = AgentHost::new(agent, &[ip(address)], self.random.fork());
        let software = Software::Agent(Box::new(agent_host));
        let host = self.network.add_host(software);
        self.interfaces.push(self.network.attach(host, zone, ip(address), link));
        self.peers.push(host);
        index
    }

    /// Two peers with two networks in common, of which the first is preferred, and the round-trip
    /// time in both.
    pub(crate) fn two_lans(config: &Config, round_trip: Duration, seed: u64) -> Self {
        let mut lab = Self::one_lan([config.clone(), config.clone()], round_trip, seed);
        let other = lab.network.add_zone();
        for (index, address) in ["10.1.0.1", "10.1.0.2"].into_iter().enumerate() {
            let link = Link::with_delay(round_trip / 4);
            lab.network.attach(lab.peers[index], other, ip(address), link);
            lab.with(index, |host, _| host.addresses.push(ip(address).into()));
        }
        lab
    }

    /// Cuts the peers' first interfaces off, without a change of state.
    pub(crate) fn cut(&mut self, loss: f64) {
        for interface in self.interfaces.clone() {
            self.network.change_link(interface, |out, into| {
                out.loss = Loss::Random(loss);
                into.loss = Loss::Random(loss);
            });
        }
    }

    /// A zone behind a router.
    pub(crate) fn add_home(&mut self, router: Router) -> ZoneId {
        let zone = self.network.add_zone();
        self.routers.push(self.network.add_router(zone, self.internet, router));
        zone
    }

    /// A zone behind a router that is itself behind another one.
    pub(crate) fn add_inner_home(&mut self, outside: ZoneId, router: Router) -> ZoneId {
        let zone = self.network.add_zone();
        self.routers.push(self.network.add_router(zone, outside, router));
        zone
    }

    /// Two peers, each behind a router of its own, with the same inner address.
    pub(crate) fn two_homes(routers: [Router; 2], config: &Config, seed: u64) -> Self {
        let mut lab = Self::new(seed);
        for router in routers {
            let home = lab.add_home(router);
            lab.add_peer(home, "192.168.0.7", config.clone(), Link::with_delay(Duration::from_millis(10)));
        }
        lab
    }

    /// Two peers in one network without a router, and the round-trip time between them.
    pub(crate) fn one_lan(configs: [Config; 2], round_trip: Duration, seed: u64) -> Self {
        let mut lab = Self::new(seed);
        let lan = lab.network.add_zone();
        for (config, address) in configs.into_iter().zip(["10.0.0.1", "10.0.0.2"]) {
            lab.add_peer(lan, address, config, Link::with_delay(round_trip / 4));
        }
        lab
    }

    pub(crate) fn peer(&self, index: usize) -> &AgentHost {
        match self.network.host(self.peers[index]) {
            Software::Agent(host) => host,
            Software::Turn(_) => unreachable!("peers are agents"),
        }
    }

    pub(crate) fn turn(&self) -> &TurnHost {
        self.server_at(self.server.expect("a server"))
    }

    pub(crate) fn server_at(&self, host: HostId) -> &TurnHost {
        match self.network.host(host) {
            Software::Turn(host) => host,
            Software::Agent(_) => unreachable!("the server is no agent"),
        }
    }

    pub(crate) fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut AgentHost, Instant) -> T) -> T {
        self.network.with(self.peers[index], |software, now| match software {
            Software::Agent(host) => {
                let answer = act(host, now);
                host.run(now);
                answer
            }
            Software::Turn(_) => unreachable!("peers are agents"),
        })
    }

    /// Both gather, and know the other's description after the signaling's delay.
    pub(crate) fn start(&mut self) {
        self.start_from(ALICE);
    }

    /// The same, with this one making the offer.
    pub(crate) fn start_from(&mut self, offerer: usize) {
        let answerer = 1 - offerer;
        self.with(offerer, |host, now| host.gather(now));
        self.run_for(self.description_delay.unwrap_or(self.delay));
        self.signal_description(offerer, answerer);
        self.with(answerer, |host, now| host.gather(now));
        self.run_for(self.description_delay.unwrap_or(self.delay));
        self.signal_description(answerer, offerer);
    }

    /// Carries one side's description over at once.
    pub(crate) fn signal_description(&mut self, from: usize, to: usize) {
        let parameters = self.peer(from).parameters();
        self.described[to] = Some(parameters.credentials.ufrag.clone());
        self.with(to, |host, now| host.agent.set_remote(now, parameters));
    }

    /// Carries candidates whose time has come.
    fn signal(&mut self) {
        let now = self.network.now();
        for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
            let delay = self.delay;
            let due = |(at, _): &(Instant, Candidate)| *at + delay <= now;
            while let Some(index) = self.peer(from).candidates.iter().position(due) {
                let (_, candidate) = self.with(from, |host, _| host.candidates.remove(index));
                self.with(to, |host, now| host.agent.add_remote_candidate(now, candidate));
            }
            let host = self.peer(from);
            // The end belongs to the description that was signalled last, and comes behind it.
            let is_described = self.described[to].as_ref() == Some(&host.agent.local_credentials().ufrag);
            if host.gathered && host.candidates.is_empty() && is_described {
                self.with(from, |host, _| host.gathered = false);
                self.with(to, |host, now| host.agent.end_of_remote_candidates(now));
            }
        }
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.network.now() + duration;
        while self.network.now() < end {
            let slice = (self.network.now() + Duration::from_millis(5)).min(end);
            self.network.run_until(slice);
            self.signal();
        }
    }

    /// Runs until it holds; whether it does within the limit.
    pub(crate) fn run_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        let end = self.network.now() + limit;
        while !done(self) {
            if self.network.now() >= end {
                return false;
            }
            self.run_for(Duration::from_millis(5));
        }
        true
    }

    pub(crate) fn both(&self, test: impl Fn(&AgentHost) -> bool) -> bool {
        (0..self.peers.len()).all(|index| test(self.peer(index)))
    }

    pub(crate) fn connected(&self) -> bool {
        self.both(|host| matches!(host.agent.state(), State::Connected | State::Completed))
    }

    /// Connected, with the same pair nominated on both sides.
    pub(crate) fn settled(&self) -> bool {
        self.connected() && self.both(|host| host.agent.stats().pairs.iter().any(|pair| pair.nominated))
    }

    /// The kinds of the local candidates of both ends.
    pub(crate) fn kinds(&self) -> [Option<CandidateKind>; 2] {
        [ALICE, BOB].map(|index| self.peer(index).selected.last().map(|pair| pair.local.kind))
    }

    /// Returns whether data gets from each to the other.
    pub(crate) fn exchanges_data(&mut self) -> bool {
        for index in [ALICE, BOB] {
            self.with(index, |host, _| host.received.clear());
        }
        for _ in 0..20 {
            for index in [ALICE, BOB] {
                self.with(index, |host, now| host.send(now, b"\x80coo"));
            }
            self.run_for(Duration::from_millis(50));
        }
        self.both(|host| host.received.iter().any(|data| data == b"\x80coo"))
    }
}
