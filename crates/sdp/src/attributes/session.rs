//! The lines `o=`, `t=`, `c=` and `b=` (RFC 8866 §5).

use std::fmt;
use std::str::FromStr;

use crate::address::NetworkAddress;
use crate::error::Expected;
use crate::field::Field;
use crate::scan::{Words, is_token, is_word, number};

/// `o=`: the author and the version of the description (RFC 8866 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The user's name at the host, `-` if there is none.
    pub username: String,
    /// The session's id; in WebRTC a random number of 63 bits in decimal digits (RFC 8829 §5.2.1).
    /// Only equality is of interest, so that any word is read.
    pub session_id: String,
    /// Grows by one with every description that differs from the one before.
    pub session_version: u64,
    /// The machine that made it; WebRTC writes `0.0.0.0`.
    pub address: NetworkAddress,
}

impl Origin {
    /// The origin of a WebRTC description: `- <id> <version> IN IP4 0.0.0.0`.
    pub fn new(session_id: u64, session_version: u64) -> Self {
        Self {
            username: "-".to_owned(),
            session_id: session_id.to_string(),
            session_version,
            address: NetworkAddress::UNSPECIFIED,
        }
    }

    /// Returns whether the text that this value prints is read as this value.
    pub(crate) fn is_printable(&self) -> bool {
        is_word(&self.username) && self.to_string().parse().is_ok_and(|same: Self| same == *self)
    }
}

impl FromStr for Origin {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let mut words = Words::new(text);
        let username = words.word("a user name or -")?.to_owned();
        let session_id = words.word("a session id")?;
        // Some gateways write more digits than 64 bits hold, or no digits.
        let session_version = number(words.word("a session version")?).unwrap_or(u64::MAX);
        let (address, suffix) = NetworkAddress::parse(&mut words)?;
        if suffix.is_some() {
            return Err(Expected("a unicast address"));
        }
        words.end()?;
        Ok(Self { username, session_id: session_id.to_owned(), session_version, address })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.username, self.session_id, self.session_version, self.address)
    }
}

/// `t=`: the time for which the session is active, in seconds since 1900; `0 0` means always
/// (RFC 8866 §5.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Timing {
    /// The time at which it begins; 0 means that it has begun.
    pub start: u64,
    /// The time at which it ends; 0 means never.
    pub stop: u64,
}

impl Field for Timing {
    const KIND: char = 't';
    const NAMES: &'static [&'static str] = &[];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let start = words.number("a start time")?;
        let stop = words.number("a stop time")?;
        words.end()?;
        Ok(Self { start, stop })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{} {}", self.start, self.stop)
    }
}

/// `c=`: the address to send to (RFC 8866 §5.7); with ICE the default candidate's, else `0.0.0.0`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// The address.
    pub address: NetworkAddress,
    /// The text after a slash: for multicast addresses the time to live and the number of
    /// addresses.
    pub suffix: Option<String>,
}

impl Connection {
    /// `IN IP4 0.0.0.0`: as long as no candidate is known (RFC 8829 §5.2.1).
    pub const UNSPECIFIED: Self = Self { address: NetworkAddress::UNSPECIFIED, suffix: None };
}

impl From<NetworkAddress> for Connection {
    fn from(address: NetworkAddress) -> Self {
        Self { address, suffix: None }
    }
}

impl Field for Connection {
    const KIND: char = 'c';
    const NAMES: &'static [&'static str] = &[];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let (address, suffix) = NetworkAddress::parse(&mut words)?;
        words.end()?;
        Ok(Self { address, suffix: suffix.map(str::to_owned) })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", self.address)?;
        self.suffix.as_ref().map_or(Ok(()), |suffix| write!(out, "/{suffix}"))
    }
}

/// `b=`: a bandwidth (RFC 8866 §5.8), `AS` in kilobits, `TIAS` (RFC 3890) in bits, `RS` and `RR`
/// (RFC 3556) in bits per second.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bandwidth {
    /// The kind of bandwidth: `AS`, `TIAS`, `CT`, `RS`, `RR` or another word.
    pub kind: String,
    /// The number.
    pub value: u64,
}

impl Bandwidth {
    /// A bandwidth of that kind.
    pub fn new(kind: &str, value: u64) -> Self {
        Self { kind: kind.to_owned(), value }
    }

    /// The limit in bits per second that `AS` or `TIAS` sets; `None` for other kinds.
    pub fn bits_per_second(&self) -> Option<u64> {
        match self.kind.as_str() {
            "AS" => self.value.checked_mul(1000),
            "TIAS" => Some(self.value),
            _ => None,
        }
    }
}

impl Field for Bandwidth {
    const KIND: char = 'b';
    const NAMES: &'static [&'static str] = &[];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let (kind, number_text) =
            value.and_then(|value| value.split_once(':')).ok_or(Expected("<type>:<number>"))?;
        if !is_token(kind) {
            return Err(Expected("a bandwidth type"));
        }
        let value = number(number_text.trim_ascii()).ok_or(Expected("a bandwidth in decimal digits"))?;
        Ok(Self { kind: kind.to_owned(), value })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}:{}", self.kind, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn reads_the_origin_of_rfc_8866() {
        let text = "jdoe 3724394400 3724394405 IN IP4 198.51.100.1";
        let origin: Origin = text.parse().unwrap();
        assert_eq!((origin.username.as_str(), origin.session_version), ("jdoe", 3_724_394_405));
        assert_eq!(origin.to_string(), text);
        assert_eq!(Origin::new(7, 2).to_string(), "- 7 2 IN IP4 0.0.0.0");
        for bad in ["", "- 1", "- 1 1", "- 1 1 XX IP4 ::", "- 1 1 IN IP4 1.2.3.4 more", "a b 1 1 IN IP4 ::"] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
        for (odd, version) in [("- x -1 IN IP4 ::", u64::MAX), ("- 6f9c-5a 007 IN IP4 ::", 7)] {
            assert_eq!(odd.parse::<Origin>().unwrap().session_version, version, "{odd}");
        }
        assert!(!Origin { username: "a b".to_owned(), ..origin }.is_printable());
    }

    #[test]
    fn reads_and_writes_the_other_lines() {
        let mut lines = Lines::new();
        lines.set(&Connection::UNSPECIFIED).unwrap();
        lines.add(&Bandwidth::new("AS", 512)).unwrap();
        lines.add(&Bandwidth::new("TIAS", 500_000)).unwrap();
        lines.set(&Timing::default()).unwrap();
        assert_eq!(lines.to_string(), "c=IN IP4 0.0.0.0\r\nb=AS:512\r\nb=TIAS:500000\r\nt=0 0\r\n");
        let bits: Vec<_> = lines.all::<Bandwidth>().map(|b| b.unwrap().bits_per_second()).collect();
        assert_eq!(bits, [Some(512_000), Some(500_000)]);
        let multicast = Connection::parse("", Some("IN IP4 233.252.0.1/127/3")).unwrap();
        assert_eq!(multicast.suffix.as_deref(), Some("127/3"));
    }
}
