//! Encoded frames, as the application brings and takes them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::media::TransceiverId;
use crate::time::UnixTime;

/// The way in which a transceiver's application takes what arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiveLevel {
    /// Encoded frames, in order and repaired, by [`Peer::receive_frame`](crate::Peer): reports,
    /// requests and feedback are made here.
    #[default]
    Frames,
    /// RTP packets as they arrive, and the RTCP of their transport, by
    /// [`Peer::receive_packet`](crate::Peer): for those who forward. Reports and requests are the
    /// application's, except for transport-wide feedback.
    Packets,
}

/// An encoded frame that is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutgoingFrame<'a> {
    /// The frame: for H.264 with start codes, for AV1 a temporal unit of OBUs with sizes, else what
    /// the codec gives out.
    pub data: &'a [u8],
    /// The time of the frame's first sample, from a beginning that the sender's frames share. It
    /// grows with each frame of an encoding, and may not grow evenly.
    pub timestamp: Duration,
    /// The time at which it was captured, by which the other side plays sound and picture together;
    /// `None` for now.
    pub captured_at: Option<Instant>,
    /// The payload type, one of [`RtpSendParameters::codecs`](crate::RtpSendParameters); `None` for
    /// the first that carries media.
    pub payload_type: Option<u8>,
    /// The name of the encoding; `None` if the sender has only one.
    pub rid: Option<&'a str>,
    /// The loudness in -dBov, 0 to 127, and whether it contains voice (RFC 6464).
    pub audio_level: Option<(u8, bool)>,
    /// The first frame of sound after a pause.
    pub begins_talk: bool,
}

impl<'a> OutgoingFrame<'a> {
    /// Returns a frame of the sender's only encoding and first codec.
    #[must_use]
    pub const fn new(data: &'a [u8], timestamp: Duration) -> Self {
        Self {
            data,
            timestamp,
            captured_at: None,
            payload_type: None,
            rid: None,
            audio_level: None,
            begins_talk: false,
        }
    }
}

/// A frame of [`Peer::receive_frame`](crate::Peer::receive_frame).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ReceivedFrame {
    /// The transceiver that received it.
    pub transceiver: TransceiverId,
    /// The name of the encoding, if the stream has told one.
    pub rid: Option<Arc<str>>,
    /// The stream.
    pub ssrc: u32,
    /// The payload type, one of [`RtpReceiveParameters::codecs`](crate::RtpReceiveParameters).
    pub payload_type: u8,
    /// The RTP timestamp without its wraps: ticks of the codec's clock since some beginning.
    pub timestamp: u64,
    /// Ticks of the timestamp per second.
    pub clock_rate: u32,
    /// A decoder can begin with it; always true for sound.
    pub key: bool,
    /// Frames before it are missing.
    pub after_loss: bool,
    /// The arrival of the packet that made it whole, by the kernel's clock where it is known.
    pub received_at: Instant,
    /// The time at which it was captured, by the sender's clock; known from its first report on.
    pub captured_at: Option<UnixTime>,
    /// The loudness in -dBov, 0 to 127, and whether it contains voice, if the sender tells it (RFC
    /// 6464).
    pub audio_level: Option<(u8, bool)>,
}

/// A source of what a receiver gets: the W3C's `RTCRtpSynchronizationSource` and
/// `RTCRtpContributingSource`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RtpSource {
    /// `source`: the SSRC or CSRC.
    pub source: u32,
    /// `timestamp`: the arrival of its last packet.
    pub timestamp: Instant,
    /// `audioLevel`, 0 to 1, linear; `None` if it is not told.
    pub audio_level: Option<f64>,
    /// `rtpTimestamp`.
    pub rtp_timestamp: u32,
}

/// Returns the W3C's linear level of one in -dBov.
pub(super) fn linear_level(level: u8) -> f64 {
    if level >= 127 { 0.0 } else { 10_f64.powf(-f64::from(level) / 20.0) }
}
