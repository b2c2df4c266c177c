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
    pub(crate) messages: Vec<columba_sctp::ReceivedMessage>,
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
            messages: Vec::new(),
        }
    }

    fn after_input(&mut self, now: Instant) {
        while let Some(event) = self.association.poll_event() {
            self.events.push(event);
        }
        (self.on_input)(self, now);
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
        Some(Departure::Udp { local: self.local, remote: self.remote, ecn: Ecn::NotEct, segment_size: None })
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
    /// Each direction of the path is `link`, of which both ends have one half: loss and delay count once on the way.
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

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.network.run_for(duration);
    }
}
