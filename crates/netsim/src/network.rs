//! The network: its event queue, and the way of a packet through it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::endpoint::{Datagram, Departure, Ecn, Endpoint};
use crate::link::{Link, LinkState, Passage};
use crate::nat::Protocol;
use crate::stream::{Connection, ConnectionId, Segment};
use crate::topology::{
    Attachment, HostId, Interface, InterfaceId, Router, RouterId, RouterState, Zone, ZoneId,
};
use crate::trace::{Drop, Entry, Trace};
use crate::{Random, clock};

mod routing;
mod streams;

/// A network of hosts of one kind.
#[derive(Debug)]
pub struct Network<E> {
    start: Instant,
    now: Instant,
    random: Random,
    pub(crate) zones: Vec<Zone>,
    pub(crate) routers: Vec<RouterState>,
    pub(crate) interfaces: Vec<Interface>,
    hosts: Vec<Host<E>>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    sequence: u64,
    connections: Vec<Connection>,
    listening: BTreeSet<SocketAddr>,
    spare: Vec<Vec<u8>>,
    stats: Stats,
    trace: Trace,
}

/// Counters of the packets of a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// UDP datagrams that hosts sent.
    pub sent: u64,
    /// Their bytes, without headers.
    pub sent_bytes: u64,
    /// UDP datagrams that arrived, duplicates included.
    pub delivered: u64,
    /// Packets that did not arrive, by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Calls of `handle_timeout`.
    pub timeouts: u64,
    /// Bytes that one end of a TCP connection had sent, and that had not arrived, at most.
    pub most_on_way: usize,
}

#[derive(Debug)]
struct Host<E> {
    endpoint: E,
    interfaces: Vec<InterfaceId>,
    /// Where it accepts connections.
    listening: BTreeSet<SocketAddr>,
    /// The earliest timer that the queue holds for this host.
    timer: Option<Instant>,
    accepted: u64,
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) ecn: Ecn,
    pub(crate) body: Body,
    pub(crate) hops: u8,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Udp(Vec<u8>),
    Tcp(ConnectionId, Segment),
}

impl Packet {
    pub(crate) fn protocol(&self) -> Protocol {
        match self.body {
            Body::Udp(_) => Protocol::Udp,
            Body::Tcp(..) => Protocol::Tcp,
        }
    }

    /// Bytes on the wire, IP header included.
    fn size(&self) -> usize {
        let ip = if self.destination.is_ipv4() { 20 } else { 40 };
        match &self.body {
            Body::Udp(payload) => ip + 8 + payload.len(),
            Body::Tcp(_, Segment::Data(bytes)) => ip + 20 + bytes.len(),
            Body::Tcp(..) => ip + 20,
        }
    }
}

#[derive(Debug)]
enum Event {
    /// A packet has crossed an interface's link outwards.
    Zone(ZoneId, Packet),
    /// A packet reaches a router from inside.
    Outward(RouterId, Packet),
    /// A packet reaches a router from outside.
    Inward(RouterId, Packet),
    /// A packet reaches a host.
    Arrive(InterfaceId, Packet),
    /// A host's timer.
    Timer(HostId),
    /// A connection's first packet has met a wall: it is sent again.
    Again(ConnectionId),
    /// A connection's packets get nowhere: both ends hear of it.
    Broken(ConnectionId),
}

#[derive(Debug)]
struct Scheduled {
    at: Instant,
    sequence: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// Calls of `handle_timeout` for one host at one instant after which it is called a storm.
const STORM: u32 = 1000;

/// Payload buffers that are kept for the next packets.
const SPARE_BUFFERS: usize = 256;

impl<E: Endpoint> Network<E> {
    /// An empty network.
    pub fn new(seed: u64) -> Self {
        let start = clock::start();
        Self {
            start,
            now: start,
            random: Random::new(seed),
            zones: Vec::new(),
            routers: Vec::new(),
            interfaces: Vec::new(),
            hosts: Vec::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            connections: Vec::new(),
            listening: BTreeSet::new(),
            spare: Vec::new(),
            stats: Stats::default(),
            trace: Trace::default(),
        }
    }

    /// The virtual time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Virtual time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The simulation's generator, for the scenario's own choices.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Returns the counters of the packets.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// From now on remember the last so many things that happen.
    pub fn keep_trace(&mut self, lines: usize) {
        self.trace.keep(lines);
    }

