//! The side that opens packets.

use super::cipher::{Cipher, Kind};
use super::keys::{MasterKey, Profile};
use super::streams::Streams;
use super::window::Window;
use super::{DEFAULT_MAX_STREAMS, RTCP_HEADER_LEN, SRTCP_INDEX_LEN, SrtpError};
use crate::bytes_at::be32;
use crate::error::ParseError;
use crate::numbers::{SequenceNumber, Ssrc};
use crate::packet::Header;

/// Packets in a row that are not authentic, after which a stream's number of wraps is doubted.
const DOUBT: u8 = 8;

/// Half of the space of sequence numbers.
const HALF: u16 = 1 << 15;

/// Packets that were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SrtpReceiverStats {
    /// Packets that are not RTP or RTCP, or are not encrypted.
    pub malformed: u64,
    /// Packets that are not authentic.
    pub not_authentic: u64,
    /// Packets that were seen before, or are too old to tell.
    pub repeated: u64,
    /// Packets of streams for which there is no memory.
    pub too_many_streams: u64,
}

#[derive(Debug)]
struct Stream {
    window: Window,
    failures: u8,
}

/// Opens the packets of one direction of a transport.
#[derive(Debug)]
pub struct SrtpReceiver {
    profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
    streams: Streams<Stream>,
    rtcp_sources: Streams<Window>,
    stats: SrtpReceiverStats,
}

impl SrtpReceiver {
    /// Sets the session keys up.
    #[must_use]
    pub fn new(key: &MasterKey) -> Self {
        Self::with_max_streams(key, DEFAULT_MAX_STREAMS)
    }

    /// Sets the session keys up for so many streams, and so many sources of RTCP, at most.
    #[must_use]
    pub fn with_max_streams(key: &MasterKey, limit: usize) -> Self {
        Self {
            profile: key.profile,
            rtp: Cipher::new(key, Kind::Rtp),
            rtcp: Cipher::new(key, Kind::Rtcp),
            streams: Streams::new(limit),
            rtcp_sources: Streams::new(limit),
            stats: SrtpReceiverStats::default(),
        }
    }

    /// Returns the profile.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Returns what was refused.
    #[must_use]
    pub const fn stats(&self) -> SrtpReceiverStats {
        self.stats
    }

    /// Opens an RTP packet in place, and returns its length without the tag.
    ///
    /// # Errors
    ///
    /// It is not a packet, not authentic, a repetition, or of one stream too many. Nothing but
    /// counters has changed, and the payload may be lost.
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let opened = self.open(packet);
        self.count(opened)
    }

    fn open(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = Header::parse(packet)?;
        let (ssrc, sequence, header) = (header.ssrc(), header.sequence_number(), header.len());
        let len = packet.len().checked_sub(self.rtp.tag_len()).filter(|len| *len >= header);
        let len = len.ok_or_else(|| ParseError::truncated("SRTP tag", header))?;
        let Some(stream) = self.streams.get_mut(ssrc) else {
            return self.open_first(packet, header, len, ssrc, sequence);
        };
        let index = sequence.extend(stream.window.highest());
        if stream.failures >= DOUBT {
            // More than half of the space may be lost: then the stream is a wrap further.
            let candidates = [index, index + (1 << 16)];
            let index = self.rtp.open_rtp_guessing(packet, header, len, ssrc, &candidates)?;
            if !stream.window.is_new(index) {
                return Err(SrtpError::Repeated);
            }
            (stream.failures, _) = (0, stream.window.insert(index));
            return Ok(len);
        }
        if !stream.window.is_new(index) {
            stream.failures = stream.failures.saturating_add(1);
            return Err(SrtpError::Repeated);
        }
        if let Err(error) = self.rtp.open_rtp(packet, header, len, ssrc, index) {
            stream.failures = stream.failures.saturating_add(1);
            return Err(error);
        }
        stream.failures = 0;
        stream.window.insert(index);
        Ok(len)
    }

    /// Opens the first packet of a stream. Its sender may have wrapped once before the first packet
    /// came through.
    fn open_first(
        &mut self,
        packet: &mut [u8],
        header: usize,
        len: usize,
        ssrc: Ssrc,
        sequence: SequenceNumber,
    ) -> Result<usize, SrtpError> {
        if self.streams.is_full() {
            return Err(SrtpError::TooManyStreams { limit: self.streams.limit() });
        }
        let first = u64::from(sequence.0);
        let candidates = [first, first + (1 << 16)];
        let count = if sequence.0 < HALF { 2 } else { 1 };
        let index = self.rtp.open_rtp_guessing(packet, header, len, ssrc, &candidates[..count])?;
        self.streams.insert(ssrc, Stream { window: Window::new(index), failures: 0 });
        Ok(len)
    }

    /// Opens an RTCP packet in place, and returns its length without tag and index.
    ///
    /// # Errors
    ///
    /// It is not a packet, not authentic, not encrypted, a repetition, or of one source too many.
    /// Nothing but counters has changed.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let opened = self.open_rtcp(packet);
        self.count(opened)
    }

    fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let overhead = self.rtcp.tag_len() + SRTCP_INDEX_LEN;
        let len = packet.len().checked_sub(overhead).filter(|len| *len >= RTCP_HEADER_LEN);
        let len = len.ok_or(ParseError::truncated("SRTCP packet", 0))?;
        if packet[0] >> 6 != 2 {
            return Err(ParseError::invalid("RTCP version", 0).into());
        }
        let index = self.rtcp.rtcp_index(packet)?;
        let ssrc = Ssrc(be32(packet, 4));
        let (full, limit) = (self.rtcp_sources.is_full(), self.rtcp_sources.limit());
        match self.rtcp_sources.get_mut(ssrc) {
            Some(window) if !window.is_new(u64::from(index)) => Err(SrtpError::Repeated),
            Some(window) => {
                self.rtcp.open_rtcp(packet, len, ssrc, index)?;
                window.insert(u64::from(index));
                Ok(len)
            }
            None if full => Err(SrtpError::TooManyStreams { limit }),
            None => {
                self.rtcp.open_rtcp(packet, len, ssrc, index)?;
                self.rtcp_sources.insert(ssrc, Window::new(u64::from(index)));
                Ok(len)
            }
        }
    }

    fn count(&mut self, opened: Result<usize, SrtpError>) -> Result<usize, SrtpError> {
        if let Err(error) = &opened {
            match error {
                SrtpError::NotAuthentic => self.stats.not_authentic += 1,
                SrtpError::Repeated => self.stats.repeated += 1,
                SrtpError::TooManyStreams { .. } => self.stats.too_many_streams += 1,
                _ => self.stats.malformed += 1,
            }
            tracing::debug!(%error, "a protected packet is dropped");
        }
        opened
    }
}
