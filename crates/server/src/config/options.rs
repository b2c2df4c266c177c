//! Every option of `columba serve`, defined once. The command line, the environment (`COLUMBA_` and
//! the name in capitals), the TOML file, `--print-config` and the table in the README are all made
//! from these definitions.
//!
//! An option whose default depends on others has none here; it is computed in [`super::defaults`],
//! and described in brackets at the end of its help.

#![allow(
    rustdoc::bare_urls,
    rustdoc::broken_intra_doc_links,
    reason = "these comments are the program's help, read in a terminal"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use super::network::{network, reachable, reachable_host};
use super::origin::AllowedOrigin;
use super::units::{Allowance, Host, Listen, PortRange, Secret, Size, Span};
use crate::memory::default_limit;
use crate::places::{Pace, Places};

/// The options of `columba serve`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeOptions {
    #[command(flatten)]
    pub(crate) web: WebOptions,
    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    #[command(flatten)]
    pub(crate) relay: RelayOptions,
    #[command(flatten)]
    pub(crate) signal: SignalOptions,
    #[command(flatten)]
    pub(crate) memory: MemoryOptions,
    #[command(flatten)]
    pub(crate) log: LogOptions,
}

/// The web server: the call page and the transports of signaling.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Web")]
pub(crate) struct WebOptions {
    /// Where the call page and signaling are served (TURN over TCP and TLS too) [default:
    /// [::]:8080, with TLS [::]:8443]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Vec<Listen>,

    /// Origins other than the server's own whose pages may use signaling, like https://example.org,
    /// https://*.example.org, capacitor://localhost, or *
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<AllowedOrigin>,

    /// Proxies whose X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto are believed
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub(crate) trust_proxy: Vec<IpNet>,

    /// Networks that may read /metrics
    #[arg(long, value_name = "CIDR", value_parser = network, default_values = ["127.0.0.0/8", "::1/128"])]
    pub(crate) metrics_allow: Vec<IpNet>,

    /// Connections that may be open at a time
    #[arg(long, value_name = "N", default_value = "10000")]
    pub(crate) max_connections: u32,

    /// Connections that one client address (an IPv6 /64) may have open at a time; an IPv6 /56 four
    /// times, an IPv4 /24 or IPv6 /48 sixteen times as many, and never more than twice what is free
    #[arg(long, value_name = "N", default_value = "256")]
    pub(crate) max_connections_per_client: u32,

    /// Time in which a client must finish a TLS handshake, the head of a request, and its body
    #[arg(long, value_name = "TIME", default_value = "15s")]
    pub(crate) request_timeout: Span,
}

/// The effort that one client address may make of the server, against that of one peer: a household
/// or office shares an address.
const PEERS_PER_CLIENT: f64 = 8.0;

impl WebOptions {
    /// The table of clients, who may make so many times the effort of one peer.
    pub(crate) fn places(&self, limits: &columba_signal::Config) -> Places {
        let pace = Pace {
            per_second: limits.effort_per_second() * PEERS_PER_CLIENT,
            burst: limits.effort_burst() * PEERS_PER_CLIENT,
        };
        Places::new(self.max_connections, self.max_connections_per_client, pace)
    }
}

/// Where the certificate comes from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsOptions {
    /// Serve HTTPS with a certificate made here, or plain HTTP; --tls-cert and --tls-key go before
    /// it
    #[arg(long, value_name = "MODE", default_value = "off")]
    pub(crate) tls: TlsMode,

    /// Certificate chain in PEM; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Where the self-signed certificate is kept, so that browsers recognize it after a restart
    /// [default: $XDG_STATE_HOME/columba]
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// The way to serve HTTPS when no certificate is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsMode {
    /// Plain HTTP.
    Off,
    /// A certificate that this program makes and keeps.
    SelfSigned,
}

/// STUN and TURN.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "STUN and TURN")]
pub(crate) struct RelayOptions {
    /// Where STUN and TURN are served over UDP and TCP; off for not at all
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:3478")]
    pub(crate) stun_listen: Vec<Listen>,

    /// Where TURN is served over TLS [default: [::]:5349 with TLS, otherwise off]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) turns_listen: Vec<Listen>,

    /// The host in the STUN and TURN URLs that clients are given [default: the host that the client
    /// asked for]
    #[arg(long, value_name = "HOST", value_parser = reachable_host)]
    pub(crate) public_host: Option<Host>,

    /// The addresses under which the outside reaches this machine, when they are not its own (1:1
    /// NAT)
    #[arg(long, value_name = "IP", value_parser = reachable)]
    pub(crate) public_address: Vec<std::net::IpAddr>,

    /// The UDP ports that relayed traffic comes from
    #[arg(long, value_name = "FIRST-LAST", default_value = "49152-65535")]
    pub(crate) relay_ports: PortRange,

