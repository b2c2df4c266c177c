//! NAT behaviour discovery (RFC 5780 §7); its addresses are with the other addresses.

use super::simple::{bytes_attribute, fixed};
use crate::TransactionId;
use crate::attribute::{Attribute, AttributeError, AttributeType, EncodeError, ValueWriter};

/// CHANGE-REQUEST: answer from another address, port, or both (RFC 5780 §7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeRequest {
    /// Answer from the other IP address.
    pub change_ip: bool,
    /// Answer from the other port.
    pub change_port: bool,
}

impl<'a> Attribute<'a> for ChangeRequest {
    const TYPE: AttributeType = AttributeType::CHANGE_REQUEST;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let [.., flags] = fixed::<4>(Self::TYPE, value)?;
        Ok(Self { change_ip: flags & 0x04 != 0, change_port: flags & 0x02 != 0 })
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(&[0, 0, 0, u8::from(self.change_ip) << 2 | u8::from(self.change_port) << 1]);
        Ok(())
    }
}

/// RESPONSE-PORT: answer to this port of the sender's address (RFC 5780 §7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponsePort(pub u16);

impl<'a> Attribute<'a> for ResponsePort {
    const TYPE: AttributeType = AttributeType::RESPONSE_PORT;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        // The RFC draws two bytes; some senders count the padding as part of the value.
        match *value {
            [high, low] | [high, low, _, _] => Ok(Self(u16::from_be_bytes([high, low]))),
            _ => Err(AttributeError::length(Self::TYPE, value)),
        }
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(&self.0.to_be_bytes());
        Ok(())
    }
}

bytes_attribute! {
    /// PADDING: bytes without meaning, to make a message so long that it is fragmented (RFC 5780
    /// §7.6).
    Padding = PADDING
}
