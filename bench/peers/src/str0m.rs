//! `str0m`. It brings no sockets: here each connection has a task that reads and writes a datagram
//! at a time.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use socket2::{Domain, Socket, Type};
use str0m::change::{SdpAnswer, SdpOffer};
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};
use tokio::net::UdpSocket;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::sleep_until;

use crate::end::{End, Outcome};
use crate::path::{Path, Side};

/// Bytes of a socket's buffers; the kernel's default overflows.
const SOCKET_BUFFER: usize = 2 << 20;

/// Messages that may wait for the task; a window's worth of the largest.
const WAITING: usize = 4;

/// Datagrams that are read before the task looks after anything else.
const READ_AT_ONCE: usize = 64;

/// The task of a connection of `str0m`'s, which ends when this is dropped.
pub(crate) struct Str0m {
    outgoing: mpsc::Sender<Bytes>,
    incoming: Mutex<mpsc::UnboundedReceiver<usize>>,
}

impl End for Str0m {
    async fn connect(path: &Path) -> Outcome<(Self, Self)> {
        let (mut caller, caller_socket) = connection()?;
        let (mut callee, callee_socket) = connection()?;
        let mut changes = caller.sdp_api();
        changes.add_channel("bench".to_owned());
        let (offer, pending) = changes.apply().ok_or("there is nothing to offer")?;
        let offer = SdpOffer::from_sdp_string(&path.candidates(Side::Caller, &offer.to_sdp_string())?)?;
        let answer = callee.sdp_api().accept_offer(offer)?;
        let answer = SdpAnswer::from_sdp_string(&path.candidates(Side::Callee, &answer.to_sdp_string())?)?;
        caller.sdp_api().accept_answer(pending, answer)?;

        let (one, one_open) = Task::start(caller, caller_socket)?;
        let (other, other_open) = Task::start(callee, callee_socket)?;
        one_open.await?;
        other_open.await?;
        Ok((one, other))
    }

    async fn send(&self, message: Bytes) -> Outcome<()> {
        Ok(self.outgoing.send(message).await?)
    }

    async fn receive(&self) -> Outcome<usize> {
        Ok(self.incoming.lock().await.recv().await.ok_or("the connection has ended")?)
    }

    async fn close(&self) -> Outcome<()> {
        Ok(())
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
    let mut rtc = Rtc::new(Instant::now());
    rtc.add_local_candidate(Candidate::host(socket.local_addr()?, "udp")?);
    Ok((rtc, socket))
}

/// The task of a connection.
struct Task {
    rtc: Rtc,
    socket: UdpSocket,
    address: SocketAddr,
    opened: Option<oneshot::Sender<()>>,
    channel: Option<ChannelId>,
    outgoing: mpsc::Receiver<Bytes>,
    /// Unbounded, because the measurements receive all the time.
    incoming: mpsc::UnboundedSender<usize>,
}

impl Task {
    /// Starts the task; returns the connection, and a receiver of its opening.
    fn start(rtc: Rtc, socket: UdpSocket) -> Outcome<(Str0m, oneshot::Receiver<()>)> {
        let address = socket.local_addr()?;
        let (opened, when_open) = oneshot::channel();
        let (to_send, outgoing) = mpsc::channel(WAITING);
        let (incoming, received) = mpsc::unbounded_channel();
        let task = Self { rtc, socket, address, opened: Some(opened), channel: None, outgoing, incoming };
        tokio::spawn(async move {
            if let Err(error) = task.run().await {
                eprintln!("str0m: {error}");
            }
        });
        Ok((Str0m { outgoing: to_send, incoming: Mutex::new(received) }, when_open))
    }

    async fn run(mut self) -> Outcome<()> {
        let mut buffer = vec![0; 2_000];
        let mut unsent: Option<Bytes> = None;
        while self.rtc.is_alive() {
            let mut deadline = self.drain().await?;
            while let Some(message) = unsent.take_if(|_| self.channel.is_some()) {
                if !self.write(&message)? {
                    unsent = Some(message);
                    break;
                }
                deadline = self.drain().await?;
                unsent = self.outgoing.try_recv().ok();
            }
            tokio::select! {
                readable = self.socket.readable() => {
                    readable?;
                    self.read(&mut buffer).await?;
                }
                message = self.outgoing.recv(), if unsent.is_none() => match message {
                    Some(message) => unsent = Some(message),
                    None => return Ok(()),
                },
                () = sleep_until(deadline.into()) => self.rtc.handle_input(Input::Timeout(Instant::now()))?,
            }
        }
        Ok(())
    }

    /// Sends datagrams and delivers events; returns the next deadline.
    async fn drain(&mut self) -> Outcome<Instant> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(deadline) => return Ok(deadline),
                Output::Transmit(transmit) => {
                    self.socket.send_to(&transmit.contents, transmit.destination).await?;
                }
                Output::Event(Event::ChannelOpen(channel, _)) => {
                    self.channel = Some(channel);
                    self.opened.take().map(|opened| opened.send(()));
                }
                Output::Event(Event::ChannelData(data)) => {
                    // The measurement may have ended.
                    let _ = self.incoming.send(data.data.len());
                }
                Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected)) => {
                    self.rtc.disconnect();
                }
                Output::Event(_) => {}
            }
        }
    }

    /// False if there is no room.
    fn write(&mut self, message: &[u8]) -> Outcome<bool> {
        let Some(mut channel) = self.channel.and_then(|channel| self.rtc.channel(channel)) else {
            return Ok(false);
        };
        Ok(channel.write(true, message)?)
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
