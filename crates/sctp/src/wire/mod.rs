//! Packets and chunks as they are on the wire (RFC 9260 §3 and its extensions): read in place,
//! written into the caller's buffer.

mod cursor;
mod data;
mod forward_tsn;
mod init;
mod packet;
mod reconfig;
mod sack;
#[cfg(test)]
mod tests;

pub(crate) use cursor::{Reader, Writer};
pub(crate) use data::{DATA_HEADER, Data, I_DATA_HEADER};
pub(crate) use forward_tsn::{ForwardTsn, Skipped};
pub(crate) use init::{Extensions, Init};
pub(crate) use packet::{Chunk, Header, PACKET_HEADER, parse, seal};
pub(crate) use reconfig::{Reconfig, ReconfigParameter, ResetResult};
pub(crate) use sack::{GapBlock, Sack};

/// Chunk types (RFC 9260 §3.2, RFC 4960 appendix A, RFC 3758, RFC 4820, RFC 6525, RFC 8260).
pub(crate) mod chunk_type {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const INIT: u8 = 1;
    pub(crate) const INIT_ACK: u8 = 2;
    pub(crate) const SACK: u8 = 3;
    pub(crate) const HEARTBEAT: u8 = 4;
    pub(crate) const HEARTBEAT_ACK: u8 = 5;
    pub(crate) const ABORT: u8 = 6;
    pub(crate) const SHUTDOWN: u8 = 7;
    pub(crate) const SHUTDOWN_ACK: u8 = 8;
    pub(crate) const ERROR: u8 = 9;
    pub(crate) const COOKIE_ECHO: u8 = 10;
    pub(crate) const COOKIE_ACK: u8 = 11;
    pub(crate) const ECNE: u8 = 12;
    pub(crate) const CWR: u8 = 13;
    pub(crate) const SHUTDOWN_COMPLETE: u8 = 14;
    pub(crate) const I_DATA: u8 = 64;
    pub(crate) const RECONFIG: u8 = 130;
    pub(crate) const PAD: u8 = 132;
    pub(crate) const FORWARD_TSN: u8 = 192;
    pub(crate) const I_FORWARD_TSN: u8 = 194;
}

/// Error causes (RFC 9260 §3.3.10).
pub(crate) mod cause {
    pub(crate) const STALE_COOKIE: u16 = 3;
    pub(crate) const UNRECOGNIZED_CHUNK: u16 = 6;
    pub(crate) const INVALID_MANDATORY_PARAMETER: u16 = 7;
    pub(crate) const NO_USER_DATA: u16 = 9;
    pub(crate) const USER_INITIATED: u16 = 12;
    pub(crate) const PROTOCOL_VIOLATION: u16 = 13;
}

/// In ABORT and SHUTDOWN COMPLETE: the verification tag is the receiver's own, given back (RFC 9260
/// §8.5.1).
pub(crate) const FLAG_REFLECTED_TAG: u8 = 1;

/// `length` rounded up to the next multiple of four, to which every chunk and parameter is padded.
pub(crate) const fn padded(length: usize) -> usize {
    (length + 3) & !3
}
