//! The multicast group of mDNS (RFC 6762 §3), on all interfaces.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// The port of mDNS.
pub(super) const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// A socket in the group of one family.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) socket: UdpSocket,
    /// The addresses of the interfaces to send by.
    v4: Vec<Ipv4Addr>,
    /// Their indexes.
    v6: Vec<u32>,
}

impl Group {
    /// Opens a socket for each family, as far as there are interfaces.
    pub(super) fn both() -> Vec<Self> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for interface in interfaces {
            match interface.ip() {
                IpAddr::V4(ip) => v4.push(ip),
                IpAddr::V6(_) => v6.extend(interface.index),
            }
        }
        v6.sort_unstable();
        v6.dedup();
        let one = (!v4.is_empty()).then(|| Self::v4(v4)).and_then(Result::ok);
        let other = (!v6.is_empty()).then(|| Self::v6(v6)).and_then(Result::ok);
        [one, other].into_iter().flatten().collect()
    }

    fn v4(v4: Vec<Ipv4Addr>) -> io::Result<Self> {
        let socket = open(Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)))?;
        for address in &v4 {
            // An interface without multicast cannot be joined.
            let _ = socket.join_multicast_v4(GROUP_V4, *address);
        }
        let _ = SockRef::from(&socket).set_multicast_ttl_v4(255);
        Ok(Self { socket, v4, v6: Vec::new() })
    }

    fn v6(v6: Vec<u32>) -> io::Result<Self> {
        let socket = open(Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)))?;
        for index in &v6 {
            let _ = socket.join_multicast_v6(&GROUP_V6, *index);
        }
        let _ = SockRef::from(&socket).set_multicast_hops_v6(255);
        Ok(Self { socket, v4: Vec::new(), v6 })
    }

    /// Sends a message to the group, by every interface. A lost one is repeated by its sender.
    pub(super) fn send(&self, message: &[u8]) {
        let socket = SockRef::from(&self.socket);
        for address in &self.v4 {
            if socket.set_multicast_if_v4(address).is_ok() {
                let _ = socket.send_to(message, &SocketAddr::from((GROUP_V4, PORT)).into());
            }
        }
        for index in &self.v6 {
            let group = SocketAddrV6::new(GROUP_V6, PORT, 0, *index);
            let _ = socket.send_to(message, &SocketAddr::from(group).into());
        }
    }
}

/// Opens mDNS's port together with other programs; where that is not allowed, any port: responders
/// then answer to this socket alone (RFC 6762 §6.7).
fn open(domain: Domain, address: SocketAddr) -> io::Result<UdpSocket> {
    let make = |address: SocketAddr| {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    make(address).or_else(|_| make(SocketAddr::new(address.ip(), 0)))
}
