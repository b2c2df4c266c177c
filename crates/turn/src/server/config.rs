//! The configuration of the server, with the defaults and the reasons for them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::credentials::Admission;

/// Everything an operator can set about the STUN and TURN service.
///
/// [`Config::default`] is a working public STUN server; with at least one of
/// [`secrets`](Self::secrets) it is a TURN server too. Without a secret no client can authenticate,
/// so nothing is ever relayed.
#[derive(Clone)]
pub struct Config {
    /// The realm of the long-term credential mechanism (RFC 8489 §9.2). Default `columba`.
    pub realm: String,
    /// The shared secrets of time-limited credentials. A credential made with any of them is
    /// accepted, so that a secret can be changed without cutting clients off: put the new one
    /// first, drop the old one when the credentials made with it have expired. Default none. More
    /// than [`MAX_SECRETS`](Self::MAX_SECRETS) are not looked at.
    pub secrets: Vec<Vec<u8>>,
    /// Says whose credentials are good for new allocations. Default all.
    pub admission: Admission,
    /// The lifetime of a nonce; then it is answered with 438 (Stale Nonce). Default one hour, the
    /// longest that RFC 8656 §5 recommends.
    pub nonce_lifetime: Duration,
    /// For how long after its credential's expiry an allocation may still be refreshed, given
    /// permissions and channels by that same credential. New allocations always need a credential
    /// that has not expired.
    ///
    /// A browser cannot change the credential of a live allocation, so a call that outlasts its
    /// credential would be cut in the middle if this were zero; coturn keeps such allocations for
    /// ever. Default 12 hours.
    pub expired_grace: Duration,

    /// True if the owner can grant relayed addresses of IPv4. Otherwise they are refused with 440.
    /// Default true.
    pub relay_ipv4: bool,
    /// True if the owner can grant relayed addresses of IPv6. Otherwise they are refused with 440.
    /// Default false.
    pub relay_ipv6: bool,
    /// True if the owner can send a datagram with the "don't fragment" bit when
    /// [`Forward::ToPeer`](super::Forward::ToPeer) asks for it. When false, DONT-FRAGMENT is an
    /// unknown attribute as RFC 8656 §7.2 wants it: 420. Default false.
    pub dont_fragment: bool,
    /// True if an allocation whose client asked for that can move with the client to another
    /// address (RFC 8016). Otherwise the request is refused with 405. Default true: moving takes a
    /// ticket that cannot be guessed and the credential that made the allocation, which is more
    /// than everything else takes; and a client that does not ask for it costs nothing.
    pub mobility: bool,
    /// The time that the owner may take to grant a relay port before the request is answered with
    /// 508. Default 5 seconds.
    pub grant_timeout: Duration,
    /// The lifetime of an allocation whose client does not ask for one. Default 600 seconds (RFC
    /// 8656 §3.2).
    pub default_lifetime: Duration,
    /// The longest lifetime an allocation can ask for. Default one hour (RFC 8656 §7.2).
    pub max_lifetime: Duration,

    /// Peer addresses that are allowed although the policy refuses their kind (loopback, private,
    /// ...). Default none.
    ///
    /// Metadata services of clouds are opened only by an entry for the very address. Opens nothing
    /// of the server's own: [`own_addresses`](Self::own_addresses) stay reachable in process only.
    /// An entry that contains loopback addresses opens those to sockets, except to
    /// [`listeners`](Self::listeners).
    pub allow_peers: Vec<IpNet>,
    /// Peer addresses that are refused although the policy would allow them; stronger than
    /// [`allow_peers`](Self::allow_peers) and than [`own_addresses`](Self::own_addresses). Default
    /// none.
    pub deny_peers: Vec<IpNet>,
    /// All addresses of this host: of its interfaces, and the public ones that a 1:1 NAT puts in
    /// front of them. Loopback addresses in here are ignored; addresses of granted relays are added
    /// as they come. Default none.
    ///
    /// Peers may be at these addresses, because two clients of this server meet relay to relay, but
    /// a datagram to one of them goes to a live allocation, in process, or nowhere: never to a
    /// socket.
    pub own_addresses: Vec<IpAddr>,
    /// Networks every address of which is this host's: ranges that are routed to it as local,
    /// broadcast and anycast addresses. They are treated as
    /// [`own_addresses`](Self::own_addresses). Default none.
    pub own_networks: Vec<IpNet>,
    /// Ports of this host's own addresses to which data may leave by a socket, for a media server
    /// on the same machine. [`listeners`](Self::listeners) stay closed. Default none.
    pub own_ports: Vec<u16>,
    /// Ports to which no datagram goes at any address, because this program listens there on all of
    /// its own: a NAT in front of the host may lead from addresses that it does not know as its own
    /// back to it. Default none.
    pub closed_ports: Vec<u16>,
    /// The addresses at which this server (the whole program) listens. No datagram goes there,
    /// whatever [`allow_peers`](Self::allow_peers) says. An unspecified address stands for every
    /// address of that port that is loopback or own. Default none.
    pub listeners: Vec<SocketAddr>,

