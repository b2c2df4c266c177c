//! Text that departs from the grammar and that browsers take all the same: libwebrtc's and
//! Firefox's parsers ignore the parts on which nothing depends.

use columba_sdp::attributes::*;
use columba_sdp::{Candidate, CandidateTransport, Error, Lines, RelatedAddress, SessionDescription, TcpType};

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n";

fn parse(tail: &str) -> SessionDescription {
    let description: SessionDescription = format!("{HEAD}{tail}").parse().unwrap();
    assert_eq!(description.to_string().parse(), Ok(description.clone()), "it comes back from its print");
    description
}

fn lines(attributes: &str) -> Lines {
    parse(&format!("{VIDEO}{attributes}")).media.remove(0).lines
}

/// Reads a candidate with these words after the type, and checks that it comes back from its print.
fn candidate(extensions: &str) -> Candidate {
    let text = format!("candidate:1 1 udp 7 192.0.2.1 54400 typ srflx{extensions}");
    let candidate: Candidate = text.parse().unwrap_or_else(|error| panic!("{extensions}: {error}"));
    assert!(candidate.is_printable(), "{extensions}");
    assert_eq!(candidate.to_string().parse(), Ok(candidate.clone()));
    candidate
}

#[test]
fn extension_name_without_value_at_the_end_is_ignored() {
    let full = candidate(" raddr 10.0.0.2 rport 9 generation 0");
    assert_eq!(candidate(" raddr 10.0.0.2 rport 9 generation 0 network-cost"), full);
    for name in [" generation", " x", " raddr", " rport", " tcptype", " ufrag "] {
        assert_eq!(candidate(name), candidate(""), "{name}");
    }
}

#[test]
fn unreadable_related_addresses_do_not_matter() {
    for extensions in [" raddr ? rport 9", " raddr 10.0.0.2/8", " rport 70000", " rport x", " rport 9"] {
        assert_eq!(candidate(extensions).related, None, "{extensions}");
    }
    let related = Some(RelatedAddress::new("::1".parse().unwrap(), 0));
    assert_eq!(candidate(" raddr ::1 rport x").related, related);
    assert_eq!(candidate(" raddr ? raddr ::1").related, related);
}

#[test]
fn unreadable_extensions_have_no_value() {
    let candidate = candidate(" generation x network-id 70000 network-cost -1 tcptype sometimes");
    assert_eq!(
        (candidate.generation(), candidate.network_id(), candidate.network_cost()),
        (None, None, None)
    );
    assert_eq!(candidate.tcp_type(), None);
    assert_eq!(candidate.extension("network-id"), Some("70000"));
}

#[test]
fn tcp_candidate_without_a_type_is_passive() {
    let text = "1 1 TCP 7 192.0.2.1 9 typ host";
    let bare: Candidate = text.parse().unwrap();
    assert_eq!(bare.transport, CandidateTransport::Tcp);
    assert_eq!(bare.tcp_type(), Some(TcpType::Passive));
    let active: Candidate = format!("{text} TCPTYPE Active").parse().unwrap();
    assert_eq!(active.tcp_type(), Some(TcpType::Active));
    assert_eq!(candidate("").tcp_type(), None);
}

#[test]
fn case_tabs_and_spaces_do_not_matter() {
    let plain = candidate(" raddr 10.0.0.2 rport 9 generation 0");
    for form in [
        "CANDIDATE:1 1 UDP 7 192.0.2.1 54400 TYP SRFLX RADDR 10.0.0.2 RPORT 9 generation 0",
        "a=candidate: 1  1\tudp 7 192.0.2.1 54400 typ srflx raddr 10.0.0.2 rport 9 generation 0 \t\r\n",
    ] {
        assert_eq!(form.parse(), Ok(plain.clone()), "{form}");
    }
}

#[test]
fn foundations_of_256_characters_are_taken_and_longer_ones_are_errors() {
    let with = |length: usize| -> Result<Candidate, Error> {
        format!("candidate:{} 1 udp 7 192.0.2.1 9 typ host", "f".repeat(length)).parse()
    };
    for length in [1, 32, 36, 256] {
        assert_eq!(with(length).unwrap().foundation.len(), length);
    }
    let error = with(257).unwrap_err().to_string();
    assert!(error.contains("expected a foundation of visible characters, at most 256"), "{error}");
}

#[test]
fn zones_of_ipv6_addresses_are_dropped() {
    let text = "1 1 udp 7 fe80::1%wlan0 9 typ host";
    let candidate: Candidate = text.parse().unwrap();
    assert_eq!(candidate.host.ip(), Some("fe80::1".parse().unwrap()));
}

#[test]
fn candidates_in_the_session_section_are_read() {
    let line = "a=candidate:1 1 udp 7 192.0.2.1 9 typ host x\r\n";
    let description = parse(&format!("{line}{VIDEO}"));
    assert_eq!(description.lines.all::<Candidate>().filter(Result::is_ok).count(), 1);
}

