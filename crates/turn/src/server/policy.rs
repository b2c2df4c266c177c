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
    /// It is an address of this host: data may go to a live allocation there, within this process,
    /// or to a port that the operator has opened.
    Own,
    /// 403.
    Forbidden,
}

/// The rules, made ready for judging.
#[derive(Debug)]
pub(super) struct Policy {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    own: BTreeSet<IpAddr>,
    /// Wider than one address.
    own_networks: Vec<IpNet>,
    open_ports: Vec<u16>,
    listeners: Vec<SocketAddr>,
    closed_ports: Vec<u16>,
}

/// Where clouds tell a machine its credentials and its users' data, and where they serve its time
/// and names: a client that reaches one through the machine may become the machine.
const METADATA: [IpAddr; 20] = [
    // Amazon, Google, Microsoft, Oracle, DigitalOcean, OpenStack and most others.
    v4(169, 254, 169, 254),
    // Amazon: tasks, pods, time, names.
    v4(169, 254, 170, 2),
    v4(169, 254, 170, 23),
    v4(169, 254, 169, 123),
    v4(169, 254, 169, 253),
    // Microsoft.
    v4(168, 63, 129, 16),
    // Oracle.
    v4(192, 0, 0, 192),
    // Alibaba, with its names.
    v4(100, 100, 100, 200),
    v4(100, 100, 2, 136),
    v4(100, 100, 2, 138),
    // Tencent.
    v4(169, 254, 0, 23),
    // Scaleway.
    v4(169, 254, 42, 42),
    v6([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42]),
    // Amazon over IPv6, and its pods.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23]),
    // Amazon's time and names over IPv6.
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x123]),
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253]),
    // Linode over IPv6.
    v6([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1]),
    // Google over IPv6.
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254]),
    // OpenStack over IPv6.
    v6([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe]),
];

/// Where no datagram of a relay can go: it would reach this very host or many at once, or has no
/// route without a scope, which STUN cannot carry.
const NOWHERE: [(IpAddr, u8); 7] = [
    (v4(0, 0, 0, 0), 32),
    (v4(224, 0, 0, 0), 4),
    (v4(255, 255, 255, 255), 32),
    (v6([0; 8]), 128),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8),
    // What is IPv4 is judged as such.
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0]), 96),
];

/// The reason for which an entry of [`Config::allow_peers`] opens less than it names, or more than
/// its operator may think. See [`Config::doubtful_peers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// Nothing is opened: no datagram can go there (unspecified, multicast, broadcast, IPv6
    /// link-local, and IPv4 addresses written as IPv6).
    Nowhere,
    /// Nothing is opened: this entry of [`Config::deny_peers`] is stronger.
    Denied(IpNet),
    /// This metadata service of a cloud stays closed, because only an entry for it alone opens it.
    Metadata(IpAddr),
    /// Clients reach every program of this host that listens at a loopback address, but for
    /// [`Config::listeners`].
    Loopback,
}

impl Config {
    /// The entries of [`allow_peers`](Self::allow_peers) that do not simply open what they name,
    /// each with the reason, to be said to the operator. Addresses of the host itself
    /// ([`own_addresses`](Self::own_addresses)), which may change, are not looked at.
    #[must_use]
    pub fn doubtful_peers(&self) -> Vec<(IpNet, Doubt)> {
        let mut doubts = Vec::new();
        for net in &self.allow_peers {
            let is_whole = |other: &IpNet| other.contains(net);
            if nowhere().any(|other| is_whole(&other)) {
                doubts.push((*net, Doubt::Nowhere));
            } else if let Some(denied) = self.deny_peers.iter().find(|denied| is_whole(denied)) {
                doubts.push((*net, Doubt::Denied(*denied)));
            } else {
                let is_closed = |ip: &IpAddr| net.contains(ip) && is_metadata_closed(&self.allow_peers, *ip);
                let named = METADATA.into_iter().find(is_closed);
                doubts.extend(named.map(|ip| (*net, Doubt::Metadata(ip))));
                let loopback = [v4(127, 0, 0, 1), v6([0, 0, 0, 0, 0, 0, 0, 1])];
                let is_loopback = loopback.iter().any(|ip| net.contains(ip)) || net.addr().is_loopback();
                doubts.extend(is_loopback.then_some((*net, Doubt::Loopback)));
            }
        }
        doubts
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6([a, b, c, d, e, f, g, h]: [u16; 8]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h))
}

impl Policy {
    pub(super) fn new(config: &Config) -> Self {
        let mut policy = Self {
            allow: config.allow_peers.clone(),
            deny: config.deny_peers.clone(),
            own: BTreeSet::new(),
            own_networks: Vec::new(),
            open_ports: config.own_ports.clone(),
            closed_ports: config.closed_ports.clone(),
            listeners: config.listeners.iter().map(|addr| columba_stun::canonical(*addr)).collect(),
        };
        let listening = config.listeners.iter().map(SocketAddr::ip);
        config.own_addresses.iter().copied().chain(listening).for_each(|ip| policy.learn(ip));
        config.own_networks.iter().for_each(|network| policy.learn_network(*network));
        policy
    }

