//! Our data channels beside those of other stacks: throughput, its cost, round trips, the time to
//! open, and the memory of idle connections.
//!
//! Without an argument it measures every stack, each in a process of its own and one after the
//! other, and prints a Markdown document, which the chore writes to `docs/benchmarks.md`; with the
//! name of a table (`speed`, `sizes`, `pinned`, `far`, `memory`, `thousand`), only that. With the
//! name of a stack behind it, it measures that one and prints its row. `pinned` sets ours beside
//! QUIC where both send datagrams of 1,200 bytes, in turns. Both ends of a connection are in the
//! one process, over loopback, or in `far` over a path with delay and loss (`path`).

mod columba;
mod end;
mod measure;
mod memory;
mod path;
mod quinn;
mod rustrtc;
mod str0m;
mod webrtc;

use std::process::{Command, ExitCode, Stdio};

use end::{End, Outcome, PINNED_MTU};
use measure::{FAR, FAR_WARM_UP, Figures, MESSAGE, ROUND_TRIPS, SIZES, THROUGHPUT};
use memory::{MANY, Memory, PEERS, ROUNDS};

/// The stacks, by the names of their crates.
const STACKS: &[&str] = &["columba", "quinn", "webrtc", "str0m", "rustrtc"];

/// The stacks of the table with the MTU pinned. The second is the measure.
const PINNED: [&str; 2] = ["columba", "quinn"];

/// Times that each of them is measured; the medians count.
const PINNED_ROUNDS: usize = 3;

/// The lock file of this binary, for the version of each stack.
const LOCK_FILE: &str = include_str!("../Cargo.lock");

/// A table of figures.
#[derive(Clone, Copy)]
enum Table {
    Speed,
    Sizes,
    Pinned,
    Far,
    Memory,
    Thousand,
}

impl Table {
    const ALL: [Self; 6] = [Self::Speed, Self::Sizes, Self::Pinned, Self::Far, Self::Memory, Self::Thousand];

    const fn title(self) -> &'static str {
        match self {
            Self::Speed => "Throughput, round trips, time to open",
            Self::Sizes => "Sizes of messages",
            Self::Pinned => "The same datagrams as QUIC",
            Self::Far => "Delay and loss",
            Self::Memory => "Memory",
            Self::Thousand => "A thousand connections",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Sizes => "sizes",
            Self::Thousand => "thousand",
            Self::Pinned => "pinned",
            Self::Far => "far",
            Self::Memory => "memory",
        }
    }

    fn named(name: &str) -> Outcome<Self> {
        let found = Self::ALL.into_iter().find(|table| table.name() == name);
        let names = Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("there is no table '{name}', only {names}").into())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [] => print_document(),
        [table] => Table::named(table).and_then(print),
        [table, stack, ..] => Table::named(table).and_then(|table| row(table, stack)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything. A table that fails in part does not keep the others from being measured.
fn print_document() -> Outcome<()> {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let model = file("/proc/cpuinfo")
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned()));
    let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?.stdout;
    let load = file("/proc/loadavg");
    println!("# Benchmarks of data channels\n");
    println!(
        "Written by `cargo xtask bench peers`; both ends of a connection are in one process, over loopback."
    );
    println!(
        "{}; a load of {} on {} CPUs at the beginning; Linux {}; {}.\n",
        String::from_utf8(date)?.trim(),
        load.split(' ').next().unwrap_or_default(),
        std::thread::available_parallelism()?,
        file("/proc/sys/kernel/osrelease").trim(),
        model.as_deref().unwrap_or("a CPU without a name"),
    );
    let outcomes = Table::ALL.map(print);
    outcomes.into_iter().collect()
}

/// Measures every stack. One that fails is named at the end, and the others are measured all the
/// same.
fn print(table: Table) -> Outcome<()> {
    if matches!(table, Table::Pinned) {
        return print_pinned();
    }
    print_heading(table)?;
    let mut failed = Vec::new();
    for stack in STACKS {
        if !Command::new(std::env::current_exe()?).args([table.name(), stack]).status()?.success() {
            failed.push(*stack);
        }
    }
    println!();
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", ")).into()) }
}

/// Measures ours and quinn in turns with the MTU pinned, and sets one beside the other.
fn print_pinned() -> Outcome<()> {
    print_heading(Table::Pinned)?;
    let mut numbers = [const { Vec::new() }; PINNED.len()];
    for _ in 0..PINNED_ROUNDS {
        for (stack, numbers) in PINNED.iter().zip(&mut numbers) {
            let child = Command::new(std::env::current_exe()?)
                .args([Table::Pinned.name(), stack])
                .stderr(Stdio::inherit())
                .output()?;
            let row = String::from_utf8(child.stdout)?;
            let found = row.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
            let found = <[f64; 3]>::try_from(found).map_err(|_| format!("{stack} was not measured"))?;
            numbers.push(found);
        }
    }
    let medians = numbers.map(medians);
    for (stack, [mbits, cpu, open]) in PINNED.iter().zip(&medians) {
        println!("| {stack} {} | {mbits:.0} | {cpu:.2} | {open:.2} |", version(stack));
    }
    let [ours, measure] = medians;
    let [mbits, cpu, open] = std::array::from_fn(|place| ours[place] / measure[place]);
    println!("| ours, of quinn's | {mbits:.2} | {cpu:.2} | {open:.2} |\n");
    Ok(())
}

