//! The exchange with recorded descriptions of browsers, and with malformed ones.

use std::time::Duration;

use columba_ice::{Credentials, RemoteParameters};
use columba_sdp::attributes::{
    Direction, ExtMap, Fingerprint, Group, HashFunction, IceUfrag, RtcpMux, Setup, TlsId,
};
use columba_sdp::{MediaKind, SessionDescription as Sdp};

use super::remote::RemoteDescription;
use super::transports::TransportIds;
use super::{Change, Jsep, LocalParameters, Stage, TransportDescription, Wanted};
use crate::candidate::IceCandidateInit;
use crate::configuration::BundlePolicy;
use crate::description::{OfferOptions, SdpType, SessionDescription};
use crate::error::Error;
use crate::states::SignalingState;
use crate::transport::TransportId;
use crate::transport::dtls::DtlsRole;

const DATA: Wanted = Wanted { data: true };

fn recorded(name: &str) -> String {
    let path = format!("{}/../sdp/tests/data/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The names of all recorded descriptions that end so.
fn recordings(ending: &str) -> Vec<String> {
    let directory = format!("{}/../sdp/tests/data", env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(directory).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter_map(|name| name.strip_suffix(".sdp").map(str::to_owned)).collect();
    names.retain(|name| name.ends_with(ending));
    names.sort();
    names
}

fn local() -> LocalParameters<'static> {
    drawing("abcd")
}

/// The local parameters when credentials are drawn that have this user name fragment; the next ones
/// have a number behind it.
fn drawing(ufrag: &str) -> LocalParameters<'static> {
    let credentials = |ufrag: &str| Credentials { ufrag: ufrag.into(), pwd: "abcdefghijklmnopqrstuv".into() };
    let ice = RemoteParameters {
        credentials: credentials(""),
        lite: false,
        trickle: true,
        renomination: true,
        pacing: Some(Duration::from_millis(50)),
    };
    let transport = TransportDescription {
        ice,
        extensions: Default::default(),
        fingerprints: vec![Fingerprint { hash: HashFunction::Sha256, digest: vec![7; 32] }],
        setup: None,
        tls_id: None,
        candidates: Vec::new(),
        end_of_candidates: false,
    };
    let (ufrag, mut drawn) = (ufrag.to_owned(), 0);
    let draw = move || {
        drawn += 1;
        let number = if drawn > 1 { drawn.to_string() } else { String::new() };
        (credentials(&(ufrag.clone() + &number)), TlsId(format!("abcdefghijklmnopqrstuvw{drawn}")))
    };
    LocalParameters {
        transport,
        draw: Box::new(draw),
        roles: Vec::new(),
        max_message_size: 262_144,
        sctp_init: None,
        bundle_policy: BundlePolicy::Balanced,
    }
}

fn with_role(role: DtlsRole) -> LocalParameters<'static> {
    LocalParameters { roles: vec![(TransportId::FIRST, role)], ..local() }
}

/// Reads a description that continues nothing.
fn read(kind: SdpType, text: &str) -> Result<RemoteDescription, Error> {
    RemoteDescription::read(kind, text, &[], TransportIds::new())
}

fn set_remote(jsep: &mut Jsep, description: SessionDescription) -> Result<Vec<Change>, Error> {
    jsep.set_remote(&description, |_, _| true, |_| None)
}

fn offered(text: &str) -> Jsep {
    let mut jsep = Jsep::new(1);
    set_remote(&mut jsep, SessionDescription::offer(text)).unwrap();
    jsep
}

/// Answers the offer that was set, and parses the answer.
fn answer(jsep: &mut Jsep) -> (Sdp, Vec<Change>) {
    let answer = jsep.create_answer(&mut local()).unwrap();
    let changes = jsep.set_local(&answer).unwrap();
    assert_eq!(jsep.state(), SignalingState::Stable);
    (answer.sdp.parse().unwrap(), changes)
}

/// Sets a local offer, and returns it parsed.
fn offer(jsep: &mut Jsep) -> (SessionDescription, Sdp) {
    let offer = jsep.create_offer(&mut local(), DATA, OfferOptions::default()).unwrap();
    jsep.set_local(&offer).unwrap();
    let parsed = offer.sdp.parse().unwrap();
    (offer, parsed)
}

fn without(text: &str, prefixes: &[&str]) -> String {
    let lines = text.lines().filter(|line| !prefixes.iter().any(|prefix| line.starts_with(prefix)));
    lines.fold(String::new(), |text, line| text + line + "\r\n")
}

