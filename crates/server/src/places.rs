//! The places of clients: how many connections each network may have, and how much it may ask for.
//!
//! A client is an address (an IPv6 /64). The networks around it have limits too, so that a client
//! that owns many addresses does not take every place, and the last places are kept for networks
//! that have few.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The networks that a client belongs to, from the narrowest: prefix lengths for IPv4 and IPv6, and
/// how many times the places of one client they may have.
const SCOPES: [Scope; 3] = [
    Scope { v4: 32, v6: 64, factor: 1 },
    Scope { v4: 24, v6: 56, factor: 4 },
    // An IPv6 customer may have a whole /48; in IPv4 a /24 is the most that is handed out.
    Scope { v4: 24, v6: 48, factor: 8 },
];

/// The share of all places that one network may have, whatever its factor allows: one part in so
/// many.
const NETWORK_SHARE: u32 = 4;

/// The share of the places that is kept for networks that have few: one part in so many.
const KEPT_SHARE: u32 = 10;

/// The connections of a network that has few.
const FEW: u32 = 8;

/// Clients that are remembered after their last connection, until they have asked for little again.
const REMEMBERED: usize = 4096;

#[derive(Clone, Copy)]
struct Scope {
    v4: u8,
    v6: u8,
    factor: u32,
}

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
    max: u32,
    per_client: u32,
    pace: Pace,
    table: Mutex<Table>,
    /// The last connection has been closed.
    idle: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// Connections open.
    total: u32,
    accepted: u64,
    refused: u64,
    networks: HashMap<Network, u32>,
    efforts: HashMap<IpAddr, Arc<Effort>>,
    /// Clients without a connection whose effort is still remembered, the first to leave first.
    remembered: VecDeque<IpAddr>,
}

/// A network by its first address and prefix length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(IpAddr, u8);

impl Network {
    fn of(ip: IpAddr, scope: Scope) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let shift = 32 - u32::from(scope.v4);
                let bits = ip.to_bits().checked_shr(shift).and_then(|bits| bits.checked_shl(shift));
                Self(IpAddr::V4(bits.unwrap_or_default().into()), scope.v4)
            }
            IpAddr::V6(ip) => {
                let shift = 128 - u32::from(scope.v6);
                let bits = ip.to_bits().checked_shr(shift).and_then(|bits| bits.checked_shl(shift));
                Self(IpAddr::V6(bits.unwrap_or_default().into()), scope.v6)
            }
        }
    }
}

/// Returns the unit that counts as one client: an IPv4 address, or the /64 that an IPv6 household
/// has.
pub(crate) fn client_network(ip: IpAddr) -> IpAddr {
    let [narrowest, ..] = SCOPES;
    Network::of(ip, narrowest).0
}

/// The effort that one client has made lately.
#[derive(Debug)]
struct Effort {
    bucket: Mutex<(f64, Instant)>,
}

impl Places {
    /// A table for so many connections, so many of them of one client.
    pub(crate) fn new(max: u32, per_client: u32, pace: Pace) -> Self {
        Self { max, per_client, pace, table: Mutex::default(), idle: Notify::new() }
    }

    /// Takes a place for a connection, unless there are too many.
    pub(crate) fn connect(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        self.take(Some(ip), true)
    }

    /// Takes a place for a connection of a trusted proxy, which stands for many clients.
    pub(crate) fn connect_proxy(self: &Arc<Self>) -> Option<Place> {
        self.take(None, true)
    }

    /// Takes a place for a client behind a trusted proxy, whose connection has one already.
    pub(crate) fn forward(self: &Arc<Self>, ip: IpAddr) -> Option<Place> {
        self.take(Some(ip), false)
    }

