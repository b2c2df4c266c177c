//! The errors of files.

use thiserror::Error;

/// The reason for which a file cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("the file could not be read or written: {0}")]
    Io(#[from] std::io::Error),
    /// The file is of none of the kinds that are known.
    #[error("the file is neither WebM or Matroska, nor MP4, nor Ogg with Opus, nor IVF")]
    UnknownKind,
    /// A part of the file is damaged.
    #[error("the file is damaged: {what} at byte {at}")]
    Malformed {
        /// The part.
        what: &'static str,
        /// Its offset.
        at: u64,
    },
    /// The file has no track of a codec that is known.
    #[error("the file has no track of VP8, VP9, AV1, H.264 or Opus")]
    NoTracks,
    /// A track, or a frame, does not go into this kind of file.
    #[error("{what}")]
    Unsupported {
        /// The reason.
        what: &'static str,
    },
}

impl Error {
    pub(crate) const fn malformed(what: &'static str, at: u64) -> Self {
        Self::Malformed { what, at }
    }

    pub(crate) const fn unsupported(what: &'static str) -> Self {
        Self::Unsupported { what }
    }
}
