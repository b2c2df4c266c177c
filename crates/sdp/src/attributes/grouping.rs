//! Naming and grouping of media sections (RFC 5888, RFC 9143).

use std::fmt;

use crate::error::Expected;
use crate::field::{Field, flag_attribute, text_attribute};
use crate::scan::{Words, is_word};
use crate::words::open_words;

text_attribute!(
    /// `a=mid`: the name of the media section (RFC 5888 §4).
    Mid,
    "mid",
    "one word",
    is_word
);

flag_attribute!(
    /// `a=bundle-only`: the section is meant although its port is 0, if it is bundled
    /// (RFC 9143 §6).
    BundleOnly,
    "bundle-only"
);

/// `a=group`: sections that belong together (RFC 5888 §5). At the session only.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The relation between the sections.
    pub semantics: GroupSemantics,
    /// Their names; in a bundle the first determines the address that all use.
    pub mids: Vec<String>,
}

open_words! {
    /// The relation between grouped media sections.
    GroupSemantics {
        /// They share one transport (RFC 9143).
        Bundle = "BUNDLE",
        /// They are played in synchrony (RFC 5888 §7).
        LipSync = "LS",
    }
}

impl Group {
    /// A bundle of these sections.
    pub fn bundle<'a>(mids: impl IntoIterator<Item = &'a str>) -> Self {
        Self { semantics: GroupSemantics::Bundle, mids: mids.into_iter().map(str::to_owned).collect() }
    }
}

impl Field for Group {
    const NAMES: &'static [&'static str] = &["group"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let mut words = Words::new(value.unwrap_or_default());
        let semantics = words.word("the semantics of a group")?.into();
        Ok(Self { semantics, mids: words.rest().map(str::to_owned).collect() })
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write!(out, "{}", self.semantics)?;
        self.mids.iter().try_for_each(|mid| write!(out, " {mid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Lines;

    #[test]
    fn groups_are_read_and_written() {
        let mut lines = Lines::new();
        lines.add(&Group::bundle(["0", "audio"])).unwrap();
        lines.add(&Group { semantics: GroupSemantics::Other("FID".to_owned()), mids: vec![] }).unwrap();
        assert_eq!(lines.to_string(), "a=group:BUNDLE 0 audio\r\na=group:FID\r\n");
        let group = Group::parse("", Some("bundle  a  b ")).unwrap();
        assert_eq!(group, Group::bundle(["a", "b"]));
        assert!(Group::parse("", Some("")).is_err());
        assert!(lines.add(&Group::bundle(["a b"])).is_err());
    }
}
