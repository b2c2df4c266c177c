//! The policy for the addresses of peers: it keeps the relay from everything that is not the open
//! internet.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use columba_stun::canonical_ip;
use ipnet::IpNet;

use super::config::Config;

/// The verdict on a peer's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Data may leave for it by a relay port.
    Socket,
    /// It is an address of this server: data may go to a live allocation there, within this
    /// process.
    InProcess,
    /// 403.
    Forbidden,
}

/// The rules, made ready for judging.
#[derive(Debug)]
pub(super) struct Policy {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    own: BTreeSet<IpAddr>,
    listeners: Vec<SocketAddr>,
}

impl Policy {
    pub(super) fn new(config: &Config) -> Self {
        let mut policy = Self {
            allow: config.allow_peers.clone(),
            deny: config.deny_peers.clone(),
            own: BTreeSet::new(),
            listeners: config.listeners.iter().map(|addr| columba_stun::canonical(*addr)).collect(),
        };
        let listening = config.listeners.iter().map(SocketAddr::ip);
        config.own_addresses.iter().copied().chain(listening).for_each(|ip| policy.learn(ip));
        policy
    }

    /// From now on `ip` is an address of this server, unless it is one that every host has.
    pub(super) fn learn(&mut self, ip: IpAddr) {
        let ip = canonical_ip(ip);
        if !ip.is_loopback() && !ip.is_unspecified() {
            self.own.insert(ip);
        }
    }

    /// Returns whether a client may have a permission for `ip`, which must be canonical.
    pub(super) fn judge(&self, ip: IpAddr) -> Verdict {
        // Sent to the unspecified address, a datagram reaches this very host: nothing opens that.
        if ip.is_unspecified() || contains(&self.deny, ip) {
            return Verdict::Forbidden;
        }
        if self.is_own(ip) {
            return Verdict::InProcess;
        }
        let literal = contains(&self.allow, ip);
        let open = match ip {
            IpAddr::V4(v4) => literal || !is_special_v4(v4),
            IpAddr::V6(v6) => match embedded(v6) {
                // Where a translator would carry it decides; an own address reached by that detour
                // is no peer.
                Some(ends) => ends.into_iter().flatten().all(|v4| self.passes_translated(v4, literal)),
                None => literal || !is_special_v6(v6),
            },
        };
        if open { Verdict::Socket } else { Verdict::Forbidden }
    }

    /// Returns whether data for `addr`, whose address has a permission, must not leave by a socket.
    pub(super) fn is_closed(&self, addr: SocketAddr) -> bool {
        self.is_own(addr.ip()) || (addr.ip().is_loopback() && self.is_listener(addr))
    }

    /// Returns whether `ip` is an address of this server.
    pub(super) fn is_own(&self, ip: IpAddr) -> bool {
        self.own.contains(&ip)
    }

    fn is_listener(&self, addr: SocketAddr) -> bool {
        self.listeners
            .iter()
            .any(|l| l.port() == addr.port() && (l.ip() == addr.ip() || l.ip().is_unspecified()))
    }

    fn passes_translated(&self, v4: Ipv4Addr, literal: bool) -> bool {
        let ip = IpAddr::V4(v4);
        !self.is_own(ip)
            && !contains(&self.deny, ip)
            && !v4.is_unspecified()
            && (literal || contains(&self.allow, ip) || !is_special_v4(v4))
    }
}

fn contains(nets: &[IpNet], ip: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

/// IPv4 addresses that are not global unicast (RFC 6890 and the registry it founded).
fn is_special_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    match a {
        0 | 10 | 127 | 224.. => true,
        100 => b & 0xc0 == 64,
        169 => b == 254,
        172 => b & 0xf0 == 16,
        192 => matches!((b, c), (0, 0 | 2) | (88, 99) | (168, _)),
        198 => b & 0xfe == 18 || (b, c) == (51, 100),
        203 => (b, c) == (0, 113),
        _ => false,
    }
}

/// IPv6 addresses that are not global unicast: all but global unicast (2000::/3), and the parts of
/// that for documentation (RFC 3849, RFC 9637), benchmarks, identifiers and other protocols' own
/// use (2001::/23, RFC 2928).
fn is_special_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    a & 0xe000 != 0x2000 || (a == 0x2001 && (b < 0x0200 || b == 0x0db8)) || (a == 0x3fff && b & 0xf000 == 0)
}

