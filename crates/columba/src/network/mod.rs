//! The host's addresses, and their changes.

mod changes;
#[cfg(target_os = "linux")]
mod ipv6;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use columba_peer::LocalAddress;
use tokio::sync::watch;
use tracing::debug;

use changes::Changes;

/// Addresses at most: those of a machine with more suffice.
const MAX_ADDRESSES: usize = 64;

/// Watches the host's addresses. One thread does so for all connections of the process.
pub(crate) fn watch() -> watch::Receiver<Arc<[LocalAddress]>> {
    static ADDRESSES: OnceLock<watch::Sender<Arc<[LocalAddress]>>> = OnceLock::new();
    let sender = ADDRESSES.get_or_init(|| {
        let changes = Changes::subscribe();
        let sender = watch::Sender::new(addresses().into());
        let watcher = sender.clone();
        let thread = std::thread::Builder::new().name("columba-network".into());
        if let Err(error) = thread.spawn(move || run(&watcher, changes)) {
            debug!(%error, "the host's addresses are not watched");
        }
        sender
    });
    sender.subscribe()
}

/// Reads the addresses anew after each change.
fn run(sender: &watch::Sender<Arc<[LocalAddress]>>, mut changes: Changes) {
    loop {
        changes.wait();
        let found = addresses();
        sender.send_if_modified(|known| {
            let is_new = **known != *found;
            if is_new {
                debug!(count = found.len(), "the host's addresses have changed");
                *known = found.into();
            }
            is_new
        });
    }
}

/// Returns the host's addresses in a stable order. Link-local IPv6 addresses are left out: they
/// mean nothing without the name of an interface, which candidates cannot carry.
fn addresses() -> Vec<LocalAddress> {
    let Ok(interfaces) = if_addrs::get_if_addrs() else { return Vec::new() };
    let defaults =
        [default_address(Ipv4Addr::UNSPECIFIED.into()), default_address(Ipv6Addr::UNSPECIFIED.into())];
    let default_interfaces: Vec<&str> = interfaces
        .iter()
        .filter(|interface| defaults.contains(&Some(interface.ip())))
        .map(|interface| interface.name.as_str())
        .collect();
    let flags = ipv6_flags();
    let mut found: Vec<LocalAddress> = interfaces
        .iter()
        .filter(|interface| interface.is_oper_up() || interface.is_loopback())
        .filter(|interface| is_usable(interface.ip()))
        .filter(|interface| !flags.get(&interface.ip()).is_some_and(|flags| flags.unusable))
        .map(|interface| LocalAddress {
            address: interface.ip(),
            temporary: flags.get(&interface.ip()).is_some_and(|flags| flags.temporary),
            default_route: default_interfaces.contains(&interface.name.as_str()),
            network_cost: cost(&interface.name),
            network: interface.index.unwrap_or_default(),
        })
        .collect();
    found.sort_by_key(|address| address.address);
    found.dedup_by_key(|address| address.address);
    found.truncate(MAX_ADDRESSES);
    found
}

/// The system's flags of its IPv6 addresses; none where it does not publish them.
fn ipv6_flags() -> BTreeMap<IpAddr, Ipv6Flags> {
    #[cfg(target_os = "linux")]
    return std::fs::read_to_string("/proc/net/if_inet6")
        .map(|table| ipv6::parse(&table))
        .unwrap_or_default();
    #[cfg(not(target_os = "linux"))]
    BTreeMap::new()
}

/// The flags of an IPv6 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ipv6Flags {
    /// A temporary address for privacy (RFC 8981).
    temporary: bool,
    /// Tentative, a duplicate, or deprecated (RFC 4862).
    unusable: bool,
}

fn is_usable(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_unspecified(),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_unicast_link_local(),
    }
}

/// Returns the source address of the default route. Nothing is sent: connecting a UDP socket only
/// looks up the route.
fn default_address(unspecified: IpAddr) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): they follow the default route unless they
    // were given one of their own.
    let world: IpAddr = match unspecified {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let socket = std::net::UdpSocket::bind(SocketAddr::new(unspecified, 0)).ok()?;
    socket.connect(SocketAddr::new(world, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The cost of a network, by the name of its interface: 0 wired, 10 wireless, 900 cellular, as in
/// libwebrtc.
fn cost(interface: &str) -> u16 {
    match interface {
        name if name.starts_with("wl") => 10,
        name if ["ww", "rmnet", "pdp_ip", "ccmni"].iter().any(|prefix| name.starts_with(prefix)) => 900,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_and_not_link_local() {
        let found = addresses();
        assert!(!found.is_empty());
        assert!(found.is_sorted_by(|a, b| a.address < b.address));
        assert!(found.iter().all(|address| is_usable(address.address)));
        assert!(!is_usable("fe80::1".parse().unwrap()));
    }

    #[test]
    fn cellular_networks_cost_most() {
        assert!(cost("wwan0") > cost("wlan0") && cost("wlp3s0") > cost("eth0"));
    }
}
