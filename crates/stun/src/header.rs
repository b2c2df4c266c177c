//! The twenty bytes in front of every message: class, method, length, magic cookie, transaction id
//! (RFC 8489 §5).

use std::fmt;

/// Length of the STUN header in bytes (RFC 8489 §5).
pub const HEADER_LEN: usize = 20;

/// The fixed value in bytes 4..8 of every message (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// The message type of a Binding request, on the wire.
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];

/// The largest message the 16-bit length field can describe: the length must be a multiple of four.
pub const MAX_MESSAGE_LEN: usize = HEADER_LEN + 0xFFFC;

/// Returns whether a datagram looks like STUN: long enough, its top two bits zero, the magic cookie
/// in place (RFC 8489 §6.3).
///
/// This is the cheap test of a demultiplexer (RFC 7983 tells STUN by its first byte alone);
/// [`Message::parse`](crate::Message::parse) tells whether the message is well formed.
///
/// ```
/// assert!(!columba_stun::is_stun(b"GET / HTTP/1.1\r\nHost: localhost\r\n"));
/// ```
#[must_use]
pub fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_LEN && datagram[0] & 0xC0 == 0 && datagram[4..8] == MAGIC_COOKIE.to_be_bytes()
}

/// Returns whether a datagram looks like a Binding request of RFC 3489 ("classic STUN"): without
/// the magic cookie, in whose place its transaction id has four bytes more (RFC 5389 §12.2).
///
/// Without the cookie little tells STUN from other protocols, so this is for a port where nothing
/// else arrives, and the length must fit exactly.
#[must_use]
pub fn is_classic_binding_request(datagram: &[u8]) -> bool {
    let Some(header) = datagram.first_chunk::<HEADER_LEN>() else { return false };
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    header[..2] == BINDING_REQUEST
        && header[4..8] != MAGIC_COOKIE.to_be_bytes()
        && length.is_multiple_of(4)
        && length == datagram.len() - HEADER_LEN
}

/// The 96 bits that tie a response to its request (RFC 8489 §5).
///
/// A request's id must come from a cryptographically random generator; the caller hands the bytes
/// in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId(pub [u8; 12]);

impl TransactionId {
    /// The id as bytes, in wire order.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 12] {
        &self.0
    }
}

impl From<[u8; 12]> for TransactionId {
    fn from(bytes: [u8; 12]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TransactionId({self})")
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The role of a message in its transaction (RFC 8489 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Asks for an answer.
    Request,
    /// Asks for none.
    Indication,
    /// The request was carried out.
    SuccessResponse,
    /// The request was refused; an ERROR-CODE has the reason.
    ErrorResponse,
}

impl Class {
    /// Returns whether messages of this class answer a request.
    #[must_use]
    pub fn is_response(self) -> bool {
        matches!(self, Self::SuccessResponse | Self::ErrorResponse)
    }
}

/// The operation that a request asks for: a 12-bit number (RFC 8489 §5, §18.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Method(u16);

impl Method {
    /// Binding: returns the address of the sender (RFC 8489 §2). Also ICE's connectivity check (RFC
    /// 8445 §2.2).
    pub const BINDING: Self = Self(0x001);
    /// Allocate a relayed address (RFC 8656 §7).
    pub const ALLOCATE: Self = Self(0x003);
    /// Refresh or delete an allocation (RFC 8656 §8).
    pub const REFRESH: Self = Self(0x004);
    /// Send data to a peer: an indication (RFC 8656 §11).
    pub const SEND: Self = Self(0x006);
    /// Data from a peer: an indication (RFC 8656 §11).
    pub const DATA: Self = Self(0x007);
    /// Permit peers to send (RFC 8656 §10).
    pub const CREATE_PERMISSION: Self = Self(0x008);
    /// Bind a channel to a peer (RFC 8656 §12).
    pub const CHANNEL_BIND: Self = Self(0x009);
    /// Connect to a peer over TCP (RFC 6062 §4.3).
    pub const CONNECT: Self = Self(0x00A);
    /// Bind a new client connection to a peer's connection (RFC 6062 §4.3).
    pub const CONNECTION_BIND: Self = Self(0x00B);
    /// A peer has connected: an indication (RFC 6062 §4.4).
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);

    /// A method by its number; only the low 12 bits count, as that is all the header has room for.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number & 0x0FFF)
    }

