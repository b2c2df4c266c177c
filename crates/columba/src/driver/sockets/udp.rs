//! One UDP socket: many datagrams with one call, both ways.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::task::Context;
use std::time::{Duration, Instant, SystemTime};

use columba_peer::{Ecn, Path, Transmit, TransportId};
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::debug;

use crate::shared::Shared;

/// Bytes that the kernel is asked to buffer while the driver is busy: 20 ms of a gigabit each way.
/// It gives as much as the system allows.
const KERNEL_BUFFER: usize = 4 << 20;

/// Bytes of one slot of a batch: as much as the kernel coalesces (GRO) at most.
const RECEIVE_SLOT: usize = 64 << 10;

/// Errors that are skipped in one receive: an ICMP message about an earlier datagram must not end
/// it.
const FAULTS_PER_TURN: usize = 8;

thread_local! {
    /// The batch that has just arrived. One for each thread: it is empty between two turns.
    static INCOMING: RefCell<Vec<u8>> = RefCell::new(vec![0; BATCH_SIZE * RECEIVE_SLOT]);
}

pub(crate) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    /// The transport of the peer that it belongs to.
    pub(super) transport: TransportId,
    /// Its address, which is the local one of its paths.
    pub(crate) local: SocketAddr,
    /// The code point (DSCP) of what is sent, where the system lets it be set: on Linux.
    pub(crate) mark: u8,
}

/// Keeps the kernel's receive offload (GRO) switched on for the life of the process, by a socket of
/// each family that is never used.
///
/// Linux rewrites its own code when the first socket with offload opens and when the last one
/// closes, and interrupts all processors for it: a tenth of the time of a connection that opens and
/// closes alone.
pub(crate) fn keep_offload() {
    static KEPT: OnceLock<Vec<RawSocket>> = OnceLock::new();
    KEPT.get_or_init(offload_keepers);
}

/// Sockets without an address, at which nothing arrives.
fn offload_keepers() -> Vec<RawSocket> {
    let families: &[Domain] = if cfg!(target_os = "linux") { &[Domain::IPV4, Domain::IPV6] } else { &[] };
    let keeper = |domain: &Domain| {
        let socket = RawSocket::new(*domain, Type::DGRAM, Some(Protocol::UDP)).ok()?;
        UdpSocketState::new(UdpSockRef::from(&socket)).ok()?;
        Some(socket)
    };
    families.iter().filter_map(keeper).collect()
}

/// Datagrams that were lost to an error of their socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost {
    pub(crate) path: Path,
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// The result of a receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing waited; the task is woken when a datagram arrives.
    Nothing,
    /// A batch was given to the peer.
    Something,
}

impl Socket {
    /// Binds to this address and any port.
    pub(crate) fn bind(transport: TransportId, address: IpAddr) -> io::Result<Self> {
        Self::bind_to(transport, SocketAddr::new(address, 0))
    }

    /// Binds to this address and port.
    pub(crate) fn bind_to(transport: TransportId, address: SocketAddr) -> io::Result<Self> {
        let raw = RawSocket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        raw.set_nonblocking(true)?;
        if address.is_ipv6() {
            // Leaves the port of IPv4 to another socket.
            raw.set_only_v6(true)?;
        }
        raw.bind(&address.into())?;
        let io = UdpSocket::from_std(raw.into())?;
        let state = UdpSocketState::new((&io).into())?;
        // With less, a system is a little slower under load, and nothing else.
        let _ = state.set_recv_buffer_size((&io).into(), KERNEL_BUFFER);
        let _ = state.set_send_buffer_size((&io).into(), KERNEL_BUFFER);
        let local = io.local_addr()?;
        Ok(Self { io, state, transport, local: Path::udp(local, local).local, mark: 0 })
    }

