//! Memory: a packet of data costs no allocation, and an idle agent holds little.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use allocation_counter::measure;
use columba_ice::framing::{Framing, Reader};
use columba_ice::{
    Agent, Config, Ecn, Event, HEADROOM, Input, Path, Received, RemoteParameters, Request, Role, State,
    TAILROOM, Transport,
};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

const LISTENER: u16 = 5001;
const OPENER: u16 = 5002;

/// Bytes that an idle agent may hold, itself included.
const IDLE_AGENT: i64 = 7_000;

#[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
fn now() -> Instant {
    Instant::now()
}

/// Two agents, and what lies between them.
struct Pair {
    now: Instant,
    agents: [Agent; 2],
    readers: [Reader; 2],
}

fn address(index: usize, port: u16) -> SocketAddr {
    SocketAddr::new(["192.0.2.1", "192.0.2.2"][index].parse().expect("an address"), port)
}

/// The path as the other end sees it.
fn reverse(path: &Path) -> Path {
    Path::new(path.transport, path.remote, path.local)
}

impl Pair {
    fn new(config: &Config) -> Self {
        let (now, mut rng) = (now(), ChaCha12Rng::seed_from_u64(1));
        let agents = [(); 2].map(|()| Agent::new(config.clone(), &mut rng));
        let readers = [(); 2].map(|()| Reader::new(Framing::Rfc4571));
        let mut pair = Self { now, agents, readers };
        pair.agents[1].set_role(Role::Controlled);
        for index in 0..2 {
            let credentials = pair.agents[1 - index].local_credentials().clone();
            let agent = &mut pair.agents[index];
            agent.handle_network_change(now, &[address(index, 0).ip().into()]);
            agent.gather(now);
            let remote = RemoteParameters {
                credentials,
                lite: false,
                trickle: true,
                renomination: true,
                pacing: None,
            };
            agent.set_remote(now, remote);
        }
        let is_connected = |agent: &Agent| agent.state() == State::Connected;
        pair.run_for(Duration::from_secs(3));
        assert!(pair.agents.iter().all(is_connected));
        pair
    }

    fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.carry();
            self.now += Duration::from_millis(10);
            let now = self.now;
            self.agents.iter_mut().for_each(|agent| agent.handle_timeout(now));
        }
    }

    /// Does what the agents ask for until they ask for nothing.
    fn carry(&mut self) {
        let mut idle = false;
        while !std::mem::replace(&mut idle, true) {
            for index in 0..2 {
                while let Some(request) = self.agents[index].poll_request() {
                    idle = false;
                    self.serve(index, request);
                }
                while let Some(event) = self.agents[index].poll_event() {
                    idle = false;
                    if let Event::LocalCandidate(candidate) = event {
                        self.agents[1 - index].add_remote_candidate(self.now, candidate);
                    }
                }
                let mut buffer = [0; 2000];
                while let Some(transmit) = self.agents[index].poll_transmit(self.now, &mut buffer) {
                    idle = false;
                    self.deliver(index, &transmit.path, &mut buffer[transmit.range]);
                }
            }
        }
    }

    fn serve(&mut self, index: usize, request: Request) {
        let now = self.now;
        let agent = &mut self.agents[index];
        match request {
            Request::BindUdp { id, .. } => {
                agent.handle_input(now, Input::Bound { id, local: address(index, 5000) })
            }
            // One listener is enough, and one connection.
            Request::Listen { id, .. } if index == 0 => agent.handle_input(now, Input::ListenFailed { id }),
            Request::Listen { id, .. } => {
                agent.handle_input(now, Input::Listening { id, local: address(index, LISTENER) });
            }
            Request::Connect { id, remote, .. } => {
                let path = Path::new(Transport::Tcp, address(index, OPENER), remote);
                self.agents[1 - index].handle_input(now, Input::Accepted { path: reverse(&path) });
                self.agents[index].handle_input(now, Input::Connected { id, path });
            }
            _ => {}
        }
    }

    /// Hands over what one has sent; how many bytes of data it was.
    fn deliver(&mut self, from: usize, path: &Path, bytes: &mut [u8]) -> usize {
        let (to, now) = (1 - from, self.now);
        let mut receive = |bytes: &mut [u8]| match self.agents[to].handle_datagram(
            now,
            reverse(path),
            Ecn::NotEct,
            bytes,
        ) {
            Received::Data { range } => range.len(),
            Received::Consumed => 0,
        };
        if path.transport == Transport::Udp {
            return receive(bytes);
        }
        let (mut rest, mut data) = (&*bytes, 0);
        while !rest.is_empty() {
            rest = &rest[self.readers[to].feed(rest)..];
            while let Some(frame) = self.readers[to].next_frame().expect("every length is right") {
                data += receive(frame);
            }
        }
        data
    }

    /// A thousand packets each way.
    fn talk(&mut self, buffer: &mut [u8]) -> usize {
        let mut heard = 0;
        for _ in 0..1000 {
            for index in 0..2 {
                let range = HEADROOM..buffer.len() - TAILROOM;
                buffer[range.start] = 0x80;
                let transmit = self.agents[index].prepare(self.now, buffer, range, None).expect("a path");
                heard += self.deliver(index, &transmit.path, &mut buffer[transmit.range]);
            }
            self.now += Duration::from_micros(100);
        }
        heard
    }
}

#[test]
fn packets_are_sent_and_received_without_allocation() {
    for udp in [true, false] {
        let mut pair = Pair::new(&Config { udp, ..Config::default() });
        let mut buffer = vec![0; HEADROOM + 1200 + TAILROOM];
        assert_eq!(pair.talk(&mut buffer), 2000 * 1200);
        let mut heard = 0;
        let cost = measure(|| heard = pair.talk(&mut buffer));
        assert_eq!((heard, cost.count_total), (2000 * 1200, 0), "udp: {udp}");
        assert!(pair.agents.iter().all(|agent| {
            agent
                .stats()
                .pairs
                .iter()
                .any(|one| one.path.is_some_and(|path| (path.transport == Transport::Udp) == udp))
        }));
    }
}

/// With one address, one pair, and consent kept for a minute.
#[test]
fn idle_agent_holds_little_memory() {
    let mut pair = None;
    let heap = measure(|| {
        let pair = pair.insert(Pair::new(&Config::default()));
        pair.run_for(Duration::from_secs(60));
    });
    let held = heap.bytes_current / 2 + size_of::<Agent>() as i64;
    assert!(held < IDLE_AGENT, "{held} bytes, {} of them inline", size_of::<Agent>());
}
