//! The codecs of payload types (RFC 8866 §6, RFC 4585 §4.2).

use std::fmt;

use crate::error::Expected;
use crate::field::{Field, number_attribute, text_attribute};
use crate::scan::{first_word, is_token, is_word, number};

/// The number by which RTP packets name their codec, 0 to 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PayloadType(u8);

impl PayloadType {
    /// A payload type; `None` above 127.
    pub fn new(number: u8) -> Option<Self> {
        (number < 128).then_some(Self(number))
    }

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }

    /// Reads a payload type.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        number(text).and_then(Self::new)
    }
}

impl fmt::Display for PayloadType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `a=rtpmap`: the codec of a payload type (RFC 8866 §6.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtpMap {
    /// The payload type.
    pub payload_type: u8,
    /// The codec's name, to be compared without regard to case.
    pub encoding: String,
    /// Ticks of the RTP timestamp per second.
    pub clock_rate: u32,
    /// The number of audio channels, if it is written; 1 if not.
    pub channels: Option<u16>,
}

impl RtpMap {
    /// A codec.
    pub fn new(payload_type: u8, encoding: &str, clock_rate: u32) -> Self {
        Self { payload_type, encoding: encoding.to_owned(), clock_rate, channels: None }
    }

    /// The same with a number of channels.
    #[must_use]
    pub fn with_channels(self, channels: u16) -> Self {
        Self { channels: Some(channels), ..self }
    }

    /// Returns whether this is the codec of that name.
    pub fn is(&self, encoding: &str) -> bool {
        self.encoding.eq_ignore_ascii_case(encoding)
    }
}

impl Field for RtpMap {
    const NAMES: &'static [&'static str] = &["rtpmap"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let (first, rest) = first_word(value.unwrap_or_default());
        let payload_type = PayloadType::parse(first).ok_or(Expected("a payload type from 0 to 127"))?.get();
        // Browsers do not read what follows the codec.
        let mut parts = first_word(rest).0.split('/');
        let encoding =
            parts.next().filter(|name| is_token(name)).ok_or(Expected("the name of an encoding"))?;
        let clock_rate = parts.next().and_then(number).ok_or(Expected("a clock rate"))?;
        let channels = match parts.next() {
            None | Some("") => None,
            Some(text) => Some(number(text).ok_or(Expected("a number of channels"))?),
        };
        match parts.next() {
            None => Ok(Self { payload_type, encoding: encoding.to_owned(), clock_rate, channels }),
            Some(_) => Err(Expected("the end of the line")),
        }
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{} {}/{}", self.payload_type, self.encoding, self.clock_rate)?;
        self.channels.map_or(Ok(()), |channels| write!(out, "/{channels}"))
    }
}

/// `a=fmtp`: parameters of a format (RFC 8866 §6.15).
///
/// ```
/// use columba_sdp::attributes::Fmtp;
///
/// let fmtp = Fmtp::new("111", [("minptime", Some("10")), ("useinbandfec", Some("1"))]);
/// assert_eq!(fmtp.parameters, "minptime=10;useinbandfec=1");
/// assert_eq!(fmtp.get("UseInbandFEC"), Some("1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fmtp {
    /// The format: a payload type or, outside RTP, another word of the `m=` line.
    pub format: String,
    /// All parameters as they are written: mostly `name=value` between semicolons, but for some
    /// codecs (`red`, `telephone-event`) without names.
    pub parameters: String,
}

impl Fmtp {
    /// Parameters of a format, written `name=value;name=value`.
    pub fn new<'a>(format: &str, parameters: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        let mut text = String::new();
        for (name, value) in parameters {
            if !text.is_empty() {
                text.push(';');
            }
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        Self { format: format.to_owned(), parameters: text }
    }

    /// The payload type, if the format is one.
    pub fn payload_type(&self) -> Option<u8> {
        PayloadType::parse(&self.format).map(PayloadType::get)
    }

    /// The parameters in order: names, and values where there is an equals sign.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.parameters.split(';').map(str::trim_ascii).filter(|part| !part.is_empty()).map(|part| match part
            .split_once('=')
        {
            Some((name, value)) => (name.trim_ascii_end(), Some(value.trim_ascii_start())),
            None => (part, None),
        })
    }

    /// The value of the first parameter of that name, which is compared without regard to case
    /// (RFC 6838 §4.3).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).and_then(|(_, value)| value)
    }

    /// The payload type that this format retransmits (`apt`, RFC 4588 §8.6).
    pub fn retransmits(&self) -> Option<u8> {
        self.get("apt").and_then(PayloadType::parse).map(PayloadType::get)
    }
}

impl Field for Fmtp {
    const NAMES: &'static [&'static str] = &["fmtp"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let (format, parameters) = first_word(value.unwrap_or_default());
        if format.is_empty() {
            return Err(Expected("a format and its parameters"));
        }
        Ok(Self { format: format.to_owned(), parameters: parameters.to_owned() })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str(&self.format)?;
        if self.parameters.is_empty() { Ok(()) } else { write!(out, " {}", self.parameters) }
    }
}

/// The payload types to which an attribute applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodecTarget {
    /// `*`: all payload types of the section.
    All,
    /// One payload type.
    One(u8),
}

impl CodecTarget {
    /// Returns whether the attribute applies to a payload type.
    pub fn includes(self, payload_type: u8) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => one == payload_type,
        }
    }
}

impl fmt::Display for CodecTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::One(payload_type) => payload_type.fmt(f),
        }
    }
}

