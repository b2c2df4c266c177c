//! The link that people send each other: a server's address, and behind `#` the session's token.

use columba::signaling::SessionToken;

use crate::failure::Failure;

/// The place of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionLink {
    /// The call page's address, without the token.
    pub(super) page: String,
    /// The session; without one, a new one is made.
    pub(super) session: Option<SessionToken>,
}

impl SessionLink {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let (page, token) = text.split_once('#').unwrap_or((text, ""));
        if !["http://", "https://"].iter().any(|scheme| page.starts_with(scheme)) {
            let hint = "a link looks like https://example.org/#token";
            return Err(Failure::new(format!("{text:?} is not a link to a session; {hint}.")));
        }
        let session = match token {
            "" => None,
            token => Some(token.parse().map_err(|error| {
                Failure::new(format!("The part of the link behind # is not a session: {error}."))
            })?),
        };
        Ok(Self { page: page.to_owned(), session })
    }

    /// The address of the signaling service beside the page.
    pub(super) fn signaling(&self) -> String {
        let page = self.page.split('?').next().unwrap_or_default();
        let after_scheme = page.find("://").map_or(0, |at| at + 3);
        let host_end = page[after_scheme..].find('/').map_or(page.len(), |at| after_scheme + at);
        format!("{}/v1/signal", &page[..host_end])
    }

    /// The link to this session.
    pub(super) fn to(&self, session: &SessionToken) -> String {
        let slash = if self.page[8..].contains('/') { "" } else { "/" };
        format!("{}{slash}#{}", self.page, session.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_page_and_a_session() {
        let link = SessionLink::parse("https://example.org:8443/#abc").unwrap();
        assert_eq!(link.signaling(), "https://example.org:8443/v1/signal");
        assert_eq!(link.session, "abc".parse().ok());
        assert_eq!(link.to(&"x".parse().unwrap()), "https://example.org:8443/#x");
        let bare = SessionLink::parse("http://localhost:8080").unwrap();
        assert_eq!(
            (bare.signaling().as_str(), bare.session.clone()),
            ("http://localhost:8080/v1/signal", None)
        );
        assert_eq!(bare.to(&"x".parse().unwrap()), "http://localhost:8080/#x");
    }

    #[test]
    fn other_texts_are_refused_with_a_sentence() {
        for text in ["", "example.org/#abc", "ftp://example.org/#abc", "https://example.org/#a b"] {
            let sentence = SessionLink::parse(text).unwrap_err().to_string();
            assert!(sentence.ends_with('.'), "{sentence}");
        }
    }
}
