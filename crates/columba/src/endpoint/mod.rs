//! Many connections on one UDP socket.

mod port;
mod stun;
mod table;

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use columba_peer::{LocalAddress, Path, TransportId};
use quinn_udp::RecvMeta;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use self::table::{Owner, Table};
use crate::driver::udp::{self, Received, Socket};
use crate::network;
use crate::shared::Shared;

pub(crate) use self::port::{Port, Seat};

/// Batches that are read before other tasks have their turn.
const BATCHES_PER_TURN: usize = 16;

/// A UDP socket that many connections share: a server needs one open port for all of its peers.
/// Cheap to clone; the socket is closed when the last handle and the last connection are gone.
///
/// ```
/// use columba::{Endpoint, PeerConnection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = Endpoint::bind("127.0.0.1:0".parse()?)?;
/// let (connection, _events) = PeerConnection::builder().endpoint(endpoint.clone()).build()?;
/// # drop(connection);
/// # Ok(())
/// # }
/// ```
///
/// A datagram finds its connection by the address that it comes from; a connectivity check by the
/// fragment in its user name (RFC 8445 §7.2.2), and the answer of a STUN server by its transaction
/// id. What belongs to none is dropped and counted, and leaves nothing behind. A connection that
/// wants to reach an address to which another one goes already (two endpoints with many connections
/// between them), and each TURN allocation, have sockets of their own besides. TCP is not shared.
///
/// Bound to an unspecified address, connections use all addresses of the host on this port;
/// bound to another, that one alone. [`bind`](Self::bind) serves the family of its address, and on
/// a host with IPv4 and IPv6 the other one has sockets of its own; [`bind_all`](Self::bind_all)
/// takes an address of each.
#[derive(Clone)]
pub struct Endpoint {
    inner: Arc<Inner>,
}

/// Ends the receiving task with the last handle.
struct Inner {
    core: Arc<Core>,
    task: AbortHandle,
}

struct Core {
    /// At least one, and no two of the same IP address.
    sockets: Vec<Socket>,
    table: Mutex<Table>,
    members: Mutex<HashMap<Owner, Weak<Shared>>>,
    next: AtomicU64,
    /// Datagrams that belonged to no connection.
    strangers: AtomicU64,
}

impl Endpoint {
    /// Binds a UDP socket. To be called inside a tokio runtime, which reads the socket.
    ///
    /// # Errors
    /// The system refuses: the address is in use, or not the host's.
    ///
    /// # Panics
    /// If this is called outside of a runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(vec![Socket::bind_to(TransportId::FIRST, address)?]))
    }

    /// Binds a UDP socket at each of these addresses, for instance `0.0.0.0:5000` and `[::]:5000`
    /// for all addresses of a host with IPv4 and IPv6. To be called inside a tokio runtime, which
    /// reads the sockets.
    ///
    /// # Errors
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput): there is no address, or one IP address is
    ///   there twice.
    /// - The system refuses: an address is in use, or not the host's.
    ///
    /// # Panics
    /// If this is called outside of a runtime.
    pub fn bind_all(addresses: &[SocketAddr]) -> io::Result<Self> {
        let invalid = |text| io::Error::new(io::ErrorKind::InvalidInput, text);
        if addresses.is_empty() {
            return Err(invalid("an endpoint needs an address".to_owned()));
        }
        for (number, address) in addresses.iter().enumerate() {
            if addresses[..number].iter().any(|before| before.ip() == address.ip()) {
                return Err(invalid(format!("{} is there twice: one port for each address", address.ip())));
            }
        }
        let sockets = addresses.iter().map(|address| Socket::bind_to(TransportId::FIRST, *address));
        Ok(Self::over(sockets.collect::<io::Result<_>>()?))
    }

    fn over(sockets: Vec<Socket>) -> Self {
        let core = Arc::new(Core {
            sockets,
            table: Mutex::default(),
            members: Mutex::default(),
            next: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
        });
        let task = tokio::spawn(receive(core.clone())).abort_handle();
        Self { inner: Arc::new(Inner { core, task }) }
    }

    /// The address of the socket; of several, that of the first.
    #[must_use]
    pub fn local_address(&self) -> SocketAddr {
        self.inner.core.sockets[0].local
    }

    /// The addresses of the sockets, in the order in which they were bound.
    #[must_use]
    pub fn local_addresses(&self) -> Vec<SocketAddr> {
        self.inner.core.sockets.iter().map(|socket| socket.local).collect()
    }

    /// The number of connections that use the socket now.
    #[must_use]
    pub fn connections(&self) -> usize {
        lock(&self.inner.core.members).len()
    }

    /// The number of datagrams that belonged to no connection, and were dropped.
    #[must_use]
    pub fn dropped_datagrams(&self) -> u64 {
        self.inner.core.strangers.load(Ordering::Relaxed)
    }

    /// The addresses that a connection gathers: the endpoint's, or all of the host.
    pub(crate) fn addresses(&self) -> watch::Receiver<Arc<[LocalAddress]>> {
        let bound = self.local_addresses();
        if bound.iter().any(|address| address.ip().is_unspecified()) {
            return network::watch();
        }
        let own: Arc<[LocalAddress]> = bound.iter().map(|each| LocalAddress::from(each.ip())).collect();
        watch::Sender::new(own).subscribe()
    }

    /// The number of the socket that has a host's address, and the local address there.
    fn local_for(&self, address: IpAddr) -> Option<(usize, SocketAddr)> {
        self.inner.core.sockets.iter().enumerate().find_map(|(number, socket)| {
            let bound = socket.local;
            let is_same_family = bound.is_ipv4() == address.is_ipv4();
            let has_it = bound.ip() == address || (bound.ip().is_unspecified() && is_same_family);
            has_it.then(|| (number, SocketAddr::new(address, bound.port())))
        })
    }
}

impl Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("local_address", &self.local_address()).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Core {
    fn member(&self, owner: Owner) -> Option<Arc<Shared>> {
        lock(&self.members).get(&owner)?.upgrade()
    }

    /// Gives a batch that arrived at this address to the connections.
    fn deliver(&self, bound: SocketAddr, incoming: &mut [u8], batch: &[RecvMeta]) {
        let (now, wall) = (Instant::now(), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH));
        for (meta, datagrams) in udp::slots(incoming, batch) {
            let local = meta.dst_ip.unwrap_or_else(|| bound.ip()).to_canonical();
            let path = Path::udp(SocketAddr::new(local, bound.port()), meta.addr);
            let received_at = udp::arrival(now, wall.as_ref().ok(), meta.timestamp);
            for datagram in datagrams.chunks_mut(meta.stride) {
                let owner = lock(&self.table).route(path.local.ip(), path.remote, datagram);
                let Some(shared) = owner.and_then(|owner| self.member(owner)) else {
                    self.strangers.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                let mut state = shared.lock();
                let ecn = udp::ecn_of(meta.ecn);
                state.peer.handle_datagram(now, TransportId::FIRST, path, ecn, received_at, datagram);
                state.wake_driver();
            }
        }
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut is_more = false;
        for socket in &self.sockets {
            let deliver =
                |incoming: &mut [u8], batch: &[RecvMeta]| self.deliver(socket.local, incoming, batch);
            is_more |= (0..BATCHES_PER_TURN).all(|_| socket.poll_batch(cx, deliver) == Received::Something);
        }
        if is_more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Reads the sockets, for ever.
async fn receive(core: Arc<Core>) {
    poll_fn(|cx| core.poll(cx)).await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here panics between two changes that belong together.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
