//! Our data channels beside those of other stacks: throughput, its cost, round trips, the time to
//! open, and the memory of idle connections.
//!
//! Without an argument it measures every stack, each in a process of its own and one after the
//! other, and prints three Markdown tables; with the name of one (`speed`, `pinned`, `memory`),
//! only that. With the name of a stack behind it, it measures that one and prints its row. `pinned`
//! sets ours beside QUIC where both send datagrams of 1,200 bytes, in turns. Both ends of a
//! connection are in the one process, over loopback.

mod columba;
mod end;
mod measure;
mod memory;
mod quinn;
mod rustrtc;
mod str0m;
mod webrtc;

use std::process::{Command, ExitCode, Stdio};

use end::{End, Outcome, PINNED_MTU};
use measure::{Figures, MESSAGE, ROUND_TRIPS, THROUGHPUT};
use memory::{Memory, PEERS, ROUNDS};

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
    Pinned,
    Memory,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Pinned => "pinned",
            Self::Memory => "memory",
        }
    }

    fn named(name: &str) -> Outcome<Self> {
        let found = [Self::Speed, Self::Pinned, Self::Memory].into_iter().find(|table| table.name() == name);
        found.ok_or_else(|| format!("there is no table '{name}', only speed, pinned and memory").into())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [] => print(Table::Speed).and(print_pinned()).and(print(Table::Memory)),
        [table] => Table::named(table).and_then(|table| match table {
            Table::Pinned => print_pinned(),
            Table::Speed | Table::Memory => print(table),
        }),
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

/// Measures every stack. One that fails is named at the end, and the others are measured all the
/// same.
fn print(table: Table) -> Outcome<()> {
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
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("{} CPUs, Linux {}", std::thread::available_parallelism()?, kernel.trim());
    match table {
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
            ("quinn", Table::Pinned) => figures::<quinn::Quinn<true>>(table, stack).await,
            ("quinn", _) => figures::<quinn::Quinn<false>>(table, stack).await,
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
        Table::Memory => memory::measure::<E>().await?.row(stack, version),
    })
}

/// A package's version, from the lock file.
fn version(package: &str) -> &'static str {
    let mut lines = LOCK_FILE.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1).and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap_or("")
}