fn mids(description: &Sdp) -> Vec<(&str, bool)> {
    let sections = description.media.iter();
    sections.map(|section| (section.mid().unwrap(), section.is_rejected())).collect()
}

#[test]
fn configured_pacing_is_written_and_read() {
    let mut jsep = Jsep::new(1);
    let mut local = local();
    assert!(
        !jsep.create_offer(&mut local, DATA, OfferOptions::default()).unwrap().sdp.contains("pacing"),
        "50 ms need not be written"
    );
    local.transport.ice.pacing = Some(Duration::from_millis(20));
    let offer = jsep.create_offer(&mut local, DATA, OfferOptions::default()).unwrap();
    let remote = read(SdpType::Offer, &offer.sdp).unwrap();
    assert_eq!(remote.transports[0].description.ice.pacing, Some(Duration::from_millis(20)));
    assert!(offer.sdp.find("a=ice-pacing:20") < offer.sdp.find("m="), "it is the session's");
}

/// Every section of browsers' offers is bundled: data is accepted, audio and video are inactive.
#[test]
fn every_recorded_offer_is_answered() {
    let names = recordings("-offer");
    assert!(names.len() >= 18, "{names:?}");
    for name in names {
        let theirs: Sdp = recorded(&name).parse().unwrap();
        let (own, changes) = answer(&mut offered(&theirs.to_string()));
        assert_eq!(own.media.len(), theirs.media.len(), "{name}");
        let group = own.lines.get::<Group>().unwrap().unwrap();
        let mut accepted = Vec::new();
        for (own, section) in own.media.iter().zip(&theirs.media) {
            assert_eq!(own.mid(), section.mid(), "{name}");
            assert_eq!(own.head().kind, section.head().kind, "{name}");
            assert_eq!(own.head().protocol, section.head().protocol, "{name}");
            assert_eq!(own.is_rejected(), section.is_rejected(), "{name}");
            if section.is_rejected() {
                continue;
            }
            accepted.push(own.mid().unwrap().to_owned());
            if section.head().is_data_channel() {
                continue;
            }
            assert_eq!(own.lines.get(), Ok(Some(Direction::Inactive)), "{name}");
            assert!(own.lines.has::<RtcpMux>(), "{name}");
            assert_eq!(own.head().formats, section.head().formats, "{name}: payload types of the offer");
            assert_eq!(own.codecs(), section.codecs(), "{name}");
            let extensions: Vec<_> =
                own.lines.all::<ExtMap>().flatten().map(|one| (one.id, one.uri)).collect();
            let mid = "urn:ietf:params:rtp-hdrext:sdes:mid";
            let offered = section.lines.all::<ExtMap>().flatten().find(|one| one.uri == mid).unwrap();
            assert_eq!(extensions, [(offered.id, mid.to_owned())], "{name}");
            assert!(!own.lines.has_attribute("msid") && !own.lines.has_attribute("ssrc"), "{name}");
        }
        // The attributes of the transport are in each section, as browsers write them.
        let offered = theirs.lines.get::<Group>().unwrap().unwrap();
        assert_eq!((&group.mids[0], group.mids.len()), (&offered.mids[0], accepted.len()), "{name}");
        assert!(accepted.iter().all(|mid| group.mids.contains(mid)), "{name}");
        for section in &own.media {
            let is_accepted = !section.is_rejected();
            assert_eq!(section.lines.has::<IceUfrag>(), is_accepted, "{name}");
            assert_eq!(section.lines.get(), Ok(is_accepted.then_some(Setup::Active)), "{name}");
        }
        let runs = changes.iter().any(|change| matches!(change, Change::Dtls(_, DtlsRole::Client, _)));
        assert!(runs, "{name}: {changes:?}");
        assert!(changes.contains(&Change::Gather(TransportId::FIRST)), "{name}");
        let has_data = accepted.len() != own.media.iter().filter(|one| is_media(one)).count();
        assert_eq!(changes.contains(&Change::Data(TransportId::FIRST)), has_data, "{name}");
    }
}

fn is_media(section: &columba_sdp::MediaSection) -> bool {
    section.head().kind != MediaKind::Application && !section.is_rejected()
}

