//! Name resolution, in tasks of its own because it may take any time.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use columba_peer::{Input, ResolveId, TransportId};
use tokio::time::timeout;

use crate::shared::Shared;

/// The longest time that a DNS query may take.
const DNS: Duration = Duration::from_secs(8);

/// Addresses of one name, at most.
const MAX_ADDRESSES: usize = 16;

/// Asks the system's resolver.
pub(super) async fn resolve(host: Arc<str>) -> Vec<IpAddr> {
    let found = timeout(DNS, tokio::net::lookup_host((&*host, 0))).await;
    let Ok(Ok(addresses)) = found else { return Vec::new() };
    let mut unique: Vec<IpAddr> = Vec::new();
    for address in addresses.take(MAX_ADDRESSES) {
        if !unique.contains(&address.ip()) {
            unique.push(address.ip());
        }
    }
    unique
}

/// Tells the peer the addresses of a name.
pub(super) async fn report(
    shared: Weak<Shared>,
    transport: TransportId,
    id: ResolveId,
    answer: impl Future<Output = Vec<IpAddr>>,
) {
    let addresses = answer.await;
    if let Some(shared) = shared.upgrade() {
        shared.with_peer(|peer, now| peer.handle_input(now, transport, Input::Resolved { id, addresses }));
    }
}
