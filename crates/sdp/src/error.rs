//! The errors of reading and writing session descriptions.

use std::fmt;

/// The longest piece of foreign text that an error repeats, in bytes; the rest is cut off.
const LONGEST_QUOTE: usize = 80;

/// The reason for which a description was refused, with the line (counted from 1) where that is
/// known.
///
/// A line number of 0 means that the line was made by the program and never stood in a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is longer than [`Limits::bytes`](crate::Limits::bytes).
    #[error("the description has {found} bytes; at most {limit} are taken")]
    TooLong {
        /// The length of the text in bytes.
        found: usize,
        /// The limit that it exceeds.
        limit: usize,
    },
    /// A line is longer than [`Limits::line_bytes`](crate::Limits::line_bytes).
    #[error("line {line}: {found} bytes; at most {limit} are taken in one line")]
    LineTooLong {
        /// The number of the line.
        line: u32,
        /// The length of the line in bytes, without its end.
        found: usize,
        /// The limit that it exceeds.
        limit: usize,
    },
    /// There are more lines than [`Limits::lines`](crate::Limits::lines).
    #[error("the description has more than {limit} lines")]
    TooManyLines {
        /// The limit that is exceeded.
        limit: usize,
    },
    /// There are more media sections than [`Limits::media`](crate::Limits::media).
    #[error("line {line}: more than {limit} media sections")]
    TooManyMedia {
        /// The number of the line at which the one too many begins.
        line: u32,
        /// The limit that is exceeded.
        limit: usize,
    },
    /// A line is not of the form `<letter>=<value>` (RFC 8866 §5).
    #[error("line {line}: expected <letter>=<value>, found {found:?}")]
    NotALine {
        /// The number of the line.
        line: u32,
        /// The beginning of the line.
        found: String,
    },
    /// A byte that no line may hold: NUL, or a carriage return that does not end the line.
    #[error("line {line}: the character {character:?} is not allowed in a description")]
    ForbiddenCharacter {
        /// The number of the line.
        line: u32,
        /// The character.
        character: char,
    },
    /// A line stands where its kind may not, or a second time.
    #[error("line {line}: {kind}= {reason}")]
    Misplaced {
        /// The number of the line.
        line: u32,
        /// The letter of the line.
        kind: char,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A line without which there is no description is not there.
    #[error("the session section has no {kind}= line")]
    Missing {
        /// The letter of the line.
        kind: char,
    },
    /// A line or attribute that is known is not written as its grammar says.
    #[error("line {line}: {field}: expected {expected}, found {found:?}")]
    Malformed {
        /// The number of the line.
        line: u32,
        /// `a=` and the attribute's name, or the letter of the line.
        field: String,
        /// The text that the grammar asks for.
        expected: &'static str,
        /// The beginning of the value.
        found: String,
    },
    /// A value made by the program would not come back as it is, if it were printed and parsed:
    /// it holds a space, a line end or a separator where its grammar has none.
    #[error("{field}: {printed:?} cannot be written: {reason}")]
    Unprintable {
        /// `a=` and the attribute's name, or the letter of the line.
        field: String,
        /// The beginning of what would have been written.
        printed: String,
        /// The reason.
        reason: &'static str,
    },
}

/// The text that a grammar asks for at the place where a value departs from it.
///
/// [`Field::parse`](crate::Field::parse) answers it; the collection that holds the line makes an
/// [`Error::Malformed`] of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected(pub &'static str);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

impl std::error::Error for Expected {}

/// The beginning of foreign text, short enough for an error message or a log.
pub(crate) fn quote(text: &str) -> String {
    let mut end = text.len().min(LONGEST_QUOTE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
