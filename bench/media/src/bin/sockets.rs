//! Media over loopback: packets in a second, and the processor time of one, for a sender and a
//! receiver of one stack.
//!
//! Without an argument each stack is measured in a process of its own, one after the other in
//! several rounds; with the name of a stack, only that one, and its figures are printed.

#[path = "../over_sockets/columba.rs"]
mod columba_stack;
#[path = "../over_sockets/str0m.rs"]
mod str0m_stack;

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};

/// A result, or the error that ends a measurement.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bytes of a frame: forty packets of some 1,100 bytes.
pub(crate) const FRAME: usize = 44_000;

/// The time between two frames of a stream: 1,000 frames a second.
pub(crate) const STEP: Duration = Duration::from_millis(1);

/// The time for which is measured, after that for the estimate to grow.
const WARM_UP: Duration = Duration::from_secs(3);
const MEASURED: Duration = Duration::from_secs(5);

/// Rounds of all stacks.
const ROUNDS: usize = 3;

const STACKS: &[&str] = &["columba", "str0m"];

/// The packets that have arrived so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) packets: u64,
}

/// A connection with a sender and a receiver of video.
pub(crate) trait Stack: Sized {
    /// Connects both ends; the sender sends from now on.
    fn connect() -> impl Future<Output = Outcome<Self>> + Send;

    /// The packets that have arrived.
    fn progress(&self) -> Progress;

    /// Adds up the processor seconds until now: those of the whole process.
    fn processor() -> Outcome<f64> {
        let usage = getrusage(UsageWho::RUSAGE_SELF)?;
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [] => rounds(),
        [stack] => one(stack),
        _ => Err("the name of a stack is the only argument".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("columba-bench-media: {error}");
            ExitCode::FAILURE
        }
    }
}

fn rounds() -> Outcome<()> {
    println!("| stack | packets/s | µs of processor time a packet, both ends | packets/s of a core |");
    println!("|---|---:|---:|---:|");
    for _ in 0..ROUNDS {
        for stack in STACKS {
            if !Command::new(std::env::current_exe()?).arg(stack).status()?.success() {
                return Err(format!("{stack} was not measured").into());
            }
        }
    }
    Ok(())
}

fn one(stack: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match stack {
            "columba" => measure::<columba_stack::Columba>(stack).await,
            "str0m" => measure::<str0m_stack::Str0m>(stack).await,
            other => Err(format!("there is no stack {other}").into()),
        }
    })?;
    runtime.shutdown_background();
    Ok(())
}

async fn measure<S: Stack>(name: &str) -> Outcome<()> {
    let stack = S::connect().await?;
    tokio::time::sleep(WARM_UP).await;
    let (before, begin, spent) = (stack.progress(), Instant::now(), S::processor()?);
    tokio::time::sleep(MEASURED).await;
    let (after, passed, spent) = (stack.progress(), begin.elapsed().as_secs_f64(), S::processor()? - spent);
    let packets = (after.packets - before.packets) as f64;
    let (rate, cost) = (packets / passed, spent / packets);
    println!("| {name} | {rate:.0} | {:.2} | {:.0} |", cost * 1e6, 1.0 / cost);
    Ok(())
}
