//! Limits on open streams, in all and for one client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The open streams, counted.
#[derive(Debug)]
pub(super) struct Admission {
    max: usize,
    max_per_client: usize,
    /// Streams by client. As many entries as streams at most.
    open: Mutex<HashMap<IpAddr, usize>>,
    /// All streams hold one of these.
    total: Arc<()>,
}

/// A stream's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    client: IpAddr,
    _one_of_all: Arc<()>,
}

impl Admission {
    pub(super) fn new(max: usize, max_per_client: usize) -> Arc<Self> {
        Arc::new(Self { max, max_per_client, open: Mutex::default(), total: Arc::default() })
    }

    /// A place for one more stream of this client, if there is one. Those with the same IPv6 /64
    /// are one client.
    pub(super) fn admit(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let client = client_of(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(&self.total) > self.max {
            return None;
        }
        let mine = open.get(&client).copied().unwrap_or(0);
        if mine >= self.max_per_client {
            return None;
        }
        open.insert(client, mine + 1);
        Some(Place { admission: Arc::clone(self), client, _one_of_all: Arc::clone(&self.total) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = open.get_mut(&self.client) {
            *mine -= 1;
            if *mine == 0 {
                open.remove(&self.client);
            }
        }
    }
}

/// The unit that counts as one client: an IPv4 address, or the /64 that a household or a machine
/// has of IPv6.
fn client_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let admission = Admission::new(3, 2);
        let admit = |ip: &str| admission.admit(ip.parse().unwrap());
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("::ffff:192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none(), "two for one client");
        let _third = admit("2001:db8::1").unwrap();
        assert!(admit("192.0.2.2").is_none(), "three in all");
        drop(first);
        let _fourth = admit("2001:db8::2").unwrap();
        assert!(admit("192.0.2.1").is_none(), "three in all again");
        drop(_third);
        assert!(admit("2001:db8::3").is_some());
        assert_eq!(admission.open.lock().unwrap().len(), 2);
    }
}
