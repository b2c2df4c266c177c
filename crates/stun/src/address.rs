//! Addresses: the two families, and the one form in which addresses are compared.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The address families that STUN knows (RFC 8489 §14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressFamily {
    /// IPv4, number 0x01.
    Ipv4,
    /// IPv6, number 0x02.
    Ipv6,
}

impl AddressFamily {
    /// The family's number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Ipv4 => 0x01,
            Self::Ipv6 => 0x02,
        }
    }

    /// The family with this number, if there is one.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0x01 => Some(Self::Ipv4),
            0x02 => Some(Self::Ipv6),
            _ => None,
        }
    }

    /// The family of an address in its canonical form: `::ffff:192.0.2.1` is IPv4.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match canonical_ip(ip) {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// The form in which an IP address is compared: an IPv4-mapped IPv6 address (`::ffff:0:0/96`, RFC
/// 4291 §2.5.5.2) becomes the IPv4 address that it is.
///
/// Only the mapped form is an identity. NAT64, 6to4, Teredo and the deprecated "compatible"
/// addresses lead *to* an IPv4 address through a translator or tunnel; they are other addresses,
/// and a policy that must look into them does so itself.
#[must_use]
pub fn canonical_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(ip, IpAddr::V4),
        IpAddr::V4(_) => ip,
    }
}

/// The form in which a transport address is compared: see [`canonical_ip`]; besides, the flow label
/// is dropped, and so is the scope of any address that is not link-local, as neither says where a
/// packet goes.
///
/// ```
/// let mapped = "[::ffff:192.0.2.1]:3478".parse().unwrap();
/// assert_eq!(columba_stun::canonical(mapped), "192.0.2.1:3478".parse().unwrap());
/// ```
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => {
                let scope = if is_link_local(v6.ip()) { v6.scope_id() } else { 0 };
                SocketAddr::V6(SocketAddrV6::new(*v6.ip(), v6.port(), 0, scope))
            }
        },
    }
}

/// fe80::/10, and the multicast scopes of a single interface or link (RFC 4291 §2.5.6, §2.7): where
/// a scope id matters.
fn is_link_local(ip: &Ipv6Addr) -> bool {
    let first = ip.segments()[0];
    first & 0xFFC0 == 0xFE80 || matches!(first & 0xFF0F, 0xFF01 | 0xFF02)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mapped_addresses_become_ipv4() {
        let ip = |text: &str| canonical_ip(text.parse().unwrap());
        assert_eq!(ip("::ffff:10.0.0.1"), "10.0.0.1".parse::<IpAddr>().unwrap());
        for other in ["::10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::", "::1", "::", "::ffff:0:a00:1"] {
            assert_eq!(ip(other), other.parse::<IpAddr>().unwrap());
        }
        assert_eq!(AddressFamily::of("::ffff:10.0.0.1".parse().unwrap()), AddressFamily::Ipv4);
        assert_eq!(AddressFamily::of("::1".parse().unwrap()), AddressFamily::Ipv6);
    }

    #[test]
    fn flow_labels_and_meaningless_scopes_are_dropped() {
        let with =
            |ip: &str, flow, scope| SocketAddr::V6(SocketAddrV6::new(ip.parse().unwrap(), 9, flow, scope));
        assert_eq!(canonical(with("2001:db8::1", 7, 3)), with("2001:db8::1", 0, 0));
        assert_eq!(canonical(with("fe80::1", 7, 3)), with("fe80::1", 0, 3));
        assert_eq!(canonical(with("::ffff:192.0.2.1", 7, 3)), "192.0.2.1:9".parse().unwrap());
    }
}
