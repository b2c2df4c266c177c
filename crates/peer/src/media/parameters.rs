//! The parameters of senders and receivers.

use super::RtpEncodingParameters;
use super::codec::RtpCodec;

/// The W3C's `RTCRtpCodecParameters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpCodecParameters {
    /// The number in RTP packets.
    pub payload_type: u8,
    /// The codec.
    pub codec: RtpCodec,
}

/// The W3C's `RTCRtpHeaderExtensionParameters`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtpHeaderExtension {
    /// The URI that identifies the extension.
    pub uri: String,
    /// The number in RTP packets.
    pub id: u16,
}

/// The W3C's `RTCRtcpParameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtcpParameters {
    /// The canonical name of the sender (RFC 3550 §6.5.1), if it is known.
    pub cname: Option<String>,
    /// True if RTCP packets may be of reduced size (RFC 5506).
    pub reduced_size: bool,
}

/// The limits that the other side's description sets a sender (RFC 9429 §5.11).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendLimits {
    /// Bits per second at most, of RTP without headers of lower layers (`b=TIAS`, else `b=AS`).
    pub max_bitrate: Option<u64>,
    /// The preferred length of the media in a packet, in milliseconds (`a=ptime`).
    pub packet_time: Option<u32>,
    /// The greatest length of the media in a packet, in milliseconds (`a=maxptime`).
    pub max_packet_time: Option<u32>,
}

/// The W3C's `RTCRtpSendParameters`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RtpSendParameters {
    /// Identifies the call that returned them; it must come back unchanged.
    pub transaction_id: u64,
    /// The encodings that are sent.
    pub encodings: Vec<RtpEncodingParameters>,
    /// The header extensions that were negotiated.
    pub header_extensions: Vec<RtpHeaderExtension>,
    /// RTCP.
    pub rtcp: RtcpParameters,
    /// The codecs that were negotiated, in order of preference.
    pub codecs: Vec<RtpCodecParameters>,
}

/// The W3C's `RTCRtpReceiveParameters`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpReceiveParameters {
    /// The header extensions that were negotiated.
    pub header_extensions: Vec<RtpHeaderExtension>,
    /// RTCP.
    pub rtcp: RtcpParameters,
    /// The codecs that were negotiated, in order of preference.
    pub codecs: Vec<RtpCodecParameters>,
}
