//! The JSON lines on standard input and output, and their conversion to the agent's types.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use columba_ice::{
    Candidate, CandidateAddress, CandidateKind, CandidateTransport, Config, Credentials, IceServer,
    RemoteParameters, Role, SelectedPair, ServerKind, State, TcpMode, TcpType, Timings, Transport,
    TransportPolicy,
};
use columba_sdp::{CandidateType, RelatedAddress};
use serde::{Deserialize, Serialize};

/// A command of the test.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub(crate) enum Command {
    /// First of all.
    Start(Start),
    /// The other side's description: checks begin.
    Remote(Remote),
    /// A candidate of the other side's.
    Candidate { line: String },
    /// There are no more of them.
    End,
    /// Sends data.
    Send { text: String },
    /// Begins a new generation; its description follows.
    Restart,
    /// The host has these addresses now, in another network than before if the number is another.
    Network { addresses: Vec<IpAddr>, network: u32 },
    /// Gives everything back.
    Close,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Start {
    pub(crate) role: Side,
    #[serde(default)]
    lite: bool,
    /// The host's addresses to use.
    pub(crate) addresses: Vec<IpAddr>,
    #[serde(default)]
    servers: Vec<Server>,
    /// The certificate to trust, beside those that the system trusts; a PEM file.
    pub(crate) authority: Option<PathBuf>,
    /// Only relayed candidates.
    #[serde(default)]
    relay_only: bool,
    /// TCP candidates that open connections at once, too.
    #[serde(default)]
    simultaneous: bool,
    /// Milliseconds of silence until the state is disconnected, and from then on until it is
    /// failed.
    disconnected_after: Option<u64>,
    failed_after: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Server {
    kind: Kind,
    host: String,
    port: u16,
    #[serde(default)]
    transport: Protocol,
    #[serde(default)]
    username: Arc<str>,
    #[serde(default)]
    credential: Arc<str>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Stun,
    Turn,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Protocol {
    #[default]
    Udp,
    Tcp,
    Tls,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    Controlling,
    Controlled,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Remote {
    ufrag: Arc<str>,
    pwd: Arc<str>,
    #[serde(default)]
    lite: bool,
    /// `a=ice-options:renomination`.
    #[serde(default)]
    renomination: bool,
}

/// A report to the test.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub(crate) enum Report<'a> {
    Credentials {
        ufrag: &'a str,
        pwd: &'a str,
        lite: bool,
    },
    Candidate {
        line: String,
    },
    Gathered,
    ServerError {
        code: u16,
        text: &'a str,
    },
    State {
        state: &'static str,
    },
    Pair {
        local: &'static str,
        remote: &'static str,
        from: SocketAddr,
        to: SocketAddr,
        protocol: &'static str,
    },
    Role {
        role: Side,
    },
    RestartWanted,
    Data {
        text: &'a str,
    },
}

impl Report<'_> {
    /// The kinds of a selected pair, and the way as the kernel sees it.
    pub(crate) fn pair(pair: &SelectedPair) -> Self {
        let protocol = match pair.path.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        };
        let (local, remote) = (kind(pair.local.kind), kind(pair.remote.kind));
        Report::Pair { local, remote, from: pair.path.local, to: pair.path.remote, protocol }
    }

    /// Writes it as a line.
    pub(crate) fn print(&self) {
        if let Ok(line) = serde_json::to_string(self) {
            println!("{line}");
        }
    }
}

impl From<Side> for Role {
    fn from(side: Side) -> Self {
        match side {
            Side::Controlling => Self::Controlling,
            Side::Controlled => Self::Controlled,
        }
    }
}

impl From<Role> for Side {
    fn from(role: Role) -> Self {
        match role {
            Role::Controlling => Self::Controlling,
            Role::Controlled => Self::Controlled,
        }
    }
}

impl From<Start> for Config {
    fn from(start: Start) -> Self {
        let usual = Timings::default();
        let time = |asked: Option<u64>, usual| asked.map_or(usual, Duration::from_millis);
        Self {
            servers: start.servers.into_iter().map(IceServer::from).collect(),
            policy: if start.relay_only { TransportPolicy::Relay } else { TransportPolicy::All },
            lite: start.lite,
            tcp: if start.simultaneous { TcpMode::SimultaneousOpen } else { TcpMode::default() },
            loopback: true,
            timings: Timings {
                disconnected_timeout: time(start.disconnected_after, usual.disconnected_timeout),
                failed_timeout: time(start.failed_after, usual.failed_timeout),
                ..usual
            },
            ..Self::default()
        }
    }
}