#[test]
fn recorded_data_offers_are_understood() {
    let read = |name: &str| read(SdpType::Offer, &recorded(name)).unwrap();
    let chromium = read("chromium-data-offer");
    let transport = &chromium.transports[0];
    assert_eq!((&*transport.description.ice.credentials.ufrag, transport.tag), ("jyv+", 0));
    assert_eq!(chromium.application().unwrap().0.max_message_size, 262_144);
    assert_eq!((transport.description.candidates.len(), transport.description.end_of_candidates), (2, false));
    assert!(transport.description.ice.trickle && !transport.description.ice.lite);

    let firefox = read("firefox-data-offer");
    let transport = &firefox.transports[0].description;
    assert_eq!((transport.candidates.len(), transport.end_of_candidates), (4, true));
    assert_eq!((transport.fingerprints.len(), transport.setup), (1, Some(Setup::ActPass)));
    assert_eq!(firefox.application().unwrap().0.max_message_size, 1_073_741_823);
}

#[test]
fn tagged_section_carries_the_transport_of_the_bundle() {
    let text = recorded("firefox-av-max-bundle-offer");
    let remote = read(SdpType::Offer, &text).unwrap();
    let [transport] = remote.transports.as_slice() else { panic!("{:?}", remote.transports) };
    assert_eq!((transport.tag, &*transport.description.ice.credentials.ufrag), (0, "2c12ead0"));
    assert!(remote.sections.iter().all(|section| section.transport == Some(TransportId::FIRST)));
    assert!(!transport.description.candidates.is_empty());
    // RFC 9143 §7.1.3 lets the other sections leave the attributes out.
    let (head, last) = text.split_at(text.rfind("m=application").unwrap());
    let bare = head.to_owned() + &without(last, &["a=ice-"]);
    let remote = read(SdpType::Offer, &bare).unwrap();
    assert_eq!(&*remote.transports[0].description.ice.credentials.ufrag, "2c12ead0");
    // Where the tagged one leaves them out, they are another's.
    let at = text.find("m=audio").unwrap();
    let (head, rest) = text.split_at(at);
    let (audio, rest) = rest.split_at(rest.find("m=video").unwrap());
    let odd = head.to_owned() + &without(audio, &["a=ice-", "a=candidate", "a=setup"]) + rest;
    let remote = read(SdpType::Offer, &odd).unwrap();
    assert_eq!((remote.transports[0].tag, remote.transports[0].description.setup), (0, Some(Setup::ActPass)));
    assert_eq!(&*remote.transports[0].description.ice.credentials.ufrag, "2c12ead0");
}

#[test]
fn recorded_answers_fit_an_offer() {
    for (name, role) in [
        ("chromium-data-answer-to-firefox", DtlsRole::Server),
        ("firefox-data-answer-to-chromium", DtlsRole::Server),
    ] {
        let mut jsep = Jsep::new(1);
        offer(&mut jsep);
        assert!(!jsep.needs_negotiation(DATA));
        let changes = set_remote(&mut jsep, SessionDescription::answer(recorded(name))).unwrap();
        assert_eq!(jsep.state(), SignalingState::Stable);
        assert!(!jsep.needs_negotiation(DATA));
        let dtls =
            |change: &Change| matches!(change, Change::Dtls(TransportId::FIRST, one, _) if *one == role);
        assert!(changes.iter().any(dtls), "{name}: {changes:?}");
        assert!(changes.contains(&Change::Data(TransportId::FIRST)), "{name}");
    }
}

#[test]
fn renegotiation_keeps_order_names_and_inactive_media() {
    let mut jsep = offered(&recorded("chromium-av-offer"));
    let (first, _) = answer(&mut jsep);
    let (_, again) = offer(&mut jsep);
    assert_eq!(mids(&again), [("0", false), ("1", false), ("2", false)]);
    for index in 0..2 {
        let (own, before) = (&again.media[index], &first.media[index]);
        assert_eq!(own.lines.get(), Ok(Some(Direction::Inactive)));
        assert_eq!((own.head(), own.codecs()), (before.head(), before.codecs()));
    }
    assert_eq!(again.lines.get::<Group>().unwrap().unwrap().mids, ["0", "1", "2"]);
    assert_eq!(again.media[0].lines.get(), Ok(Some(Setup::ActPass)), "the tag stays");
    jsep.set_local(&SessionDescription::rollback()).unwrap();
    // A later offer of the other side's may stop sections, but not lose them.
    set_remote(&mut jsep, SessionDescription::offer(recorded("chromium-stopped-offer"))).unwrap();
    let lost = SessionDescription::offer(recorded("chromium-data-offer"));
    assert!(matches!(set_remote(&mut jsep, lost), Err(Error::InvalidDescription { .. })));
}

