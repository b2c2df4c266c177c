//! The whole description.

use std::fmt;
use std::str::FromStr;

use crate::attributes::{Direction, Origin, Timing};
use crate::error::{Error, quote};
use crate::field::Field;
use crate::lines::Lines;
use crate::media::MediaSection;
use crate::parse::{Limits, parse};

/// A session description (RFC 8866): the lines of the whole session, and its media sections.
///
/// Every line that was parsed is kept, known or not, in its order; only `o=` and `s=` always come
/// right after `v=`. Its print ends the lines with CRLF, and can be parsed again to an equal
/// value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionDescription {
    origin: Origin,
    name: String,
    /// The lines of the session section besides `v=`, `o=` and `s=`.
    pub lines: Lines,
    /// The media sections in order.
    pub media: Vec<MediaSection>,
}

impl SessionDescription {
    /// A description without media sections: `v=0`, the origin, `s=-` and `t=0 0`.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if the origin would not come back from its own print.
    pub fn new(origin: Origin) -> Result<Self, Error> {
        check_origin(&origin)?;
        let mut lines = Lines::new();
        lines.set(&Timing::default())?;
        Ok(Self { origin, name: "-".to_owned(), lines, media: Vec::new() })
    }

    pub(crate) fn from_checked(origin: Origin, name: String, lines: Lines, media: Vec<MediaSection>) -> Self {
        Self { origin, name, lines, media }
    }

    /// Parses a description within limits of one's own; [`str::parse`] takes those of
    /// [`Limits::default`].
    ///
    /// # Errors
    /// The fault and its line.
    pub fn parse_within(text: &str, limits: &Limits) -> Result<Self, Error> {
        parse(text, limits)
    }

    /// The author and the version of the description.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Gives the description another origin.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if it would not come back from its own print; nothing is changed
    /// then.
    pub fn set_origin(&mut self, origin: Origin) -> Result<(), Error> {
        check_origin(&origin)?;
        self.origin = origin;
        Ok(())
    }

    /// The session's name, `-` in WebRTC.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Gives the session another name.
    ///
    /// # Errors
    /// [`Error::Unprintable`] if it holds NUL, CR or LF; nothing is changed then.
    pub fn set_name(&mut self, name: impl Into<String>) -> Result<(), Error> {
        let name = name.into();
        if name.contains(['\0', '\r', '\n']) {
            let reason = "a line holds no NUL, CR or LF";
            return Err(Error::Unprintable { field: "s=".to_owned(), printed: quote(&name), reason });
        }
        self.name = name;
        Ok(())
    }

    /// The media section of that name.
    pub fn media_by_mid(&self, mid: &str) -> Option<&MediaSection> {
        self.media.iter().find(|section| section.mid() == Some(mid))
    }

    /// The value that holds for a media section: its own, else the session's.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the line that counts does not follow its grammar.
    pub fn effective<T: Field>(&self, section: &MediaSection) -> Result<Option<T>, Error> {
        self.effective_lines::<T>(section).get()
    }

    /// The values that hold for a media section: its own if it has any, else the session's.
    pub fn effective_all<'a, T: Field + 'a>(
        &'a self,
        section: &'a MediaSection,
    ) -> impl Iterator<Item = Result<T, Error>> + 'a {
        self.effective_lines::<T>(section).all()
    }

    /// The direction of a media section: its own, else the session's, else both ways.
    pub fn direction(&self, section: &MediaSection) -> Direction {
        self.effective(section).ok().flatten().unwrap_or_default()
    }

    fn effective_lines<'a, T: Field>(&'a self, section: &'a MediaSection) -> &'a Lines {
        if section.lines.has::<T>() { &section.lines } else { &self.lines }
    }
}

fn check_origin(origin: &Origin) -> Result<(), Error> {
    if origin.is_printable() {
        return Ok(());
    }
    let reason = "it would be read as something else";
    Err(Error::Unprintable { field: "o=".to_owned(), printed: quote(&origin.to_string()), reason })
}

impl FromStr for SessionDescription {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text, &Limits::default())
    }
}

impl fmt::Display for SessionDescription {
    /// The whole description, each line with its CRLF.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v=0\r\no={}\r\ns={}\r\n{}", self.origin, self.name, self.lines)?;
        self.media.iter().try_for_each(|section| section.fmt(f))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attributes::{IceUfrag, Setup};
    use crate::media::{MediaKind, MediaLine, Protocol};

    fn with_one_section() -> SessionDescription {
        let mut description = SessionDescription::new(Origin::new(1, 0)).unwrap();
        let head = MediaLine::new(MediaKind::Application, Protocol::UdpDtlsSctp, ["webrtc-datachannel"]);
        description.media.push(MediaSection::new(head).unwrap());
        description
    }

    #[test]
    fn a_new_description_is_whole() {
        let text = "v=0\r\no=- 1 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
        assert_eq!(with_one_section().to_string(), text);
        assert_eq!(text.parse(), Ok(with_one_section()));
    }

    #[test]
    fn sections_inherit_from_the_session() {
        let mut description = with_one_section();
        description.lines.set(&Setup::ActPass).unwrap();
        description.lines.set(&IceUfrag::from("abcd")).unwrap();
        description.lines.set(&Direction::SendOnly).unwrap();
        description.media[0].lines.set(&Setup::Active).unwrap();
        let section = &description.media[0];
        assert_eq!(description.effective(section), Ok(Some(Setup::Active)));
        assert_eq!(description.effective(section), Ok(Some(IceUfrag::from("abcd"))));
        assert_eq!(description.effective_all::<Setup>(section).count(), 1);
        assert_eq!(description.direction(section), Direction::SendOnly);
    }

    #[test]
    fn origin_and_name_cannot_hold_line_ends() {
        let mut description = with_one_section();
        let origin = Origin { username: "a\r\na=x".to_owned(), ..Origin::new(1, 1) };
        assert!(matches!(description.set_origin(origin), Err(Error::Unprintable { .. })));
        assert!(description.set_name("x\nm=audio 9 RTP/AVP 0").is_err());
        description.set_name("A Seminar").unwrap();
        assert_eq!(description.to_string().parse(), Ok(description));
    }
}