    /// The method's number, below 0x1000.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The registered name, if this is a method that this crate knows.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::BINDING => "Binding",
            Self::ALLOCATE => "Allocate",
            Self::REFRESH => "Refresh",
            Self::SEND => "Send",
            Self::DATA => "Data",
            Self::CREATE_PERMISSION => "CreatePermission",
            Self::CHANNEL_BIND => "ChannelBind",
            Self::CONNECT => "Connect",
            Self::CONNECTION_BIND => "ConnectionBind",
            Self::CONNECTION_ATTEMPT => "ConnectionAttempt",
            _ => return None,
        })
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Method({:#05x})", self.0),
        }
    }
}

/// Class and method interleaved as the header's first 14 bits want them (RFC 8489 §5, figure 3).
pub(crate) fn message_type(class: Class, method: Method) -> u16 {
    let number = method.number();
    let class_bits = match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::SuccessResponse => 0x0100,
        Class::ErrorResponse => 0x0110,
    };
    (number & 0x000F) | (number & 0x0070) << 1 | (number & 0x0F80) << 2 | class_bits
}

/// The inverse of [`message_type`]; the two top bits are ignored.
pub(crate) fn class_and_method(message_type: u16) -> (Class, Method) {
    let class = match message_type & 0x0110 {
        0x0000 => Class::Request,
        0x0010 => Class::Indication,
        0x0100 => Class::SuccessResponse,
        _ => Class::ErrorResponse,
    };
    let number = (message_type & 0x000F) | (message_type & 0x00E0) >> 1 | (message_type & 0x3E00) >> 2;
    (class, Method(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_type_survives_the_round_trip() {
        for message_type_bits in 0..0x4000 {
            let (class, method) = class_and_method(message_type_bits);
            assert_eq!(message_type(class, method), message_type_bits);
        }
    }

    #[test]
    fn message_types_of_the_rfcs() {
        assert_eq!(message_type(Class::Request, Method::BINDING), 0x0001);
        assert_eq!(message_type(Class::SuccessResponse, Method::BINDING), 0x0101);
        assert_eq!(message_type(Class::ErrorResponse, Method::ALLOCATE), 0x0113);
        assert_eq!(message_type(Class::Indication, Method::SEND), 0x0016);
        assert_eq!(message_type(Class::Indication, Method::DATA), 0x0017);
    }

    #[test]
    fn demultiplexing_looks_at_bits_length_and_cookie() {
        let mut header = [0_u8; HEADER_LEN];
        header[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        assert!(is_stun(&header));
        assert!(!is_stun(&header[..19]));
        header[0] = 0x40;
        assert!(!is_stun(&header));
        header[0] = 0;
        header[7] ^= 1;
        assert!(!is_stun(&header));
    }

    #[test]
    fn classic_binding_requests_have_no_cookie_and_an_exact_length() {
        let mut request = [0_u8; HEADER_LEN + 8];
        request[1] = 1;
        request[3] = 8;
        assert!(is_classic_binding_request(&request) && !is_stun(&request));
        assert!(!is_classic_binding_request(&request[..27]));
        assert!(!is_classic_binding_request(&request[..20]));
        assert!(!is_classic_binding_request(&request[..19]));
        for (index, value) in [(0, 1), (1, 2), (1, 0x11), (2, 1), (3, 4)] {
            let mut other = request;
            other[index] = value;
            assert!(!is_classic_binding_request(&other), "byte {index} is {value}");
        }
        request[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        assert!(!is_classic_binding_request(&request) && is_stun(&request));
    }
}
