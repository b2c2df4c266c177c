//! Every member of webrtc-stats: those that reports have, and the reason for each other one. The
//! page `docs/statistics.md` is written from these tables, by `UPDATE_DOCS=1`.

#![cfg(feature = "serde")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use columba_netsim::{Loss, Nat};
use columba_peer::{
    Configuration, DataChannelInit, MediaConfiguration, Message, OutgoingFrame, StatsSelector, Track,
    TransceiverDirection, TransceiverInit,
};

use crate::frames::{picture, receive};
use crate::lab::{ALICE, BOB, Lab, SECOND, with_turn};

const FRAME: Duration = Duration::from_millis(20);

/// The dictionaries and their members, as the W3C's draft of 2025-09-25 has them, those that they
/// inherit included.
const W3C: [(&str, &str); 14] = [
    ("codec", "payloadType transportId mimeType clockRate channels sdpFmtpLine"),
    (
        "inbound-rtp",
        "ssrc kind transportId codecId packetsReceived packetsReceivedWithEct1 packetsReceivedWithCe \
         packetsReportedAsLost packetsReportedAsLostButRecovered packetsLost jitter trackIdentifier mid \
         remoteId framesDecoded keyFramesDecoded framesRendered framesDropped frameWidth frameHeight \
         framesPerSecond qpSum totalDecodeTime totalInterFrameDelay totalSquaredInterFrameDelay pauseCount \
         totalPausesDuration freezeCount totalFreezesDuration lastPacketReceivedTimestamp \
         headerBytesReceived packetsDiscarded fecBytesReceived fecPacketsReceived fecPacketsDiscarded \
         bytesReceived nackCount firCount pliCount totalProcessingDelay estimatedPlayoutTimestamp \
         jitterBufferDelay jitterBufferTargetDelay jitterBufferEmittedCount jitterBufferMinimumDelay \
         totalSamplesReceived concealedSamples silentConcealedSamples concealmentEvents \
         insertedSamplesForDeceleration removedSamplesForAcceleration audioLevel totalAudioEnergy \
         totalSamplesDuration framesReceived decoderImplementation playoutId powerEfficientDecoder \
         framesAssembledFromMultiplePackets totalAssemblyTime retransmittedPacketsReceived \
         retransmittedBytesReceived rtxSsrc fecSsrc totalCorruptionProbability \
         totalSquaredCorruptionProbability corruptionMeasurements",
    ),
    (
        "outbound-rtp",
        "ssrc kind transportId codecId packetsSent bytesSent mid mediaSourceId remoteId rid encodingIndex \
         headerBytesSent retransmittedPacketsSent retransmittedBytesSent rtxSsrc targetBitrate \
         totalEncodedBytesTarget frameWidth frameHeight framesPerSecond framesSent hugeFramesSent \
         framesEncoded keyFramesEncoded qpSum psnrSum psnrMeasurements totalEncodeTime \
         totalPacketSendDelay qualityLimitationReason qualityLimitationDurations \
         qualityLimitationResolutionChanges nackCount firCount pliCount encoderImplementation \
         powerEfficientEncoder active scalabilityMode packetsSentWithEct1",
    ),
    (
        "remote-inbound-rtp",
        "ssrc kind transportId codecId packetsReceived packetsReceivedWithEct1 packetsReceivedWithCe \
         packetsReportedAsLost packetsReportedAsLostButRecovered packetsLost jitter localId roundTripTime \
         totalRoundTripTime fractionLost roundTripTimeMeasurements packetsWithBleachedEct1Marking",
    ),
    (
        "remote-outbound-rtp",
        "ssrc kind transportId codecId packetsSent bytesSent localId remoteTimestamp reportsSent \
         roundTripTime totalRoundTripTime roundTripTimeMeasurements",
    ),
    (
        "media-source",
        "trackIdentifier kind audioLevel totalAudioEnergy totalSamplesDuration echoReturnLoss \
         echoReturnLossEnhancement width height frames framesPerSecond",
    ),
    (
        "media-playout",
        "kind synthesizedSamplesDuration synthesizedSamplesEvents totalSamplesDuration totalPlayoutDelay \
         totalSamplesCount",
    ),
    ("peer-connection", "dataChannelsOpened dataChannelsClosed"),
    (
        "data-channel",
        "label protocol dataChannelIdentifier state messagesSent bytesSent messagesReceived bytesReceived",
    ),
    (
        "transport",
        "packetsSent packetsReceived bytesSent bytesReceived iceRole iceLocalUsernameFragment dtlsState \
         iceState selectedCandidatePairId localCertificateId remoteCertificateId tlsVersion dtlsCipher \
         dtlsRole srtpCipher selectedCandidatePairChanges ccfbMessagesSent ccfbMessagesReceived",
    ),
    ("local-candidate", CANDIDATE),
    ("remote-candidate", CANDIDATE),
    (
        "candidate-pair",
        "transportId localCandidateId remoteCandidateId state nominated packetsSent packetsReceived \
         bytesSent bytesReceived lastPacketSentTimestamp lastPacketReceivedTimestamp totalRoundTripTime \
         currentRoundTripTime availableOutgoingBitrate availableIncomingBitrate requestsReceived \
         requestsSent responsesReceived responsesSent consentRequestsSent packetsDiscardedOnSend \
         bytesDiscardedOnSend",
    ),
    ("certificate", "fingerprint fingerprintAlgorithm base64Certificate issuerCertificateId"),
];

