//! INIT and INIT ACK, and what their parameters negotiate (RFC 9260 §3.3.2, §3.3.3; RFC 3758, 5061,
//! 6525, 8260, 9653).
//!
//! Only the parameters themselves are sent without knowing the peer; the upper bits of their types
//! let it skip them (RFC 9260 §3.2.1). What they announce is used where the peer has announced it,
//! too: FORWARD TSN by its parameter or chunk type, RE-CONFIG, I-DATA with I-FORWARD-TSN, and PAD
//! by their chunk types (RFC 5061 §4.2.7), packets without a checksum, ECNE and CWR, and partial
//! SACKs by their parameters. The I bit of DATA (RFC 7053) needs no announcement: its bit is
//! reserved, and ignored by those who do not know it.

use super::{Reader, Writer, chunk_type};
use crate::error::WireError;
use crate::serial::Tsn;

mod parameter {
    pub(super) const STATE_COOKIE: u16 = 7;
    pub(super) const UNRECOGNIZED: u16 = 8;
    pub(super) const ECN_CAPABLE: u16 = 0x8000;
    pub(super) const ZERO_CHECKSUM: u16 = 0x8001;
    /// Our own: [`Extensions::partial_sacks`](super::Extensions::partial_sacks). Others skip it
    /// without a word.
    pub(super) const PARTIAL_SACKS: u16 = 0x8c0b;
    pub(super) const SUPPORTED_EXTENSIONS: u16 = 0x8008;
    pub(super) const FORWARD_TSN: u16 = 0xc000;
    /// Those that have a meaning, but none over DTLS: addresses, cookie preservative, address
    /// types, and those of AUTH and ASCONF.
    pub(super) const IGNORED: [u16; 9] = [5, 6, 9, 11, 12, 0x8002, 0x8003, 0x8004, 0xc006];
}

/// The error detection method "DTLS" of RFC 9653.
const DTLS: u32 = 1;

/// The abilities of one side beyond RFC 9260.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    pub(crate) forward_tsn: bool,
    pub(crate) reconfig: bool,
    pub(crate) interleaving: bool,
    /// It takes packets without a checksum.
    pub(crate) zero_checksum: bool,
    /// It reads SACKs that begin and end anywhere, and holds on to what earlier ones said.
    pub(crate) partial_sacks: bool,
    /// It knows the PAD chunk (RFC 4820).
    pub(crate) padding: bool,
    /// It sees and answers congestion marks (RFC 4960 appendix A).
    pub(crate) ecn: bool,
}

/// An INIT or INIT ACK chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Init<'a> {
    pub(crate) tag: u32,
    pub(crate) window: u32,
    pub(crate) outgoing_streams: u16,
    pub(crate) incoming_streams: u16,
    pub(crate) initial_tsn: Tsn,
    pub(crate) extensions: Extensions,
    /// Only in INIT ACK.
    pub(crate) cookie: &'a [u8],
    /// The first unknown parameter whose type asks for a report (RFC 9260 §3.2.1).
    pub(crate) unrecognized: &'a [u8],
}

impl<'a> Init<'a> {
    /// Reads the chunk's value.
    pub(crate) fn parse(value: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(value);
        let mut init = Self {
            tag: reader.u32()?,
            window: reader.u32()?,
            outgoing_streams: reader.u16()?,
            incoming_streams: reader.u16()?,
            initial_tsn: Tsn(reader.u32()?),
            extensions: Extensions::default(),
            cookie: &[],
            unrecognized: &[],
        };
        while !reader.is_empty() {
            let before = reader;
            let (kind, value) = reader.element()?;
            match u16::from_be_bytes(kind) {
                parameter::STATE_COOKIE => init.cookie = value,
                parameter::FORWARD_TSN => init.extensions.forward_tsn = true,
                parameter::ZERO_CHECKSUM => {
                    init.extensions.zero_checksum = Reader::new(value).u32() == Ok(DTLS);
                }
                parameter::ECN_CAPABLE => init.extensions.ecn = true,
                parameter::PARTIAL_SACKS => init.extensions.partial_sacks = true,
                parameter::SUPPORTED_EXTENSIONS => {
                    init.extensions.reconfig |= value.contains(&chunk_type::RECONFIG);
                    init.extensions.padding |= value.contains(&chunk_type::PAD);
                    init.extensions.interleaving |= value.contains(&chunk_type::I_DATA);
                    init.extensions.forward_tsn |= value.contains(&chunk_type::FORWARD_TSN);
                }
                known if known == parameter::UNRECOGNIZED || parameter::IGNORED.contains(&known) => {}
                unknown => {
                    if unknown & 0x4000 != 0 && init.unrecognized.is_empty() {
                        init.unrecognized = &before.rest()[..4 + value.len()];
                    }
                    if unknown & 0x8000 == 0 {
                        break;
                    }
                }
            }
        }
        Ok(init)
    }

    /// Writes the chunk, INIT or INIT ACK.
    pub(crate) fn write(&self, writer: &mut Writer<'_>, kind: u8) {
        writer.chunk(kind, 0, |writer| {
            writer.u32(self.tag);
            writer.u32(self.window);
            writer.u16(self.outgoing_streams);
            writer.u16(self.incoming_streams);
            writer.u32(self.initial_tsn.0);
            self.write_extensions(writer);
            if kind == chunk_type::INIT_ACK {
                writer.parameter(parameter::STATE_COOKIE, |writer| writer.bytes(self.cookie));
            }
            if !self.unrecognized.is_empty() {
                writer.parameter(parameter::UNRECOGNIZED, |writer| writer.bytes(self.unrecognized));
            }
        });
    }

    fn write_extensions(&self, writer: &mut Writer<'_>) {
        let extensions = self.extensions;
        if extensions.forward_tsn {
            writer.parameter(parameter::FORWARD_TSN, |_| {});
        }
        if extensions.zero_checksum {
            writer.parameter(parameter::ZERO_CHECKSUM, |writer| writer.u32(DTLS));
        }
        if extensions.ecn {
            writer.parameter(parameter::ECN_CAPABLE, |_| {});
        }
        if extensions.partial_sacks {
            writer.parameter(parameter::PARTIAL_SACKS, |_| {});
        }
        writer.parameter(parameter::SUPPORTED_EXTENSIONS, |writer| {
            for (supported, chunk) in [
                (extensions.reconfig, chunk_type::RECONFIG),
                (extensions.padding, chunk_type::PAD),
                (extensions.forward_tsn, chunk_type::FORWARD_TSN),
                (extensions.interleaving, chunk_type::I_DATA),
                (extensions.interleaving && extensions.forward_tsn, chunk_type::I_FORWARD_TSN),
            ] {
                if supported {
                    writer.u8(chunk);
                }
            }
        });
    }
}
