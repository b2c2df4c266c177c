//! The path between two ends in this process: loopback as it is, or a relay that holds datagrams
//! back and loses some. The kernel here has no netem.
//!
//! Each end knows the other by an address of the relay's. Datagrams are received and sent many at a
//! time (`recvmmsg`, GRO, GSO), but are lost one by one, the same ones in every run. The relay
//! bounds neither the rate nor, up to 64 MiB, the queue; it carries what Ethernet does.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use tokio::io::Interest;

use crate::end::Outcome;

/// Bytes of the longest datagram that Ethernet carries over IPv4.
const LONGEST: usize = 1_472;

/// Bytes that wait in one direction.
const LONGEST_QUEUE: usize = 64 << 20;

/// Bytes of a socket's buffers; the kernel's default overflows.
const SOCKET_BUFFER: usize = 8 << 20;

/// Bytes of the longest batch that GRO makes.
const LONGEST_BATCH: usize = 65_535;

/// Batches that are received at once.
const BATCHES: usize = 16;

/// The pause before a full socket is tried again.
const FULL: Duration = Duration::from_micros(50);

/// An end of the path.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Caller,
    Callee,
}

/// A path between two ends.
#[derive(Clone)]
pub(crate) struct Path(Option<Arc<Relay>>);

struct Relay {
    delay: Duration,
    /// Datagrams of a thousand that are lost.
    loss: u32,
    /// By the side that they stand for.
    gates: Mutex<[Option<Gate>; 2]>,
}

/// An address that stands for an end.
struct Gate {
    socket: UdpSocket,
    /// The end's own address.
    own: SocketAddr,
}

/// Datagrams of one size, but for the last, and the time at which they arrive.
struct Batch {
    due: Instant,
    size: usize,
    content: Vec<u8>,
}

impl Path {
    /// Loopback as it is.
    pub(crate) const DIRECT: Self = Self(None);

    /// A path with this round trip, on which so many datagrams of a thousand are lost.
    pub(crate) fn long(round_trip: Duration, loss: u32) -> Self {
        Self(Some(Arc::new(Relay { delay: round_trip / 2, loss, gates: Mutex::new([None, None]) })))
    }

    /// The address by which the other side shall know this end. `None` for a second one of an end,
    /// which the other side must not learn.
    pub(crate) fn address(&self, side: Side, own: SocketAddr) -> Outcome<Option<SocketAddr>> {
        let Some(relay) = &self.0 else { return Ok(Some(own)) };
        let mut gates = relay.gates.lock().map_err(|_| "the relay has failed")?;
        let gate = &mut gates[side as usize];
        if let Some(gate) = gate {
            return Ok(if gate.own == own { Some(gate.socket.local_addr()?) } else { None });
        }
        let socket = UdpSocket::bind((own.ip(), 0))?;
        // Only root may have more than the kernel's limit.
        if setsockopt(&socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &SOCKET_BUFFER)?;
        }
        if setsockopt(&socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
            setsockopt(&socket, sockopt::SndBuf, &SOCKET_BUFFER)?;
        }
        let address = socket.local_addr()?;
        *gate = Some(Gate { socket, own });
        if let [Some(caller), Some(callee)] = &*gates {
            relay.start(caller, callee, 1)?;
            relay.start(callee, caller, 2)?;
        }
        Ok(Some(address))
    }

    /// A description, or a line of one, with the candidates by which the other side shall know this
    /// end.
    pub(crate) fn candidates(&self, side: Side, text: &str) -> Outcome<String> {
        if self.0.is_none() {
            return Ok(text.to_owned());
        }
        let mut lines = Vec::new();
        for line in text.split("\r\n") {
            if !line.trim_start_matches("a=").starts_with("candidate:") {
                lines.push(line.to_owned());
                continue;
            }
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let [_, _, transport, _, ip, port, _, kind, ..] = &words[..] else { continue };
            let own = format!("{ip}:{port}").parse::<SocketAddr>();
            let (true, true, Ok(own)) = (transport.eq_ignore_ascii_case("udp"), kind == "host", own) else {
                continue;
            };
            let Some(address) = self.address(side, own)? else { continue };
            words[4] = address.ip().to_string();
            words[5] = address.port().to_string();
            lines.push(words.join(" "));
        }
        Ok(lines.join("\r\n"))
    }
}

