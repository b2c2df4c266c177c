//! One line of a description.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::error::{Error, quote};

/// One line of a section: a letter and a value (RFC 8866 §5). Immutable, and always printable as
/// exactly one line.
///
/// The lines `v=`, `o=`, `s=` and `m=` are not among them: the first three belong to
/// [`SessionDescription`](crate::SessionDescription), the last to
/// [`MediaSection`](crate::MediaSection).
///
/// Two lines are equal if they print equally; where they stood in a text does not matter.
#[derive(Clone)]
pub struct Line {
    text: Box<str>,
    /// The index in bytes at which the attribute's name ends; the length of the text if there is
    /// none.
    name_end: u32,
    number: u32,
    kind: u8,
}

impl Line {
    /// A line of any letter that is not `v`, `o`, `s` or `m`.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if the letter is another character or one of those four, or if the
    /// value holds NUL, CR or LF.
    pub fn new(kind: char, value: impl Into<String>) -> Result<Self, Error> {
        let value = value.into();
        let refuse =
            |reason| Err(Error::Unprintable { field: kind.to_string(), printed: quote(&value), reason });
        if !kind.is_ascii_alphabetic() {
            return refuse("the type of a line is a letter");
        }
        if matches!(kind, 'v' | 'o' | 's' | 'm') {
            return refuse("v=, o=, s= and m= have a place of their own");
        }
        if value.contains(['\0', '\r', '\n']) {
            return refuse("a line holds no NUL, CR or LF");
        }
        Ok(Self::from_checked(kind as u8, &value, 0))
    }

    /// The line `a=<name>` or `a=<name>:<value>`.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if the name is empty or holds white space or a colon, or if either
    /// holds NUL, CR or LF.
    pub fn attribute(name: &str, value: Option<&str>) -> Result<Self, Error> {
        if name.is_empty() || name.contains(|c: char| c == ':' || c.is_ascii_whitespace()) {
            return Err(Error::Unprintable {
                field: "a=".to_owned(),
                printed: quote(name),
                reason: "an attribute's name is one word without a colon",
            });
        }
        match value {
            Some(value) => Self::new('a', format!("{name}:{value}")),
            None => Self::new('a', name),
        }
    }

    /// A line whose letter and value are known to be allowed.
    pub(crate) fn from_checked(kind: u8, value: &str, number: u32) -> Self {
        let name_end = if kind == b'a' { end_of_name(value) } else { value.len() };
        // Texts are bounded far below 4 GiB; a name that could not be indexed is cut, which finds
        // no attribute.
        Self { text: value.into(), name_end: u32::try_from(name_end).unwrap_or(0), number, kind }
    }

    /// The letter before the equals sign.
    pub fn kind(&self) -> char {
        char::from(self.kind)
    }

    /// Everything after the equals sign, as it was.
    pub fn value(&self) -> &str {
        &self.text
    }

    /// The number of the line in the text that was parsed, counted from 1; 0 if it was made by the
    /// program.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The name of the attribute, without white space around it; `None` if this is not an `a=`
    /// line.
    pub fn attribute_name(&self) -> Option<&str> {
        (self.kind == b'a').then(|| self.text[..self.name_end as usize].trim_ascii())
    }

    /// The value of the attribute: the text after the colon, as it was; `None` if there is no value
    /// or this is not an `a=` line.
    ///
    /// Some stacks write white space instead of the colon (`a=sctp-port 5000`), which browsers
    /// take.
    pub fn attribute_value(&self) -> Option<&str> {
        if self.kind != b'a' {
            return None;
        }
        let rest = &self.text[self.name_end as usize..];
        let after_space = rest.trim_ascii_start();
        match after_space.strip_prefix(':') {
            Some(value) => Some(value),
            None => (!after_space.is_empty()).then_some(after_space),
        }
    }

    /// The name of this line in an error.
    pub(crate) fn field_name(&self) -> String {
        match self.attribute_name() {
            Some(name) => format!("a={}", quote(name)),
            None => format!("{}=", self.kind()),
        }
    }
}

impl fmt::Display for Line {
    /// The line without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.kind(), self.text)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", format_args!("{self}"))
    }
}

impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && self.text == other.text
    }
}

impl Eq for Line {}

impl Hash for Line {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.text.hash(state);
    }
}

/// The index at which the name of an attribute ends: at the colon, or at the white space before the
/// value.
fn end_of_name(text: &str) -> usize {
    let start = text.len() - text.trim_ascii_start().len();
    let end = text[start..].find(|c: char| c == ':' || c.is_ascii_whitespace());
    end.map_or(text.len(), |end| start + end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_attributes_at_the_first_colon() {
        let line = Line::new('a', "candidate:1 1 udp 5 2001:db8::1 9 typ host").unwrap();
        assert_eq!(line.attribute_name(), Some("candidate"));
        assert_eq!(line.attribute_value(), Some("1 1 udp 5 2001:db8::1 9 typ host"));
        let flag = Line::attribute("rtcp-mux", None).unwrap();
        assert_eq!((flag.attribute_name(), flag.attribute_value()), (Some("rtcp-mux"), None));
        let empty = Line::new('a', "x:").unwrap();
        assert_eq!((empty.attribute_name(), empty.attribute_value()), (Some("x"), Some("")));
        for (text, value) in
            [(" x :1", Some("1")), ("x 1 2", Some("1 2")), ("x\t::1", Some(":1")), ("x ", None)]
        {
            let line = Line::new('a', text).unwrap();
            assert_eq!((line.attribute_name(), line.attribute_value()), (Some("x"), value), "{text:?}");
        }
        let other = Line::new('b', "AS:30").unwrap();
        assert_eq!((other.attribute_name(), other.attribute_value()), (None, None));
    }

    #[test]
    fn cannot_be_made_into_two_lines() {
        for value in ["a\r\nb", "a\n", "\r", "a\0b"] {
            assert!(matches!(Line::new('a', value), Err(Error::Unprintable { .. })), "{value:?}");
            assert!(Line::attribute("x", Some(value)).is_err());
        }
        for kind in ['v', 'o', 's', 'm', '=', ' ', 'ä', '1'] {
            assert!(Line::new(kind, "x").is_err(), "{kind}");
        }
        for name in ["", "a b", "a:b", "a\n"] {
            assert!(Line::attribute(name, None).is_err(), "{name:?}");
        }
    }
}
