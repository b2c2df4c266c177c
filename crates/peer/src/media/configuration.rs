//! The configuration of audio and video.

use std::sync::{Arc, LazyLock};

use super::codec::{RtcpFeedback, RtpCodec, RtpCodecCapability};
use super::{TrackKind, TransceiverDirection};

/// The header extension with the name of a section (RFC 9143 §15), which bundled sections need.
pub(crate) const MID_EXTENSION: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";

/// The header extensions of sections of audio.
const AUDIO_EXTENSIONS: [&str; 4] = [
    MID_EXTENSION,
    "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
];

/// The header extensions of sections of video.
const VIDEO_EXTENSIONS: [&str; 7] = [
    MID_EXTENSION,
    "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "urn:ietf:params:rtp-hdrext:toffset",
    "urn:3gpp:video-orientation",
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
];

/// H.264 as RFC 7742 §6.2 asks for it: Constrained Baseline, here at level 3.1.
const H264: &str = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
const H264_SINGLE_NAL: &str = "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f";

static DEFAULT: LazyLock<Arc<MediaConfiguration>> = LazyLock::new(|| {
    Arc::new(MediaConfiguration {
        audio_codecs: audio_codecs(),
        video_codecs: video_codecs(),
        audio_extensions: AUDIO_EXTENSIONS.map(str::to_owned).to_vec(),
        video_extensions: VIDEO_EXTENSIONS.map(str::to_owned).to_vec(),
        offered: TransceiverDirection::Inactive,
        receive_simulcast: false,
    })
});

/// Codecs and header extensions that are negotiated, and the treatment of sections that the other
/// side offers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MediaConfiguration {
    /// Codecs of audio in order of preference. Default Opus, G.711 and telephone events (RFC 7874
    /// §3).
    pub audio_codecs: Vec<RtpCodecCapability>,
    /// Codecs of video in order of preference. Default VP8, H.264 (RFC 7742 §5), VP9, AV1, `rtx`,
    /// `red` and `ulpfec`.
    pub video_codecs: Vec<RtpCodecCapability>,
    /// URIs of the header extensions of audio.
    pub audio_extensions: Vec<String>,
    /// URIs of the header extensions of video.
    pub video_extensions: Vec<String>,
    /// The direction of transceivers that an offer of the other side's brings. Default inactive:
    /// such a section is kept, and carries nothing, until the application changes the direction of
    /// its transceiver or adds a track.
    ///
    /// Deviation: the W3C's is `recvonly`, which an application sets that wants all media.
    pub offered: TransceiverDirection,
    /// True if several encodings of one source are accepted (RFC 8853 §5.3.2). Default false, as
    /// in browsers; a server that forwards media sets it.
    pub receive_simulcast: bool,
}

impl MediaConfiguration {
    /// Returns the default, of which there is one in the program.
    #[must_use]
    pub fn shared_default() -> Arc<Self> {
        Arc::clone(&DEFAULT)
    }

    /// Returns the same with congestion control feedback (RFC 8888) on the packets of all codecs,
    /// which takes the place of transport-wide numbers where the other side has it, too. Browsers
    /// have not.
    #[must_use]
    pub fn with_congestion_feedback(mut self) -> Self {
        let codecs = self.audio_codecs.iter_mut().chain(&mut self.video_codecs);
        for codec in codecs.filter(|one| !super::codec::is_repair(one.codec.name())) {
            codec.feedback.push(RtcpFeedback::new("ack", Some("ccfb")));
        }
        self
    }

    /// Returns the same with redundant audio (RFC 2198), which is sent where the other side has it,
    /// too: each frame goes once more with the next one.
    #[must_use]
    pub fn with_redundant_audio(mut self) -> Self {
        let red = RtpCodecCapability::new(RtpCodec::new("audio/red", 48_000).with_channels(2));
        let at = self.audio_codecs.len().min(1);
        self.audio_codecs.insert(at, red);
        self
    }

    /// Returns the codecs of a kind: the W3C's `RTCRtpReceiver.getCapabilities`.
    #[must_use]
    pub fn codecs(&self, kind: TrackKind) -> &[RtpCodecCapability] {
        match kind {
            TrackKind::Audio => &self.audio_codecs,
            TrackKind::Video => &self.video_codecs,
        }
    }

    /// Returns the URIs of the header extensions of a kind.
    #[must_use]
    pub fn header_extensions(&self, kind: TrackKind) -> &[String] {
        match kind {
            TrackKind::Audio => &self.audio_extensions,
            TrackKind::Video => &self.video_extensions,
        }
    }
}

impl Default for MediaConfiguration {
    fn default() -> Self {
        Self::clone(&DEFAULT)
    }
}

fn audio_codecs() -> Vec<RtpCodecCapability> {
    let opus = RtpCodec::new("audio/opus", 48_000).with_channels(2);
    let feedback = vec![RtcpFeedback::new("transport-cc", None)];
    let opus = opus.with_parameters("minptime=10;useinbandfec=1");
    let others = [("PCMU", 8000), ("PCMA", 8000), ("telephone-event", 48_000), ("telephone-event", 8000)];
    let other = |(name, rate)| {
        let codec = RtpCodec::new(&format!("audio/{name}"), rate);
        RtpCodecCapability::new(match name {
            "telephone-event" => codec.with_parameters("0-15"),
            _ => codec,
        })
    };
    let first = RtpCodecCapability { codec: opus, feedback };
    [first].into_iter().chain(others.map(other)).collect()
}

fn video_codecs() -> Vec<RtpCodecCapability> {
    let feedback = [
        ("goog-remb", None),
        ("transport-cc", None),
        ("ccm", Some("fir")),
        ("nack", None),
        ("nack", Some("pli")),
    ];
    let feedback = feedback.map(|(kind, parameter)| RtcpFeedback::new(kind, parameter));
    let codec = |name: &str| RtpCodec::new(&format!("video/{name}"), 90_000);
    let media = [
        codec("VP8"),
        codec("H264").with_parameters(H264),
        codec("H264").with_parameters(H264_SINGLE_NAL),
        codec("VP9").with_parameters("profile-id=0"),
        codec("AV1").with_parameters("level-idx=5;profile=0;tier=0"),
    ];
    let media = media.map(|codec| RtpCodecCapability { codec, feedback: feedback.to_vec() });
    let repair = ["rtx", "red", "ulpfec"].map(|name| RtpCodecCapability::new(codec(name)));
    media.into_iter().chain(repair).collect()
}
