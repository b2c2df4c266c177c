//! Codecs that this side can use, and how they are found again in descriptions.

use columba_sdp::attributes::{Fmtp, RtpMap};
use columba_sdp::formats::{Av1Parameters, FormatParameters, H264Parameters, Vp9Parameters};

use super::TrackKind;

/// The W3C's `RTCRtpCodec`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtpCodec {
    /// `mimeType`: kind and name, such as `video/VP8`; case does not matter.
    pub mime_type: String,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: u32,
    /// The number of audio channels; `None` for video, and for one channel.
    pub channels: Option<u16>,
    /// `sdpFmtpLine`: the parameters of `a=fmtp`.
    pub sdp_fmtp_line: Option<String>,
}

impl RtpCodec {
    /// Returns a codec without channels and parameters.
    pub fn new(mime_type: &str, clock_rate: u32) -> Self {
        Self { mime_type: mime_type.to_owned(), clock_rate, channels: None, sdp_fmtp_line: None }
    }

    /// Returns the same with a number of channels.
    #[must_use]
    pub fn with_channels(self, channels: u16) -> Self {
        Self { channels: Some(channels), ..self }
    }

    /// Returns the same with parameters.
    #[must_use]
    pub fn with_parameters(self, parameters: &str) -> Self {
        Self { sdp_fmtp_line: Some(parameters.to_owned()), ..self }
    }

    /// Returns the kind; `None` if the MIME type has neither kind.
    #[must_use]
    pub fn kind(&self) -> Option<TrackKind> {
        let (kind, _) = self.mime_type.split_once('/')?;
        [TrackKind::Audio, TrackKind::Video].into_iter().find(|one| kind.eq_ignore_ascii_case(one.as_str()))
    }

    /// Returns the name without the kind.
    #[must_use]
    pub fn name(&self) -> &str {
        self.mime_type.split_once('/').map_or("", |(_, name)| name)
    }

    /// Returns the codec of a payload type in a description.
    pub(crate) fn described(kind: TrackKind, codec: &columba_sdp::Codec) -> Self {
        Self {
            mime_type: format!("{kind}/{}", codec.map.encoding),
            clock_rate: codec.map.clock_rate,
            channels: codec.map.channels,
            sdp_fmtp_line: codec.parameters.as_ref().map(|fmtp| fmtp.parameters.clone()),
        }
    }

    /// The W3C's "codec dictionary match": MIME type without regard to case, clock rate, channels
    /// and parameters.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.mime_type.eq_ignore_ascii_case(&other.mime_type)
            && self.clock_rate == other.clock_rate
            && self.channels.unwrap_or(1) == other.channels.unwrap_or(1)
            && self.sdp_fmtp_line == other.sdp_fmtp_line
    }

    pub(crate) fn fmtp(&self, payload_type: u8) -> Option<Fmtp> {
        let parameters = self.sdp_fmtp_line.clone()?;
        Some(Fmtp { format: payload_type.to_string(), parameters })
    }

    pub(crate) fn rtpmap(&self, payload_type: u8) -> RtpMap {
        RtpMap { channels: self.channels, ..RtpMap::new(payload_type, self.name(), self.clock_rate) }
    }

    /// Returns true if a payload type of a description is this codec in the same configuration.
    /// What a retransmission or redundancy belongs to is not compared.
    pub(crate) fn matches(&self, map: &RtpMap, fmtp: Option<&Fmtp>) -> bool {
        if !map.is(self.name())
            || map.clock_rate != self.clock_rate
            || map.channels.unwrap_or(1) != self.channels.unwrap_or(1)
        {
            return false;
        }
        let own = self.fmtp(map.payload_type);
        let own = own.as_ref();
        match self.name().to_ascii_lowercase().as_str() {
            "h264" => match (read_h264(own), read_h264(fmtp)) {
                (Some(own), Some(other)) => own.matches(&other),
                _ => false,
            },
            "vp9" => same(Vp9Parameters::read(own), Vp9Parameters::read(fmtp), |one| one.profile),
            "av1" => same(Av1Parameters::read(own), Av1Parameters::read(fmtp), |one| one.profile),
            _ => true,
        }
    }
}

/// Reads the parameters of H.264; `None` if they do not follow RFC 6184.
pub(crate) fn read_h264(fmtp: Option<&Fmtp>) -> Option<H264Parameters> {
    H264Parameters::read(fmtp).ok()
}

fn same<T, E, K: PartialEq>(one: Result<T, E>, other: Result<T, E>, key: impl Fn(&T) -> K) -> bool {
    matches!((one, other), (Ok(one), Ok(other)) if key(&one) == key(&other))
}

/// Returns true if a codec carries no media of its own: retransmission, redundancy, forward error
/// correction, comfort noise (the W3C's `setCodecPreferences` wants another one besides).
pub(crate) fn is_repair(name: &str) -> bool {
    ["rtx", "red", "ulpfec", "flexfec", "flexfec-03", "cn"].iter().any(|one| name.eq_ignore_ascii_case(one))
}

/// A kind of feedback (`a=rtcp-fb`): `nack`, `nack pli`, `ccm fir`, `transport-cc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtcpFeedback {
    /// The kind.
    pub kind: String,
    /// The text after the kind, such as `pli`.
    pub parameter: Option<String>,
}

impl RtcpFeedback {
    /// Returns a kind of feedback, with its parameter if it has one.
    pub fn new(kind: &str, parameter: Option<&str>) -> Self {
        Self { kind: kind.to_owned(), parameter: parameter.map(str::to_owned) }
    }
}

/// A codec that this side can use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtpCodecCapability {
    /// The codec. The parameters of `rtx` and `red` are left out: they follow from the codecs that
    /// they repair.
    pub codec: RtpCodec,
    /// The kinds of feedback that are given and taken.
    pub feedback: Vec<RtcpFeedback>,
}

impl RtpCodecCapability {
    /// Returns a codec without feedback.
    #[must_use]
    pub const fn new(codec: RtpCodec) -> Self {
        Self { codec, feedback: Vec::new() }
    }
}