#[test]
fn data_is_added_behind_audio_that_runs() {
    let mut jsep = offered(&recorded("chromium-recvonly-offer"));
    let (before, changes) = answer(&mut jsep);
    assert!(before.media.iter().all(is_media), "audio and video only");
    assert!(changes.iter().any(|change| matches!(change, Change::Dtls(..))), "the transport runs");
    assert!(!changes.contains(&Change::Data(TransportId::FIRST)));
    assert!(jsep.needs_negotiation(DATA) && !jsep.needs_negotiation(Wanted::default()));
    let (_, again) = offer(&mut jsep);
    assert_eq!(again.media.len(), before.media.len() + 1);
    let data = again.media.last().unwrap();
    assert!(data.head().is_data_channel() && !data.is_rejected() && data.lines.has::<IceUfrag>());
    let group = again.lines.get::<Group>().unwrap().unwrap();
    assert_eq!(group.mids.last().map(String::as_str), data.mid());
    assert_eq!(group.mids.len(), again.media.len());
    assert_eq!(jsep.candidate_section(TransportId::FIRST), Some((group.mids[0].as_str(), 0)));
}

#[test]
fn rejected_section_is_used_again_under_another_name() {
    // The other side has refused data once.
    let mut jsep = Jsep::new(1);
    let (own, _) = offer(&mut jsep);
    let refusal = own.sdp.replace("m=application 9", "m=application 0").replace("actpass", "active");
    let changes = set_remote(&mut jsep, SessionDescription::answer(refusal)).unwrap();
    assert!(changes.contains(&Change::DataEnded { refused: true }) && jsep.needs_negotiation(DATA));
    let (_, again) = offer(&mut jsep);
    assert_eq!(mids(&again), [("1", false)]);

    // Or it bundles nothing: each section has a transport of its own.
    let mut jsep = offered(&without(&recorded("chromium-av-offer"), &["a=group"]));
    let (before, _) = answer(&mut jsep);
    assert_eq!(mids(&before), [("0", false), ("1", false), ("2", false)]);
    assert!(!before.lines.has::<Group>());
    // Stopping data ends its transport; the rejected section becomes another one, which is offered
    // as the only one of a bundle.
    let (again, _) = offer(&mut jsep);
    assert!(!again.sdp.contains("a=group"), "what was not bundled is not bundled later: {}", again.sdp);
    let theirs = credentials(&recorded("chromium-av-offer"));
    let stopped = without(&again.sdp, &["a=ice-ufrag", "a=ice-pwd"])
        .replace("m=application 9", "m=application 0")
        .replace("a=setup:actpass", &format!("{theirs}a=setup:active"));
    let changes = set_remote(&mut jsep, SessionDescription::answer(stopped)).unwrap();
    assert!(changes.contains(&Change::Unused(TransportId(2))), "{changes:?}");
    let (_, again) = offer(&mut jsep);
    assert_eq!(mids(&again), [("0", false), ("1", false), ("3", false)]);
    assert!(again.media[2].head().is_data_channel());
    assert_eq!(again.lines.get::<Group>().unwrap().unwrap().mids, ["3"]);
    assert_eq!(jsep.candidate_section(TransportId(3)), Some(("3", 2)));
}

