//! The measurements, the same for every stack.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::resource::{UsageWho, getrusage};
use tokio::time::{sleep_until, timeout};

use crate::end::{End, Outcome, connect};
use crate::path::Path;

/// Bytes of a message of the throughput measurement.
pub(crate) const MESSAGE: usize = 64 * 1024;

/// Bytes of the messages of the measurement of sizes.
pub(crate) const SIZES: [usize; 4] = [1 << 10, 16 << 10, MESSAGE, 256 << 10];

/// The duration of the throughput measurement.
pub(crate) const THROUGHPUT: Duration = Duration::from_secs(4);

/// The time for which data flows before: congestion windows open, caches fill.
const WARM_UP: Duration = Duration::from_secs(1);

/// The same over a path with delay.
pub(crate) const FAR_WARM_UP: Duration = Duration::from_secs(4);

/// Paths with delay: their names, milliseconds of the round trip, datagrams lost of a thousand.
pub(crate) const FAR: [(&str, u64, u32); 3] =
    [("20 ms", 20, 0), ("100 ms", 100, 0), ("100 ms, 1 % lost", 100, 10)];

/// Round trips that are measured.
pub(crate) const ROUND_TRIPS: usize = 2_000;

/// Bytes of a message of the round trip measurement.
const PING: usize = 64;

/// Round trips before those that count.
const UNCOUNTED: usize = 100;

/// Connections that are opened for the median.
const OPENINGS: usize = 10;

/// The time after which an answer is lost.
const LOST: Duration = Duration::from_secs(10);

/// The figures of a stack.
#[derive(Debug)]
pub(crate) struct Figures {
    bits_per_second: f64,
    /// Of the process, user and kernel, for 10⁹ bytes received.
    cpu_seconds_per_gigabyte: f64,
    /// CPU seconds in a second.
    cores: f64,
    round_trip_p50: Duration,
    round_trip_p99: Duration,
    open_median: Duration,
}

impl Figures {
    /// The first two lines of the table.
    pub(crate) const HEADINGS: &str = "\
| stack | Mbit/s | CPU s/GB | cores | round trip p50 µs | p99 µs | open ms |
|---|---:|---:|---:|---:|---:|---:|";

    /// A line of the table.
    pub(crate) fn row(&self, stack: &str, version: &str) -> String {
        format!(
            "| {stack} {version} | {:.0} | {:.1} | {:.2} | {} | {} | {:.1} |",
            self.bits_per_second / 1e6,
            self.cpu_seconds_per_gigabyte,
            self.cores,
            self.round_trip_p50.as_micros(),
            self.round_trip_p99.as_micros(),
            self.open_median.as_secs_f64() * 1e3,
        )
    }
}

/// Measures a stack.
pub(crate) async fn everything<E: End>() -> Outcome<Figures> {
    let openings = openings::<E>().await?;
    let round_trips = round_trips::<E>().await?;
    let (bytes, taken, cpu) = throughput::<E>(&Path::DIRECT, MESSAGE, WARM_UP).await?;
    Ok(Figures {
        bits_per_second: bytes * 8.0 / taken,
        cpu_seconds_per_gigabyte: cpu / bytes * 1e9,
        cores: cpu / taken,
        round_trip_p50: share(&round_trips, 50),
        round_trip_p99: share(&round_trips, 99),
        open_median: share(&openings, 50),
    })
}

/// Measures what is compared with another stack: Mbit/s, CPU seconds for each GB, and milliseconds
/// to open.
pub(crate) async fn pinned<E: End>() -> Outcome<[f64; 3]> {
    let openings = openings::<E>().await?;
    let (bytes, taken, cpu) = throughput::<E>(&Path::DIRECT, MESSAGE, WARM_UP).await?;
    let open = share(&openings, 50).as_secs_f64() * 1e3;
    Ok([bytes * 8.0 / taken / 1e6, cpu / bytes * 1e9, open])
}

/// The time that each connection took to open, the shortest first.
async fn openings<E: End>() -> Outcome<Vec<Duration>> {
    let mut taken = Vec::with_capacity(OPENINGS);
    for _ in 0..OPENINGS {
        let start = Instant::now();
        let (one, other) = connect::<E>(&Path::DIRECT).await?;
        taken.push(start.elapsed());
        one.close().await?;
        other.close().await?;
    }
    taken.sort();
    Ok(taken)
}

