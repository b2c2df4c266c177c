//! RTP and RTCP for WebRTC, without I/O (RFC 3550 and its extensions).
//!
//! ```
//! use columba_rtp::extension::{ExtensionForm, Mid};
//! use columba_rtp::{FixedHeader, Packet, PacketWriter, PayloadType};
//! use columba_rtp::{RtpTimestamp, SequenceNumber, Ssrc};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let header = FixedHeader {
//!     marker: true,
//!     payload_type: PayloadType::new(111).ok_or("more than 7 bits")?,
//!     sequence_number: SequenceNumber(1),
//!     timestamp: RtpTimestamp(960),
//!     ssrc: Ssrc(0x1234_5678),
//! };
//! let mut buffer = [0; 1200];
//! let len = PacketWriter::new(&mut buffer, &header, ExtensionForm::OneByte)?
//!     .extension(4, &Mid("0"))?
//!     .payload(b"an Opus frame", 0)?;
//!
//! let packet = Packet::parse(&buffer[..len])?;
//! assert_eq!(packet.fixed(), header);
//! assert_eq!(packet.header().get(4), Some(Mid("0")));
//! assert_eq!(packet.payload(), b"an Opus frame");
//! # Ok(())
//! # }
//! ```
//!
//! - [`Packet`] is a view of a packet, [`PacketMut`] rewrites its header in place, [`PacketWriter`]
//!   writes one into a buffer. [`extension`] has the header extensions.
//! - [`Demultiplexer`] finds the media section of a packet.
//! - [`payload`] cuts frames of codecs into packets and puts them together again.
//! - [`stream`] has the state of senders and receivers, and the buffers in front of a decoder.
//! - [`congestion`] has the estimate of the path, and the pacer.
//! - [`rtcp`] has reports and feedback, [`srtp`] protects packets in place.
//!
//! Everything that comes from the network is checked, and no input panics.

mod bits;
mod bytes_at;
pub mod congestion;
mod demux;
mod error;
pub mod extension;
mod numbers;
mod packet;
pub mod payload;
pub mod rtcp;
pub mod srtp;
pub mod stream;

pub use demux::{Demultiplexer, DemuxSection, Route};
pub use error::{ParseError, WriteError};
pub use numbers::{CompactNtp, NtpTime, PayloadType, RtpTimestamp, SequenceNumber, Ssrc};
pub use packet::{FIXED_HEADER_LEN, FixedHeader, Header, Packet, PacketMut, PacketWriter, is_rtcp};

/// A time for tests; which one does not matter.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some time to begin with")]
fn test_time() -> std::time::Instant {
    std::time::Instant::now()
}