/// The median of each number.
fn medians(rounds: Vec<[f64; 3]>) -> [f64; 3] {
    std::array::from_fn(|place| {
        let mut sorted: Vec<f64> = rounds.iter().map(|round| round[place]).collect();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    })
}

/// Prints the conditions of the measurement and the first lines of its table.
fn print_heading(table: Table) -> Outcome<()> {
    println!("## {}\n", table.title());
    match table {
        Table::Sizes => {
            println!(
                "Mbit/s on one reliable, ordered channel, in one direction, with messages of so many KiB, for {} s \
                 each. A dash: a stack does not send them.\n",
                THROUGHPUT.as_secs()
            );
            let sizes = SIZES.map(|size| (size / 1024).to_string());
            println!("| stack | {} KiB |\n|---|{}", sizes.join(" KiB | "), "---:|".repeat(SIZES.len()));
        }
        Table::Thousand => {
            println!(
                "Growth of the resident set with {MANY} connections open and idle at once, which are {} peers, and \
                 the time to open all of them.\n",
                2 * MANY
            );
            println!("| stack | open kB/peer | opened in s |\n|---|---:|---:|");
        }
        Table::Far => {
            println!(
                "Mbit/s with messages of {} KiB on one reliable, ordered channel, in one direction, for {} s after {} s, \
                 over a relay that holds datagrams back; the same of them are lost for every stack, in both directions. \
                 quinn has BBR and windows of 64 MiB here, the others what they have by default. A dash: nothing arrived.\n",
                MESSAGE / 1024,
                THROUGHPUT.as_secs(),
                FAR_WARM_UP.as_secs()
            );
            let names = FAR.map(|(name, ..)| name);
            println!("| stack | {} |\n|---|{}", names.join(" | "), "---:|".repeat(FAR.len()));
        }
        Table::Speed => {
            let (kibibytes, seconds) = (MESSAGE / 1024, THROUGHPUT.as_secs());
            println!(
                "Throughput: messages of {kibibytes} KiB on one reliable, ordered channel, in one direction, for \
                 {seconds} s. CPU: of the process, both ends."
            );
            println!(
                "Round trip: {ROUND_TRIPS} times 64 bytes there and back. Open: from nothing to a channel open \
                 at both ends, median.\n"
            );
            println!("{}", Figures::HEADINGS);
        }
        Table::Pinned => {
            println!(
                "Datagrams of {PINNED_MTU} bytes; medians of {PINNED_ROUNDS} runs in turns. Open: from nothing to \
                 a channel, or a stream, open at both ends.\n"
            );
            println!("| stack | Mbit/s | CPU s/GB | open ms |\n|---|---:|---:|---:|");
        }
        Table::Memory => {
            println!(
                "Memory: growth of the resident set over {PEERS} idle peers with an open channel, and after all \
                 were closed, {ROUNDS} rounds.\n"
            );
            println!("{}", Memory::HEADINGS);
        }
    }
    Ok(())
}

/// Measures one stack, and prints its row.
fn row(table: Table, stack: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let row = runtime.block_on(async {
        match (stack, table) {
            ("columba", Table::Pinned) => figures::<columba::Columba<true>>(table, stack).await,
            ("columba", _) => figures::<columba::Columba<false>>(table, stack).await,
            ("quinn", Table::Pinned) => figures::<quinn::Quinn<true, false>>(table, stack).await,
            ("quinn", Table::Far) => figures::<quinn::Quinn<false, true>>(table, stack).await,
            ("quinn", _) => figures::<quinn::Quinn<false, false>>(table, stack).await,
            ("webrtc", _) => figures::<webrtc::Webrtc>(table, stack).await,
            ("str0m", _) => figures::<str0m::Str0m>(table, stack).await,
            ("rustrtc", _) => figures::<rustrtc::Rustrtc>(table, stack).await,
            (other, _) => Err(format!("there is no stack '{other}' here, only {}", STACKS.join(", ")).into()),
        }
    });
    println!("{}", row.map_err(|error| format!("{stack}: {error}"))?);
    // Tasks that a stack has left running are dropped.
    runtime.shutdown_background();
    Ok(())
}

/// Returns a stack's row.
async fn figures<E: End>(table: Table, stack: &str) -> Outcome<String> {
    let version = version(stack);
    Ok(match table {
        Table::Speed => measure::everything::<E>().await?.row(stack, version),
        Table::Pinned => measure::pinned::<E>().await?.map(|number| number.to_string()).join(" "),
        Table::Sizes => format!("| {stack} {version} | {} |", measure::sizes::<E>().await.join(" | ")),
        Table::Far => format!("| {stack} {version} | {} |", measure::far::<E>().await.join(" | ")),
        Table::Memory => memory::measure::<E>().await?.row(stack, version),
        Table::Thousand => {
            let (kilobytes, seconds) = memory::measure_many::<E>().await?;
            format!("| {stack} {version} | {kilobytes:.1} | {seconds:.1} |")
        }
    })
}

/// A package's version, from the lock file.
fn version(package: &str) -> &'static str {
    let mut lines = LOCK_FILE.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1).and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap_or("")
}
