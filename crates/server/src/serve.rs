//! `columba serve`: everything is opened, announced, run, and closed again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use columba_turn::server::{Admission, Transport};
use getrandom::SysRng;
use rand_core::UnwrapErr;
use tokio::net::TcpListener;
use tokio::signal::unix::{self, Signal as Signals, SignalKind};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::announce::Announcement;
use crate::config::{Config, Listen, Secret, ServeOptions, TurnCredentials};
use crate::drain::{CLOSING, Drain, GRACE, RECONNECT_AFTER};
use crate::failure::Failure;
use crate::http::{self, App, Shared, router};
use crate::logging;
use crate::memory::Budget;
use crate::moderation;
use crate::signal::{self, Endpoint, IceServerSource, Members, Signal};
use crate::supervision::Supervisor;
use crate::tls::Tls;
use crate::turn;

/// Serves until a signal stops it.
pub(crate) fn run(config: Config) -> Result<(), Failure> {
    logging::start(&config.options);
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .on_thread_park(moderation::before_sleep)
        .build()
        .map_err(|error| Failure::new(format!("The system gives no threads ({error}).")))?;
    let result = runtime.block_on(serve(config, None));
    // Owners that have not let go by now are not waited for.
    runtime.shutdown_timeout(Duration::from_millis(100));
    result
}

/// Serves until a signal stops it. With `ready` nothing is announced but the addresses of the web
/// port, through it.
pub(crate) async fn serve(
    config: Config,
    ready: Option<oneshot::Sender<Vec<SocketAddr>>>,
) -> Result<(), Failure> {
    let options = &config.options;
    let mut warnings = config.warnings.clone();
    warnings.extend(too_few_files(options));
    let mut signals = Stop::new()?;
    let tls = Tls::from_options(options, &mut warnings)?.map(Arc::new);
    let listeners = bind_web(options)?;
    let web: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();

    let supervisor = Supervisor::new();
    let budget = Budget::new(options.memory.limit());
    let members = Members::new()
        .map_err(|error| Failure::new(format!("The system gives no random numbers ({error}).")))?;
    let members = Arc::new(members);
    let (relay, secrets) =
        start_turn(&config, &web, tls.as_deref(), (&supervisor, &budget), &members, &mut warnings)?;
    let endpoints = endpoints(relay.as_deref(), &web, tls.is_some());
    let source = IceServerSource::new(&options.relay, endpoints.clone(), secrets.first().cloned(), members);
    let limits = signaling_limits(options)?;
    let settings = signal::Settings {
        ice_servers: source,
        allow_origin: options.web.allow_origin.clone(),
        request_timeout: options.web.request_timeout.0,
        budget: budget.clone(),
    };
    let signal = Signal::new(columba_signal::SessionRelay::new(limits.clone(), UnwrapErr(SysRng)), settings);
    let drain = Drain::new();
    let places = Arc::new(options.web.places(&limits));
    let shared =
        Arc::new(Shared::new(drain.clone(), tls.clone(), relay.clone(), budget, places, &options.web));
    let app = Arc::new(App {
        options: options.clone(),
        shared: shared.clone(),
        signal: signal.clone(),
        supervisor: supervisor.clone(),
        strict_transport: tls.as_ref().is_some_and(|tls| tls.fingerprint().is_none()),
    });
    let router = router(app);
    let keeping_time = signal.clone();
    tokio::spawn(supervisor.clone().keep("the timer of signaling", move || {
        let signal = keeping_time.clone();
        async move { signal.keep_time().await }
    }));
    serve_web(listeners, &router, &shared, &supervisor);
    match ready {
        // The one who asked may be gone.
        Some(ready) => drop(ready.send(web.clone())),
        None => {
            Announcement { options, web: &web, endpoints: &endpoints, tls: tls.as_deref(), warnings }.make()
        }
    }

    let reload = || reload(options, tls.as_deref(), relay.as_deref(), &signal);
    tokio::select! {
        () = signals.wait(reload) => {}
        task = supervisor.given_up() => {
            return Err(Failure::new(format!(
                "This program fails again and again ({task}) and ends; its log has the panics, please report them."
            )));
        }
    }
    info!("stopping: clients are told to come back, again to stop at once");
    drain.begin();
    signal.drain(RECONNECT_AFTER);
    tokio::select! {
        () = shared.places.wait_until_idle() => {}
        () = tokio::time::sleep(GRACE) => {}
        () = signals.wait(|| {}) => return Ok(()),
    }
    if let Some(relay) = relay {
        let _ = timeout(CLOSING, relay.shutdown()).await;
    }
    Ok(())
}

/// Serves the web on every listener, in tasks of their own.
fn serve_web(listeners: Vec<TcpListener>, router: &Router, shared: &Arc<Shared>, supervisor: &Supervisor) {
    for listener in listeners.into_iter().map(Arc::new) {
        let (router, shared) = (router.clone(), shared.clone());
        tokio::spawn(
            supervisor.clone().keep("a web listener", move || {
                http::serve(listener.clone(), router.clone(), shared.clone())
            }),
        );
    }
}

/// The limits of signaling, and the terms of entering.
fn signaling_limits(options: &ServeOptions) -> Result<columba_signal::Config, Failure> {
    Ok(columba_signal::Config {
        join_key: options.signal.read_join_key()?,
        turn_when_alone: options.relay.turn_credentials() != TurnCredentials::Peers,
        ..options.signal.to_relay(&options.memory)
    })
}

