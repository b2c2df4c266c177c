//! A network of two namespaces: this process with every address of 9.0.0.0/8 and 2a00:9::/32 on one
//! side, a fresh server in a memory cgroup on the other.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::{self, Clock};
use crate::wire::http;
use crate::wire::transport::Door;

/// The secret behind the server's TURN passwords.
pub(crate) const SECRET: &str = "north";

/// The memory of the machine that the server believes to be on, in bytes.
pub(crate) const MEMORY: u64 = 256 << 20;

/// Where the server listens, and where this side's own address is.
const SERVER: Ipv4Addr = Ipv4Addr::new(5, 0, 0, 1);
const HERE: Ipv4Addr = Ipv4Addr::new(5, 0, 0, 2);

/// The time in which the server must be ready, and in which it must release what clients held.
const START: Duration = Duration::from_secs(20);

/// The server's namespace and memory cgroup.
#[derive(Debug)]
pub(crate) struct Network {
    namespace: String,
    /// The number of servers that were started, each in a cgroup of its own: the kernel's buffers
    /// of the one before are charged for a while after its end.
    servers: Cell<u32>,
}

/// A memory cgroup of either version.
#[derive(Debug)]
struct Cgroup {
    path: PathBuf,
    peak: &'static str,
    kills: &'static str,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server<'a> {
    child: Child,
    network: &'a Network,
    cgroup: Option<Cgroup>,
    tls: bool,
    clock: Option<Clock>,
    /// Before anything happened.
    files: usize,
}

impl Network {
    /// Makes the network; the process must be in a namespace of its own.
    pub(crate) fn new() -> Result<Self, String> {
        let namespace = format!("columba-attack-{}", std::process::id());
        for words in [
            "link set lo up",
            &format!("netns add {namespace}"),
            &format!("link add here type veth peer name there netns {namespace}"),
            "addr add 5.0.0.2/24 dev here",
            "-6 addr add 2a00:5::2/64 dev here nodad",
            "link set here up",
            "route add local 9.0.0.0/8 dev lo",
            "-6 route add local 2a00:9::/32 dev lo",
            &format!("-n {namespace} link set lo up"),
            &format!("-n {namespace} addr add 5.0.0.1/24 dev there"),
            &format!("-n {namespace} -6 addr add 2a00:5::1/64 dev there nodad"),
            &format!("-n {namespace} link set there up"),
            &format!("-n {namespace} route add default via 5.0.0.2"),
            &format!("-n {namespace} -6 route add default via 2a00:5::2"),
        ] {
            ip(&words.split(' ').collect::<Vec<_>>())?;
        }
        for (name, value) in [("net.ipv6.ip_nonlocal_bind", "1"), ("net.ipv4.ip_nonlocal_bind", "1")] {
            fs::write(format!("/proc/sys/{}", name.replace('.', "/")), value)
                .map_err(|error| format!("{name}: {error}"))?;
        }
        // Connections that were closed here leave their ports at once.
        let _ = fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1");
        if Cgroup::new(&namespace).is_none() {
            println!(
                "NO MEMORY CGROUP can be made here: the server is NOT limited to 256 MB, and the peak is the largest \
                 resident set, without the kernel's buffers."
            );
        }
        Ok(Self { namespace, servers: Cell::new(0) })
    }

    /// A program that will run where the server is.
    pub(crate) fn there(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg(program);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// The address of a bare forwarder beside the server.
    pub(crate) fn forwarder(&self) -> SocketAddr {
        SocketAddr::new(SERVER.into(), 4000)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = ip(&["netns", "del", &self.namespace]);
    }
}

impl Cgroup {
    fn new(name: &str) -> Option<Self> {
        let unified = Path::new("/sys/fs/cgroup");
        let (path, limit, peak, kills) = if unified.join("cgroup.controllers").exists() {
            let _ = fs::write(unified.join("cgroup.subtree_control"), "+memory");
            (unified.join(name), "memory.max", "memory.peak", "memory.events")
        } else {
            let path = unified.join("memory").join(name);
            (path, "memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")
        };
        fs::create_dir(&path).ok()?;
        if fs::write(path.join(limit), MEMORY.to_string()).is_err() {
            let _ = fs::remove_dir(&path);
            return None;
        }
        Some(Self { path, peak, kills })
    }

    /// The largest use, kernel buffers included.
    fn peak(&self) -> Option<u64> {
        fs::read_to_string(self.path.join(self.peak)).ok()?.trim().parse().ok()
    }

