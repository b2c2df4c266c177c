//! RTP header extensions (RFC 8285).

use std::fmt;

use crate::attributes::Direction;
use crate::error::Expected;
use crate::field::{Field, flag_attribute};
use crate::scan::{first_word, is_word, number};

flag_attribute!(
    /// `a=extmap-allow-mixed`: extensions of one and of two bytes may be mixed (RFC 8285 §4.1.2).
    ExtMapAllowMixed,
    "extmap-allow-mixed"
);

/// `a=extmap`: the number of a header extension (RFC 8285 §8).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExtMap {
    /// The number: 1 to 14 fit the one-byte form, up to 255 the two-byte form; 4096 to 4351 only
    /// offer.
    pub id: u16,
    /// The direction, if it is written.
    pub direction: Option<Direction>,
    /// The URI that identifies the extension.
    pub uri: String,
    /// The extension's own parameters, if there are any.
    pub attributes: Option<String>,
}

impl ExtMap {
    /// An extension in both directions.
    pub fn new(id: u16, uri: &str) -> Self {
        Self { id, direction: None, uri: uri.to_owned(), attributes: None }
    }
}

impl Field for ExtMap {
    const NAMES: &'static [&'static str] = &["extmap"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let (entry, rest) = first_word(value.unwrap_or_default());
        let (id, direction) = match entry.split_once('/') {
            Some((id, direction)) => (id, Some(Direction::parse(direction, None)?)),
            None => (entry, None),
        };
        let valid = |id: &u16| matches!(id, 1..=255 | 4096..=4351);
        let id = number(id).filter(valid).ok_or(Expected("a number from 1 to 255, or from 4096 to 4351"))?;
        let (uri, attributes) = first_word(rest);
        if !is_word(uri) {
            return Err(Expected("the URI of a header extension"));
        }
        let attributes = (!attributes.is_empty()).then(|| attributes.to_owned());
        Ok(Self { id, direction, uri: uri.to_owned(), attributes })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", self.id)?;
        if let Some(direction) = self.direction {
            write!(out, "/{direction}")?;
        }
        write!(out, " {}", self.uri)?;
        self.attributes.as_ref().map_or(Ok(()), |attributes| write!(out, " {attributes}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn reads_and_writes_all_parts() {
        let text = "2/recvonly urn:ietf:params:rtp-hdrext:csrc-audio-level vad=on x";
        let extension = ExtMap::parse("", Some(text)).unwrap();
        assert_eq!((extension.id, extension.direction), (2, Some(Direction::RecvOnly)));
        assert_eq!(extension.attributes.as_deref(), Some("vad=on x"));
        let mut lines = Lines::new();
        lines.add(&extension).unwrap();
        lines.add(&ExtMap::new(4351, "urn:x")).unwrap();
        assert_eq!(lines.to_string(), format!("a=extmap:{text}\r\na=extmap:4351 urn:x\r\n"));
        for bad in ["", "0 urn:x", "256 urn:x", "1", "1/both urn:x", "x urn:x"] {
            assert!(ExtMap::parse("", Some(bad)).is_err(), "{bad}");
        }
    }
}
