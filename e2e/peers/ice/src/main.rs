//! The ICE agent alone, on real UDP and TCP sockets: no DTLS above it, no signaling beside it. The
//! end-to-end tests set it against the agents of others (`e2e/peers/`), which understand the same
//! commands.
//!
//! One JSON object a line: [`wire::Command`] comes in, [`wire::Report`] goes out. It ends with its
//! standard input; at a line that is no command, with one sentence on its standard error and exit
//! code 2.

mod sockets;
mod wire;

use std::error::Error;
use std::fmt;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_ice::{
    Agent, Ecn, Event, GatheringState, HEADROOM, Host, Input, LocalAddress, Received, RemoteParameters,
    Request, TAILROOM, Transmit,
};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use rustls::ClientConfig;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tracing_subscriber::EnvFilter;

use sockets::{Arrival, Connect, Sockets};
use wire::{Command, Report};

/// The error that ends the program; its text is printed.
type Failure = Box<dyn Error + Send + Sync>;

/// The exit code for a line that is no command.
const USAGE_ERROR: u8 = 2;

/// When to look again where nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Room for one message of the agent's own, as it asks for.
const BUFFER: usize = 2000;

/// Arrivals that wait for the agent, at most; then the readers of the sockets wait, and the kernel
/// drops.
const MAX_ARRIVALS: usize = 256;

/// A line that is no command.
#[derive(Debug)]
struct UsageError(serde_json::Error);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a command: {}", self.0)
    }
}

impl Error for UsageError {}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let Err(failure) = run().await else { return ExitCode::SUCCESS };
    eprintln!("columba-e2e-ice: {failure}");
    if failure.is::<UsageError>() { ExitCode::from(USAGE_ERROR) } else { ExitCode::FAILURE }
}

async fn run() -> Result<(), Failure> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let Some(first) = lines.next_line().await? else { return Ok(()) };
    let Command::Start(start) = command(&first)? else {
        return Err("the first command is to start".into());
    };
    let (arrived, mut arrivals) = mpsc::channel(MAX_ARRIVALS);
    let mut peer = Peer::start(start, Sockets::new(arrived))?;
    loop {
        let deadline = peer.drive();
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => peer.execute(command(&line)?)?,
                None => return Ok(()),
            },
            Some(arrival) = arrivals.recv() => peer.take(arrival),
            () = sleep_until(deadline.into()) => peer.agent.handle_timeout(Instant::now()),
        }
    }
}

fn command(line: &str) -> Result<Command, UsageError> {
    serde_json::from_str(line).map_err(UsageError)
}

struct Peer {
    agent: Agent,
    sockets: Sockets,
    /// The certificates that servers must have.
    trust: Option<Arc<ClientConfig>>,
}

impl Peer {
    fn start(start: wire::Start, sockets: Sockets) -> Result<Self, Failure> {
        let trust = match &start.authority {
            Some(path) => Some(columba::tls::trusting(&std::fs::read(path)?)?),
            None => None,
        };
        let now = Instant::now();
        let addresses: Vec<_> = start.addresses.iter().copied().map(IpAddr::into).collect();
        let role = start.role.into();
        let mut agent = Agent::new(start.into(), &mut UnwrapErr(SysRng));
        agent.set_role(role);
        agent.handle_network_change(now, &addresses);
        let mut peer = Self { agent, sockets, trust };
        peer.begin_session();
        Ok(peer)
    }

    /// Prints the credentials of a session, and begins to gather for it.
    fn begin_session(&mut self) {
        let own = self.agent.local_credentials();
        Report::Credentials { ufrag: &own.ufrag, pwd: &own.pwd, lite: self.agent.is_lite() }.print();
        self.agent.gather(Instant::now());
    }

    fn execute(&mut self, command: Command) -> Result<(), Failure> {
        let now = Instant::now();
        match command {
            Command::Start(_) => return Err("it has started already".into()),
            Command::Remote(remote) => self.agent.set_remote(now, RemoteParameters::from(remote)),
            Command::Candidate { line } => {
                let candidate = line.parse().map_err(|error| format!("{line}: {error}"))?;
                match wire::candidate(&candidate) {
                    Some(candidate) => self.agent.add_remote_candidate(now, candidate),
                    None => return Err(format!("the candidate cannot be used: {line}").into()),
                }
            }
            Command::End => self.agent.end_of_remote_candidates(now),
            Command::Send { text } => self.send(text.as_bytes()),
            Command::Restart => {
                self.agent.restart(now, None);
                self.begin_session();
            }
            Command::Network { addresses, network } => {
                let in_it = |address| LocalAddress { network, ..LocalAddress::from(address) };
                let addresses: Vec<_> = addresses.into_iter().map(in_it).collect();
                self.agent.handle_network_change(now, &addresses);
            }
            Command::Close => self.agent.close(now),
        }
        Ok(())
    }

