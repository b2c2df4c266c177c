//! Print and parse are each other's inverse, for whatever there is to print and to parse.

use columba_sdp::attributes::*;
use columba_sdp::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const WORD: &str = "[!-~]{1,12}";
const TOKEN: &str = "[!#$%&'*+.^_`{|}~a-zA-Z0-9-]{1,12}";
const RID: &str = "[A-Za-z0-9_-]{1,8}";

/// A value comes back from its print.
fn comes_back<T: Field + std::fmt::Debug>(value: &T) {
    let mut lines = Lines::new();
    lines.add(value).unwrap_or_else(|error| panic!("{value:?}: {error}"));
    assert_eq!(lines.get::<T>().unwrap().as_ref(), Some(value));
    let text = format!("v=0\r\no=- 1 1 IN IP4 ::\r\ns=-\r\nm=audio 9 RTP/AVP 0\r\n{lines}");
    let description: SessionDescription = text.parse().unwrap();
    assert_eq!(description.media[0].lines, lines);
}

fn host() -> impl Strategy<Value = Host> {
    prop_oneof![
        any::<std::net::IpAddr>().prop_map(Host::Ip),
        "[a-z0-9-]{1,20}\\.(local|invalid|example)".prop_map(Host::Name),
    ]
}

fn network_address() -> impl Strategy<Value = NetworkAddress> {
    prop_oneof![
        any::<std::net::IpAddr>().prop_map(NetworkAddress::new),
        (any::<bool>(), "[a-z]{1,9}\\.example").prop_map(|(new, name)| {
            let address_type = if new { AddressType::Ip6 } else { AddressType::Ip4 };
            NetworkAddress::name(address_type, &name).unwrap()
        }),
    ]
}

prop_compose! {
    fn candidate()(
        foundation in "[A-Za-z0-9+/]{1,32}",
        component in 1..=256_u16,
        transport in prop_oneof![Just("udp".to_owned()), Just("tcp".to_owned()), TOKEN],
        priority in any::<u32>(),
        host in host(),
        port in any::<u16>(),
        kind in prop_oneof![Just("host".to_owned()), Just("srflx".into()), Just("prflx".into()), Just("relay".into()), TOKEN],
        related in option::of((host(), any::<u16>())),
        tcp_type in option::of("(active|passive|so)"),
        extensions in vec(("x-[a-z]{1,8}", WORD), 0..5),
    ) -> Candidate {
        let mut candidate = Candidate {
            foundation, component, priority, host, port, extensions,
            transport: transport.as_str().into(),
            kind: kind.as_str().into(),
            related: related.map(|(host, port)| RelatedAddress { host, port }),
        };
        if let Some(tcp_type) = tcp_type {
            candidate.set_extension("tcptype", tcp_type);
        }
        candidate
    }
}

prop_compose! {
    fn line()(kind in "[iuepcbtrzkaq]", value in "[^\0\r\n]{0,40}") -> Line {
        Line::new(kind.chars().next().unwrap(), value).unwrap()
    }
}

fn lines() -> impl Strategy<Value = Lines> {
    let attribute = (TOKEN, option::of("[^\0\r\n]{0,30}"))
        .prop_map(|(name, value)| Line::attribute(&name, value.as_deref()).unwrap());
    let any_line = prop_oneof![
        line(),
        attribute,
        candidate().prop_map(|candidate| Line::new('a', candidate.to_string()).unwrap())
    ];
    vec(any_line, 0..12).prop_map(|all| {
        let mut lines = Lines::new();
        all.into_iter().for_each(|line| lines.push(line));
        lines
    })
}

prop_compose! {
    fn section()(
        kind in prop_oneof![Just("audio".to_owned()), Just("application".to_owned()), TOKEN],
        port in any::<u16>(),
        port_count in option::of(any::<u16>()),
        protocol in prop_oneof![Just("UDP/TLS/RTP/SAVPF".to_owned()), Just("UDP/DTLS/SCTP".to_owned()), "[A-Z]{1,4}(/[A-Z]{1,4}){0,3}"],
        formats in vec(WORD, 1..6),
        lines in lines(),
    ) -> MediaSection {
        let head = MediaLine { kind: kind.as_str().into(), port, port_count, protocol: protocol.as_str().into(), formats };
        let mut section = MediaSection::new(head).unwrap();
        section.lines = lines;
        section
    }
}

