//! As much of STUN (RFC 8489) as tells whose a message is.

/// The fixed part of a message.
const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING: u16 = 0x0001;
const CLASS: u16 = 0x0110;
const USERNAME: u16 = 0x0006;

/// MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT: a user name behind them does not
/// count (RFC 8489 §14.5), and the agent does not see it.
const CLOSING: [u16; 3] = [0x0008, 0x001C, 0x8028];

/// The transaction id of a message.
pub(super) type TransactionId = [u8; 12];

/// A STUN message, as far as it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stun<'a> {
    pub(super) class: Class,
    pub(super) is_binding: bool,
    pub(super) transaction: TransactionId,
    attributes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Indication,
    Response,
}

impl<'a> Stun<'a> {
    /// Reads a datagram; `None` if it is something else (RFC 7983).
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let (header, attributes) = datagram.split_at_checked(HEADER)?;
        if header[0] > 3 || header[4..8] != MAGIC_COOKIE {
            return None;
        }
        let kind = u16::from_be_bytes([header[0], header[1]]);
        let class = match kind & CLASS {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            _ => Class::Response,
        };
        let transaction = header[8..].try_into().ok()?;
        Some(Self { class, is_binding: kind & !CLASS == BINDING, transaction, attributes })
    }

    /// The value of USERNAME.
    pub(super) fn username(&self) -> Option<&'a [u8]> {
        let mut rest = self.attributes;
        loop {
            let (head, body) = rest.split_at_checked(4)?;
            let kind = u16::from_be_bytes([head[0], head[1]]);
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = body.get(..length)?;
            if kind == USERNAME {
                return Some(value);
            }
            if CLOSING.contains(&kind) {
                return None;
            }
            rest = body.get(length.next_multiple_of(4)..)?;
        }
    }

    /// The fragment of the receiver of a connectivity check (RFC 8445 §7.2.2).
    pub(super) fn fragment(&self) -> Option<&'a str> {
        let username = std::str::from_utf8(self.username()?).ok()?;
        Some(username.split_once(':')?.0)
    }

    /// Returns whether this is a request to a STUN server: a check to a peer has a user name.
    pub(super) fn is_to_server(&self) -> bool {
        self.class == Class::Request && self.is_binding && self.username().is_none()
    }
}

#[cfg(test)]
pub(super) fn message(kind: u16, transaction: u8, username: Option<&str>) -> Vec<u8> {
    let mut attributes = Vec::new();
    if let Some(name) = username {
        // PRIORITY before it.
        attributes.extend([0, 0x24, 0, 4, 1, 2, 3, 4]);
        attributes.extend(USERNAME.to_be_bytes());
        attributes.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        attributes.extend(name.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    }
    let mut message = Vec::from(kind.to_be_bytes());
    message.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    message.extend(MAGIC_COOKIE);
    message.extend([transaction; 12]);
    message.extend(attributes);
    message
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn checks_requests_and_responses_are_told_apart() {
        let check = message(0x0001, 7, Some("here:there"));
        let check = Stun::read(&check).unwrap();
        assert_eq!(
            (check.class, check.fragment(), check.is_to_server()),
            (Class::Request, Some("here"), false)
        );
        let query = message(0x0001, 8, None);
        assert!(Stun::read(&query).unwrap().is_to_server());
        assert_eq!(Stun::read(&message(0x0101, 9, None)).unwrap().class, Class::Response);
        assert_eq!(Stun::read(&message(0x0111, 9, None)).unwrap().class, Class::Response);
        assert_eq!(Stun::read(&message(0x0011, 9, None)).unwrap().class, Class::Indication);
        let allocate = message(0x0003, 9, None);
        assert!(!Stun::read(&allocate).unwrap().is_to_server());
        assert_eq!(Stun::read(&[0x16, 0xFE, 0xFD]), None);
        assert_eq!(Stun::read(&[0; 20]), None);
    }

    #[test]
    fn user_names_behind_the_closing_attributes_do_not_count() {
        for kind in CLOSING {
            let mut check = message(0x0001, 7, Some("here:there"));
            assert_eq!(Stun::read(&check).unwrap().fragment(), Some("here"));
            // In the place of PRIORITY, which stands before it.
            check[HEADER..HEADER + 2].copy_from_slice(&kind.to_be_bytes());
            assert_eq!(Stun::read(&check).unwrap().fragment(), None, "{kind:#x}");
        }
    }

    proptest! {
        #[test]
        fn no_datagram_panics(mut datagram in prop::collection::vec(any::<u8>(), 0..100), is_stun: bool) {
            if is_stun && datagram.len() >= HEADER {
                datagram[0] = 0;
                datagram[4..8].copy_from_slice(&MAGIC_COOKIE);
            }
            if let Some(stun) = Stun::read(&datagram) {
                let _ = (stun.fragment(), stun.is_to_server());
            }
        }
    }
}
