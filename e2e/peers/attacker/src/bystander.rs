//! Those who are only there: a member who pings, and a relayed flow.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::arena::Network;
use crate::wire::http::PATIENCE;
use crate::wire::transport::Door;
use crate::wire::turn::{Turn, Wire};
use crate::wire::websocket::WebSocket;

/// The bystanders' addresses, in networks of their own.
const MEMBER: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 201, 1, 1));
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 202, 1, 1));
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 203, 1, 1));
const FORWARDED_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 204, 1, 1));
const FORWARDED_PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(9, 205, 1, 1));

/// The time between pings.
const PING_EVERY: Duration = Duration::from_millis(50);

/// Datagrams a second of the flow, and the bytes of each.
const FLOW_RATE: u32 = 1000;
const FLOW_BYTES: usize = 200;

/// The time that a datagram may take before it counts as lost.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// The bytes of a channel's header.
const CHANNEL_HEADER: usize = 4;

/// The channel of the flow.
const CHANNEL: u16 = 0x4001;

/// The mode of this program in which it is a bare forwarder.
pub(crate) const FORWARD: &str = "--forward";

/// The time between looks at what has arrived, and with it the error of a delay: at both ends.
const LOOK: Duration = Duration::from_micros(200);
pub(crate) const MEASURED_WITHIN: Duration = Duration::from_micros(400);

/// Loss and delay over a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) sent: usize,
    /// Sorted.
    delays: Vec<Duration>,
}

impl Measured {
    fn new(sent: usize, mut delays: Vec<Duration>) -> Self {
        delays.sort_unstable();
        Self { sent, delays }
    }

    /// The share that got no answer, in percent.
    pub(crate) fn loss(&self) -> f64 {
        100.0 * (self.sent.saturating_sub(self.delays.len())) as f64 / self.sent.max(1) as f64
    }

    /// The delay that so many of a thousand do not exceed.
    pub(crate) fn permille(&self, of: usize) -> Duration {
        let index = (self.delays.len() * of / 1000).min(self.delays.len().saturating_sub(1));
        self.delays.get(index).copied().unwrap_or(Duration::MAX)
    }
}

/// Runs beside an attack until it is stopped.
#[derive(Debug)]
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Measured>,
    forwarder: Option<Child>,
}

impl Bystander {
    /// A member of a session of its own that pings the server. Every answer counts; a connection
    /// that breaks is lost pings from then on.
    pub(crate) fn member(server: Door) -> io::Result<Self> {
        let mut socket = WebSocket::open(MEMBER, server)?;
        socket.ask(r#"{"type":"create"}"#)?;
        socket.stream.tcp().set_read_timeout(Some(PATIENCE * 3))?;
        Ok(Self::run(move |stop| {
            let (mut sent, mut delays) = (0, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let start = Instant::now();
                sent += 1;
                if socket.ask(r#"{"type":"ping"}"#).is_ok() {
                    delays.push(start.elapsed());
                }
                std::thread::sleep(PING_EVERY);
            }
            Measured::new(sent, delays)
        }))
    }

    /// A thousand datagrams a second from a client through its relay to a peer.
    pub(crate) fn flow(server: SocketAddr) -> io::Result<Self> {
        let peer = UdpSocket::bind(SocketAddr::new(PEER, 0))?;
        let mut client = Turn::udp(CLIENT, server, "bystander")?;
        let refused = |code| io::Error::other(format!("the bystander's relay is refused with {code}"));
        client.allocate()?.map_err(refused)?;
        client.bind_channel(CHANNEL, peer.local_addr()?)?.map_err(refused)?;
        let Wire::Udp(socket) = client.wire else { return Err(io::ErrorKind::InvalidInput.into()) };
        peer.set_nonblocking(true)?;
        Ok(Self::run(move |stop| carry(&socket, &peer, 0, stop)))
    }

    /// The same through a bare forwarder, a process of its own where the server is.
    pub(crate) fn forwarded(network: &Network) -> io::Result<Self> {
        let peer = UdpSocket::bind(SocketAddr::new(FORWARDED_PEER, 0))?;
        let client = UdpSocket::bind(SocketAddr::new(FORWARDED_CLIENT, 0))?;
        let (from, to) = (network.forwarder(), peer.local_addr()?);
        let program = std::env::current_exe()?;
        let words = ["-", FORWARD, &from.to_string(), &to.to_string()];
        let child = network.there(&program).args(words).spawn()?;
        client.connect(from)?;
        peer.set_read_timeout(Some(Duration::from_millis(50)))?;
        let (start, mut buffer) = (Instant::now(), [0; 2000]);
        loop {
            client.send(b"?").ok();
            if peer.recv(&mut buffer).is_ok() {
                break;
            }
            if start.elapsed() > PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        // What is left of the questions.
        while peer.recv(&mut buffer).is_ok() {}
        peer.set_nonblocking(true)?;
        let flow = Self::run(move |stop| carry(&client, &peer, CHANNEL_HEADER, stop));
        Ok(Self { forwarder: Some(child), ..flow })
    }

    fn run(task: impl FnOnce(&AtomicBool) -> Measured + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        Self { stop, thread: std::thread::spawn(move || task(&asked)), forwarder: None }
    }

    /// Ends it; the measurement so far.
    pub(crate) fn end(self) -> Measured {
        self.stop.store(true, Ordering::Relaxed);
        let measured = self.thread.join().unwrap_or_default();
        if let Some(mut forwarder) = self.forwarder {
            let _ = forwarder.kill();
            let _ = forwarder.wait();
        }
        measured
    }
}

/// Sends on what it receives and does nothing else, until it is killed.
pub(crate) fn forward(from: &str, to: &str) -> Result<(), String> {
    let run = || -> io::Result<()> {
        let socket = UdpSocket::bind(from)?;
        let mut buffer = [0; 2048];
        loop {
            let (length, _) = socket.recv_from(&mut buffer)?;
            let _ = socket.send_to(&buffer[..length], to);
        }
    };
    run().map_err(|error| format!("forwarding from {from} to {to}: {error}"))
}

/// Sends the flow; `header` are the bytes of the channel's header that are left when it arrives.
fn carry(client: &UdpSocket, peer: &UdpSocket, header: usize, stop: &AtomicBool) -> Measured {
    let start = Instant::now();
    let (mut sent, mut delays, mut end) = (0u32, Vec::new(), None);
    let mut datagram = [0; 4 + FLOW_BYTES];
    datagram[..2].copy_from_slice(&CHANNEL.to_be_bytes());
    datagram[2..4].copy_from_slice(&(FLOW_BYTES as u16).to_be_bytes());
    let mut buffer = [0; 2000];
    loop {
        let due = start.elapsed().as_micros() * u128::from(FLOW_RATE) / 1_000_000;
        if end.is_none() && u128::from(sent) < due {
            datagram[4..12].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_be_bytes());
            let _ = client.send(&datagram);
            sent += 1;
        }
        while let Ok(length) = peer.recv(&mut buffer) {
            if let Some(stamp) = buffer[..length].get(header..).and_then(|data| data.first_chunk()) {
                let sent_at = Duration::from_nanos(u64::from_be_bytes(*stamp));
                delays.push(start.elapsed().saturating_sub(sent_at));
            }
        }
        if end.is_none() && stop.load(Ordering::Relaxed) {
            end = Some(Instant::now());
        }
        match end {
            Some(end) if end.elapsed() > STRAGGLERS || delays.len() >= sent as usize => break,
            _ => std::thread::sleep(LOOK),
        }
    }
    Measured::new(sent as usize, delays)
}