    /// Allocations, reserved ports and allocations being made, for the whole server; over it 508.
    /// Default 4,000.
    pub max_allocations: usize,
    /// Allocations per credential (the whole username); over it 486. Default 10: a browser makes
    /// one for each TURN URL, interface and peer connection.
    pub max_allocations_per_credential: u32,
    /// Allocations per client address (an IPv4 address, an IPv6 /64); over it 486. A /56 may have
    /// four times, an IPv4 /24 and an IPv6 /48 sixteen times as many, and these never more than
    /// twice as many as are free, so that no network can take the last. Default 60, because offices
    /// and carriers put many people behind one address.
    pub max_allocations_per_address: u32,
    /// Permissions per allocation; over it 508. Default 128.
    pub max_permissions: usize,
    /// Channels per allocation; over it 508. Default 128.
    pub max_channels: usize,
    /// Bandwidth per credential, each way. Default 2.5 MB/s (20 Mbit/s): an HD call beside a file
    /// transfer.
    pub bandwidth_per_credential: Rate,
    /// Bandwidth per client address, each way. Default 10 MB/s.
    pub bandwidth_per_address: Rate,
    /// Bandwidth of the whole server, each way. Default 100 MB/s.
    pub bandwidth_total: Rate,
    /// The limit on answers over UDP to sources that have not proven their address.
    pub unauthenticated: AnswerLimit,
}

/// A rate limit: a token bucket of bytes.
///
/// Each datagram counts with [`DATAGRAM_OVERHEAD`](super::DATAGRAM_OVERHEAD) added to its payload,
/// so that a flood of empty ones is not free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Bytes per second in the long run.
    pub bytes_per_second: u64,
    /// Bytes at once after a pause.
    pub burst: u64,
}

