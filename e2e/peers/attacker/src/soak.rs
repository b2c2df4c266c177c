//! Mixed churn for a while, and then nothing may be left of it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::arena::{Network, Server};
use crate::wire::http::{join, request};
use crate::wire::transport::Door;
use crate::wire::turn::Turn;
use crate::wire::websocket::WebSocket;

/// The number of clients of each kind.
const CLIENTS: u8 = 4;

/// The gauges that must be back at zero; the connection that asks is one itself.
const GAUGES: [(&str, f64); 7] = [
    ("columba_signal_sessions", 0.0),
    ("columba_signal_peers", 0.0),
    ("columba_signal_connections", 0.0),
    ("columba_signal_buffered_bytes", 0.0),
    ("columba_turn_allocations", 0.0),
    ("columba_turn_relay_ports", 0.0),
    ("columba_http_connections", 1.0),
];

/// The time in which memberships and allocations of clients that vanished must have ended: an
/// allocation lives for ten minutes.
const AFTERMATH: Duration = Duration::from_secs(11 * 60);

/// The growth of the resident set that is taken for noise, in bytes.
const NOISE: u64 = 8 << 20;

/// Threads that a runtime may keep for blocking work.
const IDLE_THREADS: usize = 4;

/// Runs the churn for so long, then waits for the rest; the sentences about what is left.
pub(crate) fn run(network: &Network, program: &Path, time: Duration) -> Result<Vec<String>, String> {
    let mut server = Server::start(network, program, &["--joins-per-minute", "1000000"], None)?;
    let threads = server.threads();
    let (warm, rounds) = churn(&server, time);
    println!("waiting until the server has released everything");
    let files = server.files_left(0, AFTERMATH);
    let mut faults = Vec::new();
    let mut expect = |holds: bool, fault: String| {
        if !holds {
            faults.push(fault);
        }
    };
    expect(rounds > 0, "no client was ever served".to_owned());
    let metrics = server.metrics().map_err(|error| format!("the server does not answer: {error}"))?;
    for (name, most) in GAUGES {
        let value = metrics.get(name).copied().unwrap_or(f64::NAN);
        expect(value <= most, format!("{name} is {value} instead of {most}"));
    }
    expect(files == 0, format!("{files} files are still open"));
    let now = server.threads();
    expect(now <= threads + IDLE_THREADS, format!("there are {now} threads, {threads} at the start"));
    let resident = server.resident();
    println!("{:.1} MB after a fifth of the time, {:.1} MB now", warm as f64 / 1e6, resident as f64 / 1e6);
    expect(
        resident <= warm + warm / 5 + NOISE,
        format!("the memory has grown from {warm} to {resident} bytes"),
    );
    expect(server.is_alive(), "the server has ended".to_owned());
    Ok(faults)
}

/// All clients at once. Returns the resident set after a fifth of the time, when pools and caches
/// are filled, and the number of rounds that were served.
fn churn(server: &Server<'_>, time: Duration) -> (u64, u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let (web, stun) = (server.web(), server.stun());
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let kinds: [Box<dyn Fn(u64) -> bool + Send>; 3] = [
            Box::new(move |round| talk(n, web, round).is_ok()),
            Box::new(move |_| poll(n, web).is_ok()),
            Box::new(move |round| relay(n, stun, round).is_ok()),
        ];
        for client in kinds {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            clients.push(thread::spawn(move || {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    done.fetch_add(u64::from(client(round)), Ordering::Relaxed);
                    round += 1;
                }
            }));
        }
    }
    thread::sleep(time / 5);
    let warm = server.resident();
    let start = Instant::now();
    while start.elapsed() < time * 4 / 5 {
        thread::sleep(Duration::from_secs(60).min(time / 5));
        println!("{} rounds, {:.1} MB", done.load(Ordering::Relaxed), server.resident() as f64 / 1e6);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let _ = client.join();
    }
    (warm, done.load(Ordering::Relaxed))
}

/// The address of a client.
fn client(kind: u8, n: u8) -> IpAddr {
    [9, 100 + kind, n, 1].into()
}

/// Two members talk over WebSockets; every third pair goes without a word.
fn talk(n: u8, web: Door, round: u64) -> io::Result<()> {
    let enter = format!(r#"{{"type":"join","session":"soak-{n}-{round}"}}"#);
    let mut one = WebSocket::open(client(0, n), web)?;
    one.ask(&enter)?;
    let mut other = WebSocket::open(client(0, n), web)?;
    other.ask(&enter)?;
    for seq in 1..=10 {
        one.send(&format!(r#"{{"type":"send","seq":{seq},"data":"{}"}}"#, "x".repeat(1000)))?;
        while other.receive()?["type"] != "message" {}
        other.send(&format!(r#"{{"type":"ack","seq":{seq}}}"#))?;
    }
    if !round.is_multiple_of(3) {
        one.send(r#"{"type":"leave"}"#)?;
        other.send(r#"{"type":"leave"}"#)?;
    }
    Ok(())
}

/// A member over HTTP polls, and leaves.
fn poll(n: u8, web: Door) -> io::Result<()> {
    let source = client(1, n);
    let (_, bearer) = join(source, web, r#"{"type":"create"}"#)?;
    let header = format!("Authorization: Bearer {bearer}\r\n");
    request(source, web, "POST /v1/signal/messages", &header, r#"{"type":"ice-servers"}"#)?;
    request(source, web, "GET /v1/signal/events?after=0&wait=0", &header, "")?;
    request(source, web, "DELETE /v1/signal", &header, "")?;
    Ok(())
}

/// A client allocates over UDP or TCP, and releases, but for each hundredth.
fn relay(n: u8, stun: SocketAddr, round: u64) -> io::Result<()> {
    let user = format!("soak-{n}-{}", round / 20);
    let mut turn = match round % 2 {
        0 => Turn::udp(client(2, n), stun, &user)?,
        _ => Turn::tcp(client(2, n), stun, &user)?,
    };
    let allocated = turn.allocate()?;
    allocated.map_err(|code| io::Error::other(format!("refused with {code}")))?;
    if !round.is_multiple_of(100) {
        let _ = turn.release()?;
    }
    Ok(())
}