prop_compose! {
    fn origin()(
        username in WORD,
        session_id in "[0-9]{1,30}",
        session_version in any::<u64>(),
        address in network_address(),
    ) -> Origin {
        Origin { username, session_id, session_version, address }
    }
}

prop_compose! {
    fn description()(
        origin in origin(),
        name in "[^\0\r\n]{0,20}",
        lines in lines(),
        media in vec(section(), 0..4),
    ) -> SessionDescription {
        let mut description = SessionDescription::new(origin).unwrap();
        description.set_name(name).unwrap();
        description.lines = lines;
        description.media = media;
        description
    }
}

proptest! {
    #[test]
    fn any_description_comes_back(description in description()) {
        let text = description.to_string();
        let parsed: SessionDescription = text.parse().unwrap();
        prop_assert_eq!(&parsed, &description);
        prop_assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn any_candidate_comes_back(candidate in candidate()) {
        prop_assert!(candidate.is_printable(), "{:?}", candidate);
        prop_assert_eq!(candidate.to_string().parse::<Candidate>().unwrap(), candidate.clone());
        comes_back(&candidate);
    }

    #[test]
    fn any_ice_value_comes_back(
        ufrag in "[A-Za-z0-9+/]{4,256}", pwd in "[A-Za-z0-9+/]{22,256}", pacing in any::<u32>(),
        options in vec(TOKEN, 1..5), remote in vec((1..=256_u16, host(), any::<u16>()), 1..4),
    ) {
        comes_back(&IceUfrag(ufrag));
        comes_back(&IcePwd(pwd));
        comes_back(&IcePacing(pacing));
        comes_back(&IceOptions(options));
        let remote = remote.into_iter().map(|(component, host, port)| RemoteCandidate { component, host, port });
        comes_back(&RemoteCandidates(remote.collect()));
    }

    #[test]
    fn any_transport_value_comes_back(
        digest in vec(any::<u8>(), 32), other in vec(any::<u8>(), 1..100), hash in "x-[a-zA-Z0-9-]{1,8}",
        tls_id in "[A-Za-z0-9+/_-]{20,255}", port in any::<u16>(), size in any::<u64>(),
        streams in option::of(any::<u16>()), address in option::of(network_address()),
    ) {
        comes_back(&Fingerprint { hash: HashFunction::Sha256, digest });
        comes_back(&Fingerprint { hash: HashFunction::from(hash.as_str()), digest: other });
        comes_back(&TlsId(tls_id));
        comes_back(&SctpPort(port));
        comes_back(&MaxMessageSize(size));
        comes_back(&SctpMap { port, protocol: "webrtc-datachannel".to_owned(), streams });
        comes_back(&Rtcp { port, address });
    }

    #[test]
    fn any_session_value_comes_back(
        kind in TOKEN, value in any::<u64>(), stop in any::<u64>(), address in network_address(),
        suffix in option::of("[0-9]{1,3}(/[0-9]{1,3})?"), mids in vec(WORD, 0..5), stream in WORD, track in option::of(WORD),
    ) {
        comes_back(&Bandwidth { kind, value });
        comes_back(&Timing { start: value, stop });
        comes_back(&Connection { address, suffix });
        comes_back(&Group { semantics: GroupSemantics::Bundle, mids: mids.clone() });
        comes_back(&MsidSemantic { semantic: "WMS".to_owned(), streams: mids });
        comes_back(&Mid(stream.clone()));
        comes_back(&Msid { stream, track });
    }

    #[test]
    fn any_codec_value_comes_back(
        payload_type in 0..128_u8, name in TOKEN, clock_rate in any::<u32>(), channels in option::of(any::<u16>()),
        parameters in "([a-z-]{1,9}=[0-9a-f]{1,6}(;[a-z-]{1,9}=[0-9a-f]{1,6}){0,4})?", kind in WORD,
        parameter in option::of("[!-~]{1,9}( [!-~]{1,9})?"), id in 1..=255_u16, uri in WORD, all in any::<bool>(),
    ) {
        comes_back(&RtpMap { payload_type, encoding: name, clock_rate, channels });
        comes_back(&Fmtp { format: payload_type.to_string(), parameters });
        let target = if all { CodecTarget::All } else { CodecTarget::One(payload_type) };
        comes_back(&RtcpFb { target, kind, parameter: parameter.clone() });
        for direction in [None, Some(Direction::SendOnly)] {
            comes_back(&ExtMap { id, direction, uri: uri.clone(), attributes: parameter.clone() });
        }
    }

    #[test]
    fn any_stream_value_comes_back(
        ssrc in any::<u32>(), attribute in TOKEN, value in option::of("([!-~]{1,9}( [!-~]{1,9})?)?"),
        ssrcs in vec(any::<u32>(), 1..5), id in RID, payload_types in vec(0..128_u8, 0..4),
        restrictions in vec(("max-[a-z]{1,8}", option::of("[0-9]{1,9}")), 0..4),
        send in vec(vec((RID, any::<bool>()), 1..3), 0..4), recv in vec(vec((RID, any::<bool>()), 1..3), 1..4),
    ) {
        comes_back(&Ssrc { ssrc, attribute, value });
        comes_back(&SsrcGroup { semantics: SsrcGroupSemantics::Sim, ssrcs });
        comes_back(&Rid { id, direction: RidDirection::Recv, payload_types, restrictions });
        let list = |encodings: Vec<Vec<(String, bool)>>| -> Vec<Vec<SimulcastStream>> {
            let stream = |(rid, paused)| SimulcastStream { rid, paused };
            encodings.into_iter().map(|alternatives| alternatives.into_iter().map(stream).collect()).collect()
        };
        comes_back(&Simulcast { send: list(send), recv: list(recv) });
    }

    /// Any text that a program sets is refused, or is one line that reads back.
    #[test]
    fn no_text_becomes_another_line(text in ".{0,20}|[\0\r\n a=:;,~/x]{0,12}", name in ".{0,10}") {
        let mut lines = Lines::new();
        let _ = lines.add(&Mid(text.clone()));
        let _ = lines.add(&Msid { stream: text.clone(), track: Some(name.clone()) });
        let _ = lines.add(&Rid::new(&text, RidDirection::Send));
        let _ = lines.add(&Fmtp { format: name.clone(), parameters: text.clone() });
        let _ = lines.add(&Ssrc::cname(1, &text));
        let _ = lines.add(&Crypto(text.clone()));
        if let Ok(line) = Line::attribute(&name, Some(&text)) {
            lines.push(line);
        }
        let mut description = SessionDescription::new(Origin::new(1, 1)).unwrap();
        let _ = description.set_name(text);
        description.lines = lines;
        prop_assert_eq!(description.to_string().parse::<SessionDescription>().unwrap(), description);
    }

    /// Any input is an error, or a value that prints to an equal one.
    #[test]
    fn no_text_panics(text in "(v=0\n)?(o=- 1 1 IN IP4 ::\n)?(s=\n)?([a-z]=[ -~]{0,30}\n|m=audio 9 RTP/AVP [0-9 ]{0,9}\n|.{0,30}\n){0,9}") {
        if let Ok(description) = text.parse::<SessionDescription>() {
            prop_assert_eq!(description.to_string().parse::<SessionDescription>().unwrap(), description);
        }
        let _ = text.parse::<Candidate>();
    }

    /// Attributes with torn values: read without a panic, and equal again if they can be read.
    #[test]
    fn no_attribute_panics(
        name in "(candidate|fingerprint|rtpmap|fmtp|rtcp-fb|extmap|ssrc|ssrc-group|rid|simulcast|group|msid|rtcp|sctpmap|remote-candidates)",
        value in "[0-9a-z/:;,~=*. -]{0,40}",
    ) {
        fn check<T: Field + std::fmt::Debug>(lines: &Lines) {
            let Ok(Some(value)) = lines.get::<T>() else { return };
            let mut again = Lines::new();
            again.add(&value).unwrap_or_else(|error| panic!("{value:?} from {lines}: {error}"));
        }
        let mut lines = Lines::new();
        lines.push(Line::attribute(&name, Some(&value)).unwrap());
        check::<Candidate>(&lines);
        check::<Fingerprint>(&lines);
        check::<RtpMap>(&lines);
        check::<Fmtp>(&lines);
        check::<RtcpFb>(&lines);
        check::<ExtMap>(&lines);
        check::<Ssrc>(&lines);
        check::<SsrcGroup>(&lines);
        check::<Rid>(&lines);
        check::<Simulcast>(&lines);
        check::<Group>(&lines);
        check::<Msid>(&lines);
        check::<Rtcp>(&lines);
        check::<SctpMap>(&lines);
        check::<RemoteCandidates>(&lines);
    }
}
