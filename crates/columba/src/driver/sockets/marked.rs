//! Datagrams with a mark (DSCP) in their IP headers: the crate that sends ordinary ones sets the
//! bits of ECN, and clears the others, with each call.

use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr};

use socket2::{MsgHdr, SockAddr, SockRef};

/// Levels and types of ancillary data (Linux: `in.h`, `in6.h`, `udp.h`).
const IPPROTO_IP: i32 = 0;
const IP_TOS: i32 = 1;
const IP_PKTINFO: i32 = 8;
const IPPROTO_UDP: i32 = 17;
const UDP_SEGMENT: i32 = 103;
const IPPROTO_IPV6: i32 = 41;
const IPV6_PKTINFO: i32 = 50;
const IPV6_TCLASS: i32 = 67;

/// The header of ancillary data: its length, level and type (`cmsghdr`).
const HEADER: usize = size_of::<usize>() + 2 * size_of::<i32>();

/// Room for a mark, a source address and a segment size.
const ROOM: usize = 3 * HEADER + 48;

/// Ancillary data that is written.
struct Ancillary {
    bytes: [u8; ROOM],
    len: usize,
}

impl Ancillary {
    /// Adds a value; each one begins at a whole word.
    fn add(&mut self, level: i32, kind: i32, value: &[u8]) {
        let parts: [&[u8]; 4] =
            [&(HEADER + value.len()).to_ne_bytes(), &level.to_ne_bytes(), &kind.to_ne_bytes(), value];
        let mut at = self.len;
        for part in parts {
            self.bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.len += (HEADER + value.len()).next_multiple_of(size_of::<usize>());
    }
}

/// Sends one datagram, or several of one size with one call, with these bits in the field of the IP
/// header that holds the code point and ECN (RFC 2474 §3).
///
/// # Errors
/// Those of `sendmsg`.
pub(super) fn send(
    socket: SockRef<'_>,
    destination: SocketAddr,
    bits: u8,
    contents: &[u8],
    segment_size: Option<usize>,
    source: Option<IpAddr>,
) -> io::Result<()> {
    let mut ancillary = Ancillary { bytes: [0; ROOM], len: 0 };
    match destination {
        SocketAddr::V4(_) => ancillary.add(IPPROTO_IP, IP_TOS, &[bits]),
        SocketAddr::V6(_) => ancillary.add(IPPROTO_IPV6, IPV6_TCLASS, &i32::from(bits).to_ne_bytes()),
    }
    if let Some(size) = segment_size.filter(|size| *size < contents.len()) {
        let size = u16::try_from(size).map_err(|_| io::ErrorKind::InvalidInput)?;
        ancillary.add(IPPROTO_UDP, UDP_SEGMENT, &size.to_ne_bytes());
    }
    match source {
        Some(IpAddr::V4(address)) => {
            // The interface, the local address, and the one of the header.
            let mut value = [0; 12];
            value[4..8].copy_from_slice(&address.octets());
            ancillary.add(IPPROTO_IP, IP_PKTINFO, &value);
        }
        Some(IpAddr::V6(address)) => {
            // The address and the interface.
            let mut value = [0; 20];
            value[..16].copy_from_slice(&address.octets());
            ancillary.add(IPPROTO_IPV6, IPV6_PKTINFO, &value);
        }
        None => {}
    }
    let (address, buffers) = (SockAddr::from(destination), [IoSlice::new(contents)]);
    let message = MsgHdr::new()
        .with_addr(&address)
        .with_buffers(&buffers)
        .with_control(&ancillary.bytes[..ancillary.len]);
    socket.sendmsg(&message, 0).map(drop)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// Receives one datagram, or several that came as a batch, and the bits of ECN.
    fn receive(socket: &UdpSocket, state: &quinn_udp::UdpSocketState) -> (Vec<u8>, u8) {
        let mut buffer = vec![0; 65_536];
        let mut meta = [quinn_udp::RecvMeta::default()];
        let mut slots = [io::IoSliceMut::new(&mut buffer)];
        state.recv(socket.into(), &mut slots, &mut meta).unwrap();
        buffer.truncate(meta[0].len);
        (buffer, meta[0].ecn.map_or(0, |ecn| ecn as u8))
    }

    #[test]
    fn datagrams_arrive_one_by_one_and_in_batches() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let address: SocketAddr = address.parse().unwrap();
            let Ok(receiver) = UdpSocket::bind(address) else { continue };
            let sender = UdpSocket::bind(address).unwrap();
            let state = quinn_udp::UdpSocketState::new((&receiver).into()).unwrap();
            receiver.set_nonblocking(false).unwrap();
            let to = receiver.local_addr().unwrap();
            for source in [None, Some(sender.local_addr().unwrap().ip())] {
                send(SockRef::from(&sender), to, 46 << 2 | 2, &[7; 100], None, source).unwrap();
                assert_eq!(receive(&receiver, &state), (vec![7; 100], 2), "{address}");
                let contents = [[1; 100], [2; 100], [3; 100]].concat();
                send(SockRef::from(&sender), to, 46 << 2, &contents[..250], Some(100), source).unwrap();
                let mut received = Vec::new();
                while received.len() < 250 {
                    received.extend(receive(&receiver, &state).0);
                }
                assert_eq!(received, contents[..250], "{address}");
            }
        }
    }

    /// Where raw sockets are allowed: the header itself.
    #[test]
    fn marks_stand_in_the_header() {
        use std::io::Read as _;

        use socket2::{Domain, Protocol, Socket, Type};

        let Ok(mut raw) = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)) else { return };
        raw.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        raw.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = receiver.local_addr().unwrap();
        send(SockRef::from(&sender), to, 46 << 2 | 1, b"marked", None, None).unwrap();
        let mut packet = [0; 1500];
        loop {
            // Others send, too.
            let len = raw.read(&mut packet).unwrap();
            if packet[..len].ends_with(b"marked") {
                break;
            }
        }
        assert_eq!(packet[1], 46 << 2 | 1);
    }
}
