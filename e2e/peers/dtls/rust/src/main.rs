//! One association on a UDP socket of the loopback interface, against a peer that sends back what
//! it receives (`e2e/peers/dtls/`).
//!
//! `columba-e2e-dtls '{"do":"certificate","algorithm":"rsa2048","pem":…}'` writes a certificate
//! with its key.
//!
//! `columba-e2e-dtls '{"do":"connect","role":"client","port":…,"pem":…,"other":…}'`: see
//! [`Options`]. It reports `ready` when a server listens, and then `done`, or `error`: JSON
//! objects, a line each. Its socket stays open until its standard input ends, so that what the
//! other side still sends is not refused.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use columba_dtls::{
    Association, Certificate, CipherSuite, Config, Event, Group, HashFunction, KeyAlgorithm, Role,
    SrtpProfile, Versions,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::Deserialize;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn std::error::Error>;

/// The time in which everything has to happen, over a path that loses much.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time between two messages as long as none came back.
const QUESTIONS: Duration = Duration::from_millis(100);

/// The longest wait for a datagram.
const WAIT: Duration = Duration::from_millis(5);

/// The days for which certificates are valid.
const VALID: Duration = Duration::from_secs(30 * 86_400);

/// A message, and the one after which the other side closes.
const QUESTION: &[u8] = b"question";
const GOODBYE: &[u8] = b"bye";

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
enum Arguments {
    Certificate { algorithm: String, pem: String },
    Connect(Options),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Options {
    /// `client` or `server`.
    role: String,
    /// The other side's port, or the own one of a server.
    port: u16,
    /// The own certificate with its key.
    pem: String,
    /// The other side's certificate with its key.
    other: String,
    /// `1.2` or `1.3`; both unless told.
    #[serde(default)]
    version: String,
    /// Bytes of the largest datagram.
    mtu: Option<usize>,
    /// The only group, by its name.
    group: Option<String>,
    /// The only cipher suite, by its name.
    suite: Option<String>,
    /// True if `use_srtp` is negotiated.
    #[serde(default)]
    srtp: bool,
    /// The milliseconds after which a flight is sent again.
    #[serde(default = "first_timeout")]
    first_timeout: u64,
    /// True if the other side is asked to close, and its notification awaited.
    #[serde(default)]
    other_closes: bool,
}

const fn first_timeout() -> u64 {
    200
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    match run() {
        Ok(socket) => {
            if socket.is_some() {
                let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            report(&json!({ "event": "error", "message": failure.to_string() }));
            ExitCode::FAILURE
        }
    }
}

fn report(event: &Value) {
    println!("{event}");
}

/// Returns the socket of a connection.
fn run() -> Result<Option<UdpSocket>, Failure> {
    let argument = std::env::args().nth(1).ok_or("a JSON object is the only argument")?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let mut rng = ChaCha20Rng::from_seed(seed);
    match serde_json::from_str(&argument)? {
        Arguments::Certificate { algorithm, pem } => {
            let wall = SystemTime::UNIX_EPOCH.elapsed()?;
            let certificate = Certificate::generate(algorithm_of(&algorithm)?, &mut rng, wall, wall + VALID)?;
            std::fs::write(pem, certificate.to_pem())?;
            Ok(None)
        }
        Arguments::Connect(options) => connect(&options, &mut rng).map(Some),
    }
}

fn algorithm_of(name: &str) -> Result<KeyAlgorithm, Failure> {
    Ok(match name {
        "p256" => KeyAlgorithm::EcdsaP256,
        "p384" => KeyAlgorithm::EcdsaP384,
        "ed25519" => KeyAlgorithm::Ed25519,
        "rsa2048" => KeyAlgorithm::Rsa2048,
        "rsa3072" => KeyAlgorithm::Rsa3072,
        _ => return Err(format!("there is no algorithm {name}").into()),
    })
}

fn config(options: &Options) -> Result<Config, Failure> {
    let mut config = Config::new(Certificate::from_pem(&std::fs::read_to_string(&options.pem)?)?);
    config.versions = match options.version.as_str() {
        "" => Versions::Both,
        "1.2" => Versions::Only12,
        "1.3" => Versions::Only13,
        other => return Err(format!("there is no version {other}").into()),
    };
    if let Some(name) = &options.group {
        let all = [Group::X25519, Group::Secp256r1, Group::Secp384r1, Group::X25519MlKem768];
        config.groups = all.into_iter().filter(|group| group.name() == name).collect();
    }
    if let Some(name) = &options.suite {
        config.cipher_suites.retain(|suite: &CipherSuite| suite.name() == name);
    }
    config.srtp_profiles = if options.srtp { SrtpProfile::ALL.to_vec() } else { Vec::new() };
    config.datagram_size = options.mtu.unwrap_or(config.datagram_size);
    config.first_timeout = Duration::from_millis(options.first_timeout);
    config.handshake_timeout = PATIENCE;
    Ok(config)
}

fn connect(options: &Options, rng: &mut ChaCha20Rng) -> Result<UdpSocket, Failure> {
    let config = config(options)?;
    let other = Certificate::from_pem(&std::fs::read_to_string(&options.other)?)?;
    let fingerprints = vec![other.fingerprint(HashFunction::Sha256)];
    let (role, own_port) = match options.role.as_str() {
        "client" => (Role::Client, 0),
        "server" => (Role::Server, options.port),
        other => return Err(format!("there is no role {other}").into()),
    };
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, own_port))?;
    socket.set_read_timeout(Some(WAIT))?;
    match role {
        Role::Client => socket.connect((Ipv4Addr::LOCALHOST, options.port))?,
        Role::Server => report(&json!({ "event": "ready" })),
    }
    let now = Instant::now();
    let own = Association::new(role, Arc::new(config), fingerprints, now, rng);
    Talk { own, socket, begun: now, asked: None, connected: None, answers: 0, is_over: false }
        .hold(options.other_closes)
}

