//! The Rust peer of the end-to-end tests. It joins a signaling session, offers or answers as
//! introductions to WebRTC write it, and exchanges data with the peer that it meets: a browser
//! (`e2e/browser/data-page.js`) or another process of this program.
//!
//! `columba-e2e-peer
//! '{"do":"talk","server":…,"token":…,"role":"offer","closes":true,"bytes":1000}'`: see
//! [`TalkOptions`].
//!
//! `columba-e2e-peer '{"do":"obey"}'` executes commands from its standard input (`commands.rs`).
//!
//! `columba-e2e-peer '{"do":"negotiate","polite":true}'` negotiates as the W3C's example does, by
//! commands (`negotiator.rs`).
//!
//! `columba-e2e-peer '{"do":"film","film":"film.webm"}'` shows a film and counts frames, by
//! commands (`film.rs`).
//!
//! It writes its events to its standard output, a JSON object a line. It ends with
//! `{"event":"done",…}` and 0, or with `{"event":"error","message":…}` and 1; where its arguments
//! or commands are not valid, with one sentence on its standard error and 2.

mod commands;
mod film;
mod negotiation;
mod negotiator;
mod talk;
mod wire;

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use columba::signaling::{SessionToken, SignalingChannel, SignalingOptions};
use columba::{Configuration, IceConfig, MdnsMode, PeerConnection, TcpMode};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tracing_subscriber::EnvFilter;

/// An error that ends the program; its sentence is printed.
type Failure = Box<dyn Error + Send + Sync>;

/// The time after which a test has failed, on a slow and busy machine.
const PATIENCE: Duration = Duration::from_secs(200);

/// The exit code for invalid arguments and commands.
const USAGE_ERROR: u8 = 2;

/// The only argument.
#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
enum Arguments {
    Talk(TalkOptions),
    Obey,
    Negotiate(negotiator::Options),
    Film(film::Options),
}

/// The options of the exchange with the peer in a signaling session.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TalkOptions {
    /// The URL of the signaling server.
    server: String,
    token: String,
    role: Role,
    /// True if this side closes the connection in the end.
    closes: bool,
    /// The number of bytes to send; the other side sends as many.
    bytes: usize,
    /// True to go on until the path needs no relay.
    #[serde(default)]
    direct: bool,
    /// Only servers whose URL begins with this are used.
    #[serde(default)]
    ice_servers: String,
    /// True to hide addresses behind mDNS names.
    #[serde(default)]
    hidden: bool,
    /// True to gather TCP candidates for simultaneous open, too.
    #[serde(default)]
    simultaneous: bool,
}

/// A command line or a command that is not valid.
#[derive(Debug)]
struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for UsageError {}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
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
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is::<UsageError>() => {
            eprintln!("columba-e2e-peer: {failure}");
            ExitCode::from(USAGE_ERROR)
        }
        Err(failure) => {
            report(&json!({ "event": "error", "message": failure.to_string() }));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [argument] = arguments.as_slice() else {
        return Err(UsageError("one JSON object is the only argument".to_owned()).into());
    };
    match from_json(argument)? {
        Arguments::Talk(options) => join(options).await.map(|done| report(&done)),
        Arguments::Obey => commands::run().await,
        Arguments::Negotiate(options) => negotiator::run(options).await,
        Arguments::Film(options) => film::run(options).await,
    }
}

/// Reads an argument or a command.
fn from_json<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, UsageError> {
    serde_json::from_str(text).map_err(|error| UsageError(format!("not a valid object: {error}")))
}

async fn join(options: TalkOptions) -> Result<serde_json::Value, Failure> {
    let session: SessionToken = options.token.parse()?;
    let entry = SignalingOptions::join(options.server.as_str(), session);
    let (signaling, messages) = SignalingChannel::open(entry).await?;
    report(&json!({ "event": "joined" }));
    let mut ice_servers = signaling.ice_servers().servers;
    for server in &mut ice_servers {
        server.urls.retain(|url| url.starts_with(&options.ice_servers));
    }
    ice_servers.retain(|server| !server.urls.is_empty());
    let mdns = if options.hidden { MdnsMode::QueryAndGather } else { MdnsMode::Query };
    let tcp = if options.simultaneous { TcpMode::SimultaneousOpen } else { TcpMode::default() };
    let ice = IceConfig { mdns, tcp, ..IceConfig::default() };
    let (connection, events) =
        PeerConnection::new(Configuration { ice_servers, ice, ..Configuration::default() })?;
    let (opened, theirs) = mpsc::channel(8);
    // Unless a direct path is demanded, every path will do.
    let (direct, is_direct) = watch::channel(!options.direct);
    let talk = talk::Talk::new(connection.clone(), &options)?;
    let negotiation = negotiation::Negotiation { connection: connection.clone(), signaling, opened, direct };
    let done = tokio::select! {
        failure = negotiation.run(options.role, messages, events) => Err(failure),
        done = talk.run(theirs, is_direct) => done,
        () = tokio::time::sleep(PATIENCE) => Err("this took too long".into()),
    };
    if done.is_err() {
        report_states(&connection);
    }
    connection.close().await;
    done
}

/// Reports the states at the time of a failure.
fn report_states(connection: &PeerConnection) {
    let stats = connection.stats();
    let channels = stats.channels.iter().map(|channel| {
        json!({ "label": channel.label, "state": format!("{:?}", channel.state), "sent": channel.bytes_sent, "received": channel.bytes_received })
    });
    report(&json!({
        "event": "states",
        "connection": format!("{:?}", connection.connection_state()),
        "ice": format!("{:?}", connection.ice_connection_state()),
        "dtls": format!("{:?}", stats.transports[0].dtls.state),
        "sctp": format!("{:?}", stats.sctp.state),
        "association": format!("{:?}", stats.sctp.association),
        "dropped": format!("{:?}", stats.dropped),
        "channels": channels.collect::<Vec<_>>(),
    }));
}

/// Writes a line to the standard output.
fn report(line: &serde_json::Value) {
    println!("{line}");
}
