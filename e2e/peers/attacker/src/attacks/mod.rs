//! The attacks. Each gets a fresh server, and returns what it put in and got out.

mod floods;
mod limits;
mod membership;
mod memory;
mod relaying;
mod streams;
mod tls;

use std::path::Path;
use std::time::{Duration, Instant};

use crate::arena::Server;
use crate::bystander::{Bystander, MEASURED_WITHIN, Measured};
use crate::clock::Clock;

/// The least time for which a bystander is watched.
const LEAST: Duration = Duration::from_millis(1500);

/// The time in which the server must have released what the attack held: the membership of one who
/// vanished ends after half a minute.
const RELEASE: Duration = Duration::from_secs(40);

/// One attack.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// The server's options beside those that every attack uses.
    pub(crate) options: &'static [&'static str],
    /// The one who is watched meanwhile.
    pub(crate) bystander: Watched,
    /// Runs the attack, which ends what it opened.
    pub(crate) run: fn(&Server<'_>) -> Result<Report, String>,
    pub(crate) promise: Promise,
    /// True if it is part of the short form.
    pub(crate) is_short: bool,
    /// True if the server's clock can be stepped.
    pub(crate) has_clock: bool,
}

/// The kind of bystander.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watched {
    /// A member of a session who pings.
    Member,
    /// A relayed flow.
    Flow,
    /// A relayed flow, and beside it one through a bare forwarder, at most twice as late.
    Compared,
}

/// The promise that must hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    /// The bystander's loss, in percent.
    pub(crate) loss: f64,
    /// The 99th percentile of its delay.
    pub(crate) delay: Duration,
    /// Bytes out for each byte in, where a source is spoofed.
    pub(crate) amplification: f64,
}

impl Promise {
    /// A bystander that is served, within the delay of a machine that is busy.
    const SERVED: Self = Self { loss: 1.0, delay: Duration::from_secs(2), amplification: f64::INFINITY };
}

/// The attack's own view.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Promises of this attack alone that were broken.
    pub(crate) broken: Vec<String>,
    /// A remark for the table.
    pub(crate) note: String,
}

impl Report {
    /// Notes a promise that does not hold.
    fn promise(&mut self, holds: bool, sentence: impl Into<String>) {
        if !holds {
            self.broken.push(sentence.into());
        }
    }

    /// Sets a relayed flow beside one through a bare forwarder at the same time.
    fn compare(&mut self, relayed: &Measured, forwarded: &Measured) {
        let (ours, theirs) = (relayed.permille(990), forwarded.permille(990));
        let ms = |delay: Duration| delay.as_secs_f64() * 1e3;
        self.note.push_str(&format!(
            "; a bare forwarder: loss {:.1} %, p50 {:.1} ms, p99 {:.1} ms",
            forwarded.loss(),
            ms(forwarded.permille(500)),
            ms(theirs)
        ));
        self.promise(
            ours <= theirs * 2 + MEASURED_WITHIN,
            format!("a delay of {:.1} ms, {:.1} ms through a bare forwarder", ms(ours), ms(theirs)),
        );
        self.promise(
            relayed.loss() <= forwarded.loss() + 0.1,
            format!("loss of {:.2} %, {:.2} % through a bare forwarder", relayed.loss(), forwarded.loss()),
        );
    }
}

/// Everything about one attack.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) bystander: Measured,
    pub(crate) peak: u64,
    pub(crate) report: Report,
    pub(crate) resident_after: u64,
    pub(crate) seconds: f64,
}

/// The list, in the order in which they run.
pub(crate) fn all() -> Vec<Attack> {
    let kinds = [
        memory::ATTACKS,
        floods::ATTACKS,
        limits::ATTACKS,
        membership::ATTACKS,
        tls::ATTACKS,
        streams::ATTACKS,
        relaying::ATTACKS,
    ];
    kinds.into_iter().flat_map(|attacks| attacks.iter().map(Attack::copy)).collect()
}

impl Attack {
    /// An attack of the long form, with a member who must be served.
    const fn new(name: &'static str, run: fn(&Server<'_>) -> Result<Report, String>) -> Self {
        let (bystander, promise) = (Watched::Member, Promise::SERVED);
        Self { name, options: &[], bystander, run, promise, is_short: false, has_clock: false }
    }

    /// With other options of the server.
    const fn with(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    /// With another bystander, and what it is promised.
    const fn beside(self, bystander: Watched, promise: Promise) -> Self {
        Self { bystander, promise, ..self }
    }

    /// As part of the short form, too.
    const fn short(self) -> Self {
        Self { is_short: true, ..self }
    }

    /// With a clock that can be stepped.
    const fn with_clock(self) -> Self {
        Self { has_clock: true, ..self }
    }

    fn copy(&self) -> Self {
        Self { ..*self }
    }

    /// Runs it against a fresh server.
    pub(crate) fn execute(&self, network: &crate::arena::Network, program: &Path) -> Result<Outcome, String> {
        let clock = if self.has_clock { Some(Clock::new()?) } else { None };
        let mut server = Server::start(network, program, self.options, clock)?;
        let kills = server.kills();
        let none = |error| format!("there is no bystander: {error}");
        let bystander = match self.bystander {
            Watched::Member => Bystander::member(server.web()),
            Watched::Flow | Watched::Compared => Bystander::flow(server.stun()),
        };
        let bystander = bystander.map_err(none)?;
        let forwarded = match self.bystander {
            Watched::Compared => Some(Bystander::forwarded(network).map_err(none)?),
            Watched::Member | Watched::Flow => None,
        };
        let start = Instant::now();
        let report = (self.run)(&server);
        std::thread::sleep(LEAST.saturating_sub(start.elapsed()));
        let seconds = start.elapsed().as_secs_f64();
        let bystander = bystander.end();
        let forwarded = forwarded.map(Bystander::end);
        let mut report = report?;
        if let Some(forwarded) = forwarded {
            report.compare(&bystander, &forwarded);
        }
        report.promise(server.is_alive(), "the server has ended");
        report.promise(server.kills() == kills, "the kernel has killed the server for want of memory");
        report.promise(bystander.loss() <= self.promise.loss, format!("loss of {:.1} %", bystander.loss()));
        let delay = bystander.permille(990);
        report
            .promise(delay <= self.promise.delay, format!("a delay of {:.0} ms", delay.as_secs_f64() * 1e3));
        let amplification = report.bytes_out as f64 / report.bytes_in.max(1) as f64;
        report.promise(
            amplification <= self.promise.amplification,
            format!("{amplification:.2} bytes out for each in"),
        );
        let peak = server.peak();
        report.promise(peak < crate::arena::MEMORY, "all of the memory was used");
        // The bystander's allocation outlives it by ten minutes, and is a file.
        let kept = usize::from(self.bystander != Watched::Member);
        let left = server.files_left(kept, RELEASE);
        report.promise(left <= kept, format!("{left} files are still open"));
        let resident_after = server.resident();
        Ok(Outcome { bystander, peak, report, resident_after, seconds })
    }
}

/// The address of the attacker in the network with this number.
fn attacker(network: u16, host: u8) -> std::net::IpAddr {
    let [high, low] = network.to_be_bytes();
    [9, high, low, host].into()
}

/// Calls `each` with numbers from 0 until the time is over; the count.
fn for_so_long(time: Duration, mut each: impl FnMut(u64)) -> u64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < time {
        each(count);
        count += 1;
    }
    count
}
