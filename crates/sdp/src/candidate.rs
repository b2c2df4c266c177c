//! ICE candidates as text (RFC 8839 §5.1, RFC 6544 §4.5).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::address::Host;
use crate::error::{Error, Expected, quote};
use crate::field::Field;
use crate::scan::{Words, is_word, number};
use crate::words::{closed_words, open_words};

/// The longest candidate that is read, in bytes: many times what any stack writes.
const LONGEST_CANDIDATE: usize = 2048;

/// The longest foundation that is read, in bytes. RFC 8839 allows 32; some servers write longer
/// ones, and nothing depends on it.
const LONGEST_FOUNDATION: usize = 256;

/// The attribute's name and its colon, which stand before the value also in the W3C's `candidate`
/// string.
const PREFIX: &str = "candidate:";

/// The names of extensions that stacks write. Templates fill in values that may be empty.
const EXTENSIONS: [&str; 7] =
    ["raddr", "rport", "tcptype", "generation", "ufrag", "network-id", "network-cost"];

/// An ICE candidate: an address at which a peer may be reached.
///
/// It is written and read as the value of `a=candidate` and as the `candidate` string of the W3C's
/// `RTCIceCandidate` (with `a=`, with `candidate:`, or without either); all attributes of that
/// dictionary can be had from here.
///
/// ```
/// use columba_sdp::{Candidate, CandidateType, TcpType};
///
/// let text = "candidate:3 1 tcp 1518280447 192.0.2.7 9 typ host tcptype active generation 0 \
///             ufrag Kx3z network-cost 50";
/// let candidate: Candidate = text.parse()?;
/// assert_eq!(candidate.kind, CandidateType::Host);
/// assert_eq!(candidate.tcp_type(), Some(TcpType::Active));
/// assert_eq!(candidate.ufrag(), Some("Kx3z"));
/// assert_eq!(candidate.to_string(), text);
/// # Ok::<(), columba_sdp::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// Equal for candidates of the same type, base, server and protocol (RFC 8445 §5.1.1.3).
    pub foundation: String,
    /// 1 for RTP and for data, 2 for RTCP that is not multiplexed; at most 256.
    pub component: u16,
    /// The transport protocol of the address.
    pub transport: CandidateTransport,
    /// The candidate's priority (RFC 8445 §5.1.2).
    pub priority: u32,
    /// The address or a name that hides it.
    pub host: Host,
    /// The port; 9 (discard) for an active TCP candidate.
    pub port: u16,
    /// The source of the address.
    pub kind: CandidateType,
    /// The base of a reflexive candidate, or the mapped address of a relayed one; for diagnosis
    /// only.
    pub related: Option<RelatedAddress>,
    /// The names and values after that, in order: `tcptype`, `generation` and `ufrag` among
    /// them.
    pub extensions: Vec<(String, String)>,
}

impl Candidate {
    /// The TCP type (RFC 6544 §4.5), the W3C's `tcpType`. A TCP candidate without one is passive,
    /// as libwebrtc reads it.
    pub fn tcp_type(&self) -> Option<TcpType> {
        match self.extension("tcptype") {
            Some(word) => word.parse().ok(),
            None => (self.transport == CandidateTransport::Tcp).then_some(TcpType::Passive),
        }
    }

    /// The user name fragment of the ICE generation to which the candidate belongs (RFC 8838 §4),
    /// the W3C's `usernameFragment`.
    pub fn ufrag(&self) -> Option<&str> {
        self.extension("ufrag")
    }

    /// libwebrtc's counter of ICE restarts.
    pub fn generation(&self) -> Option<u32> {
        self.extension("generation")?.parse().ok()
    }

    /// libwebrtc's number of the network interface.
    pub fn network_id(&self) -> Option<u16> {
        self.extension("network-id")?.parse().ok()
    }

    /// libwebrtc's cost of the network, 0 (wired) to 999 (unknown).
    pub fn network_cost(&self) -> Option<u16> {
        self.extension("network-cost")?.parse().ok()
    }

