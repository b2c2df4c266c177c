//! The link that people send each other: a server's address, and behind `#` the session's token.

use columba::signaling::{JoinKey, SessionToken};

use crate::failure::Failure;

/// The place of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionLink {
    /// The call page's address, without the token.
    pub(crate) page: String,
    /// The session; without one, a new one is made.
    pub(crate) session: Option<SessionToken>,
    /// The server's join key, if the link has one.
    pub(crate) key: Option<JoinKey>,
}

impl SessionLink {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let (page, token) = text.split_once('#').unwrap_or((text, ""));
        if !["http://", "https://"].iter().any(|scheme| page.starts_with(scheme)) {
            let hint = "a link looks like https://example.org/#token";
            return Err(Failure::new(format!("{text:?} is not a link to a session; {hint}.")));
        }
        let (token, key) = match token.split_once("&key=") {
            Some((token, key)) => (token, Some(join_key(&decoded(key))?)),
            None => (token, None),
        };
        let session = match token {
            "" => None,
            token => Some(token.parse().map_err(|error| {
                Failure::new(format!("The part of the link behind # is not a session: {error}."))
            })?),
        };
        Ok(Self { page: page.to_owned(), session, key })
    }

    /// The address of the signaling service beside the page.
    pub(crate) fn signaling(&self) -> String {
        let page = self.page.split('?').next().unwrap_or_default();
        let after_scheme = page.find("://").map_or(0, |at| at + 3);
        let host_end = page[after_scheme..].find('/').map_or(page.len(), |at| after_scheme + at);
        format!("{}/v1/signal", &page[..host_end])
    }

    /// The link to this session.
    pub(crate) fn to(&self, session: &SessionToken) -> String {
        let slash = if self.page[8..].contains('/') { "" } else { "/" };
        format!("{}{slash}#{}", self.page, session.as_str())
    }
}

/// Reads a join key.
pub(crate) fn join_key(text: &str) -> Result<JoinKey, Failure> {
    text.parse().map_err(|error| Failure::new(format!("The join key does not fit: {error}.")))
}

/// Text without its percent-encoding (RFC 3986 §2.1), as far as it is valid; a join key is ASCII.
fn decoded(text: &str) -> String {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii) {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded + rest
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
    fn link_may_have_the_join_key() {
        let key = |text: &str| SessionLink::parse(text).map(|link| (link.session, link.key));
        let session = "abc".parse().ok();
        let wanted = "a&b=%é".replace('é', "!").parse().ok();
        assert_eq!(key("https://a.test/#abc&key=a%26b%3D%25!"), Ok((session, wanted)));
        assert_eq!(key("https://a.test/#&key=x%"), Ok((None, "x%".parse().ok())));
        assert!(key("https://a.test/#abc&key=").is_err());
        assert!(key("https://a.test/#abc&key=two%20words").is_err());
        assert_eq!(decoded("%4"), "%4");
        assert_eq!(decoded("%ffä%"), "%ffä%");
    }

    #[test]
    fn other_texts_are_refused_with_a_sentence() {
        for text in ["", "example.org/#abc", "ftp://example.org/#abc", "https://example.org/#a b"] {
            let sentence = SessionLink::parse(text).unwrap_err().to_string();
            assert!(sentence.ends_with('.'), "{sentence}");
        }
    }
}
