//! Our data channels beside those of other stacks: throughput, its cost, round trips, the time to
//! open, and the memory of idle connections.
//!
//! Without an argument it measures every stack, each in a process of its own and one after the
//! other, and prints two Markdown tables; with the argument `memory`, only that of memory. With the
//! name of a stack, after the name of a table (`speed` or `memory`), it measures that one and
//! prints its row. Both ends of a connection are in the one process, over loopback.

mod columba;
mod end;
mod measure;
mod memory;
mod rustrtc;
mod str0m;
mod webrtc;

use std::process::{Command, ExitCode};

use end::{End, Outcome};
use measure::{Figures, MESSAGE, ROUND_TRIPS, THROUGHPUT};
use memory::{Memory, PEERS, ROUNDS};

/// The stacks, by the names of their crates.
const STACKS: &[&str] = &["columba", "webrtc", "str0m", "rustrtc"];

/// The lock file of this binary, for the version of each stack.
const LOCK_FILE: &str = include_str!("../Cargo.lock");

/// A table of figures.
#[derive(Clone, Copy)]
enum Table {
    Speed,
    Memory,
}

impl Table {
    const fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Memory => "memory",
        }
    }

    fn named(name: &str) -> Outcome<Self> {
        let found = [Self::Speed, Self::Memory].into_iter().find(|table| table.name() == name);
        found.ok_or_else(|| format!("there is no table '{name}', only speed and memory").into())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [] => print(Table::Speed).and(print(Table::Memory)),
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
        match stack {
            "columba" => figures::<columba::Columba>(table, stack).await,
            "webrtc" => figures::<webrtc::Webrtc>(table, stack).await,
            "str0m" => figures::<str0m::Str0m>(table, stack).await,
            "rustrtc" => figures::<rustrtc::Rustrtc>(table, stack).await,
            other => Err(format!("there is no stack '{other}' here, only {}", STACKS.join(", ")).into()),
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
        Table::Memory => memory::measure::<E>().await?.row(stack, version),
    })
}

/// A package's version, from the lock file.
fn version(package: &str) -> &'static str {
    let mut lines = LOCK_FILE.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1).and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap_or("")
}
