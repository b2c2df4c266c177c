//! str0m's agent (crate `is`) over the same simulated links: it gathers nothing itself, so its
//! candidates are given to it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use columba_netsim::{Datagram, Departure, Ecn, Endpoint, HostId, Link, Loss, Nat, Network, Router};
use is::stun::{StunMessage, StunPacket};
use is::{Candidate, IceAgent, IceAgentEvent, IceCreds, Protocol};

use crate::lab::ip;

struct Peer {
    agent: IceAgent,
    timeout: Option<Instant>,
    usable: Option<Instant>,
}

impl Peer {
    fn run(&mut self, now: Instant) {
        while let Some(event) = self.agent.poll_event() {
            if matches!(event, IceAgentEvent::NominatedSend { .. }) {
                self.usable.get_or_insert(now);
            }
        }
        self.timeout = self.agent.poll_timeout();
    }
}

impl Endpoint for Peer {
    fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        if let Ok(message) = StunMessage::parse(datagram.payload) {
            let (source, destination) = (datagram.remote, datagram.local);
            let packet = StunPacket { proto: Protocol::Udp, source, destination, message };
            self.agent.handle_packet(now, packet);
            self.agent.handle_timeout(now);
        }
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        self.run(now);
    }

    fn poll_transmit(&mut self, _now: Instant, payload: &mut Vec<u8>) -> Option<Departure> {
        let transmit = self.agent.poll_transmit()?;
        payload.extend_from_slice(&transmit.contents);
        let (local, remote) = (transmit.source, transmit.destination);
        Some(Departure::Udp { local, remote, ecn: Ecn::NotEct, segment_size: None })
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }
}

/// The time until both have a pair to send on, with all candidates known on both sides from the
/// start, and the packets.
pub(crate) fn connect(seed: u64, loss: Loss, behind_nats: bool) -> (Option<Duration>, u64) {
    let mut network = Network::new(seed);
    let internet = network.add_zone();
    let link = Link { loss, ..Link::with_delay(Duration::from_millis(10)) };
    let mut hosts: Vec<HostId> = Vec::new();
    let (credentials, mut candidates) = ([IceCreds::new(), IceCreds::new()], Vec::new());
    for index in 0..2 {
        let outer = ip(["198.51.100.1", "198.51.100.2"][index]);
        let (zone, inner) = if behind_nats {
            let home = network.add_zone();
            let router = Router { outer: vec![outer], nat: Some(Nat::PORT), ..Router::default() };
            network.add_router(home, internet, router);
            (home, ip("192.168.0.7"))
        } else {
            (internet, outer)
        };
        let local = SocketAddr::new(inner, 40_001);
        let mut own = vec![Candidate::host(local, "udp").expect("a candidate")];
        if behind_nats {
            // The NAT keeps the port.
            let mapped = SocketAddr::new(outer, local.port());
            own.push(Candidate::server_reflexive(mapped, local, "udp").expect("a candidate"));
        }
        let mut agent = IceAgent::new(credentials[index].clone());
        agent.set_controlling(index == 0);
        for candidate in &own {
            agent.add_local_candidate(candidate.clone());
        }
        candidates.push(own);
        let host = network.add_host(Peer { agent, timeout: None, usable: None });
        network.attach(host, zone, inner, link.clone());
        hosts.push(host);
    }
    let start = network.now();
    for index in 0..2 {
        network.with(hosts[index], |peer, now| {
            peer.agent.set_remote_credentials(credentials[1 - index].clone());
            for candidate in &candidates[1 - index] {
                peer.agent.add_remote_candidate(candidate.clone());
            }
            peer.agent.handle_timeout(now);
            peer.run(now);
        });
    }
    let usable = |network: &Network<Peer>, host: HostId| network.host(host).usable;
    let done = |network: &Network<Peer>| hosts.iter().all(|host| usable(network, *host).is_some());
    let found = network.run_while_not(Duration::from_secs(60), done);
    let last = usable(&network, hosts[0]).max(usable(&network, hosts[1]));
    (last.filter(|_| found).map(|at| at - start), network.stats().sent)
}
