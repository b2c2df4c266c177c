//! An agent under attack: a script of inputs, in any order.
//!
//! Each step is a byte that chooses what happens, and bytes that say how. Datagrams come as they
//! are, or as checks whose integrity holds, so that what lies behind it is reached, too.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_ice::{
    AddressPolicy, Agent, Candidate, CandidateAddress, CandidateKind, CandidateTransport, Config,
    Credentials, Ecn, HEADROOM, Host, IceServer, Input, LocalAddress, PairState, Path, RemoteParameters,
    Request, Role, ServerKind, TAILROOM, TcpMode, TcpType, Transport, TransportPolicy,
};
use columba_stun::attributes::{
    AlternateServer, Data, IceControlled, IceControlling, Lifetime, MobilityTicket, Nonce, Priority, Realm,
    UseCandidate, Username, XorMappedAddress, XorPeerAddress, XorRelayedAddress,
};
use columba_stun::{
    AttributeType, BuildError, Class, ErrorCode, IntegrityKey, Message, MessageBuilder, Method, TransactionId,
};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

/// Steps of a script; more only take longer.
const MAX_STEPS: usize = 300;

const REMOTE_PWD: &str = "a password that the fuzzer knows";

/// The credentials at the servers.
const USER: &str = "ada";
const SECRET: &str = "secret";
const REALM: &str = "here";

/// Where all servers are.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 9], 3478);

struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (first, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        first
    }

    fn address(&mut self) -> SocketAddr {
        let byte = self.byte().unwrap_or(0);
        let ip: IpAddr = match byte % 4 {
            0 => [198, 51, 100, byte].into(),
            1 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(byte)].into(),
            2 => [192, 0, 2, 9].into(),
            _ => [127, 0, 0, 1].into(),
        };
        SocketAddr::new(ip, 1000 + u16::from(byte / 16))
    }
}

struct World {
    agent: Agent,
    now: Instant,
    sockets: Vec<SocketAddr>,
    streams: Vec<Path>,
    listeners: Vec<SocketAddr>,
    requests: Vec<Request>,
    /// The latest requests of the agent, to be answered.
    asked: Vec<(Path, Vec<u8>)>,
    port: u16,
}

/// Runs one script. Returns how many pairs were valid in the end.
pub(crate) fn agent(data: &[u8]) -> usize {
    let mut script = Script(data);
    let Some(mode) = script.byte() else { return 0 };
    let now = start();
    let mut agent = Agent::new(config(mode), &mut ChaCha12Rng::seed_from_u64(u64::from(mode)));
    agent.set_role(if mode & 4 == 0 { Role::Controlling } else { Role::Controlled });
    let mut world = World {
        agent,
        now,
        sockets: vec![],
        streams: vec![],
        listeners: vec![],
        requests: vec![],
        asked: vec![],
        port: 5000,
    };
    for _ in 0..MAX_STEPS {
        let Some(step) = script.byte() else { break };
        world.step(step, &mut script);
        world.drain();
    }
    let pairs = world.agent.stats().pairs;
    let valid = pairs.iter().filter(|pair| pair.state == PairState::Succeeded).count();
    world.agent.close(world.now);
    world.drain();
    for _ in 0..100 {
        let Some(at) = world.agent.poll_timeout() else { return valid };
        world.now = world.now.max(at);
        world.agent.handle_timeout(world.now);
        world.drain();
    }
    panic!("a closed agent goes on and on");
}

fn config(mode: u8) -> Config {
    let server = |kind, transport| IceServer {
        kind,
        host: Host::Ip(SERVER.0.into()),
        port: SERVER.1,
        transport,
        username: USER.into(),
        credential: SECRET.into(),
        url: "turn:test".into(),
    };
    Config {
        lite: mode & 1 != 0,
        tcp: if mode & 8 == 0 { TcpMode::ActivePassive } else { TcpMode::SimultaneousOpen },
        servers: vec![
            server(ServerKind::Stun, Transport::Udp),
            server(ServerKind::Turn, Transport::Udp),
            server(ServerKind::Turn, Transport::Tcp),
        ],
        candidate_pool: mode & 8 != 0,
        address_policy: if mode & 48 == 48 { AddressPolicy::RelayOnly } else { AddressPolicy::All },
        ..Config::default()
    }
}

