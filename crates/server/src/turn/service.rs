//! The running service: its threads, its tasks, and what the rest of the program asks of it.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use columba_turn::server::{Config, Server, Transport};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

use super::accept::{self, Tls};
use super::addresses::HostAddresses;
use super::clock;
use super::config::TurnConfig;
use super::health::LastCheck;
use super::ingress::Source;
use super::listener::{Bound, Listening};
use super::ports::PortRange;
use super::reader;
use super::shared::{Program, Shared};
use super::stats::SocketStats;
use super::stream;
use super::udp::UdpSocket;
use super::worker::with_worker;
use crate::memory::Budget;
use crate::supervision::Supervisor;

/// The time between looks at the host's addresses where the system tells no changes; where it does,
/// the looks are for the choice of the address to the internet.
const ADDRESS_REFRESH: Duration = Duration::from_secs(30);

/// The pause between looks at the host's addresses when they change all the time.
const ADDRESS_PAUSE: Duration = Duration::from_millis(100);

/// A connection that was accepted elsewhere and may be served here.
pub(crate) trait ClientStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Moves the connection to the runtime that this is called in: from now on that one's threads
    /// see when it can be read or written.
    ///
    /// # Errors
    /// The system does not let the runtime have the socket.
    fn adopt(&mut self) -> io::Result<()>;
}

impl ClientStream for TcpStream {
    fn adopt(&mut self) -> io::Result<()> {
        // A registration cannot be moved, but the new one of a copy takes its place.
        let copy = std::net::TcpStream::from(self.as_fd().try_clone_to_owned()?);
        *self = Self::from_std(copy)?;
        accept::bound_queues(self)
    }
}

/// The counters of the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TurnStats {
    /// By the machine.
    pub(crate) server: columba_turn::server::Stats,
    /// At the sockets.
    pub(crate) sockets: SocketStats,
}

/// The running STUN and TURN service. Dropping it stops it; [`shutdown`](Self::shutdown) also
/// waits.
#[derive(Debug)]
pub(crate) struct Service {
    shared: Arc<Shared>,
    listening: Vec<Listening>,
    tls: Arc<Tls>,
    /// Reading, accepting, waiting for time; streams and relay ports end by themselves.
    tasks: Vec<AbortHandle>,
    all_done: Mutex<mpsc::Receiver<Infallible>>,
    pub(super) last_check: LastCheck,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl Service {
    /// Starts to serve what was bound; without any, only [`serve_stream`](Self::serve_stream) leads
    /// in.
    ///
    /// `tls` is for the TLS listeners; until it is given, here or by [`set_tls`](Self::set_tls),
    /// their connections are closed. Its ALPN protocols do not matter.
    ///
    /// # Errors
    /// The system gives no threads or no randomness, or does not let the runtime have a socket.
    pub(crate) fn start(
        config: TurnConfig,
        bound: Vec<Bound>,
        tls: Option<Arc<ServerConfig>>,
        supervisor: Supervisor,
        budget: Budget,
    ) -> io::Result<Self> {
        let listening: Vec<Listening> = bound.iter().map(Bound::listening).collect();
        let addresses = HostAddresses::discover(&config.public_addresses);
        let mut server = config.server;
        server.own_addresses = addresses.all();
        server.own_networks = addresses.networks.clone();
        let udp = listening.iter().filter(|listening| listening.transport == Transport::Udp);
        server.closed_ports.extend(udp.map(|listening| listening.address.port()));
        server.listeners.extend(listening.iter().map(|listening| listening.address));
        // Whether there is an address to give is seen when one is asked for.
        (server.relay_ipv4, server.relay_ipv6) = (true, true);
        server.dont_fragment = false;
        let server = new_server(server)?;

        let runtime = threads()?;
        let here = runtime.enter();
        let ports = PortRange::new(&config.relay_ports);
        let (shared, all_done) = Shared::new(
            server,
            config.public_addresses,
            addresses,
            ports,
            config.streams,
            Program { runtime: runtime.handle().clone(), supervisor, budget },
        );
        let tls = Tls::new(tls);
        let (time, interfaces) = (Arc::clone(&shared), Arc::clone(&shared));
        let mut tasks = vec![
            shared.keep("the timer of TURN", move || keep_time(Arc::clone(&time))),
            shared.keep("the watch on addresses", move || keep_addresses(Arc::clone(&interfaces))),
        ];
        for Bound { socket, listening } in bound {
            let serving = Arc::clone(&shared);
            tasks.push(match listening.transport {
                Transport::Udp => {
                    let socket = Arc::new(UdpSocket::new(socket)?);
                    shared.core().listeners.push(Arc::clone(&socket));
                    shared.keep("a reader of datagrams", move || {
                        reader::read(Arc::clone(&serving), Arc::clone(&socket), Source::Listener)
                    })
                }
                Transport::Tcp | Transport::Tls => {
                    let listener = Arc::new(TcpListener::from_std(socket.into())?);
                    let tls = (listening.transport == Transport::Tls).then(|| Arc::clone(&tls));
                    shared.keep("a TURN listener", move || {
                        accept::accept(Arc::clone(&serving), Arc::clone(&listener), tls.clone())
                    })
                }
            });
        }
        let tasks = tasks.into_iter().flatten().collect();
        drop(here);
        Ok(Self {
            shared,
            listening,
            tls,
            tasks,
            all_done: Mutex::new(all_done),
            last_check: LastCheck::default(),
            runtime: Some(runtime),
        })
    }

    /// Where this listens.
    pub(crate) fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Serves a stream that was accepted elsewhere (the web port), of which `prefix` has been read
    /// already, until it ends, on the threads of this service. For [`Transport::Tls`], `stream` is
    /// what is inside the TLS. TCP_NODELAY is the caller's to set.
    ///
    /// `local` and `client` are the addresses of the TCP connection.
    pub(crate) async fn serve_stream<S: ClientStream>(
        &self,
        mut stream: S,
        prefix: &[u8],
        local: SocketAddr,
        client: SocketAddr,
        transport: Transport,
    ) {
        let Some(running) = self.shared.running() else { return };
        let Some(place) = self.shared.admission.admit(client.ip(), Instant::now()) else {
            return self.shared.counters.streams_refused.add_one();
        };
        let Some(runtime) = &self.runtime else { return };
        let (shared, prefix) = (Arc::clone(&self.shared), prefix.to_vec());
        // Dropped with this future, the set takes its task along.
        let mut serving = JoinSet::new();
        serving.spawn_on(
            async move {
                if stream.adopt().is_ok() {
                    stream::serve(&shared, stream, &prefix, local, client, transport, place).await;
                }
                drop(running);
            },
            runtime.handle(),
        );
        let _ = serving.join_next().await;
    }

    /// Notes that a connection of this client's is open, at the web port for example, until the
    /// answer is dropped: STUN's answers to it go before those to strangers.
    pub(crate) fn connected(&self, client: IpAddr) -> Connected {
        self.shared.core().server.note_connection(client);
        Connected { shared: Arc::clone(&self.shared), client }
    }

    /// Notes that a client is at this address, for some minutes: the same for those whose
    /// connections come from a proxy.
    pub(crate) fn note_client(&self, client: IpAddr) {
        self.shared.core().server.note_client(Instant::now(), client);
    }

    /// The addresses of this machine, without those that every machine has.
    pub(crate) fn own_addresses(&self) -> Vec<IpAddr> {
        let all = self.shared.with_addresses(HostAddresses::all);
        all.into_iter().filter(|ip| !ip.is_loopback()).collect()
    }

    /// Runs a task on the threads of this service.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        self.runtime.as_ref().map(|runtime| runtime.spawn(task))
    }

