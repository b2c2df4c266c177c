//! The agreement of descriptions, as packets need it.

use std::sync::Arc;

use columba_rtp::extension::{
    AbsSendTime, AudioLevel, CsrcAudioLevels, HeaderExtension, Mid, RepairedRid, Rid, TransportSequenceNumber,
};
use columba_rtp::payload::Format;
use columba_rtp::{DemuxSection, PayloadType, Ssrc};

use crate::data::Priority;
use crate::jsep::Negotiated;
use crate::media::{RtpCodec, TrackKind, Transceiver, TransceiverId};

/// The part of a payload type in a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Frames of a codec, or telephone events, or comfort noise.
    Media(Format),
    /// Retransmissions of another payload type.
    Rtx(PayloadType),
    /// Redundancy, or the wrapping of forward error correction.
    Red,
    /// Forward error correction.
    #[default]
    Ulpfec,
}

/// A payload type that is agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgreedCodec {
    pub(crate) payload_type: PayloadType,
    pub(crate) role: Role,
    pub(crate) clock_rate: u32,
    /// The payload type of its retransmissions.
    pub(crate) rtx: Option<PayloadType>,
    pub(crate) nack: bool,
    /// Corrections restore its packets.
    pub(crate) is_corrected: bool,
    pub(crate) pli: bool,
    pub(crate) fir: bool,
    pub(crate) transport_cc: bool,
    /// Feedback of RFC 8888.
    pub(crate) ccfb: bool,
    pub(crate) remb: bool,
    pub(crate) tmmbr: bool,
    /// Tones of a telephone's keys.
    pub(crate) tones: bool,
}

/// The numbers of the header extensions that are agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub(crate) mid: Option<u8>,
    pub(crate) rid: Option<u8>,
    pub(crate) repaired_rid: Option<u8>,
    pub(crate) transport: Option<u8>,
    pub(crate) send_time: Option<u8>,
    pub(crate) level: Option<u8>,
    pub(crate) mixed_levels: Option<u8>,
}

/// The sections of a transport, as they are agreed.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    pub(crate) receiving: Vec<ReceivingSection>,
    pub(crate) sending: Vec<SendingSection>,
}

/// The reports on arrivals that are agreed for a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ArrivalReports {
    #[default]
    None,
    /// By the transport-wide numbers, in the header extension of this number.
    OfTransport(u8),
    /// By the numbers of the streams (RFC 8888).
    OfStreams,
}

/// A section that receives.
#[derive(Debug)]
pub(crate) struct ReceivingSection {
    pub(crate) transceiver: TransceiverId,
    pub(crate) kind: TrackKind,
    pub(crate) demux: DemuxSection,
    pub(crate) codecs: Vec<AgreedCodec>,
    pub(crate) extensions: Extensions,
    /// Streams, each with that of its retransmissions.
    pub(crate) repaired: Vec<(Ssrc, Ssrc)>,
    pub(crate) reduced_size: bool,
    pub(crate) receiver_round_trip: bool,
}

/// A section that sends.
#[derive(Debug)]
pub(crate) struct SendingSection {
    pub(crate) transceiver: TransceiverId,
    pub(crate) kind: TrackKind,
    pub(crate) mid: Arc<str>,
    pub(crate) codecs: Vec<AgreedCodec>,
    pub(crate) extensions: Extensions,
    pub(crate) encodings: Vec<AgreedEncoding>,
    pub(crate) cname: Arc<str>,
    pub(crate) max_bitrate: Option<u64>,
    pub(crate) reduced_size: bool,
}

/// An encoding of a sender.
#[derive(Clone, Debug)]
pub(crate) struct AgreedEncoding {
    pub(crate) rid: Option<Arc<str>>,
    pub(crate) ssrc: Ssrc,
    pub(crate) rtx: Ssrc,
    pub(crate) active: bool,
    pub(crate) max_bitrate: Option<u64>,
    /// The payload type that the application has chosen.
    pub(crate) payload_type: Option<PayloadType>,
    pub(crate) priority: Priority,
    /// The priority by which packets are marked.
    pub(crate) network_priority: Priority,
}