    /// Networks that may be relayed to although they are private, link-local or otherwise special
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub(crate) allow_peer: Vec<IpNet>,

    /// Networks that are never relayed to, whatever else is allowed
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub(crate) deny_peer: Vec<IpNet>,

    /// UDP ports that may be relayed to at this machine's own addresses, for a media server beside
    /// this program
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) allow_own_port: Vec<u16>,

    /// Bytes a second that STUN and TURN answer one network (an IPv4 /24, an IPv6 /56) before
    /// authentication, or unlimited. 10,000 phones in calls ask 1,000 times a second (44 bytes
    /// each) and begin 56 calls a second (148 bytes each): 52 kB
    #[arg(long, value_name = "SIZE", default_value = "64kB")]
    pub(crate) answers_per_network: Allowance,

    /// Bytes a second that STUN and TURN answer all networks together before authentication, or
    /// unlimited. Clients that are known go before it; under a flood less goes out than comes in,
    /// and new clients are served by share
    #[arg(long, value_name = "SIZE", default_value = "4MB")]
    pub(crate) answers_total: Allowance,

    /// Secret behind TURN passwords, shared with other services that make credentials; the first
    /// one makes new credentials, all are accepted [default: random]
    #[arg(long, value_name = "SECRET")]
    pub(crate) turn_secret: Vec<Secret>,

    /// File with such secrets, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) turn_secret_file: Option<PathBuf>,

    /// The realm of TURN credentials
    #[arg(long, value_name = "NAME", default_value = "columba")]
    pub(crate) realm: String,

    /// Members that are given TURN credentials: all, only those who see another member, only those
    /// who entered with the join key, or none [default: open if the server has local addresses
    /// only, otherwise joined with a join key and peers without]
    #[arg(long, value_name = "MODE")]
    pub(crate) turn_credentials: Option<TurnCredentials>,

    /// Lifetime of TURN credentials, which members renew in time; those who have left make no new
    /// allocations with them [default: 12h if the server has local addresses only, otherwise 1h]
    #[arg(long, value_name = "TIME")]
    pub(crate) credential_lifetime: Option<Span>,

    /// Let an allocation follow its client to another network (RFC 8016), if the client asks for
    /// that
    #[arg(long, value_name = "MODE", default_value = "on")]
    pub(crate) turn_mobility: Switch,

    /// Allocations that one credential may have at a time
    #[arg(long, value_name = "N", default_value = "48")]
    pub(crate) allocations_per_user: u32,

    /// Allocations that one client address (an IPv6 /64) may have at a time; an IPv6 /56 four
    /// times, an IPv4 /24 or IPv6 /48 sixteen times as many, and never more than twice what is free
    #[arg(long, value_name = "N", default_value = "192")]
    pub(crate) allocations_per_client: u32,

    /// Allocations at a time
    #[arg(long, value_name = "N", default_value = "4000")]
    pub(crate) max_allocations: u32,

    /// Bytes a second that one credential may relay, in each direction
    #[arg(long, value_name = "SIZE", default_value = "2500kB")]
    pub(crate) bandwidth_per_user: Size,

    /// Bytes a second that one client address may relay, in each direction
    #[arg(long, value_name = "SIZE", default_value = "10MB")]
    pub(crate) bandwidth_per_client: Size,

    /// Bytes a second that may be relayed, in each direction
    #[arg(long, value_name = "SIZE", default_value = "100MB")]
    pub(crate) max_bandwidth: Size,
}

impl RelayOptions {
    /// The receivers of TURN credentials; computed if it was not set.
    pub(crate) fn turn_credentials(&self) -> TurnCredentials {
        self.turn_credentials.unwrap_or(TurnCredentials::Peers)
    }

    /// The lifetime of credentials; computed if it was not set.
    pub(crate) fn credential_lifetime(&self) -> Duration {
        self.credential_lifetime.map_or(super::defaults::PUBLIC_CREDENTIAL_LIFETIME, |Span(time)| time)
    }
}

/// The receivers of TURN credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TurnCredentials {
    /// Every member of a session.
    Open,
    /// Members that see another member.
    Peers,
    /// Members, all of whom have given the join key.
    Joined,
    /// None: credentials come from another service, or there is no relay for members.
    Off,
}

/// Something that is done or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It is done.
    On,
    /// It is not.
    Off,
}

/// The limits of signaling.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Signaling")]
pub(crate) struct SignalOptions {
    /// Key that clients must give to enter a session, 1 to 128 visible ASCII characters; coming
    /// back to a session needs none
    #[arg(long, value_name = "KEY")]
    pub(crate) join_key: Option<Secret>,

    /// File with such a key; read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    pub(crate) join_key_file: Option<PathBuf>,

    /// The largest message
    #[arg(long, value_name = "SIZE", default_value = "256KiB")]
    pub(crate) message_size: Size,

