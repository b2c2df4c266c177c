//! `path ONE OTHER DELAY LOSS`: makes two network interfaces, and carries the packets of each to
//! the other with a delay in milliseconds; so many of a thousand are lost. The interfaces can be
//! moved to other network namespaces.
//!
//! The kernel here has no netem. A queue of more than 64 MiB drops what comes, as a router does.
//! Losses are the same in every run.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// Bytes that wait in one direction.
const LONGEST_QUEUE: usize = 64 << 20;

/// Bytes of the longest packet.
const LONGEST_PACKET: usize = 65_535;

/// A packet, and the time at which it arrives at the other end.
type Waiting = (Instant, Vec<u8>);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [one, other, delay, loss] = &arguments[..] else {
        return Err("usage: path ONE OTHER DELAY LOSS".into());
    };
    let (delay, loss) = (Duration::from_secs_f64(delay.parse::<f64>()? / 1000.0), loss.parse()?);
    let open = |name: &str| DeviceBuilder::new().name(name).layer(Layer::L3).build_sync().map(Arc::new);
    let (one, other) = (open(one)?, open(other)?);
    println!("open");
    let mut threads = Vec::new();
    for (from, to, seed) in [(one.clone(), other.clone(), 1), (other, one, 2)] {
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let way = Way { from, delay, loss, seed, waiting: waiting.clone() };
        threads.push(std::thread::spawn(move || way.take(&sender)));
        threads.push(std::thread::spawn(move || give(&to, &receiver, &waiting)));
    }
    for thread in threads {
        thread.join().map_err(|_| "a direction has failed")?;
    }
    Ok(())
}

/// The beginning of one direction.
struct Way {
    from: Arc<SyncDevice>,
    delay: Duration,
    loss: u32,
    seed: u32,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
}

impl Way {
    fn take(mut self, queue: &Sender<Waiting>) {
        let mut buffer = vec![0; LONGEST_PACKET];
        loop {
            // An interface that is being moved is down for a moment.
            let Ok(length) = self.from.recv(&mut buffer) else {
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let is_lost = (self.seed >> 8) % 1000 < self.loss;
            if is_lost || self.waiting.load(Ordering::Relaxed) + length > LONGEST_QUEUE {
                continue;
            }
            self.waiting.fetch_add(length, Ordering::Relaxed);
            if queue.send((Instant::now() + self.delay, buffer[..length].to_vec())).is_err() {
                return;
            }
        }
    }
}

/// The end of one direction.
fn give(to: &SyncDevice, queue: &Receiver<Waiting>, waiting: &AtomicUsize) {
    while let Ok((due, packet)) = queue.recv() {
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        waiting.fetch_sub(packet.len(), Ordering::Relaxed);
        // What the interface does not take is lost.
        let _ = to.send(&packet);
    }
}
