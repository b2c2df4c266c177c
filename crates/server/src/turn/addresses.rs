//! The addresses of this host, and the choice of those that a relay is bound to and announced
//! under.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use columba_turn::server::AddressFamily;
use ipnet::IpNet;

/// The addresses that relays can have, as far as they are known at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostAddresses {
    /// The public addresses of a 1:1 NAT in front of this host; given by the operator.
    public: Vec<IpAddr>,
    /// The addresses of the interfaces.
    own: Vec<IpAddr>,
    /// Networks that are delivered to this machine as a whole, single addresses included.
    pub(super) networks: Vec<IpNet>,
    /// The addresses that the system would send from towards the internet, one for each family at
    /// most.
    preferred: Vec<IpAddr>,
}

/// The address to which a relay socket is bound, and the one that is announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bind: IpAddr,
    pub(super) announce: IpAddr,
}

impl HostAddresses {
    /// Asks the system.
    pub(super) fn discover(public: &[IpAddr]) -> Self {
        // Without a list of interfaces everything still works for those who give --public-address
        // or come to an address that is not loopback.
        let mut own: Vec<IpAddr> = if_addrs::get_if_addrs()
            .map(|list| list.iter().map(|interface| interface.ip().to_canonical()).collect())
            .unwrap_or_default();
        own.sort_unstable();
        own.dedup();
        let preferred =
            [AddressFamily::Ipv4, AddressFamily::Ipv6].into_iter().filter_map(route_source).collect();
        let public = public.iter().map(IpAddr::to_canonical).collect();
        Self { public, own, networks: local_networks(), preferred }
    }

    /// All addresses that are this host's, in front of a NAT or behind it.
    pub(super) fn all(&self) -> Vec<IpAddr> {
        self.public.iter().chain(&self.own).copied().collect()
    }

    /// The place of a relay of this family, for a client that reached the server at `came_to`.
    /// `None` if the host has no address of that family that would be of use.
    ///
    /// A public address goes first. Behind a NAT the socket is bound to every interface, because it
    /// is not known which of them the NAT leads to. Then comes the address that the client itself
    /// could reach, then the one that leads to the internet. Clients on the loopback interface get
    /// a relay that others can reach if there is one, else a loopback one.
    pub(super) fn place(&self, family: AddressFamily, came_to: IpAddr) -> Option<Place> {
        let of_family = |ip: &IpAddr| AddressFamily::of(*ip) == family;
        if let Some(&announce) = self.public.iter().find(|ip| of_family(ip)) {
            let bind = if self.own.contains(&announce) { announce } else { unspecified(family) };
            return Some(Place { bind, announce });
        }
        let came_to = came_to.to_canonical();
        let candidates =
            [came_to].into_iter().chain(self.preferred.iter().copied()).chain(self.own.iter().copied());
        let reachable = candidates.into_iter().find(|ip| of_family(ip) && is_reachable(*ip));
        let loopback = || {
            let loopback = self.own.iter().copied().find(|ip| of_family(ip) && ip.is_loopback());
            loopback.filter(|_| came_to.is_loopback())
        };
        reachable.or_else(loopback).map(|ip| Place { bind: ip, announce: ip })
    }
}

/// The networks that the kernel delivers to this machine.
#[cfg(target_os = "linux")]
fn local_networks() -> Vec<IpNet> {
    super::netlink::local_networks().unwrap_or_else(|error| {
        tracing::warn!(%error, "only the addresses of the interfaces are known as this machine's own");
        Vec::new()
    })
}

/// Only Linux tells its routes by netlink; elsewhere the addresses of the interfaces must do.
#[cfg(not(target_os = "linux"))]
fn local_networks() -> Vec<IpNet> {
    Vec::new()
}

fn unspecified(family: AddressFamily) -> IpAddr {
    match family {
        AddressFamily::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        AddressFamily::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// Returns whether a peer on another host can have this address as a destination. Link-local ones
/// would need a scope, which STUN cannot carry.
fn is_reachable(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast() || link_local)
}

/// The source address of the route to the internet. Connecting a UDP socket asks the routing table
/// and sends nothing.
fn route_source(family: AddressFamily) -> Option<IpAddr> {
    // Documentation addresses (RFC 5737, RFC 3849), which only a default route can lead to.
    let outside: IpAddr = match family {
        AddressFamily::Ipv4 => Ipv4Addr::new(198, 51, 100, 1).into(),
        AddressFamily::Ipv6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = UdpSocket::bind((unspecified(family), 0)).ok()?;
    socket.connect((outside, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| is_reachable(*ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|text| ip(text)).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn host(public: &[&str], own: &[&str], preferred: &[&str]) -> HostAddresses {
        HostAddresses { public: ips(public), own: ips(own), networks: Vec::new(), preferred: ips(preferred) }
    }

    fn same(text: &str) -> Option<Place> {
        Some(Place { bind: ip(text), announce: ip(text) })
    }

    #[test]
    fn a_public_address_is_announced_and_bound_if_it_is_an_interfaces() {
        let behind_nat = host(&["203.0.113.5"], &["10.0.0.5"], &["10.0.0.5"]);
        let expected = Place { bind: ip("0.0.0.0"), announce: ip("203.0.113.5") };
        assert_eq!(behind_nat.place(AddressFamily::Ipv4, ip("10.0.0.5")), Some(expected));
        let two_interfaces = host(&["203.0.113.5"], &["10.0.0.5", "203.0.113.5"], &[]);
        assert_eq!(two_interfaces.place(AddressFamily::Ipv4, ip("10.0.0.5")), same("203.0.113.5"));
    }

    #[test]
    fn without_a_public_address_the_relay_is_where_the_client_came_to() {
        let multihomed =
            host(&[], &["127.0.0.1", "10.0.0.5", "192.0.2.7", "::1", "2001:db8::7"], &["192.0.2.7"]);
        assert_eq!(multihomed.place(AddressFamily::Ipv4, ip("10.0.0.5")), same("10.0.0.5"));
        assert_eq!(multihomed.place(AddressFamily::Ipv4, ip("::ffff:10.0.0.5")), same("10.0.0.5"));
        assert_eq!(multihomed.place(AddressFamily::Ipv4, ip("127.0.0.1")), same("192.0.2.7"));
        assert_eq!(multihomed.place(AddressFamily::Ipv6, ip("10.0.0.5")), same("2001:db8::7"));
    }

    #[test]
    fn loopback_clients_get_loopback_relays() {
        let alone = host(&[], &["127.0.0.1", "::1", "fe80::1"], &[]);
        assert_eq!(alone.place(AddressFamily::Ipv4, ip("127.0.0.1")), same("127.0.0.1"));
        assert_eq!(alone.place(AddressFamily::Ipv6, ip("127.0.0.1")), same("::1"));
        let ipv4_only = host(&[], &["127.0.0.1", "192.0.2.7", "::1", "fe80::1"], &[]);
        assert_eq!(ipv4_only.place(AddressFamily::Ipv6, ip("192.0.2.7")), None);
        assert_eq!(host(&[], &["127.0.0.1"], &[]).place(AddressFamily::Ipv6, ip("127.0.0.1")), None);
    }
}