/// Code points of the IP header (RFC 8837 §5): interactive sound and pictures.
const DSCP_DEFAULT: u8 = 0;
const DSCP_LOWER_EFFORT: u8 = 1;
const DSCP_AF42: u8 = 36;
const DSCP_AF41: u8 = 34;
const DSCP_EXPEDITED: u8 = 46;

const fn dscp(priority: Priority, is_audio: bool) -> u8 {
    match (priority, is_audio) {
        (Priority::VeryLow, _) => DSCP_LOWER_EFFORT,
        (Priority::Low, _) => DSCP_DEFAULT,
        (Priority::Medium | Priority::High, true) => DSCP_EXPEDITED,
        (Priority::Medium, false) => DSCP_AF42,
        (Priority::High, false) => DSCP_AF41,
    }
}

impl Sections {
    pub(crate) fn is_empty(&self) -> bool {
        self.receiving.is_empty() && self.sending.is_empty()
    }

    /// Returns the reports on what arrives.
    pub(crate) fn arrival_reports(&self) -> ArrivalReports {
        let has =
            |section: &ReceivingSection, wanted: fn(&AgreedCodec) -> bool| section.codecs.iter().any(wanted);
        if self.receiving.iter().any(|section| has(section, |codec| codec.ccfb)) {
            return ArrivalReports::OfStreams;
        }
        let numbered = self.receiving.iter().filter(|section| has(section, |codec| codec.transport_cc));
        let id = numbered.filter_map(|section| section.extensions.transport).next();
        id.map_or(ArrivalReports::None, ArrivalReports::OfTransport)
    }

    /// Returns whether all sections allow RTCP packets of reduced size (RFC 5506).
    pub(crate) fn reduced_size(&self) -> bool {
        self.receiving.iter().all(|one| one.reduced_size) && self.sending.iter().all(|one| one.reduced_size)
    }

    /// Returns the mark of the most urgent encoding that is sent: a code point of RFC 8837 §5.
    pub(crate) fn dscp(&self) -> u8 {
        let encodings = self.sending.iter().flat_map(|section| {
            let active = section.encodings.iter().filter(|encoding| encoding.active);
            active.map(|encoding| (encoding.network_priority, section.kind == TrackKind::Audio))
        });
        let first = encodings.max();
        first.map_or(DSCP_DEFAULT, |(priority, is_audio)| dscp(priority, is_audio))
    }
}

impl ReceivingSection {
    pub(crate) fn new(transceiver: &Transceiver, mid: &str, agreed: &Negotiated) -> Self {
        let extensions = Extensions::new(agreed);
        let codecs = codecs(agreed);
        let demux = DemuxSection {
            mid: mid.to_owned(),
            mid_extension: extensions.mid,
            rid_extension: extensions.rid,
            repaired_rid_extension: extensions.repaired_rid,
            payload_types: codecs.iter().map(|codec| codec.payload_type).collect(),
            ssrcs: agreed.other_ssrcs.all.iter().map(|ssrc| Ssrc(*ssrc)).collect(),
        };
        let repaired = agreed.other_ssrcs.repaired.iter();
        Self {
            transceiver: transceiver.id,
            kind: transceiver.kind,
            demux,
            codecs,
            extensions,
            repaired: repaired.map(|(main, rtx)| (Ssrc(*main), Ssrc(*rtx))).collect(),
            reduced_size: agreed.reduced_size,
            receiver_round_trip: agreed.receiver_round_trip,
        }
    }

    pub(crate) fn codec(&self, payload_type: PayloadType) -> Option<&AgreedCodec> {
        self.codecs.iter().find(|codec| codec.payload_type == payload_type)
    }
}

