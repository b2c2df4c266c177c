//! Two associations over a simulated path, in virtual time.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use columba_dtls::{Association, Certificate, Config, Event, Fingerprint, HashFunction, KeyAlgorithm, Role};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub(crate) const WALL: Duration = Duration::from_secs(1_790_000_000);
pub(crate) const EXPIRES: Duration = Duration::from_secs(1_792_592_000);

/// The delay of the path.
const DELAY: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// The certificates of one kind: the client's and the server's. RSA keys take long to make.
pub(crate) fn certificates(algorithm: KeyAlgorithm) -> &'static [Certificate; 2] {
    static ALL: [OnceLock<[Certificate; 2]>; 6] = [const { OnceLock::new() }; 6];
    ALL[algorithm as usize].get_or_init(|| {
        [1, 2].map(|seed| {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            Certificate::generate(algorithm, &mut rng, WALL, EXPIRES).unwrap()
        })
    })
}

pub(crate) fn fingerprints(certificate: &Certificate) -> Vec<Fingerprint> {
    vec![certificate.fingerprint(HashFunction::Sha256)]
}

/// The configurations of client and server, with P-256.
pub(crate) fn configs() -> [Config; 2] {
    certificates(KeyAlgorithm::EcdsaP256).clone().map(|certificate| {
        let mut config = Config::new(certificate);
        config.first_timeout = Duration::from_millis(200);
        config
    })
}

/// The faults of a path.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// In percent.
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    /// Datagrams that are delayed by up to five times the path's delay.
    pub(crate) reordering: u32,
}

/// A datagram on its way.
struct Flying {
    at: Instant,
    to: usize,
    bytes: Vec<u8>,
}

/// A change of a datagram on its way: from which side, and the datagram.
type Mangle<'a> = Box<dyn FnMut(usize, &mut Vec<u8>) -> bool + 'a>;

/// Client and server and the path between them.
pub(crate) struct Pair<'a> {
    pub(crate) sides: [Association; 2],
    pub(crate) events: [Vec<Event>; 2],
    pub(crate) packets: [Vec<Vec<u8>>; 2],
    pub(crate) now: Instant,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) faults: Faults,
    pub(crate) largest: usize,
    pub(crate) sent: [usize; 2],
    /// Returns false for a datagram that is lost.
    pub(crate) mangle: Option<Mangle<'a>>,
    flying: Vec<Flying>,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(configs: [Config; 2], seed: u64) -> Self {
        let [client, server] = configs;
        let (of_client, of_server) = (fingerprints(&client.certificate), fingerprints(&server.certificate));
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let now = start();
        let client = Association::new(Role::Client, Arc::new(client), of_server, now, &mut rng);
        let server = Association::new(Role::Server, Arc::new(server), of_client, now, &mut rng);
        Self::of([client, server], now, rng)
    }

    pub(crate) fn of(sides: [Association; 2], now: Instant, rng: ChaCha20Rng) -> Self {
        Self {
            sides,
            events: [Vec::new(), Vec::new()],
            packets: [Vec::new(), Vec::new()],
            now,
            rng,
            faults: Faults::default(),
            largest: 0,
            sent: [0, 0],
            mangle: None,
            flying: Vec::new(),
        }
    }

    fn percent(&mut self, share: u32) -> bool {
        self.rng.next_u32() % 100 < share
    }

    fn transmit(&mut self, from: usize, bytes: Vec<u8>) {
        self.largest = self.largest.max(bytes.len());
        self.sent[from] += bytes.len();
        if self.percent(self.faults.loss) {
            return;
        }
        let copies = 1 + usize::from(self.percent(self.faults.duplication));
        for _ in 0..copies {
            let mut delay = DELAY;
            if self.percent(self.faults.reordering) {
                delay += DELAY * (self.rng.next_u32() % 5);
            }
            let mut bytes = bytes.clone();
            if let Some(mangle) = &mut self.mangle
                && !mangle(from, &mut bytes)
            {
                continue;
            }
            self.flying.push(Flying { at: self.now + delay, to: 1 - from, bytes });
        }
    }

    /// Puts a datagram on the path.
    pub(crate) fn inject(&mut self, to: usize, bytes: &[u8]) {
        self.flying.push(Flying { at: self.now, to, bytes: bytes.to_vec() });
    }

    pub(crate) fn pump(&mut self) {
        let mut buf = [0; 4096];
        for from in 0..2 {
            while let Some(length) = self.sides[from].poll_transmit(self.now, &mut buf) {
                self.transmit(from, buf[..length].to_vec());
            }
            while let Some(event) = self.sides[from].poll_event() {
                self.events[from].push(event);
            }
        }
    }

    /// Lets the next thing happen. Returns false if there is none before `end`.
    pub(crate) fn step(&mut self, end: Instant) -> bool {
        self.pump();
        let arrival = self.flying.iter().map(|flying| flying.at).min();
        let timeout = self.sides.iter().filter_map(Association::poll_timeout).min();
        let Some(at) = [arrival, timeout].into_iter().flatten().min().filter(|at| *at <= end) else {
            return false;
        };
        self.now = self.now.max(at);
        let due = |flying: &mut Flying| flying.at <= at;
        for mut flying in self.flying.extract_if(.., due).collect::<Vec<_>>() {
            let side = &mut self.sides[flying.to];
            side.handle_input(self.now, &mut flying.bytes);
            while let Some(packet) = side.read(&flying.bytes) {
                self.packets[flying.to].push(packet.to_vec());
            }
        }
        for side in &mut self.sides {
            side.handle_timeout(self.now);
        }
        self.pump();
        true
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
        self.now = self.now.max(end);
    }

    /// Runs until both sides are connected. Returns whether they are.
    pub(crate) fn connect(&mut self, time: Duration) -> bool {
        let end = self.now + time;
        while !self.are_connected() && self.step(end) {}
        self.are_connected()
    }

    pub(crate) fn are_connected(&self) -> bool {
        self.events.iter().all(|events| events.contains(&Event::Connected))
    }

    pub(crate) fn send(&mut self, from: usize, packet: &[u8]) {
        let datagram = seal(&mut self.sides[from], packet);
        self.transmit(from, datagram);
    }

    /// Checks that packets pass both ways.
    pub(crate) fn assert_open(&mut self) {
        let faults = std::mem::take(&mut self.faults);
        for from in 0..2 {
            self.send(from, &[from as u8; 100]);
        }
        self.run(Duration::from_millis(500));
        self.faults = faults;
        for to in 0..2 {
            assert_eq!(self.packets[to].last(), Some(&vec![1 - to as u8; 100]), "to {to}");
        }
    }
}

/// Makes a datagram of a packet.
pub(crate) fn seal(side: &mut Association, packet: &[u8]) -> Vec<u8> {
    let (front, back) = side.overhead();
    let mut buf = vec![0; front + packet.len() + back];
    buf[front..front + packet.len()].copy_from_slice(packet);
    let record = side.seal(&mut buf, front..front + packet.len()).expect("the association is connected");
    buf[record].to_vec()
}