    fn kills(&self) -> u64 {
        let text = fs::read_to_string(self.path.join(self.kills)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Of a server that is gone: nothing is left in it.
        let _ = fs::remove_dir(&self.path);
    }
}

impl<'a> Server<'a> {
    /// Starts `columba serve` with these options, and waits until it is ready.
    pub(crate) fn start(
        network: &'a Network,
        program: &Path,
        options: &[&str],
        clock: Option<Clock>,
    ) -> Result<Self, String> {
        let path = std::env::temp_dir().join("columba-attack.log");
        let log = File::create(&path).map_err(|error| error.to_string())?;
        network.servers.set(network.servers.get() + 1);
        let cgroup = Cgroup::new(&format!("{}-{}", network.namespace, network.servers.get()));
        let enter = match &cgroup {
            Some(cgroup) => format!("echo $$ > {}/cgroup.procs && ", cgroup.path.display()),
            None => String::new(),
        };
        let mut command = Command::new("/bin/sh");
        // Not by `ip netns exec`, which hides the cgroup from the server.
        let namespace = format!("--net=/run/netns/{}", network.namespace);
        command.args(["-c", &format!("{enter}exec nsenter \"$0\" \"$@\""), &namespace]);
        command.arg(program).args(["serve", "--listen", "[::]:8080", "--stun-listen", "[::]:3478"]);
        command.args(["--turn-secret", SECRET, "--metrics-allow", "5.0.0.2/32", "--log-level", "warn"]);
        if !options.contains(&"--turn-credentials") {
            command.args(["--turn-credentials", "open"]);
        }
        command.args(options);
        if let Some(clock) = &clock {
            command.env("LD_PRELOAD", clock.library()).env(clock::VARIABLE, clock.file());
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("the server cannot be started: {error}"))?;
        let mut server = Self { child, network, cgroup, tls: options.contains(&"--tls"), clock, files: 0 };
        let deadline = Instant::now() + START;
        while server.metrics().is_err() {
            if Instant::now() > deadline || !server.is_alive() {
                return Err(format!("{} does not start; see {}", program.display(), path.display()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        server.files = server.open_files();
        Ok(server)
    }

    /// Lets the server's wall clock show so many seconds more than the system's, and returns the
    /// time since the Unix epoch that it shows.
    pub(crate) fn step_clock(&self, seconds: i64) -> Result<Duration, String> {
        let clock = self.clock.as_ref().ok_or("this server's clock cannot be stepped")?;
        clock.step(seconds)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shown = now.as_secs().checked_add_signed(seconds);
        Ok(Duration::from_secs(shown.ok_or("the clock would show a time before 1970")?))
    }

    /// Sets a variable of the kernel in the server's namespace.
    pub(crate) fn set_there(&self, name: &str, value: &str) -> Result<(), String> {
        let script = format!("echo {value} > /proc/sys/{name}");
        let status = self.network.there(Path::new("sh")).args(["-c", &script]).status();
        if status.is_ok_and(|status| status.success()) {
            Ok(())
        } else {
            Err(format!("{name} cannot be set"))
        }
    }

    /// Runs `ip` in the server's namespace.
    pub(crate) fn there(&self, words: &str) -> Result<(), String> {
        let namespace = ["-n", self.network.namespace.as_str()];
        ip(&namespace.into_iter().chain(words.split(' ')).collect::<Vec<_>>())
    }

    /// The number of threads.
    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id())).map_or(0, Iterator::count)
    }

    /// The web port.
    pub(crate) fn web(&self) -> Door {
        Door { address: SocketAddr::new(SERVER.into(), 8080), tls: self.tls }
    }

    /// The STUN and TURN port.
    pub(crate) fn stun(&self) -> SocketAddr {
        SocketAddr::new(SERVER.into(), 3478)
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The value of each sample in `/metrics`.
    pub(crate) fn metrics(&self) -> io::Result<BTreeMap<String, f64>> {
        let (status, text) = http::request(HERE.into(), self.web(), "GET /metrics", "", "")?;
        if status != 200 {
            return Err(io::Error::other(format!("/metrics: {status}")));
        }
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples = samples.filter_map(|line| line.rsplit_once(' '));
        Ok(samples.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }

    /// One sample; 0 if there is none, or no answer.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.metrics().ok().and_then(|all| all.get(name).copied()).unwrap_or_default()
    }

    fn status(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) << 10
    }

    /// The resident set in bytes.
    pub(crate) fn resident(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The largest use of memory: of the cgroup with the kernel's buffers, or of the process alone.
    pub(crate) fn peak(&self) -> u64 {
        self.cgroup.as_ref().and_then(Cgroup::peak).unwrap_or_else(|| self.status("VmHWM"))
    }

    /// The number of processes of the cgroup that the kernel has killed for want of memory.
    pub(crate) fn kills(&self) -> u64 {
        self.cgroup.as_ref().map_or(0, Cgroup::kills)
    }

    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// Waits until the server holds no more files than at its start, but for those that are kept;
    /// the number that is left.
    pub(crate) fn files_left(&self, kept: usize, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        loop {
            let left = self.open_files().saturating_sub(self.files);
            if left <= kept || Instant::now() > deadline {
                return left;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ip(words: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(words).output().map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
