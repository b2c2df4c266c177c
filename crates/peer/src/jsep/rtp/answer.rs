//! Sections of audio and video in answers (RFC 9429 §5.3.1, RFC 3264 §6.1).

use columba_sdp::Codec;
use columba_sdp::attributes::{Direction, ExtMap, Fmtp};
use columba_sdp::formats::{FormatParameters, RedParameters, RtxParameters};

use super::numbers::repairs;
use super::offer::{msids, preferred};
use super::{MAX_EXTENSION, Numbers, RtpSection, Ssrcs, own_limits, reversed, simulcast};
use crate::media::{MediaConfiguration, RtpCodecCapability, Transceiver, read_h264};

/// Returns the local section that answers an offered one; `None` if the two sides have no codec in
/// common, so that it is to be rejected. Payload types are those of the offer.
pub(in crate::jsep) fn answer(
    offer: &RtpSection,
    transceiver: &Transceiver,
    configuration: &MediaConfiguration,
    numbers: &mut Numbers,
) -> Option<RtpSection> {
    let codecs = codecs(offer, transceiver, configuration);
    if codecs.is_empty() {
        return None;
    }
    let direction = transceiver.direction.intersect(offer.direction.reversed());
    let (rids, simulcast) =
        simulcast::answered(offer, transceiver, direction, configuration.receive_simulcast);
    let sends = direction.sends();
    Some(RtpSection {
        kind: offer.kind.clone(),
        protocol: offer.protocol.clone(),
        direction,
        ssrcs: if sends { Ssrcs::of_sender(transceiver, &codecs) } else { Ssrcs::default() },
        codecs,
        extensions: extensions(offer, configuration.header_extensions(transceiver.kind), numbers),
        allow_mixed: offer.allow_mixed,
        mux_only: false,
        reduced_size: offer.reduced_size,
        receiver_round_trip: offer.receiver_round_trip,
        msids: if sends { msids(transceiver) } else { Vec::new() },
        rids,
        simulcast,
        limits: own_limits(transceiver.kind),
        cname: sends.then(|| transceiver.sender.cname.to_string()),
        transceiver: Some(transceiver.id),
    })
}

/// Refuses an answer that has no codec of the section that it answers.
pub(in crate::jsep) fn check_answer(offer: &RtpSection, answer: &RtpSection) -> Result<(), &'static str> {
    let is_offered = |codec: &Codec| {
        let same =
            |one: &&Codec| one.map.is(&codec.map.encoding) && one.map.clock_rate == codec.map.clock_rate;
        offer.codecs.iter().any(|one| same(&one))
    };
    if answer.codecs.iter().any(is_offered) { Ok(()) } else { Err("it has no codec of the offer") }
}

/// Returns the codecs that both sides have: in the order of the offer, or of the preferences.
fn codecs(offer: &RtpSection, transceiver: &Transceiver, configuration: &MediaConfiguration) -> Vec<Codec> {
    let capabilities = preferred(transceiver, configuration);
    let of = |codec: &Codec| {
        let mut matching = capabilities.iter().enumerate();
        matching.find(|(_, one)| one.codec.matches(&codec.map, codec.parameters.as_ref()))
    };
    let mut found: Vec<(usize, Codec)> = Vec::new();
    for codec in &offer.codecs {
        if let Some((rank, capability)) = of(codec) {
            found.push((rank, negotiated(codec, capability)));
        }
    }
    // What repairs goes with what it repairs.
    let taken: Vec<u8> = found.iter().map(|(_, codec)| codec.payload_type()).collect();
    found.retain(|(_, codec)| is_whole(codec, &taken));
    // A section of its own may be for tones alone (RFC 4317 §2.4).
    let has_media = offer.codecs.iter().any(carries_media);
    let is_enough = |codec: &Codec| carries_media(codec) || !has_media && codec.map.is("telephone-event");
    if !found.iter().any(|(_, codec)| is_enough(codec)) {
        return Vec::new();
    }
    if !transceiver.preferred.is_empty() {
        let rank_of = |number: u8, found: &[(usize, Codec)]| {
            found.iter().find(|(_, one)| one.payload_type() == number).map(|(rank, _)| *rank)
        };
        let ranks: Vec<usize> = found
            .iter()
            .map(|(rank, codec)| {
                let repaired = codec.parameters.as_ref().and_then(Fmtp::retransmits);
                repaired.and_then(|number| rank_of(number, &found)).unwrap_or(*rank)
            })
            .collect();
        let mut ordered: Vec<_> = ranks.into_iter().zip(found).collect();
        ordered.sort_by_key(|(rank, _)| *rank);
        return ordered.into_iter().map(|(_, (_, codec))| codec).collect();
    }
    found.into_iter().map(|(_, codec)| codec).collect()
}

fn carries_media(codec: &Codec) -> bool {
    !crate::media::is_repair(&codec.map.encoding) && !codec.map.is("telephone-event")
}

/// Returns false for a retransmission or redundancy of a payload type that is not accepted.
fn is_whole(codec: &Codec, taken: &[u8]) -> bool {
    let fmtp = codec.parameters.as_ref();
    if codec.map.is("rtx") {
        RtxParameters::read(fmtp).is_ok_and(|rtx| taken.contains(&rtx.payload_type))
    } else if codec.map.is("red") {
        RedParameters::read(fmtp).is_ok_and(|red| red.payload_types.iter().all(|one| taken.contains(one)))
    } else {
        true
    }
}

/// Returns an offered codec as it is answered: with the parameters of this side, and the feedback
/// that both sides have.
fn negotiated(offered: &Codec, capability: &RtpCodecCapability) -> Codec {
    let mut codec = offered.clone();
    codec.feedback.retain(|feedback| {
        capability.feedback.iter().any(|own| feedback.is(&own.kind, own.parameter.as_deref()))
    });
    let number = codec.payload_type();
    let own = capability.codec.fmtp(number);
    let theirs = offered.parameters.as_ref();
    codec.parameters = match (read_h264(own.as_ref()), read_h264(theirs)) {
        _ if repairs(theirs).is_some() && (codec.map.is("rtx") || codec.map.is("red")) => theirs.cloned(),
        (Some(own), Some(theirs)) if codec.map.is("H264") => own.answer(&theirs).to_fmtp(number),
        _ => own,
    };
    codec
}

/// Returns the header extensions that both sides have, with the offer's numbers. A number above 255
/// leaves the choice to the answer (RFC 8285 §7).
fn extensions(offer: &RtpSection, known: &[String], numbers: &mut Numbers) -> Vec<ExtMap> {
    let mut answered: Vec<ExtMap> = Vec::new();
    numbers.learn(offer);
    for extension in offer.extensions.iter().filter(|one| known.contains(&one.uri)) {
        let is_taken = |id: u16| answered.iter().any(|one| one.id == id || one.uri == extension.uri);
        let id = match extension.id {
            id if id <= MAX_EXTENSION => Some(id),
            _ => numbers.extension(&extension.uri, offer.track_kind(), offer.allow_mixed, None),
        };
        if let Some(id) = id.filter(|id| !is_taken(*id)) {
            answered.push(ExtMap { id, ..reversed(extension) });
        }
    }
    answered.retain(|one| one.direction != Some(Direction::Inactive));
    answered
}
