//! Attributes that name the purpose of a section.

use std::fmt;

use crate::error::Expected;
use crate::field::{Field, text_attribute};
use crate::scan::{is_token, write_joined};

text_attribute!(
    /// `a=label`: a pointer to the section for applications (RFC 4574).
    Label,
    "label",
    "a token",
    is_token
);

text_attribute!(
    /// `a=identity`: an identity assertion in base64, with extensions (RFC 8827 §5). Kept unread.
    Identity,
    "identity",
    "an identity assertion",
    |text| !text.is_empty()
);

/// `a=content`: the content of the medium, such as `slides` or `speaker` (RFC 4796).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Content(pub Vec<String>);

impl Field for Content {
    const NAMES: &'static [&'static str] = &["content"];

    fn parse(_name: &str, value: Option<&str>) -> Result<Self, Expected> {
        let kinds: Vec<_> =
            value.unwrap_or_default().split(',').map(|kind| kind.trim_ascii().to_owned()).collect();
        if kinds.iter().all(|kind| is_token(kind)) {
            Ok(Self(kinds))
        } else {
            Err(Expected("tokens between commas"))
        }
    }

    fn write_value(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        write_joined(out, ",", &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_a_list() {
        assert_eq!(Content::parse("", Some("slides, alt")).unwrap().0, ["slides", "alt"]);
        assert!(Content::parse("", Some("slides,")).is_err() && Content::parse("", None).is_err());
        assert!(Label::parse("", Some("a b")).is_err());
    }
}
