//! Addresses as descriptions write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::error::Expected;
use crate::scan::Words;

/// The longest name that the domain name system can hold, in bytes (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 253;

/// An IP address, or a name that stands for one (RFC 8866 §9, RFC 8839 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// IPv4 or IPv6.
    Ip(IpAddr),
    /// A domain name, often one under `.local` that hides an address (mDNS), or one under
    /// `.invalid` that never resolves.
    Name(String),
}

impl Host {
    /// The address, if it is one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(*ip),
            Self::Name(_) => None,
        }
    }

    /// Returns whether this is a name to be resolved by multicast DNS (RFC 6762 §3): one that ends
    /// in `.local`.
    pub fn is_mdns(&self) -> bool {
        self.has_top_label(".local")
    }

    /// Returns whether this is a name that never resolves (RFC 6761 §6.4): one that ends in
    /// `.invalid`.
    pub fn is_invalid(&self) -> bool {
        self.has_top_label(".invalid")
    }

    fn has_top_label(&self, label: &str) -> bool {
        let Self::Name(name) = self else { return false };
        let name = name.strip_suffix('.').unwrap_or(name);
        name.len() > label.len() && name.is_char_boundary(name.len() - label.len()) && {
            name[name.len() - label.len()..].eq_ignore_ascii_case(label)
        }
    }
}

impl FromStr for Host {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        // A zone means nothing outside of the machine that wrote it (RFC 4007 §6).
        if let Some((ip, _zone)) = text.split_once('%')
            && let Ok(ip) = ip.parse::<Ipv6Addr>()
        {
            return Ok(Self::Ip(ip.into()));
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if text.is_empty() || text.len() > LONGEST_NAME || !text.bytes().all(allowed) {
            return Err(Expected("an IP address or a host name"));
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

/// The address type of a name, which the name itself does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressType {
    /// `IP4`
    Ip4,
    /// `IP6`
    Ip6,
}

impl AddressType {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ip4 => "IP4",
            Self::Ip6 => "IP6",
        }
    }
}

/// `IN IP4 192.0.2.1`: network type, address type and address (RFC 8866 §5.7). The network type is
/// always the Internet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetworkAddress {
    address_type: AddressType,
    host: Host,
}

impl NetworkAddress {
    /// `IN IP4 0.0.0.0`: no address, as WebRTC writes it (RFC 8829 §5.2.1).
    pub const UNSPECIFIED: Self =
        Self { address_type: AddressType::Ip4, host: Host::Ip(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) };

    /// An address; its type follows from it.
    pub fn new(ip: IpAddr) -> Self {
        let address_type = if ip.is_ipv4() { AddressType::Ip4 } else { AddressType::Ip6 };
        Self { address_type, host: Host::Ip(ip) }
    }

    /// A name that stands for an address of that type.
    ///
    /// # Errors
    /// If this is no host name.
    pub fn name(address_type: AddressType, name: &str) -> Result<Self, Expected> {
        match name.parse()? {
            Host::Ip(_) => Err(Expected("a host name")),
            host => Ok(Self { address_type, host }),
        }
    }

    /// The address type, version 4 or 6.
    pub fn address_type(&self) -> AddressType {
        self.address_type
    }

    /// The address or name.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Reads the three words; the last may have a suffix behind a slash, which is the second part
    /// of the answer.
    pub(crate) fn parse<'a>(words: &mut Words<'a>) -> Result<(Self, Option<&'a str>), Expected> {
        if !words.word("IN")?.eq_ignore_ascii_case("IN") {
            return Err(Expected("the network type IN"));
        }
        let claimed = match words.word("IP4 or IP6")? {
            word if word.eq_ignore_ascii_case("IP4") => AddressType::Ip4,
            word if word.eq_ignore_ascii_case("IP6") => AddressType::Ip6,
            _ => return Err(Expected("the address type IP4 or IP6")),
        };
        let word = words.word("an address")?;
        let (host, suffix) = match word.split_once('/') {
            Some((host, suffix)) => (host, Some(suffix)),
            None => (word, None),
        };
        let address = match host.parse()? {
            // Some stacks write an IPv6 address after IP4; the address itself knows better.
            Host::Ip(ip) => Self::new(ip),
            name => Self { address_type: claimed, host: name },
        };
        Ok((address, suffix))
    }
}

impl fmt::Display for NetworkAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IN {} {}", self.address_type.as_str(), self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_addresses_from_names() {
        assert_eq!("2001:db8::1".parse::<Host>().unwrap().ip(), Some("2001:db8::1".parse().unwrap()));
        let hidden: Host = "9b0c.LOCAL".parse().unwrap();
        assert!(hidden.is_mdns() && !hidden.is_invalid() && hidden.ip().is_none());
        assert!("0.invalid.".parse::<Host>().unwrap().is_invalid());
        assert!(!".local".parse::<Host>().unwrap().is_mdns());
        assert_eq!("fe80::1%eth0".parse(), Ok(Host::Ip("fe80::1".parse().unwrap())));
        for bad in ["", "a b", "192.0.2.1%eth0", "x%eth0", "ä.example", &"a".repeat(254)] {
            assert!(bad.parse::<Host>().is_err(), "{bad}");
        }
    }

    #[test]
    fn believes_the_address_more_than_its_label() {
        let (address, suffix) = NetworkAddress::parse(&mut Words::new("IN IP4 ::1/127")).unwrap();
        assert_eq!(address.to_string(), "IN IP6 ::1");
        assert_eq!(suffix, Some("127"));
    }
}
