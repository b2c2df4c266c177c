//! From text to lines and sections, in one pass.

use crate::attributes::Origin;
use crate::error::{Error, Expected, quote};
use crate::line::Line;
use crate::lines::Lines;
use crate::media::MediaSection;
use crate::session::SessionDescription;

/// The bounds of a description. Its parsed form takes a small multiple of its length in memory,
/// never more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The length of the text in bytes; 1 MiB by default, which is a hundred times a browser's
    /// offer of sound and pictures. Each media section adds [`media_bytes`](Self::media_bytes).
    pub bytes: usize,
    /// The bytes that each media section adds to the bound; 8 KiB by default, which is twice a
    /// section of pictures with all codecs.
    pub media_bytes: usize,
    /// The number of lines, empty ones included; 20,000 by default. Each media section adds
    /// [`media_lines`](Self::media_lines).
    pub lines: usize,
    /// The lines that each media section adds to the bound; 128 by default.
    pub media_lines: usize,
    /// The length of one line in bytes, without its end; 16 KiB by default.
    pub line_bytes: usize,
    /// The number of media sections; 1,024 by default.
    pub media: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 1 << 20,
            media_bytes: 8 << 10,
            lines: 20_000,
            media_lines: 128,
            line_bytes: 16 << 10,
            media: 1024,
        }
    }
}

impl Limits {
    /// Returns the bytes that a text may have. Its sections are counted if they matter.
    fn bytes_of(&self, text: &str) -> usize {
        let most = self.bytes + self.media_bytes * self.media;
        if text.len() <= self.bytes || text.len() > most {
            return self.bytes;
        }
        let sections = text.split('\n').filter(|line| line.starts_with("m=")).take(self.media).count();
        self.bytes + self.media_bytes * sections
    }
}

/// Parses a description. Lenient in its form: lines may end with CRLF or LF, the last one with
/// neither; empty lines are passed over; within the session section the order is free after `v=`.
pub(crate) fn parse(text: &str, limits: &Limits) -> Result<SessionDescription, Error> {
    let most = limits.bytes_of(text);
    if text.len() > most {
        return Err(Error::TooLong { found: text.len(), limit: most });
    }
    let mut parser = Parser::new(limits);
    let mut number = 0;
    for line in text.split('\n') {
        let line = line.trim_end_matches('\r');
        // The piece behind the last line feed is no line if it is empty.
        number += 1;
        let most = limits.lines + limits.media_lines * parser.media.len();
        if number as usize > most && !line.is_empty() {
            return Err(Error::TooManyLines { limit: most });
        }
        parser.line(line, number)?;
    }
    parser.finish()
}

struct Parser<'a> {
    limits: &'a Limits,
    version: bool,
    origin: Option<Origin>,
    name: Option<String>,
    session: Lines,
    media: Vec<MediaSection>,
}

