//! Transport addresses, plain and XORed (RFC 8489 §14.1, §14.2).

use std::net::{IpAddr, SocketAddr};

use crate::address::{AddressFamily, canonical};
use crate::attribute::{Attribute, AttributeError, AttributeType, EncodeError, ValueWriter};
use crate::header::{MAGIC_COOKIE, TransactionId};

/// Declares an attribute that is a transport address. The address is made canonical on the way in
/// and on the way out.
macro_rules! address_attribute {
    ($(#[$doc:meta])* $name:ident = $ty:ident, $mask:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(pub SocketAddr);

        impl<'a> Attribute<'a> for $name {
            const TYPE: AttributeType = AttributeType::$ty;

            fn decode(value: &'a [u8], transaction: &TransactionId) -> Result<Self, AttributeError> {
                let mask: fn(&TransactionId) -> [u8; 16] = $mask;
                decode(Self::TYPE, value, mask(transaction)).map(Self)
            }

            fn encode(&self, out: &mut ValueWriter<'_>) -> Result<(), EncodeError> {
                let mask: fn(&TransactionId) -> [u8; 16] = $mask;
                let mask = mask(out.transaction());
                encode(self.0, mask, out);
                Ok(())
            }
        }
    };
}

address_attribute! {
    /// MAPPED-ADDRESS: the address a request came from, in the clear (RFC 8489 §14.1); for clients
    /// of RFC 3489.
    MappedAddress = MAPPED_ADDRESS, plain
}
address_attribute! {
    /// XOR-MAPPED-ADDRESS: the address a request came from (RFC 8489 §14.2).
    XorMappedAddress = XOR_MAPPED_ADDRESS, xored
}
address_attribute! {
    /// XOR-PEER-ADDRESS: the address of a peer as the server sees it (RFC 8656 §18.3).
    XorPeerAddress = XOR_PEER_ADDRESS, xored
}
address_attribute! {
    /// XOR-RELAYED-ADDRESS: the address that the server relays (RFC 8656 §18.5).
    XorRelayedAddress = XOR_RELAYED_ADDRESS, xored
}
address_attribute! {
    /// ALTERNATE-SERVER: the server to ask instead (RFC 8489 §14.15).
    AlternateServer = ALTERNATE_SERVER, plain
}
address_attribute! {
    /// RESPONSE-ORIGIN: the address the response was sent from (RFC 5780 §7.3).
    ResponseOrigin = RESPONSE_ORIGIN, plain
}
address_attribute! {
    /// OTHER-ADDRESS: the address that the server would use if asked to change (RFC 5780 §7.4).
    OtherAddress = OTHER_ADDRESS, plain
}

fn plain(_: &TransactionId) -> [u8; 16] {
    [0; 16]
}

/// Magic cookie and transaction id, with which addresses are XORed against NATs that rewrite what
/// looks like theirs.
fn xored(transaction: &TransactionId) -> [u8; 16] {
    let mut mask = [0; 16];
    mask[..4].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
    mask[4..].copy_from_slice(&transaction.0);
    mask
}

fn decode(ty: AttributeType, value: &[u8], mask: [u8; 16]) -> Result<SocketAddr, AttributeError> {
    let (&[_, family, port_high, port_low], ip) =
        value.split_first_chunk().ok_or_else(|| AttributeError::length(ty, value))?;
    let port = u16::from_be_bytes([port_high ^ mask[0], port_low ^ mask[1]]);
    let ip = match AddressFamily::from_number(family) {
        Some(AddressFamily::Ipv4) => ip.try_into().map(|ip| IpAddr::from(xor::<4>(ip, mask))),
        Some(AddressFamily::Ipv6) => ip.try_into().map(|ip| IpAddr::from(xor::<16>(ip, mask))),
        None => return Err(AttributeError::Value { ty, value: family.into() }),
    };
    let ip = ip.map_err(|_| AttributeError::length(ty, value))?;
    Ok(canonical(SocketAddr::new(ip, port)))
}

fn encode(address: SocketAddr, mask: [u8; 16], out: &mut ValueWriter<'_>) {
    let address = canonical(address);
    let [port_high, port_low] = address.port().to_be_bytes();
    out.put(&[0, AddressFamily::of(address.ip()).number(), port_high ^ mask[0], port_low ^ mask[1]]);
    match address.ip() {
        IpAddr::V4(ip) => out.put(&xor(ip.octets(), mask)),
        IpAddr::V6(ip) => out.put(&xor(ip.octets(), mask)),
    }
}

fn xor<const N: usize>(mut bytes: [u8; N], mask: [u8; 16]) -> [u8; N] {
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: TransactionId = TransactionId([9; 12]);

    #[test]
    fn ipv4_mapped_addresses_are_decoded_as_ipv4() {
        let mut value = vec![0, 2, 0x0D, 0x96];
        value.extend_from_slice(&"::ffff:10.0.0.1".parse::<std::net::Ipv6Addr>().unwrap().octets());
        let AlternateServer(address) = AlternateServer::decode(&value, &ID).unwrap();
        assert_eq!(address, "10.0.0.1:3478".parse().unwrap());
    }

    #[test]
    fn family_and_length_must_agree() {
        let value = [0, 1, 0, 80, 127, 0, 0, 1];
        assert!(XorPeerAddress::decode(&value, &ID).is_ok());
        assert_eq!(
            XorPeerAddress::decode(&value[..7], &ID),
            Err(AttributeError::Length { ty: AttributeType::XOR_PEER_ADDRESS, length: 7 })
        );
        assert_eq!(
            XorPeerAddress::decode(&[0, 2, 0, 80, 127, 0, 0, 1], &ID),
            Err(AttributeError::Length { ty: AttributeType::XOR_PEER_ADDRESS, length: 8 })
        );
        assert_eq!(
            XorPeerAddress::decode(&[0, 3, 0, 80, 127, 0, 0, 1], &ID),
            Err(AttributeError::Value { ty: AttributeType::XOR_PEER_ADDRESS, value: 3 })
        );
        assert!(XorPeerAddress::decode(&[0, 1], &ID).is_err());
    }
}