    /// Receives a batch and gives it to the peer.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, shared: &Shared) -> Received {
        self.poll_batch(cx, |incoming, batch| self.deliver(shared, incoming, batch))
    }

    /// Receives a batch, and gives it to `deliver`.
    pub(crate) fn poll_batch(
        &self,
        cx: &mut Context<'_>,
        mut deliver: impl FnMut(&mut [u8], &[RecvMeta]),
    ) -> Received {
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
                deliver(incoming, &meta[..count]);
                io::Result::Ok(())
            });
            match received {
                Ok(()) => return Received::Something,
                // The next call of `poll_recv_ready` registers the task.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => debug!(%error, "a receive failed"),
            }
        }
        // Datagrams may wait behind the errors.
        cx.waker().wake_by_ref();
        Received::Nothing
    }

    fn deliver(&self, shared: &Shared, incoming: &mut [u8], batch: &[RecvMeta]) {
        let (now, wall) = (Instant::now(), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH));
        let mut state = shared.lock();
        for (meta, datagrams) in slots(incoming, batch) {
            let path = Path::udp(self.local, meta.addr);
            let received_at = arrival(now, wall.as_ref().ok(), meta.timestamp);
            for datagram in datagrams.chunks_mut(meta.stride) {
                let ecn = ecn_of(meta.ecn);
                state.peer.handle_datagram(now, self.transport, path, ecn, received_at, datagram);
            }
        }
    }

    /// Sends one or several datagrams. Those that the socket has no room for are returned, and the
    /// task is woken when there is room. Those that an error has lost go to `lost`.
    pub(crate) fn poll_send(
        &self,
        cx: &mut Context<'_>,
        buffer: &[u8],
        mut transmit: Transmit,
        lost: &mut Vec<Lost>,
    ) -> Option<Transmit> {
        while self.try_send(buffer, &mut transmit, None, self.mark, lost) {
            if self.io.poll_send_ready(cx).is_pending() {
                return Some(transmit);
            }
        }
        None
    }

    /// Sends one or several datagrams with a mark, from this address if there are several. True if
    /// the socket has no room for the rest.
    pub(crate) fn try_send(
        &self,
        buffer: &[u8],
        transmit: &mut Transmit,
        source: Option<IpAddr>,
        mark: u8,
        lost: &mut Vec<Lost>,
    ) -> bool {
        while !transmit.range.is_empty() {
            // Without segmentation (GSO), datagrams are sent one by one.
            let most = self.state.max_gso_segments().max(1);
            let segment =
                transmit.segment_size.filter(|size| *size > 0).unwrap_or_else(|| transmit.range.len());
            let end = transmit.range.end.min(transmit.range.start + segment * most);
            let Some(contents) = buffer.get(transmit.range.start..end) else { return false };
            let piece = quinn_udp::Transmit {
                destination: transmit.path.remote,
                ecn: codepoint(transmit.ecn),
                contents,
                segment_size: transmit.segment_size,
                src_ip: source,
            };
            let send = || match self.send_marked(&piece, mark) {
                Some(sent) => sent,
                None => self.state.try_send(UdpSockRef::from(&self.io), &piece),
            };
            match self.io.try_io(Interest::WRITABLE, send) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                // Segmentation does not work here: again, in smaller pieces.
                Err(_) if self.state.max_gso_segments() < most => continue,
                // A lost datagram; the protocols above send again.
                Err(error) => {
                    debug!(%error, "a send failed");
                    let bytes = end - transmit.range.start;
                    let packets = bytes.div_ceil(segment.max(1)) as u64;
                    lost.push(Lost { path: transmit.path, packets, bytes: bytes as u64 });
                }
            }
            transmit.range.start = end;
        }
        false
    }

    /// Sends a piece with a mark; `None` if there is none, or it cannot be set.
    #[cfg(target_os = "linux")]
    fn send_marked(&self, piece: &quinn_udp::Transmit<'_>, mark: u8) -> Option<io::Result<()>> {
        if mark == 0 {
            return None;
        }
        let bits = mark << 2 | piece.ecn.map_or(0, |ecn| ecn as u8);
        let socket = socket2::SockRef::from(&self.io);
        let contents = piece.contents;
        match super::marked::send(socket, piece.destination, bits, contents, piece.segment_size, piece.src_ip)
        {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                debug!(%error, "datagrams go without their mark");
                None
            }
            sent => Some(sent),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn send_marked(&self, _piece: &quinn_udp::Transmit<'_>, _mark: u8) -> Option<io::Result<()>> {
        None
    }

    /// Waits for room to send.
    pub(crate) async fn writable(&self) {
        // A socket that fails has room for errors.
        let _ = self.io.writable().await;
    }
}

/// The parts of a batch: what is known of it, and its datagrams, each as long as the stride.
pub(crate) fn slots<'a>(
    incoming: &'a mut [u8],
    batch: &'a [RecvMeta],
) -> impl Iterator<Item = (&'a RecvMeta, &'a mut [u8])> {
    let slots = batch.iter().zip(incoming.chunks_exact_mut(RECEIVE_SLOT));
    slots
        .filter(|(meta, _)| meta.stride > 0)
        .map(|(meta, slot)| (meta, &mut slot[..meta.len.min(RECEIVE_SLOT)]))
}

/// The time at which the kernel received a datagram, on the monotonic clock.
pub(crate) fn arrival(now: Instant, wall: Option<&Duration>, timestamp: Option<Duration>) -> Option<Instant> {
    let age = wall?.checked_sub(timestamp?)?;
    // The wall clock may have been set meanwhile.
    (age < Duration::from_secs(1)).then(|| now.checked_sub(age)).flatten()
}

pub(crate) fn ecn_of(codepoint: Option<EcnCodepoint>) -> Ecn {
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
    fn offload_is_kept_by_sockets_that_have_no_port() {
        let keepers = offload_keepers();
        assert_eq!(keepers.is_empty(), !cfg!(target_os = "linux"));
        for keeper in keepers {
            assert_eq!(keeper.local_addr().unwrap().as_socket().map(|address| address.port()), Some(0));
        }
    }

    #[test]
    fn arrival_is_converted_to_the_monotonic_clock_unless_the_wall_clock_jumped() {
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
