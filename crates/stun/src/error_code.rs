//! Error codes and the phrases that go with them.

use std::fmt;

/// The number in an ERROR-CODE: 300 to 699 (RFC 8489 §14.8).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(u16);

impl ErrorCode {
    /// A code by its number; `None` outside 300 to 699.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 300 && number <= 699 { Some(Self(number)) } else { None }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The hundreds, 3 to 6.
    #[must_use]
    pub const fn class(self) -> u8 {
        (self.0 / 100) as u8
    }

    /// The registered reason phrase; empty for codes this crate does not know.
    #[must_use]
    pub fn reason(self) -> &'static str {
        REASONS.iter().find(|(code, _)| *code == self).map_or("", |(_, reason)| *reason)
    }
}

macro_rules! known_codes {
    ($($(#[$doc:meta])* $constant:ident = $number:literal, $reason:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $constant: Self = Self($number);)*
        }

        const REASONS: &[(ErrorCode, &str)] = &[$((ErrorCode::$constant, $reason)),*];
    };
}

known_codes! {
    /// 300: ask another server (RFC 8489 §14.8).
    TRY_ALTERNATE = 300, "Try Alternate";
    /// 400: the request was malformed.
    BAD_REQUEST = 400, "Bad Request";
    /// 401: the request did not carry the credentials that it needs.
    UNAUTHENTICATED = 401, "Unauthenticated";
    /// 403: valid but not allowed (RFC 8656 §19).
    FORBIDDEN = 403, "Forbidden";
    /// 405: moving to another network is not allowed (RFC 8016 §4.2).
    MOBILITY_FORBIDDEN = 405, "Mobility Forbidden";
    /// 420: a comprehension-required attribute was not understood.
    UNKNOWN_ATTRIBUTE = 420, "Unknown Attribute";
    /// 437: there is no allocation, or there is one already (RFC 8656 §19).
    ALLOCATION_MISMATCH = 437, "Allocation Mismatch";
    /// 438: the nonce is no longer valid; try again with the new one.
    STALE_NONCE = 438, "Stale Nonce";
    /// 440: the address family is not served (RFC 8656 §19).
    ADDRESS_FAMILY_NOT_SUPPORTED = 440, "Address Family not Supported";
    /// 441: not the credentials with which the allocation was made (RFC 8656 §19).
    WRONG_CREDENTIALS = 441, "Wrong Credentials";
    /// 442: the transport asked for is not served (RFC 8656 §19).
    UNSUPPORTED_TRANSPORT = 442, "Unsupported Transport Protocol";
    /// 443: the peer's family is not the allocation's (RFC 8656 §19).
    PEER_ADDRESS_FAMILY_MISMATCH = 443, "Peer Address Family Mismatch";
    /// 446: there is a connection to that peer already (RFC 6062 §6.3).
    CONNECTION_ALREADY_EXISTS = 446, "Connection Already Exists";
    /// 447: the connection to the peer failed (RFC 6062 §6.3).
    CONNECTION_TIMEOUT = 447, "Connection Timeout or Failure";
    /// 486: no more allocations for this user (RFC 8656 §19).
    ALLOCATION_QUOTA_REACHED = 486, "Allocation Quota Reached";
    /// 487: both ICE agents believe to have the same role (RFC 8445 §7.1.2).
    ROLE_CONFLICT = 487, "Role Conflict";
    /// 500: a temporary error; try again.
    SERVER_ERROR = 500, "Server Error";
    /// 508: the server has no capacity left (RFC 8656 §19).
    INSUFFICIENT_CAPACITY = 508, "Insufficient Capacity";
    /// 600: the server refuses, whatever the request (RFC 3489 §11.2.9).
    GLOBAL_FAILURE = 600, "Global Failure";
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            "" => write!(f, "{}", self.0),
            reason => write!(f, "{} {reason}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_class_and_text() {
        assert_eq!(ErrorCode::new(299), None);
        assert_eq!(ErrorCode::new(700), None);
        assert_eq!(ErrorCode::new(438), Some(ErrorCode::STALE_NONCE));
        assert_eq!(ErrorCode::STALE_NONCE.class(), 4);
        assert_eq!(ErrorCode::STALE_NONCE.to_string(), "438 Stale Nonce");
        assert_eq!(ErrorCode::new(699).unwrap().to_string(), "699");
    }
}
