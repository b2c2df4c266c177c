//! Tracks and frames.

use std::time::Duration;

use bytes::Bytes;

/// The codec of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Codec {
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1: temporal units of OBUs with sizes.
    Av1,
    /// H.264: a byte stream with start codes; key frames have their parameter sets.
    H264,
    /// Opus.
    Opus,
}

impl Codec {
    /// Returns true for video.
    #[must_use]
    pub const fn is_video(self) -> bool {
        !matches!(self, Self::Opus)
    }
}

/// A track of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// The codec.
    pub codec: Codec,
    /// Width in pixels; 0 if it is not known, and for audio.
    pub width: u32,
    /// Height in pixels; 0 if it is not known, and for audio.
    pub height: u32,
    /// Channels of audio, 1 or 2; 0 for video.
    pub channels: u16,
    /// Samples of 48 kHz at the beginning that a decoder of Opus leaves out.
    pub pre_skip: u16,
    /// The codec's private data: for AV1 the OBU of the sequence header, for H.264 the parameter
    /// sets with start codes. A writer of MP4, and of H.264 and AV1 in Matroska, needs it.
    pub private: Bytes,
}

impl Track {
    /// Returns a track of which only the codec is known; audio has two channels.
    #[must_use]
    pub const fn new(codec: Codec) -> Self {
        let channels = if codec.is_video() { 0 } else { 2 };
        Self { codec, width: 0, height: 0, channels, pre_skip: 0, private: Bytes::new() }
    }
}

/// A frame of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The index of the track.
    pub track: usize,
    /// The time from the beginning of the file at which it is shown or heard.
    pub timestamp: Duration,
    /// A decoder can begin with it.
    pub key: bool,
    /// The encoded data.
    pub data: Bytes,
}

impl Frame {
    /// Returns a frame.
    pub fn new(track: usize, timestamp: Duration, key: bool, data: impl Into<Bytes>) -> Self {
        Self { track, timestamp, key, data: data.into() }
    }
}

/// The head of a stream of Opus (RFC 7845 §5.1), without a mapping of channels.
pub(crate) fn opus_head(track: &Track) -> [u8; 19] {
    let mut head = *b"OpusHead\x01\x02\0\0\x80\xBB\0\0\0\0\0";
    head[9] = track.channels.clamp(1, 2) as u8;
    head[10..12].copy_from_slice(&track.pre_skip.to_le_bytes());
    head
}

/// Returns the track of a head of Opus; `None` if it is none, or has a mapping of channels.
pub(crate) fn read_opus_head(head: &[u8]) -> Option<Track> {
    if head.len() < 19 || !head.starts_with(b"OpusHead") || head[8] >> 4 != 0 || head[18] != 0 {
        return None;
    }
    let channels = u16::from(head[9]);
    let pre_skip = crate::bytes_at::le16(head, 10);
    (1..=2).contains(&channels).then(|| Track { channels, pre_skip, ..Track::new(Codec::Opus) })
}

/// Returns the samples of 48 kHz in a packet of Opus (RFC 6716 §3.1); 0 if it is malformed.
pub(crate) fn opus_samples(packet: &[u8]) -> u32 {
    let Some(toc) = packet.first() else { return 0 };
    let frame = match toc >> 3 {
        config @ 0..=11 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..=15 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let count = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1).map_or(0, |byte| byte & 0x3F)),
    };
    if frame * count <= 5760 { frame * count } else { 0 }
}
