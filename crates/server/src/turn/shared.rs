//! The state that the tasks of STUN and TURN share.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use columba_turn::server::{RelayId, Server};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;

use super::addresses::HostAddresses;
use super::admission::Admission;
use super::config::StreamLimits;
use super::grants::LiveRelay;
use super::ports::PortRange;
use super::stats::Counters;
use super::stream::Stream;
use super::udp::UdpSocket;
use crate::memory::Budget;
use crate::supervision::Supervisor;

/// Everything that is shared.
#[derive(Debug)]
pub(super) struct Shared {
    /// Held for moments, never while waiting for anything.
    core: Mutex<Core>,
    /// The server's next deadline has become earlier.
    pub(super) timer: Notify,
    pub(super) counters: Counters,
    pub(super) ports: Arc<PortRange>,
    pub(super) admission: Arc<Admission>,
    pub(super) limits: StreamLimits,
    pub(super) supervisor: Supervisor,
    /// The threads that all this runs on.
    runtime: Handle,
    /// The memory that clients make the program hold.
    pub(super) budget: Budget,
    public_addresses: Vec<IpAddr>,
    addresses: RwLock<HostAddresses>,
    next_stream: AtomicU64,
    closing: watch::Sender<bool>,
    /// Held by every task, so that shutting down can wait for all of them. None once that has
    /// begun.
    running: Mutex<Option<mpsc::Sender<Infallible>>>,
}

/// The parts of the program around it that the service uses.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) runtime: Handle,
    pub(super) supervisor: Supervisor,
    pub(super) budget: Budget,
}

/// The machine and the sockets around it.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) server: Server,
    pub(super) listeners: Vec<Arc<UdpSocket>>,
    /// As many as the server allows allocations, reserved ports included.
    pub(super) relays: HashMap<RelayId, LiveRelay>,
    /// As many as are admitted.
    pub(super) streams: HashMap<u64, Arc<Stream>>,
    /// When the timer task will wake.
    pub(super) armed: Option<Instant>,
    /// No relay is granted any more.
    closed: bool,
}

impl Core {
    /// The listening socket that owns an address.
    pub(super) fn listener(&self, local: SocketAddr) -> Option<&Arc<UdpSocket>> {
        // One that is bound to the very address goes before one that is bound to all.
        let serving = || self.listeners.iter().filter(|socket| socket.serves(local));
        serving().find(|socket| socket.local() == local).or_else(|| serving().next())
    }

    /// Wakes the timer task if the server's next deadline comes before it would wake.
    pub(super) fn rearm(&mut self, timer: &Notify) {
        if let Some(next) = self.server.poll_timeout()
            && self.armed.is_none_or(|armed| next < armed)
        {
            self.armed = Some(next);
            timer.notify_one();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}

impl Shared {
    pub(super) fn new(
        server: Server,
        public_addresses: Vec<IpAddr>,
        addresses: HostAddresses,
        ports: Arc<PortRange>,
        limits: StreamLimits,
        Program { runtime, supervisor, budget }: Program,
    ) -> (Arc<Self>, mpsc::Receiver<Infallible>) {
        let (running, all_done) = mpsc::channel(1);
        let core = Core {
            server,
            listeners: Vec::new(),
            relays: HashMap::new(),
            streams: HashMap::new(),
            armed: None,
            closed: false,
        };
        let shared = Self {
            core: Mutex::new(core),
            timer: Notify::new(),
            counters: Counters::default(),
            ports,
            admission: Admission::new(limits.max_streams, limits.max_streams_per_client),
            limits,
            supervisor,
            runtime,
            budget,
            public_addresses,
            addresses: RwLock::new(addresses),
            next_stream: AtomicU64::new(1),
            closing: watch::Sender::new(false),
            running: Mutex::new(Some(running)),
        };
        (Arc::new(shared), all_done)
    }

    pub(super) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a stream, never given twice.
    pub(super) fn next_stream(&self) -> u64 {
        self.next_stream.fetch_add(1, Ordering::Relaxed)
    }

    /// Looks at the interfaces and routes again.
    pub(super) async fn refresh_addresses(&self) {
        let public = self.public_addresses.clone();
        // A machine may have very many routes.
        let found = tokio::task::spawn_blocking(move || HostAddresses::discover(&public)).await;
        let Ok(found) = found else { return };
        if self.with_addresses(|addresses| *addresses != found) {
            self.core().server.set_own_addresses(found.all(), found.networks.clone());
            *self.addresses.write().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }

    pub(super) fn with_addresses<T>(&self, look: impl FnOnce(&HostAddresses) -> T) -> T {
        look(&self.addresses.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a task that must not end, and is started again if it does.
    pub(super) fn keep<F>(
        &self,
        name: &'static str,
        make: impl Fn() -> F + Send + 'static,
    ) -> Option<AbortHandle>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.spawn(self.supervisor.clone().keep(name, make))
    }

    /// Runs a task that [`close`](Self::close) is waited for to end. `None` when it is too late for
    /// that.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Option<AbortHandle> {
        let running = self.running()?;
        let task = async move {
            task.await;
            drop(running);
        };
        Some(self.runtime.spawn(task).abort_handle())
    }

    /// The guard that a task holds while it runs.
    pub(super) fn running(&self) -> Option<mpsc::Sender<Infallible>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Comes when everything is to end.
    pub(super) async fn closing(&self) {
        // An error would mean that the sender is gone, and with it this.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// Closes all UDP sockets and ends all tasks.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
        let mut core = self.core();
        core.closed = true;
        let listeners = std::mem::take(&mut core.listeners);
        let relays = std::mem::take(&mut core.relays);
        drop(core);
        drop((listeners, relays));
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
