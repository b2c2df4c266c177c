//! The messages that open a channel (RFC 8832 §5).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::message::Reliability;
use crate::serial::Ppid;
use crate::wire::Reader;

/// Payload protocol identifiers (RFC 8831 §8).
pub(super) mod ppid {
    use super::Ppid;

    pub(in crate::channels) const DCEP: Ppid = Ppid(50);
    pub(in crate::channels) const STRING: Ppid = Ppid(51);
    /// Deprecated: a part of a binary message; the last part says [`BINARY`].
    pub(in crate::channels) const BINARY_PARTIAL: Ppid = Ppid(52);
    pub(in crate::channels) const BINARY: Ppid = Ppid(53);
    /// Deprecated: a part of a string; the last part says [`STRING`].
    pub(in crate::channels) const STRING_PARTIAL: Ppid = Ppid(54);
    pub(in crate::channels) const STRING_EMPTY: Ppid = Ppid(56);
    pub(in crate::channels) const BINARY_EMPTY: Ppid = Ppid(57);
}

const ACK: u8 = 2;
const OPEN: u8 = 3;
const UNORDERED: u8 = 0x80;
const RETRANSMITS: u8 = 1;
const LIFETIME: u8 = 2;

/// A message of the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dcep {
    Open(Open),
    Ack,
}

/// DATA_CHANNEL_OPEN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) ordered: bool,
    pub(super) reliability: Reliability,
    pub(super) priority: u16,
    pub(super) label: String,
    pub(super) protocol: String,
}

impl Dcep {
    /// Reads a message. `None` if it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        match reader.u8().ok()? {
            ACK => Some(Self::Ack),
            OPEN => Open::parse(reader).map(Self::Open),
            _ => None,
        }
    }

    pub(super) fn ack() -> Bytes {
        Bytes::from_static(&[ACK])
    }
}

impl Open {
    fn parse(mut reader: Reader<'_>) -> Option<Self> {
        let kind = reader.u8().ok()?;
        let priority = reader.u16().ok()?;
        let parameter = reader.u32().ok()?;
        let label = usize::from(reader.u16().ok()?);
        let protocol = usize::from(reader.u16().ok()?);
        let reliability = match kind & !UNORDERED {
            0 => Reliability::Reliable,
            RETRANSMITS => Reliability::MaxRetransmits(u16::try_from(parameter).unwrap_or(u16::MAX)),
            LIFETIME => Reliability::MaxLifetime(Duration::from_millis(u64::from(parameter))),
            _ => return None,
        };
        Some(Self {
            ordered: kind & UNORDERED == 0,
            reliability,
            priority,
            label: String::from_utf8_lossy(reader.bytes(label).ok()?).into_owned(),
            protocol: String::from_utf8_lossy(reader.bytes(protocol).ok()?).into_owned(),
        })
    }

    /// The message. Label and protocol are no longer than 65,535 bytes each.
    pub(super) fn to_bytes(&self) -> Bytes {
        let (kind, parameter) = match self.reliability {
            Reliability::Reliable => (0, 0),
            Reliability::MaxRetransmits(most) => (RETRANSMITS, u32::from(most)),
            Reliability::MaxLifetime(lifetime) => {
                (LIFETIME, u32::try_from(lifetime.as_millis()).unwrap_or(u32::MAX))
            }
        };
        let mut bytes = BytesMut::with_capacity(12 + self.label.len() + self.protocol.len());
        bytes.put_u8(OPEN);
        bytes.put_u8(kind | if self.ordered { 0 } else { UNORDERED });
        bytes.put_u16(self.priority);
        bytes.put_u32(parameter);
        bytes.put_u16(self.label.len() as u16);
        bytes.put_u16(self.protocol.len() as u16);
        bytes.put_slice(self.label.as_bytes());
        bytes.put_slice(self.protocol.as_bytes());
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_can_be_read(
            ordered: bool, kind in 0..3, value: u16, priority: u16, label: String, protocol: String,
        ) {
            let reliability = match kind {
                0 => Reliability::Reliable,
                1 => Reliability::MaxRetransmits(value),
                _ => Reliability::MaxLifetime(Duration::from_millis(u64::from(value))),
            };
            let open = Open { ordered, reliability, priority, label, protocol };
            prop_assert_eq!(Dcep::parse(&open.to_bytes()), Some(Dcep::Open(open)));
        }

        #[test]
        fn garbage_is_refused_quietly(bytes: Vec<u8>) {
            let _ = Dcep::parse(&bytes);
        }
    }
}
