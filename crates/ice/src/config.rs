//! The configuration of an agent.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::path::Transport;

/// The shortest time between two new checks of an agent's check list, and between any two checks to
/// one IP address (RFC 8445 §14.2).
pub(crate) const MIN_PACING: Duration = Duration::from_millis(5);

/// The configuration of an agent. The default is a full agent without servers.
#[derive(Clone, Debug)]
pub struct Config {
    /// STUN and TURN servers. A TURN server over UDP is asked for reflexive addresses, too. More
    /// than [`MAX_SERVERS`](Self::MAX_SERVERS) are not looked at.
    pub servers: Vec<IceServer>,
    /// The candidates that may be used at all. Default all.
    pub policy: TransportPolicy,
    /// The addresses of the host that may be used and shown (RFC 8828). Default all.
    pub address_policy: AddressPolicy,
    /// Makes this a lite agent (RFC 8445 §2.5): it has host candidates only, answers checks and
    /// sends none. Default false.
    pub lite: bool,
    /// Gathers as soon as the host's addresses are known, before
    /// [`Agent::gather`](crate::Agent::gather) asks for candidates and announces them: a W3C
    /// `iceCandidatePoolSize` above 0 (RFC 8829 §3.5.4). Costs sockets, NAT bindings and
    /// allocations until they are used. Default false.
    pub candidate_pool: bool,
    /// Asks TURN servers for tickets, with which relayed addresses are kept when the host's address
    /// changes (RFC 8016). Where a server forbids it, gathering a relayed address takes a round
    /// trip to it more. Default true.
    pub mobility: bool,
    /// Offers renomination: moving to a better pair without a restart. Default true.
    pub renomination: bool,
    /// The treatment of names that end in `.local`. Default [`MdnsMode::Query`].
    pub mdns: MdnsMode,
    /// Uses UDP sockets: for host candidates, for STUN, and towards TURN servers that are reached
    /// over UDP. Default true; without it there is TCP, and relays reached over TCP or TLS.
    pub udp: bool,
    /// The TCP candidates beside those for datagrams (RFC 6544). Default
    /// [`TcpMode::ActivePassive`].
    pub tcp: TcpMode,
    /// Uses loopback addresses even where there are others. Default false: only where there are
    /// none.
    pub loopback: bool,
    /// Candidate pairs at most; over it those of the lowest priority go (RFC 8445 §6.1.2.5).
    /// Default 100.
    pub max_pairs: usize,
    /// Remote candidates at most, discovered ones included; over it new ones are dropped. Default
    /// 100.
    pub max_remote_candidates: usize,
    /// Times and intervals.
    pub timings: Timings,
}

