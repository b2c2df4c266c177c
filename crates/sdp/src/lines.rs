//! The lines of a section, in their order, with typed access.

use std::fmt;

use crate::error::{Error, quote};
use crate::field::Field;
use crate::line::Line;

/// The order in which RFC 8866 §5 lists the lines of a section; an unknown letter counts as the
/// last.
const CANONICAL_ORDER: &[u8] = b"iuepcbtrzka";

/// The lines of the session section or of one media section, in the order in which they stand.
///
/// Unknown lines and attributes are kept. Typed values are read with [`get`](Self::get) and
/// [`all`](Self::all) and written with [`set`](Self::set), [`add`](Self::add) and
/// [`replace`](Self::replace): every type that implements [`Field`] is an attribute or line.
///
/// ```
/// use columba_sdp::{Lines, attributes::{Mid, RtpMap, Setup}};
///
/// let mut lines = Lines::new();
/// lines.set(&Mid::from("0"))?;
/// lines.add(&RtpMap::new(111, "opus", 48000).with_channels(2))?;
/// lines.set(&Setup::ActPass)?;
/// lines.set(&Setup::Active)?;
/// assert_eq!(lines.to_string(), "a=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=setup:active\r\n");
/// assert_eq!(lines.get::<Setup>()?, Some(Setup::Active));
/// # Ok::<(), columba_sdp::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Lines(Vec<Line>);

impl Lines {
    /// No lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of its kind; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the first line of that kind does not follow its grammar.
    pub fn get<T: Field>(&self) -> Result<Option<T>, Error> {
        self.all().next().transpose()
    }

    /// All values of their kind, in order; one that does not follow its grammar is an error in its
    /// place, so that the caller can pass over it or give up.
    pub fn all<T: Field>(&self) -> impl Iterator<Item = Result<T, Error>> {
        self.0.iter().filter_map(read)
    }

    /// Returns whether there is a line of that kind, well written or not.
    pub fn has<T: Field>(&self) -> bool {
        self.0.iter().any(|line| matching_name::<T>(line).is_some())
    }

    /// Makes this the only value of its kind: in place of the first one, else as [`add`](Self::add)
    /// does.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if the value would not come back from its own print; nothing is
    /// changed then.
    pub fn set<T: Field>(&mut self, value: &T) -> Result<(), Error> {
        self.replace(std::slice::from_ref(value))
    }

    /// Adds a value behind those of its kind that are there already.
    ///
    /// Attributes go to the end of the section, other lines to where RFC 8866 §5 wants them.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if the value would not come back from its own print; nothing is
    /// changed then.
    pub fn add<T: Field>(&mut self, value: &T) -> Result<(), Error> {
        self.push(print(value)?);
        Ok(())
    }

    /// Makes these the only values of their kind: where the first one was, else as
    /// [`add`](Self::add) does.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if one of them would not come back from its own print; nothing is
    /// changed then.
    pub fn replace<T: Field>(&mut self, values: &[T]) -> Result<(), Error> {
        let new = values.iter().map(print).collect::<Result<Vec<_>, _>>()?;
        let first = self.0.iter().position(|line| matching_name::<T>(line).is_some());
        match first {
            Some(first) => {
                self.remove::<T>();
                self.0.splice(first..first, new);
            }
            None => new.into_iter().for_each(|line| self.push(line)),
        }
        Ok(())
    }

    /// Removes all values of their kind, and says how many there were.
    pub fn remove<T: Field>(&mut self) -> usize {
        let before = self.0.len();
        self.0.retain(|line| matching_name::<T>(line).is_none());
        before - self.0.len()
    }

    /// Keeps only the lines of which the function says so.
    pub fn retain(&mut self, keep: impl FnMut(&Line) -> bool) {
        self.0.retain(keep);
    }

    /// Adds a line: attributes at the end, other lines where RFC 8866 §5 wants them.
    pub fn push(&mut self, line: Line) {
        let rank = rank(&line);
        let at = self.0.iter().rposition(|other| self::rank(other) <= rank).map_or(0, |index| index + 1);
        self.0.insert(at, line);
    }

    /// Adds a line at the end, as a parser does.
    pub(crate) fn push_last(&mut self, line: Line) {
        self.0.push(line);
    }

