//! The sockets around [`columba_turn::server::Server`]: STUN and TURN over UDP, TCP and TLS, and
//! the relay ports.
//!
//! ```ignore
//! let udp = Bound::new("[::]:3478".parse()?, Transport::Udp)?;   // each listener by itself:
//! // The program decides what a taken port means.
//! let tcp = Bound::new("[::]:3478".parse()?, Transport::Tcp)?;
//! let relay = Relay::start(RelayConfig::default(), vec![udp, tcp], None)?;
//! // ... a connection on the web port has turned out to be STUN:
//! relay.serve_stream(stream, &first_bytes, local, peer, Transport::Tcp).await;
//! // ... at the end:
//! relay.shutdown().await;
//! ```
//!
//! One task reads each UDP socket, one serves each stream, one waits for the server's deadlines.
//! They share one [`Server`] behind a lock that is held for some tens of microseconds and never
//! while waiting. Everything that is sent over UDP is sent now or lost; what goes to a stream waits
//! in that stream's own queue, so that a slow client is slow for itself.
//!
//! What is not done: DSCP bits are not carried over from a received datagram to the sent one (RFC
//! 8656 §14 asks for it); ECN bits are.

mod accept;
mod addresses;
mod admission;
mod grant;
mod listener;
mod ports;
mod pump;
mod shared;
mod stats;
mod stream;
#[cfg(test)]
mod tests;
mod udp;

pub(crate) use listener::{BindError, Bound, Listening};
pub(crate) use stats::SocketStats;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use columba_turn::server::{Config, Server, Transport, UnixTime};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;

use self::accept::Tls;
use self::addresses::HostAddresses;
use self::ports::PortRange;
use self::pump::{Source, with_pump};
use self::shared::Shared;
use self::udp::UdpSocket;

/// The time between looks at the host's interfaces for addresses that have come or gone.
const ADDRESS_REFRESH: Duration = Duration::from_secs(30);

/// The configuration of the relay.
#[derive(Clone, Debug)]
pub(crate) struct RelayConfig {
    /// The machine's configuration. `own_addresses`, `relay_ipv4` and `relay_ipv6` are filled in
    /// here; to `listeners` the relay's own are added, those of the rest of the program must be in
    /// it.
    pub(crate) server: Config,
    /// The addresses under which a 1:1 NAT shows this host: announced as relayed addresses in place
    /// of the interfaces' own. Of each family the first one is. Default none.
    pub(crate) public_addresses: Vec<IpAddr>,
    /// The ports that relays get. Default 49152-65535 (RFC 8656 §7.2).
    pub(crate) relay_ports: RangeInclusive<u16>,
    /// The limits of streams.
    pub(crate) streams: StreamLimits,
}

/// Limits on TCP and TLS connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamLimits {
    /// Streams in all. More are closed at once. Default 4,000: a stream costs some 10 KiB, and 300
    /// KiB at its worst.
    pub(crate) max_streams: usize,
    /// Streams of one client address (an IPv6 /64). More are closed at once. Default 256.
    pub(crate) max_streams_per_client: usize,
    /// The silence after which a stream without an allocation is closed. Default 30 seconds.
    pub(crate) idle_timeout: Duration,
    /// The time in which a TLS handshake must finish. Default 10 seconds.
    pub(crate) handshake_timeout: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            server: Config::default(),
            public_addresses: Vec::new(),
            relay_ports: 49_152..=u16::MAX,
            streams: StreamLimits::default(),
        }
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            max_streams: 4000,
            max_streams_per_client: 256,
            idle_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// The counters of the relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RelayStats {
    /// By the machine.
    pub(crate) server: columba_turn::server::Stats,
    /// At the sockets.
    pub(crate) sockets: SocketStats,
}

/// The running STUN and TURN service. Dropping it stops it; [`shutdown`](Self::shutdown) also
/// waits.
#[derive(Debug)]
pub(crate) struct Relay {
    shared: Arc<Shared>,
    listening: Vec<Listening>,
    tls: Arc<Tls>,
    /// Reading, accepting, waiting for time; streams and relay ports end by themselves.
    tasks: Vec<AbortHandle>,
    all_done: Mutex<mpsc::Receiver<Infallible>>,
}

