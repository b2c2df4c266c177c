//! The ICE servers that a signaling server offers.

use std::time::{Duration, SystemTime};

use columba_peer::{IceServer, UnixTime};

/// STUN and TURN servers for this client, and the time at which their credentials end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IceServers {
    /// The servers, for [`Configuration::ice_servers`](crate::Configuration::ice_servers).
    pub servers: Vec<IceServer>,
    /// The end of the credentials; `None` if there are none.
    pub expire: Option<UnixTime>,
}

/// The time before the end of credentials at which fresh ones are asked for.
const RENEW_BEFORE: Duration = Duration::from_secs(120);

/// The delay where the end has passed already: one of the two clocks is wrong, or the credentials
/// were made long ago.
const RENEW_EXPIRED: Duration = Duration::from_secs(60);

/// The time until fresh credentials should be asked for, if these end at `expire` (in seconds since
/// the Unix epoch): two minutes before, or after half of what is left.
pub(super) fn renewal(expire: u64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    match Duration::from_secs(expire).checked_sub(now) {
        Some(left) if !left.is_zero() => left.saturating_sub(RENEW_BEFORE).max(left / 2),
        _ => RENEW_EXPIRED,
    }
}

impl From<columba_signal::IceServers> for IceServers {
    fn from(message: columba_signal::IceServers) -> Self {
        let servers = message.servers.into_iter().map(|server| IceServer {
            urls: server.urls,
            username: server.username.unwrap_or_default(),
            credential: server.credential.unwrap_or_default(),
        });
        let expire = message.expire.map(|seconds| UnixTime(Duration::from_secs(seconds)));
        Self { servers: servers.collect(), expire }
    }
}
