//! Data channels (RFC 8841).

use std::fmt;

use crate::error::Expected;
use crate::field::{Field, number_attribute, text_attribute};
use crate::scan::{Words, is_word};

number_attribute!(
    /// `a=sctp-port`: the SCTP port, 5000 by custom; 0 closes the association (RFC 8841 §5).
    SctpPort(u16),
    "sctp-port",
    "a port"
);

number_attribute!(
    /// `a=max-message-size`: the longest message that the writer takes, in bytes; 0 for any length,
    /// 65536 where it is not written (RFC 8841 §6).
    MaxMessageSize(u64),
    "max-message-size",
    "a number of bytes"
);

impl MaxMessageSize {
    /// The limit where the attribute is not written.
    pub const DEFAULT: Self = Self(65536);

    /// The limit; `None` if there is none.
    pub fn limit(self) -> Option<u64> {
        (self.0 != 0).then_some(self.0)
    }
}

/// `a=sctpmap`: the SCTP port in descriptions older than RFC 8841, whose `m=` line says `DTLS/SCTP
/// <port>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SctpMap {
    /// The SCTP port.
    pub port: u16,
    /// The protocol on top, `webrtc-datachannel`.
    pub protocol: String,
    /// The number of streams in each direction, if it is written.
    pub streams: Option<u16>,
}

impl Field for SctpMap {
    const NAMES: &'static [&'static str] = &["sctpmap"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let port = words.number("a port")?;
        let protocol = words.word("a protocol")?.to_owned();
        let streams = match words.optional() {
            None => None,
            Some(word) => Some(crate::scan::number(word).ok_or(Expected("a number of streams"))?),
        };
        words.end()?;
        Ok(Self { port, protocol, streams })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{} {}", self.port, self.protocol)?;
        self.streams.map_or(Ok(()), |streams| write!(out, " {streams}"))
    }
}

text_attribute!(
    /// `a=sctp-init`: the SCTP INIT chunk in base64, so that the association needs no round trip of
    /// its own (draft-hancke-tsvwg-snap). Kept encoded.
    SctpInit,
    "sctp-init",
    "an INIT chunk in base64",
    is_word
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn both_generations() {
        let mut lines = Lines::new();
        lines.set(&SctpPort(5000)).unwrap();
        lines.set(&MaxMessageSize(262_144)).unwrap();
        lines.set(&SctpMap::parse("", Some("5000 webrtc-datachannel 1024")).unwrap()).unwrap();
        lines.set(&SctpInit::from("AQAAVoODlg==")).unwrap();
        assert_eq!(
            lines.to_string(),
            "a=sctp-port:5000\r\na=max-message-size:262144\r\na=sctpmap:5000 webrtc-datachannel 1024\r\n\
             a=sctp-init:AQAAVoODlg==\r\n"
        );
        assert_eq!((MaxMessageSize(0).limit(), MaxMessageSize::DEFAULT.limit()), (None, Some(65536)));
        assert!(SctpPort::parse("", Some("65536")).is_err() && SctpPort::parse("", None).is_err());
        assert!(SctpMap::parse("", Some("5000")).is_err());
    }
}
