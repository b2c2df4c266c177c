//! Network address translation of every kind that RFC 4787 tells apart.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Random;

/// The part of the remote address on which a mapping or a filter depends (RFC 4787 §4.1, §5); in
/// order, the more the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependence {
    /// On nothing of the other end.
    EndpointIndependent,
    /// On its address.
    AddressDependent,
    /// On its address and port.
    AddressAndPortDependent,
}

/// The choice of outer ports (RFC 4787 §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortAssignment {
    /// The inner port if it is free, else the next free one.
    Preserving,
    /// One after the other.
    Sequential,
    /// At random.
    Random,
}

/// A kind of NAT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nat {
    /// The part of the remote address for which a new mapping is made.
    pub mapping: Dependence,
    /// The senders whose datagrams pass to a mapping.
    pub filtering: Dependence,
    /// The choice of a mapping's port.
    pub ports: PortAssignment,
    /// True if inner hosts reach each other at their outer addresses (RFC 4787 §6).
    pub hairpin: bool,
    /// The silence after which a UDP mapping ends. RFC 4787 wants at least 2 minutes; many routers
    /// have 30 s.
    pub timeout: Duration,
    /// True if inbound datagrams keep a mapping alive, too.
    pub inbound_refresh: bool,
}

impl Nat {
    const BASE: Self = Self {
        mapping: Dependence::EndpointIndependent,
        filtering: Dependence::EndpointIndependent,
        ports: PortAssignment::Preserving,
        hairpin: true,
        timeout: Duration::from_secs(120),
        inbound_refresh: false,
    };

    /// "Full cone": endpoint-independent mapping and filtering.
    pub const CONE: Self = Self::BASE;
    /// "Address restricted": filters by address.
    pub const ADDRESS: Self = Self { filtering: Dependence::AddressDependent, ..Self::BASE };
    /// "Port restricted": filters by address and port.
    pub const PORT: Self = Self { filtering: Dependence::AddressAndPortDependent, ..Self::BASE };
    /// "Symmetric": a mapping of its own, with a random port, for every other end.
    pub const SYMMETRIC: Self = Self {
        mapping: Dependence::AddressAndPortDependent,
        filtering: Dependence::AddressAndPortDependent,
        ports: PortAssignment::Random,
        hairpin: false,
        ..Self::BASE
    };
}

/// A transport protocol as far as address translation tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Protocol {
    Udp,
    Tcp,
}

/// For which flows one mapping stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    protocol: Protocol,
    inner: SocketAddr,
    remote: Option<(IpAddr, Option<u16>)>,
}

#[derive(Debug)]
struct Mapping {
    port: u16,
    used: Instant,
    /// The other ends that were sent to, as far as the filter looks, and when.
    allowed: BTreeMap<(IpAddr, u16), Instant>,
}

/// The translation table of one router.
#[derive(Debug, Default)]
pub(crate) struct NatState {
    mappings: BTreeMap<Key, Mapping>,
    ports: BTreeMap<(Protocol, IpAddr, u16), Key>,
    next_port: u16,
}

/// Where the ports of sequential and random assignment begin.
const FIRST_PORT: u16 = 20_000;

impl NatState {
    /// The outer source port for a packet from inside; makes the mapping if there is none.
    pub(crate) fn outbound(
        &mut self,
        nat: &Nat,
        now: Instant,
        protocol: Protocol,
        (inner, outer): (SocketAddr, IpAddr),
        remote: SocketAddr,
        random: &mut Random,
    ) -> u16 {
        let key = Key { protocol, inner, remote: reduce(nat.mapping, remote) };
        if self.mappings.get(&key).is_some_and(|mapping| expired(nat, protocol, mapping.used, now)) {
            self.remove(&key, outer);
        }
        if !self.mappings.contains_key(&key) {
            let port = self.choose(nat, protocol, outer, inner.port(), random);
            self.ports.insert((protocol, outer, port), key);
            self.mappings.insert(key, Mapping { port, used: now, allowed: BTreeMap::new() });
        }
        // It is there: it was just made.
        self.mappings.get_mut(&key).map_or(0, |mapping| {
            mapping.used = now;
            mapping.allowed.insert((remote.ip(), remote.port()), now);
            mapping.port
        })
    }