/// Times and intervals of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Ta: the time between two new checks (RFC 8445 §14.2). Default 50 ms. The longer of both
    /// sides' values counts, and a side that states none (`a=ice-pacing`, RFC 8839 §5.5) has 50 ms.
    /// Never below 5 ms. Deviation: RFC 8445 has one such floor for all that a host does; here it
    /// holds for each agent, and, for what an agent does not send at this pace, for each IP address
    /// that it sends checks to.
    pub pacing: Duration,
    /// Checks that may go out at once in the beginning. Deviation from RFC 8445 §14: a small burst,
    /// so that the best pairs of each kind are tried in the first round trip; to one IP address
    /// they go at distances of 5 ms. Default 6.
    pub burst: u32,
    /// The time until the first repetition of a check. Default 150 ms. Deviation: RFC 8445 §14.3
    /// has at least 500 ms; as there, it is never less than [`pacing`](Self::pacing) for each pair
    /// that waits or is under check, so that repetitions come no faster than new checks may.
    pub check_rto: Duration,
    /// Repetitions of a request after the first that keep that interval, before each waits twice as
    /// long as the one before, up to 2 s. Default 4. Deviation: RFC 8489 §6.2.1 doubles from the
    /// first; where one packet in five is lost, these find most paths within a second.
    pub quick_repetitions: u32,
    /// The time until the first repetition of a request to a STUN or TURN server, as long as no
    /// round trip to it is known. Default 200 ms. Deviation: RFC 8445 §14.3 has at least 500 ms.
    pub server_rto: Duration,
    /// The time for which a check is repeated before its pair has failed. Default 39.5 s (RFC 8489
    /// §6.2.1).
    pub check_timeout: Duration,
    /// The time for which the agent does not fail although all pairs have: candidates may still be
    /// found or arrive (RFC 8863). Default 39.5 s from the first remote description.
    pub patience: Duration,
    /// The time for which a server is asked before gathering goes on without it. Default 9.5 s.
    pub gather_timeout: Duration,
    /// The time to wait for a better pair before a valid one is nominated: between host addresses.
    /// Default 50 ms.
    pub nominate_host: Duration,
    /// The same for pairs through NATs. Default 300 ms.
    pub nominate_reflexive: Duration,
    /// The same for relayed pairs. Default 1.5 s.
    pub nominate_relayed: Duration,
    /// The mean interval between consent checks, drawn from 0.8 to 1.2 of it (RFC 7675 §5.1).
    /// Default 5 s.
    pub consent_interval: Duration,
    /// The time without an answer after which consent expires (RFC 7675 §5.1). Default 30 s.
    pub consent_timeout: Duration,
    /// The time without an answer after which the state is disconnected. Default 5 s.
    pub disconnected_timeout: Duration,
    /// The time in the state disconnected after which it is failed. Default 25 s.
    pub failed_timeout: Duration,
    /// The interval at which pairs in reserve are checked, and bindings at STUN servers refreshed.
    /// Default 15 s.
    pub keepalive: Duration,
}

/// One URL of an `RTCIceServer`, taken apart (RFC 7064, RFC 7065).
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// The kind of server.
    pub kind: ServerKind,
    /// Its name or address.
    pub host: Host,
    /// Its port.
    pub port: u16,
    /// The transport protocol towards the server.
    pub transport: Transport,
    /// For TURN.
    pub username: Arc<str>,
    /// For TURN: the password.
    pub credential: Arc<str>,
    /// The URL as the application wrote it, for reports.
    pub url: Arc<str>,
}

/// Debug output must not give the credential away.
impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The service of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerKind {
    /// Reflexive addresses.
    Stun,
    /// Relayed ones.
    Turn,
}

/// A name to be resolved, or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name.
    Name(Arc<str>),
    /// An address.
    Ip(IpAddr),
}

/// The candidates that may be used: the W3C's `RTCIceTransportPolicy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransportPolicy {
    /// All.
    #[default]
    All,
    /// Relayed ones only, so that the other peer does not learn any address of this one.
    Relay,
}

/// The TCP candidates of an agent. They come after all direct paths for datagrams and before
/// relays; once a direct path for datagrams is nominated, listeners and connections are closed
/// again. There are none where [`TransportPolicy::Relay`] rules, no listeners where the host's
/// addresses are not shown, and only listeners on a lite agent.
///
/// Browsers have active ones and no others. Simultaneous-open ones are not the default because they
/// cost every call another listener for each address and up to two connections to STUN servers, and
/// help only where datagrams are blocked, connections to any port are not, and there is no relay;
/// agents that do not know them ignore them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcpMode {
    /// None, and remote ones are not used.
    Off,
    /// Connections are opened to the other side's passive candidates.
    Active,
    /// And accepted, at one listener for each address.
    #[default]
    ActivePassive,
    /// And opened from both sides at once, from the port of a second listener: where both are
    /// behind NATs that keep a port's mapping for all destinations, or behind stateful firewalls, a
    /// direct connection comes of it. The first two STUN and TURN servers that are not reached by
    /// TLS are asked over TCP for the reflexive address; those that answer over UDP alone are of no
    /// use for it.
    SimultaneousOpen,
}

impl TcpMode {
    /// Returns whether there are listeners.
    pub(crate) fn listens(self) -> bool {
        matches!(self, Self::ActivePassive | Self::SimultaneousOpen)
    }
}