const CANDIDATE: &str = "transportId address port protocol candidateType priority url relayProtocol \
                         foundation relatedAddress relatedPort usernameFragment tcpType";

/// Members that reports never have, and why.
const ABSENT: [(&str, &str, &str); 24] = [
    (
        "inbound-rtp",
        "framesDecoded keyFramesDecoded framesPerSecond frameWidth frameHeight qpSum totalDecodeTime \
         totalProcessingDelay decoderImplementation powerEfficientDecoder totalCorruptionProbability \
         totalSquaredCorruptionProbability corruptionMeasurements",
        "the application decodes; frames that are given to it are `framesReceived`",
    ),
    (
        "inbound-rtp",
        "framesRendered totalInterFrameDelay totalSquaredInterFrameDelay pauseCount totalPausesDuration \
         freezeCount totalFreezesDuration",
        "the application shows pictures",
    ),
    (
        "inbound-rtp",
        "estimatedPlayoutTimestamp jitterBufferDelay jitterBufferTargetDelay jitterBufferEmittedCount \
         jitterBufferMinimumDelay",
        "frames are given out at once; the jitter buffers of `columba-rtp`, which the application asks, \
         have counters of their own (`PlayoutStats`)",
    ),
    (
        "inbound-rtp",
        "totalSamplesReceived concealedSamples silentConcealedSamples concealmentEvents \
         insertedSamplesForDeceleration removedSamplesForAcceleration audioLevel totalAudioEnergy \
         totalSamplesDuration playoutId",
        "samples exist behind a decoder only; `getSynchronizationSources` has the loudness that the \
         sender tells",
    ),
    ("inbound-rtp", "totalAssemblyTime", "the arrival of a frame's first packet is not kept"),
    ("inbound-rtp", "fecSsrc", "corrections (ULPFEC) have the SSRC of the stream"),
    ("inbound-rtp", "packetsReceivedWithEct1 packetsReceivedWithCe", "marks of ECN are read for data only"),
    (
        "inbound-rtp",
        "packetsReportedAsLost packetsReportedAsLostButRecovered",
        "what reports of RFC 8888 have said is not kept",
    ),
    (
        "outbound-rtp",
        "totalEncodedBytesTarget frameWidth frameHeight framesEncoded keyFramesEncoded qpSum psnrSum \
         psnrMeasurements totalEncodeTime encoderImplementation powerEfficientEncoder scalabilityMode",
        "the application encodes",
    ),
    (
        "outbound-rtp",
        "qualityLimitationReason qualityLimitationDurations qualityLimitationResolutionChanges",
        "the application chooses the size of pictures; `targetBitrate` is what the path lets it have",
    ),
    ("outbound-rtp", "packetsSentWithEct1", "packets of media are sent without ECN"),
    ("remote-inbound-rtp", "packetsReceived", "reports tell what was lost, and not since which number"),
    (
        "remote-inbound-rtp",
        "packetsReceivedWithEct1 packetsReceivedWithCe packetsWithBleachedEct1Marking",
        "packets of media are sent without ECN",
    ),
    (
        "remote-inbound-rtp",
        "packetsReportedAsLost packetsReportedAsLostButRecovered",
        "what reports of RFC 8888 have said is not kept",
    ),
    (
        "media-source",
        "totalAudioEnergy totalSamplesDuration echoReturnLoss echoReturnLossEnhancement width height",
        "the source is the application's, which encodes",
    ),
    ("media-playout", "kind", PLAYS),
    ("media-playout", "synthesizedSamplesDuration", PLAYS),
    ("media-playout", "synthesizedSamplesEvents", PLAYS),
    ("media-playout", "totalSamplesDuration", PLAYS),
    ("media-playout", "totalPlayoutDelay", PLAYS),
    ("media-playout", "totalSamplesCount", PLAYS),
    ("candidate-pair", "availableIncomingBitrate", "the sender makes the estimate, not the receiver"),
    ("certificate", "issuerCertificateId", "of a chain of certificates DTLS takes the first only"),
    ("remote-candidate", "url relayProtocol", "only local candidates are had from a server of ours"),
];

