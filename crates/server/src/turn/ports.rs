//! The relay ports: a range from which sockets are bound in random order.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use columba_turn::server::{AddressFamily, RefusalReason};
use socket2::{Domain, Protocol, Socket, Type};

/// The ports of others that are met before the range counts as used up: some milliseconds of
/// trying.
const MAX_FOREIGN_PORTS: usize = 1000;

/// The requirement on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parity {
    Any,
    Even,
    /// An even one, and the next.
    Pair,
}

/// The range, and which of its ports this process holds.
#[derive(Debug)]
pub(super) struct PortRange {
    first: u16,
    count: u32,
    /// One bit a port, for each family.
    held: Mutex<[Vec<u64>; 2]>,
}

/// A port of the range, held until this is dropped.
#[derive(Debug)]
pub(super) struct Lease {
    range: Arc<PortRange>,
    family: AddressFamily,
    port: u16,
}

/// A bound socket and its port. The socket closes first.
#[derive(Debug)]
pub(super) struct BoundPort {
    pub(super) socket: Socket,
    pub(super) lease: Lease,
}

impl PortRange {
    /// All ports of `range`, which is not empty.
    pub(super) fn new(range: &RangeInclusive<u16>) -> Arc<Self> {
        let count = u32::from(*range.end()).saturating_sub(u32::from(*range.start())) + 1;
        let bits = || vec![0; count.div_ceil(64) as usize];
        Arc::new(Self { first: *range.start(), count, held: Mutex::new([bits(), bits()]) })
    }

