//! The multicast group of mDNS (RFC 6762 §3), and its port, which all programs of the host share.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// The port of mDNS.
pub(super) const PORT: u16 = 5353;
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// A socket in the group of one family, on all interfaces.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) socket: UdpSocket,
    routes: Vec<Route>,
}

/// An interface to send by.
#[derive(Debug)]
enum Route {
    V4(Ipv4Addr),
    V6(u32),
}

impl Group {
    /// Opens a socket for each family.
    pub(super) fn both() -> Vec<Self> {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        [Self::v4(&interfaces), Self::v6(&interfaces)].into_iter().flatten().collect()
    }

    pub(super) fn v4(interfaces: &[if_addrs::Interface]) -> Option<Self> {
        let addresses = interfaces.iter().filter_map(|interface| match interface.ip() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let routes: Vec<Route> = addresses.map(Route::V4).collect();
        let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let socket = open(Domain::IPV4, unspecified).ok()?;
        for route in &routes {
            if let Route::V4(address) = route {
                // An interface without multicast cannot be joined.
                let _ = socket.join_multicast_v4(GROUP_V4, *address);
            }
        }
        let _ = SockRef::from(&socket).set_multicast_ttl_v4(255);
        Some(Self { socket, routes })
    }

    fn v6(interfaces: &[if_addrs::Interface]) -> Option<Self> {
        let mut indexes: Vec<u32> = interfaces
            .iter()
            .filter(|interface| interface.ip().is_ipv6())
            .filter_map(|interface| interface.index)
            .collect();
        indexes.sort_unstable();
        indexes.dedup();
        let unspecified = SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT));
        let socket = open(Domain::IPV6, unspecified).ok()?;
        for index in &indexes {
            let _ = socket.join_multicast_v6(&GROUP_V6, *index);
        }
        let _ = SockRef::from(&socket).set_multicast_hops_v6(255);
        Some(Self { socket, routes: indexes.into_iter().map(Route::V6).collect() })
    }

    /// Sends a message to the group, by every interface.
    pub(super) fn send(&self, message: &[u8]) {
        for route in &self.routes {
            let group = match route {
                Route::V4(address) => {
                    if SockRef::from(&self.socket).set_multicast_if_v4(address).is_err() {
                        continue;
                    }
                    SocketAddr::from((GROUP_V4, PORT))
                }
                Route::V6(index) => SocketAddrV6::new(GROUP_V6, PORT, 0, *index).into(),
            };
            // A lost message is repeated by its sender. The runtime is bypassed, because it does
            // not know yet that a new socket is writable.
            let _ = SockRef::from(&self.socket).send_to(message, &group.into());
        }
    }
}

/// Opens mDNS's port together with other programs; where that is not allowed, any port: responders
/// then answer to this socket alone (RFC 6762 §6.7), as far as they support that.
fn open(domain: Domain, address: SocketAddr) -> io::Result<UdpSocket> {
    let make = |address: SocketAddr| {
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
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
