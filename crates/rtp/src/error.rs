//! The errors of packets: what the network sent, and what a caller asked for.

use thiserror::Error;

/// The reason for which bytes are not a packet, a header extension or a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end before the field at this offset does.
    #[error("the {what} at byte {at} is cut off")]
    Truncated {
        /// The part that is cut off.
        what: &'static str,
        /// The offset at which it begins.
        at: usize,
    },
    /// A field has a value that its RFC does not allow.
    #[error("the {what} at byte {at} has an invalid value")]
    Invalid {
        /// The field.
        what: &'static str,
        /// Its offset.
        at: usize,
    },
}

impl ParseError {
    pub(crate) const fn truncated(what: &'static str, at: usize) -> Self {
        Self::Truncated { what, at }
    }

    pub(crate) const fn invalid(what: &'static str, at: usize) -> Self {
        Self::Invalid { what, at }
    }
}

/// The reason for which a packet cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The buffer is too small; a larger one is needed.
    #[error("the buffer has no room for the {what}: {needed} bytes are needed")]
    NoRoom {
        /// The part that does not fit.
        what: &'static str,
        /// The length of buffer up to the end of that part.
        needed: usize,
    },
    /// A value does not fit into its field.
    #[error("the {what} does not fit into its field")]
    OutOfRange {
        /// The value.
        what: &'static str,
    },
    /// A header extension needs the two-byte form (RFC 8285 §4.3), and the one-byte form is in use.
    #[error("header extension {id} needs the two-byte form: negotiate extmap-allow-mixed")]
    NeedsTwoByteForm {
        /// The number of the extension.
        id: u8,
    },
}

impl WriteError {
    pub(crate) const fn no_room(what: &'static str, needed: usize) -> Self {
        Self::NoRoom { what, needed }
    }
}