/// One for later: what `mode` does not say is different, too, and servers and kinds of candidates
/// go.
fn later_config(mode: u8, more: u8) -> Config {
    let policies = [
        AddressPolicy::All,
        AddressPolicy::DefaultRoute,
        AddressPolicy::DefaultRouteHidden,
        AddressPolicy::RelayOnly,
    ];
    let before = config(mode);
    Config {
        tcp: if more & 1 == 0 { before.tcp } else { TcpMode::Off },
        udp: more & 2 == 0,
        policy: if more & 4 == 0 { TransportPolicy::All } else { TransportPolicy::Relay },
        address_policy: policies[usize::from(more >> 3 & 3)],
        servers: before.servers.into_iter().skip(usize::from(more >> 5 & 3)).collect(),
        renomination: more & 128 == 0,
        ..before
    }
}

#[allow(clippy::disallowed_methods, reason = "an Instant can be had no other way; its value does not matter")]
fn start() -> Instant {
    Instant::now()
}

impl World {
    fn step(&mut self, step: u8, script: &mut Script<'_>) {
        let now = self.now;
        match step % 22 {
            0 => self.agent.gather(now),
            1 => {
                let count = usize::from(script.byte().unwrap_or(0) % 4);
                let addresses: Vec<_> = (0..count).map(|_| script.address().ip().into()).collect();
                self.agent.handle_network_change(now, &addresses);
            }
            2 => self.serve(script),
            3 => self.agent.set_remote(now, parameters(script.byte().unwrap_or(0))),
            4 => {
                let candidate = candidate(script);
                self.agent.add_remote_candidate(now, candidate);
            }
            5 => self.agent.end_of_remote_candidates(now),
            6 => {
                let length = usize::from(script.byte().unwrap_or(0));
                let bytes = script.take(length).to_vec();
                self.deliver(script, bytes);
            }
            7 => {
                let bytes = self.check(script);
                self.deliver(script, bytes);
            }
            8 => self.answer(script),
            9 | 10 => self.wait(script.byte().unwrap_or(0)),
            11 => self.agent.restart(now, None),
            12 => {
                let mut buffer = [0; HEADROOM + 100 + TAILROOM];
                let _ = self.agent.prepare(now, &mut buffer, HEADROOM..HEADROOM + 100, None);
            }
            13 => {
                let choice = usize::from(script.byte().unwrap_or(0));
                if let Some(local) = self.listeners.get(choice % self.listeners.len().max(1)) {
                    let path = Path::new(Transport::Tcp, *local, script.address());
                    self.streams.push(path);
                    self.agent.handle_input(now, Input::Accepted { path });
                }
            }
            14 => {
                if let Some(path) = self.streams.pop() {
                    self.agent.handle_input(now, Input::Closed { path });
                }
            }
            15 => {
                let path = self.stream(script);
                self.agent.handle_input(now, Input::Clogged { path });
            }
            16 => {
                let path = self.stream(script);
                self.agent.handle_input(now, Input::Drained { path });
            }
            17 => {
                let choice = script.byte().unwrap_or(0);
                let config = later_config(script.byte().unwrap_or(0), script.byte().unwrap_or(0));
                match choice % 3 {
                    0 => self.agent.set_config(now, config),
                    1 => self.agent.roll_back(now),
                    _ => self.agent.restart(now, Some(config)),
                }
            }
            18 => {
                let count = usize::from(script.byte().unwrap_or(0) % 4);
                let addresses: Vec<_> = (0..count).map(|_| local_address(script)).collect();
                self.agent.handle_network_change(now, &addresses);
            }
            19 => self.relay(script),
            20 => {
                let length = usize::from(script.byte().unwrap_or(0)) * 5;
                self.agent.set_embedded(self.now, (length > 0).then(|| vec![7; length].into()));
            }
            _ => {
                let role = script.byte().unwrap_or(0);
                self.agent.set_role(if role & 1 == 0 { Role::Controlling } else { Role::Controlled });
            }
        }
    }

