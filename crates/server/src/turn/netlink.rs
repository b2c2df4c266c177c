//! The kernel's routes to this machine itself: every address and range to which a datagram is
//! delivered locally, also those that are no interface's (ranges routed as local, broadcast and
//! anycast addresses), read and followed over netlink (rtnetlink(7)).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use ipnet::IpNet;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with,
};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// The notifications that are asked for: addresses and routes of IPv4 and IPv6
/// (RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE).
const GROUPS: u32 = 0x10 | 0x40 | 0x100 | 0x400;

/// The most bytes that the kernel sends at once.
const BUFFER: usize = 32 << 10;

/// The times that a table is read again when it has changed meanwhile.
const ATTEMPTS: usize = 5;

const HEADER: usize = 16;
const ROUTE_HEADER: usize = 12;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

/// NLM_F_REQUEST and NLM_F_DUMP.
const DUMP: u16 = 0x301;

/// The table has changed while it was read.
const NLM_F_DUMP_INTR: u16 = 0x10;

const RTA_DST: u16 = 1;
const RTA_TABLE: u16 = 15;

/// Local, broadcast and anycast (RTN_LOCAL, RTN_BROADCAST, RTN_ANYCAST).
const DELIVERED_HERE: [u8; 3] = [2, 3, 4];

/// The tables that the kernel looks into without a rule of the operator's: default, main, local.
/// Others hold, for transparent proxies, a local route for everything.
const TABLES: [u32; 3] = [253, 254, 255];

/// Every network all of whose addresses are this machine's, single addresses included.
///
/// # Errors
/// The system does not give the tables.
pub(super) fn local_networks() -> io::Result<Vec<IpNet>> {
    let mut networks = Vec::new();
    for family in [AddressFamily::INET, AddressFamily::INET6] {
        read_table(family, &mut networks)?;
    }
    networks.sort_unstable();
    networks.dedup();
    Ok(networks)
}

fn read_table(family: AddressFamily, networks: &mut Vec<IpNet>) -> io::Result<()> {
    let before = networks.len();
    for _ in 0..ATTEMPTS {
        networks.truncate(before);
        let socket = open(0, SocketFlags::CLOEXEC)?;
        send(&socket, &dump_request(family), SendFlags::empty())?;
        let mut buffer = vec![0; BUFFER];
        let mut end = None;
        while end.is_none() {
            let (_, length) = recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
            for message in Messages(buffer.get(..length).unwrap_or_default()) {
                match message.kind {
                    NLMSG_DONE => end = end.or(Some(true)),
                    NLMSG_ERROR => return Err(io::Error::other("the kernel does not tell its routes")),
                    _ => networks.extend(message.local_network()),
                }
                if message.flags & NLM_F_DUMP_INTR != 0 {
                    end = Some(false);
                }
            }
        }
        if end == Some(true) {
            return Ok(());
        }
    }
    Err(io::Error::other("the kernel's routes change all the time"))
}

