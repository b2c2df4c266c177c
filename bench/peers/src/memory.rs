//! The resident memory of connections that are open and idle, and what is left of it once they are
//! closed.

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::end::{End, Outcome, connect};
use crate::path::Path;

/// Connections that are open at once; each has two peers in this process.
const CONNECTIONS: usize = 200;

/// Connections that are open at once where there are many.
pub(crate) const MANY: usize = 1000;

/// Peers that are open at once.
pub(crate) const PEERS: usize = 2 * CONNECTIONS;

/// Connections that are opened and closed before anything is measured, for the buffers of threads.
const WARM_UP: usize = 4;

/// Connections that are being opened at the same time.
const CONCURRENT: usize = 8;

/// Times that all connections are opened and closed.
pub(crate) const ROUNDS: usize = 4;

/// The time after which open connections are idle, and closed ones are gone.
const SETTLE: Duration = Duration::from_secs(4);

/// The resources of this process.
#[derive(Clone, Copy, Debug)]
struct Usage {
    resident_kilobytes: u64,
    files: usize,
    tasks: usize,
}

/// The resources of a stack's connections.
#[derive(Debug)]
pub(crate) struct Memory {
    before: Usage,
    /// With all connections open, in the first round.
    open: Usage,
    /// With all connections closed, after each round.
    closed: Vec<Usage>,
}

impl Memory {
    /// The first two lines of the table.
    pub(crate) const HEADINGS: &str = "\
| stack | open kB/peer | closed, first round kB/peer | last round kB/peer | files left | tasks left |
|---|---:|---:|---:|---:|---:|";

    /// A line of the table.
    pub(crate) fn row(&self, stack: &str, version: &str) -> String {
        let grown = |usage: &Usage| {
            (usage.resident_kilobytes as f64 - self.before.resident_kilobytes as f64) / PEERS as f64
        };
        let [first, .., last] = &self.closed[..] else { return String::new() };
        format!(
            "| {stack} {version} | {:.1} | {:.1} | {:.1} | {} | {} |",
            grown(&self.open),
            grown(first),
            grown(last),
            last.files as i64 - self.before.files as i64,
            last.tasks as i64 - self.before.tasks as i64,
        )
    }
}

/// Measures a stack.
pub(crate) async fn measure<E: End>() -> Outcome<Memory> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    close(open::<E>(WARM_UP).await?).await?;
    let before = Usage::now()?;
    let mut while_open = None;
    let mut closed = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let connections = open::<E>(CONNECTIONS).await?;
        while_open.get_or_insert(Usage::now()?);
        close(connections).await?;
        closed.push(Usage::now()?);
    }
    Ok(Memory { before, open: while_open.ok_or("no round")?, closed })
}

/// Kilobytes of each peer with many connections open, and the seconds that it took to open them.
pub(crate) async fn measure_many<E: End>() -> Outcome<(f64, f64)> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    close(open::<E>(WARM_UP).await?).await?;
    let (before, start) = (Usage::now()?, Instant::now());
    let connections = open::<E>(MANY).await?;
    let taken = start.elapsed() - SETTLE;
    let grown = Usage::now()?.resident_kilobytes as f64 - before.resident_kilobytes as f64;
    close(connections).await?;
    Ok((grown / (2 * MANY) as f64, taken.as_secs_f64()))
}

/// Opens connections, and waits until they are idle.
async fn open<E: End>(count: usize) -> Outcome<Vec<(E, E)>> {
    let mut connections = Vec::with_capacity(count);
    let mut opening = JoinSet::new();
    let mut started = 0;
    while connections.len() < count {
        while started < count && opening.len() < CONCURRENT {
            opening.spawn(connect::<E>(&Path::DIRECT));
            started += 1;
        }
        connections.push(opening.join_next().await.ok_or("nothing is being opened")???);
    }
    sleep(SETTLE).await;
    Ok(connections)
}

/// Closes connections, and waits until they are gone.
async fn close<E: End>(connections: Vec<(E, E)>) -> Outcome<()> {
    for (one, other) in connections {
        one.close().await?;
        other.close().await?;
    }
    sleep(SETTLE).await;
    Ok(())
}

impl Usage {
    fn now() -> Outcome<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .ok_or("the kernel does not say how much memory is resident")?;
        Ok(Self {
            resident_kilobytes: resident.parse()?,
            files: std::fs::read_dir("/proc/self/fd")?.count(),
            tasks: Handle::current().metrics().num_alive_tasks(),
        })
    }
}