    /// The value of an extension, by name.
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Gives an extension this value, in its place or at the end.
    pub fn set_extension(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        match self.extensions.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value,
            None => self.extensions.push((name.to_owned(), value)),
        }
    }

    /// The component as the W3C names it: `rtp` or `rtcp`.
    pub fn component_name(&self) -> Option<&'static str> {
        match self.component {
            1 => Some("rtp"),
            2 => Some("rtcp"),
            _ => None,
        }
    }

    /// Returns whether this is a candidate that an ICE agent can use: of a transport and a type
    /// that this crate knows. Others are well written and are to be ignored (RFC 8839 §5.1).
    pub fn is_known(&self) -> bool {
        !matches!(self.transport, CandidateTransport::Other(_))
            && !matches!(self.kind, CandidateType::Other(_))
    }

    fn parse_words(text: &str) -> Result<Self, Expected> {
        if text.len() > LONGEST_CANDIDATE {
            return Err(Expected("a candidate of at most 2048 bytes"));
        }
        // None could be printed again.
        if text.contains(|c: char| c.is_ascii_control() && !c.is_ascii_whitespace()) {
            return Err(Expected("visible characters"));
        }
        let mut words = Words::new(text);
        let foundation = words.word("a foundation")?;
        if foundation.len() > LONGEST_FOUNDATION {
            return Err(Expected("a foundation of visible characters, at most 256"));
        }
        let component = words.number("a component from 1 to 256")?;
        if !(1..=256).contains(&component) {
            return Err(Expected("a component from 1 to 256"));
        }
        let transport = words.word("a transport, udp or tcp")?.into();
        let priority = words.number("a priority, at most 4294967295")?;
        let host = words.word("an address")?.parse()?;
        let port = words.number("a port")?;
        if !words.word("typ")?.eq_ignore_ascii_case("typ") {
            return Err(Expected("typ"));
        }
        let kind = words.word("a candidate type")?.into();
        let mut candidate = Self {
            foundation: foundation.to_owned(),
            component,
            transport,
            priority,
            host,
            port,
            kind,
            related: None,
            extensions: Vec::new(),
        };
        candidate.parse_extensions(words);
        Ok(candidate)
    }

    /// Reads pairs of name and value. The related address comes first by the grammar, but is taken
    /// wherever it stands.
    ///
    /// Nothing depends on these pairs, so nothing in them makes the candidate unusable (libwebrtc
    /// and Firefox's ICE stack are as lenient): a name without a value is ignored, at the end and
    /// before another name, and a related address that cannot be read is kept as an extension.
    fn parse_extensions(&mut self, mut words: Words<'_>) {
        let mut address: Option<Host> = None;
        let mut port: Option<u16> = None;
        let mut next = words.optional();
        while let (Some(name), Some(value)) = (next, words.optional()) {
            if is_extension(value) && is_extension(name) {
                next = Some(value);
                continue;
            }
            next = words.optional();
            let is = |known| name.eq_ignore_ascii_case(known);
            if let Some(host) = value.parse().ok().filter(|_| is("raddr") && address.is_none()) {
                address = Some(host);
            } else if let Some(number) = number(value).filter(|_| is("rport") && port.is_none()) {
                port = Some(number);
            } else {
                self.extensions.push((name.to_owned(), value.to_owned()));
            }
        }
        // A port without an address says nothing. Some stacks write an address without a port,
        // which is hidden then.
        self.related = address.map(|host| RelatedAddress { host, port: port.unwrap_or(0) });
    }

    /// Returns whether the text that this value prints is read as this value.
    pub fn is_printable(&self) -> bool {
        let words_are_words = is_word(&self.foundation)
            && self.extensions.iter().all(|(name, value)| is_word(name) && is_word(value));
        words_are_words && Self::parse_words(&Value(self).to_string()).is_ok_and(|same| same == *self)
    }
}

/// Returns whether a word is the name of an extension that stacks write, and so no value.
fn is_extension(word: &str) -> bool {
    EXTENSIONS.iter().any(|name| word.eq_ignore_ascii_case(name))
}

