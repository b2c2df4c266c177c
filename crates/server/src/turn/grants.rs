//! Granting relay ports: what the server asks for by an event, bound and handed to it by an input.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use columba_turn::server::{AddressFamily, Input, PortRequirement, RefusalReason, RelayId};
use tokio::task::AbortHandle;

use super::ingress::Source;
use super::ports::{BoundPort, Parity};
use super::reader;
use super::shared::{Core, Shared};
use super::udp::UdpSocket;

/// The way from a relayed transport address to its peers.
///
/// Every peer of a UDP allocation is reached by its one port. A TCP allocation (RFC 6062), which is
/// not offered, would be a kind of its own: a stream for each peer, written to as clients' are.
#[derive(Debug)]
pub(super) enum Outlet {
    /// Datagrams.
    Udp(Arc<UdpSocket>),
}

/// A relay port in use. Its reader ends with this.
#[derive(Debug)]
pub(super) struct LiveRelay {
    pub(super) outlet: Outlet,
    reader: AbortHandle,
}

impl Drop for LiveRelay {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The requests of the server that a thread has yet to carry out.
#[derive(Default)]
pub(super) struct Grants {
    pub(super) wanted: Vec<Wanted>,
    /// Closed without the lock.
    pub(super) released: Vec<LiveRelay>,
}

/// A relay port that the server wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) id: RelayId,
    pub(super) family: AddressFamily,
    pub(super) port: PortRequirement,
    /// The address that the client has reached the server at.
    pub(super) came_to: Option<IpAddr>,
}

/// Bound sockets, not yet known to the server.
pub(super) struct Bound {
    relayed: SocketAddr,
    first: UdpSocket,
    next: Option<UdpSocket>,
}

/// The answer to a request for a port, before the server has it.
pub(super) struct Answer(Result<Bound, RefusalReason>);

impl Wanted {
    /// The name of the port after the even one, if it is wanted too.
    fn next(&self) -> Option<RelayId> {
        match self.port {
            PortRequirement::EvenAndNext(next) => Some(next),
            PortRequirement::Any | PortRequirement::Even => None,
        }
    }

    fn parity(&self) -> Parity {
        match self.port {
            PortRequirement::Any => Parity::Any,
            PortRequirement::Even => Parity::Even,
            PortRequirement::EvenAndNext(_) => Parity::Pair,
        }
    }
}

/// Binds what is wanted.
pub(super) fn grant(shared: &Shared, wanted: &Wanted) -> Answer {
    Answer(bind(shared, wanted).inspect_err(|_| shared.counters.relays_refused.add_one()))
}

fn bind(shared: &Shared, wanted: &Wanted) -> Result<Bound, RefusalReason> {
    // A request that no client's message has led to has no such address; any that is not loopback
    // will do then.
    let came_to = wanted.came_to.unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
    let place = shared.with_addresses(|addresses| addresses.place(wanted.family, came_to));
    let place = place.ok_or(RefusalReason::Family)?;
    let (first, next) = shared.ports.bind(place.bind, wanted.parity())?;
    let relayed = SocketAddr::new(place.announce, first.lease.port());
    let register = |port: BoundPort| {
        UdpSocket::relay(port).map_err(|error| {
            tracing::warn!(%error, "a relay socket cannot be used");
            RefusalReason::Capacity
        })
    };
    Ok(Bound { relayed, first: register(first)?, next: next.map(register).transpose()? })
}

impl Answer {
    /// Lets the sockets be read from, and returns the input for the server.
    pub(super) fn settle(self, shared: &Arc<Shared>, core: &mut Core, wanted: &Wanted) -> Input<'static> {
        let Wanted { id, .. } = *wanted;
        let granted = self.0.and_then(|bound| {
            let names = [Some(id), wanted.next()].into_iter().flatten();
            for (name, socket) in names.zip([Some(bound.first), bound.next].into_iter().flatten()) {
                let relay = live(shared, core, name, socket).ok_or(RefusalReason::Capacity)?;
                core.relays.insert(name, relay);
            }
            Ok(bound.relayed)
        });
        match granted {
            Ok(relayed) => Input::RelayGranted { id, relayed },
            Err(reason) => Input::RelayRefused { id, reason },
        }
    }
}

/// A relay with its reader; `None` when everything is ending.
fn live(shared: &Arc<Shared>, core: &Core, id: RelayId, socket: UdpSocket) -> Option<LiveRelay> {
    if core.is_closed() {
        return None;
    }
    let socket = Arc::new(socket);
    let reader = shared.spawn(reader::read(Arc::clone(shared), Arc::clone(&socket), Source::Relay(id)))?;
    Some(LiveRelay { outlet: Outlet::Udp(socket), reader })
}
