//! Records: their headers, their protection, and the epochs of an association.

mod header;
mod layer;
mod protection;
mod window;

pub(crate) use header::{Form, HEADER, Raw, first};
pub(crate) use layer::{Opened, RecordLayer};
pub(crate) use protection::{Direction, Opener, Resting, Sealer};

/// Content types (RFC 9147 §A.1).
pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;
pub(crate) const ACK: u8 = 26;

/// Bytes of plaintext in a record at most (RFC 6347 §4.1, RFC 9147 §4).
pub(crate) const MAX_PLAINTEXT: usize = 1 << 14;

/// Bytes that a record has in front of its plaintext at most: header (13) and explicit nonce (8) of
/// DTLS 1.2 (RFC 6347 §4.1, RFC 5288 §3).
pub const FRONT: usize = 21;

/// Bytes that a record has behind its plaintext at most: the inner content type of DTLS 1.3 (1) and
/// the tag (16) (RFC 9147 §4).
pub const BACK: usize = 17;

/// Bytes of the tag of all AEADs.
pub(crate) const TAG: usize = 16;

/// Sequence numbers have 48 bits on the wire (RFC 6347 §4.1); that many are enough in DTLS 1.3,
/// too.
pub(crate) const SEQUENCE_BITS: u32 = 48;

/// The number of a record: its epoch and its place there (RFC 9147 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordNumber {
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}
