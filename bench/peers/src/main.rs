//! Our data channels beside other stacks': what they carry, what that costs, how fast they answer and how soon they are open.
//!
//! Without an argument it measures every stack, each in a process of its own and one after the other, and prints a Markdown table. With
//! the name of a stack it measures that one and prints its row. Both ends of a connection are in the one process and talk over loopback.

mod columba;
mod end;
mod measure;
mod rustrtc;
mod str0m;
mod webrtc;

use std::process::{Command, ExitCode};

use end::Outcome;
use measure::{Figures, MESSAGE, ROUND_TRIPS, THROUGHPUT};

/// The stacks, by the names of their crates.
const STACKS: &[&str] = &["columba", "webrtc", "str0m", "rustrtc"];

/// What this binary was built from; it says which version of each stack that is.
const LOCK_FILE: &str = include_str!("../Cargo.lock");

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1) {
        Some(stack) => row(&stack),
        None => table(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures every stack. One that fails is named at the end, and the others are measured all the same.
fn table() -> Outcome<()> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!("{} CPUs, Linux {}", std::thread::available_parallelism()?, kernel.trim());
    println!(
        "Throughput: messages of {} KiB on one reliable, ordered channel, in one direction, for {} s. CPU: of the process, both ends.",
        MESSAGE / 1024,
        THROUGHPUT.as_secs()
    );
    println!(
        "Round trip: {ROUND_TRIPS} times 64 bytes there and back. Open: from nothing to a channel open at both ends, median.\n"
    );
    println!("{}", Figures::HEADINGS);
    let mut failed = Vec::new();
    for stack in STACKS {
        if !Command::new(std::env::current_exe()?).arg(stack).status()?.success() {
            failed.push(*stack);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("not measured: {}", failed.join(", ")).into()) }
}

/// Measures one stack.
fn row(stack: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        match stack {
            "columba" => measure::everything::<columba::Columba>().await,
            "webrtc" => measure::everything::<webrtc::Webrtc>().await,
            "str0m" => measure::everything::<str0m::Str0m>().await,
            "rustrtc" => measure::everything::<rustrtc::Rustrtc>().await,
            other => Err(format!("there is no stack '{other}' here, only {}", STACKS.join(", ")).into()),
        }
    });
    let figures = figures.map_err(|error| format!("{stack}: {error}"))?;
    println!("{}", figures.row(stack, version(stack)));
    // What a stack still has running is nobody's business any more.
    runtime.shutdown_background();
    Ok(())
}

/// A package's version, from the lock file.
fn version(package: &str) -> &'static str {
    let mut lines = LOCK_FILE.lines().skip_while(|line| *line != format!("name = \"{package}\""));
    lines.nth(1).and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap_or("")
}
