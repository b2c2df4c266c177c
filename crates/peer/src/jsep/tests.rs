//! The exchange with recorded descriptions of browsers, and with nonsense.

use std::time::Duration;

use columba_ice::Credentials;
use columba_sdp::attributes::{Fingerprint, Group, HashFunction, IcePacing, Setup};

use super::{Jsep, LocalParameters, Remote};
use crate::description::{SdpType, SessionDescription};
use crate::error::Error;
use crate::states::SignalingState;

fn recorded(name: &str) -> String {
    let path = format!("{}/../sdp/tests/data/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn local() -> LocalParameters {
    LocalParameters {
        credentials: Credentials { ufrag: "abcd".into(), pwd: "abcdefghijklmnopqrstuv".into() },
        lite: false,
        renomination: true,
        pacing: None,
        fingerprint: Fingerprint { hash: HashFunction::Sha256, digest: vec![7; 32] },
        max_message_size: 262_144,
    }
}

fn offered(text: &str) -> Jsep {
    let mut jsep = Jsep::new(1);
    let remote = Remote::parse(SdpType::Offer, text).unwrap();
    assert_eq!(jsep.check_remote(&remote), Ok(false));
    jsep.set_remote(remote);
    jsep
}

/// Answers an offer, and takes the answer apart.
fn answer(text: &str) -> columba_sdp::SessionDescription {
    let mut jsep = offered(text);
    let answer = jsep.create_answer(&local(), None).unwrap();
    jsep.set_local(&answer).unwrap();
    assert_eq!(jsep.state(), SignalingState::Stable);
    answer.sdp.parse().unwrap()
}

#[test]
fn a_wish_for_another_pace_is_written_and_read() {
    let mut jsep = Jsep::new(1);
    let local = LocalParameters { pacing: Some(IcePacing(20)), ..local() };
    let offer = jsep.create_offer(&local, true).unwrap();
    let remote = Remote::parse(SdpType::Offer, &offer.sdp).unwrap();
    assert_eq!(remote.data.unwrap().ice.pacing, Some(Duration::from_millis(20)));
    assert!(offer.sdp.find("a=ice-pacing:20") < offer.sdp.find("m="), "it is the session's");
}

#[test]
fn every_recorded_offer_is_answered() {
    let directory = format!("{}/../sdp/tests/data", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix("-offer.sdp") else { continue };
        count += 1;
        let offer: columba_sdp::SessionDescription = recorded(&format!("{name}-offer")).parse().unwrap();
        let answer = answer(&offer.to_string());
        assert_eq!(answer.media.len(), offer.media.len(), "{name}");
        for (own, theirs) in answer.media.iter().zip(&offer.media) {
            assert_eq!(own.mid(), theirs.mid(), "{name}");
            assert_eq!(own.head().kind, theirs.head().kind, "{name}");
            assert_eq!(own.head().protocol, theirs.head().protocol, "{name}");
            assert!(theirs.head().formats.contains(&own.head().formats[0]), "{name}");
            let data = theirs.head().is_data_channel() && !theirs.is_rejected();
            assert_eq!(own.is_rejected(), !data, "{name}");
            if data {
                assert_eq!(own.lines.get(), Ok(Some(Setup::Active)), "{name}");
                let bundle = answer.lines.get::<Group>().unwrap().unwrap();
                assert_eq!(bundle.mids, [own.mid().unwrap()], "{name}");
            }
        }
    }
    assert!(count >= 10, "{count} offers");
}

#[test]
fn recorded_data_offers_are_understood() {
    let chromium = Remote::parse(SdpType::Offer, &recorded("chromium-data-offer")).unwrap().data.unwrap();
    assert_eq!((&*chromium.ice.credentials.ufrag, chromium.mid.as_str()), ("jyv+", "0"));
    assert_eq!(chromium.max_message_size, 262_144);
    assert_eq!((chromium.candidates.len(), chromium.end_of_candidates), (2, false));
    assert!(chromium.ice.trickle && !chromium.ice.lite);

    let firefox = Remote::parse(SdpType::Offer, &recorded("firefox-data-offer")).unwrap().data.unwrap();
    assert_eq!((firefox.candidates.len(), firefox.end_of_candidates), (4, true));
    assert_eq!((firefox.fingerprints.len(), firefox.setup), (1, Some(Setup::ActPass)));
    assert_eq!(firefox.max_message_size, 1_073_741_823);
}

#[test]
fn a_section_that_is_bundled_only_borrows_the_transport() {
    let remote = Remote::parse(SdpType::Offer, &recorded("firefox-av-max-bundle-offer")).unwrap();
    let data = remote.data.unwrap();
    assert_eq!((data.index, &*data.ice.credentials.ufrag), (2, "2c12ead0"));
    assert_eq!(data.bundle, ["0", "1", "2"]);
    assert!(!data.candidates.is_empty(), "those of the first section");
    // RFC 9143 §7.1.3 lets the attributes of the transport be left out.
    let mut text = recorded("firefox-av-max-bundle-offer");
    let last = text.rfind("m=application").unwrap();
    let bare = text
        .split_off(last)
        .lines()
        .filter(|line| !line.starts_with("a=ice-"))
        .fold(String::new(), |text, line| text + line + "\r\n");
    let data = Remote::parse(SdpType::Offer, &(text + &bare)).unwrap().data.unwrap();
    assert_eq!(&*data.ice.credentials.ufrag, "2c12ead0");
}

#[test]
fn recorded_answers_fit_an_offer() {
    for (name, setup) in [
        ("chromium-data-answer-to-firefox", Setup::Active),
        ("firefox-data-answer-to-chromium", Setup::Active),
    ] {
        let mut jsep = Jsep::new(1);
        let offer = jsep.create_offer(&local(), true).unwrap();
        jsep.set_local(&offer).unwrap();
        let remote = Remote::parse(SdpType::Answer, &recorded(name)).unwrap();
        jsep.check_remote(&remote).unwrap();
        jsep.set_remote(remote);
        assert_eq!(jsep.state(), SignalingState::Stable);
        assert!(jsep.has_data());
        assert_eq!(jsep.remote().unwrap().data.as_ref().unwrap().setup, Some(setup), "{name}");
    }
}

#[test]
fn renegotiation_keeps_the_order_and_the_names() {
    let mut jsep = offered(&recorded("chromium-av-offer"));
    let answer = jsep.create_answer(&local(), None).unwrap();
    jsep.set_local(&answer).unwrap();
    let offer = jsep.create_offer(&local(), true).unwrap();
    let offer: columba_sdp::SessionDescription = offer.sdp.parse().unwrap();
    let mids: Vec<_> =
        offer.media.iter().map(|section| (section.mid().unwrap(), section.is_rejected())).collect();
    assert_eq!(mids, [("0", true), ("1", true), ("2", false)]);
    assert_eq!(offer.media[2].lines.get(), Ok(Some(Setup::ActPass)));
    // A later offer of the other side's may stop sections, but not lose them.
    let remote = Remote::parse(SdpType::Offer, &recorded("chromium-stopped-offer")).unwrap();
    assert_eq!(jsep.check_remote(&remote), Ok(false));
    let lost = Remote::parse(SdpType::Offer, &recorded("chromium-data-offer")).unwrap();
    assert!(matches!(jsep.check_remote(&lost), Err(Error::InvalidDescription { .. })));
}

#[test]
fn a_rejected_section_is_used_again_under_another_name() {
    // The other side has refused data once.
    let mut jsep = Jsep::new(1);
    let offer = jsep.create_offer(&local(), true).unwrap();
    jsep.set_local(&offer).unwrap();
    let refusal = offer.sdp.replace("m=application 9", "m=application 0").replace("actpass", "active");
    let refusal = Remote::parse(SdpType::Answer, &refusal).unwrap();
    jsep.check_remote(&refusal).unwrap();
    jsep.set_remote(refusal);
    assert!(!jsep.has_data());
    let again = jsep.create_offer(&local(), true).unwrap();
    let again: columba_sdp::SessionDescription = again.sdp.parse().unwrap();
    assert_eq!(again.media.len(), 1);
    assert_eq!((again.media[0].mid(), again.media[0].is_rejected()), (Some("1"), false));

    // Or it has offered audio, which was rejected.
    let mut jsep = offered(&recorded("chromium-recvonly-offer"));
    let answer = jsep.create_answer(&local(), None).unwrap();
    jsep.set_local(&answer).unwrap();
    let before: columba_sdp::SessionDescription = answer.sdp.parse().unwrap();
    let offer = jsep.create_offer(&local(), true).unwrap();
    jsep.set_local(&offer).unwrap();
    let offer: columba_sdp::SessionDescription = offer.sdp.parse().unwrap();
    assert_eq!(offer.media.len(), before.media.len());
    assert!(offer.media[0].head().is_data_channel() && !offer.media[0].is_rejected());
    assert!(before.media.iter().all(|section| section.mid() != offer.media[0].mid()));
    let bundle = offer.lines.get::<Group>().unwrap().unwrap();
    assert_eq!(bundle.mids, [offer.media[0].mid().unwrap()]);
}

#[test]
fn the_sctp_port_of_either_notation_is_understood() {
    let offer = recorded("chromium-data-offer");
    let new = offer.replace("a=sctp-port:5000", "a=sctp-port:6789");
    let old = offer
        .replace("UDP/DTLS/SCTP webrtc-datachannel", "DTLS/SCTP 6789")
        .replace("a=sctp-port:5000", "a=sctpmap:6789 webrtc-datachannel 1024");
    let silent = offer.replace("a=sctp-port:5000\r\n", "");
    for (text, port) in [(new, 6789), (old, 6789), (silent, 5000)] {
        assert_eq!(Remote::parse(SdpType::Offer, &text).unwrap().data.unwrap().sctp_port, port, "{text}");
    }
}

#[test]
fn glare_takes_back_the_own_offer() {
    let mut jsep = Jsep::new(1);
    let offer = jsep.create_offer(&local(), true).unwrap();
    jsep.set_local(&offer).unwrap();
    let remote = Remote::parse(SdpType::Offer, &recorded("chromium-av-offer")).unwrap();
    assert_eq!(jsep.check_remote(&remote), Ok(true));
    jsep.set_remote(remote);
    assert_eq!(jsep.state(), SignalingState::HaveRemoteOffer);
    assert!(jsep.local().is_none());
    let answer = jsep.create_answer(&local(), None).unwrap();
    jsep.set_local(&answer).unwrap();
    assert_eq!(jsep.local().unwrap().data.as_ref().unwrap().mid, "2");
}

#[test]
fn versions_grow_and_only_what_was_created_can_be_set() {
    let mut jsep = Jsep::new(u64::MAX);
    let offer = jsep.create_offer(&local(), true).unwrap();
    let munged = SessionDescription::offer(offer.sdp.replace("abcd", "efgh"));
    assert_eq!(jsep.set_local(&munged), Err(Error::InvalidModification { kind: SdpType::Offer }));
    jsep.set_local(&offer).unwrap();
    jsep.set_local(&SessionDescription::rollback()).unwrap();
    assert_eq!(jsep.state(), SignalingState::Stable);
    let again = jsep.create_offer(&local(), true).unwrap();
    let version = |text: &str| {
        let description: columba_sdp::SessionDescription = text.parse().unwrap();
        assert_eq!(description.origin().session_id, (u64::MAX >> 1).to_string());
        description.origin().session_version
    };
    assert_eq!(version(&again.sdp), version(&offer.sdp) + 1);
    assert!(matches!(jsep.create_answer(&local(), None), Err(Error::InvalidState { .. })));
}

#[test]
fn an_answer_to_one_who_is_client_already_stays() {
    let mut jsep = offered(&recorded("chromium-data-offer"));
    let passive = jsep.create_answer(&local(), Some(false)).unwrap();
    assert!(passive.sdp.contains("a=setup:passive"));
    let offer = recorded("chromium-data-offer").replace("a=setup:actpass", "a=setup:active");
    assert!(offered(&offer).create_answer(&local(), None).unwrap().sdp.contains("a=setup:passive"));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
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
        match Remote::parse(SdpType::Offer, &text) {
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
    let answer = good.clone();
    assert!(Remote::parse(SdpType::Answer, &answer).is_err(), "an answer cannot be actpass");
}
