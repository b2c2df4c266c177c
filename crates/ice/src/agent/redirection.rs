//! Servers that send their clients on to another one (RFC 8489 §10).

use std::net::{IpAddr, SocketAddr};

use super::Agent;
use super::relays::Relay;

/// How often one allocation is sent on from server to server.
const MAX_REDIRECTIONS: usize = 3;

impl Agent {
    /// From where, to where and past whom to go when a server sends us on (RFC 8489 §10); `None` if that would lead in a circle, too
    /// far, or where nobody is to be sent.
    pub(super) fn follow_redirection(
        &self,
        relay: &Relay,
        alternate: SocketAddr,
    ) -> Option<(IpAddr, SocketAddr, Vec<SocketAddr>)> {
        let alternate = columba_stun::canonical(alternate);
        let mut visited = relay.visited.clone();
        visited.push(relay.address);
        let is_new = !visited.contains(&alternate) && visited.len() <= MAX_REDIRECTIONS;
        if !is_new || !is_harmless(relay.address.ip(), alternate) {
            return None;
        }
        let is_same = |ip: &IpAddr| ip.is_ipv4() == alternate.is_ipv4();
        let usable = self.usable_addresses().into_iter().map(|one| one.address);
        let local = Some(relay.local).filter(is_same).or_else(|| usable.into_iter().find(is_same))?;
        Some((local, alternate, visited))
    }
}

/// Whether a server may send us there. Who answers the first request has proven nothing, so nobody is sent further inside a network than
/// where that answer comes from, and to no port where services listen that are not TURN's (as in libwebrtc).
fn is_harmless(from: IpAddr, to: SocketAddr) -> bool {
    let is_port_fit = to.port() >= 1024 || matches!(to.port(), 53 | 80 | 443);
    let reach = |ip| Reach::of(ip).map_or(0, |reach| reach as u8);
    is_port_fit && Reach::of(to.ip()).is_some() && reach(to.ip()) >= reach(from)
}

/// How far an address reaches.
#[derive(Clone, Copy, Debug)]
enum Reach {
    Host = 1,
    Link,
    Site,
    World,
}

impl Reach {
    /// `None` for what is nobody's address.
    fn of(ip: IpAddr) -> Option<Self> {
        let (nobody, host, link, site) = match ip {
            IpAddr::V4(ip) => {
                let [first, second, ..] = ip.octets();
                let shared = first == 100 && second & 0xC0 == 64;
                let nobody = first == 0 || ip.is_multicast() || first >= 240;
                (nobody, ip.is_loopback(), ip.is_link_local(), ip.is_private() || shared)
            }
            IpAddr::V6(ip) => {
                let nobody = ip.is_unspecified() || ip.is_multicast();
                (nobody, ip.is_loopback(), ip.is_unicast_link_local(), ip.is_unique_local())
            }
        };
        match () {
            () if nobody => None,
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
    fn nobody_is_sent_further_inside() {
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
    fn nobody_is_sent_to_nobody() {
        for nobody in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "[::]", "[ff02::1]"] {
            assert!(!leads("127.0.0.1", &format!("{nobody}:3478")), "{nobody}");
        }
        assert!(!leads("5.0.0.1", "5.0.0.2:0") && !leads("5.0.0.1", "5.0.0.2:25"));
    }
}
