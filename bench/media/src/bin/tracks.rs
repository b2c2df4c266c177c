//! Prints the memory of a track of video at both ends of a connection, and the allocations for a
//! packet that is forwarded.

use std::process::ExitCode;

use allocation_counter::measure;
use columba_bench_media::in_memory::{BATCH, Outcome, columba, str0m};

/// Tracks of the two connections whose difference is measured.
const FEW: usize = 1;
const MANY: usize = 9;

/// Frames of each track before its memory is looked at: ten seconds.
const FRAMES: u32 = 300;

/// Batches until everything has its size, and those whose allocations are counted.
const WARM_UP: usize = 5000;
const COUNTED: usize = 5000;

fn main() -> ExitCode {
    match tracks() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("columba-bench-media: {error}");
            ExitCode::FAILURE
        }
    }
}

fn tracks() -> Outcome<()> {
    println!("| stack | kB a track after {FRAMES} frames, both ends | allocations a forwarded packet |");
    println!("|---|---:|---:|");
    let ours = memory(|tracks| {
        let mut link = columba::Link::connected(tracks)?;
        Ok((link.send_frames(0, FRAMES)?, link))
    })?;
    let mut forwarder = columba::Forwarder::new()?;
    let allocations = allocations(|| forwarder.batch().map(|(_, packets)| packets))?;
    println!("| columba | {ours:.0} | {allocations:.3} |");
    let theirs = memory(|tracks| {
        let mut link = str0m::Link::connected(tracks, false)?;
        Ok((link.send_frames(0, FRAMES)?, link))
    })?;
    let mut forwarder = str0m::Forwarder::new()?;
    let allocations = self::allocations(|| forwarder.batch().map(|(_, packets)| packets))?;
    println!("| str0m | {theirs:.0} | {allocations:.3} |");
    Ok(())
}

/// Returns the kilobytes by which a track more makes a connection bigger.
fn memory<L>(mut connect: impl FnMut(usize) -> Outcome<(usize, L)>) -> Outcome<f64> {
    let mut bytes = [0; 2];
    for (tracks, bytes) in [FEW, MANY].into_iter().zip(&mut bytes) {
        let mut made = None;
        let used = measure(|| made = Some(connect(tracks)));
        let (frames, _link) = made.ok_or("nothing was measured")??;
        eprintln!("{tracks} tracks: {} kB with {frames} frames", used.bytes_current / 1000);
        *bytes = used.bytes_current;
    }
    Ok((bytes[1] - bytes[0]) as f64 / (MANY - FEW) as f64 / 1e3)
}

/// Returns the allocations for a packet, those of the far ends among them.
fn allocations(mut batch: impl FnMut() -> Outcome<usize>) -> Outcome<f64> {
    for _ in 0..WARM_UP {
        batch()?;
    }
    let mut outcome = Ok(());
    let used = measure(|| outcome = (0..COUNTED).try_for_each(|_| batch().map(drop)));
    outcome?;
    Ok(used.count_total as f64 / (COUNTED * BATCH) as f64)
}