    /// All lines in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Line> {
        self.0.iter()
    }

    /// The values of all lines of a letter, unread.
    pub fn values_of(&self, kind: char) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |line| line.kind() == kind).map(Line::value)
    }

    /// The values of all attributes of a name, unread; `None` for one without a colon.
    pub fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = Option<&'a str>> {
        let is_it =
            move |line: &&Line| line.attribute_name().is_some_and(|known| known.eq_ignore_ascii_case(name));
        self.0.iter().filter(is_it).map(Line::attribute_value)
    }

    /// Returns whether there is an attribute of that name.
    pub fn has_attribute(&self, name: &str) -> bool {
        self.attributes(name).next().is_some()
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Lines {
    type Item = &'a Line;
    type IntoIter = std::slice::Iter<'a, Line>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Lines {
    /// All lines, each with its CRLF.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            f.write_str(line.kind().encode_utf8(&mut [0; 4]))?;
            f.write_str("=")?;
            f.write_str(line.value())?;
            f.write_str("\r\n")?;
        }
        Ok(())
    }
}

/// The name under which a line is of this kind (empty if it is not an attribute); `None` if it is
/// not.
fn matching_name<T: Field>(line: &Line) -> Option<&'static str> {
    if line.kind() != T::KIND {
        return None;
    }
    if T::KIND != 'a' {
        return Some("");
    }
    let name = line.attribute_name()?;
    T::NAMES.iter().copied().find(|known| known.eq_ignore_ascii_case(name))
}

fn read<T: Field>(line: &Line) -> Option<Result<T, Error>> {
    let name = matching_name::<T>(line)?;
    let value = if T::KIND == 'a' { line.attribute_value() } else { Some(line.value()) };
    Some(T::parse(name, value.map(str::trim_ascii)).map_err(|expected| Error::Malformed {
        line: line.number(),
        field: line.field_name(),
        expected: expected.0,
        found: quote(value.unwrap_or_default()),
    }))
}

/// The line of a value, if it reads back as the same value.
fn print<T: Field>(value: &T) -> Result<Line, Error> {
    let mut text = String::new();
    if T::KIND == 'a' {
        text.push_str(value.name());
        if !T::FLAG {
            text.push(':');
        }
    }
    let written = value.write_value(&mut text);
    let unprintable = |reason, printed: &str| Error::Unprintable {
        field: if T::KIND == 'a' { format!("a={}", value.name()) } else { format!("{}=", T::KIND) },
        printed: quote(printed),
        reason,
    };
    if written.is_err() {
        return Err(unprintable("its writer failed", &text));
    }
    let line = Line::new(T::KIND, text)?;
    match read::<T>(&line) {
        Some(Ok(same)) if same == *value => Ok(line),
        _ => Err(unprintable("it would be read as something else", line.value())),
    }
}

fn rank(line: &Line) -> usize {
    let kind = line.kind();
    CANONICAL_ORDER.iter().position(|known| char::from(*known) == kind).unwrap_or(CANONICAL_ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{Bandwidth, Direction, Label, Mid, RtcpMux};

    #[test]
    fn keeps_the_place_of_what_it_replaces() {
        let mut lines = Lines::new();
        lines.add(&Direction::SendRecv).unwrap();
        lines.add(&RtcpMux).unwrap();
        lines.add(&Direction::Inactive).unwrap();
        lines.set(&Direction::RecvOnly).unwrap();
        assert_eq!(lines.to_string(), "a=recvonly\r\na=rtcp-mux\r\n");
        assert_eq!(lines.remove::<Direction>(), 1);
        assert!(!lines.has::<Direction>() && lines.has::<RtcpMux>());
    }

    #[test]
    fn puts_lines_where_the_grammar_wants_them() {
        let mut lines = Lines::new();
        lines.add(&RtcpMux).unwrap();
        lines.push(Line::new('c', "IN IP4 0.0.0.0").unwrap());
        lines.push(Line::new('i', "title").unwrap());
        lines.add(&Bandwidth::new("AS", 30)).unwrap();
        assert_eq!(lines.to_string(), "i=title\r\nc=IN IP4 0.0.0.0\r\nb=AS:30\r\na=rtcp-mux\r\n");
    }

    #[test]
    fn refuses_what_would_be_read_differently() {
        let mut lines = Lines::new();
        for mid in ["", "a b", "0\r\na=setup:active", "\0"] {
            assert!(matches!(lines.set(&Mid::from(mid)), Err(Error::Unprintable { .. })), "{mid:?}");
        }
        assert!(lines.add(&Label::from(" padded ")).is_err());
        assert!(lines.is_empty());
    }
}
