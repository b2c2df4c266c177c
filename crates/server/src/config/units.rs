//! The kinds of value that options take, as people write them: `30s`, `256KiB`, `49152-65535`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// A length of time: a number and one of `ms`, `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 5] =
            [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let milliseconds = scaled(text, &UNITS).ok_or("write a time like 500ms, 30s, 10m, 12h or 7d")?;
        Ok(Self(Duration::from_millis(milliseconds)))
    }
}

/// A number of bytes (or of bytes per second): a number, alone or with `KiB`, `MiB`, `GiB`, `kB`,
/// `MB`, `GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 8] = [
            ("", 1),
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("kB", 1000),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
        ];
        scaled(text, &UNITS).map(Self).ok_or_else(|| "write a size like 65536, 256KiB or 4MB".to_owned())
    }
}

/// Bytes a second that are allowed, or `unlimited`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    /// So many, at least one.
    Limited(u32),
    /// Any number.
    Unlimited,
}

impl Allowance {
    pub(crate) fn bytes_per_second(self) -> Option<u32> {
        match self {
            Self::Limited(bytes) => Some(bytes),
            Self::Unlimited => None,
        }
    }
}

impl FromStr for Allowance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self::Unlimited);
        }
        let Size(bytes) = text.parse()?;
        match u32::try_from(bytes) {
            Ok(bytes) if bytes > 0 => Ok(Self::Limited(bytes)),
            _ => Err("write a size between 1 and 4GB, or unlimited".to_owned()),
        }
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Where to listen: an address with port, a port alone (all addresses), or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Not at all.
    Off,
    /// On this address; a port of 0 lets the system choose one.
    On(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let port = text.strip_prefix(':').unwrap_or(text).parse::<u16>();
        match port {
            Ok(port) => Ok(Self::On(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port))),
            Err(_) => text.parse().map(Self::On).map_err(|_| {
                "write an address and a port like 192.0.2.1:8080 or [::]:8080, a port alone, or off"
                    .to_owned()
            }),
        }
    }
}

impl Listen {
    /// The same port on IPv4 only: what remains of `[::]` on a machine without IPv6.
    pub(crate) fn ipv4_instead(address: SocketAddr) -> Option<SocketAddr> {
        (address.ip() == Ipv6Addr::UNSPECIFIED)
            .then(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
    }
}

/// A range of ports, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortRange(pub(crate) RangeInclusive<u16>);

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('-').and_then(|(first, last)| {
            let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
            (first > 0 && first <= last).then_some(first..=last)
        });
        parsed.map(Self).ok_or_else(|| "write two ports, the lower one first, like 49152-65535".to_owned())
    }
}

/// A value that is never shown: it prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("a secret must not be empty".to_owned()) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// A host name or an IP address, without a port, as it appears in URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(String);

impl Host {
    /// The host in the form that URLs want: IPv6 addresses in brackets.
    pub(crate) fn for_url(&self) -> &str {
        &self.0
    }

    /// The address, if it is one.
    pub(crate) fn ip(&self) -> Option<std::net::IpAddr> {
        self.0.trim_matches(['[', ']']).parse().ok()
    }

    pub(crate) fn from_ip(ip: std::net::IpAddr) -> Self {
        match ip {
            std::net::IpAddr::V4(ip) => Self(ip.to_string()),
            std::net::IpAddr::V6(ip) => Self(format!("[{ip}]")),
        }
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse() {
            return Ok(Self::from_ip(ip));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() <= 253 && !name.is_empty() && name.split('.').all(label) {
            Ok(Self(name.to_ascii_lowercase()))
        } else {
            Err("write a host name or an address without a port, like example.org".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        assert_eq!("30s".parse(), Ok(Span(Duration::from_secs(30))));
        assert_eq!("500 ms".parse(), Ok(Span(Duration::from_millis(500))));
        assert_eq!("12h".parse(), Ok(Span(Duration::from_secs(43_200))));
        assert!("30".parse::<Span>().is_err());
        assert!("-1s".parse::<Span>().is_err());
        assert!("99999999999999999999d".parse::<Span>().is_err());
        assert_eq!("256KiB".parse(), Ok(Size(262_144)));
        assert_eq!("1 MB".parse(), Ok(Size(1_000_000)));
        assert_eq!("17".parse(), Ok(Size(17)));
        assert!("1XB".parse::<Size>().is_err());
        assert!("18446744073709551615KiB".parse::<Size>().is_err());
    }

    #[test]
    fn allowances_have_a_size_or_no_limit() {
        assert_eq!("64kB".parse(), Ok(Allowance::Limited(64_000)));
        assert_eq!("unlimited".parse(), Ok(Allowance::Unlimited));
        assert!("0".parse::<Allowance>().is_err());
        assert!("5GB".parse::<Allowance>().is_err());
    }

    #[test]
    fn listeners_are_read_in_all_forms() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("8080".parse(), Ok(Listen::On("[::]:8080".parse().unwrap())));
        assert_eq!(":8080".parse(), Ok(Listen::On("[::]:8080".parse().unwrap())));
        assert_eq!("127.0.0.1:0".parse(), Ok(Listen::On("127.0.0.1:0".parse().unwrap())));
        assert!("localhost:80".parse::<Listen>().is_err());
        assert!("99999".parse::<Listen>().is_err());
    }

    #[test]
    fn ranges_secrets_hosts() {
        assert_eq!("1024-2048".parse(), Ok(PortRange(1024..=2048)));
        assert!("2048-1024".parse::<PortRange>().is_err());
        assert!("0-1".parse::<PortRange>().is_err());
        assert_eq!(format!("{:?}", "hush".parse::<Secret>().unwrap()), "…");
        assert_eq!("Example.org".parse::<Host>().unwrap().for_url(), "example.org");
        assert_eq!("2001:db8::1".parse::<Host>().unwrap().for_url(), "[2001:db8::1]");
        assert_eq!("[::1]".parse::<Host>().unwrap().for_url(), "[::1]");
        assert!("example.org:80".parse::<Host>().is_err());
        assert!("a b".parse::<Host>().is_err());
        assert!("".parse::<Host>().is_err());
        assert!("a\"b".parse::<Host>().is_err());
    }
}