    /// Connections open now.
    pub(crate) fn connections(&self) -> u64 {
        self.table().total.into()
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

    fn take(self: &Arc<Self>, ip: Option<IpAddr>, connection: bool) -> Option<Place> {
        let mut table = self.table();
        if !self.has_room(&table, ip, connection) {
            table.refused += 1;
            return None;
        }
        if connection {
            table.total += 1;
            table.accepted += 1;
        }
        let effort = ip.map(|ip| {
            for network in networks(ip) {
                *table.networks.entry(network).or_default() += 1;
            }
            let effort = || Arc::new(Effort { bucket: Mutex::new((self.pace.burst, Instant::now())) });
            table.efforts.entry(client_network(ip)).or_insert_with(effort).clone()
        });
        let taken = Taken { places: self.clone(), ip, connection, effort };
        Some(Place(Arc::new(taken)))
    }

    fn has_room(&self, table: &Table, ip: Option<IpAddr>, connection: bool) -> bool {
        if connection && table.total >= self.max {
            return false;
        }
        let Some(ip) = ip else { return true };
        let share = (self.max / NETWORK_SHARE).max(self.per_client);
        let here = |network: &Network| table.networks.get(network).copied().unwrap_or_default();
        let within = SCOPES.iter().all(|scope| {
            let most = self.per_client.saturating_mul(scope.factor).min(share);
            here(&Network::of(ip, *scope)) < most
        });
        // Small limits leave nothing to keep.
        let kept = self.max / KEPT_SHARE;
        let scarce = connection && kept >= FEW && table.total >= self.max - kept;
        let [.., widest] = SCOPES;
        within && !(scarce && here(&Network::of(ip, widest)) >= FEW)
    }

    fn leave(&self, ip: Option<IpAddr>, connection: bool) {
        let mut table = self.table();
        if let Some(ip) = ip {
            for network in networks(ip) {
                match table.networks.get_mut(&network) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => drop(table.networks.remove(&network)),
                }
            }
            let [narrowest, ..] = SCOPES;
            if !table.networks.contains_key(&Network::of(ip, narrowest)) {
                table.remembered.push_back(client_network(ip));
                self.forget(&mut table);
            }
        }
        if connection {
            table.total = table.total.saturating_sub(1);
            if table.total == 0 {
                self.idle.notify_waiters();
            }
        }
    }

    /// Forgets those who have been gone for long enough, or too many.
    fn forget(&self, table: &mut Table) {
        let [narrowest, ..] = SCOPES;
        while let Some(client) = table.remembered.front().copied() {
            let present = table.networks.contains_key(&Network::of(client, narrowest));
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

/// The networks of an address, each once.
fn networks(ip: IpAddr) -> impl Iterator<Item = Network> {
    let all = SCOPES.map(|scope| Network::of(ip, scope));
    let mut before = None;
    all.into_iter().filter(move |network| before.replace(*network) != Some(*network))
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

/// One client's place. Cloning shares it; it is given back when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Place(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    places: Arc<Places>,
    ip: Option<IpAddr>,
    connection: bool,
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
        self.places.leave(self.ip, self.connection);
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
    fn wide_networks_have_limits_of_their_own() {
        let places = Arc::new(Places::new(10_000, 256, PACE));
        let mut held = Vec::new();
        let mut of = |make: &dyn Fn(u32) -> String| {
            let before = held.len();
            held.extend((0..20_000).filter_map(|at| places.connect(ip(&make(at)))));
            held.len() - before
        };
        assert_eq!(of(&|at| format!("2001:db8:0:{:x}::1", at % 256)), 1024, "a /56");
        assert_eq!(of(&|at| format!("2001:db8:1:{:x}::1", at % 65_536)), 2048, "a /48");
        assert_eq!(of(&|at| format!("192.0.2.{}", at % 256)), 1024, "a /24");
    }

    #[test]
    fn last_places_are_kept_for_networks_that_have_few() {
        let places = Arc::new(Places::new(1000, 256, PACE));
        let mut held: Vec<Place> = Vec::new();
        for network in 0..8 {
            held.extend(
                (0..300).filter_map(|at| places.connect(ip(&format!("192.0.{network}.{}", at % 256)))),
            );
        }
        assert_eq!(held.len(), 900 + 4 * FEW as usize, "four networks took what there was, and four got few");
        assert!(places.connect(ip("192.0.0.1")).is_none());
        assert!(places.connect(ip("198.51.100.1")).is_some());
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
        assert!(table.networks.is_empty());
    }
}