    /// Returns the log, a line for each event.
    pub fn trace(&self) -> String {
        self.trace.show(self.start)
    }

    /// A new network in which every address reaches every other.
    pub fn add_zone(&mut self) -> ZoneId {
        self.zones.push(Zone::default());
        ZoneId(self.zones.len() - 1)
    }

    /// Puts a router between two zones: the way out of the inner one.
    pub fn add_router(&mut self, inner: ZoneId, outer_zone: ZoneId, router: Router) -> RouterId {
        let id = RouterId(self.routers.len());
        for address in &router.outer {
            self.zones[outer_zone.0].attached.insert(*address, Attachment::Router(id));
        }
        self.zones[inner.0].gateway = Some(id);
        self.routers.push(RouterState {
            router,
            inner,
            outer_zone,
            nat: Default::default(),
            flows: BTreeMap::new(),
            out: LinkState::default(),
            into: LinkState::default(),
        });
        id
    }

    /// Makes the addresses of a network reachable from outside, behind a router that hands them
    /// through unchanged.
    pub fn add_route(&mut self, outside: ZoneId, network: IpAddr, prefix_length: u8, router: RouterId) {
        self.zones[outside.0].routes.push((network, prefix_length, router));
    }

    /// Changes a router while the network runs.
    pub fn change_router(&mut self, router: RouterId, change: impl FnOnce(&mut Router)) {
        change(&mut self.routers[router.0].router);
    }

    /// Makes a router forget all mappings, as when it is rebooted.
    pub fn flush_router(&mut self, router: RouterId) {
        self.routers[router.0].nat.flush();
        self.routers[router.0].flows.clear();
    }

    /// Returns the number of mappings that a router's NAT holds.
    pub fn mappings(&self, router: RouterId) -> usize {
        self.routers[router.0].nat.len()
    }

    /// A new host, without interfaces yet.
    pub fn add_host(&mut self, endpoint: E) -> HostId {
        let (interfaces, listening) = (Vec::new(), BTreeSet::new());
        self.hosts.push(Host { endpoint, interfaces, listening, timer: None, accepted: 0 });
        HostId(self.hosts.len() - 1)
    }

    /// Gives a host an interface in a zone. The link is used in both directions.
    pub fn attach(&mut self, host: HostId, zone: ZoneId, address: IpAddr, link: Link) -> InterfaceId {
        let id = InterfaceId(self.interfaces.len());
        self.zones[zone.0].attached.insert(address, Attachment::Interface(id));
        let (out, into) = ((link.clone(), LinkState::default()), (link, LinkState::default()));
        self.interfaces.push(Interface { host, zone, address, up: true, out, into });
        self.hosts[host.0].interfaces.push(id);
        id
    }

    /// Changes an interface's link while the network runs: first argument outwards, second inwards.
    pub fn change_link(&mut self, interface: InterfaceId, change: impl FnOnce(&mut Link, &mut Link)) {
        let interface = &mut self.interfaces[interface.0];
        change(&mut interface.out.0, &mut interface.into.0);
    }

    /// Takes an interface up or down, and tells its host.
    pub fn set_up(&mut self, interface: InterfaceId, up: bool) {
        let host = self.interfaces[interface.0].host;
        self.interfaces[interface.0].up = up;
        self.trace.add(self.now, Entry::Change { host: host.0 });
        let addresses = self.addresses(host);
        let now = self.now;
        self.hosts[host.0].endpoint.handle_network_change(now, &addresses);
        self.drain(host);
    }

    /// The addresses of a host's interfaces that are up.
    pub fn addresses(&self, host: HostId) -> Vec<IpAddr> {
        let interfaces = self.hosts[host.0].interfaces.iter().map(|id| &self.interfaces[id.0]);
        interfaces.filter(|interface| interface.up).map(|interface| interface.address).collect()
    }

    /// Lets whichever host has this address accept TCP connections there. A host may ask for it by
    /// itself: [`Departure::Listen`].
    pub fn listen(&mut self, address: SocketAddr) {
        self.listening.insert(address);
    }

    /// A host's software.
    pub fn host(&self, host: HostId) -> &E {
        &self.hosts[host.0].endpoint
    }

