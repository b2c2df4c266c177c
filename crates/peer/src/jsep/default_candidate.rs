//! The default candidate: the address in `m=` and `c=`, for other sides that know no ICE (RFC 8839
//! §4.2.1.2).

use columba_ice::Credentials;
use columba_sdp::attributes::{Connection, IceUfrag};
use columba_sdp::{Candidate, CandidateTransport, CandidateType, Host, NetworkAddress, SessionDescription};

/// Writes the address of the default candidate into the sections with these credentials. Without
/// one they stay as they are: port 9, and no address.
pub(super) fn write(description: &mut SessionDescription, credentials: &Credentials, found: &[Candidate]) {
    let Some((candidate, ip)) = choose(found) else { return };
    for section in &mut description.media {
        let ufrag = section.lines.get::<IceUfrag>().ok().flatten();
        // Port 0 of a bundle-only section stays.
        if section.head().port == 0 || ufrag.is_none_or(|ufrag| *ufrag.0 != *credentials.ufrag) {
            continue;
        }
        section.set_port(candidate.port);
        // An address can always be written.
        let _ = section.lines.set(&Connection::from(NetworkAddress::new(ip)));
    }
}

/// Returns the candidate that most likely works for a side without ICE (RFC 8445 §5.1.4): relayed
/// ones first, then reflexive ones, and IPv4 before IPv6.
fn choose(found: &[Candidate]) -> Option<(&Candidate, std::net::IpAddr)> {
    let usable = found.iter().filter_map(|candidate| match candidate.host {
        Host::Ip(ip) if candidate.transport == CandidateTransport::Udp => Some((candidate, ip)),
        _ => None,
    });
    usable.max_by_key(|(candidate, ip)| {
        let rank = match candidate.kind {
            CandidateType::Relayed => 2,
            CandidateType::ServerReflexive => 1,
            _ => 0,
        };
        (rank, ip.is_ipv4(), candidate.priority)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relayed_candidate_is_the_default_in_all_sections_of_its_transport() {
        let text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
                    m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
                    m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\n\
                    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
                    a=ice-ufrag:abcd\r\n";
        let credentials = Credentials { ufrag: "abcd".into(), pwd: "abcdefghijklmnopqrstuvwx".into() };
        let candidates: Vec<Candidate> = [
            "1 1 udp 2130706431 10.0.0.1 5000 typ host",
            "2 1 udp 50331391 2001:db8::5 5001 typ relay raddr 10.0.0.1 rport 5000",
            "3 1 udp 50331390 192.0.2.5 5002 typ relay raddr 10.0.0.1 rport 5000",
            "4 1 tcp 1524629247 10.0.0.1 9 typ host tcptype active",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let mut description: SessionDescription = text.parse().unwrap();
        write(&mut description, &credentials, &candidates[3..]);
        assert_eq!(description.to_string(), text, "TCP is no default");
        write(&mut description, &credentials, &candidates);
        let text = description.to_string();
        assert!(text.contains("m=audio 5002 UDP") && text.contains("m=application 5002 UDP"), "{text}");
        assert_eq!(text.matches("c=IN IP4 192.0.2.5\r\n").count(), 2, "{text}");
        assert!(text.contains("m=video 0 "), "{text}");
    }
}
