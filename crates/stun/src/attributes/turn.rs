//! TURN's attributes (RFC 8656 §18), those of its TCP relaying (RFC 6062) and of mobility (RFC
//! 8016).

use super::simple::{bytes_attribute, fixed, flag_attribute, number_attribute};
use crate::attribute::{Attribute, AttributeError, AttributeType, EncodeError, ValueWriter};
use crate::{AddressFamily, ChannelNumber, TransactionId};

number_attribute! {
    /// LIFETIME: the time for which an allocation lives without a refresh, in seconds (RFC 8656
    /// §18.2).
    Lifetime(u32) = LIFETIME
}
bytes_attribute! {
    /// DATA: the payload of a Send or Data indication (RFC 8656 §18.4).
    Data = DATA
}
flag_attribute! {
    /// DONT-FRAGMENT: set the DF bit towards the peer (RFC 8656 §18.9).
    DontFragment = DONT_FRAGMENT
}
number_attribute! {
    /// CONNECTION-ID: a connection to a peer (RFC 6062 §6.2.1).
    ConnectionId(u32) = CONNECTION_ID
}
bytes_attribute! {
    /// MOBILITY-TICKET: proves the ownership of an allocation from a new address (RFC 8016 §4.1).
    MobilityTicket = MOBILITY_TICKET
}

/// CHANNEL-NUMBER (RFC 8656 §18.1).
impl<'a> Attribute<'a> for ChannelNumber {
    const TYPE: AttributeType = AttributeType::CHANNEL_NUMBER;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let [high, low, ..] = fixed::<4>(Self::TYPE, value)?;
        let number = u16::from_be_bytes([high, low]);
        Self::new(number).ok_or_else(|| AttributeError::Value { ty: Self::TYPE, value: number.into() })
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        let [high, low] = self.number().to_be_bytes();
        out.put(&[high, low, 0, 0]);
        Ok(())
    }
}

/// EVEN-PORT: the relay's port must be even (RFC 8656 §18.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvenPort {
    /// Also reserve the next higher port (the R bit).
    pub reserve_next: bool,
}

impl<'a> Attribute<'a> for EvenPort {
    const TYPE: AttributeType = AttributeType::EVEN_PORT;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let [flags] = fixed(Self::TYPE, value)?;
        Ok(Self { reserve_next: flags & 0x80 != 0 })
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(&[u8::from(self.reserve_next) << 7]);
        Ok(())
    }
}

/// REQUESTED-TRANSPORT: the transport between the relay and peers (RFC 8656 §18.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestedTransport(
    /// The protocol's number in an IP header.
    pub u8,
);

impl RequestedTransport {
    /// UDP.
    pub const UDP: Self = Self(17);
    /// TCP (RFC 6062 §4.1).
    pub const TCP: Self = Self(6);
}

impl<'a> Attribute<'a> for RequestedTransport {
    const TYPE: AttributeType = AttributeType::REQUESTED_TRANSPORT;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let [protocol, ..] = fixed::<4>(Self::TYPE, value)?;
        Ok(Self(protocol))
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(&[self.0, 0, 0, 0]);
        Ok(())
    }
}

/// Declares an attribute that is an address family. A number that is no family decodes, as it wants
/// a 440, not a 400.
macro_rules! family_attribute {
    ($(#[$doc:meta])* $name:ident = $ty:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(
            /// The family's number: see [`family`](Self::family).
            pub u8,
        );

        impl $name {
            /// IPv4.
            pub const IPV4: Self = Self(AddressFamily::Ipv4.number());
            /// IPv6.
            pub const IPV6: Self = Self(AddressFamily::Ipv6.number());

            /// The family; `None` if the number is not known, which a server answers with 440.
            #[must_use]
            pub fn family(self) -> Option<AddressFamily> {
                AddressFamily::from_number(self.0)
            }
        }

        impl From<AddressFamily> for $name {
            fn from(family: AddressFamily) -> Self {
                Self(family.number())
            }
        }

        impl<'a> Attribute<'a> for $name {
            const TYPE: AttributeType = AttributeType::$ty;

            fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
                let [family, ..] = fixed::<4>(Self::TYPE, value)?;
                Ok(Self(family))
            }

            fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
                out.put(&[self.0, 0, 0, 0]);
                Ok(())
            }
        }
    };
}

family_attribute! {
    /// REQUESTED-ADDRESS-FAMILY: the family that the relayed address shall have (RFC 8656 §18.6).
    RequestedAddressFamily = REQUESTED_ADDRESS_FAMILY
}
family_attribute! {
    /// ADDITIONAL-ADDRESS-FAMILY: a second relayed address, of this family (RFC 8656 §18.11).
    AdditionalAddressFamily = ADDITIONAL_ADDRESS_FAMILY
}

/// RESERVATION-TOKEN: a relay port that the server keeps for the client (RFC 8656 §18.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservationToken(pub [u8; 8]);

impl<'a> Attribute<'a> for ReservationToken {
    const TYPE: AttributeType = AttributeType::RESERVATION_TOKEN;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        fixed(Self::TYPE, value).map(Self)
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        out.put(&self.0);
        Ok(())
    }
}

/// ICMP: the reason for which a datagram to a peer was lost, in a Data indication (RFC 8656
/// §18.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// The ICMP type, at most 127: the RFC gives it seven bits, and error messages need no more in
    /// either family.
    pub ty: u8,
    /// The ICMP code, at most 511: the RFC gives it nine bits.
    pub code: u16,
    /// The next hop's MTU if the datagram was too big, in bytes; else zero.
    pub data: u32,
}

impl<'a> Attribute<'a> for Icmp {
    const TYPE: AttributeType = AttributeType::ICMP;

    fn decode(value: &'a [u8], _: &TransactionId) -> Result<Self, AttributeError> {
        let [_, _, high, low, data @ ..] = fixed::<8>(Self::TYPE, value)?;
        let both = u16::from_be_bytes([high, low]);
        Ok(Self { ty: high >> 1, code: both & 0x01FF, data: u32::from_be_bytes(data) })
    }

    fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
        if self.ty > 0x7F {
            return Err(EncodeError::Value { ty: Self::TYPE, value: self.ty.into() });
        }
        if self.code > 0x01FF {
            return Err(EncodeError::Value { ty: Self::TYPE, value: self.code.into() });
        }
        out.put(&[0, 0]);
        out.put(&(u16::from(self.ty) << 9 | self.code).to_be_bytes());
        out.put(&self.data.to_be_bytes());
        Ok(())
    }
}
