//! Transports in pairs, in memory: several of one side at once, budgets, keys.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_ice::{Config, Ecn, Input, Path, RemoteParameters, Request, Role};
use columba_sctp::{Budget, Unlimited};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use super::dtls::{DtlsRole, DtlsTransportConfig};
use super::transmit::Source;
use super::{
    DatagramSizes, Protocol, Transport, TransportConfig, TransportEvent, TransportId, packet_size,
    protocol_of,
};
use crate::certificate::Certificate;
use crate::configuration::{Configuration, DtlsVersions, MediaConfidentiality, PostQuantum};
use crate::data::{Data, DataChannelInit, Message};
use crate::time::UnixTime;

const STEP: Duration = Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "the origin of virtual time; nothing depends on its value")]
fn start() -> Instant {
    Instant::now()
}

/// One host with its transports; the index of a transport is its identifier.
struct Host {
    transports: Vec<Transport>,
    data: Option<Data>,
    budget: Box<dyn Budget + Send>,
    certificate: Certificate,
    address: IpAddr,
    next_port: u16,
    /// The transport of each socket.
    sockets: BTreeMap<SocketAddr, TransportId>,
    requests: Vec<(TransportId, Request)>,
    candidates: Vec<(usize, columba_ice::Candidate)>,
    connected: Vec<TransportId>,
}

impl Host {
    fn new(count: u32, number: u8, budget: Option<Box<dyn Budget + Send>>) -> Self {
        let mut rng = ChaCha12Rng::from_seed([number; 32]);
        let wall = UnixTime(Duration::from_secs(1_790_000_000));
        let certificate = Certificate::generate(&mut rng, wall).unwrap();
        let transports = (0..count).map(|id| {
            let config = TransportConfig {
                ice: Config::default(),
                embedding: true,
                dtls: DtlsTransportConfig {
                    certificate: certificate.clone(),
                    versions: DtlsVersions::Auto,
                    key_log: None,
                    post_quantum: PostQuantum::default(),
                    media_confidentiality: MediaConfidentiality::default(),
                    datagram_size: 1200,
                    seed: [100 + number + id as u8; 32],
                },
                sizes: DatagramSizes { safe: 1200, probed: 1200 },
            };
            Transport::new(TransportId(id), config, &mut rng)
        });
        Self {
            transports: transports.collect(),
            data: None,
            budget: budget.unwrap_or_else(|| Box::new(Unlimited)),
            certificate,
            address: IpAddr::from([10, 0, 0, number]),
            next_port: 4000,
            sockets: BTreeMap::new(),
            requests: Vec::new(),
            candidates: Vec::new(),
            connected: Vec::new(),
        }
    }

    fn take_outputs(&mut self, now: Instant) {
        for (index, transport) in self.transports.iter_mut().enumerate() {
            while let Some(request) = transport.poll_request() {
                self.requests.push((transport.id(), request.clone()));
                if let Request::BindUdp { id, address } = request {
                    self.next_port += 1;
                    let local = SocketAddr::new(address, self.next_port);
                    self.sockets.insert(local, transport.id());
                    transport.handle_input(now, Input::Bound { id, local });
                }
            }
            while let Some(event) = transport.poll_event(now) {
                match event {
                    TransportEvent::LocalCandidate(candidate) => self.candidates.push((index, candidate)),
                    TransportEvent::DtlsConnected => self.connected.push(transport.id()),
                    TransportEvent::Failed(error) => panic!("{error}"),
                    _ => {}
                }
            }
        }
    }

    fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &mut [u8]) {
        let id = self.sockets[&path.local];
        let transport = self.transports.iter_mut().find(|transport| transport.id() == id).unwrap();
        let data = self.data.as_mut().filter(|_| id == TransportId(0));
        transport.handle_datagram(now, path, Ecn::NotEct, datagram, data);
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<columba_ice::Transmit> {
        for transport in &mut self.transports {
            let data = self.data.as_mut().filter(|_| transport.id() == TransportId(0));
            let data = data.map(|data| Source { data, budget: &mut *self.budget });
            if let Some(transmit) = transport.poll_transmit(now, data, buf) {
                return Some(transmit);
            }
        }
        None
    }
}