/// `a=rtcp-fb`: a kind of feedback that the writer takes and gives (RFC 4585 §4.2): `nack`, `nack
/// pli`, `ccm fir`, `transport-cc`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RtcpFb {
    /// The payload types.
    pub target: CodecTarget,
    /// The kind.
    pub kind: String,
    /// The text after the kind, such as `pli`.
    pub parameter: Option<String>,
}

impl RtcpFb {
    /// A kind of feedback without a parameter.
    pub fn new(target: CodecTarget, kind: &str) -> Self {
        Self { target, kind: kind.to_owned(), parameter: None }
    }

    /// A kind of feedback with a parameter.
    pub fn with_parameter(target: CodecTarget, kind: &str, parameter: &str) -> Self {
        Self { parameter: Some(parameter.to_owned()), ..Self::new(target, kind) }
    }

    /// Returns whether this is that kind with that parameter, compared without regard to case.
    pub fn is(&self, kind: &str, parameter: Option<&str>) -> bool {
        let same = match (self.parameter.as_deref(), parameter) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => ours.eq_ignore_ascii_case(theirs),
            _ => false,
        };
        same && self.kind.eq_ignore_ascii_case(kind)
    }
}

impl Field for RtcpFb {
    const NAMES: &'static [&'static str] = &["rtcp-fb"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let (first, rest) = first_word(value.unwrap_or_default());
        let target = match PayloadType::parse(first) {
            Some(payload_type) => CodecTarget::One(payload_type.get()),
            None if first == "*" => CodecTarget::All,
            None => return Err(Expected("a payload type from 0 to 127, or *")),
        };
        let (kind, parameter) = first_word(rest);
        if !is_word(kind) {
            return Err(Expected("a kind of feedback"));
        }
        let parameter = (!parameter.is_empty()).then(|| parameter.to_owned());
        Ok(Self { target, kind: kind.to_owned(), parameter })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{} {}", self.target, self.kind)?;
        self.parameter.as_ref().map_or(Ok(()), |parameter| write!(out, " {parameter}"))
    }
}

number_attribute!(
    /// `a=ptime`: the preferred length of the media in a packet, in milliseconds (RFC 8866 §6.4).
    Ptime(u32),
    "ptime",
    "milliseconds"
);

number_attribute!(
    /// `a=maxptime`: the greatest length of the media in a packet, in milliseconds (RFC 8866 §6.5).
    MaxPtime(u32),
    "maxptime",
    "milliseconds"
);

text_attribute!(
    /// `a=imageattr`: sizes of images that may be sent and received (RFC 6236). Kept unread.
    ImageAttr,
    "imageattr",
    "a payload type and its image attributes",
    |text| !text.is_empty()
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn reads_rtpmaps() {
        let parse = |text: &str| RtpMap::parse("", Some(text));
        let opus = parse("111 opus/48000/2").unwrap();
        assert_eq!(opus, RtpMap::new(111, "opus", 48000).with_channels(2));
        assert!(opus.is("OPUS"));
        assert_eq!(parse("126 telephone-event/8000").unwrap().channels, None);
        for lenient in ["96 VP8/90000/", "96\tVP8/90000", "96 VP8/90000 x y"] {
            assert_eq!(parse(lenient), Ok(RtpMap::new(96, "VP8", 90000)), "{lenient}");
        }
        for bad in ["", "128 x/1", "x y/1", "96", "96 /90000", "96 VP8", "96 VP8/x", "96 a/1/2/3", "96 a b/1"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fmtp_with_and_without_names() {
        let parse = |text: &str| Fmtp::parse("", Some(text)).unwrap();
        let h264 = parse("102 level-asymmetry-allowed=1; packetization-mode=1;profile-level-id=42001F;");
        assert_eq!(h264.payload_type(), Some(102));
        assert_eq!(h264.get("packetization-mode"), Some("1"));
        assert_eq!(h264.get("PROFILE-LEVEL-ID"), Some("42001F"));
        assert_eq!(h264.iter().count(), 3);
        assert_eq!(parse("97 apt=96").retransmits(), Some(96));
        assert_eq!(parse("97 apt=300").retransmits(), None);
        assert_eq!(parse("101 0-15").iter().next(), Some(("0-15", None)));
        assert_eq!(parse("63 111/111").parameters, "111/111");
        let sprop = parse("96 sprop-parameter-sets=Z0IAKeKQ==,aM48gA==;x");
        assert_eq!(sprop.get("sprop-parameter-sets"), Some("Z0IAKeKQ==,aM48gA=="));
        assert!(Fmtp::parse("", None).is_err());
    }

    #[test]
    fn feedback_of_one_or_all() {
        let parse = |text: &str| RtcpFb::parse("", Some(text)).unwrap();
        let pli = parse("96 nack pli");
        assert!(pli.is("nack", Some("PLI")) && !pli.is("nack", None) && pli.target.includes(96));
        let all = parse("* transport-cc");
        assert!(all.target.includes(5) && all.is("transport-cc", None));
        let mut lines = Lines::new();
        lines.add(&pli).unwrap();
        lines.add(&all).unwrap();
        lines.add(&RtcpFb::with_parameter(CodecTarget::One(96), "app", "a b c")).unwrap();
        let printed = "a=rtcp-fb:96 nack pli\r\na=rtcp-fb:* transport-cc\r\na=rtcp-fb:96 app a b c\r\n";
        assert_eq!(lines.to_string(), printed);
        assert!(lines.add(&RtcpFb::new(CodecTarget::One(200), "nack")).is_err());
        assert!(RtcpFb::parse("", Some("96")).is_err());
    }
}