#[test]
fn section_without_rtcp_mux_is_refused_by_name() {
    let text = recorded("chromium-av-offer");
    let without_mux = without(&text, &["a=rtcp-mux"]);
    match set_remote(&mut Jsep::new(1), SessionDescription::offer(without_mux)) {
        Err(Error::InvalidDescription { mid, reason, .. }) => {
            assert_eq!(mid.as_deref(), Some("0"));
            assert!(reason.contains("a=rtcp-mux"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    // In a bundle one section may have it for all; alone each needs it.
    let (audio, video) = text.split_at(text.find("m=video").unwrap());
    let half = audio.to_owned() + &video.replace("a=rtcp-mux\r\n", "").replace("a=rtcp-mux\n", "");
    set_remote(&mut Jsep::new(1), SessionDescription::offer(half.clone())).unwrap();
    match set_remote(&mut Jsep::new(1), SessionDescription::offer(without(&half, &["a=group"]))) {
        Err(Error::InvalidDescription { mid, .. }) => assert_eq!(mid.as_deref(), Some("1")),
        other => panic!("{other:?}"),
    }
    // A rejected one needs nothing.
    let stopped = half.replace("m=video 51907", "m=video 0").replace("BUNDLE 0 1 2", "BUNDLE 0 2");
    set_remote(&mut Jsep::new(1), SessionDescription::offer(stopped)).unwrap();
}

#[test]
fn sctp_port_of_either_notation_is_read() {
    let offer = recorded("chromium-data-offer");
    let new = offer.replace("a=sctp-port:5000", "a=sctp-port:6789");
    let old = offer
        .replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 6789")
        .replace("a=sctp-port:5000", "a=sctpmap:6789 webrtc-datachannel 1024");
    let silent = offer.replace("a=sctp-port:5000\r\n", "");
    for (text, port) in [(new, 6789), (old, 6789), (silent, 5000)] {
        let remote = read(SdpType::Offer, &text).unwrap();
        assert_eq!(remote.application().unwrap().0.sctp_port, port, "{text}");
    }
}

#[test]
fn glare_takes_back_the_local_offer() {
    let mut jsep = Jsep::new(1);
    offer(&mut jsep);
    let offer = SessionDescription::offer(recorded("chromium-av-offer"));
    let changes = set_remote(&mut jsep, offer).unwrap();
    let states = changes.iter().filter(|change| matches!(change, Change::SignalingState(_)));
    let states: Vec<_> = states.cloned().collect();
    let [stable, offered] = [SignalingState::Stable, SignalingState::HaveRemoteOffer];
    assert_eq!(states, [Change::SignalingState(stable), Change::SignalingState(offered)]);
    assert_eq!(jsep.local_description(Stage::Latest, |_, _| None), None);
    answer(&mut jsep);
    assert_eq!(jsep.candidate_section(TransportId::FIRST), Some(("0", 0)));
}

#[test]
fn versions_grow_and_only_the_created_description_can_be_set() {
    let mut jsep = Jsep::new(u64::MAX);
    let offer = jsep.create_offer(&mut local(), DATA, OfferOptions::default()).unwrap();
    let munged = SessionDescription::offer(offer.sdp.replace("abcd", "efgh"));
    assert_eq!(jsep.set_local(&munged), Err(Error::InvalidModification { kind: SdpType::Offer }));
    jsep.set_local(&offer).unwrap();
    jsep.set_local(&SessionDescription::rollback()).unwrap();
    assert_eq!(jsep.state(), SignalingState::Stable);
    let again = jsep.create_offer(&mut local(), DATA, OfferOptions::default()).unwrap();
    let version = |text: &str| {
        let description: Sdp = text.parse().unwrap();
        assert_eq!(description.origin().session_id, (u64::MAX >> 1).to_string());
        description.origin().session_version
    };
    assert_eq!(version(&again.sdp), version(&offer.sdp) + 1);
    assert!(matches!(jsep.create_answer(&mut local()), Err(Error::InvalidState { .. })));
}

#[test]
fn settled_role_stays_in_answers() {
    let mut jsep = offered(&recorded("chromium-data-offer"));
    let passive = jsep.create_answer(&mut with_role(DtlsRole::Server)).unwrap();
    assert!(passive.sdp.contains("a=setup:passive"));
    let offer = recorded("chromium-data-offer").replace("a=setup:actpass", "a=setup:active");
    assert!(offered(&offer).create_answer(&mut local()).unwrap().sdp.contains("a=setup:passive"));
}

fn ufrag(text: &str) -> &str {
    let line = text.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:"));
    line.expect("there is a transport")
}

/// The user name fragments that transports are given, and how often one is rolled back.
fn local_ice(changes: &[Change]) -> (Vec<&str>, usize) {
    let given = changes.iter().filter_map(|change| match change {
        Change::LocalIce(_, credentials) => Some(&*credentials.ufrag),
        _ => None,
    });
    let rolled_back = changes.iter().filter(|change| matches!(change, Change::RollBack(_)));
    (given.collect(), rolled_back.count())
}

#[test]
fn restart_is_negotiated_once_and_derived_from_the_credentials_in_use() {
    let mut jsep = offered(&recorded("chromium-data-offer"));
    answer(&mut jsep);
    assert!(!jsep.needs_negotiation(DATA));
    let plain = |jsep: &mut Jsep, new: &str| {
        let offer = jsep.create_offer(&mut drawing(new), DATA, OfferOptions::default()).unwrap();
        ufrag(&offer.sdp).to_owned()
    };
    assert_eq!(plain(&mut jsep, "efgh"), "abcd", "the credentials in use");
    jsep.restart_ice();
    assert!(jsep.needs_negotiation(DATA));
    assert_eq!(plain(&mut jsep, "efgh"), "efgh");
    let offer = jsep.create_offer(&mut drawing("ijkl"), DATA, OfferOptions::default()).unwrap();
    let changes = jsep.set_local(&offer).unwrap();
    assert_eq!(local_ice(&changes), (vec!["ijkl"], 0));
    // A second offer meanwhile goes on with them, unless it is to restart again.
    assert_eq!(plain(&mut jsep, "mnop"), "ijkl");
    let options = OfferOptions { ice_restart: true };
    assert_eq!(ufrag(&jsep.create_offer(&mut drawing("mnop"), DATA, options).unwrap().sdp), "mnop");
    let answer = recorded("chromium-data-offer").replace("actpass", "active").replace("jyv+", "new+");
    let changes = set_remote(&mut jsep, SessionDescription::answer(answer)).unwrap();
    assert!(changes.iter().any(|change| matches!(change, Change::RemoteIce(..))), "{changes:?}");
    assert!(!jsep.needs_negotiation(DATA), "the old credentials are not in use any more");
    assert_eq!(plain(&mut jsep, "qrst"), "ijkl");
}

#[test]
fn offer_that_is_never_set_changes_nothing() {
    let mut jsep = offered(&recorded("chromium-data-offer"));
    answer(&mut jsep);
    let options = OfferOptions { ice_restart: true };
    jsep.create_offer(&mut drawing("efgh"), DATA, options).unwrap();
    set_remote(&mut jsep, SessionDescription::offer(recorded("chromium-data-offer"))).unwrap();
    let answer = jsep.create_answer(&mut drawing("ijkl")).unwrap();
    assert_eq!(ufrag(&answer.sdp), "abcd", "the other side has not restarted");
}

#[test]
fn answers_restart_if_and_only_if_the_offer_did() {
    let text = recorded("chromium-data-offer");
    let mut jsep = offered(&text);
    answer(&mut jsep);
    // The other side restarts.
    set_remote(&mut jsep, SessionDescription::offer(text.replace("jyv+", "new+"))).unwrap();
    let answer = jsep.create_answer(&mut drawing("efgh")).unwrap();
    assert_eq!(ufrag(&answer.sdp), "efgh");
    assert_eq!(local_ice(&jsep.set_local(&answer).unwrap()), (vec!["efgh"], 0));
    // This side offers without a restart, and the answer has new credentials; or the reverse.
    for (ice_restart, theirs, words) in [(false, "odd+", "new ICE credentials"), (true, "new+", "keeps")] {
        let options = OfferOptions { ice_restart };
        let offer = jsep.create_offer(&mut drawing("ijkl"), DATA, options).unwrap();
        jsep.set_local(&offer).unwrap();
        let answer = text.replace("actpass", "active").replace("jyv+", theirs);
        match set_remote(&mut jsep, SessionDescription::answer(answer)) {
            Err(Error::InvalidDescription { reason, .. }) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(jsep.state(), SignalingState::HaveLocalOffer, "it can still be answered");
        jsep.set_local(&SessionDescription::rollback()).unwrap();
    }
}

#[test]
fn rollback_takes_the_offer_back_and_lets_it_be_set_again() {
    let mut jsep = Jsep::new(1);
    let (own, _) = offer(&mut jsep);
    let changes = set_remote(&mut jsep, SessionDescription::offer(recorded("chromium-data-offer"))).unwrap();
    assert_eq!(local_ice(&changes), (vec![], 1));
    let states = changes.iter().filter_map(|change| match change {
        Change::SignalingState(state) => Some(*state),
        _ => None,
    });
    assert_eq!(states.collect::<Vec<_>>(), [SignalingState::Stable, SignalingState::HaveRemoteOffer]);
    assert_eq!(changes.len(), 3, "the offer of the other side's touches no transport: {changes:?}");
    let changes = set_remote(&mut jsep, SessionDescription::rollback()).unwrap();
    assert_eq!(changes, [Change::SignalingState(SignalingState::Stable)]);
    assert_eq!(local_ice(&jsep.set_local(&own).unwrap()), (vec!["abcd"], 0));
}

/// The lines of the first credentials of a description.
fn credentials(text: &str) -> String {
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    format!("{}\r\n{}\r\n", line("a=ice-ufrag"), line("a=ice-pwd"))
}

#[test]
fn answers_without_mid_are_matched_by_index() {
    // The offerer's names are not the indices.
    let named = recorded("chromium-av-offer").replace("a=mid:2", "a=mid:data").replace("0 1 2", "0 1 data");
    let mut jsep = offered(&named);
    answer(&mut jsep);
    let (own, _) = offer(&mut jsep);
    let text = without(&own.sdp, &["a=mid", "a=group", "a=ice-ufrag", "a=ice-pwd"]);
    let text = text.replace("a=setup:actpass", &format!("{}a=setup:active", credentials(&named)));
    let mut bundled = text.replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0 1 data\r\n");
    let changes = set_remote(&mut jsep, SessionDescription::answer(bundled.clone())).unwrap();
    assert!(changes.contains(&Change::Data(TransportId::FIRST)), "{changes:?}");
    assert!(jsep.remote_description(Stage::Latest).is_some());
    // The bundle cannot be taken apart by an answer.
    offer(&mut jsep);
    match set_remote(&mut jsep, SessionDescription::answer(text)) {
        Err(Error::InvalidDescription { mid, reason, .. }) => {
            assert!(mid.as_deref() == Some("1") && reason.contains("outside of the bundle"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    // A name that is there must be the right one.
    bundled = bundled.replace("a=inactive", "a=mid:wrong\r\na=inactive");
    assert!(matches!(
        set_remote(&mut jsep, SessionDescription::answer(bundled)),
        Err(Error::InvalidDescription { .. })
    ));
}

#[test]
fn offers_without_mid_get_names_that_are_free() {
    let text = recorded("chromium-av-offer").replace("a=mid:0\r\n", "").replace("a=mid:2", "a=mid:0");
    let text = text.replace("BUNDLE 0 1 2", "BUNDLE 0 1");
    let (own, _) = answer(&mut offered(&text));
    assert_eq!(mids(&own), [("2", false), ("1", false), ("0", false)]);
    assert_eq!(own.lines.get::<Group>().unwrap().unwrap().mids, ["0", "1"], "audio is in no bundle");
}

fn candidate(mid: Option<&str>, index: Option<u16>, ufrag: Option<&str>) -> IceCandidateInit {
    IceCandidateInit {
        candidate: "candidate:1 1 udp 1 10.0.0.9 9 typ host".to_owned(),
        sdp_mid: mid.map(str::to_owned),
        sdp_m_line_index: index,
        username_fragment: ufrag.map(str::to_owned),
    }
}

#[test]
fn candidates_of_an_offer_count_for_the_tagged_section() {
    // They wait for the answer.
    let added = |init: IceCandidateInit| {
        let mut jsep = offered(&without(&recorded("chromium-av-offer"), &["a=candidate"]));
        assert_eq!(jsep.add_candidate(Some(&init))?, []);
        let (_, changes) = answer(&mut jsep);
        let found = changes.iter().find_map(|change| match change {
            Change::RemoteCandidate(TransportId::FIRST, one) => Some(one.ufrag.as_deref() == Some("VQec")),
            _ => None,
        });
        Ok(found.unwrap_or(false))
    };
    for init in [
        candidate(Some("0"), None, None),
        candidate(Some("0"), Some(7), Some("VQec")),
        candidate(None, Some(0), Some("")),
        // Some implementations know only the index.
        candidate(Some(""), Some(0), Some("")),
    ] {
        assert_eq!(added(init.clone()), Ok(true), "{init:?}");
    }
    // Until the bundle is agreed, the others have transports of their own.
    assert_eq!(added(candidate(Some("2"), Some(2), Some("VQec"))), Ok(false));
    for init in [
        candidate(Some("7"), Some(0), None),
        candidate(None, Some(3), None),
        candidate(Some(""), None, None),
        candidate(None, None, None),
        candidate(Some("0"), None, Some("other")),
    ] {
        let refused = added(init.clone());
        let is_refused =
            matches!(refused, Err(Error::InvalidCandidate { .. } | Error::CandidateWithoutSection));
        assert!(is_refused, "{init:?}: {refused:?}");
    }
}

#[test]
fn end_of_candidates_names_a_section_or_all() {
    let end = |mid: Option<&str>, index| IceCandidateInit {
        candidate: String::new(),
        ..candidate(mid, index, None)
    };
    let ended = [Change::EndOfCandidates(TransportId::FIRST)];
    for (init, changes) in [
        (None, &ended[..]),
        (Some(end(None, None)), &ended),
        (Some(end(Some("0"), None)), &ended),
        (Some(end(Some(""), Some(0))), &ended),
        (Some(end(Some("1"), None)), &[]),
    ] {
        let mut jsep = offered(&recorded("chromium-av-offer"));
        assert_eq!(jsep.add_candidate(init.as_ref()).unwrap(), [], "{init:?}");
        let text = jsep.remote_description(Stage::Latest).unwrap().sdp;
        assert_eq!(text.contains("a=end-of-candidates"), !changes.is_empty(), "{init:?}");
        let (_, found) = answer(&mut jsep);
        let found = found.iter().filter(|change| matches!(change, Change::EndOfCandidates(_)));
        assert_eq!(found.cloned().collect::<Vec<_>>(), changes, "{init:?}");
        if init.as_ref().is_none_or(|init| init.sdp_mid.is_none()) {
            // Later ones reach the session that runs at once.
            assert_eq!(jsep.add_candidate(init.as_ref()).unwrap(), ended, "{init:?}");
        }
    }
}

#[test]
fn candidates_at_session_level_are_used() {
    let text = without(&recorded("chromium-data-offer"), &["a=candidate"]);
    let line = "a=candidate:1 1 udp 2130706431 10.0.0.99 5000 typ host generation 0\r\n";
    let text = text.replace("t=0 0\r\n", &format!("t=0 0\r\n{line}"));
    let (_, changes) = answer(&mut offered(&text));
    let candidates = changes.iter().filter(|change| matches!(change, Change::RemoteCandidate(..)));
    assert_eq!(candidates.count(), 1, "{changes:?}");
}

#[test]
fn errors_name_the_line_or_the_section() {
    let good = recorded("chromium-data-offer");
    let line = |text: &str, wanted: &str| {
        let at = text.lines().position(|line| line.starts_with(wanted)).unwrap();
        Some(u32::try_from(at).unwrap() + 1)
    };
    for (text, expected_line, words) in [
        ("garbage".to_owned(), Some(1), "expected <letter>=<value>"),
        (String::new(), None, ""),
        (good.replace("a=ice-ufrag:jyv+", "a=ice-ufrag:x"), line(&good, "a=ice-ufrag"), "4 to 256"),
        (good.replace("a=ice-pwd", "a=ice-pwt"), None, "a=ice-pwd is missing"),
        (good.replace("a=fingerprint", "a=fingerprist"), None, "a=fingerprint is missing"),
        (good.replace("80:9D", "80:9X"), line(&good, "a=fingerprint"), "hexadecimal"),
        (good.replace("sha-256", "md4"), None, "no fingerprint has a hash function that is trusted"),
        (good.replace("a=sctp-port:5000", "a=sctp-port:0"), None, "SCTP port 0"),
        (good.replace("a=sctp-port:5000", "a=sctp-port:70000"), line(&good, "a=sctp-port"), "a port"),
        (good.replace("setup:actpass", "setup:holdconn"), None, "holdconn"),
        (good.clone() + &good[good.find("m=").unwrap()..], None, "two media sections have this name"),
    ] {
        match read(SdpType::Offer, &text) {
            Err(Error::InvalidDescription { line, reason, .. }) => {
                assert!(
                    expected_line.is_none() || line == expected_line,
                    "{line:?} {expected_line:?}: {reason}"
                );
                assert!(reason.contains(words), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    let answer = read(SdpType::Answer, &good);
    assert!(answer.is_err(), "an answer cannot be actpass");
}

#[test]
fn refused_description_changes_nothing() {
    let mut jsep = offered(&recorded("chromium-data-offer"));
    answer(&mut jsep);
    let before = jsep.remote_description(Stage::Latest);
    let other = SessionDescription::offer(recorded("chromium-data-offer"));
    let refused = jsep.set_remote(&other, |_, _| false, |_| None);
    match refused {
        Err(Error::InvalidDescription { mid, reason, .. }) => {
            assert_eq!(mid.as_deref(), Some("0"));
            assert!(reason.contains("fingerprints"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((jsep.remote_description(Stage::Latest), jsep.state()), (before, SignalingState::Stable));
    // With a restart it is another DTLS association.
    let restarted = SessionDescription::offer(recorded("firefox-data-offer"));
    jsep.set_remote(&restarted, |_, _| false, |_| None).unwrap();
    let (_, changes) = answer(&mut jsep);
    assert!(changes.contains(&Change::RenewDtls(TransportId::FIRST)), "{changes:?}");
}
