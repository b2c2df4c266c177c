//! Media files of encoded frames: read and written, not decoded.
//!
//! ```
//! use std::io::Cursor;
//! use std::time::Duration;
//!
//! use columba_containers::{Codec, Frame, Reader, Track, Writer};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let track = Track { width: 320, height: 240, ..Track::new(Codec::Vp8) };
//! let mut file = Vec::new();
//! let mut writer = Writer::webm(&mut file, &[track])?;
//! writer.write(&Frame::new(0, Duration::ZERO, true, vec![0x10, 0, 0, 0x9D, 1, 0x2A]))?;
//! writer.finish()?;
//!
//! let mut reader = Reader::open(Cursor::new(file))?;
//! assert_eq!(reader.tracks()[0].codec, Codec::Vp8);
//! let frame = reader.next_frame()?.ok_or("no frame")?;
//! assert!(frame.key);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Reader`] finds out which kind a file is, and gives its frames in the order of the file.
//! - [`Writer`] writes a file so that it stays playable if it is cut off.
//! - H.264 is a byte stream with start codes on both sides, AV1 temporal units of OBUs, as codecs
//!   and RTP have them.
//!
//! Files are not trusted: their parts are checked, and no file makes a reader allocate more than
//! [`MAX_FRAME_LEN`] at once.

mod bytes_at;
mod codec;
mod error;
mod h264;
mod ivf;
mod matroska;
mod mp4;
mod ogg;
mod reader;
mod writer;

pub use codec::{Codec, Frame, Track};
pub use error::Error;
pub use reader::Reader;
pub use writer::Writer;

/// The largest frame that is read or written, in bytes.
pub const MAX_FRAME_LEN: usize = 16 << 20;