    /// A connection that is open; or one that never was.
    fn stream(&self, script: &mut Script<'_>) -> Path {
        let choice = usize::from(script.byte().unwrap_or(0));
        match self.streams.get(choice % self.streams.len().max(1)) {
            Some(path) if choice < 200 => *path,
            _ => Path::new(Transport::Tcp, script.address(), script.address()),
        }
    }

    /// A peer's check, or anything else, arrives through a relay.
    fn relay(&mut self, script: &mut Script<'_>) {
        let (choice, peer) = (script.byte().unwrap_or(0), script.address());
        let payload = if choice & 1 == 0 { self.check(script) } else { vec![choice; 30] };
        let Ok(mut message) = relayed(peer, &payload) else { return };
        let is_to_server = |path: &&Path| path.remote == SocketAddr::from(SERVER);
        let choice = usize::from(choice / 2);
        let streams: Vec<Path> = self.streams.iter().filter(is_to_server).copied().collect();
        let path = match streams.get(choice % 4) {
            Some(path) => *path,
            None if self.sockets.is_empty() => return,
            None => Path::udp(self.sockets[choice % self.sockets.len()], SERVER.into()),
        };
        let _ = self.agent.handle_datagram(self.now, path, Ecn::NotEct, &mut message);
    }

    fn serve(&mut self, script: &mut Script<'_>) {
        let choice = script.byte().unwrap_or(0);
        let Some(request) = self.requests.pop() else { return };
        let refused = choice.is_multiple_of(8);
        self.port += 1;
        let input = match request {
            Request::BindUdp { id, .. } if refused => Input::BindFailed { id },
            Request::BindUdp { id, address } => {
                let local = SocketAddr::new(address, self.port);
                self.sockets.push(local);
                Input::Bound { id, local }
            }
            Request::Connect { id, .. } if refused => Input::ConnectFailed { id },
            Request::Connect { id, local, remote, .. } => {
                let port = if local.port() == 0 { self.port } else { local.port() };
                let path = Path::new(Transport::Tcp, SocketAddr::new(local.ip(), port), remote);
                self.streams.push(path);
                Input::Connected { id, path }
            }
            Request::Listen { id, .. } if refused => Input::ListenFailed { id },
            Request::Listen { id, address, .. } => {
                let local = SocketAddr::new(address, self.port);
                self.listeners.push(local);
                Input::Listening { id, local }
            }
            Request::Resolve { id, .. } | Request::ResolveMdns { id, .. } => {
                let addresses = if refused { vec![] } else { vec![script.address().ip()] };
                Input::Resolved { id, addresses }
            }
            _ => return,
        };
        self.agent.handle_input(self.now, input);
    }

    fn deliver(&mut self, script: &mut Script<'_>, mut bytes: Vec<u8>) {
        let choice = usize::from(script.byte().unwrap_or(0));
        let path = if choice.is_multiple_of(5) && !self.streams.is_empty() {
            self.streams[choice % self.streams.len()]
        } else if !self.sockets.is_empty() {
            Path::udp(self.sockets[choice % self.sockets.len()], script.address())
        } else {
            return;
        };
        let _ = self.agent.handle_datagram(self.now, path, Ecn::NotEct, &mut bytes);
    }

    /// A check whose integrity holds.
    fn check(&self, script: &mut Script<'_>) -> Vec<u8> {
        let (choice, number) = (script.byte().unwrap_or(0), script.byte().unwrap_or(0));
        let credentials = self.agent.local_credentials();
        let username = format!("{}:them{}", credentials.ufrag, number % 3);
        let mut buffer = [0; 400];
        let id = TransactionId([number; 12]);
        let Ok(mut builder) = MessageBuilder::new(&mut buffer, Class::Request, Method::BINDING, id) else {
            return Vec::new();
        };
        let mut push = || -> Result<(), BuildError> {
            builder.push(&Username(&username))?;
            if choice & 1 == 0 {
                builder.push(&Priority(u32::from(number) << 20))?;
            }
            if choice & 2 == 0 {
                builder.push(&IceControlling(u64::from(number) << 56))?;
            } else {
                builder.push(&IceControlled(u64::from(number) << 56))?;
            }
            if choice & 4 != 0 {
                builder.push(&UseCandidate)?;
            }
            if choice & 8 != 0 {
                builder.push_raw(AttributeType::new(0xC001), script.take(usize::from(number % 6)))?;
            }
            if choice & 16 != 0 {
                builder.push_raw(columba_ice::EMBEDDED, b"embedded")?;
            }
            builder.integrity(&IntegrityKey::short_term(&credentials.pwd))?.fingerprint()?;
            Ok(())
        };
        let _ = push();
        builder.as_bytes().to_vec()
    }

