//! Descriptions that Chromium 156 and Firefox 153 wrote, recorded from Debian's packages: read
//! whole, and printed to the byte.

use std::path::{Path, PathBuf};

use columba_sdp::attributes::*;
use columba_sdp::{
    Candidate, CandidateTransport, Error, Field, Host, Lines, MediaKind, MediaSection, Protocol,
    SessionDescription,
};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read(name: &str) -> SessionDescription {
    std::fs::read_to_string(data(name)).unwrap().parse().unwrap()
}

fn all_recorded() -> Vec<(String, String)> {
    let mut recorded: Vec<_> = std::fs::read_dir(data(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sdp"))
        .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    recorded.sort();
    assert!(recorded.len() > 40, "the recordings are there");
    recorded
}

/// Reads every value of a kind and writes it again; the answer says how many there were.
fn rewrite<T: Field + std::fmt::Debug>(lines: &Lines) -> Result<usize, Error> {
    let values = lines.all::<T>().collect::<Result<Vec<_>, _>>()?;
    let mut again = Lines::new();
    for value in &values {
        again.add(value)?;
    }
    assert_eq!(again.all::<T>().collect::<Result<Vec<_>, _>>()?, values);
    Ok(values.len())
}

fn rewrite_all(lines: &Lines) -> Result<usize, Error> {
    macro_rules! sum {
        ($($type:ty),+ $(,)?) => { 0 $(+ rewrite::<$type>(lines)?)+ };
    }
    Ok(sum!(
        Bandwidth,
        BundleOnly,
        Candidate,
        Connection,
        Content,
        Crypto,
        Direction,
        EndOfCandidates,
        ExtMap,
        ExtMapAllowMixed,
        Fingerprint,
        Fmtp,
        Group,
        IceLite,
        IceOptions,
        IcePacing,
        IcePwd,
        IceUfrag,
        Identity,
        ImageAttr,
        Label,
        MaxMessageSize,
        MaxPtime,
        Mid,
        Msid,
        MsidSemantic,
        Ptime,
        RemoteCandidates,
        Rid,
        Rtcp,
        RtcpFb,
        RtcpMux,
        RtcpMuxOnly,
        RtcpRsize,
        RtpMap,
        SctpInit,
        SctpMap,
        SctpPort,
        Setup,
        Simulcast,
        Ssrc,
        SsrcGroup,
        Timing,
        TlsId,
    ))
}

#[test]
fn every_recording_prints_to_the_byte() {
    for (name, text) in all_recorded() {
        let description: SessionDescription = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(description.to_string(), text, "{name}");
    }
}

#[test]
fn every_line_of_every_recording_has_a_type() {
    for (name, text) in all_recorded() {
        let description: SessionDescription = text.parse().unwrap();
        for lines in
            std::iter::once(&description.lines).chain(description.media.iter().map(|media| &media.lines))
        {
            let typed = rewrite_all(lines).unwrap_or_else(|error| panic!("{name}: {error}"));
            // The one attribute that is left untyped asks for RTCP extended reports.
            let untyped = lines.attributes("rtcp-xr").count();
            assert_eq!(typed + untyped, lines.len(), "{name}: a line without a type in\n{lines}");
        }
        for section in &description.media {
            let codecs = section.codecs().unwrap();
            let expected = if section.head().protocol.is_rtp() { section.head().formats.len() } else { 0 };
            // Firefox writes no rtpmap for the payload types of a section that it has stopped.
            if !section.is_rejected() {
                assert_eq!(codecs.len(), expected, "{name}");
            }
        }
    }
}

#[test]
fn lf_only_and_a_missing_last_line_end_change_nothing() {
    for (name, text) in all_recorded() {
        let description: SessionDescription = text.parse().unwrap();
        assert_eq!(text.replace("\r\n", "\n").parse(), Ok(description.clone()), "{name}");
        assert_eq!(text.trim_end().parse(), Ok(description), "{name}");
    }
}

#[test]
fn data_offers() {
    for (browser, size) in [("chromium", 262_144), ("firefox", 1_073_741_823)] {
        let offer = read(&format!("{browser}-data-offer.sdp"));
        let [section] = offer.media.as_slice() else { panic!("one section") };
        assert!(section.head().is_data_channel());
        assert_eq!(section.head().protocol, Protocol::UdpDtlsSctp);
        assert_eq!(section.lines.get(), Ok(Some(SctpPort(5000))));
        assert_eq!(section.lines.get(), Ok(Some(MaxMessageSize(size))));
        assert_eq!(offer.lines.get(), Ok(Some(Group::bundle(["0"]))));
        assert_eq!(offer.effective(section), Ok(Some(Setup::ActPass)));
        assert!(offer.effective::<IceOptions>(section).unwrap().unwrap().contains(IceOptions::TRICKLE));
        let prints: Vec<Fingerprint> = offer.effective_all(section).collect::<Result<_, _>>().unwrap();
        assert_eq!((prints.len(), &prints[0].hash), (1, &HashFunction::Sha256));
        assert!(offer.effective::<IceUfrag>(section).unwrap().is_some());
        assert!(offer.effective::<IcePwd>(section).unwrap().is_some());
        let candidates: Vec<Candidate> = section.lines.all().collect::<Result<_, _>>().unwrap();
        assert!(candidates.iter().any(|candidate| candidate.host.is_mdns()), "{browser}");
    }
}

#[test]
fn audio_and_video_offers() {
    for browser in ["chromium", "firefox"] {
        let offer = read(&format!("{browser}-av-offer.sdp"));
        let kinds: Vec<_> = offer.media.iter().map(|section| section.head().kind.clone()).collect();
        assert_eq!(kinds, [MediaKind::Audio, MediaKind::Video, MediaKind::Application]);
        let codecs = offer.media[0].codecs().unwrap();
        let opus = codecs.iter().find(|codec| codec.map.is("opus")).unwrap();
        assert_eq!((opus.map.clock_rate, opus.map.channels), (48000, Some(2)));
        assert_eq!(opus.parameter("useinbandfec"), Some("1"));
        let video = offer.media[1].codecs().unwrap();
        let vp8 = video.iter().find(|codec| codec.map.is("VP8")).unwrap();
        assert!(vp8.has_feedback("nack", Some("pli")) && vp8.has_feedback("ccm", Some("fir")));
        let retransmission =
            video.iter().find(|codec| codec.parameter("apt") == Some(&vp8.payload_type().to_string()));
        assert!(retransmission.unwrap().map.is("rtx"));
        assert_eq!(offer.direction(&offer.media[1]), Direction::SendRecv);
        assert!(offer.media[1].lines.has::<RtcpMux>());
        assert!(offer.media[1].lines.get::<Msid>().unwrap().unwrap().stream_id().is_some());
        let group = offer.media[1].lines.get::<SsrcGroup>().unwrap().unwrap();
        assert_eq!((group.semantics, group.ssrcs.len()), (SsrcGroupSemantics::Fid, 2));
    }
}

#[test]
fn simulcast_offers_and_answers() {
    for (offer, answer) in [
        ("chromium-simulcast-offer.sdp", "chromium-simulcast-answer-to-chromium.sdp"),
        ("firefox-simulcast-offer.sdp", "firefox-simulcast-answer-to-firefox.sdp"),
    ] {
        let offer = read(offer);
        assert_eq!(offer.media[0].lines.get(), Ok(Some(Simulcast::sending(["q", "h", "f"]))));
        let rids: Vec<Rid> = offer.media[0].lines.all().collect::<Result<_, _>>().unwrap();
        assert_eq!(rids, ["q", "h", "f"].map(|id| Rid::new(id, RidDirection::Send)));
        assert_eq!(offer.direction(&offer.media[0]), Direction::SendOnly);
        let answer = read(answer);
        assert_eq!(answer.direction(&answer.media[0]), Direction::RecvOnly);
        assert!(!answer.media[0].lines.has::<Simulcast>(), "browsers receive one layer");
    }
}

#[test]
fn stopped_and_bundled_sections() {
    let rejected = |description: &SessionDescription| -> Vec<bool> {
        description.media.iter().map(MediaSection::is_rejected).collect()
    };
    for browser in ["chromium", "firefox"] {
        let stopped = read(&format!("{browser}-stopped-offer.sdp"));
        assert_eq!(rejected(&stopped), [false, true, false]);
        assert_eq!(stopped.direction(&stopped.media[1]), Direction::Inactive);
        let group = stopped.lines.get::<Group>().unwrap().unwrap();
        assert_eq!(group.mids.len(), 2, "the stopped section has left the bundle");
    }
    let bundled = read("firefox-av-max-bundle-offer.sdp");
    assert_eq!(rejected(&bundled), [false; 3]);
    assert!(bundled.media[1].lines.has::<BundleOnly>() && bundled.media[1].head().port == 0);
}

#[test]
fn a_restart_changes_the_credentials_and_the_version() {
    for browser in ["chromium", "firefox"] {
        let (before, after) =
            (read(&format!("{browser}-av-offer.sdp")), read(&format!("{browser}-ice-restart-offer.sdp")));
        let ufrag =
            |description: &SessionDescription| description.media[0].lines.get::<IceUfrag>().unwrap().unwrap();
        assert_ne!(ufrag(&before), ufrag(&after));
        assert_eq!(before.origin().session_id, after.origin().session_id);
        assert!(after.origin().session_version > before.origin().session_version);
    }
}

/// The browsers' own reading of their candidates, attribute by attribute of the W3C's
/// `RTCIceCandidate`.
#[test]
fn candidates_are_read_as_the_browsers_read_them() {
    for (browser, writes_upper_case) in [("chromium", false), ("firefox", true)] {
        let recorded = std::fs::read_to_string(data(&format!("candidates-{browser}.jsonl"))).unwrap();
        let mut kinds = std::collections::BTreeSet::new();
        for line in recorded.lines() {
            let theirs: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = theirs["candidate"].as_str().unwrap();
            if text.is_empty() {
                continue;
            }
            let ours: Candidate = text.parse().unwrap();
            let printed = if writes_upper_case {
                text.replace("UDP", "udp").replace("TCP", "tcp")
            } else {
                text.to_owned()
            };
            assert_eq!(ours.to_string(), printed);
            assert!(ours.is_printable() && ours.is_known());
            assert_eq!(theirs["foundation"].as_str(), Some(ours.foundation.as_str()));
            assert_eq!(theirs["component"].as_str(), ours.component_name());
            assert_eq!(theirs["priority"].as_u64(), Some(ours.priority.into()));
            let address = theirs["address"].as_str().unwrap().trim_matches(['[', ']']);
            assert_eq!(address.parse::<Host>().as_ref(), Ok(&ours.host));
            assert_eq!(theirs["protocol"].as_str(), Some(ours.transport.as_str()));
            assert_eq!(theirs["port"].as_u64(), Some(ours.port.into()));
            assert_eq!(theirs["type"].as_str(), Some(ours.kind.as_str()));
            assert_eq!(theirs["tcpType"].as_str(), ours.tcp_type().map(|tcp_type| tcp_type.as_str()));
            assert_eq!(ours.tcp_type().is_some(), ours.transport == CandidateTransport::Tcp);
            let related = ours.related.as_ref();
            assert_eq!(
                theirs["relatedAddress"].as_str(),
                related.map(|related| related.host.to_string()).as_deref()
            );
            assert_eq!(theirs["relatedPort"].as_u64(), related.map(|related| related.port.into()));
            if let Some(ufrag) = ours.ufrag() {
                assert_eq!(theirs["usernameFragment"].as_str(), Some(ufrag));
            }
            kinds.insert(ours.kind.as_str().to_owned());
        }
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["host", "relay", "srflx"], "{browser}");
    }
}
