//! Tracks: what is sent and received.

use std::fmt;

use columba_sdp::MediaKind;

/// A kind of media that a track has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Pictures in motion.
    Video,
}

impl TrackKind {
    /// Returns the kind's word in descriptions and in the W3C's interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// Returns the kind of a media section; `None` if it has no tracks.
    pub(crate) fn of(kind: &MediaKind) -> Option<Self> {
        match kind {
            MediaKind::Audio => Some(Self::Audio),
            MediaKind::Video => Some(Self::Video),
            _ => None,
        }
    }

    pub(crate) fn section(self) -> MediaKind {
        match self {
            Self::Audio => MediaKind::Audio,
            Self::Video => MediaKind::Video,
        }
    }
}

impl fmt::Display for TrackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A track, by its identifier: the W3C's `MediaStreamTrack` without its media.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Track {
    /// The identifier, unique on this side.
    pub id: String,
    /// The kind.
    pub kind: TrackKind,
}

impl Track {
    /// Returns a track of sound.
    pub fn audio(id: impl Into<String>) -> Self {
        Self { id: id.into(), kind: TrackKind::Audio }
    }

    /// Returns a track of pictures.
    pub fn video(id: impl Into<String>) -> Self {
        Self { id: id.into(), kind: TrackKind::Video }
    }
}