    /// An answer to something that the agent asked, signed as the other side would, or a server.
    fn answer(&mut self, script: &mut Script<'_>) {
        let choice = script.byte().unwrap_or(0);
        let mapped = script.address();
        let Some((path, bytes)) = self.asked.pop() else { return };
        // Between peers, a length stands in front of it.
        let framed = || Message::parse(bytes.get(2..).unwrap_or_default());
        let Ok(message) = Message::parse(&bytes).or_else(|_| framed()) else { return };
        let answer = match (message.class(), message.get(), message.get()) {
            (Class::Request, ..) => match message.method() {
                Method::BINDING => answer_check(&message, choice, mapped),
                _ => answer_as_server(&message, choice, mapped),
            },
            // It went to a peer through a relay, and so does the answer.
            (_, Ok(Some(Data(inner))), Ok(Some(XorPeerAddress(peer)))) => {
                let Ok(request) = Message::parse(inner) else { return };
                answer_check(&request, choice, mapped).and_then(|answer| relayed(peer, &answer))
            }
            _ => return,
        };
        if let Ok(mut answer) = answer {
            let _ = self.agent.handle_datagram(self.now, path, Ecn::NotEct, &mut answer);
        }
    }

    fn wait(&mut self, length: u8) {
        let end = self.now + Duration::from_millis(10) * u32::from(length) * u32::from(length) / 16;
        for _ in 0..200 {
            let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.agent.handle_timeout(self.now);
            self.drain();
            let next = self.agent.poll_timeout();
            assert!(
                next.is_none_or(|next| next > self.now),
                "a timer in the past after its time was handled"
            );
        }
        self.now = self.now.max(end);
    }

    fn drain(&mut self) {
        while self.agent.poll_event().is_some() {}
        while let Some(request) = self.agent.poll_request() {
            match request {
                Request::CloseUdp { local } => self.sockets.retain(|one| *one != local),
                Request::CloseListener { local } => self.listeners.retain(|one| *one != local),
                Request::CloseStream { path } => self.streams.retain(|one| *one != path),
                Request::BindUdp { .. }
                | Request::Connect { .. }
                | Request::Listen { .. }
                | Request::Resolve { .. }
                | Request::ResolveMdns { .. }
                    if self.requests.len() < 50 =>
                {
                    self.requests.push(request);
                }
                _ => {}
            }
        }
        let mut buffer = [0; 2000];
        for sent in 0.. {
            let Some(transmit) = self.agent.poll_transmit(self.now, &mut buffer) else { break };
            assert!(sent < 2000, "no end of sending");
            if self.asked.len() < 50 {
                self.asked.push((transmit.path, buffer[transmit.range].to_vec()));
            }
        }
        let stats = self.agent.stats();
        assert!(stats.pairs.len() <= 100 && stats.remote_candidates.len() <= 100);
        assert!(stats.local_candidates.len() <= 2000);
    }
}

/// The Data indication in which a TURN server relays a peer's datagram.
fn relayed(peer: SocketAddr, payload: &[u8]) -> Result<Vec<u8>, BuildError> {
    let mut buffer = [0; 600];
    let id = TransactionId([1; 12]);
    let mut builder = MessageBuilder::new(&mut buffer, Class::Indication, Method::DATA, id)?;
    builder.push(&XorPeerAddress(peer))?.push(&Data(payload))?;
    Ok(builder.as_bytes().to_vec())
}

fn answer_check(request: &Message<'_>, choice: u8, mapped: SocketAddr) -> Result<Vec<u8>, BuildError> {
    let mut buffer = [0; 400];
    let code = ErrorCode::new(if choice & 2 == 0 { 487 } else { 300 + u16::from(choice) });
    let mut builder = match code.filter(|_| choice & 1 == 0) {
        Some(code) => MessageBuilder::error(&mut buffer, request, code)?,
        None => MessageBuilder::success(&mut buffer, request)?,
    };
    builder.push(&XorMappedAddress(mapped))?;
    if request.has_integrity() {
        builder.integrity(&IntegrityKey::short_term(REMOTE_PWD))?;
    }
    builder.fingerprint()?;
    Ok(builder.as_bytes().to_vec())
}

