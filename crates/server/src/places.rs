//! The places of clients: how many connections each network may have, and how much it may ask for.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use columba_limits::{Prefix, PrefixLimits, Prefixes};
use tokio::sync::Notify;

/// Clients that are remembered after their last connection, until they have asked for little again.
const REMEMBERED: usize = 4096;

/// The effort that a client may make of the server, by its frames and requests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Units a second.
    pub(crate) per_second: f64,
    /// Units at once.
    pub(crate) burst: f64,
}

/// The table of all clients.
#[derive(Debug)]
pub(crate) struct Places {
    pace: Pace,
    table: Mutex<Table>,
    /// The last connection has been closed.
    idle: Notify,
}

#[derive(Debug)]
struct Table {
    /// Connections, those of proxies in common, of which their clients have parts.
    held: Prefixes,
    accepted: u64,
    refused: u64,
    efforts: HashMap<IpAddr, Arc<Effort>>,
    /// Clients without a connection whose effort is still remembered, the first to leave first.
    remembered: VecDeque<IpAddr>,
}

/// The address that stands for a client: its IPv4 address, or the first of its IPv6 /64.
pub(crate) fn client_network(ip: IpAddr) -> IpAddr {
    Prefix::of_client(ip).first()
}

/// The effort that one client has made lately.
#[derive(Debug)]
struct Effort {
    bucket: Mutex<(f64, Instant)>,
}

impl Places {
    /// A table for so many connections, so many of them of one client.
    pub(crate) fn new(max: u32, per_client: u32, pace: Pace) -> Self {
        let held = Prefixes::new(PrefixLimits { total: max, per_client });
        let (efforts, remembered) = (HashMap::new(), VecDeque::new());
        let table = Table { held, accepted: 0, refused: 0, efforts, remembered };
        Self { pace, table: Mutex::new(table), idle: Notify::new() }
    }

    /// Takes a place for a connection, unless there are too many.
    pub(crate) fn connect(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        self.take(Owner::Client(ip))
    }

    /// Takes a place for a connection of a trusted proxy, which stands for many clients.
    pub(crate) fn connect_proxy(self: &Arc<Self>) -> Option<Place> {
        self.take(Owner::Proxy)
    }

    /// Takes a place for a client behind a trusted proxy, whose connection has one already.
    pub(crate) fn forward(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        self.take(Owner::Forwarded(ip))
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> u64 {
        self.table().held.total().into()
    }

    /// Connections accepted so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.table().accepted
    }

    /// Connections and forwarded clients refused so far.
    pub(crate) fn refused(&self) -> u64 {
        self.table().refused
    }

