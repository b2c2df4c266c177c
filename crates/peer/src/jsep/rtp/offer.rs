//! Sections of audio and video in offers (RFC 9429 §5.2.1, §5.2.2).

use columba_sdp::attributes::{CodecTarget, ExtMap, Fmtp, Msid, RtcpFb};
use columba_sdp::formats::{FormatParameters, RtxParameters};
use columba_sdp::{Codec, Protocol};

use super::numbers::Use;
use super::{Numbers, RtpSection, Ssrcs, own_limits, simulcast};
use crate::media::{MediaConfiguration, RtpCodec, RtpCodecCapability, Transceiver};

/// Returns the section that offers a transceiver. `known` is its local section, if it has one.
pub(in crate::jsep) fn offer(
    transceiver: &Transceiver,
    configuration: &MediaConfiguration,
    numbers: &mut Numbers,
    known: Option<&RtpSection>,
) -> RtpSection {
    let kind = transceiver.kind;
    let allow_mixed = known.is_none_or(|known| known.allow_mixed);
    let uris = configuration.header_extensions(kind).iter();
    let extensions = uris
        .filter_map(|uri| Some(ExtMap::new(numbers.extension(uri, kind, allow_mixed, known)?, uri)))
        .collect();
    let (rids, simulcast) = simulcast::offered(transceiver);
    let codecs = codecs(transceiver, configuration, numbers, known);
    let sends = transceiver.direction.sends();
    RtpSection {
        kind: kind.section(),
        protocol: known.map_or(Protocol::UdpTlsRtpSavpf, |known| known.protocol.clone()),
        direction: transceiver.direction,
        extensions,
        ssrcs: if sends { Ssrcs::of_sender(transceiver, &codecs) } else { Ssrcs::default() },
        codecs,
        allow_mixed,
        mux_only: true,
        reduced_size: true,
        receiver_round_trip: true,
        msids: msids(transceiver),
        rids,
        simulcast,
        limits: own_limits(kind),
        cname: sends.then(|| transceiver.sender.cname.to_string()),
        transceiver: Some(transceiver.id),
    }
}

/// Returns the streams of a sender: with the track's identifier, without which Safari and Pion read
/// nothing.
///
/// Deviation: RFC 9429 §5.2.1 leaves it out.
pub(super) fn msids(transceiver: &Transceiver) -> Vec<Msid> {
    if !transceiver.direction.sends() {
        return Vec::new();
    }
    let sender = &transceiver.sender;
    let msid = |stream: &str| Msid::new(stream, &sender.msid);
    match sender.streams.as_slice() {
        [] => vec![msid("-")],
        streams => streams.iter().map(|stream| msid(stream)).collect(),
    }
}

/// Returns the codecs of a transceiver: those of its preferences, else all.
pub(super) fn preferred<'a>(
    transceiver: &Transceiver,
    configuration: &'a MediaConfiguration,
) -> Vec<&'a RtpCodecCapability> {
    let known = configuration.codecs(transceiver.kind);
    if transceiver.preferred.is_empty() {
        return known.iter().collect();
    }
    let find = |codec| known.iter().find(|one| one.codec.is_same(codec));
    transceiver.preferred.iter().filter_map(find).collect()
}

/// Writes the codecs in order of preference: each medium with its retransmission, then the other
/// ways of repair.
fn codecs(
    transceiver: &Transceiver,
    configuration: &MediaConfiguration,
    numbers: &mut Numbers,
    known: Option<&RtpSection>,
) -> Vec<Codec> {
    let use_of = |repaired| Use { kind: transceiver.kind, repaired, known };
    let capabilities = preferred(transceiver, configuration);
    let rtx = capabilities.iter().find(|one| one.codec.name().eq_ignore_ascii_case("rtx"));
    let mut codecs = Vec::new();
    let mut wrapping = None;
    for capability in &capabilities {
        let codec = &capability.codec;
        let name = codec.name().to_ascii_lowercase();
        if name == "rtx" {
            continue;
        }
        // Redundant audio carries the first codec of the section (RFC 2198 §5).
        let primary =
            codecs.first().map(Codec::payload_type).filter(|_| name == "red" && codec.channels.is_some());
        let parameters = |number: u8| match primary {
            Some(primary) => {
                Some(Fmtp { format: number.to_string(), parameters: format!("{primary}/{primary}") })
            }
            None => codec.fmtp(number),
        };
        let Some(number) = numbers.payload_type(codec, use_of(primary), parameters) else { continue };
        let mut written = Codec::new(codec.rtpmap(number));
        written.parameters = parameters(number);
        written.feedback = feedback(capability, number);
        codecs.push(written);
        if name == "red" && codec.channels.is_none() {
            wrapping = Some(number);
        } else if let Some(rtx) = rtx.filter(|_| !crate::media::is_repair(&name) && name != "telephone-event")
        {
            codecs.extend(retransmission(&rtx.codec, number, numbers, use_of(Some(number))));
        }
    }
    // Browsers send again what they have wrapped for corrections as it is.
    if let Some((rtx, number)) = rtx.zip(wrapping) {
        codecs.extend(retransmission(&rtx.codec, number, numbers, use_of(Some(number))));
    }
    codecs
}

/// Returns the retransmission of a payload type; `None` if no number is left.
fn retransmission(rtx: &RtpCodec, of: u8, numbers: &mut Numbers, used: Use<'_>) -> Option<Codec> {
    let parameters = |own: u8| RtxParameters::new(of).to_fmtp(own);
    let own = numbers.payload_type(rtx, used, parameters)?;
    let mut written = Codec::new(rtx.rtpmap(own));
    written.parameters = parameters(own);
    Some(written)
}

fn feedback(capability: &RtpCodecCapability, payload_type: u8) -> Vec<RtcpFb> {
    let target = CodecTarget::One(payload_type);
    let feedback = capability.feedback.iter();
    feedback.map(|one| RtcpFb { target, kind: one.kind.clone(), parameter: one.parameter.clone() }).collect()
}
