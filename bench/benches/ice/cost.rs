//! The cost of an agent: two of them wire to wire, without a network between.

use std::net::SocketAddr;
use std::time::{Duration, Instant, UNIX_EPOCH};

use columba_ice::{
    Agent, Candidate, CandidateAddress, CandidateKind, CandidateTransport, Config, Ecn, Event, Input, Path,
    Received, RemoteParameters, Request, Role, State,
};
use rand_chacha::{ChaCha12Rng, rand_core::SeedableRng};

/// The processor's time that this thread has had, so that what else runs on the machine does not
/// count; where the system does not tell, the time that has passed.
pub(crate) fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|field| field.parse().ok());
    nanoseconds.map_or_else(|| UNIX_EPOCH.elapsed().unwrap_or_default(), Duration::from_nanos)
}

/// Two agents on two addresses, between which datagrams take no time.
struct Wire {
    agents: [Agent; 2],
    now: Instant,
    sent: u64,
}

fn address(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + index as u8], 5000))
}

impl Wire {
    fn new(seed: u64, start: Instant) -> Self {
        let agents = [0, 1].map(|index| {
            let mut rng = ChaCha12Rng::seed_from_u64(2 * seed + index as u64);
            let mut agent = Agent::new(Config::default(), &mut rng);
            agent.set_role(if index == 0 { Role::Controlling } else { Role::Controlled });
            agent.handle_network_change(start, &[address(index).ip().into()]);
            agent.gather(start);
            agent
        });
        Self { agents, now: start, sent: 0 }
    }

    /// Lets each know the other, and carries until nothing more is to be said.
    fn connect(&mut self) {
        for index in 0..2 {
            let parameters = RemoteParameters {
                credentials: self.agents[1 - index].local_credentials().clone(),
                lite: false,
                trickle: true,
                renomination: true,
                pacing: None,
            };
            self.agents[index].set_remote(self.now, parameters);
        }
        self.carry();
        for index in 0..2 {
            self.agents[index].end_of_remote_candidates(self.now);
        }
        self.run_for(Duration::from_secs(1));
    }

    /// Does what events ask for, and carries datagrams, until there is nothing.
    fn carry(&mut self) {
        loop {
            let mut idle = true;
            for index in 0..2 {
                while let Some(request) = self.agents[index].poll_request() {
                    idle = false;
                    let input = match request {
                        Request::BindUdp { id, .. } => Input::Bound { id, local: address(index) },
                        Request::Listen { id, .. } => Input::ListenFailed { id },
                        _ => continue,
                    };
                    self.agents[index].handle_input(self.now, input);
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
                    self.sent += 1;
                    let path = Path::udp(transmit.path.remote, transmit.path.local);
                    if path.local == address(1 - index) {
                        let bytes = &mut buffer[transmit.range];
                        let received =
                            self.agents[1 - index].handle_datagram(self.now, path, Ecn::NotEct, bytes);
                        assert_eq!(received, Received::Consumed);
                    }
                }
            }
            if idle {
                return;
            }
        }
    }

    fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(at) = self.agents.iter().filter_map(Agent::poll_timeout).min().filter(|at| *at <= end)
        {
            self.now = self.now.max(at);
            for agent in &mut self.agents {
                if agent.poll_timeout().is_some_and(|at| at <= self.now) {
                    agent.handle_timeout(self.now);
                }
            }
            self.carry();
        }
        self.now = end;
    }

    fn is_connected(&self) -> bool {
        self.agents.iter().all(|agent| matches!(agent.state(), State::Connected | State::Completed))
    }
}

/// A candidate at which nothing answers.
fn stranger(number: u8) -> Candidate {
    Candidate {
        foundation: number.to_string().into(),
        transport: CandidateTransport::Udp,
        priority: 1_000_000 + u32::from(number),
        address: CandidateAddress::Ip([198, 51, 100, number].into()),
        port: 1024,
        kind: CandidateKind::Host,
        related: None,
        ufrag: None,
        network_cost: None,
        url: None,
    }
}

/// Checks to addresses that do not answer, with 90 pairs, repetitions included.
pub(crate) fn checks() {
    let (rounds, mut sent, start) = (20, 0, Instant::now());
    let begun = busy();
    for seed in 0..rounds {
        let mut wire = Wire::new(seed, start);
        wire.carry();
        for number in 0..90 {
            wire.agents[0].add_remote_candidate(wire.now, stranger(number));
        }
        let credentials = wire.agents[1].local_credentials().clone();
        let parameters =
            RemoteParameters { credentials, lite: false, trickle: true, renomination: true, pacing: None };
        wire.agents[0].set_remote(wire.now, parameters);
        wire.run_for(Duration::from_secs(60));
        sent += wire.sent;
    }
    let took = busy() - begun;
    println!(
        "a check that is not answered: {:.2} µs of the processor's, of an agent with 90 pairs ({} messages until all have failed)",
        took.as_secs_f64() * 1e6 / sent as f64,
        sent / rounds
    );
    let wires: Vec<Wire> = (0..2000).map(|seed| Wire::new(seed, start)).collect();
    let begun = busy();
    let mut sent = 0;
    for mut wire in wires {
        wire.connect();
        assert!(wire.is_connected());
        sent += wire.sent;
    }
    let took = (busy() - begun).as_secs_f64();
    println!(
        "two agents that connect at once: {:.1} µs in all, {:.1} messages, {:.2} µs for one, both its sender and its receiver",
        took * 1e6 / 2000.0,
        sent as f64 / 2000.0,
        took * 1e6 / sent as f64
    );
}

/// Consent: a request and its answer, both ends.
pub(crate) fn consent() {
    let mut wire = Wire::new(1, Instant::now());
    wire.connect();
    let before = wire.sent;
    let begun = busy();
    wire.run_for(Duration::from_secs(100_000));
    let took = busy() - begun;
    let exchanges = (wire.sent - before) / 2;
    assert!(wire.is_connected());
    println!(
        "a consent round (a request and its answer, at both ends): {:.2} µs",
        took.as_secs_f64() * 1e6 / exchanges as f64
    );
}

/// Ten thousand agents that have nothing to do but to keep consent.
pub(crate) fn idle() {
    let pairs = 5000;
    let before = resident();
    let start = Instant::now();
    let mut wires: Vec<Wire> = (0..pairs)
        .map(|seed| {
            let mut wire = Wire::new(seed, start);
            wire.connect();
            wire
        })
        .collect();
    let memory = resident().saturating_sub(before);
    let begun = busy();
    for wire in &mut wires {
        wire.run_for(Duration::from_secs(60));
    }
    let took = busy() - begun;
    assert!(wires.iter().all(Wire::is_connected));
    println!(
        "{} idle agents in one process: {:.1} kB of memory each, {:.0} ms of the processor's for all of them in a minute",
        2 * pairs,
        memory as f64 / 1000.0 / (2 * pairs) as f64,
        took.as_secs_f64() * 1e3
    );
}

/// The process's resident memory in bytes; zero where there is no `/proc`.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    pages * 4096
}