/// The exchange between the first datagram and the last.
struct Talk {
    own: Association,
    socket: UdpSocket,
    begun: Instant,
    /// When a message was sent last.
    asked: Option<Instant>,
    connected: Option<Duration>,
    answers: u32,
    is_over: bool,
}

impl Talk {
    /// Returns the socket.
    fn hold(mut self, other_closes: bool) -> Result<UdpSocket, Failure> {
        let mut buf = vec![0; 65_536];
        while !self.is_over && (other_closes || self.answers == 0) {
            if self.begun.elapsed() > PATIENCE {
                return Err(format!("too late; {}, {} answers", self.state(), self.answers).into());
            }
            self.turn(&mut buf)?;
        }
        let negotiated = self.own.negotiated().ok_or("nothing was negotiated")?;
        let certificate = self.own.peer_certificate().map_or(0, <[u8]>::len);
        if !self.is_over {
            self.own.close();
            self.transmit(&mut buf);
        }
        report(&json!({
            "event": "done",
            "version": negotiated.version.name(),
            "cipher": negotiated.cipher_suite.name(),
            "group": negotiated.group.name(),
            "ems": negotiated.extended_master_secret,
            "srtp": negotiated.srtp_profile.is_some(),
            "certificate": certificate,
            "milliseconds": self.connected.map_or(0, |time| time.as_millis() as u64),
            "otherClosed": self.is_over,
        }));
        Ok(self.socket)
    }

    fn state(&self) -> &'static str {
        if self.connected.is_some() { "connected" } else { "not connected" }
    }

    fn turn(&mut self, buf: &mut [u8]) -> Result<(), Failure> {
        self.own.handle_timeout(Instant::now());
        self.transmit(buf);
        while let Some(event) = self.own.poll_event() {
            match event {
                Event::Connected => self.connected = Some(self.begun.elapsed()),
                Event::Closed => self.is_over = true,
                Event::Failed(error) => return Err(error.into()),
                other => eprintln!("{other:?}"),
            }
        }
        let is_due = self.asked.is_none_or(|at| at.elapsed() >= QUESTIONS);
        if self.connected.is_some() && !self.is_over && is_due {
            self.asked = Some(Instant::now());
            self.say(if self.answers == 0 { QUESTION } else { GOODBYE })?;
        }
        match self.socket.recv_from(buf) {
            Ok((length, from)) => {
                self.socket.connect(from)?;
                self.own.handle_input(Instant::now(), &mut buf[..length]);
                while let Some(packet) = self.own.read(&buf[..length]) {
                    self.answers += u32::from(packet == QUESTION);
                }
                Ok(())
            }
            // Nothing came, or the other side's socket is not there (yet, or any more).
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn transmit(&mut self, buf: &mut [u8]) {
        while let Some(length) = self.own.poll_transmit(Instant::now(), buf) {
            // A datagram that the kernel does not take is lost.
            let _ = self.socket.send(&buf[..length]);
        }
    }

    fn say(&mut self, message: &[u8]) -> Result<(), Failure> {
        let (front, back) = self.own.overhead();
        let mut buf = vec![0; front + message.len() + back];
        buf[front..front + message.len()].copy_from_slice(message);
        let record = self.own.seal(&mut buf, front..front + message.len())?;
        let _ = self.socket.send(&buf[record]);
        Ok(())
    }
}