    /// Returns the counters.
    pub(crate) fn stats(&self) -> TurnStats {
        let server = self.shared.core().server.stats();
        TurnStats { server, sockets: self.shared.counters.snapshot() }
    }

    /// From now on these secrets are good for TURN credentials. Allocations live on.
    pub(crate) fn set_secrets(&self, secrets: Vec<Vec<u8>>) {
        self.shared.core().server.set_secrets(secrets);
    }

    /// New TLS connections are made with this.
    pub(crate) fn set_tls(&self, config: Arc<ServerConfig>) {
        self.tls.set(config);
    }

    /// Closes every port and stream at once, and comes back when they are closed.
    pub(crate) async fn shutdown(&self) {
        self.stop();
        // Nothing is ever sent: it ends when the last task has let go.
        let _ = self.all_done.lock().await.recv().await;
    }

    fn stop(&self) {
        self.shared.close();
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
        // Waiting for threads is not allowed where this may be dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An open connection of a client's, as the service knows it.
#[derive(Debug)]
pub(crate) struct Connected {
    shared: Arc<Shared>,
    client: IpAddr,
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.shared.core().server.forget_connection(self.client);
    }
}

/// The threads of the service: as many as there are cores.
fn threads() -> io::Result<Runtime> {
    let count = std::thread::available_parallelism().map_or(1, NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(count)
        .thread_name("columba-turn")
        .enable_all()
        .build()
}

fn new_server(config: Config) -> io::Result<Server> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(Server::new(config, Instant::now(), clock::wall(), &mut ChaCha20Rng::from_seed(seed)))
}

/// Wakes the server when its deadlines come.
async fn keep_time(shared: Arc<Shared>) {
    loop {
        let deadline = {
            let mut core = shared.core();
            core.armed = core.server.poll_timeout();
            core.armed
        };
        let due = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => with_worker(|worker| worker.tick(&shared)),
            () = shared.timer.notified() => {}
        }
    }
}

/// Follows the addresses of this machine.
#[cfg(target_os = "linux")]
async fn keep_addresses(shared: Arc<Shared>) {
    let changes = match super::netlink::Changes::new() {
        Ok(changes) => changes,
        Err(error) => {
            tracing::warn!(%error, "a new address of this machine is seen within {ADDRESS_REFRESH:?} only");
            return look_at_addresses(&shared).await;
        }
    };
    // What has changed before the notifications began.
    shared.refresh_addresses().await;
    loop {
        if let Ok(Err(error)) = tokio::time::timeout(ADDRESS_REFRESH, changes.next()).await {
            tracing::warn!(%error, "the notifications of addresses have ended");
            return look_at_addresses(&shared).await;
        }
        shared.refresh_addresses().await;
        tokio::time::sleep(ADDRESS_PAUSE).await;
    }
}

#[cfg(not(target_os = "linux"))]
async fn keep_addresses(shared: Arc<Shared>) {
    look_at_addresses(&shared).await;
}

async fn look_at_addresses(shared: &Shared) {
    loop {
        tokio::time::sleep(ADDRESS_REFRESH).await;
        shared.refresh_addresses().await;
    }
}
