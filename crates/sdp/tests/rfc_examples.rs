//! Examples of the RFCs.

use columba_sdp::attributes::*;
use columba_sdp::{
    Candidate, CandidateType, MediaKind, Protocol, RelatedAddress, SessionDescription, TcpType,
};

fn parse(text: &str) -> SessionDescription {
    let description: SessionDescription = text.parse().unwrap();
    assert_eq!(description.to_string(), text.replace('\n', "\r\n"));
    description
}

/// RFC 8866 §5.
#[test]
fn the_session_of_rfc_8866() {
    let description = parse(
        "v=0\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\ns=Call to John Smith\ni=SDP Offer #1\n\
         u=http://www.jdoe.example.com/home.html\ne=Jane Doe <jane@jdoe.example.com>\np=+1 617 555-6011\n\
         c=IN IP4 198.51.100.1\nt=0 0\nm=audio 49170 RTP/AVP 0\nm=audio 49180 RTP/AVP 0\n\
         m=video 51372 RTP/AVP 99\nc=IN IP6 2001:db8::2\na=rtpmap:99 h263-1998/90000\n",
    );
    assert_eq!(description.name(), "Call to John Smith");
    assert_eq!(description.lines.values_of('i').next(), Some("SDP Offer #1"));
    let [first, _, video] = description.media.as_slice() else { panic!("three sections") };
    assert_eq!((&first.head().kind, &first.head().protocol), (&MediaKind::Audio, &Protocol::RtpAvp));
    assert!(first.codecs().unwrap()[0].map.is("PCMU"));
    let connection =
        |section| description.effective::<Connection>(section).unwrap().unwrap().address.to_string();
    assert_eq!(connection(first), "IN IP4 198.51.100.1");
    assert_eq!(connection(video), "IN IP6 2001:db8::2");
    assert!(video.codecs().unwrap()[0].map.is("H263-1998"));
}

/// RFC 8839 §5.1 and appendix A, RFC 6544 appendix B.
#[test]
fn the_candidates_of_rfc_8839_and_rfc_6544() {
    let parse = |text: &str| -> Candidate { text.parse().unwrap() };
    let reflexive =
        parse("a=candidate:2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998");
    assert_eq!(reflexive.kind, CandidateType::ServerReflexive);
    assert_eq!(reflexive.related, Some(RelatedAddress::new("203.0.113.141".parse().unwrap(), 8998)));
    let dual = parse("a=candidate:1 1 UDP 2130706431 fe80::6676:baff:fe9c:ee4a 8998 typ host");
    assert!(dual.host.ip().unwrap().is_ipv6());
    for (text, tcp_type) in [
        ("1 1 TCP 2128609279 10.0.1.1 9 typ host tcptype active", TcpType::Active),
        ("2 1 TCP 2124414975 10.0.1.1 8998 typ host tcptype passive", TcpType::Passive),
        ("3 1 TCP 2120220671 10.0.1.1 8999 typ host tcptype so", TcpType::SimultaneousOpen),
        ("4 1 TCP 1688207359 192.0.2.3 9 typ srflx raddr 10.0.1.1 rport 9 tcptype active", TcpType::Active),
    ] {
        assert_eq!(parse(text).tcp_type(), Some(tcp_type), "{text}");
    }
}

/// An offer put together as RFC 8829 §5.2.1 says: what our own offers will be made of.
#[test]
fn an_offer_of_rfc_8829_is_built_line_by_line() {
    use columba_sdp::{MediaLine, MediaSection};
    let build = || -> Result<SessionDescription, columba_sdp::Error> {
        let mut offer = SessionDescription::new(Origin::new(4_962_303_333_179_871_722, 1))?;
        offer.lines.set(&IceOptions::new([IceOptions::TRICKLE, IceOptions::ICE2]))?;
        offer.lines.set(&Group::bundle(["a1", "d1"]))?;
        let head = MediaLine::new(MediaKind::Audio, Protocol::UdpTlsRtpSavpf, ["96", "0"]);
        let mut audio = MediaSection::new(head)?;
        audio.lines.set(&Mid::from("a1"))?;
        audio.lines.set(&Direction::SendRecv)?;
        audio.lines.add(&RtpMap::new(96, "opus", 48000).with_channels(2))?;
        audio.lines.set(&RtcpMux)?;
        audio.lines.set(&Setup::ActPass)?;
        audio.lines.set(&Connection::UNSPECIFIED)?;
        let head = MediaLine::new(MediaKind::Application, Protocol::UdpDtlsSctp, ["webrtc-datachannel"]);
        let mut data = MediaSection::new(head)?;
        data.set_port(0);
        data.lines.set(&Connection::UNSPECIFIED)?;
        data.lines.set(&Mid::from("d1"))?;
        data.lines.set(&BundleOnly)?;
        data.lines.set(&SctpPort(5000))?;
        offer.media = vec![audio, data];
        Ok(offer)
    };
    let text = "v=0\no=- 4962303333179871722 1 IN IP4 0.0.0.0\ns=-\nt=0 0\na=ice-options:trickle ice2\n\
                a=group:BUNDLE a1 d1\nm=audio 9 UDP/TLS/RTP/SAVPF 96 0\nc=IN IP4 0.0.0.0\na=mid:a1\na=sendrecv\n\
                a=rtpmap:96 opus/48000/2\na=rtcp-mux\na=setup:actpass\n\
                m=application 0 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=mid:d1\na=bundle-only\n\
                a=sctp-port:5000\n";
    let offer = build().unwrap();
    assert_eq!(offer, parse(text));
    assert_eq!(offer.media_by_mid("d1"), Some(&offer.media[1]));
    assert!(!offer.media[1].is_rejected());
}

/// Data channels as they were described before RFC 8841, which older peers still write.
#[test]
fn old_data_channels() {
    let text = "v=0\no=- 1 2 IN IP4 127.0.0.1\ns=-\nt=0 0\nm=application 9 DTLS/SCTP 5000\nc=IN IP4 0.0.0.0\n\
                a=mid:data\na=sctpmap:5000 webrtc-datachannel 1024\n";
    let description = parse(text);
    let section = &description.media[0];
    assert!(section.head().is_data_channel());
    let map = section.lines.get::<SctpMap>().unwrap().unwrap();
    assert_eq!((section.head().formats[0].as_str(), map.port, map.streams), ("5000", 5000, Some(1024)));
}
