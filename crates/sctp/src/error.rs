//! Errors.

use crate::serial::StreamId;

/// Why a packet could not be read. It has been dropped and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// It ends before what it announces.
    #[error("ends at byte {offset}, inside something longer")]
    Truncated {
        /// Where, in bytes from the beginning of the packet or of the chunk's value.
        offset: usize,
    },
    /// Its checksum is wrong.
    #[error("the packet's checksum is wrong")]
    Checksum,
    /// A chunk or parameter has a length that it cannot have.
    #[error("the length at byte {offset} is impossible")]
    Length {
        /// Where, in bytes from the beginning of the packet or of the chunk's value.
        offset: usize,
    },
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It has no bytes. Data channels say "empty" by a PPID of its own.
    #[error("a message has at least one byte")]
    Empty,
    /// It is larger than the peer takes.
    #[error("the message is larger than the {limit} bytes that the peer accepts")]
    TooLarge {
        /// The peer's limit.
        limit: usize,
    },
    /// The queue of the association, or that of the stream, is full.
    /// [`Event::Writable`](crate::Event::Writable) says when it is not.
    #[error("the send queue is full")]
    Full,
    /// The peer has not so many streams.
    #[error("the peer takes only streams below {count}")]
    NoSuchStream {
        /// The number of streams that the peer takes.
        count: u16,
    },
    /// The stream is being reset.
    #[error("stream {0} is being reset")]
    Resetting(StreamId),
    /// The association is closing or closed.
    #[error("the association is closed")]
    Closed,
}

/// Why an association ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// Both sides agreed to shut down; everything was delivered.
    #[error("shut down")]
    Shutdown,
    /// [`Association::abort`](crate::Association::abort) was called.
    #[error("aborted here")]
    Local,
    /// The peer aborted.
    #[error("aborted by the peer (error cause {cause:?})")]
    Remote {
        /// The first error cause that it gave (RFC 9260 §3.3.10).
        cause: Option<u16>,
    },
    /// The peer broke the protocol, and was sent an ABORT that says so.
    #[error("the peer broke the protocol: {0}")]
    Violation(&'static str),
    /// The peer did not answer.
    #[error("the peer does not answer")]
    Timeout,
}

/// Why an INIT from elsewhere could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The association has already begun in another way.
    #[error("the association has already begun")]
    TooLate,
    /// It is not an INIT chunk with what it must have.
    #[error("not a usable INIT chunk")]
    Malformed,
    /// It is the INIT of this association itself: some implementations (libdatachannel) answer with
    /// the lines of an offer that they do not know.
    #[error("the INIT of this side itself")]
    Own,
}
