//! The encodings that a sender sends: simulcast.

use super::TrackKind;
use super::codec::{RtpCodec, RtpCodecCapability};
use crate::data::Priority;
use crate::error::Error;

/// Encodings of one sender at most: more layers are of no use, and each costs an encoder.
pub(crate) const MAX_ENCODINGS: usize = 3;

/// Characters of the longest name of an encoding that is accepted (RFC 8852 §3: at most 255 bytes).
const MAX_RID: usize = 255;

/// The W3C's `RTCRtpEncodingParameters`.
#[derive(Clone, Debug, PartialEq)]
pub struct RtpEncodingParameters {
    /// The name in RTP packets and descriptions; `None` for the only encoding of a sender.
    pub rid: Option<String>,
    /// False while nothing is to be sent. Default true.
    pub active: bool,
    /// The codec that is to be used, of those that were negotiated.
    pub codec: Option<RtpCodec>,
    /// Bits per second at most.
    pub max_bitrate: Option<u32>,
    /// Frames per second at most; for video.
    pub max_framerate: Option<f64>,
    /// The factor by which width and height are divided, 1 at least; for video.
    pub scale_resolution_down_by: Option<f64>,
    /// The part of the path that the sender gets beside others, and beside data channels (W3C
    /// webrtc-priority; RFC 8835 §4.1): each level twice that of the one before it, of media and of
    /// data alike. The active encodings of a sender share its part. Sound is always sent at once.
    /// Default [`Priority::Low`].
    pub priority: Priority,
    /// The priority by which the IP headers are marked (DSCP, RFC 8837 §5), instead of `priority`.
    ///
    /// All that leaves on a transport has one mark, that of the most urgent of its encodings:
    /// packets of several streams leave as one batch, and congestion control takes the transport
    /// for one path (RFC 8837 §5). With the default priority nothing is marked. The owner of the
    /// sockets sets the mark, as far as the system lets it: [`Peer::dscp`](crate::Peer::dscp).
    pub network_priority: Option<Priority>,
}

impl Default for RtpEncodingParameters {
    fn default() -> Self {
        Self {
            rid: None,
            active: true,
            codec: None,
            max_bitrate: None,
            max_framerate: None,
            scale_resolution_down_by: None,
            priority: Priority::default(),
            network_priority: None,
        }
    }
}

impl RtpEncodingParameters {
    /// Returns an encoding with a name.
    #[must_use]
    pub fn with_rid(rid: &str) -> Self {
        Self { rid: Some(rid.to_owned()), ..Self::default() }
    }
}

/// The W3C's "addTransceiver sendEncodings validation steps", and what follows them: the encodings
/// of a new sender.
pub(crate) fn of_new_sender(
    kind: TrackKind,
    mut encodings: Vec<RtpEncodingParameters>,
    codecs: &[RtpCodecCapability],
) -> Result<Vec<RtpEncodingParameters>, Error> {
    let invalid = |reason| Err(Error::InvalidParameters { reason });
    let named = encodings.iter().filter(|encoding| encoding.rid.is_some()).count();
    if named > 0 && named < encodings.len() {
        return invalid("either all encodings have a rid, or none");
    }
    if encodings.len() > 1 && named == 0 {
        return invalid("each of several encodings needs a rid");
    }
    for (index, encoding) in encodings.iter().enumerate() {
        let Some(rid) = &encoding.rid else { continue };
        if rid.is_empty() || rid.len() > MAX_RID || !rid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return invalid("a rid has 1 to 255 letters and digits");
        }
        if encodings[..index].iter().any(|other| other.rid.as_ref() == Some(rid)) {
            return invalid("two encodings have the same rid");
        }
    }
    for codec in encodings.iter().filter_map(|encoding| encoding.codec.as_ref()) {
        if !codecs.iter().any(|known| known.codec.is_same(codec)) {
            return Err(Error::UnsupportedEncoding { mime_type: codec.mime_type.clone() });
        }
    }
    remove_those_of_video(kind, &mut encodings);
    check_ranges(&encodings)?;
    if encodings.iter().any(|encoding| encoding.max_framerate == Some(0.0)) {
        return Err(Error::OutOfRange { reason: "maxFramerate of a new sender is above 0" });
    }
    if encodings.iter().any(|encoding| encoding.scale_resolution_down_by.is_some()) {
        // Before encodings are cut off, one of which may be the one with a scale.
        scale(&mut encodings);
    }
    encodings.truncate(MAX_ENCODINGS);
    if let [only] = encodings.as_mut_slice() {
        only.rid = None;
    }
    if encodings.is_empty() {
        encodings.push(RtpEncodingParameters::default());
    }
    if kind == TrackKind::Video {
        scale(&mut encodings);
    }
    Ok(encodings)
}

/// Returns the encodings that the other side asks for by `a=simulcast:recv` (W3C "set the session
/// description": proposedSendEncodings).
pub(crate) fn proposed<'a>(rids: impl IntoIterator<Item = &'a str>) -> Vec<RtpEncodingParameters> {
    let mut encodings: Vec<RtpEncodingParameters> = Vec::new();
    for rid in rids {
        let is_known = encodings.iter().any(|one| one.rid.as_deref() == Some(rid));
        if !is_known && encodings.len() < MAX_ENCODINGS {
            encodings.push(RtpEncodingParameters::with_rid(rid));
        }
    }
    scale(&mut encodings);
    encodings
}

/// Gives each encoding a scale, if none has one: each twice the next one's (W3C
/// `addTransceiver`).
fn scale(encodings: &mut [RtpEncodingParameters]) {
    let has_scale = encodings.iter().any(|encoding| encoding.scale_resolution_down_by.is_some());
    for (exponent, encoding) in encodings.iter_mut().rev().enumerate() {
        // At most three encodings: the exponent is small.
        let default = if has_scale { 1.0 } else { f64::from(1_u32 << exponent.min(MAX_ENCODINGS)) };
        encoding.scale_resolution_down_by.get_or_insert(default);
    }
}

/// Takes out of encodings of audio what only those of video have.
pub(crate) fn remove_those_of_video(kind: TrackKind, encodings: &mut [RtpEncodingParameters]) {
    if kind == TrackKind::Audio {
        for encoding in encodings {
            (encoding.max_framerate, encoding.scale_resolution_down_by) = (None, None);
        }
    }
}

/// Checks the numbers of encodings (W3C `RangeError`).
pub(crate) fn check_ranges(encodings: &[RtpEncodingParameters]) -> Result<(), Error> {
    for encoding in encodings {
        if encoding.scale_resolution_down_by.is_some_and(|scale| !scale.is_finite() || scale < 1.0) {
            return Err(Error::OutOfRange { reason: "scaleResolutionDownBy is at least 1" });
        }
        if encoding.max_framerate.is_some_and(|rate| !rate.is_finite() || rate < 0.0) {
            return Err(Error::OutOfRange { reason: "maxFramerate is not negative" });
        }
    }
    Ok(())
}
