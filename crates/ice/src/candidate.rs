//! Candidates: addresses at which a peer may be reached (RFC 8445 §5.1, RFC 8839 §5.1).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The component of all candidates: RTCP is always multiplexed with RTP (RFC 5761).
const COMPONENT: u32 = 1;

/// The highest "other" preference of RFC 6544 §4.2: 13 bits.
const OTHER_PREFERENCE: u16 = (1 << 13) - 1;

/// The ports below this one are for services.
const FIRST_FREE_PORT: u16 = 1024;

/// The origin of a candidate's address (RFC 8445 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateKind {
    /// An address of the host's own.
    Host,
    /// The address that a STUN server saw.
    ServerReflexive,
    /// The address that the other peer saw.
    PeerReflexive,
    /// An address of a TURN server that relays to the host.
    Relayed,
}

impl CandidateKind {
    /// Returns the type preference that RFC 8445 §5.1.2.2 recommends.
    #[must_use]
    pub const fn preference(self) -> u32 {
        match self {
            Self::Host => 126,
            Self::PeerReflexive => 110,
            Self::ServerReflexive => 100,
            Self::Relayed => 0,
        }
    }

    /// The type preference of a TCP candidate: below all direct candidates for datagrams, above
    /// relayed ones (RFC 6544 §4.2); libwebrtc's numbers.
    #[must_use]
    pub(crate) const fn tcp_preference(self) -> u32 {
        match self {
            Self::Host => 90,
            Self::PeerReflexive | Self::ServerReflexive => 80,
            Self::Relayed => 0,
        }
    }
}

/// The transport protocol between the peers; for a relayed candidate, between relay and peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateTransport {
    /// Datagrams.
    #[default]
    Udp,
    /// A TCP connection (RFC 6544).
    Tcp(TcpType),
}

impl CandidateTransport {
    /// Returns whether a connection is needed.
    #[must_use]
    pub const fn is_tcp(self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    /// Returns whether a candidate of this transport can send to one of the other (RFC 6544 §6.2).
    /// A passive one sends nothing by itself: it waits for a connection.
    #[must_use]
    pub(crate) const fn reaches(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Udp, Self::Udp)
                | (Self::Tcp(TcpType::Active), Self::Tcp(TcpType::Passive))
                | (Self::Tcp(TcpType::SimultaneousOpen), Self::Tcp(TcpType::SimultaneousOpen))
        )
    }
}

/// The side that opens the connection (RFC 6544 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpType {
    /// The candidate's owner opens connections.
    Active,
    /// The candidate's owner accepts them.
    Passive,
    /// Both open at once.
    SimultaneousOpen,
}

/// The address in a candidate, or the name that hides it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CandidateAddress {
    /// An address.
    Ip(IpAddr),
    /// A name: one that ends in `.local` is asked for by mDNS
    /// (draft-ietf-mmusic-mdns-ice-candidates), others by DNS.
    Name(Arc<str>),
}

/// A candidate, in its parts. Its text (RFC 8839 §5.1) belongs to descriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Equal for candidates of one type, base, server and transport (RFC 8445 §5.1.1.3).
    pub foundation: Arc<str>,
    /// The transport protocol.
    pub transport: CandidateTransport,
    /// RFC 8445 §5.1.2.
    pub priority: u32,
    /// The address or name.
    pub address: CandidateAddress,
    /// The port; 9 for an active TCP candidate.
    pub port: u16,
    /// The origin of the address.
    pub kind: CandidateKind,
    /// The base of a reflexive candidate or the mapped address of a relayed one; `0.0.0.0:0` where
    /// it is hidden.
    pub related: Option<SocketAddr>,
    /// The user name fragment of the session that the candidate belongs to (RFC 8838 §4), if it
    /// says so.
    pub ufrag: Option<Arc<str>>,
    /// The cost of the network behind it, 0 (wired) to 999, if known.
    pub network_cost: Option<u16>,
    /// For a local candidate: the server that it was had from, as
    /// [`IceServer::url`](crate::IceServer) says.
    pub url: Option<Arc<str>>,
}

