//! A host with the TURN server's state machine on it, over UDP.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use columba_netsim::{Datagram, Departure, Ecn};
use columba_turn::server::{
    Arrival, Config, Credentials, Event, FiveTuple, Forward, HEADROOM, Input, RelayId, Server, TAILROOM,
    UnixTime,
};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

/// Where it listens.
pub(crate) const PORT: u16 = 3478;

const WALL: UnixTime = UnixTime(Duration::from_secs(1_790_000_000));
const SECRET: &[u8] = b"dovecote";

pub(crate) struct TurnHost {
    server: Server,
    ip: IpAddr,
    next_port: u16,
    by_address: BTreeMap<SocketAddr, RelayId>,
    by_id: BTreeMap<RelayId, SocketAddr>,
    out: VecDeque<(Departure, Vec<u8>)>,
}

impl TurnHost {
    pub(crate) fn new(now: Instant, ip: IpAddr, seed: u64) -> Self {
        let config = Config {
            secrets: vec![SECRET.to_vec()],
            relay_ipv4: true,
            relay_ipv6: false,
            own_addresses: vec![ip],
            listeners: vec![SocketAddr::new(ip, PORT)],
            // Both peers have the same, and without bundles a relay for each section.
            max_allocations_per_credential: 200,
            max_allocations_per_address: 200,
            ..Config::default()
        };
        let server = Server::new(config, now, WALL, &mut ChaCha12Rng::seed_from_u64(seed));
        let (by_address, by_id) = (BTreeMap::new(), BTreeMap::new());
        Self { server, ip, next_port: 50_000, by_address, by_id, out: VecDeque::new() }
    }

    pub(crate) fn credentials() -> Credentials {
        Credentials::mint(SECRET, WALL, Duration::from_secs(3600), "ada")
    }

    pub(crate) fn allocations(&self) -> u64 {
        self.server.stats().allocations_live
    }

    pub(crate) fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        let length = datagram.payload.len();
        let mut buffer = vec![0; HEADROOM + length + TAILROOM];
        let range = HEADROOM..HEADROOM + length;
        buffer[range.clone()].copy_from_slice(datagram.payload);
        let tuple = FiveTuple::udp(datagram.local, datagram.remote);
        let relay = self.by_address.get(&datagram.local).copied();
        let forward = match relay {
            Some(id) => {
                let arrival = Arrival::Relay { id, peer: datagram.remote };
                self.server.route(now, arrival, &mut buffer, range.clone())
            }
            None if datagram.local.port() == PORT => {
                self.server.route(now, Arrival::Client(&tuple), &mut buffer, range.clone())
            }
            None => return,
        };
        match forward {
            Forward::ToClient { tuple, range } => {
                self.out.push_back((udp(tuple.local(), tuple.client()), buffer[range].to_vec()));
            }
            Forward::ToPeer { relay, peer, range, .. } => {
                self.out.push_back((udp(self.by_id[&relay], peer), buffer[range].to_vec()));
            }
            Forward::Control => {
                self.server.handle_input(now, Input::Message { tuple, data: &buffer[range] });
                self.drain(now);
            }
            Forward::Drop(_) => {}
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.server.handle_timeout(now);
        self.drain(now);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.server.poll_timeout()
    }

    pub(crate) fn poll_transmit(&mut self, payload: &mut Vec<u8>) -> Option<Departure> {
        let (departure, bytes) = self.out.pop_front()?;
        payload.extend_from_slice(&bytes);
        Some(departure)
    }

    fn drain(&mut self, now: Instant) {
        while let Some(event) = self.server.poll_event() {
            match event {
                Event::RelayWanted { id, .. } => {
                    self.next_port += 1;
                    let relayed = SocketAddr::new(self.ip, self.next_port);
                    self.by_address.insert(relayed, id);
                    self.by_id.insert(id, relayed);
                    self.server.handle_input(now, Input::RelayGranted { id, relayed });
                }
                Event::RelayReleased { id } => {
                    if let Some(address) = self.by_id.remove(&id) {
                        self.by_address.remove(&address);
                    }
                }
                _ => {}
            }
        }
        let mut buffer = [0; 2000];
        while let Some(transmit) = self.server.poll_transmit(now, &mut buffer) {
            let departure = udp(transmit.tuple.local(), transmit.tuple.client());
            self.out.push_back((departure, buffer[..transmit.len].to_vec()));
        }
    }
}

fn udp(local: SocketAddr, remote: SocketAddr) -> Departure {
    Departure::Udp { local, remote, ecn: Ecn::NotEct, segment_size: None }
}