    /// Sends the agent's messages, serves its requests and prints its events. Returns the time of
    /// its next timeout.
    fn drive(&mut self) -> Instant {
        let now = Instant::now();
        let mut buf = [0; BUFFER];
        loop {
            while let Some(transmit) = self.agent.poll_transmit(now, &mut buf) {
                self.sockets.send(transmit.path, &buf[transmit.range]);
            }
            if let Some(request) = self.agent.poll_request() {
                self.serve(now, request);
            } else if let Some(event) = self.agent.poll_event() {
                report(event);
            } else {
                break;
            }
        }
        self.agent.poll_timeout().unwrap_or(now + IDLE)
    }

    fn serve(&mut self, now: Instant, request: Request) {
        match request {
            Request::BindUdp { id, address } => {
                let input = match self.sockets.bind(address) {
                    Ok(local) => Input::Bound { id, local },
                    Err(_) => Input::BindFailed { id },
                };
                self.agent.handle_input(now, input);
            }
            Request::CloseUdp { local } => self.sockets.close_udp(local),
            Request::Connect { id, local, remote, tls, framing } => {
                match tls.map(|name| self.trust.clone().map(|trust| (name, trust))) {
                    // There is no certificate to trust.
                    Some(None) => self.agent.handle_input(now, Input::ConnectFailed { id }),
                    tls => {
                        self.sockets.connect(Connect { id, local, remote, framing, tls: tls.flatten() });
                    }
                }
            }
            Request::Listen { id, address, opens } => {
                let input = match self.sockets.listen(address, opens) {
                    Ok(local) => Input::Listening { id, local },
                    Err(_) => Input::ListenFailed { id },
                };
                self.agent.handle_input(now, input);
            }
            Request::CloseListener { local } => self.sockets.close_listener(local),
            Request::CloseStream { path } => self.sockets.close_stream(&path),
            Request::Resolve { id, host } | Request::ResolveMdns { id, host } => {
                // The tests give addresses, and hide none.
                let addresses = host.parse().into_iter().collect();
                self.agent.handle_input(now, Input::Resolved { id, addresses });
            }
            // The tests hide no addresses.
            Request::PublishMdns { .. } => {}
        }
    }

    fn take(&mut self, arrival: Arrival) {
        let now = Instant::now();
        match arrival {
            Arrival::Input(input) => self.agent.handle_input(now, input),
            Arrival::Accepted { path, frames } => {
                self.sockets.add_stream(path, frames);
                self.agent.handle_input(now, Input::Accepted { path });
            }
            Arrival::Opened { id, path, frames } => {
                self.sockets.add_stream(path, frames);
                self.agent.handle_input(now, Input::Connected { id, path });
            }
            Arrival::Datagram { path, mut bytes } => {
                if let Received::Data { range } =
                    self.agent.handle_datagram(now, path, Ecn::NotEct, &mut bytes)
                {
                    Report::Data { text: &String::from_utf8_lossy(&bytes[range]) }.print();
                }
            }
        }
    }

    fn send(&mut self, data: &[u8]) {
        let range = HEADROOM..HEADROOM + data.len();
        let mut buf = vec![0; range.end + TAILROOM];
        buf[range.clone()].copy_from_slice(data);
        let prepared = self.agent.prepare(Instant::now(), &mut buf, range, None);
        if let Some(Transmit { path, range, .. }) = prepared {
            self.sockets.send(path, &buf[range]);
        }
    }
}

fn report(event: Event) {
    match event {
        Event::LocalCandidate(candidate) => Report::Candidate { line: wire::text(&candidate) }.print(),
        Event::GatheringState(GatheringState::Complete) => Report::Gathered.print(),
        Event::CandidateError(error) => Report::ServerError { code: error.code, text: &error.text }.print(),
        Event::State(state) => Report::State { state: wire::state(state) }.print(),
        Event::Selected(pair) => Report::pair(&pair).print(),
        Event::RoleChanged(role) => Report::Role { role: role.into() }.print(),
        Event::RestartWanted => Report::RestartWanted.print(),
        Event::GatheringState(_) | Event::Writable | Event::Embedded(_) => {}
    }
}

/// The address of a server is one already, or a name that the agent asks for.
fn host(text: &str) -> Host {
    text.parse().map_or_else(|_| Host::Name(text.into()), Host::Ip)
}