impl<'a> Parser<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, version: false, origin: None, name: None, session: Lines::new(), media: Vec::new() }
    }

    fn line(&mut self, line: &str, number: u32) -> Result<(), Error> {
        if line.len() > self.limits.line_bytes {
            let (found, limit) = (line.len(), self.limits.line_bytes);
            return Err(Error::LineTooLong { line: number, found, limit });
        }
        for character in ['\0', '\r'] {
            if line.contains(character) {
                return Err(Error::ForbiddenCharacter { line: number, character });
            }
        }
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let (kind, value) = match line.as_bytes() {
            [kind, b'=', ..] if kind.is_ascii_alphabetic() => (*kind, &line[2..]),
            _ => return Err(Error::NotALine { line: number, found: quote(line) }),
        };
        self.dispatch(kind, value, number)
    }

    fn dispatch(&mut self, kind: u8, value: &str, number: u32) -> Result<(), Error> {
        let malformed = |expected: Expected| Error::Malformed {
            line: number,
            field: format!("{}=", char::from(kind)),
            expected: expected.0,
            found: quote(value),
        };
        let misplaced = |reason| Err(Error::Misplaced { line: number, kind: char::from(kind), reason });
        if !self.version && kind != b'v' {
            return misplaced("stands before v=, which comes first");
        }
        if matches!(kind, b'v' | b'o' | b's') && !self.media.is_empty() {
            return misplaced("belongs to the session, not to a media section");
        }
        match kind {
            b'v' if self.version => return misplaced("may stand only once"),
            b'v' if value.trim_ascii() != "0" => return Err(malformed(Expected("the version 0"))),
            b'v' => self.version = true,
            b'o' if self.origin.is_some() => return misplaced("may stand only once"),
            b'o' => self.origin = Some(value.parse().map_err(malformed)?),
            b's' if self.name.is_some() => return misplaced("may stand only once"),
            b's' => self.name = Some(value.to_owned()),
            b'm' if self.media.len() == self.limits.media => {
                return Err(Error::TooManyMedia { line: number, limit: self.limits.media });
            }
            b'm' => self.media.push(MediaSection::from_checked(value.parse().map_err(malformed)?)),
            _ => {
                let lines = self.media.last_mut().map_or(&mut self.session, |section| &mut section.lines);
                lines.push_last(Line::from_checked(kind, value, number));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<SessionDescription, Error> {
        if !self.version {
            return Err(Error::Missing { kind: 'v' });
        }
        let origin = self.origin.ok_or(Error::Missing { kind: 'o' })?;
        let name = self.name.ok_or(Error::Missing { kind: 's' })?;
        Ok(SessionDescription::from_checked(origin, name, self.session, self.media))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{Direction, Mid, RtcpMux};

    const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";

    fn fails(text: &str) -> Error {
        text.parse::<SessionDescription>().expect_err(text)
    }

    #[test]
    fn is_lenient_in_form() {
        let strict: SessionDescription =
            format!("{HEAD}a=x y\r\nm=audio 9 RTP/AVP 0\r\na=rtcp-mux\r\n").parse().unwrap();
        for form in [
            "v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\na=x y\nm=audio 9 RTP/AVP 0\na=rtcp-mux",
            "\r\nv=0\r\r\n\ns=-\r\no=-  1 1 IN IP4 0.0.0.0 \r\nt=0 0\r\n\r\na=x y\r\nm=audio  9 RTP/AVP 0 \r\na=rtcp-mux\r\n\r\n",
        ] {
            assert_eq!(form.parse(), Ok(strict.clone()), "{form:?}");
        }
    }

    #[test]
    fn odd_order_and_unknown_lines_are_kept() {
        let text = format!(
            "{HEAD}a=first\r\nb=AS:1\r\nq=what\r\nm=audio 9 RTP/AVP 0\r\na=mid:0 \r\nc=IN IP4 0.0.0.0\r\na=sendonly \r\n"
        );
        let description: SessionDescription = text.parse().unwrap();
        assert_eq!(description.to_string(), text);
        let lines = &description.media[0].lines;
        assert_eq!(lines.get(), Ok(Some(Mid::from("0"))));
        assert_eq!(lines.get(), Ok(Some(Direction::SendOnly)));
        assert!(!lines.has::<RtcpMux>());
    }

    #[test]
    fn errors_name_the_line_and_the_reason() {
        for (text, error) in [
            ("", "the session section has no v= line"),
            ("hello", "line 1: expected <letter>=<value>, found \"hello\""),
            ("o=- 1 1 IN IP4 0.0.0.0", "line 1: o= stands before v=, which comes first"),
            ("v=1\r\n", "line 1: v=: expected the version 0, found \"1\""),
            ("v=0\r\nv=0\r\n", "line 2: v= may stand only once"),
            ("v=0\r\ns=-\r\n", "the session section has no o= line"),
            ("v=0\r\no=- 1 1 IN IP4 ::\r\n", "the session section has no s= line"),
            (
                "v=0\n\no=- 1 1 IN IP9 ::\r\n",
                "line 3: o=: expected the address type IP4 or IP6, found \"- 1 1 IN IP9 ::\"",
            ),
            ("v=0\r\n a=x\r\n", "line 2: expected <letter>=<value>, found \" a=x\""),
            ("v=0\r\n1=x\r\n", "line 2: expected <letter>=<value>, found \"1=x\""),
            ("v=0\r\na=x\0\r\n", "line 2: the character '\\0' is not allowed in a description"),
            ("v=0\r\na=x\ry\r\n", "line 2: the character '\\r' is not allowed in a description"),
            ("v=0\r\nm=audio 9\r\n", "line 2: m=: expected a protocol, found \"audio 9\""),
            (
                "v=0\r\nm=audio 9 RTP/AVP 0\r\no=x",
                "line 3: o= belongs to the session, not to a media section",
            ),
        ] {
            assert_eq!(fails(text).to_string(), error);
        }
        let text = format!("{HEAD}m=audio 9 RTP/AVP 0\r\na=x\r\na=setup:both\r\n");
        let description: SessionDescription = text.parse().unwrap();
        let error = description.media[0].lines.get::<crate::attributes::Setup>().unwrap_err();
        let expected = "line 7: a=setup: expected active, passive, actpass or holdconn, found \"both\"";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn limits_hold() {
        let limits =
            Limits { bytes: 200, media_bytes: 30, lines: 6, media_lines: 1, line_bytes: 40, media: 1 };
        let parse = |tail: &str| parse(&format!("{HEAD}{tail}"), &limits);
        assert!(parse("a=1\r\na=2\r\n").is_ok());
        assert_eq!(parse("a=1\r\na=2\r\na=3\r\n"), Err(Error::TooManyLines { limit: 6 }));
        let long = "a".repeat(39);
        assert_eq!(parse(&format!("a={long}")), Err(Error::LineTooLong { line: 5, found: 41, limit: 40 }));
        let two = "m=audio 9 RTP/AVP 0\r\n".repeat(2);
        assert_eq!(parse(&two), Err(Error::TooManyMedia { line: 6, limit: 1 }));
        assert!(matches!(parse(&"a".repeat(200)), Err(Error::TooLong { limit: 200, .. })));
        // A section has more.
        let section = "m=audio 9 RTP/AVP 0\r\n";
        assert!(parse(&format!("{section}a=1\r\na=2\r\n")).is_ok());
        let lines = format!("{section}a=1\r\na=2\r\na=3\r\n");
        assert_eq!(parse(&lines), Err(Error::TooManyLines { limit: 7 }));
        let filled = |length: usize| {
            let head = format!("{section}a={}\r\na={}\r\n", "b".repeat(38), "c".repeat(38));
            let rest = length - HEAD.len() - head.len();
            parse(&format!("{head}{}", "\n".repeat(rest)))
        };
        assert!(filled(230).is_ok());
        assert_eq!(filled(231), Err(Error::TooLong { found: 231, limit: 200 }));
    }
}
