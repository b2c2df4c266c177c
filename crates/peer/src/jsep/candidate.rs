//! Conversion of candidates between ICE and SDP.

use std::net::{IpAddr, SocketAddr};

use columba_ice::{
    Candidate, CandidateAddress, CandidateKind as Kind, CandidateTransport as Transport, TcpType as Tcp,
};
use columba_sdp::{CandidateTransport, CandidateType, Host, RelatedAddress, TcpType};

/// The only component: RTCP is always multiplexed with RTP (RFC 5761).
const COMPONENT: u16 = 1;

/// Returns the candidate of ICE; `None` if it is of another component, of an unknown kind, or can
/// never be reached: to be ignored (RFC 8839 §5.1). `ufrag` is that of its section.
pub(crate) fn from_sdp(candidate: &columba_sdp::Candidate, ufrag: Option<&str>) -> Option<Candidate> {
    if candidate.component != COMPONENT {
        return None;
    }
    let transport = match &candidate.transport {
        CandidateTransport::Udp => Transport::Udp,
        CandidateTransport::Tcp => Transport::Tcp(match candidate.tcp_type()? {
            TcpType::Active => Tcp::Active,
            TcpType::Passive => Tcp::Passive,
            TcpType::SimultaneousOpen => Tcp::SimultaneousOpen,
        }),
        CandidateTransport::Other(_) => return None,
    };
    let kind = match &candidate.kind {
        CandidateType::Host => Kind::Host,
        CandidateType::ServerReflexive => Kind::ServerReflexive,
        CandidateType::PeerReflexive => Kind::PeerReflexive,
        CandidateType::Relayed => Kind::Relayed,
        CandidateType::Other(_) => return None,
    };
    let address = match &candidate.host {
        host if host.is_invalid() => return None,
        Host::Ip(ip) => CandidateAddress::Ip(*ip),
        Host::Name(name) => CandidateAddress::Name(name.as_str().into()),
    };
    let related = candidate.related.as_ref().and_then(|related| match related.host {
        Host::Ip(ip) => Some(SocketAddr::new(ip, related.port)),
        Host::Name(_) => None,
    });
    Some(Candidate {
        foundation: candidate.foundation.as_str().into(),
        transport,
        priority: candidate.priority,
        address,
        port: candidate.port,
        kind,
        related,
        ufrag: candidate.ufrag().or(ufrag).map(Into::into),
        network_cost: candidate.network_cost(),
        url: None,
    })
}

/// Returns the candidate as it is written.
pub(crate) fn to_sdp(candidate: &Candidate) -> columba_sdp::Candidate {
    let (transport, tcp_type) = match candidate.transport {
        Transport::Udp => (CandidateTransport::Udp, None),
        Transport::Tcp(Tcp::Active) => (CandidateTransport::Tcp, Some("active")),
        Transport::Tcp(Tcp::Passive) => (CandidateTransport::Tcp, Some("passive")),
        Transport::Tcp(Tcp::SimultaneousOpen) => (CandidateTransport::Tcp, Some("so")),
    };
    let kind = match candidate.kind {
        Kind::Host => CandidateType::Host,
        Kind::ServerReflexive => CandidateType::ServerReflexive,
        Kind::PeerReflexive => CandidateType::PeerReflexive,
        Kind::Relayed => CandidateType::Relayed,
    };
    let host = match &candidate.address {
        CandidateAddress::Ip(ip) => Host::Ip(*ip),
        CandidateAddress::Name(name) => Host::Name(name.to_string()),
    };
    let hidden = || SocketAddr::new(IpAddr::from([0; 4]), 0);
    let related = (candidate.kind != Kind::Host).then(|| candidate.related.unwrap_or_else(hidden));
    let extensions = [
        tcp_type.map(|tcp_type| ("tcptype", tcp_type.to_owned())),
        candidate.ufrag.as_ref().map(|ufrag| ("ufrag", ufrag.to_string())),
        candidate.network_cost.map(|cost| ("network-cost", cost.to_string())),
    ];
    let extensions = extensions.into_iter().flatten().map(|(name, value)| (name.to_owned(), value));
    let mut extensions: Vec<_> = extensions.collect();
    // Candidates are kept as long as the connection.
    extensions.shrink_to_fit();
    columba_sdp::Candidate {
        foundation: candidate.foundation.to_string(),
        component: COMPONENT,
        transport,
        priority: candidate.priority,
        host,
        port: candidate.port,
        kind,
        related: related.map(|related| RelatedAddress::new(related.ip(), related.port())),
        extensions,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_of_browsers_survive_the_round_trip() {
        for text in [
            "candidate:1 1 udp 2122194687 192.0.2.2 33681 typ host ufrag K1CP network-cost 10",
            "candidate:2 1 udp 1 861c320e-b193-4828-a1b7-0406ee17cb66.local 43361 typ host ufrag abcd",
            "candidate:3 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active ufrag Kx3z",
            "candidate:4 1 udp 5 2001:db8::1 50051 typ srflx raddr :: rport 0 ufrag Kx3z",
            "candidate:5 1 udp 5 198.51.100.1 50051 typ relay raddr 192.0.2.1 rport 7 ufrag Kx3z",
        ] {
            let read: columba_sdp::Candidate = text.parse().unwrap();
            let ice = from_sdp(&read, None).unwrap();
            assert_eq!(to_sdp(&ice).to_string(), text);
        }
    }

    #[test]
    fn unusable_candidates_are_ignored() {
        for text in [
            "1 1 sctp 1 192.0.2.1 1 typ host",
            "1 1 udp 1 192.0.2.1 1 typ magic",
            "1 1 udp 1 x.invalid 1 typ host",
            "1 2 udp 1 192.0.2.1 1 typ host",
            "1 256 udp 1 192.0.2.1 1 typ host",
        ] {
            assert_eq!(from_sdp(&text.parse().unwrap(), None), None, "{text}");
        }
        let given = from_sdp(&"1 1 udp 1 192.0.2.1 1 typ host".parse().unwrap(), Some("abcd")).unwrap();
        assert_eq!(given.ufrag.as_deref(), Some("abcd"));
        let tcp = from_sdp(&"1 1 tcp 1 192.0.2.1 1 typ host".parse().unwrap(), None).unwrap();
        assert_eq!(tcp.transport, Transport::Tcp(Tcp::Passive), "as browsers read it");
    }
}
