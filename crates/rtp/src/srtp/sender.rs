//! The side that protects packets.

use super::cipher::{Cipher, Kind};
use super::keys::{MasterKey, Profile};
use super::streams::Streams;
use super::window::Window;
use super::{
    DEFAULT_MAX_STREAMS, MAX_RTCP_PACKETS, MAX_RTP_PACKETS, RTCP_HEADER_LEN, SRTCP_INDEX_LEN, SrtpError,
};
use crate::bytes_at::be32;
use crate::error::ParseError;
use crate::numbers::Ssrc;
use crate::packet::Header;

/// Protects the packets of one direction of a transport.
///
/// A number of a stream is used once: a packet that is sent again is sent as it was protected, or
/// as a retransmission with a number of its own (RFC 4588).
#[derive(Debug)]
pub struct SrtpSender {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    streams: Streams<Window>,
    packets: u64,
    /// The index of the next RTCP packet, one count for all sources.
    rtcp_index: u32,
}

impl SrtpSender {
    /// Sets the session keys up.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self::with_max_streams(key, DEFAULT_MAX_STREAMS)
    }

    /// Sets the session keys up for so many streams at most.
    #[must_use]
    pub fn with_max_streams(key: &MasterKey, limit: usize) -> Self {
        Self {
            profile: key.profile,
            rtp: Cipher::new(key, Kind::Rtp),
            rtcp: Cipher::new(key, Kind::Rtcp),
            streams: Streams::new(limit),
            packets: 0,
            rtcp_index: 0,
        }
    }

    /// Returns the profile.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Protects the RTP packet in the first `len` bytes of `buffer`, and returns its new length.
    /// Numbers of a stream may come in any order within 1,024.
    ///
    /// # Errors
    ///
    /// It is not a packet, there is no room behind it, its number is used, there are too many
    /// streams, or the key is exhausted. Then the packet is as it was.
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let packet = buffer.get(..len).ok_or(ParseError::truncated("RTP packet", 0))?;
        let header = Header::parse(packet)?;
        let (ssrc, sequence, header) = (header.ssrc(), header.sequence_number(), header.len());
        let end = len + self.rtp.tag_len();
        if buffer.len() < end {
            return Err(SrtpError::NoRoom { needed: end });
        }
        if self.packets >= MAX_RTP_PACKETS {
            return Err(SrtpError::KeyExhausted);
        }
        let index = match self.streams.get_mut(ssrc) {
            Some(window) => {
                let index = sequence.extend(window.highest());
                if index >> 48 != 0 {
                    return Err(SrtpError::KeyExhausted);
                }
                if !window.is_new(index) {
                    return Err(SrtpError::SequenceUsed { ssrc, sequence });
                }
                window.insert(index);
                index
            }
            None => {
                let index = u64::from(sequence.0);
                if !self.streams.insert(ssrc, Window::new(index)) {
                    return Err(SrtpError::TooManyStreams { limit: self.streams.limit() });
                }
                index
            }
        };
        self.packets += 1;
        self.rtp.seal_rtp(buffer, header, len, ssrc, index);
        Ok(end)
    }

    /// Protects the RTCP packet in the first `len` bytes of `buffer`, and returns its new length.
    ///
    /// # Errors
    ///
    /// It is not a packet, there is no room behind it, or the key is exhausted. Then the packet is
    /// as it was.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        if len < RTCP_HEADER_LEN || len > buffer.len() {
            return Err(ParseError::truncated("RTCP packet", 0).into());
        }
        let end = len + self.rtcp.tag_len() + SRTCP_INDEX_LEN;
        if buffer.len() < end {
            return Err(SrtpError::NoRoom { needed: end });
        }
        let index = self.rtcp_index;
        if index >= MAX_RTCP_PACKETS {
            return Err(SrtpError::KeyExhausted);
        }
        self.rtcp_index += 1;
        let ssrc = Ssrc(be32(buffer, 4));
        self.rtcp.seal_rtcp(buffer, len, ssrc, index);
        Ok(end)
    }

    #[cfg(test)]
    pub(super) fn set_counts(&mut self, packets: u64, rtcp_index: u32) {
        (self.packets, self.rtcp_index) = (packets, rtcp_index);
    }
}
