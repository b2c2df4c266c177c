//! The loads: packets at a steady rate through allocations, requests, and allocations themselves.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{self, Client};
use crate::servers::{Kind, Server};

/// The allocations that packets go through in turn.
const CLIENTS: usize = 16;

/// The time for which a load lasts.
const LASTS: Duration = Duration::from_secs(4);

/// The packets that are sent at once, except in bursts.
const BATCH: usize = 16;

/// The packets of a burst.
const BURST: usize = 10;

/// The time for packets that are on their way.
const REST: Duration = Duration::from_millis(300);

/// The allocations that are made for their memory and time.
const ALLOCATIONS: usize = 2000;

/// The Binding requests that wait for their answers at most.
const WINDOW: u64 = 64;

/// A kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// From clients to a peer.
    Up { payload: usize },
    /// And back.
    Echo { payload: usize },
    /// Between two clients of the same server.
    Pair { payload: usize },
    /// Ten packets of 1,200 bytes at once to a peer, 1,500 times a second.
    Bursts,
}

/// The result of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// Processor time of the server for each packet that was relayed, in microseconds.
    pub(crate) micros: f64,
    /// The share of the packets that arrived.
    pub(crate) arrived: f64,
}

impl Load {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Up { payload } => format!("up, {payload} bytes"),
            Self::Echo { payload } => format!("echo, {payload} bytes"),
            Self::Pair { payload } => format!("pair, {payload} bytes"),
            Self::Bursts => "bursts of 10 × 1,200 bytes".to_owned(),
        }
    }

    /// Packets a second.
    fn rate(self) -> u64 {
        match self {
            Self::Up { .. } => 60_000,
            Self::Echo { .. } => 25_000,
            Self::Pair { .. } => 40_000,
            Self::Bursts => 15_000,
        }
    }

    fn payload(self) -> usize {
        match self {
            Self::Up { payload } | Self::Echo { payload } | Self::Pair { payload } => payload,
            Self::Bursts => 1200,
        }
    }
}

/// Counts what arrives at a socket until it is told to stop.
struct Sink {
    arrived: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Sink {
    fn new() -> Self {
        Self { arrived: Arc::default(), stop: Arc::default() }
    }

    fn watch(&self, socket: &UdpSocket, echo: bool) -> Result<(), String> {
        let socket = socket.try_clone().map_err(|error| error.to_string())?;
        socket.set_read_timeout(Some(Duration::from_millis(100))).map_err(|error| error.to_string())?;
        let (arrived, stop) = (Arc::clone(&self.arrived), Arc::clone(&self.stop));
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    if echo {
                        let _ = socket.send_to(&buffer[..length], from);
                    } else {
                        arrived.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Puts a load on a server.
pub(crate) fn run(server: &Server, load: Load) -> Result<Report, String> {
    let bind = |address| UdpSocket::bind(address).map_err(|error| error.to_string());
    let peer = bind(server.target)?;
    let (sink, echoes) = (Sink::new(), Sink::new());
    let mut senders = Vec::new();
    let mut others = Vec::new();
    if server.kind == Kind::Forwarder {
        if !matches!(load, Load::Up { .. } | Load::Bursts) {
            return Err("-".to_owned());
        }
        let socket = bind(([127, 0, 0, 1], 0).into())?;
        socket.connect(server.address).map_err(|error| error.to_string())?;
        sink.watch(&peer, false)?;
        senders.push(socket);
    } else {
        for _ in 0..CLIENTS {
            let mut client = Client::allocate(server.address)?;
            match load {
                Load::Up { .. } | Load::Echo { .. } | Load::Bursts => client.bind(server.target)?,
                Load::Pair { .. } => {
                    let mut other = Client::allocate(server.address)?;
                    client.bind(other.relayed)?;
                    other.bind(client.relayed)?;
                    sink.watch(&other.socket, false)?;
                    others.push(other);
                }
            }
            if let Load::Echo { .. } = load {
                sink.watch(&client.socket, false)?;
            }
            senders.push(client.socket);
        }
        match load {
            Load::Echo { .. } => echoes.watch(&peer, true)?,
            Load::Up { .. } | Load::Bursts => sink.watch(&peer, false)?,
            Load::Pair { .. } => {}
        }
    }
    let packet = match server.kind {
        Kind::Forwarder => vec![7; load.payload()],
        Kind::Ours | Kind::Coturn => Client::channel_data(load.payload()),
    };
    let batch = if let Load::Bursts = load { BURST } else { BATCH };
    let before = server.processor_time();
    let sent = send(&senders, &packet, load.rate(), batch);
    thread::sleep(REST);
    let used = server.processor_time() - before;
    let arrived = sink.arrived.load(Ordering::Relaxed);
    // An echo is relayed twice.
    let relayed = if let Load::Echo { .. } = load { 2 * arrived } else { arrived };
    if relayed == 0 {
        return Err("nothing arrives".to_owned());
    }
    Ok(Report { micros: used * 1e6 / relayed as f64, arrived: arrived as f64 / sent as f64 })
}

/// Sends packets at a steady rate, by one socket after the other; returns how many.
fn send(sockets: &[UdpSocket], packet: &[u8], rate: u64, batch: usize) -> u64 {
    let (start, mut sent) = (Instant::now(), 0_u64);
    for socket in sockets.iter().cycle() {
        let passed = start.elapsed();
        if passed >= LASTS {
            break;
        }
        let due = (passed.as_micros() as u64 * rate) / 1_000_000;
        if due < sent + batch as u64 {
            thread::sleep(Duration::from_micros(100));
            continue;
        }
        for _ in 0..batch {
            sent += u64::from(socket.send(packet).is_ok());
        }
    }
    sent
}

/// Binding requests that a whole core would answer in a second.
pub(crate) fn bindings(server: &Server) -> Result<f64, String> {
    let text = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind("127.0.0.1:0").map_err(text)?;
    socket.connect(server.address).map_err(text)?;
    socket.set_read_timeout(Some(Duration::from_millis(50))).map_err(text)?;
    let request = client::binding();
    let (before, start) = (server.processor_time(), Instant::now());
    let (mut waiting, mut answered, mut buffer) = (0_u64, 0_u64, [0; 2048]);
    while start.elapsed() < LASTS {
        while waiting < WINDOW {
            socket.send(&request).map_err(text)?;
            waiting += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(_) => (waiting, answered) = (waiting - 1, answered + 1),
            // What was lost is not waited for.
            Err(_) => waiting = 0,
        }
    }
    Ok(answered as f64 / (server.processor_time() - before).max(0.01))
}

/// Allocations that a whole core would make in a second.
pub(crate) fn allocations(server: &Server) -> Result<f64, String> {
    let before = server.processor_time();
    let held = allocate(server)?;
    Ok(held.len() as f64 / (server.processor_time() - before).max(0.01))
}

/// Memory for each allocation, in kB.
pub(crate) fn memory(server: &Server) -> Result<f64, String> {
    // What is there once and for all clients is not counted.
    let first: Vec<Client> =
        (0..CLIENTS).map(|_| Client::allocate(server.address)).collect::<Result<_, _>>()?;
    let before = server.memory();
    let held = allocate(server)?;
    let used = server.memory() - before;
    drop(first);
    Ok(used / held.len() as f64)
}

fn allocate(server: &Server) -> Result<Vec<Client>, String> {
    (0..ALLOCATIONS).map(|_| Client::allocate(server.address)).collect()
}