/// Binds STUN's and TURN's ports and starts to serve them, unless they are switched off.
fn start_turn(
    config: &Config,
    web: &[SocketAddr],
    tls: Option<&Tls>,
    (supervisor, budget): (&Supervisor, &Budget),
    members: &Arc<Members>,
    warnings: &mut Vec<String>,
) -> Result<(Option<Arc<turn::Service>>, Vec<Secret>), Failure> {
    let options = &config.options.relay;
    if !turn::is_wanted(options) {
        return Ok((None, Vec::new()));
    }
    let secrets = turn::secrets(options)?;
    let bound = turn::bind(config, tls.is_some(), warnings)?;
    let asked = Arc::clone(members);
    let admission = Admission::new(move |username| asked.admits(username));
    let config = turn::turn_config(options, web, &secrets, admission);
    let service =
        turn::Service::start(config, bound, tls.map(Tls::config), supervisor.clone(), budget.clone())
            .map_err(|error| Failure::new(format!("STUN and TURN cannot be served ({error}).")))?;
    let own = service.listening().iter().map(|listening| listening.address);
    let listeners: Vec<SocketAddr> = own.chain(web.iter().copied()).collect();
    warnings.extend(turn::unserved_peers(options, &service.own_addresses(), &listeners));
    Ok((Some(Arc::new(service)), secrets))
}

/// Everything that serves TURN: the relay's own ports, and the web port.
fn endpoints(relay: Option<&turn::Service>, web: &[SocketAddr], tls: bool) -> Vec<Endpoint> {
    let Some(relay) = relay else { return Vec::new() };
    let transport = if tls { Transport::Tls } else { Transport::Tcp };
    let own = relay.listening().iter().map(|listening| Endpoint {
        transport: listening.transport,
        address: listening.address,
        web: false,
    });
    own.chain(web.iter().map(|address| Endpoint { transport, address: *address, web: true })).collect()
}

/// Reads the files again that change while the server runs: certificate, key, TURN secrets, join
/// key.
fn reload(options: &ServeOptions, tls: Option<&Tls>, relay: Option<&turn::Service>, signal: &Signal) {
    if let Some(tls) = tls {
        match tls.reload(options) {
            Ok(true) => {
                if let Some(relay) = relay {
                    relay.set_tls(tls.config());
                }
                info!("the certificate has been read again");
            }
            Ok(false) => {}
            Err(failure) => warn!("{failure} The certificate in use stays."),
        }
    }
    if let (Some(relay), Some(_)) = (relay, &options.relay.turn_secret_file) {
        match turn::secrets(&options.relay) {
            Ok(secrets) => {
                relay.set_secrets(turn::bytes(&secrets));
                signal.set_turn_secret(secrets.first().cloned());
                info!("the TURN secrets have been read again");
            }
            Err(failure) => warn!("{failure} The secrets in use stay."),
        }
    }
    if options.signal.join_key_file.is_some() {
        match options.signal.read_join_key() {
            Ok(key) => {
                signal.set_join_key(key);
                info!("the join key has been read again");
            }
            Err(failure) => warn!("{failure} The key in use stays."),
        }
    }
}

fn bind_web(options: &ServeOptions) -> Result<Vec<TcpListener>, Failure> {
    let addresses = options.web.listen.iter().filter_map(|listen| match listen {
        Listen::On(address) => Some(*address),
        Listen::Off => None,
    });
    let listeners: Vec<TcpListener> = addresses
        .map(|address| {
            http::bind(address)
                .map_err(|error| Failure::new(http::bind_sentence("listen", "TCP", address, &error)))
        })
        .collect::<Result<_, _>>()?;
    if listeners.is_empty() {
        return Err(Failure::new("There is nothing to listen on: give at least one address with --listen."));
    }
    Ok(listeners)
}

/// A connection and an allocation take a file descriptor each, and the soft limit is made for
/// programs that use `select`.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// File descriptors beside those of clients: listeners, logs, the runtime's own.
const OTHER_FILES: u64 = 100;

/// A warning if the limit of open files is below what the options allow clients to take.
fn too_few_files(options: &ServeOptions) -> Option<String> {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile).current?;
    let connections = u64::from(options.web.max_connections);
    let (allocations, streams) = match turn::is_wanted(&options.relay) {
        true => (u64::from(options.relay.max_allocations), turn::StreamLimits::default().max_streams as u64),
        false => (0, 0),
    };
    let needed = connections + allocations + streams + OTHER_FILES;
    (limit < needed).then(|| {
        format!(
            "The limit of open files is {limit}, but {connections} connections, {allocations} allocations and \
             {streams} TURN connections may need {needed}: raise it (LimitNOFILE= in a systemd unit, or ulimit -n), \
             or lower --max-connections and --max-allocations."
        )
    })
}

/// The signals that a service gets.
struct Stop {
    terminate: Signals,
    interrupt: Signals,
    hangup: Signals,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            unix::signal(kind).map_err(|error| Failure::new(format!("Signals cannot be received ({error}).")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for SIGTERM or SIGINT; on SIGHUP has something read again meanwhile.
    async fn wait(&mut self, reload: impl Fn()) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reload(),
            }
        }
    }
}