    /// The largest HTTP request, which may hold several messages
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    pub(crate) request_size: Size,

    /// Peers in one session
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) peers_per_session: u32,

    /// Sessions at a time
    #[arg(long, value_name = "N", default_value = "100000")]
    pub(crate) max_sessions: u32,

    /// Peers in all sessions together
    #[arg(long, value_name = "N", default_value = "100000")]
    pub(crate) max_peers: u32,

    /// Peers that one client address (an IPv6 /64) may have in all sessions; an IPv6 /56 four
    /// times, an IPv4 /24 or IPv6 /48 sixteen times as many, and never more than twice what is free
    #[arg(long, value_name = "N", default_value = "4096")]
    pub(crate) max_peers_per_client: u32,

    /// Joins that one client address (an IPv6 /64) may make in a minute; an IPv6 /56 four times, an
    /// IPv4 /24 or IPv6 /48 sixteen times as many
    #[arg(long, value_name = "N", default_value = "240")]
    pub(crate) joins_per_minute: u32,

    /// Messages that one peer may send in a second
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) messages_per_second: u32,

    /// Messages that one peer may send at once
    #[arg(long, value_name = "N", default_value = "200")]
    pub(crate) message_burst: u32,

    /// Messages that one peer may send in a minute although they cannot be understood
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) errors_per_minute: u32,

    /// Bytes that may wait for one slow peer before it is removed
    #[arg(long, value_name = "SIZE", default_value = "4MiB")]
    pub(crate) peer_buffer: Size,

    /// Bytes that may wait for all peers together before the slowest is removed; at most half of
    /// --memory-limit [default: half of --memory-limit]
    #[arg(long, value_name = "SIZE")]
    pub(crate) total_buffer: Option<Size>,

    /// Time for which a membership outlives its broken connection
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) resume_within: Span,

    /// Silence after which a connection is pinged
    #[arg(long, value_name = "TIME", default_value = "20s")]
    pub(crate) ping_interval: Span,

    /// Silence after which a connection is ended
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) idle_timeout: Span,

    /// Time in which a new WebSocket must enter a session
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) join_timeout: Span,
}

impl SignalOptions {
    /// The same for the relay, whose queues take at most half of the memory.
    pub(crate) fn to_relay(&self, memory: &MemoryOptions) -> columba_signal::Config {
        let bytes = |Size(bytes): Size| usize::try_from(bytes).unwrap_or(usize::MAX);
        let half = Size(memory.limit() / 2);
        let total = self.total_buffer.unwrap_or(half);
        columba_signal::Config {
            message_bytes: bytes(self.message_size),
            request_bytes: bytes(self.request_size),
            session_peers: self.peers_per_session as usize,
            sessions: self.max_sessions as usize,
            peers: self.max_peers as usize,
            peers_per_client: self.max_peers_per_client as usize,
            joins_per_minute: self.joins_per_minute,
            messages_per_second: self.messages_per_second,
            message_burst: self.message_burst,
            errors_per_minute: self.errors_per_minute,
            client_buffer_bytes: bytes(self.peer_buffer),
            total_buffer_bytes: bytes(Size(total.0.min(half.0))),
            resume_within: self.resume_within.0,
            ping_after: self.ping_interval.0,
            idle_timeout: self.idle_timeout.0,
            join_timeout: self.join_timeout.0,
            ..columba_signal::Config::default()
        }
    }
}

/// The memory for clients.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Memory")]
pub(crate) struct MemoryOptions {
    /// Bytes that clients may make the server hold; when they are used up, the connections that
    /// hold most are closed [default: a quarter of the memory of the machine or its cgroup, at most
    /// 512MB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory_limit: Option<Size>,
}

impl MemoryOptions {
    /// The bytes that clients may make the server hold.
    pub(crate) fn limit(&self) -> u64 {
        self.memory_limit.map_or_else(default_limit, |Size(bytes)| bytes)
    }
}

/// The contents and form of the log, which goes to standard error.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogOptions {
    /// Lines for people or one JSON object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,

    /// Level of the log: error, warn, info, debug, trace, or a filter like info,columba_turn=debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub(crate) log_level: LogFilter,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A filter in the syntax of `RUST_LOG`, known to be valid.
#[derive(Clone, Debug)]
pub(crate) struct LogFilter(String);

impl LogFilter {
    /// Without the finest levels of the libraries for HTTP and WebSocket, whatever is asked for:
    /// they log requests and messages, and those are the peers' business.
    pub(crate) fn to_filter(&self) -> tracing_subscriber::EnvFilter {
        const DISCREET: &str = "h2=info,hyper=info,hyper_util=info,tungstenite=info,tokio_tungstenite=info";
        tracing_subscriber::EnvFilter::new(format!("{},{DISCREET}", self.0))
    }
}

impl std::str::FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(format!("not a filter: {error}")),
        }
    }
}
