//! The ICE servers that a signaling server offers.

use std::time::Duration;

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
