//! One UDP socket: many datagrams with one call, both ways.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use columba_peer::{Ecn, Path, Transmit};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::debug;

use crate::shared::Shared;

/// What the kernel is asked to keep for us while we are busy: 20 ms of a gigabit each way. It gives what it may.
const KERNEL_BUFFER: usize = 4 << 20;

/// The largest thing that one receive can bring: 64 segments that the kernel has put together.
const RECEIVE_SLOT: usize = 64 << 10;

/// Errors of one receive that are looked past: an ICMP message about an earlier datagram must not end anything.
const FAULTS_PER_TURN: usize = 8;

thread_local! {
    /// What has just arrived; one for each thread, because nobody needs it between two turns.
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; BATCH_SIZE * RECEIVE_SLOT]);
}

pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// Its address, by which paths name it.
    pub(super) local: SocketAddr,
}

/// What a look at the socket has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Nothing; the task is woken when there is something.
    Nothing,
    /// A batch, which the peer has taken.
    Something,
}

impl Socket {
    /// Binds to this address and any port.
    pub(super) fn bind(address: IpAddr) -> io::Result<Self> {
        let raw = RawSocket::new(
            Domain::for_address(SocketAddr::new(address, 0)),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        raw.set_nonblocking(true)?;
        raw.bind(&SocketAddr::new(address, 0).into())?;
        let io = UdpSocket::from_std(raw.into())?;
        let state = UdpSocketState::new((&io).into())?;
        // A system that gives less is a little slower under load, and nothing else.
        let _ = state.set_recv_buffer_size((&io).into(), KERNEL_BUFFER);
        let _ = state.set_send_buffer_size((&io).into(), KERNEL_BUFFER);
        let local = io.local_addr()?;
        Ok(Self { io, state, local: Path::udp(local, local).local })
    }

    /// Hands a batch of what has arrived to the peer.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, shared: &Shared) -> Received {
        for _ in 0..FAULTS_PER_TURN {
            if self.io.poll_recv_ready(cx).is_pending() {
                return Received::Nothing;
            }
            let received = INCOMING.with_borrow_mut(|incoming| {
                let mut meta = [RecvMeta::default(); BATCH_SIZE];
                let count = {
                    let mut slots = incoming.chunks_exact_mut(RECEIVE_SLOT);
                    let mut slots: [IoSliceMut<'_>; BATCH_SIZE] =
                        std::array::from_fn(|_| IoSliceMut::new(slots.next().unwrap_or_default()));
                    let receive = || self.state.recv(UdpSockRef::from(&self.io), &mut slots, &mut meta);
                    self.io.try_io(Interest::READABLE, receive)?
                };
                self.hand_over(shared, incoming, &meta[..count]);
                io::Result::Ok(())
            });
            match received {
                Ok(()) => return Received::Something,
                // The next look registers the task.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => debug!(%error, "a receive failed"),
            }
        }
        // There may be more behind the faults.
        cx.waker().wake_by_ref();
        Received::Nothing
    }

    fn hand_over(&self, shared: &Shared, incoming: &mut [u8], batch: &[RecvMeta]) {
        let (now, wall) = (Instant::now(), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH));
        let mut state = shared.lock();
        for (meta, slot) in batch.iter().zip(incoming.chunks_exact_mut(RECEIVE_SLOT)) {
            if meta.stride == 0 {
                continue;
            }
            let path = Path::udp(self.local, meta.addr);
            let received_at = arrival(now, wall.as_ref().ok(), meta.timestamp);
            for datagram in slot[..meta.len.min(RECEIVE_SLOT)].chunks_mut(meta.stride) {
                state.peer.handle_datagram(now, path, ecn_of(meta.ecn), received_at, datagram);
            }
        }
    }

    /// Sends one or several datagrams. What the socket has no room for comes back, and the task is woken when there is some.
    pub(super) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        mut transmit: Transmit,
    ) -> Option<Transmit> {
        while !transmit.range.is_empty() {
            // A kernel or a driver without segmentation takes one datagram after the other.
            let most = self.state.max_gso_segments().max(1);
            let segment =
                transmit.segment_size.filter(|size| *size > 0).unwrap_or_else(|| transmit.range.len());
            let end = transmit.range.end.min(transmit.range.start + segment * most);
            let piece = quinn_udp::Transmit {
                destination: transmit.path.remote,
                ecn: codepoint(transmit.ecn),
                contents: buffer.get(transmit.range.start..end)?,
                segment_size: transmit.segment_size,
                src_ip: None,
            };
            let send = || self.state.try_send(UdpSockRef::from(&self.io), &piece);
            match self.io.try_io(Interest::WRITABLE, send) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match self.io.poll_send_ready(cx) {
                        Poll::Pending => return Some(transmit),
                        Poll::Ready(_) => continue,
                    }
                }
                // Segmentation has turned out not to work here: the same again in smaller pieces.
                Err(_) if self.state.max_gso_segments() < most => continue,
                // Datagrams get lost; whoever needs them sends them again.
                Err(error) => debug!(%error, "a send failed"),
            }
            transmit.range.start = end;
        }
        None
    }
}

/// When the kernel has seen a datagram, on our own clock.
fn arrival(now: Instant, wall: Option<&Duration>, timestamp: Option<Duration>) -> Option<Instant> {
    let age = wall?.checked_sub(timestamp?)?;
    // A wall clock that was set meanwhile tells nothing.
    (age < Duration::from_secs(1)).then(|| now.checked_sub(age)).flatten()
}

fn ecn_of(codepoint: Option<EcnCodepoint>) -> Ecn {
    match codepoint {
        None => Ecn::NotEct,
        Some(EcnCodepoint::Ect0) => Ecn::Ect0,
        Some(EcnCodepoint::Ect1) => Ecn::Ect1,
        Some(EcnCodepoint::Ce) => Ecn::Ce,
    }
}

fn codepoint(ecn: Ecn) -> Option<EcnCodepoint> {
    match ecn {
        Ecn::NotEct => None,
        Ecn::Ect0 => Some(EcnCodepoint::Ect0),
        Ecn::Ect1 => Some(EcnCodepoint::Ect1),
        Ecn::Ce => Some(EcnCodepoint::Ce),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrival_is_told_on_the_own_clock_unless_the_wall_clock_jumped() {
        let now = Instant::now();
        let second = Duration::from_secs;
        let wall = second(1000);
        assert_eq!(arrival(now, Some(&wall), Some(wall)), Some(now));
        let earlier = wall - Duration::from_millis(3);
        assert_eq!(arrival(now, Some(&wall), Some(earlier)), now.checked_sub(Duration::from_millis(3)));
        assert_eq!(arrival(now, Some(&wall), Some(second(1001))), None);
        assert_eq!(arrival(now, Some(&wall), Some(second(1))), None);
        assert_eq!(arrival(now, Some(&wall), None), None);
    }
}