#[test]
fn attribute_names_are_read_in_any_case() {
    let lines = lines("a=MID:v\r\na=Rtcp-Mux\r\na=SENDONLY\r\na=Candidate:1 1 udp 7 ::1 9 typ host\r\n");
    assert_eq!(lines.get::<Mid>(), Ok(Some(Mid::from("v"))));
    assert_eq!(lines.get::<Direction>(), Ok(Some(Direction::SendOnly)));
    assert!(lines.has::<RtcpMux>() && lines.has::<Candidate>() && lines.has_attribute("mid"));
    let mut changed = lines;
    changed.set(&Mid::from("w")).unwrap();
    assert!(changed.to_string().starts_with("a=mid:w\r\n") && !changed.to_string().contains("MID"));
}

#[test]
fn white_space_stands_in_for_a_missing_colon() {
    let lines = lines("a=sctp-port 5000\r\na=mid\tv\r\na=setup : active\r\na=sendrecv x\r\na=rtcp-mux \r\n");
    assert_eq!(lines.get::<SctpPort>(), Ok(Some(SctpPort(5000))));
    assert_eq!(lines.get::<Mid>(), Ok(Some(Mid::from("v"))));
    assert_eq!(lines.get::<Setup>(), Ok(Some(Setup::Active)));
    assert_eq!(lines.get::<Direction>(), Ok(Some(Direction::SendRecv)));
    assert!(lines.has::<RtcpMux>());
}

#[test]
fn codec_lines_of_the_world() {
    let text = "a=rtpmap:96 VP8/90000/\r\na=rtpmap: 97  rtx/90000 x\r\na=fmtp:97\tapt=96 ;\r\n\
                a=rtcp-fb:*  ccm   fir\r\na=rtcp-fb:96 NACK PLI\r\n";
    let section = parse(&format!("{VIDEO}{text}")).media.remove(0);
    let codecs = section.codecs().unwrap();
    assert_eq!(codecs.iter().map(|codec| codec.map.encoding.as_str()).collect::<Vec<_>>(), ["VP8", "rtx"]);
    assert_eq!(codecs[1].parameters.as_ref().unwrap().retransmits(), Some(96));
    assert!(codecs[0].has_feedback("nack", Some("pli")) && codecs[1].has_feedback("ccm", Some("fir")));
}

#[test]
fn other_attributes_of_rtp_sections() {
    let lines = lines(
        "a=extmap:1/SENDONLY urn:x\r\na=ssrc:1 x/y:z\r\na=ssrc:1 cname: c \r\na=ssrc-group: FID  1 2\r\n\
         a=rid:hi  send  pt=96; max-width=1280\r\na=simulcast: send hi\r\na=msid: -\r\na=ice-options:\r\n",
    );
    assert_eq!(lines.get::<ExtMap>().unwrap().unwrap().direction, Some(Direction::SendOnly));
    let ssrcs: Vec<Ssrc> = lines.all().collect::<Result<_, _>>().unwrap();
    assert_eq!((ssrcs[0].attribute.as_str(), &ssrcs[1]), ("x/y", &Ssrc::cname(1, "c")));
    assert_eq!(lines.get::<SsrcGroup>().unwrap().unwrap().ssrcs, [1, 2]);
    assert_eq!(lines.get::<Rid>().unwrap().unwrap().restriction("max-width"), Some("1280"));
    assert_eq!(lines.get(), Ok(Some(Simulcast::sending(["hi"]))));
    assert_eq!(lines.get::<Msid>().unwrap().unwrap().stream_id(), None);
    assert_eq!(lines.get(), Ok(Some(IceOptions::default())));
}

#[test]
fn one_broken_line_does_not_hide_its_neighbours() {
    let lines = lines("a=extmap:0 urn:x\r\na=extmap:1 urn:y\r\na=rid:?\r\na=rid:hi send\r\na=candidate:\r\n");
    assert_eq!(lines.all::<ExtMap>().flatten().map(|extension| extension.id).collect::<Vec<_>>(), [1]);
    assert_eq!(lines.all::<Rid>().flatten().map(|rid| rid.id).collect::<Vec<_>>(), ["hi"]);
    assert!(matches!(lines.get::<Candidate>(), Err(Error::Malformed { line: 10, .. })));
}

#[test]
fn origins_with_more_digits_than_64_bits_hold() {
    let text = format!("- {0} {0} IN IP4 gateway.example", "9".repeat(30));
    let origin: Origin = text.parse().unwrap();
    assert_eq!((origin.session_id.len(), origin.session_version), (30, u64::MAX));
    assert_eq!(origin.to_string().parse(), Ok(origin));
}
