//! `str0m` in its RTP mode. It brings no sockets: here each connection has a task that reads and
//! writes a datagram at a time, as its examples do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use socket2::{Domain, Socket, Type};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::time::sleep_until;

use super::{FRAME, Outcome, Progress, STEP, Stack};

/// Bytes of a socket's buffers; the kernel's default overflows.
const SOCKET_BUFFER: usize = 2 << 20;

/// Datagrams that are read before the task looks after anything else.
const READ_AT_ONCE: usize = 64;

/// Packets of a frame, and the bytes of each.
const PACKETS: usize = 40;
const PAYLOAD: usize = FRAME / PACKETS;

/// VP8's number in `str0m`'s descriptions.
const VP8: u8 = 96;

/// A connection of `str0m`'s.
pub(crate) struct Str0m {
    packets: Arc<AtomicU64>,
}

impl Stack for Str0m {
    async fn connect() -> Outcome<Self> {
        let (mut caller, caller_socket) = connection()?;
        let (mut callee, callee_socket) = connection()?;
        let mut changes = caller.sdp_api();
        let mid = changes.add_media(MediaKind::Video, Direction::SendOnly, None, None, None);
        let (offer, pending) = changes.apply().ok_or("there is nothing to offer")?;
        let answer = callee.sdp_api().accept_offer(offer)?;
        caller.sdp_api().accept_answer(pending, answer)?;
        let packets = Arc::new(AtomicU64::new(0));
        Task::start(caller, caller_socket, Some(mid), Arc::default())?;
        Task::start(callee, callee_socket, None, packets.clone())?;
        Ok(Self { packets })
    }

    fn progress(&self) -> Progress {
        Progress { packets: self.packets.load(Ordering::Relaxed) }
    }
}

/// A connection and its socket, which is its only candidate.
fn connection() -> Outcome<(Rtc, UdpSocket)> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now());
    rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
    Ok((rtc, socket))
}

/// The task of a connection.
struct Task {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    /// The medium that it sends.
    sends: Option<Mid>,
    is_connected: bool,
    received: Arc<AtomicU64>,
    number: u64,
    payload: Arc<[u8]>,
}

impl Task {
    fn start(rtc: Rtc, socket: UdpSocket, sends: Option<Mid>, received: Arc<AtomicU64>) -> Outcome<()> {
        let address = socket.local_addr()?;
        let payload = vec![0; PAYLOAD].into();
        let task = Self { rtc, socket, address, sends, is_connected: false, received, number: 0, payload };
        tokio::spawn(async move {
            if let Err(error) = task.run().await {
                eprintln!("str0m: {error}");
            }
        });
        Ok(())
    }

    async fn run(mut self) -> Outcome<()> {
        let mut buffer = vec![0; 2_000];
        let mut pace = tokio::time::interval(STEP);
        while self.rtc.is_alive() {
            let deadline = self.drain().await?;
            tokio::select! {
                readable = self.socket.readable() => {
                    readable?;
                    self.read(&mut buffer).await?;
                }
                _ = pace.tick(), if self.is_connected && self.sends.is_some() => self.send().await?,
                () = sleep_until(deadline.into()) => self.rtc.handle_input(Input::Timeout(Instant::now()))?,
            }
        }
        Ok(())
    }

    /// Sends the packets of a frame.
    async fn send(&mut self) -> Outcome<()> {
        let Some(mid) = self.sends else { return Ok(()) };
        let now = Instant::now();
        for index in 0..PACKETS {
            let mut direct = self.rtc.direct_api();
            let stream = direct.stream_tx_by_mid(mid, None).ok_or("there is no stream")?;
            let time = (self.number / PACKETS as u64 * 90) as u32;
            let packet = RtpWrite::new(VP8.into(), self.number.into(), time, now, self.payload.clone());
            stream.write_rtp(packet.marker(index + 1 == PACKETS).nackable(true));
            self.number += 1;
        }
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain().await?;
        Ok(())
    }

    /// Sends datagrams and counts packets; returns the next deadline.
    async fn drain(&mut self) -> Outcome<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => return Ok(deadline),
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.contents, transmit.destination).await?;
                }
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(Event::RtpPacket(_)) => {
                    self.received.fetch_add(1, Ordering::Relaxed);
                }
                Output::Event(_) => {}
            }
        }
    }

    async fn read(&mut self, buffer: &mut [u8]) -> Outcome<()> {
        for _ in 0..READ_AT_ONCE {
            let Ok((length, source)) = self.socket.try_recv_from(buffer) else { return Ok(()) };
            let received = Receive::new(Protocol::Udp, source, self.address, &buffer[..length])?;
            self.rtc.handle_input(Input::Receive(Instant::now(), received))?;
            self.drain().await?;
        }
        Ok(())
    }
}
