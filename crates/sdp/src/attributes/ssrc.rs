//! Attributes of single RTP streams (RFC 5576).

use std::fmt;

use crate::error::Expected;
use crate::field::Field;
use crate::scan::{Words, first_word, is_word, number};
use crate::words::open_words;

/// `a=ssrc`: an attribute of the stream with that SSRC (RFC 5576 §4.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ssrc {
    /// The stream.
    pub ssrc: u32,
    /// The attribute's name: `cname`, `msid` and, in older descriptions, `mslabel` and `label`.
    pub attribute: String,
    /// The attribute's value.
    pub value: Option<String>,
}

impl Ssrc {
    /// The canonical name of the stream's source (RFC 5576 §6.1).
    pub fn cname(ssrc: u32, cname: &str) -> Self {
        Self { ssrc, attribute: "cname".to_owned(), value: Some(cname.to_owned()) }
    }
}

impl Field for Ssrc {
    const NAMES: &'static [&'static str] = &["ssrc"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let (first, rest) = first_word(value.unwrap_or_default());
        let ssrc = number(first).ok_or(Expected("an SSRC"))?;
        let (attribute, value) = match rest.split_once(':') {
            Some((attribute, value)) => (attribute, Some(value.trim_ascii().to_owned())),
            None => (rest, None),
        };
        if !is_word(attribute) {
            return Err(Expected("the name of an attribute"));
        }
        Ok(Self { ssrc, attribute: attribute.to_owned(), value })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{} {}", self.ssrc, self.attribute)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(out, ":{value}"))
    }
}

/// `a=ssrc-group`: streams that belong together (RFC 5576 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SsrcGroup {
    /// The relation between the streams.
    pub semantics: SsrcGroupSemantics,
    /// The streams, in the order that the semantics give a meaning to.
    pub ssrcs: Vec<u32>,
}

open_words! {
    /// The relation between grouped streams.
    SsrcGroupSemantics {
        /// A stream and its retransmissions (RFC 5576 §4.2, RFC 4588).
        Fid = "FID",
        /// A stream and its forward error correction (RFC 5956).
        FecFr = "FEC-FR",
        /// A stream and its forward error correction, the older way (RFC 5576 §4.2).
        Fec = "FEC",
        /// Layers of simulcast, as libwebrtc had it before RFC 8853.
        Sim = "SIM",
    }
}

impl Field for SsrcGroup {
    const NAMES: &'static [&'static str] = &["ssrc-group"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let semantics = words.word("the semantics of a group")?.into();
        let ssrcs: Option<Vec<_>> = words.rest().map(number).collect();
        match ssrcs {
            Some(ssrcs) if !ssrcs.is_empty() => Ok(Self { semantics, ssrcs }),
            _ => Err(Expected("SSRCs")),
        }
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", self.semantics)?;
        self.ssrcs.iter().try_for_each(|ssrc| write!(out, " {ssrc}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn reads_and_writes_streams_and_groups() {
        let mut lines = Lines::new();
        lines.add(&Ssrc::cname(4_294_967_295, "oxFSx/kL")).unwrap();
        lines.add(&Ssrc::parse("", Some("1 msid:a b")).unwrap()).unwrap();
        lines.add(&Ssrc { ssrc: 0, attribute: "x".to_owned(), value: None }).unwrap();
        lines.add(&SsrcGroup { semantics: SsrcGroupSemantics::Fid, ssrcs: vec![1, 2] }).unwrap();
        assert_eq!(
            lines.to_string(),
            "a=ssrc:4294967295 cname:oxFSx/kL\r\na=ssrc:1 msid:a b\r\na=ssrc:0 x\r\na=ssrc-group:FID 1 2\r\n"
        );
        assert_eq!(lines.all::<Ssrc>().nth(1).unwrap().unwrap().value.as_deref(), Some("a b"));
        for bad in ["", "x cname:y", "4294967296 cname:y", "1", "1 :y"] {
            assert!(Ssrc::parse("", Some(bad)).is_err(), "{bad}");
        }
        assert!(SsrcGroup::parse("", Some("FID")).is_err() && SsrcGroup::parse("", Some("FID 1 x")).is_err());
    }
}
