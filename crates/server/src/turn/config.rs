//! The configuration of the service.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use columba_turn::server::Config;

/// The configuration of STUN and TURN.
#[derive(Clone, Debug)]
pub(crate) struct TurnConfig {
    /// The machine's configuration. `own_addresses`, `relay_ipv4` and `relay_ipv6` are filled in
    /// here; to `listeners` the service's own are added, those of the rest of the program must be
    /// in it.
    pub(crate) server: Config,
    /// The addresses under which a 1:1 NAT shows this host: announced as relayed addresses in place
    /// of the interfaces' own. Of each family the first one is. Default none.
    pub(crate) public_addresses: Vec<IpAddr>,
    /// The ports that relays get. Default 49152-65535 (RFC 8656 §7.2).
    pub(crate) relay_ports: RangeInclusive<u16>,
    /// The limits of streams.
    pub(crate) streams: StreamLimits,
}

/// Limits on TCP and TLS connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Streams in all. More are closed at once. Default 4,000: a stream costs some 10 KiB, and 300
    /// KiB at its worst.
    pub(crate) max_streams: usize,
    /// Streams of one client address (an IPv6 /64). More are closed at once. Default 256.
    pub(crate) max_streams_per_client: usize,
    /// The silence after which a stream without an allocation is closed. Default 30 seconds.
    pub(crate) idle_timeout: Duration,
    /// The time in which a TLS handshake must finish. Default 10 seconds.
    pub(crate) handshake_timeout: Duration,
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            server: Config::default(),
            public_addresses: Vec::new(),
            relay_ports: 49_152..=u16::MAX,
            streams: StreamLimits::default(),
        }
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            max_streams: 4000,
            max_streams_per_client: 256,
            idle_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}