/// The candidate without `candidate:` in front.
struct Value<'a>(&'a Candidate);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Candidate { foundation, component, transport, priority, host, port, kind, related, extensions } =
            self.0;
        write!(f, "{foundation} {component} {transport} {priority} {host} {port} typ {kind}")?;
        if let Some(RelatedAddress { host, port }) = related {
            write!(f, " raddr {host} rport {port}")?;
        }
        extensions.iter().try_for_each(|(name, value)| write!(f, " {name} {value}"))
    }
}

impl fmt::Display for Candidate {
    /// `candidate:` and the value, as the W3C's `candidate` string has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", Value(self))
    }
}

impl FromStr for Candidate {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let line = text.trim_ascii();
        let line = line.strip_prefix("a=").unwrap_or(line);
        let value = match line.split_at_checked(PREFIX.len()) {
            Some((prefix, value)) if prefix.eq_ignore_ascii_case(PREFIX) => value,
            _ => line,
        };
        let parsed = if value.contains(['\0', '\r', '\n']) {
            Err(Expected("one line without NUL"))
        } else {
            Self::parse_words(value)
        };
        parsed.map_err(|expected| Error::Malformed {
            line: 0,
            field: "a=candidate".to_owned(),
            expected: expected.0,
            found: quote(value),
        })
    }
}

impl Field for Candidate {
    const NAMES: &'static [&'static str] = &["candidate"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        Self::parse_words(value.unwrap_or_default())
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", Value(self))
    }
}

/// The related address of a candidate: `raddr` and `rport`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RelatedAddress {
    /// The address; `0.0.0.0` or `::` where it is hidden.
    pub host: Host,
    /// The port; 0 where it is hidden.
    pub port: u16,
}

impl RelatedAddress {
    /// A related address.
    pub fn new(ip: IpAddr, port: u16) -> Self {
        Self { host: Host::Ip(ip), port }
    }
}

open_words! {
    /// The transport protocol of a candidate, the W3C's `protocol`.
    CandidateTransport {
        /// UDP.
        Udp = "udp",
        /// TCP (RFC 6544).
        Tcp = "tcp",
    }
}

open_words! {
    /// The source of a candidate's address (RFC 8445 §5.1.1), the W3C's `type`.
    CandidateType {
        /// An address of the host itself.
        Host = "host",
        /// The address that a STUN server sees.
        ServerReflexive = "srflx",
        /// The address that the peer sees.
        PeerReflexive = "prflx",
        /// An address at a TURN server.
        Relayed = "relay",
    }
}

