//! Several encodings of one source (RFC 8851, RFC 8853).

use std::fmt;

use crate::attributes::PayloadType;
use crate::error::Expected;
use crate::field::Field;
use crate::scan::{Words, first_word, is_token, write_joined};
use crate::words::closed_words;

/// `a=rid`: an RTP stream by its name, and its limits (RFC 8851 §4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rid {
    /// The name.
    pub id: String,
    /// The direction of the stream.
    pub direction: RidDirection,
    /// The payload types that it may use; empty for all of the section.
    pub payload_types: Vec<u8>,
    /// Its limits, such as `max-width=1280`, in order.
    pub restrictions: Vec<(String, Option<String>)>,
}

closed_words! {
    /// The direction of an RTP stream, as the writer of the description sees it.
    RidDirection, "send or recv" {
        /// Away from the writer.
        Send = "send",
        /// Towards the writer.
        Recv = "recv",
    }
}

impl Rid {
    /// A stream without limits.
    pub fn new(id: &str, direction: RidDirection) -> Self {
        Self { id: id.to_owned(), direction, payload_types: Vec::new(), restrictions: Vec::new() }
    }

    /// The value of a limit, by name.
    pub fn restriction(&self, name: &str) -> Option<&str> {
        self.restrictions.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.as_deref())
    }
}

impl Field for Rid {
    const NAMES: &'static [&'static str] = &["rid"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let (id, rest) = first_word(value.unwrap_or_default());
        let (direction, parameters) = first_word(rest);
        if !is_rid(id) {
            return Err(Expected("the name of an RTP stream"));
        }
        let mut rid = Self::new(id, direction.parse()?);
        for parameter in parameters.split(';').map(str::trim_ascii).filter(|parameter| !parameter.is_empty())
        {
            match parameter.split_once('=') {
                Some(("pt", list)) if rid.payload_types.is_empty() => {
                    let types: Option<Vec<_>> = list.split(',').map(PayloadType::parse).collect();
                    let types = types.ok_or(Expected("payload types between commas"))?;
                    rid.payload_types = types.into_iter().map(PayloadType::get).collect();
                }
                Some((name, value)) => rid.restrictions.push((name.to_owned(), Some(value.to_owned()))),
                None => rid.restrictions.push((parameter.to_owned(), None)),
            }
        }
        Ok(rid)
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{} {}", self.id, self.direction)?;
        let mut separator = " ";
        if !self.payload_types.is_empty() {
            out.write_str(" pt=")?;
            write_joined(out, ",", &self.payload_types)?;
            separator = ";";
        }
        for (name, value) in &self.restrictions {
            write!(out, "{separator}{name}")?;
            if let Some(value) = value {
                write!(out, "={value}")?;
            }
            separator = ";";
        }
        Ok(())
    }
}

/// A stream's name: RFC 8851 has letters and digits (erratum 7132), `-` and `_` were in it before.
fn is_rid(text: &str) -> bool {
    is_token(text) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// `a=simulcast`: which streams are encodings of the same source (RFC 8853 §5.1).
///
/// Each direction is a list of encodings, and each of these a list of alternatives, the best first;
/// mostly there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Simulcast {
    /// The encodings that the writer sends.
    pub send: Vec<Vec<SimulcastStream>>,
    /// The encodings that the writer can receive.
    pub recv: Vec<Vec<SimulcastStream>>,
}

/// One stream of a [`Simulcast`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SimulcastStream {
    /// The stream's name, as in [`Rid::id`].
    pub rid: String,
    /// True if it is paused initially.
    pub paused: bool,
}

impl Simulcast {
    /// Encodings to send, without alternatives.
    pub fn sending<'a>(rids: impl IntoIterator<Item = &'a str>) -> Self {
        let stream = |rid: &str| vec![SimulcastStream { rid: rid.to_owned(), paused: false }];
        Self { send: rids.into_iter().map(stream).collect(), recv: Vec::new() }
    }

    /// The same, as the other side writes it.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { send: self.recv, recv: self.send }
    }
}

impl Field for Simulcast {
    const NAMES: &'static [&'static str] = &["simulcast"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let mut simulcast = Self::default();
        while let Some(word) = words.optional() {
            let list = match word.parse()? {
                RidDirection::Send => &mut simulcast.send,
                RidDirection::Recv => &mut simulcast.recv,
            };
            if !list.is_empty() {
                return Err(Expected("each direction once"));
            }
            let encodings = words.word("the names of RTP streams")?.split(';');
            *list = encodings.map(alternatives).collect::<Result<_, _>>()?;
        }
        if simulcast == Self::default() { Err(Expected("send or recv")) } else { Ok(simulcast) }
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let mut separator = "";
        for (direction, encodings) in [(RidDirection::Send, &self.send), (RidDirection::Recv, &self.recv)] {
            if !encodings.is_empty() {
                write!(out, "{separator}{direction} ")?;
                separator = " ";
                for (index, alternatives) in encodings.iter().enumerate() {
                    out.write_str(if index == 0 { "" } else { ";" })?;
                    write_joined(out, ",", alternatives)?;
                }
            }
        }
        Ok(())
    }
}

fn alternatives(text: &str) -> Result<Vec<SimulcastStream>, Expected> {
    let stream = |text: &str| {
        let (rid, paused) = text.strip_prefix('~').map_or((text, false), |rid| (rid, true));
        is_rid(rid)
            .then(|| SimulcastStream { rid: rid.to_owned(), paused })
            .ok_or(Expected("the names of RTP streams between semicolons and commas"))
    };
    text.split(',').map(stream).collect()
}

impl fmt::Display for SimulcastStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.paused { "~" } else { "" }, self.rid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn rids_with_and_without_limits() {
        let parse = |text: &str| Rid::parse("", Some(text));
        assert_eq!(parse("q send").unwrap(), Rid::new("q", RidDirection::Send));
        let rid = parse("hi recv pt=99,100;max-width=1280; max-fps=30;x").unwrap();
        assert_eq!(rid.payload_types, [99, 100]);
        assert_eq!(rid.restriction("max-fps"), Some("30"));
        let mut lines = Lines::new();
        lines.add(&rid).unwrap();
        assert_eq!(lines.to_string(), "a=rid:hi recv pt=99,100;max-width=1280;max-fps=30;x\r\n");
        for bad in ["", "hi", "hi both", "h;i send", "hi send pt=", "hi send pt=128"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let two = Rid { restrictions: vec![("a;b".to_owned(), None)], ..Rid::new("x", RidDirection::Send) };
        assert!(lines.add(&two).is_err());
    }

    #[test]
    fn the_example_of_rfc_8853() {
        let text = "send 1,2,3;~4,~5 recv 6;~7,~8";
        let simulcast = Simulcast::parse("", Some(text)).unwrap();
        assert_eq!(simulcast.send.len(), 2);
        assert!(simulcast.send[1].iter().all(|stream| stream.paused));
        let mut lines = Lines::new();
        lines.set(&simulcast).unwrap();
        assert_eq!(lines.to_string(), format!("a=simulcast:{text}\r\n"));
        let backwards = Simulcast::parse("", Some("recv x send y")).unwrap().reversed();
        assert_eq!((backwards.send[0][0].rid.as_str(), backwards.recv[0][0].rid.as_str()), ("x", "y"));
        for bad in ["", "send", "send a;", "send a send b", "sendrecv a", "send a,,b", "send a b"] {
            assert!(Simulcast::parse("", Some(bad)).is_err(), "{bad}");
        }
        assert!(lines.set(&Simulcast::default()).is_err());
    }
}