/// The IPv4 addresses inside an IPv6 address that leads to them: IPv4-compatible (RFC 4291
/// §2.5.5.1), NAT64 (RFC 6052), 6to4 (RFC 3056), and Teredo (RFC 4380) with its server and its
/// client.
///
/// The prefix for local NAT64 (64:ff9b:1::/48, RFC 8215) is not among them: where its IPv4 address
/// stands depends on how the translator is set up, so it is refused whole, as an address outside
/// 2000::/3.
fn embedded(ip: Ipv6Addr) -> Option<[Option<Ipv4Addr>; 2]> {
    let s = ip.segments();
    let at = |i: usize| join(s[i], s[i + 1]);
    match s {
        [0, 0, 0, 0, 0, 0, 0, 1] => None,
        [0, 0, 0, 0, 0, 0, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some([Some(at(6)), None]),
        [0x2002, ..] => Some([Some(at(1)), None]),
        [0x2001, 0, ..] => Some([Some(at(2)), Some(join(!s[6], !s[7]))]),
        _ => None,
    }
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(policy: &Policy, ip: &str) -> Verdict {
        policy.judge(canonical_ip(ip.parse().unwrap()))
    }

    fn with(allow: &[&str], deny: &[&str], own: &[&str], listeners: &[&str]) -> Policy {
        Policy::new(&Config {
            allow_peers: allow.iter().map(|s| s.parse().unwrap()).collect(),
            deny_peers: deny.iter().map(|s| s.parse().unwrap()).collect(),
            own_addresses: own.iter().map(|s| s.parse().unwrap()).collect(),
            listeners: listeners.iter().map(|s| s.parse().unwrap()).collect(),
            ..Config::default()
        })
    }

    #[test]
    fn addresses_off_the_internet_are_forbidden() {
        let policy = with(&[], &[], &[], &[]);
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "fc00::1",
            "fd12:3456::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "2001:2::1",
            "2001:20::1",
            "100::1",
            "5f00::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "64:ff9b:1::808:808",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:c0a8:101::1",
            "::ffff:0:10.0.0.1",
            "4000::1",
            "2001:0:808:808:0:0:f5ff:fffe", // Teredo, client 10.0.0.1
            "2001:0:a00:1:0:0:f7f7:f7f7",   // Teredo, server 10.0.0.1
        ] {
            assert_eq!(judge(&policy, ip), Verdict::Forbidden, "{ip}");
        }
    }

    #[test]
    fn the_internet_is_open() {
        let policy = with(&[], &[], &[], &[]);
        for ip in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2a00::1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2001:0:808:808:0:0:f7f7:f7f7",
            "2001:4860::1",
        ] {
            assert_eq!(judge(&policy, ip), Verdict::Socket, "{ip}");
        }
    }

    #[test]
    fn allowing_opens_and_denying_closes() {
        let policy =
            with(&["10.0.0.0/8", "fd00::/8", "0.0.0.0/0", "::/0"], &["10.9.0.0/16", "8.8.8.8/32"], &[], &[]);
        for ip in
            ["10.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "fd00::1", "127.0.0.1", "::1"]
        {
            assert_eq!(judge(&policy, ip), Verdict::Socket, "{ip}");
        }
        for ip in ["10.9.0.1", "8.8.8.8", "64:ff9b::a09:1", "2002:808:808::", "0.0.0.0", "::", "64:ff9b::"] {
            assert_eq!(judge(&policy, ip), Verdict::Forbidden, "{ip}");
        }
    }

    #[test]
    fn own_addresses_are_reached_in_process_only_whatever_is_allowed() {
        let mut policy =
            with(&["0.0.0.0/0", "::/0"], &["5.5.5.5/32"], &["5.0.0.1", "10.0.0.9", "127.0.0.1"], &[]);
        for ip in ["5.0.0.1", "10.0.0.9", "::ffff:5.0.0.1"] {
            assert_eq!(judge(&policy, ip), Verdict::InProcess, "{ip}");
            assert!(policy.is_closed(SocketAddr::new(canonical_ip(ip.parse().unwrap()), 9)));
        }
        for detour in ["64:ff9b::500:1", "2002:500:1::", "::5.0.0.1"] {
            assert_eq!(judge(&policy, detour), Verdict::Forbidden, "{detour}");
        }
        assert_eq!(judge(&policy, "127.0.0.1"), Verdict::Socket, "loopback is not own");
        assert_eq!(judge(&policy, "2a00::5"), Verdict::Socket);
        policy.learn("2a00::5".parse().unwrap());
        policy.learn("5.5.5.5".parse().unwrap());
        assert_eq!(judge(&policy, "2a00::5"), Verdict::InProcess);
        assert_eq!(judge(&policy, "5.5.5.5"), Verdict::Forbidden, "a denial is stronger");
    }

    #[test]
    fn listening_sockets_stay_closed_when_loopback_is_open() {
        let policy =
            with(&["127.0.0.0/8", "::1/128"], &[], &[], &["127.0.0.1:3478", "[::]:8080", "5.0.0.2:443"]);
        let closed = |addr: &str| policy.is_closed(addr.parse().unwrap());
        assert!(closed("127.0.0.1:3478"));
        assert!(closed("127.0.0.1:8080") && closed("127.7.7.7:8080") && closed("[::1]:8080"));
        assert!(!closed("127.0.0.1:9000") && !closed("127.0.0.2:3478") && !closed("[::1]:3478"));
        assert!(closed("5.0.0.2:443") && closed("5.0.0.2:1000"), "where one listens is one's own address");
        assert!(!closed("6.0.0.1:8080"));
    }
}