    /// Binds a port at `ip`; with [`Parity::Pair`] the next higher one too.
    ///
    /// Ports come in random order (RFC 8656 §7.2, RFC 6056): where it starts and how far it steps
    /// are drawn from the system's generator, and the step shares no factor with the length of the
    /// range, so that each port has its turn once.
    pub(super) fn bind(
        self: &Arc<Self>,
        ip: IpAddr,
        parity: Parity,
    ) -> Result<(BoundPort, Option<BoundPort>), RefusalReason> {
        let (start, step) = self.random_order().ok_or(RefusalReason::Capacity)?;
        let mut foreign = 0;
        for turn in 0..u64::from(self.count) {
            let offset = ((start + turn * step) % u64::from(self.count)) as u32;
            match self.bind_offset(ip, offset, parity) {
                Ok(Some(bound)) => return Ok(bound),
                Ok(None) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied
                        if foreign < MAX_FOREIGN_PORTS =>
                    {
                        foreign += 1;
                    }
                    io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported => {
                        return Err(RefusalReason::Family);
                    }
                    _ => {
                        tracing::warn!(%error, "no relay port can be bound");
                        return Err(RefusalReason::Capacity);
                    }
                },
            }
        }
        Err(RefusalReason::Capacity)
    }

    /// Binds one port or pair; `None` if it is held or does not suit.
    fn bind_offset(
        self: &Arc<Self>,
        ip: IpAddr,
        offset: u32,
        parity: Parity,
    ) -> io::Result<Option<(BoundPort, Option<BoundPort>)>> {
        let port = u32::from(self.first) + offset;
        if parity != Parity::Any && !port.is_multiple_of(2) {
            return Ok(None);
        }
        let Some(first) = self.take(ip, offset) else { return Ok(None) };
        if parity != Parity::Pair {
            return Ok(Some((first.bind(ip)?, None)));
        }
        let Some(second) = self.take(ip, offset + 1) else { return Ok(None) };
        Ok(Some((first.bind(ip)?, Some(second.bind(ip)?))))
    }

    fn take(self: &Arc<Self>, ip: IpAddr, offset: u32) -> Option<Lease> {
        if offset >= self.count {
            return None;
        }
        let family = AddressFamily::of(ip);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (word, bit) = (&mut held[family as usize][(offset / 64) as usize], 1 << (offset % 64));
        if *word & bit != 0 {
            return None;
        }
        *word |= bit;
        drop(held);
        Some(Lease { range: Arc::clone(self), family, port: (u32::from(self.first) + offset) as u16 })
    }

    fn random_order(&self) -> Option<(u64, u64)> {
        let mut seed = [0; 16];
        getrandom::fill(&mut seed).ok()?;
        let (start, step) = seed.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let count = u64::from(self.count);
        let mut step = number(step) % count;
        while greatest_common_divisor(step, count) != 1 {
            step += 1;
        }
        Some((number(start) % count, step))
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl Lease {
    fn bind(self, ip: IpAddr) -> io::Result<BoundPort> {
        let socket =
            Socket::new(Domain::for_address(SocketAddr::new(ip, 0)), Type::DGRAM, Some(Protocol::UDP))?;
        if ip.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&SocketAddr::new(ip, self.port).into())?;
        Ok(BoundPort { socket, lease: self })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let offset = u32::from(self.port) - u32::from(self.range.first);
        let mut held = self.range.held.lock().unwrap_or_else(PoisonError::into_inner);
        held[self.family as usize][(offset / 64) as usize] &= !(1 << (offset % 64));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU16, Ordering};

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A stretch of ports that are free, beginning with an even one, another one for each call.
    /// From below those that systems give to sockets that ask for none, so that no test takes them
    /// from another.
    pub(in super::super) fn free_range(count: u16) -> RangeInclusive<u16> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let offset = (std::process::id() % 500) as u16 * 16;
        loop {
            let first = 20_000 + (offset + NEXT.fetch_add(16, Ordering::Relaxed)) % 12_000;
            let range = first..=first + count - 1;
            if range.clone().all(|port| std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()) {
                return range;
            }
        }
    }

    #[test]
    fn every_port_is_given_once_and_again_when_it_is_free() {
        let range = free_range(6);
        let ports = PortRange::new(&range);
        let mut bound: Vec<_> =
            range.clone().map(|_| ports.bind(LOCALHOST, Parity::Any).unwrap().0).collect();
        let mut numbers: Vec<_> = bound.iter().map(|bound| bound.lease.port()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, range.collect::<Vec<_>>());
        assert_eq!(ports.bind(LOCALHOST, Parity::Any).unwrap_err(), RefusalReason::Capacity);
        let freed = bound.pop().unwrap();
        let number = freed.lease.port();
        drop(freed);
        assert_eq!(ports.bind(LOCALHOST, Parity::Any).unwrap().0.lease.port(), number);
    }

    #[test]
    fn pairs_are_even_and_next() {
        let ports = PortRange::new(&free_range(4));
        let mut held = Vec::new();
        for _ in 0..2 {
            let (even, next) = ports.bind(LOCALHOST, Parity::Pair).unwrap();
            let next = next.unwrap();
            assert_eq!(even.lease.port() % 2, 0);
            assert_eq!(next.lease.port(), even.lease.port() + 1);
            held.push((even, next));
        }
        assert_eq!(ports.bind(LOCALHOST, Parity::Pair).unwrap_err(), RefusalReason::Capacity);
        assert_eq!(ports.bind(LOCALHOST, Parity::Even).unwrap_err(), RefusalReason::Capacity);
    }

    #[test]
    fn ports_of_others_are_stepped_over() {
        let range = free_range(2);
        let taken = std::net::UdpSocket::bind((LOCALHOST, *range.start())).unwrap();
        let ports = PortRange::new(&range);
        assert_eq!(ports.bind(LOCALHOST, Parity::Any).unwrap().0.lease.port(), *range.end());
        assert_eq!(ports.bind(LOCALHOST, Parity::Even).unwrap_err(), RefusalReason::Capacity);
        drop(taken);
        assert_eq!(ports.bind(LOCALHOST, Parity::Even).unwrap().0.lease.port(), *range.start());
    }

    #[test]
    fn unavailable_address_refuses_its_family() {
        let ports = PortRange::new(&(40_000..=40_001));
        let elsewhere = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 99));
        assert_eq!(ports.bind(elsewhere, Parity::Any).unwrap_err(), RefusalReason::Family);
    }

    #[test]
    fn the_whole_range_of_ports_has_room() {
        let ports = PortRange::new(&(1..=u16::MAX));
        assert_eq!(ports.count, 65_535);
        assert_eq!(ports.take(LOCALHOST, 65_534).unwrap().port(), u16::MAX);
        assert!(ports.take(LOCALHOST, 65_535).is_none());
    }
}