impl Relay {
    /// Starts to serve what was bound; without any, only [`serve_stream`](Self::serve_stream) leads
    /// in. Must be called in a tokio runtime with time and IO.
    ///
    /// `tls` is for the TLS listeners; until it is given, here or by [`set_tls`](Self::set_tls),
    /// their connections are closed. Its ALPN protocols do not matter.
    ///
    /// # Errors
    /// The system gives no randomness, or does not let the runtime have a socket.
    pub(crate) fn start(
        config: RelayConfig,
        bound: Vec<Bound>,
        tls: Option<Arc<ServerConfig>>,
    ) -> io::Result<Self> {
        let listening: Vec<Listening> = bound.iter().map(Bound::listening).collect();
        let addresses = HostAddresses::discover(&config.public_addresses);
        let mut server = config.server;
        server.own_addresses = addresses.all();
        server.listeners.extend(listening.iter().map(|listening| listening.address));
        // Whether there is an address to give is seen when one is asked for.
        (server.relay_ipv4, server.relay_ipv6) = (true, true);
        server.dont_fragment = false;
        let server = new_server(server)?;

        let ports = PortRange::new(&config.relay_ports);
        let (shared, all_done) =
            Shared::new(server, config.public_addresses, addresses, ports, config.streams);
        let tls = Tls::new(tls);
        let mut tasks = vec![
            shared.spawn(keep_time(Arc::clone(&shared))),
            shared.spawn(keep_addresses(Arc::clone(&shared))),
        ];
        for Bound { socket, listening } in bound {
            tasks.push(match listening.transport {
                Transport::Udp => {
                    let socket = Arc::new(UdpSocket::new(socket)?);
                    shared.core().listeners.push(Arc::clone(&socket));
                    shared.spawn(grant::read(Arc::clone(&shared), socket, Source::Listener))
                }
                Transport::Tcp | Transport::Tls => {
                    let listener = TcpListener::from_std(socket.into())?;
                    let tls = (listening.transport == Transport::Tls).then(|| Arc::clone(&tls));
                    shared.spawn(accept::accept(Arc::clone(&shared), listener, tls))
                }
            });
        }
        let tasks = tasks.into_iter().flatten().collect();
        Ok(Self { shared, listening, tls, tasks, all_done: Mutex::new(all_done) })
    }

    /// Where this listens.
    pub(crate) fn listening(&self) -> &[Listening] {
        &self.listening
    }

    /// Serves a stream that was accepted elsewhere (the web port), of which `prefix` has been read
    /// already, until it ends. For [`Transport::Tls`], `stream` is what is inside the TLS.
    /// TCP_NODELAY is the caller's to set.
    ///
    /// `local` and `client` are the addresses of the TCP connection.
    pub(crate) async fn serve_stream<S>(
        &self,
        stream: S,
        prefix: &[u8],
        local: SocketAddr,
        client: SocketAddr,
        transport: Transport,
    ) where
        S: AsyncRead + AsyncWrite,
    {
        let Some(_running) = self.shared.running() else { return };
        match self.shared.admission.admit(client.ip()) {
            Some(place) => {
                stream::serve(&self.shared, stream, prefix, local, client, transport, place).await;
            }
            None => self.shared.counters.streams_refused.add_one(),
        }
    }

    /// Returns the counters.
    pub(crate) fn stats(&self) -> RelayStats {
        let server = self.shared.core().server.stats();
        RelayStats { server, sockets: self.shared.counters.snapshot() }
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

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop();
    }
}

fn new_server(config: Config) -> io::Result<Server> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    // A clock before 1970 makes all credentials good; they are checked against the same clock that
    // makes them.
    let wall = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    Ok(Server::new(config, Instant::now(), wall, &mut ChaCha20Rng::from_seed(seed)))
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
            () = due => with_pump(|pump| pump.tick(&shared)),
            () = shared.timer.notified() => {}
        }
    }
}

/// Follows the addresses of the host's interfaces.
async fn keep_addresses(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(ADDRESS_REFRESH).await;
        shared.refresh_addresses();
    }
}