/// The limit on answers over UDP to sources that are not authenticated (Binding responses and
/// errors).
///
/// An attacker who forges the source of requests makes the server send answers to a victim. So an
/// answer must fit two pairs of buckets, one for the source's prefix (IPv4 /24, IPv6 /56) and one
/// for all sources together. In each pair one bucket is filled by time alone, and one by
/// [`share`](Self::share_percent) of the bytes that came in plus a small constant: so under a
/// sustained flood less goes out than comes in, from one prefix and from all of them.
///
/// When the pair for all runs empty, requests that are sent again after the pause that a client
/// makes go first, and the rest is answered by random share. Sources that are known do not depend
/// on it at all: an address from which a nonce came back (within ten minutes), at which a client
/// has an allocation, or from which a [connection](super::Server::note_connection) is open has a
/// bucket of its own. Streams are not limited: their source is proven by the handshake.
///
/// The defaults suit the /24 of a carrier with 10,000 phones that never become known: if each asks
/// for its address every ten seconds while in a call, that is 1,000 × 44 bytes, and if each begins
/// a call every three minutes, 56 × (44 + 104) bytes: 52 kB a second. When all come at once they
/// are answered within the seven times that RFC 8489 has them send. Phones that use TURN or
/// signaling are known by their 256 addresses after the first answers, and each address has
/// [room](Self::familiar_bytes_per_second) for more than 300 answers a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLimit {
    /// The most that a prefix is answered in the long run, in bytes per second; `None` for no limit
    /// for each prefix. Default 64,000.
    pub bytes_per_second: Option<u32>,
    /// The most of that at once after a pause, in bytes. Default 128,000.
    pub burst: u32,
    /// The share of the bytes that come in that may go out, in percent. Default 70.
    pub share_percent: u32,
    /// The most of the share of a prefix at once, in bytes. Default 8,000, some 80 clients.
    pub share_burst: u32,
    /// The rate at which a prefix is answered in any case in the long run, in bytes per second.
    /// Default 100, three Binding responses.
    pub floor_bytes_per_second: u32,
    /// The most that all sources together are answered in the long run, in bytes per second; `None`
    /// for no limit for all. Default 4,000,000.
    pub total_bytes_per_second: Option<u32>,
    /// The rate at which all sources together are answered in any case in the long run, in bytes
    /// per second; ten seconds of it at once. Default 16,000, some 500 Binding responses: unknown
    /// sources that send less are all answered, and from 2,700 requests a second on less goes out
    /// than comes in.
    pub total_floor_bytes_per_second: u32,
    /// The most that a known address (an IPv6 /64) is answered without authentication in the long
    /// run, in bytes per second; twice as much at once. Default 16,000.
    pub familiar_bytes_per_second: u32,
    /// The number of prefixes that are told apart; memory is 24 bytes each, taken at construction.
    /// Prefixes are spread over them by a keyed hash. Default 16,384.
    pub slots: usize,
}

impl Config {
    /// The most secrets that are tried for one request: more are rotation gone wrong, and cost
    /// every client time.
    pub const MAX_SECRETS: usize = 8;
}

impl Default for Config {
    fn default() -> Self {
        Self {
            realm: "columba".to_owned(),
            secrets: Vec::new(),
            admission: Admission::default(),
            nonce_lifetime: Duration::from_secs(3600),
            expired_grace: Duration::from_secs(12 * 3600),
            relay_ipv4: true,
            relay_ipv6: false,
            dont_fragment: false,
            mobility: true,
            grant_timeout: Duration::from_secs(5),
            default_lifetime: Duration::from_secs(600),
            max_lifetime: Duration::from_secs(3600),
            allow_peers: Vec::new(),
            deny_peers: Vec::new(),
            own_addresses: Vec::new(),
            own_networks: Vec::new(),
            own_ports: Vec::new(),
            closed_ports: Vec::new(),
            listeners: Vec::new(),
            max_allocations: 4000,
            max_allocations_per_credential: 10,
            max_allocations_per_address: 60,
            max_permissions: 128,
            max_channels: 128,
            bandwidth_per_credential: Rate::per_second(2_500_000),
            bandwidth_per_address: Rate::per_second(10_000_000),
            bandwidth_total: Rate::per_second(100_000_000),
            unauthenticated: AnswerLimit::default(),
        }
    }
}

impl std::fmt::Debug for Config {
    /// Everything but the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("realm", &self.realm)
            .field("secrets", &self.secrets.len())
            .field("max_allocations", &self.max_allocations)
            .field("allow_peers", &self.allow_peers)
            .field("deny_peers", &self.deny_peers)
            .finish_non_exhaustive()
    }
}

impl Rate {
    /// `bytes_per_second` in the long run, and half a second's worth at once, but at least 64 KiB.
    pub const fn per_second(bytes_per_second: u64) -> Self {
        let half = bytes_per_second / 2;
        Self { bytes_per_second, burst: if half < 65_536 { 65_536 } else { half } }
    }
}

impl Default for AnswerLimit {
    fn default() -> Self {
        Self {
            bytes_per_second: Some(64_000),
            burst: 128_000,
            share_percent: 70,
            share_burst: 8000,
            floor_bytes_per_second: 100,
            total_bytes_per_second: Some(4_000_000),
            total_floor_bytes_per_second: 16_000,
            familiar_bytes_per_second: 16_000,
            slots: 16_384,
        }
    }
}