impl SendingSection {
    pub(crate) fn new(transceiver: &Transceiver, mid: &str, agreed: &Negotiated) -> Self {
        let sender = &transceiver.sender;
        let codecs = codecs(agreed);
        let encodings = sender.encodings.iter().zip(sender.ssrcs).map(|(encoding, [ssrc, rtx])| {
            let chosen = encoding.codec.as_ref().and_then(|codec| {
                agreed.codecs.iter().find(|one| one.codec.is_same(codec)).map(|one| one.payload_type)
            });
            AgreedEncoding {
                rid: encoding.rid.as_deref().map(Arc::from),
                ssrc: Ssrc(ssrc),
                rtx: Ssrc(rtx),
                active: encoding.active,
                max_bitrate: encoding.max_bitrate.map(u64::from),
                payload_type: chosen.and_then(PayloadType::new),
                priority: encoding.priority,
                network_priority: encoding.network_priority.unwrap_or(encoding.priority),
            }
        });
        Self {
            transceiver: transceiver.id,
            kind: transceiver.kind,
            mid: Arc::from(mid),
            encodings: encodings.collect(),
            codecs,
            extensions: Extensions::new(agreed),
            cname: Arc::clone(&sender.cname),
            max_bitrate: agreed.limits.max_bitrate,
            reduced_size: agreed.reduced_size,
        }
    }
}

impl Extensions {
    fn new(agreed: &Negotiated) -> Self {
        let id = |uri: &str| {
            let found = agreed.header_extensions.iter().find(|one| one.uri == uri);
            found.and_then(|one| u8::try_from(one.id).ok())
        };
        Self {
            mid: id(Mid::URI),
            rid: id(Rid::URI),
            repaired_rid: id(RepairedRid::URI),
            transport: id(TransportSequenceNumber::URI),
            send_time: id(AbsSendTime::URI),
            level: id(AudioLevel::URI),
            mixed_levels: id(CsrcAudioLevels::URI),
        }
    }
}

/// Returns the payload types of an agreement, in its order.
fn codecs(agreed: &Negotiated) -> Vec<AgreedCodec> {
    let roles: Vec<_> = agreed.codecs.iter().map(|one| (one.payload_type, role(&one.codec))).collect();
    let is_corrected =
        [Role::Red, Role::Ulpfec].iter().all(|role| roles.iter().any(|one| one.1 == Some(*role)));
    let mut codecs = Vec::with_capacity(roles.len());
    for (parameters, (number, role)) in agreed.codecs.iter().zip(&roles) {
        let (Some(payload_type), Some(role)) = (PayloadType::new(*number), *role) else { continue };
        let rtx = roles.iter().find_map(|(rtx, role)| {
            (*role == Some(Role::Rtx(payload_type))).then(|| PayloadType::new(*rtx)).flatten()
        });
        let has = |kind: &str, parameter: Option<&str>| {
            agreed.feedback.iter().any(|(of, own, detail)| {
                *of == *number && own.eq_ignore_ascii_case(kind) && detail.as_deref() == parameter
            })
        };
        codecs.push(AgreedCodec {
            payload_type,
            role,
            clock_rate: parameters.codec.clock_rate,
            rtx,
            nack: has("nack", None),
            is_corrected,
            pli: has("nack", Some("pli")),
            fir: has("ccm", Some("fir")),
            transport_cc: has("transport-cc", None),
            ccfb: has("ack", Some("ccfb")),
            remb: has("goog-remb", None),
            tmmbr: has("ccm", Some("tmmbr")),
            tones: parameters.codec.name().eq_ignore_ascii_case("telephone-event"),
        });
    }
    codecs
}

/// Returns the part of a codec; `None` if its payload format is not known.
fn role(codec: &RtpCodec) -> Option<Role> {
    let parameter = |name: &str| {
        let line = codec.sdp_fmtp_line.as_deref().unwrap_or_default();
        let mut pairs = line.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    };
    Some(match codec.name().to_ascii_lowercase().as_str() {
        "vp8" => Role::Media(Format::Vp8),
        "vp9" => Role::Media(Format::Vp9),
        "av1" => Role::Media(Format::Av1),
        "h264" => Role::Media(Format::H264 { non_interleaved: parameter("packetization-mode") == Some("1") }),
        "rtx" => Role::Rtx(parameter("apt")?.parse().ok().and_then(PayloadType::new)?),
        "red" => Role::Red,
        "ulpfec" => Role::Ulpfec,
        _ if codec.kind() == Some(TrackKind::Audio) => Role::Media(Format::Whole),
        _ => return None,
    })
}