impl Candidate {
    /// Returns the transport address, unless a name hides it.
    #[must_use]
    pub fn socket_address(&self) -> Option<SocketAddr> {
        match self.address {
            CandidateAddress::Ip(ip) => Some(SocketAddr::new(ip, self.port)),
            CandidateAddress::Name(_) => None,
        }
    }
}

/// Returns a candidate's priority from its parts (RFC 8445 §5.1.2.1).
#[must_use]
pub(crate) const fn priority(type_preference: u32, local_preference: u16) -> u32 {
    (type_preference << 24) | ((local_preference as u32) << 8) | (256 - COMPONENT)
}

/// Returns a TCP candidate's local preference from that of its address (RFC 6544 §4.2): of host
/// candidates, those that can open connections come first; behind a NAT, those that open at once
/// from both sides, because nothing else gets in there.
#[must_use]
pub(crate) const fn tcp_local_preference(kind: CandidateKind, tcp_type: TcpType, of_address: u16) -> u16 {
    let direction: u16 = match (kind, tcp_type) {
        (CandidateKind::Host, TcpType::Active) => 6,
        (CandidateKind::Host, TcpType::Passive) => 4,
        (CandidateKind::Host, TcpType::SimultaneousOpen) => 2,
        (_, TcpType::SimultaneousOpen) => 6,
        (_, TcpType::Active) => 4,
        (_, TcpType::Passive) => 2,
    };
    // The preference of addresses counts down from the top; 13 bits are more than there are
    // addresses.
    let rank = u16::MAX - of_address;
    let other = OTHER_PREFERENCE - if rank < OTHER_PREFERENCE { rank } else { OTHER_PREFERENCE };
    direction << 13 | other
}

/// Returns whether a connection may be opened to an address that the other side has named: not to
/// the ports of a host's own services (as in libwebrtc), but to those of the web, at which servers
/// listen for peers behind firewalls.
pub(crate) fn may_connect(remote: SocketAddr) -> bool {
    match remote.port() {
        80 | 443 => !is_private(remote.ip()),
        port => port >= FIRST_FREE_PORT,
    }
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

/// Returns a pair's priority from those of its candidates: `controlling` is the controlling agent's
/// (RFC 8445 §6.1.2.3).
#[must_use]
pub(crate) fn pair_priority(controlling: u32, controlled: u32) -> u64 {
    let (g, d) = (u64::from(controlling), u64::from(controlled));
    (g.min(d) << 32) + 2 * g.max(d) + u64::from(g > d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_types_reach_their_counterparts_only() {
        let all = [
            CandidateTransport::Udp,
            CandidateTransport::Tcp(TcpType::Active),
            CandidateTransport::Tcp(TcpType::Passive),
            CandidateTransport::Tcp(TcpType::SimultaneousOpen),
        ];
        let pairs = all.map(|one| all.map(|other| one.reaches(other)));
        let to_itself = |index: usize| std::array::from_fn(|other| other == index);
        assert_eq!(pairs, [to_itself(0), [false, false, true, false], [false; 4], to_itself(3)]);
        // Direct paths for datagrams first, then TCP, then relays.
        assert!(CandidateKind::Host.tcp_preference() < CandidateKind::ServerReflexive.preference());
        assert!(CandidateKind::PeerReflexive.tcp_preference() > CandidateKind::Relayed.preference() + 2);
    }

    #[test]
    fn priorities_follow_the_formulas_of_the_rfcs() {
        assert_eq!(priority(126, 65535), 2_130_706_431);
        assert_eq!(priority(0, 65535), 0x00FF_FFFF);
        let (host, mapped) = (CandidateKind::Host, CandidateKind::ServerReflexive);
        assert_eq!(tcp_local_preference(host, TcpType::Active, u16::MAX), 6 * 8192 + 8191);
        assert_eq!(tcp_local_preference(host, TcpType::Passive, u16::MAX - 3), 4 * 8192 + 8188);
        assert_eq!(tcp_local_preference(host, TcpType::SimultaneousOpen, 0), 2 * 8192);
        assert_eq!(tcp_local_preference(mapped, TcpType::SimultaneousOpen, u16::MAX), 6 * 8192 + 8191);
        assert_eq!(pair_priority(1, 2), (1 << 32) + 4);
        assert_eq!(pair_priority(2, 1), (1 << 32) + 5);
    }
}