impl From<Server> for IceServer {
    fn from(server: Server) -> Self {
        Self {
            kind: match server.kind {
                Kind::Stun => ServerKind::Stun,
                Kind::Turn => ServerKind::Turn,
            },
            host: crate::host(&server.host),
            port: server.port,
            transport: match server.transport {
                Protocol::Udp => Transport::Udp,
                Protocol::Tcp => Transport::Tcp,
                Protocol::Tls => Transport::Tls,
            },
            username: server.username,
            credential: server.credential,
            url: format!("{}:{}", server.host, server.port).into(),
        }
    }
}

impl From<Remote> for RemoteParameters {
    fn from(remote: Remote) -> Self {
        Self {
            credentials: Credentials { ufrag: remote.ufrag, pwd: remote.pwd },
            lite: remote.lite,
            trickle: true,
            renomination: remote.renomination,
            pacing: None,
        }
    }
}

/// Returns the remote candidate as the agent takes it; `None` if it is of an unknown kind or of
/// another component than the first.
pub(crate) fn candidate(read: &columba_sdp::Candidate) -> Option<Candidate> {
    if read.component != 1 {
        return None;
    }
    let ip = |host: &columba_sdp::Host| match host {
        columba_sdp::Host::Ip(ip) => Some(*ip),
        columba_sdp::Host::Name(_) => None,
    };
    let related = read.related.as_ref();
    Some(Candidate {
        foundation: read.foundation.as_str().into(),
        transport: match &read.transport {
            columba_sdp::CandidateTransport::Udp => CandidateTransport::Udp,
            columba_sdp::CandidateTransport::Tcp => CandidateTransport::Tcp(match read.tcp_type()? {
                columba_sdp::TcpType::Active => TcpType::Active,
                columba_sdp::TcpType::Passive => TcpType::Passive,
                columba_sdp::TcpType::SimultaneousOpen => TcpType::SimultaneousOpen,
            }),
            columba_sdp::CandidateTransport::Other(_) => return None,
        },
        priority: read.priority,
        address: CandidateAddress::Ip(ip(&read.host)?),
        port: read.port,
        kind: match read.kind {
            CandidateType::Host => CandidateKind::Host,
            CandidateType::ServerReflexive => CandidateKind::ServerReflexive,
            CandidateType::PeerReflexive => CandidateKind::PeerReflexive,
            CandidateType::Relayed => CandidateKind::Relayed,
            CandidateType::Other(_) => return None,
        },
        related: related.and_then(|related| Some(SocketAddr::new(ip(&related.host)?, related.port))),
        ufrag: read.ufrag().map(Into::into),
        network_cost: read.network_cost(),
        url: None,
    })
}

/// The own candidate as it is written.
pub(crate) fn text(candidate: &Candidate) -> String {
    let (transport, tcp_type) = match candidate.transport {
        CandidateTransport::Udp => (columba_sdp::CandidateTransport::Udp, None),
        CandidateTransport::Tcp(kind) => {
            let word = match kind {
                TcpType::Active => "active",
                TcpType::Passive => "passive",
                TcpType::SimultaneousOpen => "so",
            };
            (columba_sdp::CandidateTransport::Tcp, Some(("tcptype".to_owned(), word.to_owned())))
        }
    };
    let ufrag = candidate.ufrag.as_ref().map(|ufrag| ("ufrag".to_owned(), ufrag.to_string()));
    let hidden = || SocketAddr::new(IpAddr::from([0; 4]), 0);
    let related = (candidate.kind != CandidateKind::Host).then(|| candidate.related.unwrap_or_else(hidden));
    columba_sdp::Candidate {
        foundation: candidate.foundation.to_string(),
        component: 1,
        transport,
        priority: candidate.priority,
        host: match &candidate.address {
            CandidateAddress::Ip(ip) => columba_sdp::Host::Ip(*ip),
            CandidateAddress::Name(name) => columba_sdp::Host::Name(name.to_string()),
        },
        port: candidate.port,
        kind: match candidate.kind {
            CandidateKind::Host => CandidateType::Host,
            CandidateKind::ServerReflexive => CandidateType::ServerReflexive,
            CandidateKind::PeerReflexive => CandidateType::PeerReflexive,
            CandidateKind::Relayed => CandidateType::Relayed,
        },
        related: related.map(|related| RelatedAddress::new(related.ip(), related.port())),
        extensions: tcp_type.into_iter().chain(ufrag).collect(),
    }
    .to_string()
}

/// The words of candidate lines, also for what is never written there.
const fn kind(kind: CandidateKind) -> &'static str {
    match kind {
        CandidateKind::Host => "host",
        CandidateKind::ServerReflexive => "srflx",
        CandidateKind::PeerReflexive => "prflx",
        CandidateKind::Relayed => "relay",
    }
}

/// The W3C's words.
pub(crate) const fn state(state: State) -> &'static str {
    match state {
        State::New => "new",
        State::Checking => "checking",
        State::Connected => "connected",
        State::Completed => "completed",
        State::Disconnected => "disconnected",
        State::Failed => "failed",
        State::Closed => "closed",
    }
}