/// Two hosts, of which each transport is connected to the one with the same number.
struct World {
    now: Instant,
    hosts: [Host; 2],
}

impl World {
    fn new(count: u32, now: Instant, budget: Option<Box<dyn Budget + Send>>) -> Self {
        let mut hosts = [Host::new(count, 1, budget), Host::new(count, 2, None)];
        for index in 0..2 {
            let fingerprint = hosts[1 - index].certificate.fingerprint();
            for number in 0..count as usize {
                let credentials = hosts[1 - index].transports[number].credentials().clone();
                let address = hosts[index].address;
                let transport = &mut hosts[index].transports[number];
                let (ice, dtls) = match index {
                    0 => (Role::Controlling, DtlsRole::Server),
                    _ => (Role::Controlled, DtlsRole::Client),
                };
                transport.set_ice_role(ice);
                transport.handle_network_change(now, &[address.into()]);
                transport.gather(now);
                let remote = RemoteParameters {
                    credentials,
                    lite: false,
                    trickle: true,
                    renomination: true,
                    pacing: None,
                };
                transport.agent().set_remote(now, remote);
                transport.set_dtls(now, dtls, vec![fingerprint.clone()]);
            }
        }
        Self { now, hosts }
    }

    fn exchange(&mut self) {
        for from in 0..2 {
            self.hosts[from].take_outputs(self.now);
            for (index, candidate) in std::mem::take(&mut self.hosts[from].candidates) {
                self.hosts[1 - from].transports[index].agent().add_remote_candidate(self.now, candidate);
            }
            let mut buf = vec![0; 65_536];
            while let Some(transmit) = self.hosts[from].poll_transmit(self.now, &mut buf) {
                let path = Path::udp(transmit.path.remote, transmit.path.local);
                let size = transmit.segment_size.unwrap_or_else(|| transmit.range.len()).max(1);
                for datagram in buf[transmit.range].chunks_mut(size) {
                    self.hosts[1 - from].handle_datagram(self.now, path, datagram);
                }
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.exchange();
            self.now += STEP;
            for host in &mut self.hosts {
                host.transports.iter_mut().for_each(|transport| transport.handle_timeout(self.now));
                if let Some(data) = &mut host.data {
                    data.handle_timeout(self.now);
                }
            }
        }
        self.exchange();
    }
}

#[test]
fn transports_with_equal_request_ids_are_told_apart() {
    let mut world = World::new(2, start(), None);
    world.run(Duration::from_secs(2));
    for host in &world.hosts {
        let binds = |id: u32| {
            let of = host.requests.iter().filter(move |(transport, _)| *transport == TransportId(id));
            let binds = of.filter_map(|(_, request)| match request {
                Request::BindUdp { id, .. } => Some(*id),
                _ => None,
            });
            binds.collect::<Vec<_>>()
        };
        assert!(!binds(0).is_empty());
        assert_eq!(binds(0), binds(1), "each agent numbers for itself");
        let mut connected = host.connected.clone();
        connected.sort();
        assert_eq!(connected, [TransportId(0), TransportId(1)]);
        let ports = |id: u32| {
            let stats = host.transports[id as usize].stats().ice;
            let selected = stats.pairs.iter().find(|pair| Some(pair.id) == stats.transport.selected_pair);
            selected.and_then(|pair| pair.path).map(|path| (path.local, path.remote)).unwrap()
        };
        assert!(ports(0).0 != ports(1).0 && ports(0).1 != ports(1).1, "{:?} {:?}", ports(0), ports(1));
    }
}

#[test]
fn both_sides_export_the_same_srtp_keys() {
    let mut world = World::new(1, start(), None);
    world.run(Duration::from_secs(2));
    let [one, other] = &world.hosts;
    let keys = |host: &Host| {
        let keys = host.transports[0].srtp.as_ref().unwrap();
        let bytes = |key: &super::dtls::MasterKey| (key.key.to_vec(), key.salt.to_vec());
        (keys.profile(), bytes(&keys.local), bytes(&keys.remote))
    };
    let ((profile, local, remote), theirs) = (keys(one), keys(other));
    assert_eq!(theirs, (profile, remote.clone(), local.clone()));
    assert_ne!(local, remote);
    assert_eq!(one.transports[0].stats().srtp_profile, Some(profile));
}

/// Lets nothing out before a time, and then a few packets at a time.
#[derive(Debug)]
struct Gate {
    opens: Instant,
    left: usize,
}

impl Budget for Gate {
    fn available(&mut self, now: Instant) -> usize {
        if now < self.opens { 0 } else { self.left }
    }

