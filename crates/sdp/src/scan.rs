//! The small pieces of which all grammars here are made.

use std::str::{FromStr, SplitAsciiWhitespace};

use crate::error::Expected;

/// The words of a value, taken from the front.
pub(crate) struct Words<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Words<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text.split_ascii_whitespace())
    }

    /// The next word, which must be there.
    pub(crate) fn word(&mut self, expected: &'static str) -> Result<&'a str, Expected> {
        self.0.next().ok_or(Expected(expected))
    }

    /// The next word, which must be a number.
    pub(crate) fn number<N: FromStr>(&mut self, expected: &'static str) -> Result<N, Expected> {
        self.0.next().and_then(number).ok_or(Expected(expected))
    }

    /// The next word, if there is one.
    pub(crate) fn optional(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    /// All words that are left.
    pub(crate) fn rest(self) -> SplitAsciiWhitespace<'a> {
        self.0
    }

    /// There must be no word left.
    pub(crate) fn end(mut self) -> Result<(), Expected> {
        match self.0.next() {
            None => Ok(()),
            Some(_) => Err(Expected("the end of the line")),
        }
    }
}

/// A number in decimal digits only: no sign, no spaces.
pub(crate) fn number<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Cuts the first word off: the word, and what follows it without white space around it.
pub(crate) fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim_ascii();
    match text.find(|c: char| c.is_ascii_whitespace()) {
        Some(at) => (&text[..at], text[at..].trim_ascii_start()),
        None => (text, ""),
    }
}

/// Returns whether the text is one word: not empty, and without white space or control characters.
pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control())
}

/// Returns whether the text is a token (RFC 8866 §9): the form of attribute names, mids and
/// encoding names.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte))
}

/// Writes words with a separator between them.
pub(crate) fn write_joined<T: std::fmt::Display>(
    out: &mut dyn std::fmt::Write,
    separator: &str,
    words: impl IntoIterator<Item = T>,
) -> std::fmt::Result {
    for (index, word) in words.into_iter().enumerate() {
        if index > 0 {
            out.write_str(separator)?;
        }
        write!(out, "{word}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_only() {
        assert_eq!(number::<u16>("65535"), Some(65535));
        assert_eq!(number::<u16>("65536"), None);
        assert_eq!(number::<u16>("+1"), None);
        assert_eq!(number::<u16>(""), None);
        assert_eq!(number::<u16>("1 "), None);
    }

    #[test]
    fn words_are_cut_at_any_white_space() {
        assert_eq!(first_word("  a  b c "), ("a", "b c"));
        assert_eq!(first_word("a"), ("a", ""));
        assert_eq!(first_word(""), ("", ""));
    }
}