/// The round-trip time of each small message, the shortest first.
async fn round_trips<E: End>() -> Outcome<Vec<Duration>> {
    let (asking, answering) = connect::<E>(&Path::DIRECT).await?;
    let answering = Arc::new(answering);
    let echo = tokio::spawn({
        let answering = Arc::clone(&answering);
        async move {
            loop {
                let length = answering.receive().await?;
                answering.send(Bytes::from(vec![0; length])).await?;
            }
            #[expect(unreachable_code, reason = "it gives the task's error type")]
            Outcome::Ok(())
        }
    });
    let ping = Bytes::from_static(&[1; PING]);
    let mut taken = Vec::with_capacity(ROUND_TRIPS);
    for round in 0..UNCOUNTED + ROUND_TRIPS {
        let start = Instant::now();
        asking.send(ping.clone()).await?;
        let length = timeout(LOST, asking.receive()).await.map_err(|_| "an answer was lost")??;
        if length != PING {
            return Err(format!("{PING} bytes came back as {length}").into());
        }
        if round >= UNCOUNTED {
            taken.push(start.elapsed());
        }
    }
    echo.abort();
    asking.close().await?;
    answering.close().await?;
    taken.sort();
    Ok(taken)
}

/// Mbit/s over each path with delay. A stack that moves nothing there has a dash.
pub(crate) async fn far<E: End>() -> [String; FAR.len()] {
    let mut columns = [const { String::new() }; FAR.len()];
    for (column, (_, round_trip, loss)) in columns.iter_mut().zip(FAR) {
        let path = Path::long(Duration::from_millis(round_trip), loss);
        let all = throughput::<E>(&path, MESSAGE, FAR_WARM_UP);
        *column = match timeout(2 * LOST + FAR_WARM_UP + THROUGHPUT, all).await {
            Ok(Ok((bytes, taken, _))) => format!("{:.0}", bytes * 8.0 / taken / 1e6),
            Ok(Err(_)) | Err(_) => "–".to_owned(),
        };
    }
    columns
}

/// Mbit/s with messages of each size. A stack that does not send them has a dash.
pub(crate) async fn sizes<E: End>() -> [String; SIZES.len()] {
    let mut columns = [const { String::new() }; SIZES.len()];
    for (column, size) in columns.iter_mut().zip(SIZES) {
        *column = match timeout(LOST + THROUGHPUT, throughput::<E>(&Path::DIRECT, size, WARM_UP)).await {
            Ok(Ok((bytes, taken, _))) => format!("{:.0}", bytes * 8.0 / taken / 1e6),
            Ok(Err(_)) | Err(_) => "–".to_owned(),
        };
    }
    columns
}

/// Bytes received, the seconds in which they were, and the CPU seconds that this took.
async fn throughput<E: End>(path: &Path, size: usize, warm_up: Duration) -> Outcome<(f64, f64, f64)> {
    let (sending, receiving) = connect::<E>(path).await?;
    let sender = tokio::spawn(async move {
        let message = Bytes::from(vec![2; size]);
        while sending.send(message.clone()).await.is_ok() {}
        sending
    });
    receive_until(&receiving, size, Instant::now() + warm_up).await?;
    let (start, cpu) = (Instant::now(), cpu_seconds()?);
    let bytes = receive_until(&receiving, size, start + THROUGHPUT).await?;
    let (taken, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    sender.abort();
    if bytes == 0 {
        return Err("nothing was received".into());
    }
    Ok((bytes as f64, taken, cpu))
}

/// Receives until then; returns the number of bytes.
async fn receive_until<E: End>(end: &E, size: usize, deadline: Instant) -> Outcome<usize> {
    let mut over = std::pin::pin!(sleep_until(deadline.into()));
    let mut bytes = 0;
    loop {
        tokio::select! {
            length = end.receive() => match length? {
                length if length == size => bytes += size,
                other => return Err(format!("{size} bytes arrived as {other}").into()),
            },
            () = &mut over => return Ok(bytes),
        }
    }
}

/// The CPU seconds of this process, user and kernel.
fn cpu_seconds() -> Outcome<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The value below which so many percent of the sorted values are.
fn share(sorted: &[Duration], percent: usize) -> Duration {
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}