    fn consumed(&mut self, now: Instant, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 {
            (self.opens, self.left) = (now + Duration::from_millis(50), 3000);
        }
    }

    fn next_opening(&self, now: Instant) -> Option<Instant> {
        (now < self.opens).then_some(self.opens)
    }
}

#[test]
fn budget_of_the_path_holds_data_back_until_it_opens() {
    let now = start();
    let opens = now + Duration::from_secs(10);
    let mut world = World::new(1, now, Some(Box::new(Gate { opens, left: 3000 })));
    let mut channels = Vec::new();
    for (index, host) in world.hosts.iter_mut().enumerate() {
        let mut rng = ChaCha12Rng::from_seed([7 + index as u8; 32]);
        let configuration = Configuration::default().data;
        let mut data = Data::new(&configuration, packet_size(1200), world.now, &mut rng);
        data.set_transport(TransportId(0));
        let init = DataChannelInit { negotiated: Some(1), ..DataChannelInit::default() };
        channels.push(data.create(world.now, "budget", init).unwrap());
        host.data = Some(data);
    }
    world.run(Duration::from_secs(1));
    for (host, role) in world.hosts.iter_mut().zip([DtlsRole::Server, DtlsRole::Client]) {
        assert_eq!(host.transports[0].connected_role(), Some(role));
        host.data.as_mut().unwrap().begin(world.now, role, usize::MAX);
    }
    world.run(Duration::from_secs(1));
    let now = world.now;
    let message = Message::from(vec![7; 20_000]);
    world.hosts[0].data.as_mut().unwrap().send(now, channels[0], message.clone()).unwrap();
    world.exchange();
    let sender = world.hosts[0].data.as_mut().unwrap();
    assert_eq!(sender.buffered_amount(channels[0]), 20_000, "nothing goes before the budget opens");
    // The opening is among the deadlines; others, of heartbeats, may come before.
    let mut deadlines = Vec::new();
    while deadlines.last().is_none_or(|at| *at < opens) {
        let sender = world.hosts[0].data.as_mut().unwrap();
        let at = sender.poll_timeout().unwrap();
        deadlines.push(at);
        if at < opens {
            world.now = world.now.max(at);
            world.run(STEP);
        }
    }
    assert_eq!(deadlines.last(), Some(&opens));
    world.now = opens;
    world.run(Duration::from_secs(1));
    let now = world.now;
    assert_eq!(world.hosts[1].data.as_mut().unwrap().receive(now, channels[1]), Some(message));
}

#[test]
fn first_byte_names_the_protocol() {
    for (range, protocol) in [
        (0..=19, Protocol::Unknown),
        (20..=63, Protocol::Dtls),
        (64..=127, Protocol::Unknown),
        (128..=191, Protocol::Media),
        (192..=255, Protocol::Unknown),
    ] {
        for byte in range {
            assert_eq!(protocol_of(&[byte]), protocol, "{byte}");
        }
    }
    assert_eq!(protocol_of(&[]), Protocol::Unknown);
}
