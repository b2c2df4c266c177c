//! The attributes of ICE (RFC 8839) besides `candidate`.

use std::fmt;

use crate::address::Host;
use crate::error::Expected;
use crate::field::{Field, flag_attribute, number_attribute, text_attribute};
use crate::scan::{Words, write_joined};

text_attribute!(
    /// `a=ice-ufrag`: the user name fragment, 4 to 256 characters (RFC 8839 §5.4).
    IceUfrag,
    "ice-ufrag",
    "4 to 256 ICE characters",
    |text| (4..=256).contains(&text.len()) && text.bytes().all(is_ice_char)
);

text_attribute!(
    /// `a=ice-pwd`: the password, 22 to 256 characters (RFC 8839 §5.4).
    IcePwd,
    "ice-pwd",
    "22 to 256 ICE characters",
    |text| (22..=256).contains(&text.len()) && text.bytes().all(is_ice_char)
);

/// RFC 8839 has letters, digits, `+` and `/`; the other four are written by older stacks, and
/// browsers take them.
fn is_ice_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/-=#_".contains(&byte)
}

flag_attribute!(
    /// `a=ice-lite`: this side is a lite agent (RFC 8839 §5.3). At the session only.
    IceLite,
    "ice-lite"
);

flag_attribute!(
    /// `a=end-of-candidates`: no candidate follows for this section (RFC 8840 §4.5).
    EndOfCandidates,
    "end-of-candidates"
);

number_attribute!(
    /// `a=ice-pacing`: the preferred time between two checks, Ta, in milliseconds (RFC 8839 §5.5).
    IcePacing(u32),
    "ice-pacing",
    "milliseconds"
);

/// `a=ice-options`: the extensions of ICE that this side knows (RFC 8839 §5.6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IceOptions(pub Vec<String>);

impl IceOptions {
    /// Candidates may follow the description (RFC 8840).
    pub const TRICKLE: &'static str = "trickle";
    /// The controlling side may nominate again (draft-thatcher-ice-renomination).
    pub const RENOMINATION: &'static str = "renomination";
    /// Checks may carry the datagrams of DTLS's handshake (draft-hancke-webrtc-sped).
    pub const SPED: &'static str = "sped";
    /// The agent follows RFC 8445 and not only its predecessor.
    pub const ICE2: &'static str = "ice2";

    /// These options.
    pub fn new<'a>(options: impl IntoIterator<Item = &'a str>) -> Self {
        Self(options.into_iter().map(str::to_owned).collect())
    }

    /// Returns whether the option is in the list.
    pub fn contains(&self, option: &str) -> bool {
        self.0.iter().any(|known| known == option)
    }
}

impl Field for IceOptions {
    const NAMES: &'static [&'static str] = &["ice-options"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        // libdatachannel writes commas between them, which no option's name can hold. An empty list
        // and an unknown option say nothing about the rest of the description, which browsers take.
        let separates = |c: char| c == ',' || c.is_ascii_whitespace();
        let words = value.unwrap_or_default().split(separates).filter(|word| !word.is_empty());
        Ok(Self(words.map(str::to_owned).collect()))
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write_joined(out, " ", &self.0)
    }
}

/// `a=remote-candidates`: the peer's candidates that were nominated (RFC 8839 §5.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteCandidates(pub Vec<RemoteCandidate>);

/// One of the [`RemoteCandidates`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteCandidate {
    /// The component, 1 to 256.
    pub component: u16,
    /// The address.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Field for RemoteCandidates {
    const NAMES: &'static [&'static str] = &["remote-candidates"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let mut candidates = Vec::new();
        while let Some(word) = words.optional() {
            let component = crate::scan::number(word).filter(|component| (1..=256).contains(component));
            candidates.push(RemoteCandidate {
                component: component.ok_or(Expected("a component from 1 to 256"))?,
                host: words.word("an address")?.parse()?,
                port: words.number("a port")?,
            });
        }
        if candidates.is_empty() {
            Err(Expected("component, address and port"))
        } else {
            Ok(Self(candidates))
        }
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write_joined(out, " ", &self.0)
    }
}

impl fmt::Display for RemoteCandidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.component, self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn credentials_have_the_length_that_the_rfc_demands() {
        let ufrag = |text: &str| IceUfrag::parse("ice-ufrag", Some(text));
        assert!(ufrag("F7gI").is_ok() && ufrag(&"a".repeat(256)).is_ok());
        assert!(ufrag("abc").is_err() && ufrag(&"a".repeat(257)).is_err() && ufrag("ab:cd").is_err());
        let password = |text: &str| IcePwd::parse("ice-pwd", Some(text));
        assert!(password("x9cml/YzichV2+XlhiMu8g").is_ok());
        assert!(password("x9cml/YzichV2+XlhiMu8").is_err() && IcePwd::parse("ice-pwd", None).is_err());
    }

    #[test]
    fn reads_and_writes_options_and_lists() {
        let mut lines = Lines::new();
        lines.set(&IceOptions::new([IceOptions::TRICKLE, IceOptions::ICE2])).unwrap();
        lines.set(&IceLite).unwrap();
        lines.set(&IcePacing(50)).unwrap();
        let text = "1 192.0.2.3 45664 2 fd00::1 45665";
        lines.set(&RemoteCandidates::parse("", Some(text)).unwrap()).unwrap();
        assert_eq!(
            lines.to_string(),
            format!(
                "a=ice-options:trickle ice2\r\na=ice-lite\r\na=ice-pacing:50\r\na=remote-candidates:{text}\r\n"
            )
        );
        let options = lines.get::<IceOptions>().unwrap().unwrap();
        assert!(options.contains("trickle") && !options.contains("renomination"));
        let with_commas = IceOptions::parse("", Some("ice2,trickle")).unwrap();
        assert_eq!(with_commas, IceOptions::new([IceOptions::ICE2, IceOptions::TRICKLE]));
        let with_tab = IceOptions::parse("", Some("ice2\ttrickle x:y")).unwrap();
        assert!(with_tab.contains("trickle") && with_tab.contains("ice2"));
        for empty in [None, Some(""), Some(" , ")] {
            assert_eq!(IceOptions::parse("", empty), Ok(IceOptions::default()));
        }
        assert!(RemoteCandidates::parse("", Some("1 192.0.2.3")).is_err());
        assert!(IcePacing::parse("", Some("fast")).is_err());
    }
}
