//! The servers that are measured, each a process of its own on one core.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use crate::client::{self, SECRET};

/// The core that servers run on; the load is on another.
const CORE: &str = "0";

/// The kernel's clock ticks a second, in which it counts processor time.
const TICKS: f64 = 100.0;

/// The time in which a server must be there.
const START: Duration = Duration::from_secs(20);

/// The kinds of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Coturn,
    /// Sends on what it receives and does nothing else.
    Forwarder,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// Where the forwarder sends to: bound by the load.
    pub(crate) target: SocketAddr,
    child: Child,
}

impl Server {
    pub(crate) fn start(kind: Kind, program: &str) -> Result<Self, String> {
        let (address, target) = (free_address()?, free_address()?);
        let mut command = Command::new("taskset");
        command.args(["-c", CORE]);
        match kind {
            Kind::Ours => ours(&mut command, program, address),
            Kind::Coturn => coturn(&mut command, address),
            Kind::Forwarder => {
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                command.arg(own).args(["forward", &address.to_string(), &target.to_string()]);
            }
        }
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("not started ({error})"))?;
        let mut server = Self { kind, address, target, child };
        server.wait()?;
        Ok(server)
    }

    /// The processor time that the server has used, in seconds.
    pub(crate) fn processor_time(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / TICKS
    }

    /// The memory that the server has in use, in kB.
    pub(crate) fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
    }

    fn wait(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + START;
        loop {
            if self.kind == Kind::Forwarder {
                if UdpSocket::bind(self.address).is_err() {
                    return Ok(());
                }
            } else if client::is_answered(self.address) {
                return Ok(());
            }
            if Instant::now() > deadline || matches!(self.child.try_wait(), Ok(Some(_))) {
                return Err("does not start".to_owned());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ours(command: &mut Command, program: &str, address: SocketAddr) {
    command.arg(program).args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error"]);
    command.args(["--stun-listen", &address.to_string(), "--turn-secret", SECRET]);
    command.args(["--allow-peer", "127.0.0.0/8", "--answers-per-network", "unlimited"]);
    command.args(["--answers-total", "unlimited", "--max-allocations", "16000"]);
    for limit in ["--allocations-per-user", "--allocations-per-client"] {
        command.args([limit, "100000"]);
    }
    for limit in ["--bandwidth-per-user", "--bandwidth-per-client", "--max-bandwidth"] {
        command.args([limit, "10GB"]);
    }
}

fn coturn(command: &mut Command, address: SocketAddr) {
    command.args(["turnserver", "-n", "--no-tls", "--no-dtls", "--no-cli", "--use-auth-secret"]);
    command.arg(format!("--static-auth-secret={SECRET}")).args(["--realm=columba", "-L", "127.0.0.1"]);
    command.arg(format!("--listening-port={}", address.port())).arg("--allow-loopback-peers");
    command.args(["--relay-threads=1", "--simple-log", "--log-file=/dev/null", "--pidfile=/dev/null"]);
}

fn free_address() -> Result<SocketAddr, String> {
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    socket.local_addr().map_err(|error| error.to_string())
}

/// The bare forwarder: the floor under what a relay can cost.
pub(crate) fn forward(from: &str, to: &str) -> ExitCode {
    let run = || -> std::io::Result<()> {
        let (inside, outside) = (UdpSocket::bind(from)?, UdpSocket::bind("127.0.0.1:0")?);
        outside.connect(to)?;
        let mut buffer = [0; 2048];
        loop {
            let (length, _) = inside.recv_from(&mut buffer)?;
            // A target that is not there yet is no reason to stop.
            let _ = outside.send(&buffer[..length]);
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("forwarding ended ({error})");
            ExitCode::FAILURE
        }
    }
}
