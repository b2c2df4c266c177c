//! Two associations on a simulated path.
#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod flows;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use columba_netsim::{Datagram, Departure, Ecn, Endpoint, HostId, InterfaceId, Link, Network};
use columba_sctp::{Association, Config, Event, Unlimited};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// A host with one association.
pub(crate) struct Host {
    pub(crate) association: Association,
    local: SocketAddr,
    remote: SocketAddr,
    pub(crate) events: Vec<Event>,
    /// Called after each input, to read.
    pub(crate) on_input: fn(&mut Self, Instant),
    pub(crate) received_bytes: u64,
    pub(crate) sends: bool,
    /// Bytes of room for a packet.
    pub(crate) buffer: usize,
    pub(crate) paused: bool,
    /// The bytes that a sender that keeps its queue full queues.
    pub(crate) queue_limit: usize,
    pub(crate) messages: Vec<columba_sctp::ReceivedMessage>,
    /// True if `on_input` is called.
    pub(crate) reads: bool,
    /// The packets that have been sent, where a test asks for them.
    pub(crate) tap: Option<Vec<(Instant, Vec<u8>)>>,
}

impl Host {
    pub(crate) fn new(
        association: Association,
        local: SocketAddr,
        remote: SocketAddr,
        on_input: fn(&mut Self, Instant),
    ) -> Self {
        Self {
            association,
            local,
            remote,
            events: Vec::new(),
            on_input,
            received_bytes: 0,
            sends: false,
            buffer: 10_000,
            paused: false,
            queue_limit: 4 << 20,
            messages: Vec::new(),
            reads: true,
            tap: None,
        }
    }

    fn after_input(&mut self, now: Instant) {
        while let Some(event) = self.association.poll_event() {
            self.events.push(event);
        }
        if self.reads {
            (self.on_input)(self, now);
        }
    }
}

impl Endpoint for Host {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        let ecn = match datagram.ecn {
            Ecn::Ce => columba_sctp::Ecn::CongestionExperienced,
            _ => columba_sctp::Ecn::NotMarked,
        };
        self.association.handle_input(now, datagram.payload, ecn);
        self.after_input(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.association.handle_timeout(now);
        self.after_input(now);
    }

    fn poll_transmit(&mut self, now: Instant, payload: &mut Vec<u8>) -> Option<Departure> {
        payload.resize(self.buffer, 0);
        let length = self.association.poll_transmit(now, &mut Unlimited, payload)?;
        payload.truncate(length);
        assert!(has_control_first(payload), "RFC 9260 §6.10: {:?}", kinds(payload).collect::<Vec<_>>());
        if let Some(tap) = &mut self.tap {
            tap.push((now, payload.clone()));
        }
        let ecn = if self.association.is_ecn_capable() { Ecn::Ect0 } else { Ecn::NotEct };
        Some(Departure::Udp { local: self.local, remote: self.remote, ecn, segment_size: None })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.association.poll_timeout()
    }
}

/// A network with two hosts.
pub(crate) struct Pair {
    pub(crate) network: Network<Host>,
    pub(crate) hosts: [HostId; 2],
    pub(crate) interfaces: [InterfaceId; 2],
}

impl Pair {
    /// Each direction of the path is `link`, of which both ends have one half: loss and delay count
    /// once on the way.
    pub(crate) fn new(seed: u64, config: &Config, link: &Link, on_input: fn(&mut Host, Instant)) -> Self {
        let mut network = Network::new(seed);
        let zone = network.add_zone();
        let addresses: [SocketAddr; 2] =
            ["192.0.2.1:5000", "192.0.2.2:5000"].map(|text| text.parse().unwrap());
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let now = network.now();
        let hosts = [(0, 1), (1, 0)].map(|(local, remote)| {
            let association = Association::new(config.clone(), now, &mut rng);
            network.add_host(Host::new(association, addresses[local], addresses[remote], on_input))
        });
        let interfaces =
            [0, 1].map(|host| network.attach(hosts[host], zone, addresses[host].ip(), Link::default()));
        for interface in interfaces {
            // Only the way up is impaired, so that each direction is impaired once.
            network.change_link(interface, |up, _down| *up = link.clone());
        }
        Self { network, hosts, interfaces }
    }

    pub(crate) fn change_links(&mut self, change: impl Fn(&mut Link)) {
        for interface in self.interfaces {
            self.network.change_link(interface, |up, _down| change(up));
        }
    }

    pub(crate) fn with<T>(&mut self, host: usize, act: impl FnOnce(&mut Host, Instant) -> T) -> T {
        self.network.with(self.hosts[host], act)
    }

    pub(crate) fn host(&self, host: usize) -> &Host {
        self.network.host(self.hosts[host])
    }

    pub(crate) fn connect(&mut self) {
        self.with(0, |host, now| host.association.connect(now));
        self.with(1, |host, now| host.association.connect(now));
    }

    /// One end loses its memory, and begins anew.
    pub(crate) fn restart(&mut self, end: usize, config: &Config, seed: u64) {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        self.with(end, |host, now| {
            host.association = Association::new(config.clone(), now, &mut rng);
            host.association.connect(now);
        });
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.network.run_for(duration);
    }
}

/// A DATA or I-DATA chunk as it was on the wire.
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) tsn: u32,
    /// Of which message it is a part: stream, whether unordered, number.
    pub(crate) message: (u16, bool, u32),
    pub(crate) begin: bool,
    pub(crate) payload: Vec<u8>,
}

/// The chunks of a packet, with their headers.
fn all_chunks(packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = &packet[12..];
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]));
        let chunk = &rest[..length];
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        Some(chunk)
    })
}

fn kinds(packet: &[u8]) -> impl Iterator<Item = u8> {
    all_chunks(packet).map(|chunk| chunk[0])
}

/// Returns whether no control chunk stands behind user data.
fn has_control_first(packet: &[u8]) -> bool {
    kinds(packet).is_sorted_by_key(|kind| DATA_KINDS.contains(&kind))
}

/// DATA and I-DATA.
const DATA_KINDS: [u8; 2] = [0, 64];

/// The chunks of some kinds in a packet: kind, flags and value.
pub(crate) fn chunks(packet: &[u8], kinds: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
    let wanted = all_chunks(packet).filter(|chunk| kinds.contains(&chunk[0]));
    wanted.map(|chunk| (chunk[0], chunk[1], chunk[4..].to_vec())).collect()
}

/// The user data that was sent.
pub(crate) fn data(tap: &[(Instant, Vec<u8>)]) -> Vec<Sent> {
    let word = |bytes: &[u8], at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    tap.iter()
        .flat_map(|(at, packet)| chunks(packet, &DATA_KINDS).into_iter().map(move |chunk| (*at, chunk)))
        .map(|(at, (kind, flags, value))| {
            let stream = u16::from_be_bytes([value[4], value[5]]);
            let interleaved = kind == 64;
            let number = if interleaved { word(&value, 8) } else { word(&value, 4) & 0xffff };
            Sent {
                at,
                tsn: word(&value, 0),
                message: (stream, flags & 4 != 0, number),
                begin: flags & 2 != 0,
                payload: value[if interleaved { 16 } else { 12 }..].to_vec(),
            }
        })
        .collect()
}
