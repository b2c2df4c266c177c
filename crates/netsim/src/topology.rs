//! The parts of a network: zones, routers between them, and the interfaces of hosts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::link::{Link, LinkState};
use crate::nat::{Nat, NatState};

/// Names a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub(crate) usize);

/// Names a zone: a network in which every address reaches every other, such as a home network or
/// the Internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ZoneId(pub(crate) usize);

/// Names a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouterId(pub(crate) usize);

/// Names an interface of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceId(pub(crate) usize);

/// A router between an inner zone and an outer one.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// Its addresses in the outer zone, one of each family that it serves. Without
    /// [`nat`](Self::nat): none are needed.
    pub outer: Vec<IpAddr>,
    /// Its address translation; `None` passes addresses unchanged, as IPv6 routers do.
    pub nat: Option<Nat>,
    /// The packets that it lets pass.
    pub firewall: Firewall,
    /// Its link to the outer zone, both ways.
    pub link: Link,
}

/// The packets that a router lets pass from inside, apart from its address translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firewall {
    /// True if UDP passes.
    pub udp: bool,
    /// The remote TCP ports that pass; `None` for all.
    pub tcp_ports: Option<Vec<u16>>,
    /// True if packets from outside pass only where a packet to their sender (address and port) has
    /// gone out within two minutes.
    pub stateful: bool,
}

impl Default for Firewall {
    fn default() -> Self {
        Self { udp: true, tcp_ports: None, stateful: false }
    }
}

impl Firewall {
    /// UDP blocked; only TCP port 443 passes.
    pub fn only_https() -> Self {
        Self { udp: false, tcp_ports: Some(vec![443]), stateful: true }
    }

    /// UDP blocked; TCP passes to any port.
    pub fn only_tcp() -> Self {
        Self { udp: false, stateful: true, ..Self::default() }
    }

    /// The firewall of a home router for IPv6.
    pub fn stateful() -> Self {
        Self { stateful: true, ..Self::default() }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Zone {
    pub(crate) attached: BTreeMap<IpAddr, Attachment>,
    /// The route to all other addresses.
    pub(crate) gateway: Option<RouterId>,
    /// Inner networks behind routers that do not translate.
    pub(crate) routes: Vec<(IpAddr, u8, RouterId)>,
}

impl Zone {
    pub(crate) fn route(&self, address: IpAddr) -> Option<RouterId> {
        let found = self.routes.iter().find(|(network, length, _)| within(address, *network, *length));
        found.map(|(_, _, router)| *router)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Attachment {
    Interface(InterfaceId),
    Router(RouterId),
}

#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) host: HostId,
    pub(crate) zone: ZoneId,
    pub(crate) address: IpAddr,
    pub(crate) up: bool,
    pub(crate) out: (Link, LinkState),
    pub(crate) into: (Link, LinkState),
}

#[derive(Debug)]
pub(crate) struct RouterState {
    pub(crate) router: Router,
    pub(crate) inner: ZoneId,
    pub(crate) outer_zone: ZoneId,
    pub(crate) nat: NatState,
    /// For a stateful firewall: when each inner address last sent to each remote address.
    pub(crate) flows: BTreeMap<(std::net::SocketAddr, std::net::SocketAddr), std::time::Instant>,
    pub(crate) out: LinkState,
    pub(crate) into: LinkState,
}

/// Returns whether the address is in the network of this prefix length.
pub(crate) fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            (u128::from(address.to_bits()), u128::from(network.to_bits()), 32)
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => (address.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    let host_bits = u32::from(width - length.min(width));
    address.checked_shr(host_bits).unwrap_or(0) == network.checked_shr(host_bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_contain_their_addresses() {
        let check = |address: &str, network: &str, length| {
            within(address.parse().expect("address"), network.parse().expect("network"), length)
        };
        assert!(check("2001:db8:1::5", "2001:db8:1::", 64));
        assert!(!check("2001:db8:2::5", "2001:db8:1::", 64));
        assert!(check("10.1.2.3", "10.0.0.0", 8));
        assert!(check("10.1.2.3", "0.0.0.0", 0));
        assert!(check("fe80::1", "::", 0));
        assert!(!check("10.1.2.3", "::", 0));
    }
}
