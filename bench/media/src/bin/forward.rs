//! Prints what it costs to forward a packet in memory, from one connection to another: to parse it,
//! open it, write its numbers anew and protect it again.

use std::process::ExitCode;
use std::time::Duration;

use columba_bench_media::in_memory::{BATCH, Outcome, PAYLOAD, columba, str0m};

const ROUNDS: usize = 15;

/// Batches of a round.
const BATCHES: usize = 2000;

fn main() -> ExitCode {
    match forward() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("columba-bench-media: {error}");
            ExitCode::FAILURE
        }
    }
}

fn forward() -> Outcome<()> {
    println!("forwarded from one connection to another in memory, payloads of {PAYLOAD} bytes");
    let (mut ours, mut theirs) = (columba::Forwarder::new()?, str0m::Forwarder::new()?);
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(round("columba", || ours.batch())?);
        times[1].push(round("str0m", || theirs.batch())?);
    }
    let medians = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    println!("\n| stack | ns a packet | packets/s of one core | x str0m |");
    println!("|---|---:|---:|---:|");
    for (name, time) in ["columba", "str0m"].into_iter().zip(medians) {
        println!("| {name} | {time:.0} | {:.0} | {:.2} |", 1e9 / time, medians[1] / time);
    }
    Ok(())
}

/// Returns the nanoseconds of a packet.
fn round(name: &str, mut batch: impl FnMut() -> Outcome<(Duration, usize)>) -> Outcome<f64> {
    let (mut spent, mut count) = (Duration::ZERO, 0);
    for _ in 0..BATCHES {
        let (time, packets) = batch()?;
        spent += time;
        count += packets;
    }
    // A check of ICE takes the place of a packet now and then.
    if count < BATCHES * BATCH * 99 / 100 {
        return Err(format!("{name} forwarded {count} of {} packets", BATCHES * BATCH).into());
    }
    Ok(spent.as_nanos() as f64 / count as f64)
}