    /// Does something with a host's software, and then what it asks for.
    pub fn with<T>(&mut self, host: HostId, act: impl FnOnce(&mut E, Instant) -> T) -> T {
        let now = self.now;
        let answer = act(&mut self.hosts[host.0].endpoint, now);
        self.drain(host);
        answer
    }

    /// Lets one thing happen; `false` if nothing waits.
    pub fn step(&mut self) -> bool {
        let Some(Reverse(scheduled)) = self.queue.pop() else { return false };
        self.now = self.now.max(scheduled.at);
        match scheduled.event {
            Event::Zone(zone, packet) => self.forward(zone, packet),
            Event::Outward(router, packet) => self.outward(router, packet),
            Event::Inward(router, packet) => self.inward(router, packet),
            Event::Arrive(interface, packet) => self.arrive(interface, packet),
            Event::Timer(host) => self.fire(host),
            Event::Again(connection) => self.open_again(connection),
            Event::Broken(connection) => self.break_connection(connection),
        }
        true
    }

    /// Lets everything happen until this time, which then it is.
    pub fn run_until(&mut self, deadline: Instant) {
        while self.queue.peek().is_some_and(|Reverse(next)| next.at <= deadline) {
            self.step();
        }
        self.now = self.now.max(deadline);
    }

    /// Lets everything happen for so long.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now + duration);
    }

