//! A UDP socket that knows to which of the host's addresses each datagram came, and sends from the
//! one it is told.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use quinn_udp::{EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;

use super::ports::{BoundPort, Lease};
use super::stats::Counters;

/// The kernel's queues of a listening socket, in bytes, as far as the system's limits allow: a
/// burst of 3,000 packets while this process is not running.
const LISTENER_BUFFER: usize = 4 << 20;

/// The same for a relay socket, which serves one client.
const RELAY_BUFFER: usize = 1 << 20;

/// A bound UDP socket. Addresses that come out are canonical: IPv4 is never inside IPv6.
#[derive(Debug)]
pub(super) struct UdpSocket {
    socket: tokio::net::UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// The socket is of IPv6 and wants IPv4 addresses mapped.
    is_ipv6: bool,
    /// Given back after the socket has closed, so it comes last.
    _lease: Option<Lease>,
}

impl UdpSocket {
    /// A listening socket; `[::]` listens to IPv4 too.
    pub(super) fn listen(address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        request_buffers(&socket, LISTENER_BUFFER);
        Ok(socket)
    }

    /// Hands a bound listening socket to the runtime.
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        Self::with_lease(socket, None)
    }

    /// Hands a bound relay socket to the runtime.
    pub(super) fn relay(port: BoundPort) -> io::Result<Self> {
        request_buffers(&port.socket, RELAY_BUFFER);
        Self::with_lease(port.socket, Some(port.lease))
    }

    fn with_lease(socket: Socket, lease: Option<Lease>) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        allow_fragments(&socket);
        let socket = tokio::net::UdpSocket::from_std(socket.into())?;
        let bound = socket.local_addr()?;
        Ok(Self {
            state,
            local: columba_stun::canonical(bound),
            is_ipv6: bound.is_ipv6(),
            socket,
            _lease: lease,
        })
    }

    /// Where it is bound.
    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Returns whether an answer from `local` leaves by this socket.
    pub(super) fn serves(&self, local: SocketAddr) -> bool {
        let ip = self.local.ip();
        let any = ip.is_unspecified() && (ip.is_ipv6() || local.is_ipv4());
        self.local.port() == local.port() && (any || ip == local.ip())
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Receives what is there. `WouldBlock` when there is nothing.
    ///
    /// After a batch that is not full the socket counts as empty, which spares the system call that
    /// would say so: what arrives from then on makes it readable again.
    pub(super) fn receive(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let mut last = None;
        let full = self.socket.try_io(Interest::READABLE, || {
            let count = self.state.recv((&self.socket).into(), buffers, metas)?;
            if count < buffers.len() {
                last = Some(count);
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(count)
        });
        last.map_or(full, Ok)
    }

    /// The address that a received datagram was sent to.
    pub(super) fn destination(&self, meta: &RecvMeta) -> SocketAddr {
        let ip = meta.dst_ip.unwrap_or_else(|| self.local.ip()).to_canonical();
        SocketAddr::new(ip, self.local.port())
    }

    /// Sends, now or never: when the kernel's queue is full, or it refuses, the datagram is lost
    /// and counted, as it might be anywhere on its way. With a `segment`, `bytes` are several
    /// datagrams of that length, the last one maybe shorter.
    ///
    /// Returns false if the system did not take it.
    pub(super) fn send(&self, counters: &Counters, datagram: &Datagram<'_>) -> bool {
        // A socket that is bound to one address sends from there anyway.
        let source = datagram.source.filter(|_| self.local.ip().is_unspecified());
        let transmit = Transmit {
            destination: self.outward(datagram.destination),
            ecn: datagram.ecn,
            contents: datagram.bytes,
            segment_size: datagram.segment,
            src_ip: source.map(|ip| self.outward(SocketAddr::new(ip, 0)).ip()),
        };
        match self.state.try_send((&self.socket).into(), &transmit) {
            Ok(()) => true,
            Err(error) => {
                if datagram.segment.is_none() {
                    counters.count_send_error(&error);
                }
                false
            }
        }
    }

    /// The number of datagrams that the system cuts one buffer into.
    pub(super) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// An address in the form that the socket's family wants.
    fn outward(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.is_ipv6 => {
                let mapped: Ipv6Addr = v4.ip().to_ipv6_mapped();
                SocketAddr::new(mapped.into(), v4.port())
            }
            _ => address,
        }
    }
}

/// One thing to send.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram<'a> {
    pub(super) destination: SocketAddr,
    /// The address to send from, where the socket has several.
    pub(super) source: Option<IpAddr>,
    /// Carried over from the datagram that is forwarded (RFC 8656 §14).
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) bytes: &'a [u8],
    pub(super) segment: Option<usize>,
}

/// Asks for larger queues. The system gives what its limits allow; less is no reason to stop.
fn request_buffers(socket: &Socket, size: usize) {
    for result in [socket.set_recv_buffer_size(size), socket.set_send_buffer_size(size)] {
        if let Err(error) = result {
            tracing::debug!(%error, size, "the system does not give larger socket buffers");
        }
    }
}

/// Takes back the "don't fragment" that quinn-udp sets for QUIC's sake: a relay is to clear the bit
/// unless its client asks for it (RFC 8656 §14), or what is larger than the path carries would
/// vanish.
///
/// Deviation: for IPv6 it stays, because there is no safe call for IPV6_DONTFRAG; larger datagrams
/// are counted as `send_too_large`.
fn allow_fragments(socket: &Socket) {
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::net::sockopt::set_ip_mtu_discover(socket, rustix::net::sockopt::Ipv4PathMtuDiscovery::DONT)
    {
        tracing::debug!(%error, "datagrams larger than the path carries will be lost");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::net::sockopt::{Ipv4PathMtuDiscovery, ip_mtu_discover};

    #[tokio::test]
    async fn ipv4_datagrams_may_be_fragmented() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let socket = UdpSocket::new(UdpSocket::listen(address.parse().unwrap()).unwrap()).unwrap();
            assert_eq!(ip_mtu_discover(&socket.socket).unwrap(), Ipv4PathMtuDiscovery::DONT, "{address}");
        }
    }
}
