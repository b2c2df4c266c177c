//! The Rust side of the end-to-end tests: it joins a session, offers or answers as the introductions to WebRTC write it, and talks
//! to whoever is there, a browser (`e2e/browser/data-page.js`) or another like itself.
//!
//! `columba-e2e-peer SIGNALING-URL TOKEN offer|answer closes|stays BYTES any|direct [ICE-URL-PREFIX [hidden|shown [simultaneous]]]`
//!
//! `columba-e2e-peer told`
//!
//! Does what it is told on its standard input (`told.rs`).
//!
//! It writes what happens to its standard output, a JSON object a line. It ends with `{"event":"done",…}` and 0, or with
//! `{"event":"error","message":…}` and 1.

mod negotiation;
mod talk;
mod told;
mod wire;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use columba::signaling::{SessionToken, SignalingChannel, SignalingOptions};
use columba::{Configuration, IceConfig, IceServer, MdnsMode, PeerConnection, TcpMode};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tracing_subscriber::EnvFilter;

/// What stops the program; its sentence is printed.
type Failure = Box<dyn Error + Send + Sync>;

/// How long everything may take, on a machine that is slow and busy besides.
const PATIENCE: Duration = Duration::from_secs(200);

/// What the command line says.
struct Options {
    url: String,
    session: SessionToken,
    role: Role,
    /// Whether this side closes the connection in the end.
    closes: bool,
    /// How many bytes to send; the other side sends as many.
    bytes: usize,
    /// Whether to go on until the path needs no relay.
    direct: bool,
    /// Only servers whose URL begins so are used.
    ice_servers: String,
    /// Whether to hide addresses behind names of mDNS.
    hidden: bool,
    /// Whether to have TCP candidates that open connections from both sides at once, too.
    simultaneous: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Offer,
    Answer,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let result = if std::env::args().nth(1).is_some_and(|word| word == "told") {
        told::obey().await
    } else {
        join().await.map(|done| tell(&done))
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&json!({ "event": "error", "message": failure.to_string() }));
            ExitCode::FAILURE
        }
    }
}

async fn join() -> Result<serde_json::Value, Failure> {
    let options = Options::read()?;
    let entry = SignalingOptions::join(options.url.as_str(), options.session.clone());
    let (signaling, words) = SignalingChannel::open(entry).await?;
    tell(&json!({ "event": "joined" }));
    let servers = signaling.ice_servers().servers.into_iter().map(|server| IceServer {
        urls: server.urls.into_iter().filter(|url| url.starts_with(&options.ice_servers)).collect(),
        username: server.username.unwrap_or_default(),
        credential: server.credential.unwrap_or_default(),
    });
    let ice_servers = servers.filter(|server| !server.urls.is_empty()).collect();
    let mdns = if options.hidden { MdnsMode::QueryAndGather } else { MdnsMode::Query };
    let tcp = if options.simultaneous { TcpMode::SimultaneousOpen } else { TcpMode::default() };
    let ice = IceConfig { mdns, tcp, ..IceConfig::default() };
    let (connection, events) =
        PeerConnection::new(Configuration { ice_servers, ice, ..Configuration::default() })?;
    let (opened, theirs) = mpsc::channel(8);
    // As long as nobody has to wait for a direct path, every path will do.
    let (direct, is_direct) = watch::channel(!options.direct);
    let talk = talk::Talk::new(connection.clone(), &options)?;
    let negotiation = negotiation::Negotiation { connection: connection.clone(), signaling, opened, direct };
    let done = tokio::select! {
        failure = negotiation.hold(options.role, words, events) => Err(failure),
        done = talk.hold(theirs, is_direct) => done,
        () = tokio::time::sleep(PATIENCE) => Err("this took too long".into()),
    };
    if done.is_err() {
        tell_states(&connection);
    }
    connection.close().await;
    done
}

/// Writes how things stood when something failed.
fn tell_states(connection: &PeerConnection) {
    let stats = connection.stats();
    let channels = stats.channels.iter().map(|channel| {
        json!({ "label": channel.label, "state": format!("{:?}", channel.state), "sent": channel.bytes_sent, "received": channel.bytes_received })
    });
    tell(&json!({
        "event": "states",
        "connection": format!("{:?}", connection.connection_state()),
        "ice": format!("{:?}", connection.ice_connection_state()),
        "dtls": format!("{:?}", stats.dtls.state),
        "sctp": format!("{:?}", stats.sctp.state),
        "association": format!("{:?}", stats.sctp.association),
        "dropped": format!("{:?}", stats.dropped),
        "channels": channels.collect::<Vec<_>>(),
    }));
}

/// Writes a line.
fn tell(line: &serde_json::Value) {
    println!("{line}");
}

impl Options {
    fn read() -> Result<Self, Failure> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let (required, rest) = words
            .split_first_chunk::<6>()
            .ok_or("columba-e2e-peer SIGNALING-URL TOKEN offer|answer closes|stays BYTES any|direct [ICE-URL-PREFIX [hidden]]")?;
        let [url, session, role, end, bytes, route] = required;
        Ok(Self {
            url: url.clone(),
            session: session.parse()?,
            role: if role == "offer" { Role::Offer } else { Role::Answer },
            closes: end == "closes",
            bytes: bytes.parse()?,
            direct: route == "direct",
            ice_servers: rest.first().cloned().unwrap_or_default(),
            hidden: rest.get(1).is_some_and(|word| word == "hidden"),
            simultaneous: rest.get(2).is_some_and(|word| word == "simultaneous"),
        })
    }
}