    /// Lets things happen until the condition holds, for `limit` at the most; whether it holds in
    /// the end.
    pub fn run_while_not(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let deadline = self.now + limit;
        while !done(self) {
            if self.queue.peek().is_none_or(|Reverse(next)| next.at > deadline) {
                self.now = deadline;
                return done(self);
            }
            self.step();
        }
        true
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Scheduled { at, sequence: self.sequence, event }));
    }

    /// Does what a host asks for, until it asks for nothing.
    fn drain(&mut self, host: HostId) {
        loop {
            let mut payload = self.spare.pop().unwrap_or_default();
            payload.clear();
            let departure = self.hosts[host.0].endpoint.poll_transmit(self.now, &mut payload);
            match departure {
                None => {
                    self.recycle(payload);
                    break;
                }
                Some(Departure::Udp { local, remote, ecn, segment_size: Some(size) })
                    if size > 0 && payload.len() > size =>
                {
                    for segment in payload.chunks(size) {
                        self.send(host, (local, remote), ecn, segment.to_vec());
                    }
                    self.recycle(payload);
                }
                Some(Departure::Udp { local, remote, ecn, .. }) => {
                    self.send(host, (local, remote), ecn, payload);
                }
                Some(Departure::Connect { stream, local, remote }) => {
                    self.connect(host, stream, local, remote);
                }
                Some(Departure::Stream(stream)) => {
                    self.send_segment(host, stream, Segment::Data(payload));
                }
                Some(Departure::Close(stream)) => self.close(host, stream),
                Some(Departure::Listen(address)) => {
                    self.hosts[host.0].listening.insert(address);
                }
                Some(Departure::Unlisten(address)) => {
                    self.hosts[host.0].listening.remove(&address);
                }
            }
        }
        if let Some(at) = self.hosts[host.0].endpoint.poll_timeout()
            && self.hosts[host.0].timer.is_none_or(|timer| at < timer)
        {
            let at = at.max(self.now);
            self.hosts[host.0].timer = Some(at);
            self.schedule(at, Event::Timer(host));
        }
    }

    /// A timer in the queue has come; the host's own may since have moved.
    fn fire(&mut self, host: HostId) {
        if self.hosts[host.0].timer.is_some_and(|timer| timer <= self.now) {
            self.hosts[host.0].timer = None;
        }
        let mut calls = 0;
        while self.hosts[host.0].endpoint.poll_timeout().is_some_and(|at| at <= self.now) {
            self.trace.add(self.now, Entry::Timeout { host: host.0 });
            self.stats.timeouts += 1;
            self.hosts[host.0].endpoint.handle_timeout(self.now);
            self.drain(host);
            calls += 1;
            assert!(
                calls < STORM,
                "host {} keeps asking for a timeout that is past:\n{}",
                host.0,
                self.trace()
            );
        }
        self.drain(host);
    }

    fn send(&mut self, host: HostId, path: (SocketAddr, SocketAddr), ecn: Ecn, payload: Vec<u8>) {
        self.stats.sent += 1;
        self.stats.sent_bytes += payload.len() as u64;
        let (from, to) = path;
        let first = payload.first().copied().unwrap_or(0);
        self.trace.add(self.now, Entry::Sent { from, to, length: payload.len(), first });
        let packet = Packet { source: from, destination: to, ecn, body: Body::Udp(payload), hops: 0 };
        self.emit(host, packet);
    }

    /// Puts a packet on the link of the interface that has its source address.
    fn emit(&mut self, host: HostId, packet: Packet) {
        let source = packet.source.ip();
        let found = self.hosts[host.0].interfaces.iter().copied().find(|id| {
            let interface = &self.interfaces[id.0];
            interface.up && interface.address == source
        });
        let Some(id) = found else { return self.drop(packet, Drop::NoSource) };
        let interface = &mut self.interfaces[id.0];
        let zone = interface.zone;
        let (link, state) = &mut interface.out;
        let passage = pass(link, state, self.now, &packet, &mut self.random);
        self.pass_on(passage, packet, |packet| Event::Zone(zone, packet));
    }

    /// Schedules what a link let through.
    fn pass_on(&mut self, passage: Passage, mut packet: Packet, event: impl Fn(Packet) -> Event) {
        let Some(arrival) = passage.arrival else {
            let why = passage.drop.map_or(Drop::NoRoute, Drop::Link);
            return self.drop(packet, why);
        };
        if passage.marked {
            packet.ecn = Ecn::Ce;
        }
        if let Some(at) = passage.duplicate {
            self.schedule(at, event(packet.clone()));
        }
        if passage.corrupt
            && let Body::Udp(payload) = &mut packet.body
            && !payload.is_empty()
        {
            let bit = self.random.below(payload.len() as u64 * 8) as usize;
            payload[bit / 8] ^= 1 << (bit % 8);
        }
        if arrival <= self.now {
            // Nothing lies between: no need to wait in the queue, but order with what already waits
            // there.
            self.schedule(self.now, event(packet));
        } else {
            self.schedule(arrival, event(packet));
        }
    }

    fn arrive(&mut self, id: InterfaceId, packet: Packet) {
        if !self.interfaces[id.0].up {
            return self.drop(packet, Drop::InterfaceDown);
        }
        let host = self.interfaces[id.0].host;
        match packet.body {
            Body::Udp(payload) => {
                self.stats.delivered += 1;
                let (from, to) = (packet.source, packet.destination);
                self.trace.add(self.now, Entry::Delivered { from, to, length: payload.len() });
                let datagram = Datagram { local: to, remote: from, ecn: packet.ecn, payload: &payload };
                self.hosts[host.0].endpoint.handle_datagram(self.now, datagram);
                self.recycle(payload);
                self.drain(host);
            }
            Body::Tcp(connection, segment) => {
                self.arrive_segment(host, (packet.destination, packet.source), connection, segment);
            }
        }
    }

    fn drop(&mut self, packet: Packet, why: Drop) {
        let (from, to) = (packet.source, packet.destination);
        self.trace.add(self.now, Entry::Dropped { from, to, why });
        *self.stats.dropped.entry(name(why)).or_default() += 1;
        match packet.body {
            Body::Udp(payload) => self.recycle(payload),
            Body::Tcp(connection, segment) => self.lost_segment(connection, &segment, why),
        }
    }

    fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS {
            self.spare.push(buffer);
        }
    }
}

fn pass(link: &Link, state: &mut LinkState, now: Instant, packet: &Packet, random: &mut Random) -> Passage {
    let ecn_capable = packet.ecn != Ecn::NotEct;
    let connection = match packet.body {
        Body::Tcp(connection, _) => Some(connection),
        Body::Udp(_) => None,
    };
    state.enter(link, now, packet.size(), ecn_capable, connection, random)
}

fn name(why: Drop) -> &'static str {
    match why {
        Drop::Link(crate::LinkDrop::Mtu) => "mtu",
        Drop::Link(crate::LinkDrop::QueueFull) => "queue full",
        Drop::Link(crate::LinkDrop::CoDel) => "codel",
        Drop::Link(crate::LinkDrop::Loss) => "loss",
        Drop::NoSource => "no source",
        Drop::NoRoute => "no route",
        Drop::InterfaceDown => "interface down",
        Drop::Firewall => "firewall",
        Drop::Nat => "nat",
        Drop::Hairpin => "hairpin",
        Drop::Loop => "loop",
    }
}
