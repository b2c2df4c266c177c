//! SRTP and SRTCP in place (RFC 3711, RFC 7714).
//!
//! ```
//! use columba_rtp::srtp::{MasterKey, Profile, SrtpReceiver, SrtpSender};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = MasterKey::new(Profile::AeadAes128Gcm, &[1; 16], &[2; 12])?;
//! let (mut sender, mut receiver) = (SrtpSender::new(&key), SrtpReceiver::new(&key));
//!
//! let mut buffer = [0; 64];
//! buffer[..16].copy_from_slice(&[0x80, 111, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1, 2, 3, 4]);
//! let len = sender.protect(&mut buffer, 16)?;
//! assert_ne!(buffer[12..16], [1, 2, 3, 4]);
//!
//! let len = receiver.unprotect(&mut buffer[..len])?;
//! assert_eq!(buffer[12..len], [1, 2, 3, 4]);
//! # Ok(())
//! # }
//! ```

mod cipher;
mod keys;
mod receiver;
mod sender;
mod streams;
mod window;

#[cfg(test)]
mod tests;

pub use keys::{MasterKey, Profile};
pub use receiver::{SrtpReceiver, SrtpReceiverStats};
pub use sender::SrtpSender;

use thiserror::Error;

/// The bytes that protection adds to a packet at most: the tag and index of SRTCP.
pub const MAX_OVERHEAD: usize = 16 + SRTCP_INDEX_LEN;

/// Streams that one direction of a transport has at most, by default.
pub const DEFAULT_MAX_STREAMS: usize = 4096;

/// The bytes of the flag E and the index (RFC 3711 §3.4).
const SRTCP_INDEX_LEN: usize = 4;
/// RTCP's bytes that are not encrypted: a header and an SSRC.
const RTCP_HEADER_LEN: usize = 8;
/// Packets that one key protects at most (RFC 3711 §9.2, RFC 7714 §13.1).
const MAX_RTP_PACKETS: u64 = 1 << 48;
const MAX_RTCP_PACKETS: u32 = 1 << 31;

/// The reason for which a packet cannot be protected, or is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// A master key or salt has another length than its profile wants.
    #[error("{profile} wants a key of {key} bytes and a salt of {salt}")]
    KeyLength {
        /// The profile.
        profile: Profile,
        /// Bytes of its key.
        key: usize,
        /// Bytes of its salt.
        salt: usize,
    },
    /// The bytes are not a packet.
    #[error(transparent)]
    Parse(#[from] crate::ParseError),
    /// The buffer has no room for what protection adds.
    #[error("the buffer has no room: {needed} bytes are needed")]
    NoRoom {
        /// The length of the protected packet.
        needed: usize,
    },
    /// The packet is not authentic, or was damaged.
    #[error("the packet is not authentic")]
    NotAuthentic,
    /// A packet with this number was accepted before, or is too old to tell.
    #[error("the packet is a repetition, or too old to tell")]
    Repeated,
    /// The sender has protected a packet with this number before: a second one would reveal both.
    #[error("sequence number {sequence} of stream {ssrc} is used, or is too old to tell")]
    SequenceUsed {
        /// The stream.
        ssrc: crate::Ssrc,
        /// The number.
        sequence: crate::SequenceNumber,
    },
    /// An SRTCP packet that is not encrypted, which WebRTC does not allow (RFC 8827 §6.5).
    #[error("the SRTCP packet is not encrypted")]
    NotEncrypted,
    /// There are as many streams as memory is kept for.
    #[error("there are {limit} streams already")]
    TooManyStreams {
        /// The limit.
        limit: usize,
    },
    /// The key has protected as many packets as it may; a new DTLS session gives new keys.
    #[error("the key has protected as many packets as it may")]
    KeyExhausted,
}
