//! The link of a transfer: a server's page, and behind `#` the secret, which no server sees.

use columba::signaling::{JoinKey, SignalingOptions};
use columba_files::{Code, Secret};

use super::end::Stop;

/// The words before the secret in a link.
const SEND: &str = "send=";

/// The words before the server's join key in a link.
const KEY: &str = "&key=";

/// A server: its page, and the key that it may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The address of the page, with a slash at the end.
    pub(crate) page: String,
    pub(crate) key: Option<JoinKey>,
}

/// The text that a receiver was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Invitation {
    /// The server has to be found otherwise.
    Code(Code),
    Link(Place, Secret),
}

impl Place {
    /// Reads the address of a server, as people write it.
    pub(crate) fn parse(text: &str, key: Option<&str>) -> Result<Self, Stop> {
        let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
        let (page, _) = with_scheme.split_once(['#', '?']).unwrap_or((&with_scheme, ""));
        let host = page.strip_prefix("http://").or_else(|| page.strip_prefix("https://"));
        let Some(host) = host.filter(|host| !host.is_empty() && !host.contains(char::is_whitespace)) else {
            return Err(Stop::refused(format!(
                "{text:?} is not the address of a server; one looks like https://example.org."
            )));
        };
        let slash = if host.ends_with('/') { "" } else { "/" };
        let key = key.filter(|key| !key.is_empty()).map(join_key).transpose()?;
        Ok(Self { page: format!("{page}{slash}"), key })
    }

    /// The options to enter one of its sessions.
    pub(crate) fn join(&self, session: &str) -> Result<SignalingOptions, Stop> {
        let token =
            session.parse().map_err(|error| Stop::refused(format!("The session has no name: {error}.")))?;
        let after_scheme = self.page.find("://").map_or(0, |at| at + 3);
        let end = self.page[after_scheme..].find('/').map_or(self.page.len(), |at| after_scheme + at);
        let mut options = SignalingOptions::join(format!("{}/v1/signal", &self.page[..end]), token);
        options.join_key.clone_from(&self.key);
        Ok(options)
    }

    /// The link for a browser or another program.
    pub(crate) fn link(&self, secret: &Secret) -> String {
        format!("{}#{SEND}{}", self.page, secret.reveal())
    }
}

impl Invitation {
    pub(crate) fn parse(text: &str, key: Option<&str>) -> Result<Self, Stop> {
        let text = text.trim();
        let Some((page, fragment)) = text.split_once('#') else {
            if text.contains("://") {
                return Err(Stop::refused("The link has no part behind #; copy all of it."));
            }
            let code = text.parse().map_err(|error| Stop::refused(format!("This is no code: {error}.")))?;
            return Ok(Self::Code(code));
        };
        let Some(rest) = fragment.strip_prefix(SEND) else {
            return Err(Stop::refused("This is not a link to files: behind # it has no \"send=\"."));
        };
        let (secret, own) = rest.split_once(KEY).unwrap_or((rest, ""));
        let secret =
            secret.parse().map_err(|error| Stop::refused(format!("The link is not complete: {error}.")))?;
        Ok(Self::Link(Place::parse(page, Some(own).filter(|own| !own.is_empty()).or(key))?, secret))
    }
}

fn join_key(text: &str) -> Result<JoinKey, Stop> {
    text.parse().map_err(|error| Stop::refused(format!("The join key does not fit: {error}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_is_read_back() {
        let place = Place::parse("http://192.0.2.1:8080", None).unwrap();
        let secret: Secret = "AAECAwQFBgcICQoLDA0ODw".parse().unwrap();
        let link = place.link(&secret);
        assert_eq!(link, "http://192.0.2.1:8080/#send=AAECAwQFBgcICQoLDA0ODw");
        assert_eq!(Invitation::parse(&link, None), Ok(Invitation::Link(place.clone(), secret)));
        let with_key = Invitation::parse(&format!("{link}&key=abc"), None).unwrap();
        let Invitation::Link(place, _) = with_key else { panic!("it is a link") };
        assert_eq!(place.key, "abc".parse().ok());
        assert_eq!(place.join("x").unwrap().url, "http://192.0.2.1:8080/v1/signal");
        assert_eq!(Place::parse("example.org", None).unwrap().page, "https://example.org/");
    }

    #[test]
    fn each_other_text_gets_a_sentence() {
        for text in [
            "",
            "7-copper",
            "https://a.test/",
            "https://a.test/#abc",
            "https://a.test/#send=abc",
            "ftp://a/#send=AAECAwQFBgcICQoLDA0ODw",
        ] {
            let sentence = Invitation::parse(text, None).unwrap_err().to_string();
            assert!(sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
        }
    }
}