closed_words! {
    /// The side that opens the connection of a TCP candidate (RFC 6544 §4.5), the W3C's `tcpType`.
    TcpType, "active, passive or so" {
        /// This side connects.
        Active = "active",
        /// This side listens.
        Passive = "passive",
        /// Both connect at once.
        SimultaneousOpen = "so",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELAYED: &str = "842163049 1 udp 1677729535 203.0.113.9 50051 typ srflx raddr 10.0.0.2 rport 40192 generation 0 \
                           ufrag EsAw network-id 3 network-cost 10";

    #[test]
    fn reads_all_attributes_of_the_w3c_interface() {
        let candidate: Candidate = RELAYED.parse().unwrap();
        assert_eq!(candidate.foundation, "842163049");
        assert_eq!(candidate.component_name(), Some("rtp"));
        assert_eq!(candidate.transport, CandidateTransport::Udp);
        assert_eq!(candidate.priority, 1_677_729_535);
        assert_eq!(candidate.host.ip(), Some("203.0.113.9".parse().unwrap()));
        assert_eq!(candidate.port, 50051);
        assert_eq!(candidate.kind, CandidateType::ServerReflexive);
        assert_eq!(candidate.related, Some(RelatedAddress::new("10.0.0.2".parse().unwrap(), 40192)));
        assert_eq!(candidate.ufrag(), Some("EsAw"));
        assert_eq!(candidate.generation(), Some(0));
        assert_eq!((candidate.network_id(), candidate.network_cost()), (Some(3), Some(10)));
        assert_eq!(candidate.to_string(), format!("candidate:{RELAYED}"));
        assert!(candidate.is_printable() && candidate.is_known());
    }

    #[test]
    fn reads_every_form_of_the_string() {
        let plain: Candidate = RELAYED.parse().unwrap();
        for form in [
            format!("candidate:{RELAYED}"),
            format!("a=candidate:{RELAYED}\r\n"),
            format!("candidate: {RELAYED} "),
        ] {
            assert_eq!(form.parse::<Candidate>().unwrap(), plain, "{form}");
        }
    }

    #[test]
    fn keeps_unknown_transports_types_and_extensions() {
        let text = "candidate:a/+_ 2 sctp 1 x.invalid 0 typ magic raddr :: rport 0 x y x z";
        let candidate: Candidate = text.parse().unwrap();
        assert_eq!(candidate.transport, CandidateTransport::Other("sctp".to_owned()));
        assert_eq!(candidate.kind, CandidateType::Other("magic".to_owned()));
        assert!(candidate.host.is_invalid() && !candidate.is_known());
        assert_eq!(candidate.to_string(), text);
    }

    #[test]
    fn errors_say_what_is_expected() {
        for (text, what) in [
            ("", "a foundation"),
            ("candidate:", "a foundation"),
            ("1", "a component from 1 to 256"),
            ("1 0 udp 1 192.0.2.1 1 typ host", "a component from 1 to 256"),
            ("1 257 udp 1 192.0.2.1 1 typ host", "a component from 1 to 256"),
            ("1 1 udp 4294967296 192.0.2.1 1 typ host", "a priority, at most 4294967295"),
            ("1 1 udp -1 192.0.2.1 1 typ host", "a priority, at most 4294967295"),
            ("1 1 udp 1 [::1] 1 typ host", "an IP address or a host name"),
            ("1 1 udp 1 192.0.2.1 65536 typ host", "a port"),
            ("1 1 udp 1 192.0.2.1 1 host", "typ"),
            ("1 1 udp 1 192.0.2.1 1 typ", "a candidate type"),
            ("1 1 udp 1 192.0.2.1 1 typ host\nx y", "one line without NUL"),
            ("1 1 udp 1 192.0.2.1 1 typ host x a\x02b", "visible characters"),
        ] {
            match text.parse::<Candidate>() {
                Err(Error::Malformed { expected, .. }) => assert_eq!(expected, what, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let endless = format!("1 1 udp 1 192.0.2.1 1 typ host{}", " a b".repeat(1000));
        assert!(endless.parse::<Candidate>().is_err());
    }

    #[test]
    fn values_that_read_back_differently_are_unprintable() {
        let good: Candidate = RELAYED.parse().unwrap();
        for bad in [
            Candidate { foundation: String::new(), ..good.clone() },
            Candidate { foundation: "1 2".to_owned(), ..good.clone() },
            Candidate { host: Host::Name("a b".to_owned()), ..good.clone() },
            Candidate { host: Host::Name("192.0.2.1".to_owned()), ..good.clone() },
            Candidate { kind: CandidateType::Other("host".to_owned()), ..good.clone() },
            Candidate { extensions: vec![("a".to_owned(), String::new())], ..good.clone() },
            Candidate { component: 0, ..good.clone() },
        ] {
            assert!(!bad.is_printable(), "{bad:?}");
        }
    }

    #[test]
    fn extensions_are_set_in_place() {
        let mut candidate: Candidate = RELAYED.parse().unwrap();
        candidate.set_extension("ufrag", "new1");
        candidate.set_extension("tcptype", "so");
        assert_eq!(candidate.tcp_type(), Some(TcpType::SimultaneousOpen));
        let text = candidate.to_string();
        assert!(
            text.contains("generation 0 ufrag new1 network-id 3") && text.ends_with(" tcptype so"),
            "{text}"
        );
    }
}