/// The answers of a TURN server, legal and illegal ones.
fn answer_as_server(request: &Message<'_>, choice: u8, address: SocketAddr) -> Result<Vec<u8>, BuildError> {
    const CODES: [ErrorCode; 8] = [
        ErrorCode::UNAUTHENTICATED,
        ErrorCode::STALE_NONCE,
        ErrorCode::TRY_ALTERNATE,
        ErrorCode::ALLOCATION_MISMATCH,
        ErrorCode::FORBIDDEN,
        ErrorCode::MOBILITY_FORBIDDEN,
        ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
        ErrorCode::ALLOCATION_QUOTA_REACHED,
    ];
    let mut buffer = [0; 400];
    let code = CODES[usize::from(choice >> 2 & 7)];
    let challenge = !request.has_integrity() && choice & 128 == 0;
    let mut builder = match choice & 1 {
        _ if challenge => MessageBuilder::error(&mut buffer, request, ErrorCode::UNAUTHENTICATED)?,
        0 => MessageBuilder::error(&mut buffer, request, code)?,
        _ => MessageBuilder::success(&mut buffer, request)?,
    };
    if challenge || choice & 1 == 0 {
        let nonce = format!("nonce {}", choice >> 5);
        builder.push(&Realm(REALM.as_bytes()))?.push(&Nonce(nonce.as_bytes()))?;
        if code == ErrorCode::TRY_ALTERNATE {
            builder.push(&AlternateServer(address))?;
        }
    } else {
        builder.push(&XorMappedAddress(address))?.push(&Lifetime(u32::from(choice) * 5))?;
        let relayed = SocketAddr::new(SERVER.0.into(), 49_152 + u16::from(choice >> 4));
        builder.push(&XorRelayedAddress(if choice & 2 == 0 { relayed } else { address }))?;
        if choice & 4 != 0 {
            builder.push(&MobilityTicket(&[choice; 8]))?;
        }
    }
    if request.has_integrity()
        && choice & 64 == 0
        && let Ok(key) = IntegrityKey::long_term_md5(USER, REALM, SECRET)
    {
        builder.integrity(&key)?;
    }
    builder.fingerprint()?;
    Ok(builder.as_bytes().to_vec())
}

fn local_address(script: &mut Script<'_>) -> LocalAddress {
    let choice = script.byte().unwrap_or(0);
    LocalAddress {
        temporary: choice & 1 != 0,
        default_route: choice & 2 == 0,
        network_cost: u16::from(choice >> 2 & 3) * 300,
        network: u32::from(choice >> 4 & 3),
        ..script.address().ip().into()
    }
}

fn parameters(choice: u8) -> RemoteParameters {
    RemoteParameters {
        credentials: Credentials { ufrag: format!("them{}", choice % 3).into(), pwd: REMOTE_PWD.into() },
        lite: choice & 64 != 0,
        trickle: true,
        renomination: choice & 32 != 0,
        pacing: (choice & 128 != 0).then_some(Duration::from_millis(u64::from(choice))),
    }
}

fn candidate(script: &mut Script<'_>) -> Candidate {
    let choice = script.byte().unwrap_or(0);
    let address = script.address();
    Candidate {
        foundation: (choice % 5).to_string().into(),
        transport: if choice.is_multiple_of(7) {
            CandidateTransport::Tcp(TcpType::Passive)
        } else {
            CandidateTransport::Udp
        },
        priority: u32::from(choice) << 23,
        address: if choice.is_multiple_of(11) {
            CandidateAddress::Name("host.local".into())
        } else {
            CandidateAddress::Ip(address.ip())
        },
        port: address.port(),
        kind: CandidateKind::Host,
        related: None,
        ufrag: (choice & 64 != 0).then(|| format!("them{}", choice % 3).into()),
        network_cost: None,
        url: None,
    }
}