fn open(groups: u32, flags: SocketFlags) -> io::Result<OwnedFd> {
    // The protocol of number 0, which is the default, is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

fn dump_request(family: AddressFamily) -> [u8; HEADER + ROUTE_HEADER] {
    let mut request = [0; HEADER + ROUTE_HEADER];
    request[..4].copy_from_slice(&((HEADER + ROUTE_HEADER) as u32).to_ne_bytes());
    request[4..6].copy_from_slice(&RTM_GETROUTE.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    request[HEADER] = family.as_raw() as u8;
    request
}

/// The notifications of changes. The runtime has no type for this kind of socket; all that is asked
/// of it is to wait and to receive, which a datagram socket does in the same way.
#[derive(Debug)]
pub(super) struct Changes(UnixDatagram);

impl Changes {
    /// Asks for notifications. Must be called in a tokio runtime with IO.
    ///
    /// # Errors
    /// The system does not give such a socket.
    pub(super) fn new() -> io::Result<Self> {
        let socket = open(GROUPS, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
        UnixDatagram::from_std(socket.into()).map(Self)
    }

    /// Returns when the addresses of this machine may have changed.
    ///
    /// # Errors
    /// The socket has failed.
    pub(super) async fn next(&self) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            self.0.readable().await?;
            let received = self.0.try_io(Interest::READABLE, || {
                Ok(recv(&self.0, buffer.as_mut_slice(), RecvFlags::empty())?.1)
            });
            match received {
                Ok(length) => {
                    if Messages(buffer.get(..length).unwrap_or_default()).any(|message| message.is_change()) {
                        return Ok(());
                    }
                }
                // Notifications have been lost, so any may have been.
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error()) => {
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The messages in what the kernel has sent.
struct Messages<'a>(&'a [u8]);

struct Message<'a> {
    kind: u16,
    flags: u16,
    payload: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = u32_at(self.0, 0)? as usize;
        let (kind, flags) = (u16_at(self.0, 4)?, u16_at(self.0, 6)?);
        let payload = self.0.get(HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, flags, payload })
    }
}

impl Message<'_> {
    /// Returns whether addresses of this machine have come or gone.
    fn is_change(&self) -> bool {
        matches!(self.kind, RTM_NEWADDR | RTM_DELADDR)
            || (matches!(self.kind, RTM_NEWROUTE | RTM_DELROUTE) && self.local_route().is_some())
    }

    /// The network of a route that exists and leads here.
    fn local_network(&self) -> Option<IpNet> {
        self.local_route().filter(|_| self.kind == RTM_NEWROUTE)
    }

    /// The network of a route that leads to this machine.
    fn local_route(&self) -> Option<IpNet> {
        let header = self.payload.get(..ROUTE_HEADER)?;
        let (family, length, table, kind) = (header[0], header[1], header[4], header[7]);
        let mut table = u32::from(table);
        let mut address = match i32::from(family) {
            family if family == i32::from(AddressFamily::INET.as_raw()) => {
                IpAddr::from(Ipv4Addr::UNSPECIFIED)
            }
            family if family == i32::from(AddressFamily::INET6.as_raw()) => {
                IpAddr::from(Ipv6Addr::UNSPECIFIED)
            }
            _ => return None,
        };
        let mut attributes = self.payload.get(ROUTE_HEADER..)?;
        while let (Some(size), Some(name)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
            let value = attributes.get(4..usize::from(size))?;
            match name {
                RTA_DST => address = ip(value)?,
                RTA_TABLE => table = u32_at(value, 0)?,
                _ => {}
            }
            attributes = attributes.get(usize::from(size).next_multiple_of(4)..).unwrap_or_default();
        }
        if !DELIVERED_HERE.contains(&kind) || !TABLES.contains(&table) {
            return None;
        }
        IpNet::new(address, length).ok().map(|network| network.trunc())
    }
}

fn ip(value: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(value).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from)).ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A route as the kernel tells it.
    fn route(kind: u16, family: u8, length: u8, table: u8, leads: u8, address: &[u8]) -> Vec<u8> {
        let mut message = vec![0; HEADER];
        message[4..6].copy_from_slice(&kind.to_ne_bytes());
        message.extend([family, length, 0, 0, table, 2, 254, leads, 0, 0, 0, 0]);
        message.extend(((4 + address.len()) as u16).to_ne_bytes());
        message.extend(RTA_DST.to_ne_bytes());
        message.extend(address);
        let whole = (message.len() as u32).to_ne_bytes();
        message[..4].copy_from_slice(&whole);
        message
    }

    #[test]
    fn routes_that_lead_here_are_read() {
        let bytes = [
            route(RTM_NEWROUTE, 2, 24, 255, 2, &[203, 0, 115, 0]),
            route(RTM_NEWROUTE, 2, 32, 255, 3, &[203, 0, 114, 255]),
            route(RTM_NEWROUTE, 10, 128, 255, 4, &[0x2a, 0x0f, 0, 1, 0, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0]),
            // A way to others, one that is gone, one that only a rule leads to.
            route(RTM_NEWROUTE, 2, 24, 254, 1, &[198, 51, 100, 0]),
            route(RTM_DELROUTE, 2, 32, 255, 2, &[203, 0, 114, 77]),
            route(RTM_NEWROUTE, 2, 0, 100, 2, &[0, 0, 0, 0]),
        ]
        .concat();
        let networks: Vec<String> =
            Messages(&bytes).filter_map(|m| m.local_network()).map(|net| net.to_string()).collect();
        assert_eq!(networks, ["203.0.115.0/24", "203.0.114.255/32", "2a0f:1:2:3::/128"]);
        let changes: Vec<bool> = Messages(&bytes).map(|message| message.is_change()).collect();
        assert_eq!(changes, [true, true, true, false, true, false]);
    }

    #[test]
    fn loopback_is_local() {
        let networks = local_networks().unwrap();
        assert!(networks.contains(&"127.0.0.0/8".parse().unwrap()), "{networks:?}");
    }

    proptest! {
        #[test]
        fn no_message_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for message in Messages(&bytes) {
                let _ = (message.is_change(), message.local_network());
            }
            let mut framed = (bytes.len() as u32 + 16).to_ne_bytes().to_vec();
            framed.extend(RTM_NEWROUTE.to_ne_bytes());
            framed.extend([0; 10]);
            framed.extend(&bytes);
            for message in Messages(&framed) {
                let _ = (message.is_change(), message.local_network());
            }
        }
    }
}