    /// From now on `ip` is an address of this server, unless it is one that every host has.
    pub(super) fn learn(&mut self, ip: IpAddr) {
        let ip = canonical_ip(ip);
        if !ip.is_loopback() && !ip.is_unspecified() {
            self.own.insert(ip);
        }
    }

    /// From now on all of `network` is this host's, unless it is within what every host has.
    fn learn_network(&mut self, network: IpNet) {
        if network.prefix_len() == network.max_prefix_len() {
            self.learn(network.addr());
        } else if !network.network().is_loopback() {
            self.own_networks.push(network);
        }
    }

    /// Returns whether a client may have a permission for `ip`, which must be canonical.
    pub(super) fn judge(&self, ip: IpAddr) -> Verdict {
        if goes_nowhere(ip) || contains(&self.deny, ip) || self.is_closed_metadata(ip) {
            return Verdict::Forbidden;
        }
        if self.is_own(ip) {
            return Verdict::Own;
        }
        let literal = contains(&self.allow, ip);
        let open = match ip {
            IpAddr::V4(v4) => literal || !is_special_v4(v4),
            IpAddr::V6(v6) => match embedded(v6) {
                // Where a translator would carry it decides; an own address reached by that detour
                // is no peer.
                Some(ends) => ends.into_iter().flatten().all(|v4| self.passes_translated(v4, literal)),
                None => (literal || !is_special_v6(v6)) && !self.leads_home(v6),
            },
        };
        if open { Verdict::Socket } else { Verdict::Forbidden }
    }

    /// Returns whether data for `addr`, whose address has a permission, must not leave by a socket.
    pub(super) fn is_closed(&self, addr: SocketAddr) -> bool {
        if self.closed_ports.contains(&addr.port()) {
            return true;
        }
        let is_own = self.is_own(addr.ip());
        (is_own && !self.open_ports.contains(&addr.port()))
            || ((is_own || addr.ip().is_loopback()) && self.is_listener(addr))
    }

    /// Returns whether `ip` is an address of this host.
    pub(super) fn is_own(&self, ip: IpAddr) -> bool {
        self.own.contains(&ip) || (!self.own_networks.is_empty() && self.is_in_own_network(ip))
    }

    fn is_in_own_network(&self, ip: IpAddr) -> bool {
        !ip.is_loopback() && contains(&self.own_networks, ip)
    }

    /// Returns whether some port of the host's is open to peers.
    pub(super) fn has_open_ports(&self) -> bool {
        !self.open_ports.is_empty()
    }

    /// Returns whether `ip` is a cloud's metadata service that is not allowed by an entry for it
    /// alone.
    fn is_closed_metadata(&self, ip: IpAddr) -> bool {
        METADATA.contains(&ip) && is_metadata_closed(&self.allow, ip)
    }

    /// Returns whether a local translator may carry what is sent to `ip` to where nothing leads: to
    /// this host, to what is denied, or to a cloud's metadata service. What else it carries, those
    /// who allow its prefix have allowed.
    fn leads_home(&self, ip: Ipv6Addr) -> bool {
        let closed = |v4: Ipv4Addr| {
            let ip = IpAddr::V4(v4);
            v4.is_loopback() || self.is_own(ip) || contains(&self.deny, ip) || self.is_closed_metadata(ip)
        };
        translated(ip).into_iter().flatten().any(closed)
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
            && !self.is_closed_metadata(ip)
            && !goes_nowhere(ip)
            && (literal || contains(&self.allow, ip) || !is_special_v4(v4))
    }
}

/// Returns whether no entry is for this metadata service alone.
fn is_metadata_closed(allow: &[IpNet], ip: IpAddr) -> bool {
    !allow.iter().any(|net| net.prefix_len() == net.max_prefix_len() && net.addr() == ip)
}

fn nowhere() -> impl Iterator<Item = IpNet> {
    NOWHERE.into_iter().map(|(ip, length)| IpNet::new_assert(ip, length))
}

