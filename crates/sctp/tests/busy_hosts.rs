//! Hosts whose processes share their cores with others: a process runs a while after it was woken,
//! handles what has arrived meanwhile, and sleeps again. The way between them is immediate.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use columba_netsim::{Datagram, Departure, Ecn, Endpoint, HostId, InterfaceId, Link, Loss, Network, Random};
use columba_sctp::{Association, Config, Message, Ppid, StreamId, Unlimited};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// The wait of a process before it runs.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// The share of wake-ups that are served at once.
    prompt: f64,
    /// The mean wait of the others.
    mean: Duration,
    /// Packets that are received, and packets that are sent, in one turn at most.
    turn: usize,
}

/// Bytes of the largest packet.
const PACKET: usize = 1164;
/// Bytes that a socket holds.
const SOCKET: usize = 400_000;

struct Process {
    association: Option<Association>,
    local: SocketAddr,
    remote: SocketAddr,
    /// Datagrams that have arrived and wait.
    socket: VecDeque<(SocketAddr, Vec<u8>)>,
    waiting: usize,
    /// Datagrams that a relay passes on.
    out: VecDeque<(SocketAddr, Vec<u8>)>,
    ends: [SocketAddr; 2],
    load: Load,
    random: Random,
    wakes: Option<Instant>,
    left: usize,
    sends: bool,
    received: u64,
}

impl Process {
    fn wake(&mut self, now: Instant) {
        if self.wakes.is_none() {
            let wait = if self.random.chance(self.load.prompt) {
                Duration::from_micros(30)
            } else {
                self.load.mean.mul_f64(-(1.0 - self.random.unit()).ln())
            };
            self.wakes = Some(now + wait);
        }
    }

    fn run(&mut self, now: Instant) {
        self.left = self.load.turn;
        for _ in 0..self.load.turn {
            let Some((from, packet)) = self.socket.pop_front() else { break };
            self.waiting -= packet.len();
            match &mut self.association {
                Some(association) => association.handle_input(now, &packet, columba_sctp::Ecn::NotMarked),
                None => {
                    let to = self.ends[usize::from(from == self.ends[0])];
                    self.out.push_back((to, packet));
                }
            }
        }
        if let Some(association) = &mut self.association {
            association.handle_timeout(now);
            while association.poll_event().is_some() {}
            while let Some(message) = association.receive(StreamId(0)) {
                self.received += message.payload.len() as u64;
            }
            if self.sends && association.is_established() {
                while association.total_buffered_amount() < 1 << 20 {
                    let message = Message::new(Ppid(53), Bytes::from_static(&[7; 64 * 1024]));
                    association.send(now, StreamId(0), message).expect("there is room");
                }
            }
        }
        if !self.socket.is_empty() {
            self.wake(now);
        }
    }
}

impl Endpoint for Process {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        if self.waiting + datagram.payload.len() > SOCKET {
            return;
        }
        self.waiting += datagram.payload.len();
        self.socket.push_back((datagram.remote, datagram.payload.to_vec()));
        self.wake(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.wakes.is_some_and(|at| at <= now) {
            self.wakes = None;
            self.run(now);
        } else {
            self.wake(now);
        }
    }

    fn poll_transmit(&mut self, now: Instant, payload: &mut Vec<u8>) -> Option<Departure> {
        let local = self.local;
        let udp = |remote| Some(Departure::Udp { local, remote, ecn: Ecn::NotEct, segment_size: None });
        let Some(association) = &mut self.association else {
            let (to, packet) = self.out.pop_front()?;
            payload.extend_from_slice(&packet);
            return udp(to);
        };
        if self.left == 0 {
            return None;
        }
        payload.resize(10_000, 0);
        let Some(length) = association.poll_transmit(now, &mut Unlimited, payload) else {
            self.left = 0;
            return None;
        };
        payload.truncate(length);
        self.left -= 1;
        if self.left == 0 {
            self.wake(now);
        }
        udp(self.remote)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.wakes.or_else(|| self.association.as_ref()?.poll_timeout())
    }
}

struct World {
    network: Network<Process>,
    hosts: Vec<HostId>,
    interfaces: Vec<InterfaceId>,
}

const ENDS: usize = 2;

impl World {
    /// Two ends and a relay between them.
    fn new(seed: u64, load: Load) -> Self {
        let mut network = Network::new(seed);
        let zone = network.add_zone();
        let addresses: [SocketAddr; 3] =
            ["192.0.2.1:5000", "192.0.2.2:5000", "192.0.2.3:5000"].map(|text| text.parse().unwrap());
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let now = network.now();
        let config = Config { mtu: PACKET, max_mtu: PACKET, ..Config::default() };
        let (mut hosts, mut interfaces) = (Vec::new(), Vec::new());
        for index in 0..3 {
            let association = (index < ENDS).then(|| Association::new(config.clone(), now, &mut rng));
            let random = network.random().fork();
            let host = network.add_host(Process {
                association,
                local: addresses[index],
                remote: addresses[2],
                socket: VecDeque::new(),
                waiting: 0,
                out: VecDeque::new(),
                ends: [addresses[0], addresses[1]],
                load,
                random,
                wakes: None,
                left: 0,
                sends: index < ENDS,
                received: 0,
            });
            hosts.push(host);
            interfaces.push(network.attach(
                host,
                zone,
                addresses[index].ip(),
                Link::with_delay(Duration::from_micros(10)),
            ));
        }
        for host in &hosts[..ENDS] {
            network.with(*host, |host, now| {
                host.association.as_mut().expect("an end").connect(now);
                host.wake(now);
            });
        }
        Self { network, hosts, interfaces }
    }

    /// Impairs the way of the first end.
    fn cut(&mut self, loss: Loss) {
        self.network.change_link(self.interfaces[0], |out, into| (out.loss, into.loss) = (loss, loss));
    }

    /// Lets time pass. Returns the kB/s that arrived at each end.
    fn run(&mut self, seconds: f64) -> [f64; 2] {
        let before = [0, 1].map(|end| self.network.host(self.hosts[end]).received);
        self.network.run_for(Duration::from_secs_f64(seconds));
        [0, 1].map(|end| (self.network.host(self.hosts[end]).received - before[end]) as f64 / seconds / 1e3)
    }
}

/// Each direction's kB/s over a relay, in ten seconds after the first end was cut off for six and
/// has another path then, as a peer that moves to another network does.
fn after_moving(load: Load, seed: u64) -> [f64; 2] {
    let mut world = World::new(seed, load);
    world.run(3.0);
    world.cut(Loss::All);
    world.run(6.0);
    world.cut(Loss::None);
    let moved = world.hosts[0];
    world.network.with(moved, |host, now| {
        host.association.as_mut().expect("an end").handle_path_change(now, PACKET, PACKET);
        host.wake(now);
    });
    world.run(3.0);
    world.run(10.0)
}

/// A sender that puts out a fixed burst each time that it runs is as slow as its process is late,
/// and believes ever after that the path is.
#[test]
fn late_processes_fill_the_path_after_a_move() {
    let ms = Duration::from_millis;
    for (prompt, mean, turn, least) in
        [(0.0, ms(5), 300, 8000.0), (0.1, ms(20), 300, 3500.0), (0.5, ms(60), 50, 700.0)]
    {
        let load = Load { prompt, mean, turn };
        for seed in 0..2 {
            let each = after_moving(load, seed);
            let sum = each[0] + each[1];
            assert!(sum > least, "{load:?}, seed {seed}: {each:.0?} kB/s");
            assert!(each.iter().all(|one| *one > sum / 20.0), "{load:?}, seed {seed}: {each:.0?} kB/s");
        }
    }
}