    /// The inner address for a packet from outside, if the filter lets it in.
    pub(crate) fn inbound(
        &mut self,
        nat: &Nat,
        now: Instant,
        protocol: Protocol,
        outer: SocketAddr,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let key = *self.ports.get(&(protocol, outer.ip(), outer.port()))?;
        let mapping = self.mappings.get_mut(&key)?;
        if expired(nat, protocol, mapping.used, now) {
            self.remove(&key, outer.ip());
            return None;
        }
        let fresh = |time: &Instant| !expired(nat, protocol, *time, now);
        let passes = match nat.filtering {
            Dependence::EndpointIndependent => true,
            Dependence::AddressDependent => {
                mapping.allowed.range((remote.ip(), 0)..=(remote.ip(), u16::MAX)).any(|(_, time)| fresh(time))
            }
            Dependence::AddressAndPortDependent => {
                mapping.allowed.get(&(remote.ip(), remote.port())).is_some_and(fresh)
            }
        };
        if passes && nat.inbound_refresh {
            mapping.used = now;
        }
        passes.then_some(key.inner)
    }

    /// Forgets everything, as a rebooted router does.
    pub(crate) fn flush(&mut self) {
        self.mappings.clear();
        self.ports.clear();
    }

    /// The number of mappings.
    pub(crate) fn len(&self) -> usize {
        self.mappings.len()
    }

    fn remove(&mut self, key: &Key, outer: IpAddr) {
        if let Some(mapping) = self.mappings.remove(key) {
            self.ports.remove(&(key.protocol, outer, mapping.port));
        }
    }

    fn choose(
        &mut self,
        nat: &Nat,
        protocol: Protocol,
        outer: IpAddr,
        inner: u16,
        random: &mut Random,
    ) -> u16 {
        let mut port = match nat.ports {
            PortAssignment::Preserving => inner,
            PortAssignment::Sequential => {
                self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT).max(FIRST_PORT);
                self.next_port
            }
            PortAssignment::Random => FIRST_PORT + random.below(u64::from(u16::MAX - FIRST_PORT) + 1) as u16,
        };
        while self.ports.contains_key(&(protocol, outer, port)) {
            port = port.checked_add(1).unwrap_or(FIRST_PORT);
        }
        port
    }
}

/// The time after which an idle TCP mapping ends (RFC 5382 REQ-5).
const TCP_TIMEOUT: Duration = Duration::from_secs(2 * 3600 + 4 * 60);

fn expired(nat: &Nat, protocol: Protocol, used: Instant, now: Instant) -> bool {
    let timeout = match protocol {
        Protocol::Udp => nat.timeout,
        Protocol::Tcp => TCP_TIMEOUT.max(nat.timeout),
    };
    now.saturating_duration_since(used) > timeout
}