impl Relay {
    /// Starts the threads of a direction, which end with the process.
    fn start(&self, from: &Gate, to: &Gate, seed: u32) -> Outcome<()> {
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        // What is sent to the one that stands for the receiver goes out at the sender's.
        let way = Way {
            socket: to.socket.try_clone()?,
            from: from.own,
            delay: self.delay,
            loss: self.loss,
            seed,
            waiting: Arc::clone(&waiting),
        };
        let (out, own) = (from.socket.try_clone()?, to.own);
        std::thread::spawn(move || report(way.take(&sender)));
        std::thread::spawn(move || report(give(&out, own, &receiver, &waiting)));
        Ok(())
    }
}

fn report(outcome: Outcome<()>) {
    if let Err(error) = outcome {
        eprintln!("relay: {error}");
    }
}

/// The beginning of one direction.
struct Way {
    socket: UdpSocket,
    from: SocketAddr,
    delay: Duration,
    loss: u32,
    seed: u32,
    /// Bytes that wait.
    waiting: Arc<AtomicUsize>,
}

impl Way {
    fn take(mut self, queue: &Sender<Batch>) -> Outcome<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let state = UdpSocketState::new((&self.socket).into())?;
        runtime.block_on(async {
            let socket = tokio::net::UdpSocket::from_std(self.socket.try_clone()?)?;
            let mut buffers = vec![vec![0; LONGEST_BATCH]; BATCHES];
            let mut metas = [RecvMeta::default(); BATCHES];
            loop {
                socket.readable().await?;
                let received = socket.try_io(Interest::READABLE, || {
                    let mut slices: Vec<_> =
                        buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
                    state.recv((&socket).into(), &mut slices, &mut metas)
                });
                let count = match received {
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                    Err(error) => return Err(error.into()),
                };
                for (meta, buffer) in metas[..count].iter().zip(&buffers) {
                    let batch = self.batch(meta, buffer);
                    if !batch.content.is_empty() && queue.send(batch).is_err() {
                        return Ok(());
                    }
                }
            }
        })
    }

    /// The datagrams that arrive.
    fn batch(&mut self, meta: &RecvMeta, buffer: &[u8]) -> Batch {
        let mut content = Vec::with_capacity(meta.len);
        let is_known = meta.addr == self.from && meta.stride <= LONGEST;
        for datagram in buffer[..meta.len].chunks(meta.stride.max(1)).filter(|_| is_known) {
            self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let is_lost = (self.seed >> 8) % 1000 < self.loss;
            if !is_lost && self.waiting.load(Ordering::Relaxed) + content.len() < LONGEST_QUEUE {
                content.extend_from_slice(datagram);
            }
        }
        self.waiting.fetch_add(content.len(), Ordering::Relaxed);
        Batch { due: Instant::now() + self.delay, size: meta.stride, content }
    }
}

/// The end of one direction.
fn give(out: &UdpSocket, to: SocketAddr, queue: &Receiver<Batch>, waiting: &AtomicUsize) -> Outcome<()> {
    let state = UdpSocketState::new(out.into())?;
    while let Ok(Batch { due, size, content }) = queue.recv() {
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            std::thread::sleep(wait);
        }
        waiting.fetch_sub(content.len(), Ordering::Relaxed);
        for contents in content.chunks(size * state.max_gso_segments()) {
            let segment_size = (contents.len() > size).then_some(size);
            let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: None };
            while let Err(error) = state.try_send(out.into(), &transmit) {
                // An end that was closed takes nothing more.
                if error.kind() != io::ErrorKind::WouldBlock {
                    break;
                }
                std::thread::sleep(FULL);
            }
        }
    }
    Ok(())
}