/// The addresses of the host that are used and shown: the modes of RFC 8828 §5.2. Hidden addresses
/// appear neither in candidates nor in the related addresses of others, nor in statistics or
/// [`CandidateError`](crate::CandidateError)s; the paths of [`Transmit`](crate::Transmit)s and of
/// the [`SelectedPair`](crate::SelectedPair) are the kernel's, and not for others to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressPolicy {
    /// Mode 1, "enumerate all addresses": each address has a socket, and is shown.
    #[default]
    All,
    /// Mode 2, "default route and associated local addresses": one address of each family, the best
    /// by which the default route leaves, has a socket and is shown.
    DefaultRoute,
    /// Mode 3, "default route only": the sockets of mode 2, but the host's own addresses are not
    /// shown: no host candidates. Checks still leave from there, so that the other peer sees the
    /// address from which they come.
    DefaultRouteHidden,
    /// Mode 4, "force proxy", as far as it applies where there is no HTTP proxy: everything goes
    /// through a relay. Nothing but an allocation's own socket is opened, by the default route, and
    /// only relayed candidates are shown; the other peer never sees a packet of this host's. Where
    /// not even the relay may be reached by datagrams, only servers over TCP or TLS are to be
    /// configured.
    RelayOnly,
}

/// The treatment of mDNS names in candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MdnsMode {
    /// Candidates with such names are dropped.
    Off,
    /// They are resolved.
    #[default]
    Query,
    /// They are resolved, and the own host candidates are hidden behind such names.
    QueryAndGather,
}

/// An address that the host has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub address: IpAddr,
    /// A temporary IPv6 address (RFC 8981): preferred, and the stable ones of its kind are then not
    /// used.
    pub temporary: bool,
    /// True if the default route leaves by its interface.
    pub default_route: bool,
    /// The cost of using the network, 0 (wired) to 999.
    pub network_cost: u16,
    /// The network to which it belongs, such as the index of its interface: the same address in
    /// another network is another address.
    pub network: u32,
}

impl From<IpAddr> for LocalAddress {
    /// An address about which nothing else is known.
    fn from(address: IpAddr) -> Self {
        Self { address, temporary: false, default_route: true, network_cost: 0, network: 0 }
    }
}

impl Config {
    /// Servers that are looked at, at most.
    pub const MAX_SERVERS: usize = 32;

    /// Returns whether only relayed candidates may be used.
    pub(crate) fn is_relay_only(&self) -> bool {
        self.policy == TransportPolicy::Relay || self.address_policy == AddressPolicy::RelayOnly
    }

    /// Returns whether the host's own addresses may be shown.
    pub(crate) fn shows_addresses(&self) -> bool {
        let hides =
            matches!(self.address_policy, AddressPolicy::DefaultRouteHidden | AddressPolicy::RelayOnly);
        !hides && self.policy == TransportPolicy::All && self.mdns != MdnsMode::QueryAndGather
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            policy: TransportPolicy::All,
            address_policy: AddressPolicy::All,
            lite: false,
            candidate_pool: false,
            mobility: true,
            renomination: true,
            mdns: MdnsMode::Query,
            udp: true,
            tcp: TcpMode::ActivePassive,
            loopback: false,
            max_pairs: 100,
            max_remote_candidates: 100,
            timings: Timings::default(),
        }
    }
}

impl Default for Timings {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            pacing: ms(50),
            burst: 6,
            check_rto: ms(150),
            quick_repetitions: 4,
            server_rto: ms(200),
            check_timeout: ms(39_500),
            patience: ms(39_500),
            gather_timeout: ms(9500),
            nominate_host: ms(50),
            nominate_reflexive: ms(300),
            nominate_relayed: ms(1500),
            consent_interval: ms(5000),
            consent_timeout: ms(30_000),
            disconnected_timeout: ms(5000),
            failed_timeout: ms(25_000),
            keepalive: ms(15_000),
        }
    }
}