const PLAYS: &str = "the application plays; the jitter buffers of `columba-rtp` tell it what to conceal";

/// Members that the W3C does not have.
const MORE: [(&str, &str); 1] = [("transport", "tlsGroup")];

type Seen = BTreeMap<String, BTreeSet<String>>;

/// Takes the members of all objects of a side.
fn look(lab: &Lab, seen: &mut Seen) {
    let now = lab.network.now();
    for side in [ALICE, BOB] {
        let report = serde_json::to_value(lab.peer(side).peer.stats_report(now)).unwrap();
        for object in report.as_array().unwrap() {
            let kind = object["type"].as_str().unwrap().to_owned();
            let members = object.as_object().unwrap().keys();
            let members = members.filter(|name| !["id", "type", "timestamp"].contains(&name.as_str()));
            seen.entry(kind).or_default().extend(members.cloned());
        }
    }
}

/// A call with sound, a picture in layers, and data, over a relay and a path that loses packets.
fn run(seen: &mut Seen) -> Lab {
    let mut media = MediaConfiguration::default().with_congestion_feedback();
    media.receive_simulcast = true;
    media.offered = TransceiverDirection::SendRecv;
    let configuration = Configuration { media: Arc::new(media), ..with_turn() };
    let mut lab = Lab::homes([Nat::SYMMETRIC; 2], &configuration, 0.0, 3);
    let channel = lab.open(ALICE, "chat", DataChannelInit::default());
    let ids = lab.with(ALICE, |host, now| {
        let send_encodings = ["q", "f"].map(columba_peer::RtpEncodingParameters::with_rid).to_vec();
        let video =
            TransceiverInit { send_encodings, ..TransceiverInit::new(TransceiverDirection::SendOnly) };
        let tracks = [
            (Track::audio("microphone"), TransceiverInit::new(TransceiverDirection::SendRecv)),
            (Track::video("camera"), video),
        ];
        tracks.map(|(track, init)| {
            let id = host.peer.add_transceiver(now, track.kind, init).unwrap();
            host.peer.replace_track(now, id, Some(track)).unwrap();
            id
        })
    });
    assert!(lab.run_until(SECOND * 60, |lab| lab.peer(ALICE).open.contains(&channel)));
    lab.with(ALICE, |host, now| host.peer.send(now, channel, Message::from("coo")).unwrap());
    for interface in lab.interfaces.clone() {
        lab.network.change_link(interface, |up, _| up.loss = Loss::Random(0.03));
    }
    let theirs: Vec<_> = lab.peer(BOB).peer.transceivers().iter().map(|info| info.id).collect();
    for index in 0..600_u32 {
        lab.with(ALICE, |host, now| {
            let sound = OutgoingFrame {
                audio_level: Some((30, true)),
                ..OutgoingFrame::new(&[7; 60], FRAME * index)
            };
            host.peer.send_frame(now, ids[0], &sound).unwrap();
            for rid in ["q", "f"] {
                let data = picture(index, index % 50 == 0, 1500);
                let frame = OutgoingFrame { rid: Some(rid), ..OutgoingFrame::new(&data, FRAME * index) };
                let _ = host.peer.send_frame(now, ids[1], &frame);
            }
        });
        lab.run_for(FRAME);
        for id in &theirs {
            receive(&mut lab, BOB, *id);
        }
    }
    look(&lab, seen);
    lab
}