fn goes_nowhere(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local(),
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
/// The prefixes of local translators are not among them, see [`translated`]: they are refused
/// whole, as addresses outside 2000::/3, unless the operator allows them.
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

/// The IPv4 addresses to which a translator at this site may carry what is sent to an IPv6 address:
/// local NAT64 (64:ff9b:1::/48, RFC 8215), where the place of the IPv4 address depends on how long
/// a prefix the translator has (RFC 6052 §2.2), stateless translation (::ffff:0:0:0/96, RFC 7915),
/// and tunnels inside the site (ISATAP, RFC 5214 §6.1).
fn translated(ip: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let s = ip.segments();
    let at = |i: usize| Some(join(s[i], s[i + 1]));
    let bytes = ip.octets();
    let of = |places: [usize; 4]| Some(Ipv4Addr::from(places.map(|i| bytes[i])));
    match s {
        // Byte 8 is skipped by all of them.
        [0x64, 0xff9b, 1, ..] => [of([6, 7, 9, 10]), of([7, 9, 10, 11]), of([9, 10, 11, 12]), at(6)],
        [0, 0, 0, 0, 0xffff, 0, ..] | [_, _, _, _, 0 | 0x200, 0x5efe, ..] => [at(6), None, None, None],
        _ => [None; 4],
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
            assert_eq!(judge(&policy, ip), Verdict::Own, "{ip}");
            assert!(policy.is_closed(SocketAddr::new(canonical_ip(ip.parse().unwrap()), 9)));
        }
        for detour in ["64:ff9b::500:1", "2002:500:1::", "::5.0.0.1"] {
            assert_eq!(judge(&policy, detour), Verdict::Forbidden, "{detour}");
        }
        assert_eq!(judge(&policy, "127.0.0.1"), Verdict::Socket, "loopback is not own");
        assert_eq!(judge(&policy, "2a00::5"), Verdict::Socket);
        policy.learn("2a00::5".parse().unwrap());
        policy.learn("5.5.5.5".parse().unwrap());
        assert_eq!(judge(&policy, "2a00::5"), Verdict::Own);
        assert_eq!(judge(&policy, "5.5.5.5"), Verdict::Forbidden, "a denial is stronger");
    }

    #[test]
    fn own_networks_are_own_as_a_whole() {
        // What the kernel's table of local routes may hold: ranges, broadcast and anycast.
        let networks =
            ["203.0.115.0/24", "2a0f:1:2:3::/128", "203.0.114.255/32", "127.0.0.0/8", "2a0f:9::/32"];
        let policy = Policy::new(&Config {
            own_networks: networks.iter().map(|s| s.parse().unwrap()).collect(),
            allow_peers: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            ..Config::default()
        });
        for ip in ["203.0.115.9", "203.0.114.255", "2a0f:1:2:3::", "2a0f:9:0:1::7", "::ffff:203.0.115.1"] {
            assert_eq!(judge(&policy, ip), Verdict::Own, "{ip}");
            assert!(policy.is_closed(SocketAddr::new(canonical_ip(ip.parse().unwrap()), 9)), "{ip}");
        }
        for ip in ["203.0.116.1", "2a0f:1:2:3::1", "127.0.0.1"] {
            assert_eq!(judge(&policy, ip), Verdict::Socket, "{ip}");
        }
        assert_eq!(judge(&policy, "64:ff9b::203.0.115.1"), Verdict::Forbidden, "by a detour");
    }

    #[test]
    fn translators_of_the_site_do_not_lead_home() {
        let policy = with(&["::/0"], &["9.9.9.0/24"], &["5.0.0.1"], &[]);
        for home in ["5.0.0.1", "9.9.9.9", "127.0.0.1"] {
            for prefix in ["64:ff9b:1::", "::ffff:0:", "2a00::5efe:", "2a00::200:5efe:", "fe80::5efe:"] {
                assert_eq!(judge(&policy, &format!("{prefix}{home}")), Verdict::Forbidden, "{prefix}{home}");
            }
        }
        assert_eq!(judge(&policy, "64:ff9b:1:500:0:100::"), Verdict::Forbidden, "behind 48 bits");
        assert_eq!(judge(&policy, "64:ff9b:1::6.0.0.1"), Verdict::Socket);
    }

    #[test]
    fn metadata_services_are_closed_unless_they_are_named() {
        let wide =
            ["0.0.0.0/0", "169.254.0.0/16", "168.63.129.0/24", "100.64.0.0/10", "::/0", "64:ff9b::/96"];
        let closed = [
            "169.254.169.254",
            "169.254.170.2",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::a9fe:a9fe",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a83f:8110::1",
            "fd00:ec2::253",
            "fd00:a9fe:a9fe::1",
            // By translators of this site, whose prefixes ::/0 allows.
            "::ffff:0:169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:64a9:fe:a9fe::",
            "64:ff9b:1:6464:a9:fea9:fe00:0",
            "2a00::5efe:169.254.169.254",
            "fd00::200:5efe:168.63.129.16",
        ];
        let policy = with(&wide, &[], &[], &[]);
        for ip in closed {
            assert_eq!(judge(&policy, ip), Verdict::Forbidden, "{ip}");
        }
        for ip in ["169.254.1.1", "64:ff9b:1::808:808", "::ffff:0:8.8.8.8", "2a00::5efe:10.0.0.1"] {
            assert_eq!(judge(&policy, ip), Verdict::Socket, "{ip}");
        }
        let nothing = with(&[], &[], &[], &[]);
        assert_eq!(judge(&nothing, "168.63.129.16"), Verdict::Forbidden, "though it is a public address");
        let named = with(&["169.254.169.254/32", "fd00:ec2::254/128"], &[], &[], &[]);
        assert_eq!(judge(&named, "169.254.169.254"), Verdict::Socket);
        assert_eq!(judge(&named, "fd00:ec2::254"), Verdict::Socket);
        assert_eq!(judge(&named, "169.254.170.2"), Verdict::Forbidden);
        let denied = with(&["169.254.169.254/32"], &["169.254.0.0/16"], &[], &[]);
        assert_eq!(judge(&denied, "169.254.169.254"), Verdict::Forbidden, "a denial is stronger");
    }

    #[test]
    fn nothing_opens_addresses_where_no_datagram_can_go() {
        let policy = with(&["0.0.0.0/0", "::/0", "224.0.0.5/32", "fe80::1/128"], &[], &[], &[]);
        for ip in [
            "0.0.0.0",
            "::",
            "224.0.0.5",
            "239.1.2.3",
            "255.255.255.255",
            "ff02::1",
            "ff0e::1",
            "fe80::1",
            "febf::1",
            "::ffff:224.0.0.1",
            "64:ff9b::224.0.0.1",
            "2002:ffff:ffff::1",
        ] {
            assert_eq!(judge(&policy, ip), Verdict::Forbidden, "{ip}");
        }
    }

    #[test]
    fn entries_that_open_less_or_more_than_they_seem_to_are_known() {
        let doubts = |allow: &[&str], deny: &[&str]| {
            let config = Config {
                allow_peers: allow.iter().map(|s| s.parse().unwrap()).collect(),
                deny_peers: deny.iter().map(|s| s.parse().unwrap()).collect(),
                ..Config::default()
            };
            config.doubtful_peers().into_iter().map(|(_, doubt)| doubt).collect::<Vec<_>>()
        };
        assert_eq!(doubts(&["10.0.0.0/8", "192.168.1.7/32", "fd12::/16"], &["10.1.0.0/16"]), []);
        for net in ["224.0.0.0/4", "239.1.0.0/16", "255.255.255.255/32", "0.0.0.0/32", "::/128"] {
            assert_eq!(doubts(&[net], &[]), [Doubt::Nowhere], "{net}");
        }
        for net in ["ff00::/8", "ff02::1/128", "fe80::/10", "fe80::a9fe:a9fe/128", "::ffff:10.0.0.0/104"] {
            assert_eq!(doubts(&[net], &[]), [Doubt::Nowhere], "{net}");
        }
        let all = "10.0.0.0/8".parse().unwrap();
        assert_eq!(doubts(&["10.1.0.0/16"], &["10.0.0.0/8"]), [Doubt::Denied(all)]);
        assert_eq!(doubts(&["10.0.0.0/8"], &["10.0.0.0/8"]), [Doubt::Denied(all)]);
        let metadata = |ip: &str| Doubt::Metadata(ip.parse().unwrap());
        assert_eq!(doubts(&["169.254.0.0/16"], &[]), [metadata("169.254.169.254")]);
        assert_eq!(doubts(&["169.254.169.254/32"], &[]), []);
        assert_eq!(doubts(&["168.63.0.0/16"], &[]), [metadata("168.63.129.16")]);
        assert_eq!(doubts(&["fd00:ec2::/32"], &[]).len(), 1);
        for net in ["127.0.0.0/8", "127.0.0.1/32", "127.5.0.0/16", "::1/128"] {
            assert_eq!(doubts(&[net], &[]), [Doubt::Loopback], "{net}");
        }
        assert_eq!(doubts(&["0.0.0.0/0"], &[]), [metadata("169.254.169.254"), Doubt::Loopback]);
    }

    #[test]
    fn own_ports_are_open_where_the_program_does_not_listen() {
        let policy = Policy::new(&Config {
            own_addresses: vec!["5.0.0.1".parse().unwrap()],
            listeners: vec!["[::]:8080".parse().unwrap()],
            own_ports: vec![7882, 8080],
            closed_ports: vec![3478],
            ..Config::default()
        });
        let closed = |addr: &str| policy.is_closed(addr.parse().unwrap());
        assert!(!closed("5.0.0.1:7882"));
        assert!(closed("5.0.0.1:7883") && closed("5.0.0.1:8080"));
        // A hairpin of a NAT leads from any address to the listening socket.
        assert!(closed("6.0.0.1:3478") && closed("5.0.0.1:3478") && closed("[2a00::7]:3478"));
        assert!(!closed("6.0.0.1:7883"));
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
