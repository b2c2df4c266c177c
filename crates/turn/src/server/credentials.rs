//! Time-limited credentials: a username that has its time of expiry, and a password that only the
//! holder of the secret could have made.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::path::UnixTime;

/// A username and password for TURN, good until the time in the username.
///
/// The convention is that of coturn's "TURN REST API" (draft-uberti-behave-turn-rest-00), which
/// every client can use: the username is `expiry:name`, or `expiry` alone, where expiry is in
/// seconds since the Unix epoch, and the password is `base64(HMAC-SHA1(secret, username))`. So the
/// server needs no list of users.
///
/// ```
/// use std::time::Duration;
/// use columba_turn::server::{Credentials, UnixTime};
///
/// let now = UnixTime(Duration::from_secs(1_700_000_000));
/// let credentials = Credentials::mint(b"north", now, Duration::from_secs(3600), "ada");
/// assert_eq!(credentials.username, "1700003600:ada");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The value for `RTCIceServer.username`.
    pub username: String,
    /// The value for `RTCIceServer.credential`.
    pub password: String,
}

impl Credentials {
    /// Makes credentials that are good for `lifetime` from `now` on. An empty `name` makes the
    /// username the expiry alone. Names should reveal nothing about a person: they travel in the
    /// clear.
    pub fn mint(secret: &[u8], now: UnixTime, lifetime: Duration, name: &str) -> Self {
        let expiry = now.0.saturating_add(lifetime).as_secs();
        let username = if name.is_empty() { expiry.to_string() } else { format!("{expiry}:{name}") };
        let password = password(secret, username.as_bytes());
        Self { username, password }
    }
}

impl std::fmt::Debug for Credentials {
    /// The username only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The owner's word on which usernames may have another allocation.
///
/// A credential cannot be taken back before it expires; this is for owners that know more, such as
/// that its user has left. It is asked for each new allocation, after the request has been found
/// authentic, and on the server's own time: it must answer at once. Live allocations stay.
#[derive(Clone)]
pub struct Admission(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Admission {
    /// `admits` gets the whole username.
    pub fn new(admits: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(admits))
    }

    pub(super) fn admits(&self, username: &str) -> bool {
        (self.0)(username)
    }
}

impl Default for Admission {
    /// Every username may.
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admission(..)")
    }
}

/// The password that belongs to a username under a secret.
pub(super) fn password(secret: &[u8], username: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    STANDARD.encode(hmac::sign(&key, username))
}

/// When a username expires, if it is one of ours: decimal seconds, then nothing or a colon and a
/// name.
pub(super) fn expiry(username: &str) -> Option<UnixTime> {
    let digits = username.split_once(':').map_or(username, |(digits, _)| digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().map(|seconds| UnixTime(Duration::from_secs(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with `printf %s 1700003600:ada | openssl dgst -sha1 -hmac north -binary | base64`.
    #[test]
    fn passwords_are_those_of_the_rest_convention() {
        let now = UnixTime(Duration::from_secs(1_700_000_000));
        let c = Credentials::mint(b"north", now, Duration::from_secs(3600), "ada");
        assert_eq!(c.username, "1700003600:ada");
        assert_eq!(c.password, "xnSlQG4JwD6eDlwPBFdbTt6sTJk=");
        assert!(!format!("{c:?}").contains(&c.password));
    }

    #[test]
    fn username_without_a_name_is_the_expiry_alone() {
        let c = Credentials::mint(b"s", UnixTime(Duration::from_secs(5)), Duration::from_secs(1), "");
        assert_eq!(c.username, "6");
    }

    #[test]
    fn expiry_is_read_from_the_start_of_the_username() {
        let at = |s| expiry(s).map(|t| t.0.as_secs());
        assert_eq!(at("17:a:b"), Some(17));
        assert_eq!(at("17"), Some(17));
        for other in ["", ":17", "+17:a", "-1", "a:17", "17 :a", "99999999999999999999999:a"] {
            assert_eq!(at(other), None, "{other}");
        }
    }
}