#[test]
fn each_member_of_webrtc_stats_is_there_or_has_a_reason() {
    let mut seen = Seen::new();
    let lab = run(&mut seen);
    let mut page = String::from(PAGE);
    let mut wrong = Vec::new();
    for (kind, members) in W3C {
        let has = seen.get(kind).cloned().unwrap_or_default();
        let known: BTreeSet<&str> = members.split_whitespace().collect();
        let mut reasons: BTreeMap<&str, &str> = BTreeMap::new();
        for (_, absent, reason) in ABSENT.iter().filter(|(of, ..)| *of == kind) {
            reasons.extend(absent.split_whitespace().map(|member| (member, *reason)));
        }
        let more = MORE.iter().find(|(of, _)| *of == kind).map_or("", |(_, more)| more);
        for member in &has {
            let is_known =
                known.contains(member.as_str()) || more.split_whitespace().any(|one| one == member);
            assert!(is_known, "{kind} has {member}");
        }
        for member in &known {
            if has.contains(*member) == reasons.contains_key(member) {
                wrong.push(format!("{kind}: {member}"));
            }
        }
        assert!(reasons.keys().all(|member| known.contains(member)), "{kind}: {reasons:?}");
        write_page(&mut page, kind, members, &has, more);
    }
    assert!(wrong.is_empty(), "they are neither there nor excused, or both: {wrong:?}");
    check_selectors(&lab);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/statistics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page).unwrap();
    } else if let Ok(written) = std::fs::read_to_string(path) {
        // A package has no docs of the repository's.
        assert!(written == page, "docs/statistics.md is to be written again: UPDATE_DOCS=1");
    }
}

/// The report of a sender has its streams and what these refer to, and nothing of others.
fn check_selectors(lab: &Lab) {
    let (peer, now) = (&lab.peer(ALICE).peer, lab.network.now());
    let kinds = |id, sends| {
        let selector = if sends { StatsSelector::Sender(id) } else { StatsSelector::Receiver(id) };
        let report = serde_json::to_value(peer.stats_report_of(now, &selector).unwrap()).unwrap();
        let objects = report.as_array().unwrap().iter();
        let mut kinds: Vec<_> = objects.map(|one| one["type"].as_str().unwrap().to_owned()).collect();
        kinds.retain(|kind| kind.ends_with("rtp") || ["codec", "media-source"].contains(&kind.as_str()));
        kinds.sort_unstable();
        kinds
    };
    let [audio, video] = [0, 1].map(|at| peer.transceivers()[at].id);
    assert_eq!(kinds(audio, true), ["codec", "media-source", "outbound-rtp", "remote-inbound-rtp"]);
    let two = ["codec", "media-source", "outbound-rtp", "outbound-rtp"];
    assert_eq!(kinds(video, true), [two.as_slice(), &["remote-inbound-rtp"; 2]].concat());
    assert!(kinds(video, false).is_empty());
}

const PAGE: &str = "# Statistics

The members of the W3C's [webrtc-stats](https://w3c.github.io/webrtc-stats/) (draft of 2025-09-25), and
which of them `stats_report` has. Encoded frames are what this stack takes and gives: what only an encoder, a
decoder or a device knows is the application's. This page is written by
`UPDATE_DOCS=1 cargo test -p columba-peer --features serde --test network members::`, which fails if a member
is neither in a report nor given a reason here.
";

fn write_page(page: &mut String, kind: &str, members: &str, has: &BTreeSet<String>, more: &str) {
    let list = |names: &mut dyn Iterator<Item = &str>| {
        names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    };
    writeln!(page, "\n## {kind}\n").unwrap();
    let there = list(&mut members.split_whitespace().filter(|name| has.contains(*name)));
    if there.is_empty() {
        page.push_str("There is none.\n");
    } else {
        writeln!(page, "There are {there}.").unwrap();
    }
    if !more.is_empty() {
        writeln!(page, "\nBeside those of the W3C: {}.", list(&mut more.split_whitespace())).unwrap();
    }
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for (_, absent, reason) in ABSENT.iter().filter(|(of, ..)| *of == kind) {
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, all)) => all.extend(absent.split_whitespace()),
            None => reasons.push((reason, absent.split_whitespace().collect())),
        }
    }
    if !reasons.is_empty() {
        page.push_str("\n| Never there | Why |\n|---|---|\n");
    }
    for (reason, names) in reasons {
        writeln!(page, "| {} | {reason} |", list(&mut names.into_iter())).unwrap();
    }
}