fn reduce(dependence: Dependence, remote: SocketAddr) -> Option<(IpAddr, Option<u16>)> {
    match dependence {
        Dependence::EndpointIndependent => None,
        Dependence::AddressDependent => Some((remote.ip(), None)),
        Dependence::AddressAndPortDependent => Some((remote.ip(), Some(remote.port()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INNER: &str = "192.168.0.2:5000";
    const OUTER: &str = "198.51.100.1";

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn send(state: &mut NatState, nat: &Nat, now: Instant, remote: &str) -> u16 {
        let outer = OUTER.parse().expect("an address");
        let pair = (address(INNER), outer);
        state.outbound(nat, now, Protocol::Udp, pair, address(remote), &mut Random::new(1))
    }

    fn arrives(state: &mut NatState, nat: &Nat, now: Instant, port: u16, remote: &str) -> bool {
        let outer = SocketAddr::new(OUTER.parse().expect("an address"), port);
        state.inbound(nat, now, Protocol::Udp, outer, address(remote)) == Some(address(INNER))
    }

    #[test]
    fn mapping_and_filtering_follow_the_kind() {
        let now = crate::clock::start();
        // (kind, same port to another address, datagrams let in from: same, same address, other
        // address)
        let table = [
            (Nat::CONE, true, [true, true, true]),
            (Nat::ADDRESS, true, [true, true, false]),
            (Nat::PORT, true, [true, false, false]),
            (Nat::SYMMETRIC, false, [true, false, false]),
        ];
        for (nat, same_port, lets_in) in table {
            let mut state = NatState::default();
            let port = send(&mut state, &nat, now, "203.0.113.1:1000");
            let from = ["203.0.113.1:1000", "203.0.113.1:1001", "203.0.113.2:1000"];
            let seen = from.map(|remote| arrives(&mut state, &nat, now, port, remote));
            assert_eq!(seen, lets_in, "{nat:?}");
            let again = send(&mut state, &nat, now, "203.0.113.9:1000");
            assert_eq!(port == again, same_port, "{nat:?}");
        }
    }

    #[test]
    fn all_nine_kinds_follow_their_mapping_and_filtering() {
        use Dependence::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
        let now = crate::clock::start();
        let others = ["203.0.113.1:1001", "203.0.113.2:1000"];
        // Whether another port of the same address, and another address, are as the one that was
        // sent to.
        let table = [
            (EndpointIndependent, [true, true]),
            (AddressDependent, [true, false]),
            (AddressAndPortDependent, [false, false]),
        ];
        for (mapping, same_port) in table {
            for (filtering, lets_in) in table {
                let nat = Nat { mapping, filtering, ..Nat::CONE };
                let mut state = NatState::default();
                let port = send(&mut state, &nat, now, "203.0.113.1:1000");
                assert!(arrives(&mut state, &nat, now, port, "203.0.113.1:1000"));
                assert_eq!(
                    others.map(|remote| arrives(&mut state, &nat, now, port, remote)),
                    lets_in,
                    "{nat:?}"
                );
                let ports = others.map(|remote| send(&mut state, &nat, now, remote));
                assert_eq!(ports.map(|other| other == port), same_port, "{nat:?}");
            }
        }
    }

    #[test]
    fn ports_follow_the_configured_assignment() {
        let now = crate::clock::start();
        let remotes = ["203.0.113.1:1", "203.0.113.2:1", "203.0.113.3:1"];
        let ports_of = |ports| {
            let nat = Nat { mapping: Dependence::AddressDependent, ports, ..Nat::CONE };
            let (mut state, mut random) = (NatState::default(), Random::new(1));
            let pair = (address(INNER), OUTER.parse().expect("an address"));
            remotes.map(|remote| state.outbound(&nat, now, Protocol::Udp, pair, address(remote), &mut random))
        };
        assert_eq!(ports_of(PortAssignment::Preserving), [5000, 5001, 5002]);
        assert_eq!(ports_of(PortAssignment::Sequential), [20_000, 20_001, 20_002]);
        let random = ports_of(PortAssignment::Random);
        assert!(random[0] != random[1] && random[1] != random[2] && random[1] != random[0] + 1);
    }

    #[test]
    fn inbound_traffic_refreshes_a_mapping_only_if_configured() {
        let now = crate::clock::start();
        for inbound_refresh in [false, true] {
            let nat = Nat { inbound_refresh, ..Nat::CONE };
            let mut state = NatState::default();
            let port = send(&mut state, &nat, now, "203.0.113.1:1000");
            let half = nat.timeout * 2 / 3;
            assert!(arrives(&mut state, &nat, now + half, port, "203.0.113.1:1000"));
            let later = arrives(&mut state, &nat, now + 2 * half, port, "203.0.113.1:1000");
            assert_eq!(later, inbound_refresh);
        }
    }

    #[test]
    fn tcp_mappings_last_for_hours() {
        let (nat, now) = (Nat::PORT, crate::clock::start());
        let mut state = NatState::default();
        let outer = OUTER.parse().expect("an address");
        let (inner, remote) = (address(INNER), address("203.0.113.1:443"));
        let port = state.outbound(&nat, now, Protocol::Tcp, (inner, outer), remote, &mut Random::new(1));
        let mut at = |seconds| {
            let now = now + Duration::from_secs(seconds);
            state.inbound(&nat, now, Protocol::Tcp, SocketAddr::new(outer, port), remote)
        };
        assert_eq!(at(7400), Some(inner));
        assert_eq!(at(7500), None);
    }

    #[test]
    fn a_mapping_ends_after_silence_and_a_filter_with_it() {
        let (nat, now) = (Nat::PORT, crate::clock::start());
        let mut state = NatState::default();
        let port = send(&mut state, &nat, now, "203.0.113.1:1000");
        let later = now + nat.timeout + Duration::from_millis(1);
        assert!(arrives(&mut state, &nat, now + nat.timeout, port, "203.0.113.1:1000"));
        assert!(!arrives(&mut state, &nat, later, port, "203.0.113.1:1000"));
        assert_eq!(state.len(), 0);
    }

    #[test]
    fn two_inner_hosts_never_share_an_outer_port() {
        let (nat, now) = (Nat::CONE, crate::clock::start());
        let mut state = NatState::default();
        let outer: IpAddr = OUTER.parse().expect("an address");
        let mut random = Random::new(1);
        let mut port = |inner: &str| {
            let pair = (address(inner), outer);
            state.outbound(&nat, now, Protocol::Udp, pair, address("203.0.113.1:9"), &mut random)
        };
        assert_eq!(port("192.168.0.2:5000"), 5000);
        assert_eq!(port("192.168.0.3:5000"), 5001);
    }
}
