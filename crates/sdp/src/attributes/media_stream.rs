//! The attributes that tie tracks to streams (RFC 8830).

use std::fmt;

use crate::error::Expected;
use crate::field::Field;
use crate::scan::Words;

/// `a=msid`: the stream to which the section's track belongs (RFC 8830 §2). There is one line for
/// each stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Msid {
    /// The stream's id, or `-` for a track without a stream.
    pub stream: String,
    /// The track's id, where the sender still writes one (RFC 8829 §5.2.1 lets it go).
    pub track: Option<String>,
}

impl Msid {
    /// A track in a stream.
    pub fn new(stream: &str, track: &str) -> Self {
        Self { stream: stream.to_owned(), track: Some(track.to_owned()) }
    }

    /// The stream's id; `None` for a track without a stream.
    pub fn stream_id(&self) -> Option<&str> {
        (self.stream != "-").then_some(self.stream.as_str())
    }
}

impl Field for Msid {
    const NAMES: &'static [&'static str] = &["msid"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let stream = words.word("the id of a stream, or -")?.to_owned();
        let track = words.optional().map(str::to_owned);
        words.end()?;
        Ok(Self { stream, track })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(&self.stream)?;
        self.track.as_ref().map_or(Ok(()), |track| write!(out, " {track}"))
    }
}

/// `a=msid-semantic`: the meaning of the stream ids, always `WMS` (a draft of RFC 8830). Older
/// stacks require it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MsidSemantic {
    /// The word `WMS`.
    pub semantic: String,
    /// The ids of all streams of the session, or `*`.
    pub streams: Vec<String>,
}

impl MsidSemantic {
    /// `WMS *`: WebRTC's streams, all of them.
    pub fn any_stream() -> Self {
        Self { semantic: "WMS".to_owned(), streams: vec!["*".to_owned()] }
    }
}

impl Field for MsidSemantic {
    const NAMES: &'static [&'static str] = &["msid-semantic"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let semantic = words.word("the word WMS")?.to_owned();
        Ok(Self { semantic, streams: words.rest().map(str::to_owned).collect() })
    }

    /// With a space in front, which some parsers insist on.
    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let words = std::iter::once(&self.semantic).chain(&self.streams);
        words.into_iter().try_for_each(|word| write!(out, " {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn reads_what_the_browsers_write() {
        let chromium = MsidSemantic::parse("", Some(" WMS 8a3d4e92")).unwrap();
        assert_eq!(
            (chromium.semantic.as_str(), chromium.streams.as_slice()),
            ("WMS", &["8a3d4e92".to_owned()][..])
        );
        let firefox = MsidSemantic::parse("", Some("WMS *")).unwrap();
        assert_eq!(firefox, MsidSemantic::any_stream());
        let mut lines = Lines::new();
        lines.set(&firefox).unwrap();
        assert_eq!(lines.to_string(), "a=msid-semantic: WMS *\r\n");

        assert_eq!(Msid::parse("", Some("- {4af}")).unwrap().stream_id(), None);
        let alone = Msid::parse("", Some("stream")).unwrap();
        assert_eq!((alone.stream_id(), &alone.track), (Some("stream"), &None));
        assert!(Msid::parse("", Some("a b c")).is_err() && Msid::parse("", Some("")).is_err());
        assert!(lines.add(&Msid::new("a b", "c")).is_err());
    }
}
