//! Redirections: servers that send their clients to another server (RFC 8489 §10).

use std::net::{IpAddr, SocketAddr};

use columba_stun::canonical;

use super::Context;
use super::relay::Attempt;

/// Times that one allocation is redirected, at most.
const MAX_REDIRECTIONS: usize = 3;

/// Ports below this one belong to services; of them a TURN server may have those of DNS, HTTP and
/// HTTPS (as in libwebrtc).
const FIRST_FREE_PORT: u16 = 1024;

impl Attempt {
    /// The attempt at the alternate server; `None` if that would lead in a circle, too far, or to a
    /// place that a redirection must not lead to.
    pub(super) fn redirected(&self, context: &Context<'_>, alternate: SocketAddr) -> Option<Self> {
        let address = canonical(alternate);
        let mut visited = self.visited.clone();
        visited.push(self.address);
        let is_new = !visited.contains(&address) && visited.len() <= MAX_REDIRECTIONS;
        if !is_new || !is_harmless(self.address.ip(), address) {
            return None;
        }
        let is_same = |ip: &IpAddr| ip.is_ipv4() == address.is_ipv4();
        let usable = context.addresses.usable(context.config).into_iter().map(|one| one.address);
        let local = Some(self.local).filter(is_same).or_else(|| usable.into_iter().find(is_same))?;
        Some(Self { address, local, visited, ..self.clone() })
    }
}

/// Returns whether a redirection may lead there. The answer to the first request is not
/// authenticated, so that it must not lead further inside a network than where it comes from, nor
/// to the port of another service.
fn is_harmless(from: IpAddr, to: SocketAddr) -> bool {
    let is_port_fit = to.port() >= FIRST_FREE_PORT || matches!(to.port(), 53 | 80 | 443);
    let reach = |ip| Reach::of(ip).map_or(0, |reach| reach as u8);
    is_port_fit && Reach::of(to.ip()).is_some() && reach(to.ip()) >= reach(from)
}

/// The scope of an address, the narrowest first.
#[derive(Clone, Copy, Debug)]
enum Reach {
    Host = 1,
    Link,
    Site,
    World,
}

impl Reach {
    /// `None` for an address that belongs to no single host.
    fn of(ip: IpAddr) -> Option<Self> {
        let (invalid, host, link, site) = match ip {
            IpAddr::V4(ip) => {
                let [first, second, ..] = ip.octets();
                let shared = first == 100 && second & 0xC0 == 64;
                let invalid = first == 0 || ip.is_multicast() || first >= 240;
                (invalid, ip.is_loopback(), ip.is_link_local(), ip.is_private() || shared)
            }
            IpAddr::V6(ip) => {
                let invalid = ip.is_unspecified() || ip.is_multicast();
                (invalid, ip.is_loopback(), ip.is_unicast_link_local(), ip.is_unique_local())
            }
        };
        match () {
            () if invalid => None,
            () if host => Some(Self::Host),
            () if link => Some(Self::Link),
            () if site => Some(Self::Site),
            () => Some(Self::World),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(from: &str, to: &str) -> bool {
        is_harmless(from.parse().unwrap(), to.parse().unwrap())
    }

    #[test]
    fn redirections_do_not_lead_to_narrower_scopes() {
        assert!(leads("5.0.0.1", "5.0.0.2:3478") && leads("5.0.0.1", "[2a00::1]:443"));
        assert!(leads("192.168.0.1", "10.0.0.1:3478") && leads("192.168.0.1", "5.0.0.2:3478"));
        assert!(leads("127.0.0.1", "127.0.0.2:3478"));
        for inside in
            ["127.0.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "[fe80::1]"]
        {
            assert!(!leads("5.0.0.1", &format!("{inside}:3478")), "{inside}");
        }
        assert!(!leads("10.0.0.1", "127.0.0.1:3478") && !leads("fd00::1", "[::1]:3478"));
    }

    #[test]
    fn redirections_do_not_lead_to_invalid_addresses_or_other_services() {
        for invalid in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "[::]", "[ff02::1]"] {
            assert!(!leads("127.0.0.1", &format!("{invalid}:3478")), "{invalid}");
        }
        assert!(!leads("5.0.0.1", "5.0.0.2:0") && !leads("5.0.0.1", "5.0.0.2:25"));
    }
}