    /// Returns when no connection is open.
    pub(crate) async fn wait_until_idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.connections() == 0 {
                return;
            }
            idle.await;
        }
    }

    fn take(self: &Arc<Self>, owner: Owner) -> Option<Place> {
        let mut table = self.table();
        let taken = match owner {
            Owner::Client(ip) => table.held.take(ip, 1),
            Owner::Proxy => table.held.take_common(1),
            Owner::Forwarded(ip) => table.held.take_part(ip, 1),
        };
        if taken.is_err() {
            table.refused += 1;
            return None;
        }
        table.accepted += u64::from(owner.is_connection());
        let effort = owner.client().map(|ip| {
            let effort = || Arc::new(Effort { bucket: Mutex::new((self.pace.burst, Instant::now())) });
            table.efforts.entry(client_network(ip)).or_insert_with(effort).clone()
        });
        drop(table);
        Some(Place(Arc::new(Taken { places: self.clone(), owner, effort })))
    }

    fn leave(&self, owner: Owner) {
        let mut table = self.table();
        match owner {
            Owner::Client(ip) => table.held.give_back(ip, 1),
            Owner::Proxy => table.held.give_back_common(1),
            Owner::Forwarded(ip) => table.held.give_back_part(ip, 1),
        }
        if let Some(ip) = owner.client()
            && table.held.of_client(ip) == 0
        {
            table.remembered.push_back(client_network(ip));
            self.forget(&mut table);
        }
        if owner.is_connection() && table.held.total() == 0 {
            self.idle.notify_waiters();
        }
    }

    /// Forgets those who have been gone for long enough, or too many.
    fn forget(&self, table: &mut Table) {
        while let Some(client) = table.remembered.front().copied() {
            let present = table.held.of_client(client) > 0;
            let rested =
                table.efforts.get(&client).is_none_or(|effort| effort.refill(self.pace) >= self.pace.burst);
            if !present && !rested && table.remembered.len() <= REMEMBERED {
                return;
            }
            table.remembered.pop_front();
            if !present {
                table.efforts.remove(&client);
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Effort {
    fn refill(&self, pace: Pace) -> f64 {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = *bucket;
        let now = Instant::now();
        let tokens = (tokens + now.duration_since(at).as_secs_f64() * pace.per_second).min(pace.burst);
        *bucket = (tokens, now);
        tokens
    }

    fn spend(&self, pace: Pace, cost: f64) -> Duration {
        let left = self.refill(pace) - cost;
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner).0 = left;
        Duration::try_from_secs_f64((-left / pace.per_second).max(0.0)).unwrap_or(Duration::MAX)
    }
}

/// The one who has a place.
#[derive(Clone, Copy, Debug)]
enum Owner {
    /// A client with a connection of its own.
    Client(IpAddr),
    /// A trusted proxy with a connection.
    Proxy,
    /// A client that speaks over a connection of a proxy.
    Forwarded(IpAddr),
}

impl Owner {
    fn client(self) -> Option<IpAddr> {
        match self {
            Self::Client(ip) | Self::Forwarded(ip) => Some(ip),
            Self::Proxy => None,
        }
    }

    fn is_connection(self) -> bool {
        matches!(self, Self::Client(_) | Self::Proxy)
    }
}

/// One client's place. Cloning shares it; it is given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Place(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    places: Arc<Places>,
    owner: Owner,
    effort: Option<Arc<Effort>>,
}

impl Place {
    /// Counts a frame or request of the client, and returns how long it should be left unread.
    pub(crate) fn spend(&self, cost: f64) -> Duration {
        let pace = self.0.places.pace;
        self.0.effort.as_ref().map_or(Duration::ZERO, |effort| effort.spend(pace, cost))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.places.leave(self.owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { per_second: 10.0, burst: 100.0 };

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn connections_are_counted_for_each_network() {
        let places = Arc::new(Places::new(8, 2, PACE));
        let first = places.connect(ip("2001:db8::1")).unwrap();
        let _second = places.connect(ip("2001:db8::2")).unwrap();
        assert!(places.connect(ip("2001:db8::3")).is_none(), "the same /64");
        let _third = places.connect(ip("192.0.2.1")).unwrap();
        let proxy: Vec<Place> = (0..5).map(|_| places.connect_proxy().unwrap()).collect();
        assert!(places.connect(ip("198.51.100.2")).is_none(), "full");
        drop(proxy);
        drop(first);
        assert!(places.connect(ip("2001:db8::3")).is_some());
        assert_eq!((places.connections(), places.accepted(), places.refused()), (2, 9, 2));
    }

    #[test]
    fn one_network_leaves_places_for_others() {
        let places = Arc::new(Places::new(10_000, 256, PACE));
        let mut held = Vec::new();
        for network in 0..6 {
            let address = |at: u32| ip(&format!("2001:db8:{network:x}:{:x}::1", at % 65_536));
            held.extend((0..20_000).filter_map(|at| places.connect(address(at))));
            assert!(places.connect(ip(&format!("192.0.{network}.1"))).is_some(), "one of another network");
        }
        assert!(held.len() > 9_000, "{}", held.len());
    }

    #[test]
    fn forwarded_clients_have_the_limit_of_a_client() {
        let places = Arc::new(Places::new(1000, 4, PACE));
        let _proxy: Vec<Place> = (0..100).map(|_| places.connect_proxy().unwrap()).collect();
        let held: Vec<Place> = (0..10).filter_map(|_| places.forward(ip("192.0.2.1"))).collect();
        assert_eq!(held.len(), 4);
        assert!(places.forward(ip("192.0.2.2")).is_some(), "another client of the same proxy");
        assert_eq!(places.connections(), 100, "the proxy's connections are the ones that count");
        drop(held);
        assert!(places.forward(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn effort_is_remembered_when_a_client_comes_back() {
        let places = Arc::new(Places::new(100, 10, PACE));
        let place = places.connect(ip("192.0.2.1")).unwrap();
        assert_eq!(place.spend(100.0), Duration::ZERO);
        let wait = place.spend(100.0);
        assert!((9.0..=10.0).contains(&wait.as_secs_f64()), "{wait:?}");
        let neighbour = places.connect(ip("192.0.2.2")).unwrap();
        assert_eq!(neighbour.spend(50.0), Duration::ZERO);
        drop(place);
        let back = places.connect(ip("192.0.2.1")).unwrap();
        assert!(back.spend(0.0) > Duration::from_secs(5));
        assert_eq!(places.connect_proxy().unwrap().spend(1e9), Duration::ZERO);
    }

    #[test]
    fn a_flood_of_addresses_is_forgotten() {
        let places = Arc::new(Places::new(100, 10, PACE));
        for at in 0..20_000_u32 {
            let place = places.connect(IpAddr::V4(at.into())).unwrap();
            place.spend(1000.0);
        }
        let table = places.table();
        assert!(table.efforts.len() <= REMEMBERED + 1, "{}", table.efforts.len());
        assert!(table.held.is_empty());
    }
}
